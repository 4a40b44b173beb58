// SPDX-License-Identifier: Apache-2.0
// Programs of different versions, each a process of its own with real sockets and files: what one knows and another
// does not is kept, passed on, and there once a program is upgraded.

#include "../examples/child_process.hpp"
#include "scratch_folder.hpp"

#include <joinery/joinery.hpp>
#include <joinery/node.hpp>
#include <joinery/zmq_transport.hpp>

#define DOCTEST_CONFIG_IMPLEMENT
#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <iostream>
#include <sstream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace {

using namespace std::chrono_literals;
using namespace joinery;
using storage_test::scratch_folder;

// ---- the program, in three versions ----

namespace first {
struct task {
    lww_register<std::string> title;
    pn_counter votes;
};
JOINERY_RECORD(task, (1, title), (2, votes))
} // namespace first
namespace second { // with tags and a note
struct task {
    lww_register<std::string> title;
    pn_counter votes;
    or_set<std::string> tags;
    rga_text note;
};
JOINERY_RECORD(task, (1, title), (2, votes), (3, tags), (4, note))
} // namespace second
namespace third { // and without votes
struct task {
    lww_register<std::string> title;
    or_set<std::string> tags;
    rga_text note;
};
JOINERY_RECORD(task, (1, title), (3, tags), (4, note))
} // namespace third

template <class Task> std::string shown(const or_map<std::string, Task>& all) {
    const Task* t = all.find("x");
    if (!t) return "nothing";
    std::string out = t->title.get().value_or("");
    if constexpr (requires { t->votes; }) out += ", votes " + std::to_string(t->votes.value());
    if constexpr (requires { t->tags; }) {
        std::vector<std::string> tags(t->tags.begin(), t->tags.end());
        std::sort(tags.begin(), tags.end());
        out += ", tags";
        for (const auto& tag : tags) out += ' ' + tag;
        out += ", note " + t->note.str();
    }
    return out;
}

// NAME LISTEN FILE
template <class Task> int run(char** argv) {
    using tasks = or_map<std::string, Task>;
    zmq_options z;
    z.listen = argv[1];
    node_options n;
    n.name = argv[0];
    n.transport = zmq_transport(z);
    n.storage = sqlite_storage(argv[2], durability::relaxed);
    n.timings.beacon = 100ms;
    leader<tasks> tasks_here(std::move(n), "tasks");
    for (std::string line; std::getline(std::cin, line);) {
        std::istringstream in(line);
        std::string command, word;
        in >> command >> std::ws;
        std::getline(in, word);
        if (command == "quit") {
            tasks_here.close();
            return 0;
        }
        bool known = true;
        tasks_here.write([&](tasks& all, transaction& tx) {
            auto x = all.at(tx, "x");
            if (command == "title") return x->title.set(tx, word);
            if constexpr (requires { x->votes; })
                if (command == "vote") return x->votes.increment(tx, 1);
            if constexpr (requires { x->tags; }) {
                if (command == "tag") return x->tags.add(tx, word);
                if (command == "untag") return x->tags.remove(tx, word);
                if (command == "note") return x->note.insert(tx, x->note.size(), word);
            }
            known = false;
        });
        if (known) {
        } else if (command == "address") {
            std::cout << tasks_here.address() << '\n';
        } else if (command == "connect") {
            tasks_here.connect(word);
        } else if (command == "await") { // until it shows so
            const bool so = tasks_here.wait_until([&](const tasks& all) { return shown(all) == word; }, 20s);
            if (!so) throw std::runtime_error(tasks_here.read([](const tasks& all) { return shown(all); }));
        } else if (command == "drain") {
            const auto drained = tasks_here.drain({.timeout = 20s});
            if (!drained.complete) throw std::runtime_error("not drained: " + std::to_string(drained.missing.size()));
        } else {
            std::cout << "error: what?" << std::endl;
            continue;
        }
        std::cout << "ok" << std::endl;
    }
    return 0;
}

// ---- and who starts it ----

class program {
public:
    program(int version, std::string name, const scratch_folder& f)
        : name_(std::move(name)), file_(f / (name_ + ".db")), process_(start(version)) {}

    void say(const std::string& line) { process_.ask(line); }
    void shows(const std::string& what) { process_.ask("await " + what, 30s); }
    void dial(program& other) { say("connect " + other.process_.ask("address").at(0)); }
    /// As docs/operations.md says.
    void replace(int version, const std::vector<program*>& others) {
        say("drain");
        restart(version);
        for (auto* other : others)
            if (other != this) {
                dial(*other);
                other->dial(*this);
            }
    }
    void restart(int version) {
        process_.send("quit");
        CHECK(process_.wait(30s) == 0);
        process_ = start(version);
    }

private:
    std::string name_, file_;
    child_process process_;

    child_process start(int version) const {
        return child_process(
            {"/proc/self/exe", "--version", std::to_string(version), name_, "tcp://127.0.0.1:*", file_});
    }
};

} // namespace

TEST_CASE("versions: an earlier one passes on what it does not know, and knows it once it is upgraded") {
    const scratch_folder f;
    program eu(2, "eu", f), middle(1, "middle", f), us(2, "us", f);
    eu.dial(middle);
    us.dial(middle); // all that the two hear of each other goes through the earlier version
    eu.say("title Write tests");
    eu.say("tag today");
    eu.say("note long");
    us.shows("Write tests, votes 0, tags today, note long");
    middle.shows("Write tests, votes 0");
    middle.say("vote");
    us.say("tag later");
    us.say("untag today");
    us.say("note er");
    for (auto* p : {&eu, &us}) p->shows("Write tests, votes 1, tags later, note longer");

    middle.restart(2); // nobody is there to give it what it had kept
    middle.shows("Write tests, votes 1, tags later, note longer");
    middle.say("tag upgraded");
    eu.dial(middle);
    us.dial(middle);
    for (auto* p : {&eu, &us, &middle}) p->shows("Write tests, votes 1, tags later upgraded, note longer");
}

TEST_CASE("versions: leaders are upgraded one at a time, and one of them is taken back") {
    const scratch_folder f;
    program eu(1, "eu", f), us(1, "us", f), ap(1, "ap", f);
    const std::vector<program*> all{&eu, &us, &ap};
    for (auto* a : all)
        for (auto* b : all)
            if (a != b) a->dial(*b);
    int votes = 0;
    const auto vote = [&] { // each, at every stage
        for (auto* p : all) p->say("vote");
        votes += 3;
    };
    const auto old = [&] { return "Rolling, votes " + std::to_string(votes); };
    const auto now = [&](const std::string& tags, const std::string& note) {
        return old() + ", tags" + tags + ", note " + note;
    };
    eu.say("title Rolling");
    vote();
    for (auto* p : all) p->shows(old());

    eu.replace(2, all); // one of three knows tags and notes
    eu.shows(now("", ""));
    eu.say("tag eu");
    eu.say("note a");
    vote();
    eu.shows(now(" eu", "a"));
    for (auto* p : {&us, &ap}) p->shows(old());

    us.replace(2, all); // two do; what one wrote before the other was upgraded is there
    us.shows(now(" eu", "a"));
    us.say("tag us");
    us.say("note b");
    vote();
    for (auto* p : {&eu, &us}) p->shows(now(" eu us", "ab"));
    ap.shows(old());

    eu.replace(1, all); // back again: it does not show what it has of the others, keeps it, and passes it on
    eu.shows(old());
    vote();
    us.say("untag eu");
    us.say("note c");
    us.shows(now(" us", "abc"));
    for (auto* p : {&eu, &ap}) p->shows(old());

    eu.replace(2, all); // and forward
    ap.replace(2, all);
    vote();
    ap.say("tag ap");
    for (auto* p : all) p->shows(now(" ap us", "abc"));
}

TEST_CASE("versions: a field that was removed lives on with those who have it") {
    const scratch_folder f;
    program old(1, "old", f), now(3, "now", f), older(1, "older", f);
    old.dial(now);
    older.dial(now);
    old.say("title Vote");
    old.say("vote");
    older.say("vote");
    for (auto* p : {&old, &older}) p->shows("Vote, votes 2");
    now.shows("Vote, tags, note ");
    now.say("tag new");
    now.shows("Vote, tags new, note ");
    old.say("vote");
    older.shows("Vote, votes 3");
    now.restart(2); // back again
    now.shows("Vote, votes 3, tags new, note ");
}

int main(int argc, char** argv) {
    if (argc == 6 && std::string_view(argv[1]) == "--version") {
        try {
            switch (*argv[2]) {
            case '1': return run<first::task>(argv + 3);
            case '2': return run<second::task>(argv + 3);
            default: return run<third::task>(argv + 3);
            }
        } catch (const std::exception& e) {
            std::cout << "error: " << e.what() << std::endl;
            return 1;
        }
    }
    return doctest::Context(argc, argv).run();
}
