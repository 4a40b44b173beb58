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
inline bool numbers_fit(dot first, std::uint64_t count, std::uint64_t lamport) {
    return first.seq >= 1 && count >= 1 && first.seq <= max_sequence && count - 1 <= max_sequence - first.seq &&
           lamport >= 1 && lamport <= max_lamport && count - 1 <= max_lamport - lamport;
}
/// The same of all that a run of deletions says.
inline bool well_formed(const text_deletion& d) {
    if (!numbers_fit(d.first, d.count, d.lamport) || d.target.seq < 1 || d.target.seq > max_sequence) return false;
    if (d.count == 1) return !d.backward;
    return d.backward ? d.count <= d.target.seq : d.count - 1 <= max_sequence - d.target.seq;
}

/// So many characters of valid UTF-8. Throws decode_failure.
std::string_view read_utf8(compact_input_archive& ar, std::uint64_t points);

/// Its deletions `offset` to `offset + n - 1`.
text_deletion slice(const text_deletion& d, std::uint64_t offset, std::uint64_t n);
/// True if both can be one run.
inline bool extends(const text_deletion& d, const text_deletion& next) {
    if (next.target.seq != d.target.seq + d.count && next.target.seq + d.count != d.target.seq) return false; // mostly
    if (next.first != advanced(d.first, d.count) || next.lamport != d.lamport + d.count ||
        next.target.replica != d.target.replica)
        return false;
    const bool backward = d.count > 1 ? d.backward : next.count > 1 ? next.backward : next.target.seq < d.target.seq;
    if (next.count > 1 && next.backward != backward) return false;
    return backward ? next.target.seq + d.count == d.target.seq : next.target.seq == d.target.seq + d.count;
}
inline bool extends(const text_run& r, const text_run& next) {
    return next.deleted == r.deleted && next.parent == before(next.first) && next.first == advanced(r.first, r.count) &&
           next.lamport == r.lamport + r.count;
}
/// Makes d the run of both. Requires: extends(d, next).
inline void extend(text_deletion& d, const text_deletion& next) {
    d.backward = next.target.seq < d.target.seq;
    d.count += next.count;
}
/// Adds a run behind all others, as part of the last if it extends that.
inline void append(text_deletion_list& to, const text_deletion& d) {
    if (!to.empty() && extends(to.back(), d))
        extend(to.back(), d);
    else
        to.emplace_back(d.first, d.target, d.count, d.lamport, d.backward);
}
inline void append(text_fragment& to, const text_run& r, std::string_view utf8) {
    if (!to.runs.empty() && extends(to.runs.back(), r))
        to.runs.back().count += r.count;
    else
        to.runs.emplace_back(r.first, r.parent, r.count, r.lamport, r.deleted);
    to.text.append(utf8);
}

} // namespace joinery::detail
