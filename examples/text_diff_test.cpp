// SPDX-License-Identifier: Apache-2.0
// Tests of text_diff: chosen cases, then random texts.

#include "text_diff.hpp"

#include <chrono>
#include <iostream>
#include <random>
#include <string>
#include <utility>

namespace {

using text_diff::edit;

int failures = 0;

void check(bool good, const std::string& what) {
    if (good) return;
    ++failures;
    std::cerr << "FAILED: " << what << '\n';
}

std::u32string decoded(const std::string& utf8) {
    std::size_t bad = 0;
    return text_diff::from_utf8(utf8, bad).value();
}

void expect(const std::string& from, const std::string& to, const std::vector<edit>& edits) {
    check(text_diff::diff(decoded(from), decoded(to)) == edits, "diff: \"" + from + "\" to \"" + to + '"');
}

void expect_merge(const std::string& base, const std::string& mine, const std::string& current,
                  const std::string& merged) {
    const auto b = decoded(base), c = decoded(current);
    const auto edits = text_diff::carry_over(text_diff::diff(b, decoded(mine)), b, c);
    const auto got = text_diff::to_utf8(text_diff::apply(c, edits));
    check(got == merged, "carry_over: \"" + base + "\", mine \"" + mine + "\", now \"" + current + "\": " + got);
}

bool in_order(const std::vector<edit>& edits, std::size_t size) {
    for (std::size_t i = 0; i < edits.size(); ++i) {
        if (edits[i].position + edits[i].erased > size) return false;
        if (i && edits[i].position <= edits[i - 1].position + edits[i - 1].erased) return false;
    }
    return true;
}

void random_texts() {
    std::mt19937 random(1); // the same texts every time
    auto below = [&](std::size_t n) { return std::uniform_int_distribution<std::size_t>(0, n - 1)(random); };
    auto text = [&] {
        std::u32string out;
        for (std::size_t n = below(24); n > 0; --n) out += U"ab\nü"[below(4)];
        return out;
    };
    for (int i = 0; i < 20000 && failures == 0; ++i) {
        const auto base = text(), mine = text(), current = text();
        const auto edits = text_diff::diff(base, mine);
        check(in_order(edits, base.size()), "diff: edits in order");
        check(text_diff::apply(base, edits) == mine, "diff: applied, it gives the new text");
        check(text_diff::carry_over(edits, base, base) == edits, "carry_over: nothing has changed");
        const auto carried = text_diff::carry_over(edits, base, current);
        check(in_order(carried, current.size()), "carry_over: edits in order");
        check(text_diff::apply(mine, text_diff::carry_over({}, base, mine)) == mine, "carry_over: no edits");
        std::size_t bad = 0;
        check(text_diff::from_utf8(text_diff::to_utf8(base), bad) == base, "UTF-8 there and back");
    }
}

void large_texts() {
    std::u32string a, b;
    for (unsigned long long i = 0; i < 200000; ++i) {
        a += static_cast<char32_t>(U'a' + i * 7919 % 23);
        b += static_cast<char32_t>(U'a' + i * 104729 % 29);
        if (i % 50 == 0) a += U'\n', b += U'\n';
    }
    const auto start = std::chrono::steady_clock::now();
    const auto edits = text_diff::diff(a, b);
    check(text_diff::apply(a, edits) == b, "diff: large texts without much in common");
    check(std::chrono::steady_clock::now() - start < std::chrono::seconds(20), "diff: it is bounded");
}

} // namespace

int main() {
    expect("", "", {});
    expect("same\n", "same\n", {});
    expect("", "new\n", {{0, 0, U"new\n"}});
    expect("old\n", "", {{0, 4, U""}});
    expect("Grüße\n", "Grüne\n", {{3, 1, U"n"}});
    expect("a\nb\nc\n", "a\nc\n", {{2, 2, U""}});
    // A new line at the end is one insertion, also when another line has changed and the ends are alike.
    expect("one.\ntwo.\n", "One.\ntwo.\nthree.\n", {{0, 1, U"O"}, {10, 0, U"three.\n"}});

    expect_merge("one\ntwo\nthree\n", "one\n2\nthree\n", "1\ntwo\nthree\n", "1\n2\nthree\n");
    expect_merge("one\ntwo\n", "one\n", "one\ntwo\nthree\n", "one\nthree\n");
    expect_merge("one\ntwo\n", "one\n", "one\n", "one\n");                // both erased it
    expect_merge("one\ntwo\n", "one\nnew\ntwo\n", "two\n", "new\ntwo\n"); // what it stood behind is gone
    expect_merge("a fox", "a quick fox", "a red fox", "a quick red fox");

    std::size_t bad = 0;
    check(!text_diff::from_utf8("ab\xff", bad) && bad == 2, "UTF-8: the place of a bad byte");
    check(!text_diff::from_utf8("\xed\xa0\x80", bad) && !text_diff::from_utf8("\xe0\x80\xaf", bad) &&
              !text_diff::from_utf8("\xf4\x90\x80\x80", bad) && !text_diff::from_utf8("\xc3", bad),
          "UTF-8: surrogates, overlong forms, too great, cut off");

    random_texts();
    large_texts();
    if (failures == 0) std::cout << "all good\n";
    return failures == 0 ? 0 : 1;
}
