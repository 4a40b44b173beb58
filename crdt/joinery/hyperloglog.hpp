// SPDX-License-Identifier: Apache-2.0
#pragma once

// How many different things there were, without remembering them: visitors, addresses. 2^P registers keep the greatest
// rank of a hash each; the standard error is 1.04 / sqrt(2^P), 1.6 % for the usual 4096. An element that raises no
// register is no event, and they raise fewer and fewer: a million different ones make some 40,000 events.
// Source: Flajolet, Fusy, Gandouet, Meunier, "HyperLogLog" (2007); Ertl, "New cardinality estimation algorithms for
// HyperLogLog sketches" (2017), algorithm 6.

#include <joinery/codec.hpp>
#include <joinery/digest.hpp>
#include <joinery/dot_store.hpp>
#include <joinery/replica.hpp>

#include <bit>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace joinery {

namespace detail {

/// What one register was raised to.
struct raised_register {
    std::uint16_t index = 0;
    std::uint8_t rank = 0;
    friend bool operator==(const raised_register&, const raised_register&) = default;
    template <class Archive> void serialize(Archive& ar) { ar(CEREAL_NVP(index), CEREAL_NVP(rank)); }
};

/// The registers that were raised, each by the replicas that did so concurrently.
class raised_registers {
public:
    using fragment = dot_entries<raised_register>;

    /// Does nothing if the register is as high already. O(1) then, else O(registers that were raised).
    void raise(transaction& tx, raised_register r, std::size_t registers);
    /// The estimate of the number of different elements. O(registers).
    double estimate(std::size_t registers) const;

    void extract(const causal_context& wanted, fragment& out) const { store_.extract(wanted, out); }
    void join(const fragment& f, join_scope& s, std::size_t registers);
    void kill(const dot_range& dots, join_scope& s, std::size_t registers);
    void clear(transaction& tx, kills& out, std::size_t registers);
    bool empty() const { return store_.empty(); }

    friend bool operator==(const raised_registers& a, const raised_registers& b) { return a.store_ == b.store_; }

private:
    dot_store<raised_register> store_;
    std::vector<std::uint8_t> highest_; // of each register; empty if none was raised

    void note(const raised_register& r, std::size_t registers);
    void find_highest(std::size_t registers);
};

} // namespace detail

/// Counts different elements of any encodable types, by their encodings. 4 <= P <= 16; some 30 bytes for each register
/// that was raised.
template <unsigned P = 12> class hyperloglog {
    static_assert(4 <= P && P <= 16);

public:
    using fragment = detail::raised_registers::fragment;
    static constexpr std::size_t registers = std::size_t{1} << P;

    /// Mostly does nothing: O(1) beside the hashing of the element; O(registers) if it raises one.
    template <class E> void add(transaction& tx, const E& e) { raised_.raise(tx, register_of(e), registers); }
    /// The number of different elements, estimated. O(registers).
    std::uint64_t count() const {
        const double n = raised_.estimate(registers) + 0.5;
        return n < 0x1p64 ? static_cast<std::uint64_t>(n) : UINT64_MAX; // registers that nobody raises so high
    }

    // The CRDT interface (crdt.hpp).
    void extract(const causal_context& wanted, fragment& out) const { raised_.extract(wanted, out); }
    void join(const fragment& f, join_scope& s) { raised_.join(f, s, registers); }
    void kill(const dot_range& dots, join_scope& s) { raised_.kill(dots, s, registers); }
    void clear(transaction& tx, kills& out) { raised_.clear(tx, out, registers); }
    observation<std::uint64_t> observed() const { return {count()}; }
    bool empty() const { return raised_.empty(); }
    bool vacant() const { return raised_.empty(); }
    static std::string type_name() { return "hyperloglog<" + std::to_string(P) + ">"; }

    friend bool operator==(const hyperloglog&, const hyperloglog&) = default;

    /// Which register an element raises, and to what.
    template <class E> static detail::raised_register register_of(const E& e) {
        const std::uint64_t hash = joinery::digest(encode(e));
        const std::uint64_t rest = hash << P | (std::uint64_t{1} << (P - 1)); // so that there is a one
        return {static_cast<std::uint16_t>(hash >> (64 - P)), static_cast<std::uint8_t>(std::countl_zero(rest) + 1)};
    }

private:
    detail::raised_registers raised_;
};

} // namespace joinery
