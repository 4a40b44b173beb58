// SPDX-License-Identifier: Apache-2.0
#include "documents.hpp"

#include <joinery/or_map.hpp>
#include <joinery/rga_text.hpp>

#include <cmath>
#include <limits>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <vector>

using namespace documents;

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

TEST_CASE("document: a JSON pointer with a long key is read at once") {
    const auto pointer = "/" + std::string(std::size_t{1} << 22, 'k') + "/~0~1";
    const document::path p(pointer);
    CHECK(p.steps().size() == 2);
    CHECK(to_string(p) == pointer);
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

TEST_CASE("document: a char is a text of one character, and no number") {
    replica<document> r{id_a};
    r.edit([](document& d, transaction& tx) {
        d.set(tx, {'k'}, 'v');
        d.push_back(tx, {'l'}, 'w');
    });
    CHECK(r->to_json() == R"({"k":"v","l":["w"]})");
    CHECK_THROWS_AS(r.edit(setting({'k'}, '\xff')), std::invalid_argument);
    r.edit(setting({'k'}, static_cast<signed char>(7))); // a number
    CHECK(r->get({"k"}) == 7);
    enum unscoped { one = 1 };
    static_assert(!std::is_constructible_v<document::scalar, wchar_t>);
    static_assert(!std::is_constructible_v<document::scalar, char32_t>);
    static_assert(!std::is_constructible_v<document::scalar, unscoped>);
    static_assert(!std::is_constructible_v<joinery::document_step, wchar_t>);
    static_assert(!std::is_constructible_v<joinery::document_step, bool>);
    static_assert(!std::is_constructible_v<joinery::document_step, unscoped>);
    static_assert(std::is_convertible_v<std::uint8_t, document::scalar>);
    static_assert(std::is_convertible_v<float, document::scalar>);
}
