// SPDX-License-Identifier: Apache-2.0
#pragma once

// Schedules: a few engines over a simulated network and simulated disks, random edits, and faults of every
// kind at random moments, all from one seed. While a schedule runs, and when the faults are over:
//
// 1. All nodes come to be equal within a bounded time, and no engine has found a divergence.
// 2. They show what the specification says of the edits that survive.
// 3. No edit is lost that was acknowledged, unless every storage that had it was lost or set back.
// 4. No dot that was published is ever published again with other content.
// 5. A node's state is causally closed at all times: with an edit it has all that the edit had seen.
// 6. What a node has told others that it has durably, it has after a crash.
// 7. Buffers stay within their caps, and nothing throws but a storage.
// 8. Everybody shows what the others say of themselves, and nothing else.
// 9. A state that has gone bad by itself is found by its peers, and mended.
//
// A schedule is data, so one that fails can be shrunk by leaving steps out.

#include <joinery/simulated_network.hpp>

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace joinery::simulation {

using time = simulated_network::time;

enum class step_kind : std::uint8_t {
    edit,
    look, ///< a node's document is compared with the specification
    keep_copy,
    bad_network, ///< loss, duplication, reordering, corruption, delays: for a while
    partition,
    one_way_partition,
    cut,
    crash,
    crash_in_step,
    storage_failure,
    clean_stop,
    lose_storage,
    set_back, ///< the storage is restored from an old copy
    clone,    ///< a copy of the storage is opened while the original lives
    evict,    ///< a node that is cut off is evicted by the others, and comes back
    clock_jump,
    pause,
    // those that plain schedules do not have
    add_link,
    remove_link,
    newcomer, ///< the node that was not there yet starts
    leave,    ///< a node leaves for good, and another comes to its place
    long_absence,
    say, ///< what a node says of itself for the moment
    fall_silent,
    count_
};
std::string_view name(step_kind k);

struct step {
    time at{0};
    step_kind what{};
    std::size_t who = 0;
    std::uint64_t draw = 0; ///< the seed of everything else about it
};

struct schedule {
    std::uint64_t seed = 0;
    std::size_t nodes = 2;
    std::size_t collections = 1;
    bool small_limits = false;
    unsigned topology = 0;
    bool bridges = false;   ///< some partitions leave one node that both sides reach
    bool followers = false; ///< some nodes take no writes
    // What follows is false, and the topology below 10, in plain schedules.
    bool ledger = false;   ///< the last collection has no text
    bool wordy = false;    ///< most edits are of texts
    bool partial = false;  ///< the last node opens the first collection only
    bool late = false;     ///< the last node starts in the middle
    bool forgets = false;  ///< nodes that have nothing to lose are soon given up
    bool goes_bad = false; ///< in the end a state changes by itself
    bool sqlite = false;   ///< most storages that last are of SQLite, where it is there
    std::vector<step> steps;
};
/// One in fifty is on SQLite.
schedule random_schedule(std::uint64_t seed);
/// Most storages that last are of SQLite, and their processes die in more steps.
schedule schedule_on_sqlite(std::uint64_t seed);
/// Two to four nodes with fixed links, all of which have everything; what the others go on from.
schedule plain_schedule(std::uint64_t seed);

/// Errors planted to see that they are found.
enum class planted_bug : std::uint8_t {
    none,
    last_beacon,       ///< who becomes quiet does not send the last beacon
    acknowledge_early, ///< a sync returns before anything is synced
    dots_reused,       ///< a restarted node has forgotten its last edits, and is told nothing by its peers
    no_dependencies,   ///< updates do not say what they depend on
    full_context,      ///< answers cover all dots, and carry only the missing ones
    pruned_early,      ///< what a node has seen itself is taken for stable
    plain_stability,   ///< tombstones of texts go as soon as their deletions are stable
    wrong_origin,      ///< a relay passes edits on as its own
    count_
};
std::string_view name(planted_bug b);

/// How often everything happened, by name.
using tally = std::map<std::string, std::uint64_t, std::less<>>;
void add(tally& to, const tally& from);
/// What every campaign must have seen, and has not.
std::vector<std::string> never_seen(const tally& t);

struct outcome {
    std::string violation; ///< empty if there is none
    tally counts;
    std::size_t edits = 0, faults = 0;
    time converged_after{0};        ///< since the last fault was healed
    std::vector<std::string> trace; ///< if asked for
};
outcome run(const schedule& s, planted_bug bug = planted_bug::none, bool trace = false);

/// The same failure with as few steps as possible, in at most so many runs.
schedule shrunk(schedule s, planted_bug bug, std::size_t most_runs = 400);

} // namespace joinery::simulation
