// SPDX-License-Identifier: Apache-2.0
#include <joinery/ddsketch.hpp>

#include "replicas.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <stdexcept>
#include <vector>

using joinery::ddsketch;
using joinery::replica;
using joinery::transaction;

TEST_CASE("ddsketch: quantiles within the error, of what all have measured") {
    replica<ddsketch<>> a{id_a}, b{id_b};
    std::mt19937_64 random(7);
    std::lognormal_distribution<double> latency(3, 2);
    std::vector<double> all;
    for (int round = 0; round < 20; ++round)
        for (auto* r : {&a, &b})
            r->edit([&](ddsketch<>& s, transaction& tx) {
                for (int i = 0; i < 200; ++i) {
                    all.push_back(latency(random) * (i % 10 ? 1 : -1));
                    s.add(tx, all.back());
                }
            });
    meet(a, b);
    std::sort(all.begin(), all.end());
    CHECK(a->count() == all.size());
    for (double q : {0.0, 0.01, 0.25, 0.5, 0.9, 0.99, 0.999, 1.0}) {
        const double exact = all[static_cast<std::size_t>(q * static_cast<double>(all.size() - 1))];
        CHECK(std::abs(*a->quantile(q) - exact) <= 0.0101 * std::abs(exact));
    }
    check_converged(a, b);
}

TEST_CASE("ddsketch: the edges") {
    replica<ddsketch<20>> a{id_a};
    CHECK_FALSE(a->quantile(0.5));
    a.edit([](auto& s, transaction& tx) {
        s.add(tx, 0);
        s.add(tx, 1e308);
        s.add(tx, -1e308);
        s.add(tx, 1e-299, 3);
        s.add(tx, 5, 0);
    });
    CHECK(a->count() == 6);
    CHECK(*a->quantile(0) == doctest::Approx(-1e308).epsilon(0.021));
    CHECK(*a->quantile(0.2) == 0);
    CHECK(*a->quantile(0.5) == doctest::Approx(1e-299).epsilon(0.021));
    CHECK(*a->quantile(1) == doctest::Approx(1e308).epsilon(0.021));
    CHECK_THROWS_AS((void)a->quantile(1.01), std::invalid_argument);
    CHECK_THROWS_AS((void)a->quantile(std::nan("")), std::invalid_argument);
    for (double bad : {std::nan(""), std::numeric_limits<double>::infinity()})
        CHECK_THROWS_AS(a.edit([&](auto& s, transaction& tx) { s.add(tx, bad); }), std::invalid_argument);
    check_undone(a, [](auto& s, transaction& tx) { s.add(tx, 7); });
}
