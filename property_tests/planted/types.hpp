// SPDX-License-Identifier: Apache-2.0
#pragma once

// Small types in which a bug can be planted: a set, a register and a counter, and a state of their own for
// the set (state.hpp), as plain as can be.

#include "bugs.hpp"

#include <joinery/counter_runs.hpp>
#include <joinery/dot_entries.hpp>
#include <joinery/lww_register.hpp>
#include <joinery/record.hpp>

#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace planted {

using joinery::causal_context;
using joinery::dot;
using joinery::dot_range;
using joinery::join_scope;
using joinery::kills;
using joinery::transaction;

/// Payloads by dot, in order of arrival, with value semantics.
template <class P> class entries {
public:
    using list = std::vector<joinery::dot_entry<P>>;
    using fragment = joinery::dot_entries<P>;

    entries() = default;
    entries(const entries& other) : list_(is(bug::copies_share) ? other.list_ : std::make_shared<list>(*other.list_)) {}
    entries& operator=(const entries& other) {
        list_ = is(bug::copies_share) ? other.list_ : std::make_shared<list>(*other.list_);
        return *this;
    }

    list& items() { return *list_; }
    const list& items() const { return *list_; }

    void put(transaction& tx, dot d, P value) {
        list_->push_back({d, std::move(value)});
        tx.entered(this, d);
        if (is(bug::rollback_keeps_entry)) return;
        tx.on_rollback([this, d] { std::erase_if(*list_, [d](const auto& e) { return e.where == d; }); });
    }
    /// Takes entries out and adds them to `out`.
    template <class Pred> void take(transaction& tx, kills& out, Pred gone) {
        list taken;
        for (const auto& e : *list_)
            if (gone(e)) taken.push_back(e);
        for (const auto& e : taken) {
            out.add(e.where);
            tx.dropped(this, e.where);
        }
        std::erase_if(*list_, gone);
        if (is(bug::rollback_forgets_removed)) return;
        tx.on_rollback([this, taken] { list_->insert(list_->end(), taken.begin(), taken.end()); });
    }

    void extract(const causal_context& wanted, fragment& out) const {
        for (const auto& e : *list_)
            if (wanted.contains(e.where) || is(bug::delta_of_everything)) out.push_back(e.where, e.value);
        if (!is(bug::bytes_by_arrival)) out.sort();
    }
    void join(const fragment& f, join_scope& s) {
        auto drop = [&](auto gone) {
            std::erase_if(*list_, [&](const auto& e) {
                if (!gone(e)) return false;
                s.dropped(e.where);
                return true;
            });
        };
        if (!is(bug::keeps_what_is_covered))
            drop([&](const auto& e) { return s.covers(e.where) && !f.contains(e.where); });
        for (const auto& e : f) {
            bool here = std::any_of(list_->begin(), list_->end(), [&](const auto& m) { return m.where == e.where; });
            bool enters = s.covered.contains(e.where) && !here &&
                          (!s.seen.contains(e.where) || is(bug::enters_again)) &&
                          (!s.log.kills_arriving(e.where) || is(bug::enters_though_killed));
            if (!enters) continue;
            list_->push_back(e);
            s.entered(e.where);
            if (is(bug::newest_of_replica_wins))
                drop([&](const auto& m) {
                    return m.value == e.value && m.where.replica == e.where.replica && m.where < e.where;
                });
        }
    }
    void kill(const dot_range& dots, join_scope& s) {
        if (is(bug::stays_though_killed)) return;
        std::erase_if(*list_, [&](const auto& e) {
            if (!dots.contains(e.where)) return false;
            s.dropped(e.where);
            return true;
        });
    }
    bool empty() const { return list_->empty(); }
    std::uint64_t digest() const {
        auto all = *list_;
        if (!is(bug::digest_by_arrival)) sort(all);
        return joinery::digest(joinery::encode(all));
    }
    friend bool operator==(const entries& a, const entries& b) {
        auto x = *a.list_, y = *b.list_;
        if (is(bug::equality_by_arrival)) return x == y;
        sort(x);
        sort(y);
        return x == y;
    }

private:
    std::shared_ptr<list> list_ = std::make_shared<list>();

    static void sort(list& l) {
        std::sort(l.begin(), l.end(), [](const auto& a, const auto& b) { return a.where < b.where; });
    }
};

/// An observed-remove set of small numbers.
class small_set {
public:
    using fragment = entries<int>::fragment;

    void add(transaction& tx, int e) { add_as(tx, tx.next(), e); }
    void add_as(transaction& tx, dot d, int e) {
        kills seen;
        entries_.take(tx, seen, [e](const auto& x) { return x.value == e; });
        entries_.put(tx, d, e);
        tx.record(d, std::move(seen));
    }
    void remove(transaction& tx, int e) {
        kills seen;
        entries_.take(tx, seen, [e](const auto& x) { return x.value == e; });
        if (seen.empty()) return;
        if (is(bug::removal_of_the_unseen)) ++seen.dots.back().last;
        dot d = tx.next();
        if (!is(bug::removal_without_record)) tx.record(d, std::move(seen));
    }
    std::vector<int> elements() const {
        std::vector<int> out;
        for (const auto& e : entries_.items()) out.push_back(e.value);
        std::sort(out.begin(), out.end());
        out.erase(std::unique(out.begin(), out.end()), out.end());
        return out;
    }

    void extract(const causal_context& wanted, fragment& out) const { entries_.extract(wanted, out); }
    void join(const fragment& f, join_scope& s) { entries_.join(f, s); }
    void kill(const dot_range& dots, join_scope& s) { entries_.kill(dots, s); }
    void clear(transaction& tx, kills& out) {
        entries_.take(tx, out, [](const auto&) { return true; });
    }
    bool empty() const { return entries_.empty(); }
    bool vacant() const { return empty(); }
    std::uint64_t digest(const causal_context&) const { return entries_.digest(); }
    static std::string type_name() { return "small_set"; }
    friend bool operator==(const small_set&, const small_set&) = default;

private:
    entries<int> entries_;
};

/// The right set in the library's own state: for bugs that concern the state, see state.hpp.
struct stated_set : small_set {
    friend bool operator==(const stated_set&, const stated_set&) = default;
};

/// Two sets that are edited together.
struct pair_of_sets {
    small_set one, two;
};
JOINERY_RECORD(pair_of_sets, (1, one), (2, two))

/// A last-write-wins register.
class small_register {
public:
    using payload = joinery::stamped<int>;
    using fragment = entries<payload>::fragment;

    void set(transaction& tx, int v) {
        dot d = tx.next();
        kills seen;
        clear(tx, seen);
        entries_.put(tx, d, {tx.now(), v});
        tx.record(d, std::move(seen));
    }
    void reset(transaction& tx) {
        if (entries_.empty()) return;
        kills seen;
        clear(tx, seen);
        tx.record(tx.next(), std::move(seen));
    }
    /// The winner first.
    std::vector<int> siblings() const {
        auto all = entries_.items();
        std::stable_sort(all.begin(), all.end(), later);
        std::vector<int> out;
        for (const auto& e : all) out.push_back(e.value.value);
        return out;
    }

    void extract(const causal_context& wanted, fragment& out) const { entries_.extract(wanted, out); }
    void join(const fragment& f, join_scope& s) {
        for (const auto& e : f) s.observe(e.value.written);
        entries_.join(f, s);
        auto& all = entries_.items();
        if (!is(bug::only_winner_is_kept) || all.size() < 2) return;
        auto winner = *std::min_element(all.begin(), all.end(), later);
        all = {winner};
    }
    void kill(const dot_range& dots, join_scope& s) { entries_.kill(dots, s); }
    void clear(transaction& tx, kills& out) {
        entries_.take(tx, out, [](const auto&) { return true; });
    }
    bool empty() const { return entries_.empty(); }
    bool vacant() const { return empty(); }
    static std::string type_name() { return "small_register"; }
    friend bool operator==(const small_register&, const small_register&) = default;

private:
    entries<payload> entries_;

    static bool later(const joinery::dot_entry<payload>& a, const joinery::dot_entry<payload>& b) {
        if (a.value.written != b.value.written) return b.value.written < a.value.written;
        return !is(bug::ties_by_arrival) && b.where < a.where;
    }
};

/// A counter made of the library's runs.
class small_counter {
public:
    using fragment = joinery::counter_runs::fragment;

    void increment(transaction& tx, std::uint64_t n) { runs_.count(tx, n, 0); }
    std::uint64_t value() const { return runs_.total(); }

    void extract(const causal_context& wanted, fragment& out) const { runs_.extract(wanted, out); }
    void join(const fragment& f, join_scope& s) { runs_.join(f, s); }
    void kill(const dot_range&, join_scope&) {}
    void kill(joinery::run_removal r, join_scope& s) {
        if (is(bug::removed_count_comes_back)) r.increments = 0;
        runs_.kill(r, s);
    }
    void clear(transaction& tx, kills& out) {
        std::size_t before = out.runs.size();
        runs_.clear(tx, out);
        if (is(bug::unseen_count_is_removed))
            for (std::size_t i = before; i < out.runs.size(); ++i) out.runs[i].last += 1000;
    }
    bool empty() const { return runs_.empty(); }
    bool vacant() const { return empty(); }
    static std::string type_name() { return "small_counter"; }
    friend bool operator==(const small_counter&, const small_counter&) = default;

private:
    joinery::counter_runs runs_;
};

} // namespace planted
