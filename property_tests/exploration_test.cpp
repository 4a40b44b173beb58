// SPDX-License-Identifier: Apache-2.0
// Every type, exhaustively: all histories of four edits on three replicas, with two or three operations that are likely
// to conflict.
#include "drivers.hpp"

#include <joinery/exploration.hpp>

#include <doctest/doctest.h>

#include <iostream>
#include <string>
#include <vector>

namespace {

using drivers::driver;
using joinery::transaction;
using joinery::testing::choices;
using specification::act;
using specification::operation;

struct pair {
    joinery::or_set<std::string> items;
    joinery::pn_counter count;
};
JOINERY_RECORD(pair, (1, items), (2, count))

/// A type with its specification and the operations that are given to `with`.
template <class T> class exhaustive {
public:
    explicit exhaustive(const std::string& name) : subject_(name) {
        subject_.view([](const T& value) {
            specification::contents out;
            driver<T>::look(value, "", out);
            return specification::printed(out);
        });
        subject_.specification(specification::specified, joinery::testing::event_sets::all);
    }
    template <class F> exhaustive& with(const std::string& name, F f) {
        subject_.operation(name, [f](T& value, transaction& tx, choices&) { return f(value, tx); });
        return *this;
    }
    void check() {
        const auto found = joinery::testing::explore(subject_);
        std::cout << to_string(found);
        INFO(to_string(found));
        CHECK(found.ok());
        CHECK(found.comparisons == found.states);
    }

private:
    joinery::testing::subject<T, operation> subject_;
};

template <class Set> void check_set(const std::string& name, act add, act remove) {
    exhaustive<Set>(name)
        .with("add",
              [=](Set& s, transaction& tx) {
                  s.add(tx, "e");
                  return operation{add, "", "\"e\""};
              })
        .with("remove",
              [=](Set& s, transaction& tx) {
                  s.remove(tx, "e");
                  return operation{remove, "", "\"e\""};
              })
        .check();
}
template <class Flag> void check_flag(const std::string& name, act on, act off) {
    exhaustive<Flag>(name)
        .with("enable",
              [=](Flag& f, transaction& tx) {
                  f.enable(tx);
                  return operation{on, "", "on"};
              })
        .with("disable",
              [=](Flag& f, transaction& tx) {
                  f.disable(tx);
                  return operation{off, "", "on"};
              })
        .check();
}

} // namespace

TEST_CASE("explored: counters") {
    using namespace joinery;
    exhaustive<g_counter>("g_counter")
        .with("count",
              [](g_counter& c, transaction& tx) {
                  c.increment(tx);
                  return operation{act::increment, "", "", 1};
              })
        .check();
    exhaustive<pn_counter>("pn_counter")
        .with("up",
              [](pn_counter& c, transaction& tx) {
                  c.increment(tx, 3);
                  return operation{act::increment, "", "", 3};
              })
        .with("down",
              [](pn_counter& c, transaction& tx) {
                  c.decrement(tx, 1);
                  return operation{act::increment, "", "", -1};
              })
        .check();
}

TEST_CASE("explored: registers") {
    using lww = joinery::lww_register<std::string>;
    exhaustive<lww>("lww_register")
        .with("set",
              [](lww& r, transaction& tx) {
                  r.set(tx, "v");
                  return operation{act::set, "", "\"v\"", 0, tx.now()};
              })
        .with("reset",
              [](lww& r, transaction& tx) {
                  r.reset(tx);
                  return operation{act::reset, ""};
              })
        .check();
    using mv = joinery::mv_register<std::string>;
    exhaustive<mv>("mv_register")
        .with("set",
              [](mv& r, transaction& tx) {
                  r.set(tx, "v");
                  return operation{act::assign, "", "\"v\""};
              })
        .with("reset",
              [](mv& r, transaction& tx) {
                  r.reset(tx);
                  return operation{act::reset, ""};
              })
        .check();
    using greatest = joinery::max_register<std::int64_t>;
    exhaustive<greatest>("max_register")
        .with("1",
              [](greatest& r, transaction& tx) {
                  r.merge(tx, 1);
                  return operation{act::raise, "", "", 1};
              })
        .with("2",
              [](greatest& r, transaction& tx) {
                  r.merge(tx, 2);
                  return operation{act::raise, "", "", 2};
              })
        .with("reset",
              [](greatest& r, transaction& tx) {
                  r.reset(tx);
                  return operation{act::reset, ""};
              })
        .check();
}

TEST_CASE("explored: flags") {
    check_flag<joinery::enable_wins_flag>("enable_wins_flag", act::add, act::remove);
    check_flag<joinery::disable_wins_flag>("disable_wins_flag", act::permit, act::forbid);
}

TEST_CASE("explored: sets") {
    using text = std::string;
    exhaustive<joinery::g_set<text>>("g_set")
        .with("add e",
              [](joinery::g_set<text>& s, transaction& tx) {
                  s.add(tx, "e");
                  return operation{act::add, "", "\"e\""};
              })
        .with("add f",
              [](joinery::g_set<text>& s, transaction& tx) {
                  s.add(tx, "f");
                  return operation{act::add, "", "\"f\""};
              })
        .check();
    check_set<joinery::or_set<text>>("or_set", act::add, act::remove);
    check_set<joinery::rw_set<text>>("rw_set", act::permit, act::forbid);
    check_set<joinery::two_phase_set<text>>("two_phase_set", act::permit, act::forbid);
    using lww = joinery::lww_set<text>;
    exhaustive<lww>("lww_set")
        .with("add",
              [](lww& s, transaction& tx) {
                  s.add(tx, "e");
                  return operation{act::store, "\"e\"/", "in", 0, tx.now()};
              })
        .with("remove",
              [](lww& s, transaction& tx) {
                  s.remove(tx, "e");
                  return operation{act::discard, "\"e\"/", "in", 0, tx.now()};
              })
        .check();
    using bag = joinery::bag<text>;
    exhaustive<bag>("bag")
        .with("put",
              [](bag& b, transaction& tx) {
                  b.add(tx, "e", 2);
                  return operation{act::put, "", "\"e\"", 0, {}, 0, 2};
              })
        .with("take",
              [](bag& b, transaction& tx) {
                  b.remove(tx, "e");
                  return operation{act::take, "", "\"e\"", 0, {}, 0, 1};
              })
        .check();
}

TEST_CASE("explored: maps") {
    using lww = joinery::lww_map<std::string, std::string>;
    exhaustive<lww>("lww_map")
        .with("set",
              [](lww& m, transaction& tx) {
                  m.set(tx, "k", "v");
                  return operation{act::store, "k/", "\"v\"", 0, tx.now()};
              })
        .with("erase",
              [](lww& m, transaction& tx) {
                  m.erase(tx, "k");
                  return operation{act::discard, "k/", "", 0, tx.now()};
              })
        .check();
    using counters = joinery::or_map<std::string, joinery::pn_counter>;
    exhaustive<counters>("or_map of pn_counter")
        .with("count",
              [](counters& m, transaction& tx) {
                  m.at(tx, "k")->increment(tx, 2);
                  return operation{act::increment, "k/", "", 2};
              })
        .with("erase",
              [](counters& m, transaction& tx) {
                  m.erase(tx, "k");
                  return operation{act::remove_key, "k/"};
              })
        .check();
    using sets = joinery::or_map<std::string, joinery::or_set<std::string>>;
    exhaustive<sets>("or_map of or_set")
        .with("add",
              [](sets& m, transaction& tx) {
                  m.at(tx, "k")->add(tx, "e");
                  return operation{act::add, "k/", "\"e\""};
              })
        .with("erase",
              [](sets& m, transaction& tx) {
                  m.erase(tx, "k");
                  return operation{act::remove_key, "k/"};
              })
        .check();
}

TEST_CASE("explored: texts") {
    using joinery::rga_text;
    exhaustive<rga_text>("rga_text")
        .with("insert",
              [](rga_text& t, transaction& tx) {
                  t.insert(tx, 0, "ab");
                  return operation{act::insert, "", "ab"};
              })
        .with("erase",
              [](rga_text& t, transaction& tx) {
                  operation o{act::erase, ""};
                  o.position = t.size() / 2;
                  o.count = t.empty() ? 0 : 1;
                  t.erase(tx, o.position, o.count);
                  return o;
              })
        .check();
}

TEST_CASE("explored: lists") {
    using list = joinery::rga_list<char>;
    exhaustive<list>("rga_list")
        .with("insert",
              [](list& l, transaction& tx) {
                  l.insert(tx, 0, std::vector<char>{'a', 'b'});
                  return operation{act::insert, "", "ab"};
              })
        .with("erase",
              [](list& l, transaction& tx) {
                  operation o{act::erase, ""};
                  o.position = l.size() / 2;
                  o.count = l.empty() ? 0 : 1;
                  l.erase(tx, o.position, o.count);
                  return o;
              })
        .check();
}

TEST_CASE("explored: a record") {
    exhaustive<pair>("record of or_set and pn_counter")
        .with("add",
              [](pair& p, transaction& tx) {
                  p.items.add(tx, "e");
                  return operation{act::add, "items/", "\"e\""};
              })
        .with("count",
              [](pair& p, transaction& tx) {
                  p.count.decrement(tx, 1);
                  return operation{act::increment, "count/", "", -1};
              })
        .check();
}

TEST_CASE("explored: sketches") {
    using sketch = joinery::hyperloglog<4>;
    exhaustive<sketch> s("hyperloglog");
    for (std::uint32_t e : {0u, 1u}) // which raise one register to different ranks
        s.with("add", [e](sketch& h, transaction& tx) {
            std::uint32_t x = e;
            while (sketch::register_of(x).index != 3 || sketch::register_of(x).rank != e + 1) ++x;
            h.add(tx, x);
            return operation{act::raise, "3/", "", e + 1};
        });
    s.check();
    using histogram = joinery::ddsketch<100>;
    exhaustive<histogram> h("ddsketch");
    for (const double value : {1.0, 30.0})
        h.with("add", [value](histogram& d, transaction& tx) {
            d.add(tx, value);
            const auto middle = histogram::buckets().middle(histogram::buckets().of(value));
            return operation{act::increment, driver<histogram>::shown(middle) + "/", "", 1};
        });
    h.check();
}

TEST_CASE("explored: what is wrong is found, and told") {
    using set = joinery::or_set<std::string>;
    joinery::testing::subject<set, std::string> s("or_set, as if removals won");
    s.operation("add", [](set& x, transaction& tx, choices&) {
        x.add(tx, "e");
        return "add";
    });
    s.operation("remove", [](set& x, transaction& tx, choices&) {
        x.remove(tx, "e");
        return "remove";
    });
    s.view([](const set& x) { return x.contains("e") ? "in" : "out"; });
    s.specification([](const joinery::testing::seen_events<std::string>& seen) {
        bool in = false;
        for (const auto& e : seen) {
            bool stands = e.what == "add";
            for (const auto& other : seen) stands = stands && (other.what == "add" || e.saw(other));
            in = in || stands;
        }
        return in ? "in" : "out";
    });
    const auto found = joinery::testing::explore(s);
    REQUIRE_FALSE(found.ok());
    CHECK(found.failure->law == "the state is what the specification says");
    CHECK(found.story.size() == 3); // an add, and another one beside a removal of it
    CHECK(to_string(found).find("edits: remove") != std::string::npos);
}
