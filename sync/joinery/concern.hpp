// SPDX-License-Identifier: Apache-2.0
#pragma once

// What a caller waits for, write by write and read by read: on how many others, which of them, and how sure.

#include <joinery/dot.hpp>
#include <joinery/version_vector.hpp>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

namespace joinery {

namespace detail {
/// A time to wait that can be added to the present: whoever says `milliseconds::max()` waits for a century.
inline std::chrono::milliseconds waiting_time(std::chrono::milliseconds asked) {
    constexpr std::chrono::milliseconds none{0}, longest = std::chrono::hours(24 * 36'525);
    return std::clamp(asked, none, longest);
}
} // namespace detail

/// How sure it is that a peer has an edit when it says so.
enum class assurance : std::uint8_t {
    none,     ///< it need not say so: of edits that nobody is waited for
    received, ///< it has it in memory, and loses it with its process
    durable,  ///< it keeps it as its storage keeps what is written there
};

/// Which peers count.
enum class peer_scope : std::uint8_t {
    all,
    zone, ///< those of this node's zone (node_options::zone); nodes without one are one zone
};

struct write_options {
    /// How many peers must have it before `write` returns. More than are known: until more come, or the time runs out.
    /// On the node's own thread (in a subscriber) nobody is waited for, and the result is not complete.
    std::size_t acknowledgements = 0;
    /// How long to wait for them. The write stays, whatever comes.
    std::chrono::milliseconds timeout{5000};
    assurance level = assurance::durable; ///< what counts: `received` comes sooner, `none` cannot be waited for
    peer_scope scope = peer_scope::all;

    /// What peers are asked to say of the edit. Throws std::invalid_argument if it is to be acknowledged, but with
    /// none.
    assurance wanted() const {
        if (acknowledgements == 0) return assurance::none;
        if (level == assurance::none)
            throw std::invalid_argument("write: acknowledgements at assurance::none; `received` is the least");
        return level;
    }
};

struct read_options {
    /// How many peers must have said what they have, after the call, and this leader must have all of that, before the
    /// value is read.
    std::size_t answers = 0;
    std::chrono::milliseconds timeout{5000};
    peer_scope scope = peer_scope::all;
};

struct drain_options {
    /// How many peers must have everything. None: every peer that can come back, and at least one.
    std::optional<std::size_t> acknowledgements{};
    std::chrono::milliseconds timeout{30'000};
    peer_scope scope = peer_scope::all;
};

/// A peer that a caller waited for.
struct awaited_peer {
    replica_id id;
    std::string name;
};

struct drain_result {
    bool complete = true;              ///< as many peers as were asked for have everything durably
    std::vector<awaited_peer> missing; ///< the known peers in scope that had not, if not complete
};

/// A question to another leader of the same collection.
struct outgoing_request {
    replica_id to;
    std::vector<std::byte> bytes; ///< at most 64 KiB
};

struct request_result {
    std::optional<std::vector<std::byte>> answer; ///< none: it did not come in time
    bool sent = false;  ///< it has left: without an answer it is not known whether it was carried out
    bool again = false; ///< more than once: an earlier one may have been carried out too, and a later one yet be
};

struct write_result {
    std::optional<dot_range> dots;     ///< of the edit; none if nothing changed
    std::size_t acknowledged = 0;      ///< by how many peers, if it was asked for
    bool complete = true;              ///< as many as were asked for; also if nothing changed, so that nobody was
    std::vector<awaited_peer> missing; ///< the known peers in scope that did not answer in time, if not complete

    /// A session token: `leader::sync_to` elsewhere waits until this write is there.
    version_vector token() const { return dots ? version_vector{{dots->replica, dots->last}} : version_vector{}; }
};

template <class V> struct read_result {
    V value;                           ///< what was there when the time ran out, if not complete
    version_vector token;              ///< of what was read: a session token
    std::size_t answered = 0;          ///< how many peers
    bool complete = true;              ///< as many as were asked for
    std::vector<awaited_peer> missing; ///< the known peers in scope that did not answer in time, if not complete
};

} // namespace joinery
