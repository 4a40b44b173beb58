// SPDX-License-Identifier: Apache-2.0
#include "drivers.hpp"

#include <doctest/doctest.h>

#include <string>

namespace {

struct two_bags {
    joinery::bag<std::string> left;
    joinery::bag<std::string> right;
};
JOINERY_RECORD(two_bags, (1, left), (2, right))

} // namespace

TEST_CASE("bag: is what its specification says, whatever happens") {
    drivers::check(drivers::subject<joinery::bag<std::string>>("bag"));
}

TEST_CASE("bag: two in a record, in an or_map") {
    drivers::check(drivers::subject<joinery::or_map<std::string, two_bags>>("or_map of records of two bag"));
}
