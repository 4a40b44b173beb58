// SPDX-License-Identifier: Apache-2.0
#include "drivers.hpp"

#include <doctest/doctest.h>

#include <string>

namespace {
using joinery::or_map;

struct entry {
    joinery::or_set<int> tags;
    or_map<std::string, joinery::lww_register<int>> fields;
};
JOINERY_RECORD(entry, (1, tags), (2, fields))
} // namespace

TEST_CASE("or_map: of records of sets and maps is what its specification says, whatever happens") {
    drivers::check(drivers::subject<or_map<std::string, entry>>("or_map of records"));
}

TEST_CASE("or_map: three maps deep") {
    using one = or_map<std::string, joinery::mv_register<int>>;
    using two = or_map<std::string, one>;
    drivers::check(drivers::subject<or_map<std::string, two>>("or_map of or_map of or_map"));
}
