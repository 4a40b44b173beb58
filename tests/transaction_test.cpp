// SPDX-License-Identifier: Apache-2.0
#include <joinery/transaction.hpp>

#include <joinery/dot_store.hpp>
#include <joinery/replica.hpp>

#include "replicas.hpp"

#include <doctest/doctest.h>

#include <array>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

using joinery::delta;
using joinery::dot;
using joinery::dot_range;
using joinery::kills;
using joinery::replica;
using joinery::transaction;

namespace {
// A CRDT made of a dot_store, as a user's own is.
struct board : joinery::dot_store<std::string> {
    static std::string type_name() { return "board"; }
};

// A child that is open for editing and says what it hears.
struct listener final : joinery::open_child {
    listener(const void* container, const void* child, std::size_t size, std::string n, std::vector<std::string>& l)
        : open_child(container, child, size), name(std::move(n)), log(l) {}
    void entered(const dot_range& dots) override { log.push_back(name + "+" + std::to_string(dots.first)); }
    void dropped(const dot_range& dots) override { log.push_back(name + "-" + std::to_string(dots.first)); }
    std::string name;
    std::vector<std::string>& log;
};
struct leaf {
    int value = 0;
};
struct branch {
    leaf leaves[2];
};
} // namespace

TEST_CASE("transaction: dots are issued in order, one edit after the other") {
    replica<board> a{id_a};
    std::vector<dot> issued;
    a.edit([&](board& b, transaction& tx) {
        CHECK(tx.replica() == id_a);
        CHECK(tx.empty());
        issued.push_back(b.add(tx, "x"));
        CHECK_FALSE(tx.empty());
        issued.push_back(b.add(tx, "y"));
    });
    a.edit([&](board& b, transaction& tx) { issued.push_back(b.replace(tx, "z")); });
    CHECK(issued == std::vector<dot>{{id_a, 1}, {id_a, 2}, {id_a, 3}});
    CHECK(a->size() == 1);
    a.edit([&](board&, transaction& tx) { CHECK(tx.next(5) == dot_range{id_a, 4, 8}); });
    CHECK(a.version()[id_a] == 8);
}

TEST_CASE("transaction: undo steps run in reverse, and dots and time are given back") {
    replica<board> a{id_a};
    std::vector<int> ran;
    auto failing = [&](board& b, transaction& tx) {
        tx.on_rollback([&] { ran.push_back(1); });
        b.add(tx, "x");
        tx.on_rollback([&] { ran.push_back(2); });
        tx.on_commit([&] { ran.push_back(99); });
        tx.now();
        tx.on_rollback([&] { ran.push_back(3); });
        throw std::runtime_error("stop");
    };
    CHECK_THROWS_AS(a.edit(failing), std::runtime_error);
    CHECK(ran == std::vector<int>{3, 2, 1});
    CHECK(a->empty());
    CHECK(a.version().empty());
    CHECK(a.clock().latest() == joinery::timestamp{});
    auto d = a.edit([](board& b, transaction& tx) { CHECK(b.add(tx, "y") == dot{id_a, 1}); });
    CHECK(d.covered == joinery::causal_context{dot{id_a, 1}});
}

TEST_CASE("transaction: commit steps run once the edit is part of the state, also of an edit without dots") {
    replica<board> a{id_a};
    std::vector<int> ran;
    a.edit([&](board&, transaction& tx) {
        tx.on_commit([&] { ran.push_back(1); });
        tx.on_commit([&] { ran.push_back(2); });
        tx.on_rollback([&] { ran.push_back(99); });
        CHECK(ran.empty());
    });
    CHECK(ran == std::vector<int>{2, 1});
}

TEST_CASE("transaction: what is enlisted hears how the edit ends, the last first, and ends then") {
    struct participant {
        std::vector<std::string>* heard;
        std::shared_ptr<int> held;
        std::array<char, 100> much{};
        void commit() noexcept { heard->push_back("commit " + std::to_string(*held)); }
        void roll_back() noexcept { heard->push_back("roll back " + std::to_string(*held)); }
    };
    constexpr int many = 20; // more than there is room for without asking for memory
    for (const bool fails : {false, true}) {
        replica<board> a{id_a};
        std::vector<std::string> heard, expected;
        const auto last = std::make_shared<int>(many);
        const auto edit = [&](board&, transaction& tx) {
            for (int i = 0; i < many; ++i) tx.enlist<participant>(&heard, std::make_shared<int>(i));
            const participant& kept = tx.enlist<participant>(&heard, last);
            CHECK(kept.held == last);
            CHECK(last.use_count() == 2);
            if (fails) throw std::runtime_error("stop");
        };
        if (fails)
            CHECK_THROWS_AS(a.edit(edit), std::runtime_error);
        else
            a.edit(edit);
        for (int i = many; i >= 0; --i) expected.push_back((fails ? "roll back " : "commit ") + std::to_string(i));
        CHECK(heard == expected);
        CHECK(last.use_count() == 1);
    }
}

TEST_CASE("transaction: an edit has one timestamp") {
    replica<board> a{id_a};
    a.edit([&](board&, transaction& tx) {
        auto t = tx.now();
        CHECK(tx.now() == t);
        CHECK(t > joinery::timestamp{});
    });
}

TEST_CASE("transaction: a record without victims is none") {
    replica<board> a{id_a};
    auto d = a.edit([&](board&, transaction& tx) {
        tx.record(tx.next(), kills{});
        kills some;
        some.add(dot{id_b, 4});
        some.add(dot{id_b, 3});
        tx.record(tx.next(), some);
    });
    REQUIRE(d.removals.size() == 1);
    CHECK(d.removals[0].event == dot{id_a, 2});
    CHECK(d.removals[0].killed.dots == std::vector<dot_range>{{id_b, 3, 4}});
}

TEST_CASE("transaction: what happens inside open children is reported outwards") {
    replica<board> a{id_a};
    a.edit([&](board&, transaction& tx) {
        std::vector<std::string> log;
        branch tree[2];
        int trunk = 0; // stands for the outermost container
        listener outer(&trunk, &tree[0], sizeof(branch), "outer", log);
        listener inner(&tree[0], &tree[0].leaves[1], sizeof(leaf), "inner", log);
        tx.open(outer);
        tx.entered(&tree[0].leaves[0], dot{id_a, 1}); // beside the inner child, inside the outer
        tx.open(inner);
        tx.entered(&tree[0].leaves[1].value, dot{id_a, 2}); // inside both
        tx.dropped(&tree[1], dot{id_a, 3});                 // inside none
        tx.dropped(&tree[0].leaves[1], dot{id_a, 4});
        tx.close();
        tx.entered(&tree[0].leaves[1], dot{id_a, 5}); // the inner one is closed
        tx.close();
        tx.entered(&tree[0], dot{id_a, 6});
        CHECK(log == std::vector<std::string>{"outer+1", "inner+2", "outer+2", "inner-4", "outer-4", "outer+5"});
    });
}

TEST_CASE("dot_store: a replacement supersedes what it has seen, an addition does not") {
    replica<board> a{id_a}, b{id_b};
    // b gets both of a's notes and replaces them, while a adds a third.
    a.edit([](board& x, transaction& tx) {
        x.add(tx, "one");
        x.add(tx, "two");
    });
    b.join(a.state());
    CHECK(b->size() == 2);
    auto replaced = b.edit([](board& x, transaction& tx) { x.replace(tx, "all"); });
    auto third = a.edit([](board& x, transaction& tx) { x.add(tx, "three"); });
    CHECK(a.join(replaced));
    CHECK(b.join(third));
    CHECK(a->size() == 2);
    check_converged(a, b);
    check_undone(a, [](board& x, transaction& tx) {
        x.remove_all(tx);
        x.add(tx, "four");
        x.replace(tx, "five");
    });
    auto none = a.edit([](board& x, transaction& tx) { x.remove_all(tx); });
    CHECK(a->empty());
    CHECK_FALSE(none.removals.empty());
    CHECK(a.edit([](board& x, transaction& tx) { x.remove_all(tx); }).empty());
    b.join(none);
    check_converged(a, b);
}
