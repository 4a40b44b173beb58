// SPDX-License-Identifier: Apache-2.0
// Clients that move between leaders, on simulated clusters with every kind of fault: each has a session, which outlives
// the processes that it speaks to. What it was told that it wrote, and what it has read, it sees wherever it goes, or
// it is told that the leader is behind. Seeds are fixed; JOINERY_SEED and JOINERY_SCHEDULES make a soak of it.
#include <joinery/g_set.hpp>
#include <joinery/session.hpp>
#include <joinery/simulation.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <set>
#include <stdexcept>
#include <string>
#include <vector>

using namespace joinery;
using namespace std::chrono_literals;
using joinery::testing::choices;
using joinery::testing::faults;
using joinery::testing::simulate;
using joinery::testing::simulated_leader;
using joinery::testing::simulation_options;
using joinery::testing::simulation_report;

namespace {

using elements = g_set<std::uint64_t>;
using here_type = simulated_leader<elements>;

/// What a client carries from one leader to the next.
enum class carries { its_session, what_it_read, nothing };

struct client {
    std::vector<std::byte> cookie;         // the session, encoded
    std::set<std::uint64_t> written, seen; // acknowledged, and read
    std::string last;                      // leader
    unsigned refused = 0;                  // in succession
    bool busy = false;
};

struct session_counts {
    std::uint64_t moves = 0;             // operations at another leader than the client's last one
    std::uint64_t arrived = 0;           // of these, those that were answered, with all that must be there
    std::uint64_t behind = 0;            // those that were refused, since something was not
    std::uint64_t cut_off = 0;           // those without an answer: the leader died, or was not to be written to
    std::uint64_t reads = 0, writes = 0; // that were answered, moves or not
    std::uint64_t given_up = 0;          // sessions that nobody had all of any more
};

/// A few clients, whom the steps of all leaders share: a step is an operation of one that has none under way.
template <carries C> struct moving {
    using value_type = elements;
    struct world {
        std::array<client, 3> clients;
        std::uint64_t next = 0;
        session_counts counts;
    };
    std::shared_ptr<world> all = std::make_shared<world>();

    void start(here_type& at) {
        if (at.now() == 0ms && at.address() == "A") all->clients = {}; // another schedule
    }

    void step(here_type& at, choices& from) {
        const auto first = from.pick(all->clients.size());
        for (std::size_t i = 0; i < all->clients.size(); ++i)
            if (auto& c = all->clients[(first + i) % all->clients.size()]; !c.busy) return operate(c, at, from);
    }

private:
    // Ends with an answer, or with its leader.
    struct under_way {
        client& of;
        std::uint64_t* counted;
        const bool moves;

        under_way(client& c, session_counts& n, const std::string& where)
            : of(c), counted(&n.cut_off), moves(!c.last.empty() && c.last != where) {
            of.busy = true;
            of.last = where;
            n.moves += moves;
        }
        ~under_way() {
            of.busy = false;
            *counted += moves;
        }
        under_way(const under_way&) = delete;
        under_way& operator=(const under_way&) = delete;
    };

    void operate(client& c, here_type& at, choices& from) {
        constexpr std::chrono::milliseconds patience[] = {0ms, 30ms, 300ms, 1000ms};
        auto& counts = all->counts;
        under_way now(c, counts, at.address());
        session mine(patience[from.pick(std::size(patience))]);
        if (!c.cookie.empty()) {
            compact_input_archive in(c.cookie);
            in(mine);
        }
        try {
            if (from.pick(3) == 0) write(c, mine, at); // monotonic: after all that was seen elsewhere
            read(c, mine, at);
            if (from.pick(3) == 0) write(c, mine, at);
            c.refused = 0;
            now.counted = &counts.arrived;
        } catch (const session_behind&) {
            if (mine.token(here_type::name()).within(at.version()))
                throw std::logic_error("it says that it is behind, and is not");
            now.counted = &counts.behind;
            if (++c.refused < 6) return;
            ++counts.given_up; // what it has seen went with a storage
            c.cookie.clear(), c.written.clear(), c.seen.clear();
            c.refused = 0;
        }
    }

    void write(client& c, session& mine, here_type& at) {
        const auto element = ++all->next;
        mine.write(at, [&](elements& s, transaction& tx) { s.add(tx, element); });
        c.written.insert(element);
        ++all->counts.writes;
        if (C == carries::its_session) c.cookie = encode(mine);
    }

    void read(client& c, session& mine, here_type& at) {
        auto there = mine.read(at, [](const elements& s) { return std::set<std::uint64_t>(s.begin(), s.end()); });
        const auto all_of = [&](const std::set<std::uint64_t>& some, const char* what) {
            for (const auto e : some)
                if (!there.contains(e)) throw std::logic_error(what + std::to_string(e) + " has vanished");
        };
        all_of(c.written, "its own write of ");
        all_of(c.seen, "what it had read, ");
        c.seen = std::move(there);
        ++all->counts.reads;
        if (C != carries::nothing) c.cookie = encode(mine);
    }
};

template <carries C> simulation_report told(const moving<C>& app, const simulation_report& r) {
    const auto n = [](std::uint64_t x) { return static_cast<unsigned long long>(x); };
    const auto& c = app.all->counts;
    if (r.ok()) // else what was replayed counts too
        std::printf(
            "%llu schedules, %llu reads and %llu writes of sessions, %llu moves: %llu arrived, %llu were answered "
            "\"behind\", %llu cut off; %llu sessions given up\n",
            n(r.schedules), n(c.reads), n(c.writes), n(c.moves), n(c.arrived), n(c.behind), n(c.cut_off),
            n(c.given_up));
    else
        std::printf("%s", to_string(*r.failure).c_str());
    return r;
}

simulation_options often(std::uint64_t seed) {
    return {.seed = seed, .least_leaders = 3, .most_leaders = 5, .least_steps = 30, .most_steps = 70};
}

} // namespace

TEST_CASE("session: ten thousand moves between leaders under every kind of fault, and no write vanishes") {
    const moving<carries::its_session> app;
    const auto r = told(app, simulate(app, faults{}, often(1)));
    CHECK(r.ok());
    if (r.schedules < 1000) return;
    CHECK(r.thin(5).empty());
    CHECK(app.all->counts.arrived >= 10'000);
    CHECK(app.all->counts.behind > 0);
}

// What was on one storage only is gone with it; whoever has seen it is told so, wherever it goes.
TEST_CASE("session: nothing vanishes silently where storages are lost") {
    auto f = faults{};
    f.storage_loss = 5;
    const moving<carries::its_session> app;
    auto o = often(1);
    o.usual_schedules = 500;
    const auto r = told(app, simulate(app, f, o));
    CHECK(r.ok());
    if (r.schedules >= 500) CHECK(r.total("storage lost") > 100);
}

TEST_CASE("session: a token that is not heeded is found at once") {
    const moving<carries::nothing> none;
    const auto r = told(none, simulate(none, faults{}, often(1)));
    REQUIRE(!r.ok());
    CHECK(r.failure->what.find("vanished") != std::string::npos);
    CHECK(r.failure->after <= 10);
    const moving<carries::what_it_read> reads;
    const auto q = told(reads, simulate(reads, faults{}, often(1)));
    REQUIRE(!q.ok());
    CHECK(q.failure->what.find("its own write") != std::string::npos);
    CHECK(q.failure->after <= 20);
}
