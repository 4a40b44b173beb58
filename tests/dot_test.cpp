// SPDX-License-Identifier: Apache-2.0
#include <joinery/dot.hpp>

#include <doctest/doctest.h>

using joinery::dot;
using joinery::dot_range;
using joinery::replica_id;

TEST_CASE("dot: ordered by replica, then sequence number") {
    CHECK(dot{replica_id{1}, 9} < dot{replica_id{2}, 1});
    CHECK(dot{replica_id{2}, 1} < dot{replica_id{2}, 2});
    CHECK(dot{replica_id{2}, 2} == dot{replica_id{2}, 2});
    CHECK(dot{}.seq == 0);
    CHECK(to_string(dot{replica_id{0xab}, 7}) == "00000000000000ab:7");
}

TEST_CASE("dot_range: holds both ends") {
    dot_range r(replica_id{3}, 5, 7);
    CHECK(r.size() == 3);
    CHECK_FALSE(r.contains({replica_id{3}, 4}));
    CHECK(r.contains({replica_id{3}, 5}));
    CHECK(r.contains({replica_id{3}, 7}));
    CHECK_FALSE(r.contains({replica_id{3}, 8}));
    CHECK_FALSE(r.contains({replica_id{4}, 6}));
    dot_range one = dot{replica_id{3}, 9};
    CHECK(one == dot_range(replica_id{3}, 9, 9));
    CHECK(one.size() == 1);
}
