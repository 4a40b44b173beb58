// SPDX-License-Identifier: Apache-2.0
#include "waiting_text.hpp"

#include "utf8.hpp"

#include <algorithm>
#include <iterator>

namespace joinery::detail {

void waiting_text::add(arriving_text run) {
    by_parent_.emplace(run.parent, run.first);
    dot first = run.first;
    runs_.emplace(first, std::move(run));
}

std::optional<waiting_text::part> waiting_text::peek(const dot_range& within) const {
    auto it = runs_.upper_bound({within.replica, within.first});
    if (it != runs_.begin()) {
        auto before = std::prev(it);
        if (dots_of(before->second).contains({within.replica, within.first})) it = before;
    }
    if (it == runs_.end() || it->first.replica != within.replica || it->first.seq > within.last) return std::nullopt;
    dot_range all = dots_of(it->second);
    std::uint64_t from = std::max(all.first, within.first);
    return part{&it->second, from - all.first, std::min(all.last, within.last) - from + 1};
}

// Makes two runs of one; the second is the child of the first's last.
void waiting_text::cut(std::map<dot, arriving_text>::iterator it, std::uint64_t offset) {
    arriving_text& left = it->second;
    arriving_text right{advanced(left.first, offset),
                        advanced(left.first, offset - 1),
                        left.count - offset,
                        left.lamport + offset,
                        left.state,
                        {}};
    if (left.state == text_state::live) {
        std::size_t size = utf8_prefix(left.text, offset);
        right.text = left.text.substr(size);
        left.text.resize(size);
    }
    left.count = offset;
    add(std::move(right));
}

arriving_text* waiting_text::next(const dot_range& within) {
    auto found = peek(within);
    if (!found) return nullptr;
    auto it = runs_.find(found->run->first);
    if (found->offset > 0) {
        cut(it, found->offset);
        ++it;
    }
    if (found->count < it->second.count) cut(it, found->count);
    return &it->second;
}

arriving_text waiting_text::take(dot first) {
    auto it = runs_.find(first);
    by_parent_.erase({it->second.parent, first});
    arriving_text run = std::move(it->second);
    runs_.erase(it);
    return run;
}

void waiting_text::take_children(const dot_range& parents, std::vector<arriving_text>& out) {
    auto it = by_parent_.lower_bound({{parents.replica, parents.first}, {}});
    while (it != by_parent_.end() && parents.contains(it->first)) {
        dot first = it->second;
        ++it;
        out.push_back(take(first));
    }
}

std::vector<dot_range> waiting_text::live() const {
    std::vector<dot_range> out;
    for (const auto& [first, run] : runs_)
        if (run.state == text_state::live) out.push_back(dots_of(run));
    return out;
}

std::size_t waiting_text::memory() const {
    std::size_t sum = sizeof *this;
    for (const auto& [first, run] : runs_) sum += sizeof(dot) + sizeof run + 48 + 80 + run.text.capacity();
    return sum;
}

} // namespace joinery::detail
