// SPDX-License-Identifier: Apache-2.0
// The engine end to end, over tcp on loopback, beside raw PUB/SUB in the same run: edits a second from one
// leader's write to the others' states, and the one-way time of a single edit.
#include "harness.hpp"
#include "leaders.hpp"

#include <zmq.hpp>

#include <algorithm>
#include <atomic>
#include <string>
#include <thread>
#include <vector>

using namespace joinery;
using namespace std::chrono_literals;
using clock_type = std::chrono::steady_clock;
using bench::counter, bench::element, bench::require, bench::seconds_since, bench::set, bench::start_all;

namespace {

using leaders = std::deque<leader<set>>;

// Edits a second until all other leaders have them all, so many in each write.
double engine_throughput(leaders& all, std::size_t edits, std::size_t& next, std::size_t per_write = 1) {
    std::vector<std::string> elements;
    for (std::size_t i = 0; i < edits; ++i) elements.push_back(element(next++));
    auto begin = clock_type::now();
    for (std::size_t i = 0; i < edits; i += per_write)
        all[0].write([&](set& s, auto& tx) {
            for (std::size_t k = i; k < std::min(edits, i + per_write); ++k) s.add(tx, elements[k]);
        });
    const auto size = all[0].read([](const set& s) { return s.size(); });
    for (auto& l : all)
        require(l.wait_until([&](const set& s) { return s.size() == size; }, 60s), "the edits did not arrive");
    return static_cast<double>(edits) / seconds_since(begin);
}

// A PUB and a SUB on two threads, each with the context that it has in a program of its own, as leaders do; or both
// with one, which saves the way from one's thread of ZeroMQ to the other's.
struct raw_pair {
    zmq::context_t contexts[2];
    zmq::socket_t pub;
    zmq::socket_t sub;

    explicit raw_pair(bool one_context = false)
        : pub(contexts[0], zmq::socket_type::pub), sub(contexts[one_context ? 0 : 1], zmq::socket_type::sub) {
        pub.set(zmq::sockopt::sndhwm, 0);
        sub.set(zmq::sockopt::rcvhwm, 0);
        pub.set(zmq::sockopt::linger, 0);
        sub.set(zmq::sockopt::subscribe, "");
        sub.set(zmq::sockopt::rcvtimeo, 10'000);
        pub.bind("tcp://127.0.0.1:*");
        sub.connect(pub.get(zmq::sockopt::last_endpoint));
        zmq::message_t m;
        zmq::pollitem_t item{sub.handle(), 0, ZMQ_POLLIN, 0};
        do pub.send(zmq::str_buffer("hello")); // until the subscription has arrived
        while (zmq::poll(&item, 1, 1ms) == 0);
        sub.set(zmq::sockopt::rcvtimeo, 100);
        while (sub.recv(m)) {
        }
        sub.set(zmq::sockopt::rcvtimeo, 10'000);
    }
};

// Messages of `size` bytes a second.
double raw_throughput(raw_pair& r, std::size_t messages, std::size_t size) {
    std::string payload(size, 'x');
    bool complete = true;
    auto begin = clock_type::now();
    std::thread reader([&] {
        zmq::message_t m;
        for (std::size_t i = 0; i < messages && complete; ++i) complete = r.sub.recv(m).has_value();
    });
    for (std::size_t i = 0; i < messages; ++i) r.pub.send(zmq::buffer(payload));
    reader.join();
    require(complete, "raw messages were lost");
    return static_cast<double>(messages) / seconds_since(begin);
}

// Median microseconds from the write at one to the subscriber at the other.
double engine_latency(leader<set>& from, leader<set>& to, std::size_t rounds, std::size_t& next) {
    std::atomic<clock_type::rep> arrived{0};
    auto watch = to.subscribe([&](const change&) { arrived = clock_type::now().time_since_epoch().count(); });
    std::vector<double> samples;
    for (std::size_t i = 0; i < rounds; ++i) {
        arrived = 0;
        auto begin = clock_type::now();
        from.write([&](set& s, auto& tx) { s.add(tx, element(next++)); });
        while (arrived == 0) std::this_thread::yield();
        samples.push_back(static_cast<double>(arrived - begin.time_since_epoch().count()) / 1e3);
        std::this_thread::yield();
    }
    return bench::median(samples);
}

double raw_latency(raw_pair& r, std::size_t rounds, std::size_t size) {
    std::string payload(size, 'x');
    std::atomic<clock_type::rep> arrived{0};
    std::atomic<bool> done{false};
    std::thread reader([&] {
        zmq::message_t m;
        for (std::size_t i = 0; i < rounds && r.sub.recv(m); ++i)
            arrived = clock_type::now().time_since_epoch().count();
        done = true;
    });
    std::vector<double> samples;
    for (std::size_t i = 0; i < rounds; ++i) {
        arrived = 0;
        auto begin = clock_type::now();
        r.pub.send(zmq::buffer(payload));
        while (arrived == 0 && !done) std::this_thread::yield();
        samples.push_back(static_cast<double>(arrived - begin.time_since_epoch().count()) / 1e3);
    }
    reader.join();
    return bench::median(samples);
}

} // namespace

int main(int argc, char** argv) {
    bench::report out("engine over tcp on loopback", argc, argv);
    constexpr std::size_t edits = 200'000;
    constexpr std::size_t rounds = 5;
    std::size_t next = 0;
    {
        leaders p = start_all(2, {{0, 1}});
        raw_pair raw;
        raw_pair raw_one_context(true);
        engine_throughput(p, edits / 4, next);
        std::uint64_t bytes = counter(p[0], "transport_bytes_out");
        std::uint64_t frames = counter(p[0], "transport_frames_out");
        std::vector<double> ours;
        std::vector<double> batched;
        std::vector<double> same_frames;
        std::vector<double> one_each;
        std::size_t frame = 0;
        for (std::size_t i = 0; i < rounds; ++i) {
            ours.push_back(engine_throughput(p, edits, next));
            std::uint64_t sent = counter(p[0], "transport_frames_out") - frames;
            frame = static_cast<std::size_t>((counter(p[0], "transport_bytes_out") - bytes) /
                                             std::max<std::uint64_t>(1, sent));
            same_frames.push_back(raw_throughput(raw, std::max<std::size_t>(1000, sent / (i + 1)), frame));
            one_each.push_back(raw_throughput(raw, edits, 64));
        }
        bytes = counter(p[0], "transport_bytes_out") - bytes;
        for (std::size_t i = 0; i < rounds; ++i) batched.push_back(engine_throughput(p, edits, next, 100));
        out.add({"edits of 64 bytes, no storage", bench::median(ours), "edits/s", bench::median(one_each),
                 "raw PUB/SUB, 64-byte messages/s"});
        out.add({"edits of 64 bytes, a hundred in each write", bench::median(batched), "edits/s",
                 bench::median(one_each), "raw PUB/SUB, 64-byte messages/s"});
        out.add({"bytes on the wire an edit", static_cast<double>(bytes) / (rounds * edits), "bytes", 0, ""});
        out.add({"bytes of a frame", static_cast<double>(frame), "bytes", 0, ""});
        out.add({"raw PUB/SUB, frames of that size", bench::median(same_frames), "frames/s", 0, ""});
        std::vector<double> single;
        std::vector<double> raw_single;
        std::vector<double> raw_single_one_context;
        for (std::size_t i = 0; i < rounds; ++i) {
            single.push_back(engine_latency(p[0], p[1], 2000, next));
            raw_single.push_back(raw_latency(raw, 2000, 128));
            raw_single_one_context.push_back(raw_latency(raw_one_context, 2000, 128));
        }
        out.add({"a single edit, one way, p50", bench::median(single), "us", bench::median(raw_single),
                 "raw PUB/SUB of 128 bytes, a context at each end"});
        out.add({"a single edit, one way, p50", bench::median(single), "us", bench::median(raw_single_one_context),
                 "raw PUB/SUB of 128 bytes within one context"});
        require(p[1].sync_to(p[0].version(), 30s) && p[0].sync_to(p[1].version(), 30s), "the leaders differ");
        auto digest = [](const causal<set>& s) { return s.digest(); };
        require(p[0].read(digest) == p[1].read(digest), "the leaders differ");
    }
    // The farthest of a ring of five gets an edit by way of one other.
    for (const bool ring : {false, true}) {
        leaders all =
            ring ? start_all(5, {{0, 1}, {1, 2}, {2, 3}, {3, 4}, {4, 0}}) : start_all(3, {{0, 1}, {1, 2}, {0, 2}});
        const std::string name = ring ? "ring of 5" : "3 leaders, all to all";
        std::vector<double> throughput;
        std::vector<double> single;
        engine_throughput(all, edits / 10, next);
        for (std::size_t i = 0; i < rounds; ++i) {
            throughput.push_back(engine_throughput(all, edits / 4, next));
            single.push_back(engine_latency(all[0], all[2], 500, next));
        }
        out.add({name + ": edits of 64 bytes until all have them", bench::median(throughput), "edits/s", 0, ""});
        out.add({name + ": a single edit to the farthest, p50", bench::median(single), "us", 0, ""});
    }
}
