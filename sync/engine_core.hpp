// SPDX-License-Identifier: Apache-2.0
#pragma once

// What the parts of the engine share. Each part is one source file:
//
//     engine.cpp            the public face, attaching, time, flushing
//     engine_peers.cpp      links, frames, hello: who is there
//     engine_access.cpp     what they may do
//     engine_beacons.cpp    what they have
//     engine_members.cpp    who must have seen an edit before what it left behind is forgotten
//     engine_identity.cpp   holding edits back, conflicts, new ids
//     engine_updates.cpp    edits from here and from others
//     engine_relays.cpp     passing on the edits of others
//     engine_pulls.cpp      fetching what is missing
//     engine_answers.cpp    answering those who do
//     engine_audit.cpp      finding what differs and must not, and repairing it
//     engine_presence.cpp   what replicas say of themselves for the moment
//     engine_requests.cpp   what one replica asks another one

#include "answers.hpp"
#include "batch_queue.hpp"
#include "gap_buffer.hpp"
#include "presence_board.hpp"
#include "stored_items.hpp"
#include "token_bucket.hpp"
#include "version_history.hpp"

#include <joinery/engine.hpp>

#include <algorithm>
#include <deque>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace joinery {

struct engine::core {
    static constexpr engine_time never = engine_time::max();
    /// What a frame of one message adds to the bytes in it, at most.
    static constexpr std::size_t message_overhead = 128;
    static constexpr std::size_t max_conflicts = 64;
    static constexpr std::size_t max_former = 8;
    static constexpr unsigned most_compactions_begun = 3; // in steps
    static constexpr std::size_t most_new_ids = 64;       // of one key at once; then one in each `forget_volatile`
    static constexpr engine_time least_time_to_live{100}; // of a presence

    /// What a peer has of a collection, as far as we know.
    struct view {
        version_vector version;
        version_vector received; // in memory, as far as it was asked for
        struct answer {
            std::uint64_t round; // of questions
            version_vector version;
        };
        std::vector<answer> told;  // not all of it is here yet: the first such answer, and the last
        std::uint64_t reached = 0; // the last round whose answer is here

        // While much is written, a later answer must not take the place of the first: it is reached later. Over another
        // link an earlier one may come after it.
        void answered(std::uint64_t round, const version_vector& has) {
            if (round <= reached || (!told.empty() && round <= told.back().round)) return;
            if (told.size() == 2) told.pop_back();
            told.push_back({round, has});
        }
        bool shares = false;                  // it has the collection, with our type
        bool member = false;                  // and was let in, as it says
        version_vector said;                  // what it had, as it said last: unlike `version`, without what others did
        std::optional<version_vector> let_in; // it has let us in: what it had when it knew of us
        bool withholds = false;               // what it has said is not all that it has
        bool incompatible = false;            // with another type
        engine_time ahead_since = never;      // since then it has dots that we lack
        unsigned failures = 0;                // of pulls from it, in a row
        engine_time not_before{0};            // no pull from it until then
        version_vector diverged_at;           // what was last reported
        std::optional<bool> fallen_back;      // this instance said at first that it had less than it once acknowledged
        bool quarantined = false;             // it has edits of its own that are not taken
        bool refuses = false;                 // it does not take ours
    };

    struct peer {
        std::string name, zone;
        node_role role = node_role::leader;
        std::uint64_t nonce = 0;
        durability level = durability::none;
        bool up = false;
        bool reached = false; // our broadcasts arrive there
        engine_time last_heard{0};
        engine_time last_broadcast = never; // never: its broadcasts do not arrive here
        link_id broadcasts_on = 0;          // where they arrive
        std::uint64_t rejected = 0, denied = 0;
        engine_time met{0}; // this instance
        std::uint64_t bytes_in = 0, bytes_out = 0;
        std::set<std::uint64_t> contested; // instances that were found to live at the same time
        std::vector<replica_id> formers;   // ids that it had before
        std::vector<link_id> links;        // that lead to it, and are connected
        std::vector<view> views;           // by collection
    };

    // What the links of one key have used together; without a key, what one link has.
    struct link_rates {
        token_bucket messages, bytes;
        answer_pace answers;
        engine_time ids_until{0}; // its new ids, one after the other

        bool unused(engine_time now) const {
            return messages.full(now) && bytes.full(now) && answers.full(now) && ids_until <= now;
        }
    };

    // What a link may do in a collection.
    struct grant {
        access_right right = access_right::admin;
        bool relays = true;
    };

    struct link {
        std::optional<peer_key> key;         // that the peer has proved to hold
        const peer_access* access = nullptr; // with a policy: what it may do; null: nothing
        std::vector<grant> grants;           // with a policy: by collection
        bool barred = false;                 // it is not let in
        bool shut_out = false;               // it does not let us in
        bool passive = false;                // the peer takes no writes, as it says
        std::uint64_t denied = 0, over_rate = 0;
        std::uint64_t unfit = 0; // how often it showed that the two do not go together
        std::shared_ptr<link_rates> rates;
        std::optional<replica_id> peer; // once it has said hello
        std::uint64_t nonce = 0;        // of the peer's instance
        bool ignored = false;           // leads to ourselves, or to another protocol version
        bool answered = false;          // our challenge was answered
        std::uint64_t challenge = 0;
        engine_time retry_at = never; // say hello again
        engine_time retry_pause{0};
        bool hello_due = false;
        std::uint64_t echo = 0;            // the challenge to answer
        engine_time doubt_until = never;   // not never: another instance may live under its id; do not answer yet
        bool beacon_due = false;           // it asked for an acknowledgement
        std::set<collection_id> lists_due; // of members: it has others
        engine_time another_at{0};         // its peer may say from then on that it is another
        std::map<collection_id, std::set<replica_id>> receipts; // it asked whether edits of these have arrived
        std::uint64_t asked = 0;                                // the round of questions that the challenge is of
        std::uint64_t to_ask = 0;                               // the last one; if it is later, the link is asked again
        std::uint64_t rejected = 0;
        std::uint64_t bytes_in = 0; // before it was known whose
        struct {
            std::uint64_t nonce = 0; // of whom
            engine_time not_before{0};
            std::set<collection_id> collections;
        } told; // who is present
        message_batch out;
        batch_queue relayed;
    };

    struct pulling {
        std::optional<joinery::pull> request; // none: nothing under way
        replica_id peer;
        staged_answer staged;
        engine_time deadline = never;
        unsigned stalls = 0;
        std::uint64_t granted = 0;
    };

    // The search for what differs from a peer's state at equal versions: from wide blocks of dots to single dots.
    struct repairing {
        replica_id peer;
        std::uint64_t request = 0;
        std::uint64_t theirs = 0;           // the digest of its whole state
        std::uint64_t width = 0;            // of the blocks that are being compared
        causal_context open, found;         // wider blocks that are to be compared; those of this width that differ
        std::vector<dot_range> asked;       // the blocks of the request
        std::vector<std::uint64_t> digests; // ours
        engine_time deadline = never;       // never: nothing is awaited
    };

    // The way on which an origin's edits come here, and do not come.
    struct route {
        link_id source = 0;                        // they come first on this link; 0: it is not known
        std::set<replica_id> thinned;              // peers that do not want them from here
        std::map<replica_id, engine_time> refused; // peers that we do not want them from: when they were told so
    };

    struct acknowledgement {
        struct said {
            std::uint64_t list = 0; // the digest of its list of members
            version_vector version;
            friend bool operator==(const said&, const said&) = default;
        };
        said newest, counted;
        std::optional<said> waiting; // until we have all of it; one after the other, or none would ever count
        bool pass_on = false;
    };

    struct collection {
        collection_id number = 0;
        std::string name;
        std::uint64_t name_digest = 0;
        std::uint64_t fingerprint = 0;
        joinery::channel channel;
        replicated_state* state = nullptr;
        std::uint32_t stored = 0; // the storage's number

        version_vector version;        // what is logged or about to be; own edits that wait are not in it
        version_vector brought;        // what the storage had when it was attached
        std::uint64_t opened_at = 0;   // own dots that may have been published before it was attached
        bool held = false;             // own dots above opened_at are not published
        bool hold_logged = false;      // the log says that the own dots after opened_at are held
        std::set<replica_id> answered; // who has answered a challenge since it was attached
        engine_time first_answer = never;
        std::vector<std::pair<dot, replica_id>> renamed; // dots after this are the new id's 1, 2, ...

        std::uint64_t list = 0; // the digest of its list of members
        bool closed = false;    // some peer may not read it: it is not broadcast
        bool list_due = false;  // peers have to be told
        std::map<replica_id, acknowledgement> acknowledged;
        version_vector stable, pruned, tidied;
        engine_time tidied_at{0};
        bool joining = false;                              // not a member yet
        bool group = false;                                // there are members
        std::unique_ptr<replicated_state::answer> fetched; // evicted: what a member has

        frame_writer record; // what is to be logged
        std::size_t log_bytes = 0, snapshot_bytes = 0;
        struct compaction {
            steps_of_state steps;
            std::vector<std::byte> answer; // its bytes so far
        };
        std::optional<compaction> compacting; // step by step
        unsigned compactions_begun = 0;       // since what is stored was
        bool local = false, remote = false;   // changed since the last flush
        version_history history;
        presence_board presence;
        sibling_counts siblings_before; // those that the storage brought

        gap_buffer buffer;
        std::map<replica_id, route> routes; // by origin
        pulling pull;
        repairing repair;
        bool check_pull = false;
        struct {
            version_vector version;
            std::uint64_t sum = 0;       // of the blocks so far
            std::vector<dot_range> left; // which are to come
            std::optional<std::uint64_t> whole;
        } digest; // of the state at that version
    };

    // Requests of one instance that came here. The way back of the last few is known.
    struct asking {
        std::uint64_t last = 0; // number
        link_id came_on = 0;    // first
        engine_time heard{0};
        struct way {
            std::uint64_t number;
            link_id link;
            replica_id target; // who may answer
        };
        std::deque<way> ways;
    };
    using instance = std::pair<replica_id, std::uint64_t>; // id and nonce

    core(engine_options o, storage& d, engine_output& out);

    engine_options options;
    storage& disk;
    engine_output& out;
    engine_counters counters;

    replica_id id;
    std::optional<replica_id> next_id; // evicted: what we are called by others, and will be
    engine_time evicted_at{0};
    std::uint64_t nonce = 0;
    bool logging = false;                 // the storage keeps what it is given
    bool confirmed = false;               // what is to be logged ends a hold
    bool restarted = false;               // the id was used by an earlier instance
    std::set<std::uint64_t> conflicts;    // nonces of the other instances under this id
    std::deque<std::uint64_t> moved_away; // nonces of those that have another id since; the last `max_conflicts`
    std::map<std::string, stored_collection, std::less<>> stored; // not attached yet

    std::map<channel, std::set<replica_id>> joined; // also of collections that are not attached
    std::set<replica_id> gone;
    std::set<replica_id> formers;         // ids that this storage had, and that will not be used again
    std::set<replica_id> to_rejoin;       // peers that are away, and may write again what was not taken
    std::set<replica_id> passing;         // peers that do not come back, or have nothing to lose
    std::map<replica_id, peer_key> bound; // whose the ids are; not those that are gone
    bool left = false;
    frame_writer members_record; // what is to be logged of these two
    std::optional<std::uint32_t> members_stored;
    std::size_t members_records = 0;

    std::deque<collection> collections;
    std::map<channel, collection_id> channels;
    std::map<link_id, link> links;
    std::map<peer_key, std::shared_ptr<link_rates>> rates;
    std::map<replica_id, peer> peers;
    answer_book answers;
    std::deque<std::pair<link_id, comparison>> comparisons; // to be answered, one with each flush
    std::pair<replica_id, std::uint64_t> made_last;         // whose turn it was to be made
    std::uint64_t next_request = 0;
    std::uint64_t rounds = 0; // of questions to all

    engine_time now{0};
    engine_time started_at = never; // the first that was heard of the time
    engine_time deadline{0};
    engine_time beacon_at{0};
    engine_time audit_at{0};
    engine_time prune_at{0};
    std::uint64_t prune_rounds = 0;
    bool beacon_due = false;
    bool audit_due = false;

    batch_queue published;
    edit_batch taken; // reused
    std::uint64_t last_request = 0;
    struct reply_to_come {
        replica_id from;
        std::optional<std::vector<std::byte>> bytes;
    };
    std::map<std::uint64_t, reply_to_come> awaited; // by the request's number
    std::vector<asked_request> asked;
    std::map<instance, asking> askers;
    std::vector<event> events;

    // ---- engine.cpp ----
    collection_id attach(std::string_view name, replicated_state& state);
    /// The dot after which own edits were held when the log ended, if they were.
    std::optional<dot> restore(collection& c, const stored_collection& was);
    std::optional<dot> hold_of(const collection& c) const;
    void write_snapshot(collection& c, frame_writer& snapshot, std::optional<dot> hold);
    void store(collection& c, frame_writer& snapshot);
    /// Everything that there is of it takes the place of what is stored.
    void write_all(collection& c);
    void tick(engine_time t);
    void flush();
    void write_log();
    void compact(collection& c);
    bool compact_in_steps(collection& c);
    void broadcast(message_batch& batch);
    /// To those who may read the collection.
    void broadcast(const collection& c, message_batch& batch);
    /// As engine_output, and counts it for the peer.
    bool send(link_id l, std::span<const std::byte> frame);
    void wake(engine_time at) { deadline = std::min(deadline, at); }
    /// Between half and one and a half times as long, at random.
    engine_time jitter(engine_time t);
    event& note(event_kind kind) { return note(kind, event::no_collection); }
    event& note(event_kind kind, collection_id c);
    collection* find(channel c);

    // ---- engine_access.cpp ----
    void set_access(access_policy policy);
    /// What the links may do, by the policy.
    void settle_access();
    void settle_access(link_id l, link& k);
    bool may(const link& k, const collection& c, access_right least) const {
        return !options.access || k.grants[c.number].right >= least;
    }
    /// Its word about others counts.
    bool relays(const link& k, const collection& c) const { return !options.access || k.grants[c.number].relays; }
    bool relays(const link& k) const { return !options.access || (k.access && k.access->relays({})); }
    bool is_admin(const link& k) const {
        return !options.access || (k.access && k.access->rights == access_right::admin);
    }
    /// It may speak for this node's id.
    bool is_self(const link& k) const {
        return !options.access || options.access->self.key == peer_key{} || k.key == options.access->self.key;
    }
    std::optional<peer_key> owner(replica_id who) const;
    /// The id is the peer's, or another one of the same key.
    bool owns(const link& k, replica_id who) const;
    /// Edits of this origin are taken from there.
    bool takes(const link& k, const collection& c, replica_id origin) const {
        if (k.passive && k.peer == origin) return false;
        if (!options.access) return true;
        const auto& g = k.grants[c.number];
        return g.relays ? g.right >= access_right::write || !owns(k, origin)
                        : g.right >= access_right::write && owns(k, origin);
    }
    bool may_pull(const link& k, const collection& c, const version_vector& theirs) const;
    bool may_join(const link& k, const collection& c, const causal_context& covered) const;
    /// Without the edits of its own that are not taken.
    version_vector believed(const collection& c, const link& k, const version_vector& version) const;
    bool identify(link_id l, link& k, const hello& m);
    bool bind(const link& k, replica_id who);
    void deny(link_id l, link& k, const collection* c, std::string_view what);
    /// What honest peers say, too, that do not know what they may not: counted and no more.
    void pass_over(link& k);
    bool may_write(const collection& c) const;
    access_right right_of(replica_id origin, const link& k, const collection& c) const;
    void on_forbidden(link& k, const refuse& m);
    std::shared_ptr<link_rates> rates_of(const std::optional<peer_key>& key);
    /// Bytes that wait, of this link and the others of its key.
    std::size_t buffered_of(const collection& c, link_id l, const link& k) const;
    bool within_rate(link_id l, link& k, token_bucket& bucket, std::uint64_t rate, std::uint64_t amount);
    /// Calls f(link_id, link&) for each peer that is up, has the collection and may read it.
    template <class F> void for_each_reader(const collection& c, F&& f);

    // ---- engine_peers.cpp, engine_beacons.cpp ----
    void connected(link_id l, const std::optional<peer_key>& key);
    void disconnected(link_id l);
    void received(link_id l, std::span<const std::byte> frame);
    void on_hello(link_id l, link& k, const hello& m);
    void on_beacon(link_id l, link& k, const beacon& m);
    void on_refuse(link& k, const refuse& m);
    peer* introduce(link_id l, link& k, const hello& m);
    void hear(link_id l, link& k, frame_kind kind);
    void down(replica_id who, peer& p);
    bool make_room_for_peer();
    void handle(link_id l, link& k, const message& m);
    void learn(collection& c, link_id l, link& k, peer& p, const version_vector& version);
    void reject(link_id l, link& k, decode_error e);
    void say_hello(link& k);
    /// An answer that is under way does not count.
    void ask_anew(link& k);
    void write_hello(link_id l, link& k);
    void write_beacons(std::optional<link_id> to);
    template <class Wanted> void write_beacon(std::optional<link_id> to, bool audit, Wanted&& wanted);
    void peers_at_time();
    /// A link to a peer, or null.
    link* link_to(const peer& p);
    peer* peer_of(const link& k);
    /// The link does not lead to its peer any more.
    void detach(link_id l, link& k);
    std::uint64_t ask();
    void ask_next_round(link& k);
    bool is_renamed(replica_id who) const;
    bool counts(replica_id who, const peer& p, peer_scope scope) const;
    static bool reaches(const collection& c, view& v, std::uint64_t round);
    void write_receipts();
    void on_receipt(const link& k, const receipt& m);

    // ---- engine_members.cpp ----
    static bool is_reserved(std::string_view name);
    std::uint64_t list_digest(const collection& c) const;
    bool is_member(const collection& c, replica_id who) const;
    bool join_member(channel c, replica_id who);
    bool remove_member(replica_id who);
    void add_former(replica_id who);
    void retire_formers();
    void list_changed();
    void turn_away(link_id l, link& k, replica_id who);
    void log_bound(replica_id who, const peer_key& key);
    void load_members(const stored_collection& was);
    bool write_members();
    /// Calls send(message_batch&) for each frame of it.
    template <class Send> void write_list(const collection& c, Send&& send);
    void write_lists();
    void write_lists(link_id l, link& k);
    void on_membership(link_id l, link& k, const membership& m);
    void acknowledged(collection& c, replica_id who, std::uint64_t list, const version_vector& version);
    static void settle(const collection& c, acknowledgement& a);
    std::optional<version_vector> stable_version(collection& c);
    void on_acknowledgements(link& k, const acknowledgements& m);
    void pass_on_acknowledgements();
    void prune();
    void tidy();
    void forget_volatile();

    // ---- engine_identity.cpp ----
    version_vector public_version(const collection& c) const;
    bool withholds(const collection& c) const;
    std::uint64_t own_limit(const collection& c) const;
    /// A peer has dots of ours that we do not have.
    void exceeded(collection& c);
    /// A peer has heard that we had more than we have.
    void fallen_back(collection& c);
    void conflict(std::uint64_t other);
    void conflict_over(std::uint64_t other);
    replica_id fresh_id();
    /// What others call us.
    replica_id name() const { return next_id.value_or(id); }
    void take_new_id(bool lost);
    /// From now on, and on the disk; `change(collection&)` gives the state its new id and says after which of the old
    /// one's dots the new one's begin.
    template <class F> void adopt(replica_id fresh, bool join_again, F&& change);
    /// Own edits are held until a member has let us in.
    void join_anew(collection& c);
    bool is_answered(const collection& c) const;
    bool may_be_outdated(const collection& c);
    bool may_publish(collection& c);
    bool is_newcomer(const collection& c, replica_id who);
    /// True if everything has to be stored. Requires: the state is locked.
    bool make_anew(collection& c);
    void evicted();
    void come_back();
    void come_back_without_answer();
    void doubt(link_id l, link& k);
    void contest(link_id l, link& k);
    void settle_doubts(replica_id who);
    void released(replica_id id, std::uint64_t nonce);
    void end_doubt(link& k);
    void doubt_over(link_id l, link& k);
    void answered(link& k);
    void check_holds();

    // ---- engine_updates.cpp ----
    void take_edits(collection& c);
    void log_taken(collection& c);
    void publish(collection& c, const edit_batch::entry& e, std::span<const std::byte> delta);
    void log_item(collection& c, std::span<const std::byte> delta);
    void log_answer(collection& c, std::span<const std::byte> answer, const answer_parts& parts);
    void log_hold(collection& c);
    void log_confirmed(collection& c);
    /// Requires: the state is locked. False if the bytes are bad.
    result<bool, decode_error> apply(collection& c, link_id from, const dot_range& dots,
                                     const version_vector& dependencies, std::span<const std::byte> delta);
    result<bool, decode_error> on_update(collection& c, link_id l, link& k, const update& u, const dot_range& dots);
    void learn_of(collection& c, link_id l, link& k, const update& u, const dot_range& dots);
    void retry_buffer(collection& c);

    // ---- engine_relays.cpp ----
    static std::size_t size_in_frame(const version_vector& dependencies, std::span<const std::byte> delta);
    void relay(collection& c, link_id from, const dot_range& dots, const version_vector& dependencies,
               std::span<const std::byte> delta);
    bool alive(link_id l) const;
    /// An edit came on this link that had come before on another way.
    void came_twice(collection& c, link_id l, link& k, replica_id origin);
    /// A pull from this peer brought what should have come by itself.
    void came_late(collection& c, replica_id from, const causal_context& covered, const version_vector& before);
    void want(collection& c, replica_id origin, route& r, replica_id from);
    void source_lost(link_id l);
    void find_source(collection& c, replica_id origin, route& r);
    void forget_relays_to(replica_id who);
    void on_relaying(link_id l, link& k, const relaying& m);

    // ---- engine_pulls.cpp ----
    static std::uint64_t missing_dots(const version_vector& theirs, const version_vector& ours);
    std::optional<std::uint64_t> own_edits_there(const collection& c);
    void look_for_pull(collection& c);
    void start_pull(collection& c, replica_id from, joinery::pull what);
    void resume_pull(collection& c);
    void fail_pull(collection& c);
    void on_chunk(link_id l, link& k, const chunk& m);
    void finish_pull(link_id l, link& k, collection& c);
    void pulls_at_time();

    // ---- engine_answers.cpp ----
    void on_pull(link_id l, link& k, const joinery::pull& m);
    void make_answers();
    /// Nothing is left if the state is not great, or of a type that cannot be read so. Requires: the state is locked.
    static steps_of_state begin_steps(const collection& c, const causal_context& wanted, step_size most);
    /// The next part, encoded. Requires: something is left.
    static std::vector<std::byte> next_step(const collection& c, steps_of_state& m);
    std::size_t make_more(collection& c, answer_book::answer& a);
    void on_credit(link& k, const credit& m);
    void fetched(answer_book::answer& a, std::uint64_t bytes);
    void send_chunks();

    // ---- engine_audit.cpp ----
    /// Requires: the state is locked. It is at exactly the version that is logged, and has nothing beyond it.
    static bool settled(const collection& c);
    std::optional<std::uint64_t> digest_of(collection& c);
    void digest_more(collection& c);
    void audit(collection& c, replica_id from, view& v, const beacon::collection& b);
    void compare_next(collection& c, link& k);
    static bool differs(std::uint64_t mine, std::uint64_t theirs, std::uint64_t width);
    void on_comparison(link_id l, link& k, const comparison& m);
    void answer_comparison();
    void on_digests(link& k, const digests& m);
    void compared(collection& c);
    void start_repair(collection& c, causal_context dots);
    std::optional<std::vector<std::byte>> answer_to_repair(collection& c, const joinery::pull& m);
    void finish_repair(link_id l, link& k, collection& c);
    void repairs_at_time();

    // ---- engine_presence.cpp ----
    void set_presence(collection& c, std::span<const std::byte> bytes, engine_time time_to_live);
    void clear_presence(collection& c);
    /// Of all collections, and with the next flush.
    void clear_presence_now();
    void rename_presence(replica_id old);
    void on_presence(link& k, const joinery::presence& m);
    bool is_news(const joinery::presence& m, const presence_board::entry* e) const;
    static void hide_presence(presence_board& board, presence_board::entry& e);
    void presence_at_time();
    void write_presence();
    void tell_newcomers(collection& c);
    joinery::presence own_presence(const collection& c) const;
    template <class Send>
    void add_presence(const collection& c, replica_id who, const presence_board::entry& e, message_batch& batch,
                      Send&& send_batch);
    std::vector<presence_status> present(const collection& c) const;

    // ---- engine_requests.cpp ----
    std::optional<std::uint64_t> request(collection& c, replica_id target, std::string_view service,
                                         std::span<const std::byte> bytes);
    void reply(const asked_request& to, std::span<const std::byte> bytes);
    void on_request(link_id l, link& k, const joinery::request& m);
    void on_reply(link& k, const joinery::reply& m);
    std::size_t pass_on(const collection& c, const joinery::request& m, std::optional<replica_id> from);
    const asking::way* way_back(const joinery::reply& m) const;
    void send_back(const joinery::reply& m, const asking::way& way);
    bool is_news(const joinery::request& m, link_id l);
    bool make_room_for_asker(link_id l);
    void check_size(std::string_view service, std::span<const std::byte> bytes) const;
};

template <class F> void engine::core::for_each_reader(const collection& c, F&& f) {
    for (auto& [who, p] : peers) {
        auto* k = link_to(p);
        if (p.up && k && p.views[c.number].shares && may(*k, c, access_right::read)) f(p.links.front(), *k);
    }
}

} // namespace joinery
