// SPDX-License-Identifier: Apache-2.0
#pragma once

// A set whose elements are added, and removed for good: what was removed once, anywhere, never comes back. For things
// with an end: accounts closed, tickets spent, keys revoked.
// Source: Shapiro, Preguica et al., "A Comprehensive Study of CRDTs" (2011), section 3.3.2.

#include <joinery/composed.hpp>
#include <joinery/flags.hpp>
#include <joinery/or_map.hpp>
#include <joinery/projected_iterator.hpp>

#include <string>

namespace joinery {

namespace detail {

/// Whether an element is there, or is there no more.
class two_phase_flag : public judged_store<bool, any_false> {
public:
    void begin(transaction& tx) {
        if (store_.empty()) store_.replace(tx, true);
    }
    void end(transaction& tx) {
        if (!empty()) store_.replace(tx, false);
    }
    void tidy(transaction&, const version_vector&, kills&) = delete; // an end is for good
    static std::string type_name() { return "two_phase_flag"; }
};

} // namespace detail

/// Elements are any encodable values with ==. Look-ups are O(1), changes O(log n). What was removed is remembered for
/// good, at some 100 bytes.
template <class E> class two_phase_set : public composed<or_map<E, detail::two_phase_flag>> {
    using composed<or_map<E, detail::two_phase_flag>>::inner_;

public:
    using value_type = E;
    using iterator = detail::key_iterator<or_map<E, detail::two_phase_flag>>;
    using const_iterator = iterator;

    /// Does nothing if the element is there, or was removed.
    void add(transaction& tx, const E& e) { inner_.at(tx, e)->begin(tx); }
    /// Does nothing if the element is not there.
    void remove(transaction& tx, const E& e) { inner_.at(tx, e)->end(tx); }

    bool contains(const E& e) const { return inner_.contains(e); }
    std::size_t size() const { return inner_.size(); }
    /// In no particular order; invalidated by every change.
    iterator begin() const { return iterator(inner_.begin()); }
    iterator end() const { return iterator(inner_.end()); }

    static std::string type_name() { return type_name_list<E>("two_phase_set"); }
};

} // namespace joinery
