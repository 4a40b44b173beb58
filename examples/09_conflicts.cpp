// SPDX-License-Identifier: Apache-2.0
// What may become of two writes that did not know of each other: six choices, from the one that looks after itself to
// the one that asks somebody. docs/conflicts.md says when to take which.

#include <joinery/joinery.hpp>

#include <algorithm>
#include <cstdint>
#include <iostream>
#include <set>
#include <string>
#include <vector>

namespace {

using joinery::replica;
using joinery::replica_id;
using joinery::transaction;

const replica_id eu{1};
const replica_id us{2};

template <class T> void meet(replica<T>& a, replica<T>& b) {
    a.join(b.state());
    b.join(a.state());
}

// ---- 1. the last write wins ----

bool last_write_wins() {
    using price = joinery::lww_register<int>;
    std::uint64_t now = 1'700'000'000'000;
    replica<price> a{eu, joinery::hybrid_clock([&] { return now + 300'000; })}; // five minutes fast
    replica<price> b{us, joinery::hybrid_clock([&] { return now; })};
    a.edit([](price& p, transaction& tx) { p.set(tx, 10); });
    now += 60'000;
    b.edit([](price& p, transaction& tx) { p.set(tx, 12); }); // a minute later, and yet earlier by its clock
    meet(a, b);
    std::cout << "last write wins: " << *b->get() << ", beside " << b->siblings().at(1) << '\n';
    const bool kept = *b->get() == 10 && b->siblings() == std::vector<int>{10, 12};
    b.edit([](price& p, transaction& tx) { p.set(tx, 12); }); // has seen both, and so wins whatever the clocks say
    a.join(b.state());
    return kept && *a->get() == 12 && a->siblings().size() == 1;
}

// ---- 2. resolved when it is read ----

bool resolved_on_read() {
    using position = joinery::mv_register<int>; // of a reader in a book, on two devices
    replica<position> a{eu}, b{us};
    a.edit([](position& p, transaction& tx) { p.set(tx, 70); });
    b.edit([](position& p, transaction& tx) { p.set(tx, 40); });
    meet(a, b);
    const auto all = a->values();
    const int furthest = *std::max_element(all.begin(), all.end());
    std::cout << "resolved on read: " << all.size() << " values, and the furthest is " << furthest << '\n';
    return furthest == 70;
}

// ---- 3. resolved by the next write ----

// A function of the values alone: whoever resolves, and however many do so at once, the result is the same.
std::string resolved(std::vector<std::string> drafts) {
    std::sort(drafts.begin(), drafts.end());
    drafts.erase(std::unique(drafts.begin(), drafts.end()), drafts.end());
    std::string out;
    for (const auto& d : drafts) out += (out.empty() ? "" : " / ") + d;
    return out;
}

bool resolved_on_write() {
    using title = joinery::mv_register<std::string>;
    replica<title> a{eu}, b{us};
    a.edit([](title& t, transaction& tx) { t.set(tx, "Minutes"); });
    b.edit([](title& t, transaction& tx) { t.set(tx, "Protocol"); });
    meet(a, b);
    const auto resolve = [](title& t, transaction& tx) {
        if (t.size() > 1) t.set(tx, resolved(t.values()));
    };
    a.edit(resolve); // both at once
    b.edit(resolve);
    meet(a, b);
    const auto values = a->values();
    std::cout << "resolved on write: " << values.front() << '\n';
    return std::set<std::string>(values.begin(), values.end()) == std::set<std::string>{"Minutes / Protocol"};
}

// ---- 4. a merge of one's own ----

struct stricter { // of two limits, in cents
    std::uint32_t operator()(std::uint32_t a, std::uint32_t b) const { return std::min(a, b); }
    static std::string type_name() { return "stricter"; }
};

bool merged() {
    using limit = joinery::merged_register<std::uint32_t, stricter>;
    replica<limit> a{eu}, b{us};
    a.edit([](limit& l, transaction& tx) { l.merge(tx, 500); });
    b.edit([](limit& l, transaction& tx) { l.merge(tx, 300); });
    meet(a, b);
    std::cout << "merged: " << *a->get() << '\n';
    return *a->get() == 300 && *b->get() == 300;
}

// ---- 5. both are kept ----

bool both_kept() {
    using files = joinery::or_map<std::string, joinery::lww_register<std::string>>; // names to contents
    replica<files> a{eu}, b{us};
    b.join(a.edit([](files& f, transaction& tx) { f.at(tx, "plan.txt")->set(tx, "first"); }));
    a.edit([](files& f, transaction& tx) { f.at(tx, "plan.txt")->set(tx, "from eu"); });
    b.edit([](files& f, transaction& tx) { f.at(tx, "plan.txt")->set(tx, "from us"); });
    meet(a, b);
    // Whoever sees the conflict first puts the loser beside the winner. Its name is made of the content, so that two
    // who do so at once make the same copy.
    const auto separate = [](files& f, transaction& tx) {
        const auto versions = f.find("plan.txt")->siblings();
        for (std::size_t i = 1; i < versions.size(); ++i)
            f.at(tx, "plan (conflicted copy, " + versions[i] + ").txt")->set(tx, versions[i]);
        if (versions.size() > 1) f.at(tx, "plan.txt")->set(tx, versions.front());
    };
    a.edit(separate);
    b.edit(separate);
    meet(a, b);
    std::cout << "both kept: " << a->size() << " files\n";
    return a->size() == 2 && a.state() == b.state() && a->contains("plan (conflicted copy, from eu).txt");
}

// ---- 6. no conflict at all ----

bool no_conflict() {
    using text = joinery::rga_text;
    replica<text> a{eu}, b{us};
    b.join(a.edit([](text& t, transaction& tx) { t.insert(tx, 0, "tea and milk"); }));
    a.edit([](text& t, transaction& tx) { t.insert(tx, 0, "green "); });
    b.edit([](text& t, transaction& tx) { t.erase(tx, 3, 9); });
    meet(a, b);
    std::cout << "no conflict: " << a->str() << '\n';
    return a->str() == "green tea" && a.state() == b.state();
}

// ---- 7. being told ----

bool told() {
    using carts = joinery::or_map<std::string, joinery::lww_register<std::string>>;
    replica<carts> a{eu}, b{us};
    a.edit([](carts& all, transaction& tx) { all.at(tx, "alice")->set(tx, "by post"); });
    const auto edit = b.edit([](carts& all, transaction& tx) { all.at(tx, "alice")->set(tx, "by bike"); });
    joinery::change_list list;
    a.join(edit, &list);
    const auto changes = list.take();
    for (const auto& c : changes.values) std::cout << "told: " << to_string(c) << '\n';
    return changes.values.size() == 1 && changes.values[0].how == joinery::conflict_choice::last_write &&
           *changes.values[0].path[0].as<std::string>() == "alice" && changes.values[0].overruled.size() == 1;
}

} // namespace

int main() {
    const bool all[] = {
        last_write_wins(), resolved_on_read(), resolved_on_write(), merged(), both_kept(), no_conflict(), told()};
    return std::count(std::begin(all), std::end(all), true) == 7 ? 0 : 1;
}
