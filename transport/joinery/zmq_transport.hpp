// SPDX-License-Identifier: Apache-2.0
#pragma once

// The transport over ZeroMQ: TCP (IPv4 and IPv6) and, within one machine, ipc. In the library joinery-zmq.
//
//     joinery::zmq_options options;
//     options.listen = "tcp://127.0.0.1:7001";
//     options.peers = {"tcp://127.0.0.1:7002", "tcp://127.0.0.1:7003"};
//     std::unique_ptr<joinery::transport> node = joinery::zmq_transport(options);
//
// One address per leader. `listen` is where a ROUTER socket takes direct messages. Broadcasts leave from a
// PUB socket at an endpoint of its own, which a peer that dials `listen` is told, and told again whenever
// it has to connect anew. So a leader that restarts may publish elsewhere; nobody has to be told of it.
//
// `connected` for a dialled peer means that a broadcast of that peer has arrived and that it has answered:
// both directions work, and nothing that it broadcasts from then on is missed while the queues suffice.
// For a peer that dialled in it means that the peer has got that far. Frames arrive only on links that
// are connected.
//
// Nothing is lost silently. `send` answers false if there is no room. A broadcast for which a subscriber
// has no room is dropped there, which ZeroMQ does not report, so broadcasts are numbered: the subscriber
// counts each one that it missed in its `stats().dropped`, by the next heartbeat at the latest, and the
// publisher counts in its own each time that a queue became full. Frames without a connected link,
// malformed ones and ones with several parts are dropped and counted too.
//
// A connection that ends is replaced by new sockets after a pause that doubles from `reconnect_min` to
// `reconnect_max`, a quarter more or less at random. That covers what ZeroMQ itself does not come back
// from, such as a message above its limit of size. ZeroMQ's own heartbeats stay off: in libzmq 4.3.4 they
// abort the process ("Assertion failed: !_io_error") once a peer fills the receive queue and goes away.
// Leaders exchange signs of life of their own instead.
//
// There is no thread here but ZeroMQ's: everything happens in the calls of the owner, which therefore
// has to wait and poll a few times per `heartbeat`.
//
// With `keys` all connections are encrypted, and both sides prove their keys (CURVE, which is Curve25519, Salsa20 and
// Poly1305 with new keys for each connection). A peer is let in if its key is among `admitted`; the address of one that
// is dialled ends in '#' and the key that it has to prove, as `address()` does:
//
//     options.keys = joinery::load_keys("eu.key");
//     options.admitted = {us, asia};
//     options.peers = {"tcp://192.0.2.2:7001#" + joinery::to_string(us)};
//
// `transport::admit` replaces `admitted` while running. Who is admitted no more loses its links in that call, and what
// it says is dropped from then on. Who is let in no more loses its connections by the next poll: the listening sockets
// are made anew, since ZeroMQ cannot end a single connection of theirs. So all peers that had dialled in lose theirs,
// and dial again; broadcasts until then are dropped and counted.
//
// Without `keys` a connection is not encrypted and a peer is not authenticated, so addresses off this machine are
// refused unless `insecure` is set.
//
// A peer can use memory up to its queue, `receive_high_water` frames of twice `max_frame` bytes each, and libzmq limits
// neither the number of connections nor the parts of a message: let in only who is trusted not to exhaust the memory.
// A stranger at a listener with keys has no queue. It can hold connections for as long as `handshake`, each of which
// takes a descriptor and up to twice `max_frame` bytes.

#include <joinery/keys.hpp>
#include <joinery/transport.hpp>

#include <chrono>
#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace joinery {

struct zmq_options {
    /// Where peers dial: "tcp://127.0.0.1:7001", "tcp://[::1]:7001", "tcp://127.0.0.1:*" for any free port,
    /// or "ipc:///run/leader"; with `keys` or `insecure`, also "tcp://*:7001" (IPv4) and "tcp://[::]:7001" (both).
    /// Empty: nobody can dial this node, and what it broadcasts reaches nobody.
    std::string listen{};
    /// Where to publish. Empty: any free port of the same host, or for ipc the path with ".pub" after it. If
    /// given, it must have the host of `listen`, or for ipc a path that begins with that of `listen`.
    std::string publish{};
    /// Addresses to dial, as by `transport::connect`; with `keys`, each ends in '#' and the peer's public key.
    std::vector<std::string> peers{};

    /// What this node proves itself with; none: nobody proves anything.
    std::optional<key_pair> keys{};
    /// The keys of the peers that may dial this node, and that it dials: an address with another key waits until its
    /// key is admitted. Only with `keys`.
    std::vector<peer_key> admitted{};
    /// Allows plaintext to and from other machines. Without it, and without `keys`, only ipc, 127.0.0.0/8, [::1] and
    /// "localhost" are accepted.
    bool insecure = false;

    /// The greatest frame to send, in bytes. Frames of up to twice this size are accepted from peers, so
    /// that leaders whose limits differ a little can run together; a greater one ends the connection.
    std::size_t max_frame = std::size_t{1} << 20;
    /// Queue lengths in frames, for each connection.
    std::size_t send_high_water = 4096;
    std::size_t receive_high_water = 1024;
    /// How many peers may have dialled in at the same time.
    std::size_t max_inbound = 1024;

    /// How often peers exchange signs of life. A link ends when ten in succession are missing.
    std::chrono::milliseconds heartbeat{1000};
    /// The first and the greatest pause before a connection is tried again.
    std::chrono::milliseconds reconnect_min{100};
    std::chrono::milliseconds reconnect_max{5000};
    /// How long each step of connecting may take before it is tried from the start. With `keys`, at most 30 s.
    std::chrono::milliseconds handshake{5000};
    /// How long the destructor may wait for frames that are still queued.
    std::chrono::milliseconds linger{200};
};

/// Binds at once, and starts to dial the peers with the first `poll`.
/// Throws std::invalid_argument for a bad option, which the message names, and std::runtime_error for an
/// endpoint that cannot be bound, with the endpoint and the system's reason. The transport's `connect`
/// throws std::invalid_argument likewise. Numeric addresses are best: while libzmq looks up a host name,
/// nothing else is sent or received.
std::unique_ptr<transport> zmq_transport(zmq_options options);

} // namespace joinery
