// SPDX-License-Identifier: Apache-2.0

// Storage in an SQLite file: sqlite_format.hpp says what is in it, sqlite_connection.hpp how it is opened.

#include "sqlite_connection.hpp"
#include "sqlite_format.hpp"
#include "sqlite_wal.hpp"
#include "valid_text.hpp"

#include <joinery/storage.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <system_error>
#include <utility>

namespace joinery {

namespace {

using namespace sqlite;
namespace fs = std::filesystem;
using bytes = std::vector<std::byte>;

/// Never that of a file without one.
std::uint32_t random_mark() { return static_cast<std::uint32_t>(replica_id::random().value() >> 41) + 1; }

/// SQLite says in more than one line what is damaged.
std::string in_one_line(std::string_view text) {
    constexpr std::string_view heading = "*** in database main ***\n";
    if (text.starts_with(heading)) text.remove_prefix(heading.size());
    std::string line(text);
    std::replace(line.begin(), line.end(), '\n', ' ');
    return line;
}

std::string set_version(std::uint32_t mark) {
    return fmt::format("PRAGMA user_version = {}", static_cast<std::int32_t>(mark << mark_shift | format_version));
}

constexpr const char* put_node = "REPLACE INTO node VALUES (1, ?1, ?2, ?3, ?4)";

/// Within `write`. Requires: `s` is put_node.
void run_put_node(connection& db, statement& s, std::optional<replica_id> id, std::int64_t state, std::uint64_t count,
                  std::uint32_t mark) {
    if (id)
        s.bind(1, stored(id->value()));
    else
        s.bind_null(1);
    s.bind(2, state);
    s.bind(3, stored(count));
    s.bind(4, stored(node_checksum(id, state, count, mark)));
    db.run(s);
}

/// A copy is made in a file beside the one asked for, and has no name of its own before it is complete and marked: what
/// an end in between leaves behind is not taken for a storage that may go on under its id.
class file_backup final : public storage_backup {
public:
    file_backup(connection& from, const std::string& path)
        : path_(new_name(path)), part_(begin(path_.string() + ".part")), part_file_(part_.path().string()) {
        try {
            part_file_.open_unsynced();
            pages_ = std::make_shared<page_copy>(from, part_file_);
        } catch (...) {
            end();
            throw;
        }
    }
    ~file_backup() override {
        if (pages_) pages_->end();
        end();
    }

    std::shared_ptr<page_copy> pages() const { return pages_; }
    /// Gone with this.
    std::weak_ptr<const void> under_way() const { return under_way_; }

    bool copy(std::size_t bytes) override {
        const std::size_t pages = std::clamp<std::size_t>(bytes / page_size, 1, 1 << 20);
        if (pages_->copy(static_cast<int>(pages))) pages_.reset();
        return !pages_;
    }

    void finish() override {
        part_file_.use_wal();
        part_file_.write("back up", [&] { mark(); });
        part_file_.execute("back up", "PRAGMA wal_checkpoint(TRUNCATE)");
        part_file_.close_cleanly();
        part_.publish(path_);
    }

private:
    fs::path path_;
    new_file part_;
    connection part_file_;
    std::shared_ptr<page_copy> pages_; // until all are copied
    const std::shared_ptr<const void> under_way_ = std::make_shared<int>();

    /// It is a copy, and another file than its original.
    void mark() {
        const auto was = static_cast<std::uint32_t>(part_file_.query("back up", "PRAGMA user_version"));
        const std::uint32_t fresh = random_mark();
        const std::uint64_t change = mark_sum(mark_of(was)) ^ mark_sum(fresh);
        std::optional<replica_id> id;
        std::uint64_t count = 0;
        {
            statement node = part_file_.prepare("SELECT id, collections FROM node");
            if (!part_file_.next("back up", node)) part_file_.fail("back up", "no row in node");
            if (!node.is_null(0)) id = replica_id(unstored(node.integer(0)));
            count = unstored(node.integer(1));
        }
        part_file_.execute("back up", set_version(fresh).c_str());
        statement node = part_file_.prepare(put_node);
        run_put_node(part_file_, node, id, copied, count, fresh);
        mark_again(change, "SELECT number, checksum FROM collection",
                   "UPDATE collection SET checksum = ?2 WHERE number = ?1");
        mark_again(change, "SELECT key, checksum FROM log", "UPDATE log SET checksum = ?2 WHERE key = ?1");
    }

    void mark_again(std::uint64_t change, const char* select, const char* update) {
        std::vector<std::pair<std::int64_t, std::uint64_t>> sums;
        {
            statement rows = part_file_.prepare(select);
            while (part_file_.next("back up", rows)) sums.emplace_back(rows.integer(0), unstored(rows.integer(1)));
        }
        statement row = part_file_.prepare(update);
        for (const auto& [key, sum] : sums) {
            row.bind(1, key);
            row.bind(2, stored(sum ^ change));
            part_file_.run(row);
        }
    }

    static fs::path new_name(const std::string& path) {
        const connection asked(path);
        std::error_code ignored;
        if (fs::exists(asked.path(), ignored)) asked.fail("back up", "there is a file of that name already");
        return asked.path();
    }
    // Another node's, of the same name, finds that its own was taken away.
    static new_file begin(const fs::path& part) {
        remove(part); // of a backup that was cut short
        return new_file(part);
    }
    void end() noexcept {
        part_file_.close();
        if (part_.is_there()) remove(part_.path());
    }
    static void remove(const fs::path& part) noexcept {
        std::error_code ignored;
        for (const char* suffix : {"", "-wal", "-journal"}) fs::remove(part.string() + suffix, ignored);
    }
};

// Invariants:
// 1. `pending` of all collections is what was appended and is not in the file; it leaves only after a commit.
// 2. Everything else in memory is as in the file: it changes only after the commit that changes the file.
// 3. Outside the member functions no transaction is open.
class sqlite_file final : public storage {
public:
    sqlite_file(const std::string& path, durability level) : level_(level), db_(path) {
        if (level == durability::none) db_.fail("open", "the level of durability must be relaxed or full");
        try {
            open();
        } catch (...) {
            db_.abandon();
            throw;
        }
    }

    durability level() const override { return level_; }

    stored_node load() override {
        db_.check_usable("load", !loaded_, "loaded before");
        hardened("load", [&] {
            db_.write("load", [&] { write_node(id_, in_use(), collections_.size()); });
            // Bounds what the next recovery reads, and writes anew what an fsync may have failed to write.
            db_.execute("load", "PRAGMA wal_checkpoint(TRUNCATE)");
        });
        loaded_ = true;
        return std::move(found_);
    }

    void set_id(replica_id id) override {
        check_loaded("set_id");
        hardened("set_id", [&] { db_.write("set_id", [&] { write_node(id, in_use_as_own(), collections_.size()); }); });
        id_ = id;
        copy_ = false;
    }

    std::uint32_t attach(std::string_view name, std::uint64_t fingerprint) override {
        check_loaded("attach");
        for (std::uint32_t i = 0; i < collections_.size(); ++i) {
            if (collections_[i].name != name) continue;
            if (collections_[i].fingerprint == fingerprint) return i;
            db_.fail("attach", fmt::format("collection '{}' is stored with another type", name));
        }
        auto number = static_cast<std::uint32_t>(collections_.size());
        if (number == max_collections) db_.fail("attach", "too many collections");
        held_collection added{std::string(name), fingerprint};
        added.log_checksum = added.base();
        collections_.reserve(number + 1);
        db_.write("attach", [&] {
            write_collection(number, added, 0, added.log_checksum);
            write_node(id_, in_use(), number + 1);
        });
        collections_.push_back(std::move(added));
        return number;
    }

    void append(std::uint32_t collection, std::span<const std::byte> record) override {
        check_collection("append", collection);
        bytes& out = collections_[collection].pending;
        std::size_t before = out.size();
        try {
            put_length(out, record.size());
            out.insert(out.end(), record.begin(), record.end());
        } catch (...) {
            out.resize(before);
            throw;
        }
        ++stats_.appends;
    }

    void sync() override {
        check_loaded("sync");
        if (nothing_pending()) return;
        db_.write("sync", [&] { write_pending(); });
        pending_is_written();
        ++stats_.syncs;
    }

    void harden() override {
        check_loaded("harden");
        hardened("harden", [&] {
            db_.write("harden", [&] { // with the node's row, so that there is something to commit
                write_pending();
                write_node(id_, in_use(), collections_.size());
            });
        });
        pending_is_written();
        ++stats_.syncs;
    }

    void compact(std::uint32_t collection, std::span<const std::byte> snapshot) override {
        check_collection("compact", collection);
        std::uint64_t checksum = 0;
        hardened("compact", [&] {
            db_.write("compact", [&] {
                write_pending();
                checksum = replace(collection, snapshot);
            });
        });
        pending_is_written();
        replaced(collection, checksum);
        give_back();
    }

    void rebase(replica_id id, std::span<const std::pair<std::uint32_t, std::vector<std::byte>>> snapshots) override {
        check_loaded("rebase");
        for (const auto& given : snapshots) check_collection("rebase", given.first);
        std::vector<std::uint64_t> checksums;
        checksums.reserve(snapshots.size());
        hardened("rebase", [&] {
            db_.write("rebase", [&] {
                write_pending();
                for (const auto& [collection, snapshot] : snapshots) checksums.push_back(replace(collection, snapshot));
                write_node(id, in_use_as_own(), collections_.size());
            });
        });
        pending_is_written();
        id_ = id;
        copy_ = false;
        for (std::size_t i = 0; i < snapshots.size(); ++i) replaced(snapshots[i].first, checksums[i]);
        give_back();
    }

    void close() override {
        check_loaded("close");
        db_.write("close", [&] {
            write_pending();
            write_node(id_, copy_ ? copied : 0, collections_.size());
        });
        end_backup();
        release_statements();
        db_.close_cleanly();
    }

    std::unique_ptr<storage_backup> back_up(const std::string& path) override {
        check_loaded("back up");
        if (!backing_up_.expired()) db_.fail("back up", "another backup is being made");
        auto backup = std::make_unique<file_backup>(db_, path);
        backup_ = backup->pages();
        backing_up_ = backup->under_way();
        return backup;
    }

    statistics stats() const override {
        statistics all = stats_;
        all.bytes_written = db_.bytes_written();
        return all;
    }

    const stored_node* found() const override { return loaded_ ? nullptr : &found_; }
    std::string name() const override { return fmt::format("sqlite_storage '{}'", db_.path().string()); }

    ~sqlite_file() override {
        end_backup();
        release_statements();
        if (!loaded_) db_.abandon();
    }
    sqlite_file(const sqlite_file&) = delete;
    sqlite_file& operator=(const sqlite_file&) = delete;

private:
    struct held_collection {
        std::string name;
        std::uint64_t fingerprint = 0;
        std::uint64_t log_checksum = 0; // of the log's last part, or of the snapshot before the first one
        std::uint64_t log_parts = 0;
        bytes pending = {};
        std::uint64_t pending_checksum = 0, pending_parts = 0; // what the two above become with the commit

        /// Where the chain of checksums begins.
        std::uint64_t base() const {
            return chain(fingerprint, name.size(), std::as_bytes(std::span(name.data(), name.size())));
        }
    };

    durability level_;
    connection db_;
    statement put_node_, put_collection_, put_snapshot_, put_log_, drop_snapshot_, drop_log_;
    bool loaded_ = false;
    bool copy_ = false; // the id is another storage's
    std::uint32_t mark_ = 0;
    std::optional<replica_id> id_;
    std::vector<held_collection> collections_;
    stored_node found_; // until `load`
    statistics stats_;
    std::weak_ptr<page_copy> backup_;
    std::weak_ptr<const void> backing_up_;

    void end_backup() noexcept {
        if (const auto pages = backup_.lock()) pages->end();
    }

    void check_loaded(std::string_view operation) const { db_.check_usable(operation, loaded_, "load comes first"); }
    void check_collection(std::string_view operation, std::uint32_t number) const {
        check_loaded(operation);
        if (number >= collections_.size()) db_.fail(operation, fmt::format("no collection {}", number));
    }

    /// Runs f, whose commits outlive the machine's power at every level. After an exception so do all that follow,
    /// until the next call: that is slower, and right.
    template <class F> void hardened(std::string_view operation, F&& f) {
        if (level_ == durability::full) return f();
        db_.synchronous(operation, true);
        f();
        db_.synchronous(operation, false);
    }

    // ---- writing, within a transaction --------------------------------------------------------------

    std::int64_t in_use() const { return copy_ ? copied : in_use_as_own(); }
    std::int64_t in_use_as_own() const { return level_ == durability::full ? unclean_full : unclean_relaxed; }

    void write_node(std::optional<replica_id> id, std::int64_t state, std::uint64_t count) {
        run_put_node(db_, put_node_, id, state, count, mark_);
    }

    void write_collection(std::uint32_t number, const held_collection& c, std::uint64_t snapshot_size,
                          std::uint64_t checksum) {
        put_collection_.bind(1, number);
        put_collection_.bind(2, stored(c.fingerprint));
        put_collection_.bind(3, stored(snapshot_size));
        put_collection_.bind(4, stored(checksum ^ mark_sum(mark_)));
        put_collection_.bind(5, std::as_bytes(std::span(c.name.data(), c.name.size())));
        db_.run(put_collection_);
    }

    bool nothing_pending() const {
        return std::all_of(collections_.begin(), collections_.end(),
                           [](const held_collection& c) { return c.pending.empty(); });
    }

    void write_pending() {
        for (std::uint32_t i = 0; i < collections_.size(); ++i) {
            held_collection& c = collections_[i];
            c.pending_checksum = c.log_checksum;
            c.pending_parts = c.log_parts;
            for_each_part(c.pending, [&](std::uint64_t, std::span<const std::byte> part) {
                std::int64_t key = part_key(i, c.pending_parts++);
                c.pending_checksum = chain(c.pending_checksum, unstored(key), part);
                put_log_.bind(1, key);
                put_log_.bind(2, stored(c.pending_checksum ^ mark_sum(mark_)));
                put_log_.bind(3, part);
                db_.run(put_log_);
            });
        }
    }

    void pending_is_written() {
        for (held_collection& c : collections_) {
            if (c.pending.empty()) continue;
            c.log_checksum = c.pending_checksum;
            c.log_parts = c.pending_parts;
            // Keeps the room of ordinary groups, and gives that of a rare huge one back.
            if (c.pending.capacity() > 4 * part_size)
                bytes().swap(c.pending);
            else
                c.pending.clear();
        }
    }

    /// Replaces snapshot and log of a collection. The new checksum of the snapshot.
    std::uint64_t replace(std::uint32_t number, std::span<const std::byte> snapshot) {
        // First the deletions: the new snapshot takes the pages of the old one.
        for (statement* drop : {&drop_log_, &drop_snapshot_}) {
            drop->bind(1, part_key(number, 0));
            drop->bind(2, part_key(number + 1, 0));
            db_.run(*drop);
        }
        const held_collection& c = collections_[number];
        std::uint64_t checksum = snapshot.empty() ? c.base() : chain(c.base(), snapshot.size(), {});
        for_each_part(snapshot, [&](std::uint64_t position, std::span<const std::byte> part) {
            checksum = chain(checksum, position, part);
            put_snapshot_.bind(1, part_key(number, position));
            put_snapshot_.bind(2, part);
            db_.run(put_snapshot_);
        });
        write_collection(number, c, snapshot.size(), checksum);
        return checksum;
    }

    void replaced(std::uint32_t number, std::uint64_t checksum) {
        collections_[number].log_checksum = checksum;
        collections_[number].log_parts = 0;
        ++stats_.compactions;
    }

    /// Shortens the file when more than half of it is unused. Only a wish: the compaction is done.
    void give_back() {
        try {
            std::int64_t unused = db_.query("compact", "PRAGMA freelist_count");
            if (unused < 256 || unused < db_.query("compact", "PRAGMA page_count") / 2) return;
            db_.write("compact", [&] { db_.execute("compact", "PRAGMA incremental_vacuum"); });
        } catch (const storage_error&) {
            // The file keeps its unused pages, and later compactions use them.
        }
    }

    // ---- opening ------------------------------------------------------------------------------------

    void open() {
        std::uint32_t version = 0;
        if (db_.open()) {
            version = static_cast<std::uint32_t>(db_.query("open", "PRAGMA user_version"));
            if (format_of(version) > format_version)
                db_.fail("open", fmt::format("written by a newer version (format {})", format_of(version)));
            mark_ = mark_of(version);
            if (db_.version_in_file() != 0 && mark_of(db_.version_in_file()) != mark_)
                db_.fail("open", "corrupt: its write-ahead log belongs to another file");
        }
        if (version == 0)
            create();
        else
            read();
        db_.use_wal();
        db_.synchronous("open", level_ == durability::full);
        prepare();
    }

    void create() {
        // Creation that was cut short left one page without tables.
        if (db_.query("create", "PRAGMA page_count") > 1 ||
            db_.query("create", "SELECT count(*) FROM sqlite_schema") != 0)
            db_.fail("create", "corrupt: tables without a format version");
        db_.execute("create", "PRAGMA synchronous = EXTRA; PRAGMA journal_mode = WAL; BEGIN IMMEDIATE");
        for (const table& t : schema) db_.execute("create", t.sql);
        mark_ = random_mark();
        const auto sum = stored(node_checksum({}, 0, 0, mark_));
        db_.execute("create", fmt::format("INSERT INTO node VALUES (1, NULL, 0, 0, {})", sum).c_str());
        db_.execute("create", set_version(mark_).c_str());
        // With the checkpoint the file itself says that it has tables, whatever happens to the WAL.
        db_.execute("create", "COMMIT; PRAGMA wal_checkpoint(TRUNCATE); PRAGMA synchronous = FULL");
    }

    void prepare() {
        put_node_ = db_.prepare(put_node);
        put_collection_ = db_.prepare("REPLACE INTO collection VALUES (?1, ?2, ?3, ?4, ?5)");
        put_snapshot_ = db_.prepare("INSERT INTO snapshot VALUES (?1, ?2)");
        put_log_ = db_.prepare("INSERT INTO log VALUES (?1, ?2, ?3)");
        drop_snapshot_ = db_.prepare("DELETE FROM snapshot WHERE key >= ?1 AND key < ?2");
        drop_log_ = db_.prepare("DELETE FROM log WHERE key >= ?1 AND key < ?2");
    }

    void release_statements() noexcept {
        for (statement* s : {&put_node_, &put_collection_, &put_snapshot_, &put_log_, &drop_snapshot_, &drop_log_})
            *s = statement();
    }

    // Reads and verifies everything.
    void read() {
        auto corrupt = [&](std::string_view what) { db_.fail("open", fmt::format("corrupt: {}", what)); };
        {
            statement check = db_.prepare("PRAGMA quick_check(1)");
            if (check.step() != step_result::row) db_.fail_with_sqlite("open");
            if (check.text(0) != "ok") corrupt(in_one_line(check.text(0)));
        }
        {
            statement tables = db_.prepare("SELECT type, name, sql FROM sqlite_schema ORDER BY rowid");
            for (const table& t : schema) {
                if (tables.step() != step_result::row || tables.text(0) != "table" || tables.text(1) != t.name ||
                    tables.text(2) != t.sql)
                    corrupt("the tables are not as they were created");
            }
            if (tables.step() != step_result::done) corrupt("there are more tables than were created");
        }

        statement node = db_.prepare("SELECT id, state, collections, checksum, one FROM node");
        if (node.step() != step_result::row) corrupt("no row in node");
        if (!node.is_null(0)) id_ = replica_id(unstored(node.integer(0)));
        std::int64_t state = node.integer(1);
        std::uint64_t count = unstored(node.integer(2));
        // In another row than where it is written, it would be there twice from then on.
        if (unstored(node.integer(3)) != node_checksum(id_, state, count, mark_) || node.integer(4) != 1 ||
            node.step() != step_result::done)
            corrupt("checksum of node");
        // It was made, durably, before the file said so.
        if ((state == unclean_full || state == unclean_relaxed) && !db_.had_wal())
            corrupt("it was not closed, and its write-ahead log is missing");
        if (state == unclean_full && !verify_wal(db_.wal_path())) corrupt("damage within the write-ahead log");
        found_.id = id_;
        found_.clean = state == 0;
        found_.copy = copy_ = state == copied;

        statement rows = db_.prepare("SELECT number, fingerprint, snapshot_size, checksum, name FROM collection"
                                     " ORDER BY number");
        statement snapshot = db_.prepare("SELECT key, data FROM snapshot ORDER BY key");
        statement log = db_.prepare("SELECT key, data, checksum FROM log ORDER BY key");
        auto readable = unstored(db_.query("open", "PRAGMA page_count") * db_.query("open", "PRAGMA page_size"));
        bool more_snapshot = db_.next("open", snapshot), more_log = db_.next("open", log);
        for (std::uint32_t i = 0; db_.next("open", rows); ++i) {
            if (rows.integer(0) != std::int64_t{i}) corrupt("a collection is missing");
            auto name = rows.blob(4);
            held_collection c{std::string(reinterpret_cast<const char*>(name.data()), name.size()),
                              unstored(rows.integer(1))};
            stored_collection s{c.name, c.fingerprint, {}, {}};

            std::uint64_t size = unstored(rows.integer(2));
            c.log_checksum = size == 0 ? c.base() : chain(c.base(), size, {});
            for (std::uint64_t part = 0; more_snapshot && snapshot.integer(0) == part_key(i, part); ++part) {
                auto data = snapshot.blob(1);
                c.log_checksum = chain(c.log_checksum, part, data);
                if (part == 0 && size <= readable) s.snapshot.reserve(static_cast<std::size_t>(size));
                s.snapshot.insert(s.snapshot.end(), data.begin(), data.end());
                more_snapshot = db_.next("open", snapshot);
            }
            if (s.snapshot.size() != size || c.log_checksum != (unstored(rows.integer(3)) ^ mark_sum(mark_)))
                corrupt("checksum of the snapshot of " + detail::called(c.name, i));

            record_splitter records(s.records);
            for (; more_log && log.integer(0) == part_key(i, c.log_parts); ++c.log_parts) {
                auto data = log.blob(1);
                c.log_checksum = chain(c.log_checksum, unstored(log.integer(0)), data);
                if (c.log_checksum != (unstored(log.integer(2)) ^ mark_sum(mark_)) || !records.add(data))
                    corrupt("checksum of a record of " + detail::called(c.name, i));
                more_log = db_.next("open", log);
            }
            if (!records.whole()) corrupt("the last record of " + detail::called(c.name, i) + " has no end");
            collections_.push_back(std::move(c));
            found_.collections.push_back(std::move(s));
        }
        if (collections_.size() != count) corrupt("a collection is missing");
        if (more_snapshot || more_log) corrupt("content that belongs to no collection");
    }
};

} // namespace

std::unique_ptr<storage> sqlite_storage(const std::string& path, durability level) {
    return std::make_unique<sqlite_file>(path, level);
}

} // namespace joinery
