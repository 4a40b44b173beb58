// SPDX-License-Identifier: Apache-2.0
#pragma once

// A counter that goes up and down. Each replica keeps its increments and its decrements apart, so both
// only grow. Source: Shapiro, Preguica et al., "A Comprehensive Study of CRDTs" (2011), section 3.1.3.

#include <joinery/counter_runs.hpp>
#include <joinery/replica.hpp>

#include <concepts>
#include <stdexcept>

namespace joinery {

class pn_counter {
public:
    using fragment = counter_runs::fragment;

    /// Adds n >= 0, or takes n >= 0 away. Throws std::invalid_argument for a negative n (say what is meant),
    /// std::overflow_error if this replica's total of either kind would exceed 2^63 - 1.
    template <std::integral N> void increment(transaction& tx, N n) { runs_.count(tx, checked(n), 0); }
    template <std::integral N> void decrement(transaction& tx, N n) { runs_.count(tx, 0, checked(n)); }
    void increment(transaction& tx) { increment(tx, 1u); }
    void decrement(transaction& tx) { decrement(tx, 1u); }

    std::int64_t value() const { return static_cast<std::int64_t>(runs_.total()); }
    /// What one replica has counted of it. Linear in the number of replicas.
    std::int64_t value(replica_id r) const { return static_cast<std::int64_t>(runs_.total(r)); }

    // The CRDT interface (crdt.hpp).
    void extract(const causal_context& wanted, fragment& out) const { runs_.extract(wanted, out); }
    void join(const fragment& f, join_scope& s) { runs_.join(f, s); }
    void kill(const dot_range&, join_scope&) {} // increments are superseded, not killed one by one
    void kill(const run_removal& r, join_scope& s) { runs_.kill(r, s); }
    void clear(transaction& tx, kills& out) { runs_.clear(tx, out); }
    static void drop_reissued(fragment& f, const causal_context& unsent) { counter_runs::drop_reissued(f, unsent); }
    void reissue(const pn_counter& before, const causal_context& unsent, const removal_log& log, transaction& tx) {
        runs_.reissue(before.runs_, unsent, log, tx);
    }
    observation<std::int64_t> observed() const { return {value()}; }
    bool empty() const { return runs_.empty(); }
    bool vacant() const { return runs_.empty(); }
    static std::string type_name() { return "pn_counter"; }

    friend bool operator==(const pn_counter&, const pn_counter&) = default;

private:
    counter_runs runs_;

    template <std::integral N> static std::uint64_t checked(N n) {
        if constexpr (std::is_signed_v<N>)
            if (n < 0)
                throw std::invalid_argument(
                    "pn_counter: negative amount; increment and decrement take what to add or to take away");
        return static_cast<std::uint64_t>(n);
    }
};

} // namespace joinery
