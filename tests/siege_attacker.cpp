// SPDX-License-Identifier: Apache-2.0
#include "hostile_peer.hpp"
#include "siege.hpp"

#include "../transport/zmq_control.hpp"

#include <zmq.hpp>

#include <poll.h>
#include <sched.h>

#include <chrono>
#include <iostream>
#include <optional>
#include <stdexcept>
#include <variant>

namespace siege {

using namespace joinery::detail;
using namespace std::chrono_literals;
using steady = std::chrono::steady_clock;

namespace {

constexpr auto edit_board = [](board& b, joinery::transaction& tx, std::uint64_t n) {
    if (n == hostile_edits::forgery) {
        b.items.add(tx, "forged");
    } else if (n >= hostile_edits::great) {
        b.items.add(tx, std::string(2000, 'g'));
    } else {
        b.items.add(tx, "hostile " + std::to_string(n % 50));
        b.notes.set(tx, "contested", "hostile " + std::to_string(n));
        if (n % 3 == 0) b.items.remove(tx, "hostile " + std::to_string(n % 49));
    }
};

/// Sockets that keep to the protocol of the transport until there is a connection, and from then on as they like.
class hostile_sockets {
public:
    std::function<void(std::span<const std::byte>)> heard;
    std::function<void()> connected;

    hostile_sockets(std::string address, joinery::key_pair keys)
        : where_(zmq_address::parse(address, zmq_address::use::dial, "siege")), keys_(std::move(keys)) {}

    /// From the beginning, whatever there was.
    void connect() {
        dealer_ = socket(zmq::socket_type::dealer, where_.str());
        subscriber_.reset();
        say(hello{dial_stage::asking});
        for (const auto end = steady::now() + 20s; !subscriber_;) {
            if (steady::now() > end) throw std::runtime_error("no connection");
            wait(ZMQ_POLLIN, 100ms);
            listen();
        }
        say(hello{dial_stage::ready});
        if (connected) connected();
    }
    /// As soon as there is room. What goes by meanwhile is heard, but not by a slow reader.
    void give(std::span<const std::byte> frame) {
        zmq::message_t m(frame.size() + 1);
        *m.data<std::byte>() = frame_mark;
        std::copy(frame.begin(), frame.end(), m.data<std::byte>() + 1);
        while (!dealer_->send(m, zmq::send_flags::dontwait)) {
            wait(ZMQ_POLLOUT, 50ms);
            if (!slow) listen();
            if (stopped()) return;
        }
        ++sent;
        sent_bytes += frame.size();
    }
    void listen() {
        zmq::message_t m;
        for (unsigned i = 0; dealer_ && i < 64 && dealer_->recv(m, zmq::recv_flags::dontwait); ++i) {
            const std::span bytes(m.data<std::byte>(), m.size());
            if (!bytes.empty() && bytes[0] == frame_mark) {
                if (heard) heard(bytes.subspan(1));
            } else if (const auto c = decode_control(bytes); c && std::holds_alternative<welcome>(*c)) {
                if (!subscriber_) {
                    const auto at = where_.publish_endpoint(std::get<welcome>(*c).place);
                    subscriber_ = socket(zmq::socket_type::sub, at);
                }
            } else if (c && std::holds_alternative<bye>(*c) && subscriber_ && steady::now() >= next_greeting_) {
                greet_again();
            }
        }
        for (unsigned i = 0; subscriber_ && i < 64 && subscriber_->recv(m, zmq::recv_flags::dontwait); ++i)
            if (heard && m.size() > broadcast_header && *m.data<std::byte>() == broadcast_mark)
                heard({m.data<std::byte>() + broadcast_header, m.size() - broadcast_header});
    }
    /// libzmq has connected again by itself, and nobody knows us.
    void greet_again() {
        next_greeting_ = steady::now() + 100ms;
        say(hello{dial_stage::ready});
        if (connected) connected();
    }
    void wait(short events, std::chrono::milliseconds time) {
        zmq::pollitem_t item{dealer_->handle(), 0, static_cast<short>(events | (slow ? 0 : ZMQ_POLLIN)), 0};
        zmq::poll(&item, 1, time);
    }
    std::function<bool()> stopped = [] { return false; };
    bool slow = false;
    std::uint64_t sent = 0, sent_bytes = 0;

private:
    zmq::context_t context_;
    zmq_address where_;
    joinery::key_pair keys_;
    std::optional<zmq::socket_t> dealer_, subscriber_;
    steady::time_point next_greeting_{};

    zmq::socket_t socket(zmq::socket_type type, const std::string& at) {
        zmq::socket_t s(context_, type);
        s.set(zmq::sockopt::linger, 0);
        const auto set = [&](int option, const void* bytes) { zmq_setsockopt(s.handle(), option, bytes, 32); };
        set(ZMQ_CURVE_SERVERKEY, where_.key.value().bytes.data());
        set(ZMQ_CURVE_PUBLICKEY, keys_.public_half().bytes.data());
        set(ZMQ_CURVE_SECRETKEY, keys_.secret_half().data());
        if (type == zmq::socket_type::sub) s.set(zmq::sockopt::subscribe, "");
        s.connect(at);
        return s;
    }
    void say(const control& c) {
        const auto bytes = encode_control(c);
        dealer_->send(zmq::const_buffer(bytes.data(), bytes.size()), zmq::send_flags::dontwait);
    }
};

bool line_waits(std::chrono::milliseconds time) {
    pollfd p{0, POLLIN, 0};
    return ::poll(&p, 1, static_cast<int>(time.count())) > 0;
}

} // namespace

int run_attacker(const std::vector<std::string>& args) {
    // Where times are measured it stands for another machine: a leader that wants a processor has it at once.
    const sched_param none{};
    if (args.at(4) == "elsewhere") static_cast<void>(::sched_setscheduler(0, SCHED_IDLE, &none));
    const auto number = std::stoull(args.at(2)), seed = std::stoull(args.at(3));
    hostile_sockets net(args.at(0), joinery::load_keys(args.at(1)));
    hostile_peer::setting s;
    s.id = joinery::replica_id{0xbad000 + number};
    for (const auto& name : collections)
        s.collections.emplace_back(name,
                                   std::make_unique<hostile_edits_of<board, decltype(edit_board)>>(s.id, edit_board));
    s.most_edits = 300;
    s.give = [&](std::size_t, std::span<const std::byte> frame) { net.give(frame); };
    s.reconnect = [&](std::size_t) { net.connect(); };
    hostile_peer peer(std::move(s), seed + number);
    net.heard = [&](std::span<const std::byte> frame) { peer.hear(0, frame); };
    net.connected = [&] { peer.greet(0); };

    bool attacking = false;
    unsigned since = 0;
    net.stopped = [&] { return line_waits(0ms); };
    for (;;) {
        if (!attacking || (++since % 64 == 0 && line_waits(0ms))) {
            std::string line;
            while (!attacking && !line_waits(200ms)) net.listen(); // it keeps still
            if (!std::getline(std::cin, line) || line == "quit") return 0;
            if (line == "attack") {
                net.connect();
                attacking = true;
            } else if (line == "rest") {
                attacking = false;
                net.slow = false;
            } else if (line == "count") { // by kind of act; then messages, and their bytes
                for (const auto n : peer.given()) std::cout << n << '\n';
                std::cout << net.sent << '\n' << net.sent_bytes << '\n';
            }
            std::cout << "ok" << std::endl;
            continue;
        }
        peer.act(hostile_peer::mixture::many);
        if (!net.slow) net.listen();
        // Each second one reads nothing for long, while the leader goes on to tell it what there is.
        if (number % 2 == 1 && since % 4096 == 0) {
            net.slow = since % 8192 == 0;
            net.greet_again();
        }
    }
}

} // namespace siege
