// SPDX-License-Identifier: Apache-2.0
#include <joinery/causal_context.hpp>

#include <doctest/doctest.h>

#include <random>
#include <set>
#include <utility>

using joinery::causal_context;
using joinery::dot;
using joinery::dot_range;
using joinery::replica_id;
using joinery::version_vector;

namespace {
constexpr replica_id id_1{1}, id_2{2}, id_3{3};

// The specification: a set of dots.
using model = std::set<std::pair<std::uint64_t, std::uint64_t>>;

constexpr std::uint64_t replicas = 3, sequences = 40;

void insert(model& m, const dot_range& r) {
    for (std::uint64_t s = r.first; s <= r.last; ++s) m.emplace(r.replica.value(), s);
}
void erase(model& m, const dot_range& r) {
    for (std::uint64_t s = r.first; s <= r.last; ++s) m.erase({r.replica.value(), s});
}
model dots_of(const causal_context& c) {
    model m;
    c.for_each([&](const dot_range& r) { insert(m, r); });
    return m;
}
model united(model x, const model& y) {
    x.insert(y.begin(), y.end());
    return x;
}
model without(const model& x, const model& y) {
    model out;
    for (const auto& d : x)
        if (!y.contains(d)) out.insert(d);
    return out;
}
model common(const model& x, const model& y) { return without(x, without(x, y)); }

dot_range random_range(std::mt19937& random, std::uint64_t longest = 6) {
    std::uint64_t first = 1 + random() % sequences;
    return {replica_id{1 + random() % replicas}, first, std::min(sequences, first + random() % longest)};
}
// A few long ranges, or many short ones.
std::pair<causal_context, model> random_context(std::mt19937& random) {
    std::pair<causal_context, model> out;
    const bool many = random() % 3 == 0;
    for (auto n = random() % (many ? 60 : 8); n > 0; --n) {
        auto r = random_range(random, many ? 2 : 6);
        out.first.add(r);
        insert(out.second, r);
    }
    return out;
}
version_vector version_of(const model& m) {
    version_vector v;
    for (std::uint64_t r = 1; r <= replicas; ++r) {
        std::uint64_t n = 0;
        while (m.contains({r, n + 1})) ++n;
        v.raise(replica_id{r}, n);
    }
    return v;
}
// Ranges are maximal, sorted and not empty.
bool canonical(const causal_context& c) {
    const auto all = c.ranges();
    for (std::size_t i = 0; i < all.size(); ++i) {
        if (all[i].first == 0 || all[i].first > all[i].last) return false;
        if (i == 0) continue;
        const dot_range& before = all[i - 1];
        if (before.replica == all[i].replica ? before.last + 1 >= all[i].first : before.replica > all[i].replica)
            return false;
    }
    return true;
}
model dots_in(const std::vector<dot_range>& ranges) {
    model m;
    for (const auto& r : ranges) insert(m, r);
    return m;
}
} // namespace

TEST_CASE("causal_context: one dot at a time, it does what a set does") {
    std::mt19937 random(1);
    causal_context context;
    model expected;
    for (int i = 0; i < 4000; ++i) {
        auto r = random_range(random);
        if (random() % 2 == 0) {
            auto before = expected.size();
            insert(expected, r);
            CHECK(context.add(r) == (expected.size() > before));
        } else {
            context.remove(r);
            erase(expected, r);
        }
        REQUIRE(canonical(context));
        REQUIRE(dots_of(context) == expected);
        CHECK(context.count() == expected.size());
        CHECK(context.empty() == expected.empty());
        CHECK(context.version() == version_of(expected));
        auto asked = random_range(random);
        model inside = common(dots_of(causal_context{asked}), expected);
        CHECK(context.contains(asked) == (inside.size() == asked.size()));
        CHECK(context.intersects(asked) == !inside.empty());
        CHECK(dots_in(context.intersect(asked)) == inside);
        CHECK(dots_in(context.missing(asked)) == without(dots_of(causal_context{asked}), expected));
        CHECK(context.contains(dot{asked.replica, asked.first}) ==
              expected.contains({asked.replica.value(), asked.first}));
        CHECK(context.contiguous(asked.replica) == version_of(expected)[asked.replica]);
    }
}

TEST_CASE("causal_context: two at a time, they do what sets do") {
    std::mt19937 random(2);
    int grew = 0, contained = 0, met = 0;
    for (int i = 0; i < 4000; ++i) {
        auto [x, mx] = random_context(random);
        auto [y, my] = random_context(random);
        auto joined = x;
        bool more = joined.join(y);
        grew += more;
        CHECK(more == (united(mx, my) != mx));
        CHECK(dots_of(joined) == united(mx, my));
        auto rest = x;
        rest.subtract(y);
        CHECK(dots_of(rest) == without(mx, my));
        CHECK(rest == x.minus(y));
        CHECK(dots_of(x.intersect(y)) == common(mx, my));
        CHECK(x.intersects(y) == !common(mx, my).empty());
        CHECK(x.contains(y) == without(my, mx).empty());
        contained += x.contains(y);
        met += x.intersects(y);
        auto v = y.version();
        auto beyond = x;
        beyond.subtract(v);
        CHECK(beyond == x.minus(v));
        CHECK(beyond == x.minus(causal_context(v)));
        CHECK(x.gapless() == (causal_context(x.version()) == x));
        for (const auto* c : {&joined, &rest, &beyond}) CHECK(canonical(*c));
        CHECK((x == y) == (mx == my));
    }
    CHECK(grew > 1000);
    CHECK(contained > 100);
    CHECK(met > 1000);
}

TEST_CASE("causal_context: sequence numbers 1 and the greatest there is") {
    constexpr std::uint64_t most = UINT64_MAX;
    causal_context whole{{id_1, 1, most}};
    CHECK(whole.contains(dot{id_1, 1}));
    CHECK(whole.contains(dot{id_1, most}));
    CHECK(whole.gapless());
    CHECK(whole.version()[id_1] == most);
    CHECK(whole.minus(version_vector{{id_1, most}}).empty());
    CHECK_FALSE(whole.add({id_1, 1, 1}));
    CHECK_FALSE(whole.add({id_1, most, most}));

    causal_context ends{{id_1, most, most}, {id_1, 1, 1}};
    CHECK(ends.range_count() == 2);
    CHECK(ends.greatest(id_1) == most);
    CHECK(ends.contiguous(id_1) == 1);
    CHECK(ends.missing({id_1, 1, most}) == std::vector<dot_range>{{id_1, 2, most - 1}});
    CHECK(ends.add({id_1, 2, most - 1}));
    CHECK(ends == whole);

    whole.remove({id_1, most, most});
    CHECK(whole.greatest(id_1) == most - 1);
    whole.remove({id_1, 1, 1});
    CHECK(whole == causal_context{{id_1, 2, most - 1}});
    CHECK(whole.contiguous(id_1) == 0);
    CHECK(whole.version().empty());
    whole.remove({id_1, 1, most});
    CHECK(whole.empty());
    CHECK(whole.greatest(id_1) == 0);
}

TEST_CASE("causal_context: equal version vectors do not make equal contexts") {
    causal_context none, gap{{id_1, 2, 2}};
    CHECK(none.version() == gap.version());
    CHECK(none != gap);
    CHECK(gap.contains(none));
    CHECK_FALSE(none.contains(gap));
    CHECK_FALSE(gap.gapless());
    CHECK(none.gapless());
}

TEST_CASE("causal_context: a million dots in order are one range, and text says so") {
    causal_context seen;
    for (std::uint64_t s = 1; s <= 1'000'000; ++s) seen.add(dot{id_2, s});
    CHECK(seen.range_count() == 1);
    seen.add({id_2, 1'000'002, 1'000'002});
    seen.add({id_3, 3, 4});
    CHECK(to_string(seen) == "{2:1-1000000 2:1000002 3:3-4}");
    CHECK(seen.count() == 1'000'003);
    CHECK(seen.ranges(id_1).empty());
    CHECK(seen.ranges(id_2).size() == 2);
    seen.clear();
    CHECK(to_string(seen) == "{}");
}
