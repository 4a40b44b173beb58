// SPDX-License-Identifier: Apache-2.0
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
using joinery::dot;
using joinery::timestamp;
using joinery::transaction;
using joinery::unique_id;
using joinery::testing::choices;
using kind = document::kind;

namespace {

// ---- what documents mean, as a function of a causally closed history and of nothing else ----

// An edit writes entries, each at a path, and kills entries that it had seen. What is there is what lives. Paths are
// text:
// "/key" leads into a map, "#name" into a list, and a prefix to a document in something else.

struct facts;

struct operation {
    enum class act { set, make, insert, erase, count, type, cut, import };
    act what = act::erase;
    std::string path{};
    kind made = kind::value; ///< what is made, or inserted; a value: `value`
    std::string value{};
    timestamp at{};
    std::int64_t amount = 0;
    std::size_t position = 0;
    std::size_t count = 0;
    std::string element{}; ///< the name of what was inserted
    mutable std::shared_ptr<const facts> known{};
};
using act = operation::act;
using event = joinery::testing::event<operation>;
using history = joinery::testing::seen_events<operation>;

struct place { // in the order of a text or list
    std::uint64_t lamport = 0;
    dot where;
    friend auto operator<=>(const place&, const place&) = default;
};

struct entry {
    enum class type { mark, value, amount, character, element };
    type what = type::mark;
    std::string path{};
    std::string payload{}; ///< a value, a character, the name of an element
    kind made = kind::map;
    timestamp at{};
    std::int64_t amount = 0;
    place self{};   ///< of characters and elements; of others the dot of the edit alone
    place parent{}; ///< of characters and elements
    friend auto operator<=>(const entry&, const entry&) = default;
};
using type = entry::type;
using entries = std::set<entry>;

struct facts {
    entries writes;
    entries kills;
    std::map<std::string, std::uint64_t> lamport; // of texts and lists: the last number taken
};

const facts& facts_of(const event& e, const history& seen);

bool starts(const std::string& path, const std::string& prefix) { return path.compare(0, prefix.size(), prefix) == 0; }
// At the path or below.
bool within(const std::string& path, const std::string& prefix) {
    return starts(path, prefix) && (path.size() == prefix.size() || path[prefix.size()] == '/' ||
                                    path[prefix.size()] == '#' || prefix.ends_with(':'));
}
bool into(const std::string& path, const std::string& prefix, char step) {
    return within(path, prefix) && path.size() > prefix.size() && path[prefix.size()] == step;
}

entries written(const history& seen) {
    entries out;
    for (const auto& e : seen) {
        const auto& f = facts_of(e, seen);
        out.insert(f.writes.begin(), f.writes.end());
    }
    return out;
}
entries living(const history& seen) {
    entries out = written(seen);
    for (const auto& e : seen)
        for (const auto& gone : facts_of(e, seen).kills) out.erase(gone);
    return out;
}
bool has(const entries& live, const std::string& path, kind k) {
    return std::any_of(live.begin(), live.end(), [&](const entry& e) {
        if (e.what == type::mark)
            return (e.path == path && e.made == k) || (k == kind::map && into(e.path, path, '/')) ||
                   (k == kind::list && into(e.path, path, '#'));
        if (k == kind::map) return into(e.path, path, '/');
        if (k == kind::list) return into(e.path, path, '#') || (e.path == path && e.what == type::element);
        if (e.path != path) return false;
        return (k == kind::text && e.what == type::character) || (k == kind::counter && e.what == type::amount) ||
               (k == kind::value && e.what == type::value);
    });
}
// All that ever stood in a text or list, in order: each behind its parent, the greater first.
std::vector<entry> in_order(const entries& all, const std::string& path, type t) {
    std::map<place, std::vector<entry>> children;
    for (const auto& e : all)
        if (e.what == t && e.path == path) children[e.parent].push_back(e);
    std::vector<entry> out;
    const std::function<void(const place&)> visit = [&](const place& parent) {
        auto below = children[parent];
        std::sort(below.begin(), below.end(), [](const entry& a, const entry& b) { return b.self < a.self; });
        for (const auto& e : below) {
            out.push_back(e);
            visit(e.self);
        }
    };
    visit({});
    return out;
}
std::vector<entry> visible(const history& seen, const entries& live, const std::string& path, type t) {
    auto all = in_order(written(seen), path, t);
    std::erase_if(all, [&](const entry& e) { return !live.contains(e); });
    return all;
}

// The place of the next character, or element; and that of erasing so many.
std::uint64_t next_lamport(const history& seen, const std::string& path) {
    std::uint64_t last = 0;
    for (const auto& e : seen) {
        const auto& f = facts_of(e, seen);
        if (const auto at = f.lamport.find(path); at != f.lamport.end()) last = std::max(last, at->second);
    }
    return last + 1;
}

struct deriving {
    const event& e;
    const history& before;
    entries live = living(before);
    facts out{};

    entry fresh(type t, const std::string& path) const {
        entry x;
        x.what = t;
        x.path = path;
        x.self.where = {e.dots.replica, e.dots.first};
        return x;
    }
    void mark(const std::string& path, kind k) {
        auto m = fresh(type::mark, path);
        m.made = k;
        out.writes.insert(m);
    }
    void value(const std::string& path, const std::string& v) {
        auto x = fresh(type::value, path);
        x.payload = v;
        x.at = e.what.at;
        out.writes.insert(x);
    }
    // Maps on the way are made where there is none.
    void make_way(const std::string& to) {
        for (std::size_t i = 0; i < to.size(); ++i)
            if (to[i] == '/' && !has(live, to.substr(0, i), kind::map)) mark(to.substr(0, i), kind::map);
    }
    template <class Which> void kill_if(Which&& which) {
        for (const auto& x : live)
            if (which(x)) out.kills.insert(x);
    }
    void kill_all(const std::string& path) {
        kill_if([&](const entry& x) { return within(x.path, path); });
    }
    void put_in(type t, const std::string& path, std::size_t position, const std::vector<std::string>& what) {
        const auto there = visible(before, live, path, t);
        place parent = position == 0 || there.empty() ? place{} : there[std::min(position, there.size()) - 1].self;
        std::uint64_t lamport = next_lamport(before, path);
        std::uint64_t n = 0;
        for (const auto& each : what) {
            auto x = fresh(t, path);
            x.self = {lamport,
                      {e.dots.replica, e.dots.first + n++}}; // a dot of the edit's, the order of which is right
            x.parent = std::exchange(parent, x.self);
            x.payload = each;
            out.lamport[path] = lamport++;
            out.writes.insert(x);
        }
    }
    void take_out(const std::string& path, const std::vector<entry>& gone) {
        out.kills.insert(gone.begin(), gone.end());
        if (!gone.empty()) out.lamport[path] = next_lamport(before, path) + gone.size() - 1;
    }

    facts run() {
        const auto& o = e.what;
        if (o.what != act::erase) make_way(o.path);
        switch (o.what) {
        case act::set:
            kill_all(o.path);
            value(o.path, o.value);
            break;
        case act::make:
            kill_if([&](const entry& x) {
                if (!within(x.path, o.path)) return false;
                if (x.path == o.path && x.what == type::mark) return true;
                if (o.made == kind::map) return !into(x.path, o.path, '/');
                if (o.made == kind::list)
                    return !into(x.path, o.path, '#') && !(x.path == o.path && x.what == type::element);
                if (o.made == kind::text) return !(x.path == o.path && x.what == type::character);
                return !(x.path == o.path && x.what == type::amount);
            });
            mark(o.path, o.made);
            break;
        case act::insert:
            if (!has(live, o.path, kind::list)) mark(o.path, kind::list);
            put_in(type::element, o.path, o.position, {o.element});
            if (o.made == kind::value)
                value(o.path + "#" + o.element, o.value);
            else
                mark(o.path + "#" + o.element, o.made);
            break;
        case act::erase:
            kill_all(o.path);
            for (const auto& x : live)
                if (x.what == type::element && x.path + "#" + x.payload == o.path) take_out(x.path, {x});
            break;
        case act::count: {
            if (!has(live, o.path, kind::counter)) mark(o.path, kind::counter);
            auto x = fresh(type::amount, o.path);
            x.amount = o.amount;
            out.writes.insert(x);
            break;
        }
        case act::type: {
            if (!has(live, o.path, kind::text)) mark(o.path, kind::text);
            std::vector<std::string> characters;
            for (char c : o.value) characters.emplace_back(1, c);
            put_in(type::character, o.path, o.position, characters);
            break;
        }
        case act::cut: {
            const auto there = visible(before, live, o.path, type::character);
            const auto first = there.begin() + static_cast<std::ptrdiff_t>(o.position);
            take_out(o.path, {first, first + static_cast<std::ptrdiff_t>(o.count)});
            break;
        }
        case act::import: // {"k": [value]}
            kill_all(o.path);
            mark(o.path, kind::map);
            mark(o.path + "/k", kind::list);
            put_in(type::element, o.path + "/k", 0, {o.element});
            value(o.path + "/k#" + o.element, o.value);
            break;
        }
        return std::move(out);
    }
};

const facts& facts_of(const event& e, const history& seen) {
    if (!e.what.known) {
        const auto before = seen.before(e);
        e.what.known = std::make_shared<facts>(deriving{e, before}.run());
    }
    return *e.what.known;
}

// The node at a path: "(map /a(...) list #x(...) text "abc" counter 3 value [1 2])".
std::string node_text(const history& seen, const entries& live, const std::string& path) {
    std::string out;
    const auto add = [&](const std::string& what) { out += (out.empty() ? "" : " ") + what; };
    // The steps that lead on from here.
    const auto further = [&](char step) {
        std::set<std::string> names;
        for (const auto& e : live)
            if (into(e.path, path, step)) {
                const auto end = e.path.find_first_of("/#", path.size() + 1);
                names.insert(e.path.substr(path.size() + 1, end == std::string::npos ? end : end - path.size() - 1));
            }
        return names;
    };
    if (has(live, path, kind::map)) {
        add("map");
        for (const auto& key : further('/')) add("/" + key + node_text(seen, live, path + "/" + key));
    }
    if (has(live, path, kind::list)) {
        add("list");
        const auto placed = visible(seen, live, path, type::element);
        std::vector<std::string> all;
        for (const auto& e : placed) all.push_back(e.payload);
        std::vector<unique_id> astray;
        for (const auto& name : further('#'))
            if (std::find(all.begin(), all.end(), name) == all.end()) astray.push_back(unique_id::parse(name).value());
        std::sort(astray.begin(), astray.end());
        for (const auto& name : astray) all.push_back(to_string(name));
        for (const auto& name : all) add("#" + name + node_text(seen, live, path + "#" + name));
    }
    if (has(live, path, kind::text)) {
        std::string text;
        for (const auto& e : visible(seen, live, path, type::character)) text += e.payload;
        add("text \"" + text + "\"");
    }
    if (has(live, path, kind::counter)) {
        std::int64_t sum = 0;
        for (const auto& e : live)
            if (e.path == path && e.what == type::amount) sum += e.amount;
        add("counter " + std::to_string(sum));
    }
    if (has(live, path, kind::value)) {
        std::vector<std::tuple<timestamp, dot, std::string>> values;
        for (const auto& e : live)
            if (e.path == path && e.what == type::value) values.emplace_back(e.at, e.self.where, e.payload);
        std::sort(values.rbegin(), values.rend());
        std::string all;
        for (const auto& v : values) all += (all.empty() ? "" : " ") + std::get<2>(v);
        add("value [" + all + "]");
    }
    return "(" + out + ")";
}

std::string to_string(const operation& o) {
    const auto what = o.made == kind::value ? o.value : std::string(to_string(o.made));
    const auto at = " at " + std::to_string(o.position);
    switch (o.what) {
    case act::set: return o.path + " set " + o.value;
    case act::make: return o.path + " make " + what;
    case act::insert: return o.path + " insert " + what + at + " as " + o.element;
    case act::erase: return o.path + " erase";
    case act::count: return o.path + " count " + std::to_string(o.amount);
    case act::type: return o.path + " insert \"" + o.value + "\"" + at;
    case act::cut: return o.path + " erase " + std::to_string(o.count) + at;
    case act::import: return o.path + R"( import {"k":[)" + o.value + "]} with " + o.element;
    }
    return o.path;
}

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
    switch (from.pick(12)) {
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
    s.specification(
        [](const history& seen) -> std::optional<std::string> { return node_text(seen, living(seen), ""); });
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
        const auto live = living(seen);
        std::string out;
        for (const std::string path : {"p:left", "p:right", "q:left", "q:right"})
            if (const auto text = node_text(seen, live, path); text != "()") out += path + text;
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
