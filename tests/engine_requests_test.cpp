// SPDX-License-Identifier: Apache-2.0
// What one replica asks another: which way it goes, how often it is put, and when the answer leaves.
#include <joinery/engine.hpp>

#include "engine_router.hpp"

#include <stdexcept>

using namespace joinery;
using namespace std::chrono_literals;

namespace {

std::vector<std::byte> bytes_of(std::string_view text) {
    const auto b = std::as_bytes(std::span(text));
    return {b.begin(), b.end()};
}

std::optional<std::uint64_t> ask(test_engine& n, const test_engine& target, std::string_view what = "how much?") {
    const auto number = n.engine->request(n.number, target.engine->id(), "price", bytes_of(what));
    n.engine->flush();
    return number;
}

// Answers all that was asked, and says how much that was.
std::size_t serve(test_engine& n, std::string_view answer = "ten") {
    const auto all = n.engine->take_requests();
    for (const auto& r : all) {
        CHECK(r.collection == n.number);
        CHECK(r.service == "price");
        CHECK(r.bytes == bytes_of("how much?"));
        n.engine->reply(r, bytes_of(answer));
    }
    n.engine->flush();
    return all.size();
}

void start(router& r, std::initializer_list<std::pair<std::size_t, std::size_t>> links) {
    for (auto& n : r.nodes) n->start();
    for (const auto& [a, b] : links) r.link(a, b);
    r.run(200ms);
    r.seen.clear();
}

std::vector<router::envelope> frames(const router& r, std::size_t kind) {
    std::vector<router::envelope> out;
    for (const auto& e : r.seen)
        if (content_of(e.frame).has(kind)) out.push_back(e);
    return out;
}

} // namespace

TEST_CASE("requests: straight to a peer, and answered once") {
    router r;
    auto &a = r.add("a"), &b = r.add("b");
    r.add("c");
    start(r, {{0, 1}, {0, 2}, {1, 2}});
    const auto n = ask(a, b);
    REQUIRE(n);
    CHECK_FALSE(a.engine->take_reply(*n));
    r.deliver();
    CHECK(serve(b) == 1);
    r.deliver();
    CHECK(a.engine->take_reply(*n) == bytes_of("ten"));
    CHECK_FALSE(a.engine->take_reply(*n));
    CHECK(r.count(is_request) == 1);
    CHECK(r.count(is_reply) == 1);
    CHECK(b.counters().requests_received == 1);
    CHECK(b.counters().replies_sent == 1);
    CHECK(a.counters().replies_received == 1);
}

TEST_CASE("requests: cross any graph, each node passing one on once, and the answer takes the way back") {
    router r;
    for (const auto* name : {"a", "b", "c", "d", "e"}) r.add(name);
    auto &a = *r.nodes[0], &d = *r.nodes[3];
    SUBCASE("a chain") { start(r, {{0, 1}, {1, 2}, {2, 3}, {3, 4}}); }
    SUBCASE("a ring") { start(r, {{0, 1}, {1, 2}, {2, 3}, {3, 4}, {0, 4}}); }
    SUBCASE("a star") { start(r, {{0, 2}, {1, 2}, {3, 2}, {4, 2}}); }
    const auto first = ask(a, d), second = ask(a, d);
    r.deliver();
    CHECK(serve(d) == 2);
    r.deliver();
    CHECK(a.engine->take_reply(*first) == bytes_of("ten"));
    CHECK(a.engine->take_reply(*second) == bytes_of("ten"));
    CHECK(r.count(is_request) <= 2 * 5);
    CHECK(r.count(is_reply) <= 2 * 3);
    r.run(5s); // nothing repeats itself
    CHECK(serve(d) == 0);
    CHECK(r.count(is_request) <= 2 * 5);
}

TEST_CASE("requests: what comes twice, or later than a later one, is not put again") {
    router r;
    auto &a = r.add("a"), &b = r.add("b");
    start(r, {{0, 1}});
    r.lose = [](const auto&, const auto& content) { return content.has(is_request); };
    for (int i = 0; i < 3; ++i) REQUIRE(ask(a, b));
    const auto lost = frames(r, is_request);
    REQUIRE(lost.size() == 3);
    b.engine->received(0, lost[1].frame);
    b.engine->received(0, lost[1].frame);
    b.engine->received(0, lost[0].frame);
    CHECK(serve(b) == 1);
    b.engine->received(0, lost[1].frame);
    CHECK(serve(b) == 0);
    b.engine->received(0, lost[2].frame);
    CHECK(serve(b) == 1);
    CHECK(b.counters().requests_dropped == 3);
    // A new instance counts from the beginning.
    r.lose = nullptr;
    a.crash();
    a.start();
    r.link(0, 1);
    r.run(200ms);
    const auto n = ask(a, b);
    r.deliver();
    CHECK(serve(b) == 1);
    r.deliver();
    CHECK(a.engine->take_reply(*n) == bytes_of("ten"));
}

TEST_CASE("requests: an answer leaves after what was written before it is durable") {
    router r;
    auto &a = r.add("a"), &b = r.add("b");
    start(r, {{0, 1}});
    const auto n = ask(a, b);
    r.deliver();
    b.disk.crash_at(1); // the next thing that the storage does
    b.add_later("sold");
    const auto asked = b.engine->take_requests();
    REQUIRE(asked.size() == 1);
    b.engine->reply(asked[0], bytes_of("sold"));
    CHECK_THROWS_AS(b.engine->flush(), storage_crash);
    r.deliver();
    CHECK_FALSE(a.engine->take_reply(*n));
    CHECK(r.count(is_reply) == 0);
}

TEST_CASE("requests: nobody to send it to, an evicted target, and too much are told at once") {
    router r;
    auto &a = r.add("a"), &b = r.add("b"), &c = r.add("c");
    start(r, {{1, 2}});
    CHECK_FALSE(ask(a, b)); // no link
    CHECK(a.counters().requests_sent == 0);
    const auto gone = c.engine->id();
    b.engine->evict(gone);
    CHECK_FALSE(b.engine->request(0, gone, "price", {}));
    CHECK_THROWS_AS(b.engine->request(0, gone, std::string(65, 'x'), {}), std::invalid_argument);
    CHECK_THROWS_AS(b.engine->request(0, gone, "price", std::vector<std::byte>(65'537)), std::invalid_argument);
}

TEST_CASE("requests: what others can make a node hold is bounded") {
    router r;
    auto &a = r.add("a"), &b = r.add("b");
    b.options.limits.requests = 8;
    start(r, {{0, 1}});
    for (int i = 0; i < 10; ++i) REQUIRE(ask(a, b));
    r.deliver();
    CHECK(b.engine->take_requests().size() == 8);
    CHECK(b.counters().requests_dropped == 2);
    const auto said = channel_of(name_digest("set"), fingerprint<set_of_strings>());
    const auto instances = [&](std::uint64_t from, std::uint64_t to) {
        for (auto instance = from; instance <= to; ++instance) {
            message_batch batch;
            batch.add(request{said, replica_id{77}, b.engine->id(), instance, 1, "price", {}});
            b.engine->received(0, batch.close(frame_kind::direct));
        }
        return b.engine->take_requests();
    };
    CHECK(instances(1, 10).size() == 1); // a quarter of the instances are of one link, and one of these is a
    CHECK(instances(1, 10).empty());
    r.run(11s); // those that are silent make room
    const auto asked = instances(11, 20);
    CHECK(asked.size() == 2);
    for (const auto& q : asked) b.engine->reply(q, bytes_of("ten"));
    b.engine->flush();
}

TEST_CASE("requests: who is gone is not answered, whoever passes it on") {
    router r;
    auto &a = r.add("a"), &b = r.add("b");
    start(r, {{0, 1}});
    const replica_id gone{77};
    const auto said = channel_of(name_digest("set"), fingerprint<set_of_strings>());
    const auto ask_as_gone = [&](std::uint64_t number) {
        message_batch batch;
        batch.add(request{said, gone, b.engine->id(), 5, number, "price", {}});
        b.engine->received(0, batch.close(frame_kind::direct));
        return b.engine->take_requests().size();
    };
    CHECK(ask_as_gone(1) == 1);
    a.engine->evict(gone);
    r.run(3s);
    CHECK(ask_as_gone(2) == 0);
}
