// SPDX-License-Identifier: Apache-2.0
#pragma once

// A remove-wins set: an element that is added and removed concurrently is gone. A remove overrules the adds that it has
// seen and those that it has not; only an add that has seen the remove brings the element back.
// Source: Bieniusa, Zawirski et al., "An Optimized Conflict-free Replicated Set" (2012); Baquero, Almeida, Shoker,
// "Pure Operation-Based Replicated Data Types" (2017).

#include <joinery/composed.hpp>
#include <joinery/flags.hpp>
#include <joinery/or_map.hpp>
#include <joinery/projected_iterator.hpp>

#include <string>

namespace joinery {

/// Elements are any encodable values with ==. Look-ups are O(1), changes O(log n). What was removed costs some 100
/// bytes until all members have seen the removal and one of them tidies up (replica<T>::tidy).
template <class E> class rw_set : public composed<or_map<E, disable_wins_flag>> {
    using composed<or_map<E, disable_wins_flag>>::inner_;

public:
    using value_type = E;
    using iterator = detail::key_iterator<or_map<E, disable_wins_flag>>;
    using const_iterator = iterator;

    void add(transaction& tx, const E& e) { inner_.at(tx, e)->enable(tx); }
    /// Also if the element is not there: it may have been added where that is not yet known here.
    void remove(transaction& tx, const E& e) { inner_.at(tx, e)->disable(tx); }

    bool contains(const E& e) const { return inner_.contains(e); }
    std::size_t size() const { return inner_.size(); }
    /// In no particular order; invalidated by every change.
    iterator begin() const { return iterator(inner_.begin()); }
    iterator end() const { return iterator(inner_.end()); }

    static std::string type_name() { return type_name_list<E>("rw_set"); }
};

} // namespace joinery
