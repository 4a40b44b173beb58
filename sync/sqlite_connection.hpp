// SPDX-License-Identifier: Apache-2.0
#pragma once

// A connection to an SQLite file, which it holds alone. Every error becomes a storage_error that names the
// operation and the file.
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

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <utility>

struct sqlite3;
struct sqlite3_backup;
struct sqlite3_stmt;

namespace joinery::sqlite {

enum class step_result { row, done, failed };

class statement {
public:
    statement() = default;
    /// A failure shows in the first step.
    statement(sqlite3* db, const char* sql);
    ~statement();
    statement(statement&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
    statement& operator=(statement&& other) noexcept {
        std::swap(handle_, other.handle_);
        return *this;
    }

    void bind(int i, std::int64_t value);
    /// The bytes must outlive the step.
    void bind(int i, std::span<const std::byte> value);
    void bind_null(int i);
    step_result step();
    void reset();

    // Of the present row, valid until the next step.
    bool is_null(int column) const;
    std::int64_t integer(int column) const;
    std::span<const std::byte> blob(int column) const;
    std::string_view text(int column) const;

private:
    sqlite3_stmt* handle_ = nullptr;
};

class connection {
public:
    /// Does not touch the file yet.
    explicit connection(const std::string& path);
    ~connection() { close(); }
    connection(const connection&) = delete;
    connection& operator=(const connection&) = delete;

    /// True if there is a file of ours: it is locked then, and only read from so far. Otherwise a file was
    /// created, with one empty page.
    bool open();
    /// In place of `open`, for a new file that nobody opens before it is complete: nothing is synced.
    void open_unsynced();
    /// Ends the opening: the write-ahead log is in use from now on, and `write` can be called.
    void use_wal();
    /// In place of `use_wal`: leaves the files as they were found.
    void abandon() noexcept;
    /// Requires: no statement is left.
    void close() noexcept;
    /// As `close`, and moves the WAL into the file and removes it. If that fails, the next opening recovers it.
    void close_cleanly() noexcept;

    const std::filesystem::path& path() const { return path_; }
    std::filesystem::path wal_path() const { return beside("-wal"); }
    /// True if there was a write-ahead log before this was opened.
    bool had_wal() const { return had_wal_; }
    /// User_version as the file alone has it, without its write-ahead log; 0 if it was created just now.
    std::uint32_t version_in_file() const { return version_in_file_; }
    statement prepare(const char* sql) { return {db_, sql}; }

    void execute(std::string_view operation, const char* sql);
    /// The first column of the first row.
    std::int64_t query(std::string_view operation, const char* sql);
    /// True if there is a row, false after the last one.
    bool next(std::string_view operation, statement& s);
    void synchronous(std::string_view operation, bool full);

    /// `body` in a transaction: all of it is in the file when this returns, nothing when it throws.
    template <class F> void write(std::string_view operation, F&& body) {
        operation_ = operation;
        run(begin_);
        try {
            body();
            run(commit_);
        } catch (...) {
            roll_back();
            count_pages();
            throw;
        }
        count_pages();
    }
    /// Runs a statement without rows to its end, within `write`.
    void run(statement& s);

    /// By `write`, about.
    std::uint64_t bytes_written() const { return bytes_written_; }

    [[noreturn]] void fail(std::string_view operation, std::string_view reason) const;
    [[noreturn]] void fail_with_sqlite(std::string_view operation);
    /// Throws if it is closed or broken, or if `state` does not hold, for which `reason` is given.
    void check_usable(std::string_view operation, bool state = true, std::string_view reason = {}) const;

private:
    friend class page_copy;
    std::filesystem::path path_;
    bool had_wal_ = false;
    std::uint32_t version_in_file_ = 0;
    sqlite3* db_ = nullptr;
    statement begin_, commit_, rollback_;
    std::string_view operation_; // of the current `write`
    std::string broken_;         // why nothing works any more, if so
    std::uint64_t bytes_written_ = 0;

    std::filesystem::path beside(const char* suffix) const;
    void open_handle();
    bool look();
    void roll_back();
    void count_pages();
};

/// Copies what is committed in one file into another one, page by page, while the first is written on: a page that
/// changes after it was copied is copied again.
class page_copy {
public:
    /// Both must outlive this, or its `end`.
    page_copy(connection& from, connection& to);
    ~page_copy() { end(); }
    page_copy(const page_copy&) = delete;
    page_copy& operator=(const page_copy&) = delete;

    /// True once all pages are there, as they are now.
    bool copy(int pages);
    /// Nothing is copied any more.
    void end() noexcept;

private:
    connection& to_;
    sqlite3_backup* handle_ = nullptr;
};

/// A new, empty file, held open so that it can be told from any other that takes its place.
class new_file {
public:
    /// Throws storage_error, also if there is a file of that name.
    explicit new_file(const std::filesystem::path& path);
    ~new_file();
    new_file(const new_file&) = delete;
    new_file& operator=(const new_file&) = delete;

    const std::filesystem::path& path() const { return path_; }
    /// False if somebody else has taken the name away.
    bool is_there() const noexcept;
    /// Gives it another name, durably. Requires: nothing has that name. Throws storage_error.
    void publish(const std::filesystem::path& to);

private:
    std::filesystem::path path_;
    int file_;
};

} // namespace joinery::sqlite
