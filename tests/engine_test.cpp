// SPDX-License-Identifier: Apache-2.0
#include <joinery/engine.hpp>

#include "engine_router.hpp"

#include <joinery/lww_register.hpp>

using namespace joinery;
using namespace std::chrono_literals;

TEST_CASE("engine: an edit reaches every peer in one broadcast") {
    router r;
    auto &a = r.add("a"), &b = r.add("b"), &c = r.add("c");
    r.start_all();
    a.add("bread"); // now b and c know that each other's relays are not needed
    r.deliver();
    r.seen.clear();
    a.add("milk");
    r.deliver();
    CHECK(b.has("milk"));
    CHECK(c.has("milk"));
    CHECK(r.count(is_update) == 2); // one frame, two listeners
    CHECK(r.count(is_pull) == 0);
    CHECK(b.events.back().kind == event_kind::changed);
    CHECK(b.events.back().remote);
    CHECK_FALSE(b.events.back().local);
    check_converged(r);
}

TEST_CASE("engine: edits made before a flush leave as one frame, and beyond a size as several") {
    router r;
    auto &a = r.add("a"), &b = r.add("b");
    a.options.limits.batch = 500;
    r.start_all();
    for (int i = 0; i < 10; ++i) a.add_later(std::to_string(i));
    r.seen.clear();
    a.engine->flush();
    CHECK(r.count(is_update) == 1);
    r.deliver();
    for (int i = 0; i < 100; ++i) a.add_later("more " + std::to_string(i));
    r.seen.clear();
    a.engine->flush();
    CHECK(r.count(is_update) > 2);
    r.deliver();
    CHECK(b.set->get()->size() == 110);
    CHECK(b.counters().pulls_sent == 0);
    check_converged(r);
}

TEST_CASE("engine: log, sync, publish, in that order") {
    // The order in which a storage and a network are used by one step.
    struct recorder final : storage, engine_output {
        std::vector<std::string> calls;
        durability level() const override { return durability::full; }
        stored_node load() override { return {}; }
        void set_id(replica_id) override { calls.emplace_back("set_id"); }
        std::uint32_t attach(std::string_view, std::uint64_t) override { return 0; }
        void append(std::uint32_t, std::span<const std::byte>) override { calls.emplace_back("append"); }
        void sync() override { calls.emplace_back("sync"); }
        void harden() override { calls.emplace_back("harden"); }
        void compact(std::uint32_t, std::span<const std::byte>) override { calls.emplace_back("compact"); }
        void rebase(replica_id, std::span<const std::pair<std::uint32_t, std::vector<std::byte>>>) override {
            calls.emplace_back("rebase");
        }
        void close() override { calls.emplace_back("close"); }
        statistics stats() const override { return {}; }
        void broadcast(std::span<const std::byte> f) override {
            calls.emplace_back(content_of(f).has(is_update) ? "publish" : "broadcast");
        }
        bool send(link_id, std::span<const std::byte>) override {
            calls.emplace_back("send");
            return true;
        }
        void notify(const event&) override { calls.emplace_back("notify"); }
    } io;
    replicated<set_of_strings> set;
    engine e({}, io, io);
    e.tick(0ms);
    e.attach("set", set);
    e.flush();
    io.calls.clear();
    for (auto text : {"x", "y"}) {
        std::lock_guard lock(set.mutex());
        set.edit([&](auto& s, auto& tx) { s.add(tx, text); });
    }
    e.flush();
    CHECK(io.calls == std::vector<std::string>{"append", "sync", "publish", "notify"}); // one sync for both
    io.calls.clear();
    e.flush();
    CHECK(io.calls.empty());
    e.close();
    CHECK(io.calls == std::vector<std::string>{"close"});
}

TEST_CASE("engine: the loss of the last message is repaired by a beacon") {
    router r;
    auto &a = r.add("a"), &b = r.add("b");
    r.start_all();
    r.lose = [](const auto&, const auto& c) { return c.has(is_update); };
    a.add("milk");
    r.deliver();
    CHECK_FALSE(b.has("milk"));
    r.run(1500ms);
    CHECK(b.has("milk"));
    CHECK(b.counters().pulls_completed == 1);
    check_converged(r);
}

TEST_CASE("engine: a gap waits, and the pull that fills it lets the rest in") {
    router r;
    auto &a = r.add("a"), &b = r.add("b");
    r.start_all();
    int updates = 0;
    r.lose = [&](const auto&, const auto& c) { return c.has(is_update) && ++updates == 1; };
    a.add("first");
    a.add("second");
    r.deliver();
    CHECK_FALSE(b.has("second")); // not before the first
    CHECK(b.status().buffered_updates == 1);
    r.run(100ms); // long before a beacon
    CHECK(b.has("first"));
    CHECK(b.has("second"));
    CHECK(b.counters().pulls_completed == 1);
    check_converged(r);
}

TEST_CASE("engine: an update waits for what it depends on, also from a third peer") {
    router r;
    auto &a = r.add("a"), &b = r.add("b"), &c = r.add("c");
    r.start_all();
    r.lose = [](const auto& e, const auto& k) { return k.has(is_update) && e.to == 2; };
    a.add("question"); // does not reach c, neither from a nor from b
    r.deliver();
    r.lose = nullptr;
    b.add("answer"); // b had seen the question
    r.deliver();
    CHECK_FALSE(c.has("answer"));
    CHECK(c.status().buffered_updates == 1);
    r.run(100ms);
    CHECK(c.has("question"));
    CHECK(c.has("answer"));
    check_converged(r);
}

TEST_CASE("engine: updates that wait for each other's origins are resolved by a pull") {
    router r;
    auto &a = r.add("a"), &b = r.add("b"), &c = r.add("c");
    r.start_all();
    r.lose = [](const auto& e, const auto&) { return e.to == 2; }; // c hears nothing
    a.add("a1");
    r.deliver();
    b.add("b1"); // after a1
    r.deliver();
    r.lose = nullptr;
    a.add("a2"); // after b1, and a1
    b.add("b2"); // after b1, and a1
    r.deliver();
    CHECK(c.status().buffered_updates == 2);
    r.run(200ms);
    CHECK(c.set->get()->size() == 4);
    check_converged(r);
}

TEST_CASE("engine: duplicates and disorder change nothing") {
    router r;
    auto &a = r.add("a"), &b = r.add("b");
    r.start_all();
    for (int i = 0; i < 20; ++i) {
        a.add("x" + std::to_string(i));
        if (i % 3 == 0) a.remove("x" + std::to_string(i));
    }
    auto twice = r.wire;
    r.wire.insert(r.wire.end(), twice.begin(), twice.end());
    std::shuffle(r.wire.begin(), r.wire.end(), r.random);
    r.deliver();
    CHECK(b.set->get()->size() == 13);
    CHECK(b.counters().updates_duplicate > 0);
    CHECK(b.counters().pulls_sent == 0);
    check_converged(r);
}

TEST_CASE("engine: a peer that comes late gets everything, in chunks under credit") {
    router r;
    auto &a = r.add("a"), &b = r.add("b");
    a.options.limits.chunk = b.options.limits.chunk = 1000;
    a.options.limits.window = b.options.limits.window = 4000;
    a.start();
    for (int i = 0; i < 1000; ++i) a.add_later("element number " + std::to_string(i));
    a.engine->flush();
    b.start();
    std::size_t under_way = 0, most = 0;
    r.lose = [&](const auto&, const auto& c) {
        under_way += c.has(is_chunk);
        most = std::max(most, under_way);
        if (c.has(is_credit)) under_way = 0;
        return false;
    };
    r.link_all();
    r.deliver();
    CHECK(b.set->get()->size() == 1000);
    CHECK(b.counters().chunks_received > 10);
    CHECK(most <= 8);
    CHECK(b.counters().pulls_sent == 1);
    check_converged(r);
}

TEST_CASE("engine: lost chunks are asked for again, and only those") {
    router r;
    auto &a = r.add("a"), &b = r.add("b");
    a.options.limits.chunk = 1000;
    a.start();
    for (int i = 0; i < 1000; ++i) a.add_later("element number " + std::to_string(i));
    a.engine->flush();
    b.start();
    int chunks = 0;
    r.lose = [&](const auto&, const auto& c) { return c.has(is_chunk) && ++chunks == 5; };
    r.link_all();
    r.run(5s);
    CHECK(b.set->get()->size() == 1000);
    CHECK(b.counters().pulls_sent == 1);
    CHECK(b.counters().pulls_resumed == 1);
    CHECK(a.counters().answers_made == 1);
    check_converged(r);
}

TEST_CASE("engine: a transfer that is cut goes on where it was") {
    router r;
    auto &a = r.add("a"), &b = r.add("b");
    a.options.limits.chunk = b.options.limits.chunk = 1000;
    b.options.limits.window = 2000;
    a.start();
    for (int i = 0; i < 1000; ++i) a.add_later("element number " + std::to_string(i));
    a.engine->flush();
    b.start();
    r.link_all();
    while (b.counters().chunks_received < 5) r.deliver_next();
    r.cut(0, 1);
    r.run(300ms);
    r.link(0, 1);
    r.run(3s);
    CHECK(b.set->get()->size() == 1000);
    CHECK(a.counters().answers_made == 1);
    CHECK(b.counters().pulls_resumed >= 1);
    check_converged(r);
}

TEST_CASE("engine: a peer is forgotten for another one while a pull from it is under way") {
    router r;
    auto &a = r.add("a"), &b = r.add("b"), &c = r.add("c");
    for (auto* n : {&a, &b, &c}) n->start();
    a.options.limits.peers = 1;
    a.crash();
    a.start();
    fill(b, 10);
    r.lose = [](const auto&, const auto& content) { return content.has(is_chunk); };
    r.link(0, 1);
    r.run(100ms);
    CHECK(a.status().pulling);
    r.cut(0, 1);
    r.lose = {};
    r.link(0, 2); // takes the place of b
    r.run(5s);
    CHECK_FALSE(a.status().pulling);
    r.link(1, 2);
    r.run(5s);
    check_converged(r);
}

TEST_CASE("engine: a pull that is not answered goes to another peer") {
    router r;
    auto &a = r.add("a"), &b = r.add("b"), &c = r.add("c");
    r.start_all();
    r.lose = [](const auto& e, const auto&) { return e.to == 2; };
    a.add("milk");
    r.deliver();
    CHECK(b.has("milk"));
    r.lose = [](const auto& e, const auto& k) { return k.has(is_chunk) && e.from == 0; };
    r.run(6s);
    CHECK(c.has("milk"));
    check_converged(r);
}

TEST_CASE("engine: a transfer that never succeeds does not keep anybody busy") {
    router r;
    auto &a = r.add("a"), &b = r.add("b");
    r.start_all();
    r.lose = [](const auto&, const auto& c) { return c.has(is_update) || c.has(is_chunk); };
    a.add("milk");
    r.run(120s);
    CHECK_FALSE(b.has("milk"));
    CHECK(b.counters().pulls_sent > 3);
    CHECK(b.counters().pulls_sent < 20); // ever more slowly
    r.lose = nullptr;
    r.run(60s);
    check_converged(r);
}

TEST_CASE("engine: what was pulled is announced, so that a chain converges") {
    router r;
    auto &a = r.add("a"), &b = r.add("b"), &c = r.add("c"), &d = r.add("d");
    for (auto& n : r.nodes) n->start();
    r.link(0, 1);
    r.link(1, 2);
    r.link(2, 3);
    r.run(200ms);
    a.add("from a");
    d.add("from d");
    r.run(3s);
    for (auto* n : {&a, &b, &c, &d}) {
        CHECK(n->has("from a"));
        CHECK(n->has("from d"));
    }
    check_converged(r);
}

TEST_CASE("engine: peers that do not hear broadcasts are sent them") {
    router r;
    r.one_way_broadcasts = true; // b dials a: a's broadcasts reach b, and b's reach nobody
    auto &a = r.add("a"), &b = r.add("b");
    r.start_all();
    r.seen.clear();
    b.add("from b");
    r.deliver();
    CHECK(a.has("from b"));
    a.add("from a");
    r.deliver();
    CHECK(b.has("from a"));
    CHECK(r.count(is_update) == 2); // and not sent to b a second time
    CHECK(a.counters().pulls_sent + b.counters().pulls_sent == 0);
    check_converged(r);
}

TEST_CASE("engine: a restart keeps everything, asks for nothing, and goes on under the same id") {
    router r;
    auto &a = r.add("a"), &b = r.add("b");
    r.start_all();
    a.add("mine");
    b.add("yours");
    r.deliver();
    const auto id = a.engine->id();
    a.crash();
    b.add("meanwhile");
    a.start();
    CHECK(a.has("mine"));
    CHECK(a.has("yours"));
    CHECK(a.engine->id() == id);
    r.link_all();
    r.run(100ms);
    CHECK(a.has("meanwhile"));
    CHECK(a.add("again").seq == 2);
    r.run(100ms);
    CHECK(b.has("again"));
    CHECK(a.counters().chunks_received == 1); // only what it had missed
    check_converged(r);
}

TEST_CASE("engine: an update too great for a frame goes in chunks") {
    router r;
    auto &a = r.add("a"), &b = r.add("b");
    for (auto* n : {&a, &b}) n->options.limits.max_frame = 2000;
    r.start_all();
    a.add(std::string(10'000, 'x'));
    r.run(100ms);
    CHECK(b.set->get()->size() == 1);
    for (const auto& e : r.seen) CHECK(e.frame.size() <= 2000);
    check_converged(r);
}

TEST_CASE("engine: waiting updates beyond the cap are dropped and pulled") {
    router r;
    auto &a = r.add("a"), &b = r.add("b");
    b.options.limits.buffer = 2000;
    r.start_all();
    int updates = 0;
    r.lose = [&](const auto&, const auto& c) { return c.has(is_update) && ++updates == 1; };
    for (int i = 0; i < 100; ++i) a.add("element " + std::to_string(i));
    r.deliver();
    CHECK(b.counters().buffers_dropped > 0);
    CHECK(b.heard_of(event_kind::buffer_dropped));
    CHECK(b.status().buffered_bytes <= 2000);
    r.run(3s);
    CHECK(b.set->get()->size() == 100);
    check_converged(r);
}

TEST_CASE("engine: several collections, each with its own dots") {
    router r;
    auto &a = r.add("a"), &b = r.add("b");
    r.start_all();
    replicated<lww_register<std::string>> title_a, title_b;
    const auto n = a.engine->attach("title", title_a);
    b.engine->attach("title", title_b);
    CHECK(n == 1);
    r.run(100ms);
    edit(r, title_a, [](auto& t, auto& tx) { t.set(tx, "news"); });
    a.add("milk");
    r.deliver();
    CHECK(title_b->get() == "news");
    CHECK(b.has("milk"));
    CHECK(a.engine->version(0) == version_vector{{a.engine->id(), 1}});
    CHECK(a.engine->version(1) == version_vector{{a.engine->id(), 1}});
    CHECK_THROWS_AS(a.engine->attach("title", title_a), std::invalid_argument);
}

TEST_CASE("engine: a collection that a peer attaches later is sent to it") {
    router r;
    auto &a = r.add("a"), &b = r.add("b");
    r.start_all();
    replicated<lww_register<std::string>> title_a, title_b;
    a.engine->attach("title", title_a);
    edit(r, title_a, [](auto& t, auto& tx) { t.set(tx, "news"); });
    r.run(100ms);
    b.engine->attach("title", title_b);
    r.flush();
    r.run(100ms);
    CHECK(title_b->get() == "news");
}

TEST_CASE("engine: the same name with another type is refused, and the rest goes on") {
    router r;
    auto &a = r.add("a"), &b = r.add("b");
    r.start_all();
    replicated<lww_register<std::string>> title_a;
    replicated<lww_register<std::uint64_t>> title_b;
    a.engine->attach("title", title_a);
    b.engine->attach("title", title_b);
    r.flush();
    r.run(100ms);
    CHECK(a.heard_of(event_kind::incompatible_peer));
    CHECK(b.heard_of(event_kind::incompatible_peer));
    edit(r, title_a, [](auto& t, auto& tx) { t.set(tx, "news"); });
    a.add("milk");
    r.run(3s);
    CHECK_FALSE(title_b->get());
    CHECK(b.has("milk"));
    CHECK(b.counters().frames_rejected == 0);
    CHECK(a.engine->peers()[0].shares == std::vector<bool>{true, false});
}

TEST_CASE("engine: bytes that cannot be read are counted, reported and harmless") {
    router r;
    auto &a = r.add("a"), &b = r.add("b");
    r.start_all();
    a.add("milk");
    const auto good = r.wire.front().frame;
    r.deliver();
    for (std::size_t i = 0; i < good.size(); ++i) {
        auto bad = good;
        bad[i] ^= std::byte{0x55};
        b.engine->received(0, bad);
        b.engine->received(0, std::span(good).first(i));
    }
    b.engine->flush();
    CHECK(b.counters().frames_rejected == 2 * good.size());
    CHECK(b.count(event_kind::rejected) < 20);
    CHECK(b.engine->peers()[0].rejected == 2 * good.size());

    // Well-formed, but the delta is not of this type.
    message_batch batch;
    const std::vector<std::byte> nonsense(20, std::byte{1});
    batch.add(update{channel_of(name_digest("set"), fingerprint<set_of_strings>()), assurance::none, {}, nonsense});
    b.engine->received(0, batch.close(frame_kind::broadcast));
    b.engine->flush();
    CHECK(b.counters().frames_rejected == 2 * good.size() + 1);
    r.run(2s);
    check_converged(r);
}

TEST_CASE("engine: well-formed nonsense in frames that are not damaged is survived") {
    router r;
    auto &a = r.add("a"), &b = r.add("b");
    r.add("c");
    r.start_all();
    for (int i = 0; i < 30; ++i) a.add("element " + std::to_string(i));
    r.lose = [&](const auto&, const auto&) { return r.random() % 3 == 0; };
    r.run(3s);
    const auto seen = r.seen;
    for (int round = 0; round < 3000; ++round) {
        const auto& e = seen[r.random() % seen.size()];
        const auto opened = open_frame(e.frame);
        std::vector<std::byte> body(opened->body.begin(), opened->body.end());
        if (body.empty()) continue;
        for (auto hits = 1 + r.random() % 3; hits > 0; --hits)
            body[r.random() % body.size()] = static_cast<std::byte>(r.random());
        frame_writer w;
        w.body().insert(w.body().end(), body.begin(), body.end());
        b.engine->received(r.random() % 2 * 2, w.close(opened->kind));
        b.engine->tick(r.now += 1ms);
        b.engine->flush();
        r.wire.clear();
    }
    CHECK(b.counters().frames_rejected > 100);
    CHECK(b.status().buffered_bytes <= b.options.limits.buffer);
}

TEST_CASE("engine: a frame of a link that is gone is ignored") {
    router r;
    auto &a = r.add("a"), &b = r.add("b");
    r.start_all();
    a.add("milk");
    const auto late = r.wire.front().frame;
    r.cut(0, 1);
    b.engine->received(0, late);
    CHECK_FALSE(b.has("milk"));
    CHECK(b.engine->peers()[0].links == 0);
}

TEST_CASE("engine: equal contexts with different content are noticed") {
    router r;
    auto &a = r.add("a"), &b = r.add("b");
    a.options.timings.audit = b.options.timings.audit = 2s;
    r.start_all();
    a.add("milk");
    r.deliver();
    r.run(5s);
    CHECK_FALSE(a.heard_of(event_kind::divergence));

    // An edit of a third replica, which two nodes know in two versions.
    for (auto* n : {&a, &b}) {
        replica<set_of_strings> third{replica_id{3}};
        const auto d = third.edit([&](auto& s, auto& tx) { s.add(tx, "of " + n->name); });
        message_batch batch;
        const auto delta = encode(d);
        batch.add(update{channel_of(name_digest("set"), fingerprint<set_of_strings>()), assurance::none, {}, delta});
        n->engine->received(n == &a ? 1 : 0, batch.close(frame_kind::direct));
    }
    r.flush();
    r.run(5s);
    CHECK(a.heard_of(event_kind::divergence));
    CHECK(b.heard_of(event_kind::divergence));
    CHECK(a.count(event_kind::divergence) == 1); // once, not with every beacon
}

TEST_CASE("engine: an update that wishes so is acknowledged at once") {
    router r;
    auto &a = r.add("a"), &b = r.add("b"), &c = r.add("c");
    r.start_all();
    const auto plain = a.add("plain");
    r.deliver();
    CHECK(a.engine->acknowledged_by(0, plain).empty()); // the next beacon will do
    r.lose = [](const auto& e, const auto&) { return e.from == 2; };
    const auto d = a.add_later("important", assurance::durable);
    a.engine->flush();
    r.deliver();
    CHECK(a.engine->acknowledged_by(0, d) == std::vector{b.engine->id()});
    CHECK(a.engine->acknowledged_by(0, plain).size() == 1);
    r.lose = nullptr;
    r.run(2s);
    CHECK(a.engine->acknowledged_by(0, d).size() == 2);
    CHECK(c.has("important"));
}

TEST_CASE("engine: peers come up and go down, by silence too") {
    router r;
    auto &a = r.add("a"), &b = r.add("b");
    r.start_all();
    CHECK(a.count(event_kind::peer_up) == 1);
    CHECK(a.engine->peers()[0].name == "b");
    CHECK(a.engine->peers()[0].level == durability::full);
    r.lose = [](const auto&, const auto&) { return true; };
    r.run(10s);
    CHECK(a.count(event_kind::peer_down) == 1);
    CHECK_FALSE(a.engine->peers()[0].up);
    b.add("unheard");
    r.lose = nullptr;
    r.run(3s);
    CHECK(a.count(event_kind::peer_up) == 2);
    CHECK(a.has("unheard"));
    r.cut(0, 1);
    CHECK(a.count(event_kind::peer_down) == 2);
}
