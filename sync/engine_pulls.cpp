// SPDX-License-Identifier: Apache-2.0
#include "engine_core.hpp"

#include <joinery/digest.hpp>

namespace joinery {

namespace {
constexpr unsigned most_refusals = 5; // in a row, of the peer that has most of the edits of who was evicted
}

// ---- whom to ask ----

// How many of their dots are not among ours.
std::uint64_t engine::core::missing_dots(const version_vector& theirs, const version_vector& ours) {
    std::uint64_t n = 0;
    for (const auto& [r, seq] : theirs) n += seq - std::min(seq, ours[r]);
    return n;
}

// Who was evicted asks one that has most of its own edits, or they would come twice: how many of them that is. A peer
// that goes on to refuse does not count. None before all that are up have said what they have, or had time to.
std::optional<std::uint64_t> engine::core::own_edits_there(const collection& c) {
    const bool all_said =
        std::all_of(links.begin(), links.end(), [](const auto& l) { return l.second.ignored || l.second.answered; });
    if (const auto patience_ends = evicted_at + options.timings.hello_grace; !all_said && now < patience_ends) {
        wake(patience_ends);
        return std::nullopt;
    }
    std::uint64_t most = 0;
    for (const auto& [who, p] : peers) {
        const auto& v = p.views[c.number];
        const auto* k = link_to(p);
        if (p.up && v.shares && k && relays(*k, c) && v.failures < most_refusals) most = std::max(most, v.version[id]);
    }
    return most;
}

// Of the peers that have been ahead for long enough: the one that has failed least, then the one that has most.
void engine::core::look_for_pull(collection& c) {
    c.check_pull = false;
    if (c.pull.request || c.fetched) return;
    std::optional<replica_id> best;
    unsigned failures = 0;
    std::uint64_t most = 0;
    const auto own = next_id ? own_edits_there(c) : 0;
    if (!own) return;
    for (auto& [who, p] : peers) {
        auto& v = p.views[c.number];
        if (next_id && v.ahead_since == never) v.ahead_since = now - options.timings.patience;
        if (v.ahead_since == never || !v.shares || !p.up || p.links.empty()) continue;
        if (next_id && v.version[id] < *own) continue;
        if (!may_pull(*link_to(p), c, v.version)) continue;
        if (!next_id && v.version.within(c.version)) {
            v.ahead_since = never;
            continue;
        }
        const auto from = std::max(v.ahead_since + options.timings.patience, v.not_before);
        if (now < from) {
            wake(from);
            continue;
        }
        const auto missing = missing_dots(v.version, c.version);
        if (best && (v.failures > failures || (v.failures == failures && missing <= most))) continue;
        best = who;
        failures = v.failures;
        most = missing;
    }
    if (!best) return;
    joinery::pull what;
    what.version = public_version(c);
    start_pull(c, *best, std::move(what));
}

void engine::core::start_pull(collection& c, replica_id from, joinery::pull what) {
    auto* k = link_to(peers.at(from));
    c.pull.peer = from;
    c.pull.granted = options.limits.window;
    what.channel = c.channel;
    what.request = next_request++;
    what.until = c.pull.granted;
    c.pull.request = std::move(what);
    c.pull.stalls = 0;
    c.pull.deadline = now + options.timings.pull_timeout;
    wake(c.pull.deadline);
    k->out.add(*c.pull.request);
    ++counters.pulls_sent;
}

// Some chunks are lost, or the link was cut: the same answer, from where it broke off.
void engine::core::resume_pull(collection& c) {
    auto* k = link_to(peers.at(c.pull.peer));
    if (!k) return fail_pull(c);
    c.pull.granted = c.pull.staged.prefix() + options.limits.window;
    auto& request = *c.pull.request;
    request.offset = c.pull.staged.prefix();
    request.until = c.pull.granted;
    c.pull.deadline = now + options.timings.pull_timeout;
    wake(c.pull.deadline);
    k->out.add(request);
    ++counters.pulls_resumed;
}

// Not from this peer, for a while; from another one at once.
void engine::core::fail_pull(collection& c) {
    const auto p = peers.find(c.pull.peer);
    if (p != peers.end()) {
        auto& v = p->second.views[c.number];
        const auto pause = options.timings.pull_backoff * (1u << std::min(v.failures, 16u));
        v.not_before = now + jitter(std::min<engine_time>(pause, options.timings.max_backoff));
        ++v.failures;
    }
    ++counters.pulls_failed;
    c.pull = {};
    c.check_pull = true;
}

void engine::core::pulls_at_time() {
    for (auto& c : collections) {
        c.check_pull = true;
        if (!c.pull.request) continue;
        if (now < c.pull.deadline)
            wake(c.pull.deadline);
        else if (c.pull.stalls++ == 0)
            resume_pull(c);
        else
            fail_pull(c);
    }
}

// ---- what comes back ----

void engine::core::on_chunk(link_id l, link& k, const chunk& m) {
    ++counters.chunks_received;
    auto* c = find(m.channel);
    if (!c || !c->pull.request || c->pull.request->request != m.request || k.peer != c->pull.peer) {
        ++counters.chunks_unwanted;
        if (peer_of(k)) k.out.add(credit{m.channel, m.request, m.total, m.total}); // enough
        return;
    }
    auto& pull = c->pull;
    if (m.total > options.limits.staging) {
        reject(l, k, decode_error::too_large);
        return fail_pull(*c);
    }
    if (!pull.staged.empty() && pull.staged.answer() != m.answer) {
        if (pull.stalls == 0) return; // of an answer before this one
        pull.staged.clear();          // it was not kept: there is a new one
        pull.granted = options.limits.window;
    }
    if (m.offset + m.bytes.size() > pull.granted || !pull.staged.add(m, options.limits.window)) {
        ++counters.chunks_unwanted;
        return;
    }
    pull.stalls = 0;
    pull.deadline = now + options.timings.pull_timeout;
    wake(pull.deadline);
    if (pull.staged.complete()) return finish_pull(l, k, *c);
    if (pull.granted - pull.staged.prefix() <= options.limits.window / 2) {
        pull.granted = pull.staged.prefix() + options.limits.window;
        k.out.add(credit{m.channel, m.request, pull.staged.prefix(), pull.granted});
    }
}

void engine::core::finish_pull(link_id l, link& k, collection& c) {
    const auto& bytes = c.pull.staged.bytes();
    k.out.add(credit{c.channel, c.pull.request->request, bytes.size(), bytes.size()});
    if (digest(bytes) != c.pull.staged.answer()) {
        reject(l, k, decode_error::bad_checksum);
        return fail_pull(c);
    }
    if (c.pull.request->repair) return finish_repair(l, k, c);
    const auto unreadable = [&](decode_error e) {
        reject(l, k, e);
        fail_pull(c);
    };
    const auto parts = parts_of(bytes);
    if (!parts) return unreadable(parts.error());
    auto answer = c.state->read_answer(parts->horizon, parts->deltas); // not under the state's lock: it takes long
    if (!answer) return unreadable(answer.error());
    const auto covered = (*answer)->covered;
    if (!may_join(k, c, covered)) {
        deny(l, k, &c, "an answer with edits that it may not bring");
        return fail_pull(c);
    }
    if (!relays(k, c)) {
        std::unique_lock lock(c.state->mutex());
        const bool seen = (*answer)->removes_only(c.state->context());
        lock.unlock();
        if (!seen) {
            deny(l, k, &c, "an answer that removes what is yet to come");
            return fail_pull(c);
        }
    }
    if (next_id) {
        c.fetched = std::move(*answer);
        c.pull = {};
        ++counters.pulls_completed;
        return come_back();
    }
    if (covered.greatest(id) > own_limit(c)) {
        exceeded(c);
        if (c.pull.request) fail_pull(c); // not while it is unclear who is who
        return;
    }
    result<bool, decode_error> grew = false;
    version_vector joined;
    {
        // What was made before is logged before: the answer may lack what it was made on.
        std::lock_guard lock(c.state->mutex());
        std::swap(taken, c.state->pending());
        grew = c.state->join(**answer);
        joined = c.state->version();
    }
    log_taken(c);
    if (!grew) {
        reject(l, k, grew.error());
        return fail_pull(c);
    }
    if (*grew) {
        const std::uint64_t own = c.version[id]; // more of ours may wait to be taken
        const auto before = std::exchange(c.version, std::move(joined));
        c.version.set(id, own);
        log_answer(c, bytes, *parts);
        came_late(c, c.pull.peer, covered, before);
        std::lock_guard lock(c.state->mutex());
        retry_buffer(c);
    }
    auto& v = peers.at(c.pull.peer).views[c.number];
    if (!*grew && !v.version.within(c.version)) return fail_pull(c); // it does not have what it says
    v.failures = 0;
    c.pull = {};
    c.check_pull = true;
    ++counters.pulls_completed;
    if (*grew) { // else it came by itself meanwhile
        c.remote = true;
        beacon_due = true; // others may lack it too
    }
    if (c.joining) check_holds();
}

} // namespace joinery
