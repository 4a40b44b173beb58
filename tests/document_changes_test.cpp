// SPDX-License-Identifier: Apache-2.0
// What joins tell of documents: see also changes_test.cpp.
#include "documents.hpp"

#include <joinery/changes.hpp>
#include <joinery/lww_register.hpp>
#include <joinery/or_map.hpp>
#include <joinery/record.hpp>
#include <joinery/rga_list.hpp>
#include <joinery/rga_text.hpp>

#include <algorithm>
#include <stdexcept>
#include <string>
#include <vector>

using namespace documents;
using joinery::change_list;
using joinery::conflict_choice;
using joinery::delta;
using joinery::noted_changes;

namespace {

template <class T> noted_changes joined(replica<T>& r, const delta<T>& d) {
    change_list list;
    r.join(d, &list);
    return list.take();
}
// A line for each change.
template <class T> strings told(replica<T>& r, const delta<T>& d) {
    strings out;
    for (const auto& c : joined(r, d).values) out.push_back(to_string(c));
    return out;
}

} // namespace

TEST_CASE("document changes: paths are the user's, and containers come before what is in them") {
    replica<document> a{id_a}, b{id_b};
    const auto imported = a.edit(importing(R"({"a": {"b": 1, "none": {}}, "l": []})"));
    CHECK(told(b, imported) == strings{R"(nothing -> map)", R"("a": nothing -> map)", R"("a"/"b": nothing -> 1)",
                                       R"("a"/"none": nothing -> map)", R"("l": nothing -> list)"});
    CHECK(told(b, a.edit(setting("/a/b", "x"))) == strings{R"("a"/"b": 1 -> "x")"});
    CHECK(told(b, a.edit(counting("/n", 3))) == strings{R"("n": nothing -> 3)"});
    CHECK(told(b, a.edit(counting("/n", -5))) == strings{R"("n": 3 -> -2)"});
    CHECK(told(b, a.edit(typing("/t", 0, "tea"))) ==
          strings{R"("t": nothing -> text)", R"("t": nothing -> [retain 0, insert "tea"])"});
    CHECK(told(b, a.edit(typing("/t", 3, "s"))) == strings{R"("t": nothing -> [retain 3, insert "s"])"});
    CHECK(told(b, imported).empty());
}

TEST_CASE("document changes: what is erased, empty containers too") {
    replica<document> a{id_a}, b{id_b};
    b.join(a.edit(importing(R"({"a": {"b": 1, "none": {}}, "l": []})")));
    CHECK(told(b, a.edit(erasing("/a/none"))) == strings{R"("a"/"none": map -> nothing)"});
    CHECK(told(b, a.edit(erasing("/l"))) == strings{R"("l": list -> nothing)"});
    auto gone = told(b, a.edit(erasing("/a")));
    std::sort(gone.begin(), gone.end());
    CHECK(gone == strings{R"("a"/"b": 1 -> nothing)", R"("a": map -> nothing)"});
    CHECK(told(b, a.edit(setting({}, true))) == strings{"map -> true"});
    CHECK(told(b, a.edit(making({}, kind::list))) == strings{"true -> list"});
    CHECK(told(b, a.edit(erasing({}))) == strings{"list -> nothing"});
}

TEST_CASE("document changes: elements by their names, and their order in steps") {
    replica<document> a{id_a}, b{id_b};
    b.join(a.edit(importing(R"({"l": ["x", {"n": 1}]})")));
    const auto x = a->name("/l/0").value(), y = a->name("/l/1").value();
    const auto changed = joined(b, a.edit(setting("/l/1/n", 2)));
    REQUIRE(changed.values.size() == 1);
    const auto& c = changed.values[0];
    CHECK(document::path(c.path) == document::path{"l", y, "n"});
    CHECK(b->get(document::path(c.path)) == 2);
    CHECK(*c.before.as<document::scalar>() == 1);
    CHECK(*c.after.as<document::scalar>() == 2);

    using steps = std::vector<joinery::list_step<unique_id>>;
    const auto moved = joined(b, a.edit(moving("/l/0", 1)));
    REQUIRE(moved.values.size() == 1);
    CHECK(document::path(moved.values[0].path) == document::path{"l"});
    CHECK(*moved.values[0].after.as<steps>() == steps{{0, 1, {}}, {1, 0, {x}}});
    unique_id z;
    const auto added = joined(b, a.edit([&](document& d, transaction& tx) { z = d.insert(tx, "/l", 0, kind::map); }));
    REQUIRE(added.values.size() == 2);
    CHECK(document::path(added.values[0].path) == document::path{"l", z});
    CHECK(*added.values[0].after.as<kind>() == kind::map);
    CHECK(*added.values[1].after.as<steps>() == steps{{0, 0, {z}}});
    const auto erased = joined(b, a.edit(erasing("/l/0")));
    const auto went = std::find_if(erased.values.begin(), erased.values.end(),
                                   [](const auto& change) { return change.before.has_value(); });
    REQUIRE(went != erased.values.end());
    CHECK(document::path(went->path) == document::path{"l", z});
    CHECK_FALSE(went->after.has_value());
    // What was erased while somebody wrote below it is now the last.
    b.edit(setting({"l", y, "n"}, 3));
    const auto lost = joined(b, a.edit(erasing({"l", y})));
    bool last = false;
    for (const auto& change : lost.values)
        if (const auto* s = change.after.as<steps>()) last = *s == steps{{0, 1, {}}, {1, 0, {y}}};
    CHECK(last);
    CHECK(b->names({"l"}) == std::vector<unique_id>{x, y});
}

TEST_CASE("document changes: what was created with different types is a conflict, until somebody decides") {
    pair p("{}");
    const auto value = p.a.edit(setting({"x"}, "here"));
    const auto map = p.b.edit(setting({"x", "below"}, 1));
    CHECK(told(p.a, map) ==
          strings{R"("x"/"below": nothing -> 1)", R"("x": "here" -> map, all were kept over "here")"});
    const auto seen = joined(p.b, value);
    REQUIRE(seen.values.size() == 1);
    CHECK(to_string(seen.values[0]) == R"("x": map -> map, all were kept over "here")");
    CHECK(seen.values[0].how == conflict_choice::all_kept);
    CHECK(*seen.values[0].overruled.at(0).as<document::scalar>() == "here");
    // Of what is new below, nothing is told where it is the same as before.
    CHECK(told(p.b, p.a.edit(setting({"x", "more"}, 2))) == strings{R"("x"/"more": nothing -> 2)"});
    CHECK(told(p.b, p.a.edit(setting({"x"}, 3))) ==
          strings{R"("x": map -> 3)", R"("x"/"more": 2 -> nothing)", R"("x"/"below": 1 -> nothing)"});
    const auto count = p.b.edit(counting({"y"}, 2));
    p.a.edit(making({"y"}, kind::list));
    CHECK(told(p.a, count) == strings{R"("y": list -> list, all were kept over 2)"});
}

TEST_CASE("document changes: concurrent values, and what a removal had not seen") {
    pair p(R"({"v": 1, "m": {"old": 1}})");
    const auto b = p.b.edit(setting({"v"}, "b"));
    p.a.edit(setting({"v"}, "a"));
    const auto met = joined(p.a, b);
    REQUIRE(met.values.size() == 1);
    CHECK(met.values[0].how == conflict_choice::last_write);
    CHECK(met.values[0].overruled.size() == 1);
    CHECK(met.values[0].after == joinery::shown_value(*p.a->get({"v"})));
    p.b.edit(setting({"m", "new"}, 2));
    auto lines = told(p.b, p.a.edit(erasing({"m"})));
    std::sort(lines.begin(), lines.end());
    CHECK(lines == strings{R"("m"/"old": 1 -> nothing)", R"("m": map -> map, what a removal had not seen survived)"});
    CHECK(p.b->to_json({"m"}) == R"({"new":2})");
}

namespace {
struct page {
    document left;
    joinery::lww_register<int> number;
};
JOINERY_RECORD(page, (1, left), (2, number))
} // namespace

TEST_CASE("document changes: in maps and records, behind the path to the document") {
    using pages = joinery::or_map<std::string, page>;
    replica<pages> a{id_a}, b{id_b};
    const auto changes = joined(b, a.edit([](pages& all, transaction& tx) {
        auto one = all.at(tx, "one");
        one->left.set(tx, {"k", "x"}, 1);
        one->number.set(tx, 7);
    }));
    REQUIRE(changes.values.size() == 4);
    CHECK(to_string(changes.values[0]) == R"("one"/"left": nothing -> map)");
    CHECK(to_string(changes.values[2]) == R"("one"/"left"/"k"/"x": nothing -> 1)");
    CHECK(to_string(changes.values[3]) == R"("one"/"number": nothing -> 7)");
    CHECK(b->find("one")->left.get(document::path(changes.values[2].path, 2)) == 1);
    auto gone = told(b, a.edit([](pages& all, transaction& tx) { all.erase(tx, "one"); }));
    CHECK(gone.size() == 4);
    CHECK_THROWS_AS(static_cast<void>(document::path(std::vector{joinery::shown_value(7)})), std::invalid_argument);
}
