// SPDX-License-Identifier: Apache-2.0
#include "drivers.hpp"

#include <joinery/exploration.hpp>

#include <doctest/doctest.h>

#include <iostream>
#include <string>

namespace {

using joinery::transaction;
using joinery::testing::choices;
using specification::operation;
using tested = joinery::rga_list<char>;
using driver = drivers::driver<tested>;

struct two {
    tested left;
    tested right;
};
JOINERY_RECORD(two, (1, left), (2, right))

joinery::testing::subject<tested, operation> specified(const std::string& name) {
    auto s = joinery::testing::subject<tested, operation>(name);
    s.view([](const tested& l) {
        specification::contents out;
        driver::look(l, "", out);
        return specification::printed(out);
    });
    s.specification(specification::specified, joinery::testing::event_sets::all);
    return s;
}

} // namespace

TEST_CASE("rga_list: is what its specification says, whatever happens") {
    drivers::check(drivers::subject<tested>("rga_list"), 250, false);
}

TEST_CASE("rga_list: in an or_map") {
    drivers::check(drivers::subject<joinery::or_map<std::string, tested>>("or_map of rga_list"), 250, false);
}

TEST_CASE("rga_list: two in a record, in an or_map") {
    drivers::check(drivers::subject<joinery::or_map<std::string, two>>("or_map of records of two rga_list"), 250,
                   false);
}

TEST_CASE("rga_list: two elements that are moved and set again and again") {
    auto s = specified("rga_list of two");
    s.operation("", [](tested& l, transaction& tx, choices& from) {
        const std::size_t what = from.pick(10);
        if (l.size() < 2) return driver::insert(l, tx, 0, "ab", "");
        if (what < 7) return driver::move(l, tx, 0, 1, "");
        if (what < 9) return driver::set(l, tx, from.pick(2), static_cast<char>('A' + from.pick(20)), "");
        return driver::erase(l, tx, from.pick(2), 1, "");
    });
    drivers::check(s);
}

TEST_CASE("rga_list: explored") {
    // From the first on there are two elements.
    auto s = specified("rga_list");
    const auto with = [&](const std::string& name, auto act) {
        s.operation(name, [act](tested& l, transaction& tx, choices&) {
            return l.empty() ? driver::insert(l, tx, 0, "ab", "") : act(l, tx);
        });
    };
    with("set", [](tested& l, transaction& tx) { return driver::set(l, tx, 0, 'A', ""); });
    with("move", [](tested& l, transaction& tx) { return driver::move(l, tx, 0, l.size() - 1, ""); });
    with("erase", [](tested& l, transaction& tx) { return driver::erase(l, tx, 0, 1, ""); });
    const auto found = joinery::testing::explore(s);
    std::cout << to_string(found);
    INFO(to_string(found));
    CHECK(found.ok());
    CHECK(found.comparisons == found.states);
}
