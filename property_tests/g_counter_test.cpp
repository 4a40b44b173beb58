// SPDX-License-Identifier: Apache-2.0
#include "drivers.hpp"

#include <doctest/doctest.h>

#include <string>

namespace {
using joinery::g_counter;
using joinery::or_map;
using joinery::testing::stale_peers;
using tested = g_counter;

struct two {
    tested left;
    tested right;
};
JOINERY_RECORD(two, (1, left), (2, right))
} // namespace

TEST_CASE("g_counter: is what its specification says, whatever happens") {
    drivers::check(drivers::subject<tested>("g_counter"));
}

TEST_CASE("g_counter: two in a record") { drivers::check(drivers::subject<two>("record of two g_counter")); }

TEST_CASE("g_counter: in an or_map") {
    drivers::check(drivers::subject<or_map<std::string, tested>>("or_map of g_counter").stale(stale_peers::only_read));
}

TEST_CASE("g_counter: in an or_map of or_maps") {
    using inner = or_map<std::string, tested>;
    drivers::check(
        drivers::subject<or_map<std::string, inner>>("or_map of or_map of g_counter").stale(stale_peers::only_read));
}
