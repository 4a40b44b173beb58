// SPDX-License-Identifier: Apache-2.0
#pragma once

// A node: an engine, a transport and a storage on a thread of their own. It serves any number of
// collections over one set of sockets; each is used through a leader<T> (leader.hpp).
//
//     joinery::node_options options;
//     options.name = "eu";
//     options.transport = joinery::zmq_transport({.listen = "tcp://127.0.0.1:7001"});
//     options.storage = joinery::sqlite_storage("eu.db");
//     joinery::node eu(std::move(options));
//     auto carts = eu.open<joinery::or_set<std::string>>("carts");
//     carts.write([](auto& cart, auto& tx) { cart.add(tx, "milk"); });
//
// The thread sleeps in the transport. A write wakes it only if it sleeps; what is written while it is busy
// leaves together, as one record on disk and one frame. Without a durable storage a single edit leaves on the
// thread that wrote it, while the node's sleeps on.

#include <joinery/engine.hpp>
#include <joinery/fair_mutex.hpp>
#include <joinery/log.hpp>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

namespace joinery {

template <class T> class leader;

struct node_options {
    std::string name;                   ///< for people: in the status of peers, where it is cut at 64 bytes
    node_role role = node_role::leader; ///< followers and hubs refuse writes
    std::string zone;                   ///< a region's name, of at most 64 bytes: what peer_scope::zone goes by
    std::unique_ptr<joinery::transport> transport;
    std::unique_ptr<joinery::storage> storage; ///< none: nothing outlives the process
    engine_timings timings;
    engine_limits limits;                             ///< max_frame is the transport's
    std::size_t expected_peers = 1;                   ///< how many must have answered before a restarted node publishes
    std::size_t pending_bytes = std::size_t{4} << 20; ///< of edits that wait to be sent; beyond it, writes wait

    wall_clock wall = system_milliseconds; ///< of timestamps
    std::chrono::milliseconds max_skew = hybrid_clock::default_max_skew;
    std::function<engine_time()> clock;    ///< monotonic; none: std::chrono::steady_clock
    std::function<std::uint64_t()> random; ///< 64 random bits; none: the system's

    /// What peers may do here, and this node; none: everything. The transport is told whom to let in. See
    /// node::set_access.
    std::optional<access_policy> access{};

    /// Told of everything that happens, on the node's thread. Must not throw.
    std::function<void(const event&)> on_event;
    /// A line for each of these but `changed`, and for the start, the end and the failure of the node's thread;
    /// called on that thread. Must not throw. See logfmt and json.
    std::function<void(const log_line&)> log;
};

/// A write was refused: another live node has the same identity (a copied storage). See node::take_new_id.
struct identity_conflict : std::runtime_error {
    using std::runtime_error::runtime_error;
};
/// A write was refused: this node is no leader. The message names one, if one is connected.
struct not_a_leader : std::runtime_error {
    using std::runtime_error::runtime_error;
};
/// A write was refused: the node is about to stop (node::drain). The message names another leader, if one is connected.
struct node_draining : std::runtime_error {
    using std::runtime_error::runtime_error;
};
/// A write was refused: the access policy does not let this node write there, or its peers have said that they do not
/// take its edits (engine::may_write); the message says which. Or an eviction was, by this node's own policy.
struct permission_denied : std::runtime_error {
    using std::runtime_error::runtime_error;
};
/// The node is closed, or its storage has failed, as the message says.
struct node_closed : std::runtime_error {
    using std::runtime_error::runtime_error;
};

/// What subscribers are told.
struct change {
    bool local = false;    ///< something was written here
    bool remote = false;   ///< something came from others
    bool presence = false; ///< somebody else's presence came, changed or went
    /// What has come from others, place by place, for those who subscribed to that.
    noted_changes noted{};
};

struct node_status {
    replica_id id;
    std::string name;
    node_role role = node_role::leader;
    std::string zone;
    std::string address;
    link_security security = link_security::local; ///< of the transport
    durability level = durability::none;
    bool identity_conflict = false;
    bool draining = false; ///< writes are refused: see node::drain
    std::string failure;   ///< why the node has stopped; empty if it has not
    std::vector<peer_status> peers;
    std::vector<collection_status> collections;
    std::uint64_t clock_rejections = 0; ///< timestamps too far in the future, not adopted
    std::uint64_t greatest_skew = 0;    ///< milliseconds
    /// Stable names: engine_counters, and those of the transport and the storage with a prefix.
    std::map<std::string, std::uint64_t, std::less<>> counters;
};

namespace detail {

/// What is called on the node's thread until it is cancelled.
struct callback {
    std::recursive_mutex mutex; // held during a call
    std::atomic<bool> active{true};
    bool running = false; // guarded by the mutex

    virtual ~callback() = default;
    /// Lets go of the function, too, since it may hold a leader and so the node that holds this; but not if it is the
    /// function that cancels itself.
    void cancel() {
        std::unique_lock lock(mutex);
        active = false;
        const auto function = running ? nullptr : take();
        lock.unlock(); // before it ends, and with it perhaps the node
    }

protected:
    virtual std::shared_ptr<void> take() = 0;
};

template <class F> struct callback_of : callback {
    std::function<F> call;

    /// Requires: the mutex is held, and it is active.
    template <class... With> auto operator()(With&&... with) {
        struct ending {
            bool& running;
            ~ending() { running = false; }
        } const at_the_end{running};
        running = true;
        return call(std::forward<With>(with)...);
    }

protected:
    std::shared_ptr<void> take() override { return std::make_shared<std::function<F>>(std::exchange(call, nullptr)); }
};

struct subscriber final : callback_of<void(const change&)> {
    bool details = false; // what joins change
};

struct service final : callback_of<std::vector<std::byte>(replica_id, std::span<const std::byte>)> {
    std::string name;
    access_right least = access_right::none; // of who asks
};

/// Requests of one caller, which are sent again until they are answered.
class pending_requests {
public:
    pending_requests(engine& e, collection_id c, std::string_view service, const std::vector<outgoing_request>& all)
        : engine_(e), collection_(c), service_(service), all_(all), results_(all.size()) {}
    ~pending_requests() {
        for (const auto& n : numbers_) engine_.forget_request(n.first);
    }
    pending_requests(const pending_requests&) = delete;
    pending_requests& operator=(const pending_requests&) = delete;
    /// Those that have no answer yet.
    void send();
    /// All of them.
    bool answered();
    std::vector<request_result> take() { return std::move(results_); }

private:
    engine& engine_;
    collection_id collection_;
    std::string service_;
    const std::vector<outgoing_request>& all_;
    std::vector<request_result> results_;
    std::map<std::uint64_t, std::size_t> numbers_; // of all attempts, to their places
};

/// How a read's peers answered.
struct consulted {
    std::size_t answered = 0;
    bool complete = true;
    std::vector<awaited_peer> missing;
};

/// One collection, as its leaders and the node's thread share it.
struct served_collection {
    collection_id number = 0;
    std::string name;
    std::shared_ptr<replicated_state> state;
    std::condition_variable changed;  // with the state's mutex
    std::condition_variable room;     // with the state's mutex: pending edits were taken
    std::atomic<bool> writable{true}; // by the access policy, and that of peers
    dot durable;                      // own dots up to this one; guarded by the engine's mutex

    std::mutex subscribers_mutex;
    std::vector<std::shared_ptr<subscriber>> subscribers;
    std::vector<std::shared_ptr<service>> services;

    /// Wakes whoever waits for a change.
    void tell() {
        changed.notify_all();
        room.notify_all();
    }
};

/// The thread and what it owns. Lock order: engine, then a state or a collection's `subscribers_mutex`;
/// subscribers are called with none of them.
class node_core final : private transport_events, private engine_output {
public:
    /// It is closed before its destructor begins, while its thread may still call its virtual functions.
    static std::shared_ptr<node_core> make(node_options options);
    node_core(const node_core&) = delete;
    node_core& operator=(const node_core&) = delete;
    std::shared_ptr<served_collection> attach(std::string name, std::shared_ptr<replicated_state> state);
    /// Throws unless a write may begin; waits while too much is pending. Requires: the state's lock.
    void admit(served_collection& c, std::unique_lock<std::mutex>& state_lock);
    /// Waits until the edit is as durable and as widely acknowledged as asked.
    write_result settle(served_collection& c, const dot_range& dots, const write_options& o);
    /// Waits until own edits up to this one are durable; not on the node's own thread. Throws node_closed.
    void await_durable(const served_collection& c, dot last);
    /// Waits until as many peers as asked have said what they have, and it is here.
    consulted consult(const served_collection& c, const read_options& o);
    /// Asks the peers what they have.
    void ask();
    /// Throws std::logic_error on the node's own thread, for a call that would keep it from what the call waits for.
    void must_not_wait_here(const std::string& call) const;
    void set_presence(const served_collection& c, std::span<const std::byte> bytes, engine_time time_to_live);
    void clear_presence(const served_collection& c);
    std::vector<presence_status> presence(const served_collection& c) const;
    /// Asks others, and waits for their answers.
    std::vector<request_result> request(const served_collection& c, std::string_view service,
                                        const std::vector<outgoing_request>& all, std::chrono::milliseconds timeout);
    engine_time now() const { return options_.clock(); }
    bool running() const { return running_.load(); }

    void connect(const std::string& address) { dial(address, true); }
    void disconnect(const std::string& address) { dial(address, false); }
    void let_in(const std::vector<peer_key>& keys);
    std::string address() const { return address_; }
    replica_id id() const;
    replica_id take_new_id();
    void set_access(access_policy policy);
    std::optional<access_policy> access() const;
    void evict(replica_id who);
    bool leave(std::chrono::milliseconds timeout);
    drain_result drain(const drain_options& o);
    void resume();
    void backup(const std::string& path);
    node_status status() const;
    void close();

    hybrid_clock clock() const { return hybrid_clock(options_.wall, options_.max_skew); }
    const node_options& options() const { return options_; }

private:
    explicit node_core(node_options options);
    void admit_keys();
    template <class F> auto outside_thread(F&& f);
    [[noreturn]] void refuse_write(const served_collection& c) const;

    node_options options_;
    std::string address_;
    durability level_;

    mutable fair_mutex mutex_;             // of the engine, the transport but for its `wait`, and what follows
    std::condition_variable_any progress_; // after every step
    std::optional<engine> engine_;
    std::vector<std::shared_ptr<served_collection>> collections_;
    std::vector<event> events_;
    std::vector<asked_request> asked_;
    std::vector<log_line> lines_;                                // of what was called on other threads
    std::map<std::string, std::uint64_t, std::less<>> refusals_; // of connections, by what was wrong with them
    engine_time sleeps_until_{0};
    std::chrono::steady_clock::time_point last_step_;
    std::string failure_;
    bool ask_ = false;
    bool gathering_ = false; // writers are faster than the thread
    bool started_ = false;

    std::atomic<bool> pending_{false}; // there is something to do besides frames
    std::atomic<bool> asleep_{false};
    std::atomic<bool> stop_{false};
    std::atomic<bool> running_{true};
    std::atomic<bool> writable_{true};
    std::atomic<bool> draining_{false};
    std::atomic<std::thread::id> thread_id_{};
    std::thread thread_;
    std::mutex close_mutex_;

    void run();
    void loop();
    void step();
    void announce();
    void answer();
    /// Of what is called on other threads: the node's own logs it. Requires: the engine's lock.
    void log_later(log_line line);
    void log(log_line line) const;
    void log_events(const std::vector<event>& events, const std::vector<std::shared_ptr<served_collection>>& all) const;
    void rouse();
    bool publish_here();
    void dial(const std::string& address, bool on);
    bool on_thread() const { return std::this_thread::get_id() == thread_id_.load(); }
    bool is_durable(const served_collection& c, dot d) const;
    void await_durable(std::unique_lock<fair_mutex>& lock, const served_collection& c, dot d);
    [[noreturn]] void throw_closed() const;

    void received(link_id link, std::span<const std::byte> frame) override;
    void connected(link_id link) override;
    void disconnected(link_id link) override;
    void refused(std::string_view whom) override;
    void broadcast(std::span<const std::byte> frame) override { options_.transport->broadcast(frame); }
    bool send(link_id link, std::span<const std::byte> frame) override { return options_.transport->send(link, frame); }
    void notify(const event& e) override { events_.push_back(e); }
};

} // namespace detail

/// Thread safety: all members may be called from any thread.
class node {
public:
    /// Loads the storage; the thread starts with the first `open`. Throws storage_error, and
    /// std::invalid_argument without a transport, if the zone's name is longer than 64 bytes, and as
    /// access_policy::check.
    explicit node(node_options options) : core_(detail::node_core::make(std::move(options))) {}
    /// Closes.
    ~node() {
        if (core_) core_->close();
    }
    node(node&&) noexcept = default;
    node& operator=(node&& other) noexcept {
        if (core_ && core_ != other.core_) core_->close();
        core_ = std::move(other.core_);
        return *this;
    }

    /// Serves a collection of this name and type. Names that begin with "joinery." are reserved. Throws
    /// std::invalid_argument for these and if it is open already,
    /// storage_error if what is stored is damaged, or of a type with another fingerprint<T>().
    template <class T> leader<T> open(std::string collection);

    /// Dials a peer, or stops doing so. Throws what the transport throws.
    void connect(const std::string& address) { core_->connect(address); }
    void disconnect(const std::string& address) { core_->disconnect(address); }
    /// From now on only peers with these keys are let in and dialled, as transport::admit says, until the next
    /// set_access lists them anew. Throws node_closed.
    void admit(const std::vector<peer_key>& keys) { core_->let_in(keys); }
    /// Where peers can dial this node; empty if nowhere.
    std::string address() const { return core_->address(); }

    replica_id id() const { return core_->id(); }
    /// From now on this is what peers may do; the transport lets in those that are listed, unless `others` may do
    /// anything. Who may write again, and has edits that were not taken, goes on under a new id with these made anew.
    /// Throws node_closed, and std::invalid_argument as access_policy::check.
    void set_access(access_policy policy) { core_->set_access(std::move(policy)); }
    /// The policy that counts now, to be changed and set again; none: everybody may do everything.
    std::optional<access_policy> access() const { return core_->access(); }
    /// Gives up a node that will not come back under this id: nobody waits for it any more before what it may not have
    /// seen is forgotten. If it does come back, it goes on under a new id, with those of its edits that nobody has.
    /// For nodes that are lost, or away for too long. Throws std::invalid_argument for this node's own id, and
    /// permission_denied if the access policy does not make this node an admin: nobody would believe it.
    void evict(replica_id who) { core_->evict(who); }
    /// Says goodbye, and closes: nobody waits for this node. False, and it goes on, if within the time no peer had all
    /// of its edits durably; once one has, and in the second half of the time, writes throw node_draining. Opened
    /// again, its storage goes on under a new id. Not on the node's own thread (std::logic_error). Throws node_closed,
    /// also if storing fails.
    bool leave(std::chrono::milliseconds timeout) { return core_->leave(timeout); }
    /// Before the node is stopped: from now on writes throw node_draining, while reads go on and edits come and go; and
    /// waits until peers have durably all that was here when it was called, edits of others included. If the time runs
    /// out, the result says who has not; writes stay refused, and it may be called again. `close` comes next, or
    /// `resume`. Peers are those that were heard of since the node started; one that is down is waited for, unless it
    /// keeps nothing or is a member no more. Not on the node's own thread (std::logic_error). Throws node_closed.
    drain_result drain(const drain_options& options = {}) { return core_->drain(options); }
    /// Writes are accepted again.
    void resume() { core_->resume(); }
    /// Copies the storage to a new file, while everything goes on: at least all that was durable when this was
    /// called, and no edit in part. A node that opens the copy is another one, with an id of its own. Writers wait for
    /// a few milliseconds at a time. Throws storage_error, also if the file exists or the storage cannot do that (one
    /// in memory); then there is no file. Throws node_closed.
    void backup(const std::string& path) { core_->backup(path); }
    /// Ends an identity conflict on this side: the node goes on under a new id, with all that it has.
    replica_id take_new_id() { return core_->take_new_id(); }
    node_status status() const { return core_->status(); }

    /// Sends and stores what is pending, closes the storage as clean and ends the thread. Writes fail from
    /// then on; reading goes on.
    void close() { core_->close(); }

private:
    std::shared_ptr<detail::node_core> core_;
};

} // namespace joinery

#include <joinery/leader.hpp>
