// SPDX-License-Identifier: Apache-2.0
#pragma once

// A register that keeps every concurrent value and lets the reader choose. A set supersedes all values
// that it has seen; values written concurrently stay side by side until a later set has seen them.
// Source: Shapiro, Preguica et al., "A Comprehensive Study of CRDTs" (2011), section 3.2.2.

#include <joinery/dot_store.hpp>
#include <joinery/replica.hpp>
#include <joinery/siblings.hpp>

#include <vector>

namespace joinery {

template <class V> class mv_register {
public:
    using fragment = dot_entries<V>;

    /// Replaces every value seen.
    void set(transaction& tx, V value) {
        tx.superseded(store_.size());
        store_.replace(tx, std::move(value));
    }
    /// Removes every value seen.
    void reset(transaction& tx) {
        tx.superseded(store_.size());
        store_.remove_all(tx);
    }

    /// The concurrent values, in order of their dots: none if never set, one without conflict.
    std::vector<V> values() const {
        std::vector<V> out;
        for (const auto& e : store_) out.push_back(e.value);
        return out;
    }
    bool empty() const { return store_.empty(); }
    std::size_t size() const { return store_.size(); }

    // The CRDT interface (crdt.hpp).
    void extract(const causal_context& wanted, fragment& out) const { store_.extract(wanted, out); }
    void join(const fragment& f, join_scope& s) {
        detail::count_siblings(store_, s, [&] { store_.join(f, s); });
    }
    void kill(const dot_range& dots, join_scope& s) {
        detail::count_siblings(store_, s, [&] { store_.kill(dots, s); });
    }
    void clear(transaction& tx, kills& out) {
        tx.superseded(store_.size());
        store_.clear(tx, out);
    }
    observation<std::vector<V>> observed() const {
        if (empty()) return {};
        return {values(), size() > 1 ? conflict_choice::all_kept : conflict_choice::none};
    }
    bool vacant() const { return store_.vacant(); }
    static std::string type_name() { return type_name_list<V>("mv_register"); }

    friend bool operator==(const mv_register&, const mv_register&) = default;

private:
    dot_store<V> store_;
};

} // namespace joinery
