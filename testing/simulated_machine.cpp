// SPDX-License-Identifier: Apache-2.0
// A machine of a simulated cluster, and what its application asks of it.
#include "simulated_cluster.hpp"

#include <algorithm>

namespace joinery::testing::detail {

machine::machine(cluster& c, std::size_t p, durability level)
    : cluster_(c), place(p), disk(level), lineage(c.next_lineage++), name_(1, static_cast<char>('A' + p)) {}

// ---- the process ----

void machine::start() {
    if (engine_) return;
    const bool first = id_ == replica_id{};
    try {
        storage_ = disk.open();
        process_ = cluster_.app.open(*this);
        auto o = cluster_.options;
        o.name = name_;
        o.expected_peers = 0;
        for (std::size_t n = 0; n < cluster_.machines.size(); ++n)
            o.expected_peers += n != place && cluster_.network.linked(place, n);
        engine_.emplace(o, *storage_, *this);
        engine_->tick(cluster_.network.now());
        engine_->attach("main", process_->state());
    } catch (const storage_crash&) {
        cluster_.count(detail::name(happening::crash_in_step));
        die("dies while it starts", true);
        return start_later(cluster_.random.next());
    } catch (const storage_error& e) {
        cluster_.count(detail::name(happening::storage_failure));
        die(std::string("does not start: ") + e.what(), true);
        return start_later(cluster_.random.next());
    }
    checked_ = {};
    cluster_.tell(this, first ? "starts" : "starts again");
    if (engine_->id() != id_) {
        // What a storage gave new names to on the way is not followed.
        for (auto& w : cluster_.writes)
            if (!first && w.place == place && !w.published && w.lineage == lineage) w.excused = true;
        id_ = engine_->id();
        cluster_.named(id_, *this);
    }
    durable = process_->state().version();
    cluster_.network.start(place, *this);
    input([] {});
    if (running()) run_application([&] { process_->start(); });
}

void machine::start_later(std::uint64_t draw) {
    cluster_.network.schedule(cluster_.network.now() + time(1 + draw % (draw % 3 == 0 ? 2000 : 300)), [this] {
        if (doomed_)
            start_later(1);
        else
            start();
    });
}

void machine::die(const std::string& why, bool notice, bool power) {
    cluster_.tell(this, why);
    doomed_ = true;
    power_ = power;
    cluster_.network.stop(place, notice);
    if (power || disk.level() == durability::none) {
        cluster_.excuse(*this, false);
        is_new = true;
        durable = {};
        if (!power) lineage = cluster_.next_lineage++;
    }
    if (applications_ == 0) bury();
}

void machine::bury() {
    engine_.reset();
    subscribers_.clear();
    services_.clear();
    asked_.clear();
    process_.reset();
    storage_.reset();
    changes_.clear();
    power_ ? disk.power_cut() : disk.crash();
    failure_.clear();
    doomed_ = power_ = false;
}

void machine::stop_cleanly() {
    try {
        engine_->close();
        flushed();
    } catch (const storage_crash&) {
    } catch (const storage_error&) {
    }
    die("stops in good order", true);
}

void machine::lose_storage() {
    cluster_.excuse(*this, true);
    disk = memory_disk(disk.level());
    lineage = cluster_.next_lineage++;
    durable = {};
    is_new = true;
}

// Runs f on the engine, then flushes; a storage that dies or fails ends the process.
template <class F> void machine::input(F&& f) {
    if (!running()) return;
    try {
        engine_->tick(cluster_.network.now());
        f();
        engine_->flush();
        flushed();
    } catch (const storage_crash&) {
        cluster_.count(detail::name(happening::crash_in_step));
        die("dies in the middle of a storage step", true);
        return start_later(cluster_.random.next());
    } catch (const storage_error& e) {
        cluster_.count(detail::name(happening::storage_failure));
        failure_ = e.what();
        die("stops: " + failure_, true);
        return start_later(cluster_.random.next());
    }
    look();
    deliver();
}

// After a flush that did not throw: everything that was made here is durable.
void machine::flushed() {
    if (engine_->id() != id_) renamed_to(engine_->id());
    durable = engine_->version(0);
    for (auto& r : engine_->take_requests()) asked_.push_back(std::move(r));
    const bool waits = held();
    for (auto w = cluster_.writes.rbegin(); w != cluster_.writes.rend(); ++w) {
        if (w->place != place || w->lineage != lineage || w->published) continue;
        if (!w->acknowledged && !process_->state().context().contains(w->dots)) continue; // of an earlier process
        if (!w->acknowledged) cluster_.issued.add(w->dots);
        w->acknowledged = true;
        w->published = !waits;
    }
    is_new = is_new && waits;
    cluster_.network.set_alarm(place, std::max(engine_->next_deadline(), cluster_.network.now() + time(1)));
}

void machine::renamed_to(replica_id now) {
    for (auto& w : cluster_.writes) {
        if (w.place != place || w.lineage != lineage || w.published || w.dots.replica != id_) continue;
        const dot first = engine_->renamed(0, {id_, w.dots.first});
        const dot last = engine_->renamed(0, {id_, w.dots.last});
        if (first.replica == now) w.dots = {now, first.seq, last.seq};
    }
    id_ = now;
    cluster_.named(id_, *this);
}

// The application's own check, of whatever its users could read now.
void machine::look() {
    auto now = process_->state().version();
    if (now == checked_) return;
    checked_ = std::move(now);
    if (const auto p = process_->check()) cluster_.fail(this, "check", *p);
}

void machine::deliver() {
    if (std::exchange(delivering_, true)) return;
    const auto first_of = [](auto& queue) {
        auto x = std::move(queue.front());
        queue.erase(queue.begin());
        return x;
    };
    while (running() && !(changes_.empty() && asked_.empty())) {
        if (!changes_.empty())
            tell(first_of(changes_));
        else
            answer(first_of(asked_));
    }
    delivering_ = false;
}

void machine::tell(const event& e) {
    const auto all = subscribers_;
    change told{e.local, e.remote, e.presence, {}};
    const change bare = told;
    if (e.remote) {
        std::lock_guard lock(process_->state().mutex());
        told.noted = process_->state().take_changes();
    }
    for (const auto& s : all) {
        if (!s->active || !running()) continue;
        in_subscriber_ = true;
        run_application([&] { (*s)(s->details ? told : bare); });
        in_subscriber_ = false;
    }
    std::erase_if(subscribers_, [](const auto& s) { return !s->active; });
}

void machine::answer(const asked_request& r) {
    std::erase_if(services_, [](const auto& s) { return !s->active; });
    const auto s =
        std::find_if(services_.rbegin(), services_.rend(), [&](const auto& x) { return x->name == r.service; });
    if (s == services_.rend()) return;
    std::optional<std::vector<std::byte>> bytes;
    in_subscriber_ = true;
    run_application([&, call = *s] { bytes = (*call)(r.origin, r.bytes); });
    in_subscriber_ = false;
    if (!bytes) return;
    cluster_.count("requests answered");
    input([&] { engine_->reply(r, *bytes); });
}

// ---- the application ----

template <class F> void machine::run_application(F&& f) {
    ++applications_;
    const auto refused = [&](const std::exception& e) {
        cluster_.count("refusals of the leader");
        cluster_.tell(this, "is refused: ", e.what());
    };
    try {
        f();
    } catch (const process_ended&) {
    } catch (const identity_conflict& e) {
        refused(e);
    } catch (const node_closed& e) {
        refused(e);
    } catch (const std::exception& e) {
        cluster_.fail(this, "nothing escapes from the application", e.what());
    }
    if (--applications_ == 0 && doomed_) bury();
}

void machine::step(std::uint64_t draw) {
    std::vector<write_record*> written;
    auto* const outer = std::exchange(cluster_.writes_of_step, &written); // of a machine that waits in its step
    run_application([&] {
        const auto said = process_->step(draw);
        cluster_.count("steps");
        if (!said) return;
        cluster_.count("things told");
        cluster_.told.push_back(written);
        cluster_.tell(this, "tells its user: ", *said);
    });
    cluster_.writes_of_step = outer;
    if (!running()) return;
    if (const auto shown = process_->view(); !shown.empty()) cluster_.tell(this, "shows: ", shown);
}

void machine::still_alive() const {
    if (cluster_.found || (doomed_ && failure_.empty())) throw process_ended{};
}

void machine::admit() {
    still_alive();
    if (doomed_) throw node_closed("the node has stopped: " + failure_);
    if (!engine_->writable()) throw identity_conflict("write \"main\": another live node has this node's id");
}

write_result machine::settle(const dot_range& dots, const write_options& o) {
    if (cluster_.issued.intersects(dots))
        cluster_.fail(this, "no dot is issued twice", cluster_.name_of(dot{dots.replica, dots.first}) + " is");
    auto& w = cluster_.writes.emplace_back();
    w.dots = dots;
    w.place = place;
    w.lineage = lineage;
    if (cluster_.writes_of_step && !in_subscriber_) cluster_.writes_of_step->push_back(&w);
    cluster_.count("writes");
    cluster_.tell(this, "writes ", cluster_.name_of({dots.replica, dots.first}),
                  dots.first == dots.last ? "" : "-" + std::to_string(dots.last));
    input([] {});
    admit();
    if (!w.published) cluster_.count("writes held back after a start");
    write_result result;
    result.dots = w.dots;
    if (o.acknowledgements == 0 || in_subscriber_) return result;
    std::vector<replica_id> who;
    result.complete = wait(
        [&] {
            who = engine_->acknowledged_by(0, {w.dots.replica, w.dots.last}, o.level, o.scope);
            return who.size() >= o.acknowledgements;
        },
        o.timeout);
    result.dots = w.dots;
    result.acknowledged = who.size();
    if (result.complete) cluster_.count("writes that others acknowledged");
    if (!result.complete) result.missing = engine_->others(0, who, o.scope);
    return result;
}

joinery::detail::consulted machine::consult(const read_options& o) {
    joinery::detail::consulted result;
    if (o.answers == 0) return result;
    std::uint64_t round = 0;
    input([&] { round = engine_->ask(); });
    std::vector<replica_id> who;
    result.complete = wait(
        [&] {
            who = engine_->answered(0, round, o.scope);
            return who.size() >= o.answers;
        },
        o.timeout);
    result.answered = who.size();
    if (!result.complete) result.missing = engine_->others(0, who, o.scope);
    return result;
}

bool machine::wait(const std::function<bool()>& here, std::chrono::milliseconds timeout) {
    if (in_callable) throw std::logic_error("a callable waits");
    if (in_subscriber_) throw std::logic_error("a subscriber waits, and so nothing can arrive");
    auto& network = cluster_.network;
    const auto deadline = network.now() + joinery::detail::waiting_time(timeout);
    const auto frozen = [&] { return running() && network.paused(place); };
    for (;;) {
        still_alive();
        if (!frozen()) {
            if (here()) return true;
            if (doomed_ || network.now() >= deadline) return false;
        }
        const auto until = frozen() ? network.now() + time(50) : deadline;
        if (!cluster_.go_on(until)) network.run_until(until);
    }
}

std::vector<request_result> machine::request(const std::string& service, const std::vector<outgoing_request>& to,
                                             std::chrono::milliseconds timeout) {
    still_alive();
    if (in_subscriber_) throw std::logic_error("a subscriber waits, and so nothing can arrive");
    if (doomed_) throw node_closed("the node has stopped: " + failure_);
    auto& network = cluster_.network;
    const auto deadline = network.now() + joinery::detail::waiting_time(timeout);
    joinery::detail::pending_requests asked(*engine_, 0, service, to);
    for (;;) {
        input([&] { asked.send(); });
        const auto left = std::max(deadline - network.now(), time(0));
        if (wait([&] { return asked.answered(); }, std::min(left, cluster_.options.timings.request_retry)) || doomed_ ||
            network.now() >= deadline)
            return asked.take();
    }
}

std::chrono::milliseconds machine::now() const { return cluster_.network.now(); }

void machine::ask() {
    input([&] { engine_->ask(); });
}

node_status machine::status() const {
    still_alive();
    node_status s;
    s.id = id_;
    s.name = name_;
    s.level = disk.level();
    s.identity_conflict = !engine_->writable();
    s.failure = failure_;
    s.peers = engine_->peers();
    s.collections.push_back(engine_->status(0));
    s.clock_rejections = process_->state().clock().rejected();
    s.greatest_skew = process_->state().clock().greatest_skew();
    engine_->counters().for_each([&](std::string_view what, std::uint64_t n) { s.counters.emplace(what, n); });
    return s;
}

wall_clock machine::wall() {
    return [this] { return static_cast<std::uint64_t>(1'700'000'000'000 + cluster_.network.now().count() + skew); };
}

// ---- the network and the engine ----

void machine::received(link_id link, std::span<const std::byte> frame) {
    input([&] { engine_->received(link, frame); });
}
void machine::connected(link_id link) {
    input([&] { engine_->connected(link); });
}
void machine::disconnected(link_id link) {
    input([&] { engine_->disconnected(link); });
}
void machine::alarm() {
    input([] {});
}
void machine::broadcast(std::span<const std::byte> frame) { cluster_.network.broadcast(place, frame); }
bool machine::send(link_id link, std::span<const std::byte> frame) { return cluster_.network.send(place, link, frame); }

void machine::notify(const event& e) {
    switch (e.kind) {
    case event_kind::changed: changes_.push_back(e); return;
    case event_kind::divergence:
        return cluster_.fail(this, "leaders at one version are equal", "the audit finds a difference: " + e.text);
    case event_kind::lost_edits: return cluster_.fail(this, "no acknowledged write is lost", e.text);
    case event_kind::incompatible_peer: return cluster_.fail(this, "all leaders speak with each other", e.text);
    case event_kind::new_id:
    case event_kind::identity_conflict:
    case event_kind::evicted: return cluster_.tell(this, "event: ", to_string(e.kind));
    default: return;
    }
}

} // namespace joinery::testing::detail
