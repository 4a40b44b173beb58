// SPDX-License-Identifier: Apache-2.0
// The program of README.md.
#include <joinery/or_set.hpp>

#include <cassert>
#include <iostream>
#include <string>

int main() {
    using cart = joinery::or_set<std::string>;
    joinery::replica<cart> eu{joinery::replica_id::random()};
    joinery::replica<cart> us{joinery::replica_id::random()};

    // Both accept writes at once; neither asks the other. Every edit yields a delta.
    auto d1 = eu.edit([](cart& c, auto& tx) { c.add(tx, "milk"); });
    auto d2 = us.edit([](cart& c, auto& tx) { c.add(tx, "milk"), c.add(tx, "bread"); });
    us.join(d1);

    // Concurrently, us removes the milk that it has seen, and eu adds milk again.
    auto d3 = us.edit([](cart& c, auto& tx) { c.remove(tx, "milk"); });
    auto d4 = eu.edit([](cart& c, auto& tx) { c.add(tx, "milk"); });

    // Deltas may arrive in any order and any number of times.
    eu.join(d3), eu.join(d2), eu.join(d3);
    us.join(d4);

    assert(eu.state() == us.state());
    for (const auto& item : *us) std::cout << item << '\n';
    std::cout << "a delta takes " << joinery::encode(d4).size() << " bytes\n";
}
