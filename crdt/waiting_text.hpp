// SPDX-License-Identifier: Apache-2.0
#pragma once

// Characters that arrived before the one that they were inserted after. They are part of the state, and
// are placed when that arrives. All operations take O(log n) for each run that they touch.

#include "text_runs.hpp"

#include <cstddef>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace joinery::detail {

/// Characters inserted one after the other, on their way into a text.
struct arriving_text {
    dot first;
    dot parent; // seq 0: the start
    std::uint64_t count = 0;
    std::uint64_t lamport = 0;
    text_state state = text_state::live;
    std::string text; // empty unless live
};

class waiting_text {
public:
    /// Requires: none of its dots is held.
    void add(arriving_text run);
    /// The first run held with dots in `within`, or what of it is in there; null if none. Cuts the run it
    /// finds to measure, so that it can be changed alone.
    arriving_text* next(const dot_range& within);
    /// The same for reading: the run, the offset of the part within it, and its length.
    struct part {
        const arriving_text* run;
        std::uint64_t offset;
        std::uint64_t count;
    };
    std::optional<part> peek(const dot_range& within) const;
    /// Takes out the run that begins with this dot.
    arriving_text take(dot first);
    /// Takes out the runs whose parent is among these dots and adds them to `out`.
    void take_children(const dot_range& parents, std::vector<arriving_text>& out);

    /// The dots of the runs that are live.
    std::vector<dot_range> live() const;

    bool empty() const { return runs_.empty(); }
    std::size_t memory() const;

private:
    std::map<dot, arriving_text> runs_;       // by first dot; disjoint
    std::set<std::pair<dot, dot>> by_parent_; // parent, first

    void cut(std::map<dot, arriving_text>::iterator it, std::uint64_t offset);
};

} // namespace joinery::detail
