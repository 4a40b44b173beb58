// SPDX-License-Identifier: Apache-2.0
#include <joinery/replica_id.hpp>

#include <doctest/doctest.h>

#include <set>
#include <unordered_set>

using joinery::replica_id;

TEST_CASE("replica_id: ids are ordered as unsigned numbers") {
    CHECK(replica_id{0} < replica_id{1});
    CHECK(replica_id{1} < replica_id{UINT64_MAX});
    CHECK(replica_id{0x7fff'ffff'ffff'ffff} < replica_id{0x8000'0000'0000'0000});
    CHECK(replica_id{7} == replica_id{7});
    CHECK(replica_id{7}.value() == 7);
    CHECK(replica_id{} == replica_id{0});
}

TEST_CASE("replica_id: text is sixteen hexadecimal digits") {
    CHECK(to_string(replica_id{0}) == "0000000000000000");
    CHECK(to_string(replica_id{0xabcdef}) == "0000000000abcdef");
    CHECK(to_string(replica_id{UINT64_MAX}) == "ffffffffffffffff");
}

TEST_CASE("replica_id: random ids differ and are never 0") {
    std::set<replica_id> seen;
    for (int i = 0; i < 1000; ++i) seen.insert(replica_id::random());
    CHECK(seen.size() == 1000);
    CHECK_FALSE(seen.contains(replica_id{0}));
}

TEST_CASE("replica_id: equal ids have equal hashes, small ids different ones") {
    std::unordered_set<std::size_t> hashes;
    for (std::uint64_t i = 0; i < 1000; ++i) hashes.insert(std::hash<replica_id>{}(replica_id{i}));
    CHECK(hashes.size() == 1000);
    CHECK(std::hash<replica_id>{}(replica_id{5}) == std::hash<replica_id>{}(replica_id{5}));
}
