// SPDX-License-Identifier: Apache-2.0
// Schedules on the simulated network for as long as one likes: soak [SCHEDULES] [SEED] [sqlite]. JOINERY_JOBS threads.
// Few of them have their storages in SQLite's files; with `sqlite` all do.
#include "campaign.hpp"

#include <joinery/random_source.hpp>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string_view>
#include <thread>

int main(int argc, char** argv) {
    using namespace joinery;
    const std::uint64_t schedules = argc > 1 ? std::strtoull(argv[1], nullptr, 0) : 200'000;
    const std::uint64_t seed = argc > 2 ? std::strtoull(argv[2], nullptr, 0) : testing::seed_for_this_run();
    const auto jobs = static_cast<unsigned>(
        testing::environment_number("JOINERY_JOBS", std::max(std::thread::hardware_concurrency(), 1u)));
    const bool sqlite = argc > 3 && std::string_view(argv[3]) == "sqlite";
    if (schedules == 0 || argc > (sqlite ? 4 : 3)) {
        std::fprintf(stderr, "usage: soak [SCHEDULES] [SEED] [sqlite]\n");
        return 2;
    }
    std::printf("%llu schedules from seed %llu on %u threads\n", static_cast<unsigned long long>(schedules),
                static_cast<unsigned long long>(seed), jobs);
    const auto began = std::chrono::steady_clock::now();
    const auto progress = [&](std::uint64_t done) {
        const std::chrono::duration<double> t = std::chrono::steady_clock::now() - began;
        std::printf("%llu schedules, %.0f a second\n", static_cast<unsigned long long>(done),
                    static_cast<double>(done) / t.count());
        std::fflush(stdout);
    };
    const auto c = simulation::run_campaign(seed, schedules, jobs, simulation::planted_bug::none, 5, progress,
                                            sqlite ? simulation::schedule_on_sqlite : simulation::random_schedule);
    std::printf("%s", simulation::report(c).c_str());
    // A short run need not have seen everything.
    const bool passed = c.failures.empty() && (schedules < 10'000 || c.passed());
    std::printf("%s\n", passed ? "passed" : "FAILED");
    return passed ? 0 : 1;
}
