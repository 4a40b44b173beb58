// SPDX-License-Identifier: Apache-2.0
#include <joinery/replica.hpp>

#include "carts.hpp"
#include "replicas.hpp"

#include <joinery/joinery.hpp>

#include <doctest/doctest.h>

#include <stdexcept>
#include <string>
#include <type_traits>

using joinery::causal;
using joinery::causal_context;
using joinery::delta;
using joinery::dot;
using joinery::hybrid_clock;
using joinery::replica;
using joinery::timestamp;
using joinery::transaction;
using joinery::version_vector;

namespace {
struct manual {
    std::uint64_t now = 1'000'000;
    hybrid_clock clock() {
        return hybrid_clock([this] { return now; });
    }
};
} // namespace

static_assert(!std::is_copy_constructible_v<replica<cart>> && !std::is_copy_assignable_v<replica<cart>>);
static_assert(std::is_nothrow_move_constructible_v<cart> && std::is_move_constructible_v<replica<cart>>);
static_assert(std::is_copy_constructible_v<causal<cart>>);
static_assert(joinery::checked_crdt<cart>() && !joinery::crdt<std::string>);

TEST_CASE("replica: begins empty, under its id") {
    replica<cart> a{id_a};
    CHECK(a.id() == id_a);
    CHECK(a->empty());
    CHECK(a.version().empty());
    CHECK(a.state().context().empty());
    CHECK(a.state() == causal<cart>{});
    CHECK((*a).size() == 0);
    CHECK(a.state()->empty());
}

TEST_CASE("replica: an edit is one delta, and joins in any order, any number of times") {
    replica<cart> a{id_a}, b{id_b}, c{id_c};
    auto milk = a.edit([](cart& x, transaction& tx) {
        x.add(tx, "milk");
        x.add(tx, "bread");
    });
    CHECK(milk.covered == causal_context{{id_a, 1, 2}});
    CHECK(b.join(milk));
    CHECK_FALSE(b.join(milk));
    auto no_milk = b.edit(removing("milk"));
    auto eggs = a.edit(adding("eggs"));
    // c hears of the removal before the add that it removes.
    CHECK(c.join(no_milk));
    CHECK(c->empty());
    CHECK(c.join(eggs));
    CHECK(c.join(milk));
    CHECK_FALSE(c.join(no_milk));
    a.join(no_milk);
    b.join(eggs);
    CHECK(c->contains("bread"));
    CHECK_FALSE(c->contains("milk"));
    check_converged(a, b, c);
}

TEST_CASE("replica: a join says whether the state grew") {
    replica<cart> a{id_a}, b{id_b};
    auto one = a.edit(adding("x"));
    auto two = a.edit(adding("x"));
    CHECK(b.join(two)); // a gap: the version does not grow, the state does
    CHECK(b.version().empty());
    CHECK(b.join(one)); // brings nothing to see any more
    CHECK(b.version()[id_a] == 2);
    CHECK_FALSE(b.join(one));
    CHECK_FALSE(b.join(a.state()));
    CHECK_FALSE(b.join(delta<cart>{}));
    check_converged(a, b);
}

TEST_CASE("replica: an edit without events is an empty delta") {
    replica<cart> a{id_a};
    auto d = a.edit([](cart&, transaction&) {});
    CHECK(d.empty());
    CHECK(d == delta<cart>{});
    CHECK(a.edit(removing("nothing")).empty());
    CHECK(a.version().empty());
}

TEST_CASE("replica: an edit that throws changes nothing, and the exception goes on") {
    replica<cart> a{id_a};
    a.edit(adding("x"));
    check_undone(a, [](cart& c, transaction& tx) {
        c.add(tx, "y");
        c.remove(tx, "x");
        c.add(tx, "x");
        c.remove(tx, "y");
    });
    CHECK(a.version()[id_a] == 1);
    // The next edit gets the dots that were returned.
    CHECK(a.edit(adding("z")).covered == causal_context{dot{id_a, 2}});
}

TEST_CASE("replica: delta_since gives what a peer lacks, and no more") {
    replica<cart> a{id_a}, b{id_b};
    a.edit(adding("one"));
    a.edit(adding("two"));
    b.join(a.state());
    auto before = b.version();
    a.edit(adding("three"));
    a.edit(removing("one"));
    auto answer = a.delta_since(before);
    CHECK(answer.covered == causal_context{{id_a, 3, 4}});
    CHECK(answer.fragment.size() == 1);
    CHECK(answer.removals.size() == 1);
    CHECK(answer.since == before);
    CHECK(b.accepts(answer));
    CHECK(b.join(answer));
    check_converged(a, b);
    CHECK(a.delta_since(a.version()).empty());
    CHECK(a.delta_since({{id_a, 99}, {id_c, 7}}).empty());
}

TEST_CASE("replica: an answer is joined only by a state that is at its beginning") {
    replica<cart> a{id_a}, c{id_c};
    auto one = a.edit(adding("one"));
    a.edit(adding("two"));
    auto answer = a.delta_since({{id_a, 1}});
    CHECK_FALSE(c.accepts(answer));
    CHECK_FALSE(c.join(answer));
    CHECK(c->empty());
    CHECK(c.state().context().empty());
    CHECK(c.accepts(one)); // the deltas of edits always
    CHECK(c.join(one));
    CHECK(c.accepts(answer));
    CHECK(c.join(answer));
    check_converged(a, c);
}

TEST_CASE("replica: restarted from its saved state, it goes on where it was") {
    manual m;
    replica<joinery::lww_register<std::string>> a{id_a, m.clock()};
    auto set = [](std::string v) { return [v](auto& r, transaction& tx) { r.set(tx, v); }; };
    a.edit(set("one"));
    auto last = a->written();
    auto saved = joinery::encode(a.state());
    using state = causal<joinery::lww_register<std::string>>;
    m.now -= 200; // the machine's clock was set back meanwhile
    replica<joinery::lww_register<std::string>> again{id_a, joinery::decode<state>(saved).value(), m.clock()};
    CHECK(again->get() == "one");
    auto d = again.edit(set("two"));
    CHECK(d.covered == causal_context{dot{id_a, 2}}); // no dot is issued a second time
    CHECK(again->written() > last);
    a.join(d);
    CHECK(a->get() == "two");
    CHECK(a->siblings().size() == 1);
}

TEST_CASE("replica: receiving advances the clock, within the bound") {
    manual here, ahead;
    ahead.now += 400;
    using text = joinery::lww_register<std::string>;
    replica<text> a{id_a, here.clock()}, b{id_b, ahead.clock()};
    auto d = b.edit([](text& r, transaction& tx) { r.set(tx, "b"); });
    a.join(d);
    CHECK(a.clock().latest() == timestamp::from_milliseconds(ahead.now));
    ahead.now += 1'000'000;
    a.join(b.edit([](text& r, transaction& tx) { r.set(tx, "far ahead"); }));
    CHECK(a.clock().rejected() == 1);
    CHECK(a.state().latest() == timestamp::from_milliseconds(ahead.now));
}

TEST_CASE("replica: moved, it takes its identity along") {
    replica<cart> a{id_a};
    a.edit(adding("x"));
    replica<cart> moved = std::move(a);
    CHECK(moved.id() == id_a);
    CHECK(moved->contains("x"));
    CHECK(moved.edit(adding("y")).covered == causal_context{dot{id_a, 2}});
}

TEST_CASE("replica: pruned with what every member has seen, it forgets removals and stays equal") {
    replica<cart> a{id_a}, b{id_b};
    a.edit(adding("x"));
    meet(a, b);
    auto gone = b.edit(removing("x"));
    a.join(gone);
    CHECK(a.state().removals().size() == 1);
    a.prune(a.version());
    CHECK(a.state().removals().empty());
    CHECK(a.state().horizon() == a.version());
    CHECK(a.state() == b.state());
    b.prune({{id_a, 500}, {id_b, 500}}); // beyond the own version is ignored
    CHECK(b.state().horizon() == b.version());
    check_converged(a, b);
}

TEST_CASE("replica: a peer behind the horizon gets the complete state") {
    replica<cart> a{id_a}, b{id_b}, late{id_c};
    auto x = a.edit(adding("x"));
    late.join(x);
    meet(a, b);
    a.join(b.edit(removing("x")));
    a.prune(a.version()); // without asking late: it must get everything
    auto answer = a.delta_since(late.version());
    CHECK(answer.since.empty());
    CHECK(answer.horizon == a.state().horizon());
    CHECK(answer.covered == a.state().context());
    // What late wrote and a lacks stays; what a has seen and no longer has goes.
    late.edit(adding("own"));
    CHECK(late.join(answer));
    CHECK_FALSE(late->contains("x"));
    CHECK(late->contains("own"));
    meet(a, b, late);
    meet(a, b, late);
    check_converged(a, b, late);
}

TEST_CASE("replica: past its budget the log forgets, the horizon moves, and all still converge") {
    replica<cart> a{id_a}, b{id_b}, c{id_c};
    a.set_log_budget(2000);
    std::vector<delta<cart>> edits;
    for (int i = 0; i < 50; ++i) {
        edits.push_back(a.edit(adding("e" + std::to_string(i))));
        if (i == 10) b.join(a.state());
        if (i == 20) c.join(edits.back()); // c has a gap
        if (i % 2) edits.push_back(a.edit(removing("e" + std::to_string(i - 1))));
    }
    CHECK(a.state().removals().bytes() <= 2000);
    CHECK(a.state().removals().size() < 25);
    CHECK_FALSE(a.state().horizon().empty());
    CHECK(a.state().horizon().within(a.version()));
    CHECK(b->contains("e10"));
    auto answer = a.delta_since(b.version());
    CHECK(answer.since.empty()); // the complete state
    CHECK(b.join(answer));
    CHECK_FALSE(b->contains("e10"));
    c.join(a.delta_since(c.version()));
    check_converged(a, b, c);
    // A late edit of an element that was forgotten stays away.
    for (const auto& d : edits) CHECK_FALSE(b.join(d));
    check_converged(a, b, c);
}

TEST_CASE("replica: a horizon that a budget moved does not bring counted increments back") {
    using scores = joinery::or_map<std::string, joinery::g_counter>;
    auto count = [](std::uint64_t n) { return [n](scores& m, transaction& tx) { m.at(tx, "k")->increment(tx, n); }; };
    replica<scores> a{id_a}, b{id_b}, c{id_c};
    a.set_log_budget(0);
    // c counts to 5; a removes the key, having seen it, and then removes much else.
    auto five = c.edit(count(5));
    a.join(five);
    a.edit([](scores& m, transaction& tx) { m.erase(tx, "k"); });
    for (int i = 0; i < 20; ++i) {
        a.join(c.edit([](scores& m, transaction& tx) { m.at(tx, "other")->increment(tx, 1); }));
        a.edit([](scores& m, transaction& tx) { m.erase(tx, "other"); });
    }
    // b gets the complete state; c, who has not heard of the removal, counts on.
    b.join(a.delta_since({}));
    auto more = c.edit(count(2));
    a.join(more);
    b.join(more);
    CHECK(a.state() == b.state());
    REQUIRE(b->find("k"));
    CHECK(b->find("k")->value() == 2);
    c.join(a.state());
    a.join(c.state());
    b.join(c.state());
    CHECK(c->find("k")->value() == 2);
    CHECK(a.state() == c.state());
    CHECK(b.state() == c.state());
}
