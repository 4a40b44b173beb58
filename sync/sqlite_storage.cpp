// SPDX-License-Identifier: Apache-2.0

// Storage in an SQLite file.
//
// The file. Header fields application_id ("join") and user_version (the format: 1) say whose it is. Tables:
//
//     node        one row: id, state (0 closed cleanly, 1 in use at level relaxed, 2 at level full),
//                 number of collections
//     collection  number, name, fingerprint and size of the snapshot
//     snapshot    the snapshots, cut into parts
//     log         the records since, cut into parts: each record as a LEB128 length and its bytes, one after
//                 another; a sync writes the records of a collection in as few rows as it can
//
// A part's key is its collection * 2^40 + its position, so that a collection's parts lie together, are read
// in order and are deleted as one range. Numbers from 2^63 on are stored as SQLite's negative integers.
//
// Checksums are XXH3 and form a chain per collection: the collection's row covers name, fingerprint and the
// snapshot; each part of the log covers its bytes, its key and the checksum before. So a part that changed,
// is missing in the middle, moved or is left over from an older snapshot does not verify.
//
// Opening looks before it touches. The header is read without a lock; then SQLite takes its exclusive lock
// on the file, which only ever reads until the content has been verified. SQLite recovers a write-ahead log
// (WAL) in memory then; it moves into the file in `load`. A WAL is cut at its first bad frame without a
// word, since this is how a torn write looks, so frames beyond it are looked at too: `verify_wal`.
// What this cannot see: the last transaction of a WAL damaged (it looks like a torn write), or a WAL or a
// file replaced by an older one of its own. The hello of the sync engine finds these by asking the peers.
//
// The lock is SQLite's own on the file (locking_mode=EXCLUSIVE), which ends with the process. It also keeps
// the WAL's index in memory: there is no -shm file.
//
// An fsync that failed cannot be repeated, because the kernel may have dropped what it could not write. The
// storage is unusable from then on; after opening again `load` writes all that can be read into the file.

#include <joinery/storage.hpp>

#include <sqlite3.h>
#include <xxhash.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <initializer_list>
#include <limits>
#include <utility>

namespace joinery {

namespace {

namespace fs = std::filesystem;
using bytes = std::vector<std::byte>;

constexpr std::uint32_t application_id = 0x6a6f696e; // "join"
constexpr std::int64_t format_version = 1;
constexpr std::int64_t page_size = 4096;
constexpr std::size_t part_size = 256 * 1024;
constexpr int position_bits = 40;
constexpr std::uint32_t max_collections = (1u << 23) - 1;
constexpr std::int64_t unclean_relaxed = 1, unclean_full = 2;

struct table {
    const char* name;
    const char* sql;
};
constexpr table schema[] = {
    {"node", "CREATE TABLE node (one INTEGER PRIMARY KEY, id INTEGER, state INTEGER NOT NULL, "
             "collections INTEGER NOT NULL, checksum INTEGER NOT NULL)"},
    {"collection", "CREATE TABLE collection (number INTEGER PRIMARY KEY, fingerprint INTEGER NOT NULL, "
                   "snapshot_size INTEGER NOT NULL, checksum INTEGER NOT NULL, name BLOB NOT NULL)"},
    {"snapshot", "CREATE TABLE snapshot (key INTEGER PRIMARY KEY, data BLOB NOT NULL)"},
    {"log", "CREATE TABLE log (key INTEGER PRIMARY KEY, checksum INTEGER NOT NULL, data BLOB NOT NULL)"},
};

std::string concat(std::initializer_list<std::string_view> parts) {
    std::string result;
    for (auto part : parts) result.append(part);
    return result;
}

std::int64_t stored(std::uint64_t value) { return static_cast<std::int64_t>(value); }
std::uint64_t unstored(std::int64_t value) { return static_cast<std::uint64_t>(value); }

std::int64_t part_key(std::uint32_t collection, std::uint64_t position) {
    return stored((std::uint64_t{collection} << position_bits) | position);
}

std::uint64_t chain(std::uint64_t previous, std::uint64_t key, std::span<const std::byte> data) {
    std::array<unsigned char, 16> words{};
    for (unsigned i = 0; i < 8; ++i) {
        words[i] = static_cast<unsigned char>(previous >> (8 * i));
        words[8 + i] = static_cast<unsigned char>(key >> (8 * i));
    }
    return XXH3_64bits_withSeed(data.data(), data.size(), XXH3_64bits(words.data(), words.size()));
}

/// Calls f(position, part) for the parts of `data`.
template <class F> void for_each_part(std::span<const std::byte> data, F&& f) {
    for (std::uint64_t position = 0; !data.empty(); ++position) {
        std::size_t n = std::min(part_size, data.size());
        f(position, data.first(n));
        data = data.subspan(n);
    }
}

void put_length(bytes& out, std::uint64_t n) {
    for (; n >= 0x80; n >>= 7) out.push_back(static_cast<std::byte>(n | 0x80));
    out.push_back(static_cast<std::byte>(n));
}

/// Takes whole records off a stream of parts. A record may begin in one part and end in another.
class record_splitter {
public:
    explicit record_splitter(std::vector<bytes>& out) : out_(out) {}

    /// False if a length is not possible.
    bool add(std::span<const std::byte> part) {
        while (!part.empty()) {
            if (in_body_) {
                auto n = static_cast<std::size_t>(std::min<std::uint64_t>(wanted_, part.size()));
                out_.back().insert(out_.back().end(), part.begin(), part.begin() + stored(n));
                part = part.subspan(n);
                wanted_ -= n;
            } else {
                auto b = static_cast<std::uint64_t>(part.front());
                part = part.subspan(1);
                if (shift_ > 56) return false;
                wanted_ |= (b & 0x7f) << shift_;
                shift_ += 7;
                if (b & 0x80) continue;
                out_.emplace_back();
                out_.back().reserve(static_cast<std::size_t>(std::min<std::uint64_t>(wanted_, part.size())));
                in_body_ = true;
            }
            if (wanted_ == 0) {
                in_body_ = false;
                shift_ = 0;
            }
        }
        return true;
    }
    /// True between two records.
    bool whole() const { return !in_body_ && shift_ == 0; }

private:
    std::vector<bytes>& out_;
    std::uint64_t wanted_ = 0;
    unsigned shift_ = 0;
    bool in_body_ = false;
};

std::uint32_t big_endian(const unsigned char* p) {
    return std::uint32_t{p[0]} << 24 | std::uint32_t{p[1]} << 16 | std::uint32_t{p[2]} << 8 | p[3];
}

using wal_checksum = std::pair<std::uint32_t, std::uint32_t>;

// The checksum of SQLite's WAL format (fileformat2.html, section 4.2); n is a multiple of 8.
wal_checksum add_to(wal_checksum sum, const unsigned char* p, std::size_t n, bool big) {
    auto word = [big](const unsigned char* q) {
        if (big) return big_endian(q);
        return std::uint32_t{q[3]} << 24 | std::uint32_t{q[2]} << 16 | std::uint32_t{q[1]} << 8 | q[0];
    };
    for (std::size_t i = 0; i < n; i += 8) {
        sum.first += word(p + i) + sum.second;
        sum.second += word(p + i + 4) + sum.first;
    }
    return sum;
}

/// False if a transaction that had been synced is damaged. Requires that each transaction was synced before
/// the next one was written (level full).
///
/// SQLite ends at the first frame that does not verify. If it is torn, then it belongs to the last
/// transaction, and nothing of a later one can follow. So the frames that follow are chained on, from what
/// the bad frame says its checksum is and from what it ought to be; frames that fit and come after a commit
/// prove the damage. Frames of an earlier use of the file have other salts and do not fit.
bool verify_wal(const fs::path& path) {
    std::ifstream in(path, std::ios::binary);
    std::array<unsigned char, 32> header{};
    in.read(reinterpret_cast<char*>(header.data()), header.size());
    if (in.gcount() < stored(header.size())) return true; // not a frame in it
    std::uint32_t magic = big_endian(&header[0]), size = big_endian(&header[8]);
    bool big = magic & 1;
    wal_checksum sum = add_to({0, 0}, header.data(), 24, big);
    bool good_header = (magic & ~1u) == 0x377f0682 && big_endian(&header[4]) == 3007000 && size >= 512 &&
                       size <= 65536 && sum == wal_checksum{big_endian(&header[24]), big_endian(&header[28])};
    // SQLite syncs the header before it writes the first frame.
    if (!good_header) return in.peek() == std::ifstream::traits_type::eof();

    std::vector<unsigned char> frame(24 + std::size_t{size});
    wal_checksum said = sum, expected = sum; // after the frame before
    bool broken = false, committed = false;  // a bad frame was met; a commit since, that one included
    while (in.read(reinterpret_cast<char*>(frame.data()), stored(frame.size()))) {
        wal_checksum own{big_endian(&frame[16]), big_endian(&frame[20])};
        auto after = [&](wal_checksum before) {
            return add_to(add_to(before, frame.data(), 8, big), frame.data() + 24, size, big);
        };
        bool same_salts = std::memcmp(&frame[8], &header[16], 8) == 0;
        wal_checksum after_said = after(said);
        bool fits = after_said == own || (said != expected && after(expected) == own);
        // Only damage to the salts themselves makes a frame fit that has others.
        if (fits && (broken ? same_salts && committed : !same_salts)) return false;
        if (!fits) broken = true;
        if (broken && same_salts && big_endian(&frame[4]) != 0) committed = true;
        expected = after_said;
        said = own;
    }
    return true;
}

class statement {
public:
    statement() = default;
    statement(sqlite3* db, const char* sql) {
        // A failure shows as a null handle, which the first step reports.
        sqlite3_prepare_v3(db, sql, -1, SQLITE_PREPARE_PERSISTENT, &handle_, nullptr);
    }
    ~statement() { sqlite3_finalize(handle_); }
    statement(statement&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
    statement& operator=(statement&& other) noexcept {
        std::swap(handle_, other.handle_);
        return *this;
    }

    void bind(int i, std::int64_t value) { sqlite3_bind_int64(handle_, i, value); }
    void bind(int i, std::span<const std::byte> value) {
        // A null pointer would bind NULL.
        sqlite3_bind_blob64(handle_, i, value.empty() ? static_cast<const void*>("") : value.data(), value.size(),
                            SQLITE_STATIC);
    }
    void bind_null(int i) { sqlite3_bind_null(handle_, i); }
    int step() { return handle_ ? sqlite3_step(handle_) : SQLITE_ERROR; }
    void reset() {
        sqlite3_reset(handle_);
        sqlite3_clear_bindings(handle_);
    }

    bool is_null(int column) const { return sqlite3_column_type(handle_, column) == SQLITE_NULL; }
    std::int64_t integer(int column) const { return sqlite3_column_int64(handle_, column); }
    std::span<const std::byte> blob(int column) const {
        auto data = static_cast<const std::byte*>(sqlite3_column_blob(handle_, column));
        return {data, data ? static_cast<std::size_t>(sqlite3_column_bytes(handle_, column)) : 0};
    }
    std::string_view text(int column) const {
        auto data = reinterpret_cast<const char*>(sqlite3_column_text(handle_, column));
        return {data ? data : "", data ? static_cast<std::size_t>(sqlite3_column_bytes(handle_, column)) : 0};
    }

private:
    sqlite3_stmt* handle_ = nullptr;
};

// Invariants:
// 1. `pending` of all collections is what was appended and is not in the file; it leaves only after a commit.
// 2. Everything else in memory is as in the file: it changes only after the commit that changes the file.
// 3. Outside the member functions no transaction is open.
class sqlite_file final : public storage {
public:
    sqlite_file(const std::string& path, durability level) : level_(level), path_(absolute(path)) {
        if (level == durability::none) fail("open", "the level of durability must be relaxed or full");
        std::error_code ignored;
        fs::file_status status = fs::status(path_, ignored);
        if (fs::exists(status) && !fs::is_regular_file(status)) fail("open", "not a regular file");
        try {
            open();
        } catch (...) {
            let_go();
            throw;
        }
    }

    ~sqlite_file() override { end(); }

    durability level() const override { return level_; }

    stored_node load() override {
        check_usable("load", !loaded_, "loaded before");
        synchronous("load", true);
        write("load", [&] { write_node(id_, in_use(), collections_.size()); });
        // Bounds what the next recovery reads, and writes anew what an fsync may have failed to write.
        execute("load", "PRAGMA wal_checkpoint(TRUNCATE)");
        synchronous("load", level_ == durability::full);
        loaded_ = true;
        return std::move(found_);
    }

    void set_id(replica_id id) override {
        check_loaded("set_id");
        synchronous("set_id", true);
        write("set_id", [&] { write_node(id, in_use(), collections_.size()); });
        synchronous("set_id", level_ == durability::full);
        id_ = id;
    }

    std::uint32_t attach(std::string_view name, std::uint64_t fingerprint) override {
        check_loaded("attach");
        for (std::uint32_t i = 0; i < collections_.size(); ++i) {
            if (collections_[i].name != name) continue;
            if (collections_[i].fingerprint == fingerprint) return i;
            fail("attach", concat({"collection '", name, "' is stored with another type"}));
        }
        auto number = static_cast<std::uint32_t>(collections_.size());
        if (number == max_collections) fail("attach", "too many collections");
        held_collection added{std::string(name), fingerprint};
        added.log_checksum = added.base();
        collections_.reserve(number + 1);
        write("attach", [&] {
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
        write("sync", [&] { write_pending(); });
        pending_is_written();
        ++stats_.syncs;
    }

    void compact(std::uint32_t collection, std::span<const std::byte> snapshot) override {
        check_collection("compact", collection);
        std::uint64_t checksum = 0;
        write("compact", [&] {
            write_pending();
            checksum = replace(collection, snapshot);
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
        write("rebase", [&] {
            write_pending();
            for (const auto& [collection, snapshot] : snapshots) checksums.push_back(replace(collection, snapshot));
            write_node(id, in_use(), collections_.size());
        });
        pending_is_written();
        id_ = id;
        for (std::size_t i = 0; i < snapshots.size(); ++i) replaced(snapshots[i].first, checksums[i]);
        give_back();
    }

    void close() override {
        check_loaded("close");
        write("close", [&] {
            write_pending();
            write_node(id_, 0, collections_.size());
        });
        // Now SQLite moves the WAL into the file and removes it. If it cannot, the next opening recovers it.
        sqlite3_db_config(db_, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 0, nullptr);
        end();
    }

    statistics stats() const override { return stats_; }

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
    fs::path path_;
    bool had_wal_ = false;
    sqlite3* db_ = nullptr;
    statement begin_, commit_, rollback_, put_node_, put_collection_, put_snapshot_, put_log_, drop_snapshot_,
        drop_log_;
    bool loaded_ = false;
    std::string broken_; // why nothing works any more, if so
    std::optional<replica_id> id_;
    std::vector<held_collection> collections_;
    stored_node found_; // until `load`
    statistics stats_;

    // ---- errors -------------------------------------------------------------------------------------

    [[noreturn]] void fail(std::string_view operation, std::string_view reason) const {
        throw storage_error(concat({"sqlite_storage: ", operation, " '", path_.string(), "': ", reason}));
    }

    [[noreturn]] void fail_with_sqlite(std::string_view operation) {
        int code = sqlite3_extended_errcode(db_), number = sqlite3_system_errno(db_);
        if (number == 0) number = errno; // SQLite does not keep it when a COMMIT fails
        std::string reason = sqlite3_errmsg(db_);
        if ((code & 0xff) == SQLITE_BUSY) reason = "held by another storage or process";
        if (number != 0 && ((code & 0xff) == SQLITE_IOERR || (code & 0xff) == SQLITE_CANTOPEN))
            reason = concat({reason, " (", std::generic_category().message(number), ")"});
        bool lost_writes = code == SQLITE_IOERR_FSYNC || code == SQLITE_IOERR_DIR_FSYNC;
        bool damaged = (code & 0xff) == SQLITE_CORRUPT || (code & 0xff) == SQLITE_NOTADB;
        if (lost_writes || damaged) broken_ = reason;
        fail(operation, reason);
    }

    void check_usable(std::string_view operation, bool state = true, std::string_view reason = {}) const {
        if (!db_) fail(operation, "closed");
        if (!broken_.empty()) fail(operation, concat({"an earlier error was final: ", broken_}));
        if (!state) fail(operation, reason);
    }
    void check_loaded(std::string_view operation) const { check_usable(operation, loaded_, "load comes first"); }
    void check_collection(std::string_view operation, std::uint32_t number) const {
        check_loaded(operation);
        if (number >= collections_.size()) fail(operation, concat({"no collection ", std::to_string(number)}));
    }

    // ---- SQLite -------------------------------------------------------------------------------------

    void execute(std::string_view operation, const char* sql) {
        errno = 0;
        if (sqlite3_exec(db_, sql, nullptr, nullptr, nullptr) != SQLITE_OK) fail_with_sqlite(operation);
    }

    /// Runs a statement without rows to its end.
    void run(std::string_view operation, statement& s) {
        errno = 0;
        int code = s.step();
        if (code != SQLITE_DONE && code != SQLITE_ROW) {
            try {
                fail_with_sqlite(operation);
            } catch (...) {
                s.reset();
                throw;
            }
        }
        s.reset();
    }

    std::int64_t query(std::string_view operation, const char* sql) {
        statement s(db_, sql);
        if (s.step() != SQLITE_ROW) fail_with_sqlite(operation);
        return s.integer(0);
    }

    /// `body` in a transaction: all of it is in the file when this returns, nothing when it throws.
    template <class F> void write(std::string_view operation, F&& body) {
        operation_ = operation;
        run(operation, begin_);
        try {
            body();
            run(operation, commit_);
        } catch (...) {
            // SQLite may have rolled back already. If neither it nor this can, the transaction stays open.
            if (!sqlite3_get_autocommit(db_)) {
                int code = rollback_.step();
                rollback_.reset();
                if (code != SQLITE_DONE) broken_ = "a transaction could not be rolled back";
            }
            count_pages();
            throw;
        }
        count_pages();
    }
    std::string_view operation_; // of the current `write`

    void synchronous(std::string_view operation, bool full) {
        execute(operation, full ? "PRAGMA synchronous = FULL" : "PRAGMA synchronous = NORMAL");
    }

    void count_pages() {
        int pages = 0, unused = 0;
        if (sqlite3_db_status(db_, SQLITE_DBSTATUS_CACHE_WRITE, &pages, &unused, 1) == SQLITE_OK)
            stats_.bytes_written += static_cast<std::uint64_t>(pages) * (page_size + 24);
    }

    // ---- writing, within a transaction --------------------------------------------------------------

    std::int64_t in_use() const { return level_ == durability::full ? unclean_full : unclean_relaxed; }

    static std::uint64_t node_checksum(std::optional<replica_id> id, std::int64_t state, std::uint64_t count) {
        std::uint64_t first = chain(unstored(state), count, {});
        return chain(first, id ? id->value() : 0, std::as_bytes(std::span("id", id ? 2 : 0)));
    }

    void write_node(std::optional<replica_id> id, std::int64_t state, std::uint64_t count) {
        if (id)
            put_node_.bind(1, stored(id->value()));
        else
            put_node_.bind_null(1);
        put_node_.bind(2, state);
        put_node_.bind(3, stored(count));
        put_node_.bind(4, stored(node_checksum(id, state, count)));
        run(operation_, put_node_);
    }

    void write_collection(std::uint32_t number, const held_collection& c, std::uint64_t snapshot_size,
                          std::uint64_t checksum) {
        put_collection_.bind(1, number);
        put_collection_.bind(2, stored(c.fingerprint));
        put_collection_.bind(3, stored(snapshot_size));
        put_collection_.bind(4, stored(checksum));
        put_collection_.bind(5, std::as_bytes(std::span(c.name.data(), c.name.size())));
        run(operation_, put_collection_);
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
                put_log_.bind(2, stored(c.pending_checksum));
                put_log_.bind(3, part);
                run(operation_, put_log_);
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
            run(operation_, *drop);
        }
        const held_collection& c = collections_[number];
        std::uint64_t checksum = snapshot.empty() ? c.base() : chain(c.base(), snapshot.size(), {});
        for_each_part(snapshot, [&](std::uint64_t position, std::span<const std::byte> part) {
            checksum = chain(checksum, position, part);
            put_snapshot_.bind(1, part_key(number, position));
            put_snapshot_.bind(2, part);
            run(operation_, put_snapshot_);
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
            std::int64_t unused = query("compact", "PRAGMA freelist_count");
            if (unused < 256 || unused < query("compact", "PRAGMA page_count") / 2) return;
            operation_ = "compact";
            write("compact", [&] { execute("compact", "PRAGMA incremental_vacuum"); });
        } catch (const storage_error&) {
            // The file keeps its unused pages, and later compactions use them.
        }
    }

    // ---- opening ------------------------------------------------------------------------------------

    static fs::path absolute(const std::string& path) {
        // An absolute path is never a URI nor ":memory:" to SQLite, and outlives a change of directory.
        if (path.empty() || path.find('\0') != std::string::npos)
            throw storage_error("sqlite_storage: open: the path is empty or contains a zero byte");
        std::error_code error;
        fs::path result = fs::absolute(path, error);
        if (error) throw storage_error(concat({"sqlite_storage: open '", path, "': ", error.message()}));
        return result;
    }

    fs::path beside(const char* suffix) const {
        // SQLite's name of the file: its own files lie there, not beside a symbolic link to it.
        return concat({sqlite3_db_filename(db_, "main"), suffix});
    }
    fs::path wal_path() const { return beside("-wal"); }

    static bool has_content(const fs::path& path) {
        std::error_code error;
        auto size = fs::file_size(path, error);
        return !error && size > 0;
    }

    void open() {
        int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX;
        int code = sqlite3_open_v2(path_.c_str(), &db_, flags, nullptr);
        if (!db_) fail("open", "no memory");
        sqlite3_extended_result_codes(db_, 1);
        if (code != SQLITE_OK) fail_with_sqlite("open");
        if (sqlite3_db_readonly(db_, "main") == 1) fail("open", "the file cannot be written");
        sqlite3_db_config(db_, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, nullptr);
        sqlite3_db_config(db_, SQLITE_DBCONFIG_DEFENSIVE, 1, nullptr);
        sqlite3_db_config(db_, SQLITE_DBCONFIG_ENABLE_TRIGGER, 0, nullptr);
        sqlite3_db_config(db_, SQLITE_DBCONFIG_ENABLE_VIEW, 0, nullptr);

        std::error_code ignored;
        had_wal_ = fs::exists(wal_path(), ignored);
        bool is_new = look();
        execute("open", "PRAGMA locking_mode = EXCLUSIVE; PRAGMA trusted_schema = OFF;"
                        "PRAGMA cell_size_check = ON; PRAGMA mmap_size = 0; PRAGMA secure_delete = OFF;"
                        "PRAGMA temp_store = MEMORY; PRAGMA fullfsync = ON; PRAGMA checkpoint_fullfsync = ON;"
                        "PRAGMA wal_autocheckpoint = 1000; PRAGMA journal_size_limit = 4194304;");
        if (is_new) {
            // The settings of the file are decided with its first page, which is all that this writes. EXTRA:
            // a journal whose removal is lost would take back what the WAL holds by then.
            execute("create",
                    concat({"PRAGMA page_size = ", std::to_string(page_size), "; PRAGMA synchronous = EXTRA; BEGIN"})
                        .c_str());
            if (query("create", "PRAGMA page_count") != 0) fail("create", "created by another process too");
            execute("create", concat({"PRAGMA auto_vacuum = INCREMENTAL; PRAGMA application_id = ",
                                      std::to_string(application_id), "; COMMIT"})
                                  .c_str());
            create();
        } else {
            execute("open", "BEGIN EXCLUSIVE; COMMIT"); // the lock stays
            std::int64_t version = query("open", "PRAGMA user_version");
            if (version > format_version || version < 0)
                fail("open", concat({"written by a newer version (format ", std::to_string(version), ")"}));
            if (version == 0)
                create();
            else
                read();
        }
        // Ordinarily it is WAL already; a file that was copied by SQLite's VACUUM INTO is not.
        statement mode(db_, "PRAGMA journal_mode = WAL");
        if (mode.step() != SQLITE_ROW) fail_with_sqlite("open");
        if (mode.text(0) != "wal") fail("open", "the file system cannot hold a write-ahead log");
        mode = statement();
        prepare();
    }

    /// Reads the header of the file, and nothing is written or locked. True for a file that is to be created.
    /// A journal (not a WAL) exists only while the first page is written and while WAL mode is set.
    bool look() {
        // Only through SQLite: to close a second descriptor of a locked file would release its locks.
        sqlite3_file* file = nullptr;
        sqlite3_file_control(db_, "main", SQLITE_FCNTL_FILE_POINTER, &file);
        std::error_code error;
        auto size = static_cast<sqlite3_int64>(fs::file_size(path_, error));
        if (error || !file || !file->pMethods) fail("open", concat({"no size: ", error.message()}));
        bool journal = has_content(beside("-journal"));
        if (size == 0) {
            if (has_content(wal_path())) fail("open", "the file is empty, but its write-ahead log is not");
            return true;
        }
        std::array<unsigned char, 100> header{};
        auto n = static_cast<int>(std::min<sqlite3_int64>(size, stored(header.size())));
        if (file->pMethods->xRead(file, header.data(), n, 0) != SQLITE_OK) fail("open", "it cannot be read");
        bool blank = std::all_of(header.begin(), header.end(), [](unsigned char c) { return c == 0; });
        // Creation was cut short while the first page was written: SQLite takes it back by the journal.
        if (blank && journal && size <= page_size && !has_content(wal_path())) return true;
        if (size < stored(header.size()) || std::memcmp(header.data(), "SQLite format 3", 16) != 0)
            fail("open", "not an SQLite file");
        if (big_endian(&header[68]) != application_id)
            fail("open", "an SQLite file of another application (application_id)");
        if (header[18] < 1 || header[18] > 2 || header[19] < 1 || header[19] > 2) fail("open", "corrupt header");
        if (journal && size > page_size) fail("open", "a rollback journal of another program lies beside it");
        return false;
    }

    void create() {
        // Creation that was cut short left one page without tables.
        if (query("create", "PRAGMA page_count") > 1 || query("create", "SELECT count(*) FROM sqlite_schema") != 0)
            fail("create", "corrupt: tables without a format version");
        execute("create", "PRAGMA synchronous = EXTRA; PRAGMA journal_mode = WAL; BEGIN IMMEDIATE");
        for (const table& t : schema) execute("create", t.sql);
        std::string node =
            concat({"INSERT INTO node VALUES (1, NULL, 0, 0, ", std::to_string(stored(node_checksum({}, 0, 0))), ")"});
        execute("create", node.c_str());
        execute("create", concat({"PRAGMA user_version = ", std::to_string(format_version)}).c_str());
        // With the checkpoint the file itself says that it has tables, whatever happens to the WAL.
        execute("create", "COMMIT; PRAGMA wal_checkpoint(TRUNCATE); PRAGMA synchronous = FULL");
    }

    void prepare() {
        synchronous("open", level_ == durability::full);
        begin_ = statement(db_, "BEGIN IMMEDIATE");
        commit_ = statement(db_, "COMMIT");
        rollback_ = statement(db_, "ROLLBACK");
        put_node_ = statement(db_, "REPLACE INTO node VALUES (1, ?1, ?2, ?3, ?4)");
        put_collection_ = statement(db_, "REPLACE INTO collection VALUES (?1, ?2, ?3, ?4, ?5)");
        put_snapshot_ = statement(db_, "INSERT INTO snapshot VALUES (?1, ?2)");
        put_log_ = statement(db_, "INSERT INTO log VALUES (?1, ?2, ?3)");
        drop_snapshot_ = statement(db_, "DELETE FROM snapshot WHERE key >= ?1 AND key < ?2");
        drop_log_ = statement(db_, "DELETE FROM log WHERE key >= ?1 AND key < ?2");
        count_pages();
        stats_ = {};
    }

    // Reads and verifies everything.
    void read() {
        auto corrupt = [&](std::string_view what) { fail("open", concat({"corrupt: ", what})); };
        {
            statement check(db_, "PRAGMA quick_check(1)");
            if (check.step() != SQLITE_ROW) fail_with_sqlite("open");
            if (check.text(0) != "ok") corrupt(check.text(0));
        }
        {
            statement tables(db_, "SELECT type, name, sql FROM sqlite_schema ORDER BY rowid");
            for (const table& t : schema) {
                if (tables.step() != SQLITE_ROW || tables.text(0) != "table" || tables.text(1) != t.name ||
                    tables.text(2) != t.sql)
                    corrupt("the tables are not as they were created");
            }
            if (tables.step() != SQLITE_DONE) corrupt("there are more tables than were created");
        }

        statement node(db_, "SELECT id, state, collections, checksum FROM node");
        if (node.step() != SQLITE_ROW) corrupt("no row in node");
        if (!node.is_null(0)) id_ = replica_id(unstored(node.integer(0)));
        std::int64_t state = node.integer(1);
        std::uint64_t count = unstored(node.integer(2));
        if (unstored(node.integer(3)) != node_checksum(id_, state, count) || node.step() != SQLITE_DONE)
            corrupt("checksum of node");
        if (state == unclean_full && !verify_wal(wal_path())) corrupt("damage within the write-ahead log");
        found_.id = id_;
        found_.clean = state == 0;

        statement rows(db_, "SELECT number, fingerprint, snapshot_size, checksum, name FROM collection"
                            " ORDER BY number");
        statement snapshot(db_, "SELECT key, data FROM snapshot ORDER BY key");
        statement log(db_, "SELECT key, data, checksum FROM log ORDER BY key");
        auto readable = unstored(query("open", "PRAGMA page_count") * query("open", "PRAGMA page_size"));
        bool more_snapshot = next(snapshot), more_log = next(log);
        for (std::uint32_t i = 0; next(rows); ++i) {
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
                more_snapshot = next(snapshot);
            }
            if (s.snapshot.size() != size || c.log_checksum != unstored(rows.integer(3)))
                corrupt(concat({"checksum of the snapshot of '", c.name, "'"}));

            record_splitter records(s.records);
            for (; more_log && log.integer(0) == part_key(i, c.log_parts); ++c.log_parts) {
                auto data = log.blob(1);
                c.log_checksum = chain(c.log_checksum, unstored(log.integer(0)), data);
                if (c.log_checksum != unstored(log.integer(2)) || !records.add(data))
                    corrupt(concat({"checksum of a record of '", c.name, "'"}));
                more_log = next(log);
            }
            if (!records.whole()) corrupt(concat({"the last record of '", c.name, "' has no end"}));
            collections_.push_back(std::move(c));
            found_.collections.push_back(std::move(s));
        }
        if (collections_.size() != count) corrupt("a collection is missing");
        if (more_snapshot || more_log) corrupt("content that belongs to no collection");
    }

    bool next(statement& s) {
        int code = s.step();
        if (code != SQLITE_ROW && code != SQLITE_DONE) fail_with_sqlite("open");
        return code == SQLITE_ROW;
    }

    // ---- the end ------------------------------------------------------------------------------------

    /// Refused: leaves the files as they were found.
    void let_go() noexcept {
        // SQLite made an empty WAL beside the file; while the lock is held, nobody else can use it.
        std::error_code ignored;
        sqlite3_vfs* vfs = nullptr;
        int lock = SQLITE_LOCK_NONE;
        if (db_ && sqlite3_file_control(db_, "main", SQLITE_FCNTL_LOCKSTATE, &lock) == SQLITE_OK &&
            lock == SQLITE_LOCK_EXCLUSIVE && !had_wal_ && fs::exists(wal_path(), ignored) && !has_content(wal_path()) &&
            sqlite3_file_control(db_, "main", SQLITE_FCNTL_VFS_POINTER, &vfs) == SQLITE_OK)
            vfs->xDelete(vfs, wal_path().c_str(), 0);
        end();
    }

    void end() noexcept {
        for (statement* s : {&begin_, &commit_, &rollback_, &put_node_, &put_collection_, &put_snapshot_, &put_log_,
                             &drop_snapshot_, &drop_log_})
            *s = statement();
        sqlite3_close_v2(std::exchange(db_, nullptr));
    }
};

} // namespace

std::unique_ptr<storage> sqlite_storage(const std::string& path, durability level) {
    return std::make_unique<sqlite_file>(path, level);
}

} // namespace joinery
