// SPDX-License-Identifier: Apache-2.0
#pragma once

// Who may do what. A peer is known by the key that it has proved to hold (transport::key_of); its replica_ids, which
// are random and change, are bound to the key.
//
//     joinery::access_policy policy;
//     policy.peers = {{.key = us, .name = "us"},                                                  // reads and writes
//                     {.key = kiosk, .rights = joinery::access_right::read},
//                     {.key = partner, .rights = joinery::access_right::none,
//                      .collections = {{"orders", joinery::access_right::write}}, .relay = false}};
//     options.access = policy;
//
// A policy is a node's own: it says what this node takes from its peers and gives them. Nodes without one take from
// everybody and give everything.

#include <joinery/peer_key.hpp>
#include <joinery/replica_id.hpp>

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace joinery {

/// In a collection; each includes those before it.
enum class access_right : std::uint8_t {
    none,
    read,  ///< it hears of edits, and may fetch them; and says that it is there (presence)
    write, ///< its edits are taken
    admin, ///< it may say that others are members no more, and order what operators order (home_router::hand_over)
};
/// Its name: "none", "read", "write", "admin".
std::string_view to_string(access_right r);

struct peer_access {
    peer_key key{};
    std::string name{}; ///< for people
    /// In collections that are not named below. Only here admin counts for evictions, since they are of all
    /// collections.
    access_right rights = access_right::write;
    std::map<std::string, access_right, std::less<>> collections{}; ///< by name
    /// It is trusted to bring edits of others, and their word, unchanged. None: where it may write.
    std::optional<bool> relay{};
    /// If there are any, the only ones that it may have. Otherwise those under which its key is the first to say hello.
    std::vector<replica_id> ids{};

    access_right in(std::string_view collection) const;
    /// Relaying needs at least the right to read.
    bool relays(std::string_view collection) const;
};

struct access_policy {
    /// This node: what it may do itself, and its own key; none: that of its transport. If that has none either, anybody
    /// may claim to be this node.
    peer_access self{.rights = access_right::admin};
    std::vector<peer_access> peers{};
    /// Those without a key, and with one that is not listed. With any right here the transport is not told whom to let
    /// in.
    peer_access others{.rights = access_right::none};

    /// Null if it is not let in. A holder of the node's own key is the node, a copy of it perhaps. O(peers).
    const peer_access* find(const std::optional<peer_key>& key) const;
    /// Of all that are listed.
    std::vector<peer_key> keys() const;
    /// Throws std::invalid_argument if a key is listed twice, or an id for two keys.
    void check() const;
};

} // namespace joinery
