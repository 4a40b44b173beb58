// SPDX-License-Identifier: Apache-2.0
// A text that two people edit at once, while they are cut off from each other. Each character stays next
// to the one after which it was typed, so both find their changes where they made them.

#include <joinery/codec.hpp>
#include <joinery/replica.hpp>
#include <joinery/rga_text.hpp>

#include <iostream>
#include <string>

int main() {
    joinery::replica<joinery::rga_text> eu{joinery::replica_id{1}};
    joinery::replica<joinery::rga_text> us{joinery::replica_id{2}};

    us.join(eu.edit([](auto& text, auto& tx) { text.insert(tx, 0, "Two cups of flour.\n"); }));
    std::cout << "both have: " << eu->str();

    // Positions are code points. The edits below are made offline; their deltas are collected.
    std::cout << "eu changes the first word and us the last; both add a line at the end\n";
    auto from_eu = eu.edit([](auto& text, auto& tx) {
        text.erase(tx, 0, 3);
        text.insert(tx, 0, "Three");
    });
    from_eu.join(eu.edit([](auto& text, auto& tx) { text.insert(tx, text.size(), "Crème fraîche.\n"); }));

    auto from_us = us.edit([](auto& text, auto& tx) {
        text.erase(tx, 12, 5);
        text.insert(tx, 12, "sugar");
    });
    from_us.join(us.edit([](auto& text, auto& tx) { text.insert(tx, text.size(), "A pinch of salt.\n"); }));

    // A delta travels as bytes. What comes from outside is decoded with an error instead of an exception.
    const auto bytes = joinery::encode(from_eu);
    const auto received = joinery::decode<joinery::delta<joinery::rga_text>>(bytes);
    if (!received) {
        std::cout << "cannot be read: " << joinery::to_string(received.error()) << '\n';
        return 1;
    }
    std::cout << "eu's two edits travel as " << bytes.size() << " bytes\n";
    us.join(*received);
    eu.join(from_us);
    std::cout << "eu has:\n" << eu->str() << "us has:\n" << us->str();

    // The two new lines stand one after the other, whole; which comes first is the same everywhere.
    const std::string text = eu->str();
    const bool ok = eu.state() == us.state() && text.starts_with("Three cups of sugar.\n") &&
                    text.find("Crème fraîche.\n") != std::string::npos &&
                    text.find("A pinch of salt.\n") != std::string::npos && text.size() == 21 + 17 + 17;
    std::cout << (ok ? "both agree\n" : "WRONG\n");
    return ok ? 0 : 1;
}
