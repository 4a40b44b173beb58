// SPDX-License-Identifier: Apache-2.0
#include <joinery/tree.hpp>

#include "replicas.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <random>
#include <stdexcept>
#include <vector>

using joinery::replica;
using joinery::transaction;
using joinery::tree;
using joinery::unique_id;

namespace {

unique_id create(replica<tree>& r, unique_id parent = tree::root()) {
    unique_id made;
    r.edit([&](tree& t, transaction& tx) { made = t.create(tx, parent); });
    return made;
}
auto moving(unique_id node, unique_id parent) {
    return [=](tree& t, transaction& tx) { t.move(tx, node, parent); };
}
auto removing(unique_id node) {
    return [=](tree& t, transaction& tx) { t.remove(tx, node); };
}
using nodes = std::vector<unique_id>;

} // namespace

TEST_CASE("tree: of two moves that would make a cycle one stands, and of two places of one node one") {
    replica<tree> a{id_a}, b{id_b};
    const auto x = create(a), y = create(a), z = create(a);
    b.join(a.state());
    a.edit(moving(x, y));
    b.edit(moving(y, x));
    meet(a, b);
    CHECK(a->size() == 3);
    CHECK(a->parent(x) == y);
    CHECK(a->parent(y) == tree::root()); // b's move comes later in the order, and would make a cycle
    check_converged(a, b);
    a.edit(moving(z, x));
    b.edit(moving(z, y));
    meet(a, b);
    CHECK(a->size() == 3); // nothing is there twice
    CHECK(a->parent(z) == y);
    check_converged(a, b);
}

TEST_CASE("tree: a removed node takes what is below it, but not what is moved elsewhere at the same time") {
    replica<tree> a{id_a}, b{id_b};
    const auto folder = create(a), one = create(a, folder), two = create(a, folder);
    b.join(a.state());
    a.edit(removing(folder));
    CHECK(a->empty());
    CHECK_FALSE(a->contains(one));
    CHECK_FALSE(a->parent(one));
    b.edit(moving(two, tree::root()));
    meet(a, b);
    CHECK(a->children(tree::root()) == nodes{two});
    CHECK(a->children(folder).empty());
    check_converged(a, b);
}

TEST_CASE("tree: refuses what makes no sense, and changes nothing") {
    replica<tree> a{id_a};
    const auto x = create(a), y = create(a, x);
    const auto before = joinery::encode(a.state());
    CHECK_THROWS_AS(a.edit(moving(x, y)), std::invalid_argument);
    CHECK_THROWS_AS(a.edit(moving(x, x)), std::invalid_argument);
    CHECK_THROWS_AS(a.edit(moving(tree::root(), x)), std::invalid_argument);
    CHECK_THROWS_AS(a.edit(removing(tree::root())), std::invalid_argument);
    const unique_id nobody(joinery::dot{id_b, 7});
    CHECK_THROWS_AS(a.edit(moving(nobody, x)), std::out_of_range);
    CHECK_THROWS_AS(a.edit(moving(x, nobody)), std::out_of_range);
    CHECK_THROWS_AS(a.edit(removing(nobody)), std::out_of_range);
    CHECK_THROWS_AS(create(a, nobody), std::out_of_range);
    CHECK(joinery::encode(a.state()) == before);
    CHECK(a->children(nobody).empty());
    CHECK_FALSE(a->contains(tree::root())); // it is not a node like others
    check_undone(a, [&](tree& t, transaction& tx) {
        t.remove(tx, x);
        const auto n = t.create(tx, t.root());
        t.move(tx, n, t.create(tx, t.root()));
    });
}

TEST_CASE("tree: moves that arrive late take their place in the order") {
    std::mt19937_64 random(11);
    std::vector<replica<tree>> all;
    for (std::uint64_t i = 1; i <= 3; ++i) all.emplace_back(joinery::replica_id{i});
    nodes made;
    for (int i = 0; i < 8; ++i) made.push_back(create(all[0]));
    for (auto& r : all) r.join(all[0].state());
    std::vector<joinery::delta<tree>> deltas;
    for (int i = 0; i < 300; ++i) {
        auto& r = all[random() % 3];
        try {
            deltas.push_back(r.edit(moving(made[random() % 8], made[random() % 8])));
        } catch (const std::invalid_argument&) {
        }
        if (i % 40 == 0)
            for (const auto& from : std::vector<joinery::causal<tree>>{all[0].state(), all[1].state()}) r.join(from);
    }
    replica<tree> late{id_c};
    for (auto r = deltas.rbegin(); r != deltas.rend(); ++r) late.join(*r);
    for (auto& r : all) late.join(r.state());
    for (auto& r : all) r.join(late.state());
    CHECK(late->size() == 8);
    check_converged(late, all[0], all[1], all[2]);
}

TEST_CASE("tree: tidied up, it keeps a move for each node") {
    replica<tree> a{id_a}, b{id_b};
    const auto x = create(a), y = create(a);
    for (int i = 0; i < 50; ++i) {
        a.edit(moving(x, y));
        a.edit(moving(x, tree::root()));
        a.edit(removing(create(a, y)));
    }
    b.join(a.state());
    const auto seen = a->children(tree::root());
    const auto d = b.tidy(b.version());
    a.join(d);
    tree::fragment left;
    a->extract(a.state().context(), left);
    CHECK(left.size() <= 3);
    CHECK(a->children(tree::root()) == seen);
    check_converged(a, b);
    a.edit(moving(y, x));
    b.join(a.state());
    CHECK(b->parent(y) == x);
    check_converged(a, b);
}
