// SPDX-License-Identifier: Apache-2.0
#include <joinery/changes.hpp>

#include "replicas.hpp"

#include <joinery/bag.hpp>
#include <joinery/bounded_counter.hpp>
#include <joinery/document.hpp>
#include <joinery/flags.hpp>
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

#include <doctest/doctest.h>

#include <algorithm>
#include <string>
#include <vector>

using namespace joinery;

namespace {

struct cart {
    or_set<std::string> items;
    lww_register<std::string> coupon;
    pn_counter points;
};
JOINERY_RECORD(cart, (1, items), (2, coupon), (3, points))
using carts = or_map<std::string, cart>;

// What joining says, a line for each change.
template <class T> std::vector<std::string> told(replica<T>& r, std::initializer_list<delta<T>> deltas) {
    change_list list;
    for (const auto& d : deltas) r.join(d, &list);
    std::vector<std::string> out;
    for (const auto& c : list.take().values) out.push_back(to_string(c));
    return out;
}

using lines = std::vector<std::string>;

} // namespace

TEST_CASE("changes: path, old and new value") {
    replica<carts> eu{id_a}, us{id_b};
    const auto fill = eu.edit([](auto& all, auto& tx) {
        auto alice = all.at(tx, "alice");
        alice->items.add(tx, "milk");
        alice->coupon.set(tx, "SPRING");
        alice->points.increment(tx, 3);
    });
    CHECK(told(us, {fill}) == lines{"\"alice\"/\"items\"/\"milk\": false -> true",
                                    "\"alice\"/\"coupon\": nothing -> \"SPRING\"", "\"alice\"/\"points\": 0 -> 3"});
    CHECK(told(us, {fill}).empty());

    const auto more = eu.edit([](auto& all, auto& tx) {
        auto alice = all.at(tx, "alice");
        alice->points.decrement(tx, 5);
        alice->items.remove(tx, "milk");
    });
    change_list list;
    us.join(more, &list);
    const auto now = list.take();
    REQUIRE(now.values.size() == 2);
    const auto& points = now.values[0];
    REQUIRE(points.path.size() == 2);
    CHECK(*points.path[0].as<std::string>() == "alice");
    CHECK(*points.before.as<std::int64_t>() == 3);
    CHECK(*points.after.as<std::int64_t>() == -2);
    CHECK(points.after.as<int>() == nullptr);
    CHECK(to_string(now.values[1]) == "\"alice\"/\"items\"/\"milk\": true -> false");
    CHECK(list.take().values.empty());
}

TEST_CASE("changes: a key that is removed takes what was below it") {
    replica<carts> eu{id_a}, us{id_b};
    us.join(eu.edit([](auto& all, auto& tx) {
        all.at(tx, "bob")->items.add(tx, "bread");
        all.at(tx, "bob")->points.increment(tx, 2);
    }));
    const auto gone = eu.edit([](auto& all, auto& tx) { all.erase(tx, "bob"); });
    CHECK(told(us, {gone}) == lines{"\"bob\"/\"items\"/\"bread\": true -> false", "\"bob\"/\"points\": 2 -> 0"});
    CHECK(us->empty());
}

namespace {
struct page {
    rga_text note;
    rga_list<int> order;
    lww_map<std::string, int> named;
    rw_set<int> tags;
    bag<int> counted;
    enable_wins_flag open;
    mv_register<int> all;
    document free;
};
JOINERY_RECORD(page, (1, note), (2, order), (3, named), (4, tags), (5, counted), (6, open), (7, all), (8, free))
} // namespace

TEST_CASE("changes: whatever was below a key that is removed is told of") {
    using books = or_map<std::string, or_map<int, page>>;
    replica<books> a{id_a}, b{id_b};
    b.join(a.edit([](auto& all, auto& tx) {
        const auto book = all.at(tx, "b");
        const auto p = book->at(tx, 7);
        p->note.insert(tx, 0, "text");
        p->order.insert(tx, 0, {1, 2});
        p->named.set(tx, "k", 3);
        p->tags.add(tx, 4);
        p->counted.add(tx, 5, 2);
        p->open.enable(tx);
        p->all.set(tx, 6);
        p->free.make_list(tx, "/l");
    }));
    const auto gone = a.edit([](auto& all, auto& tx) { all.erase(tx, "b"); });
    auto now = told(b, {gone});
    std::sort(now.begin(), now.end());
    CHECK(now == lines{"\"b\"/7/\"all\": [6] -> nothing", "\"b\"/7/\"counted\"/5: 2 -> 0",
                       "\"b\"/7/\"free\"/\"l\": list -> nothing", "\"b\"/7/\"free\": map -> nothing",
                       "\"b\"/7/\"named\"/\"k\": 3 -> nothing", "\"b\"/7/\"note\": nothing -> [retain 0, erase 4]",
                       "\"b\"/7/\"open\": true -> false", "\"b\"/7/\"order\": nothing -> [retain 0, erase 2]",
                       "\"b\"/7/\"tags\"/4: true -> false"});
    CHECK(b->empty());
}

TEST_CASE("changes: what the remover had not seen survives, and is told of") {
    replica<carts> eu{id_a}, us{id_b};
    us.join(eu.edit([](auto& all, auto& tx) {
        all.at(tx, "bob")->items.add(tx, "bread");
        all.at(tx, "bob")->points.increment(tx, 2);
    }));
    const auto gone = eu.edit([](auto& all, auto& tx) { all.erase(tx, "bob"); });
    us.edit([](auto& all, auto& tx) {
        all.at(tx, "bob")->items.add(tx, "milk");
        all.at(tx, "bob")->points.increment(tx, 1);
    });
    CHECK(told(us, {gone}) == lines{"\"bob\"/\"items\"/\"bread\": true -> false",
                                    "\"bob\"/\"points\": 3 -> 1, what a removal had not seen survived"});
}

TEST_CASE("changes: concurrent writes, the values that lost, and the end of it") {
    replica<lww_register<std::string>> a{id_a}, b{id_b};
    const auto one = a.edit([](auto& r, auto& tx) { r.set(tx, "one"); });
    b.join(one); // so that the clock of b is not behind
    const auto two = a.edit([](auto& r, auto& tx) { r.set(tx, "two"); });
    const auto three = b.edit([](auto& r, auto& tx) { r.set(tx, "three"); });
    const auto both = told(a, {three});
    REQUIRE(both.size() == 1);
    const bool three_won = a->get() == "three";
    CHECK(both[0] == (three_won ? "\"two\" -> \"three\", the last write won over \"two\""
                                : "\"two\" -> \"two\", the last write won over \"three\""));
    const auto four = a.edit([](auto& r, auto& tx) { r.set(tx, "four"); });
    CHECK(told(b, {two, four}) == lines{"\"three\" -> \"four\""});
}

TEST_CASE("changes: concurrent values side by side, and merged ones") {
    replica<mv_register<int>> a{id_a}, b{id_b};
    a.edit([](auto& r, auto& tx) { r.set(tx, 1); });
    const auto two = b.edit([](auto& r, auto& tx) { r.set(tx, 2); });
    CHECK(told(a, {two}) == lines{"[1] -> [1, 2], all were kept"});

    replica<max_register<int>> c{id_a}, d{id_b};
    c.edit([](auto& r, auto& tx) { r.merge(tx, 7); });
    const auto five = d.edit([](auto& r, auto& tx) { r.merge(tx, 5); });
    CHECK(told(c, {five}) == lines{"7 -> 7, they were merged"});
}

TEST_CASE("changes: adds and removals that met") {
    replica<or_set<std::string>> a{id_a}, b{id_b};
    b.join(a.edit([](auto& s, auto& tx) { s.add(tx, "milk"); }));
    a.edit([](auto& s, auto& tx) { s.add(tx, "milk"); });
    const auto removed = b.edit([](auto& s, auto& tx) { s.remove(tx, "milk"); });
    CHECK(told(a, {removed}).empty()); // of what the new add had taken the place of
    const auto added = b.edit([](auto& s, auto& tx) { s.add(tx, "milk"); });
    CHECK(told(a, {added}).empty()); // it was there
    const auto again = b.edit([](auto& s, auto& tx) { s.remove(tx, "milk"); });
    CHECK(told(a, {again}) == lines{"\"milk\": true -> true, what a removal had not seen survived"});

    replica<or_set<std::string>> e{id_a}, f{id_b};
    const auto put_in = e.edit([](auto& s, auto& tx) { s.add(tx, "x"); });
    f.join(put_in);
    const auto anew = e.edit([](auto& s, auto& tx) {
        s.remove(tx, "x");
        s.add(tx, "x");
    });
    CHECK(told(f, {anew}).empty()); // nothing was concurrent

    replica<rw_set<int>> c{id_a}, d{id_b};
    const auto put = c.edit([](auto& s, auto& tx) { s.add(tx, 1); });
    const auto taken = d.edit([](auto& s, auto& tx) { s.remove(tx, 1); });
    CHECK(told(c, {taken}) == lines{"1: true -> false, the removal won"});
    CHECK(told(d, {put}) == lines{"1: false -> false, the removal won"});
}

TEST_CASE("changes: flags, bags, maps, bounded counters") {
    replica<enable_wins_flag> a{id_a}, b{id_b};
    const auto on = a.edit([](auto& f, auto& tx) { f.enable(tx); });
    CHECK(told(b, {on}) == lines{"false -> true"});
    a.edit([](auto& f, auto& tx) { f.enable(tx); });
    b.edit([](auto& f, auto& tx) { f.enable(tx); });
    const auto off = b.edit([](auto& f, auto& tx) { f.disable(tx); });
    CHECK(told(a, {off}).empty());

    replica<bag<std::string>> c{id_a}, d{id_b};
    const auto three = c.edit([](auto& all, auto& tx) { all.add(tx, "nut", 3); });
    CHECK(told(d, {three}) == lines{"\"nut\": 0 -> 3"});
    const auto one = c.edit([](auto& all, auto& tx) { all.remove(tx, "nut"); });
    CHECK(told(d, {one}) == lines{"\"nut\": 3 -> 2"}); // nothing was concurrent

    replica<lww_map<std::string, int>> e{id_a}, f{id_b};
    const auto set = e.edit([](auto& m, auto& tx) { m.set(tx, "k", 1); });
    CHECK(told(f, {set}) == lines{"\"k\": nothing -> 1"});
    const auto erased = e.edit([](auto& m, auto& tx) { m.erase(tx, "k"); });
    CHECK(told(f, {erased}) == lines{"\"k\": 1 -> nothing"});

    replica<bounded_counter> g{id_a}, h{id_b};
    const auto five = g.edit([](auto& n, auto& tx) { n.increment(tx, 5); });
    CHECK(told(h, {five}) == lines{"0 -> 5"});
}

TEST_CASE("changes: of texts, the steps") {
    replica<rga_text> a{id_a}, b{id_b};
    const auto hello = a.edit([](auto& t, auto& tx) { t.insert(tx, 0, "hello"); });
    const auto cut = a.edit([](auto& t, auto& tx) { t.erase(tx, 1, 3); });
    change_list list;
    b.join(hello, &list);
    b.join(cut, &list);
    const auto all = list.take().values;
    REQUIRE(all.size() == 2);
    CHECK(*all[0].after.as<std::vector<text_change>>() == std::vector<text_change>{{0, 0, "hello"}});
    CHECK(*all[1].after.as<std::vector<text_change>>() == std::vector<text_change>{{1, 3, ""}});
    CHECK(to_string(all[1]) == "nothing -> [retain 1, erase 3]");
}

TEST_CASE("changes: nodes of a tree that are elsewhere, also those that a late move puts there") {
    replica<tree> a{id_a}, b{id_b};
    unique_id x, y;
    b.join(a.edit([&](auto& t, auto& tx) {
        x = t.create(tx, tree::root());
        y = t.create(tx, tree::root());
    }));
    const auto under = a.edit([&](auto& t, auto& tx) { t.move(tx, x, y); });
    b.edit([&](auto& t, auto& tx) { t.move(tx, y, x); });
    change_list list;
    b.join(under, &list);
    std::size_t moved = 0;
    for (const auto& c : list.take().values) {
        const auto* node = c.path[0].as<unique_id>();
        REQUIRE(node);
        CHECK(b->parent(*node) == *c.after.as<unique_id>());
        ++moved;
    }
    // Of two moves that would make a circle the one that is first in the order counts.
    CHECK(moved == (b->parent(x) == y ? 2 : 0));
}

TEST_CASE("changes: a key that is removed and made anew by one writer is no conflict") {
    using settings = or_map<std::string, lww_register<std::string>>;
    replica<settings> a{id_a}, b{id_b};
    b.join(a.edit([](auto& m, auto& tx) { m.at(tx, "k")->set(tx, "1"); }));
    const auto version = b.version();
    a.edit([](auto& m, auto& tx) { m.erase(tx, "k"); });
    a.edit([](auto& m, auto& tx) { m.at(tx, "k")->set(tx, "2"); });
    CHECK(told(b, {a.delta_since(version)}) == lines{"\"k\": \"1\" -> \"2\""});
}

TEST_CASE("changes: what nobody sees does not count") {
    replica<or_set<int>> a{id_a}, b{id_b};
    change_list list(10);
    for (int i = 0; i < 20; ++i) b.join(a.edit([&](auto& s, auto& tx) { s.add(tx, 1); }), &list);
    const auto now = list.take();
    CHECK_FALSE(now.everything);
    CHECK(now.values.size() == 1);
}

TEST_CASE("changes: many at once are no list any more") {
    replica<or_set<int>> a{id_a}, b{id_b};
    change_list list(10);
    for (int i = 0; i < 11; ++i) b.join(a.edit([&](auto& s, auto& tx) { s.add(tx, i); }), &list);
    auto now = list.take();
    CHECK(now.everything);
    CHECK(now.values.empty());
    b.join(a.edit([&](auto& s, auto& tx) { s.add(tx, 11); }), &list);
    now = list.take();
    CHECK_FALSE(now.everything);
    CHECK(now.values.size() == 1);
}

TEST_CASE("changes: the values of a document are shown") {
    replica<document> a{id_a}, b{id_b};
    const auto set = a.edit([](auto& d, auto& tx) { d.set(tx, "/a", 1.5); });
    const auto lines_told = told(b, {set});
    REQUIRE(lines_told.size() == 2);
    CHECK(lines_told[1] == "\"a\": nothing -> 1.5");
}

TEST_CASE("changes: what changed back is left out") {
    replica<or_set<int>> a{id_a}, b{id_b};
    const auto put = a.edit([](auto& s, auto& tx) { s.add(tx, 1); });
    const auto taken = a.edit([](auto& s, auto& tx) { s.remove(tx, 1); });
    CHECK(told(b, {put, taken}).empty());
}
