// SPDX-License-Identifier: Apache-2.0
#include "drivers.hpp"

#include <doctest/doctest.h>

#include <string>

namespace {

using tested = joinery::rga_list<char>;

struct two {
    tested left;
    tested right;
};
JOINERY_RECORD(two, (1, left), (2, right))

} // namespace

TEST_CASE("rga_list: is what its specification says, whatever happens") {
    drivers::check(drivers::subject<tested>("rga_list"));
}

TEST_CASE("rga_list: two in a record, in an or_map") {
    drivers::check(drivers::subject<joinery::or_map<std::string, two>>("or_map of records of two rga_list"));
}
