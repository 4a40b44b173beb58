// SPDX-License-Identifier: Apache-2.0
#include <joinery/rw_set.hpp>

#include "replicas.hpp"

#include <doctest/doctest.h>

#include <set>
#include <string>

using set = joinery::rw_set<std::string>;
using joinery::replica;
using joinery::transaction;

namespace {
auto adding(std::string e) {
    return [e](set& s, transaction& tx) { s.add(tx, e); };
}
auto removing(std::string e) {
    return [e](set& s, transaction& tx) { s.remove(tx, e); };
}
} // namespace

TEST_CASE("rw_set: of a concurrent add and remove, the remove wins") {
    replica<set> a{id_a}, b{id_b}, c{id_c};
    a.edit(adding("x"));
    b.edit(removing("x")); // where it has not arrived yet
    meet(a, b);
    CHECK_FALSE(a->contains("x"));
    CHECK(a->empty());
    c.join(a.state());
    c.edit(adding("x")); // has seen the removal
    meet(a, b, c);
    CHECK(a->contains("x"));
    check_converged(a, b, c);
    a.edit(adding("y"));
    b.edit(adding("y"));
    meet(a, b, c);
    CHECK(std::set<std::string>(c->begin(), c->end()) == std::set<std::string>{"x", "y"});
    CHECK(c->size() == 2);
    check_undone(c, removing("y"));
    for (const auto& e : set(*c)) c.edit(removing(e));
    CHECK(c->empty());
}

TEST_CASE("rw_set: tidied up, it keeps nothing of what was removed") {
    replica<set> a{id_a}, b{id_b};
    const auto nothing = joinery::encode(a.state()).size();
    for (int i = 0; i < 100; ++i) a.edit(adding(std::to_string(i)));
    b.join(a.state());
    for (int i = 0; i < 100; ++i) (i % 2 ? a : b).edit(removing(std::to_string(i)));
    CHECK(a.tidy({}).empty()); // b may not have seen it
    meet(a, b);
    CHECK(a->empty());
    CHECK_FALSE(a->vacant());
    const auto stable = a.version();
    const auto d = a.tidy(stable);
    CHECK(d.covered.count() == 1);
    CHECK(a->vacant());
    CHECK(a.tidy(stable).empty());
    b.join(d);
    CHECK(b->vacant());
    check_converged(a, b);
    for (auto* r : {&a, &b}) r->prune(a.version());
    CHECK(joinery::encode(a.state()).size() <= nothing + 40); // the context and the horizon
    b.edit(adding("7"));
    a.join(b.state());
    CHECK(a->contains("7"));
    check_converged(a, b);
}

TEST_CASE("rw_set: what was added again is not tidied up") {
    replica<set> a{id_a}, b{id_b};
    b.join(a.edit(removing("x")));
    auto stable = a.version();
    const auto again = b.edit(adding("x"));
    const auto d = a.tidy(stable);
    CHECK_FALSE(d.empty());
    a.join(again);
    b.join(d);
    CHECK(a->contains("x"));
    check_converged(a, b);
}
