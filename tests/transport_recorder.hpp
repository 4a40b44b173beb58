// SPDX-License-Identifier: Apache-2.0
#pragma once

// What the tests of the transports have in common: a node that remembers what its transport hands over,
// and waiting for a condition by polling, never by sleeping.

#include <joinery/transport.hpp>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <functional>
#include <initializer_list>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

struct recorder final : joinery::transport_events {
    struct frame {
        joinery::link_id link;
        std::string text;
    };
    std::vector<frame> frames;
    std::vector<joinery::link_id> links; // connected now, in order of their connection
    int connects = 0, disconnects = 0;
    int violations = 0; // frames or notices that contradict what came before
    std::function<void(const frame&)> on_frame;

    bool has(joinery::link_id l) const { return std::find(links.begin(), links.end(), l) != links.end(); }

    void received(joinery::link_id link, std::span<const std::byte> bytes) override {
        if (!has(link)) ++violations;
        frames.push_back({link, std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size())});
        if (on_frame) on_frame(frames.back());
    }
    void connected(joinery::link_id link) override {
        if (has(link)) ++violations;
        links.push_back(link);
        ++connects;
    }
    void disconnected(joinery::link_id link) override {
        if (!has(link)) ++violations;
        std::erase(links, link);
        ++disconnects;
    }
};

struct test_node {
    std::unique_ptr<joinery::transport> net;
    recorder seen;

    explicit test_node(std::unique_ptr<joinery::transport> t) : net(std::move(t)) {}

    static std::span<const std::byte> bytes(std::string_view text) {
        return std::as_bytes(std::span(text.data(), text.size()));
    }
    void broadcast(std::string_view text) { net->broadcast(bytes(text)); }
    bool send(joinery::link_id link, std::string_view text) { return net->send(link, bytes(text)); }
    void poll(int ms = 1) {
        net->wait(std::chrono::milliseconds(ms));
        net->poll(seen);
    }

    joinery::link_id link() const { return seen.links.empty() ? 0 : seen.links.front(); }
    std::size_t count(std::string_view text) const {
        return static_cast<std::size_t>(
            std::count_if(seen.frames.begin(), seen.frames.end(), [&](const auto& f) { return f.text == text; }));
    }
    bool got(std::string_view text) const { return count(text) > 0; }
};

/// Polls the nodes until the condition holds; false after the deadline, which is far beyond what is needed.
template <class Condition>
bool eventually(std::initializer_list<test_node*> nodes, Condition condition,
                std::chrono::milliseconds patience = std::chrono::seconds(30)) {
    const auto deadline = std::chrono::steady_clock::now() + patience;
    while (!condition()) {
        if (std::chrono::steady_clock::now() > deadline) return false;
        for (test_node* n : nodes) n->poll();
    }
    return true;
}
