// SPDX-License-Identifier: Apache-2.0
#include <joinery/merged_register.hpp>

#include <joinery/or_map.hpp>

#include "replicas.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <iterator>
#include <set>
#include <string>

using joinery::max_register;
using joinery::merged_register;
using joinery::min_register;
using joinery::replica;
using joinery::transaction;

namespace {

// A user's own: what anybody permits.
struct both {
    std::set<std::string> operator()(std::set<std::string> a, const std::set<std::string>& b) const {
        a.insert(b.begin(), b.end());
        return a;
    }
    static std::string type_name() { return "both"; }
};
using tags = merged_register<std::set<std::string>, both>;

auto merging(int v) {
    return [v](auto& r, transaction& tx) { r.merge(tx, v); };
}

} // namespace

TEST_CASE("merged_register: the greatest and the least") {
    replica<max_register<int>> high{id_a}, higher{id_b};
    replica<min_register<int>> low{id_a};
    CHECK_FALSE(high->get());
    high.edit(merging(3));
    CHECK(high.edit(merging(2)).empty()); // changes nothing
    CHECK(high->get() == 3);
    higher.edit(merging(5));
    meet(high, higher);
    CHECK(high->get() == 5);
    check_converged(high, higher);
    CHECK(high.edit(merging(4)).empty());
    check_undone(high, merging(6));
    CHECK(high.edit(merging(6)).removals.front().killed.dots.size() == 2); // both of the concurrent ones
    low.edit(merging(3));
    low.edit(merging(-2));
    low.edit(merging(7));
    CHECK(low->get() == -2);
}

TEST_CASE("merged_register: a merge of one's own") {
    replica<tags> a{id_a}, b{id_b};
    a.edit([](tags& r, transaction& tx) { r.merge(tx, {"red"}); });
    b.edit([](tags& r, transaction& tx) { r.merge(tx, {"blue"}); });
    meet(a, b);
    CHECK(a->get() == std::set<std::string>{"blue", "red"});
    a.edit([](tags& r, transaction& tx) { r.merge(tx, {"green"}); });
    meet(a, b);
    CHECK(b->get() == std::set<std::string>{"blue", "green", "red"});
    check_converged(a, b);
}

TEST_CASE("merged_register: a reset takes what it had seen, and a lesser value may come to show") {
    replica<max_register<int>> a{id_a}, b{id_b};
    a.edit(merging(9));
    b.edit(merging(4));
    a.edit([](auto& r, transaction& tx) { r.reset(tx); });
    meet(a, b);
    CHECK(a->get() == 4);
    check_converged(a, b);
}

TEST_CASE("merged_register: says what it is") {
    CHECK(max_register<std::uint32_t>::type_name() == "merged_register<u32,maximum>");
    CHECK(min_register<std::string>::type_name() == "merged_register<string,minimum>");
}
