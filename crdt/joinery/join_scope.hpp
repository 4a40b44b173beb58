// SPDX-License-Identifier: Apache-2.0
#pragma once

// What a type is told while a delta joins it. The join rule, the same for every type and depth:
//
//   mine goes       if the delta covers its dot without carrying it, or a removal record kills it;
//   theirs enters   unless my context has its dot, or a removal record kills it.
//
// The records of both sides are merged before the entries are joined; `kill` is then called for the dots
// that new records kill and that were present.

#include <joinery/causal_context.hpp>
#include <joinery/hybrid_clock.hpp>
#include <joinery/removal_log.hpp>
#include <joinery/unknown_fields.hpp>

#include <cstdint>

namespace joinery {

/// Hears which dots come to be held by a value, and which it lets go: how a container keeps its index of
/// the dots below each key.
class dot_sink {
public:
    virtual void entered(const dot_range& dots) = 0;
    virtual void dropped(const dot_range& dots) = 0;
    /// True if any value below the container, or around it, holds one of these dots already.
    virtual bool holds(const dot_range& dots) const = 0;

protected:
    ~dot_sink() = default;
};

/// Concurrent writes of registers, counted.
struct sibling_counts {
    std::uint64_t seen = 0;     ///< values that came to stand beside a concurrent one
    std::uint64_t resolved = 0; ///< how many of them a later write or removal has superseded

    friend bool operator==(const sibling_counts&, const sibling_counts&) = default;
};

class change_list;

/// One join under way, as seen by one value.
struct join_scope {
    const causal_context& seen;         ///< my context, before the join
    const causal_context& covered;      ///< what the delta covers
    const removal_log& log;             ///< the records of both sides
    bool overlapping = false;           ///< true if `seen` and `covered` have dots in common: only then can mine go
    hybrid_clock* clock = nullptr;      ///< advanced by the timestamps that arrive, where there is one
    timestamp* latest = nullptr;        ///< the state's greatest timestamp
    dot_sink* sink = nullptr;           ///< the enclosing container, where there is one
    const path_step* path = nullptr;    ///< the way from the root to this value
    unknown_fields* unknown = nullptr;  ///< keeps the fields that this version does not know
    sibling_counts* siblings = nullptr; ///< counts conflicts in registers, if anybody wants to know
    bool repairing = false;             ///< causal<T>::replace: tombstones keep their places, whatever comes alive
    change_list* changes = nullptr;     ///< notes what changes, if anybody wants to know
    const dot* event = nullptr;         ///< while dots are killed: of the event that does so

    // As an aggregate it would be cleared before it is filled.
    join_scope(const causal_context& mine, const causal_context& theirs, const removal_log& records,
               bool in_common = false, hybrid_clock* my_clock = nullptr, timestamp* my_latest = nullptr)
        : seen(mine), covered(theirs), log(records), overlapping(in_common), clock(my_clock), latest(my_latest) {}

    /// True if an arriving entry with this dot enters. (Text and counters, whose killed entries leave
    /// something behind, ask `seen` and `log` themselves.)
    bool enters(dot d) const { return covered.contains(d) && !seen.contains(d) && !log.kills_arriving(d) && !held(d); }
    /// True if another value holds one of these dots: no replica sends a dot twice, but hostile bytes may.
    bool held(const dot_range& dots) const { return sink && sink->holds(dots); }
    /// True if an entry of mine with this dot, which the delta does not carry, goes.
    bool covers(dot d) const { return overlapping && covered.contains(d); }

    void entered(const dot_range& dots) {
        if (sink) sink->entered(dots);
    }
    void dropped(const dot_range& dots) {
        if (sink) sink->dropped(dots);
    }
    void observe(timestamp t) {
        if (clock) clock->observe(t);
        if (latest && *latest < t) *latest = t;
    }
    /// The same join, as seen by a value inside a container, or one step further inside a record.
    join_scope inside(dot_sink& container, const path_step& step) const {
        join_scope inner = inside(step);
        inner.sink = &container;
        return inner;
    }
    join_scope inside(const path_step& step) const {
        join_scope inner = *this;
        inner.path = &step;
        return inner;
    }
};

} // namespace joinery
