// SPDX-License-Identifier: Apache-2.0
#include "document_model.hpp"

#include <algorithm>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <tuple>
#include <utility>
#include <vector>

namespace document_model {

using joinery::dot;
using joinery::unique_id;

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
    timestamp at{}; ///< when a value was set, or an element moved
    std::int64_t amount = 0;
    bool again = false; ///< an element that had no place
    place self{};       ///< of characters and elements; of others the dot of the edit alone
    place parent{};     ///< of characters and elements
    friend auto operator<=>(const entry&, const entry&) = default;
};
using type = entry::type;
using entries = std::set<entry>;

struct facts {
    entries writes;
    entries kills;
    std::map<std::pair<std::string, type>, std::uint64_t> lamport; // of texts and lists: the last number taken
};

namespace {

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
// Places of elements alone are nothing.
bool has(const entries& live, const std::string& path, kind k) {
    return std::any_of(live.begin(), live.end(), [&](const entry& e) {
        if (e.what == type::element) return false;
        if (e.what == type::mark)
            return (e.path == path && e.made == k) || (k == kind::map && into(e.path, path, '/')) ||
                   (k == kind::list && into(e.path, path, '#'));
        if (k == kind::map) return into(e.path, path, '/');
        if (k == kind::list) return into(e.path, path, '#');
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

// An element is shown at the place that it was moved to last, if anything is at it or below; and one that was put back
// at the first of such places.
std::vector<entry> elements(const history& seen, const entries& live, const std::string& path) {
    const auto all = visible(seen, live, path, type::element);
    const auto name_of = [](const entry& e) { return std::pair(e.payload, e.again); };
    std::map<std::pair<std::string, bool>, std::pair<timestamp, dot>> last;
    for (const auto& e : all) {
        auto& at = last[name_of(e)];
        at = std::max(at, std::pair(e.at, e.self.where));
    }
    std::vector<entry> out;
    std::set<std::string> shown;
    for (const auto& e : all) {
        const std::string name = path + "#" + e.payload;
        const bool there = std::any_of(live.begin(), live.end(),
                                       [&](const entry& x) { return x.what != type::element && within(x.path, name); });
        if (there && last.at(name_of(e)) == std::pair(e.at, e.self.where) && shown.insert(e.payload).second)
            out.push_back(e);
    }
    return out;
}

// The place of the next character, or element; and that of erasing so many.
std::uint64_t next_lamport(const history& seen, const std::string& path, type t) {
    std::uint64_t last = 0;
    for (const auto& e : seen) {
        const auto& f = facts_of(e, seen);
        if (const auto at = f.lamport.find({path, t}); at != f.lamport.end()) last = std::max(last, at->second);
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
        const auto there = t == type::element ? elements(before, live, path) : visible(before, live, path, t);
        place parent = position == 0 || there.empty() ? place{} : there[std::min(position, there.size()) - 1].self;
        std::uint64_t lamport = next_lamport(before, path, t);
        std::uint64_t n = 0;
        for (const auto& each : what) {
            auto x = fresh(t, path);
            x.self = {lamport,
                      {e.dots.replica, e.dots.first + n++}}; // a dot of the edit's, the order of which is right
            x.parent = std::exchange(parent, x.self);
            x.payload = each;
            out.lamport[{path, t}] = lamport++;
            out.writes.insert(x);
        }
    }
    void take_out(const std::string& path, const std::vector<entry>& gone) {
        out.kills.insert(gone.begin(), gone.end());
        if (gone.empty()) return;
        const auto t = gone.front().what;
        out.lamport[{path, t}] = next_lamport(before, path, t) + gone.size() - 1;
    }

    // The places of an element; all that it had for one place are taken out at once.
    std::vector<entry> places(const std::string& path, const std::string& name) const {
        std::vector<entry> out;
        for (const auto& x : live)
            if (x.what == type::element && x.path == path && x.payload == name) out.push_back(x);
        return out;
    }
    void take_out_places(const std::vector<entry>& gone) {
        std::map<bool, entry> one;
        for (const auto& x : gone) {
            one.emplace(x.again, x);
            out.kills.insert(x);
        }
        std::vector<entry> counted;
        for (const auto& [again, x] : one) counted.push_back(x);
        if (!counted.empty()) take_out(counted.front().path, counted);
    }
    void move(const std::string& path, const std::string& name, std::size_t to) {
        const auto there = elements(before, live, path);
        const auto from = std::find_if(there.begin(), there.end(), [&](const entry& x) { return x.payload == name; });
        auto x = fresh(type::element, path);
        x.payload = name;
        x.again = true;
        x.at = e.what.at;
        bool up = false;
        if (from != there.end()) {
            to = std::min(to, there.size() - 1);
            const auto position = static_cast<std::size_t>(from - there.begin());
            auto repeated = places(path, name);
            const auto mine = std::partition(repeated.begin(), repeated.end(),
                                             [&](const entry& place) { return place.again != from->again; });
            if (position != to) out.kills.insert(mine, repeated.end());
            repeated.erase(mine, repeated.end());
            take_out_places(repeated);
            if (position == to) return;
            up = position < to;
            x.again = from->again;
            x.at = std::max(e.what.at, timestamp{from->at.ticks + 1});
        } else {
            to = std::min(to, there.size());
        }
        if (up)
            x.parent = there[to].self;
        else if (to > 0)
            x.parent = there[to - 1].self;
        auto& lamport = out.lamport[{path, type::element}];
        x.self.lamport = lamport = std::max(next_lamport(before, path, type::element), lamport + 1);
        out.writes.insert(x);
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
            if (const auto step = o.path.find_last_of("/#"); step != std::string::npos && o.path[step] == '#')
                take_out_places(places(o.path.substr(0, step), o.path.substr(step + 1)));
            break;
        case act::move: move(o.path, o.element, o.position); break;
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

std::string node_text(const history& seen, const entries& live, const std::string& path) {
    std::string out;
    const auto add = [&](const std::string& what) { out += (out.empty() ? "" : " ") + what; };
    // The steps that lead on from here.
    const auto further = [&](char step) {
        std::set<std::string> names;
        for (const auto& e : live)
            if (e.what != type::element && into(e.path, path, step)) {
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
        const auto placed = elements(seen, live, path);
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

} // namespace

std::string node_text(const history& seen, const std::string& path) { return node_text(seen, living(seen), path); }

std::string to_string(const operation& o) {
    const auto what = o.made == kind::value ? o.value : std::string(to_string(o.made));
    const auto at = " at " + std::to_string(o.position);
    switch (o.what) {
    case act::set: return o.path + " set " + o.value;
    case act::make: return o.path + " make " + what;
    case act::insert: return o.path + " insert " + what + at + " as " + o.element;
    case act::move: return o.path + " move " + o.element + " to " + std::to_string(o.position);
    case act::erase: return o.path + " erase";
    case act::count: return o.path + " count " + std::to_string(o.amount);
    case act::type: return o.path + " insert \"" + o.value + "\"" + at;
    case act::cut: return o.path + " erase " + std::to_string(o.count) + at;
    case act::import: return o.path + R"( import {"k":[)" + o.value + "]} with " + o.element;
    }
    return o.path;
}

} // namespace document_model
