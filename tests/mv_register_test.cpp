// SPDX-License-Identifier: Apache-2.0
#include <joinery/mv_register.hpp>

#include "bytes.hpp"
#include "replicas.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <vector>

using joinery::mv_register;
using joinery::replica;
using joinery::transaction;

namespace {
using number = mv_register<std::uint64_t>;
using numbers = std::vector<std::uint64_t>;
auto setting(std::uint64_t v) {
    return [v](number& r, transaction& tx) { r.set(tx, v); };
}
} // namespace

TEST_CASE("mv_register: concurrent values stay side by side until a set has seen them") {
    replica<number> a{id_a}, b{id_b}, c{id_c};
    auto one = a.edit(setting(1));
    auto two = b.edit(setting(2));
    c.join(two);
    c.join(one);
    CHECK(c->values() == numbers{1, 2}); // in order of dots
    CHECK(c->size() == 2);
    auto three = c.edit(setting(3));
    a.join(three); // has not heard of 2, and never will see it
    CHECK(a->values() == numbers{3});
    b.join(one);
    CHECK(b->values() == numbers{1, 2});
    b.join(three);
    a.join(two);
    CHECK(a->values() == numbers{3});
    check_converged(a, b, c);
}

TEST_CASE("mv_register: a set survives a reset that has not seen it") {
    replica<number> a{id_a}, b{id_b};
    b.join(a.edit(setting(1)));
    auto reset = a.edit([](number& r, transaction& tx) { r.reset(tx); });
    auto two = b.edit(setting(2));
    a.join(two);
    b.join(reset);
    CHECK(a->values() == numbers{2});
    check_converged(a, b);
    CHECK(a.edit([](number& r, transaction& tx) {
               r.reset(tx);
               r.reset(tx);
           }).covered.count() == 1);
    CHECK(a->empty());
}

TEST_CASE("mv_register: many concurrent writers") {
    replica<number> reader{id_c};
    for (std::uint64_t i = 1; i <= 100; ++i) {
        replica<number> writer{joinery::replica_id{1000 + i}};
        reader.join(writer.edit(setting(i)));
    }
    CHECK(reader->size() == 100);
    check_undone(reader, setting(7));
    auto values = reader->values();
    CHECK(std::is_sorted(values.begin(), values.end()));
    auto last = reader.edit(setting(0));
    CHECK(last.removals.front().killed.dots.size() == 100);
    CHECK(round_trip(last) == last);
    CHECK(reader->values() == numbers{0});
    check_converged(reader);
}

TEST_CASE("mv_register: pruned, budgeted, re-issued under another id") {
    replica<number> a{id_a}, b{id_b};
    for (std::uint64_t i = 0; i < 10; ++i) a.edit(setting(i));
    meet(a, b);
    b.prune(b.version());
    CHECK(b.state().removals().empty());
    a.set_log_budget(0);
    a.edit(setting(10));
    CHECK(a.state().removals().size() < 10);
    b.join(a.delta_since(b.version()));
    check_converged(a, b);
    a.hold_from(11);
    a.edit(setting(11));
    a.edit(setting(12));
    a.rename_from(11, id_c);
    CHECK(a.version() == joinery::version_vector{{id_a, 11}, {id_c, 2}});
    meet(a, b);
    CHECK(b->values() == numbers{12});
    check_converged(a, b);
}
