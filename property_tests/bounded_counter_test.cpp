// SPDX-License-Identifier: Apache-2.0
// Accounts and their rights, in a naive model of the causal history: what each had, spent and passed on.
#include "drivers.hpp"

#include <joinery/bounded_counter.hpp>
#include <joinery/exploration.hpp>

#include <doctest/doctest.h>

#include <cstdint>
#include <iostream>
#include <map>
#include <string>
#include <vector>

namespace {

using joinery::bounded_counter;
using joinery::replica_id;
using joinery::transaction;
using joinery::testing::choices;

struct booking {
    std::string key;
    std::int64_t counted = 0; // up, or down
    std::uint64_t passed = 0;
    replica_id from, to;
};
std::string to_string(const booking& b) {
    if (b.passed > 0) return b.key + " passes on " + std::to_string(b.passed);
    return b.key + (b.counted < 0 ? " down by " : " up by ") + std::to_string(std::abs(b.counted));
}

const std::vector<replica_id> somebody = {joinery::testing::numbered_replica(0), joinery::testing::numbered_replica(1),
                                          joinery::testing::numbered_replica(2)};

booking act(bounded_counter& c, transaction& tx, choices& from) {
    booking b;
    b.from = tx.replica();
    const std::uint64_t n = 1 + from.pick(3);
    switch (from.pick(3)) {
    case 0:
        c.increment(tx, n);
        b.counted = static_cast<std::int64_t>(n);
        break;
    case 1:
        c.decrement(tx, n); // which may be refused
        b.counted = -static_cast<std::int64_t>(n);
        break;
    default:
        b.to = from.of(somebody);
        if (b.to == b.from) b.to = replica_id{99};
        c.transfer(tx, b.to, n);
        b.passed = n;
    }
    return b;
}

// The value, and the rights of each of these.
std::string printed(const std::string& key, std::int64_t value, const std::map<replica_id, std::int64_t>& rights) {
    std::string out = key + "=" + std::to_string(value) + " (";
    for (const auto r : somebody) out += " " + std::to_string(rights.contains(r) ? rights.at(r) : 0);
    return out + " ) ";
}
std::string look(const std::string& key, const bounded_counter& c) {
    std::map<replica_id, std::int64_t> rights;
    for (const auto r : somebody) rights[r] = static_cast<std::int64_t>(c.rights(r));
    return printed(key, static_cast<std::int64_t>(c.value()), rights);
}

std::string specified(const joinery::testing::seen_events<booking>& seen) {
    std::map<std::string, std::int64_t> values;
    std::map<std::string, std::map<replica_id, std::int64_t>> rights;
    for (const auto& e : seen) {
        const auto& b = e.what;
        values[b.key] += b.counted;
        rights[b.key][b.from] += b.counted - static_cast<std::int64_t>(b.passed);
        rights[b.key][b.to] += static_cast<std::int64_t>(b.passed);
    }
    std::string out;
    for (const auto& [key, value] : values) {
        if (value < 0) return "a value below zero";
        for (const auto& [who, n] : rights[key])
            if (n < 0) return "rights below zero";
        out += printed(key, value, rights[key]);
    }
    return out;
}

template <class T> void check(joinery::testing::subject<T, booking>& s) {
    s.specification(specified);
    s.stale(joinery::testing::stale_peers::only_read);
    drivers::check(s);
}

using stock = joinery::or_map<std::string, bounded_counter>;
struct shop {
    stock left;
    joinery::or_map<std::string, stock> right;
};
JOINERY_RECORD(shop, (1, left), (2, right))

} // namespace

TEST_CASE("bounded_counter: is what its specification says, and never below zero") {
    joinery::testing::subject<bounded_counter, booking> s("bounded_counter");
    s.operation("", [](bounded_counter& c, transaction& tx, choices& from) { return act(c, tx, from); });
    s.view([](const bounded_counter& c) { return c.empty() ? "" : look("", c); });
    check(s);
}

TEST_CASE("bounded_counter: explored") {
    joinery::testing::subject<bounded_counter, booking> s("bounded_counter");
    s.operation("up", [](bounded_counter& c, transaction& tx, choices&) {
        c.increment(tx, 2);
        return booking{{}, 2, 0, tx.replica(), {}};
    });
    s.operation("down, if it can", [](bounded_counter& c, transaction& tx, choices&) {
        if (c.available(tx) == 0) return booking{};
        c.decrement(tx);
        return booking{{}, -1, 0, tx.replica(), {}};
    });
    s.operation("pass on, if it can", [](bounded_counter& c, transaction& tx, choices&) {
        const auto to = tx.replica() == somebody[0] ? somebody[1] : somebody[0];
        if (c.available(tx) == 0) return booking{};
        c.transfer(tx, to, 1);
        return booking{{}, 0, 1, tx.replica(), to};
    });
    s.view([](const bounded_counter& c) { return c.empty() ? "" : look("", c); });
    s.specification(specified);
    const auto found = joinery::testing::explore(s);
    std::cout << to_string(found);
    INFO(to_string(found));
    CHECK(found.ok());
}

TEST_CASE("bounded_counter: in maps that are removed, in a record") {
    joinery::testing::subject<shop, booking> s("record of or_map of bounded_counter");
    s.operation("", [](shop& all, transaction& tx, choices& from) {
        const std::string key(1, static_cast<char>('a' + from.pick(2)));
        const bool left = from.pick(2) == 0;
        booking b;
        if (from.pick(4) == 0) { // does nothing
            if (left)
                all.left.erase(tx, key);
            else
                all.right.erase(tx, "x");
            return b;
        }
        if (left)
            b = act(*all.left.at(tx, key), tx, from);
        else
            all.right.update(tx, "x", [&](stock& m) { b = act(*m.at(tx, key), tx, from); });
        b.key = (left ? "left/" : "right/") + key;
        return b;
    });
    s.view([](const shop& all) {
        std::map<std::string, std::string> out;
        for (const auto& [key, c] : all.left) out["left/" + key] = look("left/" + key, c);
        for (const auto& [outer, m] : all.right)
            for (const auto& [key, c] : m) out["right/" + key] = look("right/" + key, c);
        std::string text;
        for (const auto& [key, shown] : out) text += shown;
        return text;
    });
    check(s);
}
