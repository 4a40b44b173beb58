// SPDX-License-Identifier: Apache-2.0
#include "process_leader.hpp"

#include <joinery/node.hpp>
#include <joinery/or_set.hpp>
#include <joinery/zmq_transport.hpp>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <iostream>
#include <mutex>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

namespace {

using namespace std::chrono_literals;
using numbers = joinery::or_set<std::string>;

joinery::node_options options_of(char** argv, std::function<void(const joinery::event&)> on_event) {
    joinery::zmq_options z;
    z.listen = argv[2];
    z.send_high_water = z.receive_high_water = std::stoul(argv[5]);
    // Losses are to be noticed within the time that a test may take.
    z.heartbeat = std::chrono::milliseconds(std::stoul(argv[6]));
    z.reconnect_max = 500ms;
    joinery::node_options n;
    n.name = argv[1];
    n.transport = joinery::zmq_transport(z);
    if (*argv[3]) {
        const bool full = std::string(argv[4]) == "full";
        n.storage = joinery::sqlite_storage(argv[3], full ? joinery::durability::full : joinery::durability::relaxed);
    }
    n.timings.beacon = 200ms;
    n.timings.peer_timeout = 1000ms;
    n.timings.max_backoff = 1000ms;
    n.on_event = std::move(on_event);
    return n;
}

joinery::version_vector read_version(std::istream& in) {
    joinery::version_vector v;
    std::size_t entries = 0;
    in >> entries;
    for (std::uint64_t replica = 0, seq = 0; entries > 0 && in >> replica >> seq; --entries)
        v.raise(joinery::replica_id{replica}, seq);
    return v;
}

class process_leader {
public:
    explicit process_leader(char** argv)
        : leader_(options_of(argv, [this](const joinery::event&) { notify(); }), "numbers"),
          watch_(leader_.subscribe([this](const joinery::change&) { notify(); })) {}

    /// False after the last command.
    bool execute(const std::string& line) {
        std::istringstream in(line);
        std::string command, word;
        in >> command;
        if (command == "add") { // FIRST LAST: one write for each number
            for (auto [n, last] = two(in); n <= last; ++n) add(n, {});
        } else if (command == "add-with") { // N PEERS MILLISECONDS
            const auto [n, peers] = two(in);
            std::uint64_t timeout = 0;
            in >> timeout;
            const auto r = add(n, {peers, std::chrono::milliseconds(timeout)});
            std::cout << (r.complete ? "complete" : "incomplete") << '\n';
            for (const auto& p : r.missing) std::cout << p.name << '\n';
        } else if (command == "size") { // BYTES: of the elements from now on, at least
            in >> size_;
        } else if (command == "remove") {
            std::uint64_t n = 0;
            in >> n;
            leader_.write([&](numbers& all, joinery::transaction& tx) { all.remove(tx, element(n)); });
        } else if (command == "lacks") { // FIRST LAST: how many of them
            const auto [first, last] = two(in);
            std::cout << leader_.read([this, first = first, last = last](const numbers& all) {
                std::uint64_t missing = 0;
                for (auto n = first; n <= last; ++n) missing += !all.contains(element(n));
                return missing;
            }) << '\n';
        } else if (command == "digest") {
            std::cout << leader_.read([](const joinery::causal<numbers>& s) { return s.digest(); }) << '\n';
        } else if (command == "version") {
            const auto v = leader_.version();
            std::cout << v.size();
            for (const auto& [replica, seq] : v) std::cout << ' ' << replica.value() << ' ' << seq;
            std::cout << '\n';
        } else if (command == "await") { // VERSION
            const auto v = read_version(in);
            wait([&] { return v.within(leader_.version()); }, "not there: " + joinery::to_string(v));
        } else if (command == "await-up" || command == "await-down") { // NAME
            in >> word;
            const bool up = command == "await-up";
            wait([&] { return is_up(word) == up; }, word + (up ? " is not up" : " is not down"));
        } else if (command == "await-links") { // NAME: both have dialled, so each hears the other's broadcasts
            in >> word;
            wait([&] { return links_to(word) == 2; }, "there are not two links to " + word);
        } else if (command == "counter") { // NAME
            in >> word;
            const auto s = leader_.status();
            const auto c = s.counters.find(word);
            if (c == s.counters.end()) throw std::invalid_argument("no counter " + word);
            std::cout << c->second << '\n';
        } else if (command == "address") {
            std::cout << leader_.address() << '\n';
        } else if (command == "connect" || command == "disconnect") {
            in >> word;
            command == "connect" ? leader_.connect(word) : leader_.disconnect(word);
        } else if (command == "quit") {
            leader_.close();
            return false;
        } else {
            throw std::invalid_argument("unknown command " + command);
        }
        return true;
    }

private:
    std::mutex mutex_;
    std::condition_variable happened_;
    joinery::leader<numbers> leader_;
    joinery::subscription watch_;
    std::size_t size_ = 0;

    std::string element(std::uint64_t n) const {
        std::string e = std::to_string(n);
        if (e.size() < size_) e.resize(size_, '.');
        return e;
    }
    void notify() {
        std::lock_guard lock(mutex_);
        happened_.notify_all();
    }
    template <class P> void wait(P&& holds, const std::string& otherwise) {
        const auto deadline = std::chrono::steady_clock::now() + 30s;
        std::unique_lock lock(mutex_);
        for (;;) {
            lock.unlock();
            const bool good = holds(); // it takes the leader's locks, under which `notify` may be called
            lock.lock();
            if (good) return;
            if (std::chrono::steady_clock::now() > deadline) throw std::runtime_error(otherwise);
            happened_.wait_for(lock, 20ms); // so what happened in between is seen a little later
        }
    }
    bool is_up(const std::string& name) const {
        const auto s = leader_.status();
        return std::any_of(s.peers.begin(), s.peers.end(), [&](const auto& p) { return p.name == name && p.up; });
    }
    std::size_t links_to(const std::string& name) const {
        for (const auto& p : leader_.status().peers)
            if (p.name == name) return p.links;
        return 0;
    }
    joinery::write_result add(std::uint64_t n, const joinery::write_options& o) {
        return leader_.write([&](numbers& all, joinery::transaction& tx) { all.add(tx, element(n)); }, o);
    }
    static std::pair<std::uint64_t, std::uint64_t> two(std::istream& in) {
        std::uint64_t a = 0, b = 0;
        if (!(in >> a >> b)) throw std::invalid_argument("two numbers are needed");
        return {a, b};
    }
};

} // namespace

int run_process_leader(int argc, char** argv) {
    if (argc != 7) return 2;
    try {
        process_leader leader(argv);
        for (std::string line; std::getline(std::cin, line);) {
            try {
                if (!leader.execute(line)) return 0;
                std::cout << "ok" << std::endl;
            } catch (const std::exception& e) {
                std::cout << "error: " << e.what() << std::endl;
            }
        }
        return 0;
    } catch (const std::exception& e) {
        std::cout << "error: " << e.what() << std::endl;
        return 1;
    }
}
