// SPDX-License-Identifier: Apache-2.0
// Four failures of AntidoteDB, as scenarios on simulated clusters: each with the faults under which it was seen, and
// what its users were told. (tests/engine_known_failures_test.cpp, 22 and 23, has the smallest histories.)
#include <joinery/g_counter.hpp>
#include <joinery/or_set.hpp>
#include <joinery/simulation.hpp>

#include <doctest/doctest.h>

#include <cstdint>
#include <cstdio>
#include <numeric>
#include <string>
#include <vector>

using namespace joinery;
using joinery::testing::choices;
using joinery::testing::faults;
using joinery::testing::problem;
using joinery::testing::simulate;
using joinery::testing::simulation_options;

namespace {

/// Adds what nobody has added.
struct adds {
    using value_type = or_set<std::string>;

    template <class Leader> std::string step(Leader& here, choices& from) {
        const auto element = here.address() + std::to_string(from.pick(1'000'000));
        here.write([&](value_type& s, transaction& tx) { s.add(tx, element); });
        return element;
    }
    problem check_end(const value_type& end, const std::vector<std::string>& told) const {
        for (const auto& e : told)
            if (!end.contains(e)) return e + " is lost";
        return {};
    }
};

/// Adds elements that name another one that was seen: "b>a" is never seen without what "a" stands for.
struct answers {
    using value_type = or_set<std::string>;

    template <class Leader> std::string step(Leader& here, choices& from) {
        const auto seen = here.read([](const value_type& s) { return std::vector<std::string>(s.begin(), s.end()); });
        auto element = here.address() + std::to_string(from.pick(1'000'000));
        if (!seen.empty()) {
            const auto& other = from.of(seen);
            element += ">" + other.substr(0, other.find('>'));
        }
        here.write([&](value_type& s, transaction& tx) { s.add(tx, element); });
        return element;
    }
    problem check(const value_type& now) const {
        for (const auto& e : now) {
            const auto at = e.find('>');
            if (at == std::string::npos) continue;
            const auto named = e.substr(at + 1);
            bool there = false;
            for (const auto& other : now) there |= other.substr(0, other.find('>')) == named;
            if (!there) return e + " is seen before what it depends on";
        }
        return {};
    }
    problem check_end(const value_type& end, const std::vector<std::string>& told) const {
        return adds().check_end(end, told);
    }
};

struct counts {
    using value_type = g_counter;

    template <class Leader> std::uint64_t step(Leader& here, choices& from) {
        const auto n = from.pick(5);
        here.write([&](g_counter& c, transaction& tx) { c.increment(tx, n); });
        return n;
    }
    bool check_end(const g_counter& end, const std::vector<std::uint64_t>& told) const {
        return end.value() == std::accumulate(told.begin(), told.end(), std::uint64_t{0});
    }
};

template <class App> void check_passes(const App& app, const faults& f, simulation_options o = {}) {
    o.seed = 1;
    o.schedules = 500;
    o.least_leaders = 3;
    const auto r = simulate(app, f, o);
    std::printf("%s", to_string(r).c_str());
    CHECK(r.ok());
    CHECK(r.thin(5).empty());
}

} // namespace

TEST_CASE("antidote#420: what waits for a gap is not stuck after a restart") {
    auto f = faults::none();
    f.loss = 3, f.reordering = 2, f.crash = 3, f.crash_in_step = 2, f.clean_stop = 1;
    f.least = 4, f.most = 8;
    check_passes(answers{}, f);
}

TEST_CASE("antidote#201: leaders whose edits depend on each other's do not wait for each other") {
    auto f = faults::none();
    f.loss = 2, f.reordering = 2, f.delay = 2, f.one_way_partition = 2;
    f.least = 3, f.most = 7;
    check_passes(answers{}, f, {.least_steps = 40, .most_steps = 80});
}

TEST_CASE("antidote#489: a partition loses nothing that was added to a set") {
    auto f = faults::none();
    f.partition = 3, f.one_way_partition = 2, f.link_cut = 1;
    f.least = 3, f.most = 7;
    check_passes(adds{}, f);
}

TEST_CASE("antidote#492, #493: a counter loses no increment where nothing fails, nor where something does") {
    check_passes(counts{}, faults::none());
    auto f = faults::none();
    f.partition = 2, f.loss = 2, f.duplication = 2, f.freeze = 1;
    f.least = 3, f.most = 7;
    check_passes(counts{}, f);
}
