// SPDX-License-Identifier: Apache-2.0
#pragma once

// From dots to 32-bit numbers: which entry, or which key, a dot belongs to. Neighbouring dots with one
// number are one run, so that a long text under a key costs next to nothing. All operations are
// O(log n), visiting O(log n + answer); 16 bytes a run, and a single run allocates nothing.

#include <joinery/dot.hpp>

#include <algorithm>
#include <cstdint>
#include <map>
#include <optional>
#include <utility>
#include <vector>

namespace joinery {

class dot_index {
public:
    using value = std::uint32_t;

    /// Maps these dots to v. Requires: none of them is mapped.
    void assign(const dot_range& dots, value v);
    /// Maps these dots to v, whatever they were mapped to.
    void reassign(const dot_range& dots, value v) {
        erase(dots);
        assign(dots, v);
    }
    /// Unmaps these dots, mapped or not.
    void erase(const dot_range& dots);
    std::optional<value> find(dot d) const;
    bool empty() const { return only_.length == 0 && replicas_.empty(); }

    /// Calls f(dot_range, value) for the mapped runs within `dots`, in order. f must not change the index.
    template <class F> void visit(const dot_range& dots, F&& f) const {
        if (alone(dots))
            return f(dot_range{dots.replica, std::max(only_.first, dots.first), std::min(only_.last(), dots.last)},
                     only_.number);
        const tree* t = find_tree(dots.replica);
        if (!t) return;
        auto it = std::prev(t->upper_bound(dots.first));
        for (; it != t->end() && it->first <= dots.last; ++it)
            for (auto r = first_reaching(it->second, dots.first); r != it->second.end() && r->first <= dots.last; ++r)
                f(dot_range{dots.replica, std::max(r->first, dots.first), std::min(r->last(), dots.last)}, r->number);
    }

    /// Bytes in use, estimated.
    std::size_t memory() const;

private:
    struct run {
        std::uint64_t first;
        std::uint32_t length;
        value number;
        std::uint64_t last() const { return first + length - 1; }
    };
    using leaf = std::vector<run>;
    // A B+tree of two kinds of nodes: leaves of up to leaf_size runs under an ordered map. A leaf holds the
    // runs from its key up to the next leaf's key; the first leaf's key is 0.
    using tree = std::map<std::uint64_t, leaf>;
    static constexpr std::size_t leaf_size = 64;

    run only_{}; // the single run, that of `replica_`; length 0: there is none, or there are trees
    replica_id replica_;
    std::vector<std::pair<replica_id, tree>> replicas_; // sorted

    // True if the single run is there and has dots of these.
    bool alone(const dot_range& dots) const {
        return only_.length > 0 && replica_ == dots.replica && only_.first <= dots.last && dots.first <= only_.last();
    }
    bool assign_alone(const dot_range& dots, value v);
    bool erase_alone(const dot_range& dots);
    void plant(const dot_range& dots, value v);
    const tree* find_tree(replica_id r) const;
    static leaf::const_iterator first_reaching(const leaf& l, std::uint64_t seq);
    static void insert(tree& t, tree::iterator at, run r);
};

} // namespace joinery
