// SPDX-License-Identifier: Apache-2.0
#include <joinery/dot_index.hpp>

#include <doctest/doctest.h>

#include <map>
#include <random>
#include <utility>
#include <vector>

using joinery::dot;
using joinery::dot_index;
using joinery::dot_range;
using joinery::replica_id;

namespace {
constexpr replica_id a{1}, b{2};

// The specification: a map from dots to numbers.
using model = std::map<std::pair<std::uint64_t, std::uint64_t>, dot_index::value>;

model visited(const dot_index& index, const dot_range& r) {
    model out;
    dot last;
    index.visit(r, [&](const dot_range& part, dot_index::value v) {
        REQUIRE(part.first <= part.last);
        REQUIRE(last < dot{part.replica, part.first}); // in order
        last = {part.replica, part.last};
        for (std::uint64_t s = part.first; s <= part.last; ++s) out[{part.replica.value(), s}] = v;
    });
    return out;
}
model within(const model& m, const dot_range& r) {
    return {m.lower_bound({r.replica.value(), r.first}), m.upper_bound({r.replica.value(), r.last})};
}
std::size_t runs(const dot_index& index, replica_id r) {
    std::size_t n = 0;
    index.visit({r, 1, UINT64_MAX}, [&](const dot_range&, dot_index::value) { ++n; });
    return n;
}
} // namespace

TEST_CASE("dot_index: does what a map from dots does") {
    for (unsigned seed = 1; seed <= 6; ++seed) {
        std::mt19937 random(seed);
        // Dense and few values: runs grow together; sparse and many: leaves split.
        const std::uint64_t spread = seed % 2 ? 300 : 20'000, longest = seed % 3 ? 3 : 40;
        const std::uint32_t values = seed % 2 ? 3 : 1000;
        dot_index index;
        model expected;
        for (int step = 0; step < 3000; ++step) {
            std::uint64_t first = 1 + random() % spread;
            dot_range r(replica_id{1 + random() % 2}, first, first + random() % longest);
            bool growing = (step / 500) % 2 == 0;
            if (random() % 4 != 0 ? growing : !growing) {
                auto v = static_cast<dot_index::value>(random() % values);
                index.reassign(r, v);
                for (std::uint64_t s = r.first; s <= r.last; ++s) expected[{r.replica.value(), s}] = v;
            } else {
                if (random() % 20 == 0) r.last = r.first + spread / 4;
                index.erase(r);
                for (std::uint64_t s = r.first; s <= r.last; ++s) expected.erase({r.replica.value(), s});
            }
            dot asked{replica_id{1 + random() % 2}, 1 + random() % spread};
            auto it = expected.find({asked.replica.value(), asked.seq});
            REQUIRE(index.find(asked) == (it == expected.end() ? std::nullopt : std::optional(it->second)));
            if (step % 50 == 0) {
                dot_range all(asked.replica, 1, UINT64_MAX), some(asked.replica, asked.seq, asked.seq + 50);
                REQUIRE(visited(index, all) == within(expected, all));
                REQUIRE(visited(index, some) == within(expected, some));
                REQUIRE(index.empty() == expected.empty());
            }
        }
        index.erase({a, 1, UINT64_MAX});
        index.erase({b, 1, UINT64_MAX});
        CHECK(index.empty());
    }
}

TEST_CASE("dot_index: dots that are assigned in any order, as they come") {
    for (unsigned seed = 1; seed <= 6; ++seed) {
        std::mt19937 random(seed);
        dot_index index;
        model expected;
        // Two replicas' dots, mostly in order, with gaps that are filled later.
        std::uint64_t next[2] = {1, 1};
        std::vector<dot_range> gaps;
        for (int step = 0; step < 4000; ++step) {
            const auto who = random() % 2;
            dot_range r(replica_id{1 + who}, next[who], next[who] + random() % (seed % 2 ? 2 : 5));
            next[who] = r.last + 1;
            if (random() % 8 == 0) {
                gaps.push_back(r);
                continue;
            }
            if (!gaps.empty() && random() % 8 == 0) {
                std::swap(gaps[random() % gaps.size()], r);
            }
            const auto v = static_cast<dot_index::value>(random() % 1000);
            index.assign(r, v);
            for (std::uint64_t s = r.first; s <= r.last; ++s) expected[{r.replica.value(), s}] = v;
            REQUIRE(index.find({r.replica, r.first}) == std::optional<dot_index::value>(v));
            const dot_range near(r.replica, r.first > 20 ? r.first - 20 : 1, r.last + 20);
            REQUIRE(visited(index, near) == within(expected, near));
            if (step % 1000 == 500) { // what is copied or moved goes on by itself
                dot_index copy = index;
                dot_index moved = std::move(index);
                index = dot_index();
                index.assign(dot{a, 1}, 5);
                REQUIRE(visited(copy, {a, 1, 20'000}) == within(expected, {a, 1, 20'000}));
                copy.assign({a, 30'000, 30'001}, 3);
                index = std::move(moved);
            }
        }
        for (const replica_id who : {a, b})
            CHECK(visited(index, {who, 1, 20'000}) == within(expected, {who, 1, 20'000}));
        index.erase({a, 1, 20'000});
        index.erase({b, 1, 20'000});
        CHECK(index.empty());
    }
}

TEST_CASE("dot_index: neighbouring dots with one number are one run") {
    dot_index index;
    for (std::uint64_t s = 1; s <= 100'000; ++s) index.assign(dot{a, s}, 7);
    CHECK(runs(index, a) == 1);
    CHECK(index.memory() < 1000);
    index.erase(dot{a, 50});
    CHECK(runs(index, a) == 2);
    CHECK_FALSE(index.find({a, 50}).has_value());
    CHECK(index.find({a, 51}) == std::optional<dot_index::value>(7));
    index.assign(dot{a, 50}, 8);
    CHECK(runs(index, a) == 3);
}

TEST_CASE("dot_index: runs longer than 32 bits, at both ends of the numbers") {
    dot_index index;
    constexpr std::uint64_t far = (std::uint64_t{1} << 33) + 5;
    index.assign({a, 1, far}, 1);
    index.assign({a, far + 1, far + 1}, 2);
    CHECK(index.find({a, 1}) == std::optional<dot_index::value>(1));
    CHECK(index.find({a, far}) == std::optional<dot_index::value>(1));
    CHECK(index.find({a, far + 1}) == std::optional<dot_index::value>(2));
    CHECK_FALSE(index.find({a, far + 2}).has_value());
    index.erase({a, 10, far - 10});
    CHECK_FALSE(index.find({a, 10}).has_value());
    CHECK(index.find({a, 9}).has_value());
    CHECK(index.find({a, far - 9}).has_value());
    index.erase({a, 1, std::uint64_t{1} << 60}); // not dot by dot
    CHECK(index.empty());
}
