// SPDX-License-Identifier: Apache-2.0
#include "gap_buffer.hpp"

#include <iterator>

namespace joinery {

bool gap_buffer::add(const dot_range& dots, link_id from, const version_vector& dependencies,
                     std::span<const std::byte> delta) {
    const auto [at, added] = held_.try_emplace(dot{dots.replica, dots.first});
    if (!added) return false;
    at->second = {dots, from, dependencies, {delta.begin(), delta.end()}};
    bytes_ += cost(at->second);
    of_link_[from] += cost(at->second);
    return true;
}

void gap_buffer::clear() {
    held_.clear();
    of_link_.clear();
    bytes_ = 0;
}

std::size_t gap_buffer::erase(replica_id origin) {
    std::size_t n = 0;
    for (auto at = held_.lower_bound(dot{origin, 0}); at != held_.end() && at->first.replica == origin; ++n)
        at = erase(at);
    return n;
}

std::size_t gap_buffer::erase_from(link_id from) {
    const auto before = held_.size();
    for (auto at = held_.begin(); at != held_.end();) at = at->second.from == from ? erase(at) : std::next(at);
    return before - held_.size();
}

std::map<dot, gap_buffer::held_update>::iterator gap_buffer::erase(std::map<dot, held_update>::iterator at) {
    bytes_ -= cost(at->second);
    if (const auto of = of_link_.find(at->second.from); of != of_link_.end() && (of->second -= cost(at->second)) == 0)
        of_link_.erase(of);
    return held_.erase(at);
}

// Looks at the first update of each origin that is not behind the version: the others cannot be ready.
std::map<dot, gap_buffer::held_update>::iterator gap_buffer::next_ready(const version_vector& version) {
    for (auto at = held_.begin(); at != held_.end();) {
        const replica_id origin = at->first.replica;
        const std::uint64_t have = version[origin];
        if (at->second.dots.last <= have) {
            at = erase(at);
            continue;
        }
        if (at->first.seq <= have + 1 && at->second.dependencies.within(version)) return at;
        at = held_.upper_bound(dot{origin, UINT64_MAX});
    }
    return held_.end();
}

} // namespace joinery
