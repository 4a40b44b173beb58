// SPDX-License-Identifier: Apache-2.0
#pragma once

// The inside of a schedule: machines (a disk, a clock, a process with an engine) and what is known of all.

#include "planted_bugs.hpp"
#include "simulated_disk.hpp"
#include "simulated_document.hpp"
#include "simulation.hpp"

#include <joinery/engine.hpp>
#include <joinery/memory_storage.hpp>

#include <deque>
#include <memory>
#include <optional>
#include <set>
#include <stdexcept>

namespace joinery::simulation {

/// A broken invariant: ends the schedule.
struct violation : std::runtime_error {
    using std::runtime_error::runtime_error;
};

class world;

class machine final : public engine_output, public simulated_network::endpoint {
public:
    machine(world& w, std::size_t place, std::unique_ptr<simulated_disk> disk);

    // ---- the process ----
    void start();
    bool running() const { return engine_.has_value(); }
    /// Runs f on the engine, then flushes; a storage that dies or fails ends the process.
    template <class F> void input(F&& f);
    void edit(std::uint64_t seed);
    /// The process ends, without a word; `power`: its machine does, too.
    void die(std::string_view why, bool notice, bool power = false);
    void stop_cleanly();
    void leave();
    void say(std::uint64_t seed);
    void fall_silent();
    bool held() const;

    // ---- what the network and the engine call ----
    void received(link_id link, std::span<const std::byte> frame) override;
    void connected(link_id link) override;
    void disconnected(link_id link) override;
    void alarm() override;
    void broadcast(std::span<const std::byte> frame) override;
    bool send(link_id link, std::span<const std::byte> frame) override;
    void notify(const event& e) override;

    // ---- the machine ----
    world& world_;
    std::size_t place;
    std::string name;
    std::unique_ptr<simulated_disk> disk;
    std::int64_t skew = 0; ///< of its wall clock, in milliseconds
    node_role role = node_role::leader;
    std::size_t lineage;    ///< of what is on the disk
    std::size_t opens;      ///< the first of the collections, so many
    bool exists = true;     ///< false for the place of a clone that was not made
    bool is_new = false;    ///< its storage is empty, and it has to be let in by the others
    bool evicted = false;   ///< it was told so, and has the same id still
    bool forgetful = false; ///< planted: the last start forgot edits

    std::unique_ptr<storage> storage_;
    std::vector<std::unique_ptr<opened_collection>> documents;
    std::optional<engine> engine_;
    replica_id id;
    engine_counters counted; ///< of this process, when it was last looked at

    // ---- what is known of it, by collection ----
    std::vector<version_vector> durable;   ///< at least this is on the disk
    std::vector<version_vector> told;      ///< it said that it has this durably
    std::vector<version_vector> checked;   ///< its state up to here is causally closed
    std::vector<edit_record*> unpublished; ///< edits of this lineage that nobody else can have
    std::vector<bool> held_before;
    std::vector<std::vector<std::byte>> says; ///< of itself for the moment; empty: nothing
    bool must_keep = true;                    ///< the disk was not touched since the last process

    struct saved_copy {
        std::unique_ptr<simulated_disk> disk;
        std::vector<version_vector> durable;
        replica_id id;
    };
    std::optional<saved_copy> copy;

    void flushed();
    void identity_changed();
    /// What it made anew on top of what a group had is an edit of its own.
    void find_reissued(replica_id who);
    void renamed_unheard(replica_id old);
    /// It was evicted under its old id: edits that it published, and nobody got, are edits of the new one.
    void take_back(replica_id old);
    void look_at_start();
    void check_closed();
    void publish(edit_record& e);
    /// To one, or to all who hear it.
    void look_at_frame(std::span<const std::byte> frame, std::optional<link_id> to);
    void take_counters();
    std::vector<const edit_record*> visible(std::size_t collection) const;
    void compare_with_specification(std::size_t collection);
    void set_alarm();

private:
    last_beacon last_beacon_;
    std::vector<std::byte> tampered_frame_;
    std::span<const std::byte> tamper(std::span<const std::byte> frame);
    std::unique_ptr<storage> open_disk();
};

class world {
public:
    world(const schedule& s, planted_bug bug, bool trace);
    void run();

    const schedule& plan;
    planted_bug bug;
    bool tracing;
    testing::random_source random;
    simulated_network network;
    std::deque<std::unique_ptr<machine>> machines;
    std::deque<edit_record> edits;
    std::size_t next_lineage = 1;
    char32_t next_character = 0x800;
    std::vector<std::string> names;
    std::vector<channel> channels;
    std::map<replica_id, std::vector<edit_record*>> by_replica; ///< published, by first dot
    struct content {
        std::uint64_t last, digest;
    };
    std::map<std::pair<std::uint64_t, dot>, content> published; ///< by channel and first dot
    outcome result;
    engine_options options;
    std::set<std::uint64_t> below_horizon; ///< pulls by their request
    bool gone_bad = false;                 ///< a divergence is to be expected

    /// Somebody must not be disturbed until this is over: see set_back, clone.
    std::set<std::size_t> guarded;

    template <class... A> void trace(const machine* m, const A&... parts) {
        if (!tracing) return;
        std::string text;
        ((text += parts), ...);
        write_trace(m, text);
    }
    void count(std::string_view what, std::uint64_t n = 1) {
        const auto at = result.counts.find(what);
        if (at == result.counts.end())
            result.counts.emplace(what, n);
        else
            at->second += n;
    }
    void fault(std::string_view what) {
        ++result.faults;
        count(what);
    }
    [[noreturn]] void fail(const machine* m, const std::string& what);
    std::size_t collection_of(channel c) const;
    bool is_ledger(std::size_t collection) const { return plan.ledger && collection + 1 == names.size(); }
    /// Of all that are there from the beginning.
    std::size_t neighbours(std::size_t place) const;
    void count_given_up(replica_id who);

    /// A machine's storage has now only this: what nobody else has is excused.
    void storage_lost(machine& m, const std::vector<version_vector>& kept);
    /// What is on its disk now was made elsewhere.
    void forget_unpublished(machine& m);
    bool holds(const machine& m, const edit_record& e) const;
    void restart_later(machine& m, std::uint64_t draw);

private:
    void write_trace(const machine* m, const std::string& text);
    void do_step(const step& s);
    void do_fault(const step& s, machine& m, testing::random_source& draw);
    void bad_network(testing::random_source& draw);
    void partition(testing::random_source& draw, bool one_way);
    void crash_in_step(machine& m, testing::random_source& draw);
    void lose_storage(machine& m, testing::random_source& draw);
    void set_back(machine& m, testing::random_source& draw);
    void clone(machine& m, testing::random_source& draw);
    bool can_be_cloned(const machine& m) const;
    void open_clone(machine& m, testing::random_source& draw);
    void evict(machine& m, testing::random_source& draw);
    void watch_evicted(machine& m, replica_id former);
    void leave(machine& m, testing::random_source& draw);
    void start_newcomer();
    bool somebody_is_new() const;
    void long_absence(machine& m, testing::random_source& draw);
    void add_link(machine& m, testing::random_source& draw);
    void remove_link(machine& m, testing::random_source& draw);
    void join_parts();
    void join_parts_later();
    void dial(std::size_t a, std::size_t b);
    void empty_disk(machine& m);
    bool all_at_work() const;
    void guard_all();
    /// A collection's nodes: those that its first one can reach by way of others of them that have started, and the
    /// rest. Some links and one node may be left out.
    struct parts {
        std::vector<std::size_t> first, rest;
    };
    parts parts_of(std::size_t collection, bool connected_only = false, std::size_t without = SIZE_MAX) const;
    bool whole() const;
    bool connected_without(std::size_t place) const;
    void watch_set_back(machine& m, machine& witness);
    void watch_clone(machine& original, machine& copy, std::uint64_t draw, time patience);
    void make_links();
    std::string_view shape() const;
    void heal();
    bool converged() const;
    template <class Done, class Failure> void wait_until(time longest, Done&& done, Failure&& failure);
    bool presence_agreed() const;
    bool equal() const;
    void go_bad();
    void check_end();
};

template <class F> void machine::input(F&& f) {
    if (!engine_) return;
    try {
        engine_->tick(world_.network.now());
        f();
        engine_->flush();
        flushed();
    } catch (const storage_crash&) {
        world_.fault("crash in a storage step");
        die("dies in a storage step", true);
        world_.restart_later(*this, world_.random.next());
    } catch (const storage_error& e) {
        world_.fault("storage failure");
        die(std::string("stops: ") + e.what(), true);
        world_.restart_later(*this, world_.random.next());
    }
}

} // namespace joinery::simulation
