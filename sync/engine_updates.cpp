// SPDX-License-Identifier: Apache-2.0
#include "engine_core.hpp"

namespace joinery {

// ---- edits made here ----

void engine::core::take_edits(collection& c) {
    {
        std::lock_guard lock(c.state->mutex());
        std::swap(taken, c.state->pending());
    }
    log_taken(c);
}

// What was taken was made before anything that is logged after it.
void engine::core::log_taken(collection& c) {
    for (const auto& e : taken.entries()) {
        if (e.dots.replica != id) continue; // it was stored under our new id
        const auto delta = taken.delta(e);
        c.version.raise(id, e.dots.last);
        c.local = true;
        if (c.held) log_hold(c);
        log_item(c, delta);
        if (!c.held) publish(c, e, delta);
    }
    taken.clear();
}

void engine::core::publish(collection& c, const edit_batch::entry& e, std::span<const std::byte> delta) {
    const auto size = size_in_frame(e.dependencies, delta);
    if (size > options.limits.max_frame || delta.size() > options.limits.update) { // it goes in chunks, to who asks
        beacon_due = true;
        return;
    }
    const update m{c.channel, e.wanted, e.dependencies, delta};
    if (c.closed)
        for_each_reader(c, [&](link_id, link& k) { k.relayed.add(m, size, options.limits.batch); });
    else
        published.add(m, size, options.limits.batch);
    ++counters.edits_published;
    counters.bytes_published += delta.size();
}

void engine::core::log_item(collection& c, std::span<const std::byte> delta) {
    if (logging) put_item(c.record.body(), delta);
}

// With room for what has waited for an answer: while that is joined, readers wait.
void engine::core::log_answer(collection& c, std::span<const std::byte> answer, const answer_parts& parts) {
    if (!logging) return;
    auto& body = c.record.body();
    body.reserve(body.size() + answer.size() + (std::size_t{1} << 20));
    if (!parts.horizon.empty()) return put_answer(body, answer);
    const auto deltas = answer.subspan(parts.header);
    body.insert(body.end(), deltas.begin(), deltas.end());
}

// Edits that are held when the process dies must be held again by the next: until they are confirmed, peers
// may know other edits of the same name. That they are confirmed must outlive the machine's power even where edits need
// not: a node that found them still held would issue them once more.
void engine::core::log_hold(collection& c) {
    if (logging && !std::exchange(c.hold_logged, true)) put_mark(c.record.body(), dot{id, c.opened_at});
}

void engine::core::log_confirmed(collection& c) {
    if (!logging || !std::exchange(c.hold_logged, false)) return;
    put_mark(c.record.body(), std::nullopt);
    confirmed = true;
}

// ---- edits made elsewhere ----

result<bool, decode_error> engine::core::apply(collection& c, link_id from, const dot_range& dots,
                                               const version_vector& dependencies, std::span<const std::byte> delta) {
    auto joined = c.state->join(delta, &dots);
    if (!joined || (!*joined && !c.state->context().contains(dots))) return joined; // not taken
    c.version.raise(dots.replica, dots.last);
    log_item(c, delta);
    c.remote = true;
    ++counters.updates_applied;
    relay(c, from, dots, dependencies, delta);
    return joined;
}

// Requires: the state is locked.
result<bool, decode_error> engine::core::on_update(collection& c, link_id l, link& k, const update& u,
                                                   const dot_range& dots) {
    if (u.wanted == assurance::durable) k.beacon_due = true;
    if (u.wanted == assurance::received) k.receipts[c.number].insert(dots.replica);
    const std::uint64_t have = c.version[dots.replica];
    if (dots.last <= have) {
        ++counters.updates_duplicate;
        came_twice(c, l, k, dots.replica);
        return false;
    }
    // What members say to have seen counts without what may yet come of an id that is gone: that joins only with what
    // a member has, who says so.
    if (gone.contains(dots.replica)) {
        ++counters.updates_dropped;
        learn_of(c, l, k, u, dots);
        return false;
    }
    // What others have seen of our id beyond the limit is not what we hold back under the same dots.
    const bool ours = u.dependencies[id] <= own_limit(c);
    if (dots.first <= have + 1 && ours && u.dependencies.within(c.version)) {
        const auto applied = apply(c, l, dots, u.dependencies, u.delta);
        if (!applied) return applied;
        if (c.version[dots.replica] >= dots.last) {
            if (!c.buffer.empty()) retry_buffer(c);
            return applied;
        }
        // It removes what is not here: what comes with that can be fetched.
        ++counters.updates_dropped;
        learn_of(c, l, k, u, dots);
        return false;
    }
    ++(c.buffer.add(dots, l, u.dependencies, u.delta) ? counters.updates_buffered : counters.updates_duplicate);
    const auto most = options.limits.buffer_per_link;
    if (c.buffer.bytes() > most && buffered_of(c, l, k) > most)
        for (const auto& [other, j] : links)
            if (other == l || j.rates == k.rates) counters.updates_dropped += c.buffer.erase_from(other);
    if (c.buffer.bytes() > options.limits.buffer) {
        counters.updates_dropped += c.buffer.size();
        c.buffer.clear();
        ++counters.buffers_dropped;
        note(event_kind::buffer_dropped, c.number);
    }
    learn_of(c, l, k, u, dots);
    return false;
}

// Who sends an update has all that comes before it: reason enough to pull.
void engine::core::learn_of(collection& c, link_id l, link& k, const update& u, const dot_range& dots) {
    auto* p = peer_of(k);
    if (!p) return;
    version_vector has = u.dependencies;
    has.raise(dots.replica, dots.last);
    learn(c, l, k, *p, has);
}

// Requires: the state is locked.
void engine::core::retry_buffer(collection& c) {
    const std::uint64_t own = c.version[id];
    c.version.set(id, std::min(own, own_limit(c))); // nobody can depend on what is held back
    c.buffer.drain(c.version, [&](const gap_buffer::held_update& u) {
        const auto applied = apply(c, u.from, u.dots, u.dependencies, u.delta);
        if (applied && c.version[u.dots.replica] >= u.dots.last) return true;
        ++(applied ? counters.updates_dropped : counters.frames_rejected);
        return false;
    });
    c.version.set(id, own);
}

} // namespace joinery
