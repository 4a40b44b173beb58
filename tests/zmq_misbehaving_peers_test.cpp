// SPDX-License-Identifier: Apache-2.0
// Peers of the ZeroMQ transport that fall silent, talk nonsense, or are not who they seem.
#include <joinery/zmq_transport.hpp>

#include "zmq_peers.hpp"

#include <doctest/doctest.h>

#include <optional>
#include <random>
#include <string>
#include <thread>
#include <vector>

using namespace zmq_tests;

TEST_CASE("zmq_transport: a peer that goes without a word is noticed") {
    test_node a = node(any_port);
    {
        zmq::context_t context;
        auto dealer = raw_socket(context, zmq::socket_type::dealer);
        dealer.connect(a.net->address());
        dealer.send(buffer(encode_control(hello{dial_stage::ready})), zmq::send_flags::none);
        REQUIRE(eventually({&a}, [&] { return a.link() != 0; }));
    }
    const auto link = a.link();
    CHECK(eventually({&a}, [&] { return a.seen.disconnects == 1; }));
    CHECK_FALSE(a.send(link, "nobody there"));
}

TEST_CASE("zmq_transport: a peer that keeps its connection and falls silent is dropped, and may come back") {
    test_node a = node(any_port);
    zmq::context_t context;
    auto dealer = raw_socket(context, zmq::socket_type::dealer);
    dealer.connect(a.net->address());
    dealer.send(buffer(encode_control(hello{dial_stage::ready})), zmq::send_flags::none);
    REQUIRE(eventually({&a}, [&] { return a.seen.connects == 1; }));
    REQUIRE(eventually({&a}, [&] { return a.seen.disconnects == 1; }));
    dealer.send(buffer(encode_control(hello{dial_stage::ready})), zmq::send_flags::none);
    CHECK(eventually({&a}, [&] { return a.seen.connects == 2; }));
}

TEST_CASE("zmq_transport: a listener that falls silent is left, and dialled again") {
    raw_listener peer;
    test_node b = node({}, {peer.address});
    REQUIRE(eventually({&b}, [&] { return peer.serve(), b.link() != 0; }));
    REQUIRE(eventually({&b}, [&] { return b.seen.disconnects == 1; })); // nobody serves
    CHECK(eventually({&b}, [&] { return peer.serve(), b.link() != 0; }));
}

TEST_CASE("zmq_transport: the owner's own pause ends no link") {
    test_node a = node(any_port);
    test_node b = node({}, {a.net->address()});
    REQUIRE(eventually({&a, &b}, [&] { return a.link() && b.link(); }));
    std::this_thread::sleep_for(milliseconds(50 * 12)); // more than ten heartbeats without a poll
    for (int i = 0; i < 50; ++i) {
        b.poll(1);
        a.poll(1);
    }
    a.broadcast("still here");
    REQUIRE(eventually({&a, &b}, [&] { return b.got("still here"); }));
    CHECK(b.seen.disconnects == 0);
}

TEST_CASE("zmq_transport: a bounded number of peers may dial in") {
    auto o = quick(any_port);
    o.max_inbound = 2;
    test_node a = node(o);
    std::optional<test_node> b = node({}, {a.net->address()});
    test_node c = node({}, {a.net->address()}), d = node({}, {a.net->address()});
    REQUIRE(eventually({&a, &*b, &c, &d}, [&] { return a.seen.links.size() == 2; }));
    CHECK_FALSE(eventually(
        {&a, &*b, &c, &d}, [&] { return a.seen.connects > 2; }, milliseconds(100)));
    b.reset(); // makes room, if it was one of the two
    REQUIRE(eventually({&a, &c, &d}, [&] { return c.link() && d.link(); }));
}

TEST_CASE("zmq_transport: garbage at the listening sockets does no harm") {
    const publish_place nowhere = std::uint16_t{1};
    auto o = quick(any_port);
    test_node a = node(o);
    test_node b = node({}, {a.net->address()});
    REQUIRE(eventually({&a, &b}, [&] { return a.link() && b.link(); }));

    zmq::context_t context;
    auto dealer = raw_socket(context, zmq::socket_type::dealer);
    dealer.set(zmq::sockopt::routing_id, std::string("\0\0\0\0\1x", 6).substr(4));
    dealer.connect(a.net->address());
    std::mt19937 random(7);
    auto junk = [&](std::size_t size) {
        std::vector<std::byte> bytes(size);
        for (auto& byte : bytes) byte = static_cast<std::byte>(random());
        return bytes;
    };
    for (std::size_t i = 0; i < 2000; ++i) {
        auto bytes = junk(i % 40);
        if (i % 2 && !bytes.empty()) bytes[0] = std::byte{'j'};
        if (i % 4 == 3 && bytes.size() > 1) bytes[1] = std::byte{1};
        dealer.send(buffer(bytes), i % 5 ? zmq::send_flags::none : zmq::send_flags::sndmore);
    }
    dealer.send(buffer(junk(3)), zmq::send_flags::none);
    for (const auto& c : {encode_control(welcome{1, nowhere}), encode_control(pulse{1, 0}), encode_control(bye{})}) {
        dealer.send(buffer(c), zmq::send_flags::none);
    }
    dealer.send(zmq::str_buffer("Jno hello"), zmq::send_flags::none); // a frame without a link: answered by bye
    dealer.send(buffer(encode_control(hello{dial_stage::ready})), zmq::send_flags::none);
    dealer.send(zmq::str_buffer("Jhonest at last"), zmq::send_flags::none);
    REQUIRE(eventually({&a, &b}, [&] { return a.got("honest at last"); }));
    CHECK_FALSE(a.got("no hello"));
    CHECK(a.net->stats().dropped > 0);

    // Sockets that do not even speak ZeroMQ, one of them with an endless greeting, and one that is cut off.
    raw_tcp chatty, mute, http;
    for (auto* s : {&chatty, &mute, &http}) s->connect(port_of(a.net->address()));
    http.send("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
    for (int i = 0; i < 100; ++i) chatty.send(std::string(10'000, static_cast<char>(i)));
    // A message above the limit: libzmq ends that connection and no other.
    auto giant = raw_socket(context, zmq::socket_type::dealer);
    giant.connect(a.net->address());
    giant.send(zmq::message_t(8 << 20), zmq::send_flags::none);
    // A subscriber that sends what only a publisher may, and unsubscribes from what it never had.
    auto xsub = raw_socket(context, zmq::socket_type::xsub);
    dealer.send(buffer(encode_control(hello{})), zmq::send_flags::none);
    zmq::message_t answer;
    std::optional<welcome> place;
    REQUIRE(eventually({&a, &b}, [&] {
        while (dealer.recv(answer, zmq::recv_flags::dontwait)) {
            const auto c = decode_control({static_cast<const std::byte*>(answer.data()), answer.size()});
            if (c && std::holds_alternative<welcome>(*c)) place = std::get<welcome>(*c);
        }
        return place.has_value();
    }));
    xsub.connect("tcp://127.0.0.1:" + std::to_string(std::get<std::uint16_t>(place->place)));
    for (std::size_t i = 0; i < 1000; ++i) xsub.send(buffer(junk(i % 50)), zmq::send_flags::none);

    for (int i = 0; i < 100; ++i) {
        a.broadcast(std::to_string(i));
        REQUIRE(b.send(b.link(), std::to_string(i)));
        a.poll(0);
        b.poll(0);
    }
    REQUIRE(eventually({&a, &b}, [&] { return a.got("99") && b.got("99"); }));
    CHECK(b.seen.frames.size() == 100);
    CHECK(b.seen.disconnects == 0);
    CHECK(a.seen.violations == 0);
}

// So that what came from others goes on: the owner does that after a poll.
TEST_CASE("zmq_transport: a poll ends soon, however much has come and however long the owner takes over it") {
    test_node a = node(any_port);
    test_node b = node({}, {a.net->address()});
    REQUIRE(eventually({&a, &b}, [&] { return a.link() && b.link(); }));
    a.seen.on_frame = [](const auto&) { std::this_thread::sleep_for(milliseconds(2)); };
    for (int i = 0; i < 100; ++i) REQUIRE(b.send(b.link(), "work"));
    std::size_t most = 0;
    REQUIRE(eventually({}, [&] {
        const auto before = a.seen.frames.size();
        a.poll();
        most = std::max(most, a.seen.frames.size() - before);
        return a.seen.frames.size() == 100;
    }));
    CHECK(most <= 5);
}

TEST_CASE("zmq_transport: a listener that talks nonsense keeps nobody from the others") {
    raw_listener peer;
    test_node a = node(any_port);
    test_node b = node({}, {peer.address, a.net->address()});
    std::vector<std::vector<std::byte>> lines = {
        {},
        {std::byte{'J'}},                              // a frame before there is a connection
        encode_control(hello{}),                       // what only a dialler says
        encode_control(pulse{77, 0}),                  // what only a publisher says
        encode_control(welcome{77, ".pub"}),           // a path where a port belongs
        encode_control(welcome{77, std::uint16_t{1}}), // a port where nobody listens
        encode_control(bye{}),
    };
    lines.push_back(encode_control(peer.place));
    lines.back().push_back(std::byte{0});
    std::size_t line = 0;
    REQUIRE(eventually({&a, &b}, [&] {
        const int before = peer.asked;
        peer.serve(false);
        if (peer.asked > before) peer.say(lines[line++ % lines.size()]);
        return peer.asked > 30 && b.link() != 0;
    }));
    CHECK(b.seen.connects == 1); // to a
    // And once it talks sense, it is welcome.
    REQUIRE(eventually({&a, &b}, [&] { return peer.serve(), b.seen.links.size() == 2; }));
}

TEST_CASE("zmq_transport: a publisher that is another process than the one that answered is not believed") {
    raw_listener peer, stranger;
    peer.place.place = stranger.place.place;
    stranger.place.incarnation = 78;
    test_node b = node({}, {peer.address});
    REQUIRE(eventually({&b}, [&] {
        peer.serve();
        stranger.publisher.send(buffer(encode_control(pulse{78, 0})), zmq::send_flags::none);
        stranger.broadcast("not what you think");
        return peer.asked > 3;
    }));
    CHECK(b.seen.connects == 0);
    CHECK(b.seen.frames.empty());
}

TEST_CASE("zmq_transport: after a message above the limit the connection is made anew") {
    raw_listener peer;
    test_node b = node({}, {peer.address});
    for (int round = 1; round <= 3; ++round) {
        REQUIRE(eventually({&b}, [&] { return peer.serve(), b.link() != 0; }));
        if (round % 2) {
            peer.publisher.send(zmq::message_t(8 << 20), zmq::send_flags::none);
        } else {
            peer.say(std::vector<std::byte>(8 << 20));
        }
        REQUIRE(eventually({&b}, [&] { return peer.serve(), b.seen.disconnects == round; }));
    }
    REQUIRE(eventually({&b}, [&] { return peer.serve(), b.link() != 0; }));
    peer.broadcast("as before");
    REQUIRE(eventually({&b}, [&] { return peer.serve(), b.got("as before"); }));
    CHECK(b.net->stats().reconnects == 3);
    CHECK(b.seen.violations == 0);
}

// libzmq 4.3.4 with its own heartbeats turned on aborts here: "Assertion failed: !_io_error".
TEST_CASE("zmq_transport: a peer that fills the queue and goes while the owner is busy does no harm") {
    auto o = quick(any_port);
    o.receive_high_water = 10;
    test_node a = node(o);
    {
        zmq::context_t context;
        auto dealer = raw_socket(context, zmq::socket_type::dealer);
        dealer.connect(a.net->address());
        dealer.send(buffer(encode_control(hello{dial_stage::ready})), zmq::send_flags::none);
        for (int i = 0; i < 20'000; ++i) dealer.send(zmq::message_t(1024), zmq::send_flags::none);
        REQUIRE(eventually({&a}, [&] { return a.link() != 0; }));
        std::this_thread::sleep_for(milliseconds(100)); // the owner is busy: the queue fills unseen
    }
    std::this_thread::sleep_for(milliseconds(200)); // and still busy for several heartbeats
    CHECK(eventually({&a}, [&] { return a.seen.disconnects == 1; }));
}
