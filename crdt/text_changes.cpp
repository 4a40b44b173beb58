// SPDX-License-Identifier: Apache-2.0
#include "text_engine.hpp"

#include <algorithm>
#include <atomic>
#include <utility>
#include <vector>

// What has changed since somebody last looked. What was inserted since has greater lvs; what died since is kept as a
// journal of runs, as far as it goes back.

namespace joinery::detail {

std::uint64_t text_journal::new_history() {
    static std::atomic<std::uint64_t> histories{0};
    return ++histories;
}

void text_journal::forget_half() {
    const auto half = runs_.begin() + most / 2;
    for (auto r = runs_.begin(); r != half; ++r) forgotten_ += r->count;
    runs_.erase(runs_.begin(), half);
}

std::vector<std::pair<lv, std::uint32_t>> text_journal::since(std::uint64_t deaths) const {
    std::vector<std::pair<lv, std::uint32_t>> out;
    std::uint64_t before = total_;
    for (auto r = runs_.rbegin(); r != runs_.rend() && before > deaths; ++r) {
        const auto n = static_cast<std::uint32_t>(std::min<std::uint64_t>(r->count, before - deaths)); // the last of it
        out.emplace_back(r->backward ? r->first : r->first + (r->count - n), n);
        before -= r->count;
    }
    return out;
}

std::optional<std::vector<text_change>> text_engine::changes_since(const text_revision& r) const {
    if (r.history != journal_.history() || !journal_.reaches(r.kills) || r.events > log_.size()) return std::nullopt;
    struct change {
        std::pair<std::uint64_t, std::uint64_t> rank;
        std::uint32_t position; // visible characters before it now
        lv first;
        std::uint32_t count;
        bool inserted;
    };
    std::vector<change> changes;
    const auto add = [&](lv first, std::uint32_t n, bool inserted) {
        for_each_place(first, n, [&](text_tree::place p, std::uint32_t part) {
            changes.push_back({tree_.rank(p), tree_.points_before(p), tree_.at(p).first + p.offset, part, inserted});
        });
    };
    const auto known = static_cast<lv>(r.events);
    if (known < log_.size())
        log_.for_each(known, log_.size() - 1, [&](const text_log::events& e) {
            if (!e.inserted()) return;
            for (lv v = e.first; v <= e.last;) {
                const auto [live, n] = log_.lives(e, v);
                if (live) add(v, n, true);
                v += n;
            }
        });
    for (const auto& [first, n] : journal_.since(r.kills))
        if (first < known) add(first, std::min(n, known - first), false);
    std::sort(changes.begin(), changes.end(), [](const change& a, const change& b) { return a.rank < b.rank; });
    std::vector<text_change> out;
    std::uint32_t passed = 0; // of what is visible now
    for (const change& c : changes) {
        if (out.empty() || c.position > passed) out.push_back({c.position - passed, 0, {}});
        passed = c.position;
        if (c.inserted) {
            log_.for_each_text(c.first, c.count,
                               [&](lv, std::uint32_t, std::string_view text) { out.back().insert += text; });
            passed += c.count;
        } else {
            out.back().erase += c.count;
        }
    }
    return out;
}

text_anchor text_engine::anchor(std::uint32_t pos, text_bias bias) const {
    const bool left = bias == text_bias::left;
    if (left ? pos == 0 : pos == size().points) return {{}, bias};
    const auto p = tree_.visible(left ? pos - 1 : pos);
    return {log_.identify(tree_.at(p).first + p.offset).id, bias};
}

std::optional<std::uint32_t> text_engine::position(const text_anchor& a) const {
    if (a.character.seq == 0) return a.bias == text_bias::left ? 0 : size().points;
    const auto known = next(dot_range(a.character));
    if (!known) return std::nullopt;
    const auto p = tree_.find(known->first);
    const bool behind = a.bias == text_bias::left && known->state == text_state::live;
    return tree_.points_before(p) + (behind ? 1 : 0);
}

} // namespace joinery::detail

namespace joinery {

std::string to_string(const text_change& c) {
    std::string out = "retain " + std::to_string(c.retain);
    if (c.erase > 0) out += ", erase " + std::to_string(c.erase);
    if (!c.insert.empty()) out += ", insert \"" + c.insert + '"';
    return out;
}

} // namespace joinery
