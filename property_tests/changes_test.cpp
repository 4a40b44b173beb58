// SPDX-License-Identifier: Apache-2.0
// Whoever starts from an empty view and makes the changes that joins tell of sees what can be read of the state.
#include <joinery/changes.hpp>

#include <joinery/bag.hpp>
#include <joinery/flags.hpp>
#include <joinery/lww_map.hpp>
#include <joinery/lww_register.hpp>
#include <joinery/mv_register.hpp>
#include <joinery/or_map.hpp>
#include <joinery/or_set.hpp>
#include <joinery/pn_counter.hpp>
#include <joinery/random_source.hpp>
#include <joinery/record.hpp>
#include <joinery/rga_list.hpp>
#include <joinery/rga_text.hpp>
#include <joinery/rw_set.hpp>
#include <joinery/tree.hpp>

#include <doctest/doctest.h>
#include <rapidcheck.h>

#include <map>
#include <sstream>
#include <string>
#include <vector>

namespace {

using namespace joinery;
using joinery::testing::random_source;

struct entry {
    or_set<int> numbers;
    rw_set<int> others;
    bag<int> counted;
    lww_map<int, int> named;
    lww_register<int> last;
    mv_register<int> all;
    pn_counter points;
    disable_wins_flag open;
    enable_wins_flag hidden;
    rga_text note;
    tree nodes;
    rga_list<int> order;
};
JOINERY_RECORD(entry, (1, numbers), (2, others), (3, counted), (4, named), (5, last), (6, all), (7, points), (8, open),
               (9, hidden), (10, note), (11, nodes), (12, order))
using entries = or_map<std::string, entry>;

// All that can be read, by path; what is as at first is left out.
using view = std::map<std::string, std::string>;

view read(const entries& all) {
    view out;
    for (const auto& [key, e] : all) {
        const auto put = [&, &key = key](const std::string& path, const auto& value) {
            const shown_value v(value);
            const auto text = v.str();
            if (text != "0" && text != "false" && text != "nothing" && text != "\"\"")
                out[shown_value(key).str() + '/' + path] = text;
        };
        for (const int n : e.numbers) put("\"numbers\"/" + std::to_string(n), true);
        for (const int n : e.others) put("\"others\"/" + std::to_string(n), true);
        for (const auto& [n, times] : e.counted) put("\"counted\"/" + std::to_string(n), times);
        for (const auto& [n, value] : e.named) put("\"named\"/" + std::to_string(n), value);
        put("\"last\"", e.last.get());
        if (!e.all.empty()) put("\"all\"", e.all.values());
        put("\"points\"", e.points.value());
        put("\"open\"", e.open.enabled());
        put("\"hidden\"", e.hidden.enabled());
        put("\"note\"", e.note.str());
        if (!e.order.empty()) put("\"order\"", e.order.values());
        std::vector<unique_id> left{tree::root()};
        while (!left.empty()) {
            const auto up = left.back();
            left.pop_back();
            for (const auto& node : e.nodes.children(up)) {
                put("\"nodes\"/" + to_string(node), up);
                left.push_back(node);
            }
        }
    }
    return out;
}

void edit(entry& e, transaction& tx, random_source& random) {
    const int n = static_cast<int>(random.below(3));
    switch (random.below(26)) {
    case 0: return e.numbers.add(tx, n);
    case 1: return e.numbers.remove(tx, n);
    case 2: return e.others.add(tx, n);
    case 3: return e.others.remove(tx, n);
    case 4: return e.counted.add(tx, n, 2);
    case 5: return e.counted.remove(tx, n);
    case 6: return e.named.set(tx, n, n + 10);
    case 7: return e.named.erase(tx, n);
    case 8: return e.last.set(tx, n);
    case 9: return e.last.reset(tx);
    case 10: return e.all.set(tx, n);
    case 11: return e.points.increment(tx, n);
    case 12: return n > 0 ? e.open.enable(tx) : e.open.disable(tx);
    case 13: return n > 0 ? e.hidden.enable(tx) : e.hidden.disable(tx);
    case 14: return e.note.insert(tx, random.below(e.note.size() + 1), "ab");
    case 15:
        if (!e.note.empty()) e.note.erase(tx, random.below(e.note.size()), 1);
        return;
    case 16: e.nodes.create(tx, tree::root()); return;
    case 17:
    case 18: return e.order.insert(tx, random.below(e.order.size() + 1), n);
    case 19:
        if (!e.order.empty()) e.order.erase(tx, random.below(e.order.size()));
        return;
    case 20:
        if (!e.order.empty()) e.order.set(tx, random.below(e.order.size()), n + 10);
        return;
    case 21:
        if (!e.order.empty()) e.order.move(tx, random.below(e.order.size()), random.below(e.order.size()));
        return;
    default:
        const auto nodes = e.nodes.children(tree::root());
        if (nodes.size() < 2) return;
        if (n == 0)
            e.nodes.remove(tx, nodes[0]);
        else
            e.nodes.move(tx, nodes[random.below(nodes.size() - 1)], nodes.back());
    }
}

std::string edited(const std::string& quoted, const std::vector<text_change>& steps) {
    const std::string text = quoted.empty() ? "" : quoted.substr(1, quoted.size() - 2);
    std::string out;
    std::size_t at = 0;
    for (const auto& step : steps) {
        out += text.substr(at, step.retain) + step.insert;
        at += step.retain + step.erase;
    }
    return '"' + out + text.substr(at) + '"';
}

// "[1, 2]" and steps
std::string stepped(const std::string& shown, const std::vector<list_step<int>>& steps) {
    std::vector<int> list, out;
    std::istringstream in(shown.empty() ? "" : shown.substr(1));
    for (int n = 0; in >> n; in.ignore(1)) list.push_back(n);
    auto at = list.begin();
    for (const auto& step : steps) {
        out.insert(out.end(), at, at + static_cast<std::ptrdiff_t>(step.retain));
        out.insert(out.end(), step.insert.begin(), step.insert.end());
        at += static_cast<std::ptrdiff_t>(step.retain + step.erase);
    }
    out.insert(out.end(), at, list.end());
    return out.empty() ? "nothing" : shown_value(out).str();
}

void follow(view& seen, const noted_changes& noted) {
    RC_ASSERT(!noted.everything);
    for (const auto& c : noted.values) {
        const auto path = to_string(c.path);
        const auto before = seen.contains(path) ? seen.at(path) : std::string();
        auto after = c.after.str();
        if (const auto* steps = c.after.as<std::vector<text_change>>()) {
            after = edited(before, *steps);
        } else if (const auto* steps_of_list = c.after.as<std::vector<list_step<int>>>()) {
            after = stepped(before, *steps_of_list);
        } else {
            const auto told = c.before.str();
            RC_ASSERT(told == before || (before.empty() && (told == "0" || told == "false" || told == "nothing")));
        }
        if (after == "0" || after == "false" || after == "nothing" || after == "\"\"")
            seen.erase(path);
        else
            seen[path] = after;
    }
}

} // namespace

TEST_CASE("changes: lead from what was seen to what there is") {
    CHECK(rc::check([](std::uint64_t seed) {
        random_source random(seed);
        std::vector<replica<entries>> writers;
        for (std::uint64_t i = 1; i <= 3; ++i) writers.emplace_back(replica_id{i});
        replica<entries> reader{replica_id{9}};
        std::vector<delta<entries>> deltas;
        view seen;
        for (int step = 0; step < 60; ++step) {
            auto& w = writers[random.below(writers.size())];
            if (random.chance(50)) {
                deltas.push_back(w.edit([&](entries& all, transaction& tx) {
                    const std::string key(1, static_cast<char>('x' + random.below(2)));
                    if (random.chance(8)) return all.erase(tx, key);
                    auto open = all.at(tx, key);
                    for (std::size_t n = random.between(1, 2); n > 0; --n) edit(*open, tx, random);
                }));
            } else if (!deltas.empty() && random.chance(70)) {
                w.join(deltas[random.below(deltas.size())]);
            } else {
                w.join(writers[random.below(writers.size())].state().whole());
            }
            if (random.chance(60)) continue;
            change_list list;
            for (std::size_t n = random.between(1, 3); n > 0; --n) {
                if (!deltas.empty() && random.chance(60))
                    reader.join(deltas[random.below(deltas.size())], &list);
                else
                    reader.join(writers[random.below(writers.size())].delta_since(reader.version()), &list);
            }
            follow(seen, list.take());
            RC_ASSERT(seen == read(*reader));
        }
    }));
}
