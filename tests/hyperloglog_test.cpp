// SPDX-License-Identifier: Apache-2.0
#include <joinery/hyperloglog.hpp>

#include <joinery/or_map.hpp>

#include "replicas.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <cstdint>
#include <string>

using joinery::hyperloglog;
using joinery::replica;
using joinery::transaction;

namespace {
auto adding(std::uint64_t from, std::uint64_t to) {
    return [=](auto& h, transaction& tx) {
        for (auto i = from; i < to; ++i) h.add(tx, i);
    };
}
bool near(std::uint64_t estimate, double truth, double error) {
    return std::abs(static_cast<double>(estimate) - truth) <= error * truth;
}
} // namespace

TEST_CASE("hyperloglog: how many different ones there were, anywhere") {
    replica<hyperloglog<>> a{id_a}, b{id_b};
    CHECK(a->count() == 0);
    a.edit(adding(0, 100));
    CHECK(near(a->count(), 100, 0.03));
    a.edit(adding(0, 30'000));
    b.edit(adding(20'000, 50'000)); // a third of them the same
    meet(a, b);
    CHECK(near(a->count(), 50'000, 0.05)); // three standard errors
    check_converged(a, b);
    CHECK(a.edit(adding(0, 50'000)).empty()); // nothing new
    check_undone(a, adding(1'000'000, 1'001'000));
    const auto before = a->count();
    a.edit(adding(1'000'000, 1'050'000));
    CHECK(a->count() > before);
}

TEST_CASE("hyperloglog: the error is what it is said to be, over a range of sizes") {
    replica<hyperloglog<10>> a{id_a};
    double squares = 0;
    int looks = 0;
    std::uint64_t n = 0;
    for (double next = 10; n < 200'000; next *= 1.3) {
        a.edit(adding(n, static_cast<std::uint64_t>(next)));
        n = static_cast<std::uint64_t>(next);
        const double error = static_cast<double>(a->count()) / static_cast<double>(n) - 1;
        squares += error * error;
        ++looks;
    }
    CHECK(std::sqrt(squares / looks) < 2 * 1.04 / std::sqrt(1024));
}

TEST_CASE("hyperloglog: a removed key takes what was seen of it") {
    using map = joinery::or_map<std::string, hyperloglog<4>>;
    replica<map> a{id_a}, b{id_b};
    b.join(a.edit([](map& m, transaction& tx) { adding(0, 1000)(*m.at(tx, "x"), tx); }));
    a.edit([](map& m, transaction& tx) { m.erase(tx, "x"); });
    CHECK_FALSE(a->contains("x"));
    // What raises nothing is no event: of the elements added meanwhile only those that did are left.
    b.edit([](map& m, transaction& tx) { adding(1000, 100'000)(*m.at(tx, "x"), tx); });
    meet(a, b);
    REQUIRE(a->contains("x"));
    CHECK(a->find("x")->count() > 0);
    check_converged(a, b);
}
