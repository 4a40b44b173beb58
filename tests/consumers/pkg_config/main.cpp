// SPDX-License-Identifier: Apache-2.0
#include <joinery/or_set.hpp>
#include <joinery/replica.hpp>
#include <joinery/simulation.hpp>

#include <cstdio>
#include <string>

// What is compiled of the testing kit is in the library.
struct carts {
    using value_type = joinery::or_set<std::string>;
    template <class Leader> void step(Leader& here, joinery::testing::choices& from) {
        here.write([&](auto& cart, auto& tx) { cart.add(tx, std::to_string(from.pick(9))); });
    }
};

int main() {
    joinery::replica<joinery::or_set<std::string>> eu{joinery::replica_id::random()};
    joinery::replica<joinery::or_set<std::string>> us{joinery::replica_id::random()};

    auto d1 = eu.edit([](auto& cart, auto& tx) { cart.add(tx, "milk"); });
    auto d2 = us.edit([](auto& cart, auto& tx) { cart.add(tx, "bread"); });

    us.join(d1);
    eu.join(d2);
    us.join(d1); // any order, any number of times
    bool converged = eu.state() == us.state() && eu->contains("bread") && us->contains("milk");
    std::printf("%s: %s\n", to_string(eu.version()).c_str(), converged ? "converged" : "DIVERGED");
    const auto simulated = joinery::testing::simulate(carts{}, {}, {.seed = 1, .schedules = 10});
    return converged && simulated.ok() ? 0 : 1;
}
