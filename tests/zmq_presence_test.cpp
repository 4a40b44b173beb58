// SPDX-License-Identifier: Apache-2.0
// Presence between leaders over sockets.
#include <joinery/leader.hpp>
#include <joinery/or_set.hpp>
#include <joinery/zmq_transport.hpp>

#include <doctest/doctest.h>

#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>

using namespace joinery;
using namespace std::chrono_literals;

namespace {

using set_leader = leader<or_set<std::string>>;

std::unique_ptr<set_leader> start(const std::string& name, const std::string& listen, const std::string& peer) {
    zmq_options sockets;
    sockets.listen = listen;
    if (!peer.empty()) sockets.peers = {peer};
    node_options o;
    o.name = name;
    o.transport = zmq_transport(sockets);
    return std::make_unique<set_leader>(std::move(o));
}

} // namespace

TEST_CASE("zmq: presence crosses a hub to leaders that nobody can dial") {
    const auto hub = start("hub", "tcp://127.0.0.1:*", "");
    const auto a = start("a", "", hub->address());
    auto b = start("b", "", hub->address());
    std::mutex mutex;
    std::condition_variable told;
    const auto watch = [&](set_leader& l) {
        return l.subscribe([&](const change& c) {
            std::lock_guard lock(mutex);
            if (c.presence) told.notify_all();
        });
    };
    const auto watch_a = watch(*a), watch_b = watch(*b), watch_hub = watch(*hub);
    const auto until = [&](auto&& condition) {
        std::unique_lock lock(mutex);
        return told.wait_for(lock, 30s, condition);
    };
    a->set_presence(std::string("of a"), 2s);
    b->set_presence(std::string("of b"), 2s);
    hub->set_presence(std::string("of the hub"), 2s);
    REQUIRE(
        until([&] { return a->presence().size() == 2 && b->presence().size() == 2 && hub->presence().size() == 2; }));
    for (const auto& p : b->presence<std::string>()) CHECK(p.value == (p.replica == a->id() ? "of a" : "of the hub"));
    b->set_presence(std::string("moved"), 2s);
    CHECK(until([&] {
        for (const auto& p : a->presence<std::string>())
            if (p.value == "moved") return true;
        return false;
    }));
    b.reset();
    CHECK(until([&] { return a->presence().size() == 1 && hub->presence().size() == 1; }));
}
