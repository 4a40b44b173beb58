// SPDX-License-Identifier: Apache-2.0
#pragma once

// Counting in UTF-8: how the text types turn code points, bytes and UTF-16 units into one another.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace joinery::detail {

/// What a stretch of UTF-8 holds. `wide` counts the code points of four bytes: those that take a pair of
/// surrogates in UTF-16, so that the number of UTF-16 units is points + wide.
struct utf8_measure {
    std::uint64_t points = 0;
    std::uint64_t wide = 0;
};

/// The measure of `text`, or nothing if it is not valid UTF-8 (RFC 3629: no overlong forms, no surrogates,
/// nothing above U+10FFFF). O(size).
std::optional<utf8_measure> measure_utf8(std::string_view text);

/// True if it is valid UTF-8 of so many code points.
inline bool is_utf8(std::string_view text, std::uint64_t points) {
    if (text.size() == 1 && points == 1) return static_cast<unsigned char>(text[0]) < 0x80; // what is typed
    const auto m = measure_utf8(text);
    return m && m->points == points;
}

/// The same for text that is known to be valid.
utf8_measure count_utf8(std::string_view valid);

/// True if all bytes are ASCII. O(size).
bool is_ascii(std::string_view text);

/// The number of bytes before the first that is not ASCII, or is the end of a line. O(answer).
std::size_t plain_prefix(std::string_view text);

/// The number of bytes of the code point that begins with this byte of valid text.
constexpr std::size_t utf8_length(char lead) {
    auto b = static_cast<unsigned char>(lead);
    return b < 0x80 ? 1 : b < 0xe0 ? 2 : b < 0xf0 ? 3 : 4;
}

/// The bytes taken by the first `points` code points of valid text that has at least as many.
std::size_t utf8_prefix(std::string_view valid, std::uint64_t points);

} // namespace joinery::detail
