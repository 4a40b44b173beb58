// SPDX-License-Identifier: Apache-2.0
#include <joinery/node.hpp>

#include "no_storage.hpp"

#include <algorithm>
#include <bit>
#include <exception>
#include <set>

namespace joinery::detail {

namespace {

engine_time steady_milliseconds() {
    return std::chrono::duration_cast<engine_time>(std::chrono::steady_clock::now().time_since_epoch());
}

// With the transport's key as this node's, unless the policy says which that is.
access_policy completed(access_policy policy, const transport& t) {
    if (policy.self.key == peer_key{}) policy.self.key = t.own_key().value_or(peer_key{});
    return policy;
}

constexpr engine_time longest_sleep{200};      // transports want to be polled a few times a second
constexpr std::chrono::microseconds burst{10}; // edits that follow each other faster leave together
constexpr std::uint64_t least_burst = 512;     // bytes of edits in one group: then more are waited for, so long:
constexpr std::chrono::microseconds gathering{1000};

} // namespace

node_core::node_core(node_options options) : options_(std::move(options)) {
    if (!options_.transport) throw std::invalid_argument("node: no transport");
    if (!options_.storage) options_.storage = std::make_unique<no_storage>();
    if (!options_.clock) options_.clock = steady_milliseconds;
    options_.limits.max_frame = options_.transport->max_frame();
    address_ = options_.transport->address();
    level_ = options_.storage->level();
    if (options_.access) options_.access = completed(std::move(*options_.access), *options_.transport);
    engine_options o;
    o.name = options_.name;
    o.role = options_.role;
    o.zone = options_.zone;
    o.expected_peers = options_.expected_peers;
    o.timings = options_.timings;
    o.limits = options_.limits;
    o.random = options_.random;
    o.access = options_.access;
    engine_.emplace(std::move(o), *options_.storage, static_cast<engine_output&>(*this));
    engine_->tick(now());
    admit_keys();
}

std::shared_ptr<node_core> node_core::make(node_options options) {
    return {new node_core(std::move(options)), [](node_core* core) {
                core->close();
                delete core;
            }};
}

// Where those that are not listed may do something, the transport's own list decides.
void node_core::admit_keys() {
    if (options_.access && !options_.access->find(std::nullopt)) options_.transport->admit(options_.access->keys());
}

std::shared_ptr<served_collection> node_core::attach(std::string name, std::shared_ptr<replicated_state> state) {
    auto c = std::make_shared<served_collection>();
    c->name = std::move(name);
    c->state = std::move(state);
    {
        std::lock_guard lock(mutex_);
        if (stop_ || !running_) throw_closed();
        c->number = engine_->attach(c->name, *c->state);
        c->writable = engine_->may_write(c->number);
        collections_.push_back(c);
        pending_ = true;
        if (!std::exchange(started_, true)) thread_ = std::thread([this] { run(); });
    }
    rouse();
    return c;
}

// ---- called by writers ----

void node_core::throw_closed() const {
    throw node_closed(failure_.empty() ? "the node is closed" : "the node has stopped: " + failure_);
}

void node_core::admit(served_collection& c, std::unique_lock<std::mutex>& state_lock) {
    while (c.state->pending().bytes() > options_.pending_bytes && running_ && !on_thread()) c.room.wait(state_lock);
    if (!running_) {
        state_lock.unlock(); // the reason is guarded by the engine's mutex, which comes first
        std::lock_guard lock(mutex_);
        throw_closed();
    }
    if (options_.role != node_role::leader || draining_ || !c.writable) {
        state_lock.unlock();
        refuse_write(c);
    }
    if (!writable_)
        throw identity_conflict("write \"" + c.name +
                                "\": another live node has this node's id; one of the two must "
                                "take a new id (node::take_new_id)");
}

void node_core::refuse_write(const served_collection& c) const {
    std::string where = "no leader is connected", who;
    std::lock_guard lock(mutex_);
    for (const auto& p : engine_->peers()) {
        const std::string named = '"' + p.name + "\" (" + to_string(p.id) + ")";
        if (p.up && p.role == node_role::leader && p.shares[c.number]) where = "write at " + named;
        if (p.refuses[c.number]) who += (who.empty() ? "" : ", ") + named;
    }
    const std::string what = "write \"" + c.name + "\": ";
    if (options_.role != node_role::leader)
        throw not_a_leader(what + "this node is a " + std::string(to_string(options_.role)) + "; " + where);
    if (draining_) throw node_draining(what + "this node is about to stop; " + where);
    if (const auto& a = options_.access; a && a->self.in(c.name) < access_right::write)
        throw permission_denied(what + "this node's access policy gives it the right \"" +
                                std::string(to_string(a->self.in(c.name))) + "\" there");
    throw permission_denied(what + "no peer is connected that takes this node's edits" +
                            (who.empty() ? "" : "; refused by " + who + ", see the access policy there"));
}

// Wakes the thread if it sleeps, and only then.
void node_core::rouse() {
    if (asleep_.load() && asleep_.exchange(false)) options_.transport->wake();
}

// A single edit leaves on its writer's thread while the node's sleeps, which saves it the way through that
// thread. In a burst the thread is woken after the first one and takes the others together; so it does with a
// durable storage, for which many writers wait together. False if the thread has to be woken for this edit.
bool node_core::publish_here() {
    if (level_ != durability::none || !asleep_.load() || on_thread()) return false;
    std::unique_lock lock(mutex_, std::try_to_lock);
    if (!lock || !asleep_.load() || stop_ || !running_) return false;
    if (std::chrono::steady_clock::now() - last_step_ < (gathering_ ? gathering : burst)) return false;
    step();
    bool followed = options_.on_event != nullptr || engine_->next_deadline() < sleeps_until_;
    for (const auto& e : events_) {
        if (e.kind != event_kind::changed) {
            followed = true;
            continue;
        }
        auto& c = *collections_[e.collection];
        std::lock_guard inner(c.subscribers_mutex);
        followed |= !c.subscribers.empty();
    }
    if (followed) return false; // they are called on the thread
    for (const auto& e : std::exchange(events_, {})) collections_[e.collection]->tell();
    return true;
}

// What remains of an id that the node had before was stored together with the new one.
bool node_core::is_durable(const served_collection& c, dot d) const {
    d = engine_->renamed(c.number, d);
    return d.replica != engine_->id() || (d.replica == c.durable.replica && d.seq <= c.durable.seq);
}

void node_core::await_durable(std::unique_lock<fair_mutex>& lock, const served_collection& c, dot d) {
    progress_.wait(lock, [&] { return is_durable(c, d) || !running_; });
    if (!is_durable(c, d)) throw_closed();
}

void node_core::await_durable(const served_collection& c, dot last) {
    if (level_ == durability::none || on_thread()) return;
    std::unique_lock lock(mutex_);
    await_durable(lock, c, last);
}

write_result node_core::settle(served_collection& c, const dot_range& dots, const write_options& o) {
    pending_ = true;
    if (!publish_here()) rouse();
    write_result result;
    result.dots = dots;
    const bool durable = level_ != durability::none;
    if (on_thread()) result.complete = o.acknowledgements == 0; // it cannot wait for itself
    if (on_thread() || (!durable && o.acknowledgements == 0)) return result;

    const dot last{dots.replica, dots.last};
    std::unique_lock lock(mutex_);
    await_durable(lock, c, last);
    const dot now_named = engine_->renamed(c.number, last);
    if (now_named != last) result.dots = dot_range{now_named.replica, now_named.seq - dots.size() + 1, now_named.seq};
    if (o.acknowledgements == 0) return result;

    std::vector<replica_id> who;
    const auto answered = [&] {
        who = engine_->acknowledged_by(c.number, engine_->renamed(c.number, last), o.level, o.scope);
        return who.size() >= o.acknowledgements;
    };
    const auto deadline = std::chrono::steady_clock::now() + waiting_time(o.timeout);
    result.complete = progress_.wait_until(lock, deadline, [&] { return answered() || !running_; }) && answered();
    result.acknowledged = who.size();
    if (!result.complete) result.missing = engine_->others(c.number, who, o.scope);
    return result;
}

consulted node_core::consult(const served_collection& c, const read_options& o) {
    consulted result;
    if (o.answers == 0) return result;
    must_not_wait_here("read \"" + c.name + "\" with answers");
    std::unique_lock lock(mutex_);
    if (!running_) throw_closed();
    const auto round = engine_->ask();
    lock.unlock();
    pending_ = true;
    rouse();
    lock.lock();
    std::vector<replica_id> who;
    const auto answered = [&] {
        who = engine_->answered(c.number, round, o.scope);
        return who.size() >= o.answers;
    };
    const auto deadline = std::chrono::steady_clock::now() + waiting_time(o.timeout);
    result.complete = progress_.wait_until(lock, deadline, [&] { return answered() || !running_; }) && answered();
    result.answered = who.size();
    if (!result.complete) result.missing = engine_->others(c.number, who, o.scope);
    return result;
}

void node_core::must_not_wait_here(const std::string& call) const {
    if (on_thread())
        throw std::logic_error(call +
                               ": called on the node's own thread, as subscribers are; nothing could arrive that it "
                               "waits for");
}

void node_core::ask() {
    {
        std::lock_guard lock(mutex_);
        ask_ = true;
    }
    pending_ = true;
    rouse();
}

void node_core::set_presence(const served_collection& c, std::span<const std::byte> bytes, engine_time time_to_live) {
    {
        std::lock_guard lock(mutex_);
        if (!running_) throw_closed();
        engine_->set_presence(c.number, bytes, time_to_live);
    }
    pending_ = true;
    rouse();
}

void node_core::clear_presence(const served_collection& c) {
    {
        std::lock_guard lock(mutex_);
        if (!running_) return; // it went with the node
        engine_->clear_presence(c.number);
    }
    pending_ = true;
    rouse();
}

std::vector<presence_status> node_core::presence(const served_collection& c) const {
    std::lock_guard lock(mutex_);
    return engine_->presence(c.number);
}

void pending_requests::send() {
    for (std::size_t i = 0; i < all_.size(); ++i) {
        if (results_[i].answer) continue;
        const auto number = engine_.request(collection_, all_[i].to, service_, all_[i].bytes);
        if (!number) continue;
        numbers_.emplace(*number, i);
        results_[i].again = std::exchange(results_[i].sent, true);
    }
}

bool pending_requests::answered() {
    for (const auto& [number, place] : numbers_)
        if (auto bytes = engine_.take_reply(number)) results_[place].answer = std::move(bytes);
    return std::all_of(results_.begin(), results_.end(), [](const auto& r) { return r.answer.has_value(); });
}

std::vector<request_result> node_core::request(const served_collection& c, std::string_view service,
                                               const std::vector<outgoing_request>& all,
                                               std::chrono::milliseconds timeout) {
    if (on_thread()) throw std::logic_error("request \"" + c.name + "\": its own thread cannot wait for answers");
    using clock = std::chrono::steady_clock;
    const auto deadline = clock::now() + waiting_time(timeout);
    std::unique_lock lock(mutex_);
    if (!running_) throw_closed();
    pending_requests asked(*engine_, c.number, service, all);
    for (;;) {
        asked.send();
        lock.unlock();
        pending_ = true;
        rouse();
        lock.lock();
        const auto until = std::min(deadline, clock::now() + options_.timings.request_retry);
        progress_.wait_until(lock, until, [&] { return asked.answered() || !running_; });
        if (asked.answered() || !running_ || clock::now() >= deadline) return asked.take();
    }
}

// ---- called by anybody ----

void node_core::dial(const std::string& address, bool on) {
    std::lock_guard lock(mutex_);
    if (!running_) throw_closed();
    if (on) {
        options_.transport->connect(address);
    } else {
        options_.transport->disconnect(address);
    }
}

void node_core::let_in(const std::vector<peer_key>& keys) {
    std::lock_guard lock(mutex_);
    if (!running_) throw_closed();
    options_.transport->admit(keys);
}

replica_id node_core::id() const {
    std::lock_guard lock(mutex_);
    return engine_->id();
}

// For calls that may use the storage: if that fails so does the node. Throws node_closed. Requires: the engine's lock.
template <class F> auto node_core::outside_thread(F&& f) {
    try {
        return f();
    } catch (const std::exception& e) { // nobody else may get at the engine
        failure_ = e.what();
        running_ = false;
        stop_ = true;
        options_.transport->wake();
        throw_closed();
    }
}

replica_id node_core::take_new_id() {
    std::unique_lock lock(mutex_);
    if (!running_) throw_closed();
    const auto fresh = outside_thread([&] { return engine_->take_new_id(); });
    writable_ = engine_->writable();
    lock.unlock();
    pending_ = true;
    rouse();
    return fresh;
}

void node_core::set_access(access_policy policy) {
    std::unique_lock lock(mutex_);
    if (!running_) throw_closed();
    policy = completed(std::move(policy), *options_.transport);
    engine_->set_access(policy);
    options_.access = std::move(policy);
    admit_keys();
    for (auto& c : collections_) c->writable = engine_->may_write(c->number);
    lock.unlock();
    pending_ = true;
    rouse();
}

std::optional<access_policy> node_core::access() const {
    std::lock_guard lock(mutex_);
    return options_.access;
}

void node_core::evict(replica_id who) {
    std::unique_lock lock(mutex_);
    if (!running_) throw_closed();
    if (options_.access && options_.access->self.rights < access_right::admin)
        throw permission_denied("evict: the access policy does not make this node an admin");
    if (who == engine_->id()) throw std::invalid_argument("evict: this is the node's own id; see leave");
    engine_->evict(who);
    lock.unlock();
    pending_ = true;
    rouse();
}

bool node_core::leave(std::chrono::milliseconds timeout) {
    must_not_wait_here("leave");
    {
        std::unique_lock lock(mutex_);
        if (!running_) throw_closed();
        const auto known = [&] {
            std::vector<std::unique_lock<std::mutex>> states; // together, or something could be written in between
            for (const auto& c : collections_) states.emplace_back(c->state->mutex());
            const auto me = engine_->id();
            const bool all = std::all_of(collections_.begin(), collections_.end(), [&](const auto& c) {
                const auto last = c->state->context().greatest(me);
                return last == 0 || !engine_->acknowledged_by(c->number, {me, last}).empty();
            });
            if (all) draining_ = true; // nobody would get what is written from now on
            return all;
        };
        pending_ = true;
        ask_ = true;
        rouse();
        const auto until_known = [&](std::chrono::milliseconds time) {
            return progress_.wait_for(lock, time, [&] { return !running_ || known(); });
        };
        const auto patience = waiting_time(timeout);
        if (!until_known(patience / 2)) { // peers may always be a little behind who never stops writing
            const bool drained = draining_.exchange(true);
            if (!until_known(patience - patience / 2)) {
                draining_ = drained;
                return false;
            }
        }
        if (!running_) return false;
        outside_thread([&] { engine_->leave(); });
    }
    close();
    return true;
}

drain_result node_core::drain(const drain_options& o) {
    must_not_wait_here("drain");
    std::unique_lock lock(mutex_);
    if (!running_) throw_closed();
    if (!draining_.exchange(true))
        log_later({0, log_level::info, "draining", "writes are refused until the node stops or resumes", {}});

    replica_id me;
    std::vector<version_vector> here; // by collection
    const auto look = [&] {           // whoever was admitted before has made its edit once the state's lock is free
        me = engine_->id();
        here.clear();
        for (const auto& c : collections_) {
            std::lock_guard state_lock(c->state->mutex());
            here.push_back(c->state->version());
        }
    };
    look();
    drain_result result;
    const auto known = [&] {
        if (engine_->id() != me) look(); // and edits have other names
        result.complete = true;
        std::set<replica_id> behind;
        const auto peers = engine_->peers();
        for (std::size_t i = 0; i < here.size(); ++i) {
            if (here[i].empty()) continue;
            const auto members = engine_->status(collections_[i]->number).members;
            std::size_t have = 0, lack = 0;
            for (const auto& p : peers) {
                if (!p.shares[i] || (o.scope == peer_scope::zone && p.zone != options_.zone)) continue;
                if (p.renamed || (!p.up && p.level == durability::none))
                    continue; // if it comes, it comes as another one
                if (std::find(members.begin(), members.end(), p.id) == members.end()) continue;
                const bool counts = !p.refuses[i] || here[i][me] == 0; // it takes the edits of others only
                auto wanted = here[i];
                if (!counts) wanted.set(me, 0);
                if (wanted.within(p.versions[i])) {
                    have += counts;
                } else {
                    ++lack;
                    behind.insert(p.id);
                }
            }
            result.complete &= o.acknowledgements ? have >= *o.acknowledgements : have > 0 && lack == 0;
        }
        result.missing.clear();
        if (result.complete) return true;
        for (const auto& p : peers)
            if (behind.contains(p.id)) result.missing.push_back({p.id, p.name});
        return false;
    };
    ask_ = true; // what they have they say with their beacons, or now
    pending_ = true;
    rouse();
    const auto deadline = std::chrono::steady_clock::now() + waiting_time(o.timeout);
    progress_.wait_until(lock, deadline, [&] { return known() || !running_ || !draining_; });
    return result;
}

void node_core::resume() {
    std::unique_lock lock(mutex_);
    if (!running_) throw_closed();
    if (!draining_.exchange(false)) return;
    log_later({0, log_level::info, "resumed", "writes are accepted again", {}});
    lock.unlock();
    pending_ = true;
    rouse();
}

// In pieces, each of which holds the node up as a step of its own does.
void node_core::backup(const std::string& path) {
    constexpr std::size_t piece = std::size_t{1} << 20; // bytes
    std::unique_lock lock(mutex_);
    if (!running_) throw_closed();
    auto copy = options_.storage->back_up(path); // destroyed under the lock unless it has got everything
    while (!copy->copy(piece)) {
        lock.unlock();
        lock.lock();
        if (!running_) throw_closed();
    }
    lock.unlock();
    copy->finish();
    lock.lock();
    log_later({0, log_level::info, "backup", "the storage was copied", {{"detail", path}}});
    lock.unlock();
    pending_ = true;
    rouse();
}

node_status node_core::status() const {
    std::lock_guard lock(mutex_);
    node_status s;
    s.role = options_.role;
    s.zone = options_.zone;
    s.id = engine_->id();
    s.name = options_.name;
    s.address = address_;
    s.security = options_.transport->security();
    s.level = level_;
    s.identity_conflict = !engine_->writable();
    s.draining = draining_;
    s.failure = failure_;
    s.peers = engine_->peers();
    for (const auto& c : collections_) {
        s.collections.push_back(engine_->status(c->number));
        std::lock_guard state_lock(c->state->mutex());
        s.clock_rejections += c->state->clock().rejected();
        s.greatest_skew = std::max(s.greatest_skew, c->state->clock().greatest_skew());
    }
    engine_->counters().for_each([&](std::string_view name, std::uint64_t n) { s.counters.emplace(name, n); });
    const auto t = options_.transport->stats();
    s.counters["transport_frames_out"] = t.frames_out;
    s.counters["transport_bytes_out"] = t.bytes_out;
    s.counters["transport_frames_in"] = t.frames_in;
    s.counters["transport_bytes_in"] = t.bytes_in;
    s.counters["transport_dropped"] = t.dropped;
    s.counters["transport_reconnects"] = t.reconnects;
    s.counters["transport_refused_handshakes"] = t.refused_handshakes;
    const auto d = options_.storage->stats();
    s.counters["storage_appends"] = d.appends;
    s.counters["storage_syncs"] = d.syncs;
    s.counters["storage_compactions"] = d.compactions;
    s.counters["storage_bytes_written"] = d.bytes_written;
    return s;
}

void node_core::close() {
    {
        std::lock_guard lock(mutex_);
        const bool first = !stop_.exchange(true);
        if (!started_) { // nothing was ever opened
            if (first) engine_->close();
            running_ = false;
            return;
        }
    }
    options_.transport->wake();
    if (on_thread()) return; // it ends after this
    std::lock_guard once(close_mutex_);
    if (thread_.joinable()) thread_.join();
}

// ---- the thread ----

void node_core::run() {
    thread_id_ = std::this_thread::get_id();
    log({0,
         log_level::info,
         "node_started",
         "the node has started",
         {{"id", to_string(id())}, {"address", address_}, {"durability", std::string(to_string(level_))}}});
    if (options_.transport->security() == link_security::insecure)
        log({0,
             log_level::warning,
             "transport_insecure",
             "frames may leave the machine in plaintext: whoever is on the way can read and forge them",
             {{"address", address_}}});
    std::string failure;
    try {
        loop();
    } catch (const std::exception& e) {
        failure = e.what();
    }
    std::vector<std::shared_ptr<served_collection>> all;
    std::vector<event> last;
    std::vector<log_line> lines;
    {
        std::lock_guard lock(mutex_);
        failure_ = failure;
        running_ = false;
        all = collections_;
        last.swap(events_);
        lines.swap(lines_);
    }
    for (auto& line : lines) log(std::move(line));
    log_events(last, all);
    if (failure.empty())
        log({0, log_level::info, "node_stopped", "the node has stopped", {}});
    else
        log({0,
             log_level::error,
             "node_failed",
             "the node has stopped: its storage or transport failed",
             {{"detail", failure}}});
    progress_.notify_all();
    for (const auto& c : all) {
        { std::lock_guard lock(c->state->mutex()); } // whoever has seen it running waits by now
        c->changed.notify_all();
        c->room.notify_all();
    }
}

void node_core::loop() {
    const auto check_unbroken = [&] { // by what was called on another thread
        if (!running_) throw std::runtime_error(failure_);
    };
    while (!stop_) {
        engine_time sleep{0};
        {
            std::lock_guard lock(mutex_);
            check_unbroken();
            try {
                options_.transport->poll(*this);
                step();
            } catch (const std::exception& e) { // nobody else may get at the engine
                failure_ = e.what();
                running_ = false;
                throw;
            }
            asked_ = engine_->take_requests();
            const auto time = now();
            sleep = std::clamp(engine_->next_deadline() - time, engine_time(0), longest_sleep);
            sleeps_until_ = time + sleep;
        }
        announce();
        answer();
        if (gathering_) std::this_thread::sleep_for(gathering); // what is written meanwhile leaves together
        asleep_ = true;
        if (pending_ || stop_) sleep = engine_time(0);
        options_.transport->wait(sleep);
        asleep_ = false;
    }
    std::lock_guard lock(mutex_);
    check_unbroken();
    step();
    engine_->close();
    running_ = false; // before anybody else gets at it
}

// Everything that has come in leaves, in one group. Requires: the engine's lock.
void node_core::step() {
    pending_ = false;
    if (std::exchange(ask_, false)) engine_->ask();
    engine_->tick(now());
    const auto before = engine_->counters().bytes_published;
    engine_->flush();
    gathering_ = level_ == durability::none && engine_->counters().bytes_published - before >= least_burst;
    writable_ = engine_->writable();
    for (auto& c : collections_) {
        c->durable = {engine_->id(), engine_->version(c->number)[engine_->id()]};
        c->writable = engine_->may_write(c->number);
    }
    last_step_ = std::chrono::steady_clock::now();
}

void node_core::announce() {
    progress_.notify_all();
    std::vector<event> events;
    std::vector<log_line> lines;
    std::vector<std::shared_ptr<served_collection>> all;
    {
        std::lock_guard lock(mutex_);
        events.swap(events_);
        lines.swap(lines_);
        if (!events.empty()) all = collections_;
    }
    for (auto& line : lines) log(std::move(line));
    if (events.empty()) return;
    log_events(events, all);
    for (const auto& e : events) {
        if (options_.on_event) options_.on_event(e);
        if (e.kind != event_kind::changed) continue;
        auto& c = *all[e.collection];
        c.tell();
        std::vector<std::shared_ptr<subscriber>> subscribers;
        {
            std::lock_guard lock(c.subscribers_mutex);
            subscribers = c.subscribers;
        }
        change told{e.local, e.remote, e.presence, {}};
        if (e.remote) {
            std::lock_guard lock(c.state->mutex());
            told.noted = c.state->take_changes();
        }
        const change without{e.local, e.remote, e.presence, {}};
        bool ended = false;
        for (const auto& s : subscribers) {
            std::lock_guard lock(s->mutex);
            if (s->active) (*s)(s->details ? told : without);
            ended |= !s->active;
        }
        if (!ended) continue;
        std::lock_guard lock(c.subscribers_mutex);
        std::erase_if(c.subscribers, [](const auto& s) { return !s->active; });
    }
}

// With none of the locks, as subscribers are told. What was written meanwhile leaves before the answers.
void node_core::answer() {
    for (const auto& r : std::exchange(asked_, {})) {
        std::shared_ptr<served_collection> c;
        {
            std::lock_guard lock(mutex_);
            c = collections_[r.collection];
        }
        std::shared_ptr<service> found;
        {
            std::lock_guard lock(c->subscribers_mutex);
            std::erase_if(c->services, [](const auto& s) { return !s->active; });
            for (const auto& s : c->services)
                if (s->name == r.service) found = s;
        }
        if (!found) continue;
        if (r.right < found->least) {
            std::lock_guard lock(mutex_);
            engine_->deny(r);
            pending_ = true;
            continue;
        }
        std::vector<std::byte> bytes;
        {
            std::lock_guard lock(found->mutex);
            if (!found->active) continue;
            bytes = (*found)(r.origin, r.bytes);
        }
        std::lock_guard lock(mutex_);
        try {
            engine_->reply(r, bytes);
        } catch (const std::invalid_argument&) { // nobody else's node may be stopped by what it asks for
            log_later({0,
                       log_level::warning,
                       "answer_too_great",
                       "a service's answer cannot be sent",
                       {{"peer", to_string(r.origin)}, {"detail", r.service + ": " + std::to_string(bytes.size())}}});
        }
        pending_ = true;
    }
}

void node_core::log_later(log_line line) {
    if (options_.log && started_) lines_.push_back(std::move(line));
}

void node_core::log(log_line line) const {
    if (!options_.log) return;
    line.time = options_.wall();
    line.fields.insert(line.fields.begin(), {"node", options_.name.empty() ? to_string(id()) : options_.name});
    options_.log(line);
}

void node_core::log_events(const std::vector<event>& events,
                           const std::vector<std::shared_ptr<served_collection>>& all) const {
    for (const auto& e : events) {
        if (!options_.log || e.kind == event_kind::changed) continue;
        log(to_log_line(e, e.collection < all.size() ? all[e.collection]->name : std::string()));
    }
}

// ---- from the transport, within its poll ----

// Strangers make up as many keys as they like: past some, all others count as one.
void node_core::refused(std::string_view whom) {
    constexpr std::size_t most = 64;
    auto at = refusals_.find(whom);
    if (at == refusals_.end()) at = refusals_.emplace(refusals_.size() < most ? whom : "many", 0).first;
    if (std::has_single_bit(++at->second))
        log_later({0, log_level::warning, "refused", "a connection was refused", {{"detail", std::string(whom)}}});
}

// The engine hears of time before it hears of anything else: the thread may have slept for long.
void node_core::received(link_id link, std::span<const std::byte> frame) {
    engine_->tick(now());
    engine_->received(link, frame);
}

void node_core::connected(link_id link) {
    engine_->tick(now());
    engine_->connected(link, options_.transport->key_of(link));
}

void node_core::disconnected(link_id link) {
    engine_->tick(now());
    engine_->disconnected(link);
}

} // namespace joinery::detail
