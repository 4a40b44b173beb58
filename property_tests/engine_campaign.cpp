// SPDX-License-Identifier: Apache-2.0
// Ten thousand schedules on the simulated network (simulation.hpp says what must hold), the same ones each
// time, and planted errors to see that they would be found. `./dev soak` draws others. JOINERY_SEED is the first
// seed, JOINERY_SCHEDULES their number:
//
//     JOINERY_SEED=4711 JOINERY_SCHEDULES=1 ./property_engine_campaign
#include "campaign.hpp"

#include <joinery/random_source.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <cstdio>
#include <thread>

using namespace joinery;
using namespace joinery::simulation;

namespace {

// Sanitizers make it ten times slower.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr std::uint64_t usual_schedules = 500;
#elif defined(__has_feature)
constexpr std::uint64_t usual_schedules =
    __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) ? 500 : 10'000;
#else
constexpr std::uint64_t usual_schedules = 10'000;
#endif

unsigned jobs() {
    const auto most = std::max(std::thread::hardware_concurrency(), 1u);
    return static_cast<unsigned>(testing::environment_number("JOINERY_JOBS", most));
}

} // namespace

TEST_CASE("engine: under every kind of fault nothing acknowledged is lost, and all nodes become equal") {
    const auto seed = testing::environment_number("JOINERY_SEED", 1);
    const auto schedules = testing::environment_number("JOINERY_SCHEDULES", usual_schedules);
    std::printf("replay with JOINERY_SEED=%llu\n", static_cast<unsigned long long>(seed));
    const auto c = run_campaign(seed, schedules, jobs());
    std::printf("%s", report(c).c_str());
    CHECK(c.failures.empty());
    if (schedules < 10'000) return;
    CHECK(never_seen(c.counts).empty());
    CHECK(c.busy());
}

TEST_CASE("engine: the campaign finds planted errors") {
    for (auto b = 1; b < static_cast<int>(planted_bug::count_); ++b) {
        const auto bug = static_cast<planted_bug>(b);
        const auto c = run_campaign(1, 2000, 1, bug, 1);
        CAPTURE(std::string(name(bug)));
        REQUIRE(c.failures.size() == 1);
        std::printf("found after %llu schedules: %s: %s\n", static_cast<unsigned long long>(c.schedules),
                    std::string(name(bug)).c_str(), c.failures.front().violation.substr(0, 160).c_str());
    }
}

TEST_CASE("engine: schedules in which a soak once found an error") {
    // 20314361: news of an identity conflict that was over came late, and was taken for a new conflict.
    // 20324820: held edits, renamed and published, came back after a power cut at level relaxed. The others up to
    // 20360082 were errors of the simulation.
    for (const std::uint64_t seed : {5001892, 5022723, 20314361, 20324820, 20336989, 20337260, 20360082, 20461958,
                                     20404068, 20570217, 20345287, 20579131}) {
        CAPTURE(seed);
        auto s = plain_schedule(seed);                         // there were no others then
        if (seed <= 20360082) s.bridges = s.followers = false; // nor these
        CHECK(run(s).violation == "");
    }
}

TEST_CASE("engine: schedules with every kind of step in which a soak once found an error") {
    // Who was evicted began with what it had, although one that waited too was of the group that evicted it.
    CHECK(run(random_schedule(832019789)).violation == "");
}

TEST_CASE("engine: a schedule repeats exactly") {
    const auto one = run(random_schedule(11), planted_bug::none, true);
    const auto two = run(random_schedule(11), planted_bug::none, true);
    CHECK(one.trace == two.trace);
    CHECK(one.counts == two.counts);
    CHECK(run(schedule_on_sqlite(11)).counts == run(schedule_on_sqlite(11)).counts);
}
