// SPDX-License-Identifier: Apache-2.0
#pragma once

// What the tests of the ZeroMQ transport have in common: nodes with short intervals, and peers that know
// nothing of the protocol or keep to it only as far as a test lets them.

#include "transport_recorder.hpp"
#include "zmq_control.hpp"

#include <joinery/keys.hpp>
#include <joinery/zmq_transport.hpp>

#include <doctest/doctest.h>
#include <zmq.hpp>

#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

namespace zmq_tests {

using joinery::zmq_options;
using joinery::zmq_transport;
using joinery::detail::bye;
using joinery::detail::decode_control;
using joinery::detail::dial_stage;
using joinery::detail::encode_control;
using joinery::detail::hello;
using joinery::detail::publish_place;
using joinery::detail::pulse;
using joinery::detail::welcome;
using joinery::detail::zmq_address;
using std::chrono::milliseconds;
using steady = std::chrono::steady_clock;

inline const std::string any_port = "tcp://127.0.0.1:*";

/// Short intervals, so that what depends on them happens soon.
inline zmq_options quick(std::string listen = {}, std::vector<std::string> peers = {}) {
    zmq_options o;
    o.listen = std::move(listen);
    o.peers = std::move(peers);
    o.heartbeat = milliseconds(50);
    o.reconnect_min = milliseconds(5);
    o.reconnect_max = milliseconds(50);
    o.handshake = milliseconds(2000);
    return o;
}

/// A key pair, and options with it and the keys that are admitted.
struct party {
    joinery::key_pair keys = joinery::key_pair::generate();

    const joinery::peer_key& key() const { return keys.public_half(); }
    zmq_options options(const std::vector<joinery::peer_key>& admitted, std::string listen = {},
                        std::vector<std::string> peers = {}) const {
        auto o = quick(std::move(listen), std::move(peers));
        o.keys = keys;
        o.admitted = admitted;
        return o;
    }
    /// Has a raw socket dial with these keys; an address of ours, key included.
    void dial(zmq::socket_t& s, const std::string& address) const {
        const auto to = zmq_address::parse(address, zmq_address::use::dial, "test");
        const auto set = [&](int option, const void* bytes) {
            REQUIRE(zmq_setsockopt(s.handle(), option, bytes, 32) == 0);
        };
        set(ZMQ_CURVE_SERVERKEY, to.key.value().bytes.data());
        set(ZMQ_CURVE_PUBLICKEY, key().bytes.data());
        set(ZMQ_CURVE_SECRETKEY, keys.secret_half().data());
        s.connect(to.str());
    }
};

inline test_node node(zmq_options o) { return test_node(zmq_transport(std::move(o))); }
inline test_node node(std::string listen = {}, std::vector<std::string> peers = {}) {
    return node(quick(std::move(listen), std::move(peers)));
}

/// A folder for socket files, with a short name.
struct folder {
    std::filesystem::path path;
    folder() {
        std::string name = (std::filesystem::temp_directory_path() / "jnXXXXXX").string();
        REQUIRE(::mkdtemp(name.data()) != nullptr);
        path = name;
    }
    ~folder() {
        std::error_code ignored;
        std::filesystem::remove_all(path, ignored);
    }
    std::string address(const std::string& name) const { return "ipc://" + (path / name).string(); }
};

inline bool have_ipv6() {
    const int fd = ::socket(AF_INET6, SOCK_STREAM, 0);
    if (fd < 0) return false;
    sockaddr_in6 a{};
    a.sin6_family = AF_INET6;
    a.sin6_addr = in6addr_loopback;
    const bool bound = ::bind(fd, reinterpret_cast<const sockaddr*>(&a), sizeof a) == 0;
    ::close(fd);
    return bound;
}

/// Of every kind, in a subcase each; empty if there is none of that kind here.
inline std::string any_address(const folder& files, const std::string& test) {
    std::string listen;
    SUBCASE("tcp, IPv4") { listen = any_port; }
    SUBCASE("tcp, IPv6") {
        if (have_ipv6())
            listen = "tcp://[::1]:*";
        else
            MESSAGE("skipped: there is no ::1 here");
    }
    SUBCASE("ipc") { listen = files.address("a"); }
    SUBCASE("ipc, abstract") { listen = "ipc://@joinery-" + test + "-test-" + std::to_string(::getpid()); }
    return listen;
}

inline std::uint16_t port_of(const std::string& endpoint) {
    return static_cast<std::uint16_t>(std::stoul(endpoint.substr(endpoint.rfind(':') + 1)));
}

/// A TCP socket on the loopback interface that knows nothing of ZeroMQ.
struct raw_tcp {
    int fd = ::socket(AF_INET, SOCK_STREAM, 0);
    raw_tcp() = default;
    raw_tcp(const raw_tcp&) = delete;
    raw_tcp& operator=(const raw_tcp&) = delete;
    ~raw_tcp() { ::close(fd); }

    static sockaddr_in loopback(std::uint16_t port) {
        sockaddr_in a{};
        a.sin_family = AF_INET;
        a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        a.sin_port = htons(port);
        return a;
    }
    /// Accepts connections, as the kernel does for it, and never says anything.
    std::string listen() const {
        sockaddr_in a = loopback(0);
        socklen_t size = sizeof a;
        REQUIRE(::bind(fd, reinterpret_cast<const sockaddr*>(&a), size) == 0);
        REQUIRE(::listen(fd, 8) == 0);
        REQUIRE(::getsockname(fd, reinterpret_cast<sockaddr*>(&a), &size) == 0);
        return "tcp://127.0.0.1:" + std::to_string(ntohs(a.sin_port));
    }
    void connect(std::uint16_t port) const {
        const sockaddr_in a = loopback(port);
        REQUIRE(::connect(fd, reinterpret_cast<const sockaddr*>(&a), sizeof a) == 0);
    }
    void send(const std::string& bytes) const { (void)!::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL); }
};

inline zmq::const_buffer buffer(const std::vector<std::byte>& bytes) { return {bytes.data(), bytes.size()}; }

inline zmq::socket_t raw_socket(zmq::context_t& context, zmq::socket_type type) {
    zmq::socket_t s(context, type);
    s.set(zmq::sockopt::linger, 0);
    s.set(zmq::sockopt::sndhwm, 0);
    return s;
}

/// A listener that speaks the protocol, as far as a test lets it.
struct raw_listener {
    zmq::context_t context;
    zmq::socket_t router = raw_socket(context, zmq::socket_type::router);
    zmq::socket_t publisher = raw_socket(context, zmq::socket_type::pub);
    std::string address;
    welcome place{77, std::uint16_t{0}};
    int asked = 0, probed = 0, ready = 0;
    std::string route; // of who spoke last
    std::uint64_t published = 0;

    raw_listener() {
        router.bind(any_port);
        publisher.bind(any_port);
        address = router.get(zmq::sockopt::last_endpoint);
        place.place = port_of(publisher.get(zmq::sockopt::last_endpoint));
    }
    void say(const std::vector<std::byte>& message) {
        router.send(zmq::buffer(route), zmq::send_flags::sndmore);
        router.send(buffer(message), zmq::send_flags::none);
    }
    void broadcast(std::string_view text) {
        zmq::message_t m(joinery::detail::broadcast_header + text.size());
        joinery::detail::encode_broadcast(m.data<std::byte>(), published++);
        std::copy(text.begin(), text.end(), m.data<char>() + joinery::detail::broadcast_header);
        publisher.send(m, zmq::send_flags::none);
    }
    /// Counts what has come and answers it like an honest listener, unless told otherwise.
    void serve(bool honest = true) {
        zmq::message_t from, m;
        while (router.recv(from, zmq::recv_flags::dontwait)) {
            REQUIRE(router.recv(m, zmq::recv_flags::none));
            route = from.to_string();
            const auto c = decode_control({static_cast<const std::byte*>(m.data()), m.size()});
            const hello* h = c ? std::get_if<hello>(&*c) : nullptr;
            if (!h) continue;
            asked += h->stage == dial_stage::asking;
            probed += h->stage == dial_stage::subscribed;
            ready += h->stage == dial_stage::ready;
            if (!honest) continue;
            say(encode_control(place));
            publisher.send(buffer(encode_control(pulse{place.incarnation, published})), zmq::send_flags::none);
        }
    }
};

inline double seconds_since(steady::time_point t) { return std::chrono::duration<double>(steady::now() - t).count(); }

/// Runs a test that frees a port and takes it again; another process may get it in between.
template <class Test> void with_reused_port(Test test) {
    for (int attempt = 0;; ++attempt) {
        try {
            return test();
        } catch (const std::runtime_error& e) {
            if (attempt == 5) FAIL(e.what());
        }
    }
}

} // namespace zmq_tests
