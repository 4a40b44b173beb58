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

#include "text_tree.hpp"

#include <joinery/dot.hpp>

#include <vector>

namespace joinery::detail {

/// All elements of both, each once. Any two trees get an order, honest ones the right one. O(n log n).
std::vector<dot_range> merged_order(const text_tree& mine, const text_tree& theirs);

} // namespace joinery::detail
