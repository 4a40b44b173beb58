// SPDX-License-Identifier: Apache-2.0
#pragma once

// A state in which a bug can be planted: joinery::causal, written once more for one type and without what
// that does not need.

#include "types.hpp"

#include <joinery/replica.hpp>

template <> class joinery::causal<planted::stated_set> {
    using bug = planted::bug;
    using value_type = planted::stated_set;
    using traits = crdt_traits<value_type>;

public:
    const value_type& operator*() const { return value_; }
    const value_type* operator->() const { return &value_; }
    const causal_context& context() const { return context_; }
    version_vector version() const { return context_.version(); }
    const removal_log& removals() const { return log_; }
    const version_vector& horizon() const { return horizon_; }
    timestamp latest() const { return latest_; }

    bool accepts(const delta<value_type>& d) const {
        return planted::is(bug::accepts_everything) || d.since.empty() || d.since.within(version());
    }
    bool join(const delta<value_type>& d, hybrid_clock* clock = nullptr, sibling_counts* = nullptr,
              change_list* = nullptr) {
        if (!accepts(d)) return false;
        if (planted::is(bug::compares_versions) && seen_by_greatest(d.covered)) return false;
        bool grows = !context_.contains(d.covered);
        if (grows || !d.horizon.within(horizon_)) merge(d, clock);
        return grows || planted::is(bug::always_grown);
    }
    bool join(const causal& other) { return join(other.whole()); }

    delta<value_type> delta_since(const version_vector& peer) const {
        if (!horizon_.within(peer) && !planted::is(bug::horizon_is_not_minded)) return whole();
        delta<value_type> d = extract(context_.minus(peer));
        if (planted::is(bug::part_as_whole)) d.covered = context_;
        if (planted::is(bug::answer_without_records)) d.removals.clear();
        d.since = peer;
        return d;
    }
    delta<value_type> whole() const {
        delta<value_type> d = extract(context_);
        if (!planted::is(bug::horizon_is_not_told)) d.horizon = horizon_;
        return d;
    }
    operator delta<value_type>() const { return whole(); }

    void prune(const version_vector& stable, std::span<const replica_id> = {}) {
        version_vector known = stable;
        known.meet(version());
        if (planted::is(bug::early_prune))
            forget_stable_events(known);
        else
            log_.prune(known);
        horizon_.join(known);
    }
    void set_log_budget(std::optional<std::size_t>) {}
    std::uint64_t digest() const {
        return combine(joinery::digest(encode(context_)), traits::digest(value_, context_));
    }
    friend bool operator==(const causal& a, const causal& b) {
        return a.context_ == b.context_ && a.value_ == b.value_;
    }

    template <class Archive> void save(Archive& ar) const { ar(whole()); }
    template <class Archive> void load(Archive& ar) {
        delta<value_type> d;
        ar(d);
        *this = causal();
        join(d);
    }

private:
    friend class replica<value_type>;
    friend struct delta<value_type>;

    value_type value_{};
    causal_context context_;
    removal_log log_;
    version_vector horizon_;
    timestamp latest_{};

    void merge(const delta<value_type>& d, hybrid_clock* clock = nullptr, sibling_counts* = nullptr) {
        join_scope scope{context_, d.covered, log_, context_.intersects(d.covered), clock, &latest_};
        std::vector<removal> fresh;
        for (const auto& r : d.removals)
            if (!context_.contains(r.event)) fresh.push_back(r);
        log_.add(fresh, context_);
        traits::join(value_, d.fragment, scope);
        for (const auto& r : fresh)
            for (const auto& dots : r.killed.dots) traits::kill(value_, dots, scope);
        context_.join(d.covered);
        if (planted::is(bug::killed_dots_are_seen))
            for (const auto& r : fresh)
                for (const auto& dots : r.killed.dots) context_.add(dots);
        log_.arrived(d.covered);
        if (horizon_.join(d.horizon)) log_.prune(horizon_);
    }
    delta<value_type> extract(const causal_context& wanted) const {
        delta<value_type> d;
        d.covered = context_.intersect(wanted);
        traits::extract(value_, d.covered, d.fragment);
        d.removals = log_.extract(d.covered);
        return d;
    }
    bool seen_by_greatest(const causal_context& covered) const {
        bool all = !covered.empty();
        covered.for_each([&](const dot_range& r) { all = all && r.last <= context_.greatest(r.replica); });
        return all;
    }
    void forget_stable_events(const version_vector& known) {
        std::vector<removal> kept;
        log_.for_each([&](dot event, const kills& k) {
            if (!known.contains(event)) kept.push_back({event, k});
        });
        log_ = removal_log();
        log_.add(kept, context_);
    }
    void trim_log() {}
};
