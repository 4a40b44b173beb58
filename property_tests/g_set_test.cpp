// SPDX-License-Identifier: Apache-2.0
#include "drivers.hpp"

#include <doctest/doctest.h>

#include <string>

namespace {

struct two_g_sets {
    joinery::g_set<std::string> left;
    joinery::g_set<std::string> right;
};
JOINERY_RECORD(two_g_sets, (1, left), (2, right))

} // namespace

TEST_CASE("g_set: is what its specification says, whatever happens") {
    drivers::check(drivers::subject<joinery::g_set<std::string>>("g_set"));
}

TEST_CASE("g_set: two in a record, in an or_map") {
    drivers::check(drivers::subject<joinery::or_map<std::string, two_g_sets>>("or_map of records of two g_set"));
}
