// SPDX-License-Identifier: Apache-2.0
#pragma once

// Bytes as a Zstandard frame: saved states, which hold readable text, become a third to a half of their size. Apart
// from joinery itself: link joinery-zstd.
//
//     auto file = joinery::zstd_compress(joinery::encode(notes.state()), 19);
//     auto bytes = joinery::zstd_decompress(file, 64 << 20);
//     if (bytes) notes = joinery::decode<joinery::causal<note>>(*bytes)...
//
// Source: RFC 8878.

#include <joinery/decode_error.hpp>
#include <joinery/result.hpp>

#include <cstddef>
#include <span>
#include <vector>

namespace joinery {

/// A frame that says the size of its content and has a checksum. `level` goes from 1, quick, to 19, small; what lies
/// beyond is taken as the nearer of these. Equal bytes give equal frames with the same version of the library. O(size).
std::vector<std::byte> zstd_compress(std::span<const std::byte> bytes, int level = 3);

/// The content of one frame, which may be hostile. Never throws. Allocates what the frame says it needs, if that is at
/// most `most` bytes; else decode_error::too_large. Other errors: truncated, trailing_bytes, bad_checksum, and
/// invalid_value if it is no frame, does not say its size, or is damaged.
result<std::vector<std::byte>, decode_error> zstd_decompress(std::span<const std::byte> frame, std::size_t most);

} // namespace joinery
