// SPDX-License-Identifier: Apache-2.0
#include <joinery/bounded_counter.hpp>

#include "replicas.hpp"

#include <doctest/doctest.h>

#include <map>
#include <stdexcept>
#include <string>

using joinery::bounded_counter;
using joinery::insufficient_rights;
using joinery::replica;
using joinery::transaction;

namespace {
auto up(std::uint64_t n) {
    return [n](bounded_counter& c, transaction& tx) { c.increment(tx, n); };
}
auto down(std::uint64_t n) {
    return [n](bounded_counter& c, transaction& tx) { c.decrement(tx, n); };
}
auto pass(joinery::replica_id to, std::uint64_t n) {
    return [to, n](bounded_counter& c, transaction& tx) { c.transfer(tx, to, n); };
}
} // namespace

TEST_CASE("bounded_counter: the last one is sold once, without asking") {
    replica<bounded_counter> a{id_a}, b{id_b};
    a.edit(up(10));
    a.edit(pass(id_b, 4));
    b.join(a.state());
    CHECK(a->rights(id_a) == 6);
    CHECK(b->rights(id_b) == 4);
    CHECK(b->rights() == std::map<joinery::replica_id, std::uint64_t>{{id_a, 6}, {id_b, 4}});
    for (int i = 0; i < 6; ++i) a.edit(down(1)); // cut off from each other
    b.edit(down(4));
    CHECK_THROWS_AS(a.edit(down(1)), insufficient_rights);
    CHECK_THROWS_AS(b.edit(down(1)), insufficient_rights);
    CHECK(a->value() == 4);
    meet(a, b);
    CHECK(a->value() == 0);
    CHECK(a->rights().empty());
    check_converged(a, b);
    b.edit(up(2));
    meet(a, b);
    CHECK(a->value() == 2);
    CHECK_THROWS_AS(a.edit(down(1)), insufficient_rights); // they are b's
    a.join(b.edit(pass(id_a, 1)));
    a.edit(down(1));
    CHECK(a->value() == 1);
}

TEST_CASE("bounded_counter: what an evicted replica had passed on does not count twice") {
    replica<bounded_counter> a{id_a}, b{id_b}, away{id_c}, evicted{joinery::replica_id{7}};
    const auto delivered = evicted.edit(up(5));
    for (auto* r : {&a, &b, &away}) r->join(delivered);
    away.join(evicted.edit(pass(id_b, 5)));
    evicted.rejoin(a.state().whole(), 0, joinery::replica_id{8}); // nobody who is there has the edit
    a.join(evicted.state());
    CHECK(a->rights(id_b) == 0);
    meet(a, away);
    b.join(a.state());
    CHECK(b->value() == 5);
    CHECK(b->rights() == std::map<joinery::replica_id, std::uint64_t>{{id_b, 5}});
    b.edit(down(5));
    CHECK_THROWS_AS(b.edit(down(1)), insufficient_rights);
}

TEST_CASE("bounded_counter: says what was wanted and what there was, and changes nothing") {
    replica<bounded_counter> a{id_a};
    a.edit(up(3));
    const auto before = joinery::encode(a.state());
    try {
        a.edit([](bounded_counter& c, transaction& tx) {
            c.decrement(tx, 2);
            c.decrement(tx, 2);
        });
        FAIL("nothing was thrown");
    } catch (const insufficient_rights& e) {
        CHECK(e.wanted() == 2);
        CHECK(e.available() == 1);
        CHECK(std::string(e.what()) == "bounded_counter: 2 wanted, of which this replica has the right to 1");
    }
    CHECK(joinery::encode(a.state()) == before);
    CHECK_THROWS_AS(a.edit(pass(id_a, 1)), std::invalid_argument);
    CHECK_THROWS_AS(a.edit(pass(id_b, 4)), insufficient_rights);
    CHECK_THROWS_AS(a.edit(up(UINT64_MAX)), std::overflow_error);
    CHECK(a.edit(down(0)).empty());
    check_undone(a, pass(id_b, 3));
}

TEST_CASE("bounded_counter: a removed key keeps its rights") {
    using stock = joinery::or_map<std::string, bounded_counter>;
    replica<stock> a{id_a}, b{id_b};
    a.edit([](stock& m, transaction& tx) {
        m.at(tx, "nail")->increment(tx, 5);
        m.at(tx, "nail")->transfer(tx, id_b, 5);
    });
    b.join(a.state());
    a.edit([](stock& m, transaction& tx) { m.erase(tx, "nail"); });
    b.edit([](stock& m, transaction& tx) { m.at(tx, "nail")->decrement(tx, 5); });
    meet(a, b);
    REQUIRE(a->contains("nail"));
    CHECK(a->find("nail")->value() == 0);
    check_converged(a, b);
}

TEST_CASE("bounded_counter: rights that an older copy may have spent are not used") {
    replica<bounded_counter> a{id_a}, b{id_b};
    a.edit(up(5));
    const auto copy = a.state();
    a.edit(down(5));
    b.join(a.state());
    replica<bounded_counter> restored{id_a, copy};
    restored.hold_from(copy.context().greatest(id_a));
    CHECK_THROWS_AS(restored.edit(down(1)), insufficient_rights);
    restored.edit(up(1));          // may be done
    restored.rename_from(1, id_c); // a peer told that the id is in use
    meet(restored, b);
    CHECK(b->value() == 1);
    check_converged(restored, b);
}

TEST_CASE("bounded_counter: unsent edits made anew under another id count once") {
    replica<bounded_counter> a{id_a}, b{id_b};
    a.edit(up(8));
    b.join(a.state());
    a.hold_from(1);
    a.confirm();
    a.edit(down(3));
    a.edit(up(1));
    b.prune(b.version());
    a.rejoin(b.delta_since({}), 1, id_c);
    b.join(a.state());
    CHECK(b->value() == 6);
    CHECK(b->rights(id_a) + b->rights(id_c) == 6);
    check_converged(a, b);
}
