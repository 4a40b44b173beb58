// SPDX-License-Identifier: Apache-2.0
#pragma once

// A set of dots: what a state has seen, or what a delta covers. It is a version vector plus the ranges
// beyond it, kept as ranges throughout, so that a million dots seen in order cost 24 bytes. A context of a
// single range, which is what most deltas cover, allocates nothing.
// Two states are compared by their whole contexts: {} and {A2} have equal version vectors.
// Source: Almeida, Shoker, Baquero, "Delta State Replicated Data Types" (2018), section 7.2.

#include <joinery/dot.hpp>
#include <joinery/short_vector.hpp>
#include <joinery/version_vector.hpp>

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace joinery {

/// A set of dots as maximal ranges. Look-ups are O(log #ranges); joins, intersections and differences are O(#ranges of
/// both), and O(#fewer log #more) where neither is copied.
class causal_context {
public:
    causal_context() = default;
    /// All dots that `v` contains.
    explicit causal_context(const version_vector& v);
    causal_context(std::initializer_list<dot_range> ranges);

    bool contains(dot d) const;
    bool contains(const dot_range& r) const {
        if (ranges_.size() != 1) return finds(r);
        const dot_range& only = ranges_.front();
        return only.replica == r.replica && only.first <= r.first && r.last <= only.last;
    }
    bool contains(const causal_context& other) const;
    /// True if these dots come after all of their replica's here.
    bool precedes(const dot_range& r) const {
        if (ranges_.size() != 1) return nothing_from(r);
        return ranges_.front().replica != r.replica || ranges_.front().last < r.first;
    }
    /// True if any dot is in both.
    bool intersects(const causal_context& other) const;
    bool intersects(const dot_range& r) const;

    /// Adds dots. True if any was new. O(log #ranges) when they continue a range, or follow the last one.
    bool add(const dot_range& r) {
        if (ranges_.size() > 1) return insert(r);
        if (ranges_.empty()) {
            ranges_.push_back(r);
            return true;
        }
        dot_range& only = ranges_.front();
        if (only.replica != r.replica || only.last + 1 != r.first) return insert(r);
        only.last = r.last;
        return true;
    }
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
    std::uint64_t greatest(replica_id r) const {
        return ranges_.size() == 1 && ranges_.front().replica == r ? ranges_.front().last : search_greatest(r);
    }
    /// True if the context is its version vector, with no range beyond it.
    bool gapless() const;

    bool empty() const { return ranges_.empty(); }
    /// Number of dots.
    std::uint64_t count() const;
    /// Number of maximal ranges.
    std::size_t range_count() const { return ranges_.size(); }
    void clear() { ranges_.clear(); }

    /// Sorted, disjoint, not adjacent.
    std::span<const dot_range> ranges() const { return {ranges_.begin(), ranges_.end()}; }
    /// Those of one replica.
    std::span<const dot_range> ranges(replica_id r) const;

    /// Calls f(dot_range) for every range in order.
    template <class F> void for_each(F&& f) const {
        for (const auto& r : ranges_) f(r);
    }

    friend bool operator==(const causal_context&, const causal_context&) = default;

private:
    short_vector<dot_range, 1> ranges_;

    bool finds(const dot_range& r) const;
    bool insert(const dot_range& r);
    std::uint64_t search_greatest(replica_id r) const;
    bool nothing_from(const dot_range& r) const;
};

/// "{ab:1-7 ab:9 cd:2}".
std::string to_string(const causal_context& c);

} // namespace joinery
