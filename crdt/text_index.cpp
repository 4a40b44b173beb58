// SPDX-License-Identifier: Apache-2.0
#include "text_tree.hpp"

#include <algorithm>
#include <utility>

namespace joinery::detail {

void text_index::erase(const dot_range& r) {
    auto it = intervals_.upper_bound({r.replica, r.first});
    if (it != intervals_.begin()) {
        auto before = std::prev(it);
        auto [last, leaf] = before->second;
        if (before->first.replica == r.replica && last >= r.first) {
            if (before->first.seq < r.first)
                before->second.last = r.first - 1;
            else
                it = intervals_.erase(before);
            if (last > r.last) {
                intervals_.emplace_hint(it, dot{r.replica, r.last + 1}, interval{last, leaf});
                return;
            }
        }
    }
    while (it != intervals_.end() && it->first.replica == r.replica && it->first.seq <= r.last) {
        auto rest = it->second;
        it = intervals_.erase(it);
        if (rest.last > r.last) {
            intervals_.emplace_hint(it, dot{r.replica, r.last + 1}, rest);
            return;
        }
    }
}

// Intervals of one leaf grow over dots between them that are nobody's: typing and deleting in turn makes
// one interval, not one for each run.
void text_index::assign(const dot_range& r, std::uint32_t leaf) {
    auto joins = [&](map::iterator it) { return it->first.replica == r.replica && it->second.leaf == leaf; };
    auto next = intervals_.upper_bound({r.replica, r.first});
    if (next != intervals_.begin() && joins(std::prev(next)) && std::prev(next)->second.last >= r.last) return;
    bool free = (next == intervals_.end() || dot{r.replica, r.last} < next->first) &&
                (next == intervals_.begin() || std::prev(next)->first.replica != r.replica ||
                 std::prev(next)->second.last < r.first);
    if (!free) {
        erase(r);
        next = intervals_.upper_bound({r.replica, r.first});
    }
    auto it = next == intervals_.begin() || !joins(std::prev(next))
                  ? intervals_.emplace_hint(next, dot{r.replica, r.first}, interval{r.last, leaf})
                  : std::prev(next);
    it->second.last = r.last;
    if (next != intervals_.end() && joins(next)) {
        it->second.last = next->second.last;
        intervals_.erase(next);
    }
}

bool text_index::extends(const dot_range& r) const {
    const auto it = reaching({r.replica, r.first});
    return it != intervals_.end() && it->first.replica == r.replica && it->first.seq <= r.last &&
           (it->first.seq < r.first || it->second.last > r.last);
}

void text_index::trim(const dot_range& r, std::uint32_t leaf, std::uint64_t before, std::uint64_t after) {
    auto next = intervals_.upper_bound({r.replica, r.first});
    if (next != intervals_.end() && next->first == dot{r.replica, r.last + 1} && next->second.leaf == leaf) {
        const auto rest = next->second;
        next = intervals_.erase(next);
        if (after <= rest.last) next = intervals_.emplace_hint(next, dot{r.replica, after}, rest);
    }
    if (next == intervals_.begin()) return;
    const auto left = std::prev(next);
    if (left->first.replica != r.replica || left->second.last + 1 != r.first || left->second.leaf != leaf) return;
    if (left->first.seq <= before)
        left->second.last = before;
    else
        intervals_.erase(left);
}

text_index::map::const_iterator text_index::reaching(dot d) const {
    auto it = intervals_.upper_bound(d);
    if (it == intervals_.begin()) return it;
    auto before = std::prev(it);
    return before->first.replica == d.replica && before->second.last >= d.seq ? before : it;
}

} // namespace joinery::detail
