// SPDX-License-Identifier: Apache-2.0
// A value of one's own, made of replicated parts: an order with lines and a delivery date. A struct whose
// members are CRDTs is one too, once it is declared; and it can be the value of a map.

#include <joinery/joinery.hpp>

#include <cstdint>
#include <iostream>
#include <string>
#include <string_view>

namespace {

struct order {
    joinery::or_map<std::string, joinery::pn_counter> lines; // article to quantity
    joinery::lww_register<std::string> delivery;             // the last write wins
    joinery::or_set<std::string> tags;
};
// Each field has a number that never changes, so that programs of different versions understand each other.
JOINERY_RECORD(order, (1, lines), (2, delivery), (3, tags))

using orders = joinery::or_map<std::uint64_t, order>;

void print(std::string_view name, const joinery::replica<orders>& r) {
    std::cout << "  " << name << ':';
    for (const auto& [number, o] : *r) {
        std::cout << " order " << number << ", delivery " << o.delivery.get().value_or("open") << ", " << o.tags.size()
                  << " tags;";
        for (const auto& [article, quantity] : o.lines) std::cout << ' ' << quantity.value() << ' ' << article;
    }
    std::cout << '\n';
}

} // namespace

int main() {
    joinery::replica<orders> eu{joinery::replica_id{1}};
    joinery::replica<orders> us{joinery::replica_id{2}};

    std::cout << "eu enters order 17, and us hears of it\n";
    us.join(eu.edit([](auto& all, auto& tx) {
        auto o = all.at(tx, 17); // open for editing while `o` lives
        o->lines.at(tx, "chair")->increment(tx, 4);
        o->delivery.set(tx, "Monday");
    }));
    print("eu", eu);

    std::cout << "both change it at the same time: other fields, the same quantity, the same date\n";
    auto from_eu = eu.edit([](auto& all, auto& tx) {
        all.update(tx, 17, [&](order& o) {
            o.lines.at(tx, "chair")->increment(tx, 2);
            o.delivery.set(tx, "Tuesday");
        });
    });
    auto from_us = us.edit([](auto& all, auto& tx) {
        all.update(tx, 17, [&](order& o) {
            o.lines.at(tx, "chair")->decrement(tx, 1);
            o.lines.at(tx, "table")->increment(tx);
            o.tags.add(tx, "urgent");
            o.delivery.set(tx, "Friday");
        });
    });
    eu.join(from_us);
    us.join(from_eu);
    print("eu", eu);
    print("us", us);

    // One date won, the same one everywhere; the other has not been lost silently.
    const auto dates = eu->find(17)->delivery.siblings();
    std::cout << "  dates, the winner first:";
    for (const auto& d : dates) std::cout << ' ' << d;
    std::cout << '\n';
    const bool merged = eu.state() == us.state() && eu->find(17)->lines.find("chair")->value() == 5 &&
                        eu->find(17)->lines.find("table")->value() == 1 && dates.size() == 2;

    std::cout << "eu deletes the order while us adds a lamp: what eu had not seen survives\n";
    auto deleted = eu.edit([](auto& all, auto& tx) { all.erase(tx, 17); });
    auto lamp = us.edit([](auto& all, auto& tx) { all.at(tx, 17)->lines.at(tx, "lamp")->increment(tx); });
    eu.join(lamp);
    us.join(deleted);
    print("eu", eu);
    const order* left = eu->find(17);

    const bool ok = merged && eu.state() == us.state() && left && left->lines.size() == 1 &&
                    left->lines.contains("lamp") && left->delivery.empty();
    std::cout << (ok ? "all replicas agree\n" : "WRONG\n");
    return ok ? 0 : 1;
}
