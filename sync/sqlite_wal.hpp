// SPDX-License-Identifier: Apache-2.0
#pragma once

// A look at SQLite's write-ahead log (WAL) that SQLite itself does not take.

#include <cstdint>
#include <filesystem>

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

} // namespace joinery::sqlite
