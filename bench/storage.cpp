// SPDX-License-Identifier: Apache-2.0
// What a write costs at each durability, what it leaves in the file, and how long a log of a million edits takes to
// open; beside SQLite's own inserts of records of the same size in the same run.
#include "harness.hpp"
#include "leaders.hpp"

#include <joinery/storage.hpp>
#include <joinery/transport.hpp>

#include <sqlite3.h>

#include <filesystem>
#include <string>
#include <thread>
#include <vector>

using namespace joinery;
using namespace std::chrono_literals;
using clock_type = std::chrono::steady_clock;
using bench::counter, bench::element, bench::require, bench::seconds_since, bench::set;

namespace {

/// Edits a second.
double write_all(leader<set>& l, std::size_t writers, std::size_t edits, std::size_t& next) {
    const auto begin = clock_type::now();
    std::vector<std::thread> threads;
    for (std::size_t w = 0; w < writers; ++w)
        threads.emplace_back([&, from = next + w * (edits / writers)] {
            for (std::size_t i = 0; i < edits / writers; ++i)
                l.write([&](set& s, auto& tx) { s.add(tx, element(from + i)); });
        });
    for (auto& t : threads) t.join();
    next += edits;
    return static_cast<double>(edits) / seconds_since(begin);
}

/// Rows of `size` bytes a second, `rows` in transactions of `each`.
double sqlite_inserts(const std::string& path, bool full, std::size_t rows, std::size_t each, std::size_t size) {
    sqlite3* db = nullptr;
    const auto run = [&](const char* sql) {
        require(sqlite3_exec(db, sql, nullptr, nullptr, nullptr) == SQLITE_OK, sql);
    };
    require(sqlite3_open(path.c_str(), &db) == SQLITE_OK, "sqlite3_open");
    run("pragma journal_mode=wal");
    run(full ? "pragma synchronous=full" : "pragma synchronous=off");
    run("create table if not exists log (id integer primary key, record blob)");
    sqlite3_stmt* insert = nullptr;
    require(sqlite3_prepare_v2(db, "insert into log (record) values (?)", -1, &insert, nullptr) == SQLITE_OK,
            "prepare");
    const std::string row(size, 'x');
    const auto begin = clock_type::now();
    for (std::size_t done = 0; done < rows; done += each) {
        run("begin immediate");
        for (std::size_t i = 0; i < each; ++i) {
            sqlite3_bind_blob(insert, 1, row.data(), static_cast<int>(row.size()), SQLITE_STATIC);
            require(sqlite3_step(insert) == SQLITE_DONE, "insert");
            sqlite3_reset(insert);
        }
        run("commit");
    }
    const double rate = static_cast<double>(rows) / seconds_since(begin);
    sqlite3_finalize(insert);
    sqlite3_close(db);
    return rate;
}

} // namespace

int main(int argc, char** argv) {
    bench::report out("storage", argc, argv);
    const bench::folder files;
    std::size_t next = 0;
    struct {
        const char* name;
        durability level;
        std::size_t single, many; // edits
    } const levels[] = {{"none", durability::none, 100'000, 100'000},
                        {"relaxed", durability::relaxed, 20'000, 100'000},
                        {"full", durability::full, 300, 6'000}};
    for (const auto& level : levels) {
        const std::string name = level.name;
        const auto file = files / level.name;
        auto l = bench::start(name, {}, level.level == durability::none ? nullptr : sqlite_storage(file, level.level));
        write_all(l, 1, 100, next);
        const bool full = level.level == durability::full;
        const auto other = files / (full ? "inserts_full" : "inserts_off");
        for (const std::size_t writers : {1, 16}) {
            const auto edits = writers == 1 ? level.single : level.many;
            const auto bytes = counter(l, "storage_bytes_written"), syncs = counter(l, "storage_syncs");
            const auto rate = write_all(l, writers, edits, next);
            const auto groups = std::max<std::uint64_t>(1, counter(l, "storage_syncs") - syncs);
            const auto each = static_cast<double>(edits) / static_cast<double>(groups);
            const std::string title =
                "durability " + name + ", " + std::to_string(writers) + " writer" + (writers > 1 ? "s" : "");
            if (level.level == durability::none) {
                out.add({title, rate, "edits/s", 0, ""});
                continue;
            }
            out.add({title, rate, "edits/s", sqlite_inserts(other, full, std::min<std::size_t>(edits, 20'000), 1, 96),
                     "SQLite, one insert a transaction"});
            out.add({title, each, "edits/sync", 0, ""});
            out.add({title,
                     static_cast<double>(counter(l, "storage_bytes_written") - bytes) / static_cast<double>(edits),
                     "bytes/edit", 64, "an element's bytes"});
        }
    }

    constexpr std::size_t edits = 1'000'000;
    const auto file = files / "recovery";
    {
        replicated<set> state;
        struct nowhere final : engine_output {
            void broadcast(std::span<const std::byte>) override {}
            bool send(link_id, std::span<const std::byte>) override { return false; }
            void notify(const event&) override {}
        } output;
        const auto disk = sqlite_storage(file, durability::relaxed);
        engine_options options;
        options.limits.log_minimum = SIZE_MAX; // a log, and no snapshot
        engine e(options, *disk, output);
        e.attach("bench", state);
        for (std::size_t i = 0; i < edits; ++i) {
            {
                std::lock_guard lock(state.mutex());
                state.edit([&](set& s, auto& tx) { s.add(tx, element(i)); });
            }
            if (i % 10 == 9) e.flush(); // the groups of many writers
        }
        e.close();
    }
    out.add({"a log of 1,000,000 edits", static_cast<double>(std::filesystem::file_size(file)) / edits, "bytes/edit", 0,
             ""});
    const auto begin = clock_type::now();
    {
        const auto l = bench::start("recovery", {}, sqlite_storage(file));
        require(l.read([](const set& s) { return s.size(); }) == edits, "edits are missing");
    }
    out.add({"opening it, until it can be read and written", seconds_since(begin), "s", 0, ""});
    const auto rate = sqlite_inserts(files / "inserts_many", false, edits, 10, 10 * 96 / 10);
    out.add({"SQLite's own inserts, 10 a transaction, no sync", rate, "rows/s", 0, ""});
}
