// SPDX-License-Identifier: Apache-2.0
#pragma once

// A version vector says, for each replica, up to which of its dots everything has been seen. It is all
// that a peer must be told to find out what it lacks: O(#replicas) bytes.
// Source: Parker et al., "Detection of Mutual Inconsistency in Distributed Systems" (1983).

#include <joinery/dot.hpp>

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace joinery {

/// Replica -> greatest contiguous sequence number; absent means 0. A flat vector sorted by replica:
/// look-ups are O(log n) in the number of replicas, joins O(n).
class version_vector {
public:
    using value_type = std::pair<replica_id, std::uint64_t>;

    version_vector() = default;
    /// Entries in any order; a repeated replica keeps its greatest number, zeros are dropped.
    version_vector(std::initializer_list<value_type> entries);

    /// The number for `r`, 0 if absent.
    std::uint64_t operator[](replica_id r) const;
    bool contains(dot d) const { return d.seq <= (*this)[d.replica]; }

    /// Raises the number for `r` to at least `seq`. True if it grew.
    bool raise(replica_id r, std::uint64_t seq);
    /// Sets the number for `r`, also downwards; 0 removes the entry.
    void set(replica_id r, std::uint64_t seq);

    /// Least upper bound, in place. True if this grew.
    bool join(const version_vector& other);
    /// Greatest lower bound, in place.
    void meet(const version_vector& other);
    /// True if every number here is at most the other's.
    bool within(const version_vector& other) const;

    bool empty() const { return entries_.empty(); }
    std::size_t size() const { return entries_.size(); }
    auto begin() const { return entries_.begin(); }
    auto end() const { return entries_.end(); }

    friend bool operator==(const version_vector&, const version_vector&) = default;

private:
    std::vector<value_type> entries_; // sorted by replica, no zero
};

/// "{ab:7, cd:2}", ids in hexadecimal.
std::string to_string(const version_vector& v);

} // namespace joinery
