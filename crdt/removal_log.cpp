// SPDX-License-Identifier: Apache-2.0
#include <joinery/removal_log.hpp>

#include <algorithm>
#include <utility>

namespace joinery {

void kills::normalize() {
    std::sort(dots.begin(), dots.end());
    std::size_t n = 0;
    for (std::size_t i = 0; i < dots.size(); ++i) {
        if (n > 0 && dots[n - 1].replica == dots[i].replica && dots[i].first <= dots[n - 1].last + 1)
            dots[n - 1].last = std::max(dots[n - 1].last, dots[i].last);
        else
            dots[n++] = dots[i];
    }
    dots.resize(n);
    std::sort(runs.begin(), runs.end(), [](const auto& a, const auto& b) { return a.start < b.start; });
}

bool kills::normal() const {
    auto apart = [](const dot_range& a, const dot_range& b) {
        return a.replica < b.replica || (a.replica == b.replica && a.last + 1 < b.first);
    };
    auto before = [](const run_removal& a, const run_removal& b) { return a.start < b.start; };
    auto all = [](const auto& range, auto&& ordered) {
        return std::adjacent_find(range.begin(), range.end(),
                                  [&](const auto& a, const auto& b) { return !ordered(a, b); }) == range.end();
    };
    return all(dots, apart) && all(runs, before);
}

// A map node, its balance and what the vectors allocate.
std::size_t removal_log::cost(const kills& k) {
    return 48 + sizeof(dot) + sizeof(kills) + k.dots.size() * sizeof(dot_range) + k.runs.size() * sizeof(run_removal);
}

bool removal_log::within(dot event, const kills& k, const version_vector& v) {
    return v.contains(event) &&
           std::all_of(k.dots.begin(), k.dots.end(), [&](const dot_range& r) { return r.last <= v[r.replica]; }) &&
           std::all_of(k.runs.begin(), k.runs.end(),
                       [&](const run_removal& r) { return r.last <= v[r.start.replica]; });
}

bool removal_log::add(const removal& record, const causal_context& seen) {
    std::vector<dot_range> unseen;
    bool is_new = insert(record, seen, unseen);
    await(std::move(unseen));
    return is_new;
}

std::vector<const removal*> removal_log::add(const std::vector<removal>& records, const causal_context& seen) {
    std::vector<const removal*> fresh;
    std::vector<dot_range> unseen;
    for (const auto& r : records)
        if (!seen.contains(r.event) && insert(r, seen, unseen)) fresh.push_back(&r);
    await(std::move(unseen));
    return fresh;
}

bool removal_log::insert(const removal& record, const causal_context& seen, std::vector<dot_range>& unseen) {
    auto [it, is_new] = records_.try_emplace(record.event, record.killed);
    if (!is_new) return false;
    for (const auto& r : it->second.dots)
        for (const auto& gap : seen.missing(r)) unseen.push_back(gap);
    index_runs(it->second);
    bytes_ += cost(it->second);
    return true;
}

// All at once and in order: one by one would move what is there each time.
void removal_log::await(std::vector<dot_range> unseen) {
    if (unseen.empty()) return;
    std::sort(unseen.begin(), unseen.end());
    causal_context more;
    for (const auto& r : unseen) more.add(r);
    awaited_.join(more);
}

const run_removal* removal_log::against_run(dot start) const {
    auto it = runs_.find(start);
    return it == runs_.end() ? nullptr : &it->second;
}

std::vector<removal> removal_log::extract(const causal_context& wanted) const {
    std::vector<removal> out;
    if (records_.empty()) return out;
    out.reserve(static_cast<std::size_t>(std::min<std::uint64_t>(wanted.count(), 16)));
    wanted.for_each([&](const dot_range& r) {
        for (auto it = records_.lower_bound({r.replica, r.first});
             it != records_.end() && it->first.replica == r.replica && it->first.seq <= r.last; ++it)
            out.push_back({it->first, it->second});
    });
    return out;
}

// Somebody may yet rest on what another removal had to kill again.
std::vector<dot_range> removal_log::without_others(const std::vector<dot_range>& settled) const {
    causal_context left;
    for (const auto& r : settled) left.add(r);
    for (const auto& [event, killed] : records_)
        for (const auto& r : killed.dots) left.remove(r);
    return {left.ranges().begin(), left.ranges().end()};
}

void removal_log::prune_dots(const version_vector& horizon) {
    std::erase_if(records_, [&](const auto& record) {
        const auto& [event, k] = record;
        if (!k.runs.empty() || !within(event, k, horizon)) return false;
        bytes_ -= cost(k);
        return true;
    });
}

void removal_log::forget_older_half(const version_vector& version, version_vector& horizon) {
    for (auto it = records_.begin(); it != records_.end();) {
        replica_id issuer = it->first.replica;
        auto end = records_.upper_bound({issuer, UINT64_MAX});
        for (auto half = (std::distance(it, end) + 1) / 2; half > 0; --half) {
            const kills& k = it->second;
            if (!k.runs.empty() || !within(it->first, k, version)) {
                ++it;
                continue;
            }
            horizon.raise(issuer, it->first.seq);
            for (const auto& r : k.dots) horizon.raise(r.replica, r.last);
            bytes_ -= cost(k);
            it = records_.erase(it);
        }
        it = end;
    }
}

void removal_log::index_runs(const kills& k) {
    for (const auto& r : k.runs) {
        auto [it, is_new] = runs_.try_emplace(r.start, r);
        if (!is_new && it->second.last < r.last) it->second = r;
    }
}

void removal_log::reindex_runs() {
    runs_.clear();
    for (const auto& [event, k] : records_) index_runs(k);
}

} // namespace joinery
