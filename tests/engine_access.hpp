// SPDX-License-Identifier: Apache-2.0
#pragma once

// Nodes of a router that have keys and policies, and peers that the test plays itself.

#include "engine_router.hpp"

#include <cstdint>
#include <initializer_list>
#include <string>
#include <utility>

inline joinery::peer_key test_key(unsigned n) {
    joinery::peer_key k;
    k.bytes.fill(static_cast<std::byte>(n));
    return k;
}

/// The policy of a node at this place: the nodes at places 0, 1, ... have the keys 1, 2, ...
inline joinery::access_policy policy_at(std::size_t place, std::vector<joinery::peer_access> peers) {
    joinery::access_policy p;
    p.self.key = test_key(static_cast<unsigned>(place) + 1);
    p.peers = std::move(peers);
    return p;
}

inline joinery::peer_access access_of(std::size_t place, joinery::access_right right) {
    joinery::peer_access a;
    a.key = test_key(static_cast<unsigned>(place) + 1);
    a.rights = right;
    return a;
}

/// A node with a key, and no policy yet.
inline test_engine& add_with_key(router& r, std::string name, joinery::durability level = joinery::durability::full) {
    auto& n = r.add(std::move(name), level);
    n.key = test_key(static_cast<unsigned>(r.nodes.size()));
    return n;
}

inline joinery::channel set_channel() {
    return joinery::channel_of(joinery::name_digest("set"), joinery::fingerprint<set_of_strings>());
}

inline joinery::hello hello_of(joinery::replica_id who, std::uint64_t nonce, joinery::version_vector version = {}) {
    joinery::hello h;
    h.replica = who;
    h.nonce = nonce;
    h.name = "played";
    h.collections.push_back(
        {joinery::name_digest("set"), joinery::fingerprint<set_of_strings>(), std::move(version), true, true});
    return h;
}

/// On a link to a node, from a peer that the test plays.
template <class... M> void say(test_engine& to, joinery::link_id link, const M&... m) {
    joinery::message_batch b;
    (b.add(m), ...);
    const auto frame = b.close(joinery::frame_kind::direct);
    to.engine->received(link, frame);
    to.engine->flush();
}

/// An edit of this origin that adds an element, encoded.
inline std::vector<std::byte> edit_of(joinery::replica<set_of_strings>& origin, const std::string& element) {
    return joinery::encode(origin.edit([&](auto& s, auto& tx) { s.add(tx, element); }));
}
