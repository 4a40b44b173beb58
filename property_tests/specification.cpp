// SPDX-License-Identifier: Apache-2.0
#include "specification.hpp"

#include <joinery/narration.hpp>

#include <algorithm>
#include <functional>
#include <set>
#include <tuple>
#include <vector>

namespace specification {

using joinery::dot;
using joinery::timestamp;
using joinery::testing::event;
using op = event<operation>;

// What an operation did, given what it had seen.
struct derived {
    std::set<dot> kills;
    std::map<dot, std::uint64_t> killed_runs; // by the first dot of a run of increments: its last one seen
    dot run;                                  // of an increment: the run that it continues, or begins
    std::uint64_t already_removed = 0;        // of an increment: up to here its run was removed before
    dot parent;                               // of an insertion
    std::uint64_t lamport = 0;                // of an insertion or an erasure: of its first dot
    // Of lists:
    std::set<dot> elements;    // that it erased, set or moved, each named by its insertion
    timestamp placed, written; // of the one that it set or moved: when it was placed, and its value written
    dot place;                 // of the one that it set: where it was
    std::string value;         // that it set, or took along
};

namespace {

bool below(const std::string& path, const std::string& prefix) { return path.compare(0, prefix.size(), prefix) == 0; }
dot first_dot(const op& e) { return {e.dots.replica, e.dots.first}; }
// What a dot stands for that later writes of the same thing supersede.
bool is_write(act a) {
    switch (a) {
    case act::add:
    case act::set:
    case act::assign:
    case act::raise:
    case act::permit:
    case act::forbid:
    case act::store:
    case act::relocate:
    case act::replace:
    case act::shift:
    case act::discard: return true;
    default: return false;
    }
}
// What has dots of which each lives and dies alone.
bool is_many(act a) { return a == act::insert || a == act::put; }

std::vector<std::string> characters(const std::string& utf8) {
    std::vector<std::string> out;
    for (char c : utf8) {
        if ((static_cast<unsigned char>(c) & 0xc0) != 0x80) out.emplace_back();
        out.back() += c;
    }
    return out;
}

const derived& facts(const op& e, const history& seen);

std::set<dot> killed_by(const history& seen) {
    std::set<dot> out;
    for (const auto& e : seen) {
        const auto& f = facts(e, seen);
        out.insert(f.kills.begin(), f.kills.end());
    }
    return out;
}

// ---- counters: runs of increments ----

struct run_now {
    std::uint64_t last = 0;    // the greatest increment seen
    std::uint64_t removed = 0; // the greatest increment that a removal had seen
    bool live() const { return last > removed; }
};

// The runs at `path` by their first dots.
std::map<dot, run_now> runs_at(const history& seen, const std::string& path) {
    std::map<dot, run_now> out;
    for (const auto& e : seen) {
        if (e.what.what != act::increment || e.what.path != path) continue;
        const auto& f = facts(e, seen);
        auto& run = out[f.run];
        if (e.dots.last > run.last) run.last = e.dots.last;
        run.removed = std::max(run.removed, f.already_removed);
    }
    for (const auto& e : seen)
        for (const auto& [start, last] : facts(e, seen).killed_runs)
            if (auto run = out.find(start); run != out.end()) run->second.removed = std::max(run->second.removed, last);
    return out;
}

// ---- texts ----

struct character {
    dot where;
    std::uint64_t lamport;
    std::string utf8;
};

// All characters at `path` that the start leads to, in order, tombstones included; and the places in a list that
// elements were moved to.
std::vector<character> in_order(const history& seen, const std::string& path) {
    std::map<dot, std::vector<character>> children;
    for (const auto& e : seen) {
        if ((e.what.what != act::insert && e.what.what != act::shift) || e.what.path != path) continue;
        const auto& f = facts(e, seen);
        dot parent = f.parent;
        std::uint64_t i = 0;
        for (auto& c : e.what.what == act::shift ? std::vector<std::string>{""} : characters(e.what.value)) {
            dot where{e.dots.replica, e.dots.first + i};
            children[parent].push_back({where, f.lamport + i, c});
            parent = where;
            ++i;
        }
    }
    std::vector<character> out;
    std::function<void(dot)> visit = [&](dot parent) {
        auto& c = children[parent];
        std::sort(c.begin(), c.end(), [](const auto& a, const auto& b) {
            return std::tie(b.lamport, b.where.replica) < std::tie(a.lamport, a.where.replica);
        });
        for (std::size_t i = 0; i < c.size(); ++i) {
            out.push_back(children[parent][i]);
            visit(children[parent][i].where);
        }
    };
    visit(dot{});
    return out;
}

// An element of a list; a character of a text is one that is neither moved nor set.
struct element {
    using write = std::tuple<timestamp, timestamp, dot, std::string>; // also when it was placed, if it took it along
    std::set<std::pair<timestamp, dot>> places;                       // the last shows
    std::set<write> written;                                          // the last is its value
    std::set<dot> sets;
};
using is_dead = std::function<bool(dot)>;

std::map<dot, element> elements_at(const history& seen, const std::string& path, const is_dead& dead) {
    std::map<dot, element> out;
    std::set<dot> kept; // where sets were made
    for (const auto& e : seen) {
        if (e.what.what != act::replace || e.what.path != path || dead(first_dot(e))) continue;
        const auto& f = facts(e, seen);
        kept.insert(f.place);
        auto& at = out[*f.elements.begin()];
        at.written.emplace(f.written, timestamp{}, first_dot(e), f.value);
        at.sets.insert(first_dot(e));
    }
    const auto stands = [&](dot element, dot where, timestamp placed, timestamp written, const std::string& value) {
        if (dead(where) && !kept.contains(where)) return;
        out[element].places.emplace(placed, where);
        if (!dead(where)) out[element].written.emplace(written, placed, where, value);
    };
    for (const auto& e : seen) {
        if (e.what.path != path) continue;
        if (e.what.what == act::insert) {
            dot where = first_dot(e);
            for (const auto& c : characters(e.what.value)) {
                stands(where, where, {}, {}, c);
                ++where.seq;
            }
        } else if (e.what.what == act::shift) {
            const auto& f = facts(e, seen);
            stands(*f.elements.begin(), first_dot(e), f.placed, f.written, f.value);
        }
    }
    return out;
}

struct visible_element {
    dot name, where;
    element all;
    const std::string& value() const { return std::get<std::string>(*all.written.rbegin()); }
    // With the values that it was also set to.
    std::string siblings() const {
        std::string out = value();
        for (auto w = std::next(all.written.rbegin()); w != all.written.rend(); ++w)
            if (all.sets.contains(std::get<dot>(*w))) out += std::get<std::string>(*w);
        return out;
    }
};

std::vector<visible_element> visible(const history& seen, const std::string& path, const is_dead& dead) {
    std::map<dot, std::pair<dot, element>> shown;
    for (auto& [name, e] : elements_at(seen, path, dead))
        if (!e.places.empty()) shown[e.places.rbegin()->second] = {name, e};
    std::vector<visible_element> out;
    for (const auto& c : in_order(seen, path))
        if (const auto at = shown.find(c.where); at != shown.end())
            out.push_back({at->second.first, c.where, at->second.second});
    return out;
}
std::vector<visible_element> visible(const history& seen, const std::string& path) {
    const auto killed = killed_by(seen);
    return visible(seen, path, [&](dot d) { return killed.contains(d); });
}

std::uint64_t greatest_lamport(const history& seen, const std::string& path) {
    std::uint64_t greatest = 0;
    for (const auto& e : seen)
        if ((e.what.what == act::insert || e.what.what == act::erase || e.what.what == act::shift) &&
            e.what.path == path)
            greatest = std::max(greatest, facts(e, seen).lamport + e.dots.size() - 1);
    return greatest;
}

// ---- trees ----

struct relocation {
    std::uint64_t lamport;
    dot where;
    std::string node, parent;
    friend auto operator<=>(const relocation&, const relocation&) = default;
};

// The moves at `path` that live, in their order.
std::vector<relocation> moves_at(const history& seen, const std::string& path, const std::set<dot>& killed) {
    std::vector<relocation> out;
    for (const auto& e : seen)
        if (e.what.what == act::relocate && e.what.path == path && !killed.contains(first_dot(e)))
            out.push_back({facts(e, seen).lamport, first_dot(e), e.what.value, e.what.parent});
    std::sort(out.begin(), out.end());
    return out;
}

// One after the other, each unless it would make a cycle; and then all that the root leads to, "(node (child) node)".
std::string tree_of(const std::vector<relocation>& moves) {
    std::map<std::string, relocation> placed;
    const auto above = [&](const std::string& node, std::string below) {
        while (below != node) {
            const auto put = placed.find(below);
            if (put == placed.end() || put->second.parent == below) return false;
            below = put->second.parent;
        }
        return true;
    };
    for (const auto& m : moves)
        if (m.parent == m.node || !above(m.node, m.parent)) placed.insert_or_assign(m.node, m);
    std::function<std::string(const std::string&)> below = [&](const std::string& node) {
        std::vector<relocation> children;
        for (const auto& [child, put] : placed)
            if (put.parent == node && child != node) children.push_back(put);
        std::sort(children.begin(), children.end());
        std::string out;
        for (const auto& c : children) out += (out.empty() ? "" : " ") + c.node + below(c.node);
        return out.empty() ? out : "(" + out + ")";
    };
    return below("root");
}

// ---- bags ----

// The dots of an element that live.
std::vector<dot> occurrences(const history& seen, const std::string& path, const std::string& element) {
    std::vector<dot> out;
    const auto killed = killed_by(seen);
    for (const auto& e : seen) {
        if (e.what.what != act::put || e.what.path != path || e.what.value != element) continue;
        for (std::uint64_t seq = e.dots.first; seq <= e.dots.last; ++seq)
            if (!killed.contains({e.dots.replica, seq})) out.push_back({e.dots.replica, seq});
    }
    std::sort(out.begin(), out.end());
    return out;
}

// ---- what an operation did ----

derived derive(const op& e, const history& before) {
    derived out;
    const auto& o = e.what;
    auto killed = killed_by(before);
    auto kill_writes = [&](auto&& matches) {
        for (const auto& w : before)
            if (is_write(w.what.what) && matches(w.what) && !killed.contains(first_dot(w)))
                out.kills.insert(first_dot(w));
    };
    const auto kill_element = [&](const visible_element& at) {
        out.elements.insert(at.name);
        for (const auto& [when, where] : at.all.places) out.kills.insert(where);
        for (const auto& w : before)
            if (w.what.what == act::replace && at.all.sets.contains(first_dot(w)))
                out.kills.insert({first_dot(w), facts(w, before).place});
    };
    const auto later = [&](timestamp than) { return std::max(o.at, timestamp{than.ticks + 1}); };
    switch (o.what) {
    case act::add:
    case act::permit:
    case act::forbid:
    case act::remove: kill_writes([&](const operation& w) { return w.path == o.path && w.value == o.value; }); break;
    case act::set:
    case act::assign:
    case act::raise:
    case act::store:
    case act::discard:
    case act::reset: kill_writes([&](const operation& w) { return w.path == o.path; }); break;
    case act::increment: {
        out.run = first_dot(e);
        auto runs = runs_at(before, o.path);
        for (const auto& [start, run] : runs) // ascending: the newest of its own that lives
            if (start.replica == e.dots.replica && run.live()) {
                out.run = start;
                out.already_removed = run.removed;
            }
        break;
    }
    case act::insert: {
        auto text = visible(before, o.path);
        if (o.position > 0) out.parent = text.at(o.position - 1).where;
        out.lamport = greatest_lamport(before, o.path) + 1;
        break;
    }
    case act::erase: {
        auto text = visible(before, o.path);
        for (std::size_t i = 0; i < o.count; ++i) kill_element(text.at(o.position + i));
        out.lamport = greatest_lamport(before, o.path) + 1;
        break;
    }
    case act::replace: {
        const auto at = visible(before, o.path).at(o.position);
        out.elements.insert(at.name);
        out.kills = at.all.sets;
        for (const auto& w : before) // and hidden places that were kept for those
            if (w.what.what == act::replace && at.all.sets.contains(first_dot(w)) && facts(w, before).place != at.where)
                out.kills.insert(facts(w, before).place);
        out.place = at.where;
        out.placed = at.all.places.rbegin()->first;
        out.written = later(std::get<0>(*at.all.written.rbegin()));
        out.value = o.value;
        break;
    }
    case act::shift: {
        const auto text = visible(before, o.path);
        const auto& at = text.at(o.position);
        kill_element(at);
        const std::size_t gap = o.count > o.position ? o.count + 1 : o.count;
        if (gap > 0) out.parent = text.at(gap - 1).where;
        out.lamport = greatest_lamport(before, o.path) + 1;
        out.placed = later(at.all.places.rbegin()->first);
        out.written = std::get<0>(*at.all.written.rbegin());
        out.value = at.value();
        break;
    }
    case act::put: break;
    case act::relocate: {
        const auto moves = moves_at(before, o.path, killed);
        out.lamport = moves.empty() ? 1 : moves.back().lamport + 1;
        break;
    }
    case act::take: {
        auto there = occurrences(before, o.path, o.value);
        there.resize(std::min(there.size(), o.count));
        out.kills.insert(there.begin(), there.end());
        break;
    }
    case act::remove_key: {
        kill_writes([&](const operation& w) { return below(w.path, o.path); });
        std::set<std::string> counters;
        for (const auto& w : before) {
            if (!below(w.what.path, o.path)) continue;
            if (w.what.what == act::increment) counters.insert(w.what.path);
            if (!is_many(w.what.what)) continue;
            for (std::uint64_t seq = w.dots.first; seq <= w.dots.last; ++seq)
                if (!killed.contains({w.dots.replica, seq})) out.kills.insert({w.dots.replica, seq});
        }
        for (const auto& w : before) // what sets keep is killed once more
            if (w.what.what == act::replace && below(w.what.path, o.path) && !killed.contains(first_dot(w)))
                out.kills.insert(facts(w, before).place);
        for (const auto& path : counters)
            for (const auto& [start, run] : runs_at(before, path))
                if (run.live()) out.killed_runs[start] = run.last;
        break;
    }
    }
    return out;
}

const derived& facts(const op& e, const history& seen) {
    if (!e.what.known) e.what.known = std::make_shared<derived>(derive(e, seen.before(e)));
    return *e.what.known;
}

// ---- reading ----

struct reading {
    std::map<std::string, std::vector<std::string>> sets;
    std::map<std::string, std::vector<std::tuple<timestamp, dot, std::string>>> registers;
    std::map<std::string, std::map<dot, std::string>> multi;
    std::map<std::string, std::int64_t> greatest;
    std::map<std::string, std::map<std::string, bool>> permitted; // false: forbidden
    std::map<std::string, std::tuple<timestamp, dot, std::optional<std::string>>> last;
    std::map<std::string, std::map<std::string, std::size_t>> bags;
    std::map<std::string, std::int64_t> counters;
    std::map<std::string, std::string> texts;

    void write(const op& e) {
        const auto& o = e.what;
        if (o.what == act::add) sets[o.path].push_back(o.value);
        if (o.what == act::set) registers[o.path].emplace_back(o.at, first_dot(e), o.value);
        if (o.what == act::assign) multi[o.path][first_dot(e)] = o.value;
        if (o.what == act::raise) {
            const auto at = greatest.try_emplace(o.path, o.amount).first;
            at->second = std::max(at->second, o.amount);
        }
        if (o.what == act::permit) permitted[o.path].try_emplace(o.value, true);
        if (o.what == act::forbid) permitted[o.path][o.value] = false;
        if (o.what == act::store) latest(o.path, {o.at, first_dot(e), o.value});
        if (o.what == act::discard) latest(o.path, {o.at, first_dot(e), std::nullopt});
    }
    void latest(const std::string& path, const std::tuple<timestamp, dot, std::optional<std::string>>& write) {
        const auto at = last.try_emplace(path, write).first;
        at->second = std::max(at->second, write);
    }
    void read(const std::string& path, const std::vector<visible_element>& all) {
        for (std::size_t i = 0; i < all.size(); ++i) {
            texts[path] += all[i].value();
            if (const auto siblings = all[i].siblings(); siblings != all[i].value())
                texts[path + std::to_string(i) + "/"] = siblings;
        }
    }
    contents result() {
        contents out;
        for (auto& [path, elements] : sets) {
            std::sort(elements.begin(), elements.end());
            elements.erase(std::unique(elements.begin(), elements.end()), elements.end());
            out[path] = "{" + joinery::testing::detail::listed(elements) + "}";
        }
        for (auto& [path, siblings] : registers) {
            std::sort(siblings.rbegin(), siblings.rend());
            std::vector<std::string> values;
            for (auto& s : siblings) values.push_back(std::get<2>(s));
            out[path] = "[" + joinery::testing::detail::listed(values) + "]";
        }
        for (auto& [path, entries] : multi) {
            std::vector<std::string> values;
            for (auto& [d, value] : entries) values.push_back(value);
            out[path] = "[" + joinery::testing::detail::listed(values) + "]";
        }
        for (auto& [path, value] : counters) out[path] = std::to_string(value);
        for (auto& [path, value] : greatest) out[path] = std::to_string(value);
        for (auto& [path, elements] : permitted) {
            std::vector<std::string> there;
            for (auto& [element, is_there] : elements)
                if (is_there) there.push_back(element);
            if (!there.empty()) out[path] = "{" + joinery::testing::detail::listed(there) + "}";
        }
        for (auto& [path, write] : last)
            if (const auto& value = std::get<2>(write)) out[path] = *value;
        for (auto& [path, elements] : bags) {
            std::vector<std::string> there;
            for (auto& [element, times] : elements) there.push_back(std::to_string(times) + " of " + element);
            out[path] = "{" + joinery::testing::detail::listed(there) + "}";
        }
        for (auto& [path, text] : texts)
            if (!text.empty()) out[path] = "\"" + text + "\"";
        return out;
    }
};

std::set<std::string> paths_of(const history& seen, act a) {
    std::set<std::string> out;
    for (const auto& e : seen)
        if (e.what.what == a) out.insert(e.what.path);
    return out;
}
std::set<std::string> sequences(const history& seen) {
    auto out = paths_of(seen, act::insert);
    out.merge(paths_of(seen, act::shift));
    return out;
}

} // namespace

contents content(const history& seen) {
    reading out;
    auto killed = killed_by(seen);
    for (const auto& e : seen)
        if (is_write(e.what.what) && !killed.contains(first_dot(e))) out.write(e);
    for (const auto& path : paths_of(seen, act::increment))
        for (const auto& [start, run] : runs_at(seen, path)) {
            if (!run.live()) continue;
            // An increment that was seen brings the earlier ones of its run.
            auto all = seen.everything();
            for (const auto& e : all)
                if (e.what.what == act::increment && e.what.path == path && facts(e, all).run == start &&
                    run.removed < e.dots.last && e.dots.last <= run.last)
                    out.counters[path] += e.what.amount;
        }
    for (const auto& path : sequences(seen)) out.read(path, visible(seen, path));
    for (const auto& path : paths_of(seen, act::relocate)) out.texts[path] = tree_of(moves_at(seen, path, killed));
    for (const auto& e : seen)
        if (e.what.what == act::put)
            if (const auto n = occurrences(seen, e.what.path, e.what.value).size())
                out.bags[e.what.path][e.what.value] = n;
    return out.result();
}

contents happens_before(const history& seen) {
    reading out;
    auto removed_by_key = [&](const op& e, const op& by) {
        return by.what.what == act::remove_key && below(e.what.path, by.what.path) && by.saw(e);
    };
    auto superseded = [&](const op& e, const op& by) {
        const auto &o = e.what, &b = by.what;
        if (b.path != o.path || !by.saw(e)) return false;
        if (o.what == act::add) return (b.what == act::add || b.what == act::remove) && b.value == o.value;
        if (o.what == act::permit || o.what == act::forbid)
            return (b.what == act::permit || b.what == act::forbid) && b.value == o.value;
        if (o.what == act::store || o.what == act::discard) return b.what == act::store || b.what == act::discard;
        if (o.what == act::relocate || o.what == act::replace || o.what == act::shift) return false;
        return b.what == o.what || b.what == act::reset;
    };
    for (const auto& e : seen) {
        bool dead = false;
        if (is_write(e.what.what)) {
            for (const auto& by : seen) dead = dead || removed_by_key(e, by) || superseded(e, by);
            if (!dead) out.write(e);
        } else if (e.what.what == act::increment) {
            // Totals are cumulative: who has seen a later increment of a replica has seen this one.
            for (const auto& by : seen)
                for (const auto& later : seen)
                    dead = dead || (later.what.what == act::increment && later.what.path == e.what.path &&
                                    later.dots.replica == e.dots.replica && later.dots.last >= e.dots.last &&
                                    removed_by_key(later, by));
            if (!dead) out.counters[e.what.path] += e.what.amount;
        } else if (e.what.what == act::put) {
            for (std::uint64_t seq = e.dots.first; seq <= e.dots.last; ++seq) {
                dead = false;
                for (const auto& by : seen)
                    dead = dead || removed_by_key(e, by) ||
                           (by.what.what == act::take && facts(by, seen).kills.contains({e.dots.replica, seq}));
                if (!dead) ++out.bags[e.what.path][e.what.value];
            }
        }
    }
    for (const auto& path : paths_of(seen, act::relocate)) {
        std::set<dot> dead;
        for (const auto& e : seen)
            for (const auto& by : seen)
                if (removed_by_key(e, by)) dead.insert(first_dot(e));
        out.texts[path] = tree_of(moves_at(seen, path, dead));
    }
    for (const auto& path : sequences(seen)) {
        // Whoever erases or moves an element has seen all its places and sets; a set supersedes sets.
        const auto dead = [&](dot d) {
            const op* e = seen.find(d);
            const dot name = e->what.what == act::insert ? d : *facts(*e, seen).elements.begin();
            for (const auto& by : seen) {
                if (removed_by_key(*e, by)) return true;
                const act b = by.what.what;
                if ((b == act::erase || b == act::shift || (b == act::replace && e->what.what == act::replace)) &&
                    by.what.path == path && by.saw(*e) && facts(by, seen).elements.contains(name))
                    return true;
                if (facts(by, seen).kills.contains(d)) return true; // the place of a set that it saw
            }
            return false;
        };
        out.read(path, visible(seen, path, dead));
    }
    return out.result();
}

std::string printed(const contents& c) {
    std::string out;
    for (const auto& [path, value] : c) out += (out.empty() ? "" : " ") + path + "=" + value;
    return out.empty() ? "nothing" : out;
}

std::optional<std::string> specified(const history& seen) {
    std::string answer = printed(content(seen));
    if (seen.closed())
        if (std::string other = printed(happens_before(seen)); other != answer)
            return "either " + answer + " or " + other + ": the specifications disagree";
    return answer;
}

std::string to_string(const operation& o) {
    std::string at = o.path.empty() ? "" : o.path + " ";
    switch (o.what) {
    case act::add: return at + "add " + o.value;
    case act::remove: return at + "remove " + o.value;
    case act::set: return at + "set " + o.value + " at " + std::to_string(o.at.ticks);
    case act::assign: return at + "assign " + o.value;
    case act::reset: return at + "reset";
    case act::increment: return at + (o.amount < 0 ? "decrement " : "increment ") + std::to_string(std::abs(o.amount));
    case act::insert: return at + "insert \"" + o.value + "\" at " + std::to_string(o.position);
    case act::erase: return at + "erase " + std::to_string(o.count) + " from " + std::to_string(o.position);
    case act::replace: return at + "set " + std::to_string(o.position) + " to " + o.value;
    case act::shift: return at + "move " + std::to_string(o.position) + " to " + std::to_string(o.count);
    case act::raise: return at + "raise to " + std::to_string(o.amount);
    case act::permit: return at + "add " + o.value;
    case act::forbid: return at + "remove " + o.value;
    case act::store: return at + "set " + o.value + " at " + std::to_string(o.at.ticks);
    case act::discard: return at + "erase at " + std::to_string(o.at.ticks);
    case act::put: return at + "put in " + std::to_string(o.count) + " of " + o.value;
    case act::take: return at + "take out " + std::to_string(o.count) + " of " + o.value;
    case act::relocate:
        return at + (o.value == o.parent ? "remove " + o.value : "put " + o.value + " below " + o.parent);
    case act::remove_key: return at + "remove key";
    }
    return at;
}

} // namespace specification
