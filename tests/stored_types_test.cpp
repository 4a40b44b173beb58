// SPDX-License-Identifier: Apache-2.0
// Every type of the library, kept by SQLite: a leader is edited, closed and opened again, with its log as it is and
// with a snapshot in its place.
#include <joinery/storage.hpp>

#include "scratch_folder.hpp"

#include <joinery/joinery.hpp>
#include <joinery/leader.hpp>
#include <joinery/memory_transport.hpp>

#include <doctest/doctest.h>

#include <optional>
#include <string>
#include <utility>

using namespace joinery;

namespace {

node_options options(const std::string& file, bool compacting) {
    node_options o;
    o.transport = memory_network().make("a", {});
    o.storage = sqlite_storage(file, durability::relaxed);
    if (compacting) {
        o.limits.log_minimum = 0;
        o.limits.log_ratio = 0;
    }
    return o;
}

/// `edit(value, tx, n)` makes the n-th edit, n < 16; three of four change something, and in the end something is left.
template <class T, class Edit> void outlives_its_process(Edit edit) {
    const storage_test::scratch_folder folder;
    std::optional<causal<T>> before;
    for (int round = 0; round < 4; ++round) {
        CAPTURE(round);
        const bool compacting = round % 2 == 1;
        leader<T> l(options(folder / "node", compacting));
        bool equal = true, empty = true;
        std::uint64_t digests[2] = {};
        l.read([&](const causal<T>& now) {
            if (!before) return;
            equal = now == *before;
            digests[0] = now.digest(), digests[1] = before->digest();
        });
        CHECK(equal);
        CHECK(digests[0] == digests[1]);
        int changes = 0;
        for (int n = 0; n < 4; ++n)
            changes += l.write([&](T& value, transaction& tx) { edit(value, tx, 4 * round + n); }).dots.has_value();
        CHECK(changes >= 3);
        l.read([&](const causal<T>& now) {
            before = now;
            empty = crdt_traits<T>::empty(*now);
        });
        CHECK_FALSE(empty);
        CHECK((l.status().counters.at("storage_compactions") > 0) == compacting);
    }
}

struct order {
    or_map<std::string, pn_counter> lines;
    lww_register<std::string> delivery;
    or_set<int> tags;
};
JOINERY_RECORD(order, (1, lines), (2, delivery), (3, tags))

struct longest {
    std::string operator()(const std::string& a, const std::string& b) const {
        return std::pair(a.size(), a) < std::pair(b.size(), b) ? b : a;
    }
    static std::string type_name() { return "longest"; }
};

std::string word(int n) { return "word " + std::to_string(n); }

// Sets of any kind: three are added, and one of them goes.
constexpr auto adding_and_removing = [](auto& set, transaction& tx, int n) {
    if (n % 4 == 3)
        set.remove(tx, n - 1);
    else
        set.add(tx, n);
};
constexpr auto adding = [](auto& set, transaction& tx, int n) { set.add(tx, n); };

} // namespace

TEST_CASE("stored types: counters") {
    outlives_its_process<g_counter>([](auto& c, auto& tx, int n) { c.increment(tx, n + 1u); });
    outlives_its_process<pn_counter>([](auto& c, auto& tx, int n) {
        if (n % 2) c.decrement(tx, 1);
        c.increment(tx, 3);
    });
    outlives_its_process<bounded_counter>([](auto& c, auto& tx, int n) {
        const bool may_spend = c.available(tx) > 0; // not before a peer has told that this is no old copy
        if (may_spend && n % 4 == 2)
            c.transfer(tx, replica_id{7}, 1);
        else if (may_spend && n % 4 == 3)
            c.decrement(tx, 2);
        else
            c.increment(tx, 3);
    });
}

TEST_CASE("stored types: registers and flags") {
    outlives_its_process<lww_register<std::string>>([](auto& r, auto& tx, int n) { r.set(tx, word(n)); });
    outlives_its_process<mv_register<std::string>>([](auto& r, auto& tx, int n) { r.set(tx, word(n)); });
    outlives_its_process<merged_register<std::string, longest>>(
        [](auto& r, auto& tx, int n) { r.merge(tx, std::string(n + 1u, 'x')); });
    outlives_its_process<max_register<int>>([](auto& r, auto& tx, int n) { r.merge(tx, n); });
    outlives_its_process<min_register<int>>([](auto& r, auto& tx, int n) { r.merge(tx, -n); });
    constexpr auto switching = [](auto& flag, transaction& tx, int n) {
        if (n % 4 == 2)
            flag.disable(tx);
        else
            flag.enable(tx);
    };
    outlives_its_process<enable_wins_flag>(switching);
    outlives_its_process<disable_wins_flag>(switching);
}

TEST_CASE("stored types: sets") {
    outlives_its_process<g_set<int>>(adding);
    outlives_its_process<two_phase_set<int>>(adding_and_removing);
    outlives_its_process<or_set<int>>(adding_and_removing);
    outlives_its_process<rw_set<int>>(adding_and_removing);
    outlives_its_process<lww_set<int>>(adding_and_removing);
    outlives_its_process<bag<int>>(adding_and_removing);
}

TEST_CASE("stored types: maps and records") {
    outlives_its_process<or_map<std::string, or_map<int, lww_register<std::string>>>>([](auto& m, auto& tx, int n) {
        if (n % 4 == 3)
            m.erase(tx, word(n - 1));
        else
            m.at(tx, word(n))->at(tx, n)->set(tx, word(-n));
    });
    outlives_its_process<lww_map<std::string, int>>([](auto& m, auto& tx, int n) {
        if (n % 4 == 3)
            m.erase(tx, word(n - 1));
        else
            m.set(tx, word(n), n);
    });
    outlives_its_process<order>([](auto& o, auto& tx, int n) {
        o.lines.at(tx, word(n % 3))->increment(tx, 2);
        if (n % 4 == 3) o.lines.erase(tx, word(0));
        o.delivery.set(tx, word(n));
        adding_and_removing(o.tags, tx, n);
    });
}

TEST_CASE("stored types: sequences, trees and documents") {
    outlives_its_process<rga_text>([](auto& t, auto& tx, int n) {
        t.insert(tx, t.size() / 2, word(n));
        if (n % 4 == 3) t.erase(tx, 1, 5);
    });
    outlives_its_process<rga_list<std::string>>([](auto& l, auto& tx, int n) {
        l.insert(tx, l.size() / 2, {word(n), word(-n)});
        if (n % 4 == 1) l.set(tx, 0, word(100 + n));
        if (n % 4 == 2) l.move(tx, 0, 1);
        if (n % 4 == 3) l.erase(tx, 1, 2);
    });
    outlives_its_process<tree>([last = unique_id(), first = unique_id()](auto& t, auto& tx, int n) mutable {
        if (n == 0) first = last = t.create(tx, tree::root());
        if (n % 4 == 1) t.create(tx, last);
        if (n % 4 == 2) last = t.create(tx, first);
        if (n % 4 == 3) t.move(tx, last, tree::root());
        if (n % 4 == 0 && n > 0) t.remove(tx, last), last = first;
    });
    outlives_its_process<document>([](auto& d, auto& tx, int n) {
        if (n == 0) {
            d.make_list(tx, {"list"});
            d.make_text(tx, {"text"});
            d.make_counter(tx, {"counter"});
        }
        d.set(tx, {"map", word(n)}, n);
        d.push_back(tx, {"list"}, word(n));
        d.insert_text(tx, {"text"}, 0, word(n));
        d.increment(tx, {"counter"}, n);
        if (n % 4 == 3) d.erase(tx, {"map", word(n - 1)}), d.erase(tx, {"list", std::size_t{0}});
    });
}

TEST_CASE("stored types: sketches") {
    outlives_its_process<hyperloglog<>>(adding);
    outlives_its_process<ddsketch<>>([](auto& s, auto& tx, int n) { s.add(tx, 1.5 * n); });
}
