// SPDX-License-Identifier: Apache-2.0
// What the engine counts and tells of itself and its peers.
#include <joinery/engine.hpp>

#include "engine_router.hpp"

#include <joinery/lww_register.hpp>

#include <map>

using namespace joinery;
using namespace std::chrono_literals;

TEST_CASE("engine: status says how far peers are behind, and how long they have been silent") {
    router r;
    auto &a = r.add("a"), &b = r.add("b");
    r.start_all();
    r.lose = [](const auto&, const auto&) { return true; };
    a.add("milk");
    a.add("bread");
    r.run(2s);
    CHECK(a.engine->peers()[0].behind == std::vector<std::uint64_t>{2});
    CHECK(a.engine->peers()[0].silence >= 2s);
    r.lose = nullptr;
    r.run(5s);
    CHECK(a.engine->peers()[0].behind == std::vector<std::uint64_t>{0});
    CHECK(a.engine->peers()[0].silence < 2s);
    CHECK(b.has("bread"));
}

TEST_CASE("engine: lag is how long the oldest edit has been here that a peer has not acknowledged") {
    router r;
    auto &a = r.add("a"), &b = r.add("b");
    r.start_all();
    const auto lag = [&] { return a.engine->peers()[0].lag.at(0); };
    CHECK(lag() == 0ms);
    r.lose = [](const auto&, const auto& c) { return c.has(is_update) || c.has(is_chunk); };
    a.add("milk");
    r.run(2s);
    CHECK(lag() == 2s);
    r.lose = nullptr;
    r.run(5s);
    CHECK(lag() == 0ms);
    r.lose = [](const auto&, const auto& c) { return c.has(is_beacon) || c.has(is_hello); }; // acknowledgements
    for (int i = 0; i < 10; ++i) {
        a.add(std::to_string(i));
        r.run(1s);
    }
    CHECK(lag() == 10s);
    r.lose = nullptr;
    int behind = 0;
    for (int i = 0; i < 300; ++i) { // it is hardly ever quite up to date, and never far behind
        a.add(std::to_string(i));
        r.run(10ms);
        behind += a.engine->peers()[0].behind[0] > 0;
    }
    CHECK(behind > 200);
    CHECK(lag() <= 2s);
    b.crash();
    a.add("alone");
    r.run(10s);
    CHECK(lag() >= 10s); // a peer that is down falls behind
    b.start();
    r.link(0, 1);
    r.deliver();
    CHECK(lag() == 0ms); // what it lacks waits for this instance since now
    r.run(3s);
    CHECK(lag() == 0ms);
    CHECK(a.engine->peers()[0].behind[0] == 0);
    check_converged(r);
}

TEST_CASE("engine: a new id leaves no lag behind") {
    router r;
    auto& a = r.add("a");
    r.add("b");
    r.start_all();
    r.lose = [](const auto&, const auto& c) { return c.has(is_update); };
    a.add("milk");
    a.engine->take_new_id();
    r.lose = nullptr;
    r.run(5s);
    CHECK(a.engine->peers()[0].lag.at(0) == 0ms);
    check_converged(r);
}

TEST_CASE("engine: bytes are counted for each peer, broadcasts too") {
    router r;
    auto &a = r.add("a"), &b = r.add("b"), &c = r.add("c");
    SUBCASE("by broadcasts") {}
    SUBCASE("by links alone, one way") { r.one_way_broadcasts = true; }
    r.start_all();
    c.add("first"); // now a and b know that they need not relay it
    r.deliver();
    const auto before = c.engine->peers();
    REQUIRE(before.size() == 2);
    const auto heard = [&](const test_engine& by) {
        std::map<std::string, std::uint64_t> bytes;
        for (const auto& p : by.engine->peers()) bytes[p.name] = p.bytes_in;
        return bytes;
    };
    const auto by_a = heard(a), by_b = heard(b);
    c.add(std::string(1000, 'x'));
    r.deliver();
    const auto after = c.engine->peers();
    for (std::size_t i = 0; i < 2; ++i) {
        CHECK(after[i].bytes_out - before[i].bytes_out > 1000);
        CHECK(after[i].bytes_out - before[i].bytes_out < 1100);
        CHECK(after[i].bytes_in == before[i].bytes_in);
    }
    CHECK(heard(a)["c"] - by_a.at("c") > 1000);
    CHECK(heard(a)["b"] == by_a.at("b"));
    CHECK(heard(b)["c"] - by_b.at("c") > 1000);
    CHECK(heard(b)["a"] == by_b.at("a"));
}

TEST_CASE("engine: updates that waited and were dropped are counted, and those that wait already are duplicates") {
    router r;
    auto &a = r.add("a"), &b = r.add("b");
    b.options.limits.buffer = 2000;
    r.start_all();
    a.add("lost");
    r.wire.clear();
    a.add("waits");
    const auto twice = r.wire.front();
    r.deliver();
    b.engine->received(0, twice.frame);
    CHECK(b.counters().updates_buffered == 1);
    CHECK(b.counters().updates_duplicate == 1);
    a.add(std::string(2000, 'x'));
    r.deliver();
    CHECK(b.counters().updates_dropped == 2);
    CHECK(b.counters().buffers_dropped == 1);
}

TEST_CASE("engine: siblings are counted since the start, not those that were stored") {
    router r;
    test_engine &a = r.add("a"), &b = r.add("b");
    r.start_all();
    using text = lww_register<std::string>;
    const auto write = [](test_engine& n, replicated<text>& t, const std::string& value) {
        {
            std::lock_guard lock(t.mutex());
            t.edit([&](auto& x, auto& tx) { x.set(tx, value); });
        }
        n.engine->flush();
    };
    auto of_a = std::make_unique<replicated<text>>(), of_b = std::make_unique<replicated<text>>();
    auto number = a.engine->attach("text", *of_a);
    b.engine->attach("text", *of_b);
    r.run(100ms);
    write(a, *of_a, "x"), write(b, *of_b, "y");
    r.deliver();
    CHECK(a.engine->status(number).siblings_seen == 1);
    CHECK(a.engine->status(number).siblings_resolved == 0);
    a.crash();
    a.start();
    of_a = std::make_unique<replicated<text>>();
    number = a.engine->attach("text", *of_a);
    CHECK(of_a->get()->siblings().size() == 2);
    CHECK(a.engine->status(number).siblings_seen == 0);
    r.link(0, 1);
    r.run(100ms);
    write(a, *of_a, "z");
    r.deliver();
    CHECK(a.engine->status(number).siblings_resolved == 1);
    CHECK(b.engine->status(number).siblings_resolved == 1);
}
