// SPDX-License-Identifier: Apache-2.0
#include "utf8.hpp"

#include <cstring>

namespace joinery::detail {

namespace {

constexpr std::uint64_t high_bits = 0x8080808080808080u;

std::uint64_t eight_bytes(const char* p) {
    std::uint64_t v = 0;
    std::memcpy(&v, p, 8);
    return v;
}

bool continues(unsigned char b) { return (b & 0xc0) == 0x80; }

} // namespace

std::optional<utf8_measure> measure_utf8(std::string_view text) {
    utf8_measure m;
    auto at = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
    for (std::size_t i = 0; i < text.size();) {
        if (i + 8 <= text.size() && (eight_bytes(text.data() + i) & high_bits) == 0) {
            i += 8;
            m.points += 8;
            continue;
        }
        unsigned char lead = at(i);
        std::size_t n = utf8_length(text[i]);
        if (lead >= 0x80 && (lead < 0xc2 || lead > 0xf4 || text.size() - i < n)) return std::nullopt;
        for (std::size_t k = 1; k < n; ++k)
            if (!continues(at(i + k))) return std::nullopt;
        if (lead == 0xe0 && at(i + 1) < 0xa0) return std::nullopt;  // overlong
        if (lead == 0xed && at(i + 1) >= 0xa0) return std::nullopt; // surrogate
        if (lead == 0xf0 && at(i + 1) < 0x90) return std::nullopt;  // overlong
        if (lead == 0xf4 && at(i + 1) >= 0x90) return std::nullopt; // above U+10FFFF
        i += n;
        ++m.points;
        if (n == 4) ++m.wide;
    }
    return m;
}

bool is_ascii(std::string_view text) {
    unsigned char all = 0;
    for (const char c : text) all |= static_cast<unsigned char>(c); // all at once, with wide registers
    return all < 0x80;
}

std::size_t plain_prefix(std::string_view text) {
    constexpr std::uint64_t ones = ~std::uint64_t{0} / 255, newlines = ones * '\n';
    const auto plain = [&](std::size_t at) {
        const std::uint64_t v = eight_bytes(text.data() + at), apart = v ^ newlines; // a newline is 0 in there
        return ((((apart - ones) & ~apart) | v) & high_bits) == 0;
    };
    std::size_t i = 0;
    if (text.size() >= 8) {
        const std::size_t last = text.size() - 8;
        while (i < last && plain(i)) i += 8;
        if (i >= last && plain(last)) return text.size();
    }
    while (i < text.size() && text[i] != '\n' && static_cast<unsigned char>(text[i]) < 0x80) ++i;
    return i;
}

utf8_measure count_utf8(std::string_view valid) {
    utf8_measure m;
    for (std::size_t i = 0; i < valid.size();) {
        if (i + 8 <= valid.size() && (eight_bytes(valid.data() + i) & high_bits) == 0) {
            i += 8;
            m.points += 8;
            continue;
        }
        std::size_t n = utf8_length(valid[i]);
        i += n;
        ++m.points;
        if (n == 4) ++m.wide;
    }
    return m;
}

std::size_t utf8_prefix(std::string_view valid, std::uint64_t points) {
    std::size_t i = 0;
    while (points > 0) {
        if (points >= 8 && i + 8 <= valid.size() && (eight_bytes(valid.data() + i) & high_bits) == 0) {
            i += 8;
            points -= 8;
            continue;
        }
        i += utf8_length(valid[i]);
        --points;
    }
    return i;
}

} // namespace joinery::detail
