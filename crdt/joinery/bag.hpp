// SPDX-License-Identifier: Apache-2.0
#pragma once

// A set in which an element may be more than once. Each time that it is put in is an event of its own, and a remove
// takes away some of those that it has seen: what was put in concurrently stays, and there are never fewer than none.

#include <joinery/composed.hpp>
#include <joinery/occurrences.hpp>
#include <joinery/or_map.hpp>
#include <joinery/projected_iterator.hpp>

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>

namespace joinery {

namespace detail {
/// An element, and how often it is there.
struct count_of {
    template <class E> auto operator()(std::pair<const E&, const occurrences&> pair) const {
        return std::pair<const E&, std::uint64_t>(pair.first, pair.second.count());
    }
};
} // namespace detail

/// Elements are any encodable values with ==. Look-ups are O(1); changes are O(log n), and linear in the number of
/// ranges of dots of the element.
template <class E> class bag : public composed<or_map<E, occurrences>> {
    using composed<or_map<E, occurrences>>::inner_;

public:
    using iterator = detail::projected_iterator<typename or_map<E, occurrences>::iterator, detail::count_of>;
    using const_iterator = iterator;

    /// Puts an element in, n times. std::length_error beyond occurrences::most_at_once.
    void add(transaction& tx, const E& e, std::uint64_t n = 1) { inner_.at(tx, e)->add(tx, n); }
    /// Takes it out n times, or as often as it is there, the least dots first. Two that do so concurrently may take out
    /// the same ones.
    void remove(transaction& tx, const E& e, std::uint64_t n = 1) {
        if (inner_.contains(e)) inner_.at(tx, e)->remove(tx, n);
    }
    /// Takes it out as often as it is there.
    void remove_all(transaction& tx, const E& e) { inner_.erase(tx, e); }

    std::uint64_t count(const E& e) const {
        const auto* times = inner_.find(e);
        return times ? times->count() : 0;
    }
    bool contains(const E& e) const { return inner_.contains(e); }
    /// The number of different elements.
    std::size_t distinct() const { return inner_.size(); }
    /// All, counted as often as they are there. O(n).
    std::uint64_t size() const {
        std::uint64_t sum = 0;
        for (const auto& [element, times] : inner_) sum += times.count();
        return sum;
    }
    /// Pairs of an element and how often it is there, in no particular order; invalidated by every change.
    iterator begin() const { return iterator(inner_.begin()); }
    iterator end() const { return iterator(inner_.end()); }

    static std::string type_name() { return type_name_list<E>("bag"); }
};

} // namespace joinery
