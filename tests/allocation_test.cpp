// SPDX-License-Identifier: Apache-2.0
// What bytes from outside may cost: decoding never holds more than 64 times their size plus 64 KiB, whatever
// they are, and never refuses what a replica writes.
#include <joinery/joinery.hpp>

#include "../fuzz/allocation_meter.hpp"
#include "../fuzz/histories.hpp"
#include "document_node.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <random>
#include <string>
#include <vector>

using namespace joinery;
using fuzz::allocation_meter;

namespace {

using byte_vector = std::vector<std::byte>;

// How much of what it may take this took, in percent.
template <class X> std::size_t used(const byte_vector& in) {
    allocation_meter meter;
    { auto x = decode<X>(in); }
    return meter.peak() * 100 / (64 * in.size() + 64 * 1024);
}
template <class X> void check_within(const byte_vector& in) { CHECK(used<X>(in) <= 100); }

// An encoding that must be accepted, and cheaply.
template <class X> void check_accepted(const byte_vector& in) {
    check_within<X>(in);
    CHECK(decode<X>(in).has_value());
}
template <class T> void check_state(const causal<T>& s) {
    auto in = encode(s);
    check_accepted<causal<T>>(in);
    check_accepted<delta<T>>(in);
}
template <class T> void check_delta(const delta<T>& d) {
    auto in = encode(d);
    check_within<delta<T>>(in);
    check_within<causal<T>>(in);
}

byte_vector random_bytes(std::mt19937& random, std::size_t size) {
    byte_vector out(size);
    for (auto& b : out) b = static_cast<std::byte>(random() % 3 ? random() % 8 : random());
    return out;
}

void mutate(byte_vector& bytes, std::mt19937& random) {
    for (auto n = 1 + random() % 4; n > 0 && !bytes.empty(); --n) {
        std::size_t at = random() % bytes.size();
        switch (random() % 5) {
        case 0: bytes[at] = static_cast<std::byte>(random()); break;
        case 1: bytes[at] ^= static_cast<std::byte>(1u << random() % 8); break;
        case 2: bytes.insert(bytes.begin() + static_cast<std::ptrdiff_t>(at), static_cast<std::byte>(random())); break;
        case 3: bytes.erase(bytes.begin() + static_cast<std::ptrdiff_t>(at)); break;
        default: { // a part doubled
            std::size_t size = std::min<std::size_t>(bytes.size() - at, 1 + random() % 64);
            byte_vector part(bytes.begin() + static_cast<std::ptrdiff_t>(at),
                             bytes.begin() + static_cast<std::ptrdiff_t>(at + size));
            bytes.insert(bytes.begin() + static_cast<std::ptrdiff_t>(at), part.begin(), part.end());
        }
        }
    }
}

// An address of a later version.
namespace later {
struct address {
    lww_register<std::string> street;
    mv_register<std::optional<std::uint16_t>> zip;
    or_set<std::uint8_t> tags;
};
JOINERY_RECORD(address, (1, street), (4, zip), (9, tags))
} // namespace later

template <class Type> void check_hostile(unsigned seed) {
    using T = typename Type::type;
    std::mt19937 random(seed);
    auto told = fuzz::history<Type>(12);
    std::vector<byte_vector> valid;
    for (const auto& d : told.edits) valid.push_back(encode(d));
    for (const auto& s : told.states) {
        check_state(s);
        valid.push_back(encode(s));
    }
    for (int i = 0; i < 300; ++i) {
        auto bytes = random_bytes(random, 1 + random() % 200);
        check_within<delta<T>>(bytes);
        check_within<causal<T>>(bytes);
        auto mutated = valid[random() % valid.size()];
        for (int again = 0; again < 4; ++again) {
            mutate(mutated, random);
            check_within<delta<T>>(mutated);
            check_within<causal<T>>(mutated);
        }
    }
}

constexpr replica_id a{0xa}, b{0xb};

// Ids as a random generator makes them, in order.
std::vector<replica_id> many_replicas(std::size_t n) {
    std::mt19937_64 random(8);
    std::vector<replica_id> out;
    for (std::size_t i = 0; i < n; ++i) out.emplace_back(random());
    std::sort(out.begin(), out.end());
    return out;
}

// The dots of the worst deltas: in one run, in many, and of many replicas.
std::vector<std::vector<dot>> shapes(std::uint64_t n) {
    std::vector<std::vector<dot>> out(4);
    for (std::uint64_t i = 1; i <= n; ++i) {
        out[0].push_back({a, i});
        out[1].push_back({a, i == 1 ? 1 : i + 1}); // a run of one, then a long one
        out[2].push_back({a, 2 * i});
    }
    for (replica_id r : many_replicas(static_cast<std::size_t>(n))) out[3].push_back({r, 1});
    return out;
}
causal_context covering(const std::vector<dot>& dots) {
    causal_context c;
    for (dot d : dots) c.add(d);
    return c;
}

} // namespace

TEST_CASE("memory: random and mutated bytes, for every type") {
    check_hostile<fuzz::g_counters>(1);
    check_hostile<fuzz::pn_counters>(2);
    check_hostile<fuzz::lww_registers>(3);
    check_hostile<fuzz::mv_registers>(4);
    check_hostile<fuzz::or_sets>(5);
    check_hostile<fuzz::set_maps>(6);
    check_hostile<fuzz::counter_maps>(7);
    check_hostile<fuzz::records>(8);
    check_hostile<fuzz::texts>(9);
    check_hostile<fuzz::documents>(10);
    check_hostile<fuzz::dynamic_documents>(11);
}

TEST_CASE("memory: version vectors and causal contexts of many replicas and many ranges") {
    for (std::size_t n : {10, 1000, 20'000}) {
        version_vector v;
        causal_context sparse, spread;
        auto replicas = many_replicas(n);
        for (std::size_t i = 0; i < n; ++i) {
            v.raise(replicas[i], i + 1);
            spread.add({replicas[i], 1, 1});
            sparse.add({a, 2 * i + 1, 2 * i + 1});
        }
        check_accepted<version_vector>(encode(v));
        check_accepted<causal_context>(encode(spread));
        check_accepted<causal_context>(encode(sparse));
        delta<g_counter> d;
        d.covered = spread;
        check_state(causal<g_counter>{});
        check_delta(d);
        d.covered = sparse;
        check_delta(d);
    }
}

TEST_CASE("memory: sets and registers of short elements") {
    for (std::uint64_t n : {10, 1000, 30'000}) {
        for (const auto& dots : shapes(n)) {
            delta<or_set<std::string>> same, different;
            delta<mv_register<std::uint64_t>> numbers;
            delta<lww_register<std::string>> texts;
            same.covered = different.covered = numbers.covered = texts.covered = covering(dots);
            std::uint64_t i = 0;
            for (dot d : dots) {
                same.fragment.push_back(d, "");
                different.fragment.push_back(d, {static_cast<char>(i), static_cast<char>(i >> 8)});
                numbers.fragment.push_back(d, 0);
                texts.fragment.push_back(d, {timestamp{i++}, ""});
            }
            check_delta(same);
            check_delta(different);
            check_delta(numbers);
            check_delta(texts);
        }
    }
}

TEST_CASE("memory: sets whose few elements were added by many") {
    for (std::size_t n : {10, 66, 130}) {
        causal<or_set<std::uint8_t>> all;
        for (replica_id id : many_replicas(n)) {
            replica<or_set<std::uint8_t>> r{id};
            all.join(r.edit([](auto& s, transaction& tx) {
                for (unsigned i = 0; i < 256; ++i) s.add(tx, static_cast<std::uint8_t>(i));
            }));
        }
        check_state(all);
    }
    for (std::uint64_t n : {10, 1000, 30'000}) { // no replica writes its own element again and again
        delta<or_set<std::uint8_t>> d;
        d.covered = {{a, 1, n}};
        for (std::uint64_t i = 1; i <= n; ++i) d.fragment.push_back({a, i}, i % 2);
        check_delta(d);
    }
}

TEST_CASE("memory: maps of many keys with little below each") {
    for (std::uint64_t n : {10, 1000, 20'000}) {
        for (const auto& dots : shapes(n)) {
            delta<or_map<std::string, or_set<std::uint32_t>>> sets;
            delta<or_map<std::uint32_t, pn_counter>> counters;
            delta<or_map<std::uint16_t, lww_register<std::string>>> registers;
            sets.covered = counters.covered = registers.covered = covering(dots);
            std::uint64_t i = 0;
            for (dot d : dots) {
                std::string key{static_cast<char>(i), static_cast<char>(i >> 8)};
                sets.fragment.items.push_back({key, {}});
                sets.fragment.items.back().value.push_back(d, 0);
                counters.fragment.items.push_back({static_cast<std::uint32_t>(i), {{{d, d.seq, 1, 0, 0, 0}}}});
                registers.fragment.items.push_back({static_cast<std::uint16_t>(i), {}});
                registers.fragment.items.back().value.push_back(d, {timestamp{1}, ""});
                ++i;
            }
            check_delta(sets);
            check_delta(counters);
            check_delta(registers);
        }
    }
}

TEST_CASE("memory: maps in maps, one key below each") {
    using inner = or_map<std::uint8_t, or_set<std::uint8_t>>;
    for (std::uint64_t n : {10, 1000, 20'000}) {
        replica<or_map<std::uint32_t, inner>> r{a};
        r.edit([&](auto& m, transaction& tx) {
            for (std::uint32_t i = 0; i < n; ++i) m.at(tx, i)->at(tx, 0)->add(tx, 0);
        });
        check_state(r.state());
    }
}

// A fragment with n nodes, each with one dot: a mark, or a null value; below so many maps or lists, and each below as
// many of its own.
joinery::document_fragment nodes(const std::vector<dot>& dots, bool marks, bool in_lists, std::size_t above,
                                 std::size_t each) {
    using node = record_fragment<detail::document_node>;
    const auto down = [&](node& n, std::uint64_t key) -> node& {
        auto& [m, value, counter, text, map, list] = n.fields;
        if (in_lists) {
            auto& items = std::get<1>(list.make().fields).items;
            items.push_back({unique_id(dot{replica_id{0}, key}), {}});
            return items.back().value;
        }
        auto& items = map.make().items;
        std::string name;
        for (; key > 0; key >>= 7) name += static_cast<char>(key & 0x7f);
        items.push_back({name, {}});
        return items.back().value;
    };
    joinery::document_fragment out;
    node* base = &out.get().make();
    for (std::size_t i = 0; i < above; ++i) base = &down(*base, 0);
    std::uint64_t i = 0;
    for (dot d : dots) {
        node* n = &down(*base, i++);
        for (std::size_t k = 0; k < each; ++k) n = &down(*n, 0);
        if (marks)
            std::get<0>(n->fields).push_back(d, {});
        else
            std::get<1>(n->fields).push_back(d, {});
    }
    return out;
}

TEST_CASE("memory: documents of little nodes, however deep") {
    for (std::uint64_t n : {10, 300, 10'000})
        for (const auto& dots : shapes(n))
            for (const bool marks : {true, false})
                for (const bool in_lists : {true, false})
                    for (const auto& [above, each] :
                         std::vector<std::pair<std::size_t, std::size_t>>{{0, 0}, {31, 0}, {0, 31}, {8, 8}}) {
                        if (n == 10'000 && each > 0) continue;
                        delta<joinery::document> d;
                        d.covered = covering(dots);
                        d.fragment = nodes(dots, marks, in_lists, above, each);
                        check_delta(d);
                    }
}

TEST_CASE("memory: documents that replicas write are read") {
    const auto repeated = [](const std::string& what, std::size_t n) {
        std::string out;
        for (std::size_t i = 0; i < n; ++i) out += (i > 0 ? "," : "") + what;
        return out;
    };
    std::string keys;
    for (int i = 0; i < 5000; ++i) keys += (i > 0 ? ",\"" : "\"") + std::to_string(i) + "\":null";
    const std::string deep = std::string(28, '[') + repeated("0", 5000) + std::string(28, ']');
    for (const std::string& json :
         {"[" + repeated("null", 10'000) + "]", "{" + keys + "}", "[" + repeated("[]", 5000) + "]",
          "[" + repeated("[[[{}]]]", 2000) + "]", "[" + repeated(R"({"a":[{"b":"c"}],"d":{"e":1.5}})", 2000) + "]",
          deep, "[" + repeated(std::string(30, '[') + std::string(30, ']'), 300) + "]"}) {
        replica<joinery::document> r{replica_id::random()}, other{replica_id::random()};
        r.edit([&](joinery::document& d, transaction& tx) { REQUIRE(d.import_json(tx, {}, json)); });
        check_state(r.state());
        // What is overwritten and erased leaves gaps.
        other.join(r.state());
        other.edit([&](joinery::document& d, transaction& tx) {
            joinery::document::path at;
            while (d.size(at) == 1) at = at / 0;
            const auto keys_there = d.keys(at);
            for (std::size_t i = 0; i < d.size(at); i += 2) {
                const auto step =
                    keys_there.empty() ? joinery::document_step(i) : joinery::document_step(keys_there[i]);
                d.set(tx, at / step, 1);
                tx.unique_id();
            }
        });
        check_state(other.state());
        r.join(other.state());
        check_state(r.state());
    }
}

TEST_CASE("memory: counters of many runs, and removals of many") {
    for (std::uint64_t n : {10, 1000, 20'000}) {
        for (const auto& dots : shapes(n)) {
            delta<g_counter> runs;
            delta<or_set<std::string>> removals;
            runs.covered = removals.covered = covering(dots);
            removal whole{{b, 1}, {}};
            for (dot d : dots) {
                runs.fragment.runs.push_back({d, d.seq, 1, 0, 0, 0});
                removals.removals.push_back({d, {{dot_range(d)}, {}}});
                whole.killed.runs.push_back({d, d.seq, 0, 0});
                if (dots[0].seq == 2) whole.killed.dots.push_back(d);
            }
            check_delta(runs);
            check_delta(removals);
            delta<g_counter> one;
            one.covered = {dot{b, 1}};
            one.removals.push_back(whole);
            check_delta(one);
        }
    }
}

TEST_CASE("memory: texts of many runs and deletions") {
    for (std::uint64_t n : {10, 1000, 10'000}) {
        replica<rga_text> typed{a}, scattered{a};
        typed.edit([&](rga_text& t, transaction& tx) {
            for (std::uint64_t i = 0; i < n; ++i) t.insert(tx, 0, "x"); // each before the last: no long run
        });
        check_state(typed.state());
        typed.edit([&](rga_text& t, transaction& tx) {
            for (std::uint64_t i = 0; i + 1 < n; i += 2) t.erase(tx, i / 2, 1);
        });
        check_state(typed.state());
        scattered.edit([&](rga_text& t, transaction& tx) { t.insert(tx, 0, std::string(n, 'x')); });
        scattered.edit([&](rga_text& t, transaction& tx) { t.erase(tx, 0, n); });
        check_state(scattered.state());

        // Hardly a byte for each run, whole, as pruned states are, and with a dot that is not covered.
        replica<rga_text> churned{a}, sieved{a};
        replica<rga_list<std::uint8_t>> list{a};
        for (std::uint64_t i = 0; i < n; ++i) {
            churned.edit([](rga_text& t, transaction& tx) {
                t.insert(tx, 0, "x");
                t.erase(tx, 0, 1);
            });
            list.edit([](rga_list<std::uint8_t>& t, transaction& tx) {
                t.insert(tx, 0, 1);
                t.erase(tx, 0, 1);
            });
        }
        sieved.edit([&](rga_text& t, transaction& tx) { t.insert(tx, 0, std::string(2 * n, 'x')); });
        sieved.edit([&](rga_text& t, transaction& tx) {
            for (std::uint64_t i = 0; i < n; ++i) t.erase(tx, i, 1);
        });
        check_state(list.state());
        for (const auto* r : {&churned, &sieved}) {
            check_state(r->state());
            auto d = r->state().whole();
            d.horizon = {{a, 1}};
            check_delta(d);
            d.horizon = r->version();
            check_delta(d);
            d.horizon = {};
            d.covered.remove(dot{a, 1});
            check_delta(d);
        }

        // What no replica writes: tombstones of any length, and characters whose parents are not there.
        delta<rga_text> endless, orphans;
        endless.covered = {{a, 1, std::uint64_t{1} << 60}};
        for (std::uint64_t i = 0; i < n; ++i) {
            std::uint64_t first = 1 + i * 1'000'000;
            endless.fragment.runs.push_back({{a, first}, {}, 900'000, i + 1, true});
            orphans.covered.add(dot{a, 2 * i + 1});
            orphans.fragment.runs.push_back({{a, 2 * i + 1}, {b, i + 1}, 1, i + 1, false});
            orphans.fragment.text += 'x';
        }
        check_delta(endless);
        check_delta(orphans);
    }
}

TEST_CASE("memory: records, and fields of later versions") {
    using people = or_map<std::uint32_t, fuzz::address>;
    for (std::uint32_t n : {10, 1000, 20'000}) {
        replica<people> r{a};
        r.edit([&](people& m, transaction& tx) {
            for (std::uint32_t i = 0; i < n; ++i) m.at(tx, i)->zip.set(tx, std::nullopt);
        });
        check_state(r.state());
    }
    for (std::uint32_t n : {10, 1000, 5000}) { // more and more replicas are named before each
        delta<people> d;
        auto replicas = many_replicas(20);
        for (replica_id id : replicas) d.covered.add(dot{id, 1});
        for (std::uint32_t i = 0; i < n; ++i) {
            d.fragment.items.push_back({i, {}});
            d.fragment.items.back().value.unknown.emplace_back(9, opaque_fragment{{}, byte_vector(1)});
        }
        check_delta(d);
    }
    using people_later = or_map<std::uint32_t, later::address>;
    replica<people_later> r{a};
    for (replica_id id : many_replicas(100)) {
        replica<people_later> other{id};
        r.join(other.edit([](people_later& m, transaction& tx) { m.at(tx, 0)->street.set(tx, ""); }));
    }
    for (std::uint32_t n : {10, 1000, 5000}) { // fields that build on the names of many
        auto d = r.edit([&](people_later& m, transaction& tx) {
            for (std::uint32_t i = 0; i < n; ++i) m.at(tx, i)->tags.add(tx, 1);
        });
        check_accepted<delta<people>>(encode(d));
        check_accepted<causal<people>>(encode(r.state()));
        check_accepted<causal<people_later>>(encode(r.state()));
    }
}

TEST_CASE("memory: fields of later versions, all below one long key") {
    using people = or_map<std::string, or_map<std::uint32_t, fuzz::address>>;
    for (std::size_t length : {10u, 300u, 30'000u}) {
        delta<people> d;
        d.covered.add(dot{a, 1});
        d.fragment.items.push_back({std::string(length, 'k'), {}});
        auto& below = d.fragment.items.back().value.items;
        for (std::uint32_t i = 0; i < 3000; ++i) {
            below.push_back({i, {}});
            below.back().value.unknown.emplace_back(9, opaque_fragment{{}, byte_vector(20)});
        }
        check_within<delta<people>>(encode(d));
        check_within<causal<people>>(encode(d));
        // Each is kept with its path: only if that is far longer than the field, the whole is refused.
        CHECK(decode<causal<people>>(encode(d)).has_value() == (length <= 300));
    }
}

TEST_CASE("memory: containers, from counts that promise much") {
    std::mt19937 random(12);
    for (unsigned lead : {1u, 100u, 10'000u, 65'000u}) {
        byte_vector in(lead, std::byte{0});
        auto with_count = [&](std::size_t count) {
            byte_vector out;
            compact_output_archive(out).varint(count);
            out.insert(out.end(), in.begin(), in.end());
            return out;
        };
        for (auto bytes : {with_count(lead), with_count(lead / 2), with_count(lead + 1)}) {
            check_within<std::vector<std::string>>(bytes);
            check_within<std::vector<std::vector<std::vector<std::uint64_t>>>>(bytes);
            check_within<std::vector<std::map<std::string, std::string>>>(bytes);
            check_within<std::vector<std::optional<std::array<std::string, 8>>>>(bytes);
            check_within<std::vector<fuzz::leaf>>(bytes);
            check_within<std::vector<bool>>(bytes);
            check_within<std::map<std::string, std::string>>(bytes);
            check_within<std::unordered_map<std::string, std::vector<std::string>>>(bytes);
            check_within<fuzz::containers>(bytes);
        }
        std::unordered_map<std::uint32_t, std::uint8_t> hashed;
        std::unordered_set<std::uint32_t> ids;
        std::map<std::uint32_t, std::string> ordered;
        std::set<std::uint32_t> numbers;
        for (std::uint32_t i = 0; i < lead; ++i) {
            hashed.emplace(i, 0);
            ids.insert(i);
            ordered.emplace(i, "");
            numbers.insert(i);
        }
        check_accepted<decltype(hashed)>(encode(hashed));
        check_accepted<decltype(ids)>(encode(ids));
        check_accepted<decltype(ordered)>(encode(ordered));
        check_accepted<decltype(numbers)>(encode(numbers));
    }
}
