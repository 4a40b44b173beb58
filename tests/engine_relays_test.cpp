// SPDX-License-Identifier: Apache-2.0
#include "engine_router.hpp"

#include <numeric>
#include <utility>

using namespace joinery;
using namespace std::chrono_literals;

namespace {

using edges = std::vector<std::pair<std::size_t, std::size_t>>;

void start(router& r, std::size_t n, const edges& graph) {
    for (std::size_t i = 0; i < n; ++i) r.add(std::string(1, static_cast<char>('a' + i))).start();
    for (const auto& [a, b] : graph) r.link(a, b);
    r.run(2s);
}

edges ring(std::size_t n) {
    edges graph;
    for (std::size_t i = 0; i < n; ++i) graph.emplace_back(i, (i + 1) % n);
    return graph;
}

edges mesh(std::size_t n) {
    edges graph;
    for (std::size_t a = 0; a < n; ++a)
        for (std::size_t b = a + 1; b < n; ++b) graph.emplace_back(a, b);
    return graph;
}

std::uint64_t pulls(const router& r) {
    std::uint64_t n = 0;
    for (const auto& node : r.nodes) n += node->counters().pulls_sent;
    return n;
}

bool all_have(const router& r, const std::string& element) {
    return std::all_of(r.nodes.begin(), r.nodes.end(), [&](const auto& n) { return !n->engine || n->has(element); });
}

} // namespace

TEST_CASE("engine: edits go along a chain at once, with their origin and its bytes") {
    router r;
    start(r, 4, {{0, 1}, {1, 2}, {2, 3}});
    const auto before = pulls(r);
    r.seen.clear();
    const dot d = r.nodes[0]->add("milk");
    r.deliver();
    CHECK(all_have(r, "milk"));
    CHECK(pulls(r) == before);
    CHECK(r.count(is_update) == 3);
    std::vector<std::byte> first;
    for (const auto& e : r.seen) {
        message_reader reader(open_frame(e.frame)->body);
        message m;
        for (auto more = reader.next(m); more && *more; more = reader.next(m)) {
            const auto* u = std::get_if<update>(&m);
            if (!u) continue;
            CHECK(edit_dots(u->delta)->replica == d.replica);
            if (first.empty()) first.assign(u->delta.begin(), u->delta.end());
            CHECK(std::equal(first.begin(), first.end(), u->delta.begin(), u->delta.end()));
        }
    }
    check_converged(r);
}

TEST_CASE("engine: redundant ways are left out, so that an edit takes as many frames as it has receivers") {
    struct {
        const char* name;
        std::size_t nodes;
        edges graph;
    } shapes[] = {
        {"mesh", 5, mesh(5)},
        {"ring", 5, ring(5)},
        {"star", 5, {{0, 1}, {0, 2}, {0, 3}, {0, 4}}},
        {"tree", 7, {{0, 1}, {0, 2}, {1, 3}, {1, 4}, {2, 5}, {2, 6}}},
        {"grid", 6, {{0, 1}, {1, 2}, {3, 4}, {4, 5}, {0, 3}, {1, 4}, {2, 5}}},
    };
    for (const auto& shape : shapes) {
        CAPTURE(std::string(shape.name));
        router r;
        start(r, shape.nodes, shape.graph);
        for (int round = 0; round < 3; ++round) // until every origin's tree is known
            for (auto& n : r.nodes) {
                n->add(n->name + " warms up " + std::to_string(round));
                r.deliver();
            }
        const auto before = pulls(r);
        for (auto& n : r.nodes) {
            r.seen.clear();
            n->add(n->name);
            r.deliver();
            CHECK(all_have(r, n->name));
            // A tree has n - 1 edges. The origin tells all of its neighbours, each at most once.
            CHECK(r.count(is_update) <= shape.nodes);
            CHECK(r.count(is_update) >= shape.nodes - 1);
            CHECK(r.count(is_relaying) == 0);
        }
        CHECK(pulls(r) == before);
        check_converged(r);
    }
}

TEST_CASE("engine: a ring goes on when one of it is dead, and when the next is, by pulls") {
    router r;
    start(r, 6, ring(6));
    for (auto& n : r.nodes) {
        n->add(n->name);
        r.deliver();
    }
    r.nodes[2]->crash();
    r.nodes[0]->add("after");
    r.nodes[3]->add("the crash");
    r.deliver();
    CHECK(all_have(r, "after"));
    CHECK(all_have(r, "the crash"));
    r.nodes[5]->crash(); // now there are two halves
    r.nodes[1]->add("left");
    r.nodes[4]->add("right");
    r.run(1s);
    CHECK_FALSE(r.nodes[0]->has("right"));
    r.nodes[2]->start();
    r.nodes[5]->start();
    for (const auto& [a, b] : ring(6)) r.link(a, b);
    r.run(5s);
    CHECK(all_have(r, "left"));
    CHECK(all_have(r, "right"));
    check_converged(r);
}

TEST_CASE("engine: a way that was left out is asked for again when the better one is cut, also silently") {
    for (const bool silently : {false, true}) {
        CAPTURE(silently);
        router r;
        start(r, 4, ring(4));
        for (int i = 0; i < 3; ++i)
            for (auto& n : r.nodes) {
                n->add(n->name + std::to_string(i));
                r.deliver();
            }
        if (silently) // what a sends to b is lost, and nobody says so
            r.lose = [](const auto& e, const auto&) { return e.from == 0 && e.to == 1; };
        else
            r.cut(0, 1);
        r.run(20s);
        const auto before = pulls(r);
        r.nodes[0]->add("other way round");
        r.deliver();
        CHECK(all_have(r, "other way round"));
        CHECK(pulls(r) == before);
    }
}

TEST_CASE("engine: ways that overtake each other are not all left out") {
    router r;
    start(r, 5, mesh(5));
    r.cut(0, 4); // so that what a writes reaches e by others only
    std::mt19937_64 random(5);
    for (int i = 0; i < 300; ++i) {
        r.nodes[0]->add(std::to_string(i));
        while (!r.wire.empty() && random() % 8 != 0) { // in any order
            std::swap(r.wire.front(), r.wire[random() % r.wire.size()]);
            r.deliver_next();
        }
    }
    r.run(5s);
    for (int i = 0; i < 3; ++i) { // in order again
        r.nodes[0]->add("calm " + std::to_string(i));
        r.deliver();
    }
    const auto before = pulls(r);
    r.seen.clear();
    r.nodes[0]->add("last");
    r.deliver();
    CHECK(all_have(r, "last"));
    CHECK(pulls(r) == before);
    CHECK(r.count(is_update) <= 5);
    check_converged(r);
}

TEST_CASE("engine: a node that cannot share a collection does not pass it on, and is in nobody's way") {
    router r;
    auto &a = r.add("a"), &b = r.add("b"), &c = r.add("c");
    a.start();
    c.start();
    b.open_disk = b.disk.open();
    b.set = std::make_unique<replicated<set_of_strings>>();
    b.engine.emplace(b.options, *b.open_disk, b);
    b.engine->tick(r.now);
    replicated<set_of_strings> other;
    b.engine->attach("another collection", other);
    r.link(0, 1);
    r.link(1, 2);
    r.run(1s);
    a.add("milk");
    r.run(3s);
    CHECK_FALSE(c.has("milk"));
    r.link(0, 2);
    r.run(1s);
    CHECK(c.has("milk"));
}

TEST_CASE("engine: a nonsensical wish about relays changes nothing") {
    router r;
    start(r, 3, {{0, 1}, {1, 2}});
    const auto type = replicated<set_of_strings>().fingerprint();
    message_batch wishes;
    for (std::uint64_t origin = 1; origin <= 1000; ++origin)
        wishes.add(relaying{channel_of(name_digest("set"), type), replica_id{origin}, relay_wish::unwanted});
    wishes.add(relaying{{42}, replica_id{7}, relay_wish::unwanted});
    wishes.add(relaying{{42}, replica_id{7}, relay_wish::cut_off});
    r.nodes[1]->engine->received(2, wishes.close(frame_kind::direct));
    CHECK(r.nodes[1]->counters().frames_rejected == 0);
    r.nodes[0]->add("milk");
    r.deliver();
    CHECK(all_have(r, "milk"));
}
