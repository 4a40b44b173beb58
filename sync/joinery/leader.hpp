// SPDX-License-Identifier: Apache-2.0
#pragma once

// A leader: what applications hold of one replicated collection. Every leader accepts writes at once, also
// when it is cut off; what was written reaches the others in the background.
//
//     joinery::leader<joinery::or_set<std::string>> cart(std::move(options));
//     cart.write([](auto& c, auto& tx) { c.add(tx, "milk"); });
//     bool there = cart.read([](const auto& c) { return c.contains("milk"); });
//     auto watch = cart.subscribe([](joinery::change) { redraw(); });
//
// Thread safety: everything may be called from any thread. Writes, reads and the arrival of changes exclude
// each other for as long as the callable runs, so copy out what takes long. A callable must not call back
// into the same node, of whichever of its collections. Subscribers run on the node's thread, where everything arrives:
// what would wait there for something to arrive throws std::logic_error (`wait_until`, `sync_to`, `read` with answers,
// `leave`, `drain`); `write` does not wait.

#include <joinery/node.hpp>

#include <chrono>
#include <concepts>
#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace joinery {

/// Ends with its destruction. When that returns the subscriber is not running, will not run again and is destroyed,
/// with what it had captured, unless it is the subscriber itself that ends it.
class subscription {
public:
    subscription() = default;
    explicit subscription(std::shared_ptr<detail::callback> s) : subscriber_(std::move(s)) {}
    ~subscription() { cancel(); }
    subscription(subscription&&) noexcept = default;
    subscription& operator=(subscription&& other) noexcept {
        if (this != &other) cancel();
        subscriber_ = std::move(other.subscriber_);
        return *this;
    }
    void cancel() {
        const auto s = std::move(subscriber_);
        if (s) s->cancel();
    }

private:
    std::shared_ptr<detail::callback> subscriber_;
};

/// What another leader says of itself for the moment, as a value of the type that it was set with.
template <class V> struct present {
    replica_id replica;
    std::string name; ///< of the peer; empty if it is not one, but reached by way of others
    V value{};
    std::chrono::milliseconds age{}; ///< since it came
};

/// A handle; copies are of the same leader.
template <class T> class leader {
    static_assert(checked_crdt<T>(),
                  "T must have the members that crdt.hpp lists, or be a JOINERY_RECORD of such types");

public:
    using value_type = T;

    /// A node of its own with one collection. It closes with the last copy of this, which a subscriber must
    /// not destroy. Throws as node and node::open do.
    explicit leader(node_options options, std::string collection = "main")
        : leader(detail::node_core::make(std::move(options)), std::move(collection)) {}

    /// Runs f(T&, transaction&) as one edit: if f throws, nothing has changed and the exception goes on to the
    /// caller. Returns once the edit is as durable as the storage's level says; at once without a durable
    /// storage, and on the node's own thread (in a subscriber). With `acknowledgements`, waits for these too.
    /// Throws identity_conflict, not_a_leader, node_draining, permission_denied, edit_too_large and node_closed; and
    /// std::invalid_argument for acknowledgements that are assurance::none.
    template <class F> write_result write(F&& f, const write_options& options = {}) {
        const assurance wanted = options.wanted();
        std::optional<dot_range> dots;
        {
            std::unique_lock lock(state_->mutex());
            core_->admit(*served_, lock);
            dots = state_->edit(std::forward<F>(f), wanted);
        }
        if (!dots) return {};
        served_->changed.notify_all();
        return core_->settle(*served_, *dots, options);
    }

    /// What f(const T&), or f(const causal<T>&), returns, by value.
    template <class F> auto read(F&& f) const {
        std::lock_guard lock(state_->mutex());
        return value_of(f);
    }

    /// The same, once so many peers as asked have said what they have, and this leader has it too: what any of them had
    /// when this was called is read. One round trip, and another if something was missing. When the time runs out, what
    /// is here is read. Not on the node's own thread (std::logic_error). Throws node_closed. Returns once what it read
    /// of this leader's own edits is durable: the dots of edits that are lost after all come to be those of others.
    template <class F> auto read(F&& f, const read_options& options) const {
        auto peers = core_->consult(*served_, options);
        std::unique_lock lock(state_->mutex());
        read_result<decltype(value_of(f))> result{value_of(f), state_->version(), peers.answered, peers.complete,
                                                  std::move(peers.missing)};
        const dot own{state_->id(), result.token[state_->id()]};
        lock.unlock();
        core_->await_durable(*served_, own);
        return result;
    }

    /// Contiguous dots here, durable or not yet: also a session token, for sync_to.
    version_vector version() const {
        std::lock_guard lock(state_->mutex());
        return state_->version();
    }

    /// Calls f(const change&) on the node's thread after every change; several may be told of at once.
    /// f must not throw, nor wait for what comes from others. With `details`, the collection notes from now on what
    /// comes from others, place by place and with the conflicts that were settled (change::noted), which makes joins
    /// slower by about as much as reading what they change. Who subscribes reads the state after this, and not before.
    [[nodiscard]] subscription subscribe(std::function<void(const change&)> f, bool details = false) {
        auto s = std::make_shared<detail::subscriber>();
        s->details = details;
        s->call = std::move(f);
        if (details) {
            std::lock_guard lock(state_->mutex());
            state_->note_changes();
        }
        std::lock_guard lock(served_->subscribers_mutex);
        served_->subscribers.push_back(s);
        return subscription(std::move(s));
    }

    /// Waits until predicate(const T&) holds; false if the time ran out, or the node was closed. Not on the node's own
    /// thread (std::logic_error), even if it holds already.
    template <class P> bool wait_until(P&& predicate, std::chrono::milliseconds timeout) const {
        core_->must_not_wait_here("wait_until \"" + name() + "\"");
        return wait([&] { return std::invoke(predicate, **state_); }, timeout);
    }

    /// Waits until everything in `token` is here, and asks peers for it: what was written or read elsewhere
    /// under that token can be read here then. False if the time ran out. Not on the node's own thread
    /// (std::logic_error), even if all of it is here.
    bool sync_to(const version_vector& token, std::chrono::milliseconds timeout) const {
        core_->must_not_wait_here("sync_to \"" + name() + "\"");
        const auto here = [&] { return token.within(state_->version()); };
        if (wait(here, std::chrono::milliseconds(0))) return true;
        core_->ask();
        return wait(here, timeout);
    }

    /// Says something of this leader for the moment to all others of the collection: where its user's cursor is, that
    /// somebody is there. The last call counts. Nothing is stored; it ends with `clear_presence` and `close`, and
    /// with `time_to_live` if nothing is heard of this leader any more: until then it is repeated by itself. Throws
    /// node_closed, and std::invalid_argument unless there are 1 to 4096 bytes, and 100 ms to an hour.
    void set_presence(std::span<const std::byte> bytes,
                      std::chrono::milliseconds time_to_live = std::chrono::seconds(30)) {
        core_->set_presence(*served_, bytes, time_to_live);
    }
    /// The same with a value of any type that `encode` takes.
    template <class V>
        requires(!std::convertible_to<const V&, std::span<const std::byte>>)
    void set_presence(const V& value, std::chrono::milliseconds time_to_live = std::chrono::seconds(30)) {
        set_presence(std::span<const std::byte>(encode(value)), time_to_live);
    }
    void clear_presence() { core_->clear_presence(*served_); }
    /// What the other leaders say of themselves, in order of their ids. `change::presence` tells when it changes.
    std::vector<presence_status> presence() const { return core_->presence(*served_); }
    /// The same as values; what is no V is left out.
    template <class V> std::vector<present<V>> presence() const {
        std::vector<present<V>> all;
        for (auto& s : presence())
            if (auto value = decode<V>(s.bytes))
                all.push_back({s.replica, std::move(s.name), std::move(*value), s.age});
        return all;
    }

    /// Asks other leaders of the collection, wherever they are in the graph, and waits until all have answered or the
    /// time runs out; asks again meanwhile, so that a question may be put more than once. A result for each, in order.
    /// Not on the node's own thread (std::logic_error). Throws node_closed, and std::invalid_argument for more than 64
    /// KiB, or 64 bytes of `service`.
    std::vector<request_result> request(const std::string& service, const std::vector<outgoing_request>& to,
                                        std::chrono::milliseconds timeout) {
        return core_->request(*served_, service, to, timeout);
    }
    /// Answers what others ask under this name: calls f(replica_id, std::span<const std::byte>) on the node's thread,
    /// and sends the bytes that it returns, at most 64 KiB or there is no answer, once all that it has written is
    /// durable. f must not throw, nor wait. Of several under one name the last answers. Who has less than this right in
    /// the collection gets no answer.
    [[nodiscard]] subscription serve(std::string service,
                                     std::function<std::vector<std::byte>(replica_id, std::span<const std::byte>)> f,
                                     access_right least = access_right::write) {
        auto s = std::make_shared<detail::service>();
        s->name = std::move(service);
        s->least = least;
        s->call = std::move(f);
        std::lock_guard lock(served_->subscribers_mutex);
        std::erase_if(served_->services, [](const auto& other) { return !other->active; });
        served_->services.push_back(s);
        return subscription(std::move(s));
    }

    /// Of the node's clock, which only goes forward.
    std::chrono::milliseconds now() const { return core_->now(); }
    const std::string& name() const { return served_->name; }
    replica_id id() const { return core_->id(); }
    /// As the members of `node`, which all leaders of one node share.
    std::string address() const { return core_->address(); }
    void connect(const std::string& address) { core_->connect(address); }
    void disconnect(const std::string& address) { core_->disconnect(address); }
    void admit(const std::vector<peer_key>& keys) { core_->let_in(keys); }
    replica_id take_new_id() { return core_->take_new_id(); }
    void evict(replica_id who) { core_->evict(who); }
    bool leave(std::chrono::milliseconds timeout) { return core_->leave(timeout); }
    drain_result drain(const drain_options& options = {}) { return core_->drain(options); }
    void resume() { core_->resume(); }
    void backup(const std::string& path) { core_->backup(path); }
    node_status status() const { return core_->status(); }
    void close() { core_->close(); }

private:
    friend class node;
    leader(std::shared_ptr<detail::node_core> core, std::string collection)
        : core_(std::move(core)),
          state_(std::make_shared<replicated<T>>(core_->options().wall, core_->options().max_skew)),
          served_(core_->attach(std::move(collection), state_)) {}

    // Requires: the state is locked.
    template <class F> auto value_of(F& f) const {
        if constexpr (std::is_invocable_v<F&, const T&>)
            return std::invoke(f, **state_);
        else
            return std::invoke(f, state_->get().state());
    }

    template <class Here> bool wait(Here&& here, std::chrono::milliseconds timeout) const {
        const auto deadline = std::chrono::steady_clock::now() + detail::waiting_time(timeout);
        std::unique_lock lock(state_->mutex());
        while (!here()) {
            if (!core_->running()) return false;
            if (served_->changed.wait_until(lock, deadline) == std::cv_status::timeout) return here();
        }
        return true;
    }

    std::shared_ptr<detail::node_core> core_;
    std::shared_ptr<replicated<T>> state_;
    std::shared_ptr<detail::served_collection> served_;
};

template <class T> leader<T> node::open(std::string collection) { return leader<T>(core_, std::move(collection)); }

} // namespace joinery
