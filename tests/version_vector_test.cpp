// SPDX-License-Identifier: Apache-2.0
#include <joinery/version_vector.hpp>

#include <doctest/doctest.h>

#include <map>
#include <random>

using joinery::dot;
using joinery::replica_id;
using joinery::version_vector;

namespace {
constexpr replica_id a{1}, b{2}, c{3};

version_vector random_version(std::mt19937& random) {
    version_vector v;
    for (std::uint64_t r = 1; r <= 4; ++r) v.raise(replica_id{r}, random() % 4);
    return v;
}
} // namespace

TEST_CASE("version_vector: an absent replica has number 0") {
    version_vector v{{b, 3}, {a, 5}, {b, 1}, {c, 0}};
    CHECK(v[a] == 5);
    CHECK(v[b] == 3);
    CHECK(v[c] == 0);
    CHECK(v.size() == 2);
    CHECK(v.begin()->first == a);
    CHECK(v.contains(dot{b, 3}));
    CHECK_FALSE(v.contains(dot{b, 4}));
    CHECK_FALSE(v.contains(dot{c, 1}));
    CHECK(to_string(v) == "{1:5, 2:3}");
    CHECK(to_string(version_vector{}) == "{}");
}

TEST_CASE("version_vector: raise only grows, set goes both ways") {
    version_vector v;
    CHECK_FALSE(v.raise(a, 0));
    CHECK(v.empty());
    CHECK(v.raise(a, 4));
    CHECK_FALSE(v.raise(a, 4));
    CHECK_FALSE(v.raise(a, 3));
    CHECK(v[a] == 4);
    v.set(a, 2);
    CHECK(v[a] == 2);
    v.set(b, UINT64_MAX);
    CHECK(v[b] == UINT64_MAX);
    v.set(a, 0);
    v.set(c, 0);
    CHECK(v == version_vector{{b, UINT64_MAX}});
}

TEST_CASE("version_vector: join and meet are the bounds of the order") {
    std::mt19937 random(1);
    int grew = 0;
    for (int i = 0; i < 2000; ++i) {
        auto v = random_version(random), w = random_version(random);
        auto joined = v;
        bool more = joined.join(w);
        grew += more;
        auto met = v;
        met.meet(w);
        CHECK(more == !w.within(v));
        CHECK(v.within(joined));
        CHECK(w.within(joined));
        CHECK(met.within(v));
        CHECK(met.within(w));
        for (std::uint64_t r = 1; r <= 4; ++r) {
            CHECK(joined[replica_id{r}] == std::max(v[replica_id{r}], w[replica_id{r}]));
            CHECK(met[replica_id{r}] == std::min(v[replica_id{r}], w[replica_id{r}]));
        }
        CHECK((v.within(w) && w.within(v)) == (v == w));
    }
    CHECK(grew > 500);
}
