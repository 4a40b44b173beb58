// SPDX-License-Identifier: Apache-2.0
// A type of one's own that is made of others, with its specification and its test: high scores, of which each player
// keeps the best.

#include <joinery/convergence.hpp>
#include <joinery/joinery.hpp>

#include <algorithm>
#include <iostream>
#include <map>
#include <string>
#include <utility>
#include <vector>

class high_scores : public joinery::composed<joinery::or_map<std::string, joinery::max_register<int>>> {
public:
    void score(joinery::transaction& tx, const std::string& player, int points) {
        inner_.at(tx, player)->merge(tx, points);
    }
    std::map<std::string, int> table() const {
        std::map<std::string, int> out;
        for (const auto& [player, best] : inner_) out.emplace(player, best.get().value_or(0));
        return out;
    }
    static std::string type_name() { return "high_scores"; }
};

using game = std::pair<std::string, int>; // who, how many points

// What must be shown by whoever has seen these games.
std::string specified(const joinery::testing::seen_events<game>& seen) {
    std::map<std::string, int> best;
    for (const auto& e : seen) {
        auto& b = best[e.what.first];
        b = std::max(b, e.what.second);
    }
    return joinery::testing::show(best);
}

int main() {
    joinery::testing::subject<high_scores, game> s("high_scores");
    s.operation("play", [](auto& scores, auto& tx, joinery::testing::choices& from) {
        game g{from.of(std::vector<std::string>{"Ann", "Bob"}), 1 + static_cast<int>(from.pick(9))};
        scores.score(tx, g.first, g.second);
        return g;
    });
    s.view([](const high_scores& scores) { return joinery::testing::show(scores.table()); });
    s.specification(specified);

    const auto report = joinery::testing::check(s);
    std::cout << to_string(report);
    return report.ok() ? 0 : 1;
}
