// SPDX-License-Identifier: Apache-2.0
#include "drivers.hpp"

#include <doctest/doctest.h>

#include <string>

namespace {

struct two_two_phase_sets {
    joinery::two_phase_set<std::string> left;
    joinery::two_phase_set<std::string> right;
};
JOINERY_RECORD(two_two_phase_sets, (1, left), (2, right))

} // namespace

TEST_CASE("two_phase_set: is what its specification says, whatever happens") {
    drivers::check(drivers::subject<joinery::two_phase_set<std::string>>("two_phase_set"));
}

TEST_CASE("two_phase_set: two in a record, in an or_map") {
    drivers::check(
        drivers::subject<joinery::or_map<std::string, two_two_phase_sets>>("or_map of records of two two_phase_set"));
}
