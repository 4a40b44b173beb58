// SPDX-License-Identifier: Apache-2.0
#include "drivers.hpp"

#include <doctest/doctest.h>

#include <string>

namespace {

struct two_max_registers {
    joinery::max_register<std::int64_t> left;
    joinery::max_register<std::int64_t> right;
};
JOINERY_RECORD(two_max_registers, (1, left), (2, right))

} // namespace

TEST_CASE("max_register: is what its specification says, whatever happens") {
    drivers::check(drivers::subject<joinery::max_register<std::int64_t>>("max_register"));
}

TEST_CASE("max_register: two in a record, in an or_map") {
    drivers::check(
        drivers::subject<joinery::or_map<std::string, two_max_registers>>("or_map of records of two max_register"));
}
