// SPDX-License-Identifier: Apache-2.0
// What lists do, and lists against a text of which each character stands for an element.
#include "cereal_archives.hpp"
#include "replicas.hpp"

#include <joinery/codec.hpp>
#include <joinery/or_map.hpp>
#include <joinery/replica.hpp>
#include <joinery/rga_list.hpp>

#include <doctest/doctest.h>

#include <random>
#include <stdexcept>
#include <string>
#include <vector>

using joinery::causal;
using joinery::delta;
using joinery::dot;
using joinery::replica;
using joinery::replica_id;
using joinery::rga_list;
using joinery::rga_text;

namespace {

using list = rga_list<std::string>;
using words = std::vector<std::string>;
using writer = replica<list>;

auto insert(writer& w, std::size_t pos, const words& elements) {
    return w.edit([&](auto& l, auto& tx) { l.insert(tx, pos, elements); });
}
auto erase(writer& w, std::size_t pos, std::size_t n = 1) {
    return w.edit([&](auto& l, auto& tx) { l.erase(tx, pos, n); });
}
auto set(writer& w, std::size_t pos, const std::string& value) {
    return w.edit([&](auto& l, auto& tx) { l.set(tx, pos, value); });
}
auto move(writer& w, std::size_t from, std::size_t to) {
    return w.edit([&](auto& l, auto& tx) { l.move(tx, from, to); });
}
/// Two replicas with the same list, of which the second has the later clock.
struct two_writers {
    writer a{id_a, joinery::hybrid_clock([] { return 1'000'000; })};
    writer b{id_b, joinery::hybrid_clock([] { return 1'000'100; })};
    explicit two_writers(const words& elements) { b.join(insert(a, 0, elements)); }
    void meet() {
        ::meet(a, b);
        check_converged(a, b);
    }
};
template <class T> T sent(const T& x) {
    const auto bytes = joinery::encode(x);
    auto back = joinery::decode<T>(bytes).value();
    CHECK(joinery::encode(back) == bytes);
    return back;
}

} // namespace

TEST_CASE("rga_list: elements are inserted and erased at positions") {
    writer w{replica_id{1}};
    CHECK(w->empty());
    insert(w, 0, {"a", "c"});
    insert(w, 1, {"b"});
    w.edit([](auto& l, auto& tx) { l.push_back(tx, "d"); });
    CHECK(w->values() == words{"a", "b", "c", "d"});
    CHECK((*w)[2] == "c");
    erase(w, 1, 2);
    CHECK(w->values() == words{"a", "d"});
    CHECK_THROWS_AS(w->at(2), std::out_of_range);
    CHECK_THROWS_AS(insert(w, 3, {"x"}), std::out_of_range);
    CHECK_THROWS_AS(insert(w, 3, {}), std::out_of_range);
    CHECK_THROWS_AS(erase(w, 1, 2), std::out_of_range);
    CHECK(insert(w, 2, {}).empty());
    CHECK_THROWS(w.edit([](auto& l, auto& tx) {
        l.insert(tx, 1, words{"x", "y"});
        l.erase(tx, 0, 2);
        throw std::runtime_error("undone");
    }));
    CHECK(w->values() == words{"a", "d"});
}

TEST_CASE("rga_list: concurrent edits meet, and what both erase is erased once") {
    writer a{replica_id{1}}, b{replica_id{2}};
    b.join(sent(insert(a, 0, {"milk", "bread", "eggs"})));
    const auto place = a->anchor(2);
    const auto x = insert(a, 1, {"tea"}), y = erase(a, 2);
    const auto z = erase(b, 1), u = insert(b, 2, {"salt", "rice"});
    for (const auto& d : {y, u, z, x}) { // a deletion before the insertion that is not its target
        a.join(sent(d));
        b.join(sent(d));
    }
    CHECK(a->values() == words{"milk", "tea", "eggs", "salt", "rice"});
    CHECK(a.state() == b.state());
    CHECK(a.state().digest() == b.state().digest());
    CHECK(a->position(place) == 2);
    a.prune(a.version());
    b.prune(b.version());
    CHECK(joinery::encode(a.state()) == joinery::encode(b.state()));
    CHECK(a.state().whole().fragment.elements.size() == 5);
}

TEST_CASE("rga_list: in a map, and removed with its key") {
    using lists = joinery::or_map<std::string, list>;
    replica<lists> a{replica_id{1}}, b{replica_id{2}};
    b.join(sent(a.edit([](auto& m, auto& tx) { m.at(tx, "todo")->push_back(tx, "one"); })));
    const auto gone = a.edit([](auto& m, auto& tx) { m.erase(tx, "todo"); });
    const auto more = b.edit([](auto& m, auto& tx) { m.at(tx, "todo")->push_back(tx, "two"); });
    a.join(sent(more));
    b.join(sent(gone));
    CHECK(a.state() == b.state());
    CHECK(a->find("todo")->values() == words{"two"});
    CHECK_THROWS(a.edit([](auto& m, auto& tx) {
        m.erase(tx, "todo");
        throw std::runtime_error("undone");
    }));
    CHECK(a->find("todo")->values() == words{"two"});
}

TEST_CASE("rga_list: as a text of its elements, in random histories") {
    for (std::uint64_t seed = 1; seed <= 300; ++seed) {
        CAPTURE(seed);
        std::mt19937_64 random(seed);
        const auto below = [&](std::size_t n) { return static_cast<std::size_t>(random() % n); };
        std::vector<replica<rga_list<char>>> lists;
        std::vector<replica<rga_text>> texts;
        for (std::uint64_t i = 1; i <= 3; ++i) lists.emplace_back(replica_id{i}), texts.emplace_back(replica_id{i});
        std::vector<std::pair<delta<rga_list<char>>, delta<rga_text>>> deltas;
        const auto same = [&](std::size_t i) {
            const auto values = lists[i]->values();
            REQUIRE(std::string(values.begin(), values.end()) == texts[i]->str());
            REQUIRE(lists[i].version() == texts[i].version());
        };
        for (int step = 0; step < 60; ++step) {
            const std::size_t i = below(lists.size());
            const std::size_t pos = below(texts[i]->size() + 1), n = 1 + below(3);
            const std::size_t end = texts[i]->size();
            switch (below(6)) {
            case 0:
            case 1: {
                const std::string letters(n, static_cast<char>('a' + below(26)));
                deltas.emplace_back(lists[i].edit([&](auto& l, auto& tx) {
                    l.insert(tx, pos, {letters.begin(), letters.end()});
                }),
                                    texts[i].edit([&](auto& t, auto& tx) { t.insert(tx, pos, letters); }));
                break;
            }
            case 2:
                if (pos + n > end) break;
                deltas.emplace_back(lists[i].edit([&](auto& l, auto& tx) { l.erase(tx, pos, n); }),
                                    texts[i].edit([&](auto& t, auto& tx) { t.erase(tx, pos, n); }));
                break;
            case 3:
            case 4: {
                if (deltas.empty()) break;
                const auto& [l, t] = deltas[below(deltas.size())]; // also before what it rests on, and twice
                lists[i].join(sent(l));
                texts[i].join(t);
                break;
            }
            default: {
                const std::size_t k = below(lists.size());
                lists[i].join(sent(lists[k].delta_since(lists[i].version())));
                texts[i].join(texts[k].delta_since(texts[i].version()));
                if (below(3) > 0) break;
                for (std::size_t x = 0; x < 9; ++x) {
                    lists[x / 3].join(lists[x % 3].state());
                    texts[x / 3].join(texts[x % 3].state());
                }
                for (auto& l : lists) l.prune(lists[0].version());
                for (auto& t : texts) t.prune(texts[0].version());
            }
            }
            same(i);
        }
        for (std::size_t x = 0; x < 18; ++x) {
            lists[x / 3 % 3].join(lists[x % 3].state());
            texts[x / 3 % 3].join(texts[x % 3].state());
        }
        for (std::size_t i = 0; i < 3; ++i) {
            same(i);
            REQUIRE(lists[i].state() == lists[0].state());
            REQUIRE(lists[i].state().digest() == lists[0].state().digest());
        }
    }
}

TEST_CASE("rga_list: what was evicted with unsent edits comes back with them") {
    writer a{replica_id{1}}, b{replica_id{2}};
    b.join(insert(a, 0, {"one", "two", "three"}));
    const auto known = b.version();
    insert(b, 1, {"mine", "too"});
    insert(b, 5, {"last"});
    erase(a, 0);
    a.prune(a.version());
    b.rejoin(a.state().whole(), known[replica_id{2}], replica_id{3});
    CHECK(b->values() == words{"mine", "too", "two", "three", "last"});
    a.join(b.state());
    CHECK(a.state() == b.state());
}

TEST_CASE("rga_list: elements are set and moved at positions") {
    writer w{replica_id{1}};
    insert(w, 0, {"a", "b", "c", "d"});
    set(w, 1, "B");
    CHECK(w->values() == words{"a", "B", "c", "d"});
    CHECK(w->siblings(1) == words{"B"});
    CHECK(w->siblings(0) == words{"a"});
    move(w, 1, 3);
    CHECK(w->values() == words{"a", "c", "d", "B"});
    move(w, 3, 0);
    CHECK(w->values() == words{"B", "a", "c", "d"});
    set(w, 0, "b");
    move(w, 0, 1);
    CHECK(w->values() == words{"a", "b", "c", "d"});
    CHECK(move(w, 2, 2).empty());
    insert(w, 2, {"x"}); // beside one that was moved
    CHECK(w->values() == words{"a", "b", "x", "c", "d"});
    erase(w, 1, 2);
    CHECK(w->values() == words{"a", "c", "d"});
    CHECK_THROWS_AS(set(w, 3, "e"), std::out_of_range);
    CHECK_THROWS_AS(move(w, 3, 0), std::out_of_range);
    CHECK_THROWS_AS(move(w, 0, 3), std::out_of_range);
    check_converged(w);
    erase(w, 0, 3);
    CHECK(w->empty());
    CHECK(w.state().whole().fragment.sets.empty());
    w.prune(w.version());
    CHECK(w.state().whole().fragment.moves.empty());
}

TEST_CASE("rga_list: of concurrent sets the last wins, and the others are kept until the next") {
    two_writers at({"a", "b"});
    set(at.b, 0, "late");
    set(at.a, 0, "early");
    at.meet();
    CHECK(at.a->values() == words{"late", "b"});
    CHECK(at.a->siblings(0) == words{"late", "early"});
    CHECK(at.a.siblings() == joinery::sibling_counts{1, 0});
    const auto d = set(at.a, 0, "after both"); // though by its clock before
    CHECK(d.fragment.sets.size() == 1);
    CHECK(at.a->siblings(0) == words{"after both"});
    CHECK(at.a.siblings() == joinery::sibling_counts{1, 1});
    at.b.join(sent(d));
    CHECK(at.b->siblings(0) == words{"after both"});
    CHECK(at.b.siblings() == joinery::sibling_counts{1, 1});
    check_converged(at.a, at.b);
}

TEST_CASE("rga_list: a write is after all that it has seen, however far ahead the clock of those was") {
    writer a{id_a, joinery::hybrid_clock([] { return 1'000; })};
    writer b{id_b, joinery::hybrid_clock([] { return 1'000'000'000; })};
    insert(b, 0, {"x", "y", "z"});
    move(b, 0, 2);
    a.join(set(b, 2, "ahead"));
    a.join(b.state());
    const auto taken_along = move(b, 2, 1); // has not seen that:
    set(a, 2, "after");
    a.join(taken_along);
    CHECK(a->values() == words{"y", "after", "z"});
    b.join(a.state());
    check_converged(a, b);
}

TEST_CASE("rga_list: an element that is moved to two places is at one") {
    two_writers at({"a", "b", "c", "d"});
    const auto anchor = at.a->anchor(0, joinery::text_bias::right);
    const auto first = move(at.b, 0, 3), second = move(at.a, 0, 1);
    at.b.join(sent(second));
    at.a.join(sent(first));
    CHECK(at.a->values() == words{"b", "c", "d", "a"});
    CHECK(at.a->size() == 4);
    check_converged(at.a, at.b);
    CHECK(at.a->position(anchor) == 3);
    for (std::size_t i = 0; i < 4; ++i) { // whatever is hidden among them
        CHECK(at.a->position(at.a->anchor(i)) == i);
        CHECK(at.a->position(at.a->anchor(i, joinery::text_bias::right)) == i);
    }
    insert(at.a, 1, {"x"});
    insert(at.b, 2, {"y"});
    erase(at.b, 1);
    at.meet();
    CHECK(at.a->values() == words{"b", "x", "y", "d", "a"});

    SUBCASE("the next move ends it") { CHECK(move(at.a, 4, 0).removals.front().killed.dots.size() == 2); }
    SUBCASE("and so does an erase") { CHECK(erase(at.a, 4).removals.size() == 1); }
    SUBCASE("or tidying up") {
        const auto before = at.a->values();
        CHECK(at.a.tidy({}).empty());
        CHECK_FALSE(at.a.tidy(at.a.version()).empty());
        CHECK(at.a->values() == before);
    }
    CHECK(at.a.tidy(at.a.version()).empty());
    at.meet();
    CHECK(at.b.state().whole().fragment.moves.size() <= 1);
}

TEST_CASE("rga_list: a move and a set both take effect") {
    two_writers at({"a", "b", "c"});
    move(at.a, 0, 2);
    set(at.b, 0, "A");
    at.meet();
    CHECK(at.a->values() == words{"b", "c", "A"});
    move(at.b, 2, 1); // takes the value along
    set(at.a, 2, "AA");
    at.meet();
    CHECK(at.a->values() == words{"b", "AA", "c"});
    CHECK(at.a->siblings(1) == words{"AA"});
}

TEST_CASE("rga_list: an erase takes what it has seen") {
    two_writers at({"a", "b", "c"});
    SUBCASE("an element that is set concurrently stays in its place") {
        const auto erased = erase(at.a, 1);
        const auto behind = insert(at.b, 2, {"behind"}), written = set(at.b, 1, "B");
        insert(at.a, 1, {"instead"});
        at.a.join(sent(written));
        CHECK(at.a->values() == words{"a", "instead", "B", "c"});
        at.meet();
        CHECK(at.a->values() == words{"a", "instead", "B", "behind", "c"});
        at.a.prune(at.a.version());
        check_converged(at.a, at.b);
        CHECK(at.a->values() == words{"a", "instead", "B", "behind", "c"});
        SUBCASE("and is then set again") {
            set(at.a, 2, "BB");
            at.meet();
            CHECK(at.b->values() == words{"a", "instead", "BB", "behind", "c"});
        }
        SUBCASE("and is then moved") {
            move(at.b, 2, 0);
            at.meet();
            CHECK(at.a->values() == words{"B", "a", "instead", "behind", "c"});
        }
        SUBCASE("until it is erased by one who has seen that") {
            erase(at.b, 2);
            at.meet();
            CHECK(at.a->values() == words{"a", "instead", "behind", "c"});
        }
    }
    SUBCASE("an element that is moved concurrently is where it was moved to") {
        erase(at.a, 0, 2);
        move(at.b, 0, 2);
        at.meet();
        CHECK(at.a->values() == words{"c", "a"});
    }
    SUBCASE("both") {
        erase(at.a, 0);
        move(at.b, 0, 2);
        set(at.b, 2, "A");
        at.meet();
        CHECK(at.a->values() == words{"b", "c", "A"});
    }
}

TEST_CASE("rga_list: what arrives before what it rests on waits for it") {
    two_writers at({"a"});
    const auto inserted = insert(at.a, 1, {"b"});
    const auto moved = move(at.a, 1, 0);
    const auto written = set(at.a, 0, "B");
    const auto erased = erase(at.a, 1);
    at.b.join(sent(erased));
    at.b.join(sent(written)); // of what?
    CHECK(at.b->values() == words{});
    at.b.join(sent(moved));
    CHECK(at.b->values() == words{"B"});
    at.b.join(sent(inserted));
    check_converged(at.a, at.b);
}

TEST_CASE("rga_list: edits that fail change nothing") {
    two_writers at({"a", "b", "c", "d"});
    move(at.a, 0, 3);
    move(at.b, 0, 2);
    set(at.a, 0, "B");
    erase(at.b, 0);
    at.meet();
    const auto all = [](list& l, auto& tx) {
        l.set(tx, 0, "x");
        l.move(tx, 0, 2);
        l.set(tx, 2, "y");
        l.insert(tx, 1, words{"p", "q"});
        l.move(tx, 1, 3);
        l.erase(tx, 0, 2);
        l.move(tx, 0, 1);
        l.erase(tx, 0, l.size());
    };
    check_undone(at.a, all);
    check_undone(at.a, [](auto& l, auto& tx) { l.set(tx, 0, "x"); });
    check_undone(at.a, [](auto& l, auto& tx) { l.erase(tx, 0, l.size()); });
    check_undone(at.b, [](auto& l, auto& tx) { l.move(tx, l.size() - 1, 0); });
    const auto before = at.a->values();
    for (std::size_t i = 0; i < before.size(); ++i) CHECK(at.a->position(at.a->anchor(i)) == i);
    at.b.join(sent(at.a.edit(all)));
    check_converged(at.a, at.b);
}

TEST_CASE("rga_list: in a map, what the remover of the key has not seen stays") {
    using lists = joinery::or_map<std::string, list>;
    replica<lists> a{replica_id{1}}, b{replica_id{2}};
    b.join(a.edit([](auto& m, auto& tx) { m.at(tx, "todo")->insert(tx, 0, words{"one", "two", "three"}); }));
    check_undone(a, [](auto& m, auto& tx) {
        m.at(tx, "todo")->move(tx, 0, 2);
        m.at(tx, "todo")->set(tx, 1, "x");
        m.erase(tx, "todo");
    });
    a.edit([](auto& m, auto& tx) { m.erase(tx, "todo"); });
    b.edit([](auto& m, auto& tx) {
        m.at(tx, "todo")->move(tx, 0, 2);
        m.at(tx, "todo")->set(tx, 1, "3");
    });
    meet(a, b);
    check_converged(a, b);
    CHECK(a->find("todo")->values() == words{"3", "one"});
    a.edit([](auto& m, auto& tx) { m.erase(tx, "todo"); });
    meet(a, b);
    check_converged(a, b);
    CHECK_FALSE(b->contains("todo"));
}

TEST_CASE("rga_list: anchors go with their elements") {
    two_writers at({"a", "b", "c"});
    const auto left = at.b->anchor(1, joinery::text_bias::left), right = at.b->anchor(1); // behind a; at b
    move(at.a, 0, 2);
    move(at.a, 0, 1);
    at.meet();
    CHECK(at.b->values() == words{"c", "b", "a"});
    CHECK(at.b->position(left) == 3);
    CHECK(at.b->position(right) == 1);
    erase(at.b, 0, 3);
    CHECK(at.b->position(left) == 0);
    CHECK(at.b->position(at.b->anchor(0)) == 0);
    CHECK(at.b->position(at.b->anchor(0, joinery::text_bias::left)) == 0);
}

TEST_CASE("rga_list: an anchor follows its element, and not what comes before it") {
    two_writers at({"a", "b", "c", "d"});
    std::vector<joinery::text_anchor> anchors;
    for (std::size_t i = 0; i <= at.a->size(); ++i) anchors.push_back(at.a->anchor(i));
    insert(at.b, 1, {"x", "y"});
    set(at.b, 0, "A");
    erase(at.b, 4); // c
    at.meet();
    move(at.a, 4, 0);
    move(at.b, 0, 2);
    at.meet();
    CHECK(at.a->values() == words{"d", "x", "y", "A", "b"});
    const std::vector<std::size_t> now{3, 4, 5, 0, 5};
    for (std::size_t i = 0; i < now.size(); ++i) {
        CHECK(at.a->position(anchors[i]) == now[i]);
        CHECK(at.b->position(anchors[i]) == now[i]);
    }
    CHECK_THROWS_AS(static_cast<void>(at.a->anchor(6)), std::out_of_range);
    CHECK(joinery::fingerprint<list>() != joinery::fingerprint<rga_list<int>>());
}

TEST_CASE("rga_list: unsent sets and moves are made anew") {
    two_writers at({"one", "two", "three", "four"});
    const auto known = at.b.version();
    set(at.b, 0, "1");
    move(at.b, 1, 3);
    insert(at.b, 1, {"mine"});
    move(at.b, 1, 0);
    set(at.b, 0, "MINE");
    erase(at.a, 1, 2); // of which one is moved there
    at.a.prune(at.a.version());
    const auto expected = words{"MINE", "1", "four", "two"};
    SUBCASE("by the same replica") { at.b.rejoin(at.a.state().whole(), known[id_b], id_b); }
    SUBCASE("by another") { at.b.rejoin(at.a.state().whole(), known[id_b], id_c); }
    CHECK(at.b->values() == expected);
    at.meet();
    CHECK(at.a->values() == expected);
}

TEST_CASE("rga_list: in random histories, whoever was evicted comes back with unsent edits") {
    for (std::uint64_t seed = 1; seed <= 400; ++seed) {
        CAPTURE(seed);
        std::mt19937_64 random(seed);
        const auto below = [&](std::size_t n) { return static_cast<std::size_t>(random() % n); };
        writer a{id_a}, b{id_b}, c{id_c};
        const auto edit = [&](writer& w) {
            const std::size_t n = w->size(), what = below(8);
            if (n == 0 || what < 3)
                insert(w, below(n + 1), {std::to_string(below(100)), std::to_string(below(100))});
            else if (what < 5)
                set(w, below(n), std::to_string(below(100)));
            else if (what < 7)
                move(w, below(n), below(n));
            else
                erase(w, below(n));
        };
        for (int round = 0; round < 3; ++round) {
            for (int i = 0; i < 6; ++i) edit(i % 2 == 0 ? a : b);
            meet(a, b);
            meet(b, a);
            c.join(b.state());
        }
        const auto known = c.version();
        for (int i = 0; i < 8; ++i) edit(i % 2 == 0 ? a : c);
        for (int i = 0; i < 4; ++i) edit(b);
        meet(a, b);
        meet(b, a);
        a.prune(a.version());
        c.rejoin(a.state().whole(), known[id_c], seed % 2 == 0 ? id_c : replica_id{0xd});
        CHECK(c->values().size() == c->size());
        const auto ours = c->values();
        a.join(c.state());
        b.join(a.delta_since(b.version()));
        check_converged(a, b, c);
        CHECK(a->values() == ours);
        for (std::size_t i = 0; i < ours.size(); ++i) CHECK(a->position(a->anchor(i)) == i);
    }
}

TEST_CASE("rga_list: states that differ although they must not are repaired") {
    two_writers at({"a", "b", "c"});
    set(at.a, 0, "A");
    erase(at.b, 0);
    move(at.b, 0, 1);
    at.meet();
    const auto right = at.a.state().whole();
    auto wrong = right; // an element, a set, a move and a placeholder are not what they were
    wrong.fragment.elements.front() = "z";
    SUBCASE("with another value") {
        wrong.fragment.sets = {};
        wrong.fragment.sets.push_back(right.fragment.sets.begin()->where,
                                      {{id_a, 1}, {}, {id_a, 1}, joinery::timestamp{7}, "y"});
    }
    SUBCASE("without the move") { wrong.fragment.moves = {}; }
    SUBCASE("without the set") { wrong.fragment.sets = {}; }
    writer other{id_c};
    other.join(wrong);
    CHECK_FALSE(other.state() == at.a.state());
    other.replace(right);
    check_converged(other, at.a);
    CHECK(other->values() == at.a->values());
}

TEST_CASE("rga_list: sets and moves get new names with their replica") {
    two_writers at({"one", "two", "three"});
    set(at.b, 0, "1");
    const auto sent_until = at.b.version()[id_b];
    at.a.join(at.b.state());
    at.b.hold_from(sent_until);
    insert(at.b, 0, {"zero"});
    move(at.b, 0, 3);
    move(at.b, 0, 2);
    set(at.b, 2, "ONE");
    set(at.b, 3, "0");
    const auto values = at.b->values();
    at.b.rename_from(sent_until, id_c);
    CHECK(at.b->values() == values);
    CHECK(at.b.state().context().greatest(id_b) == sent_until);
    at.meet();
    CHECK(at.a->values() == values);
}

TEST_CASE("rga_list: bytes of an insertion, a set and a move") {
    writer w{replica_id{1}};
    const auto one = insert(w, 0, {"a"});
    const auto more = insert(w, 1, {"b", "c"});
    const auto set_it = set(w, 0, "A"), moved = move(w, 0, 2);
    CHECK(joinery::encode(one).size() <= 18);
    CHECK(joinery::encode(more).size() <= 22);
    for (const auto& d : {one, more, set_it, moved}) {
        sent(d);
        CHECK(through_json(d) == d);
        CHECK(through_portable_binary(d) == d);
    }
    CHECK(through_json(w.state()) == w.state());
}

TEST_CASE("rga_list: fragments that nobody writes are refused or ignored") {
    two_writers at({"a", "b"});
    const auto d = at.a.state().whole();
    move(at.a, 0, 1);
    move(at.b, 0, 1);
    set(at.b, 0, "B");
    erase(at.a, 0);
    at.meet();
    const auto simple = joinery::encode(d), bytes = joinery::encode(at.a.state().whole());
    std::mt19937 random(9);
    for (int i = 0; i < 60'000; ++i) {
        auto bad = i % 3 == 0 ? simple : bytes;
        bad[random() % bad.size()] = static_cast<std::byte>(random());
        if (const auto read = joinery::decode<delta<list>>(bad)) {
            writer other{replica_id{2}};
            other.join(*read);
            CHECK(other->values().size() == other->size());
            other.join(other.state().whole());
            other.join(at.b.state());
            CHECK(other->values().size() == other->size());
            if (other->size() > 1) move(other, 0, 1);
            if (!other->empty()) set(other, 0, "x");
            erase(other, 0, other->size());
        }
    }
    auto wrong = d;
    wrong.fragment.elements.pop_back();
    writer other{replica_id{2}};
    other.join(wrong);
    CHECK(other->empty());
    other.join(other.state().whole());
}

TEST_CASE("rga_list: its name tells what the elements are") {
    CHECK(rga_list<std::string>::type_name() == "rga_list<string>");
    CHECK(rga_list<int>::type_name() == "rga_list<i32>");
}
