// SPDX-License-Identifier: Apache-2.0
#include <joinery/flags.hpp>

#include <joinery/or_map.hpp>

#include "replicas.hpp"

#include <doctest/doctest.h>

#include <string>

using joinery::disable_wins_flag;
using joinery::enable_wins_flag;
using joinery::replica;
using joinery::transaction;

namespace {
auto on = [](auto& flag, transaction& tx) { flag.enable(tx); };
auto off = [](auto& flag, transaction& tx) { flag.disable(tx); };
} // namespace

TEST_CASE("flags: off at first, and then as they were turned last") {
    replica<enable_wins_flag> e{id_a};
    replica<disable_wins_flag> d{id_a};
    CHECK_FALSE(e->enabled());
    CHECK_FALSE(d->enabled());
    e.edit(on);
    d.edit(on);
    CHECK(e->enabled());
    CHECK(d->enabled());
    check_undone(e, off);
    check_undone(d, off);
    e.edit(off);
    d.edit(off);
    CHECK_FALSE(e->enabled());
    CHECK_FALSE(d->enabled());
    CHECK(e.edit(off).empty()); // nothing to disable
    e.edit(on);
    d.edit(on);
    CHECK(e->enabled());
    CHECK(d->enabled());
}

TEST_CASE("flags: turned both ways at once") {
    replica<enable_wins_flag> e1{id_a}, e2{id_b};
    e2.join(e1.edit(on));
    e1.edit(off);
    e2.edit(on);
    meet(e1, e2);
    CHECK(e1->enabled());
    check_converged(e1, e2);

    replica<disable_wins_flag> d1{id_a}, d2{id_b};
    d1.edit(off); // it was off already
    d2.edit(on);
    meet(d1, d2);
    CHECK_FALSE(d1->enabled());
    check_converged(d1, d2);
    d1.edit(on); // has seen both
    d2.join(d1.state());
    CHECK(d2->enabled());
    check_converged(d1, d2);
}

TEST_CASE("flags: a removed key takes the turns that its remover had seen") {
    using flags = joinery::or_map<std::string, enable_wins_flag>;
    replica<flags> a{id_a}, b{id_b};
    b.join(a.edit([](flags& m, transaction& tx) { m.at(tx, "x")->enable(tx); }));
    a.edit([](flags& m, transaction& tx) { m.erase(tx, "x"); });
    CHECK_FALSE(a->contains("x"));
    b.edit([](flags& m, transaction& tx) { m.at(tx, "x")->enable(tx); });
    meet(a, b);
    CHECK(a->find("x")->enabled());
    check_converged(a, b);
}
