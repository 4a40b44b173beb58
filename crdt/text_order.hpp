// SPDX-License-Identifier: Apache-2.0
#pragma once

// The order of a text that two replicas hold, after at least one of them has pruned tombstones which the
// other's order still rested on.
//
// What both hold stands in the same order on both sides. Between two such neighbours there are elements
// that only one side holds; each side's form a forest by the rule of text_tree.hpp. Nothing that was pruned
// comes between them: a tombstone goes only if the next element that remains is stable, so held by both,
// and what arrives at the pruner later is greater than what went. So the two forests are siblings, and go
// by the keys of their roots, the greater first.

#include "text_log.hpp"

#include <joinery/causal_context.hpp>
#include <joinery/dot.hpp>

#include <vector>

namespace joinery::detail {

/// The elements of a text in order.
struct text_sequence {
    struct stretch {
        dot_range dots;
        text_key key; // the first element's
    };
    std::vector<stretch> stretches;
    causal_context dots;

    void add(const dot_range& r, std::uint64_t lamport) {
        stretches.push_back({r, {lamport, r.replica, r.first}});
        dots.add(r);
    }
};

/// All elements of both, each once. Any two get an order, honest ones the right one. O(n log n).
std::vector<dot_range> merged_order(const text_sequence& mine, const text_sequence& theirs);

} // namespace joinery::detail
