// SPDX-License-Identifier: Apache-2.0
// A list that two people reorder at once, and a view of it (what a user interface holds) that makes the same steps.

#include <joinery/replica.hpp>
#include <joinery/rga_list.hpp>

#include <cstddef>
#include <iostream>
#include <string>
#include <vector>

namespace {

using joinery::transaction;
using songs = joinery::rga_list<std::string>;

// One pass from the start: each step passes over some elements, erases some, and puts others there.
void apply(std::vector<std::string>& view, const std::vector<joinery::list_step<std::string>>& steps) {
    auto at = view.begin();
    for (const auto& step : steps) {
        at += static_cast<std::ptrdiff_t>(step.retain);
        at = view.erase(at, at + static_cast<std::ptrdiff_t>(step.erase));
        at = view.insert(at, step.insert.begin(), step.insert.end());
        at += static_cast<std::ptrdiff_t>(step.insert.size());
    }
}

} // namespace

int main() {
    joinery::replica<songs> ann{joinery::replica_id::random()};
    joinery::replica<songs> bob{joinery::replica_id::random()};
    bob.join(ann.edit([](songs& list, transaction& tx) {
        list.insert(tx, 0, {"Blackbird", "Dreams", "Heroes", "Jolene", "Respect"});
    }));

    std::vector<std::string> view = ann->values();
    auto seen = ann->marks(); // what the view shows
    const auto playing = ann->anchor(2);

    // Both at once: two different moves, an edit, and an end.
    const auto anns = ann.edit([](songs& list, transaction& tx) {
        list.move(tx, 4, 0);
        list.set(tx, 2, "Dreams (live)");
    });
    const auto bobs = bob.edit([](songs& list, transaction& tx) {
        list.move(tx, 2, 4);
        list.erase(tx, 0);
        list.push_back(tx, "Valerie");
    });
    ann.join(bobs);
    bob.join(anns);

    // Edits made here and there alike: the view follows, and so does what was playing.
    const auto steps = ann->steps_since(seen);
    for (const auto& step : steps) std::cout << to_string(step) << '\n';
    apply(view, steps);
    seen = ann->marks();
    const auto now = ann->position(playing);
    std::cout << "playing " << ann->at(now.value()) << ", number " << *now + 1 << '\n';

    const bool same = view == ann->values() && ann.state() == bob.state();
    return same && view == std::vector<std::string>{"Respect", "Dreams (live)", "Jolene", "Heroes", "Valerie"} &&
                   view[now.value()] == "Heroes" && ann->steps_since(seen).empty()
               ? 0
               : 1;
}
