// SPDX-License-Identifier: Apache-2.0
#include "drivers.hpp"

#include <doctest/doctest.h>

#include <string>

namespace {
using joinery::or_map;
using joinery::rga_text;
using tested = rga_text;

struct two {
    tested left;
    tested right;
};
JOINERY_RECORD(two, (1, left), (2, right))
} // namespace

TEST_CASE("rga_text: is what its specification says, whatever happens") {
    drivers::check(drivers::subject<tested>("rga_text"));
}

TEST_CASE("rga_text: two in a record") { drivers::check(drivers::subject<two>("record of two rga_text")); }

TEST_CASE("rga_text: in an or_map") {
    drivers::check(drivers::subject<or_map<std::string, tested>>("or_map of rga_text"));
}

TEST_CASE("rga_text: in an or_map of or_maps") {
    using inner = or_map<std::string, tested>;
    drivers::check(drivers::subject<or_map<std::string, inner>>("or_map of or_map of rga_text"));
}
