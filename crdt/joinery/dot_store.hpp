// SPDX-License-Identifier: Apache-2.0
#pragma once

// A few payloads, each under the dot that wrote it: what registers are made of, and what a type of your
// own is most easily made of (examples/05_custom_crdt.cpp). A flat sorted vector: every operation is linear
// in the number of live entries, which for registers is the number of concurrent writers.
// Source: the "dot store" DotFun of Almeida, Shoker, Baquero (2018).

#include <joinery/dot_entries.hpp>
#include <joinery/join_scope.hpp>
#include <joinery/short_vector.hpp>
#include <joinery/transaction.hpp>
#include <joinery/type_name.hpp>

#include <algorithm>
#include <iterator>
#include <string>
#include <utility>
#include <vector>

namespace joinery {

template <class P> class dot_store {
public:
    using fragment = dot_entries<P>;

    bool empty() const { return entries_.empty(); }
    bool vacant() const { return entries_.empty(); }
    std::size_t size() const { return entries_.size(); }
    auto begin() const { return entries_.begin(); }
    auto end() const { return entries_.end(); }

    /// A write that supersedes every entry it has seen. Returns its dot.
    dot replace(transaction& tx, P value) {
        dot d = tx.next();
        kills seen;
        clear(tx, seen);
        put(tx, d, std::move(value));
        tx.record(d, std::move(seen));
        return d;
    }

    /// A write that takes the place of some entries only: of those whose value `superseded(const P&)` is true of, while
    /// the others stay beside it, as if they had not been seen. Returns its dot. O(n).
    template <class Superseded> dot replace_if(transaction& tx, P value, Superseded&& superseded) {
        dot d = tx.next();
        kills seen;
        auto gone = std::stable_partition(entries_.begin(), entries_.end(),
                                          [&](const dot_entry<P>& e) { return !superseded(e.value); });
        if (gone != entries_.end()) {
            std::vector<dot_entry<P>> old(std::make_move_iterator(gone), std::make_move_iterator(entries_.end()));
            entries_.erase(gone, entries_.end());
            for (const auto& e : old) {
                seen.add(e.where);
                tx.dropped(this, e.where);
            }
            tx.on_rollback([this, old = std::move(old)]() mutable {
                auto middle = static_cast<std::ptrdiff_t>(entries_.size());
                std::move(old.begin(), old.end(), std::back_inserter(entries_));
                std::inplace_merge(entries_.begin(), entries_.begin() + middle, entries_.end(), before);
            });
        }
        put(tx, d, std::move(value));
        tx.record(d, std::move(seen));
        return d;
    }

    /// Adds an entry beside the others.
    dot add(transaction& tx, P value) {
        dot d = tx.next();
        put(tx, d, std::move(value));
        return d;
    }

    /// Removes every entry, as an event of its own. Does nothing if there is none.
    void remove_all(transaction& tx) {
        if (entries_.empty()) return;
        dot d = tx.next();
        kills seen;
        clear(tx, seen);
        tx.record(d, std::move(seen));
    }

    void clear(transaction& tx, kills& out) {
        if (entries_.empty()) return;
        for (const auto& e : entries_) {
            out.add(e.where);
            tx.dropped(this, e.where);
        }
        tx.on_rollback([this, saved = std::move(entries_)]() mutable { entries_ = std::move(saved); });
        entries_.clear();
    }

    void extract(const causal_context& wanted, fragment& out) const {
        for (const auto& e : entries_)
            if (wanted.contains(e.where)) out.push_back(e.where, e.value);
    }

    void join(const fragment& f, join_scope& s) {
        if (s.overlapping) drop_if(s, [&](const dot_entry<P>& e) { return s.covers(e.where) && !f.contains(e.where); });
        std::size_t old = entries_.size();
        if (old == 0) entries_.reserve(f.size());
        for (const auto& e : f) {
            if (!s.enters(e.where) || holds(e.where, old)) continue; // hostile bytes may bring a dot twice
            entries_.push_back(e);
            s.entered(e.where);
        }
        std::inplace_merge(entries_.begin(), entries_.begin() + static_cast<std::ptrdiff_t>(old), entries_.end(),
                           before);
    }

    void kill(const dot_range& dots, join_scope& s) {
        drop_if(s, [&](const dot_entry<P>& e) { return dots.contains(e.where); });
    }

    static std::string type_name() { return type_name_list<P>("dot_store"); }
    friend bool operator==(const dot_store&, const dot_store&) = default;

private:
    static constexpr auto before = [](const dot_entry<P>& a, const dot_entry<P>& b) { return a.where < b.where; };
    short_vector<dot_entry<P>, 1> entries_; // sorted by dot

    // Among the first n.
    bool holds(dot d, std::size_t n) const {
        auto last = entries_.begin() + static_cast<std::ptrdiff_t>(n);
        auto it =
            std::lower_bound(entries_.begin(), last, d, [](const dot_entry<P>& e, dot at) { return e.where < at; });
        return it != last && it->where == d;
    }
    void put(transaction& tx, dot d, P value) {
        dot_entry<P> e{d, std::move(value)};
        entries_.insert(std::upper_bound(entries_.begin(), entries_.end(), e, before), std::move(e));
        tx.on_rollback([this, d] { erase_if(entries_, [d](const auto& x) { return x.where == d; }); });
        tx.entered(this, d);
    }

    template <class Pred> void drop_if(join_scope& s, Pred&& gone) {
        erase_if(entries_, [&](const dot_entry<P>& e) {
            if (!gone(e)) return false;
            s.dropped(e.where);
            return true;
        });
    }
};

} // namespace joinery
