// SPDX-License-Identifier: Apache-2.0
// Which tombstones of a text can go, and the order of what stays.
#include "text_notes.hpp"

#include <doctest/doctest.h>

#include <random>
#include <string>
#include <vector>

using namespace text_tests;
using joinery::rga_text;
using joinery::version_vector;

TEST_CASE("rga_text: tombstones are pruned from right to left, as far as all have seen what follows") {
    writer a{id_a};
    writer b{id_b};
    writer c{id_c};
    // All have "pt"; b, which does not yet know that a deletes t, writes n after it, and s after p.
    auto a1 = insert(a, 0, "pt");
    b.join(a1);
    c.join(a1);
    auto n = insert(b, 2, "n");
    auto gone = erase(a, 1, 1);
    auto s = insert(c, 1, "s"); // a sibling of t that comes before it
    for (auto* w : {&a, &b, &c}) {
        w->join(gone);
        w->join(s);
    }
    a.join(n);
    CHECK(str(a) == "psn");
    // c has not seen n: t has to stay at a, so that n, relayed, finds its place at c.
    a.prune(c.version());
    CHECK(a.state().whole().fragment.runs.size() == 4);
    CHECK(a.state().whole().fragment.deletions.empty());
    c.join(a.delta_since(c.version()));
    CHECK(str(c) == "psn");
    // Now everybody has everything.
    b.join(c.delta_since(b.version()));
    for (auto* w : {&a, &b, &c}) w->prune(a.version());
    for (const auto& r : a.state().whole().fragment.runs) CHECK(!r.deleted);
    CHECK(joinery::encode(a.state()) == joinery::encode(b.state()));
    check_converged(a, b, c);
}

TEST_CASE("rga_text: the greatest Lamport number outlives pruning") {
    writer a{id_a};
    insert(a, 0, "xyz");
    erase(a, 0, 3);
    CHECK(a->text.max_lamport() == 6);
    a.prune(a.version());
    note_delta whole = sent(a.state().whole());
    CHECK(whole.fragment.runs.empty());
    CHECK(whole.fragment.lamport == 6);
    CHECK(!a->vacant());
    writer b{id_b};
    b.join(whole);
    CHECK(insert(b, 0, "w").fragment.runs.front().lamport == 7);
    // What exceeds it says it as well.
    CHECK(b.state().whole().fragment.lamport == 0);
}

TEST_CASE("rga_text: a complete state brings deletions that its sender has pruned") {
    writer a{id_a};
    writer b{id_b};
    writer c{id_c}; // has left the group
    auto a1 = insert(a, 0, "pt");
    b.join(a1);
    c.join(a1);
    auto n = insert(b, 2, "n"); // after t, which a deletes at the same time
    b.join(erase(a, 1, 1));
    b.prune({{id_a, 3}}); // the deletion's record goes, t stays before n
    CHECK(b.state().whole().fragment.deletions.empty());
    CHECK(b.state().whole().fragment.runs.size() == 3);
    a.join(n);
    c.join(sent(b.state().whole()));
    CHECK(str(c) == "pn");
    CHECK(c.state() == b.state());
    // c knows that this deletion was stable.
    c.prune(c.version());
    b.prune(c.version());
    CHECK(joinery::encode(b.state()) == joinery::encode(c.state()));
    CHECK(c.state().whole().fragment.runs.size() == 2);
}

TEST_CASE("rga_text: what waits for a pruned parent is placed by a complete state") {
    writer a{id_a};
    writer b{id_b};
    auto a1 = insert(a, 0, "pt");
    auto x = insert(a, 2, "x"); // after t
    b.join(a1);
    b.join(x);
    b.join(erase(a, 1, 1));
    b.prune(b.version());
    CHECK(b.state().whole().fragment.runs.size() == 2);
    writer late{id_c};
    late.join(x); // strayed in
    CHECK(str(late).empty());
    late.join(sent(b.state().whole()));
    CHECK(str(late) == "px");
    CHECK(joinery::encode(late.state()) == joinery::encode(b.state()));
}

TEST_CASE("rga_text: a complete state without tombstones leaves the order as it was") {
    writer a{id_a};
    writer b{id_b};
    auto b1 = insert(b, 0, "b");
    b.join(insert(a, 0, "xy"));
    b.join(erase(a, 0, 1)); // x, which is less than b; y is greater
    CHECK(str(b) == "by");
    b.prune({{id_a, 3}});
    CHECK(b.state().whole().fragment.runs.size() == 2);
    writer c{id_c};
    c.join(a.state().whole());
    c.join(b1);
    a.join(sent(b.state().whole()));
    CHECK(str(a) == "by");
    check_converged(a, b, c);
}

TEST_CASE("rga_text: complete states of two that have pruned differently give one order") {
    writer a{id_a};
    writer b{id_b};
    writer whole{id_c}; // never prunes
    std::vector<note_delta> deltas{insert(a, 0, "xmyn"), insert(b, 0, "1")};
    b.join(deltas[0]);
    deltas.push_back(insert(b, 3, "2")); // before y
    deltas.push_back(erase(a, 0, 1));
    deltas.push_back(erase(a, 1, 1)); // x and y
    for (const auto& d : deltas) {
        a.join(d);
        b.join(d);
        whole.join(d);
    }
    CHECK(str(b) == "1m2n");
    for (std::size_t pos : {0, 1, 3, 4}) {
        whole.join(insert(a, pos, "a"));
        whole.join(insert(b, pos, "b"));
    }
    b.prune({{id_a, 5}, {id_b, 1}});
    a.prune({{id_a, 6}, {id_b, 2}});
    auto from_a = sent(a.state().whole());
    auto from_b = sent(b.state().whole());
    a.join(from_b);
    b.join(from_a);
    CHECK(str(a) == str(whole));
    check_converged(a, b, whole);
}

TEST_CASE("rga_text: a tombstone stays while something inserted after it may be lacking somewhere") {
    writer a{id_a};
    writer b{id_b};
    writer c{id_c};
    auto base = insert(b, 0, "p");
    a.join(base);
    auto x = insert(a, 1, "x");
    auto t = insert(b, 1, "t"); // after p too, and greater than x
    auto gone = erase(b, 0, 1);
    a.join(t);
    a.join(gone);
    c.join(base);
    c.join(t);
    c.join(gone);
    CHECK(str(a) == "tx");
    a.prune(c.version()); // x is not stable, p its parent
    c.join(a.delta_since(c.version()));
    CHECK(str(c) == "tx");
    b.join(x);
    check_converged(a, b, c);
    a.prune(a.version());
    CHECK(a.state().whole().fragment.runs.size() == 2);
}

TEST_CASE("rga_text: edits that are re-issued under a new id stay where they were") {
    writer a{id_a};
    writer b{id_b};
    b.join(insert(a, 0, "shared text"));
    auto kept = a.version()[id_a];
    a.hold_from(kept);
    insert(a, 6, " own");
    erase(a, 0, 2);
    auto b1 = insert(b, 2, "!"); // after a character that a is about to have deleted
    std::string before = str(a);
    a.rename_from(kept, id_d);
    CHECK(str(a) == before);
    CHECK(a->text.max_lamport() == 17);
    // The deletion is not stable just because it has a new name.
    version_vector stable{{id_a, kept}};
    a.prune(stable);
    a.join(b1);
    b.join(a.delta_since(b.version()));
    CHECK(str(a) == "!ared own text");
    check_converged(a, b);
}

TEST_CASE("rga_text: a text that was mostly deleted gives its memory back, and stays what it is") {
    writer a{id_a};
    writer b{id_b};
    std::mt19937 random(5);
    a.edit([&](auto& n, auto& tx) {
        for (int i = 0; i < 20'000; ++i)
            n.text.insert(tx, random() % (n.text.size() + 1), i % 1000 == 0 ? "kept" : "x");
    });
    b.join(a.state());
    const auto full = a->text.memory();
    a.edit([](auto& n, auto& tx) {
        const std::string all = n.text.str();
        for (auto at = all.size(); at-- > 0;)
            if (all[at] == 'x') n.text.erase(tx, at, 1);
    });
    const auto shown = str(a);
    b.join(a.delta_since(b.version()));
    for (auto* w : {&a, &b}) {
        w->prune(a.version());
        CHECK(str(*w) == shown);
        CHECK((*w)->text.memory() < full / 50);
    }
    b.join(insert(a, 7, "and on"));
    a.join(erase(b, 3, 5));
    check_converged(a, b);
}

TEST_CASE("rga_text: what was pruned takes no memory, also where it lay between what stays") {
    joinery::replica<rga_text> a{id_a};
    joinery::replica<rga_text> b{id_b};
    a.edit([](auto& t, auto& tx) { t.insert(tx, 0, "stays"); });
    b.join(a.state());
    const auto before = a->memory();
    std::mt19937 random(3);
    for (int i = 0; i < 20'000; ++i) {
        const std::size_t at = random() % a->size();
        b.join(a.edit([&](auto& t, auto& tx) { t.insert(tx, at, "some words"); }));
        b.join(a.edit([&](auto& t, auto& tx) { t.erase(tx, random() % 5, 10); }));
        if (i % 500 != 499) continue;
        a.prune(b.version());
        b.prune(a.version());
    }
    CHECK(a->size() == 5);
    CHECK(a.state() == b.state());
    for (auto* r : {&a, &b}) {
        r->prune(a.version());
        CHECK((*r)->memory() < before + 100'000);
    }
    CHECK(encode(a.state()).size() < 200);
}
