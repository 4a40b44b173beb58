// SPDX-License-Identifier: Apache-2.0
// The engine end to end, over tcp on loopback, beside raw PUB/SUB in the same run: edits a second from one
// leader's write to the other's state, the one-way time of a single edit, and edits per fsync with SQLite.
#include "harness.hpp"

#include <joinery/leader.hpp>
#include <joinery/or_set.hpp>
#include <joinery/storage.hpp>
#include <joinery/zmq_transport.hpp>

#include <zmq.hpp>

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

using namespace joinery;
using namespace std::chrono_literals;
using clock_type = std::chrono::steady_clock;
using set = or_set<std::string>;

namespace {

void require(bool ok, const char* what) {
    if (!ok) throw std::runtime_error(what);
}

// An element of 64 bytes, different for every i.
std::string element(std::size_t i) {
    std::string s = std::to_string(i);
    return s + std::string(64 - s.size(), '.');
}

leader<set> start(const std::string& name, const std::vector<std::string>& peers, std::unique_ptr<storage> disk) {
    zmq_options sockets;
    sockets.listen = "tcp://127.0.0.1:*";
    sockets.peers = peers;
    node_options options;
    options.name = name;
    options.transport = zmq_transport(sockets);
    options.storage = std::move(disk);
    return leader<set>(std::move(options), "bench");
}

// Two leaders that dial each other and have heard of each other.
struct pair {
    leader<set> a;
    leader<set> b;

    explicit pair(std::unique_ptr<storage> disk_a = nullptr, std::unique_ptr<storage> disk_b = nullptr)
        : a(start("a", {}, std::move(disk_a))), b(start("b", {a.address()}, std::move(disk_b))) {
        a.connect(b.address());
        a.write([](set& s, auto& tx) { s.add(tx, "hello"); });
        require(b.wait_until([](const set& s) { return s.contains("hello"); }, 10s), "the leaders did not meet");
        b.write([](set& s, auto& tx) { s.add(tx, "welcome"); });
        require(a.wait_until([](const set& s) { return s.contains("welcome"); }, 10s), "the leaders did not meet");
    }
};

double seconds_since(clock_type::time_point t) { return std::chrono::duration<double>(clock_type::now() - t).count(); }

// Edits a second until the other leader has them all.
double engine_throughput(pair& p, std::size_t edits, std::size_t& next) {
    auto begin = clock_type::now();
    for (std::size_t i = 0; i < edits; ++i) p.a.write([&](set& s, auto& tx) { s.add(tx, element(next++)); });
    const auto all = p.a.read([](const set& s) { return s.size(); });
    require(p.b.wait_until([&](const set& s) { return s.size() == all; }, 60s), "the edits did not arrive");
    return static_cast<double>(edits) / seconds_since(begin);
}

// A PUB and a SUB on two threads; the subscriber says when it has as many messages as were sent.
struct raw_pair {
    zmq::context_t context;
    zmq::socket_t pub{context, zmq::socket_type::pub};
    zmq::socket_t sub{context, zmq::socket_type::sub};

    raw_pair() {
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

// Median microseconds from the write at a to the subscriber at b.
double engine_latency(pair& p, std::size_t rounds, std::size_t& next) {
    std::atomic<clock_type::rep> arrived{0};
    auto watch = p.b.subscribe([&](const change&) { arrived = clock_type::now().time_since_epoch().count(); });
    std::vector<double> samples;
    for (std::size_t i = 0; i < rounds; ++i) {
        arrived = 0;
        auto begin = clock_type::now();
        p.a.write([&](set& s, auto& tx) { s.add(tx, element(next++)); });
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

std::uint64_t counter(const leader<set>& l, std::string_view name) {
    auto counters = l.status().counters;
    auto it = counters.find(name);
    return it == counters.end() ? 0 : it->second;
}

} // namespace

int main(int argc, char** argv) {
    bench::report out("engine over tcp on loopback", argc, argv);
    constexpr std::size_t edits = 200'000;
    constexpr std::size_t rounds = 5;
    std::size_t next = 0;
    {
        pair p;
        raw_pair raw;
        engine_throughput(p, edits / 4, next);
        std::uint64_t bytes = counter(p.a, "transport_bytes_out");
        std::uint64_t frames = counter(p.a, "transport_frames_out");
        std::vector<double> ours;
        std::vector<double> same_frames;
        std::vector<double> one_each;
        std::size_t frame = 0;
        for (std::size_t i = 0; i < rounds; ++i) {
            ours.push_back(engine_throughput(p, edits, next));
            std::uint64_t sent = counter(p.a, "transport_frames_out") - frames;
            frame = static_cast<std::size_t>((counter(p.a, "transport_bytes_out") - bytes) /
                                             std::max<std::uint64_t>(1, sent));
            same_frames.push_back(raw_throughput(raw, std::max<std::size_t>(1000, sent / (i + 1)), frame));
            one_each.push_back(raw_throughput(raw, edits, 64));
        }
        bytes = counter(p.a, "transport_bytes_out") - bytes;
        out.add({"edits of 64 bytes, no storage", bench::median(ours), "edits/s", bench::median(one_each),
                 "raw PUB/SUB, 64-byte messages/s"});
        out.add({"bytes on the wire an edit", static_cast<double>(bytes) / (rounds * edits), "bytes", 0, ""});
        out.add({"bytes of a frame", static_cast<double>(frame), "bytes", 0, ""});
        out.add({"raw PUB/SUB, frames of that size", bench::median(same_frames), "frames/s", 0, ""});
        std::vector<double> single;
        std::vector<double> raw_single;
        for (std::size_t i = 0; i < rounds; ++i) {
            single.push_back(engine_latency(p, 2000, next));
            raw_single.push_back(raw_latency(raw, 2000, 128));
        }
        out.add({"a single edit, one way, p50", bench::median(single), "us", bench::median(raw_single),
                 "raw PUB/SUB, 128 bytes"});
        require(p.b.sync_to(p.a.version(), 30s) && p.a.sync_to(p.b.version(), 30s), "the leaders differ");
        auto digest = [](const causal<set>& s) { return s.digest(); };
        require(p.a.read(digest) == p.b.read(digest), "the leaders differ");
    }
    {
        auto folder = std::filesystem::temp_directory_path() / ("joinery-bench-" + std::to_string(::getpid()));
        std::filesystem::create_directories(folder);
        {
            pair p(sqlite_storage(folder / "a.db"), sqlite_storage(folder / "b.db"));
            constexpr std::size_t writers = 16;
            constexpr std::size_t each = 200;
            std::uint64_t syncs = counter(p.a, "storage_syncs");
            auto begin = clock_type::now();
            std::vector<std::thread> threads;
            for (std::size_t w = 0; w < writers; ++w)
                threads.emplace_back([&, w] {
                    for (std::size_t i = 0; i < each; ++i)
                        p.a.write([&](set& s, auto& tx) { s.add(tx, element(next + w * each + i)); });
                });
            for (auto& t : threads) t.join();
            double seconds = seconds_since(begin);
            syncs = counter(p.a, "storage_syncs") - syncs;
            out.add({"SQLite, full durability, 16 writers", writers * each / seconds, "edits/s", 0, ""});
            out.add({"SQLite, full durability, 16 writers",
                     static_cast<double>(writers * each) / static_cast<double>(std::max<std::uint64_t>(1, syncs)),
                     "edits/fsync", 0, ""});
        }
        std::filesystem::remove_all(folder);
    }
}
