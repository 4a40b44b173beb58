// SPDX-License-Identifier: Apache-2.0
#pragma once

// What two ZeroMQ transports say to each other besides frames of the engine, and the addresses they use.
// Private to transport/: the tests and the fuzz target include it, nothing is installed.
//
// The first byte of every message tells the two apart:
//
//     frame     = 'J' bytes-of-the-engine                      over DEALER and ROUTER
//     broadcast = 'B' sequence(u64) bytes-of-the-engine        over PUB; numbers are little-endian
//     control   = 'j' version(1) kind body
//     hello   = kind 1, stage(u8)                              dialler to listener, over DEALER
//     welcome = kind 2, incarnation(u64), place                listener to dialler, over ROUTER
//     place   = 1 port(u16) | 2 suffix(1 to 32 of [A-Za-z0-9._-])
//     pulse   = kind 3, incarnation(u64), sequence(u64)        publisher to subscribers, over PUB
//     bye     = kind 4                                         either way between DEALER and ROUTER
//
// A dialler that knows only the listener's ROUTER asks (stage 0) and learns where the PUB socket is: a
// port on the same host, or a suffix to the same path, never another host or path, so a hostile listener
// can point at nothing but itself. Once the dialler's SUB socket is up it says so (stage 1), and the
// listener publishes a pulse. A pulse that arrives proves that the subscription is in force; that it
// carries the welcome's incarnation proves that both sockets reach the same process, not one that was
// given a port which another has just freed. Then the dialler says that it is ready (stage 2), from which
// moment the listener sends to it, and repeats this as a sign of life.
//
// A publisher numbers its broadcasts from 0, and a pulse carries the number of the next one. ZeroMQ tells
// neither side what it drops for a subscriber with a full queue; the gaps tell the subscriber.

#include <joinery/decode_error.hpp>
#include <joinery/peer_key.hpp>
#include <joinery/result.hpp>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace joinery::detail {

inline constexpr std::byte frame_mark{'J'};
inline constexpr std::byte broadcast_mark{'B'};
inline constexpr std::byte control_mark{'j'};
inline constexpr std::size_t broadcast_header = 1 + sizeof(std::uint64_t);
inline constexpr std::uint8_t control_version = 1;
inline constexpr std::size_t max_place_suffix = 32;

enum class dial_stage : std::uint8_t { asking = 0, subscribed = 1, ready = 2 };

struct hello {
    dial_stage stage = dial_stage::asking;
    friend bool operator==(const hello&, const hello&) = default;
};
/// Where the listener publishes: a port (tcp), or a suffix to the listener's path (ipc).
using publish_place = std::variant<std::uint16_t, std::string>;
struct welcome {
    std::uint64_t incarnation = 0;
    publish_place place;
    friend bool operator==(const welcome&, const welcome&) = default;
};
struct pulse {
    std::uint64_t incarnation = 0;
    std::uint64_t next = 0; ///< the sequence number of the next broadcast
    friend bool operator==(const pulse&, const pulse&) = default;
};
struct bye {
    friend bool operator==(const bye&, const bye&) = default;
};
using control = std::variant<hello, welcome, pulse, bye>;

/// The whole message, mark included.
std::vector<std::byte> encode_control(const control& c);
/// Reads a whole message, mark included. Total: any bytes give a value or an error, and what it accepts is
/// exactly what `encode_control` writes.
result<control, decode_error> decode_control(std::span<const std::byte> message);

/// Writes a broadcast's header to `to`, which has room for `broadcast_header` bytes.
void encode_broadcast(std::byte* to, std::uint64_t sequence);
/// The sequence number of a broadcast, mark included.
result<std::uint64_t, decode_error> decode_broadcast(std::span<const std::byte> message);

/// A ZeroMQ address that was checked: "tcp://HOST:PORT" or "ipc://PATH", if it is dialled also with "#KEY" after it.
struct zmq_address {
    enum class use : std::uint8_t { dial, bind };

    bool ipc = false;
    std::string host;            ///< IPv4 address, "[IPv6 address]", host name or "*"; for ipc the path
    std::string port;            ///< 1 to 65535 or "*"; empty for ipc
    std::optional<peer_key> key; ///< that whoever listens there has to prove

    /// Throws std::invalid_argument; `what` names the option in the message. Wildcards are for `bind`.
    static zmq_address parse(const std::string& whole, use u, std::string_view what);

    /// Without the key.
    std::string str() const;
    bool numeric_ipv6() const { return !ipc && host.front() == '['; }
    /// Neither an IP address nor a wildcard: it has to be looked up.
    bool named() const;
    /// True if nothing that is sent there leaves the machine: ipc, 127.0.0.0/8, [::1] and "localhost".
    bool local() const;
    /// The address of the PUB socket that a listener at this address says is at `place`; empty if the place
    /// does not fit the scheme or is malformed.
    std::string publish_endpoint(const publish_place& place) const;
};

} // namespace joinery::detail
