// SPDX-License-Identifier: Apache-2.0
#include <joinery/g_set.hpp>

#include "replicas.hpp"

#include <doctest/doctest.h>

#include <set>
#include <string>

using set = joinery::g_set<std::string>;
using joinery::replica;
using joinery::transaction;

TEST_CASE("g_set: grows, and an element that is there is not added again") {
    replica<set> a{id_a}, b{id_b};
    a.edit([](set& s, transaction& tx) { s.add(tx, "x"); });
    b.edit([](set& s, transaction& tx) {
        s.add(tx, "x");
        s.add(tx, "y");
    });
    meet(a, b);
    CHECK(std::set<std::string>(a->begin(), a->end()) == std::set<std::string>{"x", "y"});
    CHECK(a->size() == 2);
    check_converged(a, b);
    CHECK(a.edit([](set& s, transaction& tx) { s.add(tx, "y"); }).empty());
    check_undone(a, [](set& s, transaction& tx) { s.add(tx, "z"); });
    CHECK_FALSE(a->contains("z"));
}
