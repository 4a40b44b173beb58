// SPDX-License-Identifier: Apache-2.0
// Who may issue which dots: restarts, copies of storages, and two nodes under one id.
#include <joinery/engine.hpp>

#include <joinery/rga_text.hpp>

#include "engine_access.hpp"

using namespace joinery;
using namespace std::chrono_literals;

namespace {

/// The process ends in good order.
void stop(router& r, std::size_t place) {
    r.nodes[place]->engine->close();
    r.nodes[place]->crash();
}

// All own dots of all nodes, as they see them: no dot may stand for two things.
void check_no_fork(const router& r) {
    r.nodes.front()->engine->flush();
    check_converged(r);
}

void check_all_have(std::initializer_list<const test_engine*> nodes, std::initializer_list<const char*> elements) {
    for (const auto* n : nodes) {
        for (const char* e : elements) CHECK_MESSAGE(n->has(e), e);
    }
}

} // namespace

TEST_CASE("engine: an id belongs to a storage, and outlives a crash on a durable one") {
    router r;
    auto& a = r.add("a", durability::full);
    a.start();
    const auto id = a.engine->id();
    const auto nonce = a.engine->nonce();
    a.add("milk");
    a.crash();
    a.start();
    CHECK(a.engine->id() == id);
    CHECK(a.engine->nonce() != nonce);
    CHECK(a.status().held);
}

TEST_CASE("engine: without a durable storage every start has a new id") {
    router r;
    auto& a = r.add("a", durability::none);
    a.start();
    const auto id = a.engine->id();
    a.add("milk");
    stop(r, 0);
    a.start();
    CHECK(a.engine->id() != id);
    CHECK_FALSE(a.status().held);
}

TEST_CASE("engine: relaxed durability keeps the id after a clean end, and not after a crash") {
    router r;
    auto& a = r.add("a", durability::relaxed);
    a.start();
    const auto id = a.engine->id();
    a.add("milk");
    stop(r, 0);
    a.start();
    CHECK(a.engine->id() == id);
    CHECK(a.has("milk"));
    a.crash();
    a.start();
    CHECK(a.engine->id() != id);
    CHECK(a.has("milk"));
    CHECK(a.add("bread").seq == 1);
}

TEST_CASE("engine: after a restart, hello comes before publishing") {
    router r;
    auto &a = r.add("a"), &b = r.add("b");
    r.start_all();
    a.add("one");
    r.deliver();
    a.crash();
    a.start();
    r.seen.clear();
    a.add("two"); // accepted and logged, with nobody there
    a.add("three");
    r.run(2s);
    CHECK(r.count(is_update) == 0);
    CHECK(a.status().held);
    a.crash();
    a.start();
    CHECK(a.has("three"));
    r.lose = [](const auto& e, const auto& c) { return e.from == 1 && c.has(is_hello); };
    r.link_all();
    a.add("four");
    r.run(1s);
    CHECK(a.status().held); // b has not answered yet
    CHECK_FALSE(b.has("two"));
    r.lose = nullptr;
    r.run(3s);
    CHECK_FALSE(a.status().held);
    CHECK(b.has("four"));
    check_no_fork(r);
}

TEST_CASE("engine: a restarted node waits for all that it is linked to, but not for ever") {
    router r;
    auto &a = r.add("a"), &b = r.add("b"), &c = r.add("c");
    r.start_all();
    a.add("one");
    r.deliver();
    a.crash();
    a.start();
    r.lose = [](const auto& e, const auto&) { return e.from == 2; };
    r.link_all();
    a.add("two");
    r.run(300ms);
    CHECK(a.status().held); // b has answered, c has not
    r.run(3s);
    CHECK_FALSE(a.status().held);
    CHECK(b.has("two"));
    r.lose = nullptr;
    r.run(3s);
    CHECK(c.has("two"));
    check_no_fork(r);
}

// At level relaxed a power cut takes what was logged last. Edits that were made before their publication was
// certain must not come back as held ones then: they would be issued once more, under another id.
TEST_CASE("engine: edits that were held and then published are not issued again after a power cut") {
    for (const bool renamed : {true, false}) {
        CAPTURE(renamed);
        router r;
        auto &a = r.add("a", durability::relaxed), &b = r.add("b");
        r.start_all();
        a.add("milk");
        r.run(200ms);
        stop(r, 0);
        a.start();
        a.add("bread");
        CHECK(a.status().held);
        if (renamed) { // the end was not clean: the next start takes a new id
            a.crash();
        } else {
            stop(r, 0);
        }
        a.start();
        r.link(0, 1);
        r.run(3s);
        CHECK(b.has("bread"));
        a.crash();
        a.disk.power_cut();
        a.start();
        r.link(0, 1);
        r.run(3s);
        std::uint64_t dots = 0;
        for (const auto& [replica, last] : b.version()) dots += last;
        CHECK(dots == 2); // milk and bread, once
        check_all_have({&a, &b}, {"milk", "bread"});
        check_no_fork(r);
    }
}

TEST_CASE("engine: a storage restored from an old copy takes a new id, and no edit is lost") {
    router r;
    auto &a = r.add("a"), &b = r.add("b");
    r.start_all();
    a.add("before the copy");
    r.deliver();
    auto copy = a.disk.copy();
    a.add("after the copy");
    a.remove("before the copy");
    r.deliver();
    const auto old = a.engine->id();
    a.crash();

    a.disk = std::move(copy);
    a.start();
    CHECK(a.engine->id() == old);
    const auto d = a.add("made under the old id"); // would be the dot of "after the copy"
    CHECK(d == dot{old, 2});
    r.link_all();
    r.run(2s);
    CHECK(a.engine->id() != old);
    CHECK(a.heard_of(event_kind::new_id));
    CHECK_FALSE(a.heard_of(event_kind::lost_edits));
    CHECK(a.engine->renamed(0, d) == dot{a.engine->id(), 1});
    for (auto* n : {&a, &b}) {
        CHECK(n->has("after the copy"));
        CHECK(n->has("made under the old id"));
        CHECK_FALSE(n->has("before the copy"));
    }
    check_no_fork(r);

    // The new id is the storage's from now on.
    const auto id = a.engine->id();
    a.crash();
    a.start();
    CHECK(a.engine->id() == id);
    CHECK(a.has("made under the old id"));
    CHECK(a.add("once more").seq == 2);
}

TEST_CASE("engine: a backup is opened under a new id, whenever the process dies over it, and its original lives") {
    for (const auto level : {durability::full, durability::relaxed}) {
        for (std::uint64_t step = 1;; ++step) {
            CAPTURE(step);
            router r;
            auto &a = r.add("a", level), &b = r.add("b", level), &copy = r.add("copy", level);
            a.start();
            b.start();
            r.link(0, 1);
            r.run(200ms);
            a.add("before the copy");
            r.run(2s);
            const auto old = a.engine->id();
            copy.disk = a.disk.backup();
            a.add("after the copy");
            r.run(2s);
            copy.disk.crash_at(step);
            bool crashed = false;
            for (bool started = false; !started;) {
                try {
                    copy.start();
                    copy.add("of the copy");
                    started = true;
                } catch (const storage_crash&) {
                    crashed = true;
                    copy.crash();
                }
            }
            copy.disk.crash_at(0);
            CHECK(copy.engine->id() != old);
            r.link_all();
            r.run(3s);
            for (auto* n : {&a, &b, &copy}) {
                check_all_have({n}, {"before the copy", "after the copy", "of the copy"});
                CHECK(n->version()[old] == 2);
                CHECK(n->engine->writable());
                for (const auto kind : {event_kind::lost_edits, event_kind::identity_conflict, event_kind::evicted})
                    CHECK_FALSE(n->heard_of(kind));
                const auto members = n->status().members; // the original's id is nobody's former one
                CHECK(std::find(members.begin(), members.end(), old) != members.end());
            }
            a.add("by the original");
            r.run(2s);
            CHECK(copy.has("by the original"));
            check_no_fork(r);
            if (crashed) continue;
            CHECK(step > 6); // load, set_id and attach, before and after
            break;
        }
    }
}

TEST_CASE("engine: what was on hold when a backup was made becomes edits of the copy") {
    router r;
    auto &a = r.add("a"), &b = r.add("b");
    r.start_all();
    a.add("published");
    r.deliver();
    a.crash();
    a.start();
    a.add("on hold"); // nobody has answered yet
    CHECK(a.status().held);
    auto copy = a.disk.backup();
    const auto old = a.engine->id();
    a.crash(); // and its disk is lost
    a.disk = std::move(copy);
    a.start();
    CHECK(a.engine->id() != old);
    CHECK(a.has("on hold"));
    r.link_all();
    r.run(3s);
    check_all_have({&a, &b}, {"published", "on hold"});
    CHECK(b.version()[old] == 1);
    CHECK(b.version()[a.engine->id()] == 1);
    check_no_fork(r);
}

TEST_CASE("engine: edits that were held when the process died are held again") {
    router r;
    auto &a = r.add("a"), &b = r.add("b");
    r.start_all();
    auto copy = a.disk.copy();
    a.add("after the copy");
    r.deliver();
    a.crash();
    a.disk = std::move(copy);
    for (auto text : {"first", "second"}) { // two starts, and nobody there
        a.start();
        a.add(text);
        a.crash();
    }
    a.start();
    r.link_all();
    r.run(3s);
    check_all_have({&a, &b}, {"after the copy", "first", "second"});
    check_no_fork(r);

    // Confirmed, they are its own for good.
    const auto id = a.engine->id();
    a.crash();
    a.start();
    a.add("third");
    r.link_all();
    r.run(3s);
    CHECK(a.engine->id() == id);
    CHECK(b.has("third"));
    a.crash();
    a.start();
    r.link_all();
    r.run(3s);
    CHECK(a.engine->id() == id);
    check_no_fork(r);
}

TEST_CASE("engine: edits that were held under an id which ends become edits of the next") {
    for (std::uint64_t step = 1; step < 20; ++step) {
        CAPTURE(step);
        router r;
        auto &a = r.add("a", durability::relaxed), &b = r.add("b");
        r.start_all();
        stop(r, 0);
        auto copy = a.disk.copy();
        a.start();
        a.add("after the copy");
        r.link_all();
        r.run(2s);
        a.crash();
        a.disk = std::move(copy); // clean, so the id stays
        a.start();
        const auto held = a.add("held"); // would be the dot of "after the copy"
        a.crash();                       // and now it does not
        a.disk.crash_at(step);
        try {
            a.start();
        } catch (const storage_crash&) {
            a.crash();
        }
        a.disk.crash_at(0);
        if (!a.engine) a.start();
        CHECK(a.engine->id() != held.replica);
        CHECK(a.has("held"));
        r.link_all();
        r.run(3s);
        check_all_have({&a, &b}, {"after the copy", "held"});
        check_no_fork(r);
    }
}

TEST_CASE("engine: taking a new id survives a crash at any moment") {
    for (std::uint64_t step = 1; step < 60; ++step) {
        CAPTURE(step);
        router r;
        auto &a = r.add("a"), &b = r.add("b");
        r.start_all();
        a.add("before the copy");
        r.deliver();
        auto copy = a.disk.copy();
        a.add("after the copy");
        r.deliver();
        a.crash();
        a.disk = std::move(copy);
        a.start();
        a.add("made under the old id");
        a.disk.crash_at(step);
        bool crashed = false;
        try {
            r.link_all();
            r.run(2s);
            a.add("later");
            r.run(2s);
        } catch (const storage_crash&) {
            crashed = true;
            a.crash();
            a.start();
            CHECK(a.has("made under the old id"));
            r.link_all();
        }
        a.disk.crash_at(0);
        r.run(3s);
        CHECK(b.has("after the copy"));
        CHECK(b.has("made under the old id"));
        check_no_fork(r);
        if (!crashed) break;
    }
}

TEST_CASE("engine: two live nodes with one id notice each other, and refuse to write until one has another id") {
    router r;
    auto &a = r.add("a"), &b = r.add("b");
    a.start();
    a.add("milk");
    b.disk = a.disk.copy();
    b.start();
    CHECK(b.engine->id() == a.engine->id());
    r.link_all();
    r.deliver();
    for (auto* n : {&a, &b}) {
        CHECK_FALSE(n->engine->writable());
        CHECK(n->count(event_kind::identity_conflict) == 1);
    }
    const auto old = a.engine->id();
    b.engine->take_new_id();
    r.flush();
    r.run(2s);
    CHECK(a.engine->id() == old);
    CHECK(b.engine->id() != old);
    for (auto* n : {&a, &b}) CHECK(n->engine->writable());
    CHECK(a.count(event_kind::identity_resolved) == 1);
    a.add("of a");
    b.add("of b");
    r.run(2s);
    CHECK(b.has("of a"));
    CHECK(a.has("of b"));
    check_no_fork(r);
}

TEST_CASE("engine: when the original takes a new id, its copy does not issue the original's dots again") {
    router r;
    auto &a = r.add("a"), &b = r.add("b"), &copy = r.add("copy");
    a.start();
    b.start();
    a.add("milk");
    copy.disk = a.disk.copy();
    r.link(0, 1);
    r.run(200ms);
    const auto old = a.engine->id();
    CHECK(a.add("of a") == dot{old, 2}); // b has it
    r.deliver();
    copy.start();
    CHECK(copy.add("of the copy") == dot{old, 2}); // held back
    r.link_all();
    r.deliver();
    CHECK_FALSE(a.engine->writable());
    CHECK_FALSE(copy.engine->writable()); // b says what it has of the old id to deaf ears
    a.engine->take_new_id();
    r.flush();
    r.run(3s);
    CHECK(copy.engine->writable());
    CHECK(copy.engine->id() != old);
    CHECK_FALSE(copy.heard_of(event_kind::lost_edits)); // nothing had been published under the old id
    check_all_have({&a, &b, &copy}, {"of a", "of the copy"});
    check_no_fork(r);
}

TEST_CASE("engine: an edit that depends on the original's dots does not join into a copy that has others") {
    router r;
    auto &a = r.add("a"), &b = r.add("b"), &copy = r.add("copy");
    a.start();
    b.start();
    a.add("milk");
    copy.disk = a.disk.copy();
    r.link(0, 1);
    r.run(200ms);
    a.add("question");
    r.deliver();
    copy.start();
    copy.add("of the copy"); // under the dot of the question
    r.link_all();
    r.deliver();
    CHECK_FALSE(copy.engine->writable());
    b.add("answer");
    r.deliver();
    CHECK_FALSE(copy.has("answer"));
    a.engine->take_new_id();
    r.flush();
    r.run(3s);
    check_all_have({&a, &b, &copy}, {"question", "answer", "of the copy"});
    check_no_fork(r);
}

TEST_CASE("rga_text: held edits that follow a published character directly become edits of a new id") {
    replica<rga_text> a{replica_id{7}};
    a.edit([](auto& text, auto& tx) { text.insert(tx, 0, "pub"); });
    const auto published = a.state();
    a.hold_from(3);
    a.edit([](auto& text, auto& tx) { text.insert(tx, 3, "lic"); }); // its parent is the dot just before it
    a.rename_from(3, replica_id{9});
    CHECK(a->str() == "public");
    CHECK(a.version() == version_vector{{replica_id{7}, 3}, {replica_id{9}, 3}});
    replica<rga_text> b{replica_id{8}, published};
    b.join(a.delta_since(b.version()));
    CHECK(b.state() == a.state());
}

TEST_CASE("engine: edits held back when the conflict is found become edits of the new id") {
    router r;
    auto &a = r.add("a"), &b = r.add("b");
    a.start();
    a.add("milk");
    b.disk = a.disk.copy();
    b.start();
    a.add("of a"); // both have the same dot
    b.add("of b");
    r.link_all();
    r.run(1s);
    CHECK_FALSE(b.engine->writable());
    b.engine->take_new_id();
    r.flush();
    r.run(3s);
    check_all_have({&a, &b}, {"of a", "of b"});
    check_no_fork(r);
}

TEST_CASE("engine: a third node tells two that live under one id of each other") {
    router r;
    auto &a = r.add("a"), &hub = r.add("hub"), &copy = r.add("copy");
    a.start();
    hub.start();
    a.add("milk");
    r.link(0, 1);
    r.run(200ms);
    copy.disk = a.disk.copy();
    copy.start();
    copy.add("of the copy");
    r.link(1, 2); // and not 0 with 2
    r.run(1s);
    CHECK_FALSE(a.engine->writable());
    CHECK_FALSE(copy.engine->writable());
    CHECK(copy.status().held); // nothing was published under the shared id
    CHECK_FALSE(hub.has("of the copy"));

    copy.engine->take_new_id();
    r.flush();
    r.run(3s);
    CHECK(a.engine->writable());
    CHECK(copy.engine->writable());
    a.add("of a");
    r.run(3s);
    check_all_have({&a, &hub, &copy}, {"of the copy", "of a"});
    check_no_fork(r);
}

TEST_CASE("engine: a restart is not taken for a second node, even if the old link seems alive") {
    router r;
    auto &a = r.add("a"), &hub = r.add("hub"), &again = r.add("a again");
    a.start();
    hub.start();
    a.add("milk");
    r.link(0, 1);
    r.run(200ms);
    again.disk = a.disk.copy();
    r.lose = [](const auto& e, const auto&) { return e.from == 0 || e.to == 0; }; // dead, and nobody noticed
    again.start();
    again.add("bread");
    r.link(1, 2);
    r.run(3s);
    CHECK(again.engine->writable());
    CHECK_FALSE(again.status().held);
    CHECK(again.engine->id() == a.engine->id());
    CHECK(hub.has("bread"));
}

TEST_CASE("engine: nor is it if an answer that the dead process gave comes late") {
    router r;
    auto &a = r.add("a"), &hub = r.add("hub"), &again = r.add("a again");
    a.start();
    hub.start();
    a.add("milk");
    r.link(0, 1);
    r.run(200ms);
    std::vector<std::vector<std::byte>> late;
    r.lose = [&](const auto& e, const auto&) {
        if (e.from == 0) late.push_back(e.frame);
        return e.from == 0;
    };
    hub.engine->ask();
    r.flush();
    r.deliver();
    REQUIRE_FALSE(late.empty());
    again.disk = a.disk.copy();
    r.lose = [](const auto& e, const auto&) { return e.from == 0 || e.to == 0; };
    again.start();
    r.link(1, 2);
    r.deliver();
    for (const auto& frame : late) hub.engine->received(0, frame);
    r.flush();
    r.run(3s);
    CHECK(again.engine->writable());
    CHECK_FALSE(again.heard_of(event_kind::identity_conflict));
    CHECK_FALSE(again.status().held);
}

// A process that is stopped for a while hears what a dead one said after what its successor says.
TEST_CASE("engine: nor is it if what the dead process said comes after what the new one says") {
    for (const bool question : {false, true}) {
        CAPTURE(question);
        router r;
        auto &a = r.add("a"), &hub = r.add("hub"), &again = r.add("a again");
        a.start();
        hub.start();
        a.add("milk");
        std::vector<router::envelope> late;
        r.lose = [&](const auto& e, const auto&) {
            if (e.from == 0) late.push_back(e);
            return e.from == 0 || e.to == 0;
        };
        r.link(0, 1); // the hub has the connection, and hears nothing on it
        if (question) a.engine->ask();
        r.flush();
        r.run(200ms);
        REQUIRE(!late.empty());
        again.disk = a.disk.copy();
        a.engine.reset(); // and nobody noticed
        again.start();
        again.add("bread");
        r.link(1, 2);
        r.run(30ms);
        for (const auto& e : late) {
            hub.engine->received(e.from, e.frame);
            hub.engine->flush();
        }
        r.run(20s);
        CHECK(again.engine->writable());
        CHECK_FALSE(again.heard_of(event_kind::identity_conflict));
        CHECK_FALSE(again.status().held);
        CHECK(hub.has("bread"));
        const auto dot = hub.add("butter");
        r.run(5s);
        CHECK(again.has("butter"));
        CHECK(hub.engine->acknowledged_by(hub.number, dot).size() == 1);
    }
}

TEST_CASE("engine: a copy that meets a peer which knows more takes a new id by itself") {
    router r;
    auto &a = r.add("a"), &hub = r.add("hub"), &copy = r.add("copy");
    a.start();
    hub.start();
    r.link(0, 1);
    a.add("milk");
    r.run(200ms);
    copy.disk = a.disk.copy();
    a.add("bread");
    r.run(200ms);
    copy.start();
    copy.add("of the copy");
    r.link(1, 2);
    r.run(3s);
    CHECK(copy.engine->id() != a.engine->id());
    for (auto* n : {&a, &hub, &copy}) {
        CHECK(n->engine->writable());
        CHECK(n->has("bread"));
        CHECK(n->has("of the copy"));
    }
    check_no_fork(r);
}

TEST_CASE("engine: edits that were published before a peer knew better are reported as lost") {
    router r;
    auto &a = r.add("a"), &b = r.add("b"), &c = r.add("c");
    r.start_all();
    auto copy = a.disk.copy();
    r.cut(0, 1);
    r.cut(1, 2);
    a.add("only c sees it");
    a.add("and this");
    r.run(100ms);
    a.crash();
    a.disk = std::move(copy);
    a.start();
    r.link(0, 1); // c, which knows better, is away
    r.run(2s);
    a.add("under the same dot");
    r.run(2s);
    CHECK(b.has("under the same dot"));
    r.link(0, 2);
    r.run(2s);
    CHECK(a.heard_of(event_kind::new_id));
    CHECK(a.heard_of(event_kind::lost_edits));
    CHECK(a.engine->writable());
    CHECK(c.has("only c sees it"));
}

TEST_CASE("engine: a node that dials itself keeps quiet about it") {
    router r;
    auto& a = r.add("a");
    a.start();
    a.engine->connected(0);
    a.engine->flush();
    r.link(0, 0);
    r.run(2s);
    CHECK(a.engine->writable());
    CHECK(a.engine->peers().empty());
}

TEST_CASE("engine: what somebody has said under a node's id does not keep others waiting for it") {
    // Two join with a text; before they meet, each has heard that the other had very much.
    router r;
    auto &a = r.add("a"), &b = r.add("b");
    replicated<rga_text> of_a, of_b;
    a.start();
    b.start();
    const auto number = a.engine->attach("text", of_a);
    b.engine->attach("text", of_b);
    version_vector much;
    much.raise(replica_id{5}, 1'000'000);
    const auto passes_for = [&](test_engine& to, const test_engine& whom) {
        auto h = hello_of(whom.engine->id(), whom.engine->nonce(), much);
        h.collections[0].name = name_digest("text");
        h.collections[0].fingerprint = fingerprint<rga_text>();
        to.engine->connected(77);
        say(to, 77, h);
        to.engine->disconnected(77);
    };
    passes_for(a, b);
    passes_for(b, a);
    r.link(0, 1);
    {
        std::lock_guard lock(of_a.mutex());
        of_a.edit([](auto& s, auto& tx) { s.insert(tx, 0, "hello"); });
    }
    r.run(1min);
    CHECK_FALSE(a.engine->status(number).held);
    CHECK(of_b->str() == "hello");
}
