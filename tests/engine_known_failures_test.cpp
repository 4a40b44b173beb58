// SPDX-License-Identifier: Apache-2.0
// Failures of other systems that replicate with several leaders, each to be one that cannot happen here. The numbers
// are those of the failures of types in known_failures_test.cpp.
#include "engine_router.hpp"

#include <joinery/g_counter.hpp>
#include <joinery/lww_register.hpp>

using namespace joinery;
using namespace std::chrono_literals;

// riak_kv#1040, harmony#79
TEST_CASE("known failures: 9 an actor's dots are used again after a restart, or by a copied database") {
    router r;
    auto &a = r.add("a"), &b = r.add("b"), &c = r.add("c");
    a.start();
    b.start();
    r.link(0, 1);
    r.run(500ms);
    a.add("before the copy");
    r.run(500ms);
    c.disk = a.disk.copy();
    a.add("of the original");
    r.run(500ms);

    // The original is gone; its copy comes back with other edits under the same dots.
    a.crash();
    c.start();
    c.add("of the copy");
    r.link(1, 2);
    r.run(3s);
    for (auto* n : {&b, &c})
        for (const char* e : {"before the copy", "of the original", "of the copy"}) CHECK(n->has(e));

    // And now both live.
    a.start();
    r.link(0, 1);
    r.link(0, 2);
    r.run(3s);
    CHECK(a.engine->id() != c.engine->id());
    a.add("more of the original");
    c.add("more of the copy");
    r.run(3s);
    check_converged(r);
    CHECK((*b.set)->size() == 5);
}

// cachapa/crdt#6
TEST_CASE("known failures: 13 a clock in the future wins for ever") {
    std::uint64_t now = 1'000'000;
    replicated<lww_register<std::string>> ahead([&] { return now + 3'600'000'000; }), here([&] { return now; });
    router r;
    auto &a = r.add("a"), &b = r.add("b");
    for (auto* n : {&a, &b}) n->start();
    REQUIRE(a.engine->attach("title", ahead) == 1);
    REQUIRE(b.engine->attach("title", here) == 1);
    r.link(0, 1);
    r.run(1s);
    edit(r, ahead, [](auto& x, auto& tx) { x.set(tx, "of the future"); });
    r.run(1s);
    REQUIRE(here->get() == "of the future");
    edit(r, here, [](auto& x, auto& tx) { x.set(tx, "after it"); });
    r.run(1s);
    CHECK(ahead->get() == "after it");
    CHECK(here->siblings().size() == 1); // itself
    CHECK(here.clock().greatest_skew() > 0);
    now += 1000;
    edit(r, here, [](auto& x, auto& tx) { x.set(tx, "and again"); });
    r.run(1s);
    CHECK(ahead->get() == "and again");
}

// Cassandra, Pekko
TEST_CASE("known failures: 14 what was removed comes back with a peer that returns after pruning") {
    for (const bool evicted : {false, true}) {
        CAPTURE(evicted);
        router r;
        for (const char* name : {"a", "b", "c"}) r.add(name).start();
        auto &a = *r.nodes[0], &b = *r.nodes[1], &c = *r.nodes[2];
        r.link_all();
        r.run(1s);
        a.add("removed");
        a.add("stays");
        r.run(1s);
        const auto away = c.engine->id();
        c.crash();
        a.remove("removed");
        if (evicted) a.engine->evict(away);
        r.run(3min);
        CHECK(a.set->get().state().removals().empty() == evicted); // a member that is away holds it up
        c.start();
        c.add("while away");
        r.link(0, 2);
        r.link(1, 2);
        r.run(1min);
        check_converged(r);
        for (auto* n : {&a, &b, &c}) {
            CHECK_FALSE(n->has("removed"));
            CHECK(n->has("stays"));
            CHECK(n->has("while away"));
            CHECK_FALSE(n->heard_of(event_kind::divergence));
            CHECK(n->set->get().state().removals().empty());
        }
    }
}

// automerge#772, #1284, #536
TEST_CASE("known failures: 15 a dropped sync message loops for ever; overlapping syncs duplicate") {
    // Each frame of a conversation that repairs a difference is lost, one at a time; then all is quiet.
    int in_all = 1; // of the first conversation, in which the first is lost
    std::set<std::size_t> lost_kinds;
    for (int which = 0; which < in_all; ++which) {
        CAPTURE(which);
        router r;
        auto &a = r.add("a"), &b = r.add("b"), &c = r.add("c");
        for (auto& n : r.nodes) n->start();
        replicated<g_counter> counters[3];
        for (std::size_t i = 0; i < 3; ++i) REQUIRE(r.nodes[i]->engine->attach("count", counters[i]) == 1);
        for (auto& n : r.nodes) n->add("first of " + n->name);
        for (auto& x : counters) edit(r, x, [](auto& g, auto& tx) { g.increment(tx, 7); });
        int sent = 0;
        r.lose = [&](const router::envelope&, const frame_content& f) {
            if (sent++ != which) return false;
            for (const auto kind : {is_update, is_pull, is_chunk, is_beacon, is_hello})
                if (f.has(kind)) lost_kinds.insert(kind);
            return true;
        };
        r.link_all(); // everybody pulls from everybody
        r.run(2s);
        if (which == 0) in_all = sent;
        r.run(18s);
        check_converged(r);
        for (auto& x : counters) CHECK(x->value() == 21);
        CHECK((*c.set)->size() == 3);

        const auto pulls = [&] {
            std::uint64_t n = 0;
            for (auto* e : {&a, &b, &c}) n += e->counters().pulls_sent;
            return n;
        };
        const auto before = pulls();
        const auto frames = r.seen.size();
        r.run(10s);
        CHECK(pulls() == before);
        for (auto i = frames; i < r.seen.size(); ++i) {
            const auto content = content_of(r.seen[i].frame);
            CHECK_FALSE((content.has(is_update) || content.has(is_chunk) || content.has(is_pull)));
        }
    }
    CHECK(in_all > 20);
    CHECK(lost_kinds == std::set<std::size_t>{is_pull, is_chunk, is_beacon, is_hello});
}

// loro#1068, #1095
TEST_CASE("known failures: 16 an update older than the snapshot aborts; 17 an exported snapshot cannot be imported") {
    router r;
    auto &a = r.add("a"), &b = r.add("b"), &c = r.add("c");
    a.options.limits.log_minimum = b.options.limits.log_minimum = 300;
    for (auto* n : {&a, &b}) n->start();
    r.link(0, 1);
    r.run(1s);
    for (int i = 0; i < 40; ++i) {
        a.add("element " + std::to_string(i % 7));
        if (i % 5 == 4) a.remove("element " + std::to_string(i % 7));
    }
    std::vector<router::envelope> old;
    for (const auto& e : r.seen)
        if (e.from == 0 && e.to == 1 && content_of(e.frame).has(is_update)) old.push_back(e);
    REQUIRE(old.size() > 20);
    r.run(2min); // pruned, and compacted to snapshots
    CHECK(a.counters().compactions > 0);
    CHECK(a.counters().prunings > 0);
    CHECK_FALSE(a.set->get().state().horizon().empty());
    const auto was = encode(b.set->get().state());
    for (const auto& e : old) b.engine->received(0, e.frame);
    r.flush();
    CHECK(b.counters().frames_rejected == 0);
    CHECK(encode(b.set->get().state()) == was);

    const auto before = b.set->get().state();
    b.crash(); // opens its snapshot
    b.start();
    CHECK(b.set->get().state() == before);
    c.start(); // gets one from a peer
    r.link(0, 2);
    r.run(2s);
    r.link(1, 2);
    r.link(0, 1);
    for (auto e : old) {
        if (e.from == 0) c.engine->received(0, e.frame);
    }
    r.run(5s);
    CHECK(c.counters().frames_rejected == 0);
    check_converged(r);
    CHECK(c.set->get().state() == before);
}

// y-crdt#415, #378
TEST_CASE("known failures: 18 malformed input aborts or exhausts memory") {
    router r;
    auto &a = r.add("a"), &b = r.add("b");
    r.start_all();
    for (int i = 0; i < 20; ++i) a.add("element " + std::to_string(i));
    const auto frames = r.seen;
    const auto before = b.set->get().state();
    std::mt19937_64 random(18);
    for (int round = 0; round < 3000; ++round) {
        auto bytes = frames[random() % frames.size()].frame;
        switch (random() % 4) {
        case 0: bytes.resize(random() % (bytes.size() + 1)); break;
        case 1: bytes[random() % bytes.size()] ^= std::byte{static_cast<unsigned char>(1u << random() % 8)}; break;
        case 2: // a great number somewhere in the body, under a checksum that is right
            if (const auto opened = open_frame(bytes); opened && opened->body.size() > 12) {
                frame_writer w;
                w.body().assign(opened->body.begin(), opened->body.end());
                const auto at = random() % (opened->body.size() - 10);
                for (std::size_t i = 0; i < 9; ++i) w.body()[at + i] = std::byte{0xff};
                const auto f = w.close(opened->kind);
                bytes.assign(f.begin(), f.end());
            }
            break;
        default: std::shuffle(bytes.begin(), bytes.end(), random);
        }
        b.engine->received(0, bytes);
        b.engine->flush();
    }
    CHECK(b.counters().frames_rejected > 1000);
    CHECK(b.status().buffered_bytes <= b.options.limits.buffer);
    for (const auto& e : *before) CHECK(b.has(e));
}

// antidote#420, #201
TEST_CASE("known failures: 22 a gap buffer is stuck for ever after a restart; mutual dependencies block") {
    router r;
    auto &a = r.add("a"), &b = r.add("b"), &c = r.add("c");
    r.start_all();
    int lost = 0;
    r.lose = [&](const router::envelope& e, const frame_content& f) {
        return e.to == 2 && f.has(is_update) &&
               lost++ < 2; // c lacks the first edit, from a and from b, and all others wait there
    };
    for (int i = 0; i < 5; ++i) {
        a.add("a" + std::to_string(i)); // each depends on the other's last
        while (!r.wire.empty()) r.deliver_next();
        b.add("b" + std::to_string(i));
        while (!r.wire.empty()) r.deliver_next();
    }
    REQUIRE(lost >= 1);
    CHECK(c.status().buffered_updates > 0);
    c.crash(); // with what waits
    b.crash(); // and one of those that it waits for
    c.start();
    r.link(0, 2);
    r.run(3s);
    CHECK((*c.set)->size() == 10);
    CHECK(c.status().buffered_updates == 0);
    b.start();
    r.link(0, 1);
    r.link(1, 2);
    r.run(3s);
    check_converged(r);
}

// antidote#489, #492, #493
TEST_CASE("known failures: 23 a partition loses set adds; a counter loses increments without any fault") {
    router r;
    for (const char* name : {"a", "b", "c"}) r.add(name).start();
    replicated<g_counter> counters[3];
    for (std::size_t i = 0; i < 3; ++i) REQUIRE(r.nodes[i]->engine->attach("count", counters[i]) == 1);
    r.link_all();
    r.run(1s);
    std::uint64_t total = 0;
    std::size_t elements = 0;
    std::mt19937_64 random(23);
    for (int round = 0; round < 30; ++round) {
        if (round % 10 == 3) r.cut(0, 1);
        if (round % 10 == 4) r.cut(0, 2); // a is alone
        if (round % 10 == 8) {
            r.link(0, 1);
            r.link(0, 2);
        }
        for (std::size_t i = 0; i < 3; ++i) {
            r.nodes[i]->add(std::to_string(round) + r.nodes[i]->name);
            ++elements;
            const auto n = random() % 5;
            edit(r, counters[i], [&](auto& g, auto& tx) { g.increment(tx, n); });
            total += n;
        }
        r.run(engine_time(random() % 300));
    }
    r.run(3s);
    check_converged(r);
    CHECK((*r.nodes[0]->set)->size() == elements);
    for (auto& x : counters) CHECK(x->value() == total);
}
