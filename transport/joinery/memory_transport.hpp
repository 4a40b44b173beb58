// SPDX-License-Identifier: Apache-2.0
#pragma once

// A network within one process: for tests, for examples, and for several leaders in one program.
//
//     joinery::memory_network network;
//     auto eu = network.make("eu");
//     auto us = network.make("us", {"eu"});     // dials eu, whose frames reach us and the other way round
//
// It behaves like the network outside: a peer may be dialled before it exists and connects once it does,
// a transport that is destroyed is disconnected everywhere, and a queue that is full drops what is
// broadcast, counts it, and refuses what is sent. Frames of one link neither overtake each other nor are
// they changed; a simulated network is the place for that.
//
// Thread safety: make and the transports may be used from any threads, each transport from one at a time.

#include <joinery/transport.hpp>

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace joinery {

struct memory_network_options {
    /// The bounds of each transport's queue of frames that it has not polled yet.
    std::size_t queue_frames = 65536;
    std::size_t queue_bytes = std::size_t{64} << 20;
    std::size_t max_frame = std::size_t{1} << 20; ///< bytes
};

/// What the transports have in common. They keep it alive, so it may be destroyed before them.
class memory_network {
public:
    explicit memory_network(memory_network_options options = {});

    /// A transport that can be dialled as `name` and dials `peers`. An empty name cannot be dialled.
    /// With a key its peers know it by that, and it can be told whom to `admit`. Throws std::runtime_error if the name
    /// is in use. Dialling its own name never connects.
    std::unique_ptr<transport> make(std::string name, const std::vector<std::string>& peers = {},
                                    std::optional<peer_key> key = std::nullopt);

    class state;

private:
    std::shared_ptr<state> state_;
};

} // namespace joinery
