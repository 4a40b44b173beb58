// SPDX-License-Identifier: Apache-2.0
#include "drivers.hpp"

#include <doctest/doctest.h>

#include <string>

namespace {

struct two_enable_wins_flags {
    joinery::enable_wins_flag left;
    joinery::enable_wins_flag right;
};
JOINERY_RECORD(two_enable_wins_flags, (1, left), (2, right))

struct two_disable_wins_flags {
    joinery::disable_wins_flag left;
    joinery::disable_wins_flag right;
};
JOINERY_RECORD(two_disable_wins_flags, (1, left), (2, right))

} // namespace

TEST_CASE("enable_wins_flag: is what its specification says, whatever happens") {
    drivers::check(drivers::subject<joinery::enable_wins_flag>("enable_wins_flag"));
}

TEST_CASE("enable_wins_flag: two in a record, in an or_map") {
    drivers::check(drivers::subject<joinery::or_map<std::string, two_enable_wins_flags>>(
        "or_map of records of two enable_wins_flag"));
}

TEST_CASE("disable_wins_flag: is what its specification says, whatever happens") {
    drivers::check(drivers::subject<joinery::disable_wins_flag>("disable_wins_flag"));
}

TEST_CASE("disable_wins_flag: two in a record, in an or_map") {
    drivers::check(drivers::subject<joinery::or_map<std::string, two_disable_wins_flags>>(
        "or_map of records of two disable_wins_flag"));
}
