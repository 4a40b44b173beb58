// SPDX-License-Identifier: Apache-2.0
#pragma once

// A disk whose power can be cut. kill -9 leaves the page cache behind, so it cannot show a missing fsync;
// this layer under SQLite can. It passes everything through to SQLite's own file system layer, and also
// keeps what each file held when it was last synced, with the changes since. After a power cut `restore`
// puts the files into a state that a real disk could have: what was synced, plus none, all or any part of
// the changes since, torn at sectors of 512 bytes.
//
// A new file, or the removal of one, is certain only when its folder has been synced: SQLite does so with
// the first sync of a journal or WAL that it created, and where it asks for it when it removes one.
//
// A disk is a folder; there may be any number of them. The layer is SQLite's default one from the first of them on, and
// leaves files in other folders to SQLite's own. Each disk is used by one thread at a time.

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>

namespace storage_test {

class power_cut_vfs {
public:
    /// Requires: the folder exists, and is no other disk's.
    explicit power_cut_vfs(const std::filesystem::path& folder);
    ~power_cut_vfs();
    power_cut_vfs(const power_cut_vfs&) = delete;
    power_cut_vfs& operator=(const power_cut_vfs&) = delete;

    /// The power fails in the n-th change from now (n >= 1): it may have been made, but its caller and all
    /// later calls get an error. 0 takes the order back. A change is a write, truncation, sync or removal.
    void cut_at(std::uint64_t n);
    /// The power fails now.
    void cut();
    bool is_cut() const;
    /// The change that it failed in, such as "write to the WAL". Empty if it was not in one, and after `restore`.
    const std::string& cut_in() const;

    enum class survival { none, all, random };
    /// The power is back. Requires: no file is open.
    void restore(survival what, std::uint64_t seed);

    /// From the n-th change from now on (n >= 1) writes and truncations give SQLITE_FULL, or syncs give
    /// SQLITE_IOERR_FSYNC, until 0 takes it back. Half of the first such write is made.
    void full_at(std::uint64_t n);
    void syncs_fail_at(std::uint64_t n);

    std::uint64_t changes() const;
    std::uint64_t syncs() const;

private:
    struct state;
    struct layer; // the functions that SQLite calls
    std::unique_ptr<state> state_;
};

} // namespace storage_test
