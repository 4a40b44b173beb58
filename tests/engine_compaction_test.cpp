// SPDX-License-Identifier: Apache-2.0
// What a storage holds: a log that stays short, and great states, in parts.
#include "engine_router.hpp"

using namespace joinery;
using namespace std::chrono_literals;

TEST_CASE("engine: compaction keeps the log short, and the state") {
    router r;
    auto& a = r.add("a");
    a.options.limits.log_minimum = 1000;
    a.start();
    for (int i = 0; i < 100; ++i) a.add("element " + std::to_string(i));
    CHECK(a.counters().compactions > 0);
    CHECK(a.status().log_bytes < 3 * a.status().snapshot_bytes + 1000);
    a.crash();
    a.start();
    CHECK(a.set->get()->size() == 100);
    CHECK(a.add("more").seq == 101);
}

TEST_CASE("engine: a great state is compacted in steps, while edits are made and things are forgotten") {
    router r;
    auto &a = r.add("a"), &b = r.add("b");
    a.options.limits.log_minimum = 1000;
    a.options.timings.prune = b.options.timings.prune = 100ms;
    r.start_all();
    constexpr int count = 100'000;
    for (int i = 0; i < count; ++i) a.add_later(std::to_string(i));
    a.engine->flush();
    a.remove("0");
    r.deliver();
    r.now += 1s; // both have acknowledged it by now, and it is forgotten
    for (int i = 0; i < 2; ++i) {
        for (auto* n : {&a, &b}) n->engine->tick(r.now);
        r.deliver();
    }
    int steps = 0; // each flush makes one
    for (; a.counters().compactions == 0; ++steps) {
        REQUIRE(steps < 100);
        a.add("meanwhile " + std::to_string(steps));
        if (steps == 2) a.remove("1000");
    }
    CHECK(steps > 3);
    CHECK(a.status().log_bytes == 0);
    const auto size = (*a.set)->size();
    const auto last = a.add("last").seq;
    const auto digest = a.set->get().state().digest();
    for (int i = 0; i < 2; ++i) { // the last start reads what the one before compacted
        a.crash();
        a.start();
        CHECK((*a.set)->size() == size + 1);
        CHECK_FALSE(a.has("0"));
        CHECK(a.has("meanwhile 0"));
        CHECK(a.version()[a.engine->id()] == last);
        CHECK(a.set->get().state().digest() == digest);
        r.link(0, 1);
        r.run(2s);
    }
    check_converged(r);
}

TEST_CASE("engine: a complete state that was pulled in parts is stored as it came") {
    router r;
    auto &a = r.add("a"), &b = r.add("b");
    r.start_all();
    for (int i = 0; i < 50'000; ++i) a.add_later(std::to_string(i));
    a.engine->flush();
    a.remove("17");
    r.run(90s);
    REQUIRE_FALSE(a.set->get().state().horizon().empty());
    auto& c = r.add("c");
    c.start();
    c.add_later("of c");
    r.link(0, 2);
    r.run(5s);
    CHECK(c.set->get().state().horizon() == a.set->get().state().horizon());
    check_converged(r);
    c.crash();
    c.start();
    CHECK(c.set->get().state() == a.set->get().state());
    CHECK(c.set->get().state().horizon() == a.set->get().state().horizon());
    CHECK(b.has("of c"));
}

TEST_CASE("engine: what is forgotten while a great state is compacted is not in what is stored") {
    router r;
    auto &a = r.add("a"), &b = r.add("b");
    a.options.limits.log_minimum = 1000;
    r.start_all();
    fill(a, 50'000);
    a.remove("a 49999");                                         // which the first step has read
    for (int i = 0; i < 30 && a.counters().prunings == 0; ++i) { // a hears b, and makes no step
        for (; !r.wire.empty(); r.wire.pop_front())
            r.nodes[r.wire.front().to]->engine->received(r.wire.front().from, r.wire.front().frame);
        r.now += 1s;
        for (auto* n : {&a, &b}) n->engine->tick(r.now);
        b.engine->flush();
    }
    REQUIRE(a.set->get().state().removals().empty());
    REQUIRE(a.counters().compactions == 0);
    for (int i = 0; i < 100 && a.counters().compactions == 0; ++i) a.engine->flush();
    REQUIRE(a.counters().compactions == 1);
    a.crash();
    a.start();
    CHECK_FALSE(a.has("a 49999"));
    CHECK((*a.set)->size() == 49'999);
}

TEST_CASE("engine: a great state is compacted even if something is forgotten at each step") {
    router r;
    auto& a = r.add("a");
    a.options.limits.log_minimum = 1000;
    a.start();
    a.set->set_log_budget(0); // a removal is forgotten with the next one
    fill(a, 50'000);
    for (int i = 0; i < 100 && a.counters().compactions == 0; ++i) a.remove("a " + std::to_string(i));
    REQUIRE(a.counters().compactions == 1);
    a.crash();
    a.start();
    CHECK_FALSE(a.has("a 1"));
    CHECK(a.has("a 49999"));
}
