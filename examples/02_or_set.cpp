// SPDX-License-Identifier: Apache-2.0
// A set of elements that are added and removed at several places at once. A removal takes away the adds
// that it has seen, so an element that is added and removed concurrently stays: add wins.

#include <joinery/or_set.hpp>

#include <algorithm>
#include <iostream>
#include <string>
#include <string_view>
#include <vector>

namespace {

using set = joinery::or_set<std::string>;

void print(std::string_view name, const joinery::replica<set>& r) {
    std::vector<std::string> elements(r->begin(), r->end()); // the set has no order of its own
    std::sort(elements.begin(), elements.end());
    std::cout << "  " << name << ':';
    for (const auto& e : elements) std::cout << ' ' << e;
    std::cout << '\n';
}

} // namespace

int main() {
    joinery::replica<set> eu{joinery::replica_id::random()};
    joinery::replica<set> us{joinery::replica_id::random()};

    std::cout << "eu adds milk, us adds bread; then each hears of the other, us twice\n";
    auto d1 = eu.edit([](auto& cart, auto& tx) { cart.add(tx, "milk"); });
    auto d2 = us.edit([](auto& cart, auto& tx) { cart.add(tx, "bread"); });
    us.join(d1);
    eu.join(d2);
    us.join(d1); // any order, any number of times
    print("eu", eu);
    print("us", us);
    const bool first = eu.state() == us.state() && eu->contains("bread") && us->contains("milk");

    std::cout << "eu removes milk; us adds milk again at the same moment, and removes bread\n";
    auto removed = eu.edit([](auto& cart, auto& tx) { cart.remove(tx, "milk"); });
    auto changed = us.edit([](auto& cart, auto& tx) { // one transaction: both changes or none
        cart.add(tx, "milk");
        cart.remove(tx, "bread");
    });
    us.join(removed);
    eu.join(changed);
    print("eu", eu);
    print("us", us);
    const bool second = eu.state() == us.state() && eu->contains("milk") && !eu->contains("bread");

    // Whoever was away asks for what it lacks, and gets no more than that.
    std::cout << "ap comes late, says what it has (nothing), and gets the rest\n";
    joinery::replica<set> ap{joinery::replica_id::random()};
    ap.join(eu.delta_since(ap.version()));
    print("ap", ap);

    const bool ok = first && second && ap.state() == eu.state();
    std::cout << (ok ? "all replicas agree\n" : "WRONG\n");
    return ok ? 0 : 1;
}
