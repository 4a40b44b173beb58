// SPDX-License-Identifier: Apache-2.0
#include <joinery/memory_transport.hpp>

#include "transport_recorder.hpp"

#include <doctest/doctest.h>

#include <atomic>
#include <stdexcept>
#include <thread>

using joinery::memory_network;

TEST_CASE("memory_transport: frames go both ways over one dialled link") {
    memory_network network;
    test_node a(network.make("a"));
    test_node b(network.make("b", {"a"}));
    CHECK(a.net->address() == "a");
    REQUIRE(eventually({&a, &b}, [&] { return a.link() && b.link(); }));

    a.broadcast("to whom it may concern"); // a's broadcast reaches b, which dialled a
    REQUIRE(eventually({&b}, [&] { return b.got("to whom it may concern"); }));
    CHECK(b.seen.frames.back().link == b.link());

    b.broadcast("nobody dialled b");
    CHECK(b.send(b.link(), "b to a"));
    REQUIRE(eventually({&a}, [&] { return a.got("b to a"); }));
    CHECK(a.send(a.link(), "a to b"));
    REQUIRE(eventually({&b}, [&] { return b.got("a to b"); }));
    CHECK_FALSE(a.got("nobody dialled b"));
    CHECK_FALSE(a.send(a.link() + 1000, "no such link"));
    CHECK(a.net->stats().frames_out == 2);
    CHECK(b.net->stats().frames_in == 2);
    CHECK(b.net->stats().bytes_in == 28);
}

TEST_CASE("memory_transport: a peer may be dialled before it exists, and come back") {
    memory_network network;
    test_node b(network.make("b", {"a"}));
    b.poll(0);
    CHECK(b.seen.connects == 0);
    {
        test_node a(network.make("a"));
        REQUIRE(eventually({&a, &b}, [&] { return a.link() && b.link(); }));
        CHECK_THROWS_AS(network.make("a"), std::runtime_error);
        a.broadcast("last words");
    }
    const auto link = b.link();
    REQUIRE(eventually({&b}, [&] { return b.seen.disconnects == 1; }));
    CHECK(b.got("last words"));
    CHECK_FALSE(b.send(link, "nobody there"));

    test_node a(network.make("a"));
    REQUIRE(eventually({&a, &b}, [&] { return a.link() && b.link(); }));
    CHECK(b.link() == link);
    CHECK(b.net->stats().reconnects == 1);
    CHECK(b.seen.violations == 0);
}

TEST_CASE("memory_transport: connect and disconnect at run time, also from within poll") {
    memory_network network;
    test_node a(network.make("a"));
    test_node b(network.make("b"));
    b.net->connect("a");
    b.net->connect("a"); // a second time changes nothing
    b.net->connect("b"); // itself: never connects
    REQUIRE(eventually({&a, &b}, [&] { return a.link() && b.link(); }));
    CHECK(a.seen.connects == 1);

    b.seen.on_frame = [&](const auto& f) {
        if (f.text == "go away") b.net->disconnect("a");
    };
    a.broadcast("go away");
    REQUIRE(eventually({&a, &b}, [&] { return a.seen.disconnects == 1 && b.seen.disconnects == 1; }));
    a.broadcast("too late");
    b.poll(0);
    CHECK_FALSE(b.got("too late"));

    b.net->connect("a");
    REQUIRE(eventually({&a, &b}, [&] { return a.link() && b.link(); }));
    CHECK(a.seen.violations + b.seen.violations == 0);
}

TEST_CASE("memory_transport: a full queue drops broadcasts, counts them, and refuses what is sent") {
    memory_network network({.queue_frames = 10, .queue_bytes = 1000, .max_frame = 600});
    test_node a(network.make("a"));
    test_node b(network.make("b", {"a"}));
    REQUIRE(eventually({&a, &b}, [&] { return a.link() && b.link(); }));

    for (int i = 0; i < 12; ++i) a.broadcast("x");
    CHECK(a.net->stats().dropped == 2);
    CHECK_FALSE(a.send(a.link(), "x"));
    REQUIRE(eventually({&b}, [&] { return b.count("x") == 10; }));

    CHECK(a.send(a.link(), std::string(600, 'y')));
    CHECK_FALSE(a.send(a.link(), std::string(500, 'y'))); // 1100 bytes
    CHECK_FALSE(a.send(a.link(), std::string(601, 'z'))); // above max_frame
    a.broadcast(std::string(601, 'z'));
    CHECK(a.net->stats().dropped == 3);
    b.poll(0);
    CHECK(b.seen.frames.size() == 11);
}

TEST_CASE("memory_transport: one poll hands over about 256 KiB") {
    memory_network network;
    test_node a(network.make("a"));
    test_node b(network.make("b", {"a"}));
    b.poll(0);
    for (int i = 0; i < 40; ++i) a.broadcast(std::string(100'000, 'x'));
    b.poll(0);
    CHECK(b.seen.frames.size() == 3);
    REQUIRE(eventually({&b}, [&] { return b.seen.frames.size() == 40; }));
}

TEST_CASE("memory_transport: a wake ends the wait that goes on and the next one") {
    memory_network network;
    test_node a(network.make("a"));
    a.net->wake();
    a.poll(60'000);
    std::thread other([&] { a.net->wake(); });
    a.poll(60'000);
    other.join();
}

TEST_CASE("memory_transport: an exception from the owner loses only the frame it was given") {
    memory_network network;
    test_node a(network.make("a"));
    test_node b(network.make("b", {"a"}));
    b.poll(0);
    a.broadcast("one");
    a.broadcast("two");
    b.seen.on_frame = [](const auto& f) {
        if (f.text == "one") throw std::runtime_error("owner");
    };
    CHECK_THROWS(b.poll(0));
    b.poll(0);
    CHECK(b.got("two"));
}

TEST_CASE("memory_transport: transports on threads of their own lose nothing") {
    constexpr int frames = 20'000;
    std::unique_ptr<joinery::transport> left, right;
    {
        memory_network network; // ends before its transports
        left = network.make("left", {"right"});
        right = network.make("right", {"left"});
    }
    std::atomic<int> finished{0};
    auto run = [&](joinery::transport& t, recorder& seen) {
        int sent = 0;
        bool counted = false;
        while (finished.load() < 2) {
            t.wait(std::chrono::milliseconds(sent < frames ? 0 : 1));
            t.poll(seen);
            if (seen.links.size() < 2) continue;
            for (int i = 0; i < 100 && sent < frames; ++i, ++sent) {
                t.broadcast(test_node::bytes(std::to_string(sent)));
            }
            if (!counted && seen.frames.size() == frames) {
                counted = true;
                ++finished;
            }
        }
    };
    recorder at_left, at_right;
    std::thread other([&] { run(*right, at_right); });
    run(*left, at_left);
    other.join();
    for (const recorder* seen : {&at_left, &at_right}) {
        REQUIRE(seen->frames.size() == frames);
        bool in_order = true;
        for (int i = 0; i < frames; ++i)
            in_order &= seen->frames[static_cast<std::size_t>(i)].text == std::to_string(i);
        CHECK(in_order);
        CHECK(seen->violations == 0);
    }
    CHECK(left->stats().dropped + right->stats().dropped == 0);
}

TEST_CASE("memory_transport: peers are known by their keys, and let in by them") {
    const auto key = [](unsigned n) {
        joinery::peer_key k;
        k.bytes.fill(static_cast<std::byte>(n));
        return k;
    };
    joinery::memory_network network;
    test_node a(network.make("a", {}, key(1))), b(network.make("b", {"a"}, key(2))), c(network.make("c", {"a"}));
    a.net->admit({key(2)});
    b.poll(0);
    c.poll(0);
    a.poll(0);
    REQUIRE(a.seen.links.size() == 1); // the link of c has ended
    CHECK(a.net->key_of(a.link()) == key(2));
    CHECK(b.net->key_of(b.link()) == key(1));
    CHECK(c.seen.links.empty());
    CHECK_FALSE(a.net->key_of(99));
    a.net->admit({key(3)});
    test_node d(network.make("d", {"a"}, key(3)));
    for (auto* n : {&a, &b, &c, &d}) n->poll(0);
    REQUIRE(a.seen.links.size() == 1);
    CHECK(a.net->key_of(a.link()) == key(3));
    CHECK(b.seen.links.empty());
    a.net->admit({key(2), key(3)}); // it is dialled again
    for (auto* n : {&a, &b, &c, &d}) n->poll(0);
    CHECK(a.seen.links.size() == 2);
    CHECK(b.seen.links.size() == 1);
    c.net->admit({}); // it proves nothing, so this has no effect
    CHECK_FALSE(c.net->key_of(1));
    CHECK(a.seen.violations + b.seen.violations + d.seen.violations == 0);
}
