// SPDX-License-Identifier: Apache-2.0
#pragma once

// What a machine's storage is on: a disk in memory, or SQLite's files on one that loses what was not synced.

#include "simulation.hpp"

#include <joinery/storage.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>

namespace joinery::simulation {

class simulated_disk {
public:
    simulated_disk() = default;
    virtual ~simulated_disk() = default;
    simulated_disk(const simulated_disk&) = delete;
    simulated_disk& operator=(const simulated_disk&) = delete;

    virtual durability level() const = 0;
    /// Throws storage_crash if the process dies in it. Requires: no storage is over it.
    virtual std::unique_ptr<storage> open() = 0;
    /// What is on it now, on a disk of its own. Nothing waits to be synced.
    virtual std::unique_ptr<simulated_disk> copy() const = 0;
    /// An empty one of the same kind and level. The first process on one of SQLite may die early.
    virtual std::unique_ptr<simulated_disk> another() const = 0;

    /// The process has died, maybe because its machine did: what it had synced at the disk's level is there, and maybe
    /// more. Requires: no storage is over it.
    virtual void crash() = 0;
    /// The machine surely has. At level relaxed what was not hardened may be lost.
    virtual void power_cut() = 0;
    /// The process dies in the n-th step from now (n >= 1): a storage throws storage_crash. `keep` as for a
    /// memory_disk. 0 takes the order back.
    virtual void crash_at(std::uint64_t n, std::size_t keep = 0) = 0;
    /// The n-th operation from now (n >= 1), about, throws storage_error; 0 takes the order back.
    virtual void fail_at(std::uint64_t n) = 0;
};

std::unique_ptr<simulated_disk> disk_in_memory(durability level);

/// False where joinery is built without SQLite.
extern const bool sqlite_is_there;
/// `counts` outlives it, and is told in which steps the process died. Requires: `sqlite_is_there`, and a level above
/// none.
std::unique_ptr<simulated_disk> disk_of_sqlite(durability level, std::uint64_t seed, tally& counts);

} // namespace joinery::simulation
