// SPDX-License-Identifier: Apache-2.0
// Somebody on the way between two nodes, who reads, changes and repeats what goes by.
#include "wire_tap.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <optional>
#include <string>

using namespace zmq_tests;

namespace {

std::string without_key(const std::string& address) { return address.substr(0, address.find('#')); }

/// Two that are connected by way of a tap, with keys or without.
struct tapped {
    const party pa, pb;
    test_node a;
    wire_tap tap;
    test_node b;

    explicit tapped(bool keys)
        : a(node(keys ? pa.options({pb.key()}, any_port) : quick(any_port))),
          tap(port_of(without_key(a.net->address()))),
          b(node(keys ? pb.options({pa.key()}, {}, {tap.address() + "#" + to_string(pa.key())})
                      : quick({}, {tap.address()}))) {
        REQUIRE(goes_on([&] { return a.link() && b.link(); }));
    }
    template <class Condition> bool goes_on(Condition condition) {
        return eventually({&a, &b}, [&] {
            tap.pump();
            return condition();
        });
    }
    /// Frames go both ways.
    void talk(const std::string& text) {
        REQUIRE(goes_on([&] {
            if (a.link() && !a.got(text)) b.send(b.link(), text);
            if (b.link() && !b.got(text)) a.send(a.link(), text);
            return a.got(text) && b.got(text);
        }));
    }
};

} // namespace

TEST_CASE("zmq_transport: with keys, who is on the way cannot read what goes by") {
    const std::string secret = "who reads this reads everything";
    const auto is_heard = [&](bool keys) {
        tapped t(keys);
        t.talk(secret);
        return t.tap.heard(secret);
    };
    CHECK(is_heard(false));
    CHECK_FALSE(is_heard(true));
}

TEST_CASE("zmq_transport: with keys, who is on the way cannot read broadcasts") {
    const party pa, pb;
    for (const bool keys : {false, true}) {
        test_node a = node(keys ? pa.options({pb.key()}, any_port) : quick(any_port));
        zmq::context_t context;
        auto dealer = raw_socket(context, zmq::socket_type::dealer); // who asks is told where a publishes
        if (keys)
            pb.dial(dealer, a.net->address());
        else
            dealer.connect(a.net->address());
        dealer.send(buffer(encode_control(hello{dial_stage::asking})), zmq::send_flags::none);
        zmq::message_t m;
        REQUIRE(eventually({&a}, [&] { return dealer.recv(m, zmq::recv_flags::dontwait).has_value(); }));
        const auto c = decode_control({static_cast<const std::byte*>(m.data()), m.size()});
        wire_tap tap(std::get<std::uint16_t>(std::get<welcome>(*c).place));
        auto sub = raw_socket(context, zmq::socket_type::sub);
        sub.set(zmq::sockopt::subscribe, "");
        if (keys)
            pb.dial(sub, tap.address() + "#" + to_string(pa.key()));
        else
            sub.connect(tap.address());
        REQUIRE(eventually({&a}, [&] {
            tap.pump();
            a.broadcast("for those who are let in");
            return sub.recv(m, zmq::recv_flags::dontwait).has_value();
        }));
        CHECK(tap.heard("for those who are let in") == !keys);
    }
}

TEST_CASE("zmq_transport: with keys, nothing comes of bytes that are changed on the way, and the two go on") {
    tapped t(true);
    const auto text = [](std::size_t i) { return std::to_string(i) + " " + std::string(100 + i * 37 % 900, 'x'); };
    constexpr std::size_t rounds = 8;
    std::size_t changed = 0;
    for (std::size_t round = 0; round < rounds; ++round) {
        bool done = false;
        t.tap.change = [&](std::string& bytes, bool to_dialled, const wire_tap::connection& c) {
            const bool handshake = (to_dialled ? c.from_dialler : c.from_dialled).size() < 1500;
            if (done || handshake || to_dialled != (round % 2 == 0) || bytes.size() < 100) return;
            done = true;
            ++changed;
            bytes[bytes.size() - 1 - round * 5] ^= static_cast<char>(1 << round % 8);
        };
        t.talk(text(2 * round)); // now or after the connection has ended
        t.tap.change = nullptr;
        t.talk(text(2 * round + 1));
    }
    CHECK(changed > rounds / 2);
    CHECK(t.a.seen.disconnects > 0);
    CHECK(t.b.seen.disconnects > 0);
    for (const auto* n : {&t.a, &t.b})
        for (const auto& f : n->seen.frames) CHECK(f.text == text(std::stoul(f.text)));
}

TEST_CASE("zmq_transport: with keys, what was recorded is of no use on another connection") {
    tapped t(true);
    for (int i = 0; i < 20; ++i) t.talk("once " + std::to_string(i));
    const auto refused = t.a.net->stats().refused_handshakes;
    const auto first = t.a.count("once 0");
    std::list<raw_tcp> again;
    for (const auto& c : t.tap.connections) {
        auto& r = again.emplace_back();
        r.connect(port_of(without_key(t.a.net->address())));
        r.send(c.from_dialler);
    }
    const auto ended = [](const raw_tcp& r) {
        char some[4096];
        auto n = ::recv(r.fd, some, sizeof some, MSG_DONTWAIT);
        while (n > 0) n = ::recv(r.fd, some, sizeof some, MSG_DONTWAIT);
        return n == 0;
    };
    REQUIRE(t.goes_on([&] { return std::all_of(again.begin(), again.end(), ended); }));
    REQUIRE(t.goes_on([&] { return t.a.net->stats().refused_handshakes > refused; }));
    CHECK(t.a.count("once 0") == first);
    CHECK(t.a.seen.connects == 1);
    CHECK(t.a.seen.disconnects == 0);
}
