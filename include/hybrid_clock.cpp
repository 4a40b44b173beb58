// SPDX-License-Identifier: Apache-2.0
#include <joinery/hybrid_clock.hpp>

#include <algorithm>
#include <utility>

namespace joinery {

std::uint64_t system_milliseconds() {
    auto since_epoch = std::chrono::system_clock::now().time_since_epoch();
    auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(since_epoch).count();
    return ms > 0 ? static_cast<std::uint64_t>(ms) : 0;
}

hybrid_clock::hybrid_clock(wall_clock wall, std::chrono::milliseconds max_skew)
    : wall_(std::move(wall)), max_skew_(static_cast<std::uint64_t>(std::max<std::int64_t>(0, max_skew.count()))) {}

timestamp hybrid_clock::tick() {
    // A full counter carries into the milliseconds: still greater, and wall time catches up.
    latest_ = std::max(timestamp::from_milliseconds(wall_()), timestamp{latest_.ticks + 1});
    return latest_;
}

bool hybrid_clock::observe(timestamp seen) {
    if (seen <= latest_) return true;
    std::uint64_t wall = wall_();
    if (seen.milliseconds() > wall + max_skew_) {
        ++rejected_;
        greatest_skew_ = std::max(greatest_skew_, seen.milliseconds() - wall);
        return false;
    }
    latest_ = seen;
    return true;
}

} // namespace joinery
