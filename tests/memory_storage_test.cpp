// SPDX-License-Identifier: Apache-2.0
#include <joinery/memory_storage.hpp>

#include "storage_history.hpp"

using namespace joinery;
using namespace storage_test;

TEST_CASE("memory_storage: the promises of a storage") {
    memory_disk disk;
    check_promises([&] { return disk.open(); });
}

TEST_CASE("memory_storage: level none, and empty at first") {
    auto s = memory_storage();
    CHECK(s->level() == durability::none);
    CHECK(s->load().collections.empty());
    auto a = s->attach("a", 1);
    s->append(a, blob(3, 1));
    s->sync();
    s->close();
}

TEST_CASE("memory_disk: a crash drops what was not synced and kills the storage") {
    memory_disk disk;
    auto s = disk.open();
    s->load();
    history h(*s, {});
    auto a = h.attach("a", 1);
    h.append(a, blob(1, 1));
    h.sync();
    for (std::uint64_t i = 2; i < 6; ++i) h.append(a, blob(i, i));

    SUBCASE("all of it") {
        disk.crash();
        auto node = disk.open()->load();
        CHECK_FALSE(node.clean);
        CHECK(content(node) == h.acknowledged());
    }
    SUBCASE("but for its beginning") {
        disk.crash(3);
        auto node = disk.open()->load();
        CHECK(h.may_survive(content(node)));
        CHECK(node.collections[0].records.size() == 4);
    }
    SUBCASE("the dead do nothing") {
        disk.crash();
        CHECK_FALSE(disk.in_use());
        CHECK_THROWS_AS(s->append(a, blob(1, 1)), storage_crash);
        CHECK_THROWS_AS(s->close(), storage_crash);
        auto again = disk.open();
        again->load();
        s.reset(); // and their destruction does not release what others hold
        CHECK(disk.in_use());
        CHECK_THROWS_AS(disk.open(), storage_error);
    }
}

TEST_CASE("memory_disk: what survives at each level") {
    for (auto level : {durability::none, durability::relaxed, durability::full}) {
        for (bool power : {false, true}) {
            memory_disk disk(level);
            CHECK(disk.level() == level);
            auto s = disk.open();
            s->load();
            s->set_id(replica_id{5});
            auto a = s->attach("a", 1);
            s->append(a, blob(1, 1));
            s->sync();
            power ? disk.power_cut() : disk.crash();
            auto node = disk.open()->load();
            bool record = level == durability::full || (level == durability::relaxed && !power);
            CHECK(node.id.has_value() == (level != durability::none));
            CHECK(node.clean == (level == durability::none));
            CHECK(node.collections.size() == (record ? 1 : 0));
        }
    }
}

TEST_CASE("memory_disk: what is hardened survives a power cut at level relaxed") {
    for (int how = 0; how < 3; ++how) {
        memory_disk disk(durability::relaxed);
        auto s = disk.open();
        s->load();
        auto a = s->attach("a", 1), b = s->attach("b", 1);
        s->append(a, blob(1, 1));
        if (how == 0) s->harden();
        if (how == 1) s->compact(b, blob(1, 2)); // what was appended elsewhere, too
        if (how == 2) s->rebase(replica_id{6}, {});
        s->append(a, blob(1, 3));
        s->sync();
        disk.power_cut();
        auto node = disk.open()->load();
        REQUIRE(node.collections.size() == 2);
        CHECK(node.collections[0].records.size() == 1);
    }
}

TEST_CASE("memory_disk: an old copy is a disk of its own") {
    memory_disk disk;
    auto s = disk.open();
    s->load();
    s->set_id(replica_id{5});
    auto a = s->attach("a", 1);
    s->append(a, blob(1, 1));
    s->sync();
    s->append(a, blob(1, 2));
    memory_disk old = disk.copy(); // while the original is in use
    s->sync();

    auto restored = old.open()->load();
    CHECK(restored.id == replica_id{5});
    CHECK_FALSE(restored.clean);
    CHECK(restored.collections[0].records.size() == 1);
    s->close();
    CHECK(disk.open()->load().collections[0].records.size() == 2);
}

TEST_CASE("memory_disk: the storage outlives the disk's handle") {
    std::unique_ptr<storage> s;
    {
        memory_disk disk;
        s = disk.open();
    }
    s->load();
    s->append(s->attach("a", 1), blob(1, 1));
    s->close();
}

TEST_CASE("memory_disk: a crash in every step leaves what was acknowledged") {
    auto scenario = [](history& h) {
        h.set_id(1);
        auto a = h.attach("a", 1), b = h.attach("b", 2);
        h.append(a, blob(1, 1));
        h.append(b, blob(1, 2));
        h.sync();
        h.append(a, blob(1, 3));
        h.compact(b, blob(1, 4));
        h.append(b, blob(1, 5));
        h.rebase(2, {{a, blob(1, 6)}});
        h.append(a, blob(1, 7));
        h.append(a, blob(1, 8));
        h.close();
    };
    std::uint64_t last = 0;
    for (std::uint64_t step = 1;; ++step) {
        CAPTURE(step);
        memory_disk disk;
        disk.crash_at(step, step % 3);
        auto s = disk.open();
        history h(*s, {});
        bool died = false;
        try {
            s->load();
            scenario(h);
        } catch (const storage_crash&) {
            died = true;
        }
        s.reset();
        if (!died) {
            last = disk.steps();
            CHECK(step == last + 1);
            break;
        }
        CHECK_FALSE(disk.in_use());
        CHECK(disk.steps() == step);
        auto node = disk.open()->load();
        CHECK(h.may_survive(content(node)));
        // Clean before `load` has marked it, and after `close` has: in its second step.
        CHECK(node.clean == (step == 1 || step == 28));
    }
    CHECK(last == 28); // two steps for each of 14 operations
}

TEST_CASE("memory_disk: a failed operation changes nothing and can be repeated") {
    memory_disk disk;
    auto s = disk.open();
    s->load();
    history h(*s, {});
    auto a = h.attach("a", 1);
    h.append(a, blob(1, 1));
    disk.fail_at(1);
    CHECK_THROWS_AS(s->sync(), storage_error);
    disk.fail_at(2);
    h.sync();
    CHECK_THROWS_AS(s->compact(a, blob(1, 2)), storage_error);
    disk.fail_at(1);
    disk.fail_at(0);
    h.append(a, blob(1, 3));
    h.close();
    CHECK(content(disk.open()->load()) == h.now());
}
