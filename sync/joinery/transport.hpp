// SPDX-License-Identifier: Apache-2.0
#pragma once

// How a node reaches its peers. A transport carries frames (opaque bytes) and may lose, duplicate and
// reorder them; the engine repairs all of that. There are two ways to send: `broadcast` to everybody who
// listens (PUB/SUB), and `send` to one link (DEALER/ROUTER).
//
// A link is one way to one peer: either a peer that this node was told to dial, or one that dialled in.
// What a dialled peer broadcasts arrives on the same link as its direct answers. Two nodes that dial
// each other have two links; the engine recognises the peer behind a link by its messages.

#include <joinery/peer_key.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace joinery {

using link_id = std::uint64_t;

/// What those who can read or change a network can do to the frames of a transport.
enum class link_security : std::uint8_t {
    local,     ///< nothing: frames do not leave the machine
    insecure,  ///< read and forge them: they may leave the machine in plaintext
    encrypted, ///< nothing but hold them back: they are encrypted, and peers prove who they are
};

/// What a transport hands over, in order of arrival. Called only from within `poll`.
class transport_events {
public:
    virtual void received(link_id link, std::span<const std::byte> frame) = 0;
    /// The link can carry frames (again): the engine says hello.
    virtual void connected(link_id link) = 0;
    virtual void disconnected(link_id link) = 0;
    /// A connection ended before both sides had proved what they have to: whose, or which, for people.
    virtual void refused(std::string_view) {}

protected:
    ~transport_events() = default;
};

/// One thread, the owner's, waits and polls. All but `wait` and `wake` are called by one thread at a time, which
/// while the owner's is in `wait` may be another. `wake` may be called by any thread at any time.
class transport {
public:
    virtual ~transport() = default;

    /// To every peer that listens to this node. Never blocks; what cannot be sent is dropped and counted.
    virtual void broadcast(std::span<const std::byte> frame) = 0;
    /// To one peer. False if it cannot be sent now (unknown link, full queue); nothing is queued then.
    virtual bool send(link_id link, std::span<const std::byte> frame) = 0;

    /// Waits for at most `timeout` until there is a reason to poll: something came, something is due, or a
    /// `wake`. May end early without one.
    virtual void wait(std::chrono::milliseconds timeout) = 0;
    /// Hands over what has come, at most about 256 KiB, and does what is due. Never waits.
    virtual void poll(transport_events& events) = 0;
    /// Ends a `wait` that goes on now, or the next one.
    virtual void wake() = 0;

    /// Dials a peer or stops doing so, while running. An address is the transport's own form of one.
    virtual void connect(const std::string& address) = 0;
    virtual void disconnect(const std::string& address) = 0;

    /// The key that the peer behind a connected link has proved to hold; none where peers prove nothing.
    virtual std::optional<peer_key> key_of(link_id) const { return std::nullopt; }
    /// The key that this node proves to hold; none where peers prove nothing.
    virtual std::optional<peer_key> own_key() const { return std::nullopt; }
    /// From now on only peers with these keys are let in and dialled; links of others end, as do attempts of theirs.
    /// Has no effect where peers prove nothing.
    virtual void admit(const std::vector<peer_key>&) {}

    virtual link_security security() const { return link_security::local; }

    /// Frames above this size must not be sent.
    virtual std::size_t max_frame() const = 0;
    /// Where peers can dial this node, with wildcard ports resolved; empty if nowhere.
    virtual std::string address() const = 0;

    struct statistics {
        std::uint64_t frames_out = 0, bytes_out = 0, frames_in = 0, bytes_in = 0;
        std::uint64_t dropped = 0, reconnects = 0;
        /// Connections, dialled or let in, that ended before both sides had proved what they have to.
        std::uint64_t refused_handshakes = 0;
    };
    virtual statistics stats() const = 0;
};

} // namespace joinery
