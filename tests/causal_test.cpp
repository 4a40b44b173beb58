// SPDX-License-Identifier: Apache-2.0
#include <joinery/causal.hpp>

#include "bytes.hpp"
#include "carts.hpp"
#include "cereal_archives.hpp"
#include "replicas.hpp"

#include <joinery/joinery.hpp>

#include <doctest/doctest.h>

#include <random>

using joinery::causal;
using joinery::causal_context;
using joinery::decode_error;
using joinery::delta;
using joinery::dot;
using joinery::dot_range;
using joinery::encode;
using joinery::replica;
using joinery::transaction;
using joinery::version_vector;

namespace {
using shop = joinery::or_map<std::string, joinery::or_map<std::string, joinery::pn_counter>>;
} // namespace

TEST_CASE("causal: a copy shares nothing with the original") {
    replica<cart> a{id_a};
    a.edit(adding("x"));
    causal<cart> copy = a.state();
    a.edit(removing("x"));
    CHECK(copy->contains("x"));
    CHECK(copy.context() == causal_context{dot{id_a, 1}});
    CHECK(copy != a.state());
    CHECK(copy.join(a.state()));
    CHECK(copy == a.state());
}

TEST_CASE("causal: states are compared by whole contexts and live content") {
    replica<cart> a{id_a};
    auto one = a.edit(adding("x"));
    auto two = a.edit(removing("x"));
    causal<cart> gap;
    gap.join(two);
    CHECK(gap.version() == causal<cart>{}.version());
    CHECK(gap != causal<cart>{});
    CHECK(gap.digest() != causal<cart>{}.digest());
    gap.join(one);
    CHECK(gap == a.state());
    CHECK(gap.digest() == a.state().digest());
    gap.prune(gap.version()); // the log is not compared
    CHECK(gap == a.state());
    CHECK(gap.digest() == a.state().digest());
    CHECK(encode(gap) != encode(a.state()));
}

TEST_CASE("causal: equal histories in any order give equal bytes") {
    std::mt19937 random(11);
    for (int round = 0; round < 20; ++round) {
        replica<shop> a{id_a}, b{id_b};
        std::vector<delta<shop>> edits;
        for (int i = 0; i < 12; ++i) {
            auto& who = random() % 2 ? a : b;
            edits.push_back(who.edit([&](shop& s, transaction& tx) {
                std::string outer(1, static_cast<char>('a' + random() % 3));
                std::string inner(1, static_cast<char>('x' + random() % 2));
                switch (random() % 4) {
                case 0: s.erase(tx, outer); break;
                case 1: s.at(tx, outer)->erase(tx, inner); break;
                default: s.at(tx, outer)->at(tx, inner)->increment(tx, random() % 9);
                }
            }));
            if (random() % 3 == 0) a.join(b.state());
            if (random() % 3 == 0) b.join(a.state());
        }
        std::vector<std::byte> expected;
        for (int order = 0; order < 4; ++order) {
            causal<shop> s;
            for (const auto& d : edits) {
                s.join(d);
                if (random() % 3 == 0) s.join(d);
            }
            if (order == 0) expected = encode(s);
            CHECK(encode(s) == expected);
            CHECK(encode(round_trip(s)) == expected);
            std::shuffle(edits.begin(), edits.end(), random);
        }
        meet(a, b);
        check_converged(a, b);
        CHECK(encode(a.state()) == expected);
    }
}

TEST_CASE("causal: a state is a delta") {
    replica<cart> a{id_a};
    a.edit(adding("x"));
    a.edit(removing("x"));
    a.edit(adding("y"));
    a.prune({{id_a, 2}});
    delta<cart> all = a.state();
    CHECK(all == a.state().whole());
    CHECK(all.covered == a.state().context());
    CHECK(all.horizon == version_vector{{id_a, 2}});
    CHECK(encode(all) == encode(a.state()));
}

TEST_CASE("causal: an answer of delta_since is not a state") {
    replica<cart> a{id_a};
    a.edit(adding("x"));
    a.edit(adding("y"));
    CHECK(refusal<causal<cart>>(encode(a.delta_since({{id_a, 1}}))) == decode_error::invalid_value);
    CHECK(joinery::decode<causal<cart>>(encode(a.delta_since({}))).value() == a.state());
}

TEST_CASE("causal: through all of Cereal's archives") {
    replica<shop> a{id_a}, b{id_b};
    auto d = a.edit([](shop& s, transaction& tx) {
        s.at(tx, "x")->at(tx, "y")->increment(tx, 5);
        s.at(tx, "x")->at(tx, "z")->decrement(tx, 3);
    });
    b.join(d);
    b.edit([](shop& s, transaction& tx) { s.at(tx, "x")->erase(tx, "y"); });
    auto state = b.state();
    CHECK(through_json(state) == state);
    CHECK(through_portable_binary(state) == state);
    CHECK(through_json(d) == d);
    auto answer = b.delta_since({{id_a, 1}});
    CHECK(through_portable_binary(answer) == answer);
}

TEST_CASE("causal: entries outside the coverage of a delta do not enter") {
    replica<cart> a{id_a};
    delta<cart> d = a.edit(adding("x"));
    d.fragment.push_back(dot{id_b, 3}, "smuggled");
    causal<cart> s;
    CHECK(s.join(d));
    CHECK_FALSE(s->contains("smuggled"));
    CHECK(s == a.state());
}

TEST_CASE("causal: a removal that kills itself, or the future, harms nobody") {
    delta<cart> d;
    d.covered = {{id_a, 1, 2}};
    d.fragment.push_back(dot{id_a, 1}, "x");
    d.removals.push_back({dot{id_a, 1}, {{dot_range(dot{id_a, 1})}, {}}});
    d.removals.push_back({dot{id_a, 2}, {{{id_b, 1, std::uint64_t{1} << 60}}, {}}});
    auto back = round_trip(d);
    CHECK(back == d);
    causal<cart> s;
    CHECK(s.join(back));
    CHECK(s->empty());
    replica<cart> b{id_b};
    s.join(b.edit(adding("dead on arrival")));
    CHECK(s->empty());
    CHECK(round_trip(s) == s);
    s.prune(s.version());
    CHECK(s.removals().size() == 1); // what it kills is not stable yet
}

TEST_CASE("causal: a dot that comes under two keys is held by the first") {
    using sets = joinery::or_map<std::string, joinery::or_set<std::uint32_t>>;
    delta<sets> d;
    d.covered = {dot{id_a, 1}};
    for (std::string key : {"p", "q"}) {
        d.fragment.items.push_back({key, {}});
        d.fragment.items.back().value.push_back(dot{id_a, 1}, 7);
    }
    causal<sets> s;
    CHECK(s.join(round_trip(d)));
    CHECK(s->size() == 1);
    CHECK(s->contains("p"));
    CHECK(round_trip(s) == s);
    replica<sets> b{id_b, s};
    b.edit([](sets& m, transaction& tx) { m.erase(tx, "p"); });
    CHECK(b->empty());
    check_converged(b);
}

TEST_CASE("causal: the complete state may lie beyond a horizon that a peer does not have") {
    // A horizon can only be of what the delta covers.
    delta<cart> d;
    d.covered = {dot{id_a, 1}, dot{id_a, 3}};
    d.horizon = {{id_a, 3}};
    CHECK(refusal<delta<cart>>(encode(d)) == decode_error::invalid_value);
    d.horizon = {{id_a, 1}};
    CHECK(round_trip(d) == d);
}
