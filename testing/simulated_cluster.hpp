// SPDX-License-Identifier: Apache-2.0
#pragma once

// The inside of a simulation: machines (a disk, a clock, and a process with an engine and an application), and what is
// known of all of them.

#include <joinery/engine.hpp>
#include <joinery/memory_storage.hpp>
#include <joinery/simulated_network.hpp>
#include <joinery/simulation.hpp>

#include <array>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace joinery::testing::detail {

using time = simulated_network::time;

enum class happening : std::uint8_t {
    step,
    loss,
    duplication,
    reordering,
    corruption,
    delay,
    partition,
    one_way_partition,
    link_cut,
    crash,
    crash_in_step,
    storage_failure,
    clean_stop,
    freeze,
    clock_jump,
    storage_loss,
    count_
};
std::string_view name(happening h);

struct planned {
    time at{0};
    happening what{};
    std::size_t who = 0;
    std::uint64_t draw = 0; ///< the seed of everything else about it
};

/// Data, so that one that fails can be shrunk by leaving out what is planned.
struct schedule {
    std::uint64_t seed = 0;
    std::size_t leaders = 2;
    bool skewed = false;
    const simulation_options* options = nullptr;
    std::vector<planned> all;
};

struct write_record {
    dot_range dots;
    std::size_t place = 0;   ///< of the machine
    std::size_t lineage = 0; ///< of the storage that it was made on
    bool acknowledged = false;
    bool published = false; ///< others may know it; its dots never change again
    bool excused = false;   ///< all storages that had it are lost, or its new name is not known
    bool disk_lost = false; ///< it is excused since somebody took its disk away
};

class cluster;

/// A process that dies while its application runs is `doomed`: nothing reaches it any more, and it is buried once the
/// application's call has been unwound.
class machine final : public simulated_host, public engine_output, public simulated_network::endpoint {
public:
    machine(cluster& c, std::size_t place, durability level);

    void start();
    /// Once it is up to that; again and again if it fails.
    void start_later(std::uint64_t draw);
    bool running() const { return engine_.has_value() && !doomed_; }
    /// It waits in its application.
    bool busy() const { return applications_ > 0; }
    void step(std::uint64_t draw);
    void stop_cleanly();
    /// The process ends without a word; `power`: its machine does, too.
    void die(const std::string& why, bool notice, bool power = false);
    bool held() const { return engine_->status(0).held; }

    // ---- for its leader ----
    void admit() override;
    write_result settle(const dot_range& dots, const write_options& o) override;
    joinery::detail::consulted consult(const read_options& o) override;
    bool wait(const std::function<bool()>& here, std::chrono::milliseconds timeout) override;
    void ask() override;
    void subscribe(std::shared_ptr<joinery::detail::subscriber> s) override { subscribers_.push_back(std::move(s)); }
    std::vector<request_result> request(const std::string& service, const std::vector<outgoing_request>& to,
                                        std::chrono::milliseconds timeout) override;
    void serve(std::shared_ptr<joinery::detail::service> s) override { services_.push_back(std::move(s)); }
    std::chrono::milliseconds now() const override;
    node_status status() const override;
    replica_id id() const override { return id_; }
    const std::string& name() const override { return name_; }
    wall_clock wall() override;
    void still_alive() const override;

    // ---- for the network and the engine ----
    void received(link_id link, std::span<const std::byte> frame) override;
    void connected(link_id link) override;
    void disconnected(link_id link) override;
    void alarm() override;
    void broadcast(std::span<const std::byte> frame) override;
    bool send(link_id link, std::span<const std::byte> frame) override;
    void notify(const event& e) override;

    cluster& cluster_;
    std::size_t place;
    memory_disk disk;
    std::int64_t skew = 0; ///< of its wall clock, in milliseconds
    std::size_t lineage = 0;
    bool is_new = false;    ///< its storage was lost, and it has to be let in by the others
    version_vector durable; ///< at least this is on the disk
    std::unique_ptr<simulated_process> process_;
    std::optional<engine> engine_;

    /// Its storage has nothing any more.
    void lose_storage();

private:
    template <class F> void input(F&& f);
    template <class F> void run_application(F&& f);
    void flushed();
    void deliver();
    void tell(const event& e);
    void answer(const asked_request& r);
    void look();
    void renamed_to(replica_id now);
    void bury();

    std::string name_;
    replica_id id_;
    std::unique_ptr<storage> storage_;
    std::vector<std::shared_ptr<joinery::detail::subscriber>> subscribers_;
    std::vector<std::shared_ptr<joinery::detail::service>> services_;
    std::vector<event> changes_;
    std::vector<asked_request> asked_;
    version_vector checked_;    ///< the application's check held here
    std::string failure_;       ///< its storage failed
    unsigned applications_ = 0; ///< calls of the application under way
    bool in_subscriber_ = false, delivering_ = false;
    bool doomed_ = false, power_ = false;
};

class cluster {
public:
    cluster(const schedule& s, simulated_application& app, bool tracing);
    void run();

    const schedule& plan;
    const simulation_options& settings;
    simulated_application& app;
    random_source random;
    simulated_network network;
    engine_options options;
    std::deque<machine> machines;
    std::deque<write_record> writes;
    causal_context issued;
    std::vector<std::vector<write_record*>> told; ///< for all that was told: the writes of that step
    std::vector<write_record*>* writes_of_step = nullptr;
    std::size_t next_lineage = 1;
    std::map<std::string, std::uint64_t, std::less<>> counts;
    std::optional<std::pair<std::string, std::string>> found; ///< the law that does not hold, and how
    std::vector<std::string> story;
    time converged_after{0};

    void fail(const machine* m, std::string_view law, const std::string& what);
    void count(std::string_view what, std::uint64_t n = 1);
    template <class... A> void tell(const machine* m, const A&... parts) {
        if (!tracing_ || found) return;
        std::string text;
        ((text += parts), ...);
        write_down(m, text);
    }
    void named(replica_id id, const machine& m);
    std::string name_of(dot d) const;
    std::string name_of(const version_vector& v) const;
    bool somebody_is_new() const;
    /// The next thing that happens, a step or something of the network; false if nothing does by then.
    bool go_on(time until);
    /// A machine's storage is about to have nothing: what nobody else has is excused.
    void excuse(const machine& m, bool disk_lost);

private:
    void write_down(const machine* m, const std::string& text);
    void link_all();
    void take_step(const planned& p);
    void do_fault(const planned& p);
    void bad_network(happening what, random_source& draw);
    void partition(bool one_way, random_source& draw);
    bool can_lose(const machine& m) const;
    bool holds(const machine& m, const write_record& w) const;
    /// Lets it be then, or the failure's moment.
    void pass(time until);
    void heal();
    bool converged() const;
    void check_end();

    bool tracing_;
    std::size_t next_ = 0; // what is planned from here on has yet to come
    std::map<replica_id, std::string> names_;
};

} // namespace joinery::testing::detail
