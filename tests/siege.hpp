// SPDX-License-Identifier: Apache-2.0
#pragma once

// What the processes of a siege have in common (siege.cpp): what is written, who may what, and how much memory a leader
// may take.

#include <joinery/keys.hpp>
#include <joinery/leader.hpp>
#include <joinery/lww_map.hpp>
#include <joinery/or_set.hpp>
#include <joinery/record.hpp>
#include <joinery/zmq_transport.hpp>

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace siege {

struct board {
    joinery::or_set<std::string> items;
    joinery::lww_map<std::string, std::string> notes;
};
JOINERY_RECORD(board, (1, items), (2, notes))

/// In the first the hostile peers may write, in the second only read.
inline const std::vector<std::string> collections{"commons", "ours"};
inline constexpr std::size_t commons = 0, ours = 1;

/// As an operator sets them who does not trust all peers and has little memory.
inline joinery::engine_limits limits(bool rates) {
    joinery::engine_limits l;
    l.rate_messages = rates ? 500 : 0;
    l.rate_bytes = rates ? std::uint64_t{1} << 20 : 0;
    l.buffer = std::size_t{4} << 20;
    l.buffer_per_link = std::size_t{1} << 20;
    l.version_entries = 1000;
    l.peer_ids = 8;
    l.staging = std::size_t{4} << 20;
    l.answers = 16;
    l.answer_bytes = std::size_t{8} << 20;
    l.peers = 64;
    l.members = 1000;
    l.presence_entries = 100;
    l.requests = 100;
    return l;
}

inline joinery::zmq_options sockets(const joinery::key_pair& keys, const std::vector<joinery::peer_key>& admitted) {
    joinery::zmq_options z;
    z.keys = keys;
    z.admitted = admitted;
    z.max_frame = std::size_t{128} << 10;
    z.send_high_water = 256;
    z.receive_high_water = 64;
    return z;
}

/// What a leader's peers can make it hold, in bytes: the bounds of docs/operations.md, one by one, and what there is
/// without them.
inline std::size_t memory_cap(const joinery::engine_limits& l, const joinery::zmq_options& z, std::size_t connections,
                              std::size_t before) {
    const std::size_t queues = connections * (z.receive_high_water * 2 * z.max_frame + z.send_high_water * l.batch);
    const std::size_t versions = l.peers * 10 * l.version_entries * 16;
    const std::size_t answers = l.answer_bytes + l.staging;
    const std::size_t others = l.requests * 2 * joinery::request::max_bytes + l.presence_bytes;
    const std::size_t decoding = 64 * 2 * z.max_frame;
    const std::size_t of_collection =
        l.buffer + l.staging + (std::size_t{64} << 20); // the last: removals that are kept
    return before + queues + versions + answers + others + decoding + collections.size() * of_collection;
}

/// `main` of the leader under siege: LISTEN FILE KEYS RATES KEY..., of the good peers and then, after "-", of the
/// hostile ones. It answers lines, as child_process expects.
int run_leader(const std::vector<std::string>& args);
/// `main` of hostile peers: ADDRESS KEYS NUMBER SEED "here" or "elsewhere".
int run_attacker(const std::vector<std::string>& args);

/// Bytes that are allocated in this process now.
std::size_t heap_in_use();
/// Resident bytes: now, and the most so far.
struct resident {
    std::size_t now = 0, most = 0;
};
resident resident_memory();

} // namespace siege
