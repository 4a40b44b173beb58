// SPDX-License-Identifier: Apache-2.0
#include <joinery/text_fragment.hpp>

#include "text_notes.hpp"

#include <cereal/archives/json.hpp>
#include <doctest/doctest.h>

#include <random>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

using namespace text_tests;
using joinery::dot;
using joinery::dot_range;
using joinery::replica;
using joinery::rga_text;
using joinery::text_deletion;
using joinery::text_fragment;
using joinery::text_run;

TEST_CASE("rga_text: runs in fragments are as long as they can be") {
    writer a{id_a};
    for (std::size_t i = 0; i < 5; ++i) insert(a, i, "x");
    CHECK(a.state().whole().fragment.runs.size() == 1);
    for (std::size_t i = 5; i-- > 2;) erase(a, i, 1); // backspace
    erase(a, 0, 1);                                   // delete
    erase(a, 0, 1);
    note_delta whole = sent(a.state().whole());
    REQUIRE(whole.fragment.runs.size() == 1);
    CHECK(whole.fragment.runs.front() == text_run{{id_a, 1}, {}, 5, 1, true});
    REQUIRE(whole.fragment.deletions.size() == 2);
    CHECK(whole.fragment.deletions[0] == text_deletion{{id_a, 6}, {id_a, 5}, 3, 6, true});
    CHECK(whole.fragment.deletions[1] == text_deletion{{id_a, 9}, {id_a, 1}, 2, 9, false});
    // A keystroke is a few bytes: header, dots, flags, parent, text.
    text_fragment key = insert(a, 0, "y").fragment;
    CHECK(joinery::encode(key).size() <= 15); // eight of them the replica's name
}

TEST_CASE("rga_text: fragments go through JSON") {
    writer a{id_a};
    writer b{id_b};
    b.join(insert(a, 0, "\"quoted\" \u20ac text"));
    a.join(insert(b, 3, "\U0001f600"));
    erase(a, 2, 4);
    text_fragment f = a.state().whole().fragment;
    std::stringstream stream;
    {
        cereal::JSONOutputArchive out(stream);
        out(f);
    }
    text_fragment back;
    cereal::JSONInputArchive in(stream);
    in(back);
    CHECK(back == f);
}

TEST_CASE("rga_text: short texts are small, deleted text is let go") {
    writer a{id_a};
    insert(a, 0, "a title of some words");
    CHECK(a->text.memory() < 500);
    insert(a, 0, std::string(1000000, 'x'));
    erase(a, 0, 1000000);
    insert(a, 0, "!"); // until then it could have been undone
    CHECK(a->text.memory() < 500000);
    CHECK(joinery::encode(a.state()).size() < 100);
}

namespace {

note_delta hostile(joinery::text_run_list runs, std::string text, joinery::text_deletion_list deletions = {}) {
    note_delta d;
    d.fragment.runs = std::move(runs);
    d.fragment.text = std::move(text);
    d.fragment.deletions = std::move(deletions);
    for (const auto& r : d.fragment.runs) d.covered.add({r.first.replica, r.first.seq, r.first.seq + r.count - 1});
    for (const auto& r : d.fragment.deletions) d.covered.add({r.first.replica, r.first.seq, r.first.seq + r.count - 1});
    return d;
}

// Joined into an empty and into a used text, which must still work.
void survives(const note_delta& d) {
    for (bool used : {false, true}) {
        writer w{id_c};
        if (used) {
            insert(w, 0, "some text");
            erase(w, 3, 2);
        }
        std::string before = str(w);
        w.join(d);
        w.join(d);
        w.join(w.state().whole());
        insert(w, 0, "ab");
        erase(w, 1, 1);
        note_delta whole = w.state().whole();
        writer other{id_d};
        other.join(whole);
        CHECK(other->text.size() == w->text.size());
        w.prune(w.version());
        wipe(w);
        CHECK(w->empty());
    }
}

// What forged dots make of a state is the same after it was saved and restored.
void survive_together(const note_delta& first, const note_delta& second) {
    for (const auto* d : {&first, &second}) {
        joinery::causal<note> s;
        s.join(*d);
        s.join(d == &first ? second : first);
        const auto saved = joinery::encode(s);
        const auto restored = joinery::decode<joinery::causal<note>>(saved);
        REQUIRE(restored);
        CHECK(*restored == s);
        CHECK(restored->digest() == s.digest());
        CHECK(joinery::encode(*restored) == saved);
    }
}

} // namespace

TEST_CASE("rga_text: hostile fragments do no harm") {
    constexpr std::uint64_t huge = std::uint64_t{1} << 60;
    SUBCASE("a character that is its own parent") { survives(hostile({{{id_a, 1}, {id_a, 1}, 1, 1}}, "x")); }
    SUBCASE("parents in a circle") {
        survives(hostile({{{id_a, 1}, {id_b, 2}, 2, 1}, {{id_b, 1}, {id_a, 2}, 2, 1}}, "wxyz"));
    }
    SUBCASE("a later character as parent") { survives(hostile({{{id_a, 1}, {id_a, 3}, 3, 1}}, "xyz")); }
    SUBCASE("the same dots twice, with other text") {
        survives(hostile({{{id_a, 1}, {}, 3, 1}, {{id_a, 2}, {}, 3, 7}}, "xyzuvw"));
        survives(hostile({{{id_a, 2}, {}, 1, 1}, {{id_a, 1}, {}, 3, 7}}, "xuvw"));
        survives(hostile({{{id_a, 2}, {id_b, 9}, 1, 1}, {{id_a, 1}, {id_b, 8}, 3, 7}}, "xuvw"));
    }
    SUBCASE("the same dots in two deltas, with other text") {
        survive_together(hostile({{{id_a, 1}, {}, 3, 1}}, "xyz"), hostile({{{id_a, 3}, {}, 3, 2}}, "uvw"));
    }
    SUBCASE("a child older than its parent") {
        survives(
            hostile({{{id_a, 1}, {}, 2, 50}, {{id_b, 1}, {id_a, 2}, 2, 1}, {{id_b, 3}, {id_a, 1}, 2, 50}}, "abcdef"));
    }
    SUBCASE("huge tombstones and Lamport numbers") {
        survives(hostile({{{id_a, 1}, {}, huge, huge, true}, {{id_b, 1}, {id_a, huge / 2}, 1, huge + huge}}, "x"));
        survives(hostile({{{id_a, 1}, {id_b, 5}, huge, 1, true}, {{id_b, 1}, {}, huge, 1, true}}, ""));
    }
    SUBCASE("huge deletions") {
        survives(hostile({{{id_a, 1}, {}, 3, 1}}, "abc", {{{id_a, huge}, {id_a, 1}, huge, 9, false}}));
        survives(hostile({{{id_a, 1}, {}, 3, 1}}, "abc", {{{id_a, huge}, {id_a, huge}, huge, 9, true}}));
    }
    SUBCASE("a deletion that kills itself, and one event twice") {
        survives(hostile({}, "", {{{id_a, 1}, {id_a, 1}, 1, 1, false}}));
        survives(hostile({{{id_a, 1}, {}, 3, 1}}, "abc",
                         {{{id_b, 1}, {id_a, 1}, 2, 4, false}, {{id_b, 1}, {id_a, 3}, 2, 9, true}}));
        survives(hostile({{{id_a, 1}, {}, 3, 1}}, "abc", {{{id_a, 2}, {id_a, 1}, 1, 4, false}}));
    }
    SUBCASE("what does not fit together is ignored") {
        survives(hostile({{{id_a, 1}, {}, 3, 1}}, "ab"));
        survives(hostile({{{id_a, 1}, {}, 1, 1}}, "\xff"));
        survives(hostile({{{id_a, 1}, {}, huge, 1}}, "x"));
    }
    SUBCASE("what is not covered does not enter") {
        note_delta d = hostile({{{id_a, 1}, {}, 3, 1}}, "abc", {{{id_b, 1}, {id_a, 1}, 2, 4, false}});
        d.covered = {dot_range{id_a, 2, 2}};
        writer w{id_c};
        w.join(d);
        CHECK(str(w).empty());
        d.covered = {dot_range{id_a, 1, 1}};
        w.join(d);
        CHECK(str(w) == "ab");
        survives(d);
    }
    SUBCASE("arbitrary combinations") {
        std::mt19937_64 random(11);
        auto below = [&](std::uint64_t n) { return random() % n; };
        auto any = [&] { return dot{below(2) ? id_a : id_b, 1 + below(12)}; };
        note_delta before;
        for (int i = 0; i < 3000; ++i) {
            joinery::text_run_list runs;
            joinery::text_deletion_list deletions;
            std::string text;
            for (std::uint64_t n = below(6); n > 0; --n) {
                runs.push_back({any(), below(3) ? any() : dot{}, 1 + below(4), 1 + below(9), below(3) == 0});
                if (!runs.back().deleted) text += std::string(runs.back().count, 'x');
            }
            for (std::uint64_t n = below(4); n > 0; --n) {
                deletions.push_back({any(), any(), 1 + below(3), 1 + below(9), false});
                deletions.back().backward = deletions.back().count > 1 && deletions.back().target.seq > 3;
            }
            const note_delta d = hostile(runs, text, deletions);
            survives(d);
            survive_together(before, d);
            before = d;
        }
    }
}

TEST_CASE("rga_text: a text that is full refuses edits, and keeps what arrives") {
    constexpr std::uint64_t most = (std::uint64_t{1} << 29) - 2;
    writer w{id_c};
    w.join(hostile({{{id_a, 1}, {}, most - 3, 1, true}}, ""));
    CHECK_THROWS_AS(w.edit([](auto& n, auto& tx) { // keystrokes that go on from one another
        for (std::size_t i = 0; i < 5; ++i) n.text.insert(tx, i, "d");
    }),
                    std::length_error);
    insert(w, 0, "abc");
    CHECK_THROWS_AS(insert(w, 0, "d"), std::length_error);
    CHECK_THROWS_AS(erase(w, 0, 1), std::length_error);
    CHECK(str(w) == "abc");
    writer b{id_b};
    insert(b, 0, "late");
    b.join(erase(b, 0, 1));
    w.join(b.state());
    CHECK(str(w) == "abc");
    const auto saved = joinery::encode(w.state());
    CHECK(joinery::encode(joinery::decode<joinery::causal<note>>(saved).value()) == saved);
    CHECK(b.state().context() == w.state().extract(b.state().context()).covered);
    w.prune(w.version()); // the tombstones go, and what waited can be read by who gets it
    writer other{id_d};
    other.join(w.state());
    CHECK(other->text.size() >= 3);
}

TEST_CASE("rga_text: damaged bytes are refused, or are another fragment in its canonical form") {
    std::mt19937_64 random(3);
    auto below = [&](std::size_t n) { return static_cast<std::size_t>(random() % n); };
    writer a{id_a};
    writer b{id_b};
    for (int i = 0; i < 12; ++i) {
        b.join(insert(a, below(a->text.size() + 1), i % 2 ? "word" : "\u20ac\U0001f600"));
        if (i % 3 == 0) a.join(erase(b, below(b->text.size() - 1), 2));
    }
    auto bytes = joinery::encode(a.state().whole().fragment);
    std::size_t accepted = 0;
    for (int i = 0; i < 30000; ++i) {
        auto bad = bytes;
        for (std::size_t n = 1 + below(3); n > 0; --n) bad[below(bad.size())] = static_cast<std::byte>(below(256));
        if (below(4) == 0) bad.resize(below(bad.size()));
        auto f = joinery::decode<text_fragment>(bad);
        if (!f) continue;
        ++accepted;
        REQUIRE(joinery::encode(*f) == bad);
        f->spell_out();
        note_delta d;
        d.fragment = *f;
        for (const auto& r : f->runs) d.covered.add({r.first.replica, r.first.seq, r.first.seq + r.count - 1});
        for (const auto& r : f->deletions) d.covered.add({r.first.replica, r.first.seq, r.first.seq + r.count - 1});
        writer w{id_c};
        w.join(b.state().whole());
        w.join(d);
        insert(w, 0, "ok");
    }
    CHECK(accepted > 100);
}

// Each insertion goes before all of the other writer's, past which it must not walk.
