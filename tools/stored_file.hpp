// SPDX-License-Identifier: Apache-2.0
#pragma once

// A storage's file (sync/sqlite_format.hpp) as the tool reads it: without opening it as a storage, which would lock it
// and mark it as in use. The file and its write-ahead log are read into memory, where the log is put into the copy and
// SQLite is given that; nothing on the disk is opened for writing. While a leader has the file open its log grows at
// the end only, and a checkpoint changes the time of the file: what was read is whole if that did not change meanwhile.

#include <joinery/replica_id.hpp>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

namespace joinery::tool {

/// What the tool says on stderr, with exit code 2.
struct tool_error : std::runtime_error {
    using std::runtime_error::runtime_error;
};

/// The file is of a format that this program does not know.
struct newer_format : tool_error {
    using tool_error::tool_error;
};

/// Something that is not as it was written.
struct damage {
    std::string where, what;
};

struct file_collection {
    std::uint64_t number = 0;
    std::string name;
    std::uint64_t fingerprint = 0;
    std::vector<std::byte> snapshot; ///< what there is of it
    std::vector<std::vector<std::byte>> records;
    std::uint64_t log_bytes = 0;
};

struct stored_file {
    std::string path;
    std::uint64_t bytes = 0, wal_bytes = 0;
    std::int64_t format = 0;
    std::optional<replica_id> id;
    std::int64_t state = 0;            ///< 0: closed cleanly; else sqlite::unclean_relaxed, unclean_full or copied
    std::optional<std::int64_t> owner; ///< the process that has it open; 0 if that cannot be told
    bool encrypted = false;            ///< set by read_opened
    std::vector<file_collection> collections;
    std::vector<damage> found;

    const file_collection* find(std::string_view name) const;
};

/// Reads and verifies a file. Throws tool_error if it is none of ours, of a newer format or cannot be read at all; what
/// is damaged is in `found`, and the rest is read. `thorough`: with all of SQLite's own checks. O(size) of time and
/// memory.
stored_file read_stored(const std::string& path, bool thorough);

} // namespace joinery::tool
