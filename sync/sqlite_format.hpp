// SPDX-License-Identifier: Apache-2.0
#pragma once

// What is in the file of an sqlite_storage.
//
// Header fields application_id ("join") and user_version (the format, 1, and from the ninth bit on the file's mark) say
// whose it is. Tables:
//
//     node        one row: id, state (0 closed cleanly, 1 in use at level relaxed, 2 at level full,
//                 3 a copy of another file, whose id this is), number of collections
//     collection  number, name, fingerprint and size of the snapshot
//     snapshot    the snapshots, cut into parts
//     log         the records since, cut into parts: each record as a LEB128 length and its bytes, one after
//                 another; a sync writes the records of a collection in as few rows as it can
//
// A part's key is its collection * 2^40 + its position, so that a collection's parts lie together, are read
// in order and are deleted as one range. Numbers from 2^63 on are stored as SQLite's negative integers.
//
// Checksums are XXH3 and form a chain per collection: the collection's row covers name, fingerprint and the
// snapshot; each part of the log covers its bytes, its key and the checksum before. So a part that changed,
// is missing in the middle, moved or is left over from an older snapshot does not verify.
//
// The mark is a random number of each file. Rows of node, collection and log verify in their own file only, and the
// header in the file must have the mark that the write-ahead log has: SQLite itself plays back any log that has the
// right name, that of another file too.

#include <joinery/replica_id.hpp>

#include <xxhash.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace joinery::sqlite {

inline constexpr std::uint32_t application_id = 0x6a6f696e; // "join"
inline constexpr std::int64_t format_version = 1;
inline constexpr int mark_shift = 8;
inline constexpr std::int64_t page_size = 4096;
inline constexpr std::size_t part_size = 256 * 1024;
inline constexpr int position_bits = 40;
inline constexpr std::uint32_t max_collections = (1u << 23) - 1;
inline constexpr std::int64_t unclean_relaxed = 1, unclean_full = 2, copied = 3;

struct table {
    const char* name;
    const char* sql;
};
inline constexpr table schema[] = {
    {"node", "CREATE TABLE node (one INTEGER PRIMARY KEY, id INTEGER, state INTEGER NOT NULL, "
             "collections INTEGER NOT NULL, checksum INTEGER NOT NULL)"},
    {"collection", "CREATE TABLE collection (number INTEGER PRIMARY KEY, fingerprint INTEGER NOT NULL, "
                   "snapshot_size INTEGER NOT NULL, checksum INTEGER NOT NULL, name BLOB NOT NULL)"},
    {"snapshot", "CREATE TABLE snapshot (key INTEGER PRIMARY KEY, data BLOB NOT NULL)"},
    {"log", "CREATE TABLE log (key INTEGER PRIMARY KEY, checksum INTEGER NOT NULL, data BLOB NOT NULL)"},
};

inline std::int64_t stored(std::uint64_t value) { return static_cast<std::int64_t>(value); }
inline std::uint64_t unstored(std::int64_t value) { return static_cast<std::uint64_t>(value); }

/// Of user_version. 0 is the mark of a file that has none.
inline std::int64_t format_of(std::uint32_t user_version) { return user_version & ((1u << mark_shift) - 1); }
inline std::uint32_t mark_of(std::uint32_t user_version) { return user_version >> mark_shift; }

inline std::int64_t part_key(std::uint32_t collection, std::uint64_t position) {
    return stored((std::uint64_t{collection} << position_bits) | position);
}

inline std::uint64_t chain(std::uint64_t previous, std::uint64_t key, std::span<const std::byte> data) {
    std::array<unsigned char, 16> words{};
    for (unsigned i = 0; i < 8; ++i) {
        words[i] = static_cast<unsigned char>(previous >> (8 * i));
        words[8 + i] = static_cast<unsigned char>(key >> (8 * i));
    }
    return XXH3_64bits_withSeed(data.data(), data.size(), XXH3_64bits(words.data(), words.size()));
}

/// What the checksums in rows are combined with, by exclusive or.
inline std::uint64_t mark_sum(std::uint32_t mark) { return mark == 0 ? 0 : chain(mark, 0, {}); }

inline std::uint64_t node_checksum(std::optional<replica_id> id, std::int64_t state, std::uint64_t count,
                                   std::uint32_t mark) {
    const std::uint64_t first = chain(unstored(state), count, {});
    return chain(first, id ? id->value() : 0, std::as_bytes(std::span("id", id ? 2 : 0))) ^ mark_sum(mark);
}

/// Calls f(position, part) for the parts of `data`.
template <class F> void for_each_part(std::span<const std::byte> data, F&& f) {
    for (std::uint64_t position = 0; !data.empty(); ++position) {
        std::size_t n = std::min(part_size, data.size());
        f(position, data.first(n));
        data = data.subspan(n);
    }
}

inline void put_length(std::vector<std::byte>& out, std::uint64_t n) {
    for (; n >= 0x80; n >>= 7) out.push_back(static_cast<std::byte>(n | 0x80));
    out.push_back(static_cast<std::byte>(n));
}

/// Takes whole records off a stream of parts. A record may begin in one part and end in another.
class record_splitter {
public:
    explicit record_splitter(std::vector<std::vector<std::byte>>& out) : out_(out) {}

    /// False if a length is not possible.
    bool add(std::span<const std::byte> part) {
        while (!part.empty()) {
            if (in_body_) {
                auto n = static_cast<std::size_t>(std::min<std::uint64_t>(wanted_, part.size()));
                out_.back().insert(out_.back().end(), part.begin(), part.begin() + stored(n));
                part = part.subspan(n);
                wanted_ -= n;
            } else {
                auto b = static_cast<std::uint64_t>(part.front());
                part = part.subspan(1);
                if (shift_ > 56) return false;
                wanted_ |= (b & 0x7f) << shift_;
                shift_ += 7;
                if (b & 0x80) continue;
                out_.emplace_back();
                out_.back().reserve(static_cast<std::size_t>(std::min<std::uint64_t>(wanted_, part.size())));
                in_body_ = true;
            }
            if (wanted_ == 0) {
                in_body_ = false;
                shift_ = 0;
            }
        }
        return true;
    }
    /// True between two records.
    bool whole() const { return !in_body_ && shift_ == 0; }

private:
    std::vector<std::vector<std::byte>>& out_;
    std::uint64_t wanted_ = 0;
    unsigned shift_ = 0;
    bool in_body_ = false;
};

} // namespace joinery::sqlite
