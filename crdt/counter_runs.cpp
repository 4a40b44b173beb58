// SPDX-License-Identifier: Apache-2.0
#include <joinery/counter_runs.hpp>

#include <algorithm>
#include <limits>
#include <stdexcept>

namespace joinery {

namespace {
constexpr auto by_start = [](const counter_run& r, dot start) { return r.start < start; };
constexpr auto ordered = [](const counter_run& a, const counter_run& b) { return a.start < b.start; };
constexpr std::uint64_t most = std::numeric_limits<std::int64_t>::max();
} // namespace

void counter_run::raise_base(std::uint64_t p, std::uint64_t n) {
    base_increments = std::max(base_increments, p);
    base_decrements = std::max(base_decrements, n);
}

void counter_runs::fragment::validate(bool may_be_renamed) {
    if (std::is_sorted(runs.begin(), runs.end(), [](const auto& a, const auto& b) { return a.start <= b.start; }))
        return;
    // A renaming moves runs to another replica, but never makes two of one.
    if (!may_be_renamed) throw decode_failure(decode_error::non_canonical);
    std::sort(runs.begin(), runs.end(), ordered);
    auto same = [](const auto& a, const auto& b) { return a.start == b.start; };
    if (std::adjacent_find(runs.begin(), runs.end(), same) != runs.end())
        throw decode_failure(decode_error::non_canonical);
}

std::vector<counter_run>::iterator counter_runs::find(dot start, std::size_t among) {
    auto last = runs_.begin() + static_cast<std::ptrdiff_t>(std::min(among, runs_.size()));
    auto it = std::lower_bound(runs_.begin(), last, start, by_start);
    return it != last && it->start == start ? it : runs_.end();
}

void counter_runs::count(transaction& tx, std::uint64_t increments, std::uint64_t decrements) {
    replica_id me = tx.replica();
    // My newest run is the last of mine.
    auto it = std::lower_bound(runs_.begin(), runs_.end(), dot{me, UINT64_MAX}, by_start);
    bool mine = it != runs_.begin() && std::prev(it)->start.replica == me;
    bool extends = mine && (tx.confirmed() == UINT64_MAX || std::prev(it)->start.seq > tx.confirmed());
    if (extends) {
        auto& run = *std::prev(it);
        if (increments > most - std::min(run.increments, most) || decrements > most - std::min(run.decrements, most))
            throw std::overflow_error("counter: the replica's own total would exceed 2^63 - 1");
        dot d = tx.next();
        tx.on_rollback([this, old = run] { *find(old.start) = old; });
        if (run.last != run.start.seq) tx.dropped(this, dot{me, run.last});
        run.last = d.seq;
        run.increments += increments;
        run.decrements += decrements;
        tx.entered(this, d);
    } else {
        if (increments > most || decrements > most)
            throw std::overflow_error("counter: the replica's own total would exceed 2^63 - 1");
        dot d = tx.next();
        runs_.insert(it, counter_run{d, d.seq, increments, decrements, 0, 0});
        tx.on_rollback([this, d] { runs_.erase(find(d)); });
        tx.entered(this, d);
    }
}

std::uint64_t counter_runs::total() const {
    std::uint64_t sum = 0;
    for (const auto& r : runs_) sum += r.total();
    return sum;
}

std::uint64_t counter_runs::total(replica_id r) const {
    std::uint64_t sum = 0;
    for (const auto& run : runs_)
        if (run.start.replica == r) sum += run.total();
    return sum;
}

void counter_runs::extract(const causal_context& wanted, fragment& out) const {
    for (const auto& r : runs_)
        if (wanted.contains(dot{r.start.replica, r.last})) out.runs.push_back(r);
}

namespace {
bool began_before(const counter_run& r, const causal_context& unsent) {
    return unsent.contains(dot{r.start.replica, r.last}) && !unsent.contains(r.start);
}
} // namespace

void counter_runs::drop_reissued(fragment& f, const causal_context& unsent) {
    std::erase_if(f.runs, [&](const counter_run& r) { return began_before(r, unsent); });
}

void counter_runs::reissue(const counter_runs& before, const causal_context& unsent, const removal_log& log,
                           transaction& tx) {
    std::uint64_t increments = 0, decrements = 0;
    for (const auto& r : before.runs_) {
        if (!began_before(r, unsent)) continue;
        std::uint64_t p = 0, n = 0; // what the others had of it
        if (const auto known = find(r.start); known != runs_.end()) {
            p = known->increments;
            n = known->decrements;
        } else if (const auto* removed = log.against_run(r.start)) {
            p = removed->increments;
            n = removed->decrements;
        }
        increments += r.increments - std::min(p, r.increments);
        decrements += r.decrements - std::min(n, r.decrements);
    }
    if (increments || decrements) count(tx, increments, decrements);
}

void counter_runs::drop(std::vector<counter_run>::iterator it, join_scope& s) {
    s.dropped(it->start);
    if (it->last != it->start.seq) s.dropped(dot{it->start.replica, it->last});
    runs_.erase(it);
}

void counter_runs::join(const fragment& f, join_scope& s) {
    if (s.overlapping) {
        for (auto it = runs_.begin(); it != runs_.end();) {
            bool carried = std::binary_search(f.runs.begin(), f.runs.end(), *it, ordered);
            auto next = static_cast<std::size_t>(it - runs_.begin());
            if (!carried && s.covers({it->start.replica, it->last}))
                drop(it, s);
            else
                ++next;
            it = runs_.begin() + static_cast<std::ptrdiff_t>(next);
        }
    }
    // Runs that are new here are appended, and take their places at the end.
    const std::size_t known = runs_.size();
    std::vector<dot> dead;
    for (const auto& theirs : f.runs) {
        dot last{theirs.start.replica, theirs.last};
        if (!s.covered.contains(last)) continue;
        const run_removal* removed = s.log.against_run(theirs.start);
        auto mine = find(theirs.start, known);
        if (mine != runs_.end()) {
            if (theirs.last > mine->last) {
                if (mine->last != mine->start.seq) s.dropped(dot{last.replica, mine->last});
                counter_run joined = theirs;
                joined.raise_base(mine->base_increments, mine->base_decrements);
                *mine = joined;
                s.entered(last);
            } else if (theirs.last == mine->last) {
                mine->raise_base(theirs.base_increments, theirs.base_decrements);
            }
        } else {
            if (s.seen.contains(last) || (removed && removed->last >= theirs.last)) continue;
            if (s.held(theirs.start) || s.held(last)) continue;
            mine = runs_.insert(runs_.end(), theirs);
            s.entered(theirs.start);
            if (theirs.last != theirs.start.seq) s.entered(last);
        }
        if (removed) {
            if (removed->last >= mine->last)
                dead.push_back(mine->start);
            else
                mine->raise_base(removed->increments, removed->decrements);
        }
    }
    std::inplace_merge(runs_.begin(), runs_.begin() + static_cast<std::ptrdiff_t>(known), runs_.end(), ordered);
    for (dot start : dead) drop(find(start), s);
}

void counter_runs::kill(const run_removal& r, join_scope& s) {
    auto it = find(r.start);
    if (it == runs_.end()) return;
    if (it->last <= r.last)
        drop(it, s);
    else
        it->raise_base(r.increments, r.decrements);
}

void counter_runs::clear(transaction& tx, kills& out) {
    if (runs_.empty()) return;
    for (const auto& r : runs_) {
        out.add(run_removal{r.start, r.last, r.increments, r.decrements});
        tx.dropped(this, r.start);
        if (r.last != r.start.seq) tx.dropped(this, dot{r.start.replica, r.last});
    }
    tx.on_rollback([this, saved = std::move(runs_)]() mutable { runs_ = std::move(saved); });
    runs_.clear();
}

} // namespace joinery
