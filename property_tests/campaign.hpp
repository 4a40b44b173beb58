// SPDX-License-Identifier: Apache-2.0
#pragma once

// Many schedules, on as many threads as one likes; each has its own seed, so any of them can be repeated.

#include "simulation.hpp"

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace joinery::simulation {

struct campaign {
    struct failure {
        schedule plan;
        std::string violation;
    };
    std::uint64_t schedules = 0;
    tally counts;
    simulated_network::time slowest_convergence{0};
    std::vector<failure> failures;

    /// How many there were in a schedule on average: edits, faults.
    double average(std::string_view what) const;
    /// True if there were at least 50 edits and 3 faults a schedule.
    bool busy() const { return average("edits") >= 50 && average("faults") >= 3; }
    bool passed() const { return failures.empty() && busy() && never_seen(counts).empty(); }
};

/// Runs the schedules that `draw` makes of the seeds first, first + 1, ...; ends early after `most_failures`.
/// `progress` is told about ten times how many are done.
campaign run_campaign(std::uint64_t first, std::uint64_t schedules, unsigned threads,
                      planted_bug bug = planted_bug::none, std::size_t most_failures = 5,
                      const std::function<void(std::uint64_t)>& progress = {},
                      schedule (*draw)(std::uint64_t) = random_schedule);

/// What happened, as lines; then the failures, the first of them shrunk and narrated; then what was never seen.
std::string report(const campaign& c, planted_bug bug = planted_bug::none);

} // namespace joinery::simulation
