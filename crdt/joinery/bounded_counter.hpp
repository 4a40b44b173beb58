// SPDX-License-Identifier: Apache-2.0
#pragma once

// A counter that never falls below zero, on any leader, although nobody asks anybody before counting down: stock,
// seats, credit. What is counted up gives its replica the right to count as much down again; rights can be passed on,
// and a replica counts down by no more than its own. So it may have to refuse although others could go on. Source:
// Balegas, Serra et al., "Extending Eventually Consistent Cloud Databases for Enforcing Numeric Invariants" (2015).
//
//     us.join(eu.edit([](auto& stock, auto& tx) {
//         stock.increment(tx, 100);
//         stock.transfer(tx, us_id, 40);      // sells up to 40 while cut off
//     }));

#include <joinery/composed.hpp>
#include <joinery/or_map.hpp>
#include <joinery/pn_counter.hpp>
#include <joinery/replica.hpp>

#include <cstdint>
#include <map>
#include <stdexcept>
#include <string>

namespace joinery {

/// Thrown before anything has changed: the replica's rights do not suffice.
class insufficient_rights : public std::runtime_error {
public:
    insufficient_rights(std::uint64_t wanted, std::uint64_t available);
    std::uint64_t wanted() const { return wanted_; }
    std::uint64_t available() const { return available_; }

private:
    std::uint64_t wanted_, available_;
};

namespace detail {

/// What a replica has counted (from == to), and what it has passed on to another. Only `from` writes it.
struct rights_account {
    replica_id from, to;
    friend bool operator==(const rights_account&, const rights_account&) = default;
    template <class Archive> void serialize(Archive& ar) { ar(CEREAL_NVP(from), CEREAL_NVP(to)); }
};

} // namespace detail

/// The rights of an id that is given up (a node that left for good, was evicted, or took a new id) are given up with
/// it, with those that it had passed on in edits that nobody has got; what can be should be passed on first. All is
/// linear in the number of pairs of replicas between which rights were passed on. Removing an enclosing key does
/// nothing to it, as somebody may be using a right at the same time.
class bounded_counter : public composed<or_map<detail::rights_account, pn_counter>> {
public:
    /// Counts up by n, and gives the editing replica the rights. std::overflow_error if its own total would exceed
    /// 2^63 - 1.
    void increment(transaction& tx, std::uint64_t n = 1);
    /// Counts down by n, which takes as many of the editing replica's rights. Throws insufficient_rights.
    void decrement(transaction& tx, std::uint64_t n = 1);
    /// Passes n of the editing replica's rights on. Throws insufficient_rights; std::invalid_argument if it is for
    /// itself.
    void transfer(transaction& tx, replica_id to, std::uint64_t n);

    /// Never negative. A state that lacks something that one of its edits had seen, which no leader shows, may say less
    /// than what is so.
    std::uint64_t value() const;
    /// By how much a replica may count down.
    std::uint64_t rights(replica_id r) const;
    /// Of all who have any.
    std::map<replica_id, std::uint64_t> rights() const;
    /// What the editing replica can use of them: none while it is not known whether an older copy of its storage was
    /// opened, which has spent some already (replica<T>::hold_from).
    std::uint64_t available(const transaction& tx) const {
        return tx.confirmed() == UINT64_MAX ? rights(tx.replica()) : 0;
    }

    observation<std::uint64_t> observed() const { return {value()}; }
    void clear(transaction&, kills&) {}
    static std::string type_name() { return "bounded_counter"; }

private:
    void need(const transaction& tx, std::uint64_t n) const;
};

} // namespace joinery
