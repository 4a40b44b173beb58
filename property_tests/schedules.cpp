// SPDX-License-Identifier: Apache-2.0
// Schedules as data: drawn from a seed, shrunk, and what they must have reached.
#include "simulated_disk.hpp"
#include "simulation.hpp"

#include <joinery/random_source.hpp>

#include <algorithm>
#include <iterator>
#include <span>

namespace joinery::simulation {

std::string_view name(step_kind k) {
    static constexpr std::string_view names[] = {
        "edit",        "look",     "keep a copy",   "bad network",     "partition",  "one-way partition",
        "cut",         "crash",    "crash in step", "storage failure", "clean stop", "lose storage",
        "set back",    "clone",    "evict",         "clock jump",      "pause",      "add link",
        "remove link", "newcomer", "leave",         "long absence",    "say",        "fall silent"};
    return names[static_cast<std::size_t>(k)];
}

std::string_view name(planted_bug b) {
    static constexpr std::string_view names[] = {"none",
                                                 "the last beacon is not sent",
                                                 "a sync that returns before anything is synced",
                                                 "dots reused after a restart",
                                                 "no dependencies",
                                                 "partial answers with a full context",
                                                 "pruned before the others have seen it",
                                                 "tombstones pruned by plain stability",
                                                 "relayed with a wrong origin"};
    return names[static_cast<std::size_t>(b)];
}

void add(tally& to, const tally& from) {
    for (const auto& [what, n] : from) to[what] += n;
}

std::vector<std::string> never_seen(const tally& t) {
    static constexpr std::string_view wanted[] = {
        // faults
        "loss", "duplication", "reordering", "corruption", "delay", "partition", "one-way partition",
        "bridged partition", "link cut", "crash", "crash without notice", "crash in a storage step",
        "crash in a starting process", "power cut", "storage failure", "storage failure in a starting process",
        "clean stop", "storage lost", "storage set back", "clone", "eviction", "clock jump", "pause", "link removed",
        "leave", "long absence", "state gone bad",
        // where
        "topology: line", "topology: ring", "topology: star", "topology: tree", "topology: complete",
        "topology: any graph", "link added", "network in one piece again", "newcomers",
        "nodes with some collections only",
        // what they led to
        "frames lost", "frames blocked", "frames duplicated", "frames reordered", "frames corrupted", "edits held back",
        "edits renamed", "edits made anew", "edits of an evicted node", "edits refused in a conflict",
        "new ids for a clone", "new ids for an original", "new ids that a crash hid",
        "edits that may be lost with their last storage", "comparisons with the specification", "followers", "hubs",
        "presence said", "presence ended", "given up for its silence", "clocks not believed",
        "hellos of who waits to be let in", "hellos to who once had more", "relays unwanted", "relays wanted",
        "relays cut off", "complete states for who was below the horizon", "mended as a whole", "mended dot by dot",
        "refusal: busy", "refusal: evicted", "refusal: another instance lives under this id",
        "refusal: the other instance has taken another id",
        // the engine's
        "event: changed", "event: peer up", "event: peer down", "event: identity conflict", "event: identity resolved",
        "event: new id", "event: member joined", "event: member gone", "event: evicted", "event: rejected",
        "event: buffer dropped", "event: divergence", "event: repaired", "engine: edits_published",
        "engine: updates_applied", "engine: updates_relayed", "engine: updates_duplicate", "engine: updates_buffered",
        "engine: buffers_dropped", "engine: beacons_received", "engine: hellos_received", "engine: pulls_sent",
        "engine: pulls_resumed", "engine: pulls_failed", "engine: pulls_completed", "engine: answers_made",
        "engine: answers_refused", "engine: chunks_sent", "engine: chunks_received", "engine: chunks_unwanted",
        "engine: frames_rejected", "engine: compactions", "engine: prunings", "engine: updates_dropped",
        "engine: divergences", "engine: comparisons_sent", "engine: comparisons_answered", "engine: repairs",
        "engine: dots_repaired", "engine: presence_sent", "engine: presence_relayed", "engine: presence_received",
        "engine: presence_duplicate", "engine: presence_expired"};
    static constexpr std::string_view wanted_of_sqlite[] = {
        "nodes on SQLite",
        // where the power failed, of what is not rare
        "SQLite dies while opening", "SQLite dies while loading", "SQLite dies while attaching",
        "SQLite dies while syncing", "SQLite dies while compacting", "SQLite dies in a write to the WAL",
        "SQLite dies in a sync of the WAL", "SQLite dies in a write to the file"};
    std::vector<std::string> out;
    const auto look_for = [&](std::span<const std::string_view> all) {
        for (auto what : all)
            if (const auto at = t.find(what); at == t.end() || at->second == 0) out.emplace_back(what);
    };
    look_for(wanted);
    if (sqlite_is_there) look_for(wanted_of_sqlite);
    return out;
}

namespace {

// When the last step of a kind may be; the first is at 300.
std::size_t length_of(const schedule& s) {
    return s.steps.empty() ? 1000 : static_cast<std::size_t>(s.steps.back().at.count()) - 299;
}

void sort_by_time(std::vector<step>& steps) {
    std::stable_sort(steps.begin(), steps.end(), [](const step& a, const step& b) { return a.at < b.at; });
}

// What is added is drawn apart from the rest, so that plain schedules stay what they were.
schedule wide_schedule(std::uint64_t seed) {
    auto s = plain_schedule(seed);
    testing::random_source random(seed ^ 0x71de'71de'71de'71deu);
    if (random.chance(12)) s.nodes = random.between(5, 6);
    if (random.chance(40)) s.topology = static_cast<unsigned>(random.between(10, 13)); // trees, and any graphs
    s.ledger = random.chance(s.collections > 1 ? 50 : 10);
    s.wordy = random.chance(15);
    s.partial = s.collections > 1 && s.nodes > 2 && random.chance(40);
    s.late = s.nodes > 2 && random.chance(12);
    s.forgets = random.chance(6);
    s.goes_bad = random.chance(8);
    const auto length = length_of(s);
    const auto put = [&](step_kind what, std::size_t within) {
        s.steps.push_back({time(300 + random.below(within)), what, random.below(60), random.next()});
    };
    if (s.late) put(step_kind::newcomer, length);
    if (random.chance(30))
        for (std::size_t n = random.between(1, 4); n > 0; --n) {
            put(step_kind::remove_link, length);
            if (random.chance(70)) put(step_kind::add_link, length);
        }
    if (random.chance(12)) put(step_kind::leave, length);
    if (random.chance(30)) {
        for (std::size_t n = random.between(1, 4); n > 0; --n) put(step_kind::say, length);
        if (random.chance(60)) put(step_kind::fall_silent, length);
    }
    if (s.forgets) { // who is given up must be gone indeed
        std::erase_if(s.steps, [](const step& x) {
            return x.what == step_kind::bad_network || x.what == step_kind::partition ||
                   x.what == step_kind::one_way_partition || x.what == step_kind::cut || x.what == step_kind::pause ||
                   x.what == step_kind::evict || x.what == step_kind::clone || x.what == step_kind::remove_link;
        });
        s.followers = true;
        for (std::size_t n = random.between(1, 2); n > 0; --n) put(step_kind::long_absence, length / 2);
    }
    sort_by_time(s.steps);
    return s;
}

} // namespace

schedule random_schedule(std::uint64_t seed) {
    const bool sqlite = testing::random_source(seed ^ 0xd15c'd15c'0d15'cd15u).below(50) == 0; // they take long
    return sqlite ? schedule_on_sqlite(seed) : wide_schedule(seed);
}

schedule schedule_on_sqlite(std::uint64_t seed) {
    auto s = wide_schedule(seed);
    s.sqlite = true;
    testing::random_source random(seed ^ 0x5912'7e59'127e'5912u);
    const auto length = length_of(s);
    static constexpr step_kind kinds[] = {step_kind::crash_in_step, step_kind::crash_in_step, step_kind::crash_in_step,
                                          step_kind::clean_stop, step_kind::lose_storage};
    for (std::size_t n = random.between(4, 8); n > 0; --n)
        s.steps.push_back(
            {time(300 + random.below(length)), kinds[random.below(std::size(kinds))], random.below(60), random.next()});
    sort_by_time(s.steps);
    return s;
}

schedule plain_schedule(std::uint64_t seed) {
    testing::random_source random(seed ^ 0x5eed'5eed'5eed'5eedu);
    schedule s;
    s.seed = seed;
    s.nodes = random.between(2, 4);
    s.collections = random.chance(70) ? 1 : 2;
    s.small_limits = random.chance(40);
    s.topology = static_cast<unsigned>(random.below(10));
    const std::size_t length = random.between(2000, 6000);
    const auto put = [&](step_kind what, std::size_t at) {
        s.steps.push_back({time(at), what, random.below(60), random.next()});
    };
    for (std::size_t n = random.between(45, 75); n > 0;) { // in bursts, or one at a time
        std::size_t burst = random.chance(20) ? std::min<std::size_t>(n, random.between(2, 10)) : 1;
        std::size_t at = 300 + random.below(length);
        for (n -= burst; burst > 0; --burst) put(step_kind::edit, at += random.below(10));
    }
    for (std::size_t n = random.between(1, 3); n > 0; --n) put(step_kind::look, 300 + random.below(length));
    for (std::size_t n = random.between(1, 4); n > 0; --n) put(step_kind::keep_copy, 300 + random.below(length));
    for (std::size_t n = random.between(4, 10); n > 0; --n) {
        const auto first = static_cast<std::size_t>(step_kind::bad_network);
        const auto kinds = static_cast<std::size_t>(step_kind::add_link) - first;
        const auto what = static_cast<step_kind>(first + (random.chance(25) ? 0 : random.below(kinds)));
        put(what, 300 + random.below(length));
        if (what != step_kind::set_back) continue; // what was copied before, and then goes on without the rest
        auto& fault = s.steps.back();
        const auto who = fault.who;
        put(step_kind::keep_copy, 300 + random.below(static_cast<std::size_t>(fault.at.count()) - 299));
        s.steps.back().who = who;
    }
    sort_by_time(s.steps);
    s.bridges = random.chance(70);
    s.followers = random.chance(30);
    return s;
}

schedule shrunk(schedule s, planted_bug bug, std::size_t most_runs) {
    bool again = true;
    while (again && most_runs > 0) {
        again = false;
        for (std::size_t count = std::max<std::size_t>(s.steps.size() / 2, 1); count > 0; count /= 2) {
            for (std::size_t end = s.steps.size(); end >= count && most_runs > 0; --most_runs) {
                schedule smaller = s;
                const auto last = smaller.steps.begin() + static_cast<std::ptrdiff_t>(end);
                smaller.steps.erase(last - static_cast<std::ptrdiff_t>(count), last);
                if (run(smaller, bug).violation.empty()) {
                    --end;
                } else {
                    s = std::move(smaller);
                    again = true;
                    end = std::min(end, s.steps.size());
                }
            }
        }
    }
    return s;
}

} // namespace joinery::simulation
