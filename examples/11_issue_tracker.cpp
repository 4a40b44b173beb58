// SPDX-License-Identifier: Apache-2.0
// An issue tracker on two leaders that are cut off from each other for a while: an issue is a record, and each of its
// fields merges as suits it. Nobody asks anybody for the next issue's number.

#include <joinery/joinery.hpp>
#include <joinery/leader.hpp>
#include <joinery/memory_transport.hpp>

#include <chrono>
#include <iostream>
#include <string>

using namespace std::chrono_literals;
using joinery::transaction;

namespace {

struct issue {
    joinery::lww_register<std::string> title; // the last edit wins, and the loser can still be read
    joinery::enable_wins_flag open;           // reopened and closed at once, it is open
    joinery::or_set<std::string> labels;
    joinery::rga_list<std::string> comments; // in one order everywhere
};
JOINERY_RECORD(issue, (1, title), (2, open), (3, labels), (4, comments))

using tracker = joinery::or_map<joinery::unique_id, issue>;
using leader = joinery::leader<tracker>;

joinery::unique_id file_issue(leader& at, const std::string& title, const std::string& label) {
    joinery::unique_id id;
    at.write([&](tracker& all, transaction& tx) {
        id = tx.unique_id();
        all.update(tx, id, [&](issue& i) {
            i.title.set(tx, title);
            i.open.enable(tx);
            i.labels.add(tx, label);
        });
    });
    return id;
}

template <class F> void change(leader& at, const joinery::unique_id& id, F&& f) {
    at.write([&](tracker& all, transaction& tx) { all.update(tx, id, [&](issue& i) { f(i, tx); }); });
}

void print(const std::string& name, const leader& at, const joinery::unique_id& id) {
    at.read([&](const tracker& all) {
        const issue& i = *all.find(id);
        std::cout << name << " shows " << (i.open.enabled() ? "(open) " : "(closed) ") << *i.title.get() << " [";
        for (const auto& label : i.labels) std::cout << ' ' << label;
        std::cout << " ]\n";
        for (const auto& c : i.comments.values()) std::cout << "    " << c << '\n';
        return 0;
    });
}

} // namespace

int main() {
    joinery::memory_network network;
    const auto start = [&](const std::string& name, const std::string& peer) {
        joinery::node_options options;
        options.name = name;
        options.transport = network.make(name, {peer});
        return leader(std::move(options), "issues");
    };
    auto eu = start("eu", "us");
    auto us = start("us", "eu");

    const auto crash = file_issue(eu, "It crashes", "bug");
    bool ok = us.wait_until([&](const tracker& all) { return all.contains(crash); }, 10s);

    std::cout << "cut off from each other, both go on\n";
    eu.disconnect("us");
    us.disconnect("eu");
    change(eu, crash, [](issue& i, transaction& tx) {
        i.title.set(tx, "It crashes at start");
        i.labels.add(tx, "urgent");
        i.comments.push_back(tx, "Ann: happens to me too");
    });
    change(us, crash, [](issue& i, transaction& tx) {
        i.labels.remove(tx, "bug");
        i.labels.add(tx, "question");
        i.comments.push_back(tx, "Bob: which version?");
        i.open.disable(tx);
    });
    change(eu, crash, [](issue& i, transaction& tx) { i.open.enable(tx); }); // seen by nobody who closed it
    const auto at_eu = file_issue(eu, "The manual is wrong", "docs");
    const auto at_us = file_issue(us, "Please add colours", "wish");

    eu.connect("us");
    us.connect("eu");
    const auto together = [&](const tracker& all) { return all.contains(at_eu) && all.contains(at_us); };
    ok = ok && eu.wait_until(together, 10s) && us.wait_until(together, 10s) && eu.sync_to(us.version(), 10s) &&
         us.sync_to(eu.version(), 10s);
    print("eu", eu, crash);
    print("us", us, crash);

    const auto right = [&](const tracker& all) {
        const issue& i = *all.find(crash);
        return all.size() == 3 && at_eu != at_us && i.open.enabled() && *i.title.get() == "It crashes at start" &&
               i.comments.size() == 2 && i.labels.size() == 2 && i.labels.contains("urgent") &&
               i.labels.contains("question");
    };
    const auto digest = [](const joinery::causal<tracker>& state) { return state.digest(); };
    ok = ok && eu.read(right) && us.read(right) && eu.read(digest) == us.read(digest);
    std::cout << (ok ? "both agree on three issues\n" : "WRONG\n");
    return ok ? 0 : 1;
}
