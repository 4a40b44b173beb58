// SPDX-License-Identifier: Apache-2.0
#include "engine_core.hpp"

#include <stdexcept>

namespace joinery {

engine::core::core(engine_options o, storage& d, engine_output& output) : options(std::move(o)), disk(d), out(output) {
    if (!options.random) options.random = [] { return replica_id::random().value(); };
    if (options.name.size() > hello::max_name) options.name.resize(hello::max_name);
    auto& limits = options.limits;
    limits.max_frame = std::max<std::size_t>(limits.max_frame, 1024);
    limits.batch = std::min(limits.batch, limits.max_frame - message_overhead);
    limits.chunk = std::min(limits.chunk, limits.max_frame - message_overhead);
    limits.window = std::max(limits.window, limits.chunk);

    auto was = disk.load();
    const auto level = disk.level();
    logging = level != durability::none;
    restarted = was.id && (level == durability::full || (level == durability::relaxed && was.clean));
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
    audit_at = jitter(options.timings.audit);
}

collection_id engine::core::attach(std::string_view name, replicated_state& state) {
    for (const auto& c : collections)
        if (c.name == name) throw std::invalid_argument("attach \"" + c.name + "\": it is attached already");

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
    std::optional<dot> hold;
    try {
        const auto was = stored.find(name);
        hold = restore(c, was == stored.end() ? stored_collection{} : was->second);
        if (hold && hold->replica != id) { // of an id that ended with them
            const auto read = state.restore(hold->replica, state.whole());
            if (!read) throw storage_error("attach \"" + c.name + "\": own edits cannot be read");
            state.rename_from(hold->seq, id);
            frame_writer snapshot;
            write_snapshot(c, snapshot);
            store(c, snapshot);
            hold.reset();
        }
        if (was != stored.end()) stored.erase(was);
    } catch (...) {
        collections.pop_back();
        throw;
    }
    c.version = state.version();
    c.held = restarted;
    c.hold_logged = hold.has_value();
    c.opened_at = hold ? hold->seq : state.context().greatest(id);
    if (c.held) state.hold_from(c.opened_at);

    c.number = static_cast<collection_id>(collections.size() - 1);
    channels.emplace(c.channel, c.number);
    for (auto& [who, p] : peers) p.views.resize(collections.size());
    for (auto& [l, k] : links) { // what they know of it counts only if they are asked from now on
        k.answered = false;
        say_hello(k);
    }
    wake(now);
    return c.number;
}

std::optional<dot> engine::core::restore(collection& c, const stored_collection& was) {
    const auto check = [&](const auto& r, const char* what) {
        if (!r)
            throw storage_error("attach \"" + c.name + "\": stored " + what + ": " + std::string(to_string(r.error())));
    };
    std::span<const std::byte> whole;
    if (!was.snapshot.empty()) {
        const auto body = open_stored(was.snapshot, frame_kind::snapshot, c.name_digest, c.fingerprint);
        check(body, "snapshot");
        whole = *body;
    }
    check(c.state->restore(id, whole), "snapshot");
    c.snapshot_bytes = was.snapshot.size();
    std::optional<dot> hold;
    for (const auto& record : was.records) {
        const auto body = open_stored(record, frame_kind::record, c.name_digest, c.fingerprint);
        check(body, "record");
        c.log_bytes += record.size();
        compact_input_archive items(*body);
        try {
            while (items.remaining() > 0) {
                if (const auto length = items.varint(); length > 0) {
                    check(c.state->join(items.raw(length)), "record");
                    continue;
                }
                hold = read_mark(items);
            }
        } catch (const decode_failure& e) {
            check(result<bool, decode_error>(failure<decode_error>(e.reason)), "record");
        }
    }
    return hold;
}

// ---- time ----

void engine::core::tick(engine_time t) {
    now = std::max(now, t);
    if (now < deadline) return;
    deadline = never;

    const auto& timings = options.timings;
    if (now >= beacon_at) {
        beacon_due = true;
        beacon_at = now + (timings.beacon + jitter(timings.beacon)) / 2;
    }
    if (now >= audit_at) {
        audit_due = beacon_due = true;
        audit_at = now + jitter(timings.audit);
    }
    wake(beacon_at);
    wake(audit_at);
    peers_at_time();
    check_holds();
    pulls_at_time();
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
    write_log();

    published.drain([&](message_batch& batch) { broadcast(batch); });
    for (auto& [l, k] : links)
        k.relayed.drain([&, to = l](message_batch& batch) { out.send(to, batch.close(frame_kind::direct)); });
    for (auto& [l, k] : links) // before anything else that is said to them
        if (k.hello_due && k.doubt_until == never) write_hello(l, k);
    for (auto& c : collections)
        if (c.check_pull) look_for_pull(c);
    if (std::exchange(beacon_due, false)) write_beacons(std::nullopt);
    for (auto& [l, k] : links) {
        if (std::exchange(k.beacon_due, false)) write_beacons(l);
        if (k.out.empty()) continue;
        out.send(l, k.out.close(frame_kind::direct)); // if it fails, a timer repeats what matters
        k.out.clear();
    }
    send_chunks();

    for (auto& c : collections) {
        if (c.local || c.remote) {
            auto& e = note(event_kind::changed, c.number);
            e.local = std::exchange(c.local, false);
            e.remote = std::exchange(c.remote, false);
        }
    }
    for (const auto& e : std::exchange(events, {})) out.notify(e);
    for (auto& c : collections) compact(c);
}

void engine::core::write_log() {
    bool any = false;
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
    if (!logging || c.held || c.log_bytes <= options.limits.log_minimum ||
        static_cast<double>(c.log_bytes) <= options.limits.log_ratio * static_cast<double>(c.snapshot_bytes))
        return;
    frame_writer snapshot;
    {
        std::lock_guard lock(c.state->mutex());
        write_snapshot(c, snapshot);
    }
    store(c, snapshot);
    ++counters.compactions;
}

// Requires: the state is locked.
void engine::core::write_snapshot(collection& c, frame_writer& snapshot) {
    const auto whole = c.state->whole();
    snapshot.body().insert(snapshot.body().end(), whole.begin(), whole.end());
    c.snapshot_bytes = snapshot.close(frame_kind::snapshot, c.name_digest, c.fingerprint).size();
    c.log_bytes = 0;
}

void engine::core::store(collection& c, frame_writer& snapshot) {
    disk.compact(c.stored, snapshot.close(frame_kind::snapshot, c.name_digest, c.fingerprint));
}

// Peers that dial us hear what we broadcast. The others are sent the same, over one link each.
void engine::core::broadcast(message_batch& batch) {
    out.broadcast(batch.close(frame_kind::broadcast));
    std::span<const std::byte> direct;
    for (const auto& [who, p] : peers) {
        if (!p.up || p.reached || p.links.empty()) continue;
        if (direct.empty()) direct = batch.close(frame_kind::direct);
        out.send(p.links.front(), direct);
    }
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

// ---- the public face ----

engine::engine(engine_options options, storage& disk, engine_output& out)
    : core_(std::make_unique<core>(std::move(options), disk, out)) {}
engine::~engine() = default;
engine::engine(engine&&) noexcept = default;

collection_id engine::attach(std::string_view name, replicated_state& state) { return core_->attach(name, state); }
void engine::connected(link_id link) { core_->connected(link); }
void engine::disconnected(link_id link) { core_->disconnected(link); }
void engine::received(link_id link, std::span<const std::byte> frame) { core_->received(link, frame); }
void engine::local_edits(collection_id c) { core_->take_edits(core_->collections[c]); }
void engine::tick(engine_time now) { core_->tick(now); }
void engine::ask() { core_->ask(); }
void engine::flush() { core_->flush(); }
engine_time engine::next_deadline() const { return core_->deadline; }

replica_id engine::take_new_id() {
    core_->take_new_id(false);
    return core_->id;
}

void engine::close() {
    core_->flush();
    core_->disk.close();
}

replica_id engine::id() const { return core_->id; }
std::uint64_t engine::nonce() const { return core_->nonce; }
bool engine::writable() const { return core_->conflicts.empty(); }
const version_vector& engine::version(collection_id c) const { return core_->collections[c].version; }
const engine_counters& engine::counters() const { return core_->counters; }

collection_status engine::status(collection_id n) const {
    const auto& c = core_->collections[n];
    return {c.name,          c.version,        c.held,      c.pull.request.has_value(),
            c.buffer.size(), c.buffer.bytes(), c.log_bytes, c.snapshot_bytes};
}

std::vector<peer_status> engine::peers() const {
    std::vector<peer_status> all;
    for (const auto& [who, p] : core_->peers) {
        auto& s = all.emplace_back();
        s.id = who;
        s.name = p.name;
        s.nonce = p.nonce;
        s.up = p.up;
        s.links = p.links.size();
        s.silence = core_->now - p.last_heard;
        s.rejected = p.rejected;
        s.level = p.level;
        for (std::size_t c = 0; c < p.views.size(); ++c) {
            s.versions.push_back(p.views[c].version);
            s.shares.push_back(p.views[c].shares);
            s.behind.push_back(core::missing_dots(core_->collections[c].version, p.views[c].version));
        }
    }
    return all;
}

std::vector<replica_id> engine::acknowledged_by(collection_id c, dot d) const {
    std::vector<replica_id> who;
    for (const auto& [p, peer] : core_->peers)
        if (peer.views[c].version.contains(d)) who.push_back(p);
    return who;
}

dot engine::renamed(collection_id c, dot d) const {
    for (const auto& [after, to] : core_->collections[c].renamed)
        if (d.replica == after.replica && d.seq > after.seq) d = {to, d.seq - after.seq};
    return d;
}

} // namespace joinery
