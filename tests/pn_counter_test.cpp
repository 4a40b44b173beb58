// SPDX-License-Identifier: Apache-2.0
#include <joinery/pn_counter.hpp>

#include "bytes.hpp"
#include "replicas.hpp"

#include <doctest/doctest.h>

#include <limits>

using joinery::pn_counter;
using joinery::replica;
using joinery::transaction;

TEST_CASE("pn_counter: goes up and down, below zero too") {
    replica<pn_counter> a{id_a}, b{id_b};
    auto up = a.edit([](pn_counter& c, transaction& tx) { c.increment(tx, 3); });
    auto down = b.edit([](pn_counter& c, transaction& tx) {
        c.decrement(tx);
        c.decrement(tx, 9u);
        c.increment(tx);
    });
    CHECK(b->value() == -9);
    a.join(down);
    b.join(up);
    CHECK(a->value() == -6);
    check_converged(a, b);
    CHECK(round_trip(down) == down);
}

TEST_CASE("pn_counter: negative amounts are refused: say what is meant") {
    replica<pn_counter> a{id_a};
    auto up = [](pn_counter& c, transaction& tx) { c.increment(tx, -1); };
    auto down = [](pn_counter& c, transaction& tx) { c.decrement(tx, -1l); };
    CHECK_THROWS_AS(a.edit(up), std::invalid_argument);
    CHECK_THROWS_AS(a.edit(down), std::invalid_argument);
    CHECK(a.state().context().empty());
}

TEST_CASE("pn_counter: each kind of total is bounded") {
    constexpr auto most = std::numeric_limits<std::int64_t>::max();
    replica<pn_counter> a{id_a};
    a.edit([](pn_counter& c, transaction& tx) {
        c.increment(tx, most);
        c.decrement(tx, most);
    });
    CHECK(a->value() == 0);
    auto up = [](pn_counter& c, transaction& tx) { c.increment(tx); };
    auto down = [](pn_counter& c, transaction& tx) { c.decrement(tx); };
    CHECK_THROWS_AS(a.edit(up), std::overflow_error);
    CHECK_THROWS_AS(a.edit(down), std::overflow_error);
    CHECK(round_trip(a.state()) == a.state());
}

TEST_CASE("pn_counter: an edit that fails changes nothing") {
    replica<pn_counter> a{id_a};
    a.edit([](pn_counter& c, transaction& tx) { c.decrement(tx, 5); });
    check_undone(a, [](pn_counter& c, transaction& tx) {
        c.increment(tx, 1);
        c.decrement(tx, 2);
    });
}

TEST_CASE("pn_counter: re-issued under another id") {
    replica<pn_counter> a{id_a}, b{id_b};
    a.edit([](pn_counter& c, transaction& tx) { c.increment(tx, 5); });
    b.join(a.state());
    a.hold_from(1);
    a.edit([](pn_counter& c, transaction& tx) { c.decrement(tx, 7); });
    a.rename_from(1, id_c);
    meet(a, b);
    CHECK(b->value() == -2);
    check_converged(a, b);
}

TEST_CASE("pn_counter: a run's shape is canonical") {
    using fragment = pn_counter::fragment;
    auto run = [](std::initializer_list<unsigned> tail) {
        auto out = bytes({1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 2, 3});
        auto rest = bytes(tail);
        out.insert(out.end(), rest.begin(), rest.end());
        return out;
    };
    CHECK(joinery::decode<fragment>(run({0, 5})).value().runs.front().increments == 5);
    CHECK(joinery::decode<fragment>(run({1, 5, 2})).value().runs.front().decrements == 2);
    CHECK(joinery::decode<fragment>(run({3, 5, 2, 1, 0})).value().runs.front().base_increments == 1);
    CHECK(refusal<fragment>(run({4, 5})) == joinery::decode_error::invalid_value);
    CHECK(refusal<fragment>(run({1, 5, 0})) == joinery::decode_error::non_canonical);
    CHECK(refusal<fragment>(run({2, 5, 0, 0})) == joinery::decode_error::non_canonical);
}
