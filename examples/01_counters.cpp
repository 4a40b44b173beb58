// SPDX-License-Identifier: Apache-2.0
// Counters. Two replicas count at the same time, without asking each other, and no increment is lost or
// counted twice: each replica keeps a total of its own, and the value is their sum.

#include <joinery/g_counter.hpp>
#include <joinery/pn_counter.hpp>

#include <iostream>

int main() {
    // A replica is where edits are made. It has an identity that nobody else has.
    joinery::replica<joinery::g_counter> eu{joinery::replica_id::random()};
    joinery::replica<joinery::g_counter> us{joinery::replica_id::random()};

    // An edit is a function of the value and a transaction; what it changed comes back as a delta.
    auto visits_eu = eu.edit([](auto& visits, auto& tx) { visits.increment(tx, 3); });
    auto visits_us = us.edit([](auto& visits, auto& tx) { visits.increment(tx, 4); });
    std::cout << "before they hear of each other: eu " << eu->value() << ", us " << us->value() << '\n';

    // Deltas join in any order and any number of times. A join says whether it brought anything new.
    us.join(visits_eu);
    eu.join(visits_us);
    const bool again = us.join(visits_eu);
    std::cout << "afterwards: eu " << eu->value() << ", us " << us->value() << "; the same delta once more brought "
              << (again ? "something" : "nothing") << '\n';

    // A pn_counter goes down as well.
    joinery::replica<joinery::pn_counter> here{joinery::replica_id::random()};
    joinery::replica<joinery::pn_counter> there{joinery::replica_id::random()};
    auto delivered = here.edit([](auto& stock, auto& tx) { stock.increment(tx, 10); });
    there.join(delivered);
    auto sold_here = here.edit([](auto& stock, auto& tx) { stock.decrement(tx, 2); });
    auto sold_there = there.edit([](auto& stock, auto& tx) { stock.decrement(tx, 5); });
    here.join(sold_there);
    there.join(sold_here);
    std::cout << "stock: 10 delivered, 2 sold here, 5 sold there, " << here->value() << " left\n";

    const bool ok =
        eu.state() == us.state() && eu->value() == 7 && !again && here.state() == there.state() && here->value() == 3;
    std::cout << (ok ? "all replicas agree\n" : "WRONG\n");
    return ok ? 0 : 1;
}
