// SPDX-License-Identifier: Apache-2.0
// A schedule from its beginning to its end.
#include "simulated_world.hpp"

#include <joinery/frame_story.hpp>

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
    if (s.forgets) o.timings.forget_volatile = time(800 + random.below(800));
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
        const bool has_text = !s.ledger || c + 1 < s.collections;
        channels.push_back(
            channel_of(name_digest(names.back()), has_text ? fingerprint<document>() : fingerprint<ledger>()));
    }
    options.random = [this] { return random.next(); };
    testing::random_source roles(s.seed + 1), disks(s.seed + 2);
    for (std::size_t n = 0; n <= s.nodes; ++n) { // the last place is a clone's
        const auto level = random.chance(80)   ? durability::full
                           : random.chance(60) ? durability::relaxed
                                               : durability::none;
        const bool sqlite = s.sqlite && sqlite_is_there && level != durability::none && disks.chance(70);
        auto& m = *machines.emplace_back(std::make_unique<machine>(
            *this, n, sqlite ? disk_of_sqlite(level, disks.next(), result.counts) : disk_in_memory(level)));
        m.name = std::string(1, static_cast<char>('A' + n));
        m.exists = n < s.nodes;
        if (s.partial && n + 1 == s.nodes) {
            m.opens = 1;
            count("nodes with some collections only");
        }
        m.role = roles.chance(60) || n == 0 || !s.followers ? node_role::leader
                 : roles.chance(50)                         ? node_role::follower
                                                            : node_role::hub;
        if (m.exists && sqlite) count("nodes on SQLite");
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
        const auto what = testing::story_of(frame, [](dot d) { return joinery::to_string(d); });
        this->trace(machines[from].get(), "-> ", machines[to]->name, " ", fates[static_cast<std::size_t>(f)], ": ",
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
        case 5:                              // a tree
        case 6:                              // any graph
            if (a > 0) link(a, random.below(a));
            for (std::size_t b = 0; b < a && plan.topology / 2 == 6; ++b)
                if (random.chance(30)) link(a, b);
            break;
        default: // everybody with everybody
            for (std::size_t b = a + 1; b < n; ++b) link(a, b);
        }
        link(a, n); // a clone knows everybody
    }
    const link_conditions usual{.delay = time(1 + random.below(10)), .jitter = time(random.below(10))};
    network.set_all(usual);
    machines.back()->name += "'"; // the clone
    count(shape());
}

// What it is, however it was drawn: small graphs are of several kinds.
std::string_view world::shape() const {
    std::size_t links = 0, most = 0;
    for (std::size_t a = 0; a < plan.nodes; ++a) {
        links += neighbours(a);
        most = std::max(most, neighbours(a));
    }
    links /= 2;
    if (plan.nodes == 2) return "topology: pair";
    if (links + 1 == plan.nodes)
        return most == 2 ? "topology: line" : most + 1 == plan.nodes ? "topology: star" : "topology: tree";
    if (most == 2) return "topology: ring";
    return links == plan.nodes * (plan.nodes - 1) / 2 ? "topology: complete" : "topology: any graph";
}

void world::run() {
    try {
        for (auto& m : machines)
            if (m->exists && !(plan.late && m->place + 1 == plan.nodes)) m->start();
        for (const auto& s : plan.steps) network.schedule(s.at, [this, &s] { do_step(s); });
        const time end = plan.steps.empty() ? time(0) : plan.steps.back().at;
        network.run_until(end + time(500));
        for (int i = 0; !guarded.empty() && i < 200; ++i) network.run_until(network.now() + time(50));
        heal();
        const time healed = network.now();
        wait_until(
            longest_convergence, [this] { return converged(); },
            [this] {
                std::string all;
                for (const auto& m : machines)
                    for (collection_id c = 0; m->engine_ && c < m->opens; ++c)
                        all += "\n    " + m->name + " " + names[c] + " " + joinery::to_string(m->engine_->version(c)) +
                               (m->engine_->status(c).held ? " held" : "") +
                               (m->engine_->writable() ? "" : " conflict");
                return "the nodes have not become equal: " + all;
            });
        result.converged_after = network.now() - healed;
        check_end();
        network.run_until(network.now() + time(1600)); // an audit
        check_end();
        wait_until(
            time(10'000), [this] { return presence_agreed(); },
            [] { return "not everybody shows what the others say of themselves"; });
        if (plan.goes_bad) go_bad();
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
    join_parts();
    for (auto& m : machines) {
        if (!m->exists) continue;
        m->disk->crash_at(0);
        m->disk->fail_at(0);
        if (network.paused(m->place)) network.resume(m->place);
        if (plan.late && m->place + 1 == plan.nodes && m->id == replica_id{})
            start_newcomer();
        else if (!m->running())
            m->start();
    }
}

bool world::converged() const {
    for (const auto& m : machines) {
        if (!m->exists) continue;
        if (!m->running() || !m->engine_->writable() || m->held()) return false;
        for (collection_id c = 0; c < m->opens; ++c)
            if (m->engine_->version(c) != machines.front()->engine_->version(c)) return false;
    }
    return true;
}

template <class Done, class Failure> void world::wait_until(time longest, Done&& done, Failure&& failure) {
    for (const auto from = network.now(); !done(); network.run_until(network.now() + time(50)))
        if (network.now() - from > longest) fail(nullptr, failure());
}

bool world::presence_agreed() const {
    for (const auto& m : machines) {
        if (!m->running()) continue;
        for (collection_id c = 0; c < m->opens; ++c) {
            std::map<replica_id, std::vector<std::byte>> said, shown;
            for (const auto& other : machines)
                if (other != m && other->running() && c < other->opens && !other->says[c].empty())
                    said.emplace(other->id, other->says[c]);
            for (auto& p : m->engine_->presence(c)) shown.emplace(p.replica, std::move(p.bytes));
            if (said != shown) return false;
        }
    }
    return true;
}

// Memory goes bad: the node is told by its peers, and takes what they have.
void world::go_bad() {
    const auto c = plan.ledger && random.chance(70) ? names.size() - 1 : random.below(names.size());
    std::vector<machine*> all;
    for (auto& m : machines)
        if (m->running() && m->opens > c) all.push_back(m.get());
    auto& m = *all[random.below(all.size())];
    auto& d = *m.documents[c];
    gone_bad = true;
    {
        std::lock_guard lock(d.state().mutex());
        if (all.size() < 2 || !d.damage(random)) return;
    }
    fault("state gone bad");
    trace(&m, "something of ", names[c], " is gone");
    wait_until(
        time(20'000),
        [&] {
            return std::all_of(all.begin(), all.end(), [&](const auto* other) {
                return other->documents[c]->state().digest() == all.front()->documents[c]->state().digest();
            });
        },
        [] { return "a state that has gone bad is not mended"; });
    count(is_ledger(c) ? "mended dot by dot" : "mended as a whole");
    check_end();
}

void world::check_end() {
    for (auto& m : machines) {
        if (!m->running()) continue;
        m->check_closed();
        const auto& first = *machines.front(); // it opens everything
        for (collection_id c = 0; c < m->opens; ++c) {
            const auto& state = m->documents[c]->state();
            if (m->engine_->version(c) != state.version()) fail(m.get(), "the engine's version is not the state's");
            if (m.get() == &first) {
                m->compare_with_specification(c);
                for (const auto& e : edits)
                    if (e.collection == c && e.acknowledged && !e.excused && !e.gone &&
                        !state.context().contains(e.dots))
                        fail(m.get(),
                             "an acknowledged edit is lost: " + joinery::to_string(dot{e.dots.replica, e.dots.first}));
                continue;
            }
            const auto& other = *first.documents[c];
            if (!m->documents[c]->equals(other) || state.digest() != other.state().digest())
                fail(m.get(), "equal versions of " + names[c] + ", but not the same as " + first.name + ":\n    " +
                                  m->documents[c]->show() + "\n    " + other.show());
        }
    }
}

outcome run(const schedule& s, planted_bug bug, bool trace) {
    world w(s, bug, trace);
    w.run();
    return std::move(w.result);
}

} // namespace joinery::simulation
