// SPDX-License-Identifier: Apache-2.0
#include <joinery/digest.hpp>

#include <xxhash.h>

#include <array>

namespace joinery {

std::uint64_t digest(std::span<const std::byte> bytes, std::uint64_t seed) {
    return XXH3_64bits_withSeed(bytes.data(), bytes.size(), seed);
}

std::uint64_t digest(std::string_view text, std::uint64_t seed) {
    return XXH3_64bits_withSeed(text.data(), text.size(), seed);
}

std::uint64_t combine(std::uint64_t a, std::uint64_t b) {
    std::array<unsigned char, 16> bytes{};
    for (unsigned i = 0; i < 8; ++i) {
        bytes[i] = static_cast<unsigned char>(a >> (8 * i));
        bytes[8 + i] = static_cast<unsigned char>(b >> (8 * i));
    }
    return XXH3_64bits(bytes.data(), bytes.size());
}

} // namespace joinery
