// SPDX-License-Identifier: Apache-2.0
#include "engine_core.hpp"

#include <joinery/digest.hpp>

namespace joinery {

void engine::core::on_pull(link_id l, link& k, const joinery::pull& m) {
    if (!peer_of(k)) return; // it will ask again, once it has introduced itself
    const auto refused = [&](refusal why) {
        k.out.add(refuse{.reason = why, .request = m.request});
        ++counters.answers_refused;
    };
    auto* c = find(m.channel);
    if (!c) return refused(refusal::unknown);
    const engine_time expires = now + options.timings.answer_life;
    if (auto* a = answers.find(*k.peer, m.request)) { // it goes on
        a->link = l;
        a->expires = expires;
        if (m.offset < a->received || m.offset > a->bytes.size()) return;
        a->received = a->sent = m.offset;
        a->until = m.until;
        return;
    }
    // While our own edits are held back, an answer would give them away.
    if (c->held || !answers.has_room(options.limits.answers, options.limits.answer_bytes))
        return refused(refusal::busy);

    answer_book::answer a;
    a.peer = *k.peer;
    a.link = l;
    a.channel = m.channel;
    a.request = m.request;
    {
        // What the state has beyond our log is taken along in the same moment, and logged before this is sent.
        std::lock_guard lock(c->state->mutex());
        std::swap(taken, c->state->pending());
        a.bytes = c->state->delta_since(m.version);
    }
    log_taken(*c);
    a.digest = digest(a.bytes);
    a.until = std::max<std::uint64_t>(m.until - m.offset, options.limits.chunk); // from its beginning
    a.expires = expires;
    wake(expires);
    answers.add(std::move(a));
    ++counters.answers_made;
}

void engine::core::on_credit(link& k, const credit& m) {
    if (!k.peer) return;
    auto* a = answers.find(*k.peer, m.request);
    if (!a) return;
    a->received = std::max(a->received, m.received);
    a->until = std::max(a->until, m.until);
    a->expires = now + options.timings.answer_life;
    if (a->received >= a->bytes.size()) answers.erase(*k.peer, m.request);
}

void engine::core::send_chunks() {
    bool blocked = false;
    for (auto& [key, a] : answers) {
        while (a.can_send() && links.contains(a.link)) {
            const auto end = std::min<std::uint64_t>({a.until, a.bytes.size(), a.sent + options.limits.chunk});
            const auto bytes =
                std::span(a.bytes).subspan(static_cast<std::size_t>(a.sent), static_cast<std::size_t>(end - a.sent));
            message_batch batch;
            batch.add(chunk{a.channel, a.request, a.digest, a.sent, a.bytes.size(), bytes});
            if (!send(a.link, batch.close(frame_kind::direct))) {
                blocked = true;
                break;
            }
            a.sent = end;
            ++counters.chunks_sent;
        }
    }
    if (blocked) wake(now + engine_time(10));
}

} // namespace joinery
