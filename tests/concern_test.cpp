// SPDX-License-Identifier: Apache-2.0
// What callers wait for: write and read concerns, and sessions that move between leaders.
#include <joinery/concern.hpp>

#include <joinery/memory_storage.hpp>
#include <joinery/memory_transport.hpp>
#include <joinery/or_set.hpp>
#include <joinery/session.hpp>

#include "comes.hpp"
#include "gated_storage.hpp"

#include <doctest/doctest.h>

#include <atomic>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

using namespace joinery;
using namespace std::chrono_literals;

namespace {

using numbers = or_set<int>;
using number_leader = leader<numbers>;

constexpr auto patience = 20s; // far beyond what is needed; nothing waits for it in vain

node_options options(memory_network& network, const std::string& name, const std::vector<std::string>& peers,
                     const std::string& zone = "") {
    node_options o;
    o.name = name;
    o.zone = zone;
    o.transport = network.make(name, peers);
    o.timings.beacon = 50ms;
    return o;
}

void add(number_leader& l, int n) {
    l.write([&](auto& s, auto& tx) { s.add(tx, n); });
}
bool has(const number_leader& l, int n) {
    return l.read([&](const auto& s) { return s.contains(n); });
}
void arrives(const number_leader& l, int n) {
    REQUIRE(l.wait_until([&](const auto& s) { return s.contains(n); }, patience));
}

auto adding(int n) {
    return [n](numbers& s, transaction& tx) { s.add(tx, n); };
}

} // namespace

TEST_CASE("concern: receipt is acknowledged before the peer's disk has it, durability is not") {
    memory_network network;
    memory_disk disk;
    const auto slow = std::make_shared<gate>();
    number_leader a(options(network, "a", {"b"}));
    auto with_disk = options(network, "b", {"a"});
    with_disk.storage = std::make_unique<gated_storage>(disk.open(), slow);
    number_leader b(std::move(with_disk));
    add(b, 0);
    arrives(a, 0);
    // b has nothing left to store: who the members are comes before the edit.
    REQUIRE(test_support::comes([&] { return b.status().collections[0].members.size() == 2; }));
    REQUIRE(a.write(adding(-1), {.acknowledgements = 1, .timeout = patience}).complete);

    slow->close();
    const auto received =
        a.write(adding(1), {.acknowledgements = 1, .timeout = patience, .level = assurance::received});
    CHECK(received.complete);
    CHECK(received.acknowledged == 1);
    const auto durable = a.write(adding(2), {.acknowledgements = 1, .timeout = 200ms});
    CHECK_FALSE(durable.complete);
    REQUIRE(durable.missing.size() == 1);
    CHECK(durable.missing[0].name == "b");
    slow->open();
    CHECK(a.write(adding(3), {.acknowledgements = 1, .timeout = patience}).complete);
    CHECK(has(b, 2)); // the write stood
}

TEST_CASE("concern: within the zone, the peers of other zones do not count") {
    memory_network network;
    number_leader a(options(network, "a", {"b", "c"}, "eu"));
    auto b = std::make_unique<number_leader>(options(network, "b", {"a", "c"}, "eu"));
    number_leader c(options(network, "c", {"a", "b"}, "us"));
    add(*b, 1), add(c, 2);
    arrives(a, 1), arrives(a, 2);
    const write_options near{.acknowledgements = 1, .timeout = patience, .scope = peer_scope::zone};
    CHECK(a.write(adding(3), near).acknowledged == 1);
    CHECK(has(*b, 3));
    CHECK(a.read([](const auto& s) { return s.size(); },
                 read_options{.answers = 1, .timeout = patience, .scope = peer_scope::zone})
              .complete);

    b.reset();
    const write_options soon{.acknowledgements = 1, .timeout = 200ms, .scope = peer_scope::zone};
    const auto alone = a.write(adding(4), soon);
    CHECK_FALSE(alone.complete);
    REQUIRE(alone.missing.size() == 1);
    CHECK(alone.missing[0].name == "b");
    const auto read = a.read([](const auto& s) { return s.contains(4); },
                             read_options{.answers = 1, .timeout = 200ms, .scope = peer_scope::zone});
    CHECK(read.value); // what is here
    CHECK_FALSE(read.complete);
    REQUIRE(read.missing.size() == 1);
    CHECK(read.missing[0].name == "b");
    CHECK(a.write(adding(5), {.acknowledgements = 1, .timeout = patience}).complete); // c counts again
}

TEST_CASE("concern: a read that asks its peers sees what they had when it began") {
    memory_network network;
    number_leader a(options(network, "a", {"b", "c"}));
    number_leader b(options(network, "b", {"a", "c"}));
    number_leader c(options(network, "c", {"a", "b"}));
    add(b, -1), add(c, -2);
    arrives(a, -1), arrives(a, -2);
    for (int i = 0; i < 100; ++i) {
        add(i % 2 ? b : c, i);
        const auto r =
            a.read([i](const auto& s) { return s.contains(i); }, read_options{.answers = 2, .timeout = patience});
        REQUIRE(r.complete);
        CHECK(r.answered == 2);
        CHECK(r.value);
        CHECK(r.token == a.version());
    }
}

TEST_CASE("concern: many readers at once are all answered, also while others write") {
    memory_network network;
    number_leader a(options(network, "a", {"b"}));
    number_leader b(options(network, "b", {"a"}));
    add(b, -1);
    arrives(a, -1);
    std::atomic<bool> reading{true};
    std::atomic<int> incomplete{0};
    std::thread writer([&] {
        for (int i = 0; reading; ++i) {
            add(b, i);
            a.wait_until([i](const auto& s) { return s.contains(i); },
                         patience); // or the reads would wait for all that is under way
        }
    });
    std::vector<std::thread> readers;
    for (int t = 0; t < 4; ++t)
        readers.emplace_back([&] {
            for (int i = 0; i < 20; ++i)
                incomplete +=
                    !a.read([](const auto& s) { return s.size(); }, read_options{.answers = 1, .timeout = patience})
                         .complete;
        });
    for (auto& r : readers) r.join();
    reading = false;
    writer.join();
    CHECK(incomplete == 0);
}

TEST_CASE("concern: what waits for others is refused on the node's own thread, as it would wait for itself") {
    memory_network network;
    number_leader a(options(network, "a", {}));
    std::atomic<bool> done{false};
    std::vector<std::string> refused, not_refused;
    session mine(patience);
    mine.write(a, adding(0));
    auto watch = a.subscribe([&](const change&) {
        if (done) return;
        const auto attempt = [&](const std::string& call, auto&& f) {
            try {
                f();
                not_refused.push_back(call);
            } catch (const std::logic_error& e) {
                refused.push_back(e.what());
            }
        };
        const auto yes = [](const auto&) { return true; };
        attempt("read", [&] { a.read(yes, read_options{.answers = 1, .timeout = patience}); });
        attempt("wait_until", [&] { a.wait_until(yes, patience); }); // also if nothing has to come
        attempt("sync_to", [&] { a.sync_to(a.version(), patience); });
        attempt("session", [&] { mine.read(a, yes); });
        attempt("leave", [&] { a.leave(patience); });
        done = true;
        done.notify_one();
    });
    add(a, 1);
    done.wait(false);
    CHECK(not_refused.empty());
    REQUIRE(refused.size() == 5);
    CHECK(refused[1].find("wait_until \"main\": called on the node's own thread") == 0);
    CHECK(a.wait_until([](const auto& s) { return s.contains(1); }, patience)); // the node goes on
}

TEST_CASE("concern: acknowledgements that assure of nothing are refused, and nothing is written") {
    memory_network network;
    number_leader a(options(network, "a", {}));
    CHECK_THROWS_AS(a.write(adding(1), {.acknowledgements = 1, .level = assurance::none}), std::invalid_argument);
    CHECK_FALSE(has(a, 1));
    CHECK(a.write(adding(2), {.level = assurance::none}).complete); // nobody is waited for
}

TEST_CASE("concern: zones whose names would have to be cut are refused") {
    memory_network network;
    CHECK_THROWS_AS(number_leader(options(network, "a", {}, std::string(65, 'z'))), std::invalid_argument);
    number_leader b(options(network, "b", {}, std::string(64, 'z')));
    CHECK(b.status().zone.size() == 64);
}

TEST_CASE("concern: a write on the node's own thread does not claim what it cannot wait for") {
    memory_network network;
    number_leader a(options(network, "a", {}));
    std::atomic<int> told{0}; // 1: complete, 2: not
    auto watch = a.subscribe([&](const change&) {
        if (told != 0) return;
        told = a.write(adding(2), {.acknowledgements = 1}).complete ? 1 : 2;
        told.notify_one();
    });
    add(a, 1);
    told.wait(0);
    CHECK(told == 2);
}

TEST_CASE("concern: who would wait for ever is not told that the time has run out") {
    memory_network network;
    number_leader a(options(network, "a", {})), b(options(network, "b", {"a"}));
    constexpr auto ever = std::chrono::milliseconds::max();
    auto echo = b.serve("echo", [](replica_id, std::span<const std::byte> what) {
        return std::vector<std::byte>(what.begin(), what.end());
    });
    for (int i = 0; i < 5; ++i) {
        CHECK(a.write(adding(i), {.acknowledgements = 1, .timeout = ever}).complete);
        add(b, 100 + i);
        CHECK(a.wait_until([&](const auto& s) { return s.contains(100 + i); }, ever));
        add(b, 200 + i);
        CHECK(a.sync_to(b.version(), ever));
        CHECK(a.read([](const auto& s) { return s.size(); }, read_options{.answers = 1, .timeout = ever}).complete);
        CHECK(a.request("echo", {{b.id(), encode(i)}}, ever)[0].answer == encode(i));
    }
    add(a, 5);
    CHECK(a.drain({.timeout = ever}).complete);
    a.resume();
    add(a, 6);
    CHECK(a.leave(ever));
}

TEST_CASE("session: who moves between leaders sees its own writes, and never less than before") {
    memory_network network;
    std::vector<std::unique_ptr<number_leader>> leaders;
    const std::vector<std::string> names{"a", "b", "c"};
    for (const auto& name : names) leaders.push_back(std::make_unique<number_leader>(options(network, name, names)));
    std::mt19937 random(1);
    session mine(patience), others(patience);
    std::size_t most = 0;
    for (int i = 0; i < 200; ++i) {
        mine.write(*leaders[random() % 3], adding(i));
        if (random() % 2) others.write(*leaders[random() % 3], adding(1000 + i));
        const auto seen =
            mine.read(*leaders[random() % 3], [](const numbers& s) { return std::vector<int>(s.begin(), s.end()); });
        int own = 0;
        for (const int n : seen) own += n < 1000;
        REQUIRE(own == i + 1);
        REQUIRE(seen.size() >= most);
        most = seen.size();
    }
}

TEST_CASE("concern: who holds edits back has not answered a reader") {
    memory_network network;
    memory_disk disk;
    number_leader a(options(network, "a", {"b", "c"}));
    const auto start = [&] {
        auto o = options(network, "b", {"a", "c"});
        o.storage = disk.open();
        o.expected_peers = 2;
        o.timings.hello_grace = 1h;
        return std::make_unique<number_leader>(std::move(o));
    };
    auto b = start();
    add(*b, 1);
    auto c = std::make_unique<number_leader>(options(network, "c", {"a", "b"}));
    arrives(a, 1);

    b.reset();
    c.reset();
    b = start(); // it waits for c before it publishes
    add(*b, 2);
    const auto reading = [](const auto& s) { return s.contains(2); };
    CHECK_FALSE(a.read(reading, read_options{.answers = 1, .timeout = 500ms}).complete);
    std::thread reader([&] {
        const auto later = a.read(reading, read_options{.answers = 2, .timeout = patience});
        CHECK(later.complete);
        CHECK(later.value);
    });
    c = std::make_unique<number_leader>(options(network, "c", {"a", "b"}));
    reader.join();
}

TEST_CASE("concern: who starts again under a new id is counted once") {
    memory_network network;
    memory_disk disk;
    const auto slow = std::make_shared<gate>();
    number_leader a(options(network, "a", {"b", "c"}));
    auto b = std::make_unique<number_leader>(options(network, "b", {"a"}));
    auto with_disk = options(network, "c", {"a"});
    with_disk.storage = std::make_unique<gated_storage>(disk.open(), slow);
    number_leader c(std::move(with_disk));
    add(*b, 1), add(c, 2);
    arrives(a, 1), arrives(a, 2);

    slow->close();
    std::thread writer([&] { add(c, 3); });
    slow->await_visitor(); // c answers nobody from now on
    const auto heard = [&] { return a.status().counters.at("hellos_received"); };
    const auto before = heard();
    std::thread reader([&] {
        const auto two = a.read([](const auto& s) { return s.size(); }, read_options{.answers = 2, .timeout = 2s});
        CHECK_FALSE(two.complete);
    });
    while (heard() == before) std::this_thread::yield();
    b.reset();
    b = std::make_unique<number_leader>(options(network, "b", {"a"}));
    reader.join();
    slow->open();
    writer.join();
}

TEST_CASE("session: a leader that is behind says so, and its token can be carried on") {
    memory_network network;
    number_leader a(options(network, "a", {}));
    number_leader b(options(network, "b", {}));
    session mine(100ms);
    mine.write(a, adding(1));
    const auto reading = [](const numbers& s) { return s.contains(1); };
    CHECK_THROWS_AS(mine.read(b, reading), session_behind);
    CHECK_THROWS_AS(mine.write(b, adding(2)), session_behind);
    CHECK_FALSE(has(b, 2));
    b.connect("a");
    const auto cookie = encode(mine);
    auto carried = decode<session>(cookie);
    REQUIRE(carried);
    CHECK(carried->token("main") == mine.token("main"));
    CHECK(carried->token("another").empty());
    REQUIRE(b.wait_until(reading, patience));
    CHECK(carried->read(b, reading));
}

TEST_CASE("session: a read that asks others counts what they had as seen") {
    memory_network network;
    number_leader a(options(network, "a", {"b"}));
    number_leader b(options(network, "b", {"a"}));
    number_leader alone(options(network, "c", {}));
    add(b, 0);
    arrives(a, 0);
    session mine(100ms);
    add(b, 1);
    const auto asked = mine.read(
        a, [](const numbers& s) { return s.contains(1); }, read_options{.answers = 1, .timeout = patience});
    CHECK(asked.complete);
    CHECK(asked.answered == 1);
    CHECK(asked.value);
    CHECK(mine.token("main") == a.version());
    CHECK_THROWS_AS(mine.read(
                        alone, [](const numbers& s) { return s.size(); }, read_options{}),
                    session_behind);
}

TEST_CASE("session: what a write has seen counts as seen, also if it wrote nothing") {
    memory_network network;
    number_leader a(options(network, "a", {})), alone(options(network, "b", {}));
    add(a, 1);
    session mine(100ms);
    bool there = false;
    CHECK_FALSE(mine.write(a, [&](const numbers& s, transaction&) { there = s.contains(1); }).dots);
    CHECK(there);
    CHECK_THROWS_AS(mine.read(alone, [](const numbers& s) { return s.contains(1); }), session_behind);
}

TEST_CASE("session: nothing is seen that its leader may yet lose") {
    memory_network network;
    memory_disk disk;
    auto o = options(network, "a", {});
    o.storage = disk.open();
    number_leader a(std::move(o));
    session mine;
    add(a, 1);
    disk.fail_at(1);
    CHECK_THROWS_AS(add(a, 2), node_closed);
    CHECK(has(a, 2)); // in memory
    // After a restart its dot will be that of another edit, which a token for this one would be taken for.
    CHECK_THROWS_AS(mine.read(a, [](const numbers& s) { return s.contains(2); }), node_closed);
    CHECK(mine.token("main").empty());
}
