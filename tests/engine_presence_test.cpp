// SPDX-License-Identifier: Apache-2.0
// What replicas say of themselves for the moment: how far it gets, how often, and when it ends.
#include <joinery/engine.hpp>

#include "engine_router.hpp"

#include <map>
#include <stdexcept>

using namespace joinery;
using namespace std::chrono_literals;

namespace {

using texts = std::map<std::string, std::string>; // name of the node to what it says

std::vector<std::byte> bytes_of(const std::string& text) {
    const auto b = std::as_bytes(std::span(text));
    return {b.begin(), b.end()};
}

void say(test_engine& n, const std::string& text, engine_time time_to_live = 30s) {
    n.engine->set_presence(n.number, bytes_of(text), time_to_live);
    n.engine->flush();
}

void clear(test_engine& n) {
    n.engine->clear_presence(n.number);
    n.engine->flush();
}

// The names of the nodes by their ids, also of those that do not run any more.
class names {
public:
    explicit names(const router& r) {
        for (const auto& n : r.nodes) names_.emplace(n->engine->id(), n->name);
    }
    texts heard_by(const test_engine& n) const {
        texts all;
        for (const auto& s : n.engine->presence(n.number)) {
            const auto at = names_.find(s.replica);
            all[at == names_.end() ? "?" : at->second] = {reinterpret_cast<const char*>(s.bytes.data()),
                                                          s.bytes.size()};
        }
        return all;
    }

private:
    std::map<replica_id, std::string> names_;
};

void start_chain(router& r, bool closed = false) {
    for (auto& n : r.nodes) n->start();
    for (std::size_t i = 0; i + 1 < r.nodes.size(); ++i) r.link(i, i + 1);
    if (closed) r.link(0, r.nodes.size() - 1);
    r.run(200ms);
    r.seen.clear();
}

presence said(replica_id who, std::uint64_t nonce, std::uint64_t sequence, std::span<const std::byte> bytes,
              std::uint64_t time_to_live = 10'000) {
    return {channel_of(name_digest("set"), fingerprint<set_of_strings>()), who, nonce, sequence, time_to_live, bytes};
}

void receive(router& r, test_engine& n, link_id from, const presence& m) {
    message_batch batch;
    batch.add(m);
    n.engine->received(from, batch.close(frame_kind::direct));
    n.engine->flush();
    r.deliver();
}

std::size_t presence_events(const test_engine& n) {
    return static_cast<std::size_t>(std::count_if(n.events.begin(), n.events.end(), [](const auto& e) {
        return e.kind == event_kind::changed && e.presence && !e.local && !e.remote;
    }));
}

} // namespace

TEST_CASE("presence: crosses a chain, each node passing it on once") {
    router r;
    auto &a = r.add("a"), &b = r.add("b"), &c = r.add("c"), &d = r.add("d");
    start_chain(r);
    const names by(r);
    say(a, "hello");
    r.deliver();
    for (auto* n : {&b, &c, &d}) {
        CHECK(by.heard_by(*n) == texts{{"a", "hello"}});
        CHECK(presence_events(*n) == 1);
    }
    CHECK(by.heard_by(a).empty()); // of the others only
    CHECK(r.count(is_presence) == 5);
    CHECK(d.counters().presence_relayed == 0); // there is nobody to whom it could be news
    CHECK(b.engine->presence(0).at(0).name == "a");
    CHECK(d.engine->presence(0).at(0).name.empty());
    r.run(3s);
    CHECK(d.engine->presence(0).at(0).age == 3s);
    CHECK(r.count(is_presence) == 5);
    say(d, "and you");
    r.run(100ms);
    CHECK(by.heard_by(a) == texts{{"d", "and you"}});
    CHECK(by.heard_by(b) == texts{{"a", "hello"}, {"d", "and you"}});
}

TEST_CASE("presence: comes to rest in a ring, and where everybody hears everybody") {
    router r;
    for (const auto* name : {"a", "b", "c", "d", "e"}) r.add(name);
    SUBCASE("ring") { start_chain(r, true); }
    SUBCASE("all to all") { r.start_all(); }
    SUBCASE("broadcasts go one way only") {
        r.one_way_broadcasts = true;
        r.start_all();
    }
    const names by(r);
    r.seen.clear();
    for (auto& n : r.nodes) say(*n, n->name);
    r.run(100ms);
    for (auto& n : r.nodes) {
        auto others = texts{{"a", "a"}, {"b", "b"}, {"c", "c"}, {"d", "d"}, {"e", "e"}};
        others.erase(n->name);
        CHECK(by.heard_by(*n) == others);
    }
    const auto frames = r.count(is_presence);
    CHECK(frames <= 5 * 5 * 4); // each says each at most once, to four
    r.run(5s);
    CHECK(r.count(is_presence) == frames);
}

TEST_CASE("presence: the last value before a flush counts, and the last in each pause") {
    router r;
    auto &a = r.add("a"), &b = r.add("b"), &c = r.add("c");
    start_chain(r);
    const names by(r);
    for (int i = 0; i < 10; ++i) a.engine->set_presence(0, bytes_of(std::to_string(i)));
    a.engine->flush();
    r.deliver();
    CHECK(by.heard_by(c) == texts{{"a", "9"}});
    CHECK(a.counters().presence_sent == 1);
    for (int i = 0; i < 10; ++i) say(a, "more " + std::to_string(i));
    r.deliver();
    CHECK(by.heard_by(c) == texts{{"a", "9"}});
    r.run(40ms);
    CHECK(by.heard_by(c) == texts{{"a", "more 9"}});
    CHECK(a.counters().presence_sent == 2);
    for (int i = 0; i < 1000; ++i) {
        say(a, std::to_string(i));
        r.run(1ms);
    }
    r.run(40ms);
    CHECK(by.heard_by(c) == texts{{"a", "999"}});
    CHECK(a.counters().presence_sent <= 2 + 1000 / 20 + 1);
    CHECK(b.counters().presence_relayed <= a.counters().presence_sent);
}

TEST_CASE("presence: is repeated while its replica lives, and expires when it does not") {
    router r;
    auto &a = r.add("a"), &b = r.add("b"), &c = r.add("c");
    start_chain(r);
    const names by(r);
    say(a, "here", 10s);
    r.run(100s);
    CHECK(by.heard_by(c) == texts{{"a", "here"}});
    CHECK(a.counters().presence_sent == 21); // every 5 s
    CHECK(presence_events(c) == 1);          // a repetition is no change
    a.crash();
    r.run(4s);
    CHECK(by.heard_by(c) == texts{{"a", "here"}});
    r.run(7s);
    for (auto* n : {&b, &c}) {
        CHECK(by.heard_by(*n).empty());
        CHECK(presence_events(*n) == 2);
        CHECK(n->counters().presence_expired == 1);
        CHECK(n->status().present == 0);
    }
}

TEST_CASE("presence: comes to rest in a ring that takes longer to go round than there is time left to live") {
    router r;
    auto &a = r.add("a"), &b = r.add("b"), &c = r.add("c"), &d = r.add("d");
    start_chain(r);
    r.link(1, 3);
    r.run(200ms);
    const names by(r);
    say(a, "here", 100ms);
    const auto hop = [&] { // each frame takes 60 ms
        for (auto n = r.wire.size(); n > 0; --n) r.deliver_next();
        r.now += 60ms;
        for (auto& n : r.nodes)
            if (n->engine) n->engine->tick(r.now);
        r.flush();
    };
    hop();
    a.crash();
    CHECK(by.heard_by(b) == texts{{"a", "here"}});
    for (int i = 0; i < 20; ++i) hop();
    for (auto* n : {&b, &c, &d}) {
        CHECK(by.heard_by(*n).empty());
        CHECK(n->counters().presence_relayed == 1);
        CHECK(n->counters().presence_expired == 1);
        CHECK(presence_events(*n) == 2);
    }
}

TEST_CASE("presence: one lost frame is made good by the next") {
    router r;
    auto &a = r.add("a"), &b = r.add("b");
    start_chain(r);
    const names by(r);
    r.lose = [](const auto&, const auto& content) { return content.has(is_presence); };
    say(a, "here", 10s);
    r.deliver();
    CHECK(by.heard_by(b).empty());
    r.lose = nullptr;
    r.run(6s);
    CHECK(by.heard_by(b) == texts{{"a", "here"}});
}

TEST_CASE("presence: ends when it is cleared, and with the engine") {
    router r;
    auto &a = r.add("a"), &b = r.add("b"), &c = r.add("c");
    start_chain(r);
    const names by(r);
    clear(a); // nothing was said
    say(a, "here");
    r.deliver();
    clear(a);
    clear(a);
    r.run(100ms);
    CHECK(by.heard_by(b).empty());
    CHECK(by.heard_by(c).empty());
    CHECK(presence_events(c) == 2);
    CHECK(a.counters().presence_sent == 2);
    say(a, "again");
    r.run(100ms);
    CHECK(by.heard_by(c) == texts{{"a", "again"}});
    say(a, "for a moment");
    a.engine->close();
    r.deliver();
    r.run(40ms);
    CHECK(by.heard_by(b).empty());
    CHECK(by.heard_by(c).empty());
}

TEST_CASE("presence: a newcomer is told what there is, for as long as it has left") {
    router r;
    auto &a = r.add("a"), &b = r.add("b"), &c = r.add("c");
    for (auto* n : {&a, &b, &c}) n->start();
    const names by(r);
    r.link(0, 1);
    r.run(200ms);
    say(a, "of a", 10s);
    say(b, "of b", 60s);
    r.run(100ms);
    a.crash();
    r.run(8s);
    r.link(1, 2);
    r.run(200ms);
    CHECK(by.heard_by(c) == texts{{"a", "of a"}, {"b", "of b"}});
    r.run(2s);
    CHECK(by.heard_by(c) == texts{{"b", "of b"}});
    r.cut(1, 2);
    r.run(1s);
    say(b, "meanwhile", 60s);
    r.run(1s);
    r.link(1, 2); // not new, but it was away
    r.run(1s);
    CHECK(by.heard_by(c) == texts{{"b", "meanwhile"}});
    // Who serves the collection later only is told then.
    replicated<set_of_strings> more_b, more_c;
    const auto at_b = b.engine->attach("more", more_b);
    b.engine->set_presence(at_b, bytes_of("more"));
    r.run(1s);
    const auto at_c = c.engine->attach("more", more_c);
    r.run(1s);
    CHECK(c.engine->presence(at_c).size() == 1);
}

TEST_CASE("presence: a peer that says all the time that it is new is not told all the time") {
    router r;
    auto &a = r.add("a"), &b = r.add("b");
    start_chain(r);
    say(a, std::string(4000, 'x'), 1h);
    r.deliver();
    r.seen.clear();
    const auto start = r.now;
    for (int i = 0; i < 1000; ++i) {
        hello h;
        h.replica = b.engine->id();
        h.nonce = 1000 + static_cast<std::uint64_t>(i);
        h.collections = {{name_digest("set"), fingerprint<set_of_strings>(), {}}};
        message_batch batch;
        batch.add(h);
        a.engine->received(1, batch.close(frame_kind::direct));
        a.engine->flush();
        a.engine->tick(r.now += 1ms);
    }
    CHECK(r.now - start == 1s);
    CHECK(r.count(is_presence) <= 3);
}

TEST_CASE("presence: a restarted replica counts from 1 again, and what it said before does not return") {
    router r;
    auto &a = r.add("a"), &b = r.add("b"), &c = r.add("c");
    start_chain(r);
    const names by(r);
    for (int i = 0; i < 5; ++i) {
        say(a, "before");
        say(a, "before " + std::to_string(i));
        r.run(40ms);
    }
    std::vector<router::envelope> old;
    for (const auto& e : r.seen)
        if (content_of(e.frame).has(is_presence) && e.from == 1 && e.to == 2) old.push_back(e);
    REQUIRE(old.size() >= 5);
    CHECK(by.heard_by(c) == texts{{"a", "before 4"}});
    a.crash();
    a.start();
    CHECK(a.engine->presence(0).empty()); // of nobody: nothing is stored
    r.link(0, 1);
    r.run(200ms);
    CHECK(by.heard_by(b).empty()); // the instance that said it is no more
    CHECK(by.heard_by(a).empty()); // its own, back from b
    say(a, "after");
    r.run(100ms);
    CHECK(by.heard_by(b) == texts{{"a", "after"}});
    CHECK(by.heard_by(c) == texts{{"a", "after"}});
    for (const auto& e : old) {
        c.engine->received(1, e.frame);
        b.engine->received(2, e.frame);
    }
    r.flush();
    r.run(100ms);
    CHECK(by.heard_by(b) == texts{{"a", "after"}});
    CHECK(by.heard_by(c) == texts{{"a", "after"}});
}

TEST_CASE("presence: in any order and any number of times, the last one stays") {
    router r;
    auto &a = r.add("a"), &b = r.add("b");
    start_chain(r);
    const names by(r);
    const auto delivered = [&](const std::string& last) {
        std::vector<router::envelope> frames;
        for (const auto& e : r.seen)
            if (content_of(e.frame).has(is_presence) && e.from == 0) frames.push_back(e);
        for (int round = 0; round < 20; ++round) {
            std::shuffle(frames.begin(), frames.end(), r.random);
            for (const auto& e : frames) b.engine->received(0, e.frame);
            b.engine->flush();
            if (round > 0 || last.empty()) CHECK(by.heard_by(b) == (last.empty() ? texts{} : texts{{"a", last}}));
        }
    };
    r.lose = [](const auto&, const auto& content) { return content.has(is_presence); };
    for (int i = 0; i < 5; ++i) {
        say(a, std::to_string(i));
        r.run(30ms);
    }
    delivered("4");
    CHECK(b.counters().presence_duplicate > 80);
    clear(a);
    r.run(30ms);
    delivered("");
}

TEST_CASE("presence: a new id takes it along, also one that follows an eviction") {
    bool evicted = false;
    SUBCASE("taken") {}
    SUBCASE("after an eviction") { evicted = true; }
    router r;
    auto &a = r.add("a"), &b = r.add("b"), &c = r.add("c");
    start_chain(r);
    say(a, "here");
    r.run(100ms);
    const auto old = a.engine->id();
    if (evicted)
        c.engine->evict(old);
    else
        a.engine->take_new_id();
    r.flush();
    r.run(evicted ? 3s : 1s);
    for (auto* n : {&b, &c}) {
        const auto all = n->engine->presence(0);
        REQUIRE(all.size() == 1);
        CHECK(all[0].replica == a.engine->id());
        CHECK(all[0].replica != old);
        CHECK(all[0].bytes == bytes_of("here"));
    }
    CHECK(a.engine->presence(0).empty());
}

TEST_CASE("presence: nothing of it is logged") {
    router r;
    auto &a = r.add("a"), &b = r.add("b");
    start_chain(r);
    const auto before_a = a.open_disk->stats(), before_b = b.open_disk->stats();
    for (int i = 0; i < 100; ++i) {
        say(a, std::to_string(i));
        r.run(30ms);
    }
    CHECK(a.open_disk->stats().appends == before_a.appends);
    CHECK(a.open_disk->stats().syncs == before_a.syncs);
    CHECK(b.open_disk->stats().bytes_written == before_b.bytes_written);
    CHECK(a.version().empty());
}

TEST_CASE("presence: what others can make a node hold is bounded, in number and bytes") {
    router r;
    auto &a = r.add("a"), &b = r.add("b");
    b.options.limits.presence_entries = 3;
    b.options.limits.presence_bytes = 100;
    start_chain(r);
    const auto of = [](std::uint64_t i) { return replica_id{100 + i}; };
    for (std::uint64_t i = 0; i < 3; ++i) receive(r, b, 0, said(of(i), 7, 1, bytes_of("x"), 1000 + i));
    receive(r, b, 0, said(of(3), 7, 1, bytes_of("x")));
    CHECK(b.engine->presence(0).size() == 3);
    CHECK(b.counters().presence_refused == 1);
    receive(r, b, 0, said(of(0), 7, 2, bytes_of(std::string(98, 'x')))); // instead of one byte
    CHECK(b.counters().presence_refused == 1);
    receive(r, b, 0, said(of(1), 7, 2, bytes_of("xx")));
    CHECK(b.counters().presence_refused == 2);
    CHECK(b.status().present == 3);
    receive(r, b, 0, said(of(0), 7, 3, {}));
    receive(r, b, 0, said(of(1), 7, 3, bytes_of(std::string(99, 'x'))));
    CHECK(b.counters().presence_refused == 2);
    r.run(20s); // they make room
    CHECK(b.status().present == 0);
    say(a, "here");
    r.run(100ms);
    CHECK(b.status().present == 1);
}

TEST_CASE("presence: a flood is passed on in no more than a frame in each pause") {
    router r;
    r.add("a");
    auto &b = r.add("b"), &c = r.add("c");
    b.options.limits.presence_entries = c.options.limits.presence_entries = 10;
    start_chain(r);
    const auto start = r.now;
    for (std::uint64_t i = 0; i < 2000; ++i) {
        const auto sender = replica_id{100 + i % 50};
        receive(r, b, 0, said(sender, 1 + i % 3, i + 1, bytes_of("x"), 1 + i % 30));
        if (i % 2 == 0) r.run(1ms);
    }
    const auto pauses = static_cast<std::size_t>((r.now - start) / 20ms);
    std::size_t frames = 0;
    for (const auto& e : r.seen) frames += e.from == 1 && e.to == 2 && content_of(e.frame).has(is_presence);
    CHECK(frames <= pauses + 1);
    r.run(1s);
    CHECK(c.status().present == 0);
}

TEST_CASE("presence: many large ones leave in several frames, none above the limit") {
    router r;
    auto& a = r.add("a");
    auto& b = r.add("b");
    auto& c = r.add("c");
    for (auto* n : {&a, &b, &c}) n->options.limits.max_frame = 10'000;
    for (auto* n : {&a, &b, &c}) n->start();
    r.link(0, 1);
    r.run(200ms);
    for (std::uint64_t i = 0; i < 20; ++i)
        receive(r, b, 0, said(replica_id{100 + i}, 7, 1, bytes_of(std::string(4096, 'x'))));
    r.run(100ms);
    r.link(1, 2);
    r.run(200ms);
    CHECK(c.status().present == 20);
    for (const auto& e : r.seen) CHECK(e.frame.size() <= 10'000);
}

TEST_CASE("presence: of an id that a peer has, only what the peer's instance says") {
    router r;
    auto &a = r.add("a"), &b = r.add("b");
    start_chain(r);
    const names by(r);
    say(a, "here");
    r.deliver();
    receive(r, b, 0, said(a.engine->id(), 77, 100, bytes_of("an impostor")));
    receive(r, b, 0, said(b.engine->id(), 77, 100, bytes_of("ourselves")));
    receive(r, b, 0, said(replica_id{9}, b.engine->nonce(), 100, bytes_of("ourselves, before a new id")));
    CHECK(by.heard_by(b) == texts{{"a", "here"}});
}

TEST_CASE("presence: misuse is refused") {
    router r;
    auto& a = r.add("a");
    a.start();
    auto& e = *a.engine;
    CHECK_THROWS_AS(e.set_presence(0, {}), std::invalid_argument);
    CHECK_THROWS_AS(e.set_presence(0, std::vector<std::byte>(4097)), std::invalid_argument);
    CHECK_THROWS_AS(e.set_presence(0, bytes_of("x"), 99ms), std::invalid_argument);
    CHECK_THROWS_AS(e.set_presence(0, bytes_of("x"), 1h + 1ms), std::invalid_argument);
    CHECK_NOTHROW(e.set_presence(0, std::vector<std::byte>(4096), 1h));
    router small;
    auto& b = small.add("b");
    b.options.limits.max_frame = 2000;
    b.start();
    CHECK_THROWS_AS(b.engine->set_presence(0, std::vector<std::byte>(1900)), std::invalid_argument);
    CHECK_NOTHROW(b.engine->set_presence(0, std::vector<std::byte>(1800)));
}
