// SPDX-License-Identifier: Apache-2.0
// A schedule from its beginning to its end.
#include "simulated_world.hpp"

#include <algorithm>

namespace joinery::simulation {

namespace {

constexpr time longest_convergence{60'000};

engine_options options_for(const schedule& s, testing::random_source& random) {
    engine_options o;
    o.timings = {.beacon = time(300),
                 .audit = time(1000),
                 .prune = time(400),
                 .forget_volatile = time(1'000'000),
                 .patience = time(20),
                 .pull_timeout = time(200),
                 .pull_backoff = time(50),
                 .max_backoff = time(1000),
                 .hello_retry = time(100),
                 .hello_grace = time(400),
                 .peer_timeout = time(1500),
                 .answer_life = time(1500)};
    if (!s.small_limits) return o;
    auto& l = o.limits;
    l.batch = 200 + random.below(400);
    l.max_frame = 1024 + random.below(1024);
    l.chunk = 64 + random.below(300);
    l.window = l.chunk * random.between(1, 4);
    l.buffer = 500 + random.below(2000);
    l.answers = random.between(1, 3);
    l.log_minimum = 200 + random.below(2000);
    return o;
}

} // namespace

world::world(const schedule& s, planted_bug b, bool trace)
    : plan(s), bug(b), tracing(trace), random(s.seed), network(random.next()), options(options_for(s, random)) {
    for (std::size_t c = 0; c < s.collections; ++c) {
        names.push_back(c == 0 ? "notes" : "plans");
        channels.push_back(channel_of(name_digest(names.back()), fingerprint<document>()));
    }
    options.random = [this] { return random.next(); };
    testing::random_source roles(s.seed + 1);
    for (std::size_t n = 0; n <= s.nodes; ++n) { // the last place is a clone's
        const auto level = random.chance(80)   ? durability::full
                           : random.chance(60) ? durability::relaxed
                                               : durability::none;
        auto& m = *machines.emplace_back(std::make_unique<machine>(*this, n, level));
        m.name = std::string(1, static_cast<char>('A' + n));
        m.exists = n < s.nodes;
        m.role = roles.chance(60) || n == 0 || !s.followers ? node_role::leader
                 : roles.chance(50)                         ? node_role::follower
                                                            : node_role::hub;
        if (m.exists && m.role != node_role::leader) count(m.role == node_role::hub ? "hubs" : "followers");
        m.skew = random.chance(20) ? static_cast<std::int64_t>(random.below(20)) * 3'600'000 - 36'000'000
                                   : static_cast<std::int64_t>(random.below(100));
        network.add(m.name);
    }
    make_links();
    if (!tracing) return;
    network.observe([this](frame_fate f, auto from, auto to, std::span<const std::byte> frame) {
        static constexpr const char* fates[] = {"sends",   "is delivered", "is lost",   "is blocked",
                                                "doubled", "reordered",    "corrupted", "dropped"};
        std::string what;
        if (const auto opened = open_frame(frame)) {
            message_reader reader(opened->body);
            joinery::message m;
            static constexpr const char* kinds[] = {
                "hello",    "update",     "beacon",           "pull",     "chunk",      "credit", "refuse",
                "relaying", "membership", "acknowledgements", "presence", "comparison", "digests"};
            for (auto more = reader.next(m); more && *more; more = reader.next(m)) {
                what += std::string(" ") + kinds[m.index()];
                if (const auto* u = std::get_if<update>(&m))
                    if (const auto dots = edit_dots(u->delta))
                        what += " " + joinery::to_string(dot{dots->replica, dots->first});
            }
        }
        this->trace(machines[from].get(), "-> ", machines[to]->name, " ", fates[static_cast<std::size_t>(f)], ":",
                    what);
    });
}

std::size_t world::neighbours(std::size_t place) const {
    std::size_t n = 0;
    for (std::size_t other = 0; other < plan.nodes; ++other) n += other != place && network.linked(place, other);
    return n;
}

void world::make_links() {
    const std::size_t n = plan.nodes;
    const auto link = [&](std::size_t a, std::size_t b) {
        if (a == b || network.linked(a, b)) return;
        if (random.chance(50)) std::swap(a, b);
        network.dial(a, b);
        if (plan.topology % 2 == 0) network.dial(b, a);
    };
    for (std::size_t a = 0; a < n; ++a) {
        switch (plan.topology / 2) {
        case 0: // a line
            if (a + 1 < n) link(a, a + 1);
            break;
        case 1: link(a, (a + 1) % n); break; // a ring
        case 2: link(a, 0); break;           // a star
        default:                             // everybody with everybody
            for (std::size_t b = a + 1; b < n; ++b) link(a, b);
        }
        link(a, n); // a clone knows everybody
    }
    const link_conditions usual{.delay = time(1 + random.below(10)), .jitter = time(random.below(10))};
    network.set_all(usual);
    machines.back()->name += "'"; // the clone
}

void world::run() {
    try {
        for (auto& m : machines)
            if (m->exists) m->start();
        for (const auto& s : plan.steps) network.schedule(s.at, [this, &s] { do_step(s); });
        const time end = plan.steps.empty() ? time(0) : plan.steps.back().at;
        network.run_until(end + time(500));
        for (int i = 0; !guarded.empty() && i < 200; ++i) network.run_until(network.now() + time(50));
        heal();
        const time healed = network.now();
        while (!converged()) {
            if (network.now() - healed > longest_convergence) {
                std::string all;
                for (const auto& m : machines)
                    for (collection_id c = 0; m->engine_ && c < names.size(); ++c)
                        all += "\n    " + m->name + " " + names[c] + " " + joinery::to_string(m->engine_->version(c)) +
                               (m->engine_->status(c).held ? " held" : "") +
                               (m->engine_->writable() ? "" : " conflict");
                fail(nullptr, "the nodes have not become equal: " + all);
            }
            network.run_until(network.now() + time(50));
        }
        result.converged_after = network.now() - healed;
        check_end();
        network.run_until(network.now() + time(1600)); // an audit
        check_end();
        for (auto& m : machines)
            if (m->running()) m->take_counters();
    } catch (const violation& v) {
        result.violation = v.what();
    } catch (const std::exception& e) {
        result.violation = std::string("an exception: ") + e.what();
    }
    const auto& s = network.stats();
    const std::pair<const char*, std::uint64_t> counts[] = {
        {"frames sent", s.sent},           {"frames delivered", s.delivered},   {"frames lost", s.lost},
        {"frames blocked", s.blocked},     {"frames duplicated", s.duplicated}, {"frames reordered", s.reordered},
        {"frames corrupted", s.corrupted}, {"connections", s.connections},      {"disconnections", s.disconnections},
        {"edits", result.edits},           {"faults", result.faults},           {"schedules", 1},
    };
    for (const auto& [what, n] : counts) count(what, n);
    if (!result.violation.empty()) trace(nullptr, "VIOLATION ", result.violation);
}

void world::heal() {
    trace(nullptr, "everything is healed");
    network.heal();
    for (auto& m : machines) {
        if (!m->exists) continue;
        m->disk.crash_at(0);
        m->disk.fail_at(0);
        if (network.paused(m->place)) network.resume(m->place);
        if (!m->running()) m->start();
    }
}

bool world::converged() const {
    const machine* first = nullptr;
    for (const auto& m : machines) {
        if (!m->exists) continue;
        if (!m->running() || !m->engine_->writable() || m->held()) return false;
        if (!first) first = m.get();
        for (collection_id c = 0; c < names.size(); ++c)
            if (m->engine_->version(c) != first->engine_->version(c)) return false;
    }
    return true;
}

void world::check_end() {
    const machine* first = nullptr;
    for (auto& m : machines) {
        if (!m->running()) continue;
        m->check_closed();
        for (collection_id c = 0; c < names.size(); ++c) {
            const auto& state = m->documents[c]->get().state();
            if (m->engine_->version(c) != state.version()) fail(m.get(), "the engine's version is not the state's");
            if (!first) {
                m->compare_with_specification(c);
                for (const auto& e : edits)
                    if (e.collection == c && e.acknowledged && !e.excused && !e.gone &&
                        !state.context().contains(e.dots))
                        fail(m.get(),
                             "an acknowledged edit is lost: " + joinery::to_string(dot{e.dots.replica, e.dots.first}));
                continue;
            }
            const auto& other = first->documents[c]->get().state();
            if (!(state == other) || state.digest() != other.digest())
                fail(m.get(), "equal versions of " + names[c] + ", but not the same as " + first->name + ":\n    " +
                                  show(*state) + "\n    " + show(*other));
            if (state->text.str() != other->text.str()) fail(m.get(), "the texts differ");
        }
        if (!first) first = m.get();
    }
}

outcome run(const schedule& s, planted_bug bug, bool trace) {
    world w(s, bug, trace);
    w.run();
    return std::move(w.result);
}

} // namespace joinery::simulation
