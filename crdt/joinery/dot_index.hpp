// SPDX-License-Identifier: Apache-2.0
#pragma once

// From dots to 32-bit numbers: which entry, or which key, a dot belongs to. Neighbouring dots with one
// number are one run, so that a long text under a key costs next to nothing. All operations are
// O(log n), visiting O(log n + answer); 16 bytes a run, and a single run allocates nothing.

#include <joinery/dot.hpp>

#include <algorithm>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

namespace joinery {

class dot_index {
public:
    using value = std::uint32_t;

    dot_index() = default;
    dot_index(dot_index&&) noexcept = default;
    dot_index& operator=(dot_index&&) noexcept = default;
    dot_index(const dot_index& other)
        : only_(other.only_),
          replica_(other.replica_),
          runs_(other.runs_ ? std::make_unique<runs>(other.runs_->leaves) : nullptr) {}
    dot_index& operator=(const dot_index& other) { return *this = dot_index(other); }

    /// Maps these dots to v. Requires: none of them is mapped.
    void assign(const dot_range& dots, value v);
    /// Maps these dots to v, whatever they were mapped to.
    void reassign(const dot_range& dots, value v) {
        if (intersects(dots)) erase(dots);
        assign(dots, v);
    }
    /// Unmaps these dots, mapped or not.
    void erase(const dot_range& dots);
    std::optional<value> find(dot d) const;
    /// True if any of these dots is mapped.
    bool intersects(const dot_range& dots) const {
        bool any = false;
        visit(dots, [&](const dot_range&, value) { any = true; });
        return any;
    }
    bool empty() const { return only_.length == 0 && !runs_; }

    /// Calls f(dot_range, value) for the mapped runs within `dots`, in order. f must not change the index.
    template <class F> void visit(const dot_range& dots, F&& f) const {
        if (alone(dots))
            return f(dot_range{dots.replica, std::max(only_.first, dots.first), std::min(only_.last(), dots.last)},
                     only_.number);
        if (!runs_) return;
        if (runs_->appends_to(dots)) return visit(*runs_->last, dots, f);
        auto it = leaf_of({dots.replica, dots.first});
        for (; it != runs_->leaves.end() && it->first <= dot{dots.replica, dots.last}; ++it) visit(it->second, dots, f);
    }

    /// The same for all that is mapped. O(n).
    template <class F> void for_each(F&& f) const {
        if (only_.length > 0) return f(dot_range{replica_, only_.first, only_.last()}, only_.number);
        if (!runs_) return;
        for (const auto& [first, l] : runs_->leaves)
            for (const run& r : l) f(dot_range{first.replica, r.first, r.last()}, r.number);
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

    struct runs {
        tree leaves; // never empty, once it was planted
        // The leaf that was last added to, if it is the last one of its replica.
        leaf* last = nullptr;
        replica_id replica;

        runs() = default;
        explicit runs(const tree& t) : leaves(t) {}
        /// True if all of these that there are, or may be, lie in that leaf.
        bool appends_to(const dot_range& dots) const {
            return last && replica == dots.replica && !last->empty() && last->front().first <= dots.first;
        }
    };

    run only_{}; // the single run, that of `replica_`; length 0: there is none, or there are more
    replica_id replica_;
    std::unique_ptr<runs> runs_;

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
