// SPDX-License-Identifier: Apache-2.0
// Leaders that were apart, and newcomers. Two engines in one process with a wire between them that counts: the bytes
// and the rounds that a million keys of which a thousand differ take to be the same, beside a full transfer. Then live
// leaders over tcp: how long readers wait while a newcomer takes a million elements and writes go on.
#include "harness.hpp"
#include "leaders.hpp"

#include <joinery/engine.hpp>
#include <joinery/lww_register.hpp>
#include <joinery/or_map.hpp>

#include <algorithm>
#include <atomic>
#include <deque>
#include <optional>
#include <string>
#include <thread>
#include <vector>

using namespace joinery;
using namespace std::chrono_literals;
using clock_type = std::chrono::steady_clock;
using bench::require, bench::seconds_since;
using map = or_map<std::string, lww_register<std::string>>;

namespace {

constexpr std::size_t keys = 1'000'000;
constexpr std::size_t changed = 500; // by each of the two

std::string key(std::size_t i) { return "key " + std::to_string(i); }

struct side final : engine_output {
    std::unique_ptr<storage> disk = memory_storage();
    replicated<map> state;
    std::optional<engine> e;
    std::deque<std::vector<std::byte>> out;
    std::size_t bytes = 0; // sent

    explicit side(const char* name) {
        engine_options options;
        options.name = name;
        e.emplace(options, *disk, *this);
        e->attach("keys", state);
    }
    void set(std::size_t i, const std::string& value) {
        std::lock_guard lock(state.mutex());
        state.edit([&](map& m, auto& tx) { m.at(tx, key(i))->set(tx, value); });
    }
    void broadcast(std::span<const std::byte> frame) override { send(1, frame); }
    bool send(link_id, std::span<const std::byte> frame) override {
        bytes += frame.size();
        out.emplace_back(frame.begin(), frame.end());
        return true;
    }
    void notify(const event&) override {}
};

struct figures {
    double seconds = 0;
    std::size_t a = 0, b = 0; // bytes that they sent
    int rounds = 0;           // times that frames crossed the wire
};

// Links them; one way of the wire at a time, until both have the same.
figures meet(side& a, side& b) {
    a.bytes = b.bytes = 0;
    a.out.clear();
    b.out.clear();
    engine_time now(1'000'000);
    const auto begin = clock_type::now();
    figures f;
    a.e->connected(1);
    b.e->connected(1);
    for (; a.state.version() != b.state.version(); ++f.rounds) {
        require(f.rounds < 10'000, "they never come to be equal");
        for (auto* s : {&a, &b}) {
            s->e->tick(now);
            s->e->flush();
        }
        now += 1ms;
        auto from_a = std::exchange(a.out, {}), from_b = std::exchange(b.out, {});
        for (const auto& frame : from_a) b.e->received(1, frame);
        for (const auto& frame : from_b) a.e->received(1, frame);
    }
    f.seconds = seconds_since(begin);
    for (auto* s : {&a, &b}) s->e->flush();
    f.a = a.bytes;
    f.b = b.bytes;
    for (auto* s : {&a, &b}) s->e->disconnected(1);
    return f;
}

void meet_again(bench::report& out) {
    side a("a"), b("b");
    for (std::size_t i = 0; i < keys; ++i) {
        a.set(i, "value " + std::to_string(i * 7919));
        if (i % 1000 == 999) a.e->flush();
        a.out.clear();
    }
    const auto full = meet(a, b);
    meet(a, b);
    const auto was_a = a.state.version(), was_b = b.state.version();
    for (std::size_t i = 0; i < changed; ++i) {
        a.set(i * 1999, "from a " + std::to_string(i * 7919));
        b.set(i * 1999 + 1, "from b " + std::to_string(i * 7919));
    }
    for (auto* s : {&a, &b}) s->e->flush();
    const auto delta_a = encode(a.state.get().delta_since(was_a)).size();
    const auto delta_b = encode(b.state.get().delta_since(was_b)).size();
    const auto few = meet(a, b);
    out.add({"full transfer of 1,000,000 keys", full.seconds * 1e3, "ms", 0, ""});
    out.add({"full transfer of 1,000,000 keys", static_cast<double>(full.a + full.b), "bytes", 0, ""});
    out.add({"1,000 of them differ: until both are equal", few.seconds * 1e3, "ms", full.seconds * 1e3,
             "the full transfer"});
    out.add({"1,000 of them differ: both ways", static_cast<double>(few.a + few.b), "bytes",
             static_cast<double>(full.a + full.b), "the full transfer"});
    out.add({"1,000 of them differ: sent by a", static_cast<double>(few.a), "bytes", static_cast<double>(delta_a),
             "its encoded differences"});
    out.add({"1,000 of them differ: sent by b", static_cast<double>(few.b), "bytes", static_cast<double>(delta_b),
             "its encoded differences"});
    out.add({"1,000 of them differ: hello, question, answer", static_cast<double>(few.rounds), "crossings", 0, ""});
}

struct waiting {
    double p50 = 0, greatest = 0; // microseconds
};

// Reads until told to stop.
waiting read_until(const leader<bench::set>& l, const std::atomic<bool>& stop) {
    std::vector<double> samples;
    while (!stop) {
        const auto begin = clock_type::now();
        bench::keep(l.read([](const bench::set& s) { return s.contains("hello"); }));
        samples.push_back(seconds_since(begin) * 1e6);
        std::this_thread::sleep_for(100us);
    }
    return {bench::median(samples), *std::max_element(samples.begin(), samples.end())};
}

// With storages, the one that gives has forgotten what was removed, so that it sends the complete state.
void welcome(bench::report& out, bool stored) {
    const bench::folder files;
    const auto disk = [&](const char* name) {
        return stored ? sqlite_storage(files / name, durability::relaxed) : nullptr;
    };
    const engine_timings timings{.prune = 500ms};
    auto a = bench::start("a", {}, disk("a"), timings);
    std::optional<leader<bench::set>> member;
    if (stored) {
        member = bench::start("c", {a.address()}, nullptr, timings);
        a.connect(member->address());
    }
    constexpr std::size_t together = 100;
    for (std::size_t i = 0; i < keys; i += together)
        a.write([&](bench::set& s, auto& tx) {
            for (std::size_t k = 0; k < together; ++k) s.add(tx, bench::element(i + k));
        });
    if (stored) {
        for (std::size_t i = 0; i < changed; ++i) {
            a.write([&](bench::set& s, auto& tx) { s.add(tx, "removed " + std::to_string(i)); });
            a.write([&](bench::set& s, auto& tx) { s.remove(tx, "removed " + std::to_string(i)); });
        }
        require(member->sync_to(a.version(), 120s), "the member has not got everything");
        const auto horizon = [](const causal<bench::set>& s) { return s.horizon(); };
        for (const auto begin = clock_type::now(); a.read(horizon) != a.version(); std::this_thread::yield())
            require(seconds_since(begin) < 60, "what was removed is not forgotten");
    }
    auto b = bench::start("b", {}, disk("b"), timings);
    std::atomic<bool> stop{false};
    waiting at_a, at_b;
    std::size_t written = 0;
    double slowest = 0; // of the writes
    std::thread reader_a([&] { at_a = read_until(a, stop); });
    std::thread reader_b([&] { at_b = read_until(b, stop); });
    std::thread writer([&] {
        for (; !stop; ++written) {
            const auto begin = clock_type::now();
            a.write([&](bench::set& s, auto& tx) { s.add(tx, "meanwhile " + std::to_string(written)); });
            slowest = std::max(slowest, seconds_since(begin));
            std::this_thread::sleep_for(1ms);
        }
    });
    std::this_thread::sleep_for(200ms);
    const auto begin = clock_type::now();
    b.connect(a.address());
    a.connect(b.address());
    const bool there = b.wait_until([](const bench::set& s) { return s.size() >= keys; }, 120s);
    const auto seconds = seconds_since(begin);
    stop = true;
    for (auto* t : {&reader_a, &reader_b, &writer}) t->join();
    require(there && b.sync_to(a.version(), 60s), "the newcomer has not got everything");
    const auto digest = [](const causal<bench::set>& s) { return s.digest(); };
    require(a.read(digest) == b.read(digest), "the leaders differ");
    const auto forgotten = [](const causal<bench::set>& s) { return !s.horizon().empty(); };
    require(b.read(forgotten) == stored, "it is not the complete state that was sent");
    out.add({stored ? "the same with storages, of a group that has forgotten removals"
                    : "a newcomer takes 1,000,000 elements while writes go on",
             seconds, "s", 0, ""});
    out.add({"  readers where they come from, p50", at_a.p50, "us", 0, ""});
    out.add({"  readers where they come from, longest wait", at_a.greatest / 1e3, "ms", 0, ""});
    out.add({"  readers of the newcomer, longest wait", at_b.greatest / 1e3, "ms", 0, ""});
    out.add({"  writes where they come from, longest", slowest * 1e3, "ms", 0, ""});
}

} // namespace

int main(int argc, char** argv) {
    bench::report out("leaders that were apart", argc, argv);
    meet_again(out);
    welcome(out, false);
    welcome(out, true);
}
