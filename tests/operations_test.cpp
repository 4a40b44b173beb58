// SPDX-License-Identifier: Apache-2.0
// What docs/operations.md tells operators to do, done as it says: restarts, backups, restores, clones, and changes of
// the topology, with writes all the while.
#include <joinery/leader.hpp>

#include <joinery/memory_transport.hpp>
#include <joinery/or_map.hpp>
#include <joinery/or_set.hpp>
#include <joinery/pn_counter.hpp>
#include <joinery/rga_text.hpp>

#include "bell.hpp"
#include "scratch_folder.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <filesystem>
#include <iostream>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

using namespace joinery;
using namespace std::chrono_literals;
namespace fs = std::filesystem;

namespace {

using storage_test::scratch_folder;
using names_set = or_set<std::string>;
using counters = or_map<std::string, pn_counter>;

constexpr auto patience = 20s; // far beyond what is needed; nothing waits for it in vain

struct mesh {
    scratch_folder folder;
    memory_network network;
    bell happened;
    std::mutex mutex;
    std::vector<std::string> lines;

    node_options options(const std::string& name, const std::vector<std::string>& peers, const std::string& file) {
        node_options o;
        o.name = name;
        o.transport = network.make(name, peers);
        o.storage = sqlite_storage(folder / file);
        o.timings.beacon = 50ms;
        o.timings.prune = 50ms;
        o.on_event = [this](const event&) { happened.ring(); };
        o.log = [this](const log_line& line) {
            std::lock_guard lock(mutex);
            lines.push_back(logfmt(line));
            happened.ring();
        };
        return o;
    }
    std::ptrdiff_t logged(const std::string& part) {
        std::lock_guard lock(mutex);
        return std::count_if(lines.begin(), lines.end(),
                             [&](const auto& line) { return line.find(part) != std::string::npos; });
    }
    void lose_disk(const std::string& file) {
        for (const char* suffix : {"", "-wal"}) fs::remove(folder / (file + suffix));
    }
};

/// A node with three collections.
struct machine {
    mesh& all;
    node here;
    leader<names_set> names;
    leader<counters> counts;
    leader<rga_text> text;

    machine(mesh& m, const std::string& name, const std::vector<std::string>& peers, const std::string& file)
        : all(m),
          here(m.options(name, peers, file)),
          names(here.open<names_set>("names")),
          counts(here.open<counters>("counts")),
          text(here.open<rga_text>("text")) {}

    void add(const std::string& element) {
        names.write([&](auto& s, auto& tx) { s.add(tx, element); });
    }
    void remove(const std::string& element) {
        names.write([&](auto& s, auto& tx) { s.remove(tx, element); });
    }
    void count(const std::string& key) {
        counts.write([&](auto& c, auto& tx) { c.at(tx, key)->increment(tx); });
    }
    void type(const std::string& characters) {
        text.write([&](auto& t, auto& tx) { t.insert(tx, t.size(), characters); });
    }
    bool has(const std::string& element) const {
        return names.read([&](const auto& s) { return s.contains(element); });
    }
    std::int64_t counted(const std::string& key) const {
        return counts.read([&](const auto& c) {
            const auto* found = c.find(key);
            return found ? found->value() : 0;
        });
    }
    std::string typed() const {
        return text.read([](const auto& t) { return t.str(); });
    }
    bool is_up(const std::string& peer) const {
        const auto s = here.status();
        return std::any_of(s.peers.begin(), s.peers.end(), [&](const auto& p) { return p.name == peer && p.up; });
    }
    bool hears(const std::string& peer) {
        return all.happened.wait([&] { return is_up(peer); });
    }
    bool misses(const std::string& peer) {
        return all.happened.wait([&] { return !is_up(peer); });
    }
    std::vector<replica_id> members() const { return here.status().collections[0].members; }
    bool drain() { return here.drain({.timeout = patience}).complete; }
};

bool contains(const std::vector<replica_id>& all, replica_id one) {
    return std::find(all.begin(), all.end(), one) != all.end();
}

/// Waits until all have the same edits; then their states are equal, in every byte that is compared by an audit.
void check_converged(mesh& m, const std::vector<machine*>& machines) {
    const auto same = [&](auto member) {
        return m.happened.wait([&] {
            return std::all_of(machines.begin(), machines.end(), [&](const machine* one) {
                return (one->*member).version() == (machines[0]->*member).version();
            });
        });
    };
    REQUIRE(same(&machine::names));
    REQUIRE(same(&machine::counts));
    REQUIRE(same(&machine::text));
    const auto digests = [](const machine& one) {
        return std::vector<std::uint64_t>{
            one.names.read([](const causal<names_set>& s) { return s.digest(); }),
            one.counts.read([](const causal<counters>& s) { return s.digest(); }),
        };
    };
    for (const auto* one : machines) {
        CHECK(digests(*one) == digests(*machines[0]));
        CHECK(one->typed() == machines[0]->typed());
    }
}

} // namespace

TEST_CASE("operations: a leader is drained, stopped and started again") {
    mesh m;
    auto a = std::make_unique<machine>(m, "a", std::vector<std::string>{"b"}, "a.db");
    machine b(m, "b", {"a"}, "b.db");
    REQUIRE(a->hears("b"));
    a->add("milk");
    const auto id = a->here.id();

    auto& node = a->here;
    const auto drained = node.drain({.timeout = 30s});
    for (const auto& peer : drained.missing) std::clog << peer.name << " has not got everything\n";
    if (drained.complete)
        node.close();
    else
        node.resume();
    CHECK(drained.complete);
    CHECK_THROWS_AS(a->add("bread"), node_closed);
    CHECK(b.has("milk"));
    a.reset();

    b.add("while it was away");
    a = std::make_unique<machine>(m, "a", std::vector<std::string>{"b"}, "a.db");
    CHECK(a->here.id() == id);
    a->add("bread");
    CHECK(m.happened.wait([&] { return !a->here.status().collections[0].held; }));
    CHECK(a->drain()); // nothing is on hold any more
    a->here.resume();
    check_converged(m, {a.get(), &b});
    CHECK(a->has("while it was away"));
    CHECK(b.has("bread"));
}

TEST_CASE("operations: a backup made while writers go on has every edit that was there, and none in part") {
    mesh m;
    machine a(m, "a", {}, "a.db");
    constexpr int writers = 2;
    std::atomic<bool> stop{false};
    std::vector<std::atomic<int>> written(writers);
    std::vector<std::thread> threads;
    for (int w = 0; w < writers; ++w)
        threads.emplace_back([&, w] {
            for (int n = 0; !stop; ++n) {
                const auto name = std::to_string(w) + '.' + std::to_string(n);
                a.names.write([&](auto& s, auto& tx) { // one edit
                    s.add(tx, name + "a" + std::string(500, '.'));
                    s.add(tx, name + "b" + std::string(500, '.'));
                });
                written[static_cast<std::size_t>(w)] = n + 1;
                m.happened.ring();
            }
        });
    for (int copies = 0; copies < 5; ++copies) {
        std::vector<int> before;
        for (auto& n : written) {
            const int start = n;
            REQUIRE(m.happened.wait([&] { return n > start + 20; }));
            before.push_back(n);
        }
        const auto file = "copy" + std::to_string(copies) + ".db";
        a.here.backup(m.folder / file);
        CHECK_FALSE(fs::exists(m.folder / (file + ".part")));
        machine copy(m, "copy", {}, file);
        const auto there = copy.names.read([](const auto& s) { return s; });
        for (int w = 0; w < writers; ++w) {
            const auto has = [&](int n, const char* part) {
                return there.contains(std::to_string(w) + '.' + std::to_string(n) + part + std::string(500, '.'));
            };
            int n = 0;
            for (; has(n, "a") || has(n, "b"); ++n) REQUIRE((has(n, "a") && has(n, "b")));
            CHECK(n >= before[static_cast<std::size_t>(w)]);
            for (int later = n; later < n + 100; ++later) REQUIRE_FALSE(has(later, "a"));
        }
    }
    stop = true;
    for (auto& t : threads) t.join();
    CHECK(m.happened.wait([&] { return m.logged("event=backup") == 5; }));
}

TEST_CASE("operations: a backup that cannot be made says why, and the node goes on") {
    mesh m;
    machine a(m, "a", {}, "a.db");
    a.add("milk");
    a.here.backup(m.folder / "copy.db");
    CHECK_THROWS_AS(a.here.backup(m.folder / "copy.db"), storage_error);
    CHECK_THROWS_AS(a.here.backup(m.folder / "a.db"), storage_error);
    CHECK_THROWS_AS(a.here.backup(m.folder / "no/such/folder.db"), storage_error);
    CHECK_THROWS_AS(a.here.backup(""), storage_error);
    a.add("bread");
    a.here.close();
    CHECK_THROWS_AS(a.here.backup(m.folder / "late.db"), node_closed);

    node_options o;
    o.transport = m.network.make("v");
    leader<names_set> keeps_nothing(std::move(o));
    CHECK_THROWS_AS(keeps_nothing.backup(m.folder / "v.db"), storage_error);
    std::size_t files = 0;
    for (const auto& entry : fs::directory_iterator(m.folder.path())) {
        CHECK_MESSAGE(entry.path().extension() == ".db", entry.path().string());
        ++files;
    }
    CHECK(files == 2);
}

// After the backup: edits that others got, and edits that were lost with the disk.
TEST_CASE("operations: a leader whose disk is lost is restored from a backup") {
    mesh m;
    auto a = std::make_unique<machine>(m, "a", std::vector<std::string>{"b"}, "a.db");
    auto b = std::make_unique<machine>(m, "b", std::vector<std::string>{"a"}, "b.db");
    REQUIRE(a->hears("b"));
    for (const char* element : {"before", "removed later"}) a->add(element);
    a->count("apples");
    a->type("before");
    REQUIRE(a->drain());
    a->here.resume();
    a->here.backup(m.folder / "a.backup");

    a->add("published");
    a->remove("removed later");
    a->count("apples");
    a->type(", published");
    REQUIRE(a->drain());
    a->here.resume();
    b->here.disconnect("a");
    a->here.disconnect("b");
    REQUIRE(b->misses("a"));
    a->add("lost with the disk");
    a->count("apples");
    const auto old = a->here.id();
    const auto published = b->names.version()[old];
    a.reset();
    m.lose_disk("a.db");

    // The steps of the page.
    fs::copy_file(m.folder / "a.backup", m.folder / "a.db");
    a = std::make_unique<machine>(m, "a", std::vector<std::string>{"b"}, "a.db");
    const auto fresh = a->here.id();
    CHECK(fresh != old);
    CHECK(a->has("before"));
    CHECK(a->typed() == "before");
    a->add("restored"); // at once, before it has heard anybody
    a->count("apples");
    a->type(", restored");
    b->here.connect("a");
    check_converged(m, {a.get(), b.get()});
    for (const auto* one : {a.get(), b.get()}) {
        for (const char* element : {"before", "published", "restored"}) CHECK_MESSAGE(one->has(element), element);
        CHECK_FALSE(one->has("removed later"));
        CHECK_FALSE(one->has("lost with the disk"));
        CHECK(one->counted("apples") == 3);
        CHECK(one->typed().find("before") != std::string::npos);
        CHECK(one->typed().find(", published") != std::string::npos);
        CHECK(one->typed().find(", restored") != std::string::npos);
    }
    CHECK(a->names.version()[old] == published); // what was under the old id is what the others have of it
    CHECK(a->names.version()[fresh] == 1);
    CHECK(a->here.id() == fresh);
    for (const char* event : {"lost_edits", "identity_conflict", "divergence", "new_id"})
        CHECK_MESSAGE(m.logged("event=" + std::string(event)) == 0, event);

    // The old id is waited for until it is given up.
    REQUIRE(m.happened.wait([&] { return contains(b->members(), fresh); }));
    CHECK(contains(b->members(), old));
    b->here.evict(old);
    for (const auto* one : {a.get(), b.get()}) CHECK(m.happened.wait([&] { return !contains(one->members(), old); }));
    a->add("later");
    check_converged(m, {a.get(), b.get()});

    // From now on it is a storage like others.
    a.reset();
    a = std::make_unique<machine>(m, "a", std::vector<std::string>{"b"}, "a.db");
    CHECK(a->here.id() == fresh);
    a->add("and later");
    check_converged(m, {a.get(), b.get()});
}

// The worst that can happen to a restored node: whom it meets first knows nothing of what it had published since.
TEST_CASE("operations: a restored leader issues no dot again, whomever it meets first") {
    bool backup = false;
    SUBCASE("restored from a backup") { backup = true; }
    SUBCASE("restored from a file that was copied") {}
    mesh m;
    auto a = std::make_unique<machine>(m, "a", std::vector<std::string>{}, "a.db");
    machine knows(m, "knows", {"a"}, "knows.db"), new_one(m, "new", {}, "new.db");
    REQUIRE(a->hears("knows"));
    a->add("before");
    REQUIRE(a->drain());
    if (backup) {
        a->here.backup(m.folder / "kept");
        a->here.resume();
    } else {
        a.reset();
        fs::copy_file(m.folder / "a.db", m.folder / "kept");
        a = std::make_unique<machine>(m, "a", std::vector<std::string>{}, "a.db");
        REQUIRE(a->hears("knows"));
    }
    const auto old = a->here.id();
    a->add("published");
    a->add("and this");
    REQUIRE(a->drain());
    REQUIRE(knows.has("published"));
    knows.here.disconnect("a");
    REQUIRE(knows.misses("a"));
    a.reset();
    m.lose_disk("a.db");

    fs::copy_file(m.folder / "kept", m.folder / "a.db");
    a = std::make_unique<machine>(m, "a", std::vector<std::string>{"new"}, "a.db");
    REQUIRE(a->hears("new"));
    a->add("restored");
    REQUIRE(m.happened.wait([&] { return new_one.has("restored"); }));
    knows.here.connect("a");
    if (backup) {
        check_converged(m, {a.get(), &knows, &new_one});
        for (const auto* one : {a.get(), &knows, &new_one})
            for (const char* element : {"before", "published", "and this", "restored"})
                CHECK_MESSAGE(one->has(element), element);
        CHECK(m.logged("event=lost_edits") == 0);
    } else { // what the page warns of
        CHECK(m.happened.wait([&] { return m.logged("event=lost_edits") == 1; }));
        CHECK(m.logged("peer=" + to_string(old) + " detail=\"edits under the id") == 1);
        CHECK(a->here.id() != old);
    }
}

TEST_CASE("operations: a new leader begins with a backup of another one that lives") {
    mesh m;
    machine a(m, "a", {"b"}, "a.db"), b(m, "b", {"a"}, "b.db");
    REQUIRE(a.hears("b"));
    a.add("milk");
    a.count("apples");
    a.type("one");
    a.here.backup(m.folder / "c.db");
    a.add("bread");
    a.count("apples");

    machine c(m, "c", {"a", "b"}, "c.db");
    CHECK(c.has("milk")); // before it has heard anybody
    c.add("of c");
    c.count("apples");
    c.type(", two");
    a.type("!");
    check_converged(m, {&a, &b, &c});
    for (const auto* one : {&a, &b, &c}) {
        for (const char* element : {"milk", "bread", "of c"}) CHECK_MESSAGE(one->has(element), element);
        CHECK(one->counted("apples") == 3);
    }
    const std::vector<replica_id> ids{a.here.id(), b.here.id(), c.here.id()};
    for (const auto* one : {&a, &b, &c})
        CHECK(m.happened.wait([&] {
            const auto members = one->members();
            return members.size() == 3 &&
                   std::all_of(ids.begin(), ids.end(), [&](replica_id id) { return contains(members, id); });
        }));
    // What is removed is forgotten once all three have seen it: the clone is a member, and its original still is.
    a.remove("bread");
    check_converged(m, {&a, &b, &c});
    for (const char* event : {"lost_edits", "identity_conflict", "divergence", "new_id", "evicted", "member_gone"})
        CHECK_MESSAGE(m.logged("event=" + std::string(event)) == 0, event);
}

TEST_CASE("operations: a star becomes a ring and then all to all, while everybody writes") {
    mesh m;
    const std::vector<std::string> names{"a", "b", "c", "d"};
    std::map<std::string, std::unique_ptr<machine>> all;
    all["centre"] = std::make_unique<machine>(m, "centre", std::vector<std::string>{}, "centre.db");
    for (const auto& n : names) all[n] = std::make_unique<machine>(m, n, std::vector<std::string>{"centre"}, n + ".db");
    for (const auto& n : names) REQUIRE(all[n]->hears("centre"));

    std::atomic<bool> stop{false};
    std::map<std::string, std::atomic<int>> written;
    for (const auto& n : names) written[n] = 0;
    std::vector<std::thread> threads;
    for (const auto& n : names)
        threads.emplace_back([&, n, l = all[n].get()] {
            for (int i = 0; !stop; ++i) {
                l->add(n + std::to_string(i));
                l->count("all");
                written.at(n) = i + 1;
                m.happened.ring();
            }
        });
    const auto more = [&] { // each writes in every topology
        for (const auto& n : names) {
            const int before = written.at(n);
            REQUIRE(m.happened.wait([&] { return written.at(n) > before + 10; }));
        }
    };
    const auto there = [&](const std::vector<std::string>& where) { // what was written so far
        for (const auto& n : names) {
            const auto last = n + std::to_string(written.at(n) - 1);
            for (const auto& w : where) REQUIRE(m.happened.wait([&] { return all[w]->has(last); }));
        }
    };
    more();
    there(names);

    // First the new links, each seen to be up; then the old ones.
    for (std::size_t i = 0; i < names.size(); ++i) {
        const auto& next = names[(i + 1) % names.size()];
        all[names[i]]->here.connect(next);
        REQUIRE(all[names[i]]->hears(next));
    }
    for (const auto& n : names) all[n]->here.disconnect("centre");
    for (const auto& n : names) REQUIRE(all[n]->misses("centre"));
    REQUIRE(m.happened.wait([&] { return all["centre"]->here.status().peers.size() == 4; }));
    const auto centre = all["centre"]->here.id();
    more();
    there(names);

    // The centre is not needed any more. It never wrote, so nobody has to have anything of it.
    all["a"]->here.evict(centre);
    for (const auto& n : names) CHECK(m.happened.wait([&] { return !contains(all[n]->members(), centre); }));
    all["centre"]->here.close();

    for (const auto& n : names)
        for (const auto& other : names)
            if (n < other) {
                all[n]->here.connect(other);
                REQUIRE(all[n]->hears(other));
            }
    more();
    there(names);
    stop = true;
    for (auto& t : threads) t.join();
    there(names);
    check_converged(m, {all["a"].get(), all["b"].get(), all["c"].get(), all["d"].get()});
    std::int64_t sum = 0;
    for (const auto& n : names) {
        sum += written.at(n);
        for (int i = 0; i < written.at(n); ++i) REQUIRE(all["a"]->has(n + std::to_string(i)));
    }
    CHECK(all["a"]->counted("all") == sum);
    for (const char* event : {"lost_edits", "divergence", "identity_conflict"})
        CHECK_MESSAGE(m.logged("event=" + std::string(event)) == 0, event);
}

TEST_CASE("operations: a star becomes a ring by one restart after the other") {
    mesh m;
    const std::vector<std::string> names{"a", "b", "c", "d"};
    std::map<std::string, std::unique_ptr<machine>> all;
    for (const auto& n : names) {
        const auto centre = n == "a" ? std::vector<std::string>{} : std::vector<std::string>{"a"};
        all[n] = std::make_unique<machine>(m, n, centre, n + ".db");
    }
    for (const auto& n : names)
        if (n != "a") REQUIRE(all[n]->hears("a"));
    int written = 0;
    const auto write = [&] {
        for (auto& [n, one] : all) {
            if (!one) continue;
            one->add(n + std::to_string(written));
            one->count("all");
        }
        written += 1;
    };
    write();
    std::int64_t sum = 4;
    for (std::size_t i = 0; i < names.size(); ++i) {
        const auto& next = names[(i + 1) % names.size()];
        auto& one = all[names[i]];
        const auto id = one->here.id();
        REQUIRE(one->drain());
        one->here.close();
        one.reset();
        write(); // the others go on
        sum += 3;
        std::vector<std::string> dialled{next}; // its place in the ring; and the centre, until all have theirs
        if (next != "a" && names[i] != "a") dialled.push_back("a");
        one = std::make_unique<machine>(m, names[i], dialled, names[i] + ".db");
        CHECK(one->here.id() == id);
        REQUIRE(one->hears(next));
        write();
        sum += 4;
    }
    for (const auto& n : {"b", "c"}) all[n]->here.disconnect("a"); // and the centre's last links
    check_converged(m, {all["a"].get(), all["b"].get(), all["c"].get(), all["d"].get()});
    CHECK(all["c"]->counted("all") == sum);
    write();
    check_converged(m, {all["a"].get(), all["b"].get(), all["c"].get(), all["d"].get()});
    for (const auto& n : names) CHECK(all["c"]->has(n + std::to_string(written - 1)));
}
