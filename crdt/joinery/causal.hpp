// SPDX-License-Identifier: Apache-2.0
#pragma once

// A value under a causal context: the join-semilattice. The context says what has been seen; an entry
// that was seen and is not there was removed. Freely copied: a copy shares nothing and can issue no dots.

#include <joinery/delta.hpp>

#include <algorithm>
#include <cstddef>
#include <optional>
#include <span>
#include <utility>
#include <vector>

namespace joinery {

template <class T> class replica;

template <crdt T> class causal {
public:
    causal() = default;

    const T& operator*() const { return value_; }
    const T* operator->() const { return &value_; }

    /// All dots seen.
    const causal_context& context() const { return context_; }
    /// Contiguous dots seen, per replica.
    version_vector version() const { return context_.version(); }
    /// Removals that are not yet known to be causally stable.
    const removal_log& removals() const { return log_; }
    /// What has been pruned: a peer below it needs the complete state.
    const version_vector& horizon() const { return horizon_; }
    /// The greatest timestamp among the entries that arrived or were written here.
    timestamp latest() const { return latest_; }

    /// False for an answer of delta_since that starts beyond this state's version.
    bool accepts(const delta<T>& d) const { return d.since.empty() || d.since.within(version()); }

    /// The least upper bound, in place. True if and only if the state grew, which is when its context grew.
    /// What is not accepted changes nothing. O(|delta| log n).
    bool join(const delta<T>& d, hybrid_clock* clock = nullptr, sibling_counts* siblings = nullptr,
              change_list* changes = nullptr);
    bool join(const causal& other) { return join(other.whole()); }

    /// Everything a peer at that version lacks, and no more; the complete state if the peer is behind the
    /// horizon. O(|answer| log n).
    delta<T> delta_since(const version_vector& peer) const;
    /// The complete state as a delta. O(n).
    delta<T> whole() const;
    operator delta<T>() const { return whole(); }
    /// Forgets what every member has seen (causal stability): removal records, and tombstones by the rule
    /// for sequences. Stability beyond this state's own version is ignored. O(log + tombstones).
    /// What is known of the removal of counters stays for those replicas (ascending) that are `absent`: that are not
    /// among those who have seen it, and may come back with edits of their own.
    void prune(const version_vector& stable, std::span<const replica_id> absent = {});

    /// Without an engine nobody knows what is stable; so, for types without sequences, the removal log has
    /// a byte budget, past which the oldest records go and the horizon moves. Default 4 MiB; none = no limit.
    void set_log_budget(std::optional<std::size_t> bytes) { log_budget_ = bytes; }

    /// A digest of the context and the live content: equal for equal states. O(n).
    std::uint64_t digest() const;
    /// One for each of these ranges: 0 if nothing of it lives, and `removed_digest` if it is a single dot of which a
    /// record or a tombstone says that it was removed. For ranges of more dots equal if equal entries live there.
    /// O(what is there + log).
    std::vector<std::uint64_t> digests(std::span<const dot_range> parts) const;

    /// What this state has of these dots, as a delta. Of types without tombstones, the deltas of dots that together are
    /// all that a peer lacks join like delta_since. O(|answer| log n).
    delta<T> extract(const causal_context& wanted) const;
    /// Of a state that was joined from the parts of a complete one: what that had pruned. Requires: within the version.
    void pass_horizon(const version_vector& pruned) {
        if (horizon_.join(pruned)) pass_horizon();
    }

    /// Equal contexts and equal live content (removal log, horizon and tombstones left out).
    friend bool operator==(const causal& a, const causal& b) {
        return a.context_ == b.context_ && crdt_traits<T>::equal(a.value_, b.value_);
    }

    template <class Archive> void save(Archive& ar) const;
    template <class Archive> void load(Archive& ar) {
        delta<T> d;
        ar(d);
        if (!d.since.empty()) throw decode_failure(decode_error::invalid_value);
        *this = causal();
        join(d);
    }

private:
    friend class replica<T>;
    friend struct delta<T>;
    using traits = crdt_traits<T>;
    static constexpr std::size_t default_log_budget = std::size_t{4} << 20;

    T value_{};
    causal_context context_;
    removal_log log_;
    version_vector horizon_;
    timestamp latest_{};
    unknown_fields unknown_;
    std::optional<std::size_t> log_budget_ = default_log_budget;
    std::size_t trim_above_ = 0;
    bool held_ = false; // own edits may yet be renamed, and with them their records: the log keeps all

    delta<T> extract_seen(causal_context covered) const;
    delta<T> seen_without_fragment(causal_context covered) const;
    void replace(const delta<T>& other);
    void merge(const delta<T>& d, hybrid_clock* clock = nullptr, sibling_counts* siblings = nullptr,
               change_list* changes = nullptr, bool repairing = false);
    void join_unknown(const delta<T>& d, join_scope scope);
    void pass_horizon();
    void trim_log();
    std::uint64_t end_run(const run_removal& r);
};

// ---- implementation ----

template <crdt T>
bool causal<T>::join(const delta<T>& d, hybrid_clock* clock, sibling_counts* siblings, change_list* changes) {
    if (d.plain() && log_.awaited().empty() && context_.precedes(d.covered.ranges().front())) { // as most edits are
        join_scope scope{context_, d.covered, log_, false, clock, &latest_};
        scope.unknown = &unknown_;
        scope.siblings = siblings;
        scope.changes = changes;
        traits::join(value_, d.fragment, scope);
        context_.add(d.covered.ranges().front());
        return true;
    }
    if (!accepts(d)) return false;
    bool grows = !context_.contains(d.covered);
    if (grows || !d.horizon.within(horizon_)) merge(d, clock, siblings, changes);
    return grows;
}

template <crdt T>
void causal<T>::merge(const delta<T>& d, hybrid_clock* clock, sibling_counts* siblings, change_list* changes,
                      bool repairing) {
    join_scope scope{context_, d.covered, log_, context_.intersects(d.covered), clock, &latest_};
    if (scope.overlapping && !d.unknown.empty()) {
        // Fields that the sender does not know and this version does: what is read of them is still there.
        causal read;
        read.set_log_budget(std::nullopt);
        read.merge(d);
        if (read.unknown_.size() < d.unknown.size()) return merge(read.whole(), clock, siblings, changes, repairing);
    }
    scope.unknown = &unknown_;
    scope.siblings = siblings;
    scope.changes = changes;
    scope.repairing = repairing;
    // New records first, so that arriving entries find them. An event that was seen before has had its effect.
    auto fresh = log_.add(d.removals, context_);
    // What the delta covers comes with it, if it is still there: in its fragment, or kept by its sender as it is here.
    std::vector<const unknown_field*> kept_by_both;
    if (scope.overlapping && !unknown_.empty()) {
        const auto here = detail::places_of(unknown_), there = detail::places_of(d.unknown);
        for (const auto& f : d.unknown)
            if (context_.contains(f.covered) && detail::among(here, f)) kept_by_both.push_back(&f);
        std::erase_if(unknown_, [&](const unknown_field& f) {
            return d.covered.contains(f.covered) && !detail::among(there, f);
        });
    }
    traits::join(value_, d.fragment, scope);
    for (const removal* r : fresh) {
        scope.event = &r->event;
        for (const auto& dots : r->killed.dots)
            if (context_.intersects(dots)) traits::kill(value_, dots, scope);
        for (const auto& run : r->killed.runs) traits::kill(value_, run, scope);
    }
    scope.event = nullptr;
    if (!d.unknown.empty()) join_unknown(d, scope);
    for (const auto* f : kept_by_both) unknown_.insert(*f); // who reads both has what is in both
    context_.join(d.covered);
    log_.arrived(d.covered);
    if (horizon_.join(d.horizon)) pass_horizon();
    trim_log();
}

// A peer has pruned up to the horizon. For types with tombstones that was what is stable; for the others it
// may be no more than what a log's budget left.
template <crdt T> void causal<T>::pass_horizon() {
    if constexpr (!traits::leaves_tombstones) {
        log_.prune_dots(horizon_);
    } else if (unknown_.empty()) {
        auto settled = log_.prune(horizon_, [](replica_id) { return true; }); // runs: only what is stable for sure
        traits::prune(value_, horizon_, settled, nullptr);
    }
}

// Fields that were kept by leaders of an earlier version: one edit's fields together, each edit once.
template <crdt T> void causal<T>::join_unknown(const delta<T>& d, join_scope scope) {
    causal_context all = context_;
    all.join(d.covered);
    std::vector<const unknown_field*> fields;
    for (const auto& f : d.unknown)
        if (all.contains(f.covered) && !context_.contains(f.covered)) fields.push_back(&f);
    std::sort(fields.begin(), fields.end(), [](const auto* f, const auto* g) { return *f < *g; });
    causal_context seen = context_;
    for (std::size_t i = 0; i < fields.size(); ++i) {
        const auto& f = *fields[i];
        if (i > 0 && fields[i - 1]->covered != f.covered) seen.join(fields[i - 1]->covered);
        join_scope one{seen, f.covered, log_, seen.intersects(f.covered), scope.clock, &latest_};
        one.unknown = &unknown_;
        one.changes = scope.changes;
        compact_input_archive path(f.path);
        bool known = false;
        try {
            known = traits::place(value_, path, f, one);
        } catch (const std::exception&) { // a path that leads nowhere
        }
        if (!known) unknown_.insert(f);
    }
}

template <crdt T> delta<T> causal<T>::extract(const causal_context& wanted) const {
    return extract_seen(context_.intersect(wanted));
}

template <crdt T> delta<T> causal<T>::extract_seen(causal_context covered) const {
    delta<T> d = seen_without_fragment(std::move(covered));
    traits::extract(value_, d.covered, d.fragment);
    return d;
}

// NOLINTNEXTLINE(performance-unnecessary-value-param): it is moved from
template <crdt T> delta<T> causal<T>::seen_without_fragment(causal_context covered) const {
    delta<T> d;
    d.covered = std::move(covered);
    d.removals = log_.extract(d.covered);
    for (const auto& f : unknown_)
        if (f.covered->intersects(d.covered)) d.unknown.push_back(f);
    return d;
}

template <crdt T> delta<T> causal<T>::whole() const {
    delta<T> d = extract_seen(context_);
    traits::extract_rest(value_, d.fragment);
    d.horizon = horizon_;
    return d;
}

// The bytes of whole(), which is not made if it can be done without.
template <crdt T> template <class Archive> void causal<T>::save(Archive& ar) const {
    if constexpr (is_compact_archive_v<Archive> && traits::saves_whole) {
        delta<T> d = seen_without_fragment(context_);
        d.horizon = horizon_;
        bool saved = false;
        traits::save_whole(value_, context_, [&](auto&& save) {
            d.save_around(ar, true, [&] { save(ar); });
            saved = true;
        });
        if (!saved) d.save_around(ar, false, [] {});
    } else {
        ar(whole());
    }
}

template <crdt T> delta<T> causal<T>::delta_since(const version_vector& peer) const {
    if (!horizon_.within(peer)) return whole();
    delta<T> d = extract_seen(context_.minus(peer));
    d.since = peer;
    return d;
}

template <crdt T> void causal<T>::prune(const version_vector& stable, std::span<const replica_id> absent) {
    if (!unknown_.empty()) return;
    version_vector known = stable;
    known.meet(version());
    auto settled = log_.prune(known, [&](replica_id r) { return std::binary_search(absent.begin(), absent.end(), r); });
    traits::prune(value_, known, settled, nullptr);
    horizon_.join(known);
    if (horizon_ != known) pass_horizon(); // what neither was reason enough to forget
}

// Records against counter runs stay: they need true stability.
template <crdt T> void causal<T>::trim_log() {
    if constexpr (!traits::leaves_tombstones) {
        if (held_ || !log_budget_ || log_.bytes() <= std::max(*log_budget_, trim_above_) || !unknown_.empty()) return;
        log_.forget_older_half(version(), horizon_);
        log_.prune_dots(horizon_);      // so that a state is encoded as who joins it would
        trim_above_ = 2 * log_.bytes(); // what cannot go, because of gaps, is not looked at again at once
    }
}

template <crdt T> std::uint64_t causal<T>::digest() const {
    return combine(joinery::digest(encode(context_)), traits::digest(value_, context_));
}

template <crdt T> std::vector<std::uint64_t> causal<T>::digests(std::span<const dot_range> parts) const {
    std::vector<std::uint64_t> all;
    all.reserve(parts.size());
    std::vector<std::pair<dot, std::size_t>> gone; // single dots, and their places
    for (const auto& part : parts) {
        fragment_of<T> f;
        traits::extract(value_, context_.intersect(causal_context{part}), f);
        traits::keep_live(f);
        if (f.empty() && part.first == part.last) gone.emplace_back(dot{part.replica, part.first}, all.size());
        all.push_back(f.empty() ? 0 : std::clamp<std::uint64_t>(joinery::digest(encode(f)), 1, removed_digest - 1));
    }
    if (gone.empty()) return all;
    std::sort(gone.begin(), gone.end());
    const auto removed = [&](const dot_range& killed) {
        auto it =
            std::lower_bound(gone.begin(), gone.end(), std::pair(dot{killed.replica, killed.first}, std::size_t{0}));
        for (; it != gone.end() && killed.contains(it->first); ++it) all[it->second] = removed_digest;
    };
    if constexpr (traits::leaves_tombstones) {
        causal_context asked, known;
        for (const auto& [d, place] : gone) asked.add(d);
        traits::known_removed(value_, asked, known);
        known.for_each(removed);
    }
    log_.for_each([&](dot, const kills& k) {
        for (const auto& dots : k.dots) removed(dots);
        // What lives of a run has its last dot; those before it may be of other fields.
        for (const auto& run : k.runs) removed({run.start.replica, run.last, run.last});
    });
    return all;
}

// Not a join: both have seen these dots, and what the other has of them takes the place of what is here.
template <crdt T> void causal<T>::replace(const delta<T>& other) {
    delta<T> nothing;
    nothing.covered = other.covered;
    merge(nothing, nullptr, nullptr, nullptr, true);
    context_.subtract(other.covered);
    merge(other, nullptr, nullptr, nullptr, true);
}

// Where a counter's run ends here, or ended when it was removed: its first dot if neither is known any more. It is gone
// afterwards.
template <crdt T> std::uint64_t causal<T>::end_run(const run_removal& r) {
    struct last_dot final : dot_sink {
        void entered(const dot_range&) override {}
        void dropped(const dot_range& dots) override { last = std::max(last, dots.last); }
        bool holds(const dot_range&) const override { return false; }
        std::uint64_t last = 0;
    } taken;
    join_scope scope{context_, context_, log_};
    scope.sink = &taken;
    traits::kill(value_, r, scope);
    if (taken.last > 0) return taken.last;
    const auto* removed = log_.against_run(r.start);
    return removed ? removed->last : r.start.seq;
}

// A delta joins another by way of a state, so that there is one join rule and not two.
template <crdt T> void delta<T>::join(const delta& other) {
    causal<T> state;
    state.set_log_budget(std::nullopt);
    state.merge(*this);
    state.merge(other);
    delta sum = state.whole();
    sum.since = since;
    sum.since.join(other.since);
    *this = std::move(sum);
}

} // namespace joinery
