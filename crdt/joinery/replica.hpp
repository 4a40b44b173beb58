// SPDX-License-Identifier: Apache-2.0
#pragma once

// A replica is where edits are made: an identity, a state and a clock. It is the only thing that can
// issue dots, and it is move-only, so that a copy can never issue one a second time.
//
//     joinery::replica<joinery::or_set<std::string>> eu{joinery::replica_id::random()};
//     auto d = eu.edit([](auto& cart, auto& tx) { cart.add(tx, "milk"); });
//     us.join(d);

#include <joinery/causal.hpp>

#include <algorithm>
#include <functional>
#include <optional>
#include <stdexcept>
#include <utility>
#include <vector>

namespace joinery {

template <class T> class replica {
    static_assert(checked_crdt<T>(),
                  "T must have the members that crdt.hpp lists, or be a JOINERY_RECORD of such types");

public:
    /// A new, empty replica. Requires: no other replica has, or ever had, this id.
    explicit replica(replica_id id, hybrid_clock clock = hybrid_clock()) : id_(id), clock_(std::move(clock)) {}

    /// A replica restarted from its saved state. Requires: the state has every dot that it ever published.
    replica(replica_id id, causal<T> state, hybrid_clock clock = hybrid_clock())
        : id_(id), state_(std::move(state)), clock_(std::move(clock)) {
        clock_.observe(state_.latest_);
    }

    replica(replica&&) noexcept = default;
    replica& operator=(replica&&) noexcept = default;

    replica_id id() const { return id_; }
    const causal<T>& state() const { return state_; }
    const T& operator*() const { return state_.value_; }
    const T* operator->() const { return &state_.value_; }
    version_vector version() const { return state_.version(); }
    const hybrid_clock& clock() const { return clock_; }
    /// The conflicts in registers that joins brought and that writes resolved since this replica was made.
    const sibling_counts& siblings() const { return siblings_; }

    /// Runs f(T&, transaction&) as a transaction: all of it is one delta, applied whole or not at all. If f
    /// throws, its dots are returned, nothing has changed, and the exception goes on to the caller.
    /// O(edit log n). Requires: f does not call back into this replica.
    template <class F> delta<T> edit(F&& f);

    /// True if and only if the state grew. What is not accepted changes nothing. O(|delta| log n). `changes` notes what
    /// has changed (changes.hpp).
    bool join(const delta<T>& d, change_list* changes = nullptr) {
        return state_.join(d, &clock_, &siblings_, changes);
    }
    bool join(const causal<T>& other) { return join(other.whole()); }
    /// The same, and what is less joins what is more: O(of the lesser). `siblings` are those that met in `other`.
    bool join(causal<T>&& other, const sibling_counts& siblings);

    /// False for an answer of delta_since that starts beyond this state's version; the deltas of edits are
    /// always accepted.
    bool accepts(const delta<T>& d) const { return state_.accepts(d); }

    /// Everything a peer at that version lacks, and no more. O(|answer| log n).
    delta<T> delta_since(const version_vector& peer) const { return state_.delta_since(peer); }

    /// Forgets what every member has seen. Requires: `stable` is causally stable, that is at most the
    /// version that each member has acknowledged after all it had issued by then had arrived here.
    void prune(const version_vector& stable, std::span<const replica_id> absent = {}) { state_.prune(stable, absent); }

    /// Takes away what only says that something is not there (rw_set, lww_map, lww_set, disable_wins_flag below a key),
    /// as far as every member has seen it. An edit like any other, to be sent like any other; empty if there is nothing
    /// to tidy up. One member at a time need do it. O(n). Requires: `stable` as for prune.
    delta<T> tidy(const version_vector& stable);

    /// What another replica at the same version has of the dots that the delta covers takes the place of what is here:
    /// the repair of states that differ although they must not. O(|delta| log n). Requires: the dots were seen.
    void replace(const delta<T>& other) { state_.replace(other); }

    void set_log_budget(std::optional<std::size_t> bytes) { state_.set_log_budget(bytes); }

    /// Own dots above `seq` may yet be renamed: no entry mixes them with earlier ones. For engines that open
    /// a storage and have not yet heard what peers know of it.
    void hold_from(std::uint64_t seq) {
        confirmed_ = seq;
        state_.held_ = true;
    }
    /// Own dots are this replica's for good.
    void confirm() {
        confirmed_ = UINT64_MAX;
        state_.held_ = false;
    }

    /// Re-issues the own dots above `seq`, which nobody else has seen, as dots 1, 2, ... of a new id, which
    /// becomes this replica's. O(n). Requires: hold_from(seq) was in force since they were issued.
    void rename_from(std::uint64_t seq, replica_id to);

    /// Issues the own dots above `seq`, which nobody else has, once more: what they were made on, others may have
    /// forgotten. They are kept, under the id `to`, and where they rest on other entries (texts) made anew on top of
    /// what is here together with `answer`. If `to` is another id, the answer must be a complete state, the own dots
    /// that it lacks are unsent, and it takes the place of all that it covers. O(n). Requires: the answer is accepted.
    void rejoin(const delta<T>& answer, std::uint64_t seq, replica_id to);

private:
    replica_id id_;
    causal<T> state_;
    hybrid_clock clock_;
    sibling_counts siblings_;
    std::uint64_t confirmed_ = UINT64_MAX;

    causal_context own_above(std::uint64_t seq) const;
    causal<T> state_without(const causal_context& unsent) const;
    delta<T> without(const causal_context& unsent) const;
    delta<T> renamed(const delta<T>& edits, std::uint64_t seq, replica_id to) const;
    void forget_unsent_counts(std::vector<removal>& removals, const delta<T>& answer, std::uint64_t seq) const;
};

// ---- implementation ----

template <class T> template <class F> delta<T> replica<T>::edit(F&& f) {
    transaction tx(id_, state_.context_.greatest(id_), confirmed_, clock_);
    try {
        std::invoke(std::forward<F>(f), state_.value_, tx);
    } catch (...) {
        tx.rollback();
        throw;
    }
    delta<T> d;
    if (tx.empty()) {
        tx.commit();
        return d;
    }
    for (const auto& r : tx.removals_) state_.log_.add(r, state_.context_);
    d.covered.add(tx.dots());
    state_.context_.add(tx.dots());
    state_.log_.arrived(d.covered);
    tx.commit();
    crdt_traits<T>::extract_edit(state_.value_, d.covered, d.fragment);
    if (!tx.removals_.empty()) {
        d.removals = std::move(tx.removals_);
        std::sort(d.removals.begin(), d.removals.end(),
                  [](const removal& a, const removal& b) { return a.event < b.event; });
    }
    siblings_.resolved += tx.siblings_resolved_;
    if (tx.now_) state_.latest_ = std::max(state_.latest_, *tx.now_);
    state_.trim_log();
    return d;
}

template <class T> delta<T> replica<T>::tidy(const version_vector& stable) {
    using traits = crdt_traits<T>;
    if (!traits::untidy(*state_, stable)) return {};
    return edit([&](T& value, transaction& tx) {
        kills out;
        traits::tidy(value, tx, stable, out);
        tx.record(tx.next(), std::move(out));
    });
}

template <class T> bool replica<T>::join(causal<T>&& other, const sibling_counts& siblings) {
    if (other.context_.count() <= state_.context_.count()) return join(other.whole());
    const bool grows = !state_.context_.contains(other.context_);
    other.set_log_budget(state_.log_budget_);
    other.join(state_.whole(), &clock_, &siblings_);
    other.held_ = state_.held_;
    clock_.observe(other.latest_);
    siblings_.seen += siblings.seen;
    siblings_.resolved += siblings.resolved;
    state_ = std::move(other);
    return grows;
}

template <class T> void replica<T>::rename_from(std::uint64_t seq, replica_id to) {
    const auto unsent = own_above(seq);
    causal<T> next;
    next.set_log_budget(state_.log_budget_);
    next.join(
        renamed(state_.extract(unsent), seq, to)); // first: what they removed must not seem to have been so for long
    next.join(without(unsent));
    state_ = std::move(next);
    id_ = to;
    confirm();
}

template <class T> void replica<T>::rejoin(const delta<T>& answer, std::uint64_t seq, replica_id to) {
    using traits = crdt_traits<T>;
    seq = std::max(seq, answer.covered.greatest(id_));
    const auto unsent = own_above(seq);
    auto edits = state_.extract(unsent);
    traits::drop_reissued(edits.fragment, unsent);
    forget_unsent_counts(edits.removals, answer, seq);
    causal<T> next;
    next.set_log_budget(state_.log_budget_);
    next.join(to == id_ ? edits
                        : renamed(edits, seq, to)); // first: what they removed must not seem to have been so for long
    if (to == id_)
        next.join(without(unsent));
    else // what only this replica has of others
        next.join(state_without(unsent).extract(state_.context_.minus(answer.covered).minus(own_above(0))));
    next.join(answer, &clock_);
    const causal<T> before = std::exchange(state_, std::move(next));
    id_ = to;
    confirm();
    if constexpr (traits::reissues)
        edit([&](T& value, transaction& tx) { traits::reissue(value, *before, unsent, state_.log_, tx); });
}

template <class T> causal_context replica<T>::own_above(std::uint64_t seq) const {
    causal_context dots;
    for (const auto& r : state_.context_.ranges(id_))
        if (r.last > seq) dots.add({id_, std::max(r.first, seq + 1), r.last});
    return dots;
}

// As if the unsent edits had never been. What others wrote may seem to rest on them, where what it did rest on was
// pruned.
template <class T> causal<T> replica<T>::state_without(const causal_context& unsent) const {
    causal<T> rest = state_;
    if constexpr (crdt_traits<T>::reissues) {
        rest.set_log_budget(std::nullopt);
        delta<T> nothing;
        nothing.covered = unsent;
        rest.merge(nothing);
    }
    return rest;
}

template <class T> delta<T> replica<T>::without(const causal_context& unsent) const {
    const causal<T> rest = state_without(unsent);
    delta<T> kept = rest.extract(rest.context_.minus(unsent));
    crdt_traits<T>::extract_rest(rest.value_, kept.fragment);
    kept.horizon = rest.horizon_;
    return kept;
}

// What a run gained unsent, and lost unsent, never was: its removal names the last increment that the others had, or
// the dot of something else would seem to have been removed.
template <class T>
void replica<T>::forget_unsent_counts(std::vector<removal>& removals, const delta<T>& answer, std::uint64_t seq) const {
    std::optional<causal<T>> theirs;
    for (auto& r : removals) {
        for (auto& run : r.killed.runs) {
            if (run.start.replica != id_ || run.start.seq > seq || run.last <= seq) continue;
            if (!theirs) theirs.emplace().join(answer);
            run.last = answer.since.empty() ? theirs->end_run(run) : seq;
        }
    }
}

// All dots go through the archive, whatever the type.
template <class T> delta<T> replica<T>::renamed(const delta<T>& edits, std::uint64_t seq, replica_id to) const {
    dot_renaming renaming{id_, seq, to};
    auto result = decode<delta<T>>(encode(edits), &renaming);
    if (!result) throw std::logic_error("replica: own edits cannot be decoded");
    return std::move(*result);
}

} // namespace joinery
