// SPDX-License-Identifier: Apache-2.0
// A plan that two people edit at once, and whose shape nobody declared: JSON in, conflicts kept and decided, JSON out.

#include <joinery/document.hpp>

#include <iostream>
#include <string>

namespace {

using joinery::document;
using joinery::transaction;

} // namespace

int main() {
    joinery::replica<document> ann{joinery::replica_id::random()};
    joinery::replica<document> bob{joinery::replica_id::random()};
    const auto meet = [&] {
        ann.join(bob.state());
        bob.join(ann.state());
    };

    ann.edit([](document& plan, transaction& tx) {
        const auto done =
            plan.import_json(tx, {}, R"({"title": "Trip", "to do": [{"what": "pack"}, {"what": "rest"}]})");
        if (!done) std::cout << to_string(done.error()) << '\n';
    });
    meet();

    // Both at once: one makes a map of what the other makes a value, and one erases what the other goes on with.
    ann.edit([](document& plan, transaction& tx) {
        plan.set(tx, {"where", "city"}, "Bern");
        plan.push_back(tx, {"to do"}, "sing");
        plan.erase(tx, {"to do", 0});
        plan.increment(tx, {"votes"});
    });
    bob.edit([](document& plan, transaction& tx) {
        plan.set(tx, {"where"}, "anywhere");
        plan.set(tx, "/to do/0/done", true); // a JSON pointer
        plan.increment(tx, {"votes"}, 2);
        plan.insert_text(tx, {"notes"}, 0, "Bring a tent.");
    });
    meet();
    for (const auto& at : bob->conflicts()) {
        std::cout << "at " << to_string(at) << ':';
        for (const auto kind : bob->kinds(at)) std::cout << ' ' << to_string(kind);
        std::cout << '\n';
    }
    const bool both = bob->get({"where"}) == "anywhere" && bob->get({"where", "city"}) == "Bern";

    // Who has seen both decides.
    bob.edit([](document& plan, transaction& tx) { plan.make_map(tx, {"where"}); });
    bob.edit([](document& plan, transaction& tx) { plan.move(tx, {"to do", 1}, 0); });
    meet();
    const std::string json = ann->to_json();
    std::cout << json << '\n';
    return both && ann.state() == bob.state() &&
                   json == R"({"notes":"Bring a tent.","title":"Trip","to do":["sing",{"what":"rest"},{"done":true}],)"
                           R"("votes":3,"where":{"city":"Bern"}})"
               ? 0
               : 1;
}
