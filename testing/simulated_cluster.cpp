// SPDX-License-Identifier: Apache-2.0
// A schedule from its beginning to its end, and everything that goes wrong in it.
#include "simulated_cluster.hpp"

#include <joinery/frame_story.hpp>

#include <algorithm>

namespace joinery::testing::detail {

std::string_view name(happening h) {
    static constexpr std::array<std::string_view, static_cast<std::size_t>(happening::count_)> names = {
        "step",
        "loss",
        "duplication",
        "reordering",
        "corruption",
        "delay",
        "partition",
        "one-way partition",
        "link cut",
        "crash",
        "crash in a storage step",
        "storage failure",
        "clean stop",
        "freeze",
        "clock jump",
        "storage lost",
    };
    return names[static_cast<std::size_t>(h)];
}

cluster::cluster(const schedule& s, simulated_application& a, bool tracing)
    : plan(s), settings(*s.options), app(a), random(s.seed), network(random.next()), tracing_(tracing) {
    options.timings = {.beacon = time(300),
                       .audit = time(1000),
                       .prune = time(400),
                       .tidy = time(2000),
                       .forget_volatile = time(1'000'000),
                       .patience = time(20),
                       .pull_timeout = time(200),
                       .pull_backoff = time(50),
                       .max_backoff = time(1000),
                       .hello_retry = time(100),
                       .hello_grace = time(400),
                       .peer_timeout = time(1500),
                       .answer_life = time(1500),
                       .request_retry = time(100)};
    options.random = [this] { return random.next(); };
    for (std::size_t n = 0; n < s.leaders; ++n) {
        auto& m = machines.emplace_back(*this, n, settings.storage);
        network.add(m.name());
        if (!s.skewed) continue;
        m.skew = random.chance(20) ? static_cast<std::int64_t>(random.below(20)) * 3'600'000 - 36'000'000
                                   : static_cast<std::int64_t>(random.below(100));
        if (m.skew > 1000 || m.skew < -1000) count("clock off by hours");
    }
    link_all();
    if (!tracing_) return;
    network.observe([this](frame_fate f, auto from, auto to, std::span<const std::byte> frame) {
        static constexpr const char* fates[] = {nullptr,      "arrives", "is lost",      "is blocked",
                                                "is doubled", "is late", "is corrupted", "finds nobody"};
        const char* fate = fates[static_cast<std::size_t>(f)];
        if (!fate) return;
        const auto what = story_of(
            frame, [this](dot d) { return name_of(d); }, true);
        if (!what.empty()) tell(&machines[from], "-> ", machines[to].name(), ": ", what, " ", fate);
    });
}

// Everybody with everybody, or a chain, or a star.
void cluster::link_all() {
    const bool both_dial = random.chance(50);
    const auto shape = random.below(4);
    for (std::size_t a = 0; a < plan.leaders; ++a)
        for (std::size_t b = a + 1; b < plan.leaders; ++b) {
            if ((shape == 0 && b != a + 1) || (shape == 1 && a != 0)) continue;
            network.dial(a, b);
            if (both_dial) network.dial(b, a);
        }
    network.set_all({.delay = time(1 + random.below(10)), .jitter = time(random.below(10))});
}

void cluster::run() {
    app.begin();
    for (auto& m : machines) m.start();
    for (const auto& p : plan.all)
        if (p.what != happening::step) network.schedule(p.at, [this, &p] { do_fault(p); });
    pass(settings.length + time(500));
    if (found) return;
    heal();
    const auto healed = network.now();
    while (!found && !converged()) {
        pass(network.now() + time(20));
        if (network.now() - healed <= settings.patience || found) continue;
        std::string all;
        for (const auto& m : machines)
            if (m.running())
                all +=
                    "\n    " + m.name() + " has " + name_of(m.engine_->version(0)) + (m.held() ? ", holds back" : "");
        fail(nullptr, "all leaders become equal",
             "they have not, " + std::to_string(settings.patience.count()) + " ms after the last fault" + all);
    }
    converged_after = network.now() - healed;
    if (!found) check_end();
    const auto& s = network.stats();
    count("frames sent", s.sent);
    count("frames lost", s.lost);
    count("frames blocked", s.blocked);
    count("frames duplicated", s.duplicated);
    count("frames reordered", s.reordered);
    count("frames corrupted", s.corrupted);
}

void cluster::pass(time until) {
    while (!found && go_on(until)) {
    }
    if (!found) network.run_until(until);
}

bool cluster::go_on(time until) {
    while (next_ < plan.all.size() && plan.all[next_].what != happening::step) ++next_;
    const auto due = next_ < plan.all.size() ? plan.all[next_].at : time::max();
    if (network.step(std::min(until, due))) return true;
    if (due > until) return false;
    network.run_until(due);
    take_step(plan.all[next_++]);
    return true;
}

// By the machine that was drawn, or the next one that can: a user waits for one thing at a time.
void cluster::take_step(const planned& p) {
    for (std::size_t i = 0; i < machines.size(); ++i) {
        auto& m = machines[(p.who + i) % machines.size()];
        if (m.running() && !m.busy() && !network.paused(m.place)) return m.step(p.draw);
    }
}

void cluster::heal() {
    tell(nullptr, "all faults are over");
    network.heal();
    for (auto& m : machines) {
        m.disk.crash_at(0);
        m.disk.fail_at(0);
        if (network.paused(m.place)) network.resume(m.place);
        m.start();
    }
}

bool cluster::converged() const {
    return std::all_of(machines.begin(), machines.end(), [&](const machine& m) {
        return m.running() && m.engine_->writable() && !m.held() &&
               m.engine_->version(0) == machines.front().engine_->version(0);
    });
}

void cluster::check_end() {
    auto& first = machines.front();
    const auto& all = first.process_->state();
    for (auto& m : machines) {
        const auto& state = m.process_->state();
        if (state.context() != all.context())
            return fail(&m, "all leaders become equal", "it has seen other edits than " + first.name());
        if (state.digest() != all.digest()) {
            std::string what = "it is not as " + first.name();
            if (const auto here = m.process_->view(); !here.empty())
                what.append(": ").append(here).append(", and there ").append(first.process_->view());
            return fail(&m, "leaders at one version are equal", what);
        }
        if (const auto p = m.process_->check()) return fail(&m, "check", *p);
    }
    for (const auto& w : writes)
        if (w.acknowledged && !w.excused && !all.context().contains(w.dots))
            return fail(&machines[w.place], "no acknowledged write is lost",
                        name_of(dot{w.dots.replica, w.dots.first}) + " is");
    std::vector<bool> kept;
    for (const auto& written : told)
        kept.push_back(std::none_of(written.begin(), written.end(), [](const auto* w) { return w->disk_lost; }));
    if (const auto p = app.check_end(*first.process_, kept)) fail(nullptr, "check_end", *p);
}

// ---- faults ----

void cluster::do_fault(const planned& p) {
    if (found) return;
    random_source draw(p.draw);
    auto& m = machines[p.who % machines.size()];
    const auto happens = [&](const std::string& how, auto&&... parts) {
        count(detail::name(p.what));
        tell(&m, how, parts...);
    };
    switch (p.what) {
    case happening::loss:
    case happening::duplication:
    case happening::reordering:
    case happening::corruption:
    case happening::delay: return bad_network(p.what, draw);
    case happening::partition: return partition(false, draw);
    case happening::one_way_partition: return partition(true, draw);
    case happening::link_cut: {
        const auto other = draw.below(machines.size());
        if (!network.linked(m.place, other)) return;
        happens("its link to ", machines[other].name(), " is cut");
        network.cut(m.place, other);
        return network.schedule(network.now() + time(50 + draw.below(1500)),
                                [this, a = m.place, other] { network.restore(a, other); });
    }
    case happening::clock_jump:
        m.skew += static_cast<std::int64_t>(draw.below(7200)) * 1000 - 3'600'000;
        return happens("its clock jumps, and is off by ", std::to_string(m.skew), " ms");
    default: break;
    }
    if (!m.running() || network.paused(m.place)) return;
    const bool keeps = m.disk.level() != durability::none;
    switch (p.what) {
    case happening::freeze:
        happens("freezes");
        network.pause(m.place);
        return network.schedule(network.now() + time(20 + draw.below(3000)), [this, &m] {
            if (!network.paused(m.place)) return;
            tell(&m, "goes on");
            network.resume(m.place);
        });
    case happening::crash: {
        const bool notice = draw.chance(60);
        const bool power = m.disk.level() == durability::relaxed && draw.chance(50) && can_lose(m);
        if (!keeps && !can_lose(m)) return;
        count(detail::name(p.what));
        if (power) count("power cut");
        m.die(power ? "loses its power" : "crashes", notice, power);
        return m.start_later(draw.next());
    }
    case happening::crash_in_step:
        if (!keeps) return;
        tell(&m, "is about to die in a storage step");
        return m.disk.crash_at(draw.between(1, 12), draw.below(3));
    case happening::storage_failure:
        if (!keeps) return;
        tell(&m, "its storage is about to fail");
        return m.disk.fail_at(draw.between(1, 6));
    case happening::clean_stop:
        if (!keeps && !can_lose(m)) return;
        count(detail::name(p.what));
        m.stop_cleanly();
        return m.start_later(draw.next());
    case happening::storage_loss:
        if (!keeps || !can_lose(m)) return;
        count(detail::name(p.what));
        m.die("crashes, and its storage is lost", draw.chance(60));
        m.lose_storage();
        return m.start_later(draw.next());
    default: return;
    }
}

// The group goes on with somebody: if all whom it can reach lost theirs too, they would begin a second one, and groups
// that have pruned apart must not meet (operations.md).
bool cluster::can_lose(const machine& m) const {
    return !somebody_is_new() && std::any_of(machines.begin(), machines.end(), [&](const machine& other) {
        return &other != &m && other.running() && !network.paused(other.place) && !other.held() &&
               network.linked(m.place, other.place);
    });
}

void cluster::bad_network(happening what, random_source& draw) {
    link_conditions c{.delay = time(1 + draw.below(20)), .jitter = time(draw.below(40))};
    const auto often = static_cast<unsigned>(draw.between(50, 500));
    if (what == happening::loss) c.loss = often;
    if (what == happening::duplication) c.duplication = often;
    if (what == happening::reordering) c.reordering = often;
    if (what == happening::corruption) c.corruption = often;
    if (what == happening::delay) c.delay = time(often);
    count(detail::name(what));
    tell(nullptr, "the network: ", detail::name(what), " of ", std::to_string(often),
         what == happening::delay ? " ms" : " in 1000");
    std::vector<std::pair<std::size_t, std::size_t>> where;
    const bool everywhere = draw.chance(50);
    for (std::size_t a = 0; a < machines.size(); ++a)
        for (std::size_t b = 0; b < machines.size(); ++b)
            if (a != b && (everywhere || draw.chance(40))) where.emplace_back(a, b);
    for (auto [a, b] : where) network.set(a, b, c);
    const link_conditions good{.delay = time(1 + draw.below(10)), .jitter = time(draw.below(10))};
    network.schedule(network.now() + time(200 + draw.below(2500)), [this, where, good] {
        for (auto [a, b] : where) network.set(a, b, good);
    });
}

void cluster::partition(bool one_way, random_source& draw) {
    std::vector<bool> left(machines.size());
    const auto one = draw.below(left.size()), other = (one + 1 + draw.below(left.size() - 1)) % left.size();
    for (std::size_t n = 0; n < left.size(); ++n) left[n] = n == one || (n != other && draw.chance(30));
    std::vector<std::pair<std::size_t, std::size_t>> where;
    std::string sides[2];
    for (std::size_t a = 0; a < left.size(); ++a) {
        sides[left[a]] += machines[a].name();
        for (std::size_t b = 0; b < left.size(); ++b)
            if (left[a] != left[b] && (!one_way || left[a])) where.emplace_back(a, b);
    }
    if (where.empty()) return;
    count(detail::name(one_way ? happening::one_way_partition : happening::partition));
    tell(nullptr, one_way ? "nothing goes from " : "partition of ", sides[1], one_way ? " to " : " and ", sides[0]);
    for (auto [a, b] : where) network.block(a, b);
    network.schedule(network.now() + time(100 + draw.below(2500)), [this, where] {
        tell(nullptr, "partition over");
        for (auto [a, b] : where) network.unblock(a, b);
    });
}

// ---- what is known ----

bool cluster::somebody_is_new() const {
    return std::any_of(machines.begin(), machines.end(), [](const machine& m) { return m.is_new; });
}

bool cluster::holds(const machine& m, const write_record& w) const {
    if (!w.published) return m.lineage == w.lineage;
    return m.durable.contains({w.dots.replica, w.dots.last});
}

void cluster::excuse(const machine& m, bool disk_lost) {
    for (auto& w : writes) {
        if (!w.acknowledged || w.disk_lost || !holds(m, w)) continue;
        if (std::any_of(machines.begin(), machines.end(),
                        [&](const machine& other) { return &other != &m && holds(other, w); }))
            continue;
        if (!w.excused) count("writes that may be lost with their last storage");
        w.excused = true;
        w.disk_lost = disk_lost;
    }
}

void cluster::fail(const machine* m, std::string_view law, const std::string& what) {
    if (found) return;
    tell(m, "FAILS: ", what);
    found = {std::string(law), (m ? m->name() + ": " : "") + what};
}

void cluster::count(std::string_view what, std::uint64_t n) {
    if (const auto at = counts.find(what); at != counts.end())
        at->second += n;
    else if (n > 0)
        counts.emplace(what, n);
}

void cluster::named(replica_id id, const machine& m) {
    std::string called = m.name();
    while (std::any_of(names_.begin(), names_.end(), [&](const auto& n) { return n.second == called; })) called += '\'';
    const bool first = called == m.name();
    if (names_.emplace(id, called).second && !first) tell(&m, "has a new id; what it writes is ", called, "1, ...");
}

std::string cluster::name_of(dot d) const {
    const auto at = names_.find(d.replica);
    return (at == names_.end() ? to_string(d.replica) + ":" : at->second) + std::to_string(d.seq);
}

std::string cluster::name_of(const version_vector& v) const {
    std::string out;
    for (const auto& [replica, seq] : v) out += (out.empty() ? "" : " ") + name_of({replica, seq});
    return "{" + out + "}";
}

void cluster::write_down(const machine* m, const std::string& text) {
    auto at = std::to_string(network.now().count());
    at.insert(0, at.size() < 6 ? 6 - at.size() : 0, ' ');
    story.push_back(at + "  " + (m ? m->name() : std::string("-")) + "  " + text);
}

} // namespace joinery::testing::detail
