// SPDX-License-Identifier: Apache-2.0
#include <joinery/encrypted_storage.hpp>

#include "power_cut_vfs.hpp"
#include "sqlite_files.hpp"

#include <joinery/engine.hpp>
#include <joinery/leader.hpp>
#include <joinery/memory_storage.hpp>
#include <joinery/memory_transport.hpp>
#include <joinery/or_set.hpp>

#include <doctest/doctest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <memory>
#include <random>
#include <string>
#include <vector>

using namespace joinery;
using namespace storage_test;
using namespace std::chrono_literals;

namespace {

storage_key key_of(std::uint64_t seed) {
    const auto b = blob(storage_key::size, seed);
    return storage_key::from_bytes(std::span<const std::byte, storage_key::size>(b));
}
storage_key cheap(std::string_view passphrase) {
    return storage_key::from_passphrase(passphrase, {.passes = 1, .memory = 8192});
}

std::unique_ptr<storage> open(memory_disk& disk, std::uint64_t key = 1) {
    return encrypted_storage(disk.open(), key_of(key));
}

/// What is stored, as whoever has no key sees it.
stored_node stored(memory_disk& disk) {
    auto copy = disk.copy();
    return copy.open()->load();
}

/// Two collections with a snapshot and records each.
content fill_two(storage& s) {
    s.load();
    history h(s, {});
    h.set_id(7);
    const auto a = h.attach("a", 1), b = h.attach("b", 2);
    for (std::uint64_t round = 0; round < 2; ++round) {
        h.compact(a, blob(300, 10 + round));
        h.compact(b, blob(200, 20 + round));
        for (std::uint64_t i = 0; i < 4; ++i) {
            h.append(a, blob(30, 100 * round + i));
            h.append(b, blob(30, 100 * round + 50 + i));
        }
        h.sync();
    }
    return h.now();
}

bool refused(const stored_node& n, const storage_key& key, std::string_view why = {}) {
    try {
        decrypted(n, key);
        return false;
    } catch (const storage_error& e) {
        const std::string what = e.what();
        CHECK(what.find('\n') == std::string::npos);
        CHECK_MESSAGE(what.find(why) != std::string::npos, what);
        return true;
    }
}

} // namespace

TEST_CASE("encrypted_storage: the promises of a storage, in a file") {
    scratch_folder folder;
    check_promises([&] { return encrypted_storage(sqlite_storage(folder / "node"), key_of(1)); });
}

TEST_CASE("encrypted_storage: the promises of a storage, in memory") {
    memory_disk disk(durability::relaxed);
    check_promises([&] { return open(disk); });
}

TEST_CASE("encrypted_storage: a leader writes nothing that can be read, restarts, compacts, and goes on") {
    scratch_folder folder;
    memory_network network;
    const std::string marker = "THE-MARKER-THAT-NOBODY-MAY-SEE";
    const auto start = [&](std::unique_ptr<storage> disk) {
        node_options options;
        options.storage = std::move(disk);
        options.transport = network.make("node");
        return node(std::move(options));
    };
    const auto encrypted = [&] { return encrypted_storage(sqlite_storage(folder / "node"), key_of(1)); };
    const auto unreadable = [&] {
        for (const auto& file : files_in(folder.path())) {
            CAPTURE(file.first);
            CHECK(file.second.find(marker) == std::string::npos);
            CHECK(file.second.find("SECRET-NAME") == std::string::npos);
        }
    };
    for (int life = 0; life < 3; ++life) {
        auto n = start(encrypted());
        auto set = n.open<or_set<std::string>>("SECRET-NAME");
        CHECK(set.read([](const auto& s) { return s.size(); }) == static_cast<std::size_t>(life) * 2000);
        for (int i = 0; i < 2000; ++i)
            set.write([&](auto& s, auto& tx) { s.add(tx, marker + std::to_string(2000 * life + i)); });
        unreadable();
        if (life == 1) {
            n.backup(folder / "copy");
            unreadable();
        }
        n.close();
        unreadable();
    }
    {
        auto n = start(encrypted_storage(sqlite_storage(folder / "copy"), key_of(1)));
        auto set = n.open<or_set<std::string>>("SECRET-NAME");
        CHECK(set.read([](const auto& s) { return s.size(); }) == 4000);
    }
    CHECK_THROWS_AS(encrypted_storage(sqlite_storage(folder / "copy"), key_of(2)), storage_error);

    // Without its key it is not taken for an empty one.
    const auto before = files_in(folder.path());
    CHECK_THROWS_WITH_AS(start(sqlite_storage(folder / "node")), doctest::Contains("is encrypted"), storage_error);
    CHECK(files_in(folder.path()) == before);
}

TEST_CASE("encrypted_storage: a wrong key is an error, and the file is left as it is") {
    scratch_folder folder;
    const auto check = [&](const storage_key& right, const storage_key& wrong, const char* why) {
        fs::remove(folder / "node");
        content c;
        {
            auto s = encrypted_storage(sqlite_storage(folder / "node"), right);
            c = fill(*s, 1, 60, true);
        }
        const auto before = files_in(folder.path());
        try {
            encrypted_storage(sqlite_storage(folder / "node"), wrong);
            FAIL_CHECK("opened");
        } catch (const storage_error& e) {
            const std::string what = e.what();
            CHECK_MESSAGE(what.find(why) != std::string::npos, what);
            CHECK_MESSAGE(what.find(folder / "node") != std::string::npos, what);
        }
        CHECK(files_in(folder.path()) == before);
        CHECK(content(encrypted_storage(sqlite_storage(folder / "node"), right)->load()) == c);
        fs::remove(folder / "node-wal");
    };
    check(key_of(1), key_of(2), "the key is wrong");
    check(cheap("correct horse"), cheap("correct hors"), "the key is wrong");
    check(cheap("correct horse"), key_of(1), "with a passphrase");
    check(key_of(1), cheap("correct horse"), "not with a passphrase");

    fs::remove(folder / "node");
    fill(*sqlite_storage(folder / "node"), 1, 60, true);
    const auto before = files_in(folder.path());
    CHECK_THROWS_WITH_AS(encrypted_storage(sqlite_storage(folder / "node"), key_of(1)),
                         doctest::Contains("not encrypted"), storage_error);
    CHECK(files_in(folder.path()) == before);
}

TEST_CASE("encrypted_storage: what is said of a damaged file is one line of text") {
    scratch_folder folder;
    const auto disk = encrypted_storage(sqlite_storage(folder / "node"), key_of(1));
    fill_two(*disk);
    disk->close();
    auto bytes = files_in(folder.path()).at("node");
    int told = 0;
    for (std::size_t at = 4096; at < bytes.size(); at += 61) { // behind SQLite's own pages
        auto damaged = bytes;
        damaged[at] = static_cast<char>(damaged[at] ^ 1);
        std::ofstream(folder / "damaged", std::ios::binary) << damaged;
        try {
            encrypted_storage(sqlite_storage(folder / "damaged"), key_of(1))->load();
        } catch (const storage_error& e) {
            const std::string_view what = e.what();
            CAPTURE(at);
            CHECK(std::all_of(what.begin(), what.end(), [](char c) { return c >= 0x20 && c < 0x7f; }));
            told += what.find("of collection 1") != what.npos;
        }
        for (const char* end : {"", "-wal", "-shm"}) std::filesystem::remove(folder / ("damaged" + std::string(end)));
    }
    CHECK(told > 0);
}

TEST_CASE("encrypted_storage: any byte that is not as it was written is an error") {
    memory_disk disk(durability::full);
    const content c = fill_two(*open(disk));
    const auto good = stored(disk);
    CHECK(content(decrypted(good, key_of(1))) == c);
    std::size_t flips = 0;
    const auto each = [&](auto& bytes) {
        for (std::size_t i = 0; i < bytes.size(); ++i, ++flips) {
            auto& b = reinterpret_cast<unsigned char&>(bytes[i]);
            b ^= 1 << flips % 8;
            CAPTURE(i);
            CHECK_THROWS_AS(decrypted(good, key_of(1)), storage_error);
            b ^= 1 << flips % 8;
        }
    };
    auto& all = const_cast<stored_node&>(good).collections;
    for (auto& collection : all) {
        if (&collection != &all.front()) each(collection.name);
        each(collection.snapshot);
        for (auto& r : collection.records) each(r);
    }
    CHECK(flips > 1500);
    CHECK(content(decrypted(good, key_of(1))) == c);
    auto other_id = good;
    other_id.id = replica_id{8};
    CHECK(refused(other_id, key_of(1), "id was changed"));
    other_id.id.reset();
    CHECK(refused(other_id, key_of(1), "id was changed"));
}

TEST_CASE("encrypted_storage: what is exchanged, moved, left out or older is an error") {
    memory_disk disk(durability::full), elsewhere(durability::full);
    fill_two(*open(disk));
    fill_two(*open(elsewhere)); // with the same key
    const auto good = stored(disk), other = stored(elsewhere);
    {
        auto s = open(disk);
        s->load();
        s->compact(0, blob(100, 1));
        s->append(0, blob(30, 1));
        s->sync();
    }
    const auto later = stored(disk);
    const auto with = [&](auto&& change) {
        auto n = good;
        change(n.collections);
        return refused(n, key_of(1));
    };
    CHECK(with([](auto& c) { std::swap(c[1].records[1], c[1].records[2]); }));
    CHECK(with([](auto& c) { std::swap(c[1].records[0], c[2].records[0]); }));
    CHECK(with([](auto& c) { c[1].records.erase(c[1].records.begin()); }));
    CHECK(with([](auto& c) { c[1].records.erase(c[1].records.begin() + 1); }));
    CHECK(with([](auto& c) { c[1].records.insert(c[1].records.begin(), c[1].records[0]); }));
    CHECK(with([](auto& c) { std::swap(c[1].snapshot, c[2].snapshot); }));
    CHECK(with([](auto& c) { std::swap(c[1].name, c[2].name); }));
    CHECK(with([](auto& c) { std::swap(c[1], c[2]); }));
    CHECK(with([](auto& c) { c[1].snapshot.clear(); }));
    CHECK(with([](auto& c) { c.pop_back(); }));
    CHECK(with([](auto& c) { c[1].records = {}, c[1].snapshot = {}; }));
    CHECK(with([](auto& c) { c.erase(c.begin()); }));
    CHECK(with([](auto& c) { c[0].snapshot.clear(); }));
    CHECK(with([&](auto& c) { c[1] = other.collections[1]; }));
    CHECK(with([&](auto& c) { c[1].records[0] = other.collections[1].records[0]; }));
    CHECK(with([&](auto& c) { c[0] = other.collections[0]; }));
    CHECK(with([&](auto& c) { c[1] = later.collections[1]; })); // one collection later than the others
    CHECK(with([&](auto& c) { c[1].snapshot = later.collections[1].snapshot; }));
    const auto older = [&](auto&& change) {
        auto n = later;
        change(n.collections);
        return refused(n, key_of(1));
    };
    CHECK(older([&](auto& c) { c[1].records.push_back(good.collections[1].records[0]); }));
    CHECK(older([&](auto& c) { c[1].records = good.collections[1].records; }));
    {
        auto s = open(disk); // once the list has gone on
        s->load();
        s->compact(1, blob(100, 2));
    }
    auto newest = stored(disk);
    newest.collections[1] = good.collections[1];
    CHECK(refused(newest, key_of(1), "another snapshot"));

    // An end that is missing cannot be told from one that was not written yet.
    auto shorter = good;
    shorter.collections[1].records.pop_back();
    CHECK(decrypted(shorter, key_of(1)).collections[0].records.size() == 3);
}

TEST_CASE("encrypted_storage: what is damaged is left out if that is wanted, and the rest is read") {
    memory_disk disk(durability::full);
    fill_two(*open(disk));
    auto bad = stored(disk);
    bad.collections[1].records[2][30] ^= std::byte{1};
    bad.collections[2].snapshot[30] ^= std::byte{1};
    std::vector<encrypted_damage> damage;
    const auto n = decrypted(bad, key_of(1), &damage);
    REQUIRE(n.collections.size() == 2);
    CHECK(n.collections[0].name == "a");
    CHECK(n.collections[0].records.size() == 2);
    CHECK_FALSE(n.collections[0].snapshot.empty());
    CHECK(n.collections[1].snapshot.empty());
    REQUIRE(damage.size() == 2);
    CHECK(damage[0].collection == 0);
    CHECK(damage[0].record == 2);
    CHECK(damage[1].snapshot);
}

TEST_CASE("encrypted_storage: an end in any step, and errors in any operation, lose nothing that was acknowledged") {
    const auto live = [](memory_disk& disk, history*& current, std::vector<std::unique_ptr<history>>& lives,
                         std::uint64_t seed) {
        std::mt19937_64 random(seed);
        content known;
        for (int life = 0; life < 2; ++life) {
            auto s = open(disk);
            known = content(s->load());
            lives.push_back(std::make_unique<history>(*s, known));
            current = lives.back().get();
            for (int i = 0; i < 60; ++i) {
                try {
                    current->step(random, 200);
                } catch (const storage_crash&) {
                    throw;
                } catch (const storage_error&) { // that was asked for: nothing of it has happened
                }
            }
            if (life == 0) current->close();
        }
    };
    std::uint64_t steps = 0;
    {
        memory_disk disk(durability::full);
        history* h = nullptr;
        std::vector<std::unique_ptr<history>> lives;
        live(disk, h, lives, 1);
        steps = disk.steps();
    }
    CHECK(steps > 200);
    for (std::uint64_t at = 1; at <= steps; ++at)
        for (const std::size_t keep : {0, 1, 2, 100}) {
            CAPTURE(at);
            CAPTURE(keep);
            memory_disk disk(durability::full);
            history* h = nullptr;
            std::vector<std::unique_ptr<history>> lives;
            disk.crash_at(at, keep);
            try {
                live(disk, h, lives, 1);
            } catch (const storage_crash&) {
            }
            if (disk.in_use()) disk.crash();
            for (int again = 0; again < 2; ++again) {
                auto s = open(disk);
                const content now(s->load());
                if (h && again == 0) CHECK(h->may_survive(now));
                if (now.collections.empty()) continue;
                s->compact(0, blob(10, at)); // it goes on
                s->append(0, blob(10, at));
                s->sync();
            }
        }
    for (std::uint64_t at = 1; at < 120; ++at) {
        CAPTURE(at);
        memory_disk disk(durability::full);
        history* h = nullptr;
        std::vector<std::unique_ptr<history>> lives;
        disk.fail_at(at);
        try {
            live(disk, h, lives, 2);
        } catch (const storage_error&) { // while it was opened
        }
        if (disk.in_use()) disk.crash(100);
        CHECK_NOTHROW(open(disk)->load());
    }
}

TEST_CASE("encrypted_storage: a power cut at any change keeps every synced record at level full") {
    using survival = power_cut_vfs::survival;
    const auto live = [](const std::string& path, std::unique_ptr<history>& h, std::unique_ptr<storage>& s) {
        std::mt19937_64 random(3);
        s = encrypted_storage(sqlite_storage(path), key_of(1));
        h = std::make_unique<history>(*s, content(s->load()));
        for (int i = 0; i < 80; ++i) h->step(random, 5000);
        h->close();
    };
    std::uint64_t changes = 0;
    {
        scratch_folder folder;
        power_cut_vfs disk(folder.path());
        std::unique_ptr<history> h;
        std::unique_ptr<storage> s;
        live(folder / "node", h, s);
        changes = disk.changes();
    }
    int cuts = 0;
    for (std::uint64_t at = 1; at < changes; at += at < 40 ? 1 : 5) {
        CAPTURE(at);
        scratch_folder folder;
        power_cut_vfs disk(folder.path());
        std::unique_ptr<history> h;
        std::unique_ptr<storage> s;
        disk.cut_at(at);
        try {
            live(folder / "node", h, s);
        } catch (const storage_error&) {
        }
        s.reset();
        if (!disk.is_cut()) continue;
        ++cuts;
        disk.restore(at % 3 == 0 ? survival::all : at % 3 == 1 ? survival::none : survival::random, at);
        const content now(encrypted_storage(sqlite_storage(folder / "node"), key_of(1))->load());
        if (h)
            CHECK(h->may_survive(now));
        else
            CHECK(now == content());
    }
    CHECK(cuts > 60);
}

TEST_CASE("encrypted_storage: another key opens it, and the old one does not any more") {
    scratch_folder folder;
    content c;
    {
        auto s = encrypted_storage(sqlite_storage(folder / "node"), key_of(1));
        c = fill(*s, 1, 60, true);
    }
    const auto inner = [&] { return sqlite_storage(folder / "node"); };
    CHECK_THROWS_AS(change_key(inner(), key_of(2), key_of(3)), storage_error);
    change_key(inner(), key_of(1), cheap("a passphrase"));
    CHECK_THROWS_AS(encrypted_storage(inner(), key_of(1)), storage_error);
    change_key(inner(), cheap("a passphrase"), key_of(2));
    CHECK_THROWS_AS(encrypted_storage(inner(), cheap("a passphrase")), storage_error);
    {
        auto s = encrypted_storage(inner(), key_of(2));
        const auto node = s->load();
        CHECK(node.clean);
        CHECK(content(node) == c);
    }
    // Its next start has to see that it was not closed.
    CHECK_THROWS_WITH_AS(change_key(inner(), key_of(2), key_of(3)), doctest::Contains("not closed"), storage_error);
    CHECK(content(encrypted_storage(inner(), key_of(2))->load()) == c);
}

TEST_CASE("encrypted_storage: a backup is encrypted, and knows that it is one") {
    scratch_folder folder;
    auto s = encrypted_storage(sqlite_storage(folder / "node"), key_of(1));
    const content c = fill_two(*s);
    auto copy = s->back_up(folder / "copy");
    while (!copy->copy(1 << 20)) {
    }
    copy->finish();
    change_key(sqlite_storage(folder / "copy"), key_of(1), key_of(2)); // of the copy alone
    for (const bool looked_into : {true, false}) {
        auto b = encrypted_storage(sqlite_storage(folder / "copy"), key_of(2));
        const auto node = b->load();
        CHECK(node.copy);
        CHECK(content(node) == c);
        b->compact(0, blob(10, 1)); // as the program `joinery` does, without an id of its own
        b->compact(0, node.collections[0].snapshot);
        for (const auto& r : node.collections[0].records) b->append(0, r);
        if (!looked_into) b->set_id(replica_id{9});
        b->close();
    }
    const auto node = encrypted_storage(sqlite_storage(folder / "copy"), key_of(2))->load();
    CHECK_FALSE(node.copy);
    CHECK(node.id == replica_id{9});
}

TEST_CASE("encrypted_storage: keys in files") {
    scratch_folder folder;
    const auto path = folder / "key";
    const auto key = blob(storage_key::size, 1);
    const std::string text(reinterpret_cast<const char*>(key.data()), key.size());
    const auto refused_for = [&](const std::string& file, const char* why) {
        try {
            storage_key::from_file(file);
            FAIL_CHECK("read");
        } catch (const storage_error& e) {
            const std::string what = e.what();
            CHECK_MESSAGE(what.find(why) != std::string::npos, what);
            CHECK_MESSAGE(what.find(file) != std::string::npos, what);
        }
    };
    write_file(path, text);
    for (const ::mode_t mode : {0644, 0640, 0604, 0620, 0660}) {
        ::chmod(path.c_str(), mode);
        refused_for(path, "others may read");
    }
    ::chmod(path.c_str(), 0600);
    if (::chown(path.c_str(), 12345, 12345) == 0) { // only root can
        refused_for(path, "another user");
        REQUIRE(::chown(path.c_str(), ::geteuid(), ::getegid()) == 0);
    }
    memory_disk disk(durability::full);
    const content c = fill_two(*open(disk));
    for (const ::mode_t mode : {0600, 0400}) {
        ::chmod(path.c_str(), mode);
        CHECK(content(decrypted(stored(disk), storage_key::from_file(path))) == c);
    }
    for (const std::string& wrong : {std::string(), text.substr(1), text + "\n"}) {
        write_file(path, wrong);
        ::chmod(path.c_str(), 0600);
        refused_for(path, "32 bytes");
    }
    refused_for(folder / "none", "No such file");
    refused_for(folder.path().string(), "not a regular file");
    REQUIRE(::mkfifo((folder / "fifo").c_str(), 0600) == 0);
    refused_for(folder / "fifo", "not a regular file");
    CHECK_THROWS_AS(storage_key::from_passphrase(""), storage_error);
    CHECK_THROWS_AS(storage_key::from_passphrase("x", {.passes = 0}), storage_error);
    CHECK_THROWS_AS(storage_key::from_passphrase("x", {.memory = 1}), storage_error);
}

TEST_CASE("encrypted_storage: with a key from a file, as the documentation has it") {
    scratch_folder folder;
    const auto key = blob(storage_key::size, 1);
    write_file(folder / "eu.key", std::string(reinterpret_cast<const char*>(key.data()), key.size()));
    ::chmod((folder / "eu.key").c_str(), 0600);
    memory_network network;
    node_options options;
    options.transport = network.make("eu");
    options.storage = encrypted_storage(sqlite_storage(folder / "eu.db"), storage_key::from_file(folder / "eu.key"));
    node eu(std::move(options));
    auto set = eu.open<or_set<std::string>>("set");
    set.write([](auto& s, auto& tx) { s.add(tx, "kept"); });
    eu.close();
    const auto stored = sqlite_storage(folder / "eu.db")->load();
    CHECK(is_encrypted(stored));
    CHECK(decrypted(stored, key_of(1)).collections.size() == 2); // and the list of members
}

TEST_CASE("encrypted_storage: a file may ask for no more memory than there is a reason to") {
    memory_disk disk(durability::full);
    {
        auto s = encrypted_storage(disk.open(), cheap("passphrase"));
        s->load();
        s->close();
    }
    auto n = stored(disk);
    auto& head = n.collections[0].snapshot;
    for (std::size_t i = 0; i < 8; ++i) head[45 + i] = std::byte{0x7f}; // the memory of the passphrase
    CHECK(refused(n, cheap("passphrase"), "damaged"));
}
