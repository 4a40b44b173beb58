// SPDX-License-Identifier: Apache-2.0
#pragma once

// A counter that only grows. Concurrent increments add up: each replica keeps a total of its own.
// Source: Shapiro, Preguica et al., "A Comprehensive Study of CRDTs" (2011), section 3.1.1.

#include <joinery/counter_runs.hpp>
#include <joinery/replica.hpp>

#include <concepts>
#include <stdexcept>

namespace joinery {

class g_counter {
public:
    using fragment = counter_runs::fragment;

    /// Adds n >= 0. Throws std::invalid_argument for a negative n, std::overflow_error if this replica's
    /// total would exceed 2^63 - 1.
    template <std::integral N> void increment(transaction& tx, N n) {
        if constexpr (std::is_signed_v<N>)
            if (n < 0) throw std::invalid_argument("g_counter: negative increment");
        runs_.count(tx, static_cast<std::uint64_t>(n), 0);
    }
    void increment(transaction& tx) { increment(tx, 1u); }

    std::uint64_t value() const { return runs_.total(); }

    // The CRDT interface (crdt.hpp).
    void extract(const causal_context& wanted, fragment& out) const { runs_.extract(wanted, out); }
    void join(const fragment& f, join_scope& s) { runs_.join(f, s); }
    void kill(const dot_range&, join_scope&) {} // increments are superseded, not killed one by one
    void kill(const run_removal& r, join_scope& s) { runs_.kill(r, s); }
    void clear(transaction& tx, kills& out) { runs_.clear(tx, out); }
    static void drop_reissued(fragment& f, const causal_context& unsent) { counter_runs::drop_reissued(f, unsent); }
    void reissue(const g_counter& before, const causal_context& unsent, const removal_log& log, transaction& tx) {
        runs_.reissue(before.runs_, unsent, log, tx);
    }
    observation<std::uint64_t> observed() const { return {value()}; }
    bool empty() const { return runs_.empty(); }
    bool vacant() const { return runs_.empty(); }
    static std::string type_name() { return "g_counter"; }

    friend bool operator==(const g_counter&, const g_counter&) = default;

private:
    counter_runs runs_;
};

} // namespace joinery
