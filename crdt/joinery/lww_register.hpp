// SPDX-License-Identifier: Apache-2.0
#pragma once

// Last write wins, honestly. Causality decides first: a set supersedes every sibling that it has seen,
// whatever their timestamps. Only concurrent siblings are ordered: by hybrid clock, then replica, then
// sequence number. The losers stay readable until a later set has seen them: nothing is lost silently.
// (Keeping only the winner diverges: a loser may have to win once the winner is removed.)

#include <joinery/dot_store.hpp>
#include <joinery/hybrid_clock.hpp>
#include <joinery/replica.hpp>
#include <joinery/siblings.hpp>

#include <algorithm>
#include <iterator>
#include <optional>
#include <vector>

namespace joinery {

/// A value and when it was written.
template <class V> struct stamped {
    timestamp written;
    V value{};

    friend bool operator==(const stamped&, const stamped&) = default;
    template <class Archive> void serialize(Archive& ar) {
        ar(cereal::make_nvp("written", written), cereal::make_nvp("value", value));
    }
};

namespace detail {

template <class V> bool earlier(const dot_entry<stamped<V>>& a, const dot_entry<stamped<V>>& b) {
    return a.value.written != b.value.written ? a.value.written < b.value.written : a.where < b.where;
}
/// The one that wins; the end if there is none.
template <class V> auto last_write(const dot_store<stamped<V>>& writes) {
    return std::max_element(writes.begin(), writes.end(), earlier<V>);
}
template <class V> std::vector<V> by_decreasing_time(const dot_store<stamped<V>>& writes) {
    std::vector<std::pair<std::pair<timestamp, dot>, std::size_t>> order;
    for (const auto& e : writes) order.push_back({{e.value.written, e.where}, order.size()});
    std::sort(order.rbegin(), order.rend());
    std::vector<V> out;
    out.reserve(order.size());
    for (const auto& [when, i] : order) out.push_back(writes.begin()[static_cast<std::ptrdiff_t>(i)].value.value);
    return out;
}

template <class V> observation<V> observed_last_write(const dot_store<stamped<V>>& writes) {
    observation<V> out;
    auto all = by_decreasing_time(writes);
    if (all.empty()) return out;
    out.value = std::move(all.front());
    out.how = all.size() > 1 ? conflict_choice::last_write : conflict_choice::none;
    out.overruled.assign(std::make_move_iterator(all.begin() + 1), std::make_move_iterator(all.end()));
    return out;
}

} // namespace detail

template <class V> class lww_register {
public:
    using fragment = dot_entries<stamped<V>>;

    /// Replaces every sibling seen.
    void set(transaction& tx, V value) {
        tx.superseded(store_.size());
        store_.replace(tx, {tx.now(), std::move(value)});
    }
    /// Removes every sibling seen.
    void reset(transaction& tx) {
        tx.superseded(store_.size());
        store_.remove_all(tx);
    }

    /// The winner, or nothing if never set. O(#siblings).
    std::optional<V> get() const {
        auto it = detail::last_write(store_);
        return it == store_.end() ? std::nullopt : std::optional<V>(it->value.value);
    }
    /// All concurrent values, the winner first, then by decreasing timestamp. More than one: a conflict that
    /// the clock decided and that the next set resolves.
    std::vector<V> siblings() const { return detail::by_decreasing_time(store_); }
    /// When the winner was written; zero if never set.
    timestamp written() const {
        auto it = detail::last_write(store_);
        return it == store_.end() ? timestamp{} : it->value.written;
    }
    bool empty() const { return store_.empty(); }

    // The CRDT interface (crdt.hpp).
    void extract(const causal_context& wanted, fragment& out) const { store_.extract(wanted, out); }
    void join(const fragment& f, join_scope& s) {
        for (const auto& e : f) s.observe(e.value.written);
        detail::count_siblings(store_, s, [&] { store_.join(f, s); });
    }
    void kill(const dot_range& dots, join_scope& s) {
        detail::count_siblings(store_, s, [&] { store_.kill(dots, s); });
    }
    void clear(transaction& tx, kills& out) {
        tx.superseded(store_.size());
        store_.clear(tx, out);
    }
    observation<V> observed() const { return detail::observed_last_write(store_); }
    bool vacant() const { return store_.vacant(); }
    static std::string type_name() { return type_name_list<V>("lww_register"); }

    friend bool operator==(const lww_register&, const lww_register&) = default;

private:
    dot_store<stamped<V>> store_;
};

} // namespace joinery
