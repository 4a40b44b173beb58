// SPDX-License-Identifier: Apache-2.0
#pragma once

// The one mechanism behind every removal: an event that removes or supersedes older dots leaves a record
// of its own dot and of the dots it *kills*. Killed dots never enter a context: they drop entries that
// are present and keep later arrivals out. Had a removal put the killed dots into the context instead,
// an add that was lost on the way would never be asked for again.
//
// Records are flat: they name dots, not paths, so one log serves all types at any depth.

#include <joinery/causal_context.hpp>
#include <joinery/dot.hpp>

#include <algorithm>
#include <cstdint>
#include <map>
#include <vector>

namespace joinery {

/// The removal of a counter's run of increments: what the remover had seen of it. A run is named by the
/// dot of its first increment.
struct run_removal {
    dot start;
    std::uint64_t last = 0;       ///< sequence number of the run's last increment that the remover had seen
    std::uint64_t increments = 0; ///< the run's totals at that increment
    std::uint64_t decrements = 0;
    friend bool operator==(const run_removal&, const run_removal&) = default;
};

/// What one event kills. `dots` is sorted and its ranges are disjoint; `runs` is sorted by start.
struct kills {
    std::vector<dot_range> dots;
    std::vector<run_removal> runs;

    bool empty() const { return dots.empty() && runs.empty(); }
    void add(const dot_range& r) { dots.push_back(r); }
    void add(const run_removal& r) { runs.push_back(r); }
    /// Sorts, and merges ranges that touch.
    void normalize();
    /// True if it is as `normalize` leaves it, with each run once.
    bool normal() const;
    friend bool operator==(const kills&, const kills&) = default;
};

/// A removal's dot and what it kills.
struct removal {
    dot event;
    kills killed;
    friend bool operator==(const removal&, const removal&) = default;
};

/// In the place of a dot's digest: a record says that it was removed.
inline constexpr std::uint64_t removed_digest = UINT64_MAX;

/// The records that are not yet causally stable, and the index that answers whether an arriving dot is
/// already dead. Adding and look-ups are O(log n).
class removal_log {
public:
    /// Adds a record; `seen` is the context of the state that owns this log. True if it was new.
    bool add(const removal& record, const causal_context& seen);

    /// Adds those records whose events are not in `seen` and answers with the new ones.
    std::vector<const removal*> add(const std::vector<removal>& records, const causal_context& seen);

    /// True if a record kills `d` and `d` had not been seen when the record was added.
    bool kills_arriving(dot d) const { return !awaited_.empty() && awaited_.contains(d); }
    bool kills_arriving(const dot_range& r) const { return !awaited_.empty() && awaited_.intersects(r); }
    const causal_context& awaited() const { return awaited_; }
    /// The strongest record against the run that began with `start`, or null.
    const run_removal* against_run(dot start) const;

    /// The owner's context now has these dots too: they are no longer awaited.
    void arrived(const causal_context& covered) {
        if (!awaited_.empty()) awaited_.subtract(covered);
    }

    /// The records whose event is in `wanted`, in order of dots.
    std::vector<removal> extract(const causal_context& wanted) const;
    /// Calls f(dot event, const kills&) for every record, in order of dots.
    template <class F> void for_each(F&& f) const {
        for (const auto& [event, killed] : records_) f(event, killed);
    }
    bool contains(dot event) const { return records_.contains(event); }

    /// Forgets what the records say whose event and all killed dots are in `stable`, and returns what they killed and
    /// no other record does. What `keep(replica_id)` says of a run's replica stays, without the rest of its record.
    template <class Keep> std::vector<dot_range> prune(const version_vector& stable, Keep&& keep);
    std::vector<dot_range> prune(const version_vector& stable) {
        return prune(stable, [](replica_id) { return false; });
    }
    /// The same for records that kill no counter runs: the others need true stability, and a horizon may
    /// be no more than what a log's budget left.
    void prune_dots(const version_vector& horizon);
    /// Takes out the older half of each replica's records, as far as they lie within `version` and kill no
    /// counter runs, and raises `horizon` to what they say. O(n).
    void forget_older_half(const version_vector& version, version_vector& horizon);

    bool empty() const { return records_.empty(); }
    std::size_t size() const { return records_.size(); }
    /// An estimate of the memory in use.
    std::size_t bytes() const { return bytes_; }

    friend bool operator==(const removal_log& a, const removal_log& b) { return a.records_ == b.records_; }

private:
    std::map<dot, kills> records_;
    causal_context awaited_;          // killed dots that the owner has not seen
    std::map<dot, run_removal> runs_; // by run start: the record with the greatest `last`
    std::size_t bytes_ = 0;

    bool insert(const removal& record, const causal_context& seen, std::vector<dot_range>& unseen);
    void await(std::vector<dot_range> unseen);
    void index_runs(const kills& k);
    void reindex_runs();
    std::vector<dot_range> without_others(const std::vector<dot_range>& settled) const;
    static bool within(dot event, const kills& k, const version_vector& stable);
    static std::size_t cost(const kills& k);
};

template <class Keep> std::vector<dot_range> removal_log::prune(const version_vector& stable, Keep&& keep) {
    std::vector<dot_range> settled;
    bool runs_gone = false;
    for (auto it = records_.begin(); it != records_.end();) {
        kills& k = it->second;
        if (!within(it->first, k, stable)) {
            ++it;
            continue;
        }
        settled.insert(settled.end(), k.dots.begin(), k.dots.end());
        bytes_ -= cost(k);
        k.dots.clear();
        runs_gone |= std::erase_if(k.runs, [&](const run_removal& r) { return !keep(r.start.replica); }) > 0;
        if (k.runs.empty()) {
            it = records_.erase(it);
        } else {
            bytes_ += cost(k);
            ++it;
        }
    }
    if (runs_gone) reindex_runs();
    return settled.empty() ? settled : without_others(settled);
}

} // namespace joinery
