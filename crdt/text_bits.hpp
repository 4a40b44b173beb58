// SPDX-License-Identifier: Apache-2.0
#pragma once

// Sets of characters as bits, by ranges.

#include <algorithm>
#include <bit>
#include <cstdint>
#include <vector>

namespace joinery::detail {

using text_bits = std::vector<std::uint64_t>; ///< no longer than needed: what is beyond the end is 0

/// Calls f(word, mask) for the bits from `first` on, in words that there are.
template <class Bits, class F> void for_each_word(Bits& bits, std::uint32_t first, std::uint32_t n, F&& f) {
    const std::uint64_t end = std::min(std::uint64_t{first} + n, std::uint64_t{bits.size()} * 64);
    if (first >= end) return;
    std::uint64_t word = first / 64, mask = ~std::uint64_t{0} << (first % 64);
    for (const std::uint64_t last = (end - 1) / 64; word < last; mask = ~std::uint64_t{0}) f(bits[word++], mask);
    f(bits[word], mask & (~std::uint64_t{0} >> (63 - (end - 1) % 64)));
}

/// How many bits of a word are set. (std::popcount is a call unless the processor is known to do it.)
constexpr std::uint32_t count_bits(std::uint64_t word) {
    word -= (word >> 1) & 0x5555555555555555;
    word = (word & 0x3333333333333333) + ((word >> 2) & 0x3333333333333333);
    word = (word + (word >> 4)) & 0x0f0f0f0f0f0f0f0f;
    return static_cast<std::uint32_t>((word * 0x0101010101010101) >> 56);
}

inline bool has_bit(const text_bits& bits, std::uint32_t c) {
    return c / 64 < bits.size() && (bits[c / 64] >> (c % 64) & 1) != 0;
}

/// Makes words for the first `n` bits. Grows by an eighth: these sets are great, and beside others of their size.
[[gnu::noinline]] inline void grow_to(text_bits& bits, std::size_t words) {
    if (words > bits.capacity()) bits.reserve(words + words / 8 + 2);
    bits.resize(words);
}
inline void make_words(text_bits& bits, std::uint32_t n) {
    const std::size_t words = (std::size_t{n} + 63) / 64;
    if (words > bits.size()) grow_to(bits, words);
}

inline void set_bit(text_bits& bits, std::uint32_t c) {
    make_words(bits, c + 1);
    bits[c / 64] |= std::uint64_t{1} << (c % 64);
}

/// Requires: the words are there.
inline void set_bits(text_bits& bits, std::uint32_t first, std::uint32_t n) {
    for_each_word(bits, first, n, [](std::uint64_t& word, std::uint64_t mask) { word |= mask; });
}

inline void clear_bits(text_bits& bits, std::uint32_t first, std::uint32_t n) {
    for_each_word(bits, first, n, [](std::uint64_t& word, std::uint64_t mask) { word &= ~mask; });
}

/// Sets what lies between the first set bit and the second, the third and the fourth, and so on, with the first of
/// both.
inline void fill_between(text_bits& bits) {
    std::uint64_t before = 0; // all ones if the last word ends within
    for (std::uint64_t& word : bits) {
        for (unsigned n = 1; n < 64; n *= 2) word ^= word << n;
        word ^= before;
        before = 0 - (word >> 63);
    }
}

/// True if all of them are set, or if any is. Requires: the words are there.
inline bool all_bits(const text_bits& bits, std::uint32_t first, std::uint32_t n) {
    bool all = true;
    for_each_word(bits, first, n, [&](std::uint64_t word, std::uint64_t mask) { all = all && (word & mask) == mask; });
    return all;
}
inline bool any_bits(const text_bits& bits, std::uint32_t first, std::uint32_t n) {
    bool any = false;
    for_each_word(bits, first, n, [&](std::uint64_t word, std::uint64_t mask) { any = any || (word & mask) != 0; });
    return any;
}

/// Leaves only the first `n`.
inline void truncate_bits(text_bits& bits, std::uint32_t n) {
    const std::size_t words = (std::size_t{n} + 63) / 64;
    if (words > bits.size()) return;
    bits.resize(words);
    if (n % 64 != 0) bits.back() &= (std::uint64_t{1} << (n % 64)) - 1;
}

/// How many of them are set.
inline std::uint32_t count_bits(const text_bits& bits, std::uint32_t first, std::uint32_t n) {
    std::uint32_t sum = 0;
    for_each_word(bits, first, n, [&](std::uint64_t word, std::uint64_t mask) {
        if ((word & mask) != 0) sum += count_bits(word & mask);
    });
    return sum;
}

/// How many from `first` on, at most n, are as the first is.
inline std::uint32_t alike_bits(const text_bits& bits, std::uint32_t first, std::uint32_t n) {
    const bool on = has_bit(bits, first);
    for (std::uint64_t c = first, end = std::uint64_t{first} + n; c < end;) {
        const std::uint64_t word = c / 64 < bits.size() ? bits[c / 64] : 0;
        const std::uint64_t others = (on ? ~word : word) >> (c % 64);
        if (others != 0)
            return std::min(n, static_cast<std::uint32_t>(c - first) +
                                   static_cast<std::uint32_t>(std::countr_zero(others)));
        if (c / 64 >= bits.size()) return n;
        c += 64 - c % 64;
    }
    return n;
}

} // namespace joinery::detail
