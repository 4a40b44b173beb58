// SPDX-License-Identifier: Apache-2.0
// Leaders as processes of their own, with real sockets and files: late ones, restarted, killed, frozen ones.

#include "process_leader.hpp"

#include "../examples/child_process.hpp"
#include "scratch_folder.hpp"

#define DOCTEST_CONFIG_IMPLEMENT
#include <doctest/doctest.h>

#include <chrono>
#include <csignal>
#include <random>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace {

using namespace std::chrono_literals;
using range = std::pair<std::uint64_t, std::uint64_t>;

using folder = storage_test::scratch_folder;

struct setting {
    std::string level = "full";
    std::size_t high_water = 4096;
    std::chrono::milliseconds heartbeat{200}; ///< ten missing ones end a link
};

class leader {
public:
    leader(std::string name, const folder& f, setting s = {})
        : name_(std::move(name)),
          file_(f / (name_ + ".db")),
          setting_(std::move(s)),
          process_(start("tcp://127.0.0.1:*")),
          address_(process_.ask("address").at(0)) {}

    const std::string& name() const { return name_; }
    child_process& process() { return process_; }
    std::string ask(const std::string& line) {
        const auto lines = process_.ask(line, 60s);
        return lines.empty() ? "" : lines[0];
    }
    void add(range r) { ask(command("add", r)); }
    std::uint64_t lacks(range r) { return std::stoull(ask(command("lacks", r))); }
    std::uint64_t counter(const std::string& name) { return std::stoull(ask("counter " + name)); }
    void dial(leader& other) { ask("connect " + other.address_); }
    void hang_up(leader& other) { ask("disconnect " + other.address_); }

    void kill() { process_.kill(); }
    int quit() {
        process_.send("quit");
        return process_.wait(60s);
    }
    /// At its old address, where the others dial it.
    void restart(const std::vector<leader*>& dialled = {}) {
        process_ = start(address_);
        for (auto* l : dialled) dial(*l);
    }
    static std::string command(const std::string& name, range r) {
        return name + ' ' + std::to_string(r.first) + ' ' + std::to_string(r.second);
    }

private:
    std::string name_, file_;
    setting setting_;
    child_process process_;
    std::string address_;

    child_process start(const std::string& listen) const {
        return child_process({"/proc/self/exe", "--leader", name_, listen, file_, setting_.level,
                              std::to_string(setting_.high_water), std::to_string(setting_.heartbeat.count())});
    }
};

/// Each dials all others.
void connect_all(const std::vector<leader*>& leaders) {
    for (auto* a : leaders)
        for (auto* b : leaders)
            if (a != b) a->dial(*b);
    for (auto* a : leaders)
        for (auto* b : leaders)
            if (a != b) a->ask("await-up " + b->name());
}

/// Waits until all have what any of them has; then their states are equal.
void check_converged(const std::vector<leader*>& leaders) {
    for (auto* from : leaders) {
        const auto version = from->ask("version");
        for (auto* to : leaders)
            if (to != from) to->ask("await " + version);
    }
    for (auto* l : leaders) CHECK_MESSAGE(l->ask("digest") == leaders[0]->ask("digest"), l->name());
}

} // namespace

TEST_CASE("process: a late joiner gets everything, also from one that only passes it on") {
    folder f;
    leader eu("eu", f), us("us", f);
    eu.add({1, 500});
    eu.ask("remove 250");
    connect_all({&eu, &us});
    check_converged({&eu, &us});

    leader ap("ap", f);
    ap.dial(us);
    eu.add({501, 600});
    check_converged({&eu, &us, &ap});
    CHECK(ap.lacks({1, 600}) == 1);
    CHECK(ap.lacks({250, 250}) == 1);
}

TEST_CASE("process: a publisher that restarts under load loses nothing") {
    folder f;
    leader eu("eu", f), us("us", f);
    connect_all({&eu, &us});
    std::uint64_t next = 1;
    for (int round = 0; round < 3; ++round) {
        // us writes all the time; eu writes until it leaves, and again as soon as it is back.
        us.process().send(leader::command("add", {1'000'000 + next, 1'000'000 + next + 299}));
        eu.add({next, next + 299});
        CHECK(eu.quit() == 0);
        eu.restart({&us});
        us.process().answer(60s);
        next += 300;
    }
    eu.add({next, next + 9});
    check_converged({&eu, &us});
    CHECK(us.lacks({1, next + 9}) == 0);
    CHECK(eu.lacks({1'000'001, 1'000'000 + next - 1}) == 0);
}

TEST_CASE("process: kill -9 at random points twenty times, and nothing acknowledged is lost") {
    const auto seed = std::getenv("JOINERY_SEED") ? std::stoul(std::getenv("JOINERY_SEED")) : std::random_device{}();
    MESSAGE("replay with JOINERY_SEED=" << seed);
    std::mt19937 random(static_cast<std::mt19937::result_type>(seed));
    auto below = [&](unsigned n) { return std::uniform_int_distribution<unsigned>(0, n - 1)(random); };
    folder f;
    // A file that is only safe from a crash of the process is opened under a new id after one.
    const std::string level = below(2) ? "full" : "relaxed";
    CAPTURE(level);
    leader eu("eu", f, {level}), us("us", f, {level}), ap("ap", f, {level});
    const std::vector<leader*> all{&eu, &us, &ap};
    connect_all(all);

    std::vector<range> acknowledged;
    std::uint64_t next = 1;
    for (int death = 0; death < 20; ++death) {
        leader& victim = *all[below(3)];
        // Some twenty writes are under way when it dies; after how many answers is left to chance.
        const unsigned answers = below(60);
        const std::uint64_t first = next;
        for (unsigned i = 0; i < answers + 20; ++i, ++next) victim.process().send(leader::command("add", {next, next}));
        for (unsigned i = 0; i < answers; ++i) victim.process().answer(60s);
        victim.kill();
        if (answers) acknowledged.emplace_back(first, first + answers - 1);
        // The others go on, and have or have not heard of it when it comes back.
        leader& other = *all[below(3)];
        if (&other != &victim) {
            other.add({next, next + 4});
            acknowledged.emplace_back(next, next + 4);
            next += 5;
        }
        std::vector<leader*> dialled;
        for (auto* l : all)
            if (l != &victim) dialled.push_back(l);
        victim.restart(dialled);
    }
    check_converged(all);
    for (auto* l : all)
        for (const auto& r : acknowledged) CHECK_MESSAGE(l->lacks(r) == 0, l->name(), " lacks some of ", r.first);
}

TEST_CASE("process: a frozen peer holds up nobody and catches up") {
    folder f;
    leader eu("eu", f), us("us", f), ap("ap", f);
    connect_all({&eu, &us, &ap});
    us.process().signal(SIGSTOP);
    eu.add({1, 300});
    ap.add({301, 600});
    check_converged({&eu, &ap});

    // It is missed by name where it was counted on, and the write stays.
    const auto answer = eu.process().ask("add-with 601 2 500", 60s);
    CHECK(answer == std::vector<std::string>{"incomplete", "us"});
    eu.ask("await-down us");

    us.process().signal(SIGCONT);
    check_converged({&eu, &us, &ap});
    CHECK(us.lacks({1, 601}) == 0);
    eu.ask("await-up us");
    CHECK(eu.ask("add-with 602 2 30000") == "complete");
}

TEST_CASE("process: what a full high-water mark drops is fetched") {
    folder f;
    const setting small{"relaxed", 4, 3000ms};
    leader eu("eu", f, small), us("us", f, small);
    connect_all({&eu, &us});
    eu.ask("await-links us");
    us.process().signal(SIGSTOP);
    // 50 MB in frames of their own: more than the queues and the buffers of the sockets hold.
    for (auto* l : {&eu, &us}) l->process().send("size 65536");
    eu.process().answer();
    eu.add({1, 800});
    us.process().signal(SIGCONT);
    us.process().answer();
    check_converged({&eu, &us});
    CHECK(us.lacks({1, 800}) == 0);
    CHECK(eu.counter("transport_dropped") > 0); // the publisher counts each time that a queue is full
    CHECK(us.counter("pulls_completed") > 0);
    eu.add({801, 810});
    check_converged({&eu, &us});
    CHECK(us.lacks({1, 810}) == 0);
}

TEST_CASE("process: two halves of a cut network converge once it heals") {
    folder f;
    leader eu("eu", f), us("us", f);
    connect_all({&eu, &us});
    eu.add({1, 10});
    check_converged({&eu, &us});
    eu.hang_up(us);
    us.hang_up(eu);
    eu.ask("await-down us");
    us.ask("await-down eu");
    eu.add({11, 200});
    eu.ask("remove 5");
    us.add({201, 400});
    us.add({5, 5}); // concurrent with the removal, so it stays
    CHECK(us.lacks({11, 200}) == 190);
    connect_all({&eu, &us});
    check_converged({&eu, &us});
    CHECK(eu.lacks({1, 400}) == 0);
}

int main(int argc, char** argv) {
    if (argc > 1 && std::string_view(argv[1]) == "--leader") return run_process_leader(argc - 1, argv + 1);
    return doctest::Context(argc, argv).run();
}
