// SPDX-License-Identifier: Apache-2.0
#include <joinery/or_map.hpp>

#include "bytes.hpp"
#include "replicas.hpp"

#include <joinery/joinery.hpp>

#include <doctest/doctest.h>

#include <map>
#include <random>
#include <set>
#include <stdexcept>
#include <string>

using joinery::causal;
using joinery::decode_error;
using joinery::delta;
using joinery::dot;
using joinery::encode;
using joinery::or_map;
using joinery::or_set;
using joinery::pn_counter;
using joinery::replica;
using joinery::transaction;

namespace {
using sets = or_map<std::string, or_set<std::uint32_t>>;
using counters = or_map<std::string, pn_counter>;
using deep = or_map<std::string, or_map<std::string, counters>>;
using texts = or_map<std::string, joinery::lww_register<std::string>>;

auto counting(std::string key, int n) {
    return [key, n](counters& m, transaction& tx) {
        n < 0 ? m.at(tx, key)->decrement(tx, -n) : m.at(tx, key)->increment(tx, n);
    };
}
auto erasing(std::string key) {
    return [key](auto& m, transaction& tx) { m.erase(tx, key); };
}
auto adding(std::string key, std::uint32_t e) {
    return [key, e](sets& m, transaction& tx) { m.at(tx, key)->add(tx, e); };
}
} // namespace

TEST_CASE("or_map: a key exists if and only if something live is below it") {
    replica<sets> a{id_a};
    a.edit([](sets& m, transaction& tx) {
        m.at(tx, "x"); // looking creates nothing
        m.update(tx, "y", [](auto&) {});
    });
    CHECK(a->empty());
    CHECK(a.version().empty());
    a.edit(adding("x", 1));
    CHECK(a->contains("x"));
    CHECK(a->size() == 1);
    CHECK(a->find("x")->contains(1));
    CHECK(a->find("y") == nullptr);
    a.edit([](sets& m, transaction& tx) { m.at(tx, "x")->remove(tx, 1); });
    CHECK_FALSE(a->contains("x"));
    CHECK(a->vacant());
    check_converged(a);
}

TEST_CASE("or_map: iteration gives each key that exists with its value") {
    replica<counters> a{id_a};
    a.edit([](counters& m, transaction& tx) {
        for (int i = 0; i < 20; ++i) m.at(tx, std::to_string(i))->increment(tx, i);
        for (int i = 0; i < 20; i += 2) m.erase(tx, std::to_string(i));
    });
    std::map<std::string, std::int64_t> seen;
    for (const auto& [key, value] : *a) seen.emplace(key, value.value());
    CHECK(seen.size() == 10);
    CHECK(a->size() == 10);
    CHECK(seen.at("19") == 19);
    CHECK_FALSE(seen.contains("4"));
}

TEST_CASE("or_map: erasing a key spares what the remover had not seen") {
    replica<sets> a{id_a}, b{id_b}, c{id_c};
    auto one = a.edit(adding("x", 1));
    b.join(one);
    auto two = a.edit(adding("x", 2));
    auto erased = b.edit(erasing("x"));
    CHECK(b->empty());
    c.join(erased);
    c.join(two);
    CHECK(c->find("x")->contains(2));
    c.join(one);
    a.join(erased);
    b.join(two);
    CHECK(a->find("x")->size() == 1);
    check_converged(a, b, c);
}

TEST_CASE("or_map: erasing a counter leaves exactly the increments that the remover had not seen") {
    replica<counters> a{id_a}, b{id_b}, c{id_c};
    b.join(a.edit(counting("k", 5)));
    auto more = a.edit(counting("k", 2)); // goes on from the same run
    auto erased = b.edit(erasing("k"));
    auto own = c.edit(counting("k", 10));
    for (auto* r : {&a, &b, &c})
        for (const auto* d : {&erased, &own, &more}) r->join(*d);
    c.join(a.state());
    CHECK(a->find("k")->value() == 12);
    check_converged(a, b, c);
    // Once more, by who has seen all: the key goes everywhere, and counting begins anew.
    auto again = c.edit(erasing("k"));
    a.join(again);
    CHECK_FALSE(a->contains("k"));
    a.edit(counting("k", -1));
    b.join(again);
    meet(a, b, c);
    meet(a, b, c);
    CHECK(b->find("k")->value() == -1);
    check_converged(a, b, c);
}

TEST_CASE("or_map: two removals of one counter, by who had seen more and by who had seen less") {
    replica<counters> a{id_a}, b{id_b}, c{id_c};
    auto first = a.edit(counting("k", 1));
    b.join(first);
    auto second = a.edit(counting("k", 2));
    c.join(first);
    c.join(second);
    auto third = a.edit(counting("k", 4));
    auto less = b.edit(erasing("k"));
    auto more = c.edit(erasing("k"));
    for (auto* r : {&a, &b, &c})
        for (const auto* d : {&more, &third, &less, &second, &first}) r->join(*d);
    CHECK(b->find("k")->value() == 4);
    check_converged(a, b, c);
}

TEST_CASE("or_map: an edit that uses a key, erases it and uses it again") {
    replica<counters> a{id_a}, b{id_b};
    a.edit(counting("k", 5));
    b.join(a.state());
    auto d = a.edit([](counters& m, transaction& tx) {
        m.at(tx, "k")->increment(tx, 1);
        m.erase(tx, "k");
        m.at(tx, "k")->increment(tx, 7);
        m.at(tx, "gone")->increment(tx, 1);
        m.erase(tx, "gone");
        m.erase(tx, "never there");
    });
    CHECK(a->find("k")->value() == 7);
    CHECK(a->size() == 1);
    b.join(round_trip(d));
    check_converged(a, b);
}

TEST_CASE("or_map: an edit that erases a key, uses it again and fails") {
    replica<counters> a{id_a};
    a.edit(counting("k", 5));
    check_undone(a, [](counters& m, transaction& tx) {
        m.erase(tx, "k");
        m.at(tx, "k")->increment(tx, 1);
        m.erase(tx, "k");
        m.at(tx, "k")->decrement(tx, 1);
        m.at(tx, "new")->increment(tx, 1);
    });
    CHECK(a->size() == 1);
    CHECK(a->find("k")->value() == 5);
}

TEST_CASE("or_map: an inner key that comes and goes with its outer one, within an edit") {
    replica<deep> a{id_a}, b{id_b};
    auto d = a.edit([](deep& m, transaction& tx) {
        m.at(tx, "x")->at(tx, "y")->at(tx, "z")->increment(tx, 1);
        m.at(tx, "x")->erase(tx, "y");
        m.erase(tx, "x");
        m.at(tx, "x")->at(tx, "y")->at(tx, "z")->increment(tx, 2);
        m.at(tx, "x")->erase(tx, "y");
    });
    CHECK(a->empty());
    CHECK(a->vacant());
    b.join(d);
    check_converged(a, b);
    a.edit([](deep& m, transaction& tx) { m.at(tx, "x")->at(tx, "y")->at(tx, "z")->increment(tx, 4); });
    check_undone(a, [](deep& m, transaction& tx) {
        m.at(tx, "x")->at(tx, "y")->erase(tx, "z");
        m.at(tx, "x")->at(tx, "other")->at(tx, "z")->increment(tx, 1);
        m.erase(tx, "x");
        m.at(tx, "x")->at(tx, "y")->at(tx, "w")->increment(tx, 1);
        joinery::kills all;
        m.clear(tx, all);
        m.at(tx, "x")->at(tx, "y")->at(tx, "z")->increment(tx, 9);
    });
    CHECK(a->find("x")->find("y")->find("z")->value() == 4);
}

TEST_CASE("or_map: removing an outer key reaches every depth") {
    replica<deep> a{id_a}, b{id_b};
    a.edit([](deep& m, transaction& tx) {
        m.at(tx, "x")->at(tx, "y")->at(tx, "z")->increment(tx, 1);
        m.at(tx, "x")->at(tx, "w")->at(tx, "z")->increment(tx, 2);
        m.at(tx, "v")->at(tx, "y")->at(tx, "z")->increment(tx, 4);
    });
    b.join(a.state());
    auto more = a.edit([](deep& m, transaction& tx) { m.at(tx, "x")->at(tx, "y")->at(tx, "z")->increment(tx, 8); });
    auto erased = b.edit(erasing("x"));
    CHECK(b->size() == 1);
    CHECK(erased.removals.size() == 1);
    a.join(erased);
    b.join(more);
    CHECK(a->find("x")->size() == 1);
    CHECK(a->find("x")->find("y")->find("z")->value() == 8);
    check_converged(a, b);
}

TEST_CASE("or_map: random edits of nested maps, undone or done, converge with the specification") {
    // The specification of a counter below keys: the increments that no removal of a key around it has seen.
    std::mt19937 random(31);
    int undone = 0;
    for (int round = 0; round < 25; ++round) {
        struct event {
            std::string outer, inner; // inner empty: a removal of the outer key
            int n = 0;                // 0: a removal
            joinery::causal_context seen;
        };
        using grid = or_map<std::string, counters>;
        std::map<dot, event> history;
        std::vector<replica<grid>> replicas;
        for (std::uint64_t id = 1; id <= 3; ++id) replicas.emplace_back(joinery::replica_id{id});
        std::vector<delta<grid>> edits;
        for (int i = 0; i < 30; ++i) {
            auto& who = replicas[random() % 3];
            event e{std::string(1, static_cast<char>('a' + random() % 2)),
                    random() % 6 ? std::string(1, static_cast<char>('x' + random() % 2)) : "",
                    random() % 3 ? static_cast<int>(1 + random() % 9) : 0, who.state().context()};
            if (e.inner.empty()) e.n = 0;
            auto change = [&](grid& m, transaction& tx) {
                if (e.inner.empty())
                    m.erase(tx, e.outer);
                else if (e.n == 0)
                    m.at(tx, e.outer)->erase(tx, e.inner);
                else
                    m.at(tx, e.outer)->at(tx, e.inner)->increment(tx, e.n);
            };
            if (random() % 4 == 0) {
                ++undone;
                check_undone(who, change);
            }
            auto d = who.edit(change);
            if (d.empty()) continue;
            d.covered.for_each([&](const joinery::dot_range& r) { history[{r.replica, r.first}] = e; });
            edits.push_back(d);
            // In each origin's order, so that what is seen of a replica is always a beginning.
            auto& to = replicas[random() % 3];
            if (random() % 2) to.join(who.delta_since(to.version()));
            for (const auto& r : replicas) {
                const auto& known = r.state().context();
                std::map<std::pair<std::string, std::string>, std::int64_t> expected;
                for (const auto& entry : history) {
                    const dot d1 = entry.first;
                    const auto& one = entry.second;
                    if (one.n == 0 || !known.contains(d1)) continue;
                    bool dead = std::any_of(history.begin(), history.end(), [&](const auto& other) {
                        const auto& [d2, removal] = other;
                        return removal.n == 0 && known.contains(d2) && removal.outer == one.outer &&
                               (removal.inner.empty() || removal.inner == one.inner) && removal.seen.contains(d1);
                    });
                    if (!dead) expected[{one.outer, one.inner}] += one.n;
                }
                std::map<std::pair<std::string, std::string>, std::int64_t> found;
                for (const auto& [outer, below] : *r)
                    for (const auto& [inner, counter] : below) found[{outer, inner}] = counter.value();
                REQUIRE(found == expected);
            }
        }
        meet(replicas[0], replicas[1], replicas[2]);
        meet(replicas[0], replicas[1], replicas[2]);
        check_converged(replicas[0], replicas[1], replicas[2]);
    }
    CHECK(undone > 100);
}

TEST_CASE("or_map: delta_since and coverage are of the dots below the keys") {
    replica<sets> a{id_a}, b{id_b};
    for (std::uint32_t i = 0; i < 100; ++i) a.edit(adding(std::to_string(i % 10), i));
    b.join(a.state());
    auto before = b.version();
    a.edit(adding("3", 1000));
    auto answer = a.delta_since(before);
    CHECK(answer.fragment.items.size() == 1);
    CHECK(answer.fragment.items[0].key == "3");
    CHECK(answer.fragment.items[0].value.size() == 1);
    b.join(answer);
    check_converged(a, b);
}

TEST_CASE("or_map: keys of any encodable type") {
    replica<or_map<std::vector<std::uint16_t>, pn_counter>> a{id_a}, b{id_b};
    a.edit([](auto& m, transaction& tx) {
        m.at(tx, {1, 2})->increment(tx, 1);
        m.at(tx, {})->increment(tx, 2);
    });
    b.join(a.state());
    CHECK(b->find({1, 2})->value() == 1);
    CHECK(b->find({})->value() == 2);
    check_converged(a, b);
}

TEST_CASE("or_map: pruned, budgeted, re-issued under another id") {
    replica<counters> a{id_a}, b{id_b};
    a.edit(counting("k", 5));
    a.edit(counting("m", 5));
    meet(a, b);
    a.hold_from(a.version()[id_a]);
    a.edit(counting("k", 2));
    a.edit(erasing("m"));
    a.edit(counting("n", 1));
    a.edit(counting("n", 1));
    a.edit(erasing("n"));
    a.rename_from(2, id_c);
    CHECK(a.version() == joinery::version_vector{{id_a, 2}, {id_c, 5}});
    b.join(a.delta_since(b.version()));
    CHECK(b->find("k")->value() == 7);
    CHECK(b->size() == 1);
    check_converged(a, b);
    // The record of the removal names the run's dots under the new id, as far as they were seen.
    b.prune(b.version());
    CHECK(b.state().removals().empty());
    CHECK(a.state() == b.state());
    a.set_log_budget(0);
    a.edit(erasing("k"));
    meet(a, b);
    check_converged(a, b);
}

TEST_CASE("or_map: a key twice and a key without content are refused") {
    using fragment = or_map<std::string, pn_counter>::fragment;
    auto make = [](std::vector<std::string> keys, bool empty) {
        fragment f;
        std::uint64_t seq = 0;
        for (const auto& k : keys) {
            f.items.push_back({k, {}});
            ++seq;
            if (!empty) f.items.back().value.runs.push_back({{id_a, seq}, seq, 1, 0, 0, 0});
        }
        return encode(f);
    };
    CHECK(joinery::decode<fragment>(make({"x", "y"}, false)));
    CHECK(refusal<fragment>(make({"x", "y", "x"}, false)) == decode_error::non_canonical);
    CHECK(refusal<fragment>(make({"x"}, true)) == decode_error::non_canonical);
}

TEST_CASE("or_map: a counter's run that comes under two keys counts once") {
    delta<counters> d;
    d.covered = {{id_a, 1, 3}};
    for (std::string key : {"p", "q"}) {
        d.fragment.items.push_back({key, {}});
        d.fragment.items.back().value.runs.push_back({{id_a, 1}, 3, 7, 0, 0, 0});
    }
    causal<counters> s;
    CHECK(s.join(round_trip(d)));
    CHECK(s->size() == 1);
    CHECK(s->find("p")->value() == 7);
    CHECK(round_trip(s) == s);
}

TEST_CASE("or_map: copies are independent") {
    replica<texts> a{id_a};
    a.edit([](texts& m, transaction& tx) { m.at(tx, "x")->set(tx, "one"); });
    causal<texts> copy = a.state();
    a.edit([](texts& m, transaction& tx) { m.at(tx, "x")->set(tx, "two"); });
    CHECK(copy->find("x")->get() == "one");
    CHECK(a->find("x")->get() == "two");
    copy.join(a.state());
    CHECK(copy == a.state());
}

TEST_CASE("or_map: many keys come and go") {
    using map = joinery::or_map<std::uint32_t, joinery::or_map<std::uint32_t, joinery::lww_register<std::uint32_t>>>;
    joinery::replica<map> writer{joinery::replica_id{1}}, reader{joinery::replica_id{2}};
    std::map<std::uint32_t, std::map<std::uint32_t, std::uint32_t>> expected;
    std::mt19937 random(7);
    for (unsigned round = 0; round < 60; ++round) {
        const bool grows = round % 20 < 6; // then nearly all goes
        auto before = expected;
        const auto change = [&](bool fails) {
            return writer.edit([&](map& m, joinery::transaction& tx) {
                for (unsigned i = 0; i < 500; ++i) {
                    const std::uint32_t key = random() % 1500;
                    if (grows) {
                        m.at(tx, key)->at(tx, i % 3)->set(tx, i);
                        expected[key][i % 3] = i;
                    } else {
                        m.erase(tx, key);
                        expected.erase(key);
                    }
                }
                if (fails) throw std::runtime_error("undone");
            });
        };
        CHECK_THROWS_AS(change(true), std::runtime_error);
        expected = before;
        reader.join(change(false));
        for (const auto* r : {&writer, &reader}) {
            REQUIRE((*r)->size() == expected.size());
            for (const auto& [key, values] : expected) {
                const auto* found = (*r)->find(key);
                REQUIRE(found);
                REQUIRE(found->size() == values.size());
                for (const auto& [k, v] : values) REQUIRE(found->find(k)->get() == v);
            }
        }
        CHECK(writer.state() == reader.state());
        CHECK(joinery::encode(writer.state()) == joinery::encode(writer.state().whole()));
        CHECK(joinery::causal<map>(reader.state()) == reader.state());
    }
}
