// SPDX-License-Identifier: Apache-2.0
#include <joinery/removal_log.hpp>

#include <algorithm>

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

namespace {
// A map node, its balance and what the vectors allocate.
std::size_t cost(const kills& k) {
    return 48 + sizeof(dot) + sizeof(kills) + k.dots.size() * sizeof(dot_range) + k.runs.size() * sizeof(run_removal);
}
} // namespace

bool removal_log::add(removal record, const causal_context& seen) {
    auto [it, is_new] = records_.try_emplace(record.event, std::move(record.killed));
    if (!is_new) return false;
    for (const auto& r : it->second.dots)
        for (const auto& gap : seen.missing(r)) awaited_.add(gap);
    index_runs(it->second);
    bytes_ += cost(it->second);
    return true;
}

const run_removal* removal_log::against_run(dot start) const {
    auto it = runs_.find(start);
    return it == runs_.end() ? nullptr : &it->second;
}

void removal_log::arrived(const causal_context& covered) {
    if (!awaited_.empty()) awaited_.subtract(covered);
}

std::vector<removal> removal_log::extract(const causal_context& wanted) const {
    std::vector<removal> out;
    if (records_.empty()) return out;
    wanted.for_each([&](const dot_range& r) {
        for (auto it = records_.lower_bound({r.replica, r.first});
             it != records_.end() && it->first.replica == r.replica && it->first.seq <= r.last; ++it)
            out.push_back({it->first, it->second});
    });
    return out;
}

std::vector<dot_range> removal_log::prune(const version_vector& stable) { return take(stable, true); }

void removal_log::prune_dots(const version_vector& stable) { take(stable, false); }

std::vector<dot_range> removal_log::take(const version_vector& stable, bool runs_too) {
    std::vector<dot_range> settled;
    bool runs_gone = false;
    for (auto it = records_.begin(); it != records_.end();) {
        const kills& k = it->second;
        bool goes = stable.contains(it->first) && (runs_too || k.runs.empty()) &&
                    std::all_of(k.dots.begin(), k.dots.end(),
                                [&](const dot_range& r) { return r.last <= stable[r.replica]; }) &&
                    std::all_of(k.runs.begin(), k.runs.end(),
                                [&](const run_removal& r) { return r.last <= stable[r.start.replica]; });
        if (!goes) {
            ++it;
            continue;
        }
        settled.insert(settled.end(), k.dots.begin(), k.dots.end());
        runs_gone |= !k.runs.empty();
        bytes_ -= cost(k);
        it = records_.erase(it);
    }
    if (runs_gone) reindex_runs();
    std::sort(settled.begin(), settled.end());
    return settled;
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
