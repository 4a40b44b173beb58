// SPDX-License-Identifier: Apache-2.0
#include "sqlite_connection.hpp"

#include "sqlite_format.hpp"
#include "sqlite_wal.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <system_error>

namespace joinery::sqlite {

namespace fs = std::filesystem;

namespace {

fs::path absolute(const std::string& path) {
    // An absolute path is never a URI nor ":memory:" to SQLite, and outlives a change of directory.
    if (path.empty() || path.find('\0') != std::string::npos)
        throw storage_error("sqlite_storage: open: the path is empty or contains a zero byte");
    std::error_code error;
    fs::path result = fs::absolute(path, error);
    if (error) throw storage_error(fmt::format("sqlite_storage: open '{}': {}", path, error.message()));
    return result;
}

bool has_content(const fs::path& path) {
    std::error_code error;
    auto size = fs::file_size(path, error);
    return !error && size > 0;
}

} // namespace

// ---- statements ----

statement::statement(sqlite3* db, const char* sql) {
    sqlite3_prepare_v3(db, sql, -1, SQLITE_PREPARE_PERSISTENT, &handle_, nullptr);
}
statement::~statement() { sqlite3_finalize(handle_); }

void statement::bind(int i, std::int64_t value) { sqlite3_bind_int64(handle_, i, value); }
void statement::bind(int i, std::span<const std::byte> value) {
    // A null pointer would bind NULL.
    sqlite3_bind_blob64(handle_, i, value.empty() ? static_cast<const void*>("") : value.data(), value.size(),
                        SQLITE_STATIC);
}
void statement::bind_null(int i) { sqlite3_bind_null(handle_, i); }

step_result statement::step() {
    switch (handle_ ? sqlite3_step(handle_) : SQLITE_ERROR) {
    case SQLITE_ROW: return step_result::row;
    case SQLITE_DONE: return step_result::done;
    default: return step_result::failed;
    }
}
void statement::reset() {
    sqlite3_reset(handle_);
    sqlite3_clear_bindings(handle_);
}

bool statement::is_null(int column) const { return sqlite3_column_type(handle_, column) == SQLITE_NULL; }
std::int64_t statement::integer(int column) const { return sqlite3_column_int64(handle_, column); }
std::span<const std::byte> statement::blob(int column) const {
    auto data = static_cast<const std::byte*>(sqlite3_column_blob(handle_, column));
    return {data, data ? static_cast<std::size_t>(sqlite3_column_bytes(handle_, column)) : 0};
}
std::string_view statement::text(int column) const {
    auto data = reinterpret_cast<const char*>(sqlite3_column_text(handle_, column));
    return {data ? data : "", data ? static_cast<std::size_t>(sqlite3_column_bytes(handle_, column)) : 0};
}

// ---- connections ----

connection::connection(const std::string& path) : path_(absolute(path)) {}

fs::path connection::beside(const char* suffix) const {
    // SQLite's name of the file: its own files lie there, not beside a symbolic link to it.
    return fmt::format("{}{}", sqlite3_db_filename(db_, "main"), suffix);
}

// ---- opening and closing ----

void connection::open_handle() {
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
}

void connection::open_unsynced() {
    open_handle();
    execute("open", "PRAGMA locking_mode = EXCLUSIVE; PRAGMA trusted_schema = OFF; PRAGMA mmap_size = 0;"
                    "PRAGMA synchronous = OFF; PRAGMA journal_mode = MEMORY");
}

bool connection::open() {
    std::error_code ignored;
    const fs::file_status status = fs::status(path_, ignored);
    if (fs::exists(status) && !fs::is_regular_file(status)) fail("open", "not a regular file");
    open_handle();

    had_wal_ = fs::exists(wal_path(), ignored);
    bool is_new = look();
    execute("open", "PRAGMA locking_mode = EXCLUSIVE; PRAGMA trusted_schema = OFF;"
                    "PRAGMA cell_size_check = ON; PRAGMA mmap_size = 0; PRAGMA secure_delete = OFF;"
                    "PRAGMA temp_store = MEMORY; PRAGMA fullfsync = ON; PRAGMA checkpoint_fullfsync = ON;"
                    "PRAGMA wal_autocheckpoint = 1000; PRAGMA journal_size_limit = 4194304;");
    // The journal of a creation that was cut short takes the first page back; BEGIN would make one without our
    // settings.
    is_new = is_new || query("open", "PRAGMA page_count") == 0;
    if (!is_new) {
        execute("open", "BEGIN EXCLUSIVE; COMMIT"); // the lock stays
        return true;
    }
    // The settings of the file are decided with its first page, which is all that this writes. EXTRA:
    // a journal whose removal is lost would take back what the WAL holds by then.
    execute("create", fmt::format("PRAGMA page_size = {}; PRAGMA synchronous = EXTRA; BEGIN", page_size).c_str());
    if (query("create", "PRAGMA page_count") != 0) fail("create", "created by another process too");
    execute(
        "create",
        fmt::format("PRAGMA auto_vacuum = INCREMENTAL; PRAGMA application_id = {}; COMMIT", application_id).c_str());
    return false;
}

/// Reads the header of the file, and nothing is written or locked. True for a file that is to be created.
/// A journal (not a WAL) exists only while the first page is written and while WAL mode is set.
bool connection::look() {
    // Only through SQLite: to close a second descriptor of a locked file would release its locks.
    sqlite3_file* file = nullptr;
    sqlite3_file_control(db_, "main", SQLITE_FCNTL_FILE_POINTER, &file);
    std::error_code error;
    auto size = static_cast<sqlite3_int64>(fs::file_size(path_, error));
    if (error || !file || !file->pMethods) fail("open", fmt::format("no size: {}", error.message()));
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
    version_in_file_ = big_endian(&header[60]);
    return false;
}

void connection::use_wal() {
    // Ordinarily it is WAL already; a file that was copied by SQLite's VACUUM INTO is not.
    statement mode = prepare("PRAGMA journal_mode = WAL");
    if (mode.step() != step_result::row) fail_with_sqlite("open");
    if (mode.text(0) != "wal") fail("open", "the file system cannot hold a write-ahead log");
    begin_ = prepare("BEGIN IMMEDIATE");
    commit_ = prepare("COMMIT");
    rollback_ = prepare("ROLLBACK");
    count_pages();
    bytes_written_ = 0;
}

void connection::abandon() noexcept {
    // SQLite made an empty WAL beside the file; while the lock is held, nobody else can use it.
    std::error_code ignored;
    sqlite3_vfs* vfs = nullptr;
    int lock = SQLITE_LOCK_NONE;
    if (db_ && sqlite3_file_control(db_, "main", SQLITE_FCNTL_LOCKSTATE, &lock) == SQLITE_OK &&
        lock == SQLITE_LOCK_EXCLUSIVE && !had_wal_ && fs::exists(wal_path(), ignored) && !has_content(wal_path()) &&
        sqlite3_file_control(db_, "main", SQLITE_FCNTL_VFS_POINTER, &vfs) == SQLITE_OK)
        vfs->xDelete(vfs, wal_path().c_str(), 0);
    close();
}

void connection::close() noexcept {
    for (statement* s : {&begin_, &commit_, &rollback_}) *s = statement();
    sqlite3_close_v2(std::exchange(db_, nullptr));
}

void connection::close_cleanly() noexcept {
    sqlite3_db_config(db_, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 0, nullptr);
    close();
}

// ---- statements ----

void connection::execute(std::string_view operation, const char* sql) {
    errno = 0;
    if (sqlite3_exec(db_, sql, nullptr, nullptr, nullptr) != SQLITE_OK) fail_with_sqlite(operation);
}

void connection::run(statement& s) {
    errno = 0;
    if (s.step() == step_result::failed) {
        try {
            fail_with_sqlite(operation_);
        } catch (...) {
            s.reset();
            throw;
        }
    }
    s.reset();
}

std::int64_t connection::query(std::string_view operation, const char* sql) {
    statement s = prepare(sql);
    if (s.step() != step_result::row) fail_with_sqlite(operation);
    return s.integer(0);
}

bool connection::next(std::string_view operation, statement& s) {
    const step_result result = s.step();
    if (result == step_result::failed) fail_with_sqlite(operation);
    return result == step_result::row;
}

void connection::synchronous(std::string_view operation, bool full) {
    execute(operation, full ? "PRAGMA synchronous = FULL" : "PRAGMA synchronous = NORMAL");
}

// SQLite may have rolled back already. If neither it nor this can, the transaction stays open.
void connection::roll_back() {
    if (sqlite3_get_autocommit(db_)) return;
    const step_result result = rollback_.step();
    rollback_.reset();
    if (result != step_result::done) broken_ = "a transaction could not be rolled back";
}

void connection::count_pages() {
    int pages = 0, unused = 0;
    if (sqlite3_db_status(db_, SQLITE_DBSTATUS_CACHE_WRITE, &pages, &unused, 1) == SQLITE_OK)
        bytes_written_ += static_cast<std::uint64_t>(pages) * (page_size + 24);
}

// ---- copies ----

page_copy::page_copy(connection& from, connection& to)
    : to_(to), handle_(sqlite3_backup_init(to.db_, "main", from.db_, "main")) {
    if (!handle_) to_.fail_with_sqlite("back up");
}

bool page_copy::copy(int pages) {
    if (!handle_) to_.fail("back up", "the storage was closed");
    errno = 0;
    const int code = sqlite3_backup_step(handle_, pages);
    if (code == SQLITE_OK) return false;
    if (sqlite3_backup_finish(std::exchange(handle_, nullptr)) != SQLITE_OK) to_.fail_with_sqlite("back up");
    return true;
}

void page_copy::end() noexcept { sqlite3_backup_finish(std::exchange(handle_, nullptr)); }

new_file::new_file(const fs::path& path)
    : path_(path), file_(::open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0644)) {
    if (file_ < 0)
        throw storage_error(
            fmt::format("sqlite_storage: back up: '{}': {}", path.string(), std::generic_category().message(errno)));
}

new_file::~new_file() { ::close(file_); }

bool new_file::is_there() const noexcept {
    struct stat mine, named;
    return ::fstat(file_, &mine) == 0 && ::stat(path_.c_str(), &named) == 0 && mine.st_dev == named.st_dev &&
           mine.st_ino == named.st_ino;
}

void new_file::publish(const fs::path& to) {
    const auto fail = [&](const char* what) {
        throw storage_error(fmt::format("sqlite_storage: back up '{}': {}: {}", to.string(), what,
                                        std::generic_category().message(errno)));
    };
    const auto sync = [&](const fs::path& path) {
        const int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
        if (file < 0 || ::fsync(file) != 0) {
            const int error = errno;
            if (file >= 0) ::close(file);
            errno = error;
            fail("it cannot be synced");
        }
        ::close(file);
    };
    if (!is_there()) throw storage_error(fmt::format("sqlite_storage: back up '{}': another one is made", to.string()));
    sync(path_);
    // Unlike `rename`, `link` replaces nothing; some file systems have none.
    if (::link(path_.c_str(), to.c_str()) == 0)
        ::unlink(path_.c_str());
    else if (errno == EEXIST || ::rename(path_.c_str(), to.c_str()) != 0)
        fail("it cannot be named");
    sync(to.parent_path());
}

// ---- errors ----

void connection::fail(std::string_view operation, std::string_view reason) const {
    throw storage_error(fmt::format("sqlite_storage: {} '{}': {}", operation, path_.string(), reason));
}

void connection::fail_with_sqlite(std::string_view operation) {
    int code = sqlite3_extended_errcode(db_), number = sqlite3_system_errno(db_);
    if (number == 0) number = errno; // SQLite does not keep it when a COMMIT fails
    std::string reason = sqlite3_errmsg(db_);
    if ((code & 0xff) == SQLITE_BUSY) reason = "held by another storage or process";
    if (number != 0 && ((code & 0xff) == SQLITE_IOERR || (code & 0xff) == SQLITE_CANTOPEN))
        reason = fmt::format("{} ({})", reason, std::generic_category().message(number));
    if ((code & 0xff) == SQLITE_READONLY) reason = fmt::format("the file or its folder cannot be written ({})", reason);
    if ((code & 0xff) == SQLITE_CORRUPT) reason = fmt::format("corrupt: {}", reason);
    bool lost_writes = code == SQLITE_IOERR_FSYNC || code == SQLITE_IOERR_DIR_FSYNC;
    bool damaged = (code & 0xff) == SQLITE_CORRUPT || (code & 0xff) == SQLITE_NOTADB;
    if (lost_writes || damaged) broken_ = reason;
    fail(operation, reason);
}

void connection::check_usable(std::string_view operation, bool state, std::string_view reason) const {
    if (!db_) fail(operation, "closed");
    if (!broken_.empty()) fail(operation, fmt::format("an earlier error was final: {}", broken_));
    if (!state) fail(operation, reason);
}

} // namespace joinery::sqlite
