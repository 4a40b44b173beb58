// SPDX-License-Identifier: Apache-2.0
#pragma once

// What the types of this library mean, as a function of the causal history and of nothing else: who wrote
// what where, and what each writer had seen. Naive on purpose: no deltas, no joins, no indexes, no pruning.
// Values lie at paths ("a/x/set/"), so nested types need no specification of their own.
//
// There are two of these functions. `content` holds for any set of events, also one that lacks something
// which one of its events had seen. `happens_before` says the same of causally closed sets in the terms of
// the papers. `specified` answers with the first and insists that they agree.

#include <joinery/events.hpp>
#include <joinery/hybrid_clock.hpp>

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>

namespace specification {

enum class act {
    add,        // an element to a set
    remove,     // an element from a set
    set,        // a last-write-wins register
    assign,     // a multi-value register
    reset,      // a register of either kind
    increment,  // a counter, by `amount`, which may be negative
    insert,     // `value` into a text, at `position`
    erase,      // `count` characters from a text, from `position` on
    replace,    // the element of a list at `position`, by `value`
    shift,      // the element of a list from `position` to `count`
    raise,      // a register of the greatest value, to `amount`
    permit,     // an element to a set in which removals win
    forbid,     // an element from it
    store,      // a key of a map in which the last write wins
    discard,    // the same, so that it is gone
    put,        // an element into a bag, `count` times
    take,       // an element out of a bag, `count` times
    relocate,   // a node of a tree, to below `parent`; to below itself: it is removed
    remove_key, // all that is below a path
};

struct derived; // what follows from what an operation had seen; found out once

struct operation {
    act what = act::add;
    std::string path{};
    std::string value{};
    std::int64_t amount = 0;
    joinery::timestamp at{};
    std::size_t position = 0;
    std::size_t count = 0;
    std::string parent{};
    mutable std::shared_ptr<const derived> known{};
};

std::string to_string(const operation& o);

using history = joinery::testing::seen_events<operation>;

/// By path: what can be read there. A path where nothing is live is not there.
using contents = std::map<std::string, std::string>;

contents content(const history& seen);
contents happens_before(const history& seen);

/// "path=content path=content", how states and specifications are compared.
std::string printed(const contents& c);

/// The specification as the testing kit wants it.
std::optional<std::string> specified(const history& seen);

} // namespace specification
