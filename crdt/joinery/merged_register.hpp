// SPDX-License-Identifier: Apache-2.0
#pragma once

// Registers whose concurrent values are merged by a function of the values alone: the greatest, the least, or one of
// your own. Nothing is stored of what a merge did away with, except that concurrent values stay side by side until a
// write has seen them, so that each is removed by who has seen it and by nobody else.

#include <joinery/dot_store.hpp>
#include <joinery/replica.hpp>

#include <algorithm>
#include <concepts>
#include <optional>
#include <string>
#include <utility>

namespace joinery {

/// `Merge` is a function of two values that is commutative, associative and idempotent: merge(a, b) == merge(b, a),
/// merge(a, merge(b, c)) == merge(merge(a, b), c), merge(a, a) == a. Its static type_name() is part of the
/// register's, so that leaders whose merges differ do not replicate the same. All is linear in the number of concurrent
/// writers.
template <std::equality_comparable V, std::regular_invocable<const V&, const V&> Merge> class merged_register {
    static_assert(
        requires {
            { Merge::type_name() } -> std::convertible_to<std::string>;
        },
        "a merge has a name of its own: static std::string type_name()");

public:
    using fragment = dot_entries<V>;

    /// Merges a value into what is here. Does nothing if that changes nothing.
    void merge(transaction& tx, V value) {
        if (auto now = get()) {
            value = Merge()(*now, value);
            if (value == *now) return;
        }
        store_.replace(tx, std::move(value));
    }
    /// Removes all that was seen.
    void reset(transaction& tx) { store_.remove_all(tx); }

    /// What was merged so far, or nothing.
    std::optional<V> get() const {
        std::optional<V> out;
        for (const auto& e : store_) out = out ? Merge()(*out, e.value) : e.value;
        return out;
    }

    // The CRDT interface (crdt.hpp).
    void extract(const causal_context& wanted, fragment& out) const { store_.extract(wanted, out); }
    void join(const fragment& f, join_scope& s) { store_.join(f, s); }
    void kill(const dot_range& dots, join_scope& s) { store_.kill(dots, s); }
    void clear(transaction& tx, kills& out) { store_.clear(tx, out); }
    observation<V> observed() const {
        return {get(), store_.size() > 1 ? conflict_choice::merged : conflict_choice::none};
    }
    bool empty() const { return store_.empty(); }
    bool vacant() const { return store_.empty(); }
    static std::string type_name() { return type_name_list<V, Merge>("merged_register"); }

    friend bool operator==(const merged_register&, const merged_register&) = default;

private:
    dot_store<V> store_;
};

/// The greater of two values, by <.
struct maximum {
    template <std::totally_ordered V> V operator()(const V& a, const V& b) const { return a < b ? b : a; }
    static std::string type_name() { return "maximum"; }
};
/// The lesser of two values, by <.
struct minimum {
    template <std::totally_ordered V> V operator()(const V& a, const V& b) const { return b < a ? b : a; }
    static std::string type_name() { return "minimum"; }
};

/// The greatest value ever merged: a high-water mark, a last-seen time.
template <std::totally_ordered V> using max_register = merged_register<V, maximum>;
/// The least value ever merged: a first-seen time, a best price.
template <std::totally_ordered V> using min_register = merged_register<V, minimum>;

} // namespace joinery
