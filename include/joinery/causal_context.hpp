// SPDX-License-Identifier: Apache-2.0
#pragma once

// A set of dots: what a state has seen, or what a delta covers. It is a version vector plus the ranges
// beyond it, kept as ranges throughout, so that a million dots seen in order cost 16 bytes.
// Two states are compared by their whole contexts: {} and {A2} have equal version vectors.
// Source: Almeida, Shoker, Baquero, "Delta State Replicated Data Types" (2018), section 7.2.

#include <joinery/dot.hpp>
#include <joinery/version_vector.hpp>

#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace joinery {

/// A set of dots as maximal ranges. Look-ups are O(log #replicas + log #ranges of that replica);
/// joins, intersections and differences O(#ranges of both).
class causal_context {
public:
    /// First and last sequence number, both included.
    using range = std::pair<std::uint64_t, std::uint64_t>;
    struct entry {
        replica_id replica;
        std::vector<range> ranges; // sorted, disjoint, not adjacent, never empty
        friend bool operator==(const entry&, const entry&) = default;
    };

    causal_context() = default;
    /// All dots that `v` contains.
    explicit causal_context(const version_vector& v);
    causal_context(std::initializer_list<dot_range> ranges);

    bool contains(dot d) const;
    bool contains(const dot_range& r) const;
    bool contains(const causal_context& other) const;
    /// True if any dot is in both.
    bool intersects(const causal_context& other) const;
    bool intersects(const dot_range& r) const;

    /// Adds dots. True if any was new. O(log) when the range continues or follows the replica's last.
    bool add(const dot_range& r);
    bool join(const causal_context& other);
    void remove(const dot_range& r);
    void subtract(const causal_context& other);
    void subtract(const version_vector& v);

    /// The dots of this that are not in `v` (or in the other).
    causal_context minus(const version_vector& v) const;
    causal_context minus(const causal_context& other) const;
    causal_context intersect(const causal_context& other) const;
    /// The parts of `r` that are in this, in order.
    std::vector<dot_range> intersect(const dot_range& r) const;
    /// The parts of `r` that are not in this, in order.
    std::vector<dot_range> missing(const dot_range& r) const;

    /// The contiguous part: per replica, the greatest n such that 1..n are all here.
    version_vector version() const;
    /// The greatest n such that dots 1..n of `r` are all here.
    std::uint64_t contiguous(replica_id r) const;
    /// The greatest sequence number of `r` here, contiguous or not; 0 if none.
    std::uint64_t greatest(replica_id r) const;
    /// True if the context is its version vector, with no range beyond it.
    bool gapless() const;

    bool empty() const { return entries_.empty(); }
    /// Number of dots.
    std::uint64_t count() const;
    /// Number of ranges.
    std::size_t range_count() const;
    void clear() { entries_.clear(); }

    /// The ranges by replica; `ranges(r)` is empty for a replica without any.
    const std::vector<entry>& entries() const { return entries_; }
    std::span<const range> ranges(replica_id r) const;

    /// Calls f(dot_range) for every range in order.
    template <class F> void for_each(F&& f) const {
        for (const auto& e : entries_)
            for (const auto& [first, last] : e.ranges) f(dot_range{e.replica, first, last});
    }

    friend bool operator==(const causal_context&, const causal_context&) = default;

private:
    std::vector<entry> entries_; // sorted by replica

    const entry* find(replica_id r) const;
    entry& slot(replica_id r);
};

/// "{ab:1-7 ab:9 cd:2}".
std::string to_string(const causal_context& c);

} // namespace joinery
