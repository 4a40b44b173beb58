// SPDX-License-Identifier: Apache-2.0
#pragma once

// A set that only grows.
// Source: Shapiro, Preguica et al., "A Comprehensive Study of CRDTs" (2011), section 3.3.1.

#include <joinery/composed.hpp>
#include <joinery/or_set.hpp>

#include <string>
#include <utility>

namespace joinery {

/// Elements are any encodable values with ==. Look-ups are O(1), changes O(log n).
template <class E> class g_set : public composed<or_set<E>> {
    using composed<or_set<E>>::inner_;

public:
    using value_type = E;
    using iterator = typename or_set<E>::iterator;
    using const_iterator = iterator;

    /// Does nothing if the element is there.
    void add(transaction& tx, E e) {
        if (!inner_.contains(e)) inner_.add(tx, std::move(e));
    }
    bool contains(const E& e) const { return inner_.contains(e); }
    std::size_t size() const { return inner_.size(); }
    /// In no particular order; invalidated by every change.
    iterator begin() const { return inner_.begin(); }
    iterator end() const { return inner_.end(); }

    static std::string type_name() { return type_name_list<E>("g_set"); }
};

} // namespace joinery
