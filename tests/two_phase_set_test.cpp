// SPDX-License-Identifier: Apache-2.0
#include <joinery/two_phase_set.hpp>

#include "replicas.hpp"

#include <doctest/doctest.h>

#include <string>

using set = joinery::two_phase_set<std::string>;
using joinery::replica;
using joinery::transaction;

TEST_CASE("two_phase_set: what was removed never comes back") {
    replica<set> a{id_a}, b{id_b};
    auto adding = [](set& s, transaction& tx) { s.add(tx, "x"); };
    auto removing = [](set& s, transaction& tx) { s.remove(tx, "x"); };
    CHECK(a.edit(removing).empty()); // it was not there yet
    a.edit(adding);
    CHECK(a.edit(adding).empty());
    b.edit(adding);
    CHECK(b->contains("x"));
    b.edit(removing);
    meet(a, b);
    CHECK_FALSE(a->contains("x"));
    CHECK(a->size() == 0);
    check_converged(a, b);
    CHECK(a.edit(adding).empty());
    CHECK_FALSE(a->contains("x"));
    a.prune(a.version());
    CHECK(a.edit(adding).empty());
    check_undone(a, [](set& s, transaction& tx) {
        s.add(tx, "y");
        s.remove(tx, "y");
    });
    a.edit([](set& s, transaction& tx) { s.add(tx, "y"); });
    CHECK(a->contains("y"));
}
