// SPDX-License-Identifier: Apache-2.0
#pragma once

// Random operations on every type of the library, alone and nested, and how each is read for comparison
// with specification.hpp. A driver has
//
//     operation act(T& value, transaction& tx, choices& from, const std::string& path)   one random operation
//     void look(const T& value, const std::string& path, contents& out)                  all that can be read

#include "specification.hpp"

#include <joinery/bag.hpp>
#include <joinery/convergence.hpp>
#include <joinery/ddsketch.hpp>
#include <joinery/flags.hpp>
#include <joinery/g_counter.hpp>
#include <joinery/g_set.hpp>
#include <joinery/hyperloglog.hpp>
#include <joinery/lww_map.hpp>
#include <joinery/lww_register.hpp>
#include <joinery/merged_register.hpp>
#include <joinery/mv_register.hpp>
#include <joinery/or_map.hpp>
#include <joinery/or_set.hpp>
#include <joinery/pn_counter.hpp>
#include <joinery/record.hpp>
#include <joinery/rga_list.hpp>
#include <joinery/rga_text.hpp>
#include <joinery/rw_set.hpp>
#include <joinery/tree.hpp>
#include <joinery/two_phase_set.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <iterator>
#include <map>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

namespace drivers {

using joinery::transaction;
using joinery::testing::choices;
using joinery::testing::show;
using specification::act;
using specification::contents;
using specification::operation;

template <class T> struct driver;

template <class V> V make_value(choices& from, std::size_t n) {
    if constexpr (std::is_convertible_v<const char*, V>)
        return V(1, static_cast<char>('p' + from.pick(n)));
    else
        return static_cast<V>(from.pick(n));
}

// Sets of every kind.
template <class Set> void look_at_set(const Set& set, const std::string& path, contents& out) {
    if (set.empty()) return;
    out[path] = joinery::testing::show_unordered(set);
    auto n = static_cast<std::size_t>(std::distance(set.begin(), set.end()));
    bool consistent = n == set.size();
    for (const auto& e : set) consistent = consistent && set.contains(e);
    if (!consistent) out[path] += " inconsistent";
}
template <class Set>
operation act_on_set(Set& set, transaction& tx, choices& from, const std::string& path, specification::act add,
                     specification::act remove) {
    bool adds = from.pick(5) < 3;
    auto e = make_value<typename Set::value_type>(from, 3);
    if (adds)
        set.add(tx, e);
    else
        set.remove(tx, e);
    return {adds ? add : remove, path, show(e)};
}

template <class E> struct driver<joinery::or_set<E>> {
    static operation act(joinery::or_set<E>& set, transaction& tx, choices& from, const std::string& path) {
        return act_on_set(set, tx, from, path, act::add, act::remove);
    }
    static void look(const joinery::or_set<E>& set, const std::string& path, contents& out) {
        look_at_set(set, path, out);
    }
};

template <class E> struct driver<joinery::g_set<E>> {
    static operation act(joinery::g_set<E>& set, transaction& tx, choices& from, const std::string& path) {
        E e = make_value<E>(from, 9);
        set.add(tx, e);
        return {act::add, path, show(e)};
    }
    static void look(const joinery::g_set<E>& set, const std::string& path, contents& out) {
        look_at_set(set, path, out);
    }
};

template <class E> struct driver<joinery::rw_set<E>> {
    static operation act(joinery::rw_set<E>& set, transaction& tx, choices& from, const std::string& path) {
        return act_on_set(set, tx, from, path, act::permit, act::forbid);
    }
    static void look(const joinery::rw_set<E>& set, const std::string& path, contents& out) {
        look_at_set(set, path, out);
    }
};

template <class E> struct driver<joinery::two_phase_set<E>> {
    static operation act(joinery::two_phase_set<E>& set, transaction& tx, choices& from, const std::string& path) {
        return act_on_set(set, tx, from, path, act::permit, act::forbid);
    }
    static void look(const joinery::two_phase_set<E>& set, const std::string& path, contents& out) {
        look_at_set(set, path, out);
    }
};

// As a map from its elements to "in".
template <class E> struct driver<joinery::lww_set<E>> {
    static operation act(joinery::lww_set<E>& set, transaction& tx, choices& from, const std::string& path) {
        operation o = act_on_set(set, tx, from, path, act::store, act::discard);
        return {o.what, path + o.value + "/", "in", 0, tx.now()};
    }
    static void look(const joinery::lww_set<E>& set, const std::string& path, contents& out) {
        contents all;
        look_at_set(set, path, all);
        for (const auto& e : set) out[path + show(e) + "/"] = "in";
        if (!all.empty() && all.begin()->second.ends_with("inconsistent")) out[path] = "inconsistent";
    }
};

template <class V> struct driver<joinery::lww_map<std::string, V>> {
    static operation act(joinery::lww_map<std::string, V>& map, transaction& tx, choices& from,
                         const std::string& path) {
        std::string key(1, static_cast<char>('a' + from.pick(2)));
        const std::string below = path + key + "/";
        if (from.pick(5) < 2) {
            map.erase(tx, key);
            return {act::discard, below, {}, 0, tx.now()};
        }
        V v = make_value<V>(from, 6);
        map.set(tx, key, v);
        return {act::store, below, show(v), 0, tx.now()};
    }
    static void look(const joinery::lww_map<std::string, V>& map, const std::string& path, contents& out) {
        std::size_t n = 0;
        for (const auto& [key, value] : map) {
            std::string& read = out[path + key + "/"];
            read = show(value);
            if (!map.contains(key) || map.find(key) != &value || map.siblings(key).front() != value)
                read += " inconsistent";
            ++n;
        }
        if (n != map.size()) out[path] = "inconsistent size";
    }
};

template <class E> struct driver<joinery::bag<E>> {
    static operation act(joinery::bag<E>& bag, transaction& tx, choices& from, const std::string& path) {
        operation o{act::put, path};
        E e = make_value<E>(from, 2);
        o.value = show(e);
        o.count = 1 + from.pick(3);
        if (from.pick(5) < 3) {
            bag.add(tx, e, o.count);
        } else {
            o.what = act::take;
            if (from.pick(4) == 0) {
                o.count = SIZE_MAX;
                bag.remove_all(tx, e);
            } else {
                bag.remove(tx, e, o.count);
            }
        }
        return o;
    }
    static void look(const joinery::bag<E>& bag, const std::string& path, contents& out) {
        if (bag.empty()) return;
        std::map<std::string, std::uint64_t> there;
        std::uint64_t all = 0;
        bool consistent = true;
        for (const auto& [e, times] : bag) {
            there[show(e)] = times;
            consistent = consistent && times > 0 && times == bag.count(e) && bag.contains(e);
            all += times;
        }
        std::vector<std::string> shown;
        for (const auto& [e, times] : there) shown.push_back(std::to_string(times) + " of " + e);
        out[path] = "{" + joinery::testing::detail::listed(shown) + "}";
        consistent = consistent && there.size() == bag.distinct() && all == bag.size();
        if (!consistent) out[path] += " inconsistent";
    }
};

// With the one element "on", which is there or not.
template <> struct driver<joinery::enable_wins_flag> {
    static operation act(joinery::enable_wins_flag& flag, transaction& tx, choices& from, const std::string& path) {
        bool on = from.pick(5) < 3;
        on ? flag.enable(tx) : flag.disable(tx);
        return {on ? act::add : act::remove, path, "on"};
    }
    static void look(const joinery::enable_wins_flag& flag, const std::string& path, contents& out) {
        if (flag.enabled()) out[path] = "{on}";
    }
};
template <> struct driver<joinery::disable_wins_flag> {
    static operation act(joinery::disable_wins_flag& flag, transaction& tx, choices& from, const std::string& path) {
        bool on = from.pick(5) < 3;
        on ? flag.enable(tx) : flag.disable(tx);
        return {on ? act::permit : act::forbid, path, "on"};
    }
    static void look(const joinery::disable_wins_flag& flag, const std::string& path, contents& out) {
        if (flag.enabled()) out[path] = "{on}";
    }
};

template <> struct driver<joinery::max_register<std::int64_t>> {
    using tested = joinery::max_register<std::int64_t>;
    static operation act(tested& r, transaction& tx, choices& from, const std::string& path) {
        if (from.pick(8) == 7) {
            r.reset(tx);
            return {act::reset, path};
        }
        const auto v = static_cast<std::int64_t>(from.pick(100)) - 50;
        r.merge(tx, v);
        return {act::raise, path, {}, v};
    }
    static void look(const tested& r, const std::string& path, contents& out) {
        if (const auto v = r.get()) out[path] = std::to_string(*v);
        if (r.get().has_value() == r.empty()) out[path] = "inconsistent";
    }
};

template <class V> struct driver<joinery::lww_register<V>> {
    static operation act(joinery::lww_register<V>& r, transaction& tx, choices& from, const std::string& path) {
        if (from.pick(8) == 7) {
            r.reset(tx);
            return {act::reset, path};
        }
        V v = make_value<V>(from, 6);
        r.set(tx, v);
        return {act::set, path, show(v), 0, tx.now()};
    }
    static void look(const joinery::lww_register<V>& r, const std::string& path, contents& out) {
        if (r.empty()) return;
        out[path] = show(r.siblings());
        if (r.get() != r.siblings().front()) out[path] += " inconsistent";
    }
};

template <class V> struct driver<joinery::mv_register<V>> {
    static operation act(joinery::mv_register<V>& r, transaction& tx, choices& from, const std::string& path) {
        if (from.pick(8) == 7) {
            r.reset(tx);
            return {act::reset, path};
        }
        V v = make_value<V>(from, 6);
        r.set(tx, v);
        return {act::assign, path, show(v)};
    }
    static void look(const joinery::mv_register<V>& r, const std::string& path, contents& out) {
        if (!r.empty()) out[path] = show(r.values());
    }
};

// Each register is one of the greatest value.
template <> struct driver<joinery::hyperloglog<4>> {
    using tested = joinery::hyperloglog<4>;
    static operation act(tested& h, transaction& tx, choices& from, const std::string& path) {
        const auto e = static_cast<std::uint32_t>(from.pick(40));
        h.add(tx, e);
        const auto r = tested::register_of(e);
        return {act::raise, path + std::to_string(r.index) + "/", {}, r.rank};
    }
    static void look(const tested& h, const std::string& path, contents& out) {
        joinery::causal_context all;
        for (std::size_t r = 0; r < 6; ++r) all.add({joinery::testing::numbered_replica(r), 1, joinery::max_sequence});
        tested::fragment f;
        h.extract(all, f);
        for (const auto& e : f) {
            auto& highest = out[path + std::to_string(e.value.index) + "/"];
            highest = std::to_string(std::max(highest.empty() ? 0 : std::stoi(highest), int{e.value.rank}));
        }
        if (h.empty() != (h.count() == 0)) out[path] = "inconsistent";
    }
};

// Each bucket is a counter.
template <> struct driver<joinery::ddsketch<100>> {
    using tested = joinery::ddsketch<100>;
    static operation act(tested& s, transaction& tx, choices& from, const std::string& path) {
        const double value = (static_cast<double>(from.pick(7)) - 3) * 10;
        const std::size_t n = 1 + from.pick(3);
        s.add(tx, value, n);
        return {act::increment,
                path + shown(tested::buckets().middle(tested::buckets().of(value))) + "/",
                {},
                static_cast<std::int64_t>(n)};
    }
    static std::string shown(double middle) { return std::to_string(static_cast<int>(middle)); }
    static void look(const tested& s, const std::string& path, contents& out) {
        // Which values there are, and how often, is seen in the quantiles.
        const auto n = s.count();
        std::map<std::string, std::uint64_t> all;
        for (std::uint64_t i = 0; i < n; ++i)
            ++all[shown(
                *s.quantile(n == 1 ? 0 : std::min(1.0, (static_cast<double>(i) + 0.25) / static_cast<double>(n - 1))))];
        for (const auto& [value, times] : all) out[path + value + "/"] = std::to_string(times);
    }
};

template <> struct driver<joinery::tree> {
    using node = joinery::unique_id;
    static std::string name(const node& n) { return n == joinery::tree::root() ? "root" : to_string(n); }
    static void add_nodes(const joinery::tree& t, const node& n, std::vector<node>& out) {
        out.push_back(n);
        for (const auto& child : t.children(n)) add_nodes(t, child, out);
    }
    static operation act(joinery::tree& t, transaction& tx, choices& from, const std::string& path) {
        std::vector<node> all;
        add_nodes(t, t.root(), all);
        const node target = from.of(all);
        const std::size_t what = from.pick(10);
        operation o{act::relocate, path};
        o.parent = name(target);
        if (all.size() > 1 && what < 5) {
            const node moved = all[1 + from.pick(all.size() - 1)];
            std::vector<node> below;
            add_nodes(t, moved, below);
            o.value = name(moved);
            if (std::find(below.begin(), below.end(), target) == below.end()) {
                t.move(tx, moved, target);
                return o;
            }
        } else if (target != t.root() && what < 7) {
            t.remove(tx, target);
            o.value = o.parent;
            return o;
        }
        o.value = name(t.create(tx, target));
        return o;
    }
    static std::string shown(const joinery::tree& t, const node& n) {
        std::string out;
        for (const auto& child : t.children(n)) out += (out.empty() ? "" : " ") + name(child) + shown(t, child);
        return out.empty() ? out : "(" + out + ")";
    }
    static void look(const joinery::tree& t, const std::string& path, contents& out) {
        std::vector<node> all;
        add_nodes(t, t.root(), all);
        if (all.size() > 1) out[path] = "\"" + shown(t, t.root()) + "\"";
        bool consistent = all.size() == t.size() + 1;
        for (const auto& n : all)
            for (const auto& child : t.children(n))
                consistent = consistent && t.contains(child) && t.parent(child) == n;
        if (!consistent) out[path] += " inconsistent";
    }
};

template <> struct driver<joinery::g_counter> {
    static operation act(joinery::g_counter& c, transaction& tx, choices& from, const std::string& path) {
        int n = 1 + static_cast<int>(from.pick(3));
        c.increment(tx, n);
        return {act::increment, path, {}, n};
    }
    static void look(const joinery::g_counter& c, const std::string& path, contents& out) {
        if (!c.empty()) out[path] = std::to_string(c.value());
    }
};

template <> struct driver<joinery::pn_counter> {
    static operation act(joinery::pn_counter& c, transaction& tx, choices& from, const std::string& path) {
        int n = 1 + static_cast<int>(from.pick(3));
        bool up = from.pick(5) < 3;
        if (up)
            c.increment(tx, n);
        else
            c.decrement(tx, n);
        return {act::increment, path, {}, up ? n : -n};
    }
    static void look(const joinery::pn_counter& c, const std::string& path, contents& out) {
        if (!c.empty()) out[path] = std::to_string(c.value());
    }
};

template <> struct driver<joinery::rga_text> {
    static operation act(joinery::rga_text& t, transaction& tx, choices& from, const std::string& path) {
        static const std::vector<std::string> pieces = {"a", "b", "xy", "\u00e9", "pqr", "\U0001f600z"};
        operation o{act::insert, path};
        if (t.empty() || from.pick(5) < 3) {
            o.position = from.pick(t.size() + 1);
            o.value = from.of(pieces);
            t.insert(tx, o.position, o.value);
        } else {
            o.what = act::erase;
            o.position = from.pick(t.size());
            o.count = 1 + from.pick(std::min<std::size_t>(t.size() - o.position, 3));
            t.erase(tx, o.position, o.count);
        }
        return o;
    }
    static void look(const joinery::rga_text& t, const std::string& path, contents& out) {
        if (!t.empty()) out[path] = show(t.str());
    }
};

// As a text of which each character is an element.
template <> struct driver<joinery::rga_list<char>> {
    using tested = joinery::rga_list<char>;
    static operation act(tested& l, transaction& tx, choices& from, const std::string& path) {
        static const std::vector<std::string> pieces = {"a", "b", "xy", "pqr"};
        const std::size_t what = from.pick(10);
        if (l.empty() || what < 3) return insert(l, tx, from.pick(l.size() + 1), from.of(pieces), path);
        if (what < 5) return set(l, tx, few(l, from), static_cast<char>('A' + from.pick(20)), path);
        if (what < 8) return move(l, tx, few(l, from), from.pick(l.size()), path);
        const std::size_t pos = from.pick(l.size());
        return erase(l, tx, pos, 1 + from.pick(std::min<std::size_t>(l.size() - pos, 3)), path);
    }
    // One of the first, so that some meet.
    static std::size_t few(const tested& l, choices& from) { return from.pick(std::min<std::size_t>(l.size(), 4)); }

    static operation insert(tested& l, transaction& tx, std::size_t pos, const std::string& elements,
                            const std::string& path) {
        if (elements.size() == 1)
            l.insert(tx, pos, elements.front());
        else
            l.insert(tx, pos, std::vector<char>(elements.begin(), elements.end()));
        return {act::insert, path, elements, 0, {}, pos};
    }
    static operation set(tested& l, transaction& tx, std::size_t pos, char value, const std::string& path) {
        l.set(tx, pos, value);
        return {act::replace, path, std::string(1, value), 0, tx.now(), pos};
    }
    static operation move(tested& l, transaction& tx, std::size_t pos, std::size_t to, const std::string& path) {
        l.move(tx, pos, to);
        return {act::shift, path, {}, 0, tx.now(), pos, to};
    }
    static operation erase(tested& l, transaction& tx, std::size_t pos, std::size_t n, const std::string& path) {
        l.erase(tx, pos, n);
        return {act::erase, path, {}, 0, {}, pos, n};
    }
    static void look(const tested& l, const std::string& path, contents& out) {
        const auto all = l.values();
        if (l.empty() != all.empty() || l.size() != all.size()) out[path] = "inconsistent size";
        if (l.empty()) return;
        out[path] += show(std::string(all.begin(), all.end()));
        for (std::size_t i = 0; i < all.size(); ++i) {
            if (l.at(i) != all[i] || l.position(l.anchor(i)) != i ||
                l.position(l.anchor(i, joinery::text_bias::right)) != i)
                out[path] += " inconsistent";
            const auto siblings = l.siblings(i);
            if (siblings.size() > 1)
                out[path + std::to_string(i) + "/"] = show(std::string(siblings.begin(), siblings.end()));
        }
    }
};

template <class K, class V> struct driver<joinery::or_map<K, V>> {
    static operation act(joinery::or_map<K, V>& map, transaction& tx, choices& from, const std::string& path) {
        bool removes = from.pick(10) >= 7;
        K key = static_cast<K>(std::string(1, static_cast<char>('a' + from.pick(2))));
        std::string below = path + key + "/";
        if (removes) {
            map.erase(tx, key);
            return {act::remove_key, below};
        }
        if (from.pick(2) == 0) return driver<V>::act(*map.at(tx, key), tx, from, below);
        operation o;
        map.update(tx, key, [&](V& v) { o = driver<V>::act(v, tx, from, below); });
        return o;
    }
    static void look(const joinery::or_map<K, V>& map, const std::string& path, contents& out) {
        std::size_t n = 0;
        for (const auto& [key, value] : map) {
            std::size_t before = out.size();
            driver<V>::look(value, path + key + "/", out);
            // A key exists if and only if something live is below it.
            if (out.size() == before || !map.contains(key) || map.find(key) != &value) out[path] = "inconsistent";
            ++n;
        }
        if (n != map.size()) out[path] = "inconsistent size";
    }
};

template <joinery::record R> struct driver<R> {
    static operation act(R& r, transaction& tx, choices& from, const std::string& path) {
        operation o;
        std::apply(
            [&](const auto&... field) {
                std::size_t at = from.pick(sizeof...(field));
                auto one = [&](const auto& f) {
                    auto& member = r.*f.member;
                    using member_type = std::remove_reference_t<decltype(member)>;
                    if (at-- == 0) o = driver<member_type>::act(member, tx, from, path + f.name + "/");
                };
                (one(field), ...);
            },
            joinery_record_of(&r).all);
        return o;
    }
    static void look(const R& r, const std::string& path, contents& out) {
        auto one = [&](const auto& f) {
            const auto& member = r.*f.member;
            using member_type = std::remove_cvref_t<decltype(member)>;
            driver<member_type>::look(member, path + f.name + "/", out);
        };
        std::apply([&](const auto&... field) { (one(field), ...); }, joinery_record_of(&r).all);
    }
};

/// A type with its driver and its specification.
template <class T> joinery::testing::subject<T, operation> subject(const std::string& name) {
    joinery::testing::subject<T, operation> s(name);
    s.operation("", [](T& value, transaction& tx, choices& from) { return driver<T>::act(value, tx, from, ""); });
    s.view([](const T& value) {
        contents out;
        driver<T>::look(value, "", out);
        return specification::printed(out);
    });
    s.specification(specification::specified, joinery::testing::event_sets::all);
    return s;
}

/// Checks it, and that the histories had what histories should have; `tidies` if there is often something to tidy up.
template <class T, class E>
void check(const joinery::testing::subject<T, E>& s, std::uint64_t histories = 250,
           bool tidies = joinery::crdt_traits<T>::tidies) {
    auto report = joinery::testing::check(s, {.usual_histories = histories});
    INFO(to_string(report));
    CHECK(report.ok());
    if (report.counts.histories() < 100 || !report.ok()) return;
    INFO(to_string(report.counts));
    CHECK(report.counts.thin(1) == std::vector<std::string>{}); // with so few histories chance decides how often
    CHECK(report.counts.total(joinery::testing::occurrence::comparison) > report.counts.histories());
    if (tidies) CHECK(report.counts.total(joinery::testing::occurrence::tidied) > 0);
}

} // namespace drivers
