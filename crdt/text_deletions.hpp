// SPDX-License-Identifier: Apache-2.0
#pragma once

// Deletions of characters that are not here: not yet, or no longer. (Those of characters that are here lie in the
// text_log.) Runs are as long as they can be; all operations take O(log n) for each run that they touch.

#include "text_runs.hpp"

#include <joinery/version_vector.hpp>

#include <cstddef>
#include <map>
#include <optional>
#include <vector>

namespace joinery::detail {

/// The part of `d` whose events and targets are in `stable`, if there is one.
std::optional<text_deletion> stable_part(const text_deletion& d, const version_vector& stable);

class text_deletions {
public:
    /// Requires: none of its events is held.
    void add(const text_deletion& d);
    /// The first events held with dots in `within`.
    std::optional<text_deletion> next(const dot_range& within) const;
    /// Takes events out. Requires: they are held.
    void remove(const dot_range& events);

    /// Calls f(text_deletion) for all.
    template <class F> void for_each(F&& f) const {
        for (const auto& r : runs_) f(get(r));
    }
    bool empty() const { return runs_.empty(); }
    std::size_t memory() const { return runs_.size() * (sizeof(dot) + sizeof(run) + 48); }

private:
    struct run {
        dot target;
        std::uint64_t count;
        std::uint64_t lamport;
        bool backward;
    };
    using map = std::map<dot, run>;

    map runs_; // by first event; disjoint

    static text_deletion get(map::const_reference r) {
        return {r.first, r.second.target, r.second.count, r.second.lamport, r.second.backward};
    }
    static run value(const text_deletion& d) { return {d.target, d.count, d.lamport, d.backward}; }
};

} // namespace joinery::detail
