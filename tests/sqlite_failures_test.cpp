// SPDX-License-Identifier: Apache-2.0
// What a killed process, a power cut, a full disk, a failed fsync and damage leave of an SQLite storage.
#include <joinery/storage.hpp>

#include "power_cut_vfs.hpp"
#include "sqlite_files.hpp"

#include <doctest/doctest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

using namespace joinery;
using namespace storage_test;

TEST_CASE("sqlite_storage: kill -9 at any moment keeps what was acknowledged") {
    scratch_folder folder;
    std::mt19937_64 random(std::random_device{}());
    std::uint64_t known = 0; // records so far, the snapshot's included
    for (int round = 0; round < 20; ++round) {
        CAPTURE(round);
        int ends[2];
        REQUIRE(::pipe(ends) == 0);
        pid_t child = ::fork();
        REQUIRE(child >= 0);
        if (child == 0) {
            // Appends records that carry their numbers, compacts them into a snapshot that is their count, and
            // says how many are synced.
            try {
                auto s = sqlite_storage(folder / "node", round % 2 ? durability::full : durability::relaxed);
                s->load();
                auto a = s->attach("a", 1);
                std::uint64_t n = known;
                for (std::uint64_t i = 1;; ++i) {
                    for (std::uint64_t k = 0; k < i % 20; ++k) {
                        bytes record = blob(8 + i % 300, n);
                        std::memcpy(record.data(), &n, 8);
                        s->append(a, record);
                        ++n;
                    }
                    s->sync();
                    if (::write(ends[1], &n, sizeof n) != sizeof n) break;
                    if (i % 50 == 0) {
                        bytes snapshot = blob(100'000, n);
                        std::memcpy(snapshot.data(), &n, 8);
                        s->compact(a, snapshot);
                    }
                }
            } catch (...) {
            }
            ::_exit(1);
        }
        ::close(ends[1]);
        std::uint64_t acknowledged = known, n = 0;
        CHECK(::read(ends[0], &n, sizeof n) == sizeof n); // it has begun
        acknowledged = std::max(acknowledged, n);
        std::this_thread::sleep_for(std::chrono::microseconds(random() % 30'000));
        ::kill(child, SIGKILL);
        int status = 0;
        REQUIRE(::waitpid(child, &status, 0) == child);
        CHECK(WIFSIGNALED(status));
        while (::read(ends[0], &n, sizeof n) == sizeof n) acknowledged = std::max(acknowledged, n);
        ::close(ends[0]);

        auto s = sqlite_storage(folder / "node");
        auto node = s->load();
        CHECK_FALSE(node.clean);
        REQUIRE(node.collections.size() == 1);
        std::uint64_t count = 0;
        const auto& c = node.collections[0];
        if (!c.snapshot.empty()) {
            std::memcpy(&count, c.snapshot.data(), 8);
            bytes expected = blob(100'000, count);
            std::memcpy(expected.data(), &count, 8);
            CHECK(c.snapshot == expected);
        }
        bool in_order = true;
        for (const auto& r : c.records) {
            bytes expected = blob(r.size(), count);
            std::memcpy(expected.data(), &count, 8);
            in_order = in_order && r == expected;
            ++count;
        }
        CHECK(in_order);
        CHECK(count >= acknowledged);
        known = count;
        if (round % 3 == 0) s->close(); // else the next child recovers it
    }
    CHECK(known > 100);
}

namespace {

// The life of a node, from the file's creation, over compactions that fill the WAL and a second opening.
void live(const std::string& path, durability level, std::uint64_t seed, history*& current,
          std::vector<std::unique_ptr<history>>& lives) {
    std::mt19937_64 random(seed);
    content known;
    for (int life = 0; life < 2; ++life) {
        auto s = sqlite_storage(path, level);
        stored_node node = s->load();
        CHECK(content(node) == known);
        lives.push_back(std::make_unique<history>(*s, known));
        current = lives.back().get();
        for (int i = 0; i < 60; ++i) current->step(random, 60'000);
        if (life == 0) current->compact(0, blob(4'500'000, seed)); // a checkpoint follows
        for (int i = 0; i < 20; ++i) current->step(random, 10'000);
        current->close();
        known = current->now();
    }
}

} // namespace

TEST_CASE("sqlite_storage: a power cut at any change keeps every synced record at level full") {
    using survival = power_cut_vfs::survival;
    std::uint64_t changes = 0;
    {
        scratch_folder folder;
        power_cut_vfs disk(folder.path());
        history* h = nullptr;
        std::vector<std::unique_ptr<history>> lives;
        live(folder / "node", durability::full, 1, h, lives);
        changes = disk.changes();
    }
    CHECK(changes > 2000);
    std::mt19937_64 random(5);
    int cuts = 0;
    // Every change of the creation and of the first groups, then a sample over both lives.
    for (std::uint64_t at = 1; at < changes; at += at < 60 ? 1 : random() % (changes / 25)) {
        for (auto what : {survival::none, survival::all, survival::random}) {
            if (at >= 60 && random() % 2) continue;
            CAPTURE(at);
            CAPTURE(static_cast<int>(what));
            scratch_folder folder;
            power_cut_vfs disk(folder.path());
            history* h = nullptr;
            std::vector<std::unique_ptr<history>> lives;
            disk.cut_at(at);
            try {
                live(folder / "node", durability::full, 1, h, lives);
            } catch (const storage_error&) {
            }
            if (!disk.is_cut()) continue;
            ++cuts;
            disk.restore(what, random());
            auto node = sqlite_storage(folder / "node")->load();
            CHECK(content(sqlite_storage(folder / "node")->load()) == content(node)); // it can be opened again, too
            // Cut while opening: as it was before. Cut afterwards: what was acknowledged, at least.
            if (h)
                CHECK(h->may_survive(content(node)));
            else
                CHECK(content(node) == content());
        }
    }
    CHECK(cuts > 200);
}

TEST_CASE("sqlite_storage: a power cut at level relaxed loses the end after what was hardened, is noticed, and nothing "
          "else") {
    using survival = power_cut_vfs::survival;
    std::mt19937_64 random(6);
    int lost = 0;
    for (int round = 0; round < 60; ++round) {
        CAPTURE(round);
        scratch_folder folder;
        power_cut_vfs disk(folder.path());
        auto s = sqlite_storage(folder / "node", durability::relaxed);
        s->load();
        history h(*s, {});
        h.set_id(9);
        for (int i = 0; i < 100; ++i) h.step(random, 20'000);
        h.sync();
        disk.cut();
        s.reset();
        disk.restore(round % 2 ? survival::none : survival::random, random());
        auto node = sqlite_storage(folder / "node")->load();
        CHECK_FALSE(node.clean);
        CHECK(h.may_survive_power_cut(content(node)));
        CHECK(node.id.has_value());
        lost += content(node) != h.now();
    }
    CHECK(lost > 20); // so the disk does lose what is not synced
}

TEST_CASE("sqlite_storage: a full disk is an error, and later operations go on") {
    std::mt19937_64 random(7);
    int refused = 0;
    for (std::uint64_t at = 1; at < 200; at += 1 + random() % 3) {
        CAPTURE(at);
        scratch_folder folder;
        power_cut_vfs disk(folder.path());
        auto s = sqlite_storage(folder / "node");
        s->load();
        auto a = s->attach("a", 1);
        content expected;
        expected.collections.push_back({"a", 1, 0});
        auto& c = expected.collections[0];
        disk.full_at(at);
        for (std::uint64_t i = 0; i < 30; ++i) {
            bytes record = blob(500, i), snapshot = blob(50'000 + i, i);
            s->append(a, record);
            c.records.push_back(hash(record));
            try {
                if (i == 7 || i == 14) {
                    s->compact(a, snapshot);
                    c.snapshot = hash(snapshot);
                    c.records.clear();
                } else {
                    s->sync();
                }
            } catch (const storage_error& e) {
                ++refused;
                CHECK(std::strstr(e.what(), "full") != nullptr);
                if (i % 2) disk.full_at(0); // else it stays full for the next one too
            }
        }
        disk.full_at(0);
        s->sync(); // writes what could not be written before
        s.reset();
        CHECK(content(sqlite_storage(folder / "node")->load()) == expected);
    }
    CHECK(refused > 60);
}

TEST_CASE("sqlite_storage: a limit to the size of files is an error, and later operations go on") {
    scratch_folder folder;
    CHECK(in_child([&] {
        std::signal(SIGXFSZ, SIG_IGN);
        auto s = sqlite_storage(folder / "node");
        s->load();
        auto a = s->attach("a", 1);
        s->append(a, blob(1000, 1));
        s->sync();
        rlimit limit{100'000, RLIM_INFINITY};
        ::setrlimit(RLIMIT_FSIZE, &limit);
        s->append(a, blob(200'000, 2));
        for (int i = 0; i < 2; ++i) {
            try {
                s->sync();
                return false;
            } catch (const storage_error& e) {
                if (!std::strstr(e.what(), "File too large")) return false;
            }
        }
        limit.rlim_cur = RLIM_INFINITY;
        ::setrlimit(RLIMIT_FSIZE, &limit);
        s->append(a, blob(10, 3));
        s->sync();
        return true;
    }));
    auto node = sqlite_storage(folder / "node")->load();
    REQUIRE(node.collections.size() == 1);
    CHECK(node.collections[0].records == std::vector<bytes>{blob(1000, 1), blob(200'000, 2), blob(10, 3)});
}

TEST_CASE("sqlite_storage: a full disk while opening is an error, and opening again goes on") {
    for (std::uint64_t at = 1;; ++at) {
        CAPTURE(at);
        scratch_folder folder;
        power_cut_vfs disk(folder.path());
        disk.full_at(at);
        bool refused = false;
        try {
            auto s = sqlite_storage(folder / "node");
            s->load();
            s->close();
        } catch (const storage_error&) {
            refused = true;
        }
        disk.full_at(0);
        auto s = sqlite_storage(folder / "node");
        CHECK(content(s->load()) == content());
        s->close();
        if (!refused && disk.changes() < at) break;
    }
}

TEST_CASE("sqlite_storage: a failed fsync is final until opened again") {
    scratch_folder folder;
    power_cut_vfs disk(folder.path());
    auto s = sqlite_storage(folder / "node");
    s->load();
    history h(*s, {});
    auto a = h.attach("a", 1);
    h.append(a, blob(100, 1));
    h.sync();
    h.append(a, blob(100, 2));
    disk.syncs_fail_at(1);
    CHECK_THROWS_AS(s->sync(), storage_error);
    disk.syncs_fail_at(0);
    // The kernel may have dropped what it could not write, and would now say that all is well.
    CHECK_THROWS_AS(s->sync(), storage_error);
    CHECK_THROWS_AS(s->compact(a, blob(10, 1)), storage_error);
    CHECK_THROWS_AS(s->close(), storage_error);
    s.reset();
    s = sqlite_storage(folder / "node");
    auto node = s->load();
    CHECK(h.may_survive(content(node)));
    history h2(*s, content(node));
    h2.append(a, blob(100, 3));
    h2.sync();
    disk.cut();
    s.reset();
    disk.restore(power_cut_vfs::survival::none, 1);
    CHECK(content(sqlite_storage(folder / "node")->load()) == h2.now());
}

namespace {

enum class outcome { refused, loaded };

/// Opens and loads a damaged file: refused, with all files as they were, or loaded.
outcome open_damaged(const scratch_folder& folder, content& loaded) {
    auto before = files_in(folder.path());
    try {
        auto s = sqlite_storage(folder / "node");
        loaded = content(s->load());
        return outcome::loaded;
    } catch (const storage_error& e) {
        CHECK(files_in(folder.path()) == before);
        CHECK(std::strchr(e.what(), '\n') == nullptr);
        return outcome::refused;
    }
}

} // namespace

TEST_CASE("sqlite_storage: a damaged file is refused or gives what was stored") {
    scratch_folder folder;
    content c = fill(*sqlite_storage(folder / "node"), 11, 250, true);
    std::string good = read_file(folder / "node");
    std::mt19937_64 random(12);
    int refused = 0;
    for (int round = 0; round < 600; ++round) {
        CAPTURE(round);
        std::string bad = good;
        if (round % 6 == 0) {
            bad.resize(1 + random() % (good.size() - 1)); // an empty file is a new one
        } else if (round % 6 == 1) {
            std::size_t from = random() % bad.size(), n = std::min<std::size_t>(bad.size() - from, random() % 5000);
            std::fill_n(bad.begin() + static_cast<std::ptrdiff_t>(from), n, '\0');
        } else {
            // Half of the changes hit the header, the schema or the head of a page.
            std::size_t at = random() % bad.size();
            if (round % 2) at = round % 4 == 1 ? random() % 1000 : at / 4096 * 4096 + random() % 12;
            bad[at] = static_cast<char>(round % 3 ? bad[at] ^ (1 << random() % 8) : random());
        }
        write_file(folder / "node", bad);
        content loaded;
        if (open_damaged(folder, loaded) == outcome::refused)
            ++refused;
        else
            CHECK(loaded == c);
        fs::remove(folder / "node-wal");
    }
    CHECK(refused > 300);
}

TEST_CASE("sqlite_storage: a damaged WAL is refused, or ends where a torn write would end it") {
    scratch_folder folder;
    std::vector<content> versions;
    std::uint64_t groups = 30;
    std::string good, good_wal;
    {
        auto s = sqlite_storage(folder / "node");
        s->load();
        history h(*s, {});
        auto a = h.attach("a", 1);
        for (std::uint64_t i = 0; i < groups; ++i) {
            h.append(a, blob(100 + i * 300, i));
            h.sync();
            versions.push_back(h.now());
        }
    }
    good = read_file(folder / "node");
    good_wal = read_file(folder / "node-wal");
    REQUIRE(good_wal.size() > 20 * 4120);
    auto damage = [&](const std::string& wal, content& loaded) {
        write_file(folder / "node", good);
        write_file(folder / "node-wal", wal);
        return open_damaged(folder, loaded);
    };
    content loaded;
    CHECK(damage(good_wal, loaded) == outcome::loaded);
    CHECK(loaded == versions.back());

    SUBCASE("a changed byte") {
        std::mt19937_64 random(13);
        int refused = 0;
        for (int round = 0; round < 300; ++round) {
            std::size_t frames = (good_wal.size() - 32) / 4120;
            std::size_t frame = random() % frames, at = 32 + frame * 4120;
            if (round % 10 == 0)
                at = random() % 32;
            else
                at += round % 2 ? random() % 24 : random() % 4120;
            CAPTURE(at);
            std::string bad = good_wal;
            bad[at] = static_cast<char>(bad[at] ^ (1 << random() % 8));
            if (damage(bad, loaded) == outcome::refused) {
                ++refused;
            } else if (loaded != versions.back()) {
                // Nothing tells damage to the last transaction from one that was not finished.
                CHECK(frame + 8 >= frames);
                CHECK(std::find(versions.end() - 3, versions.end(), loaded) != versions.end());
            }
        }
        CHECK(refused > 200);
    }
    SUBCASE("an end torn off") {
        std::mt19937_64 random(14);
        for (int round = 0; round < 60; ++round) {
            std::string bad = good_wal.substr(0, random() % good_wal.size());
            CAPTURE(bad.size());
            if (damage(bad, loaded) == outcome::loaded && !loaded.collections.empty()) {
                loaded.collections.resize(1);
                CHECK((loaded.collections[0].records.empty() ||
                       std::find(versions.begin(), versions.end(), loaded) != versions.end()));
            }
        }
    }
    SUBCASE("frames of an earlier use behind the end") {
        // Fills the WAL, so that it begins anew, and stops soon after.
        write_file(folder / "node", good);
        write_file(folder / "node-wal", good_wal);
        auto s = sqlite_storage(folder / "node");
        s->load();
        s->compact(0, blob(5'000'000, 1));
        s->append(0, blob(10, 1));
        s->sync();
        s->append(0, blob(10, 2));
        s->sync();
        s.reset();
        CHECK(fs::file_size(folder / "node-wal") > 1'000'000);
        auto node = sqlite_storage(folder / "node")->load();
        CHECK(node.collections[0].snapshot == blob(5'000'000, 1));
        CHECK(node.collections[0].records.size() == 2);
    }
}
