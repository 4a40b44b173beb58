// SPDX-License-Identifier: Apache-2.0
#pragma once

// How often concurrent writes of registers met. Counting is the replica's affair and not the state's: it is
// passed along with a join (join_scope::siblings), as the clock is.

#include <joinery/join_scope.hpp>

#include <cstddef>
#include <cstdint>
#include <utility>

namespace joinery::detail {

/// Runs a change of the entries that `entries()` answers with, part of the join `s`, and counts what it does to
/// siblings. The entries that enter stand beside those that stay; only when the kills of the same join are done is it
/// known which do. So each step counts the difference that it makes. O(entries), if there is more than one.
template <class Entries, class Change> void count_siblings_among(Entries&& entries, join_scope& s, Change&& change) {
    if (!s.siblings) return change();
    const auto count = [&] {
        std::uint64_t old = 0, fresh = 0;
        const auto& all = entries();
        if (all.size() > 1)
            for (const auto& e : all) ++(s.seen.contains(e.where) ? old : fresh);
        // Without an older entry, one of those that have entered stands alone.
        return sibling_counts{old > 0 || fresh == 0 ? fresh : fresh - 1, old > 0 ? old - 1 : 0};
    };
    const auto before = count();
    change();
    const auto after = count();
    s.siblings->seen += after.seen - before.seen;
    s.siblings->resolved += before.resolved - after.resolved;
}
/// The same for all entries of a store.
template <class Store, class Change> void count_siblings(Store& store, join_scope& s, Change&& change) {
    count_siblings_among([&]() -> const Store& { return store; }, s, std::forward<Change>(change));
}

} // namespace joinery::detail
