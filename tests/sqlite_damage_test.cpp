// SPDX-License-Identifier: Apache-2.0
// Damage of every page of a file, write-ahead logs of other files and missing ones, and files that cannot be written.
#include <joinery/storage.hpp>

#include "sqlite_connection.hpp"
#include "sqlite_files.hpp"
#include "sqlite_format.hpp"

#include <doctest/doctest.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstring>
#include <functional>
#include <random>
#include <set>
#include <string>
#include <vector>

using namespace joinery;
using namespace storage_test;

namespace {

constexpr std::size_t page = 4096;

/// What kind of page SQLite has there.
std::string kind_of(const std::string& file, std::size_t number) {
    if (number == 0) return "header";
    const auto type = static_cast<unsigned char>(file[number * page]);
    if (number == 1) return "pointer map";
    return type == 13 ? "leaf" : type == 5 ? "interior" : "overflow or unused";
}

/// A closed file with all kinds of pages, and what is in it.
content make_file(const std::string& path) {
    auto s = sqlite_storage(path);
    s->load();
    history h(*s, {});
    h.set_id(1);
    const auto a = h.attach("a", 1), b = h.attach("b", 2);
    h.compact(a, blob(30'000, 1));
    for (std::uint64_t i = 0; i < 40; ++i) {
        h.append(i % 2 ? a : b, blob(150, i));
        h.sync();
    }
    h.append(b, blob(12'000, 2));
    h.sync();
    h.compact(a, blob(9'000, 3)); // leaves unused pages
    for (std::uint64_t i = 0; i < 20; ++i) {
        h.append(a, blob(900, i));
        h.sync();
    }
    h.close();
    return h.now();
}

/// Opens it as it is; the error, or empty if it gives what was stored.
std::string opened(const scratch_folder& folder, const std::string& name, const content& expected) {
    const auto before = files_in(folder.path());
    std::string error;
    try {
        auto s = sqlite_storage(folder / name);
        CHECK(content(s->load()) == expected);
    } catch (const storage_error& e) {
        error = e.what();
        CHECK(error.find(name) != std::string::npos);
        CHECK(error.find('\n') == std::string::npos);
        CHECK(files_in(folder.path()) == before);
    }
    fs::remove(folder / (name + "-wal"));
    return error;
}

} // namespace

TEST_CASE("sqlite_storage: a flipped bit on any kind of page is refused, or in bytes that nothing is read from") {
    scratch_folder folder;
    const content c = make_file(folder / "node");
    const std::string good = read_file(folder / "node");
    REQUIRE(good.size() % page == 0);
    std::set<std::string> kinds;
    std::size_t refused = 0, flips = 0;
    std::mt19937_64 random(3);
    for (std::size_t number = 0; number < good.size() / page; ++number) {
        kinds.insert(kind_of(good, number));
        CAPTURE(number);
        for (std::size_t at = 0; at < page; at += at < 16 ? 1 : 97) {
            std::string bad = good;
            bad[number * page + at] = static_cast<char>(bad[number * page + at] ^ (1 << random() % 8));
            write_file(folder / "node", bad);
            CAPTURE(at);
            refused += !opened(folder, "node", c).empty();
            ++flips;
        }
    }
    CHECK(kinds == std::set<std::string>{"header", "interior", "leaf", "overflow or unused", "pointer map"});
    CHECK(refused > flips / 2);
}

TEST_CASE("sqlite_storage: a file cut off at any page, and in between, is refused") {
    scratch_folder folder;
    const content c = make_file(folder / "node");
    const std::string good = read_file(folder / "node");
    for (std::size_t number = 0; number < good.size() / page; ++number)
        for (const std::size_t more : {std::size_t{0}, std::size_t{1}, std::size_t{511}, page / 2, page - 1}) {
            const std::size_t size = number * page + more;
            if (size == 0) continue; // a new storage
            CAPTURE(size);
            write_file(folder / "node", good.substr(0, size));
            CHECK_FALSE(opened(folder, "node", c).empty());
        }
    // Torn: the end is there, and a sector in the middle holds what was there before.
    for (std::size_t number = 1; number < good.size() / page; ++number) {
        std::string torn = good;
        torn.replace(number * page + 512, 512, std::string(512, '\0'));
        write_file(folder / "node", torn);
        opened(folder, "node", c);
    }
}

TEST_CASE("sqlite_storage: after an unclean stop a missing write-ahead log is an error") {
    for (const auto level : {durability::full, durability::relaxed}) {
        scratch_folder folder;
        content c;
        { c = fill(*sqlite_storage(folder / "node", level), 5, 80, false); }
        const std::string wal = read_file(folder / "node-wal");
        fs::remove(folder / "node-wal");
        check_refused(folder, "node", "write-ahead log is missing");
        write_file(folder / "node-wal", wal);
        auto s = sqlite_storage(folder / "node");
        CHECK(content(s->load()) == c);
        s->close();
        CHECK_FALSE(fs::exists(folder / "node-wal")); // and is none after a clean one
        CHECK(content(sqlite_storage(folder / "node")->load()) == c);
    }
}

TEST_CASE("sqlite_storage: the write-ahead log of another file is refused") {
    scratch_folder folder;
    const content mine = fill(*sqlite_storage(folder / "mine"), 1, 80, true);
    const std::string file = read_file(folder / "mine");
    const auto with_wal = [&](const std::string& wal, const std::string& reason) {
        write_file(folder / "mine", file);
        write_file(folder / "mine-wal", wal);
        check_refused(folder, "mine", reason);
        fs::remove(folder / "mine-wal");
    };

    SUBCASE("of another storage, whatever pages are in it") {
        for (std::uint64_t seed = 1; seed < 40; ++seed) {
            CAPTURE(seed);
            for (const char* name : {"other", "other-wal"}) fs::remove(folder / name);
            if (seed % 2) fill(*sqlite_storage(folder / "other"), seed, 60, true);
            { fill(*sqlite_storage(folder / "other"), 100 + seed, static_cast<int>(seed), false); }
            const auto wal = read_file(folder / "other-wal");
            if (wal.empty()) continue;
            write_file(folder / "mine", file);
            write_file(folder / "mine-wal", wal);
            const auto error = opened(folder, "mine", mine);
            CHECK_MESSAGE(error.find("corrupt") != std::string::npos, error);
        }
    }
    SUBCASE("of a storage with the same collections, that has nothing but records") {
        const auto write = [&](const std::string& name, std::uint64_t seed, bool close) {
            auto s = sqlite_storage(folder / name);
            s->load();
            history h(*s, {});
            const auto a = h.attach("a", 1);
            for (int life = 0; life < 2; ++life) {
                for (std::uint64_t i = 0; i < 5; ++i) {
                    h.append(a, blob(50, seed + i));
                    h.sync();
                }
                if (life == 1) break;
                h.close(); // what follows is in the log alone
                s.reset();
                s = sqlite_storage(folder / name);
                s->load();
                h = history(*s, h.now());
            }
            if (close) h.close();
            return h.now();
        };
        const content ours = write("ours", 1, true);
        write("other", 100, false);
        write_file(folder / "ours-wal", read_file(folder / "other-wal"));
        const auto error = opened(folder, "ours", ours);
        CHECK_MESSAGE(error.find("corrupt: checksum of a record of 'a'") != std::string::npos, error);
    }
    SUBCASE("of a storage that is as young") {
        { sqlite_storage(folder / "young")->load(); }
        {
            auto s = sqlite_storage(folder / "node");
            s->load();
            s->set_id(replica_id{7});
        }
        write_file(folder / "young-wal", read_file(folder / "node-wal"));
        check_refused(folder, "young", "corrupt");
    }
    SUBCASE("of another database") {
        for (const char* settings : {"PRAGMA page_size = 4096", "PRAGMA page_size = 1024"}) {
            CAPTURE(settings);
            fs::remove(folder / "theirs");
            in_child([&] {
                sqlite3* db = nullptr;
                sqlite3_open((folder / "theirs").c_str(), &db);
                sqlite3_exec(db, settings, nullptr, nullptr, nullptr);
                sqlite3_exec(db,
                             "PRAGMA journal_mode = WAL; CREATE TABLE t (i); INSERT INTO t VALUES (randomblob(9999))",
                             nullptr, nullptr, nullptr);
                return true;
            });
            const auto wal = read_file(folder / "theirs-wal");
            fs::remove(folder / "theirs-wal");
            fs::remove(folder / "theirs-shm");
            REQUIRE_FALSE(wal.empty());
            with_wal(wal, "");
        }
    }
    SUBCASE("of the original, beside its backup") {
        auto s = sqlite_storage(folder / "node");
        fill(*s, 2, 60, false);
        auto copy = s->back_up(folder / "copy");
        while (!copy->copy(1 << 20)) {
        }
        copy->finish();
        const content then = content(sqlite_storage(folder / "copy")->load());
        fs::remove(folder / "copy-wal");
        int refused = 0;
        for (std::uint64_t i = 0; i < 30; ++i) {
            CAPTURE(i);
            for (int k = 0; k < 5; ++k) s->append(0, blob(700, i));
            if (i % 3 == 2) s->set_id(replica_id{i});
            if (i % 7 == 6) s->compact(0, blob(3000, i));
            s->sync();
            fs::remove(folder / "restored");
            fs::copy_file(folder / "copy", folder / "restored");
            write_file(folder / "restored-wal", read_file(folder / "node-wal"));
            if (opened(folder, "restored", then).empty())
                CHECK(sqlite_storage(folder / "restored")->load().copy); // nothing of it was taken
            else
                ++refused;
        }
        CHECK(refused == 30);
    }
}

TEST_CASE("sqlite_storage: a file that was written before files had marks opens") {
    scratch_folder folder;
    const content c = make_file(folder / "node");
    {
        sqlite::connection db(folder / "node");
        REQUIRE(db.open());
        db.use_wal();
        const auto version = static_cast<std::uint32_t>(db.query("test", "PRAGMA user_version"));
        const auto sum = sqlite::mark_sum(sqlite::mark_of(version));
        CHECK(sum != 0);
        db.write("test", [&] {
            for (const auto& [table, key] : {std::pair("node", "one"), {"collection", "number"}, {"log", "key"}}) {
                std::vector<std::pair<std::int64_t, std::int64_t>> rows;
                auto all = db.prepare(fmt::format("SELECT {}, checksum FROM {}", key, table).c_str());
                while (db.next("test", all)) rows.emplace_back(all.integer(0), all.integer(1));
                for (const auto& [k, was] : rows) {
                    const auto now = sqlite::stored(sqlite::unstored(was) ^ sum);
                    db.execute("test",
                               fmt::format("UPDATE {} SET checksum = {} WHERE {} = {}", table, now, key, k).c_str());
                }
            }
            db.execute("test", "PRAGMA user_version = 1");
        });
        db.close_cleanly();
    }
    auto s = sqlite_storage(folder / "node");
    CHECK(content(s->load()) == c);
    auto copy = s->back_up(folder / "copy"); // which has one
    while (!copy->copy(1 << 20)) {
    }
    copy->finish();
    CHECK(content(sqlite_storage(folder / "copy")->load()) == c);
    s->append(0, blob(10, 1));
    s->close();
    CHECK(sqlite_storage(folder / "node")->load().clean);
}

TEST_CASE("sqlite_storage: what cannot be written is refused and left as it is") {
    scratch_folder folder;
    const content c = make_file(folder / "node");
    for (const char* device : {"/dev/null", "/dev/full", "/dev/zero"}) {
        try {
            sqlite_storage(device)->load();
            FAIL_CHECK("opened");
        } catch (const storage_error& e) {
            CHECK(std::string(e.what()).find(std::string(device) + "': not a regular file") != std::string::npos);
        }
    }
    // Whoever is root may write anyway: so somebody else tries.
    const auto refused_for = [&](const std::string& reason) {
        return in_child([&] {
            if (::geteuid() == 0 && ::setuid(65534) != 0) return false;
            try {
                sqlite_storage(folder / "node")->load();
            } catch (const storage_error& e) {
                const std::string what = e.what();
                const bool good = what.find(reason) != std::string::npos && what.find("node") != std::string::npos &&
                                  what.find('\n') == std::string::npos;
                if (!good) std::fprintf(stderr, "%s\n", e.what());
                return good;
            }
            return false;
        });
    };
    const auto before = files_in(folder.path());
    ::chmod((folder / "node").c_str(), 0444);
    ::chmod(folder.path().c_str(), 0777);
    CHECK(refused_for("cannot be written"));
    CHECK(files_in(folder.path()) == before);
    ::chmod((folder / "node").c_str(), 0666);
    ::chmod(folder.path().c_str(), 0555);
    CHECK(refused_for("folder cannot be written"));
    ::chmod((folder / "node").c_str(), 0);
    CHECK(refused_for("unable to open"));
    ::chmod(folder.path().c_str(), 0755);
    ::chmod((folder / "node").c_str(), 0644);
    CHECK(files_in(folder.path()) == before);
    CHECK(content(sqlite_storage(folder / "node")->load()) == c);
}
