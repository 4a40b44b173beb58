// SPDX-License-Identifier: Apache-2.0
#include "power_cut_vfs.hpp"

#include <sqlite3.h>

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <mutex>
#include <random>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace storage_test {

namespace {

using data = std::vector<char>;

struct change {
    bool truncates = false; // to `offset`
    std::size_t offset = 0;
    data written = {};
};

struct tracked_file {
    data synced;               // its content then
    bool exists_synced = true; // false for a new file
    bool removed = false;
    std::vector<change> since;
};

void write_to(data& image, std::size_t offset, const char* bytes, std::size_t size) {
    if (image.size() < offset + size) image.resize(offset + size);
    std::copy(bytes, bytes + size, image.begin() + static_cast<std::ptrdiff_t>(offset));
}

void apply(data& image, const change& c) {
    if (c.truncates)
        image.resize(c.offset);
    else
        write_to(image, c.offset, c.written.data(), c.written.size());
}

template <class Random> void apply_part(data& image, const change& c, Random& random, unsigned percent) {
    auto survives = [&] { return random() % 100 < percent; };
    if (c.truncates) {
        if (survives()) apply(image, c);
        return;
    }
    for (std::size_t at = 0; at < c.written.size();) {
        std::size_t n = std::min(512 - (c.offset + at) % 512, c.written.size() - at);
        if (survives()) write_to(image, c.offset + at, c.written.data() + at, n);
        at += n;
    }
}

} // namespace

struct power_cut_vfs::state {
    std::filesystem::path folder;
    std::map<std::string, tracked_file> files;
    std::uint64_t changes = 0, syncs = 0;
    std::uint64_t cut_at = 0, full_at = 0, syncs_fail_at = 0; // absolute; 0 is never
    bool cut = false;
    std::string cut_in;

    /// Counts a change. False if the power fails with it.
    bool powered(std::string_view what, std::string_view where) {
        ++changes;
        if (changes == cut_at) {
            cut = true;
            cut_in.append(what).append(where);
        }
        return !cut;
    }
    bool full() const { return full_at != 0 && changes >= full_at; }

    void folder_synced() {
        for (auto f = files.begin(); f != files.end();) {
            f->second.exists_synced = true;
            f = f->second.removed ? files.erase(f) : std::next(f);
        }
    }
};

namespace {

// Lies in the memory that SQLite gives for a file, and the real one behind it.
struct wrapped_file {
    sqlite3_file base;
    void* disk; // power_cut_vfs::state
    tracked_file* tracks;
    std::string_view where; // what kind of file it is
    bool syncs_folder;      // its next sync also syncs the folder
    sqlite3_file* real() { return reinterpret_cast<sqlite3_file*>(this + 1); }
};

std::string_view kind_of(std::string_view name) {
    return name.ends_with("-wal") ? "the WAL" : name.ends_with("-journal") ? "the journal" : "the file";
}

} // namespace

struct power_cut_vfs::layer {
    sqlite3_vfs* below = sqlite3_vfs_find(nullptr);
    sqlite3_vfs vfs;
    std::mutex mutex;
    std::map<std::filesystem::path, state*> disks; // by folder

    layer() : vfs(*below) { // paths, time and randomness are its own
        vfs.iVersion = 1;
        vfs.szOsFile = static_cast<int>(sizeof(wrapped_file)) + below->szOsFile;
        vfs.pNext = nullptr;
        vfs.zName = "power-cut";
        vfs.xOpen = open;
        vfs.xDelete = remove;
        vfs.xAccess = access;
        sqlite3_vfs_register(&vfs, 1);
    }
    ~layer() { sqlite3_vfs_unregister(&vfs); }
    layer(const layer&) = delete;
    layer& operator=(const layer&) = delete;

    static layer& installed() {
        static layer only;
        return only;
    }
    static sqlite3_vfs* real() { return installed().below; }
    /// Null if the file is on none.
    static state* disk(const char* name) {
        if (!name) return nullptr;
        auto& all = installed();
        std::lock_guard lock(all.mutex);
        const auto found = all.disks.find(std::filesystem::path(name).parent_path());
        return found == all.disks.end() ? nullptr : found->second;
    }

    static wrapped_file& file(sqlite3_file* f) { return *reinterpret_cast<wrapped_file*>(f); }
    static state& disk(sqlite3_file* f) { return *static_cast<state*>(file(f).disk); }
    static sqlite3_file* real(sqlite3_file* f) { return file(f).real(); }

    static int close(sqlite3_file* f) { return real(f)->pMethods->xClose(real(f)); }
    static int read(sqlite3_file* f, void* out, int n, sqlite3_int64 at) {
        return disk(f).cut ? SQLITE_IOERR_READ : real(f)->pMethods->xRead(real(f), out, n, at);
    }
    static int write(sqlite3_file* f, const void* bytes, int n, sqlite3_int64 at) {
        state& d = disk(f);
        if (d.cut) return SQLITE_IOERR_WRITE;
        bool powered = d.powered("write to ", file(f).where);
        int made = !d.full() ? n : d.changes == d.full_at ? n / 2 : 0;
        auto p = static_cast<const char*>(bytes);
        if (made > 0) file(f).tracks->since.push_back({false, static_cast<std::size_t>(at), data(p, p + made)});
        int code = made > 0 ? real(f)->pMethods->xWrite(real(f), bytes, made, at) : SQLITE_OK;
        return !powered ? SQLITE_IOERR_WRITE : made < n ? SQLITE_FULL : code;
    }
    static int truncate(sqlite3_file* f, sqlite3_int64 size) {
        state& d = disk(f);
        if (d.cut) return SQLITE_IOERR_TRUNCATE;
        bool powered = d.powered("truncation of ", file(f).where);
        if (d.full()) return SQLITE_FULL;
        file(f).tracks->since.push_back({true, static_cast<std::size_t>(size)});
        int code = real(f)->pMethods->xTruncate(real(f), size);
        return powered ? code : SQLITE_IOERR_TRUNCATE;
    }
    static int sync(sqlite3_file* f, int) {
        state& d = disk(f);
        if (d.cut || !d.powered("sync of ", file(f).where)) return SQLITE_IOERR_FSYNC;
        if (d.syncs_fail_at != 0 && d.changes >= d.syncs_fail_at) return SQLITE_IOERR_FSYNC;
        ++d.syncs;
        tracked_file& t = *file(f).tracks;
        for (const change& c : t.since) apply(t.synced, c);
        t.since.clear();
        if (std::exchange(file(f).syncs_folder, false)) d.folder_synced();
        return SQLITE_OK;
    }
    static int size(sqlite3_file* f, sqlite3_int64* out) {
        return disk(f).cut ? SQLITE_IOERR_FSTAT : real(f)->pMethods->xFileSize(real(f), out);
    }
    static int lock(sqlite3_file* f, int how) { return real(f)->pMethods->xLock(real(f), how); }
    static int unlock(sqlite3_file* f, int how) { return real(f)->pMethods->xUnlock(real(f), how); }
    static int reserved(sqlite3_file* f, int* out) { return real(f)->pMethods->xCheckReservedLock(real(f), out); }
    static int control(sqlite3_file* f, int op, void* arg) { return real(f)->pMethods->xFileControl(real(f), op, arg); }
    static int sector(sqlite3_file* f) { return real(f)->pMethods->xSectorSize(real(f)); }
    static int characteristics(sqlite3_file* f) { return real(f)->pMethods->xDeviceCharacteristics(real(f)); }

    // No shared memory: a storage that asked for it would get an error.
    static const sqlite3_io_methods* methods() {
        static const sqlite3_io_methods table = {
            1,      close,           read,    write,   truncate, sync,    size,    lock,   unlock, reserved, control,
            sector, characteristics, nullptr, nullptr, nullptr,  nullptr, nullptr, nullptr};
        return &table;
    }

    static int open(sqlite3_vfs*, const char* name, sqlite3_file* f, int flags, int* out_flags) {
        state* d = disk(name);
        if (!d) return real()->xOpen(real(), name, f, flags, out_flags);
        f->pMethods = nullptr;
        if (d->cut) return SQLITE_CANTOPEN;
        bool existed = std::filesystem::exists(name);
        int code = real()->xOpen(real(), name, real(f), flags, out_flags);
        if (code != SQLITE_OK) return code;
        auto [found, added] = d->files.try_emplace(name);
        tracked_file& t = found->second;
        if (added && existed) {
            std::ifstream in(name, std::ios::binary);
            t.synced.resize(static_cast<std::size_t>(std::filesystem::file_size(name)));
            in.read(t.synced.data(), static_cast<std::streamsize>(t.synced.size()));
        } else if (added) {
            t.exists_synced = false;
        } else if (t.removed) { // made anew before the removal was certain: what may come back is empty
            t.removed = false;
            t.since.push_back({true, 0});
        }
        file(f).disk = d;
        file(f).tracks = &t;
        file(f).where = kind_of(name);
        file(f).syncs_folder = (flags & SQLITE_OPEN_CREATE) && (flags & (SQLITE_OPEN_MAIN_JOURNAL | SQLITE_OPEN_WAL));
        f->pMethods = methods();
        return SQLITE_OK;
    }
    static int remove(sqlite3_vfs*, const char* name, int sync_folder) {
        state* d = disk(name);
        if (!d) return real()->xDelete(real(), name, sync_folder);
        if (d->cut) return SQLITE_IOERR_DELETE;
        bool powered = d->powered("removal of ", kind_of(name));
        auto found = d->files.find(name);
        if (found != d->files.end()) {
            found->second.removed = true;
            if (!found->second.exists_synced) d->files.erase(found);
        }
        int code = real()->xDelete(real(), name, 0);
        if (powered && code == SQLITE_OK && sync_folder) d->folder_synced();
        return powered ? code : SQLITE_IOERR_DELETE;
    }
    static int access(sqlite3_vfs*, const char* name, int flags, int* out) {
        state* d = disk(name);
        return d && d->cut ? SQLITE_IOERR_ACCESS : real()->xAccess(real(), name, flags, out);
    }
};

power_cut_vfs::power_cut_vfs(const std::filesystem::path& folder) : state_(std::make_unique<state>()) {
    state_->folder = std::filesystem::canonical(folder);
    auto& all = layer::installed();
    std::lock_guard lock(all.mutex);
    all.disks.emplace(state_->folder, state_.get());
}

power_cut_vfs::~power_cut_vfs() {
    auto& all = layer::installed();
    std::lock_guard lock(all.mutex);
    all.disks.erase(state_->folder);
}

void power_cut_vfs::cut_at(std::uint64_t n) { state_->cut_at = n == 0 ? 0 : state_->changes + n; }
void power_cut_vfs::cut() { state_->cut = true; }
bool power_cut_vfs::is_cut() const { return state_->cut; }
const std::string& power_cut_vfs::cut_in() const { return state_->cut_in; }
void power_cut_vfs::full_at(std::uint64_t n) { state_->full_at = n == 0 ? 0 : state_->changes + n; }
void power_cut_vfs::syncs_fail_at(std::uint64_t n) { state_->syncs_fail_at = n == 0 ? 0 : state_->changes + n; }
std::uint64_t power_cut_vfs::changes() const { return state_->changes; }
std::uint64_t power_cut_vfs::syncs() const { return state_->syncs; }

void power_cut_vfs::restore(survival what, std::uint64_t seed) {
    std::mt19937_64 random(seed);
    unsigned percents[] = {10, 50, 90, 99};
    for (auto& [name, t] : state_->files) {
        bool present = what == survival::none ? t.exists_synced : what == survival::all ? !t.removed : true;
        if (what == survival::random && (!t.exists_synced || t.removed)) present = random() % 2;
        std::filesystem::remove(name); // to truncate it would make some file systems flush it
        if (!present) continue;
        data image = t.synced;
        unsigned percent = percents[random() % 4];
        for (const change& c : t.since) {
            if (what == survival::all) apply(image, c);
            if (what == survival::random) apply_part(image, c, random, percent);
        }
        std::ofstream(name, std::ios::binary).write(image.data(), static_cast<std::streamsize>(image.size()));
    }
    state_->files.clear();
    state_->cut = false;
    state_->cut_in.clear();
    state_->cut_at = 0;
}

} // namespace storage_test
