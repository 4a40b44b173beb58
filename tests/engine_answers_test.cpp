// SPDX-License-Identifier: Apache-2.0
// Answers: great ones, which are made in steps while the state changes, and how many there may be.
#include "engine_router.hpp"

#include <set>
#include <string_view>
#include <utility>

using namespace joinery;
using namespace std::chrono_literals;

namespace {

/// The peer on this link asks for all of a set, and takes so many bytes.
void ask(test_engine& n, link_id from, std::string_view set, std::uint64_t request, std::uint64_t until = 1) {
    joinery::pull m;
    m.channel = channel_of(name_digest(set), fingerprint<set_of_strings>());
    m.request = request;
    m.until = until;
    message_batch batch;
    batch.add(m);
    n.engine->received(from, batch.close(frame_kind::direct));
}

/// How many bytes of chunks were sent to the node at this place.
std::size_t chunk_bytes(const router& r, std::size_t to) {
    std::size_t n = 0;
    for (const auto& e : r.seen)
        if (e.to == to && content_of(e.frame).has(is_chunk)) n += e.frame.size();
    return n;
}

constexpr std::uint64_t all_of_it = std::uint64_t{1} << 40;
constexpr peer_key key_of_greedy{std::byte{7}};

} // namespace

TEST_CASE("engine: what an answer takes along of edits under way is logged before anybody hears that it is") {
    router r;
    auto& a = r.add("a");
    r.add("b");
    r.start_all();
    fill(a, 100);
    r.run(1s);
    ask(a, 1, "set", 1);
    bool edited = false;
    r.lose = [&](const router::envelope& e, const frame_content& f) { // after the log was written
        if (e.from == 0 && f.has(is_update) && !std::exchange(edited, true)) a.add_later("late");
        return true;
    };
    const auto made = a.counters().answers_made;
    a.add("early");
    REQUIRE(edited);
    REQUIRE(a.counters().answers_made == made + 1);
    const auto said = a.engine->version(a.number);
    CHECK(said == a.set->version());
    r.lose = nullptr;
    a.crash();
    a.start();
    CHECK(a.set->version() == said);
    CHECK(a.has("late"));
}

TEST_CASE("engine: a great answer is made in steps, and what is edited meanwhile is in it") {
    router r;
    auto &a = r.add("a"), &b = r.add("b");
    a.start();
    constexpr int count = 100'000, spacing = 1000;
    fill(a, count);
    b.start();
    b.add("of b"); // kept
    r.lose = [](const router::envelope& e, const frame_content& f) { return e.from == 0 && f.has(is_update); };
    r.link(0, 1);
    int edits = 0;
    bool seen_empty = false;
    for (int turns = 0; (*b.set)->size() < 2 && turns < 10'000; ++turns) {
        while (!r.wire.empty() && (*b.set)->size() < 2) {
            r.deliver_next();
            seen_empty |= (*b.set)->size() == 1;
            if (a.counters().answers_made == 0 && a.counters().hellos_received > 1) { // while it is made
                {
                    std::lock_guard lock(a.set->mutex());
                    a.set->edit([&](auto& s, auto& tx) { // of any part
                        s.remove(tx, "a " + std::to_string(edits * spacing));
                        s.add(tx, "a " + std::to_string(edits * spacing + 7));
                    });
                }
                a.add_later("new " + std::to_string(edits)); // the next step takes them along
                ++edits;
            }
        }
        r.now += 1ms;
        for (auto& n : r.nodes) {
            n->engine->tick(r.now);
            n->engine->flush();
        }
    }
    CHECK(edits > 3);
    CHECK(seen_empty);
    // All at once, and as it was at the end.
    REQUIRE(edits < count / spacing);
    CHECK((*b.set)->size() == count + 1);
    for (int i = 0; i < edits; ++i) {
        CHECK_FALSE(b.has("a " + std::to_string(i * spacing)));
        CHECK(b.has("new " + std::to_string(i)));
    }
    CHECK(b.counters().pulls_completed == 1);
    CHECK(b.counters().pulls_failed == 0);
    r.lose = nullptr;
    r.run(3s);
    check_converged(r);
    CHECK((*a.set)->size() == static_cast<std::size_t>(count + 1));

    // What came in parts is stored.
    b.crash();
    b.start();
    CHECK((*b.set)->size() == static_cast<std::size_t>(count + 1));
}

TEST_CASE("engine: who waits for a great answer is told that it is being made") {
    router r;
    auto &a = r.add("a"), &b = r.add("b");
    a.start();
    fill(a, 100'000);
    b.start();
    r.link(0, 1);
    while (b.counters().pulls_sent == 0) {
        r.now += 1ms;
        r.deliver();
        for (auto& n : r.nodes) n->engine->tick(r.now);
        for (auto& n : r.nodes) n->engine->flush();
    }
    int steps = 0;
    while ((*b.set)->empty() && steps < 100) { // a takes long for each
        r.now += 400ms;
        for (auto& n : r.nodes) n->engine->tick(r.now);
        if (!r.wire.empty()) r.deliver_next();
        r.flush();
        while (!r.wire.empty()) { // not more than one step: b only
            auto e = std::move(r.wire.front());
            r.wire.pop_front();
            r.nodes[e.to]->engine->received(e.from, e.frame);
            if (e.to == 1) b.engine->flush();
        }
        ++steps;
    }
    CHECK(steps > 3);
    CHECK(b.counters().pulls_failed == 0);
    CHECK(b.counters().pulls_resumed == 0);
    CHECK((*b.set)->size() == 100'000);
}

TEST_CASE("engine: a great answer to a peer that was away is joined on top of what it has") {
    router r;
    auto &a = r.add("a"), &b = r.add("b");
    r.start_all();
    fill(a, 100);
    r.run(1s);
    r.cut(0, 1);
    fill(a, 50'000); // the first hundred again
    b.add("of b");
    b.remove("a 5");
    r.link(0, 1);
    r.run(5s);
    check_converged(r);
    CHECK((*a.set)->size() == 50'001);
    CHECK(b.counters().pulls_completed >= 1);
}

TEST_CASE("engine: what is forgotten while a great answer is made is not in it") {
    router r;
    auto &a = r.add("a"), &b = r.add("b");
    a.start();
    a.set->set_log_budget(2000);
    fill(a, 50'000);
    b.start();
    r.lose = [](const router::envelope& e, const frame_content& f) { return e.from == 0 && f.has(is_update); };
    r.link(0, 1);
    for (bool asked = false; !asked; r.deliver_next()) {
        REQUIRE_FALSE(r.wire.empty());
        asked = content_of(r.wire.front().frame).has(is_pull);
    }
    for (int i = 0; i < 1000; ++i) { // which the first step has read
        std::lock_guard lock(a.set->mutex());
        a.set->edit([&](auto& s, auto& tx) { s.remove(tx, "a " + std::to_string(49'999 - i)); });
    }
    REQUIRE_FALSE(a.set->get().state().horizon().empty());
    REQUIRE(a.counters().answers_made == 0);
    r.run(5s);
    check_converged(r);
    CHECK((*b.set)->size() == 49'000);
}

TEST_CASE("engine: answers to many peers are made within bounds, and all get theirs") {
    router r;
    auto& a = r.add("a");
    a.options.limits.answer_bytes = 1;
    a.start();
    fill(a, 3000);
    constexpr std::size_t others = 6;
    for (std::size_t i = 1; i <= others; ++i) r.add("peer " + std::to_string(i)).start();
    for (std::size_t i = 1; i <= others; ++i) r.link(0, i);
    // Nobody says that anything came: one answer is under way until it is given up.
    r.lose = [&](const router::envelope& e, const frame_content& f) {
        return e.to == 0 && f.has(is_credit) && r.now < 3000ms;
    };
    r.run(1s);
    std::set<std::size_t> asked, served;
    for (const auto& e : r.seen) {
        const auto content = content_of(e.frame);
        if (content.has(is_pull)) asked.insert(e.from);
        if (content.has(is_chunk)) served.insert(e.to);
    }
    CHECK(asked.size() == others);
    CHECK(served.size() == 1);
    r.run(60s);
    check_converged(r);
    CHECK((*r.nodes[others]->set)->size() == 3000);
}

TEST_CASE("engine: who waits for room for long is told to ask others, and who takes next to nothing loses its own") {
    router r;
    auto& a = r.add("a");
    a.options.limits.answer_bytes = 1;
    auto &slow = r.add("slow"), &b = r.add("b");
    a.start();
    slow.start();
    fill(a, 20'000);
    r.link(0, 1);
    r.run(3s);
    REQUIRE((*slow.set)->size() == 20'000);
    r.lose = [](const router::envelope& e, const frame_content&) { return e.from == 1; }; // the test speaks for it
    ask(a, 1, "set", 77);
    r.run(1s);
    REQUIRE(a.counters().answers_made == 2);
    b.start();
    r.link(0, 2);
    const auto refused = a.counters().answers_refused;
    std::uint64_t received = 0;
    const auto trickle = [&](std::chrono::milliseconds time) {
        for (const auto end = r.now + time; r.now < end; r.run(500ms)) {
            message_batch batch;
            batch.add(
                credit{channel_of(name_digest("set"), fingerprint<set_of_strings>()), 77, ++received, received + 1});
            a.engine->received(1, batch.close(frame_kind::direct));
        }
    };
    trickle(9s);
    CHECK((*b.set)->size() == 0);
    CHECK(a.counters().answers_refused == refused);
    trickle(60s);
    CHECK((*b.set)->size() == 20'000);
}

TEST_CASE("engine: an answer that waits for room, and for whom nobody is there, does not keep the node awake") {
    router r;
    auto& a = r.add("a");
    a.options.limits.answer_bytes = 1;
    r.add("b");
    r.add("c");
    r.start_all();
    fill(a, 100);
    r.run(1s);
    r.lose = [](const router::envelope& e, const frame_content& f) { return e.from != 0 && f.has(is_credit); };
    ask(a, 1, "set", 1);
    a.engine->flush();
    ask(a, 2, "set", 1);
    a.engine->flush();
    r.cut(0, 2);
    for (int i = 0; i < 50; ++i) {
        r.run(20ms);
        CHECK(a.engine->next_deadline() > r.now);
    }
}

TEST_CASE("engine: one peer does not take all places for answers, nor do the ids of one key") {
    router r;
    auto& a = r.add("a");
    a.options.limits.answers = 8;
    a.start();
    auto &greedy = r.add("greedy"), &b = r.add("b"), &alias = r.add("alias");
    greedy.key = alias.key = key_of_greedy;
    std::deque<replicated<set_of_strings>> sets(20);
    const auto open = [&](test_engine& n, std::size_t first) {
        for (std::size_t i = 0; i < 10; ++i) n.engine->attach("set " + std::to_string(i), sets[first + i]);
    };
    open(a, 0);
    greedy.start();
    open(greedy, 10);
    for (int i = 0; i < 100; ++i) a.add_later(std::to_string(i));
    a.engine->flush();
    r.link(0, 1);
    r.run(1s);
    r.lose = [](const router::envelope& e, const frame_content&) { return e.from == 1; };
    for (std::uint64_t i = 0; i < 30; ++i) { // it asks ever again, and takes nothing
        for (std::size_t n = 0; n < 10; ++n) ask(a, 1, "set " + std::to_string(n), 1000 + 10 * i + n);
        a.engine->flush();
    }
    CHECK(a.counters().answers_refused == 30 * 8); // two of ten
    r.lose = [](const router::envelope& e, const frame_content& f) { return e.from != 0 && !f.has(is_hello); };
    alias.start();
    r.link(0, 3);
    r.run(10ms);
    const auto refused = a.counters().answers_refused;
    ask(a, 3, "set 2", 1);
    CHECK(a.counters().answers_refused == refused + 1);
    b.start();
    r.link(0, 2);
    r.run(1s);
    CHECK((*b.set)->size() == 100);
}

TEST_CASE("engine: no more is made for a peer in a second than it may bring, and others do not wait") {
    router r;
    auto& a = r.add("a");
    a.options.limits.rate_bytes = 2000;
    auto &greedy = r.add("greedy"), &b = r.add("b");
    a.start();
    greedy.start();
    fill(a, 1000);
    r.link(0, 1);
    r.run(1s);
    REQUIRE((*greedy.set)->size() == 1000);
    r.run(20s); // what was made is paid for
    r.lose = [](const router::envelope& e, const frame_content&) { return e.from == 1; };
    const auto made = [&] { return a.counters().answers_made; };
    const auto before = made();
    std::uint64_t request = 0;
    const auto ask_for = [&](std::chrono::milliseconds time) {
        for (const auto end = r.now + time; r.now < end;) {
            ask(a, 1, "set", ++request);
            r.run(100ms);
        }
    };
    ask_for(500ms);
    CHECK(made() == before + 1); // greater than what is saved up
    b.start();
    r.link(0, 2);
    ask_for(500ms);
    CHECK((*b.set)->size() == 1000);
    CHECK(made() == before + 2);
    CHECK(a.counters().answers_refused > 0); // it would have to wait for long
    ask_for(30s);
    const std::uint64_t least_bytes = 1000 * 5;
    CHECK(made() >= before + 2 + 3);
    CHECK(made() <= before + 2 + 31 * 2000 / least_bytes);
}

TEST_CASE("engine: a great answer is paced from step to step, and who waits is told") {
    router r;
    auto &a = r.add("a"), &b = r.add("b");
    a.options.limits.rate_bytes = 20'000;
    a.start();
    fill(a, 20'000);
    b.start();
    r.link(0, 1);
    const auto began = r.now;
    while ((*b.set)->empty() && r.now < began + 60s) r.run(100ms);
    CHECK((*b.set)->size() == 20'000);
    CHECK(b.counters().pulls_sent == 1);
    CHECK(b.counters().pulls_resumed == 0);
    const auto bytes = static_cast<std::int64_t>(chunk_bytes(r, 1));
    const auto longest_step = 2s; // which is paid for after it
    CHECK(bytes > 100'000);
    CHECK(r.now - began > std::chrono::milliseconds(bytes * 1000 / 20'000) - 1s - longest_step);
}

TEST_CASE("engine: whoever goes away and comes back, or has another id, gets no more for its key") {
    constexpr std::size_t rate = 50'000, answer = 10'000 * 20;
    router r;
    auto& a = r.add("a");
    a.options.limits.rate_bytes = rate;
    a.start();
    fill(a, 10'000);
    auto &greedy = r.add("greedy"), &alias = r.add("alias");
    greedy.key = alias.key = key_of_greedy;
    greedy.start();
    alias.start();
    r.lose = [](const router::envelope& e, const frame_content& f) { return e.from != 0 && !f.has(is_hello); };
    r.link(0, 1);
    r.link(0, 2);
    const auto began = r.now;
    for (const auto end = began + 20s; r.now < end;) {
        const auto request = static_cast<std::uint64_t>(r.now / 10s);
        ask(a, 1, "set", request, all_of_it);
        ask(a, 2, "set", request, all_of_it);
        r.cut(0, 1);
        for (int i = 0; i < 10; ++i) r.run(5ms);
        r.link(0, 1);
        for (int i = 0; i < 10; ++i) r.run(5ms);
        for (int i = 0; i < 3; ++i) ask(a, 1, "set", request, all_of_it); // from the beginning, again and again
    }
    CHECK(chunk_bytes(r, 1) + chunk_bytes(r, 2) <= rate * (20 + 1) + answer); // which is paid for after it
    CHECK(a.counters().answers_made > 0);
    CHECK(a.counters().answers_refused > 0);
}

TEST_CASE("engine: who asks again gets an answer in the place of the one before") {
    router r;
    auto& a = r.add("a");
    a.options.limits.answers = 1;
    r.add("b");
    r.start_all();
    fill(a, 100);
    const auto before = a.counters().answers_made;
    for (std::uint64_t request = 1; request <= 3; ++request) {
        ask(a, 1, "set", request);
        a.engine->flush();
    }
    CHECK(a.counters().answers_refused == 0);
    CHECK(a.counters().answers_made == before + 3);
}
