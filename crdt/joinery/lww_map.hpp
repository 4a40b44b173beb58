// SPDX-License-Identifier: Apache-2.0
#pragma once

// A map in which the last write of a key wins, be it a set or an erase, and a set in which the last of add and remove
// does. Causality decides first, and among concurrent writes the hybrid clock: see lww_register.hpp, and or_map.hpp for
// maps whose erase removes nothing that it has not seen.

#include <joinery/composed.hpp>
#include <joinery/judged_store.hpp>
#include <joinery/lww_register.hpp>
#include <joinery/or_map.hpp>
#include <joinery/projected_iterator.hpp>

#include <cstddef>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace joinery {

namespace detail {

template <class P> struct last_is_absent {
    bool operator()(const dot_store<stamped<P>>& writes) const {
        const auto last = last_write(writes);
        return last == writes.end() || !last->value.value;
    }
};

/// A write is absent if it converts to false: an empty optional, or false.
template <class P> class lww_entry : public judged_store<stamped<P>, last_is_absent<P>> {
    using base = judged_store<stamped<P>, last_is_absent<P>>;
    using base::store_;

public:
    using typename base::fragment;

    void write(transaction& tx, P value) {
        tx.superseded(store_.size());
        store_.replace(tx, {tx.now(), std::move(value)});
    }
    /// Requires: not empty.
    const P& get() const { return last_write(store_)->value.value; }
    /// The last first.
    std::vector<P> siblings() const { return by_decreasing_time(store_); }

    void join(const fragment& f, join_scope& s) {
        for (const auto& e : f) s.observe(e.value.written);
        count_siblings(store_, s, [&] { store_.join(f, s); });
    }
    void kill(const dot_range& dots, join_scope& s) {
        count_siblings(store_, s, [&] { store_.kill(dots, s); });
    }
    void clear(transaction& tx, kills& out) {
        tx.superseded(store_.size());
        store_.clear(tx, out);
    }
    void tidy(transaction& tx, const version_vector& stable, kills& out) {
        if (this->untidy(stable)) clear(tx, out);
    }
    auto observed() const {
        auto all = observed_last_write(store_);
        if constexpr (std::is_same_v<P, bool>) all.value = !this->empty(); // an element's
        return all;
    }
    static std::string type_name() { return type_name_list<P>("lww_entry"); }
};

/// A key, and the value that was set last.
struct last_value_of {
    template <class K, class Entry> auto operator()(std::pair<const K&, const Entry&> pair) const {
        return std::pair<const K&, decltype(*pair.second.get())>(pair.first, *pair.second.get());
    }
};

} // namespace detail

/// Keys are any encodable values with ==. Look-ups are O(1), changes O(log n). An erased key costs some 100 bytes until
/// all members have seen that and one of them tidies up (replica<T>::tidy).
template <class K, class V> class lww_map : public composed<or_map<K, detail::lww_entry<std::optional<V>>>> {
    using inner = or_map<K, detail::lww_entry<std::optional<V>>>;
    using composed<inner>::inner_;

public:
    using iterator = detail::projected_iterator<typename inner::iterator, detail::last_value_of>;
    using const_iterator = iterator;

    void set(transaction& tx, const K& key, V value) { inner_.at(tx, key)->write(tx, std::move(value)); }
    /// Also if the key does not exist: it may have been set where that is not yet known here.
    void erase(transaction& tx, const K& key) { inner_.at(tx, key)->write(tx, std::nullopt); }

    bool contains(const K& key) const { return inner_.contains(key); }
    /// The value at a key, or null if the key does not exist. Invalidated by every change.
    const V* find(const K& key) const {
        const auto* entry = inner_.find(key);
        return entry ? &*entry->get() : nullptr;
    }
    /// All concurrent writes of a key that exists, the winner first; an erase is nothing. More than one: a conflict
    /// that the clock decided and that the next write resolves.
    std::vector<std::optional<V>> siblings(const K& key) const {
        const auto* entry = inner_.find(key);
        return entry ? entry->siblings() : std::vector<std::optional<V>>();
    }
    /// The number of keys that exist.
    std::size_t size() const { return inner_.size(); }
    /// Pairs of key and value, in no particular order; invalidated by every change.
    iterator begin() const { return iterator(inner_.begin()); }
    iterator end() const { return iterator(inner_.end()); }

    static std::string type_name() { return type_name_list<K, V>("lww_map"); }
};

/// Elements are any encodable values with ==; costs are those of the map.
template <class E> class lww_set : public composed<or_map<E, detail::lww_entry<bool>>> {
    using inner = or_map<E, detail::lww_entry<bool>>;
    using composed<inner>::inner_;

public:
    using value_type = E;
    using iterator = detail::key_iterator<inner>;
    using const_iterator = iterator;

    void add(transaction& tx, const E& e) { inner_.at(tx, e)->write(tx, true); }
    /// Also if the element is not there: it may have been added where that is not yet known here.
    void remove(transaction& tx, const E& e) { inner_.at(tx, e)->write(tx, false); }

    bool contains(const E& e) const { return inner_.contains(e); }
    std::size_t size() const { return inner_.size(); }
    /// In no particular order; invalidated by every change.
    iterator begin() const { return iterator(inner_.begin()); }
    iterator end() const { return iterator(inner_.end()); }

    static std::string type_name() { return type_name_list<E>("lww_set"); }
};

} // namespace joinery
