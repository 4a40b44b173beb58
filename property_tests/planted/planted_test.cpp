// SPDX-License-Identifier: Apache-2.0
// The testing kit finds what it is there to find: each planted bug, after a few histories, and nothing
// where none is planted.

#include "../drivers.hpp"
#include "../environment_variable.hpp"
#include "state.hpp"

#include <joinery/convergence.hpp>
#include <joinery/exploration.hpp>
#include <joinery/or_map.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <cstdio>
#include <functional>
#include <stdexcept>
#include <string>
#include <vector>

using joinery::transaction;
using joinery::testing::choices;
using joinery::testing::show;
using planted::bug;
using specification::act;
using specification::operation;
namespace kit = joinery::testing;

namespace {

template <class T> kit::subject<T, operation> with_specification(std::string name) {
    kit::subject<T, operation> s(std::move(name));
    s.specification(specification::specified, kit::event_sets::all);
    return s;
}

template <class Set> kit::subject<Set, operation> set_subject(std::string name) {
    auto s = with_specification<Set>(std::move(name));
    s.operation("", [](Set& set, transaction& tx, choices& from) {
        bool adds = from.pick(5) < 3;
        int e = static_cast<int>(from.pick(3));
        if (adds)
            set.add(tx, e);
        else
            set.remove(tx, e);
        return operation{adds ? act::add : act::remove, {}, show(e)};
    });
    s.view([](const Set& set) {
        if (set.empty()) return specification::printed({});
        return specification::printed({{"", kit::show_unordered(set.elements())}});
    });
    return s;
}

kit::subject<planted::small_register, operation> register_subject() {
    auto s = with_specification<planted::small_register>("small_register");
    s.operation("", [](planted::small_register& r, transaction& tx, choices& from) {
        int v = static_cast<int>(from.pick(6));
        if (from.pick(8) == 7) {
            r.reset(tx);
            return operation{act::reset};
        }
        r.set(tx, v);
        return operation{act::set, {}, show(v), 0, tx.now()};
    });
    s.view([](const planted::small_register& r) {
        if (r.empty()) return specification::printed({});
        return specification::printed({{"", show(r.siblings())}});
    });
    return s;
}

using counters = joinery::or_map<std::string, planted::small_counter>;

kit::subject<counters, operation> counter_subject() {
    auto s = with_specification<counters>("or_map<small_counter>");
    s.operation("", [](counters& map, transaction& tx, choices& from) {
        std::string key(1, static_cast<char>('a' + from.pick(2)));
        if (from.pick(3) == 2) {
            map.erase(tx, key);
            return operation{act::remove_key, key};
        }
        std::uint64_t n = 1 + from.pick(3);
        map.at(tx, key)->increment(tx, n);
        return operation{act::increment, key, {}, static_cast<std::int64_t>(n)};
    });
    s.view([](const counters& map) {
        specification::contents out;
        for (const auto& [key, counter] : map) out[key] = std::to_string(counter.value());
        return specification::printed(out);
    });
    return s.stale(kit::stale_peers::only_read);
}

kit::subject<planted::pair_of_sets> pair_subject() {
    kit::subject<planted::pair_of_sets> s("pair_of_sets");
    s.operation("add to both", [](planted::pair_of_sets& pair, transaction& tx, choices& from) {
        int e = static_cast<int>(from.pick(3));
        joinery::dot d = tx.next();
        pair.one.add_as(tx, d, e);
        pair.two.add_as(tx, planted::is(bug::one_dot_for_two) ? d : tx.next(), e);
        return show(e);
    });
    s.operation("remove from one", [](planted::pair_of_sets& pair, transaction& tx, choices& from) {
        pair.one.remove(tx, static_cast<int>(from.pick(3)));
    });
    return s;
}

constexpr std::uint64_t most_histories = 5000;

template <class Subject> void find(bug b, const Subject& s, kit::options o = {}) {
    planted::now = b;
    o.histories = most_histories;
    o.seed = 1; // a smallest history is no smaller than chance and shrinking leave it
    auto report = kit::check(s, o);
    planted::now = bug::none;
    CAPTURE(planted::name(b));
    REQUIRE(report.failure.has_value());
    const auto& f = *report.failure;
    INFO(to_string(report));
    CHECK(f.smallest.actions.size() <= 12); // small enough to be read
    REQUIRE(f.story.size() > 1);
    CHECK(f.story.front().starts_with("A B ")); // a column for each replica
    for (std::size_t i = 1; i < f.story.size(); ++i) CHECK(f.story[i].find_first_of("|*!vxo") == 0);
    const std::string pasted = kit::as_cpp(f.smallest);
    CHECK(pasted.find(".replicas = " + std::to_string(f.smallest.replicas)) != std::string::npos);
    CHECK(static_cast<std::size_t>(std::count(pasted.begin(), pasted.end(), '\n')) == f.smallest.actions.size() + 3);
    std::printf("%-50s %-22s after %3llu histories, in %2zu steps: %s\n", std::string(planted::name(b)).c_str(),
                s.name().c_str(), static_cast<unsigned long long>(f.after), f.smallest.actions.size(), f.law.c_str());
    if (kit::environment_number("JOINERY_STORIES", 0)) std::printf("%s\n", to_string(f).c_str());
}

template <class Subject> void find_nothing(const Subject& s) {
    auto report = kit::check(s, {.usual_histories = 200});
    INFO(to_string(report));
    CHECK(report.ok());
}

} // namespace

TEST_CASE("planted bugs: without one, nothing is found") {
    find_nothing(set_subject<planted::small_set>("small_set"));
    find_nothing(set_subject<planted::stated_set>("stated_set"));
    find_nothing(register_subject());
    find_nothing(counter_subject());
    find_nothing(pair_subject());
}

TEST_CASE("planted bugs: those of a set are found") {
    auto sets = set_subject<planted::small_set>("small_set");
    for (bug b : {bug::keeps_what_is_covered, bug::enters_again, bug::enters_though_killed, bug::stays_though_killed,
                  bug::removal_without_record, bug::removal_of_the_unseen, bug::newest_of_replica_wins,
                  bug::rollback_keeps_entry, bug::rollback_forgets_removed, bug::delta_of_everything,
                  bug::equality_by_arrival, bug::bytes_by_arrival, bug::digest_by_arrival, bug::copies_share})
        find(b, sets);
    find(bug::one_dot_for_two, pair_subject());
}

TEST_CASE("planted bugs: those of registers and counters are found") {
    find(bug::only_winner_is_kept, register_subject());
    find(bug::ties_by_arrival, register_subject());
    find(bug::removed_count_comes_back, counter_subject());
    find(bug::unseen_count_is_removed, counter_subject());
}

TEST_CASE("planted bugs: those of a state are found") {
    auto sets = set_subject<planted::stated_set>("stated_set");
    for (bug b : {bug::killed_dots_are_seen, bug::early_prune, bug::part_as_whole, bug::answer_without_records,
                  bug::horizon_is_not_told, bug::horizon_is_not_minded, bug::accepts_everything, bug::always_grown,
                  bug::compares_versions})
        find(b, sets);
}

// A text's tombstone may go once all have seen its deletion and can send nothing that was made before they had.
TEST_CASE("planted bugs: beacons that are taken for acknowledgements too early are found") {
    kit::options o;
    o.rule = kit::acknowledgement::at_once;
    o.shape.least_replicas = o.shape.most_replicas = 3;
    o.shape.least_steps = 20;
    o.shape.most_steps = 40;
    find(bug::counts_early_beacons, drivers::subject<joinery::rga_text>("rga_text"), o);
}

TEST_CASE("planted bugs: a failure can be replayed from its seed, and its smallest history fails alike") {
    planted::now = bug::keeps_what_is_covered;
    auto sets = set_subject<planted::small_set>("small_set");
    auto first = kit::check(sets, {.histories = most_histories});
    REQUIRE(first.failure.has_value());
    const environment_variable seed("JOINERY_SEED", std::to_string(first.failure->seed));
    auto again = kit::check(sets, {.seed = 17, .histories = 1}); // the environment's takes the place of the program's
    CHECK(again.seed == first.failure->seed);
    REQUIRE(again.failure.has_value());
    CHECK(again.failure->law == first.failure->law);
    CHECK(again.failure->smallest == first.failure->smallest);
    std::vector<std::string> story;
    auto found = kit::run(sets, first.failure->smallest, &story);
    REQUIRE(found.has_value());
    CHECK(found->law == first.failure->law);
    CHECK(story == first.failure->story);
    planted::now = bug::none;
    CHECK_FALSE(kit::run(sets, first.failure->smallest).has_value());
}

namespace {
using counted = kit::subject<joinery::g_counter, std::uint64_t>;

// Increments by one, as long as draws have their first choices. Specified is what each does as a whole.
counted increments(const std::function<std::uint64_t(std::uint64_t)>& specified) {
    counted s("g_counter");
    s.operation("increment", [](auto& c, auto& tx, kit::choices& from) {
        const std::uint64_t n = 1 + from.pick(3) + from.pick(3) + from.pick(3);
        c.increment(tx, n);
        return n;
    });
    s.view([](const joinery::g_counter& c) { return std::to_string(c.value()); });
    s.specification([specified](const kit::seen_events<std::uint64_t>& seen) {
        std::uint64_t sum = 0;
        for (const auto& e : seen) sum += specified(e.what);
        return std::to_string(sum);
    });
    return s;
}
} // namespace

TEST_CASE("explore: second choices are tried too, in small histories, and the report says in which") {
    const auto right = kit::explore(increments([](std::uint64_t n) { return n; }), {.replicas = 2, .edits = 3});
    INFO(to_string(right));
    CHECK(right.ok());
    CHECK(right.draws == 3);
    CHECK(to_string(right).find("draws (up to 3 by an operation): the first two choices of the first 2 draws in "
                                "histories of up to 3 edits, else the first choices only") != std::string::npos);

    const auto only_ones = increments([](std::uint64_t) { return std::uint64_t{1}; });
    const auto wrong = kit::explore(only_ones, {.replicas = 2, .edits = 2});
    REQUIRE_FALSE(wrong.ok());
    REQUIRE(wrong.story.size() == 1);
    CHECK(wrong.story.front() == "A, having seen {}, edits: increment 2 = A1");

    const auto first = kit::explore(only_ones, {.replicas = 2, .edits = 2, .varied_draws = 0});
    CHECK(first.ok());
    CHECK(first.histories < right.histories);
    CHECK(to_string(first).find("draws (up to 3 by an operation): the first choices only") != std::string::npos);
    // None, or one edit with either choice of two draws; which replica makes it is no difference.
    const auto one = kit::explore(increments([](std::uint64_t n) { return n; }), {.replicas = 2, .edits = 1});
    CHECK(one.histories == 1 + 4);
}

TEST_CASE("explore: operations that refuse what they are asked for make no history, and are counted") {
    kit::subject<joinery::g_counter> s("g_counter");
    s.operation("increment", [](auto& c, auto& tx, kit::choices& from) {
        if (from.pick(2) == 1) throw std::invalid_argument("too much");
        c.increment(tx, 1);
    });
    const auto found = kit::explore(s, {.replicas = 2, .edits = 2});
    CHECK(found.ok());
    CHECK(found.refused > 0);
    CHECK(to_string(found).find(" edits refused") != std::string::npos);
}

TEST_CASE("check: the story says where the history is over, and which events cannot be shown") {
    struct silent {};
    kit::subject<joinery::g_counter, silent> s("g_counter");
    s.operation("increment", [](auto& c, auto& tx, kit::choices&) {
        c.increment(tx, 1);
        return silent{};
    });
    std::vector<std::string> story;
    kit::history h;
    h.actions = {{kit::action_kind::edit, 0, 0, 0, 0, {0}}};
    CHECK_FALSE(kit::run(s, h, &story));
    std::string all;
    for (const auto& line : story) all += line + "\n";
    CHECK(all.find("A edits: increment (no operator<<) = A1") != std::string::npos);
    CHECK(all.find("the history is over; as after each, all ask all") != std::string::npos);
    CHECK(all.find("what is pruned must go on working: each edits once more") != std::string::npos);
}
