// SPDX-License-Identifier: Apache-2.0
#include "engine_core.hpp"

#include <stdexcept>

namespace joinery {

namespace {

constexpr step_size compaction_step{16'384, std::size_t{1} << 20};

} // namespace

engine::core::core(engine_options o, storage& d, engine_output& output) : options(std::move(o)), disk(d), out(output) {
    if (!options.random) options.random = [] { return replica_id::random().value(); };
    if (options.name.size() > hello::max_name) options.name.resize(hello::max_name);
    if (options.zone.size() > hello::max_name) // cut, two of them could become one
        throw std::invalid_argument("zone \"" + options.zone + "\": longer than " + std::to_string(hello::max_name) +
                                    " bytes");
    auto& limits = options.limits;
    limits.max_frame = std::max<std::size_t>(limits.max_frame, 1024);
    limits.batch = std::min(limits.batch, limits.max_frame - message_overhead);
    limits.chunk = std::min(limits.chunk, limits.max_frame - message_overhead);
    limits.window = std::max(limits.window, limits.chunk);
    if (options.access) options.access->check();

    if (const auto* found = disk.found())
        for (const auto& c : found->collections)
            if (c.name == encrypted_name)
                throw storage_error(disk.name() + ": it is encrypted: open it with encrypted_storage and its key");
    auto was = disk.load();
    const auto level = disk.level();
    logging = level != durability::none;
    restarted = was.id && !was.copy && (level == durability::full || (level == durability::relaxed && was.clean));
    if (restarted) {
        id = *was.id;
    } else {
        while (id.value() == 0 || id == was.id) id = replica_id{options.random()};
        disk.set_id(id);
    }
    for (auto& c : was.collections) {
        auto name = c.name;
        stored.emplace(std::move(name), std::move(c));
    }
    while (nonce == 0) nonce = options.random();
    next_request = options.random();
    if (const auto list = stored.find("joinery.members"); list != stored.end()) {
        load_members(list->second);
        members_stored = disk.attach(list->second.name, list->second.fingerprint);
        stored.erase(list);
    }
    if (was.id && !restarted && !was.copy) add_former(*was.id); // whose copy this is may live
    audit_at = jitter(options.timings.audit);
    prune_at = jitter(options.timings.prune);
}

collection_id engine::core::attach(std::string_view name, replicated_state& state) {
    for (const auto& c : collections)
        if (c.name == name) throw std::invalid_argument("attach \"" + c.name + "\": it is attached already");
    if (is_reserved(name))
        throw std::invalid_argument("attach \"" + std::string(name) +
                                    "\": names that begin with \"joinery.\" are reserved");

    std::lock_guard lock(state.mutex());
    const auto fingerprint = state.fingerprint();
    const auto number = disk.attach(name, fingerprint);
    auto& c = collections.emplace_back();
    c.name = name;
    c.name_digest = joinery::name_digest(name);
    c.fingerprint = fingerprint;
    c.channel = channel_of(c.name_digest, fingerprint);
    c.state = &state;
    c.stored = number;
    const auto& list = joined[c.channel];
    c.group = std::any_of(list.begin(), list.end(), [&](replica_id who) { return who != id && !gone.contains(who); });
    c.joining = state.leaves_tombstones() && !list.contains(id);
    c.held = restarted || c.joining;
    std::optional<dot> hold;
    try {
        const auto was = stored.find(name);
        hold = restore(c, was == stored.end() ? stored_collection{} : was->second);
        if (hold && hold->replica != id) { // of an id that ended with them
            const auto read = state.restore(hold->replica, state.whole());
            if (!read) throw storage_error("attach \"" + c.name + "\": own edits cannot be read");
            state.rename_from(hold->seq, id);
            frame_writer snapshot;
            hold.reset();
            if (c.joining) hold = dot{id, 0};
            write_snapshot(c, snapshot, hold);
            store(c, snapshot);
        }
        if (was != stored.end()) stored.erase(was);
    } catch (...) {
        collections.pop_back();
        throw;
    }
    c.brought = c.version = state.version();
    c.hold_logged = hold.has_value();
    c.opened_at = c.joining ? 0 : hold ? hold->seq : state.context().greatest(id);
    if (c.held) state.hold_from(c.opened_at);
    // Edits that an earlier process held may be older than what another instance has acknowledged since.
    if (hold && state.leaves_tombstones() && state.context().greatest(id) > c.opened_at) c.joining = true;
    c.siblings_before = state.siblings();
    if (!c.version.empty()) c.history.reached(now, c.version);

    c.number = static_cast<collection_id>(collections.size() - 1);
    channels.emplace(c.channel, c.number);
    if (!c.joining) join_member(c.channel, id);
    c.list = list_digest(c);
    settle_access();
    state.limit_text(options.limits.text);
    for (auto& [who, p] : peers) p.views.resize(collections.size());
    for (auto& [l, k] : links) ask_anew(k); // what they know of it counts only if they are asked from now on
    wake(now);
    return c.number;
}

std::optional<dot> engine::core::restore(collection& c, const stored_collection& was) {
    const auto check = [&](const auto& r, const char* what) {
        if (!r)
            throw storage_error("attach \"" + c.name + "\": stored " + what + ": " + std::string(to_string(r.error())));
    };
    std::optional<dot> hold;
    check(c.state->restore(id, {}), "snapshot");
    const auto read = [&](std::span<const std::byte> frame, frame_kind kind, const char* what) {
        const auto body = open_stored(frame, kind, c.name_digest, c.fingerprint);
        check(body, what);
        compact_input_archive items(*body);
        try {
            while (items.remaining() > 0) {
                const auto item = read_item(items);
                switch (item.is) {
                case stored_item::kind::delta:
                    check(kind == frame_kind::snapshot ? c.state->restore(id, item.bytes) : c.state->join(item.bytes),
                          what);
                    break;
                case stored_item::kind::answer: {
                    const auto parts = parts_of(item.bytes);
                    check(parts, what);
                    const auto answer = c.state->read_answer(parts->horizon, parts->deltas);
                    check(answer, what);
                    check(c.state->join(**answer), what);
                    break;
                }
                case stored_item::kind::mark: hold = item.held_after; break;
                }
            }
        } catch (const decode_failure& e) {
            check(result<bool, decode_error>(failure<decode_error>(e.reason)), what);
        }
    };
    if (!was.snapshot.empty()) read(was.snapshot, frame_kind::snapshot, "snapshot");
    c.snapshot_bytes = was.snapshot.size();
    for (const auto& record : was.records) {
        read(record, frame_kind::record, "record");
        c.log_bytes += record.size();
    }
    return hold;
}

// ---- time ----

void engine::core::tick(engine_time t) {
    now = std::max(now, t);
    if (started_at == never) started_at = now;
    if (now < deadline) return;
    deadline = never;

    const auto& timings = options.timings;
    if (now >= beacon_at) {
        beacon_due = true;
        beacon_at = now + (timings.beacon + jitter(timings.beacon)) / 2;
    }
    if (now >= audit_at) {
        audit_due = beacon_due = true;
        for (auto& c : collections) c.digest = {}; // memory may have gone bad since
        audit_at = now + jitter(timings.audit);
    }
    if (now >= prune_at) {
        prune();
        prune_at = now + jitter(timings.prune);
    }
    wake(prune_at);
    wake(beacon_at);
    wake(audit_at);
    peers_at_time();
    check_holds();
    pulls_at_time();
    repairs_at_time();
    presence_at_time();
    if (const auto next = answers.expire(now)) wake(*next);
}

engine_time engine::core::jitter(engine_time t) {
    return t / 2 + engine_time(t.count() > 0 ? static_cast<engine_time::rep>(options.random() %
                                                                             static_cast<std::uint64_t>(t.count()))
                                             : 0);
}

// ---- flushing ----

void engine::core::flush() {
    for (auto& c : collections) take_edits(c);
    write_receipts();
    write_log();

    published.drain([&](message_batch& batch) { broadcast(batch); });
    for (auto& [l, k] : links)
        k.relayed.drain([&, to = l](message_batch& batch) { send(to, batch.close(frame_kind::direct)); });
    for (auto& [l, k] : links) // before anything else that is said to them
        if (k.hello_due) write_hello(l, k);
    for (auto& c : collections) {
        if (c.check_pull) look_for_pull(c);
        digest_more(c);
    }
    write_lists();
    answer_comparison();
    if (std::exchange(beacon_due, false)) write_beacons(std::nullopt);
    for (auto& [l, k] : links) {
        if (std::exchange(k.beacon_due, false)) write_beacons(l);
        write_lists(l, k);
        if (k.out.empty()) continue;
        send(l, k.out.close(frame_kind::direct)); // if it fails, a timer repeats what matters
        k.out.clear();
    }
    write_presence();
    send_chunks();

    for (auto& c : collections) {
        if (c.local || c.remote) c.history.reached(now, c.version);
        if (c.local || c.remote || c.presence.changed) {
            auto& e = note(event_kind::changed, c.number);
            e.presence = std::exchange(c.presence.changed, false);
            e.local = std::exchange(c.local, false);
            e.remote = std::exchange(c.remote, false);
        }
    }
    for (const auto& e : std::exchange(events, {})) out.notify(e);
    make_answers(); // what has come goes on before; what is made here is sent with the next flush
    write_log();    // edits that these took along: whoever asks for our version is told that it is logged
    for (auto& c : collections) compact(c);
}

void engine::core::write_log() {
    bool any = write_members();
    for (auto& c : collections) {
        if (c.record.body_size() == 0) continue;
        const auto frame = c.record.close(frame_kind::record, c.name_digest, c.fingerprint);
        disk.append(c.stored, frame);
        c.log_bytes += frame.size();
        c.record.clear();
        any = true;
    }
    if (!any) return;
    if (std::exchange(confirmed, false)) {
        disk.harden();
    } else {
        disk.sync();
    }
}

void engine::core::compact(collection& c) {
    if (!logging || c.log_bytes <= options.limits.log_minimum ||
        static_cast<double>(c.log_bytes) <= options.limits.log_ratio * static_cast<double>(c.snapshot_bytes))
        return;
    if (compact_in_steps(c)) return;
    write_all(c);
    ++counters.compactions;
}

// A great state is not read at one go, or readers would wait. False if this one is not great. What was read before
// something was forgotten is of no use; where that happens again and again it is read at one go.
bool engine::core::compact_in_steps(collection& c) {
    auto& m = c.compacting;
    frame_writer snapshot;
    {
        std::unique_lock lock(c.state->mutex());
        if (m && m->steps.horizon != c.state->horizon()) m.reset();
        if (!m) {
            if (c.compactions_begun == most_compactions_begun) return false;
            m = collection::compaction{begin_steps(c, c.state->context(), compaction_step), {}};
            if (m->steps.left.empty()) return m.reset(), false;
            ++c.compactions_begun;
            begin_answer(m->answer, m->steps.horizon);
        }
        if (!m->steps.left.empty()) {
            lock.unlock();
            put_item(m->answer, next_step(c, m->steps));
            wake(now);
            return true;
        }
        put_item(m->answer, c.state->extract(c.state->context().minus(m->steps.until)));
    }
    put_answer(snapshot.body(), m->answer);
    m.reset();
    if (const auto hold = hold_of(c)) put_mark(snapshot.body(), hold);
    store(c, snapshot);
    ++counters.compactions;
    return true;
}

// The own dots after this one are held, as the log says.
std::optional<dot> engine::core::hold_of(const collection& c) const {
    return c.held && c.hold_logged ? std::optional(dot{id, c.opened_at}) : std::nullopt;
}

// Requires: the state is locked.
void engine::core::write_snapshot(collection& c, frame_writer& snapshot, std::optional<dot> hold) {
    put_item(snapshot.body(), c.state->whole());
    if (hold) put_mark(snapshot.body(), hold);
}

void engine::core::write_all(collection& c) {
    if (!logging) return;
    c.record.clear();
    c.compacting.reset();
    frame_writer snapshot;
    {
        std::lock_guard lock(c.state->mutex());
        write_snapshot(c, snapshot, hold_of(c));
    }
    store(c, snapshot);
}

void engine::core::store(collection& c, frame_writer& snapshot) {
    const auto frame = snapshot.close(frame_kind::snapshot, c.name_digest, c.fingerprint);
    disk.compact(c.stored, frame);
    c.snapshot_bytes = frame.size();
    c.log_bytes = 0;
    c.compactions_begun = 0;
}

// Peers that dial us hear what we broadcast. The others are sent the same, over one link each.
void engine::core::broadcast(message_batch& batch) {
    const auto frame = batch.close(frame_kind::broadcast);
    const std::size_t size = frame.size();
    out.broadcast(frame);
    std::span<const std::byte> direct;
    for (auto& [who, p] : peers) {
        if (p.up && p.reached) p.bytes_out += size;
        if (!p.up || p.reached || p.links.empty()) continue;
        if (direct.empty()) direct = batch.close(frame_kind::direct);
        send(p.links.front(), direct);
    }
}

void engine::core::broadcast(const collection& c, message_batch& batch) {
    if (!c.closed) return broadcast(batch);
    const auto frame = batch.close(frame_kind::direct);
    for_each_reader(c, [&](link_id l, link&) { send(l, frame); });
}

bool engine::core::send(link_id l, std::span<const std::byte> frame) {
    if (!out.send(l, frame)) return false;
    if (const auto k = links.find(l); k != links.end())
        if (auto* p = peer_of(k->second)) p->bytes_out += frame.size();
    return true;
}

event& engine::core::note(event_kind kind, collection_id c) {
    auto& e = events.emplace_back();
    e.kind = kind;
    e.collection = c;
    return e;
}

engine::core::collection* engine::core::find(channel c) {
    const auto at = channels.find(c);
    return at == channels.end() ? nullptr : &collections[at->second];
}

std::string_view to_string(event_kind kind) {
    switch (kind) {
    case event_kind::changed: return "changed";
    case event_kind::peer_up: return "peer_up";
    case event_kind::peer_down: return "peer_down";
    case event_kind::identity_conflict: return "identity_conflict";
    case event_kind::identity_resolved: return "identity_resolved";
    case event_kind::new_id: return "new_id";
    case event_kind::lost_edits: return "lost_edits";
    case event_kind::incompatible_peer: return "incompatible_peer";
    case event_kind::rejected: return "rejected";
    case event_kind::divergence: return "divergence";
    case event_kind::repaired: return "repaired";
    case event_kind::buffer_dropped: return "buffer_dropped";
    case event_kind::member_joined: return "member_joined";
    case event_kind::member_gone: return "member_gone";
    case event_kind::evicted: return "evicted";
    case event_kind::denied: return "denied";
    case event_kind::forbidden: return "forbidden";
    }
    return "unknown";
}

// ---- the public face ----

engine::engine(engine_options options, storage& disk, engine_output& out)
    : core_(std::make_unique<core>(std::move(options), disk, out)) {}
engine::~engine() = default;
engine::engine(engine&&) noexcept = default;

collection_id engine::attach(std::string_view name, replicated_state& state) { return core_->attach(name, state); }
void engine::connected(link_id link, const std::optional<peer_key>& key) { core_->connected(link, key); }
void engine::set_access(access_policy policy) { core_->set_access(std::move(policy)); }
void engine::disconnected(link_id link) { core_->disconnected(link); }
void engine::received(link_id link, std::span<const std::byte> frame) { core_->received(link, frame); }
void engine::local_edits(collection_id c) { core_->take_edits(core_->collections[c]); }
void engine::tick(engine_time now) { core_->tick(now); }
std::uint64_t engine::ask() { return core_->ask(); }
void engine::flush() { core_->flush(); }
void engine::set_presence(collection_id c, std::span<const std::byte> bytes, engine_time time_to_live) {
    core_->set_presence(core_->collections[c], bytes, time_to_live);
}
void engine::clear_presence(collection_id c) { core_->clear_presence(core_->collections[c]); }
engine_time engine::next_deadline() const { return core_->deadline; }

std::optional<std::uint64_t> engine::request(collection_id c, replica_id target, std::string_view service,
                                             std::span<const std::byte> bytes) {
    return core_->request(core_->collections[c], target, service, bytes);
}

std::optional<std::vector<std::byte>> engine::take_reply(std::uint64_t number) {
    const auto at = core_->awaited.find(number);
    if (at == core_->awaited.end() || !at->second.bytes) return std::nullopt;
    auto bytes = std::move(at->second.bytes);
    core_->awaited.erase(at);
    return bytes;
}

void engine::forget_request(std::uint64_t number) { core_->awaited.erase(number); }
std::vector<asked_request> engine::take_requests() { return std::exchange(core_->asked, {}); }
void engine::reply(const asked_request& to, std::span<const std::byte> bytes) { core_->reply(to, bytes); }

void engine::deny(const asked_request& r) {
    ++core_->counters.denials;
    auto& e = core_->note(event_kind::denied, r.collection);
    e.peer = r.origin;
    e.text = "a request to \"" + r.service + "\"";
}

void engine::evict(replica_id who) {
    if (who != core_->name()) core_->remove_member(who);
}

void engine::leave() {
    core_->left = true;
    core_->remove_member(core_->id);
    core_->flush();
}

replica_id engine::take_new_id() {
    core_->take_new_id(false);
    return core_->id;
}

void engine::close() {
    core_->clear_presence_now();
    core_->flush();
    core_->disk.close();
}

replica_id engine::id() const { return core_->id; }
std::uint64_t engine::nonce() const { return core_->nonce; }
bool engine::writable() const { return core_->conflicts.empty(); }
bool engine::may_write(collection_id c) const { return core_->may_write(core_->collections[c]); }
const version_vector& engine::version(collection_id c) const { return core_->collections[c].version; }
const engine_counters& engine::counters() const { return core_->counters; }
std::vector<presence_status> engine::presence(collection_id c) const { return core_->present(core_->collections[c]); }

collection_status engine::status(collection_id n) const {
    const auto& c = core_->collections[n];
    collection_status s;
    s.name = c.name;
    s.version = c.version;
    s.held = c.held;
    s.pulling = c.pull.request.has_value();
    for (const auto who : core_->joined.at(c.channel))
        if (!core_->gone.contains(who)) s.members.push_back(who);
    s.stable = c.stable;
    s.writable = core_->may_write(c);
    for (const auto& [who, p] : core_->peers)
        if (p.views[c.number].quarantined) s.quarantined.push_back(who);
    s.buffered_updates = c.buffer.size();
    s.buffered_bytes = c.buffer.bytes();
    s.log_bytes = c.log_bytes;
    s.snapshot_bytes = c.snapshot_bytes;
    for (const auto& [who, e] : c.presence.entries) s.present += !e.bytes.empty();
    std::lock_guard lock(c.state->mutex());
    const auto siblings = c.state->siblings();
    s.siblings_seen = siblings.seen - c.siblings_before.seen;
    s.siblings_resolved = siblings.resolved - c.siblings_before.resolved;
    return s;
}

std::vector<peer_status> engine::peers() const {
    std::vector<peer_status> all;
    for (const auto& [who, p] : core_->peers) {
        auto& s = all.emplace_back();
        s.id = who;
        s.name = p.name;
        s.role = p.role;
        s.zone = p.zone;
        s.nonce = p.nonce;
        s.up = p.up;
        s.renamed = core_->is_renamed(who);
        s.links = p.links.size();
        s.silence = core_->now - p.last_heard;
        s.rejected = p.rejected;
        s.bytes_in = p.bytes_in;
        s.bytes_out = p.bytes_out;
        s.level = p.level;
        s.denied = p.denied;
        const auto* k = core_->link_to(p);
        if (k) s.key = k->key;
        for (std::size_t c = 0; c < p.views.size(); ++c) {
            s.versions.push_back(p.views[c].version);
            s.shares.push_back(p.views[c].shares);
            s.quarantined.push_back(p.views[c].quarantined);
            s.refuses.push_back(p.views[c].refuses);
            const auto& ours = core_->collections[c];
            s.rights.push_back(!core_->options.access ? access_right::admin
                               : k                    ? k->grants[c].right
                                                      : access_right::none);
            s.behind.push_back(core::missing_dots(ours.version, p.views[c].version));
            const auto since = p.views[c].shares ? ours.history.lacking_since(p.views[c].version) : std::nullopt;
            s.lag.push_back(since ? core_->now - std::max(*since, p.met) : engine_time(0));
        }
    }
    return all;
}

bool engine::core::is_renamed(replica_id who) const {
    return std::any_of(peers.begin(), peers.end(), [&](const auto& p) {
        return std::find(p.second.formers.begin(), p.second.formers.end(), who) != p.second.formers.end();
    });
}

// A node that has a new id says again what it has: it counts once, under the new one.
bool engine::core::counts(replica_id who, const peer& p, peer_scope scope) const {
    return (scope == peer_scope::all || p.zone == options.zone) && !is_renamed(who);
}

std::vector<replica_id> engine::acknowledged_by(collection_id c, dot d, assurance level, peer_scope scope) const {
    std::vector<replica_id> who;
    for (const auto& [p, peer] : core_->peers) {
        const auto& v = peer.views[c];
        const bool has = v.version.contains(d) || (level == assurance::received && v.received.contains(d));
        if (has && core_->counts(p, peer, scope) && !core_->gone.contains(p)) who.push_back(p);
    }
    return who;
}

std::vector<replica_id> engine::answered(collection_id c, std::uint64_t round, peer_scope scope) {
    std::vector<replica_id> who;
    for (auto& [p, peer] : core_->peers) {
        auto& v = peer.views[c];
        if (peer.up && v.shares && core_->counts(p, peer, scope) && core::reaches(core_->collections[c], v, round))
            who.push_back(p);
    }
    return who;
}

std::vector<awaited_peer> engine::others(collection_id c, const std::vector<replica_id>& who, peer_scope scope) const {
    std::vector<awaited_peer> out;
    for (const auto& [p, peer] : core_->peers)
        if (peer.views[c].shares && !peer.views[c].refuses && core_->counts(p, peer, scope) &&
            std::find(who.begin(), who.end(), p) == who.end())
            out.push_back({p, peer.name});
    return out;
}

dot engine::renamed(collection_id c, dot d) const {
    for (const auto& [after, to] : core_->collections[c].renamed)
        if (d.replica == after.replica && d.seq > after.seq) d = {to, d.seq - after.seq};
    return d;
}

} // namespace joinery
