// SPDX-License-Identifier: Apache-2.0
#include <joinery/removal_log.hpp>

#include <doctest/doctest.h>

#include <vector>

using joinery::causal_context;
using joinery::dot;
using joinery::dot_range;
using joinery::kills;
using joinery::removal;
using joinery::removal_log;
using joinery::replica_id;
using joinery::run_removal;
using joinery::version_vector;

namespace {
constexpr replica_id a{1}, b{2}, c{3};

removal record(dot event, std::vector<dot_range> dots, std::vector<run_removal> runs = {}) {
    return {event, {std::move(dots), std::move(runs)}};
}
std::vector<dot> events(const removal_log& log) {
    std::vector<dot> out;
    log.for_each([&](dot event, const kills&) { out.push_back(event); });
    return out;
}
} // namespace

TEST_CASE("kills: in normal form, ranges that touch are one") {
    kills k;
    k.add(dot{b, 4});
    k.add(dot_range{a, 3, 5});
    k.add(dot{a, 6});
    k.add(dot{a, 4});
    k.add(dot{a, 9});
    k.add(run_removal{{b, 2}, 7, 1, 0});
    k.add(run_removal{{a, 2}, 3, 1, 0});
    CHECK_FALSE(k.normal());
    k.normalize();
    CHECK(k.normal());
    CHECK(k.dots == std::vector<dot_range>{{a, 3, 6}, {a, 9, 9}, dot_range(dot{b, 4})});
    CHECK(k.runs.front().start == dot{a, 2});
    k.add(run_removal{{b, 2}, 8, 1, 0}); // the same run twice
    CHECK_FALSE(k.normal());
    CHECK(kills{}.normal());
    CHECK(kills{}.empty());
}

TEST_CASE("removal_log: killed dots that were not seen are kept out when they arrive") {
    removal_log log;
    causal_context seen{{a, 1, 2}};
    CHECK(log.add(record({b, 1}, {{a, 2, 4}}), seen));
    CHECK_FALSE(log.add(record({b, 1}, {{a, 2, 4}}), seen)); // known
    CHECK_FALSE(log.kills_arriving(dot{a, 2}));              // was here: dropped at once
    CHECK(log.kills_arriving(dot{a, 3}));
    CHECK(log.kills_arriving(dot_range{a, 4, 9}));
    CHECK_FALSE(log.kills_arriving(dot{a, 5}));
    CHECK(log.awaited() == causal_context{{a, 3, 4}});
    log.arrived(causal_context{{a, 3, 3}});
    CHECK_FALSE(log.kills_arriving(dot{a, 3}));
    CHECK(log.kills_arriving(dot{a, 4}));
    CHECK(log.contains({b, 1}));
    CHECK(log.size() == 1);
}

TEST_CASE("removal_log: many records are added as they are one by one") {
    causal_context seen{{a, 1, 10}, {b, 5, 5}};
    std::vector<removal> records;
    for (std::uint64_t i = 1; i <= 20; ++i) records.push_back(record({b, i}, {{a, 41 - 2 * i, 41 - 2 * i}}));
    removal_log together, apart;
    auto fresh = together.add(records, seen);
    CHECK(fresh.size() == 19); // b5 was seen before
    for (const auto& r : records)
        if (!seen.contains(r.event)) apart.add(r, seen);
    CHECK(together == apart);
    CHECK(together.awaited() == apart.awaited());
    CHECK(together.bytes() == apart.bytes());
    CHECK(together.kills_arriving(dot{a, 39}));
    CHECK_FALSE(together.kills_arriving(dot{a, 31})); // b5's
}

TEST_CASE("removal_log: answers with the records of the events asked for, in order") {
    removal_log log;
    for (std::uint64_t s : {5, 1, 3}) log.add(record({b, s}, {{a, s, s}}), {});
    log.add(record({a, 9}, {{b, 1, 1}}), {});
    auto out = log.extract(causal_context{{b, 2, 9}, {a, 1, 20}});
    REQUIRE(out.size() == 3);
    CHECK(out[0].event == dot{a, 9});
    CHECK(out[1].event == dot{b, 3});
    CHECK(out[2].event == dot{b, 5});
    CHECK(log.extract({}).empty());
}

TEST_CASE("removal_log: a record goes when its event and all that it killed are stable") {
    removal_log log;
    log.add(record({b, 2}, {{a, 1, 3}}), {});
    log.add(record({b, 4}, {{a, 7, 7}}), {});
    log.add(record({b, 6}, {}, {{{a, 8}, 9, 5, 0}}), {});
    CHECK(log.prune({{b, 9}}).empty());
    CHECK(log.prune({{a, 2}, {b, 9}}).empty());
    CHECK(log.prune({{a, 7}, {b, 3}}) == std::vector<dot_range>{{a, 1, 3}});
    CHECK(events(log) == std::vector<dot>{{b, 4}, {b, 6}});
    CHECK(log.against_run({a, 8}) != nullptr);
    CHECK(log.prune({{a, 8}, {b, 6}}) == std::vector<dot_range>{{a, 7, 7}});
    log.prune({{a, 9}, {b, 6}});
    CHECK(log.empty());
    CHECK(log.against_run({a, 8}) == nullptr);
    CHECK(log.bytes() == 0);
}

TEST_CASE("removal_log: what was removed of an absent replica's runs stays, without the rest") {
    removal_log log;
    log.add(record({b, 6}, {{a, 1, 3}}, {{{a, 8}, 9, 5, 0}, {{c, 1}, 2, 7, 0}}), {});
    CHECK(log.prune({{a, 9}, {b, 6}, {c, 9}}, [](replica_id r) { return r == c; }) ==
          std::vector<dot_range>{{a, 1, 3}});
    CHECK(log.against_run({a, 8}) == nullptr);
    REQUIRE(log.against_run({c, 1}) != nullptr);
    CHECK(log.against_run({c, 1})->increments == 7);
    CHECK(log.extract(causal_context{{b, 6, 6}}).front().killed.dots.empty());
    log.prune({{a, 9}, {b, 6}, {c, 9}});
    CHECK(log.empty());
    CHECK(log.bytes() == 0);
}

TEST_CASE("removal_log: a horizon takes records away, but not those against counter runs") {
    removal_log log;
    log.add(record({b, 2}, {{a, 1, 3}}), {});
    log.add(record({b, 6}, {}, {{{a, 8}, 9, 5, 0}}), {});
    log.prune_dots({{a, 20}, {b, 20}});
    CHECK(events(log) == std::vector<dot>{{b, 6}});
    CHECK(log.against_run({a, 8}) != nullptr);
}

TEST_CASE("removal_log: of several records against a run the one that saw most counts") {
    removal_log log;
    log.add(record({a, 9}, {}, {{{b, 1}, 4, 40, 0}}), {});
    log.add(record({a, 10}, {}, {{{b, 1}, 2, 20, 0}}), {});
    REQUIRE(log.against_run({b, 1}) != nullptr);
    CHECK(log.against_run({b, 1})->increments == 40);
    log.prune({{a, 10}, {b, 3}}); // the weaker one goes
    CHECK(log.against_run({b, 1})->increments == 40);
}

TEST_CASE("removal_log: forgetting the older half moves the horizon past what went") {
    removal_log log;
    for (std::uint64_t s = 1; s <= 10; ++s) log.add(record({b, s}, {{a, s, s}}), {});
    version_vector horizon;
    std::size_t before = log.bytes();
    log.forget_older_half({{a, 10}, {b, 10}}, horizon);
    CHECK(log.size() == 5);
    CHECK(horizon == version_vector{{a, 5}, {b, 5}});
    CHECK(log.bytes() * 2 == before);
    log.forget_older_half({{a, 6}, {b, 10}}, horizon); // a7 and later are not here without gaps
    CHECK(events(log).front() == dot{b, 7});
    CHECK(horizon == version_vector{{a, 6}, {b, 6}});
}

TEST_CASE("removal_log: a range of any length is one entry") {
    removal_log log;
    constexpr std::uint64_t far = std::uint64_t{1} << 60;
    log.add(record({b, 1}, {{a, 1, far}}), causal_context{{a, 5, 5}, {a, far - 1, far - 1}});
    CHECK(log.awaited().range_count() == 3);
    CHECK(log.kills_arriving(dot{a, far / 2}));
    log.arrived(causal_context{{a, 1, far}});
    CHECK(log.awaited().empty());
}

TEST_CASE("removal_log: what two records kill is settled when both are pruned") {
    removal_log log;
    const causal_context seen{{a, 1, 9}, {b, 1, 9}};
    log.add(removal{{a, 8}, {{{a, 1, 3}}, {}}}, seen);
    log.add(removal{{b, 8}, {{{a, 2, 2}}, {}}}, seen);
    CHECK(log.prune({{a, 9}, {b, 7}}) == std::vector<dot_range>{{a, 1, 1}, {a, 3, 3}});
    CHECK(log.prune({{a, 9}, {b, 9}}) == std::vector<dot_range>{{a, 2, 2}});
}
