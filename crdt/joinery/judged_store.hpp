// SPDX-License-Identifier: Apache-2.0
#pragma once

// A few payloads, each under the dot that wrote it, of which some may say that there is nothing: erasing is a write
// among writes, which may win over those that it has not seen. (Elsewhere a removal never does.) What says that there
// is nothing has to stay for as long as somebody may yet write without having seen it, that is until it is causally
// stable. Then an edit can take it away (replica<T>::tidy).

#include <joinery/changes.hpp>
#include <joinery/dot_store.hpp>

#include <algorithm>
#include <utility>

namespace joinery {

/// `Absent` is a function of the payloads, which says whether they together mean that there is nothing; it says so if
/// there are none, and does not depend on their order. All is linear in the number of concurrent writers.
template <class P, class Absent> class judged_store {
public:
    using fragment = dot_entries<P>;

    // The CRDT interface (crdt.hpp).
    void extract(const causal_context& wanted, fragment& out) const { store_.extract(wanted, out); }
    void join(const fragment& f, join_scope& s) { store_.join(f, s); }
    void kill(const dot_range& dots, join_scope& s) { store_.kill(dots, s); }
    void clear(transaction& tx, kills& out) { store_.clear(tx, out); }
    observation<bool> observed() const {
        const bool there = !empty();
        const bool beaten =
            !there && std::any_of(store_.begin(), store_.end(), [](const auto& e) { return bool(e.value); });
        return {there, beaten ? conflict_choice::removal_wins : conflict_choice::none};
    }
    bool empty() const { return Absent()(store_); }
    bool vacant() const { return store_.empty(); }
    // All of it or nothing: one of two writes that together are nothing may be something alone.
    bool untidy(const version_vector& stable) const {
        return !vacant() && empty() &&
               std::all_of(store_.begin(), store_.end(), [&](const auto& e) { return stable.contains(e.where); });
    }
    void tidy(transaction& tx, const version_vector& stable, kills& out) {
        if (untidy(stable)) store_.clear(tx, out);
    }

    friend bool operator==(const judged_store&, const judged_store&) = default;

protected:
    dot_store<P> store_;
};

} // namespace joinery
