// SPDX-License-Identifier: Apache-2.0
// Leaders: each accepts writes at once and keeps in sync with the others in the background. Here two of
// them live in one process, on a network in memory; examples/shopping_cart.cpp has one per process, with
// files and sockets.

#include <joinery/joinery.hpp>
#include <joinery/leader.hpp>
#include <joinery/memory_transport.hpp>

#include <chrono>
#include <iostream>
#include <string>

using namespace std::chrono_literals;
using set = joinery::or_set<std::string>;

int main() {
    joinery::memory_network network;
    auto start = [&](const std::string& name, const std::vector<std::string>& peers) {
        joinery::node_options options;
        options.name = name;
        options.transport = network.make(name, peers);
        return joinery::leader<set>(std::move(options), "cart");
    };
    auto eu = start("eu", {"us"});
    auto us = start("us", {"eu"});

    // A write returns once it is as durable as asked; here also once one peer has it.
    joinery::write_options at_two;
    at_two.acknowledgements = 1;
    auto written = eu.write([](set& cart, auto& tx) { cart.add(tx, "milk"); }, at_two);
    std::cout << "milk is at eu and at " << written.acknowledged << " other leader\n";

    // What was written at one leader can be read at another under the write's token.
    bool arrived = us.sync_to(written.token(), 5s);
    std::cout << "us " << (us.read([](const set& cart) { return cart.contains("milk"); }) ? "has" : "lacks")
              << " milk\n";

    // Cut off from each other, both go on.
    eu.disconnect("us");
    us.disconnect("eu");
    eu.write([](set& cart, auto& tx) { cart.remove(tx, "milk"); });
    us.write([](set& cart, auto& tx) { cart.add(tx, "bread"); });

    // And when they meet again, they agree.
    eu.connect("us");
    us.connect("eu");
    auto merged = [](const set& cart) { return cart.contains("bread") && !cart.contains("milk"); };
    bool healed = eu.wait_until(merged, 10s) && us.wait_until(merged, 10s);

    auto digest = [](const joinery::causal<set>& state) { return state.digest(); };
    bool ok = arrived && written.complete && healed && eu.read(digest) == us.read(digest);
    std::cout << (ok ? "both have bread and no milk\n" : "WRONG\n");
    return ok ? 0 : 1;
}
