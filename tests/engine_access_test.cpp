// SPDX-License-Identifier: Apache-2.0

// What peers may do: identities bound to keys, rights by collection, and that nothing waits for what is refused.

#include "engine_access.hpp"

#include <joinery/digest.hpp>
#include <joinery/rga_text.hpp>

using namespace joinery;
using namespace std::chrono_literals;

namespace {

constexpr link_id played = 77; // a link to a peer that the test plays

// Nodes at places 0 and 1 that trust each other with everything, and one at 2 with this right at both.
struct three {
    router r;
    test_engine &a = add_with_key(r, "a"), &b = add_with_key(r, "b"), &c = add_with_key(r, "c");

    explicit three(access_right of_c, std::optional<bool> relay = std::nullopt) {
        a.options.access = policy_at(0, others(1, of_c, relay));
        b.options.access = policy_at(1, others(0, of_c, relay));
    }
    static std::vector<peer_access> others(std::size_t friend_at, access_right of_c,
                                           std::optional<bool> relay = std::nullopt) {
        auto c = access_of(2, of_c);
        c.relay = relay;
        return {access_of(friend_at, access_right::admin), c};
    }
    void grant(access_right of_c) {
        a.engine->set_access(policy_at(0, others(1, of_c)));
        b.engine->set_access(policy_at(1, others(0, of_c)));
        r.flush();
    }
};

bool is_quarantined(const test_engine& at, const test_engine& who) {
    const auto q = at.status().quarantined;
    return std::find(q.begin(), q.end(), who.engine->id()) != q.end();
}

bool is_member(const test_engine& at, replica_id who) {
    const auto m = at.status().members;
    return std::find(m.begin(), m.end(), who) != m.end();
}

// From the peer that is played at place 2: this delta.
void answer_pull(const router& r, test_engine& to, const std::vector<std::byte>& delta) {
    std::optional<std::uint64_t> asked;
    for (const auto& e : r.seen) {
        if (e.to != 2) continue;
        message_reader in(open_frame(e.frame)->body);
        message m;
        for (auto more = in.next(m); more && *more; more = in.next(m))
            if (const auto* p = std::get_if<joinery::pull>(&m)) asked = p->request;
    }
    REQUIRE(asked);
    std::vector<std::byte> answer;
    compact_output_archive ar(answer);
    ar.write(version_vector());
    ar.varint(delta.size());
    ar.raw(delta.data(), delta.size());
    say(to, 2, chunk{set_channel(), *asked, digest(answer), 0, answer.size(), answer});
}

bool contains(std::span<const std::byte> frame, std::string_view text) {
    const auto bytes = std::as_bytes(std::span(text));
    return std::search(frame.begin(), frame.end(), bytes.begin(), bytes.end()) != frame.end();
}

} // namespace

TEST_CASE("access: edits of a peer that may only read are not taken, seen to be so, and hold nothing up") {
    three t(access_right::read);
    auto& [r, a, b, c] = t;
    r.start_all();
    CHECK_FALSE(c.engine->may_write(c.number)); // it is told before it has written anything
    c.add("mine");
    a.add("milk");
    a.add("gone");
    r.run(5s);
    const auto of_c = c.engine->id();
    for (auto* n : {&a, &b}) {
        CHECK_FALSE(n->has("mine"));
        CHECK(is_quarantined(*n, c));
        CHECK(n->counters().denials > 0);
        CHECK(n->heard_of(event_kind::denied));
        CHECK(n->engine->may_write(n->number));
        const auto peers = n->engine->peers();
        const auto p = std::find_if(peers.begin(), peers.end(), [&](const auto& s) { return s.id == of_c; });
        REQUIRE(p != peers.end());
        CHECK(p->rights[n->number] == access_right::read);
        CHECK(p->quarantined[n->number]);
        CHECK(p->denied > 0);
        CHECK(p->key == c.key);
    }
    CHECK(c.has("milk")); // it reads
    CHECK_FALSE(c.status().writable);

    const auto pulls = a.counters().pulls_sent + b.counters().pulls_sent;
    const auto events = a.count(event_kind::denied);
    a.remove("gone");
    r.run(2min);
    CHECK(a.counters().pulls_sent + b.counters().pulls_sent == pulls); // not again and again
    CHECK(a.count(event_kind::denied) == events);
    CHECK(a.status().stable == a.version()); // c acknowledges what it may
    CHECK(a.set->get().state().removals().empty());
    CHECK(b.set->get().state().removals().empty());
    CHECK(a.status().buffered_updates == 0);
    CHECK(a.engine->acknowledged_by(a.number, {a.engine->id(), 1}).size() == 2);
    const auto round = a.engine->ask(); // nor does who reads
    r.flush();
    r.deliver();
    CHECK(a.engine->answered(a.number, round).size() == 2);
}

TEST_CASE("access: who may write again goes on under a new id, with all that was not taken") {
    three t(access_right::read);
    auto& [r, a, b, c] = t;
    r.start_all();
    a.add("milk");
    c.add("mine");
    r.run(5s);
    const auto before = c.engine->id();
    t.grant(access_right::write);
    r.run(1min);
    CHECK(c.engine->id() != before);
    CHECK(a.has("mine"));
    CHECK(c.engine->may_write(c.number));
    c.add("more");
    r.run(5s);
    CHECK(b.has("more"));
    CHECK(a.status().quarantined.empty());
    check_converged(r);

    t.grant(access_right::read); // and back: what is there stays
    r.run(1s);
    c.add("late");
    r.run(10s);
    CHECK_FALSE(a.has("late"));
    CHECK(a.has("more"));
    CHECK(is_quarantined(a, c));
}

TEST_CASE("access: so does one that was away meanwhile") {
    three t(access_right::read);
    auto& [r, a, b, c] = t;
    r.start_all();
    a.add("milk");
    c.add("mine");
    r.run(5s);
    const auto before = c.engine->id();
    c.crash();
    a.remove("milk");
    t.grant(access_right::write);
    r.run(1s);
    c.start();
    r.link_all();
    r.run(1min);
    CHECK(c.engine->id() != before);
    CHECK(a.has("mine"));
    CHECK_FALSE(c.has("milk"));
    check_converged(r);
}

TEST_CASE("access: what a trusted peer has taken of others is taken from it") {
    router r;
    auto &a = add_with_key(r, "a"), &b = add_with_key(r, "b"), &c = add_with_key(r, "c");
    a.options.access = policy_at(0, {access_of(1, access_right::write), access_of(2, access_right::read)});
    b.options.access = policy_at(1, {access_of(0, access_right::write), access_of(2, access_right::write)});
    r.start_all();
    c.add("of c");
    r.run(10s);
    CHECK(a.has("of c"));
    CHECK(a.status().quarantined.empty());
    CHECK(c.engine->may_write(c.number)); // b takes its edits
    check_converged(r);
}

TEST_CASE("access: who may not read a collection is sent nothing of it") {
    three t(access_right::none);
    auto& [r, a, b, c] = t;
    std::vector<std::unique_ptr<replicated<set_of_strings>>> open;
    for (auto* n : {&a, &b}) n->options.access->peers.back().collections = {{"open", access_right::write}};
    for (auto* n : {&a, &b, &c}) {
        n->start();
        n->engine->attach("open", *open.emplace_back(std::make_unique<replicated<set_of_strings>>()));
    }
    r.link_all();
    r.run(1s);
    a.add("a secret");
    a.engine->set_presence(a.number, std::as_bytes(std::span(std::string_view("present"))));
    edit(r, *open[0], [](auto& s, auto& tx) { s.add(tx, "for all"); });
    r.run(1min);
    CHECK(b.has("a secret"));
    CHECK(b.engine->presence(b.number).size() == 1);
    CHECK_FALSE(c.has("a secret"));
    CHECK((*open[2])->contains("for all"));
    CHECK(b.counters().updates_applied == 2); // as it was made, not by a pull
    CHECK(b.counters().pulls_sent == 0);
    std::string name;
    for (unsigned i = 0; i < 8; ++i) name += static_cast<char>(set_channel().value >> (8 * i));
    for (const auto& e : r.seen) {
        if (e.to != 2) continue;
        CHECK_FALSE(contains(e.frame, "a secret"));
        CHECK_FALSE(contains(e.frame, "present"));
        CHECK_FALSE(contains(e.frame, name));
    }
    // It is asked for in vain.
    say(a, 2, joinery::pull{set_channel(), 5, {}, 0, 1000});
    CHECK(a.counters().answers_refused == 1);
    for (auto* n : {&a, &b}) {
        CHECK(n->status().stable == n->version()); // it is no member
        auto policy = *n->options.access;
        policy.peers.back().collections.clear();
        policy.peers.back().rights = access_right::write;
        n->engine->set_access(policy);
    }
    r.run(10s);
    CHECK(c.has("a secret"));
    check_converged(r);

    for (auto* n : {&a, &b}) n->engine->set_access(*n->options.access);
    r.run(1s);
    a.add("once more a secret");
    r.run(10s);
    CHECK(b.has("once more a secret"));
    CHECK_FALSE(c.has("once more a secret"));
}

TEST_CASE("access: an id is its key's, also after a restart") {
    three t(access_right::write);
    auto& [r, a, b, c] = t;
    a.start();
    b.start();
    r.link(0, 1);
    r.run(1s);
    b.add("of b");
    r.run(1s);
    // c opens a copy of b's storage.
    c.disk = b.disk.copy();
    c.start();
    REQUIRE(c.engine->id() == b.engine->id());
    r.link(0, 2);
    c.add("forged");
    r.run(10s);
    CHECK(a.heard_of(event_kind::denied));
    CHECK(c.heard_of(event_kind::forbidden));
    CHECK_FALSE(a.has("forged"));
    CHECK(b.engine->writable());
    CHECK(a.engine->peers().size() == 1);
    b.add("again");
    r.run(1s);
    CHECK(a.has("again"));

    a.crash();
    a.start();
    r.link(0, 2);
    r.run(5s);
    CHECK(a.counters().denials > 0);
    CHECK(c.engine->id() != b.engine->id()); // it has heard from a that the id is in use, and taken its own
    CHECK(a.version()[b.engine->id()] == b.version()[b.engine->id()]);
    r.link(0, 1);
    r.run(1s);
    b.add("at last");
    r.run(1s);
    CHECK(a.has("at last"));
    CHECK(b.engine->writable());
}

TEST_CASE("access: nobody else claims this node's id, but a copy that has its key") {
    for (const bool copied : {false, true}) {
        CAPTURE(copied);
        three t(access_right::admin);
        auto& [r, a, b, c] = t;
        a.start();
        a.add("of a");
        c.disk = a.disk.copy();
        if (copied) c.key = a.key;
        c.start();
        REQUIRE(c.engine->id() == a.engine->id());
        r.link(0, 2);
        r.run(5s);
        CHECK(a.engine->writable() != copied);
        CHECK(a.heard_of(event_kind::denied) != copied);
        // Nor does its beacon, or somebody's word.
        if (!copied) {
            say(a, 2, beacon{a.engine->id(), 5, {}});
            CHECK(a.engine->writable());
        }
    }
}

TEST_CASE("access: whoever may not relay is not believed of others") {
    three t(access_right::write, false);
    auto& r = t.r; // no structured bindings: clang 14 does not let lambdas have them
    auto &a = t.a, &b = t.b, &c = t.c;
    a.start();
    b.start();
    r.link(0, 1);
    b.add("of b");
    r.run(1s);
    const replica_id self{0x77}, other{0x88};
    a.engine->connected(played, c.key);
    say(a, played, hello_of(self, 1));
    const auto denied = [&](const auto&... m) {
        const auto before = a.counters().denials;
        say(a, played, m...);
        return a.counters().denials - before;
    };
    replica<set_of_strings> own(self), another(other);
    const auto mine = edit_of(own, "own"), theirs = edit_of(another, "forged");
    CHECK(denied(update{set_channel(), assurance::none, {}, mine}) == 0);
    CHECK(a.has("own"));
    CHECK(denied(update{set_channel(), assurance::none, {}, theirs}) == 1);
    replica<set_of_strings> as_a(a.engine->id());
    const auto future = edit_of(as_a, "of a"); // a has made no edit
    CHECK(denied(update{set_channel(), assurance::none, {}, future}) == 1);
    const auto id = a.engine->id();
    auto greatest = beacon{self, 1, {{set_channel(), {}, 1, std::nullopt}}};
    greatest.collections[0].version.raise(id, max_sequence);
    greatest.collections[0].version.raise(other, max_sequence);
    CHECK(denied(greatest) == 0); // it says that it has them, which is nothing to a
    CHECK(denied(acknowledgements{set_channel(), {{b.engine->id(), 1, greatest.collections[0].version}}}) == 1);
    CHECK(denied(membership{set_channel(), {replica_id{5}}, {b.engine->id()}}) == 1);
    const auto text = std::as_bytes(std::span(std::string_view("here")));
    CHECK(denied(presence{set_channel(), self, 1, 1, 1000, text}) == 0);
    CHECK(denied(presence{set_channel(), other, 1, 1, 1000, text}) == 1);
    CHECK(denied(request{set_channel(), self, id, 1, 1, "service", text}) == 0);
    CHECK(denied(request{set_channel(), other, id, 1, 2, "service", text}) == 1);
    const auto asked = a.engine->take_requests();
    REQUIRE(asked.size() == 1);
    CHECK(asked[0].right == access_right::write);
    say(a, played, refuse{.reason = refusal::evicted, .name = id.value()},
        refuse{.reason = refusal::identity_in_use, .name = id.value(), .nonce = 9});
    r.run(10s);
    CHECK(a.engine->id() == id);
    CHECK(a.engine->writable());
    CHECK(a.counters().pulls_sent <= 1); // of b's edit, at the beginning
    CHECK(is_member(a, b.engine->id()));
    CHECK_FALSE(is_member(a, replica_id{5}));
    CHECK(a.version()[other] == 0);
    a.add("by a");
    r.run(1s);
    CHECK(b.has("by a"));
    CHECK(a.set->get().state() == b.set->get().state());
}

TEST_CASE("access: a reply counts only from who was asked, or who may relay") {
    three t(access_right::write, false);
    auto& [r, a, b, c] = t;
    a.start();
    b.start();
    r.link(0, 1);
    r.run(1s);
    a.engine->connected(played, c.key);
    say(a, played, hello_of(replica_id{0x77}, 1));
    const auto text = std::as_bytes(std::span(std::string_view("forged")));
    const auto number = a.engine->request(a.number, b.engine->id(), "service", text);
    REQUIRE(number);
    say(a, played, reply{set_channel(), a.engine->id(), a.engine->nonce(), *number, text});
    CHECK_FALSE(a.engine->take_reply(*number));
    r.flush();
    r.deliver();
    const auto asked = b.engine->take_requests();
    REQUIRE(asked.size() == 1);
    CHECK(asked[0].right == access_right::admin);
    b.engine->reply(asked[0], std::as_bytes(std::span(std::string_view("true"))));
    r.flush();
    r.deliver();
    CHECK(a.engine->take_reply(*number));
}

TEST_CASE("access: of a peer that may not relay, only its own edits are fetched") {
    // b - c - a: a hears of b by c alone.
    router r;
    auto &a = add_with_key(r, "a"), &b = add_with_key(r, "b"), &c = add_with_key(r, "c");
    auto edge = access_of(2, access_right::write);
    edge.relay = false;
    a.options.access = policy_at(0, {edge});
    for (auto* n : {&a, &b, &c}) n->start();
    c.add("before"); // while a is away
    c.add("and again");
    r.link(0, 2);
    r.run(5s);
    CHECK(a.has("before")); // by a pull
    r.link(1, 2);
    b.add("of b");
    r.run(20s);
    CHECK(c.has("of b"));
    CHECK_FALSE(a.has("of b"));
    const auto pulls = a.counters().pulls_sent;
    r.run(1min);
    CHECK(a.counters().pulls_sent == pulls);
    auto policy = *a.options.access;
    policy.peers[0].relay = true;
    a.engine->set_access(policy);
    r.run(10s);
    CHECK(a.has("of b"));
    check_converged(r);
}

TEST_CASE("access: an answer that takes away what others wrote is not joined") {
    three t(access_right::write, false);
    auto& [r, a, b, c] = t;
    a.start();
    a.add("of a");
    const replica_id self{0x77};
    a.engine->connected(played, c.key);
    replica<set_of_strings> own(self);
    own.join(a.set->get().state());
    own.edit([](auto& s, auto& tx) { s.add(tx, "own"); });
    // It says that it has an edit of its own, and answers with one that covers the element of a without carrying it.
    version_vector says;
    says.raise(self, 1);
    say(a, played, hello_of(self, 1, says));
    r.run(1s);
    a.engine->disconnected(played);
    r.link(0, 2); // what a sends can be seen on the router's own link
    say(a, 2, hello_of(self, 1, says));
    r.run(1s);
    auto forged = own.delta_since({});
    forged.fragment = own.delta_since(a.version()).fragment;
    const auto before = a.counters().denials;
    answer_pull(r, a, encode(forged));
    CHECK(a.counters().denials == before + 1);
    CHECK(a.has("of a"));
    CHECK_FALSE(a.has("own"));
}

TEST_CASE("access: only an admin says that others are gone, and everybody that it is itself") {
    for (const auto right : {access_right::write, access_right::admin}) {
        CAPTURE(to_string(right));
        three t(right);
        auto& [r, a, b, c] = t;
        auto& d = add_with_key(r, "d");
        for (auto* n : {&a, &b}) n->options.access->peers.push_back(access_of(3, access_right::write));
        r.start_all();
        a.add("milk");
        r.run(5s);
        const auto who = d.engine->id();
        d.crash();
        c.engine->evict(who);
        r.run(10s);
        CHECK(is_member(a, who) == (right != access_right::admin));
        CHECK(is_member(b, who) == (right != access_right::admin));
        const auto leaving = c.engine->id();
        c.engine->leave();
        r.deliver();
        r.run(1s);
        CHECK_FALSE(is_member(a, leaving));
        CHECK(a.engine->writable());
    }
}

TEST_CASE("access: ids of one key are so many, and those that are gone make room") {
    router r;
    auto& a = add_with_key(r, "a");
    a.options.access = policy_at(0, {access_of(1, access_right::write)});
    a.options.limits.peer_ids = 3;
    a.start();
    std::uint64_t nonce = 100;
    const auto let_in = [&](std::uint64_t id, std::vector<replica_id> formers = {}, unsigned key = 2) {
        a.engine->connected(played, test_key(key));
        auto h = hello_of(replica_id{id}, ++nonce);
        h.formers = std::move(formers);
        say(a, played, h);
        const auto peers = a.engine->peers();
        const bool up = std::any_of(peers.begin(), peers.end(),
                                    [&](const auto& p) { return p.id == replica_id{id} && p.up && p.links == 1; });
        a.engine->disconnected(played);
        return up;
    };
    CHECK(let_in(1));
    CHECK(let_in(2));
    CHECK(let_in(3));
    CHECK_FALSE(let_in(4));
    CHECK(let_in(2));
    a.engine->evict(replica_id{1});
    a.engine->flush();
    CHECK(let_in(4));
    CHECK_FALSE(let_in(5));
    CHECK_FALSE(let_in(1)); // it is gone
    a.crash();
    a.start();
    CHECK_FALSE(let_in(5)); // it is remembered
    CHECK(let_in(4));

    // Of another key.
    auto policy = policy_at(0, {access_of(1, access_right::write), access_of(2, access_right::write)});
    policy.peers[1].ids = {replica_id{9}};
    a.engine->set_access(policy);
    const auto let_in_third = [&](std::uint64_t id, std::vector<replica_id> formers = {}) {
        return let_in(id, std::move(formers), 3);
    };
    CHECK(let_in_third(9));
    CHECK_FALSE(let_in_third(10)); // not one of those that it may have
    CHECK_FALSE(let_in_third(2));
    CHECK_FALSE(let_in_third(9, {replica_id{2}}));
    CHECK_FALSE(let_in_third(9, {a.engine->id()}));
    CHECK_FALSE(let_in(9));
}

TEST_CASE("access: followers' edits are not taken, with or without a policy") {
    router r;
    auto& a = r.add("a");
    a.start();
    const replica_id self{0x77};
    a.engine->connected(played);
    auto h = hello_of(self, 1);
    h.role = node_role::follower;
    say(a, played, h);
    replica<set_of_strings> own(self), other(replica_id{0x88});
    const auto mine = edit_of(own, "own"), relayed = edit_of(other, "of another");
    say(a, played, update{set_channel(), assurance::none, {}, mine});
    CHECK(a.counters().denials == 1);
    CHECK_FALSE(a.has("own"));
    say(a, played, update{set_channel(), assurance::none, {}, relayed});
    CHECK(a.has("of another"));
    h.role = node_role::leader;
    say(a, played, h);
    say(a, played, update{set_channel(), assurance::none, {}, mine});
    CHECK(a.has("own"));
}

TEST_CASE("access: what a reader shows of a state is not taken for a repair") {
    three t(access_right::read);
    auto& [r, a, b, c] = t;
    a.start();
    a.add("milk");
    a.engine->connected(played, c.key);
    say(a, played, hello_of(replica_id{0x77}, 1, a.version()));
    say(a, played, beacon{replica_id{0x77}, 1, {{set_channel(), a.version(), 1, 12345}}});
    CHECK(a.counters().divergences == 0);
    CHECK(a.counters().comparisons_sent == 0);
}

TEST_CASE("access: who is not listed is not let in, and comes in once it is") {
    router r;
    auto &a = add_with_key(r, "a"), &b = add_with_key(r, "b");
    a.options.access = policy_at(0, {});
    r.start_all();
    a.add("milk");
    b.add("bread");
    r.run(5s);
    CHECK(a.engine->peers().empty());
    CHECK_FALSE(b.has("milk"));
    CHECK(b.count(event_kind::forbidden) == 1);
    a.engine->set_access(policy_at(0, {access_of(1, access_right::write)}));
    r.flush();
    r.run(10s);
    CHECK(a.has("bread"));
    CHECK(b.has("milk"));
    check_converged(r);
    a.engine->set_access(policy_at(0, {}));
    r.run(1s);
    b.add("tea");
    r.run(5s);
    CHECK_FALSE(a.has("tea"));
}

TEST_CASE("access: a node keeps to its own policy") {
    router r;
    auto& a = add_with_key(r, "a");
    a.options.access = policy_at(0, {});
    a.options.access->self.collections = {{"set", access_right::read}};
    a.start();
    CHECK_FALSE(a.engine->may_write(a.number));
    CHECK_FALSE(a.status().writable);
    auto policy = *a.options.access;
    policy.self.collections.clear();
    a.engine->set_access(policy);
    CHECK(a.engine->may_write(a.number));
    policy.peers = {access_of(1, access_right::read), access_of(1, access_right::write)};
    CHECK_THROWS_AS(a.engine->set_access(policy), std::invalid_argument);
}

TEST_CASE("access: a collection that those who are not listed may not read is not broadcast, linked or not") {
    router r;
    auto &a = add_with_key(r, "a"), &b = add_with_key(r, "b");
    a.options.access = policy_at(0, {access_of(1, access_right::write)});
    // A stranger listens; it has no link by which it could be known.
    a.options.access->others.collections.emplace("public", access_right::read);
    r.start_all();
    r.seen.clear();
    a.add("secret");
    r.run(5s);
    CHECK(b.has("secret"));
    for (const auto& e : r.seen)
        if (content_of(e.frame).kind == frame_kind::broadcast) CHECK_FALSE(contains(e.frame, "secret"));
    for (const auto& e : r.seen) {
        if (e.from != 0 || content_of(e.frame).kind != frame_kind::broadcast) continue;
        message_reader in(open_frame(e.frame)->body);
        message m;
        for (auto more = in.next(m); more && *more; more = in.next(m))
            if (const auto* told = std::get_if<beacon>(&m)) CHECK(told->collections.empty());
    }
}

TEST_CASE("access: nobody passes on a reply of who was not asked and may not relay") {
    // a - b, and a reader at b, which hears a request whose target b does not know either.
    three t(access_right::read, false);
    auto& [r, a, b, c] = t;
    a.start();
    b.start();
    r.link(0, 1);
    r.run(1s);
    b.engine->connected(played, c.key);
    const replica_id self{0x77}, far{0x88};
    say(b, played, hello_of(self, 1));
    const auto text = std::as_bytes(std::span(std::string_view("forged")));
    const auto number = a.engine->request(a.number, far, "service", text);
    REQUIRE(number);
    r.flush();
    r.deliver();
    const auto denied = b.counters().denials;
    say(b, played, reply{set_channel(), a.engine->id(), a.engine->nonce(), *number, text});
    r.deliver();
    CHECK_FALSE(a.engine->take_reply(*number));
    CHECK(b.counters().denials == denied + 1);
    CHECK(b.counters().requests_relayed == 1); // to the reader
}

TEST_CASE("access: who may not read a collection is not told that there is one") {
    router r;
    auto& a = add_with_key(r, "a");
    add_with_key(r, "c");
    a.options.access = policy_at(0, {access_of(1, access_right::none)});
    a.options.access->peers[0].collections.emplace("other", access_right::write);
    a.start();
    a.add("milk");
    r.link(0, 1);
    const replica_id self{0x77};
    auto h = hello_of(self, 1);
    h.collections.clear();
    say(a, 1, h);
    r.seen.clear();
    const channel unknown{12345};
    const auto answers = [&](channel which) {
        r.seen.clear();
        comparison m{which, 7, digest(encode(a.version())), 1, {}};
        m.dots.add(dot_range{a.engine->id(), 1, 1});
        say(a, 1, joinery::pull{which, 5, {}, 0, 1000}, m, relaying{which, self, relay_wish::unwanted},
            membership{which, {self}, {}}, beacon{self, 1, {{which, {}, 1, std::nullopt}}});
        std::vector<std::vector<std::byte>> all;
        for (const auto& e : r.seen)
            if (e.to == 1) all.push_back(e.frame);
        return all;
    };
    CHECK(answers(set_channel()) == answers(unknown));
}

TEST_CASE("access: an answer goes on only for the collection that it is of") {
    router r;
    auto &a = add_with_key(r, "a"), &c = add_with_key(r, "c");
    a.options.access = policy_at(0, {access_of(1, access_right::read)});
    a.start();
    replicated<set_of_strings> other;
    const auto number = a.engine->attach("other", other);
    a.add("secret");
    r.link(0, 1);
    const replica_id self{0x77};
    say(a, 1, hello_of(self, 1));
    say(a, 1, joinery::pull{set_channel(), 5, {}, 0, 0}); // no credit: a chunk at most
    a.engine->disconnected(1);
    auto policy = *a.options.access;
    policy.peers[0].collections.emplace("set", access_right::none);
    a.engine->set_access(policy);
    a.engine->connected(1, c.key);
    auto h = hello_of(self, 1);
    h.collections[0].name = name_digest("other");
    say(a, 1, h);
    r.seen.clear();
    const auto of_other = channel_of(name_digest("other"), fingerprint<set_of_strings>());
    say(a, 1, joinery::pull{of_other, 5, {}, 0, 1 << 20});
    for (const auto& e : r.seen) CHECK_FALSE(contains(e.frame, "secret"));
    CHECK(a.engine->status(number).name == "other");
}

TEST_CASE("access: a reader that passes for a member keeps nobody from being the first") {
    // Two that join with a text, and a reader that says that it is a member and has very much.
    three t(access_right::read);
    auto& r = t.r; // no structured bindings: clang 14 does not let lambdas have them
    auto &a = t.a, &b = t.b, &c = t.c;
    replicated<rga_text> of_a, of_b;
    a.start();
    b.start();
    const auto number = a.engine->attach("text", of_a);
    b.engine->attach("text", of_b);
    const auto text = channel_of(name_digest("text"), fingerprint<rga_text>());
    const replica_id self{0x77};
    version_vector much;
    much.raise(replica_id{5}, 1'000'000);
    auto h = hello_of(self, 1, much);
    h.collections[0].name = name_digest("text");
    h.collections[0].fingerprint = fingerprint<rga_text>();
    const auto claims = [&] {
        for (auto* n : {&a, &b}) say(*n, played, h, beacon{self, 1, {{text, much, 1, std::nullopt}}});
    };
    for (auto* n : {&a, &b}) n->engine->connected(played, c.key);
    claims();
    r.link(0, 1);
    {
        std::lock_guard lock(of_a.mutex());
        of_a.edit([](auto& s, auto& tx) { s.insert(tx, 0, "hello"); });
    }
    for (unsigned i = 0; i < 60; ++i) {
        r.run(500ms);
        claims();
    }
    CHECK_FALSE(a.engine->status(number).held);
    CHECK(of_b->str() == "hello");
}

TEST_CASE("access: ids that are given up one after the other do not fill the list") {
    router r;
    auto &a = add_with_key(r, "a"), &c = add_with_key(r, "c");
    a.options.access = policy_at(0, {access_of(1, access_right::read)});
    a.start();
    a.engine->connected(played, c.key);
    std::uint64_t id = 1000;
    const auto come_and_go = [&](unsigned times) {
        for (unsigned i = 0; i < times; ++i) {
            const replica_id self{++id};
            say(a, played, hello_of(self, id));
            say(a, played, membership{set_channel(), {self}, {self}});
            r.now += 600ms;
            a.engine->tick(r.now);
        }
    };
    come_and_go(1000);
    const auto gone = a.count(event_kind::member_gone);
    CHECK(gone >= 64); // who starts anew now and then
    CHECK(gone < 70);
    r.now += 1h;
    a.engine->tick(r.now);
    come_and_go(100); // an honest node that was restarted too often comes back
    CHECK(a.count(event_kind::member_gone) > gone);
}

TEST_CASE("access: the links of one key have one rate") {
    router r;
    auto &a = add_with_key(r, "a"), &c = add_with_key(r, "c");
    a.options.access = policy_at(0, {access_of(1, access_right::write)});
    a.options.limits.rate_messages = 10;
    a.start();
    const replica_id self{0x77};
    for (link_id l = played; l < played + 20; ++l) { // also those that come anew
        a.engine->connected(l, c.key);
        for (unsigned i = 0; i < 5; ++i) say(a, l, hello_of(self, 1));
        if (l % 2) a.engine->disconnected(l);
    }
    CHECK(a.counters().hellos_received == 10);
    CHECK(a.counters().frames_over_rate == 90);
    a.engine->connected(99, test_key(9)); // of others
    say(a, 99, hello_of(replica_id{0x99}, 2));
    CHECK(a.counters().denials + a.counters().frames_over_rate >= 90);
    r.now += 1s;
    a.engine->tick(r.now);
    say(a, played + 1, hello_of(self, 1));
    CHECK(a.counters().hellos_received >= 11);
}

TEST_CASE("access: an edit that removes what others have yet to write is not taken, nor by way of an answer") {
    three t(access_right::write, false);
    auto& r = t.r;
    auto &a = t.a, &b = t.b, &c = t.c;
    a.start();
    b.start();
    r.link(0, 1);
    a.add("before");
    r.run(1s);
    const replica_id self{0x77};
    a.engine->connected(played, c.key);
    say(a, played, hello_of(self, 1));
    const auto removing = [&](std::uint64_t seq, const dot_range& what) {
        delta<set_of_strings> d;
        d.covered.add(dot_range{self, seq, seq});
        removal of;
        of.event = {self, seq};
        of.killed.add(what);
        d.removals.push_back(of);
        return encode(d);
    };
    const auto of_a = a.engine->id();
    say(a, played, update{set_channel(), assurance::none, {}, removing(1, {of_a, 2, max_sequence})});
    CHECK(a.version()[self] == 0);
    a.add("after");
    r.run(1s);
    CHECK(a.has("after"));
    CHECK(b.has("after"));
    // What is there it may remove.
    say(a, played, update{set_channel(), assurance::none, {}, removing(1, {of_a, 1, 1})});
    CHECK(a.version()[self] == 1);
    CHECK_FALSE(a.has("before"));
    // An edit that waits for one before it is judged when its turn comes.
    replica<set_of_strings> own(self);
    own.join(a.set->get().state());
    const auto second = edit_of(own, "own");
    say(a, played, update{set_channel(), assurance::none, {}, removing(3, {of_a, 3, 9})});
    say(a, played, update{set_channel(), assurance::none, {}, second});
    CHECK(a.version()[self] == 2);
    a.add("later");
    r.run(1s);
    CHECK(b.has("later"));
    CHECK(a.has("own"));
    // Nor does an answer bring one.
    a.engine->disconnected(played);
    r.link(0, 2);
    version_vector says;
    says.raise(self, 3);
    say(a, 2, hello_of(self, 1, says));
    r.run(1s);
    const auto denied = a.counters().denials;
    answer_pull(r, a, removing(3, {of_a, 4, 9}));
    CHECK(a.counters().denials == denied + 1);
    CHECK(a.version()[self] == 2);
    answer_pull(r, a, removing(3, {of_a, 2, 3}));
    CHECK(a.version()[self] == 2); // that was another request
    a.add("last");
    r.run(1s);
    CHECK(b.has("last"));
    CHECK(a.set->get().state() == b.set->get().state());
}
