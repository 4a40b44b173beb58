// SPDX-License-Identifier: Apache-2.0
#include <joinery/bag.hpp>

#include "replicas.hpp"

#include <doctest/doctest.h>

#include <cstdint>
#include <map>
#include <stdexcept>
#include <string>

using bag = joinery::bag<std::string>;
using joinery::replica;
using joinery::transaction;

TEST_CASE("bag: counts what was put in and not taken out") {
    replica<bag> a{id_a}, b{id_b};
    a.edit([](bag& x, transaction& tx) {
        x.add(tx, "nail", 10);
        x.add(tx, "screw");
    });
    b.join(a.state());
    CHECK(b->count("nail") == 10);
    a.edit([](bag& x, transaction& tx) { x.remove(tx, "nail", 3); });
    b.edit([](bag& x, transaction& tx) { x.add(tx, "nail", 5); });
    meet(a, b);
    CHECK(a->count("nail") == 12);
    CHECK(a->count("hammer") == 0);
    CHECK(a->size() == 13);
    CHECK(a->distinct() == 2);
    check_converged(a, b);
    std::map<std::string, std::uint64_t> all;
    for (const auto& [e, n] : *b) all[e] = n;
    CHECK(all == std::map<std::string, std::uint64_t>{{"nail", 12}, {"screw", 1}});
    check_undone(a, [](bag& x, transaction& tx) {
        x.remove(tx, "nail", 11);
        x.add(tx, "nail", 2);
        x.remove_all(tx, "nail");
        x.remove(tx, "hammer");
    });
}

TEST_CASE("bag: never fewer than none, whoever takes out concurrently") {
    replica<bag> a{id_a}, b{id_b};
    b.join(a.edit([](bag& x, transaction& tx) { x.add(tx, "last"); }));
    for (auto* r : {&a, &b}) r->edit([](bag& x, transaction& tx) { x.remove(tx, "last", 100); });
    meet(a, b);
    CHECK(a->empty());
    b.join(a.edit([](bag& x, transaction& tx) { x.add(tx, "last"); }));
    CHECK(b->count("last") == 1); // and not 0, as a counter would say
    check_converged(a, b);
}

TEST_CASE("bag: many at once are one range") {
    replica<bag> a{id_a};
    const auto d = a.edit([](bag& x, transaction& tx) { x.add(tx, "grain", 1'000'000'000); });
    CHECK(joinery::encode(d).size() < 64);
    CHECK(a->count("grain") == 1'000'000'000);
    a.edit([](bag& x, transaction& tx) { x.remove(tx, "grain", 999'999'999); });
    CHECK(a->size() == 1);
    check_converged(a);
    CHECK_THROWS_AS(a.edit([](bag& x, transaction& tx) { x.add(tx, "grain", (1ull << 32) + 1); }), std::length_error);
    CHECK(a->size() == 1);
}
