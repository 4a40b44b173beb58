// SPDX-License-Identifier: Apache-2.0
#include "drivers.hpp"

#include <doctest/doctest.h>

#include <string>

namespace {
using joinery::lww_register;
using joinery::or_map;
using tested = lww_register<int>;

struct two {
    tested left;
    tested right;
};
JOINERY_RECORD(two, (1, left), (2, right))
} // namespace

TEST_CASE("lww_register: is what its specification says, whatever happens") {
    drivers::check(drivers::subject<tested>("lww_register"));
}

TEST_CASE("lww_register: two in a record") { drivers::check(drivers::subject<two>("record of two lww_register")); }

TEST_CASE("lww_register: in an or_map") {
    drivers::check(drivers::subject<or_map<std::string, tested>>("or_map of lww_register"));
}

TEST_CASE("lww_register: in an or_map of or_maps") {
    using inner = or_map<std::string, tested>;
    drivers::check(drivers::subject<or_map<std::string, inner>>("or_map of or_map of lww_register"));
}
