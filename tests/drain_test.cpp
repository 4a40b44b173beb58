// SPDX-License-Identifier: Apache-2.0
// node::drain: what is done before a leader is stopped.
#include <joinery/leader.hpp>

#include <joinery/memory_storage.hpp>
#include <joinery/memory_transport.hpp>
#include <joinery/or_set.hpp>

#include "bell.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

using namespace joinery;
using namespace std::chrono_literals;

namespace {

using numbers = or_set<int>;
using number_leader = leader<numbers>;

constexpr auto patience = 20s; // far beyond what is needed; nothing waits for it in vain
constexpr auto moment = 150ms; // for what does not come

struct fixture {
    memory_network network;
    bell happened;
    std::mutex mutex;
    std::vector<std::string> lines;

    node_options options(const std::string& name, const std::vector<std::string>& peers,
                         std::unique_ptr<storage> disk = nullptr) {
        node_options o;
        o.name = name;
        o.transport = network.make(name, peers);
        o.storage = std::move(disk);
        o.timings.beacon = 50ms;
        o.on_event = [this](const event&) { happened.ring(); };
        o.log = [this](const log_line& line) {
            std::lock_guard lock(mutex);
            lines.push_back(logfmt(line));
        };
        return o;
    }
    std::ptrdiff_t logged(const std::string& part) {
        std::lock_guard lock(mutex);
        return std::count_if(lines.begin(), lines.end(),
                             [&](const auto& line) { return line.find(part) != std::string::npos; });
    }
    bool up(const number_leader& l, const std::string& name) {
        return happened.wait([&] { return is_up(l, name); });
    }
    bool down(const number_leader& l, const std::string& name) {
        return happened.wait([&] { return !is_up(l, name); });
    }

private:
    static bool is_up(const number_leader& l, const std::string& name) {
        const auto s = l.status();
        return std::any_of(s.peers.begin(), s.peers.end(), [&](const auto& p) { return p.name == name && p.up; });
    }
};

void add(number_leader& l, int n) {
    l.write([&](auto& s, auto& tx) { s.add(tx, n); });
}
bool has(const number_leader& l, int n) {
    return l.read([&](const auto& s) { return s.contains(n); });
}
bool arrives(const number_leader& l, int n) {
    return l.wait_until([&](const auto& s) { return s.contains(n); }, patience);
}
std::vector<std::string> names(const drain_result& r) {
    std::vector<std::string> all;
    for (const auto& p : r.missing) all.push_back(p.name);
    return all;
}

} // namespace

TEST_CASE("drain: writes are refused, reads go on, and peers have everything") {
    fixture f;
    memory_disk disk;
    number_leader a(f.options("a", {"b", "c"}, disk.open()));
    number_leader b(f.options("b", {"a"})), c(f.options("c", {"a"}));
    REQUIRE((f.up(a, "b") && f.up(a, "c")));
    for (int n = 0; n < 100; ++n) add(a, n);

    const auto r = a.drain({.timeout = patience});
    CHECK(r.complete);
    CHECK(r.missing.empty());
    for (const auto* l : {&b, &c}) CHECK(l->read([](const auto& s) { return s.size(); }) == 100);
    CHECK(a.status().draining);
    try {
        add(a, 100);
        FAIL("not refused");
    } catch (const node_draining& e) {
        CHECK(std::string(e.what()).starts_with("write \"main\": this node is about to stop; write at \""));
    }
    CHECK_FALSE(has(a, 100));
    CHECK(has(a, 99)); // reads go on
    add(b, 1000);
    CHECK(arrives(a, 1000)); // and so does what others write
    CHECK(a.drain({.timeout = patience}).complete);

    a.resume();
    a.resume();
    CHECK_FALSE(a.status().draining);
    add(a, 100);
    CHECK(arrives(b, 100));
    CHECK(f.happened.wait([&] { return f.logged("event=resumed") == 1; }));
    CHECK(f.logged("event=draining") == 1);

    CHECK(a.drain({.timeout = patience}).complete);
    a.close();
    CHECK_THROWS_AS(add(a, 101), node_closed);
    CHECK_THROWS_AS(a.drain(), node_closed);
    CHECK_THROWS_AS(a.resume(), node_closed);
}

TEST_CASE("drain: who has not everything is named, and waited for the next time") {
    fixture f;
    memory_disk disk, of_c;
    number_leader a(f.options("a", {"b", "c"}, disk.open()));
    number_leader b(f.options("b", {"a"}));
    std::optional<number_leader> c(std::in_place, f.options("c", {"a"}, of_c.open()));
    REQUIRE((f.up(a, "b") && f.up(a, "c")));
    add(a, 1);
    REQUIRE(a.drain({.timeout = patience}).complete);
    c.reset();
    REQUIRE(f.down(a, "c"));
    a.resume();
    add(a, 2);

    const auto r = a.drain({.timeout = moment});
    CHECK_FALSE(r.complete);
    CHECK(names(r) == std::vector<std::string>{"c"});
    CHECK(a.status().draining);
    CHECK_THROWS_AS(add(a, 3), node_draining);
    CHECK(a.drain({.acknowledgements = 1, .timeout = patience}).complete); // b is enough
    CHECK_FALSE(a.drain({.acknowledgements = 2, .timeout = moment}).complete);

    c.emplace(f.options("c", {"a"}, of_c.open()));
    CHECK(a.drain({.timeout = patience}).complete);
    CHECK(has(*c, 2));
}

TEST_CASE("drain: who will not come back under its id is not waited for") {
    fixture f;
    memory_disk disk, of_d;
    auto o = f.options("a", {"b", "c", "d"}, disk.open());
    number_leader a(std::move(o));
    number_leader b(f.options("b", {"a"}));
    std::optional<number_leader> c(std::in_place, f.options("c", {"a"})); // keeps nothing
    std::optional<number_leader> d(std::in_place, f.options("d", {"a"}, of_d.open()));
    REQUIRE((f.up(a, "b") && f.up(a, "c") && f.up(a, "d")));
    const auto lost = d->id();
    c.reset();
    d.reset();
    REQUIRE((f.down(a, "c") && f.down(a, "d")));
    add(a, 1);
    CHECK(names(a.drain({.timeout = moment})) == std::vector<std::string>{"d"});
    a.evict(lost);
    CHECK(a.drain({.timeout = patience}).complete);
}

TEST_CASE("drain: alone there is nobody to have it") {
    fixture f;
    number_leader a(f.options("a", {"b"}));
    CHECK(a.drain({.timeout = moment}).complete); // there is nothing
    a.resume();
    add(a, 1);
    auto r = a.drain({.timeout = moment});
    CHECK_FALSE(r.complete);
    CHECK(r.missing.empty());
    number_leader b(f.options("b", {"a"}));
    CHECK(a.drain({.timeout = patience}).complete);
    CHECK(has(b, 1));
}

TEST_CASE("drain: every write that was not refused is there, also those under way") {
    fixture f;
    memory_disk disk;
    number_leader a(f.options("a", {"b"}, disk.open()));
    number_leader b(f.options("b", {"a"}));
    REQUIRE(f.up(a, "b"));
    constexpr int writers = 3;
    std::vector<int> written(writers);
    std::vector<std::thread> threads;
    for (int w = 0; w < writers; ++w)
        threads.emplace_back([&, w] {
            try {
                for (int n = 0;; ++n) {
                    add(a, w * 1'000'000 + n);
                    written[static_cast<std::size_t>(w)] = n + 1;
                }
            } catch (const node_draining&) {
            }
        });
    REQUIRE(b.wait_until([](const auto& s) { return s.size() > 200; }, patience));
    CHECK(a.drain({.timeout = patience}).complete);
    const auto there = b.read([](const auto& s) { return s; });
    for (auto& t : threads) t.join();
    for (int w = 0; w < writers; ++w)
        for (int n = 0; n < written[static_cast<std::size_t>(w)]; ++n) REQUIRE(there.contains(w * 1'000'000 + n));
}

TEST_CASE("drain: what others wrote is passed on before it is complete") {
    fixture f;
    number_leader b(f.options("b", {"a"})), a(f.options("a", {})), c(f.options("c", {"a"}));
    REQUIRE((f.up(a, "b") && f.up(a, "c")));
    for (int n = 0; n < 50; ++n) {
        add(b, n);
        REQUIRE(arrives(a, n));
        if (n % 10) continue;
        REQUIRE(a.drain({.timeout = patience}).complete);
        CHECK(has(c, n));
    }
}

TEST_CASE("drain: resuming ends the waiting, and a subscriber cannot wait") {
    fixture f;
    number_leader a(f.options("a", {}));
    add(a, 1);
    std::optional<drain_result> r;
    std::thread operator_thread([&] { r = a.drain({.timeout = patience}); });
    while (!a.status().draining) std::this_thread::yield();
    a.resume();
    operator_thread.join();
    CHECK_FALSE(r->complete);

    std::atomic<bool> refused{false};
    auto watch = a.subscribe([&](const change&) {
        try {
            a.drain();
        } catch (const std::logic_error&) {
            refused = true;
        }
        f.happened.ring();
    });
    add(a, 2);
    CHECK(f.happened.wait([&] { return refused.load(); }));
}
