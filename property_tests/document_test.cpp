// SPDX-License-Identifier: Apache-2.0
#include "document_model.hpp"

#include <joinery/convergence.hpp>
#include <joinery/document.hpp>
#include <joinery/exploration.hpp>
#include <joinery/or_map.hpp>
#include <joinery/record.hpp>
#include <joinery/rga_text.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <functional>
#include <iostream>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

using joinery::document;
using joinery::transaction;
using joinery::testing::choices;
using kind = document::kind;
using document_model::act;
using document_model::history;
using document_model::node_text;
using document_model::operation;

namespace {

// ---- what can be done, and read ----

struct spot {
    document::path path;
    std::string text; // the same, with names in place of positions, behind a prefix
};

spot element_of(const document& d, const spot& list, std::size_t i) {
    return {list.path / i, list.text + "#" + to_string(d.name(list.path / i).value())};
}

// Down from the root, for a while.
spot walk(const document& d, choices& from, const std::string& prefix) {
    spot at{{}, prefix};
    while (at.path.steps().size() < 3 && from.pick(4) > 0) {
        const auto keys = d.keys(at.path);
        const auto kinds = d.kinds(at.path);
        const bool list = std::find(kinds.begin(), kinds.end(), kind::list) != kinds.end();
        const std::size_t elements = list ? d.size(at.path) : 0;
        if (keys.size() + elements == 0) break;
        const std::size_t which = from.pick(keys.size() + elements);
        if (which < keys.size())
            at = {at.path / keys[which], at.text + "/" + keys[which]};
        else
            at = element_of(d, at, which - keys.size());
    }
    return at;
}

operation change(document& d, transaction& tx, choices& from, const std::string& prefix) {
    auto at = walk(d, from, prefix);
    const auto there = [&](kind k) {
        const auto kinds = d.kinds(at.path);
        return kinds.empty() || std::find(kinds.begin(), kinds.end(), k) != kinds.end();
    };
    // Mostly something in a map, and what is new there.
    if (there(kind::map) && at.path.steps().size() < 3 && from.pick(3) > 0) {
        const std::string key(1, static_cast<char>('a' + from.pick(3)));
        at = {at.path / key, at.text + "/" + key};
    }
    operation o;
    o.path = at.text;
    o.at = tx.now();
    o.value = std::to_string(from.pick(9));
    const auto container = static_cast<kind>(from.pick(4));
    const auto v = document::scalar(std::atoi(o.value.c_str()));
    switch (from.pick(14)) {
    case 12:
    case 13: {
        if (d.kinds(at.path).empty() || !there(kind::list) || d.size(at.path) < 2) break;
        const std::size_t size = d.size(at.path), which = from.pick(size);
        o.what = act::move;
        o.position = from.pick(size);
        o.element = to_string(d.name(at.path / which).value());
        if (o.position == which) o.position = (which + 1) % size;
        const bool by_name = from.pick(2) == 0;
        d.move(tx, by_name ? at.path / d.name(at.path / which).value() : at.path / which, o.position);
        return o;
    }
    case 0:
    case 1:
    case 2:
        if (there(kind::list)) {
            o.what = act::insert;
            const auto kinds = d.kinds(at.path);
            o.position = kinds.empty() ? 0 : from.pick(d.size(at.path) + 1);
            if (from.pick(2) == 0) {
                o.made = container;
                o.element = to_string(d.insert(tx, at.path, o.position, container));
            } else {
                o.element = to_string(d.insert(tx, at.path, o.position, v));
            }
            return o;
        }
        break;
    case 3:
        if (there(kind::counter)) {
            o.what = act::count;
            o.amount = static_cast<std::int64_t>(from.pick(5)) - 2;
            if (o.amount == 0) o.amount = 3;
            d.increment(tx, at.path, o.amount);
            return o;
        }
        break;
    case 4:
    case 5:
        if (there(kind::text)) {
            const auto* text = d.find_text(at.path);
            const std::size_t size = text ? text->size() : 0;
            if (size > 0 && from.pick(3) == 0) {
                o.what = act::cut;
                o.position = from.pick(size);
                o.count = 1 + from.pick(std::min<std::size_t>(size - o.position, 2));
                d.erase_text(tx, at.path, o.position, o.count);
            } else {
                o.what = act::type;
                o.position = from.pick(size + 1);
                o.value = from.pick(2) == 0 ? "x" : "pqr";
                d.insert_text(tx, at.path, o.position, o.value);
            }
            return o;
        }
        break;
    case 6:
        o.what = act::make;
        o.made = container;
        d.make(tx, at.path, container);
        return o;
    case 7:
    case 8:
    case 9:
        o.what = act::erase;
        d.erase(tx, at.path);
        return o;
    case 10: {
        if (at.path.steps().size() > 1) break;
        o.what = act::import;
        const auto done = d.import_json(tx, at.path, R"({"k":[)" + o.value + "]}");
        if (!done) throw std::logic_error(done.error().reason);
        o.element = to_string(d.name(at.path / "k" / 0).value());
        return o;
    }
    default: break;
    }
    o.what = act::set;
    d.set(tx, at.path, v);
    return o;
}

std::string read(const document& d, const document::path& at) {
    std::string out;
    const auto add = [&](const std::string& what) { out += (out.empty() ? "" : " ") + what; };
    for (const auto k : d.kinds(at)) {
        switch (k) {
        case kind::map:
            add("map");
            for (const auto& key : d.keys(at)) add("/" + key + read(d, at / key));
            break;
        case kind::list:
            add("list");
            for (std::size_t i = 0; i < d.size(at); ++i) {
                const auto name = d.name(at / i).value();
                const auto below = read(d, at / i);
                add("#" + to_string(name) + below);
                if (read(d, at / name) != below) add("inconsistent");
            }
            break;
        case kind::text: add("text \"" + d.text(at).value() + "\""); break;
        case kind::counter: add("counter " + std::to_string(d.counter(at).value())); break;
        case kind::value: {
            std::string all;
            for (const auto& v : d.siblings(at)) all += (all.empty() ? "" : " ") + v.to_json();
            add("value [" + all + "]");
            if (d.get(at) != d.siblings(at).front()) add("inconsistent");
            break;
        }
        }
    }
    return "(" + out + ")";
}

struct two {
    document left;
    document right;
};
JOINERY_RECORD(two, (1, left), (2, right))
using pages = joinery::or_map<std::string, two>;

joinery::testing::subject<document, operation> alone(const std::string& name) {
    joinery::testing::subject<document, operation> s(name);
    s.view([](const document& d) { return read(d, {}); });
    s.specification([](const history& seen) -> std::optional<std::string> { return node_text(seen, ""); });
    return s;
}

template <class T> void check(const joinery::testing::subject<T, operation>& s) {
    const auto report = joinery::testing::check(s, {.usual_histories = 250});
    INFO(to_string(report));
    CHECK(report.ok());
    if (report.counts.histories() < 100 || !report.ok()) return;
    INFO(to_string(report.counts));
    CHECK(report.counts.thin(1) == std::vector<std::string>{});
    CHECK(report.counts.total(joinery::testing::occurrence::comparison) > report.counts.histories());
}

void explore(const joinery::testing::subject<document, operation>& s) {
    const auto found = joinery::testing::explore(s);
    std::cout << to_string(found);
    INFO(to_string(found));
    CHECK(found.ok());
}

operation done(act what, const std::string& path, transaction& tx, const std::string& value = {}) {
    operation o;
    o.what = what;
    o.path = path;
    o.value = value;
    o.at = tx.now();
    return o;
}

} // namespace

TEST_CASE("document: is what its specification says, whatever happens") {
    auto s = alone("document");
    s.operation("", [](document& d, transaction& tx, choices& from) { return change(d, tx, from, ""); });
    check(s);
}

TEST_CASE("document: two in a record, in an or_map") {
    joinery::testing::subject<pages, operation> s("or_map of records of two documents");
    s.operation("", [](pages& m, transaction& tx, choices& from) {
        const std::string key(1, static_cast<char>('p' + from.pick(2)));
        if (from.pick(10) >= 8) {
            m.erase(tx, key);
            return done(act::erase, key + ":", tx);
        }
        const auto page = m.at(tx, key);
        return from.pick(2) == 0 ? change(page->left, tx, from, key + ":left")
                                 : change(page->right, tx, from, key + ":right");
    });
    s.view([](const pages& m) {
        std::map<std::string, std::string> all;
        for (const auto& [key, page] : m) {
            if (!page.left.empty()) all[key + ":left"] = read(page.left, {});
            if (!page.right.empty()) all[key + ":right"] = read(page.right, {});
            if (page.left.empty() && page.right.empty()) all[key] = "inconsistent";
        }
        std::string out;
        for (const auto& [path, text] : all) out += path + text;
        return out;
    });
    s.specification([](const history& seen) -> std::optional<std::string> {
        std::string out;
        for (const std::string path : {"p:left", "p:right", "q:left", "q:right"})
            if (const auto text = node_text(seen, path); text != "()") out += path + text;
        return out;
    });
    check(s);
}

TEST_CASE("document: explored, types at one path") {
    auto s = alone("document, types at one path");
    s.operation("set", [](document& d, transaction& tx, choices&) {
        d.set(tx, {"x"}, 1);
        return done(act::set, "/x", tx, "1");
    });
    s.operation("set below", [](document& d, transaction& tx, choices&) {
        const auto kinds = d.kinds({"x"});
        operation o;
        if (!kinds.empty() && kinds.front() != kind::map) return o;
        d.set(tx, {"x", "y"}, 2);
        return done(act::set, "/x/y", tx, "2");
    });
    s.operation("erase", [](document& d, transaction& tx, choices&) {
        d.erase(tx, {"x"});
        return done(act::erase, "/x", tx);
    });
    explore(s);
}

TEST_CASE("document: explored, a list") {
    auto s = alone("document, a list");
    s.operation("insert", [](document& d, transaction& tx, choices&) {
        auto o = done(act::insert, "", tx);
        o.made = kind::map;
        o.element = to_string(d.insert(tx, {}, 0, kind::map));
        return o;
    });
    s.operation("write below the first", [](document& d, transaction& tx, choices&) {
        if (d.size({}) == 0) return operation{};
        auto o = done(act::set, "#" + to_string(d.name({0}).value()) + "/x", tx, "1");
        d.set(tx, {0, "x"}, 1);
        return o;
    });
    s.operation("erase the first", [](document& d, transaction& tx, choices&) {
        if (d.size({}) == 0) return operation{};
        auto o = done(act::erase, "#" + to_string(d.name({0}).value()), tx);
        d.erase(tx, {0});
        return o;
    });
    explore(s);
}
