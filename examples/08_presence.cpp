// SPDX-License-Identifier: Apache-2.0
// Presence: what a leader says of itself for the moment, such as where its user's cursor is. It is never
// stored, reaches everybody who serves the collection, and ends by itself when its leader falls silent.

#include <joinery/leader.hpp>
#include <joinery/memory_transport.hpp>
#include <joinery/rga_text.hpp>

#include <atomic>
#include <iostream>
#include <optional>
#include <string>

using document = joinery::leader<joinery::rga_text>;

// Any type that Cereal can serialise.
struct cursor {
    std::string user;
    std::uint32_t position = 0;
    template <class Archive> void serialize(Archive& ar) { ar(user, position); }
};

int main() {
    joinery::memory_network network;
    auto start = [&](std::string name, const std::vector<std::string>& peers) {
        joinery::node_options options;
        options.name = name;
        options.transport = network.make(name, peers);
        return document(std::move(options), "plan");
    };
    auto eu = start("eu", {"us"});
    std::optional<document> us = start("us", {"eu"});

    // Subscribers hear of changes of the text, and of who is present.
    std::atomic<int> changes{0};
    auto watch = eu.subscribe([&](const joinery::change& c) {
        if (!c.presence) return;
        ++changes;
        changes.notify_one();
    });
    auto until = [&](auto&& condition) {
        for (int seen = changes; !condition(eu.presence<cursor>()); seen = changes) changes.wait(seen);
    };

    us->write([](auto& text, auto& tx) { text.insert(tx, 0, "Buy milk"); });
    us->set_presence(cursor{"Ann", 3});
    us->set_presence(cursor{"Ann", 8}); // the last one counts
    until([](const auto& others) { return others.size() == 1 && others[0].value.position == 8; });
    for (const auto& other : eu.presence<cursor>())
        std::cout << other.value.user << " at " << other.name << " is at position " << other.value.position << '\n';

    us.reset(); // closes, and says that Ann has left; a crash would show after the time to live
    until([](const auto& others) { return others.empty(); });
    std::cout << "nobody else is here\n";
}
