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
    bool empty() const { return only_.length == 0 && leaves_.empty(); }

    /// Calls f(dot_range, value) for the mapped runs within `dots`, in order. f must not change the index.
    template <class F> void visit(const dot_range& dots, F&& f) const {
        if (alone(dots))
            return f(dot_range{dots.replica, std::max(only_.first, dots.first), std::min(only_.last(), dots.last)},
                     only_.number);
        if (recent_.at && dots.replica == recent_.dots.replica && recent_.dots.first <= dots.first &&
            dots.last <= recent_.dots.last)
            return visit(*recent_.at, dots, f);
        auto it = leaf_of({dots.replica, dots.first});
        for (; it != leaves_.end() && it->first <= dot{dots.replica, dots.last}; ++it) visit(it->second, dots, f);
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
    // runs of its key's replica from its key up to the next leaf's key; a replica's first leaf has the key 0.
    using tree = std::map<dot, leaf>;
    static constexpr std::size_t leaf_size = 64;

    // The leaf that was last added to, and the dots that belong into it. It does not go with a copy, or a move.
    struct recent_leaf {
        leaf* at = nullptr;
        dot_range dots;

        recent_leaf() = default;
        recent_leaf(const recent_leaf&) {}
        recent_leaf(recent_leaf&& other) noexcept { other.at = nullptr; }
        recent_leaf& operator=(const recent_leaf&) {
            at = nullptr;
            return *this;
        }
        recent_leaf& operator=(recent_leaf&& other) noexcept {
            at = other.at = nullptr;
            return *this;
        }
    };

    run only_{}; // the single run, that of `replica_`; length 0: there is none, or there are leaves
    replica_id replica_;
    tree leaves_;
    recent_leaf recent_;

    // True if the single run is there and has dots of these.
    bool alone(const dot_range& dots) const {
        return only_.length > 0 && replica_ == dots.replica && only_.first <= dots.last && dots.first <= only_.last();
    }
    template <class F> static void visit(const leaf& l, const dot_range& dots, F&& f) {
        for (auto r = first_reaching(l, dots.first); r != l.end() && r->first <= dots.last; ++r)
            f(dot_range{dots.replica, std::max(r->first, dots.first), std::min(r->last(), dots.last)}, r->number);
    }
    bool assign_alone(const dot_range& dots, value v);
    bool erase_alone(const dot_range& dots);
    void plant(const dot_range& dots, value v);
    tree::const_iterator leaf_of(dot d) const;
    static leaf::const_iterator first_reaching(const leaf& l, std::uint64_t seq);
    void insert(tree::iterator at, run r);
    static bool insert_into(leaf& l, run r);
};

} // namespace joinery
