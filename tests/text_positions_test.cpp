// SPDX-License-Identifier: Apache-2.0
// Lines, chunks, anchors and changes of texts, each against what is read off the whole text.
#include <joinery/replica.hpp>
#include <joinery/rga_text.hpp>
#include <joinery/text_diff.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

using joinery::dot;
using joinery::replica;
using joinery::replica_id;
using joinery::rga_text;
using joinery::text_anchor;
using joinery::text_bias;
using joinery::text_location;

namespace {

using writer = replica<rga_text>;

auto insert(writer& w, std::size_t at, const std::string& utf8) {
    return w.edit([&](auto& t, auto& tx) { t.insert(tx, at, utf8); });
}
auto erase(writer& w, std::size_t at, std::size_t n) {
    return w.edit([&](auto& t, auto& tx) { t.erase(tx, at, n); });
}

std::u32string points(const writer& w) { return joinery::decode_utf8(w->str()).value(); }

std::u32string changed(std::u32string text, const std::vector<joinery::text_change>& changes) {
    std::size_t at = 0;
    for (const auto& c : changes) {
        at += c.retain;
        const auto inserted = joinery::decode_utf8(c.insert).value();
        REQUIRE(at + c.erase <= text.size());
        text.replace(at, c.erase, inserted);
        at += inserted.size();
    }
    return text;
}

// Random edits of a writer, in one edit, so that several places change.
auto scribble(writer& w, std::mt19937& random) {
    return w.edit([&](rga_text& t, joinery::transaction& tx) {
        for (auto n = random() % 4; n > 0; --n) {
            static const std::string words[] = {"a", "\n", "\u00fc\n", "word ", "\U0001f600", "two\nlines"};
            const std::size_t at = random() % (t.size() + 1);
            if (random() % 3 > 0)
                t.insert(tx, at, words[random() % 6]);
            else
                t.erase(tx, at, std::min<std::size_t>(random() % 6, t.size() - at));
        }
    });
}

void check_lines(const writer& w) {
    const auto all = points(w);
    REQUIRE(w->lines() == 1 + static_cast<std::size_t>(std::count(all.begin(), all.end(), U'\n')));
    text_location at;
    for (std::size_t pos = 0; pos <= all.size(); ++pos) {
        REQUIRE(w->location(pos) == at);
        REQUIRE(w->position(at) == pos);
        if (at.column == 0) REQUIRE(w->line_start(at.line) == pos);
        if (pos < all.size() && all[pos] == U'\n')
            at = {at.line + 1, 0};
        else
            ++at.column;
    }
    CHECK_THROWS_AS(w->line_start(w->lines()), std::out_of_range);
}

} // namespace

TEST_CASE("rga_text: lines and columns") {
    writer w{replica_id{1}};
    CHECK(w->lines() == 1);
    CHECK(w->location(0) == text_location{});
    CHECK(w->line_start(0) == 0);
    CHECK_THROWS_AS(w->line_start(1), std::out_of_range);
    insert(w, 0, "one\nt\u00fco\n");
    CHECK(w->location(6) == text_location{1, 2});
    CHECK(w->position({1, 3}) == 7);
    CHECK_THROWS_AS(w->position({1, 4}), std::out_of_range);
    CHECK_THROWS_AS(w->location(9), std::out_of_range);
    CHECK(w->location(8) == text_location{2, 0});

    std::mt19937 random(5);
    writer other{replica_id{2}};
    for (int i = 0; i < 400; ++i) {
        auto& a = random() % 2 ? w : other;
        scribble(a, random);
        if (random() % 4 == 0) {
            w.join(other.state());
            other.join(w.state());
        }
        if (i % 20 == 0) check_lines(a);
    }
    check_lines(w);
}

TEST_CASE("rga_text: chunks are the text, uncopied") {
    writer w{replica_id{1}};
    std::mt19937 random(6);
    for (int i = 0; i < 200; ++i) scribble(w, random);
    const auto all = points(w);
    for (int i = 0; i < 100; ++i) {
        const std::size_t pos = random() % (all.size() + 1), n = random() % 50;
        std::string joined;
        w->for_each_chunk(
            [&](std::string_view chunk) {
                CHECK(!chunk.empty());
                joined += chunk;
            },
            pos, n);
        REQUIRE(joined == joinery::encode_utf8(std::u32string_view(all).substr(pos, n)));
        REQUIRE(w->substr(pos, n) == joined);
    }
    CHECK_THROWS_AS(w->for_each_chunk([](std::string_view) {}, all.size() + 1), std::out_of_range);
}

TEST_CASE("rga_text: anchors stay with their characters") {
    writer a{replica_id{1}}, b{replica_id{2}};
    b.join(insert(a, 0, "abcd"));
    const auto left = a->anchor(2, text_bias::left), right = a->anchor(2, text_bias::right);
    const auto begin = a->anchor(0, text_bias::left), end = a->anchor(4, text_bias::right);
    CHECK(a->anchor(2) == left);
    CHECK(left != right);
    a.join(insert(b, 2, "XY"));
    CHECK(a->position(left) == 2);
    CHECK(a->position(right) == 4);
    insert(a, 0, ">");
    insert(a, a->size(), "<");
    CHECK(a->position(begin) == 0);
    CHECK(a->position(end) == a->size());
    CHECK(a->position(left) == 3);

    SUBCASE("erased, they stay where it was") {
        b.join(a.state());
        const auto gone = erase(b, 1, 2); // "ab"
        a.join(gone);
        CHECK(a->str() == ">XYcd<");
        CHECK(a->position(left) == 1);
        CHECK(a->position(right) == 3);
        a.prune(b.version());
        CHECK(!a->position(left));
        CHECK(a->position(right) == 3);
    }
    SUBCASE("they can be sent, and wait for what they are of") {
        const auto later = insert(a, 3, "new");
        const auto sent = joinery::decode<text_anchor>(joinery::encode(a->anchor(5))).value();
        CHECK(!b->position(sent));
        b.join(a.state());
        CHECK(b->position(sent) == 5);
    }
    CHECK_THROWS_AS(a->anchor(100), std::out_of_range);
    const writer empty{replica_id{3}};
    CHECK(empty->position(empty->anchor(0)) == 0);
    CHECK(!empty->position(left));
}

TEST_CASE("rga_text: what joins and edits changed, for an editor's buffer") {
    writer a{replica_id{1}}, b{replica_id{2}};
    const auto nothing = b->revision();
    CHECK(b->changes_since(nothing)->empty());
    b.join(insert(a, 0, "one two three"));
    CHECK(b->changes_since(nothing) == std::vector<joinery::text_change>{{0, 0, "one two three"}});
    auto seen = a->revision();
    erase(b, 4, 4);
    insert(b, 4, "2 ");
    insert(b, b->size(), " four");
    a.join(b.state());
    CHECK(a->str() == "one 2 three four");
    CHECK(a->changes_since(seen) == std::vector<joinery::text_change>{{4, 4, "2 "}, {5, 0, " four"}});
    CHECK(a->changes_since(a->revision()) == std::vector<joinery::text_change>{});
    CHECK(!b->changes_since(seen)); // of another text

    SUBCASE("an edit that is undone: all is to be read again") {
        seen = a->revision();
        CHECK_THROWS(a.edit([](auto& t, auto& tx) {
            t.insert(tx, 0, "no");
            throw std::runtime_error("undone");
        }));
        CHECK(!a->changes_since(seen));
        CHECK(a->changes_since(a->revision())->empty());
    }
    SUBCASE("a copy is another text") { CHECK(!rga_text(*a).changes_since(a->revision())); }
}

TEST_CASE("rga_text: the changes of random histories, pruned at times") {
    std::mt19937 random(7);
    for (int round = 0; round < 60; ++round) {
        std::vector<writer> all;
        for (std::uint64_t i = 1; i <= 3; ++i) all.emplace_back(replica_id{i});
        struct look {
            joinery::text_revision at;
            std::u32string text;
        };
        std::vector<std::vector<look>> looks(all.size());
        std::size_t told = 0, asked = 0;
        for (int i = 0; i < 120; ++i) {
            const std::size_t who = random() % all.size();
            auto& w = all[who];
            switch (random() % 5) {
            case 0:
            case 1: scribble(w, random); break;
            case 2: w.join(all[random() % all.size()].state()); break;
            case 3: looks[who].push_back({w->revision(), points(w)}); break;
            default:
                if (random() % 8 > 0) break;
                for (auto& x : all)
                    for (auto& y : all) x.join(y.state());
                for (auto& x : all) x.prune(w.version());
            }
            for (const auto& l : looks[who]) {
                ++asked;
                const auto changes = w->changes_since(l.at);
                if (!changes) continue;
                ++told;
                REQUIRE(changed(l.text, *changes) == points(w));
            }
        }
        REQUIRE((asked == 0 || told > 0));
    }
}

TEST_CASE("rga_text: a long journal of erasures forgets its beginning") {
    writer w{replica_id{1}};
    insert(w, 0, std::string(40'000, 'x'));
    const auto seen = w->revision();
    auto before = points(w);
    for (std::size_t i = 0; i < 2000; ++i) erase(w, 3 * i, 1);
    const auto middle = w->revision();
    const auto then = points(w);
    CHECK(changed(before, *w->changes_since(seen)) == then);
    for (std::size_t i = 0; i < 4000; ++i) erase(w, 3 * i, 1);
    CHECK(!w->changes_since(seen));
    const auto late = w->changes_since(middle);
    CHECK((!late || changed(then, *late) == points(w)));
}
