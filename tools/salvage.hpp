// SPDX-License-Identifier: Apache-2.0
#pragma once

// What is left in a damaged file. Its pages are read one by one, without SQLite, which gives up at the first that leads
// nowhere: rows are told by their columns, whatever became of the pages above them, and those that are left over from
// earlier are told from the others by the chain of checksums (sync/sqlite_format.hpp). The file is looked at with its
// write-ahead log as far as that verifies, with all of that, and without it.

#include "file_image.hpp"
#include "stored_file.hpp"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace joinery::tool {

struct found_collection {
    std::uint64_t number = 0;
    std::optional<std::string> name; ///< none: its row is lost
    std::uint64_t fingerprint = 0;
    bool snapshot_lost = false;
    std::vector<std::byte> snapshot;
    std::vector<std::optional<std::vector<std::byte>>> records; ///< none: there something is missing, or is damaged
};

struct found_node {
    std::optional<replica_id> id; ///< none if it is not known
    std::vector<found_collection> collections;
};

/// All that a sound file has.
found_node all_of(stored_file&& f);

/// O(size) of time and memory.
found_node salvage(const file_image& image);

} // namespace joinery::tool
