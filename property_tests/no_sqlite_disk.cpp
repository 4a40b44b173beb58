// SPDX-License-Identifier: Apache-2.0
#include "simulated_disk.hpp"

namespace joinery::simulation {

const bool sqlite_is_there = false;

std::unique_ptr<simulated_disk> disk_of_sqlite(durability, std::uint64_t, tally&) { return nullptr; }

} // namespace joinery::simulation
