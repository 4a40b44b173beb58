// SPDX-License-Identifier: Apache-2.0
#include <joinery/text_diff.hpp>

#include <joinery/replica.hpp>
#include <joinery/rga_text.hpp>

#include <doctest/doctest.h>

#include <random>
#include <stdexcept>
#include <string>
#include <vector>

using joinery::carry_over;
using joinery::decode_utf8;
using joinery::edited;
using joinery::encode_utf8;
using joinery::text_diff;
using joinery::text_edit;

namespace {

using edits = std::vector<text_edit>;

edits difference(const std::string& from, const std::string& to) {
    return text_diff(decode_utf8(from).value(), decode_utf8(to).value());
}

std::string merged(const std::string& base, const std::string& mine, const std::string& current) {
    const auto b = decode_utf8(base).value(), c = decode_utf8(current).value();
    return encode_utf8(edited(c, carry_over(text_diff(b, decode_utf8(mine).value()), b, c)));
}

bool in_order(const edits& all, std::size_t size) {
    for (std::size_t i = 0; i < all.size(); ++i) {
        if (all[i].position + all[i].erased > size) return false;
        if (i && all[i].position <= all[i - 1].position + all[i - 1].erased) return false;
    }
    return true;
}

} // namespace

TEST_CASE("text_diff: few edits, by lines and then by characters") {
    CHECK(difference("", "") == edits{});
    CHECK(difference("same\n", "same\n") == edits{});
    CHECK(difference("", "new\n") == edits{{0, 0, U"new\n"}});
    CHECK(difference("old\n", "") == edits{{0, 4, U""}});
    CHECK(difference("Gr\u00fc\u00dfe\n", "Gr\u00fcne\n") == edits{{3, 1, U"n"}});
    CHECK(difference("a\nb\nc\n", "a\nc\n") == edits{{2, 2, U""}});
    // A new line at the end is one insertion, also when another line has changed and the ends are alike.
    CHECK(difference("one.\ntwo.\n", "One.\ntwo.\nthree.\n") == edits{{0, 1, U"O"}, {10, 0, U"three.\n"}});
}

TEST_CASE("text_diff: edits are carried over to what has become of the text") {
    CHECK(merged("one\ntwo\nthree\n", "one\n2\nthree\n", "1\ntwo\nthree\n") == "1\n2\nthree\n");
    CHECK(merged("one\ntwo\n", "one\n", "one\ntwo\nthree\n") == "one\nthree\n");
    CHECK(merged("one\ntwo\n", "one\n", "one\n") == "one\n");                // both erased it
    CHECK(merged("one\ntwo\n", "one\nnew\ntwo\n", "two\n") == "new\ntwo\n"); // what it stood behind is gone
    CHECK(merged("a fox", "a quick fox", "a red fox") == "a quick red fox");
}

TEST_CASE("text_diff: code points of UTF-8, and the place of what is none") {
    std::size_t bad = 0;
    CHECK(!decode_utf8("ab\xff", &bad));
    CHECK(bad == 2);
    for (const char* wrong : {"\xed\xa0\x80", "\xe0\x80\xaf", "\xf4\x90\x80\x80", "\xc3", "\x80"})
        CHECK(!decode_utf8(wrong));
    CHECK(decode_utf8("a\u00fc\u20ac\U0001f600") == U"a\u00fc\u20ac\U0001f600");
    CHECK(encode_utf8(U"a\u00fc\u20ac\U0001f600") == "a\u00fc\u20ac\U0001f600");
}

TEST_CASE("text_diff: random texts") {
    std::mt19937 random(1);
    const auto below = [&](std::size_t n) { return std::uniform_int_distribution<std::size_t>(0, n - 1)(random); };
    const auto text = [&] {
        std::u32string out;
        for (std::size_t n = below(24); n > 0; --n) out += U"ab\n\u00fc"[below(4)];
        return out;
    };
    for (int i = 0; i < 5000; ++i) {
        const auto base = text(), mine = text(), current = text();
        const auto all = text_diff(base, mine);
        REQUIRE(in_order(all, base.size()));
        REQUIRE(edited(base, all) == mine);
        REQUIRE(carry_over(all, base, base) == all);
        REQUIRE(in_order(carry_over(all, base, current), current.size()));
        REQUIRE(edited(mine, carry_over({}, base, mine)) == mine);
        REQUIRE(decode_utf8(encode_utf8(base)) == base);
    }
}

TEST_CASE("text_diff: great texts without much in common end") {
    std::u32string a, b;
    for (unsigned long long i = 0; i < 100000; ++i) {
        a += static_cast<char32_t>(U'a' + i * 7919 % 23);
        b += static_cast<char32_t>(U'a' + i * 104729 % 29);
        if (i % 50 == 0) a += U'\n', b += U'\n';
    }
    CHECK(edited(a, text_diff(a, b)) == b);
}

TEST_CASE("rga_text: a changed file comes in by its differences, and keeps what others write") {
    joinery::replica<joinery::rga_text> a{joinery::replica_id{1}}, b{joinery::replica_id{2}};
    b.join(a.edit([](auto& t, auto& tx) { t.insert(tx, 0, "one\ntwo\nthree\n"); }));
    const auto theirs = b.edit([](auto& t, auto& tx) { t.insert(tx, 7, " and a half"); });
    const auto mine = a.edit([](auto& t, auto& tx) { t.apply_diff(tx, "One\ntwo\nthree\nf\u00fcnf\n"); });
    CHECK(a->str() == "One\ntwo\nthree\nf\u00fcnf\n");
    CHECK(mine.covered.count() == 1 + 1 + 5);
    a.join(theirs);
    b.join(mine);
    CHECK(a->str() == "One\ntwo and a half\nthree\nf\u00fcnf\n");
    CHECK(b->str() == a->str());
    CHECK(a.edit([&](auto& t, auto& tx) { t.apply_diff(tx, t.str()); }).empty());

    const auto before = a->str();
    CHECK_THROWS_AS(a.edit([](auto& t, auto& tx) { t.apply_diff(tx, "\xff"); }), std::invalid_argument);
    for (const edits& wrong : {edits{{100, 0, U"x"}}, edits{{0, 100, U""}}, edits{{5, 2, U"x"}, {6, 0, U"y"}}})
        CHECK_THROWS_AS(a.edit([&](auto& t, auto& tx) { t.apply(tx, wrong); }), std::out_of_range);
    CHECK(a->str() == before);
}
