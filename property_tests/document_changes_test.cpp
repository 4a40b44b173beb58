// SPDX-License-Identifier: Apache-2.0
// Whoever starts from nothing and makes the changes that joins tell of a document sees what can be read of it.
#include <joinery/changes.hpp>
#include <joinery/document.hpp>
#include <joinery/random_source.hpp>
#include <joinery/rga_list.hpp>
#include <joinery/rga_text.hpp>

#include <doctest/doctest.h>
#include <rapidcheck.h>

#include <algorithm>
#include <cstddef>
#include <map>
#include <set>
#include <string>
#include <vector>

namespace {

using namespace joinery;
using joinery::testing::random_source;
using kind = document::kind;
using names = std::vector<unique_id>;

// By path, in which elements are named; what is empty is left out.
struct view {
    std::map<std::string, std::string> shown; // a value, a number, or the kind of a container
    std::map<std::string, std::string> texts;
    std::map<std::string, names> lists;
};

bool has(const document& d, const document::path& at, kind k) {
    const auto all = d.kinds(at);
    return std::find(all.begin(), all.end(), k) != all.end();
}

// Adds what is at a path and below, and the paths of conflicts.
void read(const document& d, const document::path& at, view& out, std::set<std::string>& conflicts) {
    const auto kinds = d.kinds(at);
    if (kinds.empty()) return;
    const auto path = to_string(at);
    if (kinds.size() > 1 || d.siblings(at).size() > 1) conflicts.insert(path);
    switch (kinds.front()) {
    case kind::value: out.shown[path] = d.get(at)->to_json(); break;
    case kind::counter: out.shown[path] = std::to_string(*d.counter(at)); break;
    default: out.shown[path] = to_string(kinds.front());
    }
    if (has(d, at, kind::text) && !d.text(at)->empty()) out.texts[path] = *d.text(at);
    for (const auto& key : d.keys(at)) read(d, at / key, out, conflicts);
    const auto elements = d.names(at);
    if (!elements.empty()) out.lists[path] = elements;
    for (const auto& name : elements) read(d, at / name, out, conflicts);
}

document::path somewhere(const document& d, random_source& random) {
    document::path at;
    while (at.steps().size() < 3 && random.chance(70)) {
        const auto elements = d.names(at);
        if (!elements.empty() && random.chance(60))
            at = at / elements[random.below(elements.size())];
        else if (d.kinds(at).empty() || has(d, at, kind::map))
            at = at / std::string(1, static_cast<char>('a' + random.below(2)));
        else
            break;
    }
    return at;
}

void edit(document& d, transaction& tx, random_source& random) {
    const auto at = somewhere(d, random);
    const auto may = [&](kind k) { return d.kinds(at).empty() || has(d, at, k); };
    switch (random.below(11)) {
    case 0: return d.set(tx, at, static_cast<int>(random.below(3)));
    case 1: return d.make(tx, at, static_cast<kind>(random.below(4)));
    case 2:
        if (random.chance(40)) d.erase(tx, at);
        return;
    case 3:
        if (may(kind::counter)) d.increment(tx, at, 1 + static_cast<int>(random.below(3)));
        return;
    case 4:
    case 5:
        if (may(kind::text)) d.insert_text(tx, at, 0, "ab");
        return;
    case 6:
        if (has(d, at, kind::text) && !d.text(at)->empty()) d.erase_text(tx, at, 0, 1);
        return;
    case 7: RC_ASSERT(d.import_json(tx, at, R"({"a": [1, {"b": []}]})").has_value()); return;
    case 8: {
        const auto elements = d.names(at);
        if (!elements.empty()) d.move(tx, at / elements[random.below(elements.size())], random.below(elements.size()));
        return;
    }
    default:
        if (!may(kind::list)) return;
        if (random.chance(50))
            d.insert(tx, at, random.below(d.names(at).size() + 1), static_cast<int>(random.below(3)));
        else
            d.insert(tx, at, 0, kind::map);
    }
}

template <class Sequence, class Step> Sequence stepped(const Sequence& old, const std::vector<Step>& steps) {
    Sequence out;
    auto at = old.begin();
    for (const auto& step : steps) {
        RC_ASSERT(step.retain + step.erase <= static_cast<std::size_t>(old.end() - at));
        out.insert(out.end(), at, at + static_cast<std::ptrdiff_t>(step.retain));
        out.insert(out.end(), step.insert.begin(), step.insert.end());
        at += static_cast<std::ptrdiff_t>(step.retain + step.erase);
    }
    out.insert(out.end(), at, old.end());
    return out;
}

template <class Map> void put(Map& map, const std::string& path, typename Map::mapped_type value) {
    if (value.empty())
        map.erase(path);
    else
        map[path] = std::move(value);
}

void follow(view& seen, std::set<std::string>& conflicts, const noted_changes& noted) {
    RC_ASSERT(!noted.everything);
    for (const auto& c : noted.values) {
        const auto path = to_string(document::path(c.path));
        if (const auto* text = c.after.as<std::vector<text_change>>()) {
            put(seen.texts, path, stepped(seen.texts[path], *text));
        } else if (const auto* whole = c.after.as<std::string>()) {
            put(seen.texts, path, *whole);
        } else if (const auto* steps = c.after.as<std::vector<list_step<unique_id>>>()) {
            put(seen.lists, path, stepped(seen.lists[path], *steps));
        } else {
            RC_ASSERT(c.before.has_value() == seen.shown.contains(path));
            if (c.before.has_value()) RC_ASSERT(c.before.str() == seen.shown.at(path));
            put(seen.shown, path, c.after.has_value() ? c.after.str() : std::string());
            const bool is_conflict = c.how == conflict_choice::all_kept || c.how == conflict_choice::last_write;
            RC_ASSERT(is_conflict != c.overruled.empty());
            if (is_conflict)
                conflicts.insert(path);
            else
                conflicts.erase(path);
        }
    }
}

} // namespace

TEST_CASE("document: changes lead from what was seen to what there is, and tell of all conflicts") {
    CHECK(rc::check([](std::uint64_t seed) {
        random_source random(seed);
        std::vector<replica<document>> writers;
        for (std::uint64_t i = 1; i <= 3; ++i) writers.emplace_back(replica_id{i});
        replica<document> reader{replica_id{9}};
        std::vector<delta<document>> deltas;
        view seen;
        std::set<std::string> told;
        for (int step = 0; step < 60; ++step) {
            auto& w = writers[random.below(writers.size())];
            if (random.chance(60)) {
                deltas.push_back(w.edit([&](document& d, transaction& tx) {
                    for (std::size_t n = random.between(1, 2); n > 0; --n) edit(d, tx, random);
                }));
            } else if (!deltas.empty() && random.chance(60)) {
                w.join(deltas[random.below(deltas.size())]);
            } else {
                w.join(writers[random.below(writers.size())].state().whole());
            }
            if (random.chance(50)) continue;
            change_list list;
            for (std::size_t n = random.between(1, 3); n > 0; --n) {
                if (!deltas.empty() && random.chance(60))
                    reader.join(deltas[random.below(deltas.size())], &list);
                else
                    reader.join(writers[random.below(writers.size())].delta_since(reader.version()), &list);
            }
            follow(seen, told, list.take());
            view now;
            std::set<std::string> conflicts;
            read(*reader, {}, now, conflicts);
            RC_ASSERT(seen.shown == now.shown);
            RC_ASSERT(seen.texts == now.texts);
            RC_ASSERT(seen.lists == now.lists);
            RC_ASSERT(std::includes(told.begin(), told.end(), conflicts.begin(), conflicts.end()));
        }
    }));
}
