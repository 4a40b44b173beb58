// SPDX-License-Identifier: Apache-2.0
#include "drivers.hpp"

#include <doctest/doctest.h>

#include <string>

namespace {

struct two_rw_sets {
    joinery::rw_set<std::string> left;
    joinery::rw_set<std::string> right;
};
JOINERY_RECORD(two_rw_sets, (1, left), (2, right))

} // namespace

TEST_CASE("rw_set: is what its specification says, whatever happens") {
    drivers::check(drivers::subject<joinery::rw_set<std::string>>("rw_set"));
}

TEST_CASE("rw_set: two in a record, in an or_map") {
    drivers::check(drivers::subject<joinery::or_map<std::string, two_rw_sets>>("or_map of records of two rw_set"));
}
