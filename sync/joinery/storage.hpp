// SPDX-License-Identifier: Apache-2.0
#pragma once

// Where a node keeps its identity, its snapshots and its log. The order is always: log, sync, publish,
// so that a dot that was ever published is never issued again. One storage belongs to one node; it holds
// any number of collections, each a snapshot followed by the records logged since.

#include <joinery/replica_id.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace joinery {

/// What a `sync()` that has returned outlives.
enum class durability : std::uint8_t {
    none,    ///< nothing: the memory of this process
    relaxed, ///< the end of the process, kill -9 included; not the end of the machine
    full,    ///< the end of the machine's power
};

/// Its name: "none", "relaxed", "full".
constexpr std::string_view to_string(durability level) {
    return level == durability::full ? "full" : level == durability::relaxed ? "relaxed" : "none";
}

/// A storage that cannot be opened or written: the message names the operation, the object and the
/// system's reason. A file that is corrupt or not ours is left untouched.
struct storage_error : std::runtime_error {
    using std::runtime_error::runtime_error;
};

/// What one collection had when the storage was opened.
struct stored_collection {
    std::string name;
    std::uint64_t fingerprint = 0;               ///< of the type, as given to `attach`
    std::vector<std::byte> snapshot;             ///< empty if there is none yet
    std::vector<std::vector<std::byte>> records; ///< logged since the snapshot, in order
};

struct stored_node {
    std::optional<replica_id> id; ///< none in a new storage
    bool clean = true;            ///< false if the last owner did not call `close`
    std::vector<stored_collection> collections;
    bool copy = false; ///< made by `storage::back_up`, and has no id of its own yet: `id` is another storage's
};

/// A copy of a storage on its way. Destroyed before its end, it takes away what there is of it. One thread at a time.
class storage_backup {
public:
    storage_backup() = default;
    virtual ~storage_backup() = default;
    storage_backup(const storage_backup&) = delete;
    storage_backup& operator=(const storage_backup&) = delete;

    /// Copies about so many bytes more. True once it has everything, as it is in the storage at that moment; then it
    /// does not need the storage any more. Between calls the storage is used as ever, and never while this is called or
    /// destroyed. Throws storage_error, also if the storage was closed.
    virtual bool copy(std::size_t bytes) = 0;

    /// Makes the copy durable and gives it its name. Requires: `copy` has returned true. Throws storage_error.
    virtual void finish() = 0;
};

/// Not thread-safe: one thread at a time, but not always the same one.
class storage {
public:
    virtual ~storage() = default;

    virtual durability level() const = 0;

    /// All there is. Called once, before anything else. Marks the storage as in use (see `clean`).
    /// Throws storage_error.
    virtual stored_node load() = 0;

    /// Persists the identity (at once, durably), together with nothing else.
    virtual void set_id(replica_id id) = 0;

    /// Declares a collection; the number that the other calls take. The same name gives the same number.
    /// Throws storage_error if the name was stored with another fingerprint.
    virtual std::uint32_t attach(std::string_view name, std::uint64_t fingerprint) = 0;

    /// Logs a record. It may be lost until `sync` returns, but never out of order.
    virtual void append(std::uint32_t collection, std::span<const std::byte> record) = 0;

    /// Makes all appended records durable at `level()`: one transaction for all of them (group commit).
    /// If it throws, none of them is lost: they stay appended, and the next call tries again. After an error
    /// that cannot be repaired so (a failed fsync) everything throws until the storage is opened anew.
    virtual void sync() = 0;

    /// As `sync`, but what is logged outlives the end of the machine's power at level relaxed, too.
    virtual void harden() = 0;

    /// Replaces the collection's snapshot and all of its records by this snapshot, atomically and as durably as
    /// after `harden`. Appended records of other collections become durable with it; if it throws, nothing has
    /// changed.
    virtual void compact(std::uint32_t collection, std::span<const std::byte> snapshot) = 0;

    /// As `compact` for every collection given, together with a new identity, in one atomic step.
    virtual void rebase(replica_id id, std::span<const std::pair<std::uint32_t, std::vector<std::byte>>> snapshots) = 0;

    /// Syncs and marks the end as clean. Nothing may be called afterwards.
    virtual void close() = 0;

    /// Begins a copy of all that `sync` has made durable, in a new file. It knows that it is one (stored_node::copy)
    /// until it is given an id. One at a time. Throws storage_error if it cannot be made there, or the file exists, and
    /// from storages that have nothing to copy.
    virtual std::unique_ptr<storage_backup> back_up(const std::string& path);

    /// Counters since opening: for metrics and benchmarks.
    struct statistics {
        std::uint64_t appends = 0, syncs = 0, compactions = 0, bytes_written = 0;
    };
    virtual statistics stats() const = 0;

    /// What `load` will give, before it is called, and without marking anything. Null if that is not known before.
    virtual const stored_node* found() const { return nullptr; }

    /// What it is, in messages.
    virtual std::string name() const { return "storage"; }
};

/// A collection of this name says that all others are encrypted (encrypted_storage.hpp).
inline constexpr std::string_view encrypted_name = "joinery.encrypted";

/// Keeps everything in memory, at level none. The contents that tests crash, copy and open again are a
/// memory_disk (memory_storage.hpp).
std::unique_ptr<storage> memory_storage();

/// Opens or creates an SQLite file (WAL). `level` is relaxed or full (synchronous=FULL, a sync per group).
/// A missing or empty file is a new storage. Everything stored is verified at opening: throws storage_error
/// for a file that is corrupt, foreign, of a newer format or held by another process, and leaves it and what
/// lies beside it as it was. After an unclean end, damage to the last group alone looks like a group that was
/// never finished, and is taken for one; at level relaxed so does damage to any group that is in the write-ahead log
/// yet. In the library joinery-sqlite.
std::unique_ptr<storage> sqlite_storage(const std::string& path, durability level = durability::full);

} // namespace joinery
