// SPDX-License-Identifier: Apache-2.0
// JSON pointers, and JSON into documents and out of them.
#include "documents.hpp"

#include <bit>
#include <cmath>
#include <random>
#include <stdexcept>
#include <string>
#include <string_view>

using namespace documents;

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

TEST_CASE("document: where a JSON text is wrong is told in lines and characters") {
    replica<document> r{id_a};
    const auto error_of = [&](std::string_view json) {
        std::string out;
        r.edit([&](document& d, transaction& tx) {
            const auto done = d.import_json(tx, {}, json);
            out = done ? "none" : to_string(done.error());
        });
        return out;
    };
    CHECK(error_of("") == "line 1, column 1: there is no value");
    CHECK(error_of("[1,\n 2,\n ]") == "line 3, column 2: neither null, true, false, a number, a string, '[' nor '{'");
    CHECK(error_of("{\"\u00e9\": 1 2}") == "line 1, column 9: ',' or '}' is missing in an object");
    CHECK(error_of("{\n\ta: 1}") == "line 2, column 2: a key is missing in an object, or is not in double quotes");
    CHECK(error_of("[1 2]") == "line 1, column 4: ',' or ']' is missing in an array");
    CHECK(error_of("{\"a\" 1}") == "line 1, column 6: ':' is missing behind a key");
    CHECK(error_of("1 2") == "line 1, column 3: something follows the value");
    CHECK(error_of("\"\t\"").ends_with("a control character in a string, which has to be escaped"));
    CHECK(error_of("\"\\x\"").ends_with("an unknown escape in a string"));
    CHECK(error_of("\"a").ends_with("a string does not end"));
    CHECK(error_of("\"\\u12\"").ends_with("'\\u' is not followed by four hexadecimal digits"));
    CHECK(error_of("\"\\ud800\"").ends_with("half a surrogate pair"));
    CHECK(error_of("1.").ends_with("a digit is missing behind the point of a number"));
    CHECK(error_of("1e").ends_with("a digit is missing in the exponent of a number"));
    CHECK(error_of("1e400").ends_with("a number out of range"));
    CHECK(r->empty());
}

TEST_CASE("document: a pointer to the end of a list leads to nothing, and is told so") {
    replica<document> r{id_a};
    r.edit(importing(R"({"l": [1], "-": 2})"));
    CHECK_FALSE(r->contains("/l/-"));
    CHECK(r->get("/-") == 2); // a key like any other
    CHECK_THROWS_WITH(r.edit(setting("/l/-", 1)),
                      "document: there is no element \"/l/-\": push_back appends to a list");
    CHECK_FALSE(r->contains("/l/00"));
}
