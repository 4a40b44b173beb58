// SPDX-License-Identifier: Apache-2.0
#include <joinery/storage.hpp>

#include "sqlite_files.hpp"

#include <doctest/doctest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <csignal>
#include <cstddef>
#include <cstring>
#include <memory>
#include <random>
#include <string>

using namespace joinery;
using namespace storage_test;

namespace {

constexpr std::size_t piece = 8 * 1024;

void back_up(storage& s, const std::string& path) {
    auto copy = s.back_up(path);
    while (!copy->copy(piece)) {
    }
    copy->finish();
}

} // namespace

TEST_CASE("sqlite_storage: a backup has what was synced when it ended, whatever is written meanwhile") {
    for (std::uint64_t seed = 1; seed <= 20; ++seed) {
        CAPTURE(seed);
        scratch_folder folder;
        std::mt19937_64 random(seed);
        auto s = sqlite_storage(folder / "node", seed % 2 ? durability::full : durability::relaxed);
        s->load();
        history h(*s, {});
        h.set_id(seed);
        h.attach("first", 1);
        for (int i = 0; i < 40; ++i) h.step(random, 60'000);
        h.sync();
        auto copy = s->back_up(folder / "copy");
        std::size_t pieces = 1;
        for (; !copy->copy(piece); ++pieces) {
            h.step(random, 60'000);
            h.sync();
        }
        CHECK(pieces > 1);
        const content at_the_end = h.now();
        h.step(random, 60'000); // it is complete
        h.sync();
        copy->finish();
        copy.reset();
        CHECK(content(sqlite_storage(folder / "copy")->load()) == at_the_end);
        const content later = h.now();
        h.close();
        CHECK(content(sqlite_storage(folder / "node")->load()) == later);
    }
}

TEST_CASE("sqlite_storage: a copy knows that it is one until it has an id of its own") {
    scratch_folder folder;
    auto s = sqlite_storage(folder / "node");
    CHECK_FALSE(s->load().copy);
    s->set_id(replica_id{7});
    s->attach("a", 1);
    back_up(*s, folder / "copy");
    CHECK_FALSE(sqlite_storage(folder / "copy", durability::relaxed)->load().clean);
    for (const bool close : {false, true, false}) { // looked into, and used without an id
        auto copy = sqlite_storage(folder / "copy");
        const auto node = copy->load();
        CHECK(node.copy);
        CHECK(node.id == replica_id{7});
        copy->attach("b", 2);
        copy->append(0, blob(100, 1));
        close ? copy->close() : copy->harden();
    }
    {
        auto copy = sqlite_storage(folder / "copy");
        copy->load();
        back_up(*copy, folder / "second"); // a copy of a copy is one
    }
    CHECK(sqlite_storage(folder / "second")->load().copy);
    {
        auto second = sqlite_storage(folder / "second");
        second->load();
        second->set_id(replica_id{8});
    }
    const auto node = sqlite_storage(folder / "second")->load();
    CHECK_FALSE(node.copy);
    CHECK(node.id == replica_id{8});
    s->close();
    CHECK_FALSE(sqlite_storage(folder / "node")->load().copy);
}

TEST_CASE("sqlite_storage: a backup that does not come to its end leaves nothing behind that could be opened") {
    scratch_folder folder;
    auto s = sqlite_storage(folder / "node");
    fill(*s, 1, 60, false);
    const auto only_node = [&] {
        for (const auto& [name, bytes] : files_in(folder.path()))
            if (!name.starts_with("node")) return false;
        return true;
    };
    { auto given_up = s->back_up(folder / "copy"); }
    CHECK(only_node());
    {
        auto given_up = s->back_up(folder / "copy");
        given_up->copy(piece);
        CHECK_THROWS_AS(s->back_up(folder / "other"), storage_error); // one at a time
    }
    CHECK(only_node());
    {
        auto unfinished = s->back_up(folder / "copy");
        while (!unfinished->copy(piece)) {
        }
        write_file(folder / "copy", "somebody was faster");
        CHECK_THROWS_AS(unfinished->finish(), storage_error);
    }
    CHECK(read_file(folder / "copy") == "somebody was faster");
    CHECK_THROWS_AS(s->back_up(folder / "copy"), storage_error);
    fs::remove(folder / "copy");
    CHECK_THROWS_AS(s->back_up(folder / "node"), storage_error);
    CHECK_THROWS_AS(s->back_up(folder / "missing/copy"), storage_error);
    CHECK_THROWS_AS(s->back_up(""), storage_error);
    CHECK(only_node());

    auto late = s->back_up(folder / "copy");
    late->copy(piece);
    s->close();
    CHECK_THROWS_AS(late->copy(piece), storage_error);
    s.reset();
    CHECK_THROWS_AS(late->copy(piece), storage_error);
    late.reset();
    CHECK(only_node());
    CHECK(files_in(folder.path()).size() == 1);
}

TEST_CASE("sqlite_storage: of two backups under one name only one that is complete gets it") {
    scratch_folder folder;
    auto s = sqlite_storage(folder / "node"), other = sqlite_storage(folder / "other");
    fill(*s, 1, 60, false);
    const content others = fill(*other, 2, 60, false);
    auto first = s->back_up(folder / "copy");
    while (!first->copy(piece)) {
    }
    CHECK_THROWS_AS(s->back_up(folder / "copy"), storage_error); // it has no name yet
    auto second = other->back_up(folder / "copy");
    CHECK_FALSE(second->copy(piece));
    CHECK_THROWS_AS(first->finish(), storage_error);
    first.reset();
    CHECK_FALSE(fs::exists(folder / "copy"));
    while (!second->copy(piece)) {
    }
    second->finish();
    second.reset();
    auto copy = sqlite_storage(folder / "copy");
    const auto node = copy->load();
    CHECK(node.copy);
    CHECK(content(node) == others);
    CHECK_FALSE(fs::exists(folder / "copy.part"));
}

TEST_CASE("sqlite_storage: a backup for which there is no room is an error, and the storage goes on") {
    scratch_folder folder;
    CHECK(in_child([&] {
        std::signal(SIGXFSZ, SIG_IGN);
        auto s = sqlite_storage(folder / "node");
        s->load();
        const auto a = s->attach("a", 1);
        s->compact(a, blob(3'000'000, 1));
        rlimit limit{1'000'000, RLIM_INFINITY};
        ::setrlimit(RLIMIT_FSIZE, &limit);
        try {
            back_up(*s, folder / "copy");
            return false;
        } catch (const storage_error& e) {
            if (!std::strstr(e.what(), "back up") || fs::exists(folder / "copy.part")) return false;
        }
        limit.rlim_cur = RLIM_INFINITY;
        ::setrlimit(RLIMIT_FSIZE, &limit);
        s->append(a, blob(10, 2));
        s->sync();
        back_up(*s, folder / "copy");
        return true;
    }));
    const auto node = sqlite_storage(folder / "copy")->load();
    REQUIRE(node.collections.size() == 1);
    CHECK(node.collections[0].snapshot == blob(3'000'000, 1));
    CHECK(node.collections[0].records.size() == 1);
}

TEST_CASE("sqlite_storage: a process that dies during a backup leaves no file of that name") {
    for (int pieces = 0;; ++pieces) {
        CAPTURE(pieces);
        scratch_folder folder;
        content c;
        {
            auto s = sqlite_storage(folder / "node");
            c = fill(*s, 3, 60, true);
        }
        const bool finished = in_child([&] {
            auto s = sqlite_storage(folder / "node");
            s->load();
            auto copy = s->back_up(folder / "copy");
            for (int i = 0; i < pieces; ++i) {
                if (!copy->copy(piece)) continue;
                copy->finish();
                return true;
            }
            ::_exit(1);
        });
        CHECK(fs::exists(folder / "copy") == finished);
        CHECK(fs::exists(folder / "copy.part") != finished);
        if (finished) {
            CHECK(content(sqlite_storage(folder / "copy")->load()) == c);
            CHECK(pieces > 3);
            break;
        }
        auto s = sqlite_storage(folder / "node");
        CHECK(content(s->load()) == c);
        back_up(*s, folder / "copy"); // what was left behind is in nobody's way
        CHECK_FALSE(fs::exists(folder / "copy.part"));
        CHECK(content(sqlite_storage(folder / "copy")->load()) == c);
    }
}
