// SPDX-License-Identifier: Apache-2.0
#include <joinery/zmq_transport.hpp>

#include "zmq_peers.hpp"

#include <doctest/doctest.h>

#include <ctime>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>

using namespace zmq_tests;

TEST_CASE("zmq_transport: frames go both ways over one dialled link") {
    folder files;
    std::string listen = any_address(files, "transport");
    SUBCASE("ipc, a path chosen by ZeroMQ") { listen = "ipc://*"; }
    if (listen.empty()) return;
    CAPTURE(listen);

    test_node a = node(listen);
    CHECK(a.net->address().find('*') == std::string::npos);
    test_node b = node({}, {a.net->address()});
    CHECK(b.net->address().empty());
    REQUIRE(eventually({&a, &b}, [&] { return a.link() && b.link(); }));

    a.broadcast("broadcast by a");
    REQUIRE(eventually({&a, &b}, [&] { return b.got("broadcast by a"); }));
    CHECK(b.seen.frames.back().link == b.link());
    CHECK(b.send(b.link(), "b to a"));
    REQUIRE(eventually({&a, &b}, [&] { return a.got("b to a"); }));
    CHECK(a.send(a.link(), "a to b"));
    REQUIRE(eventually({&a, &b}, [&] { return b.got("a to b"); }));
    CHECK(a.send(a.link(), "")); // empty frames and arbitrary bytes are frames like others
    CHECK(a.send(a.link(), std::string("j\1\4\0J", 5)));
    REQUIRE(eventually({&a, &b}, [&] { return b.got("") && b.got(std::string("j\1\4\0J", 5)); }));

    CHECK_FALSE(a.send(999, "no such link"));
    CHECK(a.net->stats().frames_out == 4);
    CHECK(b.net->stats().frames_in == 4);
    CHECK(b.net->stats().bytes_in == 25);
    CHECK(a.net->stats().dropped + b.net->stats().dropped == 0);
    CHECK(a.seen.violations + b.seen.violations == 0);
}

TEST_CASE("zmq_transport: leaders that dial each other hear each other's broadcasts once") {
    test_node a = node(any_port);
    test_node b = node(any_port, {a.net->address()});
    a.net->connect(b.net->address());
    REQUIRE(eventually({&a, &b}, [&] { return a.seen.links.size() == 2 && b.seen.links.size() == 2; }));
    for (int i = 0; i < 100; ++i) {
        a.broadcast("a" + std::to_string(i));
        b.broadcast("b" + std::to_string(i));
    }
    REQUIRE(eventually({&a, &b}, [&] { return a.got("b99") && b.got("a99"); }));
    CHECK(a.seen.frames.size() == 100);
    CHECK(b.seen.frames.size() == 100);
}

TEST_CASE("zmq_transport: once connected, a late joiner misses no broadcast") {
    test_node a = node(any_port);
    test_node early = node({}, {a.net->address()});
    REQUIRE(eventually({&a, &early}, [&] { return early.link() != 0; }));
    a.broadcast("before");
    for (int round = 0; round < 20; ++round) {
        test_node late = node({}, {a.net->address()});
        REQUIRE(eventually({&a, &late}, [&] { return late.link() != 0; }));
        for (int i = 0; i < 100; ++i) a.broadcast(std::to_string(i));
        REQUIRE(eventually({&a, &early, &late}, [&] { return late.got("99"); }));
        CHECK(late.seen.frames.size() == 100);
    }
    REQUIRE(eventually({&a, &early}, [&] { return early.seen.frames.size() == 2001; }));
}

TEST_CASE("zmq_transport: a peer that is dialled before it listens connects once it does") {
    folder files;
    test_node b = node({}, {files.address("a")});
    for (int i = 0; i < 20; ++i) b.poll(1);
    CHECK(b.seen.connects == 0);
    test_node a = node(files.address("a"));
    REQUIRE(eventually({&a, &b}, [&] { return a.link() && b.link(); }));
    CHECK(b.net->stats().reconnects == 0);
}

TEST_CASE("zmq_transport: a leader that restarts at the same address and publishes elsewhere is heard again") {
    with_reused_port([] {
        std::optional<test_node> a = node(any_port);
        const std::string address = a->net->address();
        test_node b = node({}, {address});
        REQUIRE(eventually({&*a, &b}, [&] { return b.link() != 0; }));
        const auto link = b.link();

        a.reset();
        REQUIRE(eventually({&b}, [&] { return b.seen.disconnects == 1; }));
        CHECK_FALSE(b.send(link, "to nobody"));
        a.emplace(node(address));
        REQUIRE(eventually({&*a, &b}, [&] { return b.link() != 0; }));
        CHECK(b.link() == link);
        CHECK(b.net->stats().reconnects == 1);
        a->broadcast("risen");
        REQUIRE(eventually({&*a, &b}, [&] { return b.got("risen"); }));
        CHECK(b.seen.violations == 0);
    });
}

TEST_CASE("zmq_transport: who was silent for so long that it was given up is heard again when it goes on") {
    test_node a = node(any_port);
    test_node b = node({}, {a.net->address()});
    REQUIRE(eventually({&a, &b}, [&] { return a.link() && b.link(); }));
    REQUIRE(eventually({&a}, [&] { return a.seen.disconnects == 1; })); // b is frozen
    REQUIRE(eventually({&a, &b}, [&] { return b.net->stats().reconnects == 1 && a.link() && b.link(); }));
    CHECK(b.send(b.link(), "b to a"));
    REQUIRE(eventually({&a, &b}, [&] { return a.got("b to a"); }));
}

TEST_CASE("zmq_transport: what is broadcast right before the end still arrives") {
    auto o = quick(any_port);
    o.linger = milliseconds(10'000); // no more than it takes
    std::optional<test_node> a = node(o);
    test_node b = node({}, {a->net->address()});
    REQUIRE(eventually({&*a, &b}, [&] { return b.link() != 0; }));
    for (int i = 0; i < 1000; ++i) a->broadcast(std::to_string(i));
    a.reset();
    REQUIRE(eventually({&b}, [&] { return b.seen.disconnects == 1; }));
    CHECK(b.seen.frames.size() == 1000);
}

TEST_CASE("zmq_transport: a frame of max_frame passes, one above is refused and counted") {
    auto o = quick(any_port);
    o.max_frame = 100'000;
    test_node a = node(o);
    CHECK(a.net->max_frame() == 100'000);
    test_node b = node([&] {
        auto p = quick({}, {a.net->address()});
        p.max_frame = 100'000;
        return p;
    }());
    REQUIRE(eventually({&a, &b}, [&] { return a.link() && b.link(); }));
    const std::string greatest(100'000, 'x');
    a.broadcast(greatest);
    CHECK(b.send(b.link(), greatest));
    CHECK(a.send(a.link(), greatest));
    REQUIRE(eventually({&a, &b}, [&] { return b.count(greatest) == 2 && a.got(greatest); }));

    a.broadcast(greatest + "x");
    CHECK(a.net->stats().dropped == 1);
    CHECK_FALSE(a.send(a.link(), greatest + "x"));
    CHECK_FALSE(b.send(b.link(), greatest + "x"));
    a.broadcast("still there");
    REQUIRE(eventually({&a, &b}, [&] { return b.got("still there"); }));
    CHECK(b.seen.frames.size() == 3);
    CHECK(b.seen.disconnects == 0);
}

TEST_CASE("zmq_transport: a full queue drops broadcasts for the slow peer only, and counts each") {
    auto o = quick(any_port);
    o.send_high_water = o.receive_high_water = 4;
    o.heartbeat = milliseconds(10'000); // the slow one does not poll for a while
    test_node a = node(o);
    o.listen.clear();
    o.peers = {a.net->address()};
    test_node slow = node(o), brisk = node(o);
    REQUIRE(eventually({&a, &slow, &brisk}, [&] { return slow.link() && brisk.link() && a.seen.links.size() == 2; }));

    const std::string frame(64 * 1024, 'x');
    int sent = 0;
    auto both_have = [&](std::size_t n) {
        return brisk.seen.frames.size() == n && slow.seen.frames.size() + slow.net->stats().dropped == n;
    };
    for (int full = 0; full < 50; ++sent) { // 50 more after the queue was full for the first time
        REQUIRE(sent < 2000);
        a.broadcast(frame);
        REQUIRE(eventually({&brisk}, [&] { return brisk.seen.frames.size() == static_cast<std::size_t>(sent) + 1; }));
        brisk.seen.frames.back().text.clear();
        full += a.net->stats().dropped > 0;
    }
    // Reading makes room again, and the next that arrives shows what did not.
    REQUIRE(eventually({&a, &slow, &brisk}, [&] {
        if (both_have(static_cast<std::size_t>(sent)) && slow.got("more")) return true;
        if (brisk.seen.frames.size() < static_cast<std::size_t>(sent)) return false;
        a.broadcast("more");
        ++sent;
        return false;
    }));
    CHECK(slow.net->stats().dropped > 0);
    CHECK(brisk.net->stats().dropped == 0);
}

TEST_CASE("zmq_transport: send answers false when the queue is full, and each true arrives") {
    auto o = quick(any_port);
    o.send_high_water = o.receive_high_water = 4;
    o.heartbeat = milliseconds(10'000);
    test_node a = node(o);
    o.listen.clear();
    o.peers = {a.net->address()};
    test_node b = node(o);
    REQUIRE(eventually({&a, &b}, [&] { return a.link() && b.link(); }));

    const std::string frame(64 * 1024, 'x');
    auto fill = [&](test_node& from) {
        std::size_t accepted = 0, refused = 0;
        for (; refused < 20 && accepted < 2000;) ++(from.send(from.link(), frame) ? accepted : refused);
        CHECK(refused == 20);
        return accepted;
    };
    const std::size_t to_b = fill(a), to_a = fill(b);
    REQUIRE(eventually({&a, &b}, [&] { return a.seen.frames.size() == to_a && b.seen.frames.size() == to_b; }));
    CHECK(a.send(a.link(), "room again"));
    CHECK(b.send(b.link(), "room again"));
    REQUIRE(eventually({&a, &b}, [&] { return a.got("room again") && b.got("room again"); }));
    CHECK(a.seen.frames.size() + b.seen.frames.size() == to_a + to_b + 2);
    CHECK(a.net->stats().dropped + b.net->stats().dropped == 0);
}

TEST_CASE("zmq_transport: connect and disconnect at run time, also from within poll") {
    test_node a = node(any_port), c = node(any_port);
    test_node b = node();
    b.net->connect(a.net->address());
    b.net->connect(a.net->address()); // a second time changes nothing
    REQUIRE(eventually({&a, &b}, [&] { return a.link() && b.link(); }));
    CHECK(a.seen.connects == 1);

    b.seen.on_frame = [&](const auto& f) { // a tells b to go to c
        b.net->disconnect(a.net->address());
        b.net->connect(f.text);
    };
    a.broadcast(c.net->address());
    a.broadcast("not delivered any more");
    REQUIRE(eventually({&a, &b, &c}, [&] { return b.seen.connects == 2 && c.link() && a.seen.disconnects == 1; }));
    CHECK(b.seen.disconnects == 1);
    CHECK(b.seen.frames.size() == 1);

    b.net->disconnect("tcp://127.0.0.1:1"); // never dialled: nothing happens
    b.net->connect(a.net->address());
    REQUIRE(eventually({&a, &b, &c}, [&] { return b.seen.links.size() == 2; }));
    CHECK(a.seen.violations + b.seen.violations + c.seen.violations == 0);
}

TEST_CASE("zmq_transport: a node that dials itself never connects") {
    test_node a = node(any_port);
    a.net->connect(a.net->address());
    test_node b = node({}, {a.net->address()});
    REQUIRE(eventually({&a, &b}, [&] { return a.link() && b.link(); }));
    CHECK_FALSE(eventually(
        {&a, &b}, [&] { return a.seen.connects > 1; }, milliseconds(100)));
}

TEST_CASE("zmq_transport: a wake ends the wait that goes on and the next one") {
    test_node a = node(any_port);
    a.net->wake();
    a.net->wake();
    a.poll(60'000);
    for (int i = 0; i < 100; ++i) {
        std::thread other([&] { a.net->wake(); });
        a.poll(60'000);
        other.join();
    }
    const auto start = steady::now();
    int waits = 0;
    for (; seconds_since(start) < 0.1; ++waits) a.poll(20); // the wakes are used up
    CHECK(waits < 20);
}

TEST_CASE("zmq_transport: waiting takes no processor time") {
    auto o = quick(any_port, {"tcp://127.0.0.1:1"}); // nobody there: it is tried again all the time
    o.handshake = milliseconds(10);
    test_node a = node(o);
    o.listen.clear();
    o.peers = {a.net->address()};
    test_node b = node(o);
    REQUIRE(eventually({&a, &b}, [&] { return a.link() && b.link(); }));
    const auto start = steady::now();
    const auto used = std::clock();
    while (seconds_since(start) < 0.4) {
        a.poll(50);
        b.poll(50);
    }
    CHECK(static_cast<double>(std::clock() - used) / CLOCKS_PER_SEC < 0.2); // of 0.4 seconds
}

TEST_CASE("zmq_transport: an exception from the owner loses only the frame it was given") {
    test_node a = node(any_port);
    test_node b = node({}, {a.net->address()});
    REQUIRE(eventually({&a, &b}, [&] { return b.link() != 0; }));
    b.seen.on_frame = [](const auto& f) {
        if (f.text == "one") throw std::runtime_error("owner");
    };
    a.broadcast("one");
    a.broadcast("two");
    CHECK_THROWS(eventually({&a, &b}, [&] { return b.got("two"); }));
    CHECK(eventually({&a, &b}, [&] { return b.got("two"); }));
}

TEST_CASE("zmq_transport: plaintext to other machines is refused unless it is allowed") {
    for (const char* far : {"tcp://192.0.2.1:7001", "tcp://example.org:7001", "tcp://[2001:db8::1]:7001",
                            "tcp://127.0.0.1.example.org:7001", "tcp://1270.0.0.1:7001", "tcp://[::1%lo]:7001"}) {
        CAPTURE(far);
        CHECK_THROWS_WITH_AS(node({}, {far}), doctest::Contains("zmq_options::insecure"), std::invalid_argument);
        test_node b = node();
        CHECK_THROWS_WITH_AS(b.net->connect(far), doctest::Contains("zmq_options::insecure"), std::invalid_argument);
        auto o = quick({}, {far});
        o.insecure = true;
        CHECK_NOTHROW(node(o));
    }
    for (const char* wide : {"tcp://*:*", "tcp://0.0.0.0:*", "tcp://[::]:*", "tcp://eth0:*"}) {
        CAPTURE(wide);
        CHECK_THROWS_WITH_AS(node(wide), doctest::Contains("zmq_options::insecure"), std::invalid_argument);
    }
    auto o = quick("tcp://*:*");
    o.insecure = true;
    CHECK(node(o).net->address().starts_with("tcp://0.0.0.0:"));
}

TEST_CASE("zmq_transport: bad options name themselves") {
    auto refused = [](const char* name, auto change) {
        auto o = quick(any_port);
        change(o);
        CAPTURE(name);
        CHECK_THROWS_WITH_AS(zmq_transport(o), doctest::Contains(name), std::invalid_argument);
    };
    refused("zmq_options::max_frame", [](auto& o) { o.max_frame = 0; });
    refused("zmq_options::send_high_water", [](auto& o) { o.send_high_water = 0; });
    refused("zmq_options::receive_high_water", [](auto& o) { o.receive_high_water = std::size_t{1} << 40; });
    refused("zmq_options::heartbeat", [](auto& o) { o.heartbeat = milliseconds(0); });
    refused("zmq_options::reconnect_max", [](auto& o) { o.reconnect_max = milliseconds(1); });
    refused("zmq_options::linger", [](auto& o) { o.linger = milliseconds(-1); });
    refused("zmq_options::publish", [](auto& o) { o.publish = "tcp://[::1]:*"; });
    refused("zmq_options::publish", [](auto& o) { o.publish = "ipc:///tmp/x"; });
    refused("zmq_options::publish", [](auto& o) { o.listen.clear(), o.publish = "tcp://127.0.0.1:*"; });
    refused("zmq_options::publish", [](auto& o) { o.listen = "ipc:///tmp/a", o.publish = "ipc:///tmp/b"; });
    for (const char* bad :
         {"", "127.0.0.1:7001", "tcp://", "tcp://127.0.0.1", "tcp://127.0.0.1:", "tcp://:7001", "tcp://127.0.0.1:0",
          "tcp://127.0.0.1:*", "tcp://127.0.0.1:65536", "tcp://127.0.0.1:7001x", "tcp://127.0.0.1:+1",
          "tcp://127.0.0.1:0;10.0.0.1:7001", "tcp://::1:7001", "tcp://[::1:7001", "tcp://[]:7001", "ipc://", "ipc://*",
          "inproc://x", "udp://127.0.0.1:7001"}) {
        refused("zmq_options::peers", [&](auto& o) { o.peers = {bad}; });
    }
    refused("longer than", [](auto& o) { o.listen = "ipc:///" + std::string(200, 'x'); });
}

TEST_CASE("zmq_transport: an endpoint that cannot be bound is named with the reason") {
    folder files;
    test_node tcp = node(any_port), ipc = node(files.address("a"));
    for (const std::string& taken : {tcp.net->address(), ipc.net->address()}) {
        CHECK_THROWS_WITH_AS(node(taken), doctest::Contains(taken.c_str()), std::runtime_error);
        CHECK_THROWS_WITH_AS(node(taken), doctest::Contains("in use"), std::runtime_error);
        CHECK_THROWS_WITH_AS(node(taken), doctest::Contains("bind zmq_options::listen"), std::runtime_error);
    }
    CHECK_THROWS_WITH_AS(node(files.address("missing/a")), doctest::Contains("missing/a"), std::runtime_error);

    auto o = quick(any_port);
    o.publish = tcp.net->address();
    CHECK_THROWS_WITH_AS(zmq_transport(o), doctest::Contains("bind zmq_options::publish"), std::runtime_error);

    // A socket file whose owner is gone is no obstacle.
    std::optional<test_node> gone = node(files.address("b"));
    gone.reset();
    test_node again = node(files.address("b"));
    test_node b = node({}, {files.address("b")});
    CHECK(eventually({&again, &b}, [&] { return b.link() != 0; }));
}

TEST_CASE("zmq_transport: an explicit endpoint for publishing is used and found") {
    folder files;
    auto ipc = quick(files.address("a"));
    ipc.publish = files.address("a-broadcasts");
    auto tcp = quick(any_port);
    tcp.publish = any_port;
    for (const auto& o : {ipc, tcp}) {
        test_node a = node(o);
        test_node b = node({}, {a.net->address()});
        REQUIRE(eventually({&a, &b}, [&] { return b.link() != 0; }));
    }
}

TEST_CASE("zmq_transport: ends within a second, whatever its peers do") {
    raw_tcp silent; // takes connections and says nothing
    auto o = quick(any_port, {silent.listen(), "tcp://127.0.0.1:1", "tcp://192.0.2.1:7001", "ipc:///nonexistent/x"});
    o.insecure = true;
    std::optional<test_node> a = node(o);
    test_node b = node({}, {a->net->address()});
    REQUIRE(eventually({&*a, &b}, [&] { return a->link() && b.link(); }));
    // b stops reading and a has much to say to it.
    for (int i = 0; i < 50; ++i) {
        a->broadcast(std::string(1 << 20, 'x'));
        a->send(a->link(), std::string(1 << 20, 'x'));
    }
    const auto start = steady::now();
    a.reset();
    CHECK(seconds_since(start) < 1.0);
}
