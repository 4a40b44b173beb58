// SPDX-License-Identifier: Apache-2.0
#pragma once

// When which version was reached, so that it can be told for how long something has been waiting. The past is
// kept in a bounded number of steps, which grow with age: what is told of it is at most a third too long.

#include <joinery/version_vector.hpp>

#include <chrono>
#include <cstddef>
#include <optional>
#include <vector>

namespace joinery {

class version_history {
public:
    /// The version has grown to this. Requires: times do not decrease. O(replicas).
    void reached(std::chrono::milliseconds now, const version_vector& version);
    /// Since when the oldest dot has been there that is not in `acknowledged`; none if all are.
    /// O(replicas log steps).
    std::optional<std::chrono::milliseconds> lacking_since(const version_vector& acknowledged) const;

private:
    static constexpr std::chrono::milliseconds resolution{10};
    static constexpr std::size_t max_steps = 64;

    struct step {
        std::chrono::milliseconds since; // the dots that the step before lacks have been there since then, at most
        version_vector version;
    };
    std::vector<step> steps_; // oldest first

    void thin(std::chrono::milliseconds now);
};

} // namespace joinery
