// SPDX-License-Identifier: Apache-2.0
#include <joinery/storage.hpp>

#include "power_cut_vfs.hpp"
#include "sqlite_files.hpp"

#include <doctest/doctest.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstring>
#include <filesystem>
#include <string>
#include <thread>
#include <vector>

using namespace joinery;
using namespace storage_test;

TEST_CASE("sqlite_storage: the promises of a storage, level full") {
    scratch_folder folder;
    check_promises([&] { return sqlite_storage(folder / "node"); });
}

TEST_CASE("sqlite_storage: the promises of a storage, level relaxed") {
    scratch_folder folder;
    check_promises([&] { return sqlite_storage(folder / "node", durability::relaxed); });
}

TEST_CASE("sqlite_storage: the level is full unless asked otherwise, and never none") {
    scratch_folder folder;
    CHECK(sqlite_storage(folder / "a")->level() == durability::full);
    CHECK(sqlite_storage(folder / "a", durability::relaxed)->level() == durability::relaxed);
    CHECK_THROWS_AS(sqlite_storage(folder / "b", durability::none), storage_error);
    CHECK_FALSE(fs::exists(folder / "b"));
}

TEST_CASE("sqlite_storage: one file when closed, named as asked") {
    scratch_folder folder;
    fs::path before = fs::current_path();
    fs::current_path(folder.path());
    for (std::string name : {"plain", "file:uri?mode=memory", ":memory:", "with space and 'quotes' %41"}) {
        CAPTURE(name);
        auto s = sqlite_storage(name);
        s->load();
        s->attach("a", 1);
        s->close();
        CHECK(files_in(folder.path()).size() == 1);
        CHECK(fs::file_size(name) > 0);
        CHECK(sqlite_storage(name)->load().collections.size() == 1);
        fs::remove(name);
        fs::remove(name + "-wal");
    }
    fs::current_path(before);
    CHECK_THROWS_AS(sqlite_storage(""), storage_error);
    CHECK_THROWS_AS(sqlite_storage(std::string("a\0b", 3)), storage_error);
    CHECK_THROWS_AS(sqlite_storage(folder / "missing/node"), storage_error);
}

TEST_CASE("sqlite_storage: a symbolic link is the file that it names") {
    scratch_folder folder;
    fs::create_directory(folder / "real");
    fs::create_symlink(folder / "real/node", folder / "link");
    auto s = sqlite_storage(folder / "link");
    content c = fill(*s, 1, 30, false);
    CHECK_THROWS_AS(sqlite_storage(folder / "real/node"), storage_error);
    s.reset(); // the WAL lies beside the file and not beside the link
    CHECK(content(sqlite_storage(folder / "link")->load()) == c);
    CHECK(content(sqlite_storage(folder / "real/node")->load()) == c);
}

TEST_CASE("sqlite_storage: parts, long records and long snapshots") {
    scratch_folder folder;
    constexpr std::size_t part = 256 * 1024;
    auto s = sqlite_storage(folder / "node");
    s->load();
    history h(*s, {});
    auto a = h.attach("a", 1), b = h.attach("b", 2);
    // With lengths of three bytes: the next record's length begins just before, on and after a cut.
    for (std::size_t size : {part - 5, part - 4, part - 3, part - 2, part, part + 1, 3 * part, std::size_t{0}}) {
        h.append(a, blob(size, size));
        h.append(b, blob(5, size));
        h.append(a, blob(200, size));
        h.append(a, blob(0, 0));
        if (size % 2) h.sync();
    }
    h.compact(b, blob(10 * part, 1));
    h.append(b, blob(1, 2));
    h.close();
    s.reset();
    s = sqlite_storage(folder / "node");
    auto node = s->load();
    CHECK(content(node) == h.now());
    history h2(*s, content(node));
    for (std::size_t size : {part, part - 1, part + 1, std::size_t{1}, std::size_t{0}}) {
        CAPTURE(size);
        h2.compact(b, blob(size, size));
        s.reset();
        s = sqlite_storage(folder / "node");
        node = s->load();
        CHECK(content(node) == h2.now());
        h2 = history(*s, content(node));
    }
}

TEST_CASE("sqlite_storage: a group is one fsync at level full and none at relaxed") {
    for (auto level : {durability::full, durability::relaxed}) {
        scratch_folder folder;
        power_cut_vfs disk(folder.path());
        auto s = sqlite_storage(folder / "node", level);
        s->load();
        auto a = s->attach("a", 1);
        s->append(a, blob(100, 0));
        s->sync(); // the first write to the WAL syncs its header too
        auto before = disk.syncs();
        for (std::uint64_t i = 0; i < 1000; ++i) s->append(a, blob(100, i));
        CHECK(disk.syncs() == before);
        s->sync();
        CHECK(disk.syncs() == before + (level == durability::full ? 1 : 0));
        CHECK(s->stats().bytes_written < 160'000);
        s->sync();
        s->set_id(replica_id{1}); // an identity is durable at either level
        CHECK(disk.syncs() == before + (level == durability::full ? 2 : 1));
    }
}

TEST_CASE("sqlite_storage: the file is bounded by its content over 10^4 compactions") {
    scratch_folder folder;
    auto s = sqlite_storage(folder / "node", durability::relaxed);
    s->load();
    auto a = s->attach("a", 1), b = s->attach("b", 2);
    bytes snapshot = blob(20'000, 1), record = blob(100, 2);
    std::uintmax_t greatest = 0, greatest_wal = 0;
    for (std::uint64_t i = 0; i < 10'000; ++i) {
        for (int k = 0; k < 3; ++k) s->append(i % 2 ? a : b, record);
        s->sync();
        s->compact(i % 3 ? a : b, std::span(snapshot).first(10'000 + i % 10'000));
        if (i % 100 == 0) {
            greatest = std::max(greatest, fs::file_size(folder / "node"));
            greatest_wal = std::max(greatest_wal, fs::file_size(folder / "node-wal"));
        }
    }
    CHECK(greatest < 200'000);
    CHECK(greatest_wal < 5'000'000);

    // A snapshot that shrinks gives its room back.
    s->compact(a, blob(8'000'000, 3));
    s->compact(a, blob(1000, 4));
    s->close();
    CHECK(fs::file_size(folder / "node") < 200'000);
    s.reset();
    auto node = sqlite_storage(folder / "node")->load();
    CHECK(node.collections[0].snapshot == blob(1000, 4));
}

TEST_CASE("sqlite_storage: held by one process") {
    scratch_folder folder;
    auto s = sqlite_storage(folder / "node");
    content c = fill(*s, 1, 40, false);
    auto before = files_in(folder.path());
    for (int i = 0; i < 2; ++i) {
        CHECK(in_child([&] {
            try {
                sqlite_storage(folder / "node");
                return false;
            } catch (const storage_error& e) {
                return std::strstr(e.what(), "held by another") != nullptr;
            }
        }));
        check_refused(folder, "node", "held by another"); // and this has not let the lock go
    }
    CHECK(files_in(folder.path()) == before);
    s->append(0, blob(1, 1));
    s->close();
    s.reset();
    CHECK(in_child([&] { return sqlite_storage(folder / "node")->load().clean; }));
    CHECK(sqlite_storage(folder / "node")->load().collections.size() == c.collections.size());
}

TEST_CASE("sqlite_storage: processes that create and use one file at once take turns") {
    scratch_folder folder;
    std::vector<pid_t> children;
    for (std::uint64_t i = 0; i < 4; ++i) {
        pid_t child = ::fork();
        REQUIRE(child >= 0);
        if (child != 0) {
            children.push_back(child);
            continue;
        }
        auto until = std::chrono::steady_clock::now() + std::chrono::seconds(60);
        while (std::chrono::steady_clock::now() < until) {
            try {
                auto s = sqlite_storage(folder / "node");
                s->load();
                s->append(s->attach("a", 1), blob(10, i));
                s->close();
                ::_exit(0);
            } catch (const storage_error& e) {
                if (!std::strstr(e.what(), "by another")) ::_exit(1);
            } catch (...) {
                ::_exit(2);
            }
            std::this_thread::sleep_for(std::chrono::milliseconds(1));
        }
        ::_exit(3);
    }
    for (pid_t child : children) {
        int status = 0;
        REQUIRE(::waitpid(child, &status, 0) == child);
        CHECK(WIFEXITED(status));
        CHECK(WEXITSTATUS(status) == 0);
    }
    CHECK(sqlite_storage(folder / "node")->load().collections[0].records.size() == 4);
}

TEST_CASE("sqlite_storage: what is not ours is refused and left as it is") {
    scratch_folder folder;

    SUBCASE("not an SQLite file") {
        write_file(folder / "letter", "Dear Sir or Madam,\n" + std::string(10'000, 'x'));
        check_refused(folder, "letter", "not an SQLite file");
        write_file(folder / "short", "x");
        check_refused(folder, "short", "not an SQLite file");
        write_file(folder / "zeros", std::string(4096, '\0'));
        check_refused(folder, "zeros", "not an SQLite file");
    }
    SUBCASE("not a regular file") {
        fs::create_directory(folder / "folder");
        check_refused(folder, "folder", "not a regular file");
        REQUIRE(::mkfifo((folder / "pipe").c_str(), 0600) == 0);
        check_refused(folder, "pipe", "not a regular file");
    }
    SUBCASE("of another application") {
        sql(folder / "theirs", "CREATE TABLE node (one INTEGER PRIMARY KEY); INSERT INTO node VALUES (1)");
        check_refused(folder, "theirs", "another application");
        sql(folder / "theirs", "PRAGMA application_id = 1; PRAGMA user_version = 1");
        check_refused(folder, "theirs", "another application");
    }
    SUBCASE("of another application, in use or with a hot WAL") {
        sqlite3* db = nullptr;
        REQUIRE(sqlite3_open((folder / "theirs").c_str(), &db) == SQLITE_OK);
        REQUIRE(sqlite3_exec(db, "PRAGMA journal_mode = WAL; CREATE TABLE t (i)", nullptr, nullptr, nullptr) ==
                SQLITE_OK);
        fs::create_directory(folder / "copy"); // as after kill -9
        for (const char* name : {"theirs", "theirs-wal", "theirs-shm"})
            fs::copy_file(folder / name, folder.path() / "copy" / name);
        check_refused(folder, "theirs", "another application");
        sqlite3_close(db);
        auto before = files_in(folder / "copy");
        CHECK(before.size() == 3);
        CHECK_THROWS_AS(sqlite_storage(folder / "copy/theirs"), storage_error);
        CHECK(files_in(folder / "copy") == before);
    }
    SUBCASE("of another application, with a hot journal") {
        in_child([&] {
            sqlite3* db = nullptr;
            sqlite3_open((folder / "theirs").c_str(), &db);
            sqlite3_exec(db,
                         "CREATE TABLE t (b); INSERT INTO t VALUES (zeroblob(100000)); PRAGMA cache_size = 1;"
                         "BEGIN; UPDATE t SET b = randomblob(100000)",
                         nullptr, nullptr, nullptr);
            return true; // and the process ends within the transaction
        });
        REQUIRE(fs::file_size(folder / "theirs-journal") > 0);
        check_refused(folder, "theirs", "another application");
    }
    SUBCASE("of a newer format") {
        fill(*sqlite_storage(folder / "node"), 1, 40, true);
        sql(folder / "node", "PRAGMA user_version = 2");
        check_refused(folder, "node", "newer version (format 2)");
    }
    SUBCASE("of a newer format, which only its WAL says") {
        fill(*sqlite_storage(folder / "node"), 1, 40, true);
        in_child([&] {
            sqlite3* db = nullptr;
            sqlite3_open((folder / "node").c_str(), &db);
            sqlite3_exec(db, "PRAGMA user_version = 3", nullptr, nullptr, nullptr);
            return true;
        });
        REQUIRE(fs::file_size(folder / "node-wal") > 0);
        check_refused(folder, "node", "newer version (format 3)");
    }
    SUBCASE("ours, and changed by others") {
        for (const char* change : {
                 "CREATE TABLE more (i)",
                 "CREATE TRIGGER t AFTER INSERT ON log BEGIN DELETE FROM log; END",
                 "CREATE INDEX i ON log (checksum)",
                 "DROP TABLE snapshot",
                 "DELETE FROM node",
                 "INSERT INTO node VALUES (2, NULL, 0, 0, 0)",
                 "UPDATE node SET id = 77",
                 "UPDATE node SET state = 1 - state",
                 "UPDATE collection SET fingerprint = fingerprint + 1",
                 "UPDATE collection SET name = x'00'",
                 "DELETE FROM collection",
                 "DELETE FROM log WHERE key = (SELECT min(key) FROM log)",
                 "UPDATE log SET key = key + 1 WHERE key = (SELECT max(key) FROM log)",
                 "UPDATE log SET data = data || x'00' WHERE key = (SELECT max(key) FROM log)",
                 "UPDATE snapshot SET data = zeroblob(length(data))",
                 "DELETE FROM snapshot",
                 "INSERT INTO snapshot VALUES (1 << 50, x'00')",
                 "INSERT INTO log VALUES (-1, 0, x'00')",
             }) {
            CAPTURE(change);
            {
                auto s = sqlite_storage(folder / "node");
                s->load();
                history h(*s, {});
                h.set_id(1);
                auto a = h.attach("a", 1);
                h.compact(a, blob(300'000, 1));
                for (std::uint64_t i = 0; i < 3; ++i) {
                    h.append(a, blob(100, i));
                    h.sync();
                }
                h.close();
            }
            sql(folder / "node", change);
            check_refused(folder, "node", "corrupt");
            fs::remove(folder / "node");
        }
    }
    SUBCASE("ours, with damage that only later writes would meet") {
        fill(*sqlite_storage(folder / "node"), 1, 100, true);
        std::string file = read_file(folder / "node");
        ++file[39]; // the number of unused pages
        write_file(folder / "node", file);
        check_refused(folder, "node", "corrupt");
    }
    SUBCASE("an empty file with a WAL, and one with a foreign journal") {
        { fill(*sqlite_storage(folder / "node"), 1, 40, false); }
        fs::resize_file(folder / "node", 0);
        check_refused(folder, "node", "empty");
        fill(*sqlite_storage(folder / "other"), 1, 40, true);
        write_file(folder / "other-journal", "not a journal of ours");
        check_refused(folder, "other", "journal");
    }
}

TEST_CASE("sqlite_storage: an empty file is a new storage") {
    scratch_folder folder;
    write_file(folder / "node", "");
    auto s = sqlite_storage(folder / "node");
    CHECK_FALSE(s->load().id);
    s->close();
}

TEST_CASE("sqlite_storage: a copy that SQLite made opens") {
    scratch_folder folder;
    content c = fill(*sqlite_storage(folder / "node"), 3, 60, true);
    sql(folder / "node", "VACUUM INTO '" + folder / "copy" + "'");
    auto s = sqlite_storage(folder / "copy");
    CHECK(content(s->load()) == c);
    c = content(), c = fill(*sqlite_storage(folder / "node"), 4, 60, false);
    s->close();
    CHECK(files_in(folder.path()).count("copy-wal") == 0);
}
