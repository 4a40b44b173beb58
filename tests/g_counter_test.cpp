// SPDX-License-Identifier: Apache-2.0
#include <joinery/g_counter.hpp>

#include "bytes.hpp"
#include "replicas.hpp"

#include <doctest/doctest.h>

#include <limits>
#include <random>

using joinery::causal;
using joinery::counter_run;
using joinery::decode_error;
using joinery::delta;
using joinery::dot;
using joinery::encode;
using joinery::g_counter;
using joinery::replica;
using joinery::transaction;

namespace {
auto counting(std::uint64_t n) {
    return [n](g_counter& c, transaction& tx) { c.increment(tx, n); };
}
} // namespace

TEST_CASE("g_counter: concurrent increments add up") {
    replica<g_counter> a{id_a}, b{id_b}, c{id_c};
    auto two = a.edit(counting(2));
    auto three = b.edit(counting(3));
    auto five = a.edit([](g_counter& x, transaction& tx) {
        x.increment(tx);
        x.increment(tx, 4);
    });
    // c hears of a's later increments first; they include the earlier one.
    c.join(five);
    CHECK(c->value() == 7);
    CHECK(c.join(two));
    CHECK(c->value() == 7);
    c.join(three);
    meet(a, b, c);
    meet(a, b, c);
    CHECK(a->value() == 10);
    check_converged(a, b, c);
}

TEST_CASE("g_counter: any order, duplicates and losses give the same sum") {
    std::mt19937 random(1);
    for (int round = 0; round < 30; ++round) {
        std::vector<replica<g_counter>> replicas;
        for (std::uint64_t id = 1; id <= 3; ++id) replicas.emplace_back(joinery::replica_id{id});
        std::vector<delta<g_counter>> edits;
        std::uint64_t sum = 0;
        for (int i = 0; i < 20; ++i) {
            std::uint64_t n = random() % 10;
            sum += n;
            edits.push_back(replicas[random() % 3].edit(counting(n)));
            if (random() % 4 == 0) replicas[random() % 3].join(edits[random() % edits.size()]);
        }
        replica<g_counter> reader{id_c};
        std::shuffle(edits.begin(), edits.end(), random);
        for (const auto& d : edits) {
            reader.join(d);
            if (random() % 3 == 0) reader.join(d);
        }
        CHECK(reader->value() == sum);
        meet(replicas[0], replicas[1], replicas[2], reader);
        meet(replicas[0], replicas[1], replicas[2], reader);
        check_converged(replicas[0], replicas[1], replicas[2], reader);
    }
}

TEST_CASE("g_counter: however often it counts, it is one entry per replica, without records") {
    replica<g_counter> a{id_a};
    for (int i = 0; i < 1000; ++i) a.edit(counting(1));
    CHECK(a->value() == 1000);
    CHECK(a.state().removals().empty());
    CHECK(encode(a.state()).size() < 30);
    CHECK(a.delta_since({{id_a, 999}}).fragment.runs.size() == 1);
}

TEST_CASE("g_counter: negative amounts and overflow are refused, and change nothing") {
    replica<g_counter> a{id_a};
    a.edit(counting(5));
    auto negative = [](g_counter& c, transaction& tx) { c.increment(tx, -1); };
    CHECK_THROWS_AS(a.edit(negative), std::invalid_argument);
    constexpr auto most = std::numeric_limits<std::int64_t>::max();
    CHECK_THROWS_AS(a.edit(counting(static_cast<std::uint64_t>(most))), std::overflow_error);
    CHECK_THROWS_AS(a.edit(counting(UINT64_MAX)), std::overflow_error);
    CHECK(a->value() == 5);
    CHECK(a.version()[id_a] == 1);
    a.edit(counting(static_cast<std::uint64_t>(most) - 5));
    CHECK(a->value() == static_cast<std::uint64_t>(most));
    CHECK_THROWS_AS(a.edit(counting(1)), std::overflow_error);
    a.edit(counting(0));
    // Two replicas at their limits: the sum is still exact, as an unsigned number.
    replica<g_counter> b{id_b};
    b.edit(counting(static_cast<std::uint64_t>(most)));
    a.join(b.state());
    CHECK(a->value() == UINT64_MAX - 1);
}

TEST_CASE("g_counter: an edit that fails gives its increments back") {
    replica<g_counter> a{id_a};
    check_undone(a, [](g_counter& c, transaction& tx) {
        c.increment(tx, 3);
        c.increment(tx, 4);
    });
    CHECK(a->empty());
    a.edit(counting(1));
    check_undone(a, [](g_counter& c, transaction& tx) {
        c.increment(tx, 3);
        c.increment(tx, 4);
    });
    CHECK(a->value() == 1);
}

TEST_CASE("g_counter: increments that nobody has seen are re-issued under another id") {
    replica<g_counter> a{id_a}, b{id_b};
    a.edit(counting(5));
    b.join(a.state());
    a.hold_from(a.version()[id_a]);
    a.edit(counting(2)); // a run of its own, as it may be renamed
    a.edit(counting(1));
    a.rename_from(1, id_c);
    CHECK(a.id() == id_c);
    CHECK(a->value() == 8);
    CHECK(a.version() == joinery::version_vector{{id_a, 1}, {id_c, 2}});
    a.edit(counting(1));
    meet(a, b);
    CHECK(b->value() == 9);
    check_converged(a, b);
}

TEST_CASE("g_counter: bytes that no replica writes are refused, or harmless") {
    auto encoded = [](std::vector<counter_run> runs) {
        delta<g_counter> d;
        d.covered = {{id_a, 1, 20}, {id_b, 1, 20}};
        d.fragment.runs = std::move(runs);
        return encode(d);
    };
    using d = delta<g_counter>;
    CHECK(joinery::decode<d>(encoded({{{id_a, 1}, 5, 7, 0, 0, 0}, {{id_b, 2}, 2, 1, 0, 0, 0}})));
    CHECK(refusal<d>(encoded({{{id_b, 1}, 5, 7, 0, 0, 0}, {{id_a, 2}, 2, 1, 0, 0, 0}})) == decode_error::non_canonical);
    CHECK(refusal<d>(encoded({{{id_a, 1}, 5, 7, 0, 0, 0}, {{id_a, 1}, 6, 7, 0, 0, 0}})) == decode_error::non_canonical);
    CHECK(refusal<d>(encoded({{{id_a, 5}, 4, 7, 0, 0, 0}})) == decode_error::invalid_value); // ends before it starts
    // A base above the totals: the value is what arithmetic modulo 2^64 makes of it, and nothing overflows.
    causal<g_counter> s;
    s.join(joinery::decode<d>(encoded({{{id_a, 1}, 5, 7, 0, 9, UINT64_MAX}})).value());
    CHECK(s->value() == static_cast<std::uint64_t>(-2) - 1);
    CHECK(round_trip(s) == s);
}
