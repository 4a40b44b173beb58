// SPDX-License-Identifier: Apache-2.0
#include <joinery/rga_text.hpp>

#include "text_notes.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

using namespace text_tests;
using joinery::dot;
using joinery::replica;
using joinery::rga_text;
using joinery::transaction;

TEST_CASE("rga_text: positions in code points, UTF-8 and UTF-16") {
    writer a{id_a};
    insert(a, 0, "a\u00e9\u20ac\U0001f600z");
    const rga_text& text = a->text;
    CHECK(text.size() == 5);
    CHECK(text.size_utf8() == 11);
    CHECK(text.size_utf16() == 6);
    std::array<std::size_t, 6> bytes{0, 1, 3, 6, 10, 11};
    std::array<std::size_t, 6> units{0, 1, 2, 3, 5, 6};
    for (std::size_t i = 0; i < 6; ++i) {
        CHECK(text.to_utf8(i) == bytes[i]);
        CHECK(text.to_utf16(i) == units[i]);
        CHECK(text.from_utf8(bytes[i]) == i);
        CHECK(text.from_utf16(units[i]) == i);
    }
    CHECK(text.substr(1, 2) == "\u00e9\u20ac");
    CHECK(text.substr(3) == "\U0001f600z");
    CHECK(text.substr(5).empty());

    a.edit([](note& n, transaction& tx) {
        n.text.insert_utf8(tx, 10, "8");
        n.text.insert_utf16(tx, 3, "16");
        n.text.erase_utf8(tx, 1, 2);
        n.text.erase_utf16(tx, 4, 2);
    });
    CHECK(str(a) == "a\u20ac168z");
}

TEST_CASE("rga_text: bad arguments are refused and change nothing") {
    writer a{id_a};
    insert(a, 0, "a\u00e9\U0001f600");
    auto before = joinery::encode(a.state());
    auto refused = [&](auto exception, auto&& f) {
        using E = decltype(exception);
        CHECK_THROWS_AS(a.edit([&](note& n, transaction& tx) { f(n.text, tx); }), E);
        CHECK(joinery::encode(a.state()) == before);
        writer empty{id_b};
        CHECK_THROWS(empty.edit([&](note& n, transaction& tx) { f(n.text, tx); }));
        CHECK(empty->vacant());
    };
    std::out_of_range range("");
    std::invalid_argument invalid("");
    refused(range, [](rga_text& t, transaction& tx) { t.insert(tx, 4, "x"); });
    refused(range, [](rga_text& t, transaction& tx) { t.insert(tx, 4, ""); });
    refused(range, [](rga_text& t, transaction& tx) { t.erase(tx, 1, 3); });
    refused(range, [](rga_text& t, transaction& tx) { t.erase(tx, 3, static_cast<std::size_t>(-1)); });
    refused(range, [](rga_text& t, transaction& tx) { t.erase_utf8(tx, 7, 1); });
    refused(range, [](rga_text& t, transaction& tx) { t.insert_utf16(tx, 5, "x"); });
    CHECK_THROWS_AS(a->text.substr(4), std::out_of_range);
    CHECK_THROWS_AS(a->text.from_utf8(8), std::out_of_range);
    refused(invalid, [](rga_text& t, transaction& tx) {
        if (t.empty()) throw std::invalid_argument("");
        t.insert_utf8(tx, 2, "x");
    });
    refused(invalid, [](rga_text& t, transaction& tx) {
        if (t.empty()) throw std::invalid_argument("");
        t.erase_utf16(tx, 2, 1);
    });
    for (std::string bad : {"\xff", "a\x80", "\xc0\x80", "\xc3", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xe0\x80\x80",
                            "\xf0\x80\x80\x80", "12345678\xe2\x82", "\xf8\x88\x80\x80\x80"})
        refused(invalid, [&](rga_text& t, transaction& tx) { t.insert(tx, 0, bad); });
    a.edit([](note& n, transaction& tx) {
        n.text.insert(tx, 3, "");
        n.text.erase(tx, 3, 0);
        CHECK(tx.empty());
    });
}

TEST_CASE("rga_text: concurrent insertions at one place stay together, the greater replica first") {
    writer a{id_a};
    writer b{id_b};
    auto a1 = insert(a, 0, "one ");
    auto b1 = insert(b, 0, "two ");
    b.join(sent(a1));
    a.join(sent(b1));
    CHECK(str(a) == "two one ");
    // b has seen everything, so what it writes now at the start comes first everywhere.
    a.join(insert(b, 0, "new "));
    CHECK(str(a) == "new two one ");
    check_converged(a, b);
}

TEST_CASE("rga_text: an insertion beside tombstones follows the character visible before it") {
    writer a{id_a};
    writer b{id_b};
    b.join(insert(a, 0, "abcd"));
    auto erased = erase(a, 1, 2);     // a has "ad"
    auto between = insert(a, 1, "X"); // after a, not after the dead c
    auto inside = insert(b, 2, "Y");  // after b, which a has deleted
    CHECK(str(b) == "abYcd");
    CHECK(between.fragment.runs.front().parent == dot{id_a, 1});
    a.join(inside);
    b.join(between);
    b.join(erased);
    CHECK(str(a) == "aXYd");
    check_converged(a, b);
}

TEST_CASE("rga_text: deltas in any order and number give the same text") {
    writer a{id_a};
    std::vector<note_delta> deltas;
    deltas.push_back(insert(a, 0, "hello"));
    deltas.push_back(insert(a, 5, " world"));
    deltas.push_back(erase(a, 0, 1));
    deltas.push_back(insert(a, 0, "J"));
    deltas.push_back(wipe(a));
    deltas.push_back(insert(a, 0, "after"));
    std::vector<std::size_t> order{0, 1, 2, 3, 4, 5};
    do {
        writer b{id_b};
        for (std::size_t i : order) {
            b.join(deltas[i]);
            b.join(deltas[order[0]]);
        }
        REQUIRE(str(b) == "after");
        REQUIRE(b.state() == a.state());
    } while (std::next_permutation(order.begin(), order.end()));
}

TEST_CASE("rga_text: an edit joins the same by itself and where something waits, which takes the general way") {
    std::mt19937 random(1);
    const auto below = [&](std::size_t n) { return static_cast<std::size_t>(random()) % n; };
    const std::array<std::string, 6> typed{"a", "b", "\n", "xyz", "\u00e9", "o\U0001f600o"};
    for (int round = 0; round < 150; ++round) {
        writer d{id_d};
        insert(d, 0, "1");
        const note_delta orphan = insert(d, 1, "2");
        writer a{id_a}, b{id_b}, fast{id_c}, slow{id_c};
        slow.join(orphan);
        for (int step = 0; step < 40; ++step) {
            writer& w = below(2) == 0 ? a : b;
            const std::size_t size = w->text.size();
            const bool erases = size > 0 && below(3) == 0;
            const std::size_t at = below(size + 1), from = size > 0 ? below(size) : 0;
            const note_delta edit = erases ? erase(w, from, 1 + below(std::min<std::size_t>(size - from, 3)))
                                           : insert(w, below(2) == 0 ? size : at, typed[below(typed.size())]);
            const auto sent = joinery::decode<note_delta>(joinery::encode(edit));
            REQUIRE(sent);
            REQUIRE(*sent == edit);
            CHECK(fast.join(*sent));
            CHECK(slow.join(*sent));
            REQUIRE(str(fast) == str(slow));
            if (below(4) == 0) a.join(b.delta_since(a.version()));
            if (below(4) == 0) b.join(a.delta_since(b.version()));
        }
        fast.join(orphan);
        CHECK(joinery::encode(fast.state()) == joinery::encode(slow.state()));
    }
}

TEST_CASE("rga_text: one run that is not well-formed, or rests on nothing, changes no character") {
    writer a{id_a};
    insert(a, 0, "abc"); // 1 to 3
    erase(a, 1, 1);      // 4
    const auto joined = [&](const joinery::text_run_list& runs, const std::string& text,
                            const joinery::text_deletion_list& deletions, std::uint64_t covered) {
        note_delta d;
        d.fragment.runs = runs;
        d.fragment.text = text;
        d.fragment.deletions = deletions;
        d.covered.add({id_b, 1, covered});
        writer w{id_c, a.state()};
        w.join(d);
        CHECK(str(w) == "ac");
        const auto restored = joinery::decode<joinery::causal<note>>(joinery::encode(w.state()));
        REQUIRE(restored);
        CHECK((*restored)->text.str() == "ac");
    };
    const auto inserts = [&](dot parent, std::uint64_t n, std::uint64_t lamport, const std::string& text) {
        joined({{{id_b, 1}, parent, n, lamport, false}}, text, {}, n);
    };
    inserts({id_a, 3}, 1, 9, "\xff"); // no UTF-8
    inserts({id_a, 3}, 2, 9, "x");    // too little text
    inserts({id_a, 3}, 1, 9, "xy");   // too much
    inserts({id_a, 3}, 1, 0, "x");    // no Lamport number
    inserts({id_a, 3}, 1, 2, "x");    // older than its parent
    inserts({id_a, 4}, 1, 9, "x");    // the child of a deletion
    inserts({id_a, 5}, 1, 9, "x");    // of what is not here
    const auto deletes = [&](dot target, std::uint64_t n, bool backward) {
        joined({}, "", {{{id_b, 1}, target, n, 9, backward}}, n);
    };
    deletes({id_a, 4}, 1, false); // a deletion
    deletes({id_a, 2}, 1, false); // what was deleted already
    deletes({id_a, 7}, 2, false); // what is not here
    deletes({id_a, 1}, 2, true);  // what was before the first
}

TEST_CASE("rga_text: text waits for its parent, also through a relay") {
    writer a{id_a};
    writer b{id_b};
    writer c{id_c};
    auto a1 = insert(a, 0, "first ");
    b.join(a1);
    auto b1 = insert(b, 6, "second ");
    a.join(b1);
    auto a2 = insert(a, 13, "third");
    auto a3 = erase(a, 0, 1);

    // c hears of the end, then of a deletion in what it does not have, and can show nothing.
    c.join(a2);
    c.join(a3);
    CHECK(str(c).empty());
    CHECK(c->text.max_lamport() == a->text.max_lamport());
    // A relay passes on what c waits with.
    writer d{id_d};
    d.join(sent(c.state().whole()));
    d.join(b1);
    CHECK(str(d).empty());
    d.join(a1);
    CHECK(str(d) == "irst second third");
    c.join(d.delta_since(c.version()));
    CHECK(str(c) == "irst second third");
    check_converged(a, b, c, d);
}

TEST_CASE("rga_text: the same dots twice are the same text") {
    writer a{id_a};
    writer b{id_b};
    auto d = insert(a, 0, "text");
    note_delta group = d;
    group.join(d);
    group.join(insert(a, 4, "s"));
    CHECK(b.join(sent(group)));
    CHECK(!b.join(d));
    CHECK(!b.join(a.state().whole()));
    CHECK(str(b) == "texts");
}

TEST_CASE("rga_text: what was concurrently inserted survives a removal from outside, in place") {
    writer a{id_a};
    writer b{id_b};
    b.join(insert(a, 0, "old text"));
    auto wiped = wipe(a);
    CHECK(a->empty());
    CHECK(!a->vacant());
    auto inserted = insert(b, 4, "NEW ");
    a.join(inserted);
    CHECK(str(a) == "NEW ");
    b.join(sent(wiped));
    CHECK(str(b) == "NEW ");
    // And it stays between what had been around it: c sees the removal last.
    writer c{id_c};
    c.join(inserted);
    c.join(insert(b, 0, "<"));
    c.join(insert(b, 5, ">"));
    check_converged(a, b, c);
    CHECK(str(c) == "<NEW >");
}

TEST_CASE("rga_text: an edit that throws leaves nothing behind") {
    writer a{id_a};
    undone(a, [](note& n, transaction& tx) { n.text.insert(tx, 0, "never"); });
    CHECK(a->vacant());
    insert(a, 0, "some t\u00e9xt, longer than a short string");
    writer b{id_b};
    b.join(a.state().whole());
    undone(a, [](note& n, transaction& tx) {
        n.text.erase(tx, 2, 9);
        n.text.insert(tx, 4, "inserted");
        n.text.erase(tx, 0, 6);
        n.wipe(tx);
        n.text.insert(tx, 0, "again");
    });
    // The dots are issued anew and nobody notices.
    b.join(insert(a, 0, "> "));
    CHECK(str(a) == "> some t\u00e9xt, longer than a short string");
    check_converged(a, b);
}

TEST_CASE("rga_text: copies are deep, moves leave a usable text") {
    writer a{id_a};
    insert(a, 0, "shared");
    rga_text copy = a->text;
    CHECK(copy == a->text);
    insert(a, 6, "!");
    CHECK(copy.str() == "shared");
    CHECK(!(copy == a->text));
    rga_text moved = std::move(copy);
    copy = rga_text();
    CHECK(copy.empty());
    CHECK(moved.str() == "shared");
}

TEST_CASE("rga_text: equality is over visible characters and their dots") {
    writer a{id_a};
    writer b{id_b};
    insert(a, 0, "same");
    insert(b, 0, "same");
    CHECK(!(a->text == b->text));
    CHECK(rga_text() == rga_text());
    // Tombstones do not count.
    writer c{id_c};
    c.join(a.state().whole());
    c.edit([](note& n, transaction& tx) {
        n.text.insert(tx, 2, "xyz");
        n.text.erase(tx, 2, 3);
    });
    CHECK(c->text == a->text);
    CHECK(c->text.digest({}) == a->text.digest({}));
}

TEST_CASE("rga_text: two writers who prepend concurrently are merged in good time") {
    constexpr std::size_t n = 20000;
    writer a{id_a};
    writer b{id_b};
    std::vector<note_delta> deltas;
    for (std::size_t i = 0; i < n; ++i) {
        deltas.push_back(insert(a, 0, "a"));
        insert(b, 0, "b");
    }
    for (const auto& d : deltas) b.join(d);
    a.join(b.delta_since(a.version()));
    CHECK(a.state() == b.state());
    CHECK(a->text.size() == 2 * n);
}
