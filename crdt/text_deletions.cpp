// SPDX-License-Identifier: Apache-2.0
#include "text_deletions.hpp"

#include <algorithm>
#include <iterator>

namespace joinery::detail {

void text_deletions::add(const text_deletion& d) {
    auto next = runs_.upper_bound(d.first);
    if (next != runs_.begin()) {
        auto before = std::prev(next);
        text_deletion former = get(*before);
        if (extends(former, d)) {
            extend(former, d);
            if (next != runs_.end() && extends(former, get(*next))) {
                extend(former, get(*next));
                runs_.erase(next);
            }
            before->second = value(former);
            return;
        }
    }
    text_deletion whole = d;
    if (next != runs_.end() && extends(whole, get(*next))) {
        extend(whole, get(*next));
        next = runs_.erase(next);
    }
    runs_.emplace_hint(next, whole.first, value(whole));
}

std::optional<text_deletion> text_deletions::next(const dot_range& within) const {
    auto it = runs_.upper_bound({within.replica, within.first});
    if (it != runs_.begin()) {
        auto before = std::prev(it);
        if (dots_of(get(*before)).contains({within.replica, within.first})) it = before;
    }
    if (it == runs_.end() || it->first.replica != within.replica || it->first.seq > within.last) return std::nullopt;
    text_deletion d = get(*it);
    std::uint64_t offset = within.first > d.first.seq ? within.first - d.first.seq : 0;
    std::uint64_t last = std::min(within.last, d.first.seq + d.count - 1);
    return slice(d, offset, last - d.first.seq - offset + 1);
}

void text_deletions::remove(const dot_range& events) {
    auto it = std::prev(runs_.upper_bound({events.replica, events.first}));
    while (it != runs_.end() && it->first.replica == events.replica && it->first.seq <= events.last) {
        text_deletion d = get(*it);
        dot_range all = dots_of(d);
        it = runs_.erase(it);
        if (all.first < events.first) {
            text_deletion kept = slice(d, 0, events.first - all.first);
            runs_.emplace_hint(it, kept.first, value(kept));
        }
        if (all.last > events.last) {
            text_deletion kept = slice(d, events.last - all.first + 1, all.last - events.last);
            it = std::next(runs_.emplace_hint(it, kept.first, value(kept)));
        }
    }
}

std::optional<text_deletion> stable_part(const text_deletion& d, const version_vector& stable) {
    const std::uint64_t events = stable[d.first.replica];
    if (events < d.first.seq) return std::nullopt;
    const text_deletion known = slice(d, 0, std::min(d.count, events - d.first.seq + 1));
    const dot_range targets = targets_of(known);
    const std::uint64_t seen = stable[targets.replica];
    if (seen < targets.first) return std::nullopt;
    const std::uint64_t late = targets.last > seen ? targets.last - seen : 0;
    return slice(known, known.backward ? late : 0, known.count - late);
}

} // namespace joinery::detail
