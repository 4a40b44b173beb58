// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace joinery::tool {

/// The bytes of a file of SQLite's and of its write-ahead log, of one moment.
struct file_image {
    std::string path; ///< without links
    std::vector<unsigned char> main, wal;
    bool has_wal = false;              ///< a write-ahead log lies beside it, empty or not
    bool journal = false;              ///< a rollback journal with content lies beside it
    std::optional<std::int64_t> owner; ///< the process that has locked it; 0 if that cannot be told
};

/// Reads only. Throws tool_error.
file_image read_image(const std::string& path);

} // namespace joinery::tool
