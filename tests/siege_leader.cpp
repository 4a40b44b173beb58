// SPDX-License-Identifier: Apache-2.0
#include "siege.hpp"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <fstream>
#include <iostream>
#include <mutex>
#include <sstream>
#include <stdexcept>
#include <thread>

#if defined(__SANITIZE_ADDRESS__)
#define SIEGE_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SIEGE_ASAN 1
#endif
#endif
#ifdef SIEGE_ASAN
#include <sanitizer/allocator_interface.h>
#else
#include <malloc.h>
#endif

namespace siege {

using namespace std::chrono_literals;

std::size_t heap_in_use() {
#ifdef SIEGE_ASAN
    return __sanitizer_get_current_allocated_bytes();
#else
    const auto all = ::mallinfo2();
    return all.uordblks + all.hblkhd;
#endif
}

resident resident_memory() {
    resident r;
    std::ifstream in("/proc/self/status");
    for (std::string line; std::getline(in, line);) {
        const bool now = line.starts_with("VmRSS:");
        if (now || line.starts_with("VmHWM:"))
            (now ? r.now : r.most) = std::stoull(line.substr(line.find(':') + 1)) * 1024;
    }
    return r;
}

namespace {

/// The most that is ever allocated, looked at every few milliseconds.
class heap_watch {
public:
    std::size_t most() const { return most_; }
    ~heap_watch() {
        {
            std::lock_guard lock(mutex_);
            end_ = true;
        }
        ended_.notify_all();
        thread_.join();
    }

private:
    std::atomic<std::size_t> most_{heap_in_use()};
    std::mutex mutex_;
    std::condition_variable ended_;
    bool end_ = false;
    std::thread thread_{[this] {
        std::unique_lock lock(mutex_);
        while (!ended_.wait_for(lock, 5ms, [this] { return end_; })) most_ = std::max(most_.load(), heap_in_use());
    }};
};

joinery::peer_access access_of(const std::string& key, bool good) {
    joinery::peer_access a;
    a.key = joinery::peer_key::parse(key).value();
    a.rights = good ? joinery::access_right::admin : joinery::access_right::write;
    if (!good) {
        a.collections[collections[ours]] = joinery::access_right::read;
        a.relay = false;
    }
    return a;
}

joinery::node_options options_of(const std::vector<std::string>& args) {
    const auto keys = joinery::load_keys(args.at(2));
    joinery::access_policy policy;
    policy.self.key = keys.public_half();
    bool good = true;
    for (std::size_t i = 4; i < args.size(); ++i) {
        if (args[i] == "-")
            good = false;
        else
            policy.peers.push_back(access_of(args[i], good));
    }
    auto z = sockets(keys, policy.keys());
    z.listen = args.at(0);
    joinery::node_options n;
    n.name = "besieged";
    n.transport = joinery::zmq_transport(z);
    if (!args.at(1).empty()) n.storage = joinery::sqlite_storage(args.at(1));
    n.limits = limits(args.at(3) == "rates");
    n.access = std::move(policy);
    return n;
}

} // namespace

int run_leader(const std::vector<std::string>& args) {
    joinery::node node(options_of(args));
    std::vector<joinery::leader<board>> boards;
    for (const auto& name : collections) boards.push_back(node.open<board>(name));
    const heap_watch heap;
    for (std::string line; std::getline(std::cin, line);) {
        std::istringstream in(line);
        std::string command, word;
        in >> command;
        if (command == "address") {
            std::cout << node.address() << '\n';
        } else if (command == "counter") { // NAME...
            const auto all = node.status().counters;
            while (in >> word) std::cout << all.at(word) << '\n';
        } else if (command == "memory") {
            const auto r = resident_memory();
            std::cout << heap_in_use() << '\n' << heap.most() << '\n' << r.now << '\n' << r.most << '\n';
        } else if (command == "digest") {
            for (const auto& b : boards)
                std::cout << b.read([](const joinery::causal<board>& s) { return s.digest(); }) << '\n';
        } else if (command == "version") { // of each: how many edits
            for (const auto& b : boards) std::cout << joinery::to_string(b.version()) << '\n';
        } else if (command == "quit") {
            node.close();
            return 0;
        } else {
            std::cout << "error: unknown command " << command << std::endl;
            continue;
        }
        std::cout << "ok" << std::endl;
    }
    return 0;
}

} // namespace siege
