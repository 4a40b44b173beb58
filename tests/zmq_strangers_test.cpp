// SPDX-License-Identifier: Apache-2.0
// Strangers at a transport with keys: those that prove nothing, or that they are not admitted, get no link and hear
// nothing, and keep nobody from those that are.
#include <joinery/keys.hpp>
#include <joinery/zmq_transport.hpp>

#include "wire_tap.hpp"
#include "zmq_peers.hpp"

#include <doctest/doctest.h>

#include <poll.h>
#include <sys/ioctl.h>
#include <sys/resource.h>

#include <deque>
#include <optional>
#include <random>
#include <string>
#include <vector>

using namespace zmq_tests;

namespace {

/// Two that are admitted and connected, and a stranger that is not.
struct scene {
    const party pa, pb, stranger;
    test_node a, b;

    explicit scene(const zmq_options& like = quick())
        : a(node(made(pa.options({pb.key()}, any_port), like))),
          b(node(made(pb.options({pa.key()}, {}, {a.net->address()}), like))) {
        REQUIRE(eventually({&a, &b}, [&] { return a.link() && b.link(); }));
    }
    static zmq_options made(zmq_options o, const zmq_options& like) {
        o.max_frame = like.max_frame;
        o.handshake = like.handshake;
        return o;
    }
    std::string plain_address() const { return a.net->address().substr(0, a.net->address().find('#')); }
    /// Where a publishes, as it tells those that it has let in.
    std::string publisher() {
        zmq::context_t context;
        auto dealer = raw_socket(context, zmq::socket_type::dealer);
        pb.dial(dealer, a.net->address());
        dealer.send(buffer(encode_control(hello{dial_stage::asking})), zmq::send_flags::none);
        zmq::message_t m;
        REQUIRE(eventually({&a, &b}, [&] { return dealer.recv(m, zmq::recv_flags::dontwait).has_value(); }));
        const auto c = decode_control({static_cast<const std::byte*>(m.data()), m.size()});
        const auto port = std::get<std::uint16_t>(std::get<welcome>(*c).place);
        return "tcp://127.0.0.1:" + std::to_string(port) + "#" + to_string(pa.key());
    }
    /// Both go on as if nothing had happened.
    void goes_on(const std::string& mark) {
        for (int i = 0; i < 50; ++i) {
            a.broadcast(mark + std::to_string(i));
            REQUIRE(b.send(b.link(), mark + std::to_string(i)));
        }
        REQUIRE(eventually({&a, &b}, [&] { return a.got(mark + "49") && b.got(mark + "49"); }));
        CHECK(a.seen.connects == 1);
        CHECK(b.seen.connects == 1);
        CHECK(a.seen.disconnects + b.seen.disconnects == 0);
        CHECK(a.net->stats().dropped + b.net->stats().dropped == 0);
    }
    std::uint64_t refused() const { return a.net->stats().refused_handshakes; }
};

std::string without_key(const std::string& address) { return address.substr(0, address.find('#')); }

/// Its connection to the socket is closed by the other side.
bool closed(int fd) {
    pollfd p{fd, POLLIN, 0};
    char bytes[4096];
    while (::poll(&p, 1, 0) > 0) {
        if (::recv(fd, bytes, sizeof bytes, MSG_DONTWAIT) <= 0) return true;
    }
    return false;
}

// What a peer with CURVE says first: the greeting of ZMTP 3.1.
std::string greeting() {
    std::string text("\xff\0\0\0\0\0\0\0\1\x7f\3\1", 12);
    text += "CURVE";
    return text + std::string(64 - text.size(), '\0');
}

// What one says who then is sent the listener's cookie: its greeting and its hello, which are as good again.
std::string first_words(const scene& s) {
    test_node twin = node(s.pa.options({s.pb.key()}, any_port));
    wire_tap tap(port_of(without_key(twin.net->address())));
    test_node dialler = node(s.pb.options({s.pa.key()}, {}, {tap.address() + "#" + to_string(s.pa.key())}));
    REQUIRE(eventually({&twin, &dialler}, [&] {
        tap.pump();
        return dialler.link() != 0;
    }));
    return tap.connections.front().from_dialler.substr(0, 64 + 2 + 200);
}

} // namespace

TEST_CASE("zmq_transport: strangers get no link and are counted") {
    scene s;
    std::optional<test_node> x;
    SUBCASE("a key that is not admitted") { x = node(s.stranger.options({s.pa.key()}, {}, {s.a.net->address()})); }
    SUBCASE("a wrong key of the listener's") {
        x = node(s.pb.options({s.stranger.key()}, {}, {s.plain_address() + "#" + to_string(s.stranger.key())}));
    }
    SUBCASE("no key at all") { x = node({}, {s.plain_address()}); }
    const auto before = s.refused();
    REQUIRE(eventually({&s.a, &s.b, &*x},
                       [&] { return s.refused() >= before + 3 && x->net->stats().refused_handshakes >= 3; }));
    s.goes_on("past strangers ");
    CHECK(x->seen.connects == 0);
    CHECK(x->seen.frames.empty());
}

TEST_CASE("zmq_transport: no key takes the places of the others") {
    const party pa, pb, crowd;
    auto few = pa.options({pb.key(), crowd.key()}, any_port);
    few.max_inbound = 3;
    test_node a = node(few);
    std::vector<test_node> many;
    for (int i = 0; i < 3; ++i) many.push_back(node(crowd.options({pa.key()}, {}, {a.net->address()})));
    REQUIRE(eventually({&a, &many[0], &many[1], &many[2]}, [&] { return a.seen.links.size() == 3; }));
    test_node b = node(pb.options({pa.key()}, {}, {a.net->address()}));
    const auto of_b = [&] {
        return std::find_if(a.seen.links.begin(), a.seen.links.end(),
                            [&](auto l) { return a.net->key_of(l) == pb.key(); });
    };
    REQUIRE(eventually({&a, &b, &many[0], &many[1], &many[2]}, [&] { return of_b() != a.seen.links.end(); }));
    const auto link = *of_b();
    const auto until = steady::now() + std::chrono::seconds(1); // who lost a place dials again, in vain
    eventually({&a, &b, &many[0], &many[1], &many[2]}, [&] { return steady::now() > until; });
    CHECK(a.seen.has(link));
    CHECK(a.seen.links.size() == 3);
    CHECK(a.seen.violations == 0);
}

TEST_CASE("zmq_transport: a plaintext listener that is dialled with keys gets no link") {
    test_node a = node(any_port);
    const party pb, supposed;
    const std::string address = a.net->address() + "#" + to_string(supposed.key());
    test_node b = node(pb.options({supposed.key()}, {}, {address}));
    REQUIRE(eventually(
        {&a, &b}, [&] { return a.net->stats().refused_handshakes >= 3 && b.net->stats().refused_handshakes >= 3; }));
    CHECK(a.seen.connects + b.seen.connects == 0);
}

TEST_CASE("zmq_transport: no stranger hears a broadcast") {
    scene s;
    zmq::context_t context;
    const std::string at = s.publisher();
    auto plain = raw_socket(context, zmq::socket_type::sub);
    auto unknown = raw_socket(context, zmq::socket_type::sub);
    auto misled = raw_socket(context, zmq::socket_type::sub); // admitted, but for a wrong key of the listener's
    auto admitted = raw_socket(context, zmq::socket_type::sub);
    for (auto* sub : {&plain, &unknown, &misled, &admitted}) {
        sub->set(zmq::sockopt::subscribe, "");
        sub->set(zmq::sockopt::reconnect_ivl, 5);
    }
    const auto before = s.refused();
    plain.connect(without_key(at));
    s.stranger.dial(unknown, at);
    s.pb.dial(misled, without_key(at) + "#" + to_string(s.stranger.key()));
    s.pb.dial(admitted, at);
    zmq::message_t m;
    REQUIRE(eventually({&s.a, &s.b}, [&] {
        s.a.broadcast("for those who are let in");
        return s.refused() >= before + 10 && admitted.recv(m, zmq::recv_flags::dontwait).has_value();
    }));
    for (auto* sub : {&plain, &unknown, &misled}) CHECK_FALSE(sub->recv(m, zmq::recv_flags::dontwait));
}

TEST_CASE("zmq_transport: a routing id that changes hands does not carry a link over") {
    const party pa, pb, pc;
    test_node a = node(pa.options({pb.key(), pc.key()}, any_port));
    const auto connect = [&](const party& p, zmq::socket_t& dealer, const char* text) {
        dealer.set(zmq::sockopt::routing_id, "the same");
        dealer.set(zmq::sockopt::reconnect_ivl, 5);
        p.dial(dealer, a.net->address());
        dealer.send(buffer(encode_control(hello{dial_stage::ready})), zmq::send_flags::none);
        dealer.send(zmq::str_buffer("Jframe"), zmq::send_flags::none);
        REQUIRE(eventually({&a}, [&] { return a.seen.frames.size() == (p.key() == pb.key() ? 1U : 2U); }));
        CAPTURE(text);
        CHECK(a.net->key_of(a.link()) == p.key());
    };
    joinery::link_id first = 0;
    {
        zmq::context_t context;
        auto dealer = raw_socket(context, zmq::socket_type::dealer);
        connect(pb, dealer, "the first");
        first = a.link();
    }
    // ZeroMQ refuses the id while the first has it; `a` may not yet have noticed that it is gone.
    zmq::context_t context;
    std::optional<zmq::socket_t> dealer;
    REQUIRE(eventually({&a}, [&] {
        dealer.emplace(raw_socket(context, zmq::socket_type::dealer));
        dealer->set(zmq::sockopt::routing_id, "the same");
        pc.dial(*dealer, a.net->address());
        dealer->send(zmq::str_buffer("Jwithout a hello"), zmq::send_flags::none);
        dealer->send(buffer(encode_control(hello{dial_stage::ready})), zmq::send_flags::none);
        dealer->send(zmq::str_buffer("Jframe"), zmq::send_flags::none);
        return eventually(
            {&a}, [&] { return a.seen.frames.size() == 2; }, milliseconds(500));
    }));
    CHECK_FALSE(a.got("without a hello"));
    CHECK(a.link() != first);
    CHECK(a.seen.frames.back().link == a.link());
    CHECK(a.net->key_of(a.link()) == pc.key());
    CHECK(a.net->key_of(first) == std::nullopt);
    CHECK(a.seen.violations == 0);
}

TEST_CASE("zmq_transport: with keys, garbage does no harm") {
    scene s;
    const std::string at = s.publisher();
    std::mt19937 random(11);
    std::deque<raw_tcp> all;
    for (int i = 0; i < 120; ++i) {
        raw_tcp& t = all.emplace_back();
        t.connect(port_of(i % 2 ? s.plain_address() : without_key(at)));
        std::string junk;
        for (std::size_t n = random() % 5000; n > 0; --n) junk += static_cast<char>(random());
        switch (i % 6) {
        case 0: t.send(junk); break;
        case 1: t.send("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"); break;
        case 2: t.send(greeting() + junk); break;
        case 3: t.send(greeting() + std::string("\4\xc8\5HELLO\1\0", 10) + std::string(192, 'x')); break;
        case 4: t.send(greeting() + std::string("\6\x7f\xff\xff\xff\xff\xff\xff\xff", 9)); break; // a giant command
        default: t.send(std::string("\xff\0\0\0\0\0\0\0\1\x7f\1", 11) + junk); break;             // ZMTP 2
        }
    }
    REQUIRE(eventually({&s.a, &s.b}, [&] { return std::ranges::all_of(all, [](auto& t) { return closed(t.fd); }); }));
    CHECK(s.refused() >= 20); // libzmq does not report all kinds
    s.goes_on("past garbage ");
}

TEST_CASE("zmq_transport: handshakes that stop half-way keep nobody waiting, and end") {
    rlimit limit{};
    REQUIRE(::getrlimit(RLIMIT_NOFILE, &limit) == 0);
    const rlimit before = limit;
    limit.rlim_cur = std::min<rlim_t>(limit.rlim_max, 4096);
    REQUIRE(::setrlimit(RLIMIT_NOFILE, &limit) == 0);
    const std::size_t many = std::min<std::size_t>(1000, (limit.rlim_cur - 200) / 2); // both ends are in this process
    {
        auto o = quick();
        o.handshake = milliseconds(8'000);
        scene s(o);
        const std::string hello = first_words(s);
        const auto refused = s.refused();
        std::deque<raw_tcp> all;
        const auto greeted = [](const raw_tcp& t) {
            pollfd p{t.fd, POLLIN, 0};
            return ::poll(&p, 1, 0) > 0;
        };
        const auto start = steady::now();
        for (std::size_t i = 0; i < many; ++i) {
            all.emplace_back().connect(port_of(s.plain_address()));
            switch (i % 4) {
            case 0: break; // says nothing
            case 1: all.back().send(greeting().substr(0, 10)); break;
            case 2: all.back().send(greeting()); break;
            default: all.back().send(hello); break; // which costs the listener most
            }
            // The kernel's queue of new connections is short.
            if (i % 50 == 49) REQUIRE(eventually({&s.a, &s.b}, [&] { return greeted(all.back()); }));
        }
        const auto welcomed = [](const raw_tcp& t) { // with the cookie
            int n = 0;
            REQUIRE(::ioctl(t.fd, FIONREAD, &n) == 0);
            return n == 64 + 2 + 168;
        };
        REQUIRE(eventually({&s.a, &s.b}, [&] { return std::ranges::count_if(all, welcomed) == std::ssize(all) / 4; }));
        s.goes_on("beside half handshakes ");
        const double went_on = seconds_since(start);
        const auto held = std::ranges::count_if(all, [](const raw_tcp& t) { return !closed(t.fd); });
        if (went_on < 8) CHECK(held == static_cast<std::ptrdiff_t>(many));
        // One who is admitted still gets in beside them.
        test_node late = node(s.pb.options({s.pa.key()}, {}, {s.a.net->address()}));
        REQUIRE(eventually({&s.a, &s.b, &late}, [&] { return late.link() != 0; }));
        REQUIRE(eventually({&s.a, &s.b, &late}, [&] { return s.refused() >= refused + many; }));
        REQUIRE(eventually({&s.a, &s.b, &late},
                           [&] { return std::ranges::all_of(all, [](auto& t) { return closed(t.fd); }); }));
        CHECK(s.refused() == refused + many);
        MESSAGE(many << " half handshakes; " << held << " were open while others went on, after " << went_on
                     << " s; all had ended after " << seconds_since(start) << " s");
        CHECK(s.b.seen.disconnects == 0);
    }
    REQUIRE(::setrlimit(RLIMIT_NOFILE, &before) == 0);
}

TEST_CASE("zmq_transport: with keys, a slow reader loses what it has no room for, and is told; others lose nothing") {
    const party pa, pb, pc;
    auto sized = [](zmq_options o) {
        o.send_high_water = o.receive_high_water = 4;
        o.heartbeat = milliseconds(10'000); // the slow one does not poll for a while
        return o;
    };
    test_node a = node(sized(pa.options({pb.key(), pc.key()}, any_port)));
    test_node slow = node(sized(pb.options({pa.key()}, {}, {a.net->address()})));
    test_node brisk = node(sized(pc.options({pa.key()}, {}, {a.net->address()})));
    REQUIRE(eventually({&a, &slow, &brisk}, [&] { return slow.link() && brisk.link() && a.seen.links.size() == 2; }));
    std::size_t sent = 0;
    for (int full = 0; full < 20; ++sent) {
        REQUIRE(sent < 2000);
        a.broadcast(std::string(64 * 1024, 'x'));
        REQUIRE(eventually({&brisk}, [&] { return brisk.seen.frames.size() == sent + 1; }));
        brisk.seen.frames.back().text.clear();
        full += a.net->stats().dropped > 0;
    }
    REQUIRE(eventually({&a, &slow, &brisk}, [&] {
        if (slow.got("more") && slow.seen.frames.size() + slow.net->stats().dropped == sent) return true;
        if (brisk.seen.frames.size() < sent) return false;
        a.broadcast("more");
        ++sent;
        return false;
    }));
    CHECK(slow.net->stats().dropped > 0);
    CHECK(brisk.net->stats().dropped == 0);
}

TEST_CASE("zmq_transport: with keys, a message above the limit ends that connection and no other") {
    auto o = quick();
    o.max_frame = 100'000;
    scene s(o);
    zmq::context_t context;
    // One that is admitted says too much.
    auto dealer = raw_socket(context, zmq::socket_type::dealer);
    s.pb.dial(dealer, s.a.net->address());
    dealer.send(buffer(encode_control(hello{dial_stage::ready})), zmq::send_flags::none);
    REQUIRE(eventually({&s.a, &s.b}, [&] { return s.a.seen.links.size() == 2; }));
    dealer.send(zmq::message_t(1 << 20), zmq::send_flags::none);
    REQUIRE(eventually({&s.a, &s.b}, [&] { return s.a.seen.disconnects == 1; }));
    CHECK(s.b.seen.disconnects == 0);
    // The greatest that may be sent passes, encrypted as well.
    const std::string greatest(100'000, 'x');
    s.a.broadcast(greatest);
    CHECK(s.b.send(s.b.link(), greatest));
    REQUIRE(eventually({&s.a, &s.b}, [&] { return s.a.got(greatest) && s.b.got(greatest); }));
    CHECK_FALSE(s.b.send(s.b.link(), greatest + "x"));
}
