// SPDX-License-Identifier: Apache-2.0
#include <joinery/siblings.hpp>

#include "replicas.hpp"

#include <joinery/lww_register.hpp>
#include <joinery/mv_register.hpp>
#include <joinery/or_map.hpp>

#include <doctest/doctest.h>

#include <random>
#include <string>
#include <vector>

using namespace joinery;

namespace {

using number = mv_register<int>;
using text = lww_register<std::string>;
using texts = or_map<std::string, text>;

auto setting(int v) {
    return [v](number& r, transaction& tx) { r.set(tx, v); };
}

} // namespace

TEST_CASE("siblings: a value beside a concurrent one is seen, and resolved by a write that has seen both") {
    replica<number> a{id_a}, b{id_b};
    const auto one = a.edit(setting(1)), two = b.edit(setting(2));
    a.join(two);
    CHECK(a.siblings() == sibling_counts{1, 0});
    CHECK_FALSE(a.join(two)); // once
    CHECK(a.siblings() == sibling_counts{1, 0});
    b.join(one);
    const auto three = a.edit(setting(3));
    CHECK(a.siblings() == sibling_counts{1, 1});
    b.join(three); // elsewhere too
    CHECK(b.siblings() == sibling_counts{1, 1});
}

TEST_CASE("siblings: a write that has seen what it replaces is no conflict") {
    replica<text> a{id_a}, b{id_b};
    for (int i = 0; i < 10; ++i) {
        b.join(a.edit([](text& t, transaction& tx) { t.set(tx, "from a"); }));
        a.join(b.edit([](text& t, transaction& tx) { t.set(tx, "from b"); }));
    }
    CHECK(a.siblings() == sibling_counts{});
    CHECK(b.siblings() == sibling_counts{});
}

TEST_CASE("siblings: several at once, and a write that knows only some of them") {
    replica<number> a{id_a}, b{id_b}, c{id_c};
    const auto one = a.edit(setting(1)), two = b.edit(setting(2)), three = c.edit(setting(3));
    b.join(one);
    const auto four = b.edit(setting(4)); // instead of 1 and 2
    CHECK(b.siblings() == sibling_counts{1, 1});
    a.join(two);
    a.join(three);
    CHECK(a.siblings() == sibling_counts{2, 0});
    a.join(four);
    CHECK(a->size() == 2);
    CHECK(a.siblings() == sibling_counts{3, 2});
    a.edit([](number& r, transaction& tx) { r.reset(tx); });
    CHECK(a.siblings() == sibling_counts{3, 3});
    replica<number> late{replica_id{0xd}};
    late.join(c.state());
    late.join(b.delta_since({})); // 4, and that 1 and 2 are gone
    CHECK(late.siblings() == sibling_counts{1, 0});
}

TEST_CASE("siblings: an edit that is undone resolves nothing") {
    replica<number> a{id_a}, b{id_b};
    a.edit(setting(1));
    a.join(b.edit(setting(2)));
    check_undone(a, [](number& r, transaction& tx) { r.set(tx, 3); });
    CHECK(a.siblings() == sibling_counts{1, 0});
}

TEST_CASE("siblings: registers inside of a map count too, and go with their key") {
    replica<texts> a{id_a}, b{id_b};
    const auto at = [](const std::string& key, const std::string& value) {
        return [=](texts& m, transaction& tx) { m.at(tx, key)->set(tx, value); };
    };
    const auto one = a.edit(at("title", "x")), two = b.edit(at("title", "y"));
    a.edit(at("author", "z"));
    a.join(two), b.join(one);
    CHECK(a.siblings() == sibling_counts{1, 0});
    a.join(b.edit([](texts& m, transaction& tx) { m.erase(tx, "title"); }));
    CHECK(b.siblings() == sibling_counts{1, 1});
    CHECK(a.siblings() == sibling_counts{1, 1});
}

TEST_CASE("siblings: what was seen and not resolved stands there still") {
    std::mt19937 random(1);
    std::vector<replica<number>> all;
    for (std::uint64_t i = 0; i < 4; ++i) all.emplace_back(replica_id{i + 1});
    for (int step = 0; step < 2000; ++step) {
        auto &r = all[random() % 4], &other = all[random() % 4];
        switch (random() % 6) {
        case 0: r.edit(setting(step)); break;
        case 1: r.edit([](number& n, transaction& tx) { n.reset(tx); }); break;
        case 2: r.join(other.state()); break;
        default: r.join(other.delta_since(r.version())); break;
        }
        const auto live = r->size() > 0 ? r->size() - 1 : 0;
        CHECK(r.siblings().seen - r.siblings().resolved == live);
    }
}
