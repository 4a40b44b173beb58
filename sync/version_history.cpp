// SPDX-License-Identifier: Apache-2.0
#include "version_history.hpp"

#include <algorithm>
#include <limits>

namespace joinery {

void version_history::reached(std::chrono::milliseconds now, const version_vector& version) {
    if (!steps_.empty() && now - steps_.back().since < resolution) {
        steps_.back().version = version;
        return;
    }
    steps_.push_back({now, version});
    if (steps_.size() > max_steps) thin(now);
}

// Two steps become one where that is least, compared with their age.
void version_history::thin(std::chrono::milliseconds now) {
    std::size_t best = 0;
    double least = std::numeric_limits<double>::max();
    for (std::size_t i = 0; i + 2 < steps_.size(); ++i) {
        const auto length = static_cast<double>((steps_[i + 2].since - steps_[i].since).count());
        const auto relative = length / static_cast<double>((now - steps_[i + 1].since + resolution).count());
        if (relative >= least) continue;
        least = relative;
        best = i;
    }
    steps_[best].version = std::move(steps_[best + 1].version);
    steps_.erase(steps_.begin() + static_cast<std::ptrdiff_t>(best) + 1);
}

std::optional<std::chrono::milliseconds> version_history::lacking_since(const version_vector& acknowledged) const {
    const auto at = std::partition_point(steps_.begin(), steps_.end(),
                                         [&](const step& s) { return s.version.within(acknowledged); });
    return at == steps_.end() ? std::nullopt : std::optional(at->since);
}

} // namespace joinery
