// SPDX-License-Identifier: Apache-2.0
#include <joinery/rapidcheck.hpp>

#include <joinery/or_set.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <vector>

namespace {
using namespace joinery::testing;

subject<joinery::or_set<int>> sets() {
    subject<joinery::or_set<int>> s("or_set");
    s.operation(
        "add", [](auto& set, auto& tx, choices& from) { set.add(tx, static_cast<int>(from.pick(3))); }, 3);
    s.operation(
        "remove", [](auto& set, auto& tx, choices& from) { set.remove(tx, static_cast<int>(from.pick(3))); }, 2);
    return s;
}
} // namespace

TEST_CASE("rapidcheck: a subject is checked on generated histories") { CHECK(rapid_check(sets())); }

TEST_CASE("rapidcheck: choices are elements by value, of any range") {
    choices simplest(0);
    CHECK(simplest.of(std::vector<std::string>{"first", "second"}) == "first"); // of a temporary
    CHECK(simplest.of(std::vector<bool>{true, false}));
    CHECK(simplest.of(std::map<int, char>{{1, 'a'}, {2, 'b'}}).second == 'a');
    choices some(7);
    std::set<int> seen;
    for (int i = 0; i < 100; ++i) seen.insert(some.of(std::set<int>{1, 2, 3}));
    CHECK(seen == std::set<int>{1, 2, 3});
}

TEST_CASE("rapidcheck: the same seed gives the same history") {
    CHECK(rc::check([](std::uint64_t seed) { RC_ASSERT(random_history(seed) == random_history(seed)); }));
}

TEST_CASE("rapidcheck: a shrunk history fails, and none with one action less does") {
    CHECK(rc::check([] {
        history h = *histories();
        std::size_t edits = *rc::gen::inRange<std::size_t>(1, 4);
        // Stands for a failure: an edit so many times, and a delivery or a pull after them.
        auto fails = [edits](const history& x) {
            std::size_t seen = 0;
            for (const auto& a : x.actions) {
                if (a.kind == action_kind::edit) ++seen;
                bool arrives = a.kind == action_kind::deliver || a.kind == action_kind::pull;
                if (arrives && seen >= edits) return true;
            }
            return false;
        };
        RC_PRE(fails(h));
        history small = shrunk(h, fails);
        RC_ASSERT(fails(small));
        RC_ASSERT(small.actions.size() == edits + 1);
        for (const auto& a : small.actions)
            for (auto seed : a.operations) RC_ASSERT(seed == 0u);
        RC_ASSERT(small.replicas == 2u);
    }));
}
