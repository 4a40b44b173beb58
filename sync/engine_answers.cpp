// SPDX-License-Identifier: Apache-2.0
#include "engine_core.hpp"

#include <joinery/digest.hpp>

namespace joinery {

namespace {

constexpr step_size answer_step{2048, std::size_t{1} << 17};

} // namespace

void engine::core::on_pull(link_id l, link& k, const joinery::pull& m) {
    if (!peer_of(k)) return; // it will ask again, once it has introduced itself
    const auto refused = [&](refusal why) {
        k.out.add(refuse{.reason = why, .request = m.request});
        ++counters.answers_refused;
    };
    auto* c = find(m.channel);
    if (!c) return refused(options.access ? refusal::forbidden : refusal::unknown); // not told which it is
    if (!may(k, *c, access_right::read)) {
        deny(l, k, c, "a pull");
        return refused(refusal::forbidden);
    }
    const auto waits_for_long = [&](const answer_pace& pace) {
        return pace.next() > now + options.timings.pull_timeout;
    };
    if (auto* a = answers.find(*k.peer, m.request)) { // it goes on
        if (a->channel != m.channel) return refused(refusal::busy);
        a->link = l;
        if (m.offset < a->received || m.offset > a->bytes.size()) return;
        if (m.offset < a->sent) { // what is sent once more is paid for once more
            if (waits_for_long(*a->pace)) return refused(refusal::busy);
            a->pace->pay(now, options.limits.rate_bytes, a->sent - m.offset);
        }
        fetched(*a, m.offset);
        a->sent = m.offset;
        a->until = m.until;
        return;
    }
    answer_book::answer a;
    a.peer = *k.peer;
    a.link = l;
    a.channel = m.channel;
    a.request = m.request;
    a.pace = {k.rates, &k.rates->answers};
    a.until = std::max<std::uint64_t>(m.until - m.offset, options.limits.chunk); // from its beginning
    a.expires = now + options.timings.answer_life;
    // While our own edits are held back, an answer would give them away. Who would have to wait for long may ask
    // others.
    if (c->held || !answers.has_room(a, options.limits.answers) || waits_for_long(*a.pace))
        return refused(refusal::busy);
    wake(a.expires);
    if (m.repair) {
        if (a.pace->next() > now) return refused(refusal::busy);
        const auto bytes = answer_to_repair(*c, m);
        if (!bytes) return refused(refusal::busy);
        a.pace->pay(now, options.limits.rate_bytes, bytes->size());
        auto& added = answers.add(std::move(a));
        answers.begin(added, {});
        answers.grow(added, *bytes);
        added.digest = digest(added.bytes);
        ++counters.answers_made;
        return;
    }
    std::lock_guard lock(c->state->mutex());
    const bool complete = !c->state->horizon().within(m.version);
    const auto wanted = complete ? c->state->context() : c->state->context().minus(m.version);
    a.making = steps_of_answer{begin_steps(*c, wanted, answer_step), m.version, now};
    answers.add(std::move(a));
}

// ---- a state step by step ----

steps_of_state engine::core::begin_steps(const collection& c, const causal_context& wanted, step_size most) {
    steps_of_state m;
    m.most = most;
    m.until = c.state->version();
    m.horizon = c.state->horizon();
    m.dots = most.dots;
    if (!c.state->leaves_tombstones() && wanted.count() > most.dots)
        wanted.for_each([&](const dot_range& r) { m.left.push_back(r); });
    return m;
}

std::vector<std::byte> engine::core::next_step(const collection& c, steps_of_state& m) {
    causal_context part;
    for (auto n = m.dots; n > 0 && !m.left.empty();) {
        auto& r = m.left.back();
        const auto first = r.last - std::min(n, r.last - r.first + 1) + 1;
        part.add({r.replica, first, r.last});
        n -= r.last - first + 1;
        if (first == r.first)
            m.left.pop_back();
        else
            r.last = first - 1;
    }
    std::vector<std::byte> delta;
    {
        std::lock_guard lock(c.state->mutex());
        delta = c.state->extract(part);
    }
    m.made = true;
    m.dots = delta.size() > m.most.bytes ? std::max<std::uint64_t>(m.dots / 2, 1) : std::min(2 * m.dots, m.most.dots);
    return delta;
}

// ---- answers ----

// One step of one of them, in turns, so that neither readers nor peers have to wait for great ones or many, and for
// each key no more than it may bring. Who has to wait is told now and then; who finds no room for long may ask others.
void engine::core::make_answers() {
    const auto tell_every = options.timings.pull_timeout / 4;
    const auto has_room = [&](const answer_book::answer& a) {
        return answers.may_grow(a, options.limits.answer_bytes);
    };
    const auto may_be_made = [&](const auto& entry) {
        const auto& a = entry.second;
        return a.making && a.pace->next() <= now && has_room(a);
    };
    auto turn = std::find_if(answers.begin(), answers.end(),
                             [&](const auto& a) { return a.first > made_last && may_be_made(a); });
    if (turn == answers.end()) turn = std::find_if(answers.begin(), answers.end(), may_be_made);
    std::optional<std::pair<replica_id, std::uint64_t>> next;
    if (turn != answers.end()) next = made_last = turn->first;
    for (auto at = answers.begin(); at != answers.end();) {
        const bool its_turn = next == at->first;
        auto& a = (at++)->second;
        if (!a.making) continue;
        auto* c = find(a.channel);
        if (c->held) { // what is ours would be given away
            answers.erase(a.peer, a.request);
            continue;
        }
        if (its_turn) {
            a.pace->pay(now, options.limits.rate_bytes, make_more(*c, a));
            wake(now);
        }
        if (!a.making) continue;
        const auto k = links.find(a.link);
        if (has_room(a)) {
            wake(std::max(now, a.pace->next()));
            a.expires = now + options.timings.answer_life;
        } else if (a.expires <= now + tell_every) {
            if (k != links.end()) k->second.out.add(refuse{.reason = refusal::busy, .request = a.request});
            ++counters.answers_refused;
            answers.erase(a.peer, a.request);
            continue;
        }
        if (k == links.end()) continue;
        if (now >= a.making->told + tell_every) {
            a.making->told = now;
            k->second.out.add(credit{a.channel, a.request, 0, 0});
        }
        wake(a.making->told + tell_every);
    }
}

// Returns how many bytes were made.
std::size_t engine::core::make_more(collection& c, answer_book::answer& a) {
    auto& m = *a.making;
    if (a.bytes.empty()) { // not before: who waits takes no room
        const bool complete = !m.left.empty() && !m.horizon.within(m.since);
        answers.begin(a, complete ? m.horizon : version_vector());
    }
    if (m.left.empty()) {
        std::vector<std::byte> rest;
        {
            // What the state has beyond our log is taken along in the same moment, and logged before this is sent.
            std::lock_guard lock(c.state->mutex());
            std::swap(taken, c.state->pending());
            if (m.made && c.state->horizon() != m.horizon) { // what was pruned meanwhile is in no part
                m.made = false;
                answers.begin(a, {});
            }
            rest = m.made ? c.state->extract(c.state->context().minus(m.until)) : c.state->delta_since(m.since);
        }
        log_taken(c);
        answers.grow(a, rest);
        a.digest = digest(a.bytes);
        a.making.reset();
        a.expires = now + options.timings.answer_life;
        ++counters.answers_made;
        return rest.size();
    }
    const auto part = next_step(c, m);
    answers.grow(a, part);
    return part.size();
}

void engine::core::on_credit(link& k, const credit& m) {
    if (!k.peer) return;
    if (auto* c = find(m.channel); c && c->pull.request && c->pull.request->request == m.request &&
                                   k.peer == c->pull.peer) { // our answer is being made
        c->pull.stalls = 0;
        c->pull.deadline = now + options.timings.pull_timeout;
        return wake(c->pull.deadline);
    }
    auto* a = answers.find(*k.peer, m.request);
    if (!a) return;
    fetched(*a, m.received);
    a->until = std::max(a->until, m.until);
    if (a->received >= a->bytes.size()) answers.erase(*k.peer, m.request);
}

// Who fetches less than a chunk in that time does not keep its place.
void engine::core::fetched(answer_book::answer& a, std::uint64_t bytes) {
    if (bytes >= a.received + options.limits.chunk) a.expires = now + options.timings.answer_life;
    a.received = std::max(a.received, bytes);
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
