// SPDX-License-Identifier: Apache-2.0
#include "drivers.hpp"

#include <doctest/doctest.h>

#include <string>

namespace {

struct two_lww_maps {
    joinery::lww_map<std::string, std::string> left;
    joinery::lww_map<std::string, std::string> right;
};
JOINERY_RECORD(two_lww_maps, (1, left), (2, right))

struct two_lww_sets {
    joinery::lww_set<std::string> left;
    joinery::lww_set<std::string> right;
};
JOINERY_RECORD(two_lww_sets, (1, left), (2, right))

} // namespace

TEST_CASE("lww_map: is what its specification says, whatever happens") {
    drivers::check(drivers::subject<joinery::lww_map<std::string, std::string>>("lww_map"));
}

TEST_CASE("lww_map: two in a record, in an or_map") {
    drivers::check(drivers::subject<joinery::or_map<std::string, two_lww_maps>>("or_map of records of two lww_map"));
}

TEST_CASE("lww_set: is what its specification says, whatever happens") {
    drivers::check(drivers::subject<joinery::lww_set<std::string>>("lww_set"));
}

TEST_CASE("lww_set: two in a record, in an or_map") {
    drivers::check(drivers::subject<joinery::or_map<std::string, two_lww_sets>>("or_map of records of two lww_set"));
}
