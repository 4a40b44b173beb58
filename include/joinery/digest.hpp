// SPDX-License-Identifier: Apache-2.0
#pragma once

// 64-bit digests (XXH3) of encodings: to compare states between leaders, and as checksums of frames. They find
// accidents, not attacks.

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace joinery {

/// The digest of some bytes. O(size).
std::uint64_t digest(std::span<const std::byte> bytes, std::uint64_t seed = 0);
std::uint64_t digest(std::string_view text, std::uint64_t seed = 0);

/// A digest of two: not commutative.
std::uint64_t combine(std::uint64_t a, std::uint64_t b);

} // namespace joinery
