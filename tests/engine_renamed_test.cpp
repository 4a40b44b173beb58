// SPDX-License-Identifier: Apache-2.0

// A node that has a new id is one machine: whoever counts what peers have counts it once.

#include "engine_router.hpp"

using namespace joinery;
using namespace std::chrono_literals;

namespace {

auto none_of(std::initializer_list<std::size_t> nodes) {
    return [all = std::vector(nodes)](const auto& e, const auto&) {
        return std::any_of(all.begin(), all.end(), [&](std::size_t n) { return e.from == n || e.to == n; });
    };
}

} // namespace

TEST_CASE("renamed: a node that starts again under a new id does not answer a reader twice") {
    router r;
    auto &a = r.add("a", durability::relaxed), &hub = r.add("hub"), &away = r.add("away");
    auto& again = r.add("a", durability::relaxed);
    for (auto* n : {&a, &hub, &away}) n->start();
    r.link(0, 1);
    r.link(1, 2);
    a.add("milk");
    r.run(1s);
    r.lose = none_of({2});
    const auto round = hub.engine->ask();
    r.flush();
    r.deliver();
    REQUIRE(hub.engine->answered(hub.number, round) == std::vector{a.engine->id()});

    again.disk = a.disk.copy(); // killed; that the old link is down is not known yet
    r.lose = none_of({0, 2});
    again.start();
    REQUIRE(again.engine->id() != a.engine->id());
    r.link(1, 3);
    r.run(50ms);
    CHECK(hub.engine->answered(hub.number, round) == std::vector{again.engine->id()});
    const auto missing = hub.engine->others(hub.number, {}, peer_scope::all);
    CHECK(std::none_of(missing.begin(), missing.end(), [&](const auto& p) { return p.id == a.engine->id(); }));
    for (const auto& p : hub.engine->peers()) CHECK(p.renamed == (p.id == a.engine->id()));
}

TEST_CASE("renamed: a node that starts again under a new id does not acknowledge a write twice") {
    router r;
    auto &a = r.add("a", durability::relaxed), &hub = r.add("hub"), &away = r.add("away");
    auto& again = r.add("a", durability::relaxed);
    for (auto* n : {&a, &hub, &away}) n->start();
    r.link(0, 1);
    r.link(1, 2);
    a.add("bread");
    r.run(1s);
    r.lose = none_of({2});
    const auto written = hub.add("milk");
    r.run(10s);
    REQUIRE(hub.engine->acknowledged_by(hub.number, written) == std::vector{a.engine->id()});

    again.disk = a.disk.copy();
    r.lose = none_of({0, 2});
    again.start();
    r.link(1, 3);
    for (engine_time t{0}; t < 10s; t += 50ms) {
        r.run(50ms);
        CHECK(hub.engine->acknowledged_by(hub.number, written).size() <= 1);
    }
    CHECK(hub.engine->acknowledged_by(hub.number, written) == std::vector{again.engine->id()});
}

TEST_CASE("renamed: a node that takes a new id while it runs counts once, on every link") {
    router r;
    auto &a = r.add("a"), &hub = r.add("hub"), &away = r.add("away");
    for (auto* n : {&a, &hub, &away}) n->start();
    r.link(0, 1);
    r.link(1, 2);
    a.add("bread");
    r.run(1s);
    r.lose = none_of({2});
    const auto written = hub.add("milk");
    r.run(10s);
    const auto was = a.engine->id();
    REQUIRE(hub.engine->acknowledged_by(hub.number, written) == std::vector{was});
    const auto now = a.engine->take_new_id();
    REQUIRE(now != was);
    for (engine_time t{0}; t < 10s; t += 50ms) {
        r.run(50ms);
        CHECK(hub.engine->acknowledged_by(hub.number, written).size() <= 1);
    }
    CHECK(hub.engine->acknowledged_by(hub.number, written) == std::vector{now});
}

// Two instances had one id, and the one that was heard of first took another: the id is the other's, who counts too.
TEST_CASE("renamed: whoever goes on under the id that another gave up counts by itself") {
    router r;
    auto &a = r.add("a"), &hub = r.add("hub"), &copy = r.add("copy");
    for (auto* n : {&a, &hub}) n->start();
    r.link(0, 1);
    a.add("bread");
    r.run(1s);
    copy.disk = a.disk.copy();
    const auto shared = a.engine->id();
    const auto fresh = a.engine->take_new_id();
    r.run(1s);
    copy.start();
    REQUIRE(copy.engine->id() == shared);
    r.link(1, 2);
    r.run(1s);
    const auto written = hub.add("milk");
    r.run(10s);
    const auto who = hub.engine->acknowledged_by(hub.number, written);
    CHECK(who.size() == 2);
    CHECK(std::find(who.begin(), who.end(), fresh) != who.end());
    CHECK(std::find(who.begin(), who.end(), copy.engine->id()) != who.end());
}
