// SPDX-License-Identifier: Apache-2.0
#include "drivers.hpp"

#include <joinery/exploration.hpp>

#include <doctest/doctest.h>

#include <iostream>
#include <string>

namespace {

using joinery::transaction;
using joinery::tree;
using joinery::testing::choices;
using specification::act;
using specification::operation;

struct two {
    tree left;
    tree right;
};
JOINERY_RECORD(two, (1, left), (2, right))

} // namespace

TEST_CASE("tree: is what its specification says, whatever happens") { drivers::check(drivers::subject<tree>("tree")); }

TEST_CASE("tree: two in a record, in an or_map") {
    drivers::check(drivers::subject<joinery::or_map<std::string, two>>("or_map of records of two trees"));
}

TEST_CASE("tree: explored") {
    auto s = joinery::testing::subject<tree, operation>("tree");
    s.view([](const tree& t) {
        specification::contents out;
        drivers::driver<tree>::look(t, "", out);
        return specification::printed(out);
    });
    s.specification(specification::specified, joinery::testing::event_sets::all);
    const auto name = drivers::driver<tree>::name;
    s.operation("create", [=](tree& t, transaction& tx, choices&) {
        operation o{act::relocate, ""};
        o.parent = "root";
        o.value = name(t.create(tx, t.root()));
        return o;
    });
    // The two that make cycles: the first below the last, and the last below the first.
    for (const bool first : {true, false})
        s.operation(first ? "first below last" : "last below first", [=](tree& t, transaction& tx, choices&) {
            operation o{act::relocate, ""};
            const auto all = t.children(t.root());
            if (all.size() < 2) return o;
            const auto node = first ? all.front() : all.back(), parent = first ? all.back() : all.front();
            t.move(tx, node, parent);
            o.value = name(node);
            o.parent = name(parent);
            return o;
        });
    const auto found = joinery::testing::explore(s);
    std::cout << to_string(found);
    INFO(to_string(found));
    CHECK(found.ok());
}
