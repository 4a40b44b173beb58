// SPDX-License-Identifier: Apache-2.0
#include <joinery/unknown_fields.hpp>

#include "bytes.hpp"
#include "replicas.hpp"

#include <joinery/joinery.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <random>
#include <string>

using joinery::causal;
using joinery::decode;
using joinery::delta;
using joinery::encode;
using joinery::or_map;
using joinery::replica;
using joinery::transaction;
using joinery::unknown_field;

namespace {
// The same application, in two versions that run together.
namespace v1 {
struct task {
    joinery::lww_register<std::string> title;
};
JOINERY_RECORD(task, (1, title))
using list = or_map<std::string, task>;
} // namespace v1
namespace v2 {
struct task {
    joinery::lww_register<std::string> title;
    joinery::or_set<std::string> tags;
    joinery::pn_counter votes;
};
JOINERY_RECORD(task, (1, title), (2, tags), (3, votes))
using list = or_map<std::string, task>;
} // namespace v2

delta<v1::list> old_version(const delta<v2::list>& d) { return decode<delta<v1::list>>(encode(d)).value(); }
delta<v2::list> new_version(const delta<v1::list>& d) { return decode<delta<v2::list>>(encode(d)).value(); }
const joinery::replica_id id_d{0xd};
// Time stands still, so that the same edits have the same timestamps.
joinery::hybrid_clock still() {
    return joinery::hybrid_clock([] { return std::uint64_t{1'700'000'000'000}; });
}
} // namespace

TEST_CASE("unknown fields: kept, passed on and joined by who knows them") {
    replica<v2::list> a{id_a}, c{id_c};
    replica<v1::list> b{id_b}; // between them, of the earlier version
    b.join(old_version(a.edit([](v2::list& l, transaction& tx) {
        l.at(tx, "x")->title.set(tx, "Write tests");
        l.at(tx, "x")->tags.add(tx, "today");
        l.at(tx, "x")->votes.increment(tx, 2);
    })));
    CHECK(b->find("x")->title.get() == "Write tests");
    b.join(old_version(a.edit([](v2::list& l, transaction& tx) { l.at(tx, "y")->tags.add(tx, "later"); })));
    CHECK_FALSE(b->contains("y")); // all that lives there is unknown here
    b.edit([](v1::list& l, transaction& tx) { l.at(tx, "x")->title.set(tx, "Write more tests"); });

    c.join(new_version(b.delta_since({})));
    CHECK(c->find("x")->tags.contains("today"));
    CHECK(c->find("x")->votes.value() == 2);
    CHECK(c->find("x")->title.get() == "Write more tests");
    CHECK(c->find("y")->tags.contains("later"));
    a.join(c.state());
    check_converged(a, c);
}

TEST_CASE("unknown fields: a key that an earlier version removes keeps what that cannot see") {
    replica<v2::list> a{id_a}, c{id_c};
    replica<v1::list> b{id_b};
    b.join(old_version(a.edit([](v2::list& l, transaction& tx) {
        l.at(tx, "x")->title.set(tx, "Write tests");
        l.at(tx, "y")->title.set(tx, "Only a title");
    })));
    b.join(old_version(a.edit([](v2::list& l, transaction& tx) { l.at(tx, "x")->tags.add(tx, "today"); })));
    a.join(new_version(b.edit([](v1::list& l, transaction& tx) {
        l.erase(tx, "x");
        l.erase(tx, "y");
    })));
    CHECK(b->empty());
    c.join(new_version(b.delta_since({})));
    for (const auto* r : {&a, &c}) {
        REQUIRE((*r)->contains("x"));
        CHECK_FALSE((*r)->find("x")->title.get());
        CHECK((*r)->find("x")->tags.contains("today"));
        CHECK_FALSE((*r)->contains("y"));
    }
    check_converged(a, c);
}

TEST_CASE("unknown fields: survive being saved, and nothing is pruned meanwhile") {
    replica<v2::list> a{id_a};
    replica<v1::list> b{id_b};
    b.join(old_version(a.edit([](v2::list& l, transaction& tx) { l.at(tx, "x")->tags.add(tx, "today"); })));
    auto saved = encode(b.state());
    auto restored = decode<causal<v1::list>>(saved).value();
    CHECK(encode(restored) == saved);
    restored.prune(restored.version());
    CHECK(restored.horizon().empty());
    // Upgraded in place.
    auto upgraded = decode<causal<v2::list>>(saved).value();
    CHECK(upgraded->find("x")->tags.contains("today"));
    CHECK(upgraded == a.state());
}

TEST_CASE("unknown fields: equal states keep them in equal order") {
    replica<v2::list> a{id_a};
    std::vector<delta<v1::list>> edits;
    for (int i = 0; i < 30; ++i)
        edits.push_back(old_version(a.edit([&](v2::list& l, transaction& tx) {
            l.at(tx, std::to_string(i % 7))->tags.add(tx, std::to_string(i));
            l.at(tx, std::to_string(i % 5))->votes.increment(tx, 1);
        })));
    std::mt19937 random(6);
    std::vector<std::byte> expected;
    for (int order = 0; order < 4; ++order) {
        causal<v1::list> s;
        for (const auto& d : edits) {
            s.join(d);
            s.join(d);
        }
        if (order == 0) expected = encode(s);
        CHECK(encode(s) == expected);
        CHECK(decode<causal<v2::list>>(encode(s)).value() == a.state());
        std::shuffle(edits.begin(), edits.end(), random);
    }
}

TEST_CASE("unknown fields: a thousand are kept in little time, each once") {
    replica<v2::list> a{id_a};
    auto d = old_version(a.edit([](v2::list& l, transaction& tx) {
        for (int i = 0; i < 5000; ++i) l.at(tx, std::to_string(i))->tags.add(tx, "t");
    }));
    CHECK(d.fragment.items.size() == 5000);
    replica<v1::list> b{id_b};
    b.join(d);
    b.join(b.delta_since({}));
    auto onward = b.delta_since({});
    CHECK(onward.unknown.size() == 5000);
    CHECK(decode<causal<v2::list>>(encode(onward)).value() == a.state());
}

TEST_CASE("unknown fields: paths and contents that lead nowhere are kept or dropped, and harm nobody") {
    using joinery::dot;
    replica<v2::list> a{id_a};
    auto good = a.edit([](v2::list& l, transaction& tx) { l.at(tx, "x")->votes.increment(tx, 1); });
    auto key = encode(std::string("x"));
    auto path = [&](std::initializer_list<unsigned> tail) {
        auto out = key;
        auto rest = bytes(tail);
        out.insert(out.end(), rest.begin(), rest.end());
        return out;
    };
    for (const auto& where : {path({}), path({9}), path({1}), path({2}), path({3, 3}), path({0x80}), bytes({}),
                              bytes({200}), bytes({255, 255, 255, 255, 255, 255, 255, 255, 255, 255})}) {
        delta<v2::list> d = good;
        d.covered.add(dot{id_b, 1});
        d.unknown.push_back({where, joinery::causal_context{dot{id_b, 1}}, {{}, bytes({1, 2, 3})}});
        auto back = round_trip(d);
        CHECK(back == d);
        causal<v2::list> s;
        CHECK(s.join(back));
        CHECK(s->size() == 1);
        CHECK(s->find("x")->votes.value() == 1);
        CHECK(round_trip(s) == s);
    }
}

TEST_CASE("unknown fields: a field that comes both known and kept enters once") {
    using joinery::dot;
    delta<v2::list> d;
    d.covered = {dot{id_a, 1}};
    joinery::dot_entries<std::string> tags;
    tags.push_back({id_a, 1}, "twice");
    joinery::fragment_of<v2::task> task;
    std::get<1>(task.fields) = tags;
    task.unknown.emplace_back(2, joinery::opaque_fragment{{}, encode(tags)});
    d.fragment.items.push_back({"x", task});
    causal<v2::list> s;
    CHECK(s.join(round_trip(d)));
    CHECK(s->find("x")->tags.size() == 1);
    CHECK(round_trip(s) == s);
    replica<v2::list> b{id_b, s};
    b.edit([](v2::list& l, transaction& tx) { l.at(tx, "x")->tags.remove(tx, "twice"); });
    CHECK(b->empty());
    check_converged(b);
}

TEST_CASE("unknown fields: who wrote one does not lose it to a state that keeps it") {
    replica<v2::list> a{id_a};
    replica<v1::list> b{id_b};
    b.join(old_version(a.edit([](v2::list& l, transaction& tx) { l.at(tx, "x")->title.set(tx, "Write tests"); })));
    b.join(old_version(a.edit([](v2::list& l, transaction& tx) { l.at(tx, "x")->tags.add(tx, "today"); })));
    b.edit([](v1::list& l, transaction& tx) { l.at(tx, "y")->title.set(tx, "Another one"); });
    a.join(new_version(b.delta_since({})));
    REQUIRE(a->contains("x"));
    CHECK(a->find("x")->tags.contains("today"));
    CHECK(a->contains("y"));
    // What was removed meanwhile stays so.
    a.edit([](v2::list& l, transaction& tx) { l.at(tx, "x")->tags.remove(tx, "today"); });
    a.join(new_version(b.delta_since({})));
    CHECK_FALSE(a->find("x")->tags.contains("today"));
}

TEST_CASE("unknown fields: two that keep them do not lose them to each other") {
    replica<v2::list> a{id_a}, d{id_d};
    replica<v1::list> b{id_b}, c{id_c};
    const auto tagged = old_version(a.edit([](v2::list& l, transaction& tx) { l.at(tx, "x")->tags.add(tx, "today"); }));
    b.join(tagged);
    c.join(tagged);
    c.edit([](v1::list& l, transaction& tx) { l.at(tx, "y")->title.set(tx, "Another one"); });
    b.join(c.delta_since({}));
    c.join(b.delta_since({}));
    CHECK(encode(b.state()) == encode(c.state()));
    d.join(new_version(b.delta_since({})));
    CHECK(d->find("x")->tags.contains("today"));
}

// The same edits under the same dots, where all leaders are of the later version: what is left in the end is the same.
TEST_CASE("unknown fields: whoever keeps them, in the end all is as if nobody had") {
    for (unsigned seed = 0; seed < 300; ++seed) {
        CAPTURE(seed);
        std::mt19937 random(seed);
        const std::vector<joinery::replica_id> ids{id_a, id_b, id_c, id_d};
        std::vector<replica<v2::list>> later, twins; // of ids 0 and 1, and the twins of all
        std::vector<replica<v1::list>> earlier;      // of ids 2 and 3
        for (std::size_t i = 0; i < 4; ++i) {
            twins.emplace_back(ids[i], causal<v2::list>(), still());
            if (i < 2)
                later.emplace_back(ids[i], causal<v2::list>(), still());
            else
                earlier.emplace_back(ids[i], causal<v1::list>(), still());
        }
        const auto exchange = [&](std::size_t to, std::size_t from, bool all) {
            const auto ask = [&](const auto& r) { return all ? joinery::version_vector{} : r.state().version(); };
            const auto since = to < 2 ? ask(later[to]) : ask(earlier[to - 2]);
            twins[to].join(twins[from].delta_since(since));
            if (to < 2 && from < 2) later[to].join(later[from].delta_since(since));
            if (to < 2 && from >= 2) later[to].join(new_version(earlier[from - 2].delta_since(since)));
            if (to >= 2 && from < 2) earlier[to - 2].join(old_version(later[from].delta_since(since)));
            if (to >= 2 && from >= 2) earlier[to - 2].join(earlier[from - 2].delta_since(since));
        };
        for (int step = 0; step < 60; ++step) {
            const std::size_t who = random() % 4;
            const std::string key(1, static_cast<char>('x' + random() % 2));
            const std::string tag(1, static_cast<char>('a' + random() % 3));
            switch (random() % 4) {
            case 0: { // what both versions can do
                const auto set = [&](auto& l, transaction& tx) { l.at(tx, key)->title.set(tx, tag); };
                twins[who].edit(set);
                if (who < 2)
                    later[who].edit(set);
                else
                    earlier[who - 2].edit(set);
                break;
            }
            case 1: {
                const std::size_t editor = random() % 2;
                const bool add = random() % 3 != 0;
                const auto edit = [&](v2::list& l, transaction& tx) {
                    if (add)
                        l.at(tx, key)->tags.add(tx, tag);
                    else
                        l.at(tx, key)->tags.remove(tx, tag);
                    if (random() % 4 == 0) l.at(tx, key)->title.set(tx, tag);
                };
                const auto draws = random;
                twins[editor].edit(edit);
                random = draws;
                later[editor].edit(edit);
                break;
            }
            default: exchange(who, (who + 1 + random() % 3) % 4, random() % 3 == 0);
            }
        }
        for (int round = 0; round < 2; ++round)
            for (std::size_t to = 0; to < 4; ++to)
                for (std::size_t from = 0; from < 4; ++from)
                    if (to != from) exchange(to, from, round == 0);
        check_converged(later[0], later[1]);
        for (std::size_t i = 0; i < 2; ++i)
            for (const auto* key : {"x", "y"}) {
                const auto* found = later[i]->find(key);
                const auto* expected = twins[i]->find(key);
                REQUIRE((found != nullptr) == (expected != nullptr));
                if (!found) continue;
                CHECK(found->tags == expected->tags);
                CHECK(found->title.get() == expected->title.get());
            }
    }
}
