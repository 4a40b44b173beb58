// SPDX-License-Identifier: Apache-2.0
// The types and their encodings: nanoseconds an operation, and bytes. Everything that is measured is
// checked in the same run: a fast wrong answer counts for nothing.
#include "harness.hpp"

#include <joinery/joinery.hpp>

#include <cstdlib>
#include <random>
#include <stdexcept>
#include <string>
#include <unordered_map>

using namespace joinery;
using bench::figure;

namespace {

void require(bool ok, const char* what) {
    if (!ok) throw std::logic_error(what);
}

constexpr std::size_t million = 1'000'000;
constexpr std::size_t batch = 1000;

std::string key(std::size_t i) { return "item-" + std::to_string(i); }

figure bytes(std::string name, std::size_t n) { return {std::move(name), static_cast<double>(n), "bytes", 0, ""}; }

// A set of a million short strings, beside an unordered_map from string to dot that is given the same.
void large_set(bench::report& out) {
    using set = or_set<std::string>;
    replica<set> a{replica_id::random()};
    replica<set> b{replica_id::random()};
    std::size_t before = bench::heap_in_use();
    {
        auto filled = a.edit([](set& s, transaction& tx) {
            for (std::size_t i = 0; i < million; ++i) s.add(tx, key(i));
        });
        before = bench::heap_in_use() - before; // state and delta
        std::size_t with_delta = bench::heap_in_use();
        b.join(filled);
        before = bench::heap_in_use() - with_delta; // what the join of everything allocates is the state alone
    }
    out.add({"or_set of 10^6 short strings: memory an element", static_cast<double>(before) / million, "bytes", 0, ""});
    require(a.state() == b.state(), "sets differ");

    std::unordered_map<std::string, dot> map;
    for (std::size_t i = 0; i < million; ++i) map.emplace(key(i), dot{a.id(), i + 1});

    // One small delta after another into the large set; the map is given the same keys.
    std::vector<delta<set>> deltas;
    std::mt19937_64 random(1);
    std::size_t next = million;
    std::size_t joined = 0;
    auto make = [&](bool fresh) {
        deltas.clear();
        joined = 0;
        for (std::size_t i = 0; i < 64 * batch; ++i) {
            std::string k = fresh ? key(next++) : key(random() % million);
            deltas.push_back(a.edit([&](set& s, transaction& tx) { s.add(tx, k); }));
        }
    };
    std::size_t at = 0;
    auto join_batch = [&] {
        for (std::size_t i = 0; i < batch; ++i) b.join(deltas[joined++]);
    };
    auto insert_batch = [&] {
        for (std::size_t i = 0; i < batch; ++i) {
            const auto& e = *deltas[at++].fragment.begin();
            map.insert_or_assign(e.value, e.where);
        }
    };
    make(true);
    out.add(bench::paired("or_set of 10^6: join a delta of one new element", "unordered_map", 60, batch, join_batch,
                          insert_batch));
    while (joined < deltas.size()) b.join(deltas[joined++]);
    // A re-add is four things: the element has a new dot, which leads to it, the old one no longer does, and a
    // record says so. The maps are given the same four.
    make(false);
    at = 0;
    struct dot_hash {
        std::size_t operator()(dot d) const { return std::hash<std::uint64_t>{}(d.replica.value() ^ d.seq); }
    };
    std::unordered_map<dot, const std::string*, dot_hash> by_dot;
    std::unordered_map<dot, std::vector<dot_range>, dot_hash> records;
    for (const auto& [k, d] : map) by_dot.emplace(d, &k);
    out.add(bench::paired("or_set of 10^6: join a delta that re-adds an element", "unordered_maps", 60, batch,
                          join_batch, [&] {
                              for (std::size_t i = 0; i < batch; ++i) {
                                  const auto& e = *deltas[at].fragment.begin();
                                  const auto& r = deltas[at++].removals.front();
                                  for (const auto& old : r.killed.dots) by_dot.erase({old.replica, old.first});
                                  auto place = map.insert_or_assign(e.value, e.where).first;
                                  by_dot.emplace(e.where, &place->first);
                                  records.emplace(r.event, r.killed.dots);
                              }
                          }));
    b.join(a.delta_since(b.version()));
    require(a.state() == b.state(), "sets differ");

    // Ten changes since a version; the map is asked for the same ten elements.
    version_vector since = a.version();
    std::vector<std::string> ten;
    for (std::size_t i = 0; i < 10; ++i) {
        ten.push_back(key(random() % million));
        a.edit([&](set& s, transaction& tx) { s.add(tx, ten.back()); });
    }
    require(a.delta_since(since).fragment.size() == 10, "not ten changes");
    out.add(bench::paired(
        "or_set of 10^6: delta_since of 10 changes", "unordered_map, 10 look-ups and copies", 200, 100,
        [&] {
            for (std::size_t i = 0; i < 100; ++i) bench::keep(a.delta_since(since).fragment.size());
        },
        [&] {
            for (std::size_t i = 0; i < 100; ++i) {
                std::vector<std::pair<std::string, dot>> answer;
                answer.reserve(ten.size());
                for (const auto& k : ten) answer.emplace_back(*map.find(k));
                bench::keep(answer.size());
            }
        }));

    auto encoded = encode(a.state());
    out.add({"or_set of 10^6: encoded state, an element",
             static_cast<double>(encoded.size()) / static_cast<double>(a->size()), "bytes", 0, ""});
    out.add(bench::timed("or_set of 10^6: encode, an element", 3, a->size(),
                         [&] { bench::keep(encode(a.state()).size()); }));
    out.add(bench::timed("or_set of 10^6: decode, an element", 3, a->size(),
                         [&] { require(decode<causal<set>>(encoded).has_value(), "not decoded"); }));
}

// One edit of each type on a small state: edit, encode, decode, join; and the delta's size.
template <crdt T, class Edit> void small_edits(bench::report& out, const std::string& name, Edit&& edit) {
    constexpr std::size_t n = 20'000;
    std::vector<delta<T>> deltas;
    std::vector<std::vector<std::byte>> encoded;
    replica<T> writer{replica_id::random()};
    auto run = [&](auto&& f) {
        return [&, f] {
            for (std::size_t i = 0; i < n; ++i) f(i);
        };
    };
    out.add(bench::timed(name + ": edit", 5, n, [&] {
        writer = replica<T>{replica_id::random()};
        deltas.clear();
        deltas.reserve(n);
        for (std::size_t i = 0; i < n; ++i)
            deltas.push_back(writer.edit([&](T& t, transaction& tx) { edit(t, tx, i); }));
    }));
    out.add(bench::timed(name + ": encode a delta", 5, n, [&] {
        encoded.clear();
        encoded.reserve(n);
        for (const auto& d : deltas) encoded.push_back(encode(d));
    }));
    out.add(bench::timed(name + ": decode a delta", 5, n, run([&](std::size_t i) {
                             require(decode<delta<T>>(encoded[i]).has_value(), "not decoded");
                         })));
    replica<T> reader{replica_id::random()};
    out.add(bench::timed(name + ": join a delta", 5, n, [&] {
        reader = replica<T>{replica_id::random()};
        for (const auto& d : deltas) reader.join(d);
    }));
    require(reader.state() == writer.state(), "reader and writer differ");
    std::size_t total = 0;
    for (const auto& e : encoded) total += e.size();
    out.add(bytes(name + ": delta of one edit", total / n));
    out.add(bytes(name + ": state after 20,000 edits", encode(writer.state()).size()));
}

struct line {
    pn_counter quantity;
    lww_register<std::string> note;
};
JOINERY_RECORD(line, (1, quantity), (2, note))

} // namespace

int main(int argc, char** argv) {
    bench::report out("types and codec", argc, argv);
    large_set(out);
    small_edits<g_counter>(out, "g_counter", [](auto& t, auto& tx, std::size_t) { t.increment(tx, 1); });
    small_edits<pn_counter>(out, "pn_counter",
                            [](auto& t, auto& tx, std::size_t i) { i % 2 ? t.increment(tx, 3) : t.decrement(tx, 1); });
    small_edits<lww_register<std::string>>(out, "lww_register<string>",
                                           [](auto& t, auto& tx, std::size_t i) { t.set(tx, key(i)); });
    small_edits<mv_register<std::string>>(out, "mv_register<string>",
                                          [](auto& t, auto& tx, std::size_t i) { t.set(tx, key(i)); });
    small_edits<or_set<std::string>>(out, "or_set<string>",
                                     [](auto& t, auto& tx, std::size_t i) { t.add(tx, key(i % 5000)); });
    small_edits<or_map<std::string, line>>(out, "or_map<string, record>", [](auto& t, auto& tx, std::size_t i) {
        if (i % 10 == 9)
            t.erase(tx, key(i / 10 % 500));
        else
            t.at(tx, key(i % 500))->quantity.increment(tx, 1);
    });
    using joinery::document;
    small_edits<document>(out, "document: a value in a map of maps", [](auto& t, auto& tx, std::size_t i) {
        t.set(tx, {"items", key(i % 500), "note"}, key(i));
    });
    small_edits<document>(out, "document: an element more",
                          [](auto& t, auto& tx, std::size_t i) { t.push_back(tx, {"items"}, key(i)); });
    small_edits<rga_text>(out, "rga_text: typing", [](auto& t, auto& tx, std::size_t) { t.insert(tx, t.size(), "x"); });
    small_edits<rga_text>(out, "rga_text: random places",
                          [](auto& t, auto& tx, std::size_t i) { t.insert(tx, (i * 7919) % (t.size() + 1), "x"); });
}
