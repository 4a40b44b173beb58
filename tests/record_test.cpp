// SPDX-License-Identifier: Apache-2.0
#include <joinery/record.hpp>

#include "bytes.hpp"
#include "replicas.hpp"

#include <joinery/joinery.hpp>

#include <cereal/archives/json.hpp>
#include <doctest/doctest.h>

#include <sstream>
#include <string>

using joinery::causal;
using joinery::decode_error;
using joinery::delta;
using joinery::encode;
using joinery::replica;
using joinery::transaction;

namespace shop {
struct price {
    joinery::lww_register<std::string> currency;
    joinery::pn_counter cents;
};
JOINERY_RECORD(price, (1, currency), (2, cents))

namespace inner {
struct cart {
    joinery::or_set<std::string> items;
    price total;
    joinery::or_map<std::string, price> extras;
};
JOINERY_RECORD(cart, (3, items), (70, total), (4000000000, extras))
} // namespace inner
} // namespace shop

namespace {
using shop::inner::cart;

struct single {
    joinery::g_counter only;
};
JOINERY_RECORD(single, (5, only))

struct alphabet {
    joinery::g_counter a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, q, r, s, t, u, v, w, x, y, z, last;
};
JOINERY_RECORD(alphabet, (1, a), (2, b), (3, c), (4, d), (5, e), (6, f), (7, g), (8, h), (9, i), (10, j), (11, k),
               (12, l), (13, m), (14, n), (15, o), (16, p), (17, q), (18, r), (19, s), (20, t), (21, u), (22, v),
               (23, w), (24, x), (25, y), (26, z), (27, last))

struct not_a_record {
    joinery::g_counter only;
};
} // namespace

static_assert(joinery::record<cart> && joinery::crdt<cart>);
static_assert(joinery::record<alphabet> && joinery::crdt<joinery::or_map<std::string, alphabet>>);
static_assert(!joinery::record<not_a_record> && !joinery::crdt<not_a_record>);
static_assert(!joinery::crdt_traits<cart>::leaves_tombstones);

TEST_CASE("record: an edit over several fields is one delta") {
    replica<cart> a{id_a}, b{id_b};
    auto d = a.edit([](cart& c, transaction& tx) {
        c.items.add(tx, "milk");
        c.total.currency.set(tx, "EUR");
        c.total.cents.increment(tx, 129);
        c.extras.at(tx, "deposit")->cents.increment(tx, 25);
    });
    CHECK(d.covered.count() == 4);
    CHECK(round_trip(d) == d);
    CHECK(b.join(round_trip(d)));
    CHECK(b->items.contains("milk"));
    CHECK(b->total.currency.get() == "EUR");
    CHECK(b->total.cents.value() == 129);
    CHECK(b->extras.find("deposit")->cents.value() == 25);
    check_converged(a, b);
}

TEST_CASE("record: an edit that fails changes no field") {
    replica<cart> a{id_a};
    a.edit([](cart& c, transaction& tx) {
        c.items.add(tx, "milk");
        c.extras.at(tx, "deposit")->cents.increment(tx, 25);
    });
    check_undone(a, [](cart& c, transaction& tx) {
        c.items.remove(tx, "milk");
        c.total.currency.set(tx, "EUR");
        c.total.cents.decrement(tx, 1);
        c.extras.at(tx, "deposit")->currency.set(tx, "USD");
        c.extras.erase(tx, "deposit");
        c.extras.at(tx, "tip")->cents.increment(tx, 1);
    });
}

TEST_CASE("record: concurrent edits of different fields do not disturb each other") {
    replica<cart> a{id_a}, b{id_b};
    a.edit([](cart& c, transaction& tx) { c.extras.at(tx, "x")->currency.set(tx, "EUR"); });
    b.join(a.state());
    a.edit([](cart& c, transaction& tx) { c.extras.erase(tx, "x"); });
    b.edit([](cart& c, transaction& tx) { c.extras.at(tx, "x")->cents.increment(tx, 5); });
    meet(a, b);
    // The removal took the currency that it had seen, and spared the increment that it had not.
    CHECK(a->extras.find("x")->currency.empty());
    CHECK(a->extras.find("x")->cents.value() == 5);
    check_converged(a, b);
}

TEST_CASE("record: fields that an edit does not change cost nothing") {
    replica<alphabet> a{id_a};
    auto d = a.edit([](alphabet& x, transaction& tx) { x.q.increment(tx); });
    replica<single> s{id_a};
    auto e = s.edit([](single& x, transaction& tx) { x.only.increment(tx); });
    CHECK(encode(d).size() == encode(e).size());
    CHECK(round_trip(d) == d);
}

TEST_CASE("record: 27 fields of their own") {
    replica<alphabet> a{id_a}, b{id_b};
    a.edit([](alphabet& x, transaction& tx) {
        x.a.increment(tx, 1);
        x.n.increment(tx, 2);
        x.last.increment(tx, 3);
    });
    b.join(joinery::decode<delta<alphabet>>(encode(a.state())).value());
    CHECK(b->a.value() == 1);
    CHECK(b->n.value() == 2);
    CHECK(b->last.value() == 3);
    CHECK(b->m.value() == 0);
    check_converged(a, b);
}

TEST_CASE("record: as a value of a map it comes and goes like any other") {
    replica<joinery::or_map<std::string, cart>> a{id_a}, b{id_b};
    a.edit([](auto& m, transaction& tx) {
        m.at(tx, "alice")->items.add(tx, "milk");
        m.at(tx, "alice")->extras.at(tx, "tip")->cents.increment(tx, 100);
        m.at(tx, "bob")->total.cents.increment(tx, 1);
    });
    b.join(a.state());
    b.edit([](auto& m, transaction& tx) { m.erase(tx, "alice"); });
    a.edit([](auto& m, transaction& tx) { m.at(tx, "alice")->extras.at(tx, "tip")->cents.increment(tx, 50); });
    meet(a, b);
    CHECK(a->find("alice")->items.empty());
    CHECK(a->find("alice")->extras.find("tip")->cents.value() == 50);
    CHECK(a->size() == 2);
    check_converged(a, b);
}

TEST_CASE("record: read as JSON by the names of its fields") {
    replica<cart> a{id_a};
    auto d = a.edit([](cart& c, transaction& tx) {
        c.items.add(tx, "milk");
        c.total.cents.increment(tx, 5);
    });
    std::stringstream json;
    {
        cereal::JSONOutputArchive out(json);
        out(cereal::make_nvp("delta", d));
    }
    CHECK(json.str().find("\"items\"") != std::string::npos);
    CHECK(json.str().find("\"cents\"") != std::string::npos);
    delta<cart> back;
    cereal::JSONInputArchive in(json);
    in(cereal::make_nvp("delta", back));
    CHECK(back == d);
}

TEST_CASE("record: forms that no encoder writes are refused") {
    using fragment = joinery::fragment_of<single>;
    auto field = [](std::vector<unsigned> head) {
        auto section = bytes({1, 1, 7, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 4});
        std::vector<std::byte> out;
        for (unsigned b : head) out.push_back(static_cast<std::byte>(b));
        out.push_back(static_cast<std::byte>(section.size()));
        out.insert(out.end(), section.begin(), section.end());
        return out;
    };
    CHECK(joinery::decode<fragment>(field({1, 10})).has_value());
    CHECK(joinery::decode<fragment>(field({1, 12})).value().unknown.size() == 1); // tag 6, of a later version
    CHECK(refusal<fragment>(field({1, 0})) == decode_error::invalid_value);
    CHECK(refusal<fragment>(field({1, 0x80, 0x80, 0x80, 0x80, 0x20})) == decode_error::invalid_value);
    auto twice = field({2, 10});
    auto again = field({10});
    twice.insert(twice.end(), again.begin(), again.end());
    CHECK(refusal<fragment>(twice) == decode_error::non_canonical);
    CHECK(refusal<fragment>({1, 10, 1, 0}) == decode_error::non_canonical); // a field, but empty
    CHECK(refusal<fragment>({1, 10, 2, 0, 0}) == decode_error::trailing_bytes);
    CHECK(refusal<fragment>({1, 10, 9, 0}) == decode_error::truncated);
}
