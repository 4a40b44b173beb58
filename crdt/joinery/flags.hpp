// SPDX-License-Identifier: Apache-2.0
#pragma once

// Switches. Whoever turns one overrules what it had seen; the two kinds differ in what becomes of a switch that is
// turned on and off concurrently.
// Source: Preguica, Baquero, Shapiro, "Conflict-free Replicated Data Types" (2018), section 2.

#include <joinery/composed.hpp>
#include <joinery/judged_store.hpp>
#include <joinery/occurrences.hpp>
#include <joinery/replica.hpp>

#include <algorithm>
#include <string>

namespace joinery {

/// Off at first. Enabled and disabled concurrently, it is enabled.
class enable_wins_flag : public composed<occurrences> {
public:
    void enable(transaction& tx) { inner_.replace(tx); }
    void disable(transaction& tx) { inner_.remove_all(tx); }
    bool enabled() const { return !inner_.empty(); }
    observation<bool> observed() const { return {enabled()}; }
    static std::string type_name() { return "enable_wins_flag"; }
};

namespace detail {
struct any_false {
    bool operator()(const dot_store<bool>& turns) const {
        return turns.empty() || std::any_of(turns.begin(), turns.end(), [](const auto& turn) { return !turn.value; });
    }
};
} // namespace detail

/// Off at first. Enabled and disabled concurrently, it is disabled, also if it was off already where it was disabled.
class disable_wins_flag : public judged_store<bool, detail::any_false> {
public:
    void enable(transaction& tx) { store_.replace(tx, true); }
    void disable(transaction& tx) { store_.replace(tx, false); }
    bool enabled() const { return !empty(); }
    static std::string type_name() { return "disable_wins_flag"; }
};

} // namespace joinery
