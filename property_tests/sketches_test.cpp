// SPDX-License-Identifier: Apache-2.0
#include "drivers.hpp"

#include <doctest/doctest.h>

#include <string>

namespace {

struct sketches {
    joinery::hyperloglog<4> visitors;
    joinery::ddsketch<100> latencies;
};
JOINERY_RECORD(sketches, (1, visitors), (2, latencies))

} // namespace

TEST_CASE("hyperloglog: is what its specification says, whatever happens") {
    drivers::check(drivers::subject<joinery::hyperloglog<4>>("hyperloglog"));
}

TEST_CASE("ddsketch: is what its specification says, whatever happens") {
    drivers::check(drivers::subject<joinery::ddsketch<100>>("ddsketch"));
}

TEST_CASE("sketches: in a record, in an or_map") {
    auto s = drivers::subject<joinery::or_map<std::string, sketches>>("or_map of records of sketches");
    s.stale(joinery::testing::stale_peers::only_read); // buckets are counters, below a key that is removed
    drivers::check(s);
}
