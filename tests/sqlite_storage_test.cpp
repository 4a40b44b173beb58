// SPDX-License-Identifier: Apache-2.0
#include <joinery/storage.hpp>

#include "power_cut_vfs.hpp"
#include "storage_history.hpp"

#include <sqlite3.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <thread>

using namespace joinery;
using namespace storage_test;
namespace fs = std::filesystem;

namespace {

/// A folder of its own for each test, gone afterwards.
class scratch_folder {
public:
    scratch_folder() {
        std::string name = (fs::temp_directory_path() / "joinery-storage-XXXXXX").string();
        REQUIRE(::mkdtemp(name.data()) != nullptr);
        path_ = name;
    }
    ~scratch_folder() {
        std::error_code ignored;
        fs::remove_all(path_, ignored);
    }
    scratch_folder(const scratch_folder&) = delete;
    scratch_folder& operator=(const scratch_folder&) = delete;

    std::string operator/(const std::string& name) const { return (path_ / name).string(); }
    const fs::path& path() const { return path_; }

private:
    fs::path path_;
};

std::string read_file(const fs::path& path) {
    std::ifstream in(path, std::ios::binary);
    std::string result(static_cast<std::size_t>(fs::file_size(path)), '\0');
    in.read(result.data(), static_cast<std::streamsize>(result.size()));
    return result;
}
void write_file(const fs::path& path, const std::string& bytes) {
    fs::remove(path); // to truncate it would make some file systems flush it
    std::ofstream(path, std::ios::binary) << bytes;
}

/// Names and bytes of all regular files in a folder.
std::map<std::string, std::string> files_in(const fs::path& folder) {
    std::map<std::string, std::string> result;
    for (const auto& entry : fs::directory_iterator(folder))
        result[entry.path().filename().string()] = entry.is_regular_file() ? read_file(entry.path()) : "-";
    return result;
}

void sql(const std::string& path, const std::string& statements) {
    sqlite3* db = nullptr;
    REQUIRE(sqlite3_open(path.c_str(), &db) == SQLITE_OK);
    char* error = nullptr;
    sqlite3_exec(db, statements.c_str(), nullptr, nullptr, &error);
    CHECK_MESSAGE(!error, error);
    sqlite3_free(error);
    sqlite3_close(db);
}

/// Runs f in a child process, which ends without any cleaning up. True if f returned true.
template <class F> bool in_child(F&& f) {
    pid_t child = ::fork();
    REQUIRE(child >= 0);
    if (child == 0) {
        bool good = false;
        try {
            good = f();
        } catch (...) {
        }
        ::_exit(good ? 0 : 1);
    }
    int status = 0;
    REQUIRE(::waitpid(child, &status, 0) == child);
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/// Opening must be refused for the reason given, and leave the whole folder as it was.
void check_refused(const scratch_folder& folder, const std::string& name, const std::string& reason) {
    CAPTURE(name);
    auto before = files_in(folder.path());
    try {
        sqlite_storage(folder / name);
        FAIL_CHECK("opened");
    } catch (const storage_error& e) {
        std::string what = e.what();
        CHECK_MESSAGE(what.find(reason) != std::string::npos, what);
        CHECK_MESSAGE(what.find(name) != std::string::npos, what);
    }
    CHECK(files_in(folder.path()) == before);
}

/// A file as a node leaves it: a few collections, snapshots, records in groups of different sizes.
content fill(storage& s, std::uint64_t seed, int steps, bool close) {
    std::mt19937_64 random(seed);
    auto node = s.load();
    history h(s, content(node));
    if (h.now().collections.empty()) h.attach("first", 1);
    for (int i = 0; i < steps; ++i) h.step(random, 30'000);
    close ? h.close() : h.sync();
    return h.now();
}

} // namespace

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
        power_cut_vfs disk;
        scratch_folder folder;
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
        power_cut_vfs disk;
        scratch_folder folder;
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
            power_cut_vfs disk;
            scratch_folder folder;
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
        power_cut_vfs disk;
        scratch_folder folder;
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
        power_cut_vfs disk;
        scratch_folder folder;
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
        power_cut_vfs disk;
        scratch_folder folder;
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
    power_cut_vfs disk;
    scratch_folder folder;
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
    } catch (const storage_error&) {
        CHECK(files_in(folder.path()) == before);
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
