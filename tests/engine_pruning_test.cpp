// SPDX-License-Identifier: Apache-2.0
// What engines may forget, and when.
#include "engine_pages.hpp"

#include <joinery/rw_set.hpp>

#include <malloc.h>
#include <set>

using namespace joinery;
using namespace std::chrono_literals;

TEST_CASE("engine: what every member has seen is forgotten, also in a chain, and nothing before") {
    router r;
    start_chain(r, 4);
    for (int i = 0; i < 20; ++i) {
        r.nodes[0]->add(std::to_string(i));
        r.deliver();
        r.nodes[3]->remove(std::to_string(i));
        r.deliver();
    }
    r.cut(2, 3);
    r.nodes[0]->add("x");
    r.nodes[0]->remove("x"); // d does not hear of it
    r.run(120s);
    for (int i = 0; i < 3; ++i) CHECK(records(*r.nodes[static_cast<std::size_t>(i)]) > 0);
    r.link(2, 3);
    r.run(120s);
    for (const auto& n : r.nodes) {
        CAPTURE(n->name);
        CHECK(records(*n) == 0);
        CHECK(n->counters().prunings > 0);
        CHECK(n->status().members.size() == 4);
        CHECK(n->status().stable == n->version());
    }
    check_converged(r);
}

TEST_CASE("engine: many adds and removes leave next to nothing, in texts too") {
    router r;
    auto p = start_pages(r, {"a", "b", "c"});
    for (int i = 0; i < 3000; ++i) {
        const auto who = static_cast<std::size_t>(i % 3);
        r.nodes[who]->add("e");
        r.nodes[who]->remove("e");
        p.type(who, p.text(who).size() / 2, "word");
        p.erase(who, 0, p.text(who).size());
        r.deliver();
        if (i % 100 == 0) r.run(3s);
    }
    r.run(60s);
    for (std::size_t i = 0; i < 3; ++i) {
        CHECK(r.nodes[i]->set->whole().size() < 200);
        CHECK(p.all[i]->whole().size() < 200);
    }
    check_converged(r);
    p.check_equal();
}

TEST_CASE("engine: what only says that something is not there is tidied up, by one of them, once all have seen it") {
    router r;
    start(r, {"a", "b", "c"});
    using guests = rw_set<std::string>;
    std::vector<replicated<guests>> all(3);
    for (std::size_t i = 0; i < 3; ++i) r.nodes[i]->engine->attach("guests", all[i]);
    r.link_all();
    r.run(2s);
    const auto edit = [&](std::size_t i, auto&& f) {
        {
            std::lock_guard lock(all[i].mutex());
            all[i].edit(f);
        }
        r.nodes[i]->engine->flush();
        r.deliver();
    };
    for (int n = 0; n < 30; ++n) {
        edit(0, [&](guests& g, transaction& tx) { g.add(tx, std::to_string(n)); });
        edit(1, [&](guests& g, transaction& tx) { g.remove(tx, std::to_string(n)); });
    }
    edit(2, [&](guests& g, transaction& tx) { g.add(tx, "who stays"); });
    CHECK(all[0].whole().size() > 200);
    r.run(300s);
    std::uint64_t edits = 0;
    for (const auto& one : all) {
        CHECK(one->size() == 1);
        CHECK(one->contains("who stays"));
        CHECK(one.whole().size() < 150);
        CHECK(one.get().state() == all[0].get().state());
        edits = std::max(edits, one.context().count());
    }
    CHECK(edits <= 61 + 3); // few, and not one of each again and again
}

TEST_CASE("engine: a member that is away holds pruning up until it is evicted, whatever restarts") {
    router r;
    start_chain(r, 3);
    r.nodes[2]->crash(); // for a week
    r.nodes[0]->add("x");
    r.nodes[0]->remove("x");
    r.run(300s);
    r.nodes[0]->crash();
    r.nodes[0]->start();
    r.link(0, 1);
    r.run(300s);
    CHECK(records(*r.nodes[0]) == 1);
    CHECK(records(*r.nodes[1]) == 1);
    const auto away = r.nodes[1]->engine->peers();
    const auto c = std::find_if(away.begin(), away.end(), [](const auto& p) { return p.name == "c"; });
    REQUIRE(c != away.end());
    r.nodes[0]->engine->evict(c->id); // by one that is not linked to it
    r.flush();
    r.run(60s);
    CHECK(records(*r.nodes[0]) == 0);
    CHECK(records(*r.nodes[1]) == 0);
    CHECK(r.nodes[1]->heard_of(event_kind::member_gone));
    CHECK(r.nodes[1]->status().members.size() == 2);
    r.nodes[0]->crash(); // and it is not forgotten who is gone
    r.nodes[0]->start();
    CHECK(r.nodes[0]->status().members.size() == 2);
}

TEST_CASE("engine: what waits of an id that is gone does not join any more") {
    router r;
    r.add("a", durability::relaxed);
    auto p = start_pages(r, {"b", "c"});
    p.type(0, 0, "one two");
    r.run(2s);
    const auto former = r.nodes[0]->engine->id();
    const auto lost_by = [](std::size_t who, bool all) {
        return [=](const auto& e, const auto& f) {
            return e.to == who && (f.has(is_chunk) || (f.has(is_update) && (all || e.from != 0)));
        };
    };
    r.lose = lost_by(2, true);
    p.type(1, 7, " three"); // a hears of it, c does not
    r.deliver();
    r.lose = [&](const auto& e, const auto& f) { return lost_by(1, true)(e, f) || lost_by(2, false)(e, f); };
    p.type(0, 3, "-"); // c hears of it, b does not
    r.deliver();
    CHECK(p.status(2).buffered_updates == 1);
    r.lose = lost_by(2, true);
    p.restart(0);
    r.link(0, 1);
    r.link(0, 2);
    r.run(30s);
    CHECK(r.nodes[0]->engine->id() != former);
    CHECK(r.nodes[2]->heard_of(event_kind::member_gone));
    CHECK(p.status(2).buffered_updates == 0);
    r.lose = nullptr;
    r.run(60s);
    CHECK(p.text(2) == "one- two three"); // once: a has made it anew, under its new id
    p.check_equal();
}

TEST_CASE("engine: nodes whose storage does not last are forgotten after a while") {
    router r;
    r.add("a", durability::none);
    r.add("b", durability::full);
    r.start_all();
    const auto former = r.nodes[0]->engine->id();
    r.nodes[0]->crash();
    r.nodes[0]->start();
    r.link(0, 1);
    r.nodes[0]->add("x");
    r.nodes[0]->remove("x");
    r.run(300s);
    CHECK(r.nodes[1]->status().members.size() == 3);
    CHECK(records(*r.nodes[1]) == 1);
    r.run(600s);
    CHECK(r.nodes[1]->status().members.size() == 2);
    CHECK(records(*r.nodes[1]) == 0);
    const auto members = r.nodes[0]->status().members;
    CHECK(std::find(members.begin(), members.end(), former) == members.end());
}

TEST_CASE("engine: that a node's storage does not last is not forgotten by a restart") {
    router r;
    r.add("a", durability::none);
    r.add("b", durability::full);
    r.add("c", durability::full);
    r.start_all();
    r.run(60s);
    const auto former = r.nodes[0]->engine->id();
    r.nodes[0]->crash(); // for good
    for (std::size_t i : {1, 2}) {
        r.nodes[i]->crash();
        r.nodes[i]->start();
    }
    r.link(1, 2);
    r.nodes[1]->add("x");
    r.nodes[1]->remove("x");
    r.run(300s);
    CHECK(records(*r.nodes[1]) == 1);
    r.run(600s);
    for (std::size_t i : {1, 2}) {
        const auto members = r.nodes[i]->status().members;
        CHECK(std::find(members.begin(), members.end(), former) == members.end());
        CHECK(records(*r.nodes[i]) == 0);
    }
}

TEST_CASE("engine: what is kept for a member that is away is bounded, and it comes back to the complete state") {
    router r;
    start(r, {"a", "b", "c"});
    auto &a = *r.nodes[0], &c = *r.nodes[2];
    for (auto& n : r.nodes) n->set->set_log_budget(20'000);
    r.link_all();
    r.run(1s);
    a.add("removed early");
    r.run(1s);
    c.add_later("of c");
    c.crash();
    c.start();
    c.set->set_log_budget(20'000);
    REQUIRE_FALSE(c.has("of c")); // it was never logged
    c.add("while alone");
    a.remove("removed early");
    for (int i = 0; i < 2000; ++i) a.add("element " + std::to_string(i % 10));
    r.run(1min);
    CHECK(a.set->get().state().removals().bytes() < 50'000);
    CHECK(a.status().members.size() == 3);
    r.link(0, 2);
    r.run(5s);
    r.link(1, 2);
    r.run(1min);
    check_converged(r);
    for (auto& n : r.nodes) {
        CHECK((*n->set)->size() == 11);
        CHECK(n->has("while alone"));
        CHECK_FALSE(n->has("removed early"));
        CHECK_FALSE(n->heard_of(event_kind::divergence));
    }
}

TEST_CASE("engine: a follower that stays away is forgotten too, and comes back to everything") {
    router r;
    auto &f = r.add("f"), &b = r.add("b");
    f.options.role = node_role::follower;
    r.start_all();
    f.crash();
    b.add("x");
    b.remove("x");
    b.add("y");
    r.run(300s);
    CHECK(b.status().members.size() == 2);
    CHECK(records(b) == 1);
    r.run(600s);
    CHECK(b.status().members.size() == 1);
    CHECK(records(b) == 0);
    f.start();
    r.link(0, 1);
    r.run(5s);
    CHECK(f.heard_of(event_kind::evicted));
    CHECK(f.has("y"));
    check_converged(r);
}

TEST_CASE("engine: ids that ended with a crash are not waited for once their edits are known") {
    router r;
    r.add("a");
    r.add("b", durability::relaxed);
    auto p = start_pages(r);
    p.type(0, 0, "one two");
    r.run(2s);
    std::set<replica_id> formers;
    for (int i = 0; i < 3; ++i) {
        formers.insert(r.nodes[1]->engine->id());
        r.lose = [](const auto&, const auto&) { return true; };
        p.type(1, 3, "-");
        p.erase(0, 0, 1);
        r.deliver();
        r.lose = nullptr;
        p.restart(1);
        p.type(1, 3, "+"); // held
        if (i == 1) p.restart(1);
        r.link(0, 1);
        r.run(5s);
    }
    CHECK(formers.size() == 3);
    r.run(120s);
    CHECK(p.status(0).members.size() == 2);
    CHECK(p.status(0).stable == p.all[0]->version());
    CHECK(p.text(0).size() == 7 + 3 + 3 - 3);
    p.check_equal();
}

TEST_CASE("engine: what a burst of edits took is given back when it is quiet") {
    router r;
    for (const char* name : {"a", "b"}) r.add(name, durability::none).start(); // a disk in memory would grow
    r.link_all();
    r.run(2s);
    const auto settle = [&] {
        r.run(60s);
        for (auto& n : r.nodes) {
            n->trace = {};
            n->events = {};
            n->trace.shrink_to_fit();
            n->events.shrink_to_fit();
        }
        r.seen.clear();
        r.seen.shrink_to_fit();
        return ::mallinfo2().uordblks + ::mallinfo2().hblkhd;
    };
    const auto burst = [&] {
        for (int i = 0; i < 20'000; ++i) r.nodes[0]->add_later(std::to_string(i));
        r.flush();
        r.deliver();
        const auto taken = ::mallinfo2().uordblks + ::mallinfo2().hblkhd;
        for (int i = 0; i < 20'000; ++i) r.nodes[0]->remove(std::to_string(i));
        r.deliver();
        return taken;
    };
    const auto before = settle();
    const auto taken = burst();
    const auto after = settle();
    CHECK((*r.nodes[1]->set)->empty());
    if (taken == 0) return; // a sanitizer's heap does not tell
    CHECK(taken > before + 2'000'000);
    CHECK(after < before + 200'000);
}
