// SPDX-License-Identifier: Apache-2.0
// A CRDT of your own, and the kit that checks that it is one. The type is a switch that several people turn
// on, each for a reason, and off: on wins over a concurrent off. It is made of a dot_store, so there is
// little to write and much to test.

#include <joinery/convergence.hpp>
#include <joinery/dot_store.hpp>
#include <joinery/exploration.hpp>
#include <joinery/replica.hpp>

#include <iostream>
#include <set>
#include <string>
#include <vector>

namespace {

// ---- the type ----

class reasoned_switch {
public:
    /// Turns it on. Supersedes all reasons that were seen.
    void turn_on(joinery::transaction& tx, std::string reason) { reasons_.replace(tx, std::move(reason)); }
    /// Turns it off, as far as the reasons were seen.
    void turn_off(joinery::transaction& tx) { reasons_.remove_all(tx); }

    bool on() const { return !reasons_.empty(); }
    /// Why it is on: several reasons if it was turned on concurrently.
    std::set<std::string> reasons() const {
        std::set<std::string> out;
        for (const auto& entry : reasons_) out.insert(entry.value);
        return out;
    }

    // What makes it a CRDT (crdt.hpp) is all done by the dot_store.
    using fragment = joinery::dot_store<std::string>::fragment;
    void extract(const joinery::causal_context& wanted, fragment& out) const { reasons_.extract(wanted, out); }
    void join(const fragment& f, joinery::join_scope& s) { reasons_.join(f, s); }
    void kill(const joinery::dot_range& dots, joinery::join_scope& s) { reasons_.kill(dots, s); }
    void clear(joinery::transaction& tx, joinery::kills& out) { reasons_.clear(tx, out); }
    bool empty() const { return reasons_.empty(); }
    bool vacant() const { return reasons_.vacant(); }
    static std::string type_name() { return "reasoned_switch"; }
    friend bool operator==(const reasoned_switch&, const reasoned_switch&) = default;

    // What there is to see of it, for those who follow what joins change: without this they are told of nothing.
    joinery::observation<std::set<std::string>> observed() const {
        if (!on()) return {};
        return {reasons(), reasons_.size() > 1 ? joinery::conflict_choice::all_kept : joinery::conflict_choice::none};
    }

private:
    joinery::dot_store<std::string> reasons_;
};
static_assert(joinery::checked_crdt<reasoned_switch>()); // says what is missing

// ---- its test ----

// What the specification sees of an operation.
struct turn {
    bool on = false;
    std::string reason{};
};
std::ostream& operator<<(std::ostream& out, const turn& t) {
    return out << (t.on ? "because " + t.reason : "for all reasons seen");
}

std::string printed(const std::set<std::string>& reasons) {
    return reasons.empty() ? "off" : "on for " + joinery::testing::show(reasons);
}

// The meaning, as a function of what was done and of who had seen what: a reason counts if it was given, and
// nobody who had seen it turned the switch on or off since.
std::string specified(const joinery::testing::seen_events<turn>& seen) {
    std::set<std::string> reasons;
    for (const auto& e : seen) {
        bool counts = e.what.on;
        for (const auto& later : seen) counts = counts && !later.saw(e);
        if (counts) reasons.insert(e.what.reason);
    }
    return printed(reasons);
}

joinery::testing::subject<reasoned_switch, turn> switches() {
    joinery::testing::subject<reasoned_switch, turn> s("reasoned_switch");
    s.operation("on", [](auto& sw, auto& tx, joinery::testing::choices& from) {
        turn t{true, from.of(std::vector<std::string>{"backup", "repair", "audit"})};
        sw.turn_on(tx, t.reason);
        return t;
    });
    s.operation("off", [](auto& sw, auto& tx, joinery::testing::choices&) {
        sw.turn_off(tx);
        return turn{};
    });
    s.view([](const reasoned_switch& sw) { return printed(sw.reasons()); });
    s.specification(specified);
    return s;
}

} // namespace

int main() {
    joinery::replica<reasoned_switch> eu{joinery::replica_id::random()};
    joinery::replica<reasoned_switch> us{joinery::replica_id::random()};
    us.join(eu.edit([](auto& sw, auto& tx) { sw.turn_on(tx, "backup"); }));
    auto off = eu.edit([](auto& sw, auto& tx) { sw.turn_off(tx); });
    auto on = us.edit([](auto& sw, auto& tx) { sw.turn_on(tx, "repair"); });
    us.join(off);
    joinery::change_list list;
    eu.join(on, &list);
    std::cout << "off and on at the same moment: the switch is " << printed(eu->reasons()) << '\n';
    const auto told = list.take().values;
    for (const auto& c : told) std::cout << "eu is told: " << to_string(c) << '\n';

    auto report = joinery::testing::check(switches());
    std::cout << to_string(report) << to_string(report.counts);
    const bool thorough = report.counts.histories() < 100 || report.counts.thin().empty();

    const auto all = joinery::testing::explore(switches());
    std::cout << to_string(all);

    return eu.state() == us.state() && told.size() == 1 && report.ok() && thorough && all.ok() ? 0 : 1;
}
