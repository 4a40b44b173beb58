// SPDX-License-Identifier: Apache-2.0
// Keys that are taken away while running, given back, and replaced by others.
#include <joinery/joinery.hpp>
#include <joinery/keys.hpp>
#include <joinery/leader.hpp>
#include <joinery/zmq_transport.hpp>

#include "zmq_peers.hpp"

#include <doctest/doctest.h>

#include <fcntl.h>
#include <sys/socket.h>

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

using namespace zmq_tests;
using joinery::peer_key;

namespace {

using cart = joinery::or_set<std::string>;

joinery::leader<cart> start(const std::string& name, zmq_options o) {
    joinery::node_options n;
    n.name = name;
    n.transport = zmq_transport(std::move(o));
    return joinery::leader<cart>(std::move(n), "cart");
}
void add(joinery::leader<cart>& l, const std::string& what) {
    l.write([&](cart& c, auto& tx) { c.add(tx, what); });
}
bool gets(const joinery::leader<cart>& l, const std::string& what) {
    return l.wait_until([&](const cart& c) { return c.contains(what); }, std::chrono::seconds(30));
}

} // namespace

TEST_CASE("zmq_transport: a key that is taken away loses its links at once, and has them again when it is back") {
    folder files;
    const std::string listen = any_address(files, "revocation");
    if (listen.empty()) return;
    CAPTURE(listen);
    const party pa, pb, pc;
    test_node a = node(pa.options({pb.key(), pc.key()}, listen));
    test_node b = node(pb.options({pa.key()}, {}, {a.net->address()}));
    test_node c = node(pc.options({pa.key()}, {}, {a.net->address()}));
    for (int round = 0; round < 3; ++round) {
        REQUIRE(eventually({&a, &b, &c}, [&] { return a.seen.links.size() == 2 && b.link() && c.link(); }));
        const auto of_b = a.net->key_of(a.seen.links[0]) == pb.key() ? a.seen.links[0] : a.seen.links[1];
        const auto heard = a.seen.frames.size(), known = b.seen.frames.size();
        REQUIRE(b.send(b.link(), "on its way"));
        a.net->admit({pc.key()});
        CHECK_FALSE(a.send(of_b, "not any more"));
        CHECK(a.net->key_of(of_b) == std::nullopt);
        const auto dropped = a.net->stats().dropped;
        a.broadcast("while the sockets change");
        CHECK(a.net->stats().dropped == dropped + 1);
        const auto refused = a.net->stats().refused_handshakes;
        REQUIRE(eventually({&a, &b, &c}, [&] {
            return !b.link() && c.link() && a.seen.links.size() == 1 && a.net->stats().refused_handshakes > refused + 2;
        }));
        CHECK(a.net->key_of(a.link()) == pc.key());
        a.broadcast("for c " + std::to_string(round));
        REQUIRE(eventually({&a, &b, &c}, [&] { return c.got("for c " + std::to_string(round)); }));
        CHECK(a.seen.frames.size() == heard);
        CHECK(b.seen.frames.size() == known);
        CHECK(c.net->stats().reconnects > static_cast<std::uint64_t>(round));
        a.net->admit({pb.key(), pc.key()}); // nobody loses anything by that
        REQUIRE(eventually({&a, &b, &c}, [&] { return b.link() != 0; }));
        b.seen.frames.clear();
    }
    CHECK(a.seen.violations + b.seen.violations + c.seen.violations == 0);
}

TEST_CASE("zmq_transport: a dialled peer whose key is taken away is left, and not dialled") {
    const party pa, pb;
    test_node a = node(pa.options({pb.key()}, any_port));
    test_node b = node(pb.options({pa.key()}, {}, {a.net->address()}));
    REQUIRE(eventually({&a, &b}, [&] { return a.link() && b.link(); }));
    const auto link = b.link();
    a.broadcast("too late");
    a.poll(0);
    b.net->admit({});
    CHECK_FALSE(b.send(link, "not any more"));
    CHECK(b.net->key_of(link) == std::nullopt);
    REQUIRE(eventually({&a, &b}, [&] { return !a.link() && !b.link(); }));
    CHECK_FALSE(b.got("too late"));
    const auto attempts = a.seen.connects + static_cast<int>(a.net->stats().refused_handshakes);
    CHECK_FALSE(eventually(
        {&a, &b}, [&] { return a.seen.connects + static_cast<int>(a.net->stats().refused_handshakes) > attempts; },
        milliseconds(200)));
    b.net->admit({pa.key()});
    b.net->admit({}); // before it could be dialled
    b.net->admit({pa.key()});
    REQUIRE(eventually({&a, &b}, [&] { return a.link() && b.link(); }));
    CHECK(b.link() == link);
    b.net->admit({});
    b.net->admit({pa.key()}); // before its sockets were closed
    REQUIRE(eventually({&a, &b}, [&] { return b.seen.disconnects == 2 && a.link() && b.link(); }));
    CHECK(b.send(b.link(), "here again"));
    REQUIRE(eventually({&a, &b}, [&] { return a.got("here again"); }));
    CHECK(b.seen.violations == 0);
    b.net->admit({});
    b.net->disconnect(a.net->address());
    REQUIRE(eventually({&a, &b}, [&] { return !a.link() && !b.link(); }));
    CHECK(a.seen.violations + b.seen.violations == 0);
}

TEST_CASE("zmq_transport: a key may be taken away from within poll") {
    const party pa, pb, pc;
    test_node a = node(pa.options({pb.key(), pc.key()}, any_port));
    test_node b = node(pb.options({pa.key()}, any_port, {a.net->address()}));
    test_node c = node(pc.options({pa.key()}, {}, {a.net->address()}));
    a.net->admit({pb.key(), pc.key()});
    a.net->connect(b.net->address()); // two links between a and b
    b.net->admit({pa.key()});
    REQUIRE(eventually({&a, &b, &c}, [&] { return a.seen.links.size() == 3 && c.link(); }));
    a.seen.on_frame = [&](const auto& f) {
        if (f.text == "the last") a.net->admit({pc.key()});
    };
    for (const char* text : {"before", "the last", "after", "long after"}) REQUIRE(b.send(b.link(), text));
    REQUIRE(eventually({&a, &b, &c}, [&] { return !b.link() && a.seen.links.size() == 1 && c.link(); }));
    CHECK(a.net->key_of(a.link()) == pc.key());
    CHECK(a.got("the last"));
    CHECK_FALSE(a.got("after"));
    CHECK_FALSE(a.got("long after"));
    CHECK(a.seen.violations + b.seen.violations + c.seen.violations == 0);
}

TEST_CASE("zmq_transport: a subscriber whose key is taken away hears nothing from then on") {
    const party pa, pb, pc;
    test_node a = node(pa.options({pb.key(), pc.key()}, any_port));
    test_node c = node(pc.options({pa.key()}, {}, {a.net->address()}));
    zmq::context_t context;
    auto dealer = raw_socket(context, zmq::socket_type::dealer), sub = raw_socket(context, zmq::socket_type::sub);
    pb.dial(dealer, a.net->address());
    dealer.send(buffer(encode_control(hello{dial_stage::asking})), zmq::send_flags::none); // no more than that
    zmq::message_t m;
    REQUIRE(eventually({&a, &c}, [&] { return c.link() && dealer.recv(m, zmq::recv_flags::dontwait); }));
    const auto place = decode_control({static_cast<const std::byte*>(m.data()), m.size()});
    sub.set(zmq::sockopt::subscribe, "");
    sub.set(zmq::sockopt::reconnect_ivl, 5);
    const auto port = std::get<std::uint16_t>(std::get<welcome>(*place).place);
    pb.dial(sub, "tcp://127.0.0.1:" + std::to_string(port) + "#" + to_string(pa.key()));
    REQUIRE(eventually({&a, &c}, [&] {
        a.broadcast("before");
        return sub.recv(m, zmq::recv_flags::dontwait).has_value();
    }));
    a.net->admit({pc.key()});
    const auto refused = a.net->stats().refused_handshakes;
    int after = 0;
    REQUIRE(eventually({&a, &c}, [&] {
        a.broadcast("after");
        while (sub.recv(m, zmq::recv_flags::dontwait)) {
            after += m.to_string_view().ends_with("after");
        }
        return c.got("after") && a.net->stats().refused_handshakes > refused; // it tried again
    }));
    CHECK(after == 0);
}

TEST_CASE("zmq_transport: a key that was never used is taken away without a trace") {
    const party pa, pb, pc;
    test_node a = node(pa.options({pb.key(), pc.key()}, any_port));
    test_node b = node(pb.options({pa.key()}, {}, {a.net->address()}));
    REQUIRE(eventually({&a, &b}, [&] { return a.link() && b.link(); }));
    a.net->admit({pb.key()});
    a.broadcast("as before");
    REQUIRE(eventually({&a, &b}, [&] { return b.got("as before"); }));
    CHECK(a.seen.disconnects + b.seen.disconnects == 0);
    CHECK(a.net->stats().dropped == 0);
}

TEST_CASE("zmq_transport: a fixed endpoint for publishing is kept when a key is taken away") {
    folder files;
    const party pa, pb, pc;
    auto o = pa.options({pb.key(), pc.key()}, files.address("a"));
    o.publish = files.address("a-broadcasts");
    test_node a = node(o);
    test_node b = node(pb.options({pa.key()}, {}, {a.net->address()}));
    test_node c = node(pc.options({pa.key()}, {}, {a.net->address()}));
    REQUIRE(eventually({&a, &b, &c}, [&] { return a.seen.links.size() == 2 && b.link() && c.link(); }));
    a.net->admit({pc.key()});
    REQUIRE(eventually({&a, &b, &c}, [&] { return c.seen.connects == 2 && c.link() && !b.link(); }));
    CHECK(std::filesystem::exists(files.path / "a"));
    CHECK(std::filesystem::exists(files.path / "a-broadcasts"));
    a.broadcast("at the same place");
    REQUIRE(eventually({&a, &b, &c}, [&] { return c.got("at the same place"); }));
}

TEST_CASE("zmq_transport: keys are taken away and given back many times") {
    const party pa, pb, pc;
    test_node a = node(pa.options({pb.key(), pc.key()}, any_port));
    test_node b = node(pb.options({pa.key()}, {}, {a.net->address()}));
    test_node c = node(pc.options({pa.key()}, {}, {a.net->address()}));
    for (int i = 0; i < 100; ++i) {
        a.net->admit(i % 2 ? std::vector{pb.key(), pc.key()} : std::vector{pc.key()});
        a.broadcast("x");
        for (auto* n : {&a, &b, &c}) n->poll(i % 3);
    }
    REQUIRE(eventually({&a, &b, &c}, [&] { return a.seen.links.size() == 2 && b.link() && c.link(); }));
    a.broadcast("the end");
    REQUIRE(eventually({&a, &b, &c}, [&] { return b.got("the end") && c.got("the end"); }));
    CHECK(a.seen.violations + b.seen.violations + c.seen.violations == 0);
}

TEST_CASE("zmq_transport: nobody waits to accept where two sockets listen for a moment") {
    const party pa, pb;
    test_node a = node(pa.options({pb.key()}, any_port));
    const auto listening = [] {
        std::size_t found = 0;
        for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
            const int fd = std::stoi(entry.path().filename());
            int listens = 0;
            socklen_t size = sizeof listens;
            if (::getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &size) != 0 || listens == 0) continue;
            CHECK((::fcntl(fd, F_GETFL) & O_NONBLOCK) != 0);
            ++found;
        }
        return found;
    };
    CHECK(listening() == 4); // for links and for broadcasts, and a duplicate of each
    a.net->admit({});
    a.poll();
    CHECK(listening() >= 4);
}

TEST_CASE("leader: what is written while keys come and go reaches everybody who is admitted") {
    const party pa, pb, pc;
    auto a = start("a", pa.options({pb.key(), pc.key()}, any_port));
    auto b = start("b", pb.options({pa.key()}, {}, {a.address()}));
    auto c = start("c", pc.options({pa.key()}, {}, {a.address()}));
    const std::vector<std::vector<peer_key>> turns{
        {pc.key()}, {pb.key(), pc.key()}, {pb.key()}, {}, {pb.key(), pc.key()}};
    for (std::size_t i = 0; i < 20; ++i) {
        add(a, "a" + std::to_string(i));
        a.admit(turns[i % turns.size()]);
        add(a, "a" + std::to_string(i) + " again");
        if (i % turns.size() == 1) REQUIRE(gets(b, "a" + std::to_string(i))); // both are let in
        add(b, "b" + std::to_string(i));
        add(c, "c" + std::to_string(i));
    }
    for (auto* l : {&a, &b, &c}) {
        for (int i = 0; i < 20; ++i) {
            for (const char* whose : {"a", "b", "c"}) REQUIRE(gets(*l, whose + std::to_string(i)));
            REQUIRE(gets(*l, "a" + std::to_string(i) + " again"));
        }
    }
}

TEST_CASE("leader: a node's own key is replaced while the others go on") {
    with_reused_port([] {
        const party pa, old_b, new_b;
        const auto key = [](const party& p) { return "#" + to_string(p.key()); };
        auto a = start("a", pa.options({old_b.key()}, any_port));
        std::optional<joinery::leader<cart>> b;
        b.emplace(start("b", old_b.options({pa.key()}, any_port, {a.address()})));
        const std::string place = b->address().substr(0, b->address().find('#'));
        a.connect(place + key(old_b));
        add(a, "with the old key");
        REQUIRE(gets(*b, "with the old key"));

        // The others admit both keys and dial both.
        a.admit({old_b.key(), new_b.key()});
        a.connect(place + key(new_b));
        add(a, "with either key");
        REQUIRE(gets(*b, "with either key"));

        b.reset();
        b.emplace(start("b", new_b.options({pa.key()}, place, {a.address()})));
        add(a, "with the new key");
        REQUIRE(gets(*b, "with the new key"));
        add(*b, "from the new one");
        REQUIRE(gets(a, "from the new one"));

        // Then the old one is of no use any more.
        a.admit({new_b.key()});
        a.disconnect(place + key(old_b));
        const auto refused = a.status().counters.at("transport_refused_handshakes");
        test_node thief = node(old_b.options({pa.key()}, {}, {a.address()}));
        REQUIRE(eventually({&thief}, [&] { return thief.net->stats().refused_handshakes >= 3; }));
        CHECK(thief.seen.connects == 0);
        CHECK(a.status().counters.at("transport_refused_handshakes") > refused);
        add(a, "after all of it");
        REQUIRE(gets(*b, "after all of it"));
    });
}
