// SPDX-License-Identifier: Apache-2.0
#pragma once

// What the replicas of one collection say of themselves for the moment, as the engine keeps it: in memory.

#include <joinery/engine.hpp>

#include <cstddef>
#include <cstdint>
#include <map>
#include <vector>

namespace joinery {

struct presence_board {
    /// Of another replica. One that is gone is kept until it expires, so that what is older does not return; and all
    /// are kept for a while after that, without their bytes, so that what is still under way does not begin anew.
    struct entry {
        std::uint64_t nonce = 0;
        std::uint64_t sequence = 0;
        std::vector<std::byte> bytes;      // none: gone, or expired
        std::vector<std::uint64_t> former; // nonces of the instances before; the last few
        engine_time changed{0}, expires{0};
        bool due = false; // to be passed on
    };
    /// Of this one.
    struct own_entry {
        std::vector<std::byte> bytes; // none: not set
        engine_time time_to_live{0};
        std::uint64_t sequence = 0; // of what was sent last
        engine_time refresh_at = engine_time::max();
        bool due = false;
    };

    std::map<replica_id, entry> entries;
    std::size_t bytes = 0; // of all entries
    own_entry own;
    bool due = false;          // something is to be sent
    engine_time not_before{0}; // and not earlier
    bool changed = false;      // for subscribers

    bool unused() const { return entries.empty() && own.sequence == 0 && !own.due; }
};

} // namespace joinery
