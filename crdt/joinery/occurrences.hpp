// SPDX-License-Identifier: Apache-2.0
#pragma once

// How often something was put in and not taken out again: each time has a dot of its own and nothing else. What flags
// and bags are made of. Neighbouring dots are one range, so that a million of them, made at once, cost 24 bytes.
// Source: the "dot set" DotSet of Almeida, Shoker, Baquero (2018).

#include <joinery/changes.hpp>
#include <joinery/codec.hpp>
#include <joinery/join_scope.hpp>
#include <joinery/transaction.hpp>

#include <cstdint>

namespace joinery {

/// Every operation is linear in the number of ranges of dots.
class occurrences {
public:
    struct fragment {
        causal_context dots;
        bool empty() const { return dots.empty(); }
        friend bool operator==(const fragment&, const fragment&) = default;
        template <class Archive> void save(Archive& ar) const { ar(cereal::make_nvp("dots", dots)); }
        template <class Archive> void load(Archive& ar) {
            ar(cereal::make_nvp("dots", dots));
            if constexpr (is_compact_archive_v<Archive>) // containers keep a run for each 2^32 of them
                dots.for_each([&](const dot_range& r) { ar.charge((r.size() >> 32) * 64); });
        }
    };

    /// A removal leaves what it was not asked for, so that what survives need not be concurrent with it.
    static constexpr bool removes_in_part = true;
    /// The most that one call adds.
    static constexpr std::uint64_t most_at_once = std::uint64_t{1} << 32;

    /// Adds n occurrences. std::length_error beyond most_at_once.
    void add(transaction& tx, std::uint64_t n = 1);
    /// Takes away n of those that are here, the least dots first, or all if they are fewer. Replicas that do so
    /// concurrently may mean the same ones.
    void remove(transaction& tx, std::uint64_t n = 1);
    /// Takes all away.
    void remove_all(transaction& tx) { remove(tx, UINT64_MAX); }
    /// One new occurrence in the place of all that are here.
    void replace(transaction& tx);
    std::uint64_t count() const { return live_.count(); }

    // The CRDT interface (crdt.hpp).
    void extract(const causal_context& wanted, fragment& out) const { out.dots.join(live_.intersect(wanted)); }
    void join(const fragment& f, join_scope& s);
    void kill(const dot_range& dots, join_scope& s);
    void clear(transaction& tx, kills& out) { take(tx, UINT64_MAX, out); }
    observation<std::uint64_t> observed() const { return {count()}; }
    bool empty() const { return live_.empty(); }
    bool vacant() const { return live_.empty(); }
    static std::string type_name() { return "occurrences"; }

    friend bool operator==(const occurrences&, const occurrences&) = default;

private:
    causal_context live_;

    void put(transaction& tx, const dot_range& dots);
    void take(transaction& tx, std::uint64_t n, kills& out);
};

} // namespace joinery
