// SPDX-License-Identifier: Apache-2.0
#include <joinery/unique_id.hpp>

#include <joinery/or_set.hpp>

#include "replicas.hpp"

#include <doctest/doctest.h>

#include <optional>
#include <string>
#include <unordered_set>

using joinery::dot;
using joinery::replica;
using joinery::replica_id;
using joinery::transaction;
using joinery::unique_id;

TEST_CASE("unique_id: no two are the same, and none comes again after an edit that failed or not") {
    using set = joinery::or_set<unique_id>;
    replica<set> a{id_a}, b{id_b};
    std::unordered_set<unique_id> all;
    for (int i = 0; i < 50; ++i)
        for (auto* r : {&a, &b})
            r->edit([&](set& s, transaction& tx) {
                for (int k = 0; k < 3; ++k) {
                    const auto id = tx.unique_id();
                    CHECK(all.insert(id).second);
                    CHECK(id.issuer() == r->id());
                    s.add(tx, id);
                }
            });
    meet(a, b);
    CHECK(a->size() == 300);
    check_converged(a, b);
}

TEST_CASE("unique_id: stays the same when its issuer takes another id") {
    using set = joinery::or_set<unique_id>;
    replica<set> a{id_a};
    a.hold_from(0);
    unique_id id;
    a.edit([&](set& s, transaction& tx) { s.add(tx, id = tx.unique_id()); });
    a.rename_from(0, id_b);
    CHECK(a->contains(id));
}

TEST_CASE("unique_id: as text and back") {
    const unique_id id(dot{replica_id{0x1234567890abcdef}, 1000});
    CHECK(to_string(id) == "14d2pf28aqkff-z8");
    CHECK(to_string(unique_id(dot{replica_id{0}, 1})) == "0-1");
    for (const auto& x :
         {id, unique_id(), unique_id(dot{replica_id{UINT64_MAX}, joinery::max_sequence}), unique_id(dot{id_a, 32})})
        CHECK(unique_id::parse(to_string(x)) == x);
    CHECK(unique_id::parse("14D2PF28AQKFF-Z8") == id);
    CHECK(unique_id::parse("O-l") == unique_id(dot{replica_id{0}, 1}));
    for (const char* bad : {"", "-", "1", "1-", "-1", "1-0", "01-1", "1-01", "o1-1", "1-O1", "1-1-1", "u-1", "1 -1",
                            "zzzzzzzzzzzzzz-1", "1-fzzzzzzzzzzzz"})
        CHECK(unique_id::parse(bad) == std::nullopt);
}
