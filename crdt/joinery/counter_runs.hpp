// SPDX-License-Identifier: Apache-2.0
#pragma once

// What counters are made of: runs of increments. A replica's first increment starts a run, later ones
// extend it without a removal record, so a counter costs one entry per replica however often it counts.
// A run is named by its first dot; the greater last dot wins. Removing an enclosing key kills the runs
// that the remover had seen, up to the totals it had seen: exactly the increments it had not seen survive.
// After a removal the next increment starts a new run.
//
//   - a run whose last dot is at most the removal's dies;
//   - one that went on raises its base to the removal's totals, and counts totals minus base.

#include <joinery/codec.hpp>
#include <joinery/join_scope.hpp>
#include <joinery/transaction.hpp>

#include <vector>

namespace joinery {

struct counter_run {
    dot start;
    std::uint64_t last = 0; ///< sequence number of the last increment
    std::uint64_t increments = 0, decrements = 0;
    std::uint64_t base_increments = 0, base_decrements = 0; ///< removed before it went on

    friend bool operator==(const counter_run&, const counter_run&) = default;

    void raise_base(std::uint64_t p, std::uint64_t n);
    /// Modulo 2^64, so that nothing that arrives can overflow.
    std::uint64_t total() const { return (increments - base_increments) - (decrements - base_decrements); }

    template <class Archive> void save(Archive& ar) const;
    template <class Archive> void load(Archive& ar);
};

/// Sorted by start. Every operation is linear in the number of runs, which is the number of replicas that
/// have counted, and a few more after removals.
class counter_runs {
public:
    struct fragment {
        std::vector<counter_run> runs; // sorted by start
        bool empty() const { return runs.empty(); }
        friend bool operator==(const fragment&, const fragment&) = default;
        template <class Archive> void save(Archive& ar) const { ar(cereal::make_nvp("runs", runs)); }
        template <class Archive> void load(Archive& ar) {
            ar(cereal::make_nvp("runs", runs));
            if constexpr (is_compact_archive_v<Archive>)
                validate(ar.renaming() != nullptr);
            else
                validate(false);
        }
        void validate(bool may_be_renamed);
    };

    /// Throws std::overflow_error if the replica's own totals would exceed 2^63 - 1.
    void count(transaction& tx, std::uint64_t increments, std::uint64_t decrements);
    /// The sum over all runs, modulo 2^64.
    std::uint64_t total() const;
    /// Of those that one replica has counted.
    std::uint64_t total(replica_id r) const;
    bool empty() const { return runs_.empty(); }

    void extract(const causal_context& wanted, fragment& out) const;
    void join(const fragment& f, join_scope& s);
    void kill(const run_removal& r, join_scope& s);
    void clear(transaction& tx, kills& out);
    /// A run that began before the unsent edits is counted anew, by what it has gained since: its counterpart, or the
    /// record of its removal, says how much that is.
    static void drop_reissued(fragment& f, const causal_context& unsent);
    void reissue(const counter_runs& before, const causal_context& unsent, const removal_log& log, transaction& tx);

    friend bool operator==(const counter_runs&, const counter_runs&) = default;

private:
    std::vector<counter_run> runs_;
    void drop(std::vector<counter_run>::iterator it, join_scope& s);
    std::vector<counter_run>::iterator find(dot start, std::size_t among = SIZE_MAX);
};

// The usual run has no base and no decrements: one byte says which of the numbers follow.
template <class Archive> void counter_run::save(Archive& ar) const {
    if constexpr (is_compact_archive_v<Archive>) {
        ar.write(dot_range{start.replica, start.seq, last});
        bool based = base_increments || base_decrements;
        ar.byte(static_cast<std::uint8_t>((decrements ? 1 : 0) | (based ? 2 : 0)));
        ar(increments);
        if (decrements) ar(decrements);
        if (based) ar(base_increments, base_decrements);
    } else {
        ar(cereal::make_nvp("start", start), CEREAL_NVP(last), CEREAL_NVP(increments), CEREAL_NVP(decrements),
           CEREAL_NVP(base_increments), CEREAL_NVP(base_decrements));
    }
}
template <class Archive> void counter_run::load(Archive& ar) {
    if constexpr (is_compact_archive_v<Archive>) {
        auto parts = ar.read_ranges();
        if (parts.size() != 1) ar.fail(decode_error::invalid_value);
        start = {parts[0].replica, parts[0].first};
        last = parts[0].last;
        std::uint8_t shape = ar.byte();
        if (shape > 3) ar.fail(decode_error::invalid_value);
        ar(increments);
        if (shape & 1) ar(decrements);
        if (shape & 2) ar(base_increments, base_decrements);
        if (((shape & 1) && !decrements) || ((shape & 2) && !base_increments && !base_decrements))
            ar.fail(decode_error::non_canonical);
    } else {
        ar(cereal::make_nvp("start", start), CEREAL_NVP(last), CEREAL_NVP(increments), CEREAL_NVP(decrements),
           CEREAL_NVP(base_increments), CEREAL_NVP(base_decrements));
        if (start.seq == 0 || last < start.seq || last > max_sequence)
            throw decode_failure(decode_error::invalid_value);
    }
}

} // namespace joinery
