// SPDX-License-Identifier: Apache-2.0
// What leaders keep. A leader under full load one of whose peers is frozen, for JOINERY_SECONDS (10); and three live
// leaders after JOINERY_EDITS (100,000) adds and removes, of elements and of characters.
#include "harness.hpp"
#include "leaders.hpp"

#include <joinery/rga_text.hpp>

#include <csignal>
#include <cstdlib>
#include <string>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>
#include <vector>

using namespace joinery;
using namespace std::chrono_literals;
using clock_type = std::chrono::steady_clock;
using bench::require, bench::seconds_since, bench::set;

namespace {

std::size_t from_environment(const char* name, std::size_t otherwise) {
    const char* value = std::getenv(name);
    return value ? std::strtoull(value, nullptr, 10) : otherwise;
}

double mebibytes(std::size_t bytes) { return static_cast<double>(bytes) / (1 << 20); }

/// A leader in a process of its own, which says where it listens.
struct frozen_peer {
    pid_t child = -1;
    std::string address;

    frozen_peer() {
        int ends[2];
        require(::pipe(ends) == 0, "pipe");
        child = ::fork();
        require(child >= 0, "fork");
        if (child == 0) {
            ::prctl(PR_SET_PDEATHSIG, SIGKILL);
            auto l = bench::start("frozen");
            const auto here = l.address() + "\n";
            if (::write(ends[1], here.data(), here.size()) < 0) ::_exit(1);
            for (;;) ::pause();
        }
        for (char c = 0; ::read(ends[0], &c, 1) == 1 && c != '\n';) address += c;
        ::close(ends[0]);
        ::close(ends[1]);
    }
    ~frozen_peer() {
        ::kill(child, SIGKILL);
        ::waitpid(child, nullptr, 0);
    }
};

void freeze(bench::report& out) {
    frozen_peer peer; // before there are threads
    auto a = bench::start("a", {peer.address});
    a.write([](set& s, auto& tx) { s.add(tx, "hello"); }, {.acknowledgements = 1, .timeout = 10s});
    std::size_t n = 0;
    const auto churn = [&] { a.write([&](set& s, auto& tx) { s.add(tx, bench::element(n++ % 1000)); }); };
    for (int i = 0; i < 50'000; ++i) churn();
    const auto before = bench::heap_in_use();
    require(::kill(peer.child, SIGSTOP) == 0, "SIGSTOP");
    const auto seconds = from_environment("JOINERY_SECONDS", 10);
    const auto begin = clock_type::now();
    std::size_t greatest = 0;
    const auto first = n;
    for (double next = 0.5; seconds_since(begin) < static_cast<double>(seconds);) {
        for (int i = 0; i < 1000; ++i) churn();
        if (seconds_since(begin) < next) continue;
        next += 0.5;
        const auto now = bench::heap_in_use();
        greatest = std::max(greatest, now > before ? now - before : 0);
    }
    const auto rate = static_cast<double>(n - first) / seconds_since(begin);
    require(::kill(peer.child, SIGCONT) == 0, "SIGCONT");
    const auto back = clock_type::now();
    const auto token = a.write([](set& s, auto& tx) { s.add(tx, "goodbye"); }, {.acknowledgements = 1, .timeout = 60s});
    require(token.complete, "the peer does not come back");
    out.add({"one of two leaders frozen, the other under full load for", static_cast<double>(seconds), "s", 0, ""});
    out.add({"  edits, each of which supersedes another", rate, "edits/s", 0, ""});
    out.add({"  greatest growth of the heap", mebibytes(greatest), "MiB", 0, ""});
    out.add({"  once it goes on, until it has everything", seconds_since(back) * 1e3, "ms", 0, ""});
}

template <class T> std::vector<leader<T>> three_leaders() {
    std::vector<leader<T>> all;
    for (int i = 0; i < 3; ++i) {
        zmq_options sockets;
        sockets.listen = "tcp://127.0.0.1:*";
        for (auto& l : all) sockets.peers.push_back(l.address());
        node_options options;
        options.name = "leader " + std::to_string(i);
        options.transport = zmq_transport(sockets);
        options.timings.prune = 500ms;
        all.emplace_back(std::move(options), "bench");
        for (int k = 0; k < i; ++k) all[static_cast<std::size_t>(k)].connect(all.back().address());
    }
    return all;
}

template <class T, class Edit> void churn(bench::report& out, const std::string& what, Edit&& edit) {
    auto all = three_leaders<T>();
    const auto live = [&] { // all have all of it, and all of that is forgotten which can be
        for (auto& l : all)
            for (auto& other : all) require(l.sync_to(other.version(), 60s), "the leaders differ");
        const auto bytes = [&](auto& l) { return l.read([](const causal<T>& s) { return encode(s).size(); }); };
        for (auto& l : all) {
            const auto begin = clock_type::now();
            while (seconds_since(begin) < 20 && bytes(l) > 4096) std::this_thread::sleep_for(50ms);
        }
        return std::max({bytes(all[0]), bytes(all[1]), bytes(all[2])});
    };
    edit(all[0], 0);
    edit(all[1], 1);
    edit(all[2], 2);
    live();
    const auto before = bench::heap_in_use();
    const auto edits = from_environment("JOINERY_EDITS", 100'000);
    const auto begin = clock_type::now();
    std::vector<std::thread> writers;
    for (std::size_t w = 0; w < 3; ++w)
        writers.emplace_back([&, w] {
            for (std::size_t i = w; i < edits; i += 3) edit(all[w], i);
        });
    for (auto& t : writers) t.join();
    const auto seconds = seconds_since(begin);
    const auto state = live();
    const auto quiet = clock_type::now(); // buffers of a burst go after some quiet turns
    while (bench::heap_in_use() > before + 3 * (std::size_t{1} << 19) && seconds_since(quiet) < 5)
        std::this_thread::yield();
    const auto after = bench::heap_in_use();
    out.add({std::to_string(edits) + " " + what + " on three live leaders", static_cast<double>(edits) / seconds,
             "edits/s", 0, ""});
    out.add({"  the greatest of their states, encoded", static_cast<double>(state), "bytes", 0, ""});
    out.add({"  heap above what it was, per leader", mebibytes(after > before ? after - before : 0) / 3, "MiB", 0, ""});
}

} // namespace

int main(int argc, char** argv) {
    bench::report out("what leaders keep", argc, argv);
    freeze(out);
    churn<set>(out, "adds and removes of elements", [](leader<set>& l, std::size_t i) {
        l.write([&](set& s, auto& tx) { s.add(tx, bench::element(i)); });
        l.write([&](set& s, auto& tx) { s.remove(tx, bench::element(i)); });
    });
    churn<rga_text>(out, "insertions and deletions of ten characters", [](leader<rga_text>& l, std::size_t) {
        l.write([](rga_text& t, auto& tx) { t.insert(tx, 0, "some words"); });
        l.write([](rga_text& t, auto& tx) { t.erase(tx, 0, std::min<std::size_t>(10, t.size())); });
    });
}
