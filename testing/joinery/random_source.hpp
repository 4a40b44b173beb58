// SPDX-License-Identifier: Apache-2.0
#pragma once

// Repeatable randomness for tests: the same seed gives the same numbers with every compiler and library.

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <random>
#include <string>

namespace joinery::testing {

/// splitmix64. Source: Steele, Lea, Flood, "Fast Splittable Pseudorandom Number Generators" (2014).
class random_source {
public:
    explicit random_source(std::uint64_t seed) : state_(seed) {}

    std::uint64_t next() {
        std::uint64_t z = (state_ += 0x9e3779b97f4a7c15u);
        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
        z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
        return z ^ (z >> 31);
    }
    /// 0 to n - 1. Requires: n > 0.
    std::size_t below(std::size_t n) { return static_cast<std::size_t>(next() % n); }
    /// low to high, both included.
    std::size_t between(std::size_t low, std::size_t high) { return low + below(high - low + 1); }
    bool chance(unsigned percent) { return below(100) < percent; }

private:
    std::uint64_t state_;
};

/// Where an operation under test gets its arguments from: everything that it draws follows from one number,
/// so an edit can be repeated, and shrunk. With seed 0 every choice is the first.
class choices {
public:
    explicit choices(std::uint64_t seed) : planned_(seed == 0), random_(seed) {}
    /// The i-th draw is the second choice if bit i is set, and else the first. Draws of which there is but one choice
    /// do not count.
    static choices planned(std::uint64_t second) {
        choices c(0);
        c.second_ = second;
        return c;
    }

    /// 0 to n - 1. Requires: n > 0.
    std::size_t pick(std::size_t n) {
        if (!planned_) return random_.below(n);
        if (n == 1) return 0;
        ++draws_;
        return (draws_ <= 64 ? second_ >> (draws_ - 1) : 0) & 1;
    }
    /// How many draws there were, if they were planned.
    std::size_t draws() const { return draws_; }
    /// An element, by value. Requires: there is one.
    template <class Range> typename Range::value_type of(const Range& range) {
        auto it = range.begin();
        for (std::size_t n = pick(static_cast<std::size_t>(range.size())); n > 0; --n) ++it;
        return *it;
    }

private:
    bool planned_;
    std::uint64_t second_ = 0;
    std::size_t draws_ = 0;
    random_source random_;
};

/// A number from the environment, or `otherwise` if the variable is not set or is not a number.
inline std::uint64_t environment_number(const char* name, std::uint64_t otherwise) {
    // NOLINTNEXTLINE(concurrency-mt-unsafe): races only with a setenv, and nothing sets one while properties run
    const char* text = std::getenv(name);
    if (!text || !*text) return otherwise;
    char* end = nullptr;
    std::uint64_t number = std::strtoull(text, &end, 0);
    return *end ? otherwise : number;
}

/// JOINERY_SEED if that is set, so that a program need not be changed to repeat a run; else what the program wants,
/// unless that is 0; else from the system's entropy. Never 0.
inline std::uint64_t seed_for_this_run(std::uint64_t wanted = 0) {
    if (std::uint64_t given = environment_number("JOINERY_SEED", wanted)) return given;
    std::random_device entropy;
    return ((std::uint64_t{entropy()} << 32) | entropy()) | 1;
}

} // namespace joinery::testing
