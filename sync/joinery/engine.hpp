// SPDX-License-Identifier: Apache-2.0
#pragma once

// The sync engine, without threads, sockets or clocks: inputs go in one at a time, and what is to be sent
// comes out of `flush`. The same code runs under a node (node.hpp), and under a simulation in which a test
// controls every loss, delay, crash and clock.
//
//     joinery::engine a({.random = seeded}, *disk.open(), network);   // network: an engine_output
//     auto carts = a.attach("carts", state);
//     a.tick(now);
//     a.connected(link);                     // inputs, in any number
//     a.received(link, frame);
//     a.local_edits(carts);
//     a.flush();                             // log, sync, publish: in this order, once for all of them
//     sleep_until(a.next_deadline());        // then tick again
//
// What it keeps to:
// 1. Nothing leaves before everything that it tells of is durable: frames are only made in `flush`, after
//    one sync for all that was logged since the last.
// 2. The state is always causally closed: an update joins once its origin's earlier edits and all that it
//    depends on are there. Until then it waits in a buffer with a cap.
// 3. What is lost is found by comparing versions (hello, beacon) and fetched by a pull, one at a time for
//    each collection, from any peer that has it.
// 4. A dot that was ever published is never issued again (identity: attach, take_new_id).
// 5. Everything that peers can make grow has a bound (engine_limits).
//
// Nothing that a peer sends makes it throw. What throws is the storage (storage_error), out of any input or
// flush; the engine must then be destroyed. Not thread-safe, except against edits made under a state's mutex.

#include <joinery/access.hpp>
#include <joinery/messages.hpp>
#include <joinery/replicated.hpp>
#include <joinery/storage.hpp>
#include <joinery/transport.hpp>

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace joinery {

/// The number of a collection within one engine: 0, 1, 2, ... in order of `attach`.
using collection_id = std::uint32_t;
/// Time since any fixed moment, as `tick` is told.
using engine_time = std::chrono::milliseconds;

struct engine_timings {
    engine_time beacon{1000};  ///< between beacons; a quarter more or less at random
    engine_time audit{60'000}; ///< between digests in beacons
    engine_time prune{10'000}; ///< between attempts to forget what all members have seen
    engine_time tidy{60'000};  ///< between edits that take away what only says that something is not there
    engine_time forget_volatile{
        600'000}; ///< silence after which a member without a durable storage, or that takes no writes, is gone
    engine_time patience{20};       ///< how long a peer may be ahead before it is pulled from
    engine_time pull_timeout{1000}; ///< without a new chunk: resume; again: another peer
    engine_time pull_backoff{200};  ///< before asking a peer again that failed; doubles with every failure
    engine_time max_backoff{30'000};
    engine_time hello_retry{500};    ///< without an answer; doubles up to ten times
    engine_time hello_grace{1000};   ///< after the first answer: how long to wait for the other peers'
    engine_time peer_timeout{5000};  ///< silence after which a peer is down
    engine_time answer_life{10'000}; ///< how long a cut transfer can be resumed
    engine_time presence_pause{20};  ///< between two frames of presence
    engine_time request_retry{250};  ///< without an answer: ask once more
};

struct engine_limits {
    std::size_t batch = 64 * 1024;                      ///< bytes of edits in one frame
    std::size_t max_frame = std::size_t{1} << 20;       ///< bytes: the transport's
    std::size_t chunk = 64 * 1024;                      ///< bytes of an answer in one frame
    std::size_t window = 512 * 1024;                    ///< bytes of an answer under way
    std::size_t buffer = std::size_t{16} << 20;         ///< bytes of updates that wait, per collection
    std::size_t buffer_per_link = std::size_t{4} << 20; ///< of these, that came from one key, or link
    std::size_t update = std::size_t{1} << 20;  ///< bytes of an edit that comes as such; greater ones are pulled
    std::size_t text = std::size_t{64} << 20;   ///< bytes of text that one edit made here inserts
    std::size_t version_entries = 65'536;       ///< replicas in a version, in anything that a peer says
    std::size_t peer_ids = 64;                  ///< that one key has at a time, of those that are not gone
    std::uint64_t rate_messages = 0;            ///< of one key, or link without one, in a second and at once; 0: any
    std::uint64_t rate_bytes = 0;               ///< the same of frames, and of answers to it
    std::size_t staging = std::size_t{1} << 30; ///< bytes of an incoming answer
    std::size_t answers = 64;                   ///< outgoing answers held at once
    std::size_t answer_bytes = std::size_t{256} << 20; ///< of all of them, and one more, however great
    std::size_t links = 4096;
    std::size_t peers = 1024;
    std::size_t members = 65'536;                      ///< ids that ever joined a collection
    std::size_t log_minimum = std::size_t{1} << 20;    ///< a log shorter than this is not compacted
    double log_ratio = 2;                              ///< a log longer than this many snapshots is compacted
    std::size_t presence_entries = 1024;               ///< of other replicas, per collection
    std::size_t presence_bytes = std::size_t{1} << 20; ///< of all of them
    std::size_t requests = 1024;                       ///< of others that wait for an answer, and instances that ask
};

struct engine_options {
    std::string name; ///< for people; cut at 64 bytes
    node_role role = node_role::leader;
    std::string zone;               ///< a region's name; at most 64 bytes
    std::size_t expected_peers = 1; ///< how many must have answered before a restarted node publishes
    engine_timings timings;
    engine_limits limits;
    std::function<std::uint64_t()> random; ///< 64 random bits; none: the system's
    std::optional<access_policy> access{}; ///< none: everybody may do everything
};

enum class event_kind : std::uint8_t {
    changed,           ///< a collection changed: `local`, `remote`, or who is present there
    peer_up,           ///< a peer said hello
    peer_down,         ///< a peer is silent, or its last link is down
    identity_conflict, ///< another live instance has this node's id: writes are refused
    identity_resolved, ///< it has another id now
    new_id,            ///< this node has a new id, `peer`; own dots not yet published have changed (renamed)
    lost_edits,        ///< with new_id: some edits under the old id had been published; others know different ones
    incompatible_peer, ///< protocol or a type's fingerprint differs: nothing is exchanged
    rejected,          ///< bytes from a link could not be read, or were not believed
    divergence,        ///< a peer with an equal context has another digest
    buffer_dropped,    ///< waiting updates exceeded their cap; they will be pulled
    member_joined,     ///< `peer` is a member of the collection from now on
    member_gone,       ///< `peer` has left or was evicted
    evicted,           ///< this node was: it comes back under a new id
    repaired,          ///< after a divergence: what `peer` had took the place of what was here
    denied,            ///< `peer` sent, or asked for, what it may not
    forbidden,         ///< `peer` does not take this node's edits, or does not let it in
};

/// The kind's name, which is stable.
std::string_view to_string(event_kind kind);

struct event {
    event_kind kind{};
    collection_id collection = no_collection;
    bool local = false, remote = false, presence = false;
    replica_id peer;
    link_id link = 0;
    std::string text; ///< for people

    static constexpr collection_id no_collection = UINT32_MAX;
};

/// What comes out of `flush`.
class engine_output {
public:
    virtual void broadcast(std::span<const std::byte> frame) = 0;
    /// False if it cannot be sent now.
    virtual bool send(link_id link, std::span<const std::byte> frame) = 0;
    /// Must not call back into the engine.
    virtual void notify(const event& e) = 0;

protected:
    ~engine_output() = default;
};

/// Counters since the start. Their names are stable.
struct engine_counters {
    std::uint64_t edits_published = 0, bytes_published = 0, updates_received = 0, updates_applied = 0,
                  updates_duplicate = 0;
    std::uint64_t updates_relayed = 0, updates_buffered = 0, buffers_dropped = 0, updates_dropped = 0;
    std::uint64_t beacons_sent = 0, beacons_received = 0, hellos_sent = 0, hellos_received = 0;
    std::uint64_t pulls_sent = 0, pulls_resumed = 0, pulls_failed = 0, pulls_completed = 0;
    std::uint64_t answers_made = 0, answers_refused = 0, chunks_sent = 0, chunks_received = 0, chunks_unwanted = 0;
    std::uint64_t presence_sent = 0, presence_relayed = 0, presence_received = 0;
    std::uint64_t presence_duplicate = 0, presence_refused = 0, presence_expired = 0;
    std::uint64_t requests_sent = 0, requests_received = 0, requests_relayed = 0, requests_dropped = 0;
    std::uint64_t replies_sent = 0, replies_received = 0;
    std::uint64_t denials = 0, frames_over_rate = 0;
    std::uint64_t frames_rejected = 0, divergences = 0, compactions = 0, prunings = 0;
    std::uint64_t comparisons_sent = 0, comparisons_answered = 0, repairs = 0, dots_repaired = 0;

    /// Calls f(std::string_view name, std::uint64_t value) for each.
    template <class F> void for_each(F&& f) const;
};

struct peer_status {
    replica_id id;
    std::string name;
    node_role role = node_role::leader;
    std::string zone;
    std::uint64_t nonce = 0;
    bool up = false;
    bool renamed = false;        ///< it goes on under another id, and counts under that one
    std::size_t links = 0;       ///< connected
    engine_time silence{};       ///< since it was last heard of
    std::uint64_t rejected = 0;  ///< frames that could not be read
    std::uint64_t denied = 0;    ///< messages that it may not send
    std::optional<peer_key> key; ///< that it has proved to hold
    std::uint64_t bytes_in = 0;  ///< frames from it
    std::uint64_t bytes_out =
        0; ///< frames to it since it said who it is, and what was broadcast while that arrived there
    durability level = durability::none;
    std::vector<version_vector> versions; ///< by collection: what it last acknowledged
    std::vector<bool> shares;             ///< by collection: it has it, with the same type
    std::vector<std::uint64_t> behind;    ///< by collection: dots that we have and it has not acknowledged
    /// By collection: how long the oldest of these has been here, but no longer than this instance of the peer has
    /// been known; 0 if there is none. Within a third, and 10 ms.
    std::vector<engine_time> lag;
    std::vector<access_right> rights; ///< by collection: what it may do here
    std::vector<bool> quarantined;    ///< by collection: it has edits of its own that are not taken here
    std::vector<bool> refuses;        ///< by collection: it does not take the edits of this node
};

struct collection_status {
    std::string name;
    version_vector version; ///< contiguous, and logged
    bool held = false;      ///< edits since the start are not published yet
    bool pulling = false;
    std::vector<replica_id> members; ///< who must have seen an edit before what it left behind is forgotten
    version_vector stable;           ///< what they all have, as far as is known
    std::size_t buffered_updates = 0, buffered_bytes = 0;
    std::size_t log_bytes = 0, snapshot_bytes = 0;
    bool writable = true;                ///< false: the access policy, or that of peers, forbids writing here
    std::vector<replica_id> quarantined; ///< peers whose own edits are not taken, and that have some
    std::size_t present = 0;             ///< other replicas that say something of themselves
    std::uint64_t siblings_seen = 0;     ///< values that came to stand beside a concurrent one in a register
    std::uint64_t siblings_resolved = 0; ///< how many of them a later write or removal has superseded
};

/// What another replica says of itself for the moment.
struct presence_status {
    replica_id replica;
    std::string name; ///< of the peer; empty if it is not one, but reached by way of others
    std::vector<std::byte> bytes;
    engine_time age{}; ///< since these bytes came
};

/// A request of another replica.
struct asked_request {
    collection_id collection = 0;
    replica_id origin;
    std::uint64_t nonce = 0, number = 0;
    std::string service;
    std::vector<std::byte> bytes;
    access_right right = access_right::admin; ///< of who asks; where its key is not known, of who passed it on
};

class engine {
public:
    /// Loads the storage, which may then not be used by anyone else, and settles the identity: a new id for
    /// a new storage, for one that is not durable or a backup, and for a relaxed one after an unclean stop.
    /// Throws storage_error, and std::invalid_argument if the zone's name is longer than 64 bytes.
    engine(engine_options options, storage& disk, engine_output& out);
    ~engine();
    engine(engine&&) noexcept;

    /// Serves a collection: restores its state from the storage and starts to exchange it. The state outlives
    /// the engine. Until peers have said what they know of this node, own edits are kept and not published
    /// (replica<T>::hold_from). Throws storage_error if what is stored cannot be read or has another fingerprint,
    /// std::invalid_argument if the name is attached already.
    collection_id attach(std::string_view name, replicated_state& state);

    // ---- inputs ----

    /// `key`: what the peer behind the link has proved to hold (transport::key_of).
    void connected(link_id link, const std::optional<peer_key>& key = std::nullopt);
    void disconnected(link_id link);
    void received(link_id link, std::span<const std::byte> frame);
    /// Takes the edits that wait in the state (`flush` does so for every collection).
    void local_edits(collection_id c);
    /// Says something of this replica for the moment (where its cursor is, that it is online) to all others of the
    /// collection, also by way of each other; the last before a flush counts. It is never stored, and ends when it is
    /// cleared, when the engine is closed, and otherwise once nobody has heard of it for `time_to_live`: until then
    /// the engine repeats it by itself. Throws std::invalid_argument unless there are 1 to presence::max_bytes bytes
    /// that fit into a frame, and 100 ms to presence::max_time_to_live.
    void set_presence(collection_id c, std::span<const std::byte> bytes,
                      engine_time time_to_live = std::chrono::seconds(30));
    void clear_presence(collection_id c);
    /// Asks another replica of the collection, which is reached straight if it is a peer and by way of all peers if
    /// not. The request's number; none if there is no peer to send it to. Throws std::invalid_argument for a service of
    /// more than request::max_service bytes, and for more than request::max_bytes or what a frame holds.
    std::optional<std::uint64_t> request(collection_id c, replica_id target, std::string_view service,
                                         std::span<const std::byte> bytes);
    /// The answer to it, once.
    std::optional<std::vector<std::byte>> take_reply(std::uint64_t number);
    /// Nobody waits for the answer any more.
    void forget_request(std::uint64_t number);
    /// What others have asked since the last call, each of them once, and none that is older than one before it of the
    /// same instance.
    std::vector<asked_request> take_requests();
    /// Answers, with the next flush: after all edits made until then are durable. As `request` throws.
    void reply(const asked_request& to, std::span<const std::byte> bytes);
    /// From now on this is what peers may do. Who may write again, and has edits that were not taken, is asked to go on
    /// under a new id, with these made anew: what they rest on may be forgotten. Throws as access_policy::check.
    void set_access(access_policy policy);
    /// Counts a request that was not carried out because of who asks.
    void deny(const asked_request& r);
    /// Time goes on; call at least at every `next_deadline`. Earlier times than before are ignored.
    void tick(engine_time now);
    /// Asks every peer what it has: an answer takes one round trip, and a pull follows if it has more. The number of
    /// this round, for `answered`.
    std::uint64_t ask();
    /// Declares that this id will never be heard of again: the others do not wait for it any more before they
    /// forget what it may not have seen. If it does come back it is told so, and goes on under a new id; what
    /// nobody had of its edits becomes edits of that id. Not for this node's own id.
    void evict(replica_id who);
    /// Says that this node will not come back under its id. Only `close` may follow.
    void leave();
    /// Ends an identity conflict on this side: a new id, durably, before anything else happens. Edits that
    /// were not published yet become edits of the new id.
    replica_id take_new_id();

    // ---- outputs ----

    /// Logs, syncs once, publishes, sends, notifies, compacts.
    void flush();
    /// When `tick` has something to do.
    engine_time next_deadline() const;

    /// Flushes, and closes the storage as clean. Only queries may follow.
    void close();

    // ---- queries ----

    replica_id id() const;
    std::uint64_t nonce() const;
    /// False while another instance is known to live under this id: `replicated<T>::edit` is forbidden then.
    bool writable() const;
    /// False if the policy does not let this node write there; or if some peer has said that it does not take this
    /// node's edits and no peer is up that takes them.
    bool may_write(collection_id c) const;
    const version_vector& version(collection_id c) const;
    collection_status status(collection_id c) const;
    std::vector<peer_status> peers() const;
    /// The peers that have acknowledged the dot, as durable or as received.
    std::vector<replica_id> acknowledged_by(collection_id c, dot d, assurance level = assurance::durable,
                                            peer_scope scope = peer_scope::all) const;
    /// The peers that are up and have said what they have since that round of questions, and nothing that is not here
    /// by now.
    std::vector<replica_id> answered(collection_id c, std::uint64_t round, peer_scope scope = peer_scope::all);
    /// The known peers that share the collection, take this node's edits and are not among these.
    std::vector<awaited_peer> others(collection_id c, const std::vector<replica_id>& who, peer_scope scope) const;
    /// What became of an own dot when this node took a new id; `d` itself otherwise.
    dot renamed(collection_id c, dot d) const;
    const engine_counters& counters() const;
    /// What the other replicas say of themselves, in order of their ids. O(bytes).
    std::vector<presence_status> presence(collection_id c) const;

private:
    struct core;
    std::unique_ptr<core> core_;
};

template <class F> void engine_counters::for_each(F&& f) const {
    const std::pair<std::string_view, std::uint64_t> all[] = {
        {"edits_published", edits_published},
        {"bytes_published", bytes_published},
        {"updates_received", updates_received},
        {"updates_applied", updates_applied},
        {"updates_duplicate", updates_duplicate},
        {"updates_relayed", updates_relayed},
        {"updates_buffered", updates_buffered},
        {"buffers_dropped", buffers_dropped},
        {"updates_dropped", updates_dropped},
        {"beacons_sent", beacons_sent},
        {"beacons_received", beacons_received},
        {"hellos_sent", hellos_sent},
        {"hellos_received", hellos_received},
        {"pulls_sent", pulls_sent},
        {"pulls_resumed", pulls_resumed},
        {"pulls_failed", pulls_failed},
        {"pulls_completed", pulls_completed},
        {"answers_made", answers_made},
        {"answers_refused", answers_refused},
        {"chunks_sent", chunks_sent},
        {"chunks_received", chunks_received},
        {"chunks_unwanted", chunks_unwanted},
        {"presence_sent", presence_sent},
        {"presence_relayed", presence_relayed},
        {"presence_received", presence_received},
        {"presence_duplicate", presence_duplicate},
        {"presence_refused", presence_refused},
        {"presence_expired", presence_expired},
        {"requests_sent", requests_sent},
        {"requests_received", requests_received},
        {"requests_relayed", requests_relayed},
        {"requests_dropped", requests_dropped},
        {"replies_sent", replies_sent},
        {"replies_received", replies_received},
        {"denials", denials},
        {"frames_over_rate", frames_over_rate},
        {"frames_rejected", frames_rejected},
        {"divergences", divergences},
        {"compactions", compactions},
        {"prunings", prunings},
        {"comparisons_sent", comparisons_sent},
        {"comparisons_answered", comparisons_answered},
        {"repairs", repairs},
        {"dots_repaired", dots_repaired},
    };
    for (const auto& [name, value] : all) f(name, value);
}

} // namespace joinery
