// SPDX-License-Identifier: Apache-2.0
// Lists of documents.
#include "document_node.hpp"
#include "documents.hpp"

#include <stdexcept>
#include <string>
#include <vector>

using namespace documents;

TEST_CASE("document: an erased element with a write below it stands at the end of its list") {
    pair p(R"({"l": [{"n": 0}, {"n": 1}, {"n": 2}, {"n": 3}]})");
    const auto first = p.a->name({"l", 0}), second = p.a->name({"l", 1});
    REQUIRE(first);
    p.a.edit(erasing({"l", 1}));
    p.a.edit(erasing({"l", 0}));
    p.b.edit(setting({"l", 1, "x"}, true));
    p.b.edit(setting({"l", 0, "x"}, true));
    meet(p.a, p.b);
    check_converged(p.a, p.b);
    CHECK(p.a->to_json({"l"}) == R"([{"n":2},{"n":3},{"x":true},{"x":true}])");
    CHECK(p.a->size({"l"}) == 4);
    CHECK(p.a->name({"l", 2}) == first);
    CHECK(p.a->name({"l", 3}) == second);
    CHECK(p.b->get({"l", *second, "x"}) == true);
    CHECK_FALSE(p.b->name({"l", 4}));
    // What is inserted stands before it, and it can be edited and erased like any other.
    p.a.edit(inserting({"l"}, 4, "new"));
    p.b.edit(setting({"l", 3, "y"}, 1));
    p.a.edit([](document& d, transaction& tx) { d.erase(tx, {"l", d.push_back(tx, {"l"}, "gone")}); });
    CHECK_THROWS_AS(p.a.edit(inserting({"l"}, 6, 1)), std::out_of_range);
    meet(p.a, p.b);
    CHECK(p.a->to_json({"l"}) == R"([{"n":2},{"n":3},"new",{"x":true},{"x":true,"y":1}])");
    p.a.edit(erasing({"l", 3}));
    p.a.edit(erasing({"l", *second}));
    CHECK(p.a->to_json({"l"}) == R"([{"n":2},{"n":3},"new"])");
    meet(p.a, p.b);
    check_converged(p.a, p.b);
    // The same if the list itself, or what holds it, is erased.
    p.a.edit(erasing({"l"}));
    p.b.edit(setting({"l", 1, "n"}, 7));
    meet(p.a, p.b);
    CHECK(p.a->to_json() == R"({"l":[{"n":7}]})");
    check_converged(p.a, p.b);
}

TEST_CASE("document: concurrent insertions into a list all stay, each side's together") {
    pair p(R"(["first", "last"])");
    for (int i = 0; i < 3; ++i) {
        p.a.edit(inserting({}, static_cast<std::size_t>(1 + i), "a" + std::to_string(i)));
        p.b.edit(inserting({}, static_cast<std::size_t>(1 + i), "b" + std::to_string(i)));
    }
    p.a.edit(setting({0}, "FIRST"));
    p.b.edit(erasing({4}));
    meet(p.a, p.b);
    check_converged(p.a, p.b);
    CHECK(p.a->to_json() == R"(["FIRST","b0","b1","b2","a0","a1","a2"])");
    CHECK(p.a->keys({}).empty());
}

TEST_CASE("document: elements are named, and found by their names wherever they are") {
    replica<document> r{id_a};
    unique_id made, inner;
    r.edit([&](document& d, transaction& tx) {
        made = d.push_back(tx, {"rows"}, kind::list);
        inner = d.push_back(tx, {"rows", made}, "cell");
        d.insert(tx, {"rows"}, 0, nullptr);
    });
    CHECK(r->name({"rows", 1}) == made);
    CHECK(r->get({"rows", made, inner}) == "cell");
    CHECK(r->get("/rows/1/0") == "cell");
    CHECK_FALSE(r->name({"rows"}));
    CHECK_FALSE(r->name({}));
    CHECK_FALSE(r->name({"rows", inner}));
    r.edit(erasing({"rows", made}));
    CHECK(r->to_json() == R"({"rows":[null]})");
    CHECK_FALSE(r->contains({"rows", made}));
    CHECK_THROWS_AS(r.edit(setting({"rows", made}, 1)), std::out_of_range);
}

TEST_CASE("document: elements are moved to positions, with what is below them") {
    pair p(R"({"l": ["a", {"x": 1}, "c", "d"]})");
    const auto name = p.a->name({"l", 1});
    REQUIRE(name);
    p.a.edit(moving({"l", 1}, 3));
    CHECK(p.a->to_json({"l"}) == R"(["a","c","d",{"x":1}])");
    p.a.edit(moving({"l", *name}, 0));
    CHECK(p.a->to_json({"l"}) == R"([{"x":1},"a","c","d"])");
    p.a.edit(moving("/l/0", 1));
    CHECK(p.a->name({"l", 1}) == name);
    // What another leader does below it goes with it.
    p.b.edit(setting({"l", 1, "x"}, 2));
    meet(p.a, p.b);
    check_converged(p.a, p.b);
    CHECK(p.a->to_json({"l"}) == R"(["a",{"x":2},"c","d"])");
    const auto nothing = p.a.edit([&](document& d, transaction& tx) {
        d.move(tx, {"l", 1}, 1);
        d.move(tx, {"l", *name}, 1);
    });
    CHECK(nothing.covered.empty());
    check_undone(p.a, moving({"l", 3}, 0));
}

TEST_CASE("document: an element that is moved to two places is at one") {
    pair p(R"(["x", "1", "2", "3"])");
    for (int i = 0; i < 3; ++i) {
        const auto x = p.a->name({0}).value();
        p.a.edit(moving({x}, 1));
        p.b.edit(moving({x}, 3));
        p.b.edit(inserting({}, 1, "new"));
        meet(p.a, p.b);
        check_converged(p.a, p.b);
        CHECK(p.a->size({}) == static_cast<std::size_t>(5 + i));
        std::size_t found = 0;
        for (const auto& name : p.a->names({})) found += name == x;
        CHECK(found == 1);
    }
}

TEST_CASE("document: an element that is moved and erased is gone, unless somebody wrote below it") {
    pair p(R"({"l": [{"n": 0}, {"n": 1}, {"n": 2}]})");
    p.a.edit(moving({"l", 0}, 2));
    p.b.edit(erasing({"l", 0}));
    meet(p.a, p.b);
    check_converged(p.a, p.b);
    CHECK(p.a->to_json({"l"}) == R"([{"n":1},{"n":2}])");
    CHECK(p.a->size({"l"}) == 2);
    CHECK_THROWS_AS(p.a.edit(moving({"l", 0}, 2)), std::out_of_range);
    // Its place is taken away once all have seen it.
    CHECK(p.a->untidy(p.a.version()));
    CHECK_FALSE(p.a->untidy({}));
    p.b.join(p.a.tidy(p.a.version()));
    CHECK_FALSE(p.a->untidy(p.a.version()));
    CHECK(p.a.tidy(p.a.version()).covered.empty());
    check_converged(p.a, p.b);
    CHECK(p.b->to_json({"l"}) == R"([{"n":1},{"n":2}])");

    p.a.edit(moving({"l", 1}, 0));
    p.a.edit(setting({"l", 0, "kept"}, true));
    p.b.edit(erasing({"l", 1}));
    meet(p.a, p.b);
    check_converged(p.a, p.b);
    CHECK(p.a->to_json({"l"}) == R"([{"kept":true},{"n":1}])");

    // A list of which only such a place is left is not there.
    p.a.edit(moving({"l", 1}, 0));
    p.b.edit(erasing({"l"}));
    meet(p.a, p.b);
    check_converged(p.a, p.b);
    CHECK(p.a->to_json() == "{}");
    p.a.edit(inserting({"l"}, 0, "anew"));
    p.b.join(p.a.state());
    CHECK(p.b->to_json() == R"({"l":["anew"]})");
    CHECK(p.b->get({"l", 0}) == "anew");
    check_converged(p.a, p.b);
}

TEST_CASE("document: an element without a place is put back by a move, by several to one place") {
    pair p(R"(["a", {"n": 1}, "c"])");
    const auto lost = p.a->name({1}).value();
    p.a.edit(erasing({1}));
    p.b.edit(setting({1, "kept"}, true));
    meet(p.a, p.b);
    CHECK(p.a->to_json() == R"(["a","c",{"kept":true}])");
    p.a.edit(moving({2}, 1));
    CHECK(p.a->to_json() == R"(["a",{"kept":true},"c"])");
    p.b.edit(moving({lost}, 0));
    meet(p.a, p.b);
    check_converged(p.a, p.b);
    CHECK(p.a->size({}) == 3);
    const auto json = p.a->to_json();
    CHECK((json == R"(["a",{"kept":true},"c"])" || json == R"([{"kept":true},"a","c"])"));
    p.b.edit(moving({lost}, 2));
    meet(p.a, p.b);
    check_converged(p.a, p.b);
    CHECK(p.a->to_json() == R"(["a","c",{"kept":true}])");
    CHECK(p.a->name({2}) == lost);
    check_undone(p.a, [&](document& d, transaction& tx) {
        d.move(tx, {lost}, 0);
        d.erase(tx, {lost});
    });
    p.a.edit(erasing({lost}));
    meet(p.a, p.b);
    CHECK(p.b->to_json() == R"(["a","c"])");
    check_converged(p.a, p.b);
}

TEST_CASE("document: hidden places of elements that were moved go when that is known to all") {
    pair p(R"({"l": ["x", "1", "2"]})");
    p.a.edit(moving({"l", 0}, 1));
    p.b.edit(moving({"l", 0}, 2));
    meet(p.a, p.b);
    const auto json = p.a->to_json();
    REQUIRE(p.a->untidy(p.a.version()));
    p.b.join(p.a.tidy(p.a.version()));
    CHECK_FALSE(p.b->untidy(p.b.version()));
    CHECK(p.b->to_json() == json);
    check_converged(p.a, p.b);
}

TEST_CASE("document: what cannot be moved") {
    pair p(R"({"l": ["x", "y"], "m": {"k": 1}})");
    CHECK_THROWS_AS(p.a.edit(moving({"l", 0}, 2)), std::out_of_range);
    CHECK_THROWS_AS(p.a.edit(moving({"l", 2}, 0)), std::out_of_range);
    CHECK_THROWS_AS(p.a.edit(moving({"m", "k"}, 0)), std::invalid_argument);
    CHECK_THROWS_AS(p.a.edit(moving({}, 0)), std::invalid_argument);
    CHECK_THROWS_WITH(p.a.edit(moving("/m/k", 0)), "document: \"/m/k\" is no element of a list");
    CHECK(p.a->to_json() == R"({"l":["x","y"],"m":{"k":1}})");
}

TEST_CASE("document: a list that says a name many times shows it once") {
    replica<document> a{id_a};
    a.edit(inserting({}, 0, "x"));
    auto d = a.state().whole();
    auto& order = std::get<0>(std::get<5>(d.fragment.get().make().fields).make().fields);
    const auto name = order.elements.front();
    order.elements.assign(50, name);
    order.order = {};
    order.order.text.assign(50, 'x');
    order.order.runs.push_back({{id_b, 1}, {}, 50, 1});
    d.covered.add({id_b, 1, 50});
    replica<document> b{id_c};
    b.join(d);
    CHECK(b->size({}) == 1);
    CHECK(b->to_json() == R"(["x"])");
    b.edit(inserting({}, 1, "y"));
    CHECK(b->to_json() == R"(["x","y"])");
    b.edit(moving({1}, 0));
    CHECK(b->to_json() == R"(["y","x"])");
    b.edit(erasing({1}));
    CHECK(b->to_json() == R"(["y"])");
}
