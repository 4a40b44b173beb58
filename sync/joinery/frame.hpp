// SPDX-License-Identifier: Apache-2.0
#pragma once

// What goes around bare encodings when they are stored or sent:
//
//     frame    := "jy" version:u8 kind:u8 [collection:u64 fingerprint:u64] length:varint body checksum:u32
//     body     := length bytes
//     checksum := the low half of the XXH3 of all that comes before it
//
// Fixed numbers are little-endian. Stored frames (snapshots and log records) name their collection and its
// type; frames of messages do not, because a message names its collection itself (messages.hpp). So a
// datagram, however many messages it carries, costs nine to eleven bytes.

#include <joinery/decode_error.hpp>
#include <joinery/result.hpp>

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace joinery {

/// Of the frame and of what is in it; a frame of another version is decode_error::unknown_version.
inline constexpr std::uint8_t frame_version = 1;

enum class frame_kind : std::uint8_t {
    direct = 1,    ///< messages, sent to one link
    broadcast = 2, ///< messages, published
    snapshot = 3,  ///< stored: one complete state
    record = 4,    ///< stored: deltas, each after its length; after a length of 0, a mark of the engine
};

constexpr bool is_stored(frame_kind k) { return k == frame_kind::snapshot || k == frame_kind::record; }

/// Collects a body and closes it, without copying it. Reused after `clear()`, it allocates no more.
class frame_writer {
public:
    frame_writer() { clear(); }

    /// Where to append the body's bytes. Requires: the frame is not closed.
    std::vector<std::byte>& body() { return buffer_; }
    std::size_t body_size() const { return (closed_ ? end_ : buffer_.size()) - room; }

    /// The frame around the body; valid until the next call. A frame of messages may be closed again as the
    /// other kind. O(body) for the checksum.
    std::span<const std::byte> close(frame_kind kind, std::uint64_t collection = 0, std::uint64_t fingerprint = 0);

    /// An empty body.
    void clear();

private:
    static constexpr std::size_t room = 2 + 1 + 1 + 16 + 10; // the longest header
    std::vector<std::byte> buffer_;                          // room, body, checksum once closed
    std::size_t end_ = 0;                                    // of the body, once closed
    bool closed_ = false;
};

/// A frame that was checked. `body` refers into the bytes that it was read from.
struct frame_view {
    frame_kind kind{};
    std::uint64_t collection = 0;
    std::uint64_t fingerprint = 0;
    std::span<const std::byte> body;
};

/// Checks everything but what the body says. O(size).
result<frame_view, decode_error> open_frame(std::span<const std::byte> bytes);

/// The same for what a storage gave back: wrong_type if it is of another kind, collection or type.
result<std::span<const std::byte>, decode_error> open_stored(std::span<const std::byte> bytes, frame_kind kind,
                                                             std::uint64_t collection, std::uint64_t fingerprint);

} // namespace joinery
