// SPDX-License-Identifier: Apache-2.0
#include "drivers.hpp"

#include <doctest/doctest.h>

#include <string>

namespace {
using joinery::or_map;
using joinery::pn_counter;
using joinery::testing::stale_peers;
using tested = pn_counter;

struct two {
    tested left;
    tested right;
};
JOINERY_RECORD(two, (1, left), (2, right))
} // namespace

TEST_CASE("pn_counter: is what its specification says, whatever happens") {
    drivers::check(drivers::subject<tested>("pn_counter"));
}

TEST_CASE("pn_counter: two in a record") { drivers::check(drivers::subject<two>("record of two pn_counter")); }

TEST_CASE("pn_counter: in an or_map") {
    drivers::check(drivers::subject<or_map<std::string, tested>>("or_map of pn_counter").stale(stale_peers::only_read));
}

TEST_CASE("pn_counter: in an or_map of or_maps") {
    using inner = or_map<std::string, tested>;
    drivers::check(
        drivers::subject<or_map<std::string, inner>>("or_map of or_map of pn_counter").stale(stale_peers::only_read));
}
