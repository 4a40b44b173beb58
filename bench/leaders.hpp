// SPDX-License-Identifier: Apache-2.0
#pragma once

// Leaders over tcp on loopback, for the benchmarks.

#include <joinery/leader.hpp>
#include <joinery/or_set.hpp>
#include <joinery/zmq_transport.hpp>

#include <unistd.h>

#include <chrono>
#include <deque>
#include <filesystem>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace bench {

using set = joinery::or_set<std::string>;

inline void require(bool ok, const char* what) {
    if (!ok) throw std::runtime_error(what);
}

/// A temporary folder, for storages.
struct folder {
    std::filesystem::path path =
        std::filesystem::temp_directory_path() / ("joinery-bench-" + std::to_string(::getpid()));
    folder() { std::filesystem::create_directories(path); }
    ~folder() { std::filesystem::remove_all(path); }
    folder(const folder&) = delete;
    folder& operator=(const folder&) = delete;
    std::string operator/(const std::string& name) const { return path / name; }
};

/// An element of 64 bytes, different for every i.
inline std::string element(std::size_t i) {
    std::string s = std::to_string(i);
    return s + std::string(64 - s.size(), '.');
}

inline joinery::leader<set> start(const std::string& name, const std::vector<std::string>& peers = {},
                                  std::unique_ptr<joinery::storage> disk = nullptr,
                                  const joinery::engine_timings& timings = {}) {
    joinery::zmq_options sockets;
    sockets.listen = "tcp://127.0.0.1:*";
    sockets.peers = peers;
    joinery::node_options options;
    options.name = name;
    options.transport = joinery::zmq_transport(sockets);
    options.storage = std::move(disk);
    options.timings = timings;
    return joinery::leader<set>(std::move(options), "bench");
}

/// Leaders that have met, every one of the linked pairs dialling both ways.
inline std::deque<joinery::leader<set>> start_all(std::size_t n,
                                                  const std::vector<std::pair<std::size_t, std::size_t>>& links) {
    std::deque<joinery::leader<set>> all;
    for (std::size_t i = 0; i < n; ++i) all.push_back(start("leader " + std::to_string(i)));
    for (const auto& [a, b] : links) {
        all[a].connect(all[b].address());
        all[b].connect(all[a].address());
    }
    for (std::size_t i = 0; i < n; ++i) {
        const auto greeting = "hello of " + std::to_string(i);
        all[i].write([&](set& s, auto& tx) { s.add(tx, greeting); });
        for (auto& l : all)
            require(l.wait_until([&](const set& s) { return s.contains(greeting); }, std::chrono::seconds(20)),
                    "the leaders did not meet");
    }
    return all;
}

inline std::uint64_t counter(const joinery::leader<set>& l, std::string_view name) {
    const auto counters = l.status().counters;
    const auto it = counters.find(name);
    return it == counters.end() ? 0 : it->second;
}

inline double seconds_since(std::chrono::steady_clock::time_point t) {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - t).count();
}

} // namespace bench
