// SPDX-License-Identifier: Apache-2.0
#pragma once

// A disk in memory, apart from whoever has it open: what a test crashes, copies and opens again.
//
//     joinery::memory_disk disk;
//     auto node = disk.open();       // a storage; it holds the disk until it is closed or destroyed
//     disk.crash_at(7);              // the node dies in its 7th step from now
//     ...                            // until storage_crash is thrown
//     auto again = disk.open();      // what survived
//
// Every operation of a storage that changes the disk (load, set_id, attach, append, sync, compact, rebase,
// close) has two steps: one before its effect and one after it, before the caller hears of it. A simulation
// that dies in every step in turn has seen every state that a crash can leave behind.

#include <joinery/storage.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <stdexcept>

namespace joinery {

/// The process that had the disk open is dead: thrown by the step in which it dies, and by everything that
/// it still tries afterwards. Not a storage_error: no program handles its own death.
struct storage_crash : std::runtime_error {
    using std::runtime_error::runtime_error;
};

/// Not thread-safe, not even with the storage that has it open.
class memory_disk {
public:
    /// An empty disk, which keeps what it is given as `level` says.
    explicit memory_disk(durability level = durability::full);
    ~memory_disk();
    memory_disk(memory_disk&&) noexcept;
    memory_disk& operator=(memory_disk&&) noexcept;

    durability level() const;

    /// A storage over this disk, which may outlive this object.
    /// Throws storage_error if another storage holds the disk.
    std::unique_ptr<storage> open();
    /// True while a storage holds the disk.
    bool in_use() const;

    /// A disk of its own with what is on this one now: synced records, and no others.
    memory_disk copy() const;

    /// As `copy`, and it knows that it is one, as what storage::back_up makes.
    memory_disk backup() const;

    /// The process dies: its storage is dead, unsynced records are lost but for the first `keep` of them (a
    /// record may reach the disk before `sync` returns). A disk of level none is empty afterwards.
    void crash(std::size_t keep = 0);
    /// The machine dies too: as `crash()`, but at level relaxed all records since `load` or `set_id` are
    /// lost, which is the worst that can happen.
    void power_cut();

    /// `crash(keep)` in the n-th step from now (n >= 1); 0 takes the order back.
    void crash_at(std::uint64_t n, std::size_t keep = 0);
    /// The n-th operation from now (n >= 1) throws storage_error and changes nothing; 0 takes the order back.
    void fail_at(std::uint64_t n);
    /// Steps since the disk was made, over all storages: two for an operation that succeeds.
    std::uint64_t steps() const;

private:
    struct contents;
    class view;
    std::shared_ptr<contents> contents_;
};

} // namespace joinery
