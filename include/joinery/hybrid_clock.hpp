// SPDX-License-Identifier: Apache-2.0
#pragma once

// Hybrid logical clocks: timestamps close to wall time that never run backwards and always exceed every
// timestamp seen, as far as those stay within a bound of the local wall clock.
// Source: Kulkarni, Demirbas et al., "Logical Physical Clocks" (2014). The bound on skew: a peer whose
// clock is years ahead must not drag everybody along; its timestamps are counted and not adopted.

#include <chrono>
#include <compare>
#include <cstdint>
#include <functional>

namespace joinery {

/// 48 bits of milliseconds since 1970 and a 16-bit logical counter, ordered as one number.
struct timestamp {
    std::uint64_t ticks = 0;

    static constexpr timestamp from_milliseconds(std::uint64_t ms) { return {ms << 16}; }
    constexpr std::uint64_t milliseconds() const { return ticks >> 16; }
    constexpr std::uint64_t counter() const { return ticks & 0xffff; }

    friend constexpr auto operator<=>(timestamp, timestamp) = default;
};

/// Where a clock reads wall time from: milliseconds since 1970.
using wall_clock = std::function<std::uint64_t()>;

/// std::chrono::system_clock in milliseconds.
std::uint64_t system_milliseconds();

class hybrid_clock {
public:
    static constexpr std::chrono::milliseconds default_max_skew{500};

    explicit hybrid_clock(wall_clock wall = system_milliseconds, std::chrono::milliseconds max_skew = default_max_skew);

    /// A timestamp greater than all that this clock gave or adopted before.
    timestamp tick();

    /// Receiving: adopts `seen` unless it is further ahead of the wall clock than the bound; then it is
    /// counted in `rejected()` and the clock stays. True if it was within the bound.
    bool observe(timestamp seen);

    /// The greatest timestamp given or adopted.
    timestamp latest() const { return latest_; }
    /// How many observed timestamps were beyond the bound, and the furthest of them, in milliseconds ahead.
    std::uint64_t rejected() const { return rejected_; }
    std::uint64_t greatest_skew() const { return greatest_skew_; }

    /// Returns to an earlier `latest()`, for an edit that is undone. Requires: nothing issued since was kept.
    void rewind(timestamp to) { latest_ = to; }

private:
    wall_clock wall_;
    std::uint64_t max_skew_;
    timestamp latest_{};
    std::uint64_t rejected_ = 0;
    std::uint64_t greatest_skew_ = 0;
};

} // namespace joinery
