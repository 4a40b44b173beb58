// SPDX-License-Identifier: Apache-2.0
#include <joinery/lww_register.hpp>

#include "bytes.hpp"
#include "replicas.hpp"

#include <doctest/doctest.h>

#include <string>
#include <vector>

using joinery::hybrid_clock;
using joinery::lww_register;
using joinery::replica;
using joinery::timestamp;
using joinery::transaction;

namespace {
using text = lww_register<std::string>;
auto setting(std::string v) {
    return [v](text& r, transaction& tx) { r.set(tx, v); };
}
// A replica whose wall clock the test sets.
struct node {
    std::uint64_t now;
    replica<text> r;
    node(joinery::replica_id id, std::uint64_t ms) : now(ms), r(id, hybrid_clock([this] { return now; })) {}
};
using strings = std::vector<std::string>;
} // namespace

TEST_CASE("lww_register: never set, it has no value") {
    replica<text> a{id_a};
    CHECK_FALSE(a->get().has_value());
    CHECK(a->siblings().empty());
    CHECK(a->written() == timestamp{});
    CHECK(a->empty());
}

TEST_CASE("lww_register: the later of two concurrent writes wins, the other stays readable") {
    node a(id_a, 1000), b(id_b, 2000);
    auto early = a.r.edit(setting("early"));
    auto late = b.r.edit(setting("late"));
    a.r.join(late);
    b.r.join(early);
    CHECK(a.r->get() == "late");
    CHECK(a.r->siblings() == strings{"late", "early"});
    CHECK(a.r->written() == timestamp::from_milliseconds(2000));
    check_converged(a.r, b.r);
    // The next write has seen both.
    b.r.join(a.r.edit(setting("resolved")));
    CHECK(b.r->siblings() == strings{"resolved"});
    check_converged(a.r, b.r);
}

TEST_CASE("lww_register: causality decides before the clock") {
    node a(id_a, 1'000'000), b(id_b, 1000); // b's clock is far behind
    b.r.join(a.r.edit(setting("first")));
    a.r.join(b.r.edit(setting("second")));
    CHECK(a.r->get() == "second");
    CHECK(a.r->siblings().size() == 1);
    check_converged(a.r, b.r);
}

TEST_CASE("lww_register: equal timestamps are decided by replica, the same everywhere") {
    node a(id_a, 1000), b(id_b, 1000), c(id_c, 1000);
    auto from_a = a.r.edit(setting("a"));
    auto from_b = b.r.edit(setting("b"));
    a.r.join(from_b);
    b.r.join(from_a);
    c.r.join(from_a);
    c.r.join(from_b);
    CHECK(a.r->get() == "b");
    CHECK(a.r->siblings() == strings{"b", "a"});
    check_converged(a.r, b.r, c.r);
}

TEST_CASE("lww_register: a clock years ahead wins concurrent contests only, and is overwritten by the next write") {
    constexpr std::uint64_t year = 365ull * 24 * 3600 * 1000;
    node a(id_a, 1'700'000'000'000), b(id_b, 1'700'000'000'000 + 10 * year);
    auto future = b.r.edit(setting("from the future"));
    a.r.edit(setting("now"));
    a.r.join(future);
    CHECK(a.r->get() == "from the future");
    CHECK(a.r.clock().rejected() == 1);
    CHECK(a.r.clock().greatest_skew() == 10 * year);
    auto fixed = a.r.edit(setting("fixed"));
    CHECK(a.r->get() == "fixed");
    CHECK(a.r->written().milliseconds() == a.now); // the clock was not dragged along
    b.r.join(a.r.state());
    CHECK(b.r->get() == "fixed");
    check_converged(a.r, b.r);
}

TEST_CASE("lww_register: a loser wins once the winner is removed by who had not seen it") {
    node a(id_a, 1000), b(id_b, 2000), c(id_c, 3000);
    auto winner = b.r.edit(setting("winner"));
    c.r.join(winner);
    auto loser = a.r.edit(setting("loser"));
    auto removed = c.r.edit([](text& r, transaction& tx) { r.reset(tx); });
    for (auto* n : {&a, &b, &c})
        for (const auto* d : {&loser, &winner, &removed}) n->r.join(*d);
    CHECK(a.r->siblings() == strings{"loser"});
    check_converged(a.r, b.r, c.r);
}

TEST_CASE("lww_register: an edit that fails changes nothing") {
    node a(id_a, 1000), b(id_b, 2000);
    a.r.edit(setting("x"));
    a.r.join(b.r.edit(setting("y")));
    check_undone(a.r, [](text& r, transaction& tx) {
        r.set(tx, "z");
        r.reset(tx);
        r.set(tx, "w");
    });
    CHECK(a.r->siblings() == strings{"y", "x"});
}

TEST_CASE("lww_register: within one edit the later write wins") {
    node a(id_a, 1000), b(id_b, 1000);
    auto d = a.r.edit([](text& r, transaction& tx) {
        r.set(tx, "one");
        r.set(tx, "two");
    });
    b.r.join(d);
    CHECK(b.r->siblings() == strings{"two"});
    check_converged(a.r, b.r);
}

TEST_CASE("lww_register: pruned, budgeted, re-issued under another id") {
    node a(id_a, 1000), b(id_b, 2000);
    a.r.edit(setting("one"));
    a.r.edit(setting("two"));
    meet(a.r, b.r);
    CHECK(a.r.state().removals().size() == 1);
    a.r.prune(a.r.version());
    CHECK(a.r.state().removals().empty());
    a.r.set_log_budget(0);
    a.r.edit(setting("three"));
    a.r.edit(setting("four"));
    CHECK(a.r.state().removals().size() <= 1);
    b.r.join(a.r.delta_since(b.r.version()));
    check_converged(a.r, b.r);

    a.r.hold_from(4);
    a.r.edit(setting("five"));
    a.r.rename_from(4, id_c);
    CHECK(a.r->get() == "five");
    CHECK(a.r.version() == joinery::version_vector{{id_a, 4}, {id_c, 1}});
    b.r.join(a.r.delta_since(b.r.version()));
    CHECK(b.r->siblings() == strings{"five"});
    check_converged(a.r, b.r);
}
