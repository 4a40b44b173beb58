// SPDX-License-Identifier: Apache-2.0
#pragma once

// What changed between two texts, as few edits: first which lines, then within the changed lines which
// characters. And edits made to an older text, carried over to what has become of it since.
// Source: Myers, "An O(ND) Difference Algorithm and Its Variations" (1986).

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace joinery {

/// Replace `erased` code points from `position` on by `inserted`. Positions are in the old text; a list of
/// edits is in ascending order, and its edits neither touch nor overlap.
struct text_edit {
    std::size_t position = 0;
    std::size_t erased = 0;
    std::u32string inserted;

    friend bool operator==(const text_edit&, const text_edit&) = default;
};

/// The edits that make `to` of `from`. The fewest for texts that differ in some thousand places at most;
/// beyond that, larger pieces are replaced. O(n) and a bounded number of steps for each difference.
std::vector<text_edit> text_diff(std::u32string_view from, std::u32string_view to);

/// Edits of `base`, as edits of `current`, which others have made of it meanwhile: what they changed stays,
/// what both erased is erased once, and insertions stay behind the character that they were made behind.
std::vector<text_edit> carry_over(const std::vector<text_edit>& edits, std::u32string_view base,
                                  std::u32string_view current);

/// The text with these edits.
std::u32string edited(std::u32string_view text, const std::vector<text_edit>& edits);

/// The code points of UTF-8, or nothing, with the place of the first bad byte in `bad`.
std::optional<std::u32string> decode_utf8(std::string_view bytes, std::size_t* bad = nullptr);
std::string encode_utf8(std::u32string_view text);

} // namespace joinery
