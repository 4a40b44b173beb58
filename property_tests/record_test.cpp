// SPDX-License-Identifier: Apache-2.0
#include "drivers.hpp"

#include <doctest/doctest.h>

#include <string>

namespace {
using joinery::or_map;
using joinery::testing::stale_peers;

struct everything {
    joinery::or_set<int> set;
    joinery::lww_register<std::string> last;
    joinery::mv_register<int> all;
    joinery::pn_counter balance;
    joinery::rga_text text;
    or_map<std::string, joinery::or_set<int>> sets;
};
JOINERY_RECORD(everything, (1, set), (2, last), (4, all), (5, balance), (7, text), (8, sets))

struct shelf {
    everything main;
    joinery::g_counter visits;
};
JOINERY_RECORD(shelf, (1, main), (2, visits))
} // namespace

TEST_CASE("record: of every type is what its specification says, whatever happens") {
    drivers::check(drivers::subject<everything>("record of everything"));
}

TEST_CASE("record: in a record in an or_map") {
    drivers::check(drivers::subject<or_map<std::string, shelf>>("or_map of records of records"));
}
