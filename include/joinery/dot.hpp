// SPDX-License-Identifier: Apache-2.0
#pragma once

// A dot names one event: the n-th of one replica. Every event takes a dot (an add, a set, an increment,
// a removal, a deleted character), which is what lets a version vector alone say what a peer lacks.
// Source: Almeida, Baquero et al., "Scalable and Accurate Causality Tracking for Eventually Consistent
// Stores" (2014).

#include <joinery/replica_id.hpp>

#include <compare>
#include <cstdint>
#include <string>

namespace joinery {

/// (replica, sequence number from 1). Sequence 0 means "no event". Ordered by replica, then sequence.
struct dot {
    replica_id replica;
    std::uint64_t seq = 0;

    friend constexpr auto operator<=>(const dot&, const dot&) = default;
};

/// The dots (replica, first) to (replica, last), both included. Requires 1 <= first <= last.
struct dot_range {
    replica_id replica;
    std::uint64_t first = 0;
    std::uint64_t last = 0;

    constexpr dot_range() = default;
    constexpr dot_range(replica_id r, std::uint64_t from, std::uint64_t to) : replica(r), first(from), last(to) {}
    constexpr dot_range(dot d) : replica(d.replica), first(d.seq), last(d.seq) {} // a single dot is a range

    constexpr std::uint64_t size() const { return last - first + 1; }
    constexpr bool contains(dot d) const { return d.replica == replica && first <= d.seq && d.seq <= last; }

    friend constexpr auto operator<=>(const dot_range&, const dot_range&) = default;
};

/// "00000000000000ab:7".
std::string to_string(dot d);

} // namespace joinery
