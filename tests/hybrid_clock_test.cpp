// SPDX-License-Identifier: Apache-2.0
#include <joinery/hybrid_clock.hpp>

#include <doctest/doctest.h>

#include <chrono>

using joinery::hybrid_clock;
using joinery::timestamp;
using namespace std::chrono_literals;

namespace {
// A clock whose wall time the test sets.
struct manual {
    std::uint64_t now = 1'000'000;
    hybrid_clock clock{[this] { return now; }};
};
} // namespace

TEST_CASE("timestamp: milliseconds and a counter, ordered as one number") {
    auto t = timestamp::from_milliseconds(5);
    CHECK(t.milliseconds() == 5);
    CHECK(t.counter() == 0);
    CHECK(timestamp{t.ticks + 3}.counter() == 3);
    CHECK(timestamp{t.ticks + 3} < timestamp::from_milliseconds(6));
}

TEST_CASE("hybrid_clock: ticks follow wall time and never run backwards") {
    manual m;
    auto first = m.clock.tick();
    CHECK(first == timestamp::from_milliseconds(1'000'000));
    auto second = m.clock.tick(); // wall time stands still
    CHECK(second.ticks == first.ticks + 1);
    m.now -= 5000; // and is set back
    auto third = m.clock.tick();
    CHECK(third > second);
    CHECK(third.milliseconds() == 1'000'000);
    m.now += 6000;
    CHECK(m.clock.tick() == timestamp::from_milliseconds(1'001'000));
    CHECK(m.clock.latest() == timestamp::from_milliseconds(1'001'000));
}

TEST_CASE("hybrid_clock: a full counter carries into the milliseconds") {
    manual m;
    auto last = m.clock.tick();
    for (int i = 0; i < 70'000; ++i) { // more than 16 bits in one millisecond
        auto next = m.clock.tick();
        REQUIRE(next > last);
        last = next;
    }
    CHECK(last.milliseconds() == m.now + 1);
    m.now += 1;
    CHECK(m.clock.tick() > last);
    m.now += 1; // wall time has caught up
    CHECK(m.clock.tick() == timestamp::from_milliseconds(m.now));
}

TEST_CASE("hybrid_clock: what was seen is exceeded, as far as it is within the bound") {
    manual m;
    auto seen = timestamp::from_milliseconds(m.now + 500);
    CHECK(m.clock.observe(seen));
    CHECK(m.clock.latest() == seen);
    CHECK(m.clock.tick() > seen);
    CHECK(m.clock.rejected() == 0);

    auto before = m.clock.latest();
    CHECK(m.clock.observe(timestamp::from_milliseconds(m.now - 100))); // the past changes nothing
    CHECK(m.clock.latest() == before);
}

TEST_CASE("hybrid_clock: a clock that is years ahead is counted and not followed") {
    manual m;
    constexpr std::uint64_t year = 365ull * 24 * 3600 * 1000;
    CHECK_FALSE(m.clock.observe(timestamp::from_milliseconds(m.now + 501)));
    CHECK_FALSE(m.clock.observe(timestamp::from_milliseconds(m.now + 10 * year)));
    CHECK_FALSE(m.clock.observe(timestamp{UINT64_MAX}));
    CHECK_FALSE(m.clock.observe(timestamp::from_milliseconds(m.now + year)));
    CHECK(m.clock.rejected() == 4);
    CHECK(m.clock.greatest_skew() == (UINT64_MAX >> 16) - m.now);
    CHECK(m.clock.tick() == timestamp::from_milliseconds(m.now));
}

TEST_CASE("hybrid_clock: the bound can be chosen") {
    std::uint64_t now = 50;
    hybrid_clock strict([&] { return now; }, 0ms);
    CHECK(strict.observe(timestamp{(50u << 16) + 9}));
    CHECK_FALSE(strict.observe(timestamp::from_milliseconds(51)));
    hybrid_clock negative([&] { return now; }, -5ms);
    CHECK(negative.observe(timestamp::from_milliseconds(50)));
    CHECK_FALSE(negative.observe(timestamp::from_milliseconds(51)));
    hybrid_clock wide([&] { return now; }, 1h);
    CHECK(wide.observe(timestamp::from_milliseconds(50 + 3'600'000)));
}

TEST_CASE("hybrid_clock: an edit that is undone gives its timestamp back") {
    manual m;
    auto before = m.clock.tick();
    m.clock.tick();
    m.clock.rewind(before);
    CHECK(m.clock.latest() == before);
    CHECK(m.clock.tick().ticks == before.ticks + 1);
}

TEST_CASE("hybrid_clock: the system's clock is after 2020") {
    CHECK(joinery::system_milliseconds() > 1'577'836'800'000);
    CHECK(hybrid_clock().tick().milliseconds() > 1'577'836'800'000);
}
