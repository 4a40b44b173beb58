// SPDX-License-Identifier: Apache-2.0
#include <joinery/delta.hpp>

#include "bytes.hpp"
#include "carts.hpp"
#include "replicas.hpp"

#include <joinery/joinery.hpp>

#include <doctest/doctest.h>

#include <random>

using joinery::causal;
using joinery::causal_context;
using joinery::decode_error;
using joinery::delta;
using joinery::dot;
using joinery::dot_range;
using joinery::encode;
using joinery::removal;
using joinery::replica;
using joinery::transaction;

namespace {} // namespace

TEST_CASE("delta: a group of deltas does what they do one by one, in any order") {
    std::mt19937 random(4);
    for (int round = 0; round < 50; ++round) {
        replica<cart> a{id_a}, b{id_b};
        std::vector<delta<cart>> edits;
        for (int i = 0; i < 8; ++i) {
            auto& who = random() % 2 ? a : b;
            std::string e(1, static_cast<char>('x' + random() % 3));
            edits.push_back(random() % 3 ? who.edit(adding(e)) : who.edit(removing(e)));
            if (random() % 2) who.join((&who == &a ? b : a).state());
        }
        std::shuffle(edits.begin(), edits.end(), random);
        causal<cart> one_by_one, grouped;
        delta<cart> group;
        for (const auto& d : edits) {
            one_by_one.join(d);
            group.join(d);
            group.join(d);
        }
        CHECK(grouped.join(round_trip(group)) == !group.empty());
        CHECK(grouped == one_by_one);
        CHECK(encode(grouped) == encode(one_by_one));
        CHECK(group.covered == one_by_one.context());
    }
}

TEST_CASE("delta: a group may have gaps, and covers no more than its parts") {
    replica<cart> a{id_a};
    auto one = a.edit(adding("x"));
    auto two = a.edit(adding("y"));
    auto three = a.edit(removing("x"));
    auto group = one;
    group.join(three);
    CHECK(group.covered == causal_context{dot{id_a, 1}, dot{id_a, 3}});
    CHECK(group.fragment.empty());
    CHECK(group.removals.size() == 1);
    replica<cart> b{id_b};
    b.join(group);
    b.join(two);
    check_converged(a, b);
}

TEST_CASE("delta: a group of answers joins only who could have joined both") {
    replica<cart> a{id_a}, b{id_b};
    a.edit(adding("x"));
    a.edit(adding("y"));
    b.edit(adding("z"));
    b.edit(adding("w"));
    auto group = a.delta_since({{id_a, 1}});
    group.join(b.delta_since({{id_b, 1}}));
    CHECK(group.since == joinery::version_vector{{id_a, 1}, {id_b, 1}});
    CHECK_FALSE(a.accepts(group));
    a.join(b.delta_since({}));
    CHECK(a.accepts(group));
}

TEST_CASE("delta: a group with a complete state keeps its horizon") {
    replica<cart> a{id_a}, b{id_b};
    a.edit(adding("x"));
    a.edit(removing("x"));
    a.prune(a.version());
    auto group = b.edit(adding("y"));
    group.join(a.state());
    CHECK(group.horizon == a.state().horizon());
    CHECK(group.removals.empty());
    replica<cart> c{id_c};
    c.join(group);
    CHECK(c.state().horizon() == a.state().horizon());
    meet(a, b, c);
    meet(a, b, c);
    check_converged(a, b, c);
}

TEST_CASE("delta: an edit of one short element is small") {
    replica<cart> a{joinery::replica_id{0x0123456789abcdef}};
    CHECK(encode(a.edit(adding("milk"))).size() == 19);
    CHECK(encode(a.edit(removing("milk"))).size() == 17);
    CHECK(encode(delta<cart>{}) == bytes({0, 0}));
}

TEST_CASE("delta: forms that no encoder writes are refused") {
    CHECK(refusal<delta<cart>>({96, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0}) == decode_error::invalid_value); // a dot and a range
    CHECK(refusal<delta<cart>>({32, 1, 1, 1, 1, 1, 1, 1, 1, 0}) == decode_error::invalid_value);    // of no event
    CHECK(refusal<delta<cart>>({128, 1, 1, 1, 1, 1, 1, 1, 1, 1}) == decode_error::invalid_value);   // only of texts
    CHECK(refusal<delta<cart>>({0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 2, 0, 0}) == decode_error::non_canonical); // one range
    CHECK(refusal<delta<cart>>({32, 1, 1, 1, 1, 1, 1, 1, 1}) == decode_error::truncated);
    CHECK(refusal<delta<cart>>({1, 0, 0}) == decode_error::non_canonical); // a fragment, but empty
    CHECK(refusal<delta<cart>>({2, 0, 0}) == decode_error::non_canonical);
    CHECK(refusal<delta<cart>>({4, 0, 0}) == decode_error::non_canonical);
    CHECK(refusal<delta<cart>>({8, 0, 0}) == decode_error::non_canonical);
    CHECK(refusal<delta<cart>>({16, 0, 0}) == decode_error::non_canonical);
    CHECK(refusal<delta<cart>>({0, 0, 0}) == decode_error::trailing_bytes);
    CHECK(refusal<delta<cart>>({1, 0}) == decode_error::truncated);
}

TEST_CASE("delta: what it covers can be read at its beginning, if that is one range") {
    using joinery::detail::edit_start;
    const auto bytes_of = [](std::vector<dot_range> covered) {
        delta<cart> d;
        for (const auto& r : covered) d.covered.add(r);
        return encode(d);
    };
    for (const dot_range& r :
         {dot_range{id_a, 1, 1}, dot_range{id_b, 127, 300}, dot_range{id_c, 1, joinery::max_sequence}}) {
        const auto start = edit_start::of(bytes_of({r}));
        REQUIRE(start);
        CHECK(start->dots == r);
        auto cut = bytes_of({r});
        cut.pop_back();
        CHECK_FALSE(edit_start::of(cut));
    }
    CHECK_FALSE(edit_start::of(bytes_of({})));
    CHECK_FALSE(edit_start::of(bytes_of({dot{id_a, 1}, dot{id_a, 3}})));
    CHECK_FALSE(edit_start::of(bytes({32, 1, 1, 1, 1, 1, 1, 1, 1, 0x81, 0}))); // a number that is too long
    CHECK_FALSE(edit_start::of(
        bytes({128, 1, 1, 1, 1, 1, 1, 1, 1, 0x85, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 'a'})));
}

TEST_CASE("delta: removal records are covered, in order and in normal form") {
    auto with = [](std::vector<removal> removals) {
        delta<cart> d;
        d.covered = {{id_a, 1, 5}};
        d.removals = std::move(removals);
        return encode(d);
    };
    auto kill = [](std::uint64_t event, std::vector<dot_range> dots) {
        return removal{{id_a, event}, {std::move(dots), {}}};
    };
    CHECK(joinery::decode<delta<cart>>(with({kill(1, {dot{id_b, 4}}), kill(5, {{id_b, 1, 2}, {id_c, 4, 9}})})));
    CHECK(refusal<delta<cart>>(with({kill(6, {dot{id_b, 4}})})) == decode_error::invalid_value);
    CHECK(refusal<delta<cart>>(with({kill(5, {dot{id_b, 4}}), kill(1, {dot{id_b, 4}})})) ==
          decode_error::non_canonical);
    CHECK(refusal<delta<cart>>(with({kill(5, {dot{id_b, 4}}), kill(5, {dot{id_b, 4}})})) ==
          decode_error::non_canonical);
    CHECK(refusal<delta<cart>>(with({kill(1, {{id_c, 4, 9}, {id_b, 1, 2}})})) == decode_error::non_canonical);
    CHECK(refusal<delta<cart>>(with({kill(1, {{id_b, 1, 2}, {id_b, 3, 4}})})) == decode_error::non_canonical);
    CHECK(refusal<delta<cart>>(with({kill(1, {{id_b, 1, 2}, {id_b, 2, 4}})})) == decode_error::non_canonical);
}

TEST_CASE("dot_entries: sorted by dot, each dot once, each with bytes of its own") {
    using entries = joinery::dot_entries<std::string>;
    auto make = [](std::vector<std::pair<dot, std::string>> items) {
        entries e;
        for (auto& [d, v] : items) e.push_back(d, v);
        return e;
    };
    auto three = make({{{id_a, 1}, "x"}, {{id_a, 2}, ""}, {{id_b, 7}, "z"}});
    CHECK(round_trip(three) == three);
    CHECK(three.contains({id_a, 2}));
    CHECK_FALSE(three.contains({id_a, 3}));
    CHECK(refusal<entries>(encode(make({{{id_b, 1}, "x"}, {{id_a, 2}, ""}}))) == decode_error::non_canonical);
    CHECK(refusal<entries>(encode(make({{{id_a, 2}, "x"}, {{id_a, 2}, ""}}))) == decode_error::non_canonical);
    // Two runs that touch are one.
    CHECK(refusal<entries>({2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 2, 0, 1, 2, 0, 0, 0}) == decode_error::non_canonical);
    // A run of 2^60 dots, and one of more dots than there are bytes.
    auto endless = encode(std::uint8_t{1});
    auto range = encode(dot_range{id_a, 1, std::uint64_t{1} << 60});
    endless.insert(endless.end(), range.begin(), range.end());
    CHECK(refusal<entries>(endless) == decode_error::truncated);
    CHECK(refusal<entries>({1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 2, 9, 0, 0, 0}) == decode_error::truncated);
}

TEST_CASE("dot_entries: payloads without bytes of their own take one") {
    using enabled = joinery::mv_register<std::tuple<>>;
    replica<enabled> a{id_a}, b{id_b};
    auto d = a.edit([](enabled& f, transaction& tx) { f.set(tx, {}); });
    CHECK(round_trip(d) == d);
    b.join(round_trip(d));
    b.edit([](enabled& f, transaction& tx) { f.reset(tx); });
    meet(a, b);
    CHECK(a->empty());
    check_converged(a, b);
}
