// SPDX-License-Identifier: Apache-2.0
#pragma once

// What engines say to each other. Each message is encodable by itself; on the wire one frame carries a
// batch of them, which share one table of names: a replica or a collection costs eight bytes the first time
// that the frame names it and one afterwards.
//
//     message_batch out;
//     out.add(joinery::pull{carts, request, version, 0, window});
//     transport.send(link, out.close(joinery::frame_kind::direct));
//
// An update does not repeat what its delta says: the origin and the sequence range are the delta's coverage,
// which stands at its beginning and can be read without knowing the type (edit_dots).

#include <joinery/codec.hpp>
#include <joinery/concern.hpp>
#include <joinery/frame.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace joinery {

inline constexpr std::uint32_t protocol_version = 1;

/// A collection on the wire: one name with one type. Peers whose types have other fingerprints have another
/// channel, so that their updates can never be mistaken for ours.
struct channel {
    std::uint64_t value = 0;
    friend constexpr auto operator<=>(channel, channel) = default;
};
std::uint64_t name_digest(std::string_view collection);
channel channel_of(std::uint64_t name_digest, std::uint64_t fingerprint);

/// The dots of an edit, from the beginning of its encoded delta: one range of one replica. O(1).
result<dot_range, decode_error> edit_dots(std::span<const std::byte> delta);
/// What an encoded delta covers. O(coverage).
result<causal_context, decode_error> coverage_of(std::span<const std::byte> delta);

/// What a node is for.
enum class node_role : std::uint8_t {
    leader = 0,   ///< takes writes
    follower = 1, ///< takes none: a copy to read from
    hub = 2,      ///< takes none: the centre of a star, which relays
};
std::string_view to_string(node_role r);

/// The beginning of every conversation, and its answer: who I am and what I have.
struct hello {
    struct collection {
        std::uint64_t name = 0; ///< name_digest
        std::uint64_t fingerprint = 0;
        version_vector version;
        bool member = false;      ///< I am a member
        bool group = false;       ///< there are members besides you: take what I have before you publish
        bool fallen_back = false; ///< you once had more of it than you say now
        bool withholds = false;   ///< I have edits that I do not publish yet
        bool refuses = false;     ///< I do not take your edits
        friend bool operator==(const collection&, const collection&) = default;
    };
    std::uint32_t protocol = protocol_version;
    replica_id replica;
    std::uint64_t nonce = 0;     ///< of this instance: random, new with every start
    std::uint64_t challenge = 0; ///< not 0: answer with a hello that echoes this number
    std::uint64_t echo = 0;      ///< the challenge that this answers, or 0: so it was written after it
    bool hears = false;          ///< the receiver's broadcasts arrive here
    bool complete = true;        ///< false: more hellos with the same echo and other collections follow
    std::uint8_t durability = 0; ///< of my storage
    node_role role = node_role::leader;
    std::string name;                ///< for people; at most `max_name` bytes
    std::string zone;                ///< of the node: a region's name; at most `max_name` bytes
    std::vector<replica_id> formers; ///< ids that I had before and will not have again; at most `max_formers`
    std::vector<collection> collections;

    static constexpr std::size_t max_name = 64;
    static constexpr std::size_t max_formers = 64;
    friend bool operator==(const hello&, const hello&) = default;
};

/// One edit.
struct update {
    joinery::channel channel;
    assurance wanted{};               ///< answer with a receipt at once, or with a beacon once it is durable
    version_vector dependencies;      ///< only what changed since the origin's edit before this one
    std::span<const std::byte> delta; ///< when decoded: refers into the bytes that it was read from, or into the reader
};

/// What I have, durably: at once a way to notice losses, and an acknowledgement.
struct beacon {
    struct collection {
        joinery::channel channel;
        version_vector version;
        std::uint64_t members = 0;           ///< the digest of my list of members; 0 if I hold edits back
        std::optional<std::uint64_t> digest; ///< of the state at exactly this version
        friend bool operator==(const collection&, const collection&) = default;
    };
    replica_id replica;
    std::uint64_t nonce = 0;
    std::vector<collection> collections;
    friend bool operator==(const beacon&, const beacon&) = default;
};

/// Send me what I lack. The answer is one or more encoded deltas, in chunks. Sent again with the same request, it
/// goes on at `offset`. A repair asks for what the other has of some dots that both have seen.
struct pull {
    joinery::channel channel;
    std::uint64_t request = 0;
    version_vector version;
    std::uint64_t offset = 0; ///< I have the answer's bytes below this
    std::uint64_t until = 0;  ///< and credit for the bytes below this
    bool repair = false;      ///< at exactly `version`: what you have of these dots; of none: your complete state
    causal_context dots{};
    friend bool operator==(const pull&, const pull&) = default;
};

struct chunk {
    joinery::channel channel;
    std::uint64_t request = 0;
    std::uint64_t answer = 0; ///< the digest of the whole answer: chunks of different answers never mix
    std::uint64_t offset = 0;
    std::uint64_t total = 0;          ///< bytes of the whole answer
    std::span<const std::byte> bytes; ///< when decoded: refers into the bytes that it was read from
};

struct credit {
    joinery::channel channel;
    std::uint64_t request = 0;
    std::uint64_t received = 0; ///< all bytes below this have arrived; when that is all, the answer is done
    std::uint64_t until = 0;    ///< bytes below this may be sent
    friend bool operator==(const credit&, const credit&) = default;
};

enum class refusal : std::uint8_t {
    protocol = 1,        ///< your protocol version is not mine
    type = 2,            ///< I have a collection of that name with another type
    unknown = 3,         ///< I have no such collection
    busy = 4,            ///< not now: ask again later, or another
    identity_in_use = 5, ///< another instance, with this nonce, lives under your id
    identity_free = 6,   ///< the instance with this nonce has taken another id
    evicted = 7,         ///< your id is not a member any more: come back under a new one
    forbidden = 8,       ///< you may not pull this; without a request: I do not let you in
};
std::string_view to_string(refusal r);

struct refuse {
    refusal reason = refusal::busy;
    std::uint64_t name = 0;    ///< type: the name_digest of the collection; identity: the id
    std::uint64_t request = 0; ///< unknown, busy, forbidden: the pull that is refused
    std::uint64_t nonce = 0;   ///< identity
    friend bool operator==(const refuse&, const refuse&) = default;
};

/// An origin's edits are relayed to every peer that shares the collection, until it says that they come to it
/// sooner on another way.
enum class relay_wish : std::uint8_t {
    unwanted = 1, ///< they come on a better way
    wanted = 2,   ///< that way is gone
    cut_off = 3,  ///< I cannot relay them any more: use another way
};

struct relaying {
    joinery::channel channel;
    replica_id origin;
    relay_wish wish = relay_wish::wanted;
    friend bool operator==(const relaying&, const relaying&) = default;
};

/// Who must have seen an edit before what it left behind may be forgotten. Both lists only grow.
struct membership {
    joinery::channel channel;
    std::vector<replica_id> joined; ///< ascending
    std::vector<replica_id> gone;   ///< ascending: left or evicted, from all collections
    friend bool operator==(const membership&, const membership&) = default;
};

/// What members have said that they have, passed on to those who do not hear their beacons.
struct acknowledgements {
    struct entry {
        replica_id member;
        std::uint64_t members = 0; ///< as in its beacon
        version_vector version;
        friend bool operator==(const entry&, const entry&) = default;
    };
    joinery::channel channel;
    std::vector<entry> entries;
    friend bool operator==(const acknowledgements&, const acknowledgements&) = default;
};

/// What I have in memory: the answer to updates that ask for it.
struct receipt {
    joinery::channel channel;
    version_vector version; ///< of the origins of those updates
    friend bool operator==(const receipt&, const receipt&) = default;
};

/// What a replica says of itself for the moment. Never stored; passed on to whoever has not heard it.
struct presence {
    joinery::channel channel;
    replica_id replica;
    std::uint64_t nonce = 0;          ///< of its instance
    std::uint64_t sequence = 0;       ///< from 1; grows with everything that the instance says
    std::uint64_t time_to_live = 0;   ///< milliseconds from now, unless something later comes
    std::span<const std::byte> bytes; ///< none: it is gone. When decoded: refers into the bytes that it was read from

    static constexpr std::size_t max_bytes = 4096;
    static constexpr std::uint64_t max_time_to_live = 3'600'000;
};

/// Our states differ although we have seen the same: send me digests of what lives of these dots, one for each block
/// of `width` sequence numbers (those from 1, from width + 1, from 2 width + 1, ...) that has any of them, in order.
struct comparison {
    joinery::channel channel;
    std::uint64_t request = 0;
    std::uint64_t version = 0; ///< the digest of the version at which we both must be
    std::uint64_t width = 1;   ///< a power of 16
    causal_context dots;
    friend bool operator==(const comparison&, const comparison&) = default;

    static constexpr std::size_t max_blocks = 1024;
    /// Calls f(dot_range) for each block's part of the dots.
    template <class F> void for_each_block(F&& f) const;
};

/// The answer.
struct digests {
    joinery::channel channel;
    std::uint64_t request = 0;
    std::vector<std::uint64_t> values; ///< none: I am not at that version
    friend bool operator==(const digests&, const digests&) = default;
};

/// An instance's question to one other replica, which answers it once at most. Whoever it is not for passes it on.
struct request {
    joinery::channel channel;
    replica_id origin, target;
    std::uint64_t nonce = 0;          ///< of the origin's instance
    std::uint64_t number = 0;         ///< from 1; greater than that of all before: what comes after a later one is old
    std::string_view service;         ///< who it is for there. When decoded, as the bytes: refers into what was read
    std::span<const std::byte> bytes; ///< the question

    static constexpr std::size_t max_service = 64;
    static constexpr std::size_t max_bytes = std::size_t{64} << 10;
};

/// The answer, which goes back by the way that the request came.
struct reply {
    joinery::channel channel;
    replica_id origin; ///< as in the request
    std::uint64_t nonce = 0, number = 0;
    std::span<const std::byte> bytes; ///< when decoded: refers into the bytes that it was read from
};

template <class F> void comparison::for_each_block(F&& f) const {
    dots.for_each([&](const dot_range& r) {
        for (auto first = r.first; first <= r.last;) {
            const auto last = std::min(r.last, (first - 1) / width * width + width);
            f(dot_range{r.replica, first, last});
            first = last + 1;
        }
    });
}

using message = std::variant<hello, update, beacon, pull, chunk, credit, refuse, relaying, membership, acknowledgements,
                             presence, comparison, digests, receipt, request, reply>;

namespace detail {

/// The edits of a batch so far: of one that follows on the one before, in the same collection and from the same origin,
/// only what follows its dot is written.
class edits_in_a_row {
public:
    /// Where that begins in the delta, if this is one.
    std::optional<std::size_t> continued_by(const update& m) const;
    /// The bytes of the delta that follows, from its first byte and what follows its dot. Throws decode_failure.
    update next(std::span<const std::byte> rest, std::vector<std::byte>& delta) const;
    void passed(const update& m);

private:
    joinery::channel channel_;
    dot next_{}; // its first dot; null if there is none
};

} // namespace detail

/// Writes messages into one frame. Reused after `clear()`, it allocates little.
class message_batch {
public:
    message_batch() { clear(); }
    message_batch(const message_batch&) = delete;
    message_batch& operator=(const message_batch&) = delete;

    void add(const hello& m);
    void add(const update& m);
    void add(const beacon& m);
    void add(const pull& m);
    void add(const chunk& m);
    void add(const credit& m);
    void add(const refuse& m);
    void add(const relaying& m);
    void add(const membership& m);
    void add(const acknowledgements& m);
    void add(const receipt& m);
    void add(const presence& m);
    void add(const comparison& m);
    void add(const digests& m);
    void add(const request& m);
    void add(const reply& m);

    bool empty() const { return frame_.body_size() == 0; }
    /// Bytes so far; the frame adds at most `frame_overhead`.
    std::size_t size() const { return frame_.body_size(); }
    static constexpr std::size_t frame_overhead = 18;

    /// The frame; may be asked for again as the other kind. Nothing can be added until `clear()`.
    std::span<const std::byte> close(frame_kind kind) { return frame_.close(kind); }
    void clear();

private:
    frame_writer frame_;
    std::optional<compact_output_archive> archive_;
    detail::edits_in_a_row edits_;

    template <class M> void put(std::uint8_t tag, const M& m);
};

/// Reads the body of a frame, which outlives it and the messages that it gives. A message is valid until the next.
class message_reader {
public:
    explicit message_reader(std::span<const std::byte> body) : archive_(body) {}

    /// False at the end. After an error nothing more can be read.
    result<bool, decode_error> next(message& out);

private:
    compact_input_archive archive_;
    detail::edits_in_a_row edits_;
    std::vector<std::byte> delta_;

    void read(update& m);
    void read_next(std::uint8_t tag, update& m);
};

// ---- encodings: compact form only ----

void save(compact_output_archive& ar, const hello& m);
void load(compact_input_archive& ar, hello& m);
void save(compact_output_archive& ar, const update& m);
void load(compact_input_archive& ar, update& m);
void save(compact_output_archive& ar, const beacon& m);
void load(compact_input_archive& ar, beacon& m);
void save(compact_output_archive& ar, const pull& m);
void load(compact_input_archive& ar, pull& m);
void save(compact_output_archive& ar, const chunk& m);
void load(compact_input_archive& ar, chunk& m);
void save(compact_output_archive& ar, const credit& m);
void load(compact_input_archive& ar, credit& m);
void save(compact_output_archive& ar, const refuse& m);
void load(compact_input_archive& ar, refuse& m);
void save(compact_output_archive& ar, const relaying& m);
void load(compact_input_archive& ar, relaying& m);
void save(compact_output_archive& ar, const membership& m);
void load(compact_input_archive& ar, membership& m);
void save(compact_output_archive& ar, const acknowledgements& m);
void load(compact_input_archive& ar, acknowledgements& m);
void save(compact_output_archive& ar, const receipt& m);
void load(compact_input_archive& ar, receipt& m);
void save(compact_output_archive& ar, const presence& m);
void load(compact_input_archive& ar, presence& m);
void save(compact_output_archive& ar, const comparison& m);
void load(compact_input_archive& ar, comparison& m);
void save(compact_output_archive& ar, const digests& m);
void load(compact_input_archive& ar, digests& m);
void save(compact_output_archive& ar, const request& m);
void load(compact_input_archive& ar, request& m);
void save(compact_output_archive& ar, const reply& m);
void load(compact_input_archive& ar, reply& m);

} // namespace joinery
