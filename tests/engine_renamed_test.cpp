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

/// A machine linked with a hub, which is linked with another one that nothing is heard of any more.
struct machines {
    router r;
    test_engine &a, &hub, &away, &again; // again: a, started again under another id

    explicit machines(durability level)
        : a(r.add("a", level)), hub(r.add("hub")), away(r.add("away")), again(r.add("a", level)) {
        for (auto* n : {&a, &hub, &away}) n->start();
        r.link(0, 1);
        r.link(1, 2);
        a.add("bread");
        r.run(1s);
        r.lose = none_of({2});
    }
    std::vector<replica_id> acknowledged(dot d) const { return hub.engine->acknowledged_by(hub.number, d); }
    /// It is killed, and comes back before anybody knows that the old link is down.
    void start_again() {
        again.disk = a.disk.copy();
        r.lose = none_of({0, 2});
        again.start();
        REQUIRE(again.engine->id() != a.engine->id());
        r.link(1, 3);
    }
    /// While time goes on nobody counts twice.
    void check_counted_once(dot d) {
        for (engine_time t{0}; t < 10s; t += 50ms) {
            r.run(50ms);
            CHECK(acknowledged(d).size() <= 1);
        }
    }
};

} // namespace

TEST_CASE("renamed: a node that starts again under a new id does not answer a reader twice") {
    machines m(durability::relaxed);
    const auto round = m.hub.engine->ask();
    m.r.flush();
    m.r.deliver();
    REQUIRE(m.hub.engine->answered(m.hub.number, round) == std::vector{m.a.engine->id()});

    m.start_again();
    m.r.run(50ms);
    CHECK(m.hub.engine->answered(m.hub.number, round) == std::vector{m.again.engine->id()});
    const auto missing = m.hub.engine->others(m.hub.number, {}, peer_scope::all);
    CHECK(std::none_of(missing.begin(), missing.end(), [&](const auto& p) { return p.id == m.a.engine->id(); }));
    for (const auto& p : m.hub.engine->peers()) CHECK(p.renamed == (p.id == m.a.engine->id()));
}

TEST_CASE("renamed: a node that starts again under a new id does not acknowledge a write twice") {
    machines m(durability::relaxed);
    const auto written = m.hub.add("milk");
    m.r.run(10s);
    REQUIRE(m.acknowledged(written) == std::vector{m.a.engine->id()});
    m.start_again();
    m.check_counted_once(written);
    CHECK(m.acknowledged(written) == std::vector{m.again.engine->id()});
}

TEST_CASE("renamed: a node that takes a new id while it runs counts once, on every link") {
    machines m(durability::full);
    const auto written = m.hub.add("milk");
    m.r.run(10s);
    const auto was = m.a.engine->id();
    REQUIRE(m.acknowledged(written) == std::vector{was});
    const auto now = m.a.engine->take_new_id();
    REQUIRE(now != was);
    m.check_counted_once(written);
    CHECK(m.acknowledged(written) == std::vector{now});
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
