// SPDX-License-Identifier: Apache-2.0
#include <joinery/document.hpp>

#include "cereal_archives.hpp"
#include "document_node.hpp"
#include "replicas.hpp"

#include <joinery/lww_register.hpp>
#include <joinery/or_map.hpp>
#include <joinery/record.hpp>
#include <joinery/rga_text.hpp>

#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

using joinery::document;
using joinery::replica;
using joinery::transaction;
using joinery::unique_id;
using kind = document::kind;
using kinds = std::vector<kind>;
using scalars = std::vector<document::scalar>;
using strings = std::vector<std::string>;

namespace {

auto setting(document::path at, document::scalar v) {
    return [=](document& d, transaction& tx) { d.set(tx, at, v); };
}
auto making(document::path at, kind what) {
    return [=](document& d, transaction& tx) { d.make(tx, at, what); };
}
auto erasing(document::path at) {
    return [=](document& d, transaction& tx) { d.erase(tx, at); };
}
auto counting(document::path at, std::int64_t n) {
    return [=](document& d, transaction& tx) { d.increment(tx, at, n); };
}
auto typing(document::path at, std::size_t pos, std::string text) {
    return [=](document& d, transaction& tx) { d.insert_text(tx, at, pos, text); };
}
auto inserting(document::path at, std::size_t pos, document::scalar v) {
    return [=](document& d, transaction& tx) { d.insert(tx, at, pos, v); };
}
auto importing(std::string json, document::path at = {}) {
    return [=](document& d, transaction& tx) {
        const auto done = d.import_json(tx, at, json);
        INFO(json);
        REQUIRE(done);
    };
}

// Two replicas that have seen the same document.
struct pair {
    replica<document> a{id_a}, b{id_b};
    explicit pair(const std::string& json) {
        a.edit(importing(json));
        b.join(a.state());
    }
};

std::string imported(const std::string& json) {
    replica<document> r{id_a};
    r.edit(importing(json));
    return r->to_json();
}

} // namespace

TEST_CASE("document: two leaders who create one path with different types keep both") {
    replica<document> a{id_a}, b{id_b}, c{id_c};
    a.edit(setting({"address", "city"}, "Bern"));
    b.edit(setting({"address"}, "Bern"));
    c.edit(typing({"address"}, 0, "Bern, Switzerland"));
    c.edit(counting({"votes"}, 2));
    a.edit(inserting({"votes"}, 0, 1));
    meet(a, b, c);
    meet(a, b, c);
    check_converged(a, b, c);
    CHECK(a->kinds({"address"}) == kinds{kind::map, kind::text, kind::value});
    CHECK(a->get({"address"}) == "Bern");
    CHECK(a->get({"address", "city"}) == "Bern");
    CHECK(a->text({"address"}) == "Bern, Switzerland");
    CHECK(a->kinds({"votes"}) == kinds{kind::list, kind::counter});
    CHECK(a->counter({"votes"}) == 2);
    CHECK(a->get({"votes", 0}) == 1);
    CHECK(a->conflicts() == std::vector<document::path>{{"address"}, {"votes"}});
    CHECK(a->to_json() == R"({"address":{"city":"Bern"},"votes":[1]})");
    CHECK(a->kinds({}) == kinds{kind::map}); // both made it: it is one
}

TEST_CASE("document: who sets or makes has decided, and who edits has not") {
    const auto both = [] {
        pair p("{}");
        p.a.edit(setting({"x", "below"}, 1));
        p.b.edit(setting({"x"}, "here"));
        meet(p.a, p.b);
        return p;
    };
    for (const bool first : {true, false}) {
        auto p = both();
        auto& decides = first ? p.a : p.b;
        decides.edit(setting({"x", "further"}, 2));
        CHECK(decides->kinds({"x"}) == kinds{kind::map, kind::value});
        decides.edit(making({"x"}, kind::map));
        meet(p.a, p.b);
        check_converged(p.a, p.b);
        CHECK(p.a->kinds({"x"}) == kinds{kind::map});
        CHECK(p.a->to_json() == R"({"x":{"below":1,"further":2}})");
        decides.edit(setting({"x"}, true));
        meet(p.a, p.b);
        CHECK(p.b->to_json() == R"({"x":true})");
        CHECK(p.b->conflicts().empty());
        check_converged(p.a, p.b);
    }
    auto p = both();
    p.a.edit(making({"x"}, kind::text)); // which was not there: all else goes
    CHECK(p.a->kinds({"x"}) == kinds{kind::text});
    CHECK(p.a->text({"x"}) == "");
    p.b.edit(setting({"x", "below"}, 2)); // it had not seen that
    meet(p.a, p.b);
    CHECK(p.a->kinds({"x"}) == kinds{kind::map, kind::text});
    CHECK(p.a->get({"x", "below"}) == 2);
    check_converged(p.a, p.b);
}

TEST_CASE("document: a write below an erased path survives, with the path to it") {
    pair p(R"({"a": {"b": {"c": 1, "d": 2}}, "text": "", "n": 0})");
    p.a.edit([](document& d, transaction& tx) {
        CHECK(d.erase(tx, {"a"}));
        CHECK_FALSE(d.erase(tx, {"a"}));
    });
    p.b.edit(setting({"a", "b", "e"}, 3));
    CHECK(p.a->to_json() == R"({"n":0,"text":""})");
    meet(p.a, p.b);
    CHECK(p.a->to_json() == R"({"a":{"b":{"e":3}},"n":0,"text":""})");
    check_converged(p.a, p.b);
    p.a.edit(erasing({}));
    CHECK(p.a->empty());
    CHECK(p.a->to_json() == "null");
    p.b.edit(setting({"text"}, "kept"));
    meet(p.a, p.b);
    CHECK(p.a->to_json() == R"({"text":"kept"})");
    check_converged(p.a, p.b);
}

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

TEST_CASE("document: counters add up, texts merge, and of concurrent values the last wins") {
    pair p(R"({"v": 1})");
    p.a.edit(counting({"n"}, 5));
    p.b.edit(counting({"n"}, -2));
    p.a.edit(typing({"t"}, 0, "tea"));
    p.b.join(p.a.state());
    p.a.edit(typing({"t"}, 0, "green "));
    p.b.edit([](document& d, transaction& tx) {
        d.insert_text(tx, {"t"}, 3, ", mate");
        d.erase_text(tx, {"t"}, 0, 1);
        d.edit_text(tx, {"t"}, [&](joinery::rga_text& t) { t.insert(tx, t.size(), "!"); });
    });
    p.a.edit(setting({"v"}, "from a"));
    p.b.edit(setting({"v"}, 2.5));
    meet(p.a, p.b);
    check_converged(p.a, p.b);
    CHECK(p.a->counter({"n"}) == 3);
    CHECK(p.a->text({"t"}) == "green ea, mate!");
    REQUIRE(p.a->find_text({"t"}));
    CHECK(p.a->find_text({"t"})->size() == 15);
    CHECK(p.a->siblings({"v"}).size() == 2);
    CHECK(p.a->get({"v"}) == p.a->siblings({"v"}).front());
    CHECK(p.a->conflicts() == std::vector<document::path>{{"v"}});
    p.a.edit(setting({"v"}, nullptr));
    meet(p.a, p.b);
    CHECK(p.b->siblings({"v"}) == scalars{nullptr});
    CHECK(p.b->to_json() == R"({"n":3,"t":"green ea, mate!","v":null})");
}

TEST_CASE("document: empty containers are there") {
    replica<document> r{id_a};
    CHECK(r->to_json() == "null");
    CHECK(r->kinds({}).empty());
    CHECK_FALSE(r->contains({}));
    for (const auto k : {kind::map, kind::list, kind::text, kind::counter}) {
        r.edit(making({std::string(to_string(k))}, k));
        CHECK(r->kinds({std::string(to_string(k))}) == kinds{k});
    }
    CHECK(r->to_json() == R"({"counter":0,"list":[],"map":{},"text":""})");
    CHECK(r->counter({"counter"}) == 0);
    CHECK(r->text({"text"}) == "");
    CHECK(r->size({"list"}) == 0);
    CHECK(r->keys({}) == strings{"counter", "list", "map", "text"});
    CHECK(r->size({}) == 4);
    CHECK_FALSE(r->counter({"text"}));
    CHECK_FALSE(r->text({"counter"}));
    CHECK(r->find_text({"map"}) == nullptr);
    // What loses its last part stays; what is made again is not emptied.
    r.edit([](document& d, transaction& tx) {
        d.insert(tx, {"list"}, 0, kind::map);
        d.set(tx, {"list", 0, "x"}, 1);
        d.erase(tx, {"list", 0, "x"});
        d.set(tx, {"map", "x"}, 1);
        d.make_map(tx, {"map"});
    });
    CHECK(r->to_json() == R"({"counter":0,"list":[{}],"map":{"x":1},"text":""})");
    check_converged(r);
}

TEST_CASE("document: refuses what makes no sense, and changes nothing") {
    replica<document> r{id_a};
    r.edit(importing(R"({"list": [1, 2], "map": {"x": 1}, "value": 1})"));
    r.edit(typing({"text"}, 0, "abc"));
    r.edit(counting({"counter"}, 1));
    const auto before = joinery::encode(r.state());
    const auto fails = [&]<class Error>(Error, auto&& edit) {
        // Also if the callable goes on: nothing was done.
        const auto d = r.edit([&](document& doc, transaction& tx) { CHECK_THROWS_AS(edit(doc, tx), Error); });
        CHECK(d.covered.empty());
        CHECK(joinery::encode(r.state()) == before);
    };
    const std::out_of_range range("");
    const std::invalid_argument invalid("");
    fails(range, setting({"list", 2}, 1));
    fails(range, setting({"list", -1}, 1));
    fails(range, setting("/list/2", 1));
    fails(range, setting("/list/-", 1));
    fails(range, setting("/list/01", 1));
    fails(range, setting({"nowhere", 0}, 1));
    fails(range, setting({"list", unique_id()}, 1));
    fails(range, inserting({"list"}, 3, 1));
    fails(range, inserting({"new"}, 1, 1));
    fails(range, typing({"text"}, 4, "x"));
    fails(range, typing({"new"}, 1, "x"));
    fails(range, [](document& d, transaction& tx) { d.erase_text(tx, {"text"}, 1, 3); });
    fails(invalid, setting({"value", "x"}, 1));
    fails(invalid, setting({"list", "x"}, 1));
    fails(invalid, setting({"map", 0}, 1));
    fails(invalid, setting({"text", "x"}, 1));
    fails(invalid, inserting({"map"}, 0, 1));
    fails(invalid, counting({"value"}, 1));
    fails(invalid, typing({"map"}, 0, "x"));
    fails(invalid, making({"new"}, kind::value));
    fails(invalid, [](document& d, transaction& tx) { d.insert(tx, {"list"}, 0, kind::value); });
    fails(invalid, setting({"new\xff"}, 1));
    fails(invalid, setting({"new"}, "\xc0\x80"));
    fails(invalid, inserting({"list"}, 0, "\xed\xa0\x80"));
    fails(invalid, typing({"new"}, 0, "\xf5"));
    fails(std::overflow_error(""), counting({"new"}, INT64_MIN));
    fails(std::overflow_error(""), counting({"counter"}, INT64_MAX));
    CHECK_THROWS_AS(static_cast<void>(document::scalar(std::nan(""))), std::invalid_argument);
    const double infinite = std::numeric_limits<double>::infinity();
    CHECK_THROWS_AS(static_cast<void>(document::scalar(infinite)), std::invalid_argument);
    for (const char* wrong : {"x", "x/y", "/~", "/~2", "/a~"})
        CHECK_THROWS_AS(static_cast<void>(document::path(wrong)), std::invalid_argument);
    document::path deep;
    while (deep.steps().size() < document::max_depth) deep = deep / "x";
    fails(std::length_error(""), setting(deep / "x", 1));
    fails(std::length_error(""), inserting(deep, 0, 1));
    CHECK_THROWS_WITH(r.edit(setting({"value", "x"}, 1)), "document: what is at \"/value\" is no map");
    CHECK_THROWS_WITH(r.edit(setting({"list", 2}, 1)), "document: there is no element \"/list/2\"");
    // Nothing is read where nothing is.
    for (const document::path& none : {document::path{"list", 7}, {"list", "x"}, {"value", 0}, {"nowhere", "x", 2}}) {
        CHECK_FALSE(r->contains(none));
        CHECK_FALSE(r->get(none));
        CHECK(r->siblings(none).empty());
        CHECK(r->to_json(none) == "null");
        CHECK(r->keys(none).empty());
        CHECK(r->size(none) == 0);
        r.edit([&](document& d, transaction& tx) { CHECK_FALSE(d.erase(tx, none)); });
    }
}

TEST_CASE("document: JSON pointers") {
    replica<document> r{id_a};
    r.edit(importing(R"({"a/b": 1, "m~n": 2, "": 3, "7": {"0": 4}, "list": [{"x": 5}]})"));
    CHECK(r->get("/a~1b") == 1);
    CHECK(r->get("/m~0n") == 2);
    CHECK(r->get("/") == 3);
    CHECK(r->get("/7/0") == 4);
    CHECK(r->get("/list/0/x") == 5);
    CHECK(r->keys("") == strings{"", "7", "a/b", "list", "m~n"});
    CHECK(to_string(document::path{"a/b", 3, "m~n", ""}) == "/a~1b/3/m~0n/");
    CHECK(to_string(document::path("/a~1b/3")) == "/a~1b/3");
    r.edit(setting("/new/0/x", 6)); // where no list is, a number is a key
    CHECK(r->to_json("/new") == R"({"0":{"x":6}})");
    // Where a map and a list stand side by side, a number leads into the list.
    replica<document> a{id_a}, b{id_b};
    a.edit(inserting({"both"}, 0, "element"));
    b.edit(setting({"both", "0"}, "member"));
    b.edit(setting({"both", "k"}, "member"));
    meet(a, b);
    CHECK(a->get("/both/0") == "element");
    CHECK(a->get({"both", "0"}) == "member");
    CHECK(a->get("/both/k") == "member");
}

TEST_CASE("document: JSON comes back as it was") {
    for (const std::string json : {"null",
                                   "true",
                                   "false",
                                   "0",
                                   "-1",
                                   "9223372036854775807",
                                   "-9223372036854775808",
                                   "9223372036854775808",
                                   "18446744073709551615",
                                   "1.0",
                                   "-0.0",
                                   "0.1",
                                   "1e+300",
                                   "5e-324",
                                   "1.7976931348623157e+308",
                                   "\"\"",
                                   R"("a\"b\\c\n\t\u0001é😀")",
                                   "[]",
                                   "{}",
                                   "[[],[{}],[null,[1,2.5,\"x\"]]]",
                                   R"({"a":{"b":{"c":[1,{"d":true}]}},"e":"f"})"}) {
        CHECK(imported(json) == json);
    }
    CHECK(imported(" { \"b\" : 1 ,\n \"a\" : \"\\u00e9\\ud83d\\ude00\\u0000\" } ") ==
          "{\"a\":\"\u00e9\U0001f600\\u0000\",\"b\":1}");
    CHECK(imported("1.50E1") == "15.0");
    CHECK(imported("1e22") == "1e+22");
    CHECK(imported("-0") == "0");
    std::mt19937_64 random(5);
    for (int i = 0; i < 2000; ++i) {
        const double x = std::bit_cast<double>(random());
        if (!std::isfinite(x)) continue;
        replica<document> r{id_a};
        r.edit(importing(document::scalar(x).to_json()));
        CHECK(r->get({}) == x);
    }
    replica<document> r{id_a};
    r.edit(importing(R"({"list":[1,{}],"x":{"y":null}})"));
    CHECK(r->to_json({}, 2) == "{\n  \"list\": [\n    1,\n    {}\n  ],\n  \"x\": {\n    \"y\": null\n  }\n}");
    CHECK(r->to_json({"x"}) == R"({"y":null})");
}

TEST_CASE("document: what is imported takes the place of what was seen there") {
    pair p(R"({"list": [1, 2], "x": {"y": 1}})");
    const auto name = p.a->name({"list", 1});
    p.a.edit(importing(R"({"new": true})", {"list", 1}));
    p.a.edit(importing(R"(["a"])", {"x"}));
    p.b.edit(setting({"x", "z"}, 2));
    CHECK(p.a->name({"list", 1}) == name);
    meet(p.a, p.b);
    CHECK(p.a->to_json() == R"({"list":[1,{"new":true}],"x":{"z":2}})");
    CHECK(p.a->kinds({"x"}) == kinds{kind::map, kind::list});
    CHECK(p.a->get({"x", 0}) == "a");
    check_converged(p.a, p.b);
}

TEST_CASE("document: what cannot be imported is told, and nothing has changed") {
    replica<document> r{id_a};
    r.edit(importing(R"({"here": [1]})"));
    const auto before = joinery::encode(r.state());
    const auto error_of = [&](std::string_view json, const document::path& at = {"x"}) {
        joinery::json_error error;
        const auto d = r.edit([&](document& doc, transaction& tx) {
            const auto done = doc.import_json(tx, at, json);
            INFO(json);
            REQUIRE_FALSE(done);
            error = done.error();
        });
        CHECK(d.covered.empty());
        CHECK(joinery::encode(r.state()) == before);
        return error;
    };
    for (const char* wrong :
         {"",         " ",         "{",     "[1,]",      "{\"a\":1,}", "{a:1}",   "nul",       "1 2", "[1",
          "\"a",      "01",        "+1",    "1.",        ".5",         "1e",      "-",         "'a'", "NaN",
          "Infinity", "-Infinity", "[1]//", "{\"a\" 1}", "\"\t\"",     "\"\\x\"", "\"\\u12\"", "]",   "[}"}) {
        const auto error = error_of(wrong);
        CHECK_FALSE(error.reason.empty());
        CHECK(error.byte <= std::string_view(wrong).size());
    }
    CHECK(error_of(R"({"a": 1, "b": 2, "a": 3})").reason == "a key twice in an object");
    CHECK(error_of("18446744073709551616").reason == "a number out of range");
    CHECK(error_of("-9223372036854775809").reason == "a number out of range");
    CHECK(error_of("[1, 1e-400]").reason == "a number out of range");
    CHECK_FALSE(error_of("1e400").reason.empty());
    CHECK(error_of("\"\xff\"").reason == "text that is not valid UTF-8");
    CHECK(error_of("{\"\xc0\x80\": 1}").reason == "a key that is not valid UTF-8");
    for (const char* surrogate : {"\"\\ud800\"", "\"\\udc00\"", "\"\\ud800x\"", "\"\\ud800\\ud800\""})
        CHECK_FALSE(error_of(surrogate).reason.empty());
    CHECK(error_of(std::string_view("1\0", 2)).reason == "a zero byte");
    CHECK(error_of(std::string_view("1\0 2", 4)).reason == "a zero byte");
    const auto nested = [](std::size_t depth) { return std::string(depth, '[') + std::string(depth, ']'); };
    CHECK(error_of(nested(document::max_depth + 1)).reason == "nested too deeply");
    CHECK(error_of(nested(100'000)).reason == "nested too deeply");
    CHECK(error_of(std::string(100'000, '[')).reason == "nested too deeply");
    replica<document> deep{id_b};
    deep.edit(importing(nested(document::max_depth + 1 - 2), {"a", "b"}));
    check_converged(deep);
    CHECK(r->to_json() == R"({"here":[1]})");
    CHECK_THROWS_AS(error_of("1", {"here", 1}), std::out_of_range);
}

TEST_CASE("document: an edit that fails changes nothing") {
    replica<document> r{id_a};
    const auto everything = [](document& d, transaction& tx) {
        d.set(tx, {"m", "x"}, "value");
        d.make_list(tx, {"m", "x"});
        d.push_back(tx, {"m", "x"}, 1);
        d.push_back(tx, {"m", "x"}, kind::map);
        d.set(tx, {"m", "x", 1, "y"}, 2.5);
        d.erase(tx, {"m", "x", 0});
        d.increment(tx, {"c"}, 3);
        d.make_text(tx, {"t"});
        d.insert_text(tx, {"t"}, 0, "text");
        d.erase_text(tx, {"t"}, 1, 2);
        d.erase(tx, {"m"});
        d.set(tx, {"m", "again"}, nullptr);
        CHECK(d.import_json(tx, {"t"}, R"([{"a": [1, 2]}, "b"])"));
    };
    check_undone(r, everything);
    CHECK(r->vacant());
    r.edit(everything);
    CHECK(r->to_json() == R"({"c":3,"m":{"again":null},"t":[{"a":[1,2]},"b"]})");
    check_undone(r, everything);
    r.edit(typing({"u"}, 0, "kept"));
    check_undone(r, [&](document& d, transaction& tx) {
        everything(d, tx);
        d.erase(tx, {});
        everything(d, tx);
    });
    check_converged(r);
}

TEST_CASE("document: copies share nothing") {
    replica<document> r{id_a};
    r.edit(importing(R"({"a": [1, {"b": 2}]})"));
    r.edit(typing({"t"}, 0, "text"));
    const document copy = *r;
    document moved = copy, assigned;
    assigned = std::move(moved);
    r.edit(setting({"a", 1, "b"}, 3));
    r.edit(typing({"t"}, 0, "more "));
    CHECK(copy.to_json() == R"({"a":[1,{"b":2}],"t":"text"})");
    CHECK(assigned == copy);
    CHECK_FALSE(copy == *r);
}

TEST_CASE("document: pruned when all have seen it, and nothing that lives has changed") {
    pair p(R"({"list": [1, 2, 3, {"x": 1}], "text": null})");
    p.a.edit(typing({"t"}, 0, "some text"));
    p.a.edit([](document& d, transaction& tx) {
        d.erase_text(tx, {"t"}, 2, 5);
        d.erase(tx, {"list", 0});
        d.erase(tx, {"list", 1});
        d.erase(tx, {"text"});
    });
    meet(p.a, p.b);
    const auto json = p.a->to_json();
    CHECK(json == R"({"list":[2,{"x":1}],"t":"soxt"})");
    const auto size = joinery::encode(p.a.state()).size();
    p.a.prune(p.a.version());
    CHECK(joinery::encode(p.a.state()).size() < size);
    CHECK(p.a->to_json() == json);
    p.b.prune(p.b.version());
    check_converged(p.a, p.b);
    p.a.edit(inserting({"list"}, 1, "a"));
    p.b.edit(inserting({"list"}, 1, "b"));
    p.b.edit(erasing({}));
    meet(p.a, p.b);
    CHECK(p.a->to_json() == R"({"list":["a"]})");
    p.a.edit(erasing({}));
    p.a.prune(p.a.version());
    CHECK(p.a->empty());
    meet(p.a, p.b);
    check_converged(p.a, p.b);
}

TEST_CASE("document: unsent edits are made anew on what others have pruned") {
    pair p(R"({"list": [1, 2, 3]})");
    p.b.edit(typing({"t"}, 0, "abc"));
    p.a.join(p.b.state());
    const auto sent = p.b.version();
    p.b.edit([](document& d, transaction& tx) {
        d.insert(tx, {"list"}, 2, "unsent");
        d.insert_text(tx, {"t"}, 3, "def");
        d.set(tx, {"list", 0}, "changed");
        d.increment(tx, {"n"}, 2);
    });
    p.a.edit(erasing({"list", 1}));
    p.a.prune(p.a.version());
    const auto seq = sent[id_b];
    p.b.rejoin(p.a.delta_since({}), seq, joinery::replica_id{0xbb});
    CHECK(p.b->to_json() == R"({"list":["changed","unsent",3],"n":2,"t":"abcdef"})");
    p.a.join(p.b.state());
    check_converged(p.a, p.b);
}

TEST_CASE("document: below the keys of a map") {
    using pages = joinery::or_map<std::string, document>;
    replica<pages> a{id_a}, b{id_b};
    a.edit([](pages& m, transaction& tx) {
        m.at(tx, "one")->set(tx, {"x", "y"}, 1);
        CHECK(m.at(tx, "two")->import_json(tx, {}, "[1,2]"));
    });
    b.join(a.state());
    a.edit([](pages& m, transaction& tx) { m.erase(tx, "one"); });
    b.edit([](pages& m, transaction& tx) { m.at(tx, "one")->increment(tx, {"x", "z"}); });
    meet(a, b);
    check_converged(a, b);
    REQUIRE(a->find("one"));
    CHECK(a->find("one")->to_json() == R"({"x":{"z":1}})");
    a.edit([](pages& m, transaction& tx) { m.at(tx, "two")->erase(tx, {}); });
    CHECK(a->size() == 1);
    check_undone(a, [](pages& m, transaction& tx) {
        m.at(tx, "one")->erase(tx, {"x"});
        m.at(tx, "three")->push_back(tx, {}, 1);
    });
}

TEST_CASE("document: parts that a later version adds are kept and passed on") {
    replica<document> a{id_a}, b{id_b};
    auto d = a.edit(importing(R"({"l": [{"x": 1}]})"));
    auto& l = std::get<4>(d.fragment.get().make().fields).make().items.front().value;
    auto& element = std::get<1>(std::get<5>(l.fields).make().fields).items.front().value;
    element.unknown.emplace_back(9, joinery::opaque_fragment{{}, {std::byte{1}}});
    const auto received = joinery::decode<joinery::delta<document>>(joinery::encode(d));
    REQUIRE(received);
    b.join(*received);
    CHECK(b->to_json() == a->to_json());
    const auto kept = joinery::decode<joinery::causal<document>>(joinery::encode(b.state()));
    REQUIRE(kept);
    replica<document> c{id_c};
    c.join(*kept);
    CHECK(c->to_json() == a->to_json());
    REQUIRE(c.state().whole().unknown.size() == 1);
    CHECK(c.state().whole().unknown.front().content.bytes.size() == 1);
}

TEST_CASE("document: saved and read by all archives, to any depth that can be written") {
    replica<document> r{id_a};
    document::path lists, maps{"m"};
    r.edit([&](document& d, transaction& tx) {
        while (maps.steps().size() < document::max_depth) maps = maps / "m";
        d.set(tx, maps, "deep");
        d.make_list(tx, {"l"});
        lists = {"l"};
        while (lists.steps().size() < document::max_depth - 1) {
            d.push_back(tx, lists, kind::list);
            lists = lists / 0;
        }
        d.push_back(tx, lists, "deep");
    });
    CHECK(r->get(maps) == "deep");
    CHECK(r->get(lists / 0) == "deep");
    check_converged(r);
    const auto whole = r.state().whole();
    CHECK(through_json(whole) == whole);
    CHECK(through_portable_binary(whole) == whole);
    using around = joinery::or_map<std::string, joinery::or_map<std::string, document>>;
    replica<around> outer{id_b};
    outer.edit([&](around& m, transaction& tx) {
        auto inner = m.at(tx, "a");
        auto d = inner->at(tx, "b");
        d->set(tx, maps, 1);
    });
    check_converged(outer);
}

TEST_CASE("document: what no replica writes is refused") {
    using joinery::decode_error;
    using node = joinery::record_fragment<joinery::detail::document_node>;
    const auto refused = [](const node& root) {
        joinery::delta<document> d;
        d.covered.add(joinery::dot{id_a, 1});
        d.fragment.get().make() = root;
        const auto back = joinery::decode<joinery::delta<document>>(joinery::encode(d));
        return back ? std::string_view("nothing") : to_string(back.error());
    };
    node leaf;
    std::get<0>(leaf.fields).push_back({id_a, 1}, {kind::map});
    const auto above = [](const std::string& key, const node& below) {
        node n;
        std::get<4>(n.fields).make().items.push_back({key, below});
        return n;
    };
    CHECK(refused(leaf) == "nothing");
    node deep = leaf;
    for (std::size_t i = 0; i < document::max_depth; ++i) deep = above("", deep);
    CHECK(refused(deep) == "nothing");
    CHECK(refused(above("", deep)) == "nested too deeply");
    CHECK(refused(above("", node())) == "non-canonical form");
    CHECK(refused(above("\xff", leaf)) == "invalid value");
    node twice = above("x", leaf);
    std::get<4>(twice.fields).make().items.push_back({"x", leaf});
    CHECK(refused(twice) == "non-canonical form");
    node unknown_kind;
    std::get<0>(unknown_kind.fields).push_back({id_a, 1}, {kind::value});
    CHECK(refused(unknown_kind) == "invalid value");
    const auto refuses = [](const document::scalar& wrong, decode_error why) {
        std::vector<std::byte> bytes;
        joinery::compact_output_archive ar(bytes);
        ar(cereal::make_nvp("value", wrong.get()));
        const auto back = joinery::decode<document::scalar>(bytes);
        REQUIRE_FALSE(back);
        CHECK(back.error() == why);
    };
    refuses("\xff", decode_error::invalid_value);
    CHECK(joinery::decode<document::scalar>(joinery::encode(document::scalar(-0.0))) == document::scalar(-0.0));
    CHECK_FALSE(document::scalar(-0.0) == document::scalar(0.0));
    CHECK(document::scalar(7u) == document::scalar(7));
    CHECK_FALSE(document::scalar(7) == document::scalar(7.0));
    std::vector<std::byte> endless;
    joinery::compact_output_archive{endless}(document::scalar::variant(std::numeric_limits<double>::infinity()));
    CHECK_FALSE(joinery::decode<document::scalar>(endless));
    std::vector<std::byte> small;
    joinery::compact_output_archive{small}(document::scalar::variant(std::uint64_t{7})); // an int64 would do
    CHECK_FALSE(joinery::decode<document::scalar>(small));
}
