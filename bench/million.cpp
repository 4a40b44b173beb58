// SPDX-License-Identifier: Apache-2.0
// Sets and maps of a million elements, beside the standard containers that are given the same. The ratios count.
#include "harness.hpp"

#include <joinery/lww_register.hpp>
#include <joinery/or_map.hpp>
#include <joinery/or_set.hpp>

#include <random>
#include <stdexcept>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

using namespace joinery;

namespace {

constexpr std::size_t million = 1'000'000;
constexpr std::size_t batch = 1000;

void require(bool ok, const char* what) {
    if (!ok) throw std::logic_error(what);
}

template <class E> E element(std::size_t i);
template <> std::string element(std::size_t i) { return "item-" + std::to_string(i * 7919 % 10'000'019); }
template <> std::uint64_t element(std::size_t i) { return i * 0x9e3779b97f4a7c15u; }

template <class E> std::vector<E> elements(std::size_t n) {
    std::vector<E> out;
    out.reserve(n);
    for (std::size_t i = 0; i < n; ++i) out.push_back(element<E>(i));
    return out;
}

template <class E> std::unordered_set<E> built(const std::vector<E>& all) {
    std::unordered_set<E> out;
    for (const auto& e : all) out.insert(e);
    return out;
}

template <class E> void sets(bench::report& out, const std::string& name) {
    using set = or_set<E>;
    const auto all = elements<E>(million);
    const auto add = [&](replica<set>& r, std::size_t from, std::size_t n) {
        return r.edit([&](set& s, transaction& tx) {
            for (std::size_t i = from; i < from + n; ++i) s.add(tx, all[i]);
        });
    };

    out.add(bench::paired(
        name + ": add, a thousand in an edit", "unordered_set, insert", 3, million,
        [&] {
            replica<set> r{replica_id{1}};
            for (std::size_t i = 0; i < million; i += batch) add(r, i, batch);
            require(r->size() == million, "not all were added");
        },
        [&] { bench::keep(built(all).size()); }));

    // Both have 99 of 100, and each half of the rest.
    replica<set> common{replica_id{1}};
    for (std::size_t i = 0; i < million - 2 * batch * 5; i += batch) add(common, i, batch);
    replica<set> a{replica_id{2}, common.state()}, b{replica_id{3}, common.state()};
    add(a, million - 2 * batch * 5, 5 * batch);
    add(b, million - batch * 5, 5 * batch);
    std::vector<causal<set>> copies;
    out.add(bench::paired(
        name + ": join a state that differs in 1 %", "unordered_set, built", 3, million,
        [&] { require(copies.back().join(b.state()) && copies.back()->size() == million, "not joined"); },
        [&] { bench::keep(built(all).size()); }, [&] { copies.assign(1, a.state()); }));

    const auto state = copies.back();
    const auto bytes = encode(state);
    out.add(bench::paired(
        name + ": decode", "unordered_set, built", 3, million,
        [&] { require(decode<causal<set>>(bytes).has_value(), "not decoded"); },
        [&] { bench::keep(built(all).size()); }));
    const auto encoding = bench::timed("", 3, 1, [&] { bench::keep(encode(state).size()); });
    out.add({name + ": encode", static_cast<double>(bytes.size()) * 1e3 / encoding.value, "MB/s", 0, ""});
}

template <class K> void maps(bench::report& out, const std::string& name) {
    using map = or_map<K, lww_register<std::uint64_t>>;
    const auto keys = elements<K>(million);
    replica<map> r{replica_id{1}};
    std::unordered_map<K, std::uint64_t> plain;
    for (std::size_t i = 0; i < million; i += batch)
        r.edit([&](map& m, transaction& tx) {
            for (std::size_t k = i; k < i + batch; ++k) m.at(tx, keys[k])->set(tx, k);
        });
    for (std::size_t k = 0; k < million; ++k) plain.emplace(keys[k], k);
    std::mt19937_64 random(1);
    std::vector<K> asked;
    for (std::size_t i = 0; i < million; ++i) asked.push_back(keys[random() % million]);
    out.add(bench::paired(
        name + ": get, of a random key", "unordered_map, find", 5, million,
        [&] {
            std::uint64_t sum = 0;
            for (const auto& k : asked) sum += *r->find(k)->get();
            bench::keep(sum);
        },
        [&] {
            std::uint64_t sum = 0;
            for (const auto& k : asked) sum += plain.find(k)->second;
            bench::keep(sum);
        }));
    const auto bytes = encode(r.state());
    out.add(bench::paired(
        name + ": decode", "unordered_map, built", 3, million,
        [&] { require(decode<causal<map>>(bytes).has_value(), "not decoded"); },
        [&] {
            std::unordered_map<K, std::uint64_t> fresh;
            for (std::size_t k = 0; k < million; ++k) fresh.emplace(keys[k], k);
            bench::keep(fresh.size());
        }));
    const auto encoding = bench::timed("", 3, 1, [&] { bench::keep(encode(r.state()).size()); });
    out.add({name + ": encode", static_cast<double>(bytes.size()) * 1e3 / encoding.value, "MB/s", 0, ""});
}

} // namespace

int main(int argc, char** argv) {
    bench::report out("a million elements", argc, argv);
    sets<std::string>(out, "or_set of 10^6 strings");
    sets<std::uint64_t>(out, "or_set of 10^6 numbers");
    maps<std::string>(out, "or_map of 10^6 strings to registers");
    maps<std::uint64_t>(out, "or_map of 10^6 numbers to registers");
}
