// SPDX-License-Identifier: Apache-2.0
#pragma once

// A look at SQLite's write-ahead log (WAL) that SQLite itself does not take.

#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <vector>

namespace joinery::sqlite {

/// SQLite's numbers in headers.
inline std::uint32_t big_endian(const unsigned char* p) {
    return std::uint32_t{p[0]} << 24 | std::uint32_t{p[1]} << 16 | std::uint32_t{p[2]} << 8 | p[3];
}

/// False if a transaction that had been synced is damaged. Requires that each transaction was synced before
/// the next one was written (level full).
///
/// SQLite ends at the first frame that does not verify. If it is torn, then it belongs to the last
/// transaction, and nothing of a later one can follow. So the frames that follow are chained on, from what
/// the bad frame says its checksum is and from what it ought to be; frames that fit and come after a commit
/// prove the damage. Frames of an earlier use of the file have other salts and do not fit.
bool verify_wal(const std::filesystem::path& path);

/// Puts the transactions of a WAL into a copy of the file, as SQLite's recovery does: up to the first frame that does
/// not verify. How many pages were put; nothing if the WAL is one of another file, which has another size of pages, or
/// would make a file of more than `max_size` bytes.
std::optional<std::size_t> replay_wal(std::span<const unsigned char> wal, std::vector<unsigned char>& file,
                                      std::uint64_t max_size);

} // namespace joinery::sqlite
