// SPDX-License-Identifier: Apache-2.0
// Who comes to an engine's group, who goes, and who comes back.
#include "engine_pages.hpp"

#include <set>
#include <tuple>

using namespace joinery;
using namespace std::chrono_literals;

TEST_CASE("engine: who was evicted comes back under a new id, and what nobody had of its edits is made anew") {
    for (const bool restarted : {false, true}) {
        CAPTURE(restarted);
        router r;
        auto p = start_pages(r, {"a", "b", "c"});
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
    auto p = start_pages(r, {"a", "b", "c"});
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
    auto p = start_pages(r, {"a", "b", "c"});
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

TEST_CASE("engine: who was evicted, and who waits to be let in, do not wait for each other") {
    for (const unsigned seed : {1, 2, 3, 4}) { // either may have the lesser id
        CAPTURE(seed);
        router r;
        r.random.seed(seed);
        r.add("a", durability::relaxed);
        auto p = start_pages(r, {"b"});
        p.type(0, 0, "one two");
        r.run(2s);
        r.cut(0, 1);
        r.nodes[0]->engine->evict(r.nodes[1]->engine->id());
        r.flush();
        p.type(1, 7, " three");
        r.run(1s);
        p.restart(0); // under a new id; its old one was the only other member
        r.link(0, 1);
        r.run(30s);
        CHECK_FALSE(p.held(0));
        CHECK_FALSE(p.held(1));
        CHECK(p.text(0) == "one two three");
        p.check_equal();
    }
}

TEST_CASE("engine: of those that wait, who has anything goes before who was evicted, whoever has more") {
    for (const unsigned seed : {1, 2, 3, 4}) { // any may have the least id
        CAPTURE(seed);
        router r;
        r.random.seed(seed);
        r.add("a", durability::none);
        r.add("b").options.expected_peers = 2;
        auto p = start_pages(r, {"c"});
        p.type(0, 0, "one two three");
        r.run(2s);
        for (const std::size_t i : {0, 2}) r.cut(i, 1);
        r.cut(0, 2);
        p.type(2, 0, "zero "); // c has more of the whole
        for (const std::size_t i : {0, 2}) r.nodes[1]->engine->evict(r.nodes[i]->engine->id());
        p.erase(1, 3, 4); // b is left alone, and forgets it
        r.run(60s);
        REQUIRE(p.horizon(1) == p.all[1]->version());
        p.restart(1);
        p.type(1, 0, "> "); // held: nobody can say whether on something outdated
        p.restart(0);       // new, and empty
        p.type(0, 0, "from a");
        for (const auto& [x, y] : {std::pair(0, 1), std::pair(0, 2), std::pair(1, 2)}) {
            r.link(x, y);
            r.run(50ms);
        }
        for (std::size_t i = 0; i < 3; ++i) CHECK(p.held(i)); // for each other
        const auto before = r.seen.size();
        r.run(20s);
        const auto answer = std::find_if(r.seen.begin() + static_cast<std::ptrdiff_t>(before), r.seen.end(),
                                         [](const auto& e) { return content_of(e.frame).has(is_chunk); });
        REQUIRE(answer != r.seen.end());
        CHECK(answer->from == 1); // it went first
        for (std::size_t i = 0; i < 3; ++i) CHECK_FALSE(p.held(i));
        p.type(0, p.text(0).size() - 6, "+"); // where something was forgotten
        r.run(60s);
        for (std::size_t i = 0; i < 3; ++i) CHECK_FALSE(r.nodes[i]->heard_of(event_kind::divergence));
        CHECK(p.text(0).find("zero ") != std::string::npos);
        CHECK(p.text(0).find("two") == std::string::npos);
        p.check_equal();
    }
}

TEST_CASE("engine: who was evicted does not wait for who had anything and is gone again") {
    router r;
    r.add("a", durability::none);
    r.add("b").options.expected_peers = 2;
    auto p = start_pages(r, {"c"});
    p.type(2, 0, "one");
    r.run(2s);
    for (const std::size_t i : {0, 2}) r.cut(i, 1);
    r.cut(0, 2);
    for (const std::size_t i : {0, 2}) r.nodes[1]->engine->evict(r.nodes[i]->engine->id());
    r.run(2s);
    p.restart(1);
    p.type(1, 0, "> ");
    p.restart(0);
    for (const auto& [x, y] : {std::pair(0, 1), std::pair(0, 2), std::pair(1, 2)}) {
        r.link(x, y);
        r.run(50ms);
    }
    for (std::size_t i = 0; i < 3; ++i) CHECK(p.held(i));
    for (const std::size_t i : {0, 2}) r.cut(i, 1);
    r.run(20s);
    CHECK_FALSE(p.held(0));
    CHECK_FALSE(p.held(2));
    CHECK(p.text(0) == "one");
}

TEST_CASE("engine: two that were evicted by each other come back") {
    router r;
    auto p = start_pages(r, {"a", "b", "c"});
    p.type(0, 0, "one two");
    r.run(2s);
    for (const std::size_t i : {0, 1}) r.cut(i, 2);
    p.type(2, 7, " three");
    p.type(1, 0, "zero ");
    r.nodes[2]->engine->evict(r.nodes[1]->engine->id());
    r.nodes[1]->engine->evict(r.nodes[2]->engine->id());
    r.run(2s);
    r.link(1, 2);
    r.run(20s);
    for (std::size_t i = 0; i < 3; ++i) CHECK_FALSE(p.held(i));
    CHECK(p.text(0) == "zero one two three");
    p.check_equal();
}

TEST_CASE("engine: a newcomer waits for a group that it hears, whoever else answers") {
    router r;
    auto p = start_pages(r, {"a", "b"});
    p.type(0, 0, "one two three");
    r.run(2s);
    auto &c = r.add("c"), &d = r.add("d"); // d has no pages
    c.start();
    d.start();
    p.open(2);
    p.type(2, 0, "from c");
    r.link(2, 3);
    r.run(10s);
    CHECK(p.held(2)); // who has no pages knows of no group
    r.lose = [](const auto& e, const auto&) { return e.from == 2 && e.to < 2; };
    r.link(0, 2);
    r.run(10s);
    CHECK(p.held(2));
    r.lose = {};
    r.run(10s);
    CHECK_FALSE(p.held(2));
    CHECK(p.text(0).find("from c") != std::string::npos);
    p.check_equal();
}

TEST_CASE("engine: a newcomer that is left alone by the member that it met waits for it") {
    router r;
    auto p = start_pages(r, {"a", "b"});
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

TEST_CASE("engine: an edit that waits to be logged while an answer joins is there after a restart") {
    router r;
    r.add("a");
    r.add("b", durability::relaxed).options.expected_peers = 2; // it waits for another one
    auto p = start_pages(r);
    p.type(0, 0, "one two three");
    r.run(5s);
    const auto former = r.nodes[1]->engine->id();
    r.cut(0, 1);
    r.nodes[0]->engine->evict(former);
    p.erase(0, 3, 4);
    r.run(60s);
    REQUIRE(p.horizon(0) == p.all[0]->version()); // forgotten
    p.restart(1);
    REQUIRE(p.text(1) == "one two three");
    r.link(0, 1);
    for (bool typed = false; !typed;) {
        if (r.wire.empty()) r.run(1ms);
        REQUIRE_FALSE(r.wire.empty());
        typed = r.wire.front().to == 1 && content_of(r.wire.front().frame).has(is_chunk);
        if (typed) {
            std::lock_guard lock(p.all[1]->mutex());
            p.all[1]->edit([](auto& page, auto& tx) { page.text.insert(tx, 5, "-"); });
        }
        r.deliver_next();
    }
    CHECK(p.text(1) == "one- three");
    CHECK(p.held(1));
    p.restart(1);
    CHECK(p.text(1) == "one- three");
    r.link(0, 1);
    r.run(10s);
    CHECK(p.text(0) == "one- three");
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

TEST_CASE("engine: founders do not wait for each other, however many they are") {
    for (const bool chain : {false, true}) {
        for (unsigned seed = 1; seed <= 50; ++seed) {
            CAPTURE(chain);
            CAPTURE(seed);
            router r;
            r.random.seed(seed);
            start(r, {"a", "b", "c", "d"});
            pages p(r);
            for (std::size_t i = 0; i < 4; i += 3) p.type(i, 0, "one two three");
            for (std::size_t i = 1; i < 4; ++i)
                for (std::size_t j = chain ? i - 1 : 0; j < i; ++j) r.link(i, j);
            while (!r.wire.empty()) { // some links are slow, and broadcasts go another way
                const auto& e = r.wire[r.random() % r.wire.size()];
                const auto way = [](const router::envelope& x) {
                    return std::tuple(x.from, x.to, content_of(x.frame).kind);
                };
                const auto first =
                    std::find_if(r.wire.begin(), r.wire.end(), [&](const auto& other) { return way(other) == way(e); });
                std::rotate(r.wire.begin(), first, first + 1);
                r.deliver_next();
            }
            r.run(100ms); // much less than the patience with who does not answer
            for (std::size_t i = 0; i < 4; ++i) CHECK_FALSE(p.held(i));
            CHECK(p.text(0).size() == 26);
            p.check_equal();
        }
    }
}

TEST_CASE("engine: a storage that fell back behind what it had acknowledged is let in like a newcomer") {
    router r;
    auto p = start_pages(r, {"a", "b"});
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

TEST_CASE("engine: a storage that fell back is let in like a newcomer, even if who knows that it did is away") {
    router r;
    start(r, {"a", "b", "c"});
    pages p(r);
    r.link_all();
    r.run(2s);
    p.type(0, 0, "one two three");
    r.run(60s);
    auto copy = r.nodes[2]->disk.copy();
    r.lose = [](const auto& e, const auto& f) { // nobody tells b what c has
        return e.to == 1 && (f.has(is_acknowledgements) || (e.from == 2 && f.has(is_beacon)));
    };
    p.erase(0, 3, 4);
    r.run(60s);
    REQUIRE(p.horizon(0) == p.all[0]->version()); // a has forgotten it
    REQUIRE(p.horizon(1) != p.all[1]->version());
    r.lose = {};
    r.cut(0, 1);
    r.cut(0, 2);
    r.cut(1, 2);
    r.nodes[2]->crash();
    p.all[2].reset();
    r.nodes[2]->disk = std::move(copy);
    r.nodes[2]->start();
    p.open(2);
    REQUIRE(p.text(2) == "one two three");
    p.type(2, 5, "-");
    r.link(1, 2);
    r.run(5s);
    CHECK_FALSE(p.held(2));
    CHECK(p.text(1) == "one- three");
    r.link(0, 1);
    r.link(0, 2);
    r.run(5s);
    p.check_equal();
    CHECK(p.text(0) == "one- three");
}

TEST_CASE("engine: what a storage acknowledged before it fell back does not count beside what is acknowledged later") {
    router r;
    auto p = start_pages(r, {"a", "b", "c"});
    p.type(0, 0, "one two three");
    r.run(60s);
    auto copy = r.nodes[2]->disk.copy();
    p.type(0, 13, "!");
    r.run(60s);
    r.cut(0, 1);
    r.cut(0, 2);
    p.erase(1, 3, 4); // c acknowledges it to b, and a does not know of it
    r.run(60s);
    r.cut(1, 2);
    r.nodes[2]->crash();
    p.all[2].reset();
    r.nodes[2]->disk = std::move(copy);
    r.nodes[2]->start();
    p.open(2);
    r.link(0, 2);
    r.run(2s);
    CHECK_FALSE(p.held(2));
    r.cut(0, 2);
    p.type(2, 5, "-");
    REQUIRE(p.text(2) == "one t-wo three!");
    r.link(0, 1);
    r.run(60s); // a has acknowledged it, too
    CHECK(p.horizon(1) != p.all[1]->version());
    r.link(0, 2);
    r.link(1, 2);
    r.run(10s);
    p.check_equal();
    CHECK(p.text(0) == "one- three!");
}

TEST_CASE("engine: two that come back without what the other had do not wait for each other for ever") {
    router r;
    start(r, {"a", "b"});
    pages p(r);
    r.link_all();
    r.run(2s);
    p.type(0, 0, "one");
    r.run(2s);
    r.cut(0, 1);
    p.type(0, 3, " two");
    p.type(1, 0, "zero ");
    for (std::size_t i = 0; i < 2; ++i) p.restart(i);
    p.type(0, 7, " three");
    p.type(1, 0, "minus one, ");
    const auto before = r.seen.size();
    r.link(0, 1);
    r.run(500ms);
    for (std::size_t i = 0; i < 2; ++i) CHECK(p.held(i));
    // To the one that would go first the other's first hello, when it was a member still, arrives last.
    const std::size_t other = r.nodes[0]->engine->id() < r.nodes[1]->engine->id() ? 1 : 0;
    const auto said = std::find_if(r.seen.begin() + static_cast<std::ptrdiff_t>(before), r.seen.end(),
                                   [&](auto& e) { return e.from == other && content_of(e.frame).has(is_hello); });
    REQUIRE(said != r.seen.end());
    r.wire.push_back(*said);
    r.run(20s);
    for (std::size_t i = 0; i < 2; ++i) CHECK_FALSE(p.held(i));
    p.check_equal();
    CHECK(p.text(0) == "minus one, zero one two three");
}

TEST_CASE("engine: of two that wait to be let in, the one that has more goes first, or the one with the lesser id") {
    for (const bool equal : {false, true}) {
        for (const unsigned seed : {1, 2, 3, 4}) { // either may have the lesser id
            CAPTURE(equal);
            CAPTURE(seed);
            router r;
            r.random.seed(seed);
            auto p = start_pages(r, {"a", "b"});
            p.type(0, 0, "one");
            r.run(2s);
            r.cut(0, 1);
            p.type(0, 3, " two");
            p.type(1, 0, equal ? "nil " : "zero ");
            for (std::size_t i = 0; i < 2; ++i) p.restart(i);
            p.type(0, 7, " three hundred"); // what is held does not count
            p.type(1, 0, "minus one, ");
            r.link(0, 1);
            for (int i = 0; i < 1000 && p.held(0) && p.held(1); ++i) r.run(10ms);
            const std::size_t first = equal && r.nodes[0]->engine->id() < r.nodes[1]->engine->id() ? 0 : 1;
            CHECK_FALSE(p.held(first));
            CHECK(p.held(1 - first));
            r.run(20s);
            for (std::size_t i = 0; i < 2; ++i) CHECK_FALSE(p.held(i));
            p.check_equal();
        }
    }
}

TEST_CASE("engine: what was held in a conflict is made anew, also after a restart that knows of none") {
    router r;
    auto p = start_pages(r, {"a", "b"});
    p.type(0, 0, "one two three");
    r.run(2s);
    auto& copy = r.add("copy");
    copy.disk = r.nodes[1]->disk.copy();
    copy.start();
    p.open(2);
    p.type(2, 5, "-");
    p.erase(0, 3, 4);
    r.link(0, 2);
    r.link(1, 2);
    r.run(500ms);
    CHECK_FALSE(copy.engine->writable());
    REQUIRE(p.text(2) == "one- three"); // it has seen that
    p.restart(2);
    r.run(60s); // b has acknowledged it under their id, and both have forgotten it
    CHECK(p.horizon(0) == p.all[0]->version());
    r.nodes[1]->engine->take_new_id();
    r.flush();
    r.run(2s);
    r.link(0, 2);
    r.link(1, 2);
    r.run(10s);
    CHECK_FALSE(p.held(2));
    CHECK(p.text(0) == "one- three");
    p.check_equal();
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
    edit(r, more[0], [](auto& s, auto& tx) { s.add(tx, "x"); });
    edit(r, more[0], [](auto& s, auto& tx) { s.add(tx, "y"); });
    r.run(1s);
    edit(r, more[1], [](auto& s, auto& tx) { s.remove(tx, "x"); });
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
        r.now += a.options.timings.hello_retry; // not sooner
        a.engine->tick(r.now);
    }
    CHECK(a.status().members.size() == 100);
    membership same; // whoever has the same list may say so
    same.channel = m.channel;
    for (const auto who : a.status().members) same.joined.push_back(who);
    message_batch again;
    again.add(same);
    const auto rejected = a.counters().frames_rejected;
    a.engine->received(1, again.close(frame_kind::direct));
    CHECK(a.counters().frames_rejected == rejected);
    replicated<set_of_strings> other;
    CHECK_THROWS_AS(b.engine->attach("joinery.members", other), std::invalid_argument);
}

TEST_CASE("engine: what a peer claims to have of replicas that it makes up does not add up") {
    router r;
    auto &a = r.add("a"), &b = r.add("b");
    a.options.limits.members = 100;
    r.start_all();
    beacon m;
    m.replica = b.engine->id();
    m.nonce = b.engine->nonce();
    for (std::uint64_t made_up = 1000; made_up < 21'000;) { // ever others
        version_vector has;
        for (int i = 0; i < 20; ++i) has.set(replica_id{++made_up}, 1);
        m.collections = {{channel_of(name_digest("set"), fingerprint<set_of_strings>()), has, made_up, {}}};
        message_batch batch;
        batch.add(m);
        a.engine->received(1, batch.close(frame_kind::broadcast));
        REQUIRE(a.engine->peers()[0].versions[0].size() <= 100);
    }
    b.add("milk"); // it goes on
    r.run(5s);
    check_converged(r);
}
