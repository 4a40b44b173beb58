// SPDX-License-Identifier: Apache-2.0
#include "engine_router.hpp"

#include <joinery/or_map.hpp>
#include <joinery/pn_counter.hpp>
#include <joinery/record.hpp>
#include <joinery/rga_text.hpp>

#include <initializer_list>
#include <set>

using namespace joinery;
using namespace std::chrono_literals;

namespace {

struct page {
    rga_text text;
    or_map<std::string, pn_counter> votes;
    or_set<std::string> tags;
};
JOINERY_RECORD(page, (1, text), (2, votes), (3, tags))

/// Pages beside the sets of the nodes, by place.
struct pages {
    router& r;
    std::vector<std::unique_ptr<replicated<page>>> all;
    std::vector<collection_id> numbers;

    explicit pages(router& to) : r(to) {
        for (std::size_t i = 0; i < r.nodes.size(); ++i) open(i);
    }
    void open(std::size_t i) {
        all.resize(std::max(all.size(), i + 1));
        numbers.resize(all.size());
        all[i] = std::make_unique<replicated<page>>();
        if (r.nodes[i]->engine) numbers[i] = r.nodes[i]->engine->attach("page", *all[i]);
    }
    void restart(std::size_t i) {
        r.nodes[i]->crash();
        all[i].reset();
        r.nodes[i]->start();
        open(i);
    }
    template <class F> dot_range edit(std::size_t i, F&& f) {
        std::optional<dot_range> dots;
        {
            std::lock_guard lock(all[i]->mutex());
            dots = all[i]->edit(f);
        }
        r.nodes[i]->engine->flush();
        return *dots;
    }
    void type(std::size_t i, std::size_t at, const std::string& what) {
        edit(i, [&](auto& p, auto& tx) { p.text.insert(tx, at, what); });
    }
    void erase(std::size_t i, std::size_t at, std::size_t n) {
        edit(i, [&](auto& p, auto& tx) { p.text.erase(tx, at, n); });
    }
    void vote(std::size_t i, const std::string& for_what, int n) {
        edit(i, [&](auto& p, auto& tx) {
            p.votes.update(tx, for_what, [&](auto& c) { n > 0 ? c.increment(tx, n) : c.decrement(tx, -n); });
        });
    }
    std::string text(std::size_t i) const { return (*all[i])->text.str(); }
    std::int64_t votes(std::size_t i, const std::string& for_what) const {
        const auto* c = (*all[i])->votes.find(for_what);
        return c ? c->value() : 0;
    }
    const version_vector& horizon(std::size_t i) const { return all[i]->get().state().horizon(); }
    bool held(std::size_t i) const { return r.nodes[i]->engine->status(numbers[i]).held; }
    collection_status status(std::size_t i) const { return r.nodes[i]->engine->status(numbers[i]); }
    void check_equal() const {
        for (std::size_t i = 1; i < all.size(); ++i) {
            CAPTURE(i);
            CHECK(all[i]->get().state() == all[0]->get().state());
        }
    }
};

std::size_t records(const test_engine& n) {
    std::size_t count = 0;
    n.set->get().state().removals().for_each([&](const auto&...) { ++count; });
    return count;
}

void start(router& r, std::initializer_list<const char*> names) {
    for (const char* name : names) r.add(name).start();
}

void start_chain(router& r, std::size_t n) {
    for (std::size_t i = 0; i < n; ++i) r.add(std::string(1, static_cast<char>('a' + i))).start();
    for (std::size_t i = 1; i < n; ++i) r.link(i - 1, i);
    r.run(2s);
}

} // namespace

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
    start(r, {"a", "b", "c"});
    pages p(r);
    r.link_all();
    r.run(2s);
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

TEST_CASE("engine: who was evicted comes back under a new id, and what nobody had of its edits is made anew") {
    for (const bool restarted : {false, true}) {
        CAPTURE(restarted);
        router r;
        start(r, {"a", "b", "c"});
        pages p(r);
        r.link_all();
        r.run(2s);
        p.type(2, 0, "hello world");
        p.vote(2, "yes", 5);
        r.nodes[2]->add("before");
        r.deliver();
        const auto former = r.nodes[2]->engine->id();
        r.cut(0, 2);
        r.cut(1, 2);
        p.erase(0, 5, 6); // " world"
        p.vote(0, "yes", 1);
        r.nodes[0]->remove("before");
        r.nodes[1]->engine->evict(former);
        r.flush();
        r.run(60s);
        CHECK(p.horizon(0)[former] > 0); // forgotten
        CHECK(records(*r.nodes[0]) == 0);
        if (restarted) p.restart(2);
        p.type(2, 11, "!");
        p.type(2, 5, ",");
        p.erase(2, 0, 1);
        p.vote(2, "yes", 3);
        p.vote(2, "no", -2);
        r.nodes[2]->add("away");
        r.nodes[2]->remove("before");
        r.run(10s);
        r.link(0, 2);
        r.link(1, 2);
        r.run(10s);
        CHECK(r.nodes[2]->heard_of(event_kind::evicted));
        CHECK(r.nodes[2]->engine->id() != former);
        CHECK(p.text(2) == "ello,!");
        CHECK(p.votes(2, "yes") == 9);
        CHECK(p.votes(2, "no") == -2);
        CHECK(r.nodes[0]->has("away"));
        CHECK_FALSE(r.nodes[0]->has("before"));
        check_converged(r);
        p.check_equal();
        p.type(2, 0, "H"); // it goes on as a member like any other
        r.run(60s);
        CHECK(p.text(0) == "Hello,!");
        CHECK(p.status(0).members.size() == 3);
        CHECK(p.status(0).stable == p.all[0]->version());
        p.restart(2);
        r.link(0, 2);
        r.run(5s);
        p.type(0, 0, ">");
        r.run(5s);
        p.check_equal();
    }
}

TEST_CASE("engine: an eviction reaches who is linked, and edits under way are neither lost nor doubled") {
    router r;
    start(r, {"a", "b", "c"});
    pages p(r);
    r.link_all();
    r.run(2s);
    p.vote(2, "yes", 1);
    p.vote(2, "yes", 2); // on the wire
    r.nodes[0]->engine->evict(r.nodes[2]->engine->id());
    p.vote(2, "yes", 4);
    r.flush();
    p.vote(2, "yes", 8);
    r.run(30s);
    CHECK(r.nodes[2]->heard_of(event_kind::evicted));
    for (std::size_t i = 0; i < 3; ++i) CHECK(p.votes(i, "yes") == 15);
    p.check_equal();
}

TEST_CASE("engine: who was evicted asks the one that has most of its edits, and none comes twice") {
    router r;
    start(r, {"a", "b", "c"});
    pages p(r);
    r.link_all();
    r.run(2s);
    p.vote(2, "yes", 1);
    r.run(2s);
    r.cut(0, 1);
    r.cut(1, 2);
    p.vote(2, "yes", 4); // a has it, b does not
    p.vote(1, "no", 1);  // b has more to offer
    r.deliver();
    r.nodes[0]->engine->evict(r.nodes[2]->engine->id());
    r.link(1, 2);
    r.run(30s);
    CHECK(r.nodes[2]->heard_of(event_kind::evicted));
    r.link(0, 1);
    r.run(30s);
    for (std::size_t i = 0; i < 3; ++i) CHECK(p.votes(i, "yes") == 5);
    p.check_equal();
}

TEST_CASE("engine: what waits of an id that is gone does not join any more") {
    router r;
    r.add("a", durability::relaxed);
    r.add("b");
    r.add("c");
    for (auto& n : r.nodes) n->start();
    pages p(r);
    r.link_all();
    r.run(2s);
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

TEST_CASE("engine: a newcomer that is left alone by the member that it met waits for it") {
    router r;
    start(r, {"a", "b"});
    pages p(r);
    r.link_all();
    r.run(2s);
    p.type(0, 0, "one two three");
    r.run(60s);
    r.add("c").start();
    p.open(2);
    p.type(2, 0, "from c");
    r.lose = [](const auto& e, const auto& f) { return e.to == 2 && f.has(is_chunk); };
    r.link(1, 2);
    r.run(1s);
    r.cut(1, 2);
    r.run(300s);
    CHECK(p.held(2));
    r.lose = nullptr;
    r.link(1, 2);
    r.run(10s);
    CHECK_FALSE(p.held(2));
    CHECK(p.text(0).find("from c") != std::string::npos);
    p.check_equal();
}

TEST_CASE("engine: a newcomer with edits in a text publishes them on top of what the group has") {
    router r;
    auto &a = r.add("a"), &b = r.add("b"), &c = r.add("c");
    a.start();
    b.start();
    pages p(r);
    r.link(0, 1);
    r.run(2s);
    p.type(0, 0, "one two three");
    r.deliver();
    p.erase(1, 3, 4);
    r.run(60s);
    CHECK(p.horizon(1)[a.engine->id()] > 0);
    c.start();
    p.open(2);
    p.type(2, 0, "from c");
    p.erase(2, 4, 2);
    r.nodes[2]->add("element");
    CHECK(p.held(2)); // until somebody has let it in
    r.link(1, 2);
    r.run(3s);
    CHECK_FALSE(p.held(2));
    CHECK(a.has("element"));
    CHECK(p.text(0).find("from") != std::string::npos);
    CHECK(p.text(0).find("one three") != std::string::npos);
    CHECK_FALSE(c.heard_of(event_kind::new_id)); // nobody knew its dots: it keeps its id
    p.check_equal();
    r.run(60s);
    CHECK(p.status(2).stable == p.all[2]->version());
    p.check_equal();
}

TEST_CASE("engine: founders meet with their edits, and none is made anew") {
    router r;
    start(r, {"a", "b", "c"});
    pages p(r);
    for (std::size_t i = 0; i < 3; ++i) p.type(i, 0, std::string(1, static_cast<char>('x' + i)));
    for (std::size_t i = 0; i < 3; ++i) CHECK(p.held(i));
    r.link(0, 1);
    r.link(1, 2);
    r.run(3s);
    p.check_equal();
    CHECK(p.text(0).size() == 3);
    for (std::size_t i = 0; i < 3; ++i) CHECK(p.status(i).members.size() == 3);
}

TEST_CASE("engine: a storage that fell back behind what it had acknowledged is let in like a newcomer") {
    router r;
    start(r, {"a", "b"});
    pages p(r);
    r.link_all();
    r.run(2s);
    p.type(0, 0, "one two three");
    r.run(2s);
    auto copy = r.nodes[1]->disk.copy();
    p.erase(0, 3, 4);
    r.run(60s); // b has acknowledged it, and a has forgotten it
    CHECK(p.horizon(0) == p.all[0]->version());
    r.nodes[1]->crash();
    p.all[1].reset();
    r.nodes[1]->disk = std::move(copy);
    r.nodes[1]->start();
    p.open(1);
    CHECK(p.text(1) == "one two three");
    p.type(1, 5, "-");
    r.link(0, 1);
    r.run(5s);
    p.check_equal();
    CHECK(p.text(0) == "one- three");
}

TEST_CASE("engine: who leaves in good order is not waited for, and comes back as another") {
    router r;
    start_chain(r, 3);
    const auto former = r.nodes[2]->engine->id();
    r.nodes[2]->add("x");
    r.deliver();
    r.nodes[2]->engine->leave();
    r.deliver();
    r.nodes[2]->engine->close();
    r.nodes[2]->crash();
    r.nodes[0]->remove("x");
    r.run(60s);
    CHECK(records(*r.nodes[0]) == 0);
    CHECK(r.nodes[0]->status().members.size() == 2);
    r.nodes[2]->start();
    r.link(1, 2);
    r.run(5s);
    CHECK(r.nodes[2]->engine->id() != former);
    check_converged(r);
    CHECK(r.nodes[0]->status().members.size() == 3);
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

TEST_CASE(
    "engine: a node that takes part in some collections holds nothing up in the others, and may join them later") {
    router r;
    auto &a = r.add("a"), &b = r.add("b"), &f = r.add("f");
    f.options.role = node_role::follower;
    for (auto& n : r.nodes) n->start();
    replicated<set_of_strings> more[3];
    for (std::size_t i = 0; i < 2; ++i) REQUIRE(r.nodes[i]->engine->attach("more", more[i]) == 1);
    r.link_all();
    r.run(1s);
    const auto edit = [&](std::size_t i, auto&& what) {
        {
            std::lock_guard lock(more[i].mutex());
            more[i].edit(what);
        }
        r.flush();
    };
    edit(0, [](auto& s, auto& tx) { s.add(tx, "x"); });
    edit(0, [](auto& s, auto& tx) { s.add(tx, "y"); });
    r.run(1s);
    edit(1, [](auto& s, auto& tx) { s.remove(tx, "x"); });
    a.add("of the shared one");
    r.run(1min);
    CHECK(f.has("of the shared one"));
    CHECK(more[0]->size() == 1);
    for (std::size_t i = 0; i < 2; ++i) {
        CHECK(more[i].get().state().removals().empty()); // nobody waits for f
        CHECK(r.nodes[i]->engine->status(0).members.size() == 3);
        CHECK(r.nodes[i]->engine->status(1).members.size() == 2);
    }
    CHECK(f.counters().frames_rejected == 0);
    CHECK(f.status().buffered_updates == 0);

    REQUIRE(f.engine->attach("more", more[2]) == 1);
    r.run(5s);
    CHECK(more[2].get().state() == more[0].get().state());
    CHECK(b.engine->status(1).members.size() == 3);
    CHECK(b.engine->status(1).stable == more[2].version());
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
    for (auto& n : r.nodes) n->start();
    pages p(r);
    r.link_all();
    r.run(2s);
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

TEST_CASE("engine: a list of members is bounded, and names that the engine uses are not for others") {
    router r;
    auto& a = r.add("a");
    auto& b = r.add("b");
    a.options.limits.members = 100;
    r.start_all();
    const auto type = replicated<set_of_strings>().fingerprint();
    membership m;
    m.channel = channel_of(name_digest("set"), type);
    for (std::uint64_t i = 1; i <= 200; ++i) m.joined.push_back(replica_id{i});
    message_batch batch;
    batch.add(m);
    a.engine->received(1, batch.close(frame_kind::direct));
    CHECK(a.counters().frames_rejected == 1);
    CHECK(a.status().members.size() == 2);
    for (std::uint64_t i = 1; i <= 200; ++i) { // nor by one that says it is ever another
        hello h;
        h.replica = replica_id{i};
        h.nonce = 1000 + i;
        h.collections = {{name_digest("set"), type, {}}};
        message_batch greeting;
        greeting.add(h);
        a.engine->received(1, greeting.close(frame_kind::direct));
    }
    CHECK(a.status().members.size() == 100);
    replicated<set_of_strings> other;
    CHECK_THROWS_AS(b.engine->attach("joinery.members", other), std::invalid_argument);
}
