// SPDX-License-Identifier: Apache-2.0
#include <joinery/or_set.hpp>

#include "bytes.hpp"
#include "carts.hpp"
#include "replicas.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <map>
#include <random>
#include <set>
#include <string>
#include <vector>

using joinery::causal;
using joinery::causal_context;
using joinery::delta;
using joinery::dot;
using joinery::encode;
using joinery::or_set;
using joinery::replica;
using joinery::transaction;

namespace {
template <class E> std::set<E> contents(const or_set<E>& s) { return {s.begin(), s.end()}; }

struct point {
    std::int32_t x = 0, y = 0;
    friend bool operator==(const point&, const point&) = default;
    template <class Archive> void serialize(Archive& ar) { ar(CEREAL_NVP(x), CEREAL_NVP(y)); }
};
} // namespace

TEST_CASE("or_set: concurrent add survives remove") {
    replica<cart> a{id_a}, b{id_b}, c{id_c};
    b.join(a.edit(adding("x")));
    auto removed = b.edit(removing("x"));
    auto again = a.edit(adding("x")); // b had not seen this one
    c.join(removed);
    c.join(again);
    c.join(a.state());
    a.join(removed);
    b.join(again);
    CHECK(a->contains("x"));
    CHECK(a->size() == 1);
    check_converged(a, b, c);
}

TEST_CASE("or_set: a remove takes away what it has seen, and nothing else") {
    replica<cart> a{id_a}, b{id_b}, c{id_c};
    auto from_a = a.edit(adding("x"));
    auto from_b = b.edit(adding("x"));
    b.join(from_a); // b sees both adds, c only its own
    auto from_c = c.edit(adding("x"));
    auto removed = b.edit(removing("x"));
    a.join(removed);
    CHECK_FALSE(a->contains("x"));
    c.join(removed);
    CHECK(c->contains("x"));
    a.join(from_c);
    b.join(from_c);
    c.join(from_a);
    c.join(from_b);
    a.join(from_b);
    CHECK(a->contains("x"));
    check_converged(a, b, c);
}

TEST_CASE("or_set: adding again supersedes the adds that were seen") {
    replica<cart> a{id_a}, b{id_b};
    a.edit(adding("x"));
    auto again = a.edit(adding("x"));
    CHECK(again.removals.size() == 1);
    CHECK(a.state().whole().fragment.size() == 1);
    b.edit(adding("x"));
    meet(a, b);
    CHECK(a.state().whole().fragment.size() == 2); // two concurrent adds
    a.edit(adding("x"));
    CHECK(a.state().whole().fragment.size() == 1);
    meet(a, b);
    check_converged(a, b);
}

TEST_CASE("or_set: an element may be removed while it is looked at") {
    replica<cart> a{id_a};
    a.edit([](cart& s, transaction& tx) {
        for (int i = 0; i < 100; ++i) s.add(tx, "element number " + std::to_string(i));
    });
    a.edit([](cart& s, transaction& tx) {
        while (!s.empty()) s.remove(tx, *s.begin());
    });
    CHECK(a->empty());
    CHECK(a->begin() == a->end());
    check_converged(a);
}

TEST_CASE("or_set: iteration gives each element once") {
    replica<or_set<std::uint32_t>> a{id_a};
    a.edit([](auto& s, transaction& tx) {
        for (std::uint32_t i = 0; i < 1000; ++i) s.add(tx, i % 600);
        for (std::uint32_t i = 0; i < 600; i += 3) s.remove(tx, i);
    });
    std::vector<std::uint32_t> all(a->begin(), a->end());
    CHECK(all.size() == 400);
    CHECK(a->size() == 400);
    std::sort(all.begin(), all.end());
    CHECK(std::adjacent_find(all.begin(), all.end()) == all.end());
    CHECK(std::none_of(all.begin(), all.end(), [](auto e) { return e % 3 == 0; }));
    auto it = a->begin();
    CHECK(it++ == a->begin());
    CHECK(it != a->begin());
    CHECK(it.operator->() == &*it);
}

TEST_CASE("or_set: elements without std::hash or order") {
    replica<or_set<point>> a{id_a}, b{id_b};
    a.edit([](auto& s, transaction& tx) {
        s.add(tx, {1, 2});
        s.add(tx, {3, 4});
        s.remove(tx, {1, 2});
    });
    b.join(a.state());
    CHECK(b->contains({3, 4}));
    CHECK_FALSE(b->contains({1, 2}));
    check_converged(a, b);
}

TEST_CASE("or_set: an edit that fails changes nothing, whatever it did") {
    std::mt19937 random(9);
    replica<cart> a{id_a}, b{id_b};
    for (int round = 0; round < 60; ++round) {
        auto some = [&](cart& s, transaction& tx) {
            for (int i = 0; i < 6; ++i) {
                std::string e(1, static_cast<char>('a' + random() % 5));
                random() % 2 ? s.add(tx, e) : s.remove(tx, e);
            }
            if (random() % 4 == 0) {
                joinery::kills all;
                s.clear(tx, all);
                s.add(tx, "after");
            }
        };
        check_undone(a, some);
        check_undone(b, some);
        a.edit(adding(std::string(1, static_cast<char>('a' + random() % 5))));
        b.edit(removing(std::string(1, static_cast<char>('a' + random() % 5))));
        if (random() % 3 == 0) meet(a, b);
    }
    meet(a, b);
    check_converged(a, b);
}

TEST_CASE("or_set: the set of adds that no removal has seen") {
    // The specification, as a function of the causal history: an element is in the set if some add of it
    // that I have seen was not seen by any removal or re-add of it that I have seen. This is promised where
    // nothing is lacking that an event had seen: a removal names the adds that it found, not those that
    // these had replaced.
    std::mt19937 random(21);
    int contested = 0, compared = 0;
    for (int round = 0; round < 60; ++round) {
        struct event {
            std::string element;
            bool add = false;
            causal_context seen;
        };
        std::map<dot, event> history;
        std::vector<replica<cart>> replicas;
        for (std::uint64_t id = 1; id <= 3; ++id) replicas.emplace_back(joinery::replica_id{id});
        std::vector<delta<cart>> edits;
        for (int i = 0; i < 25; ++i) {
            auto& who = replicas[random() % 3];
            std::string e(1, static_cast<char>('a' + random() % 3));
            bool add = random() % 3 != 0;
            causal_context seen = who.state().context();
            auto d = add ? who.edit(adding(e)) : who.edit(removing(e));
            d.covered.for_each([&](const joinery::dot_range& r) { history[{r.replica, r.first}] = {e, add, seen}; });
            if (!d.empty()) edits.push_back(d);
            // Messages may be lost, doubled and reordered.
            for (int k = 0; k < 2 && !edits.empty(); ++k) replicas[random() % 3].join(edits[random() % edits.size()]);
            if (random() % 6 == 0) {
                auto& to = replicas[random() % 3];
                to.join(who.delta_since(to.version()));
            }
            for (const auto& r : replicas) {
                std::set<std::string> expected;
                std::map<std::string, int> live;
                const auto& known = r.state().context();
                if (std::any_of(history.begin(), history.end(), [&](const auto& e) {
                        return known.contains(e.first) && !known.contains(e.second.seen);
                    }))
                    continue;
                ++compared;
                for (const auto& entry : history) {
                    const dot d1 = entry.first;
                    const auto& one = entry.second;
                    if (!one.add || !known.contains(d1)) continue;
                    bool dead = std::any_of(history.begin(), history.end(), [&](const auto& other) {
                        return known.contains(other.first) && other.second.element == one.element &&
                               other.second.seen.contains(d1);
                    });
                    if (!dead) {
                        expected.insert(one.element);
                        contested += ++live[one.element] > 1;
                    }
                }
                REQUIRE(contents(*r) == expected);
                REQUIRE(r->size() == expected.size());
            }
        }
        meet(replicas[0], replicas[1], replicas[2]);
        meet(replicas[0], replicas[1], replicas[2]);
        check_converged(replicas[0], replicas[1], replicas[2]);
    }
    CHECK(compared > 1000);
    CHECK(contested > 50); // elements with several concurrent adds
}

TEST_CASE("or_set: what is not causally closed depends on no order either") {
    replica<cart> a{id_a}, b{id_b}, c{id_c};
    auto first = a.edit(adding("x"));
    b.join(first);
    auto gone = b.edit(removing("x"));
    a.join(gone);
    auto second = a.edit(adding("x")); // supersedes nothing: it is not there
    c.join(second);
    auto gone_again = c.edit(removing("x")); // has not seen the first
    causal<cart> s, t;
    for (const auto* d : {&first, &second, &gone_again}) s.join(*d);
    for (const auto* d : {&second, &gone_again, &first}) t.join(*d);
    CHECK(s->contains("x"));
    CHECK(s == t);
    s.join(gone);
    t.join(gone);
    CHECK(s->empty());
    CHECK(s == t);
}

TEST_CASE("or_set: an element with many dots of one replica, which only hostile bytes bring, goes quickly") {
    delta<cart> d;
    constexpr std::uint64_t many = 200'000;
    d.covered = {{id_a, 1, many}};
    for (std::uint64_t s = 1; s <= many; ++s) d.fragment.push_back({id_a, s}, "");
    causal<cart> s;
    s.join(d);
    CHECK(s->size() == 1);
    delta<cart> gone;
    gone.covered = {dot{id_b, 1}};
    gone.removals.push_back({dot{id_b, 1}, {{{id_a, 1, many}}, {}}});
    auto start = std::chrono::steady_clock::now();
    s.join(gone);
    CHECK(s->empty());
    CHECK(std::chrono::steady_clock::now() - start < std::chrono::seconds(20)); // quadratic: minutes
}

TEST_CASE("or_set: pruned, budgeted, re-issued under another id") {
    replica<cart> a{id_a}, b{id_b};
    a.edit(adding("x"));
    meet(a, b);
    a.hold_from(1);
    a.edit(removing("x"));
    a.edit(adding("y"));
    a.edit(adding("y"));
    a.rename_from(1, id_c);
    CHECK(a.version() == joinery::version_vector{{id_a, 1}, {id_c, 3}});
    CHECK(contents(*a) == std::set<std::string>{"y"});
    b.join(a.delta_since(b.version()));
    check_converged(a, b);
    b.edit(removing("y"));
    meet(a, b);
    a.prune(a.version());
    CHECK(a.state().removals().empty());
    check_converged(a, b);
}

TEST_CASE("or_set: memory stays with what is in it") {
    replica<or_set<std::uint64_t>> a{id_a};
    a.set_log_budget(0);
    constexpr std::uint64_t many = 10'000;
    auto change = [&](std::uint64_t from, bool add) {
        a.edit([&](auto& s, transaction& tx) {
            for (std::uint64_t i = from; i < from + many; ++i) add ? s.add(tx, i) : s.remove(tx, i);
        });
    };
    change(0, true);
    std::size_t full = a->memory();
    CHECK(full < many * 100);
    for (std::uint64_t round = 0; round < 10; ++round) { // the same number, others each time
        change(round * many, false);
        CHECK(a->empty());
        change((round + 1) * many, true);
        CHECK(a->size() == many);
    }
    CHECK(a->memory() < 2 * full);
    const auto last = 10 * many;
    a.edit([&](auto& s, transaction& tx) {
        for (std::uint64_t i = last; i < last + many - 10; ++i) s.remove(tx, i);
    });
    CHECK(a->size() == 10);
    for (std::uint64_t i = last + many - 10; i < last + many; ++i) CHECK(a->contains(i));
    CHECK(a->memory() < full / 20);
    replica<or_set<std::uint64_t>> b{id_b};
    b.join(a.state());
    CHECK(b.state() == a.state());
}

TEST_CASE("or_set: what an undone edit removed is there again, also after most of it had gone") {
    replica<or_set<std::uint64_t>> a{id_a}, b{id_b};
    a.edit([](auto& s, transaction& tx) {
        for (std::uint64_t i = 0; i < 2000; ++i) s.add(tx, i);
    });
    b.edit([](auto& s, transaction& tx) { s.add(tx, 1500); });
    a.join(b.state());
    const auto before = a.state();
    const auto fails = [](auto& s, transaction& tx) {
        for (std::uint64_t i = 0; i < 1990; ++i) s.remove(tx, i);
        s.add(tx, 7);
        throw std::runtime_error("no");
    };
    CHECK_THROWS_AS(a.edit(fails), std::runtime_error);
    CHECK(a.state() == before);
    CHECK(a->size() == 2000);
    a.edit([](auto& s, transaction& tx) {
        for (std::uint64_t i = 0; i < 1990; ++i) s.remove(tx, i);
    });
    b.join(a.state());
    CHECK(b.state() == a.state());
    CHECK(b->size() == 10);
}
