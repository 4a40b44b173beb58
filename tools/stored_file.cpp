// SPDX-License-Identifier: Apache-2.0
#include "stored_file.hpp"

#include "file_image.hpp"

#include "sqlite_connection.hpp"
#include "sqlite_format.hpp"
#include "sqlite_wal.hpp"
#include "valid_text.hpp"

#include <fmt/format.h>
#include <sqlite3.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <span>

namespace joinery::tool {

namespace {

using namespace sqlite;

class reader {
public:
    reader(const std::string& path, bool thorough) : path_(path) {
        image_ = read_image(path);
        file_.path = path;
        file_.bytes = image_.main.size();
        file_.wal_bytes = image_.wal.size();
        file_.owner = image_.owner;
        look();
        open();
        check(thorough);
        read_tables();
    }
    stored_file take() { return std::move(file_); }

private:
    std::string path_;
    file_image image_;
    stored_file file_;
    struct closing {
        void operator()(sqlite3* db) const { sqlite3_close_v2(db); }
    };
    std::unique_ptr<sqlite3, closing> db_;
    std::uint32_t mark_ = 0;

    [[noreturn]] void fail(std::string_view why) const { throw tool_error(fmt::format("{}: {}", path_, why)); }
    void found(std::string where, std::string what) { file_.found.push_back({std::move(where), std::move(what)}); }

    // Before SQLite is asked anything.
    void look() {
        const auto& m = image_.main;
        if (m.empty()) fail("the file is empty");
        if (m.size() < 16 || std::memcmp(m.data(), "SQLite format 3", 16) != 0)
            fail("not a storage of joinery (no SQLite file, or its beginning is damaged)");
        if (m.size() < 100) fail("the file is cut off within its header");
        if (big_endian(&m[68]) != application_id)
            fail(fmt::format("an SQLite file, but not of joinery (application_id {:#x})", big_endian(&m[68])));
        if (image_.journal) found("file", "a rollback journal lies beside it: its creation was cut short");
        if (image_.wal.empty()) return;
        const auto before = big_endian(&m[60]);
        const auto most = 4 * (image_.main.size() + image_.wal.size()) + (std::size_t{64} << 20);
        if (!replay_wal(image_.wal, image_.main, most))
            found("write-ahead log", "it does not belong to this file, and was left out");
        else if (before != 0 && mark_of(before) != mark_of(big_endian(&image_.main[60])))
            fail("its write-ahead log belongs to another file");
    }

    void open() {
        auto& m = image_.main;
        m[18] = m[19] = 1; // in memory there is no write-ahead log
        sqlite3* opened = nullptr;
        const int code = sqlite3_open_v2(":memory:", &opened, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, nullptr);
        db_.reset(opened);
        if (code != SQLITE_OK) fail("SQLite: no memory");
        sqlite3_db_config(db_.get(), SQLITE_DBCONFIG_DEFENSIVE, 1, nullptr);
        sqlite3_db_config(db_.get(), SQLITE_DBCONFIG_ENABLE_TRIGGER, 0, nullptr);
        sqlite3_db_config(db_.get(), SQLITE_DBCONFIG_ENABLE_VIEW, 0, nullptr);
        const auto size = static_cast<sqlite3_int64>(m.size());
        if (sqlite3_deserialize(db_.get(), "main", m.data(), size, size, SQLITE_DESERIALIZE_READONLY) != SQLITE_OK)
            fail(fmt::format("SQLite: {}", sqlite3_errmsg(db_.get())));
        sqlite3_exec(db_.get(), "PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON", nullptr, nullptr, nullptr);
        statement version(db_.get(), "PRAGMA user_version");
        if (version.step() != step_result::row) fail(fmt::format("damaged: SQLite: {}", sqlite3_errmsg(db_.get())));
        const auto whole = static_cast<std::uint32_t>(version.integer(0));
        file_.format = format_of(whole);
        mark_ = mark_of(whole);
        if (file_.format > format_version)
            throw newer_format(fmt::format("{}: of a newer format ({}; this program reads format {})", path_,
                                           file_.format, format_version));
    }

    void check(bool thorough) {
        statement rows(db_.get(), thorough ? "PRAGMA integrity_check(20)" : "PRAGMA quick_check(5)");
        auto result = rows.step();
        for (; result == step_result::row; result = rows.step())
            if (rows.text(0) != "ok") found("SQLite", std::string(rows.text(0)));
        if (result == step_result::failed) found("SQLite", sqlite3_errmsg(db_.get()));

        statement tables(db_.get(), "SELECT type, name, sql FROM sqlite_schema ORDER BY rowid");
        bool same = true;
        for (const table& t : schema)
            same = same && tables.step() == step_result::row && tables.text(0) == "table" && tables.text(1) == t.name &&
                   tables.text(2) == t.sql;
        if (!same || tables.step() != step_result::done) {
            // What the statements below would read is not known then.
            fail(file_.found.empty() ? std::string("damaged: the tables are not as they were created")
                                     : fmt::format("damaged: {}", file_.found.front().what));
        }
    }

    // True if there is a row; the table is damaged if it cannot be read.
    bool next(statement& s, const char* table) {
        const auto r = s.step();
        if (r == step_result::failed) found(fmt::format("table {}", table), sqlite3_errmsg(db_.get()));
        return r == step_result::row;
    }

    void read_tables() {
        std::uint64_t count = 0;
        bool known = false; // what its state is
        statement node(db_.get(), "SELECT id, state, collections, checksum FROM node");
        if (next(node, "node")) {
            if (!node.is_null(0)) file_.id = replica_id(unstored(node.integer(0)));
            file_.state = node.integer(1);
            count = unstored(node.integer(2));
            known = unstored(node.integer(3)) == node_checksum(file_.id, file_.state, count, mark_);
            if (!known) found("table node", "its checksum is wrong");
        } else {
            found("table node", "it has no row");
        }
        const bool unclean = file_.state == unclean_full || file_.state == unclean_relaxed;
        if (known && unclean && !file_.owner && !image_.has_wal)
            found("write-ahead log", "it is missing, and the file was not closed");
        if (file_.state == unclean_full && !file_.owner && !verify_wal(image_.path + "-wal"))
            found("write-ahead log", "it is damaged: transactions that had been synced are lost");

        statement rows(db_.get(),
                       "SELECT number, fingerprint, snapshot_size, checksum, name FROM collection ORDER BY number");
        while (next(rows, "collection")) read_collection(rows);
        if (file_.collections.size() != count)
            found("table collection", fmt::format("{} collections of {}", file_.collections.size(), count));
        no_others("snapshot");
        no_others("log");
    }

    void read_collection(const statement& row) {
        file_collection c;
        c.number = unstored(row.integer(0));
        c.fingerprint = unstored(row.integer(1));
        const auto name = row.blob(4);
        c.name.assign(reinterpret_cast<const char*>(name.data()), name.size());
        if (c.number != file_.collections.size() || c.number > max_collections) {
            found("table collection", "a collection is missing before " + detail::called(c.name, c.number));
            if (c.number > max_collections) return;
        }
        auto sum = chain(c.fingerprint, name.size(), name);
        const auto size = unstored(row.integer(2)), stored_sum = unstored(row.integer(3)) ^ mark_sum(mark_);
        if (size > 0) sum = chain(sum, size, {});

        statement snapshot(db_.get(), "SELECT key, data FROM snapshot WHERE key >= ?1 AND key < ?2 ORDER BY key");
        range(snapshot, c);
        for (std::uint64_t part = 0; next(snapshot, "snapshot"); ++part) {
            const auto data = snapshot.blob(1);
            if (snapshot.integer(0) != part_key(static_cast<std::uint32_t>(c.number), part)) {
                found("snapshot of " + detail::called(c.name, c.number), fmt::format("part {} is missing", part));
                part = unstored(snapshot.integer(0)) & ((std::uint64_t{1} << position_bits) - 1);
            }
            sum = chain(sum, part, data);
            c.snapshot.insert(c.snapshot.end(), data.begin(), data.end());
        }
        if (c.snapshot.size() != size)
            found("snapshot of " + detail::called(c.name, c.number),
                  fmt::format("{} bytes of {}", c.snapshot.size(), size));
        else if (sum != stored_sum)
            found("snapshot of " + detail::called(c.name, c.number), "its checksum is wrong");
        read_log(c, stored_sum);
        file_.collections.push_back(std::move(c));
    }

    // Each part's checksum rests on the one before, as that is stored: so one that is wrong is told alone.
    void read_log(file_collection& c, std::uint64_t before) {
        const auto where = "log of " + detail::called(c.name, c.number);
        record_splitter records(c.records);
        statement log(db_.get(), "SELECT key, data, checksum FROM log WHERE key >= ?1 AND key < ?2 ORDER BY key");
        range(log, c);
        bool readable = true;
        for (std::uint64_t part = 0; next(log, "log"); ++part) {
            const auto data = log.blob(1);
            const auto own = unstored(log.integer(2)) ^ mark_sum(mark_);
            const auto at = unstored(log.integer(0)) & ((std::uint64_t{1} << position_bits) - 1);
            if (at != part) {
                found(where, fmt::format("part {} is missing", part));
                readable = false;
                part = at;
            }
            if (chain(before, unstored(log.integer(0)), data) != own)
                found(where, fmt::format("the checksum of part {} is wrong", part));
            before = own;
            c.log_bytes += data.size();
            if (readable && !records.add(data)) {
                found(where, fmt::format("part {} does not consist of records", part));
                readable = false;
            }
        }
        if (!records.whole()) {
            if (readable) found(where, "the last record has no end");
            if (!c.records.empty()) c.records.pop_back();
        }
    }

    static void range(statement& s, const file_collection& c) {
        s.bind(1, part_key(static_cast<std::uint32_t>(c.number), 0));
        s.bind(2, part_key(static_cast<std::uint32_t>(c.number) + 1, 0));
    }

    void no_others(const char* table) {
        const auto sql = fmt::format("SELECT count(*) FROM {} WHERE key < 0 OR key >= ?1", table);
        statement others(db_.get(), sql.c_str());
        std::uint64_t end = 0;
        for (const auto& c : file_.collections) end = std::max(end, c.number + 1);
        others.bind(1, part_key(static_cast<std::uint32_t>(end), 0));
        if (next(others, table) && others.integer(0) != 0)
            found(fmt::format("table {}", table), "content that belongs to no collection");
    }
};

} // namespace

const file_collection* stored_file::find(std::string_view name) const {
    for (const auto& c : collections)
        if (c.name == name) return &c;
    return nullptr;
}

stored_file read_stored(const std::string& path, bool thorough) { return reader(path, thorough).take(); }

} // namespace joinery::tool
