// SPDX-License-Identifier: Apache-2.0
#pragma once

// What the parts of a text share: cutting and joining the runs of a text_fragment.

#include <joinery/text_fragment.hpp>

#include <cstdint>
#include <string_view>
#include <vector>

namespace joinery::detail {

enum class text_state : std::uint8_t {
    live,
    dead,   ///< a tombstone
    settled ///< a tombstone whose deletion is causally stable
};

inline dot advanced(dot d, std::uint64_t n) { return {d.replica, d.seq + n}; }
inline dot before(dot d) { return {d.replica, d.seq - 1}; }

template <class Run> dot_range dots_of(const Run& r) {
    return {r.first.replica, r.first.seq, r.first.seq + r.count - 1};
}

/// The characters that a run of deletions kills.
inline dot_range targets_of(const text_deletion& d) {
    std::uint64_t more = d.count - 1;
    return d.backward ? dot_range{d.target.replica, d.target.seq - more, d.target.seq}
                      : dot_range{d.target.replica, d.target.seq, d.target.seq + more};
}

/// For decoders.
inline void require(bool ok, decode_error e = decode_error::invalid_value) {
    if (!ok) throw decode_failure(e);
}

/// True if dots and Lamport numbers are within what arithmetic can bear.
bool numbers_fit(dot first, std::uint64_t count, std::uint64_t lamport);

/// So many characters of valid UTF-8. Throws decode_failure.
std::string_view read_utf8(compact_input_archive& ar, std::uint64_t points);

/// Its deletions `offset` to `offset + n - 1`.
text_deletion slice(const text_deletion& d, std::uint64_t offset, std::uint64_t n);
/// True if both can be one run.
bool extends(const text_deletion& d, const text_deletion& next);
/// Makes d the run of both. Requires: extends(d, next).
void extend(text_deletion& d, const text_deletion& next);
/// Adds a run behind all others, as part of the last if it extends that.
void append(text_deletion_list& to, const text_deletion& d);

bool extends(const text_run& r, const text_run& next);
void append(text_fragment& to, const text_run& r, std::string_view utf8);

} // namespace joinery::detail
