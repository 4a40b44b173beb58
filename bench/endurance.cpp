// SPDX-License-Identifier: Apache-2.0
// What leaders keep. A leader under full load one of whose peers is frozen, for JOINERY_SECONDS (10); and three live
// leaders after JOINERY_EDITS (100,000) adds and removes, of elements and of characters, in memory and with storages.
// What is claimed of these is required here. At full length, and one part alone (freeze, set, text, stored_set or
// stored_text):
//
//     JOINERY_SECONDS=300 JOINERY_EDITS=1000000 ./dev bench endurance
//     JOINERY_PART=set JOINERY_EDITS=1000000 ./dev bench endurance
#include "harness.hpp"
#include "leaders.hpp"

#include <joinery/rga_text.hpp>
#include <joinery/storage.hpp>

#include <malloc.h>

#include <algorithm>
#include <atomic>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <new>
#include <string>
#include <string_view>
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

// What is allocated with `new`: by joinery all there is. What the heap itself says includes pages that SQLite caches
// and pieces that threads keep to use again.
std::atomic<std::size_t> allocated{0};

} // namespace

void* operator new(std::size_t size) {
    void* p = std::malloc(size);
    if (!p) throw std::bad_alloc();
    allocated.fetch_add(::malloc_usable_size(p), std::memory_order_relaxed);
    return p;
}
void operator delete(void* p) noexcept {
    allocated.fetch_sub(::malloc_usable_size(p), std::memory_order_relaxed); // of null it is 0
    std::free(p);
}
void operator delete(void* p, std::size_t) noexcept { operator delete(p); }

namespace {

std::size_t from_environment(const char* name, std::size_t otherwise) {
    const char* value = std::getenv(name);
    return value ? std::strtoull(value, nullptr, 10) : otherwise;
}

double mebibytes(std::size_t bytes) { return static_cast<double>(bytes) / (1 << 20); }

/// A leader in a process of its own. It says where it listens, and dials whom it is told to.
struct remote_leader {
    pid_t child = -1;
    int tell = -1;
    std::string address;

    explicit remote_leader(const char* name) {
        int up[2], down[2];
        require(::pipe(up) == 0 && ::pipe(down) == 0, "pipe");
        child = ::fork();
        require(child >= 0, "fork");
        if (child == 0) {
            ::prctl(PR_SET_PDEATHSIG, SIGKILL);
            ::close(down[1]);
            serve(name, down[0], up[1]);
        }
        ::close(up[1]);
        ::close(down[0]);
        tell = down[1];
        address = read_line(up[0]);
        ::close(up[0]);
    }
    remote_leader(const remote_leader&) = delete;
    remote_leader& operator=(const remote_leader&) = delete;
    ~remote_leader() {
        ::kill(child, SIGKILL);
        ::waitpid(child, nullptr, 0);
        ::close(tell);
    }
    void dial(const std::string& whom) const { write_line(tell, whom); }

private:
    [[noreturn]] static void serve(const char* name, int in, int out) {
        try {
            auto l = bench::start(name);
            write_line(out, l.address());
            l.connect(read_line(in));
            for (;;) ::pause();
        } catch (...) { // the parent misses it, and says so
            ::_exit(1);
        }
    }
    static void write_line(int to, const std::string& text) {
        const auto line = text + "\n";
        require(::write(to, line.data(), line.size()) == static_cast<ssize_t>(line.size()), "write to a pipe");
    }
    static std::string read_line(int from) {
        std::string line;
        for (char c = 0; ::read(from, &c, 1) == 1 && c != '\n';) line += c;
        return line;
    }
};

const peer_status* find_peer(const node_status& s, std::string_view name) {
    const auto p = std::find_if(s.peers.begin(), s.peers.end(), [&](const auto& q) { return q.name == name; });
    return p == s.peers.end() ? nullptr : &*p;
}

/// What a leader may hold on to, by its limits: what was removed, of one collection, up to the budget of the log;
/// edits that wait to be sent; and for each peer as many frames as its queue takes, each full.
std::size_t byte_cap(std::size_t peers) {
    constexpr std::size_t log_budget = std::size_t{64} << 20;
    return log_budget + node_options{}.pending_bytes + peers * zmq_options{}.send_high_water * engine_limits{}.batch;
}

// The frozen one is linked both ways, so that it has a queue of what is broadcast. The other peer stays alive, and
// confirms one edit after the other.
void freeze(bench::report& out) {
    remote_leader frozen("frozen"), live("live"); // before there are threads
    auto a = bench::start("a", {frozen.address, live.address});
    frozen.dial(a.address());
    live.dial(a.address());
    const auto met = a.write([](set& s, auto& tx) { s.add(tx, "hello"); }, {.acknowledgements = 2, .timeout = 10s});
    require(met.complete, "the leaders did not meet");
    std::size_t n = 0;
    const auto churn = [&] { a.write([&](set& s, auto& tx) { s.add(tx, bench::element(n++ % 1000)); }); };
    for (int i = 0; i < 50'000; ++i) churn();
    require(a.write([](set& s, auto& tx) { s.add(tx, "ready"); }, {.acknowledgements = 2, .timeout = 20s}).complete,
            "a peer does not keep up");
    const auto before = bench::heap_in_use();
    require(::kill(frozen.child, SIGSTOP) == 0, "SIGSTOP");
    const auto seconds = from_environment("JOINERY_SECONDS", 10);
    const auto begin = clock_type::now();

    std::atomic<bool> stop{false};
    bool confirmed = true; // by the live one: the other cannot
    double slowest = 0;
    std::size_t probes = 0;
    std::thread prober([&] {
        for (; !stop && confirmed; ++probes) {
            const auto asked = clock_type::now();
            confirmed = a.write([&](set& s, auto& tx) { s.add(tx, "probe"); }, {.acknowledgements = 1, .timeout = 10s})
                            .complete;
            slowest = std::max(slowest, seconds_since(asked));
        }
    });
    std::size_t greatest = 0;
    const auto sample = [&] {
        const auto now = bench::heap_in_use();
        greatest = std::max(greatest, now > before ? now - before : 0);
    };
    const auto first = n;
    for (double next = 0.1; seconds_since(begin) < static_cast<double>(seconds);) {
        for (int i = 0; i < 1000; ++i) churn();
        if (seconds_since(begin) < next) continue;
        next = seconds_since(begin) + 0.1;
        sample();
    }
    const auto rate = static_cast<double>(n - first) / seconds_since(begin);
    stop = true;
    prober.join();
    const auto last = a.write([](set& s, auto& tx) { s.add(tx, "last"); }, {.acknowledgements = 1, .timeout = 10s});
    sample();
    const auto status = a.status();
    const auto* there = find_peer(status, "live");
    require(confirmed && last.complete && there && a.version().within(there->versions.at(0)),
            "the live peer lacks edits");
    const auto* away = find_peer(status, "frozen");
    require(away && !a.version().within(away->versions.at(0)), "the frozen peer was not frozen");

    require(::kill(frozen.child, SIGCONT) == 0, "SIGCONT");
    const auto back = clock_type::now();
    const auto token = a.write([](set& s, auto& tx) { s.add(tx, "goodbye"); }, {.acknowledgements = 2, .timeout = 60s});
    require(token.complete, "the peer does not come back");
    const auto cap = byte_cap(2);
    out.add({"one of three leaders frozen, another under full load for", static_cast<double>(seconds), "s", 0, ""});
    out.add({"  edits, each of which supersedes another", rate, "edits/s", 0, ""});
    out.add({"  greatest growth of the heap", mebibytes(greatest), "MiB", mebibytes(cap),
             "the cap: log, waiting edits, queues of two peers"});
    out.add({"  the third leader: edits that it confirmed, one by one", static_cast<double>(probes), "edits", 0, ""});
    out.add({"  the third leader: slowest of these, there and back", slowest * 1e3, "ms", 0, ""});
    out.add({"  once the frozen one goes on, until it has everything", seconds_since(back) * 1e3, "ms", 0, ""});
    require(greatest <= cap, "the heap has grown beyond the cap");
}

/// Bytes of a storage's files: with its write-ahead log, which SQLite keeps beside it while it is open.
std::size_t bytes_on_disk(const std::string& file) {
    std::size_t n = 0;
    for (const auto* suffix : {"", "-wal"})
        if (std::filesystem::exists(file + suffix)) n += std::filesystem::file_size(file + suffix);
    return n;
}

template <class T> std::vector<leader<T>> three_leaders(const std::vector<std::string>& files) {
    std::vector<leader<T>> all;
    for (std::size_t i = 0; i < 3; ++i) {
        zmq_options sockets;
        sockets.listen = "tcp://127.0.0.1:*";
        for (auto& l : all) sockets.peers.push_back(l.address());
        node_options options;
        options.name = "leader " + std::to_string(i);
        options.transport = zmq_transport(sockets);
        if (!files.empty()) options.storage = sqlite_storage(files[i], durability::relaxed);
        options.timings.prune = 500ms;
        all.emplace_back(std::move(options), "bench");
        for (std::size_t k = 0; k < i; ++k) all[k].connect(all.back().address());
    }
    return all;
}

// Asks, and leaves the processor to the leaders meanwhile.
template <class Condition> void until(Condition&& condition, double seconds, const char* otherwise) {
    for (const auto begin = clock_type::now(); !condition(); std::this_thread::yield())
        require(seconds_since(begin) < seconds, otherwise);
}

/// `edit(leader, i)` adds and removes; `clear(leader)` removes what concurrent writers have left.
template <class T, class Edit, class Clear>
void churn(bench::report& out, const std::string& what, bool stored, Edit&& edit, Clear&& clear) {
    const bench::folder folder;
    std::vector<std::string> files;
    for (int i = 0; stored && i < 3; ++i) files.push_back(folder / std::to_string(i));
    const auto greatest_file = [&] {
        std::size_t n = 0;
        for (const auto& f : files) n = std::max(n, bytes_on_disk(f));
        return static_cast<double>(n);
    };
    auto all = three_leaders<T>(files);
    const auto met = [&] {
        return std::all_of(all.begin(), all.end(), [](const auto& l) {
            const auto s = l.status();
            const auto up = [](const peer_status& p) { return p.up && p.shares.at(0); };
            return s.collections.at(0).members.size() == 3 && !s.collections.at(0).held && s.peers.size() == 2 &&
                   std::all_of(s.peers.begin(), s.peers.end(), up);
        });
    };
    until(met, 20, "the leaders did not meet");
    const auto before = allocated.load();
    const auto heap_before = bench::heap_in_use();
    const auto empty_file = greatest_file();

    const auto edits = from_environment("JOINERY_EDITS", 100'000);
    const auto begin = clock_type::now();
    std::vector<std::thread> writers;
    for (std::size_t w = 0; w < 3; ++w)
        writers.emplace_back([&, w] {
            for (std::size_t i = w; i < edits; i += 3) edit(all[w], i);
        });
    for (auto& t : writers) t.join();
    const auto seconds = seconds_since(begin);
    const auto synced = [&] {
        for (auto& l : all)
            for (auto& other : all) require(l.sync_to(other.version(), 120s), "a leader has not got all edits");
    };
    synced();
    clear(all[0]);
    synced();
    const auto forgotten = [&] { // what all have seen
        return std::all_of(all.begin(), all.end(), [](const auto& l) {
            const auto s = l.status();
            return s.collections.at(0).stable == s.collections.at(0).version;
        });
    };
    until(forgotten, 60, "what was removed is not forgotten");
    std::size_t state = 0;
    for (auto& l : all) state = std::max(state, l.read([](const causal<T>& s) { return encode(s).size(); }));
    constexpr std::size_t allowed = 1'000'000; // of each
    const auto of_each = [](std::size_t now, std::size_t then) { return (now > then ? now - then : 0) / 3; };
    const auto above = [&] { return of_each(allocated, before); };
    // Buffers of a burst go after some quiet turns, answers to pulls after engine_timings::answer_life.
    for (const auto quiet = clock_type::now(); above() > allowed / 2 && seconds_since(quiet) < 30;)
        std::this_thread::yield();
    const auto remains = above(), heap = of_each(bench::heap_in_use(), heap_before);
    out.add({std::to_string(edits) + " " + what, static_cast<double>(edits) / seconds, "edits/s", 0, ""});
    out.add({"  the greatest of their states, encoded", static_cast<double>(state), "bytes", 0, ""});
    out.add(
        {"  allocated above empty leaders, of each", static_cast<double>(remains) / 1e6, "MB", 1.0, "what it may be"});
    out.add({"  the heap above that of empty leaders, of each", static_cast<double>(heap) / 1e6, "MB", 0, ""});
    if (stored) {
        out.add({"  greatest storage, with its WAL", greatest_file() / 1e6, "MB", empty_file / 1e6, "an empty one"});
        for (auto& l : all) l.close();
        all.clear();
        out.add({"  greatest storage, closed", greatest_file() / 1e6, "MB", 0, ""});
    }
    require(remains <= allowed, "what remains of edits that were undone is too much");
}

} // namespace

int main(int argc, char** argv) {
    bench::report out("what leaders keep", argc, argv);
    bool failed = false;
    const char* only = std::getenv("JOINERY_PART");
    const auto part = [&](std::string_view name, auto&& measure) { // if one fails, the others go on, and all is shown
        if (only && only != name) return;
        try {
            measure();
        } catch (const std::exception& e) {
            std::fprintf(stderr, "%s: %s\n", std::string(name).c_str(), e.what());
            failed = true;
        }
    };
    const auto add_and_remove = [](leader<set>& l, std::size_t i) {
        l.write([&](set& s, auto& tx) { s.add(tx, bench::element(i)); });
        l.write([&](set& s, auto& tx) { s.remove(tx, bench::element(i)); });
    };
    const auto insert_and_erase = [](leader<rga_text>& l, std::size_t) {
        l.write([](rga_text& t, auto& tx) { t.insert(tx, 0, "some words"); });
        l.write([](rga_text& t, auto& tx) { t.erase(tx, 0, std::min<std::size_t>(10, t.size())); });
    };
    const auto erase_all = [](leader<rga_text>& l) {
        l.write([](rga_text& t, auto& tx) { t.erase(tx, 0, t.size()); });
    };
    part("freeze", [&] { freeze(out); });
    for (const bool stored : {false, true}) {
        const std::string where = stored ? ", stored" : "";
        part(stored ? "stored_set" : "set", [&] {
            churn<set>(out, "elements added and removed on three live leaders" + where, stored, add_and_remove,
                       [](leader<set>&) {});
        });
        part(stored ? "stored_text" : "text", [&] {
            churn<rga_text>(out, "times ten characters inserted and erased" + where, stored, insert_and_erase,
                            erase_all);
        });
    }
    return failed ? 1 : 0;
}
