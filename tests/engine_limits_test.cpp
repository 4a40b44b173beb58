// SPDX-License-Identifier: Apache-2.0

// Every limit of engine_limits on what peers say: at the limit, below, and above.

#include "engine_access.hpp"

#include <joinery/rga_text.hpp>

#include <algorithm>
#include <tuple>
#include <variant>

using namespace joinery;
using namespace std::chrono_literals;

namespace {

constexpr link_id played = 77; // a link to a peer that the test plays
constexpr replica_id self{0x77};

test_engine& begin(router& r, const std::function<void(engine_limits&)>& set = {}) {
    auto& a = r.add("a");
    if (set) set(a.options.limits);
    a.start();
    a.engine->connected(played);
    say(a, played, hello_of(self, 1));
    return a;
}

version_vector of_replicas(std::size_t n) {
    version_vector v;
    for (std::size_t i = 1; i <= n; ++i) v.raise(replica_id{1000 + i}, 1);
    return v;
}

} // namespace

TEST_CASE("limits: bytes of an update") {
    replica<set_of_strings> own(self);
    const auto edit = edit_of(own, std::string(100, 'x'));
    for (const int above : {-1, 0, 1}) {
        CAPTURE(above);
        router r;
        auto& a = begin(r, [&](auto& l) { l.update = edit.size() - static_cast<std::size_t>(above); });
        say(a, played, update{set_channel(), assurance::none, {}, edit});
        CHECK((a.version()[self] == 1) == (above <= 0));
        CHECK(a.counters().frames_rejected == (above > 0 ? 1u : 0u));
    }
    // A greater one that is made here is fetched with an answer.
    router r;
    auto &a = r.add("a"), &b = r.add("b");
    a.options.limits.update = b.options.limits.update = 50;
    r.start_all();
    a.add(std::string(100, 'x'));
    a.add("short");
    r.run(5s);
    CHECK(b.counters().pulls_completed > 0);
    CHECK(a.counters().edits_published == 1);
    CHECK(b.counters().frames_rejected == 0);
    check_converged(r);
}

TEST_CASE("limits: bytes of text that one edit inserts") {
    router r;
    auto& a = r.add("a");
    a.options.limits.text = 10;
    a.start();
    replicated<rga_text> text;
    a.engine->attach("text", text);
    const auto type = [&](std::initializer_list<const char*> parts) {
        edit(r, text, [&](auto& t, auto& tx) {
            for (const auto* part : parts) t.insert(tx, t.size(), part);
        });
    };
    type({"123456789"});
    type({"12345", "67890"});
    type({"1", "2", "3", "4", "5", "6", "7", "8", "9", "0"}); // as it is typed
    const auto before = text->str();
    CHECK(before.size() == 29);
    const auto version = text.version();
    CHECK_THROWS_AS(type({"12345678901"}), edit_too_large);
    CHECK_THROWS_AS(type({"12345", "678901"}), edit_too_large);
    CHECK_THROWS_AS(type({"1", "2", "3", "4", "5", "6", "7", "8", "9", "0", "1"}), edit_too_large);
    CHECK(text->str() == before); // whole or not at all
    CHECK(text.version() == version);
    type({"go on"});
    CHECK(text->str() == before + "go on");
}

TEST_CASE("limits: replicas in a version") {
    constexpr std::size_t most = 100;
    for (const std::size_t n : {most - 1, most, most + 1}) {
        CAPTURE(n);
        const auto rejected = [&](auto&&... m) {
            router r;
            auto& a = begin(r, [&](auto& l) { l.version_entries = most; });
            say(a, played, m...);
            return a.counters().frames_rejected == 1;
        };
        const auto v = of_replicas(n);
        const bool above = n > most;
        replica<set_of_strings> own(self);
        const auto edit = edit_of(own, "own");
        CHECK(rejected(hello_of(self, 1, v)) == above);
        CHECK(rejected(beacon{self, 1, {{set_channel(), v, 1, std::nullopt}}}) == above);
        CHECK(rejected(pull{set_channel(), 1, v, 0, 1000}) == above);
        CHECK(rejected(receipt{set_channel(), v}) == above);
        CHECK(rejected(acknowledgements{set_channel(), {{self, 1, v}}}) == above);
        CHECK(rejected(update{set_channel(), assurance::none, v, edit}) == above);
    }
}

TEST_CASE("limits: a version of a million made-up replicas is refused, however great frames may be") {
    router r;
    auto& a = begin(r);
    const std::size_t most = a.options.limits.version_entries;
    say(a, played, beacon{self, 1, {{set_channel(), of_replicas(most), 1, std::nullopt}}});
    CHECK(a.counters().frames_rejected == 0);
    say(a, played, beacon{self, 1, {{set_channel(), of_replicas(most + 1), 1, std::nullopt}}});
    say(a, played, hello_of(self, 1, of_replicas(1'000'000)));
    CHECK(a.counters().frames_rejected == 2);
}

TEST_CASE("limits: bytes of an answer") {
    struct outcome {
        std::uint64_t total = 0; // bytes of the answer
        bool complete = false;
        std::uint64_t rejected = 0;
    };
    const auto fetch = [](std::uint64_t staging) {
        router r;
        auto &a = r.add("a"), &b = r.add("b");
        b.options.limits.staging = staging;
        a.start();
        fill(a, 5000);
        b.start();
        r.link(0, 1);
        r.run(2s);
        outcome o{0, (*b.set)->size() == 5000, b.counters().frames_rejected};
        for (const auto& e : r.seen) {
            const auto opened = open_frame(e.frame);
            message_reader reader(opened->body);
            message m;
            while (*reader.next(m))
                if (const auto* c = std::get_if<chunk>(&m)) o.total = c->total;
        }
        return o;
    };
    const auto total = fetch(1 << 30).total;
    REQUIRE(total > 10'000);
    for (const int above : {-1, 0, 1}) {
        CAPTURE(above);
        const auto o = fetch(total - static_cast<std::uint64_t>(above));
        REQUIRE(o.total == total);
        CHECK(o.complete == (above <= 0));
        CHECK((o.rejected > 0) == (above > 0));
    }
}

TEST_CASE("limits: links, and peers") {
    constexpr std::size_t most = 4;
    for (const bool of_links : {true, false})
        for (const std::size_t n : {most - 1, most, most + 1}) {
            CAPTURE(of_links);
            CAPTURE(n);
            router r;
            auto& a = r.add("a");
            (of_links ? a.options.limits.links : a.options.limits.peers) = most;
            a.start();
            for (std::size_t i = 0; i < n; ++i) {
                a.engine->connected(played + i);
                say(a, played + i, hello_of(replica_id{100 + i}, 1 + i));
            }
            CHECK(a.engine->peers().size() == std::min(n, most));
            a.engine->disconnected(played);
            a.engine->connected(played + n);
            say(a, played + n, hello_of(replica_id{100 + n}, 1 + n)); // in its place
            const auto all = a.engine->peers();
            CHECK(std::any_of(all.begin(), all.end(), [&](const auto& p) { return p.id == replica_id{100 + n}; }));
        }
}

TEST_CASE("limits: updates of all links that wait") {
    replica<set_of_strings> one(self), other(replica_id{0x88});
    edit_of(one, "lost");
    edit_of(other, "lost");
    const auto mine = edit_of(one, std::string(100, 'x')), theirs = edit_of(other, std::string(100, 'y'));
    const auto give = [&](std::size_t most) {
        router r;
        auto& a = begin(r, [&](auto& l) { l.buffer = most; });
        a.engine->connected(played + 1);
        say(a, played + 1, hello_of(replica_id{0x88}, 2));
        say(a, played, update{set_channel(), assurance::none, {}, mine});
        say(a, played + 1, update{set_channel(), assurance::none, {}, theirs});
        return std::tuple(a.status().buffered_bytes, a.counters().buffers_dropped, a.count(event_kind::buffer_dropped));
    };
    const auto bytes = std::get<0>(give(1 << 20));
    REQUIRE(bytes > 200);
    CHECK(give(bytes + 1) == std::tuple(bytes, 0, 0));
    CHECK(give(bytes) == std::tuple(bytes, 0, 0));
    CHECK(give(bytes - 1) == std::tuple(0, 1, 1));
}

TEST_CASE("limits: members") {
    for (const std::size_t n : {3, 4, 5}) {
        CAPTURE(n);
        router r;
        auto& a = begin(r, [](auto& l) { l.members = 6; }); // a, the one that says it, and four more
        membership m{set_channel(), {}, {}};
        for (std::size_t i = 1; i <= n; ++i) m.joined.push_back(replica_id{i});
        say(a, played, m);
        CHECK(a.status().members.size() == (n <= 4 ? n + 2 : 2));
        CHECK(a.counters().frames_rejected == (n <= 4 ? 0u : 1u));
    }
}

TEST_CASE("limits: updates of one link that wait, and those of others stay") {
    replica<set_of_strings> one(self), other(replica_id{0x88});
    edit_of(one, "lost");
    edit_of(other, "lost");
    std::vector<std::vector<std::byte>> edits;
    for (int i = 0; i < 10; ++i) edits.push_back(edit_of(one, std::string(100, 'x')));
    const auto theirs = edit_of(other, "of the other");
    const auto give = [&](test_engine& a, std::size_t n) {
        a.engine->connected(played + 1);
        say(a, played + 1, hello_of(replica_id{0x88}, 2));
        say(a, played + 1, update{set_channel(), assurance::none, {}, theirs});
        for (std::size_t i = 0; i < n; ++i) say(a, played, update{set_channel(), assurance::none, {}, edits[i]});
    };
    std::size_t of_five = 0;
    {
        router r;
        auto& a = begin(r);
        give(a, 0);
        const auto before = a.status().buffered_bytes;
        for (int i = 0; i < 5; ++i)
            say(a, played, update{set_channel(), assurance::none, {}, edits[static_cast<std::size_t>(i)]});
        of_five = a.status().buffered_bytes - before;
    }
    for (const std::size_t n : {4, 5, 6}) {
        CAPTURE(n);
        router r;
        auto& a = begin(r, [&](auto& l) { l.buffer_per_link = of_five; });
        give(a, n);
        CHECK(a.status().buffered_updates == (n <= 5 ? n + 1 : 1));
        CHECK(a.counters().updates_dropped == (n <= 5 ? 0 : 6));
        CHECK(a.counters().buffers_dropped == 0);
    }
}

TEST_CASE("limits: messages and bytes of a link in a second") {
    router r;
    auto& a = r.add("a");
    a.options.limits.rate_messages = 10;
    a.start();
    a.engine->connected(played);
    say(a, played, hello_of(self, 1));
    a.engine->connected(played + 1);
    say(a, played + 1, hello_of(replica_id{0x88}, 2));
    const auto beacons = [&](int n, link_id link = played) {
        const auto before = a.counters().beacons_received;
        for (int i = 0; i < n; ++i) say(a, link, beacon{self, 1, {}});
        return a.counters().beacons_received - before;
    };
    CHECK(beacons(8) == 8);
    CHECK(beacons(1) == 1);
    CHECK(beacons(1) == 0); // the tenth is there, the eleventh is not: the hello was the first
    CHECK(a.counters().frames_over_rate == 1);
    CHECK(beacons(5, played + 1) == 5); // others go on
    r.now += 500ms;
    a.engine->tick(r.now);
    CHECK(beacons(9) == 5);
    r.now += 10s; // no more than a second's worth is saved up
    a.engine->tick(r.now);
    CHECK(beacons(20) == 10);
    CHECK(a.count(event_kind::rejected) > 0);
    CHECK(a.count(event_kind::rejected) < 8);

    for (const int above : {-1, 0, 1}) {
        CAPTURE(above);
        router two;
        auto& b = two.add("b");
        message_batch frame;
        frame.add(beacon{self, 1, {}});
        const auto size = frame.close(frame_kind::direct).size();
        b.options.limits.rate_bytes = 4 * size - static_cast<std::size_t>(above);
        b.start();
        b.engine->connected(played);
        for (int i = 0; i < 4; ++i) say(b, played, beacon{self, 1, {}});
        CHECK(b.counters().beacons_received == (above <= 0 ? 4u : 3u));
        two.now += 2s;
        b.engine->tick(two.now);
        say(b, played, hello_of(self, 1, of_replicas(100))); // more than a second's worth, but nothing before it
        CHECK(b.counters().hellos_received == 1);
    }
}

TEST_CASE("limits: what exceeds a rate is repaired, and others do not wait") {
    router r;
    auto &a = r.add("a"), &b = r.add("b");
    auto& c = r.add("c");
    a.options.limits.rate_messages = 20;
    r.start_all();
    for (int i = 0; i < 500; ++i) b.add("b " + std::to_string(i));
    c.add("c");
    r.run(100ms);
    CHECK(a.has("c"));
    CHECK(a.counters().frames_over_rate > 0);
    r.run(1min);
    check_converged(r);
}

TEST_CASE("limits: what comes above a rate is not read") {
    router r;
    auto& a = begin(r, [](auto& l) { l.rate_messages = 10; }); // the hello was the first
    const std::vector<std::byte> junk(100, std::byte{'?'});
    for (int i = 0; i < 20; ++i) a.engine->received(played, junk);
    CHECK(a.counters().frames_rejected == 9);
    CHECK(a.counters().frames_over_rate == 11);
}

TEST_CASE("limits: an edit is joined whole or not at all, whatever became of its bytes") {
    replica<set_of_strings> own(self);
    own.edit([](auto& s, auto& tx) {
        for (const char* e : {"one", "two", "three"}) s.add(tx, e);
    });
    const auto whole = encode(own.edit([](auto& s, auto& tx) {
        s.add(tx, "four");
        s.remove(tx, "two");
        s.add(tx, "five");
        s.remove(tx, "one");
    }));
    replica<set_of_strings> fresh(self);
    const auto first = encode(fresh.edit([](auto& s, auto& tx) {
        for (const char* e : {"one", "two", "three"}) s.add(tx, e);
    }));
    std::optional<router> r;
    test_engine* a = nullptr;
    std::vector<std::byte> state;
    std::size_t joined = 0, refused = 0;
    const auto give = [&](std::span<const std::byte> bytes) {
        if (!a) {
            a = &begin(r.emplace());
            say(*a, played, update{set_channel(), assurance::none, {}, first});
            state = encode(a->set->get().state());
        }
        say(*a, played, update{set_channel(), assurance::none, {}, bytes});
        if (a->version()[self] == 3) {
            CHECK(encode(a->set->get().state()) == state);
            ++refused;
        } else {
            CHECK(a->version()[self] > 3);
            CHECK(a->version() == a->engine->version(a->number));
            a = nullptr;
            ++joined;
        }
    };
    give(whole);
    CHECK(joined == 1);
    for (std::size_t n = 0; n < whole.size(); ++n) give(std::span(whole).first(n));
    CHECK(joined == 1);
    for (std::size_t bit = 0; bit < 8 * whole.size(); ++bit) {
        auto flipped = whole;
        flipped[bit / 8] ^= static_cast<std::byte>(1u << bit % 8);
        give(flipped);
    }
    CHECK(refused > whole.size());
}

TEST_CASE("limits: comparisons are answered one with each flush, and of one peer the last") {
    router r;
    auto& a = begin(r);
    for (unsigned i = 0; i < 100; ++i) a.add(std::to_string(i));
    const auto version = digest(encode(a.version()));
    message_batch many;
    for (std::uint64_t i = 1; i <= 1000; ++i) {
        comparison m{set_channel(), i, version, 16, {}};
        m.dots.add(dot_range{a.engine->id(), 1, 100});
        many.add(m);
    }
    const auto frame = many.close(frame_kind::direct);
    a.engine->received(played, frame);
    a.engine->flush();
    CHECK(a.counters().comparisons_answered == 1);
    a.engine->flush();
    CHECK(a.counters().comparisons_answered == 1);
    // Two peers have their turns.
    a.engine->connected(played + 1);
    say(a, played + 1, hello_of(replica_id{0x88}, 2));
    a.engine->received(played, frame);
    a.engine->received(played + 1, frame);
    a.engine->flush();
    CHECK(a.counters().comparisons_answered == 2);
    CHECK(a.engine->next_deadline() <= r.now);
    a.engine->flush();
    CHECK(a.counters().comparisons_answered == 3);
}

TEST_CASE("limits: the list of members is sent once with a flush, however often a beacon asks for it") {
    router r;
    auto& a = r.add("a");
    r.add("played");
    a.start();
    r.link(0, 1);
    say(a, 1, hello_of(self, 1));
    r.run(1s);
    r.seen.clear();
    beacon m{self, 1, {}};
    for (unsigned i = 0; i < 5000; ++i) m.collections.push_back({set_channel(), {}, 1, std::nullopt});
    say(a, 1, m);
    std::size_t bytes = 0;
    for (const auto& e : r.seen) bytes += e.frame.size();
    CHECK(r.count(is_membership) == 1);
    CHECK(bytes < 1000);
}

TEST_CASE("limits: a list of members that no frame can hold goes in parts") {
    router r;
    auto &a = r.add("a"), &b = r.add("b");
    for (auto* n : {&a, &b}) {
        n->options.limits.max_frame = 8000;
        n->options.limits.batch = 4000;
    }
    a.start();
    a.engine->connected(played);
    say(a, played, hello_of(self, 1));
    for (std::uint64_t part = 0; part < 10; ++part) {
        membership m{set_channel(), {}, {}};
        for (std::uint64_t i = 1; i <= 500; ++i) m.joined.emplace_back(10'000 * (part + 1) + i);
        m.gone = m.joined;
        say(a, played, m);
    }
    membership last{set_channel(), {replica_id{7}}, {}};
    say(a, played, last);
    const auto there = [](const test_engine& n) { return n.status().members; };
    b.start();
    r.link(0, 1);
    r.run(5s);
    for (const auto& e : r.seen) CHECK(e.frame.size() <= 8000);
    CHECK(b.counters().frames_rejected == 0);
    CHECK(there(a) == there(b));
    CHECK(there(b).size() == 4); // a, b, who was played, and 7
    CHECK(b.count(event_kind::member_gone) == 5000);
    a.add("x");
    r.run(1s);
    CHECK(b.has("x"));
}

TEST_CASE("limits: what a peer says over and over is not told of over and over") {
    router r;
    auto& a = begin(r);
    a.events.clear();
    std::uint64_t nonce = 1;
    const auto events = [&](const auto& flood) {
        a.events.clear();
        for (unsigned i = 0; i < 1000; ++i) flood();
        return a.events.size();
    };
    CHECK(events([&] { say(a, played, hello_of(self, 1), refuse{.reason = refusal::protocol}); }) < 20);
    CHECK(events([&] { say(a, played, hello_of(self, 1), refuse{.reason = refusal::forbidden}); }) < 20);
    CHECK(events([&] {
              auto h = hello_of(self, ++nonce);
              h.collections[0].fingerprint = 5;
              say(a, played, h);
          }) < 20);
    bool other = false;
    CHECK(events([&] { say(a, played, hello_of(replica_id{other ? 0x78u : 0x77u}, 1)), other = !other; }) < 20);
    r.run(1s); // that it has another id counts then
    a.events.clear();
    say(a, played, hello_of(replica_id{0x79}, 1));
    CHECK(a.heard_of(event_kind::peer_up));
}

TEST_CASE("limits: of many answers that are to be made, one step of one is made at a time") {
    router r;
    auto& a = r.add("a");
    a.start();
    for (int i = 0; i < 50; ++i) fill(a, 100);
    constexpr std::uint64_t many = 5;
    for (std::uint64_t i = 1; i <= many; ++i) {
        a.engine->connected(played + i);
        say(a, played + i, hello_of(replica_id{0x100 + i}, i));
    }
    for (std::uint64_t i = 1; i <= many; ++i) {
        message_batch b;
        b.add(pull{set_channel(), i, {}, 0, 1 << 20});
        a.engine->received(played + i, b.close(frame_kind::direct)); // and no flush
    }
    std::size_t flushes = 0;
    for (auto made = a.counters().answers_made; made < many && flushes < 1000; ++flushes) {
        a.engine->flush();
        CHECK(a.counters().answers_made <= made + 1);
        made = a.counters().answers_made;
    }
    CHECK(flushes >= many);
    CHECK(flushes < 1000);
}
