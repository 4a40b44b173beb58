// SPDX-License-Identifier: Apache-2.0
// What the transport with keys adds to ZeroMQ's encryption: frames broadcast from one to another, beside a PUB and a
// SUB socket with CURVE that carry the same frames, in turns. Both keep as many frames under way, and lose none.
#include "harness.hpp"

#include <joinery/zmq_transport.hpp>

#include <zmq.hpp>

#include <sys/resource.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <functional>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

using namespace joinery;
using namespace std::chrono_literals;

namespace {

constexpr std::size_t rounds = 51; // short ones, since the machine may have other work
constexpr std::size_t queue = 8; // in windows: far more than fills, since ZeroMQ looks only now and then what was read

struct load {
    const char* name;
    std::size_t size, frames, window; // of a round; frames that may be under way
};

void require(bool condition, const char* what) {
    if (!condition) throw std::runtime_error(what);
}

struct cost {
    double wall = 0, processor = 0; // nanoseconds, of all threads
};

double processor_time() {
    rusage used{};
    ::getrusage(RUSAGE_SELF, &used);
    const auto ns = [](const timeval& t) {
        return static_cast<double>(t.tv_sec) * 1e9 + static_cast<double>(t.tv_usec) * 1e3;
    };
    return ns(used.ru_utime) + ns(used.ru_stime);
}

/// Sends and receives at once, on two threads.
cost carry(const load& l, const std::function<void()>& send, const std::function<std::size_t()>& receive) {
    std::atomic<std::size_t> arrived{0};
    const double before = processor_time();
    const double ns = bench::time_of([&] {
        std::thread receiver([&] {
            while (arrived < l.frames) arrived += receive();
        });
        for (std::size_t i = 0; i < l.frames; ++i) {
            while (i - arrived >= l.window) std::this_thread::sleep_for(100us);
            send();
        }
        receiver.join();
    });
    require(arrived == l.frames, "more arrived than was sent");
    return {ns, processor_time() - before};
}

struct counter final : transport_events {
    std::size_t frames = 0, links = 0;
    void received(link_id, std::span<const std::byte>) override { ++frames; }
    void connected(link_id) override { ++links; }
    void disconnected(link_id) override { --links; }
};

struct ours {
    std::unique_ptr<transport> from, to;
    counter of_from, of_to;

    explicit ours(const load& l) {
        const auto here = key_pair::generate(), there = key_pair::generate();
        zmq_options o;
        o.listen = "tcp://127.0.0.1:*";
        o.keys = here;
        o.admitted = {there.public_half()};
        o.send_high_water = o.receive_high_water = l.window * queue;
        from = zmq_transport(o);
        o.listen.clear();
        o.keys = there;
        o.admitted = {here.public_half()};
        o.peers = {from->address()};
        to = zmq_transport(o);
        while (of_from.links == 0 || of_to.links == 0) {
            from->wait(1ms);
            from->poll(of_from);
            to->wait(1ms);
            to->poll(of_to);
        }
    }
    cost run(const load& l, std::span<const std::byte> frame) {
        from->poll(of_from);
        return carry(
            l, [&] { from->broadcast(frame); },
            [&] {
                const std::size_t before = of_to.frames;
                to->wait(100ms);
                to->poll(of_to);
                return of_to.frames - before;
            });
    }
};

struct raw {
    zmq::context_t here, there;
    zmq::socket_t pub{here, zmq::socket_type::pub}, sub{there, zmq::socket_type::sub};

    explicit raw(const load& l) {
        const auto listener = key_pair::generate(), dialler = key_pair::generate();
        const auto set = [](zmq::socket_t& s, int option, const void* bytes) {
            require(zmq_setsockopt(s.handle(), option, bytes, key_pair::secret_size) == 0, "setsockopt");
        };
        pub.set(zmq::sockopt::curve_server, true);
        set(pub, ZMQ_CURVE_SECRETKEY, listener.secret_half().data());
        set(sub, ZMQ_CURVE_SERVERKEY, listener.public_half().bytes.data());
        set(sub, ZMQ_CURVE_PUBLICKEY, dialler.public_half().bytes.data());
        set(sub, ZMQ_CURVE_SECRETKEY, dialler.secret_half().data());
        for (auto* s : {&pub, &sub}) {
            s->set(zmq::sockopt::sndhwm, static_cast<int>(l.window * queue));
            s->set(zmq::sockopt::rcvhwm, static_cast<int>(l.window * queue));
            s->set(zmq::sockopt::linger, 0);
        }
        pub.bind("tcp://127.0.0.1:*");
        sub.set(zmq::sockopt::subscribe, "");
        sub.connect(pub.get(zmq::sockopt::last_endpoint));
        zmq::message_t m;
        sub.set(zmq::sockopt::rcvtimeo, 10);
        do pub.send(zmq::message_t(0), zmq::send_flags::none);
        while (!sub.recv(m, zmq::recv_flags::none));
        while (sub.recv(m, zmq::recv_flags::none)) {
        }
        sub.set(zmq::sockopt::rcvtimeo, 10'000);
    }
    cost run(const load& l, std::span<const std::byte> frame) {
        zmq::message_t m;
        return carry(
            l, [&] { pub.send(zmq::const_buffer(frame.data(), frame.size()), zmq::send_flags::none); },
            [&] {
                require(sub.recv(m, zmq::recv_flags::none).has_value(), "a frame was lost");
                return std::size_t{1};
            });
    }
};

void measure(bench::report& out, const load& l) {
    const std::vector<std::byte> frame(l.size, std::byte{42});
    ours subject(l);
    raw yardstick(l);
    std::vector<double> a, b, a_processor, b_processor;
    const auto frames = static_cast<double>(l.frames);
    for (std::size_t i = 0; i <= rounds; ++i) {
        const auto mine = subject.run(l, frame), theirs = yardstick.run(l, frame);
        if (i == 0) continue; // to warm up
        a.push_back(frames / mine.wall * 1e6);
        b.push_back(frames / theirs.wall * 1e6);
        a_processor.push_back(mine.processor / frames);
        b_processor.push_back(theirs.processor / frames);
    }
    require(subject.to->stats().dropped + subject.from->stats().dropped == 0, "frames were lost");
    const std::string beside = "raw PUB/SUB with CURVE";
    out.add({l.name, bench::median(a), "k frames/s", bench::median(b), beside});
    out.add({l.name + std::string(", processor time of both sides"), bench::median(a_processor), "ns/frame",
             bench::median(b_processor), beside});
}

} // namespace

int main(int argc, char** argv) {
    try {
        bench::report out("Broadcasts with keys, over the loopback interface", argc, argv);
        for (const auto& l : {load{"frames of 64 B", 64, 20'000, 4000}, load{"frames of 1 KiB", 1024, 10'000, 2000},
                              load{"frames of 64 KiB", 65'536, 400, 100}})
            measure(out, l);
    } catch (const std::exception& e) {
        std::fprintf(stderr, "curve: %s\n", e.what());
        return 1;
    }
}
