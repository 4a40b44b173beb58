// SPDX-License-Identifier: Apache-2.0
// Notes on a phone and a laptop, both edited while they are apart: a train ride on the one, an evening on the other.
// When they meet, every change is in its place, in texts that both have changed too.

#include <joinery/joinery.hpp>
#include <joinery/leader.hpp>
#include <joinery/memory_transport.hpp>

#include <chrono>
#include <iostream>
#include <string>
#include <string_view>

using namespace std::chrono_literals;
using joinery::transaction;
using notes = joinery::or_map<std::string, joinery::rga_text>; // titles to texts
using leader = joinery::leader<notes>;

namespace {

// As an editor does that gets the whole text back: only what differs is changed.
void save(leader& at, const std::string& title, std::string_view text) {
    at.write([&](notes& all, transaction& tx) { all.at(tx, title)->apply_diff(tx, text); });
}

std::string text_of(const leader& at, const std::string& title) {
    return at.read([&](const notes& all) {
        const auto* note = all.find(title);
        return note ? note->str() : std::string();
    });
}

// A single keystroke.
void type_after(leader& at, const std::string& title, std::string_view before, char letter) {
    at.write([&](notes& all, transaction& tx) {
        auto note = all.at(tx, title);
        note->insert_utf8(tx, note->str().find(before) + before.size(), std::string_view(&letter, 1));
    });
}

} // namespace

int main() {
    joinery::memory_network network;
    const auto start = [&](const std::string& name, const std::string& peer) {
        joinery::node_options options;
        options.name = name;
        options.transport = network.make(name, {peer});
        return leader(std::move(options), "notes");
    };
    auto phone = start("phone", "laptop");
    auto laptop = start("laptop", "phone");

    save(phone, "trip", "Trip to Rome\n- pasport\n- tickets\n- book a table\n");
    bool ok = laptop.sync_to(phone.version(), 10s);

    std::cout << "the phone leaves, and both are edited\n";
    phone.disconnect("laptop");
    laptop.disconnect("phone");
    std::string line = "- tickets";
    for (const char letter : std::string(", seats 7 and 8")) {
        type_after(phone, "trip", line, letter);
        line += letter;
    }
    save(phone, "ideas", "Learn some Italian\n");
    save(laptop, "trip", "Trip to Rome and Naples\n- passport\n- tickets\n- sun cream\n"); // the table is booked
    save(laptop, "ideas", "Hire a scooter?\n");

    std::cout << "it comes back\n";
    phone.connect("laptop");
    laptop.connect("phone");
    ok = ok && phone.sync_to(laptop.version(), 10s) && laptop.sync_to(phone.version(), 10s);
    std::cout << text_of(laptop, "trip") << text_of(laptop, "ideas");

    const auto ideas = text_of(phone, "ideas"); // made on both: both lines, in one order on both devices
    ok = ok && text_of(phone, "trip") == text_of(laptop, "trip") && ideas == text_of(laptop, "ideas") &&
         text_of(phone, "trip") == "Trip to Rome and Naples\n- passport\n- tickets, seats 7 and 8\n- sun cream\n" &&
         (ideas == "Learn some Italian\nHire a scooter?\n" || ideas == "Hire a scooter?\nLearn some Italian\n");
    std::cout << (ok ? "both devices agree\n" : "WRONG\n");
    return ok ? 0 : 1;
}
