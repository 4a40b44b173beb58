// SPDX-License-Identifier: Apache-2.0
#include "engine_core.hpp"

#include <stdexcept>

namespace joinery {

// ---- from here ----

void engine::core::set_presence(collection& c, std::span<const std::byte> bytes, engine_time time_to_live) {
    const auto most = std::min(joinery::presence::max_bytes, options.limits.max_frame - message_overhead);
    if (bytes.empty() || bytes.size() > most)
        throw std::invalid_argument("set_presence \"" + c.name + "\": " + std::to_string(bytes.size()) +
                                    " bytes; from 1 to " + std::to_string(most) + " are possible");
    if (time_to_live < least_time_to_live || time_to_live > engine_time(joinery::presence::max_time_to_live))
        throw std::invalid_argument("set_presence \"" + c.name + "\": the time to live is " +
                                    std::to_string(time_to_live.count()) + " ms; from 100 ms to an hour is possible");
    if (c.presence.unused()) tell_newcomers(c); // that there is nothing to tell them
    auto& own = c.presence.own;
    own.bytes.assign(bytes.begin(), bytes.end());
    own.time_to_live = time_to_live;
    own.due = c.presence.due = true;
}

void engine::core::clear_presence(collection& c) {
    auto& own = c.presence.own;
    if (own.bytes.empty()) return;
    own.bytes.clear();
    own.refresh_at = never;
    own.due = own.sequence > 0; // otherwise nobody has heard of it
    c.presence.due |= own.due;
}

void engine::core::clear_presence_now() {
    for (auto& c : collections) {
        clear_presence(c);
        c.presence.not_before = now;
    }
}

// What was said under the old id is gone, and is said again under the new one.
void engine::core::rename_presence(replica_id old) {
    for (auto& c : collections) {
        auto& own = c.presence.own;
        if (own.sequence == 0) continue;
        auto& e = c.presence.entries[old];
        e.nonce = nonce;
        e.sequence = own.sequence + 1;
        e.expires = now + own.time_to_live;
        e.due = c.presence.due = true;
        own.due = !own.bytes.empty();
        wake(e.expires);
    }
}

// ---- from others ----

void engine::core::on_presence(link& k, const joinery::presence& m) {
    ++counters.presence_received;
    auto* c = find(m.channel);
    if (!c) return;
    if (!may(k, *c, access_right::read) || !(relays(k, *c) || owns(k, m.replica))) return pass_over(k);
    auto& board = c->presence;
    const auto at = board.entries.find(m.replica);
    const bool known = at != board.entries.end();
    if (!is_news(m, known ? &at->second : nullptr)) {
        ++counters.presence_duplicate;
        return;
    }
    const std::size_t others = board.bytes - (known ? at->second.bytes.size() : 0);
    if ((!known && board.entries.size() >= options.limits.presence_entries) ||
        others + m.bytes.size() > options.limits.presence_bytes) {
        ++counters.presence_refused;
        return;
    }
    if (board.unused()) tell_newcomers(*c); // that there is nothing to tell them: what comes now is passed on
    auto& e = known ? at->second : board.entries[m.replica];
    if (known && e.nonce != m.nonce) {
        e.former.push_back(e.nonce);
        if (e.former.size() > max_former) e.former.erase(e.former.begin());
    }
    e.nonce = m.nonce;
    e.sequence = m.sequence;
    e.expires = now + engine_time(m.time_to_live);
    wake(e.expires);
    if (!std::equal(e.bytes.begin(), e.bytes.end(), m.bytes.begin(), m.bytes.end())) {
        board.bytes = others + m.bytes.size();
        e.bytes.assign(m.bytes.begin(), m.bytes.end());
        e.changed = now;
        board.changed = true;
    }
    // To those who may not have heard it: not only to who said it.
    e.due = std::any_of(peers.begin(), peers.end(), [&](const auto& p) { return p.second.up && p.first != k.peer; });
    board.due |= e.due;
}

// Of one instance, only what is later. Instances have no order; so the one that a peer has itself said to be is
// believed, and of those that are not peers the one that was not heard of before.
bool engine::core::is_news(const joinery::presence& m, const presence_board::entry* e) const {
    if (m.replica == id || m.nonce == nonce) return false; // our own, back again; or of an instance before this one
    const auto p = peers.find(m.replica);
    if (p != peers.end() && p->second.up && !p->second.links.empty() && p->second.nonce != m.nonce) return false;
    if (!e) return true;
    if (e->nonce == m.nonce) return m.sequence > e->sequence;
    return std::find(e->former.begin(), e->former.end(), m.nonce) == e->former.end();
}

void engine::core::hide_presence(presence_board& board, presence_board::entry& e) {
    board.bytes -= e.bytes.size();
    board.changed |= !e.bytes.empty();
    e.bytes.clear();
}

// ---- time ----

void engine::core::presence_at_time() {
    for (auto& c : collections) {
        auto& board = c.presence;
        if (board.unused()) continue;
        if (now >= board.own.refresh_at)
            board.own.due = board.due = true;
        else
            wake(board.own.refresh_at);
        for (auto at = board.entries.begin(); at != board.entries.end();) {
            auto& e = at->second;
            const auto forget_at = e.expires + options.timings.peer_timeout;
            if (now >= e.expires && !e.bytes.empty()) {
                hide_presence(board, e);
                ++counters.presence_expired;
            }
            if (now >= forget_at) {
                at = board.entries.erase(at);
                continue;
            }
            wake(now < e.expires ? e.expires : forget_at);
            ++at;
        }
        if (board.due && now < board.not_before) wake(board.not_before);
    }
}

// ---- to others ----

// What is due goes into one frame, at most one in each pause: so a node passes on no more than it may hold,
// however much comes in, and of each replica the last.
void engine::core::write_presence() {
    for (auto& c : collections) {
        auto& board = c.presence;
        if (board.unused()) continue;
        tell_newcomers(c);
        if (!board.due) continue;
        if (now < board.not_before) {
            wake(board.not_before);
            continue;
        }
        board.due = false;
        board.not_before = now + options.timings.presence_pause;
        message_batch batch;
        if (auto& own = board.own; std::exchange(own.due, false)) {
            ++own.sequence;
            own.refresh_at = own.bytes.empty() ? never : now + own.time_to_live / 2;
            wake(own.refresh_at);
            batch.add(own_presence(c));
            ++counters.presence_sent;
        }
        for (auto& [who, e] : board.entries) {
            if (!std::exchange(e.due, false)) continue;
            add_presence(c, who, e, batch, [&] { broadcast(c, batch); });
            ++counters.presence_relayed;
        }
        if (!batch.empty()) broadcast(c, batch);
    }
}

// Who has come on a link, or serves the collection since, is told what there is.
void engine::core::tell_newcomers(collection& c) {
    for (auto& [who, p] : peers) {
        if (!p.up || p.links.empty() || !p.views[c.number].shares) continue;
        const auto l = p.links.front();
        auto& k = links.at(l);
        auto& told = k.told;
        if (told.nonce != k.nonce) {
            if (now < told.not_before) { // not each time, if it comes anew all the time
                wake(told.not_before);
                continue;
            }
            told = {k.nonce, now + options.timings.hello_retry, {}};
        }
        if (!told.collections.insert(c.number).second) continue;
        auto& board = c.presence;
        if (const auto at = board.entries.find(who); at != board.entries.end() && at->second.nonce != k.nonce) {
            hide_presence(board, at->second); // of an instance that is no more
            board.entries.erase(at);
        }
        message_batch batch;
        if (board.own.sequence > 0 && !board.own.bytes.empty()) batch.add(own_presence(c));
        for (auto& [origin, e] : board.entries)
            if (origin != who && !e.bytes.empty())
                add_presence(c, origin, e, batch, [&, to = l] { send(to, batch.close(frame_kind::direct)); });
        if (!batch.empty()) send(l, batch.close(frame_kind::direct));
    }
}

joinery::presence engine::core::own_presence(const collection& c) const {
    const auto& own = c.presence.own;
    return {c.channel, name(), nonce, own.sequence, static_cast<std::uint64_t>(own.time_to_live.count()), own.bytes};
}

// With what is left of its time. Sends the batch if it is full, and lets go what no frame can carry.
template <class Send>
void engine::core::add_presence(const collection& c, replica_id who, const presence_board::entry& e,
                                message_batch& batch, Send&& send_batch) {
    const std::size_t size = e.bytes.size() + message_overhead;
    if (now >= e.expires || size > options.limits.max_frame) return;
    if (!batch.empty() && batch.size() + size > options.limits.batch) {
        send_batch();
        batch.clear();
    }
    batch.add(joinery::presence{c.channel, who, e.nonce, e.sequence,
                                static_cast<std::uint64_t>((e.expires - now).count()), e.bytes});
}

// ---- queries ----

std::vector<presence_status> engine::core::present(const collection& c) const {
    std::vector<presence_status> all;
    for (const auto& [who, e] : c.presence.entries) {
        if (e.bytes.empty() || now >= e.expires) continue;
        const auto p = peers.find(who);
        all.push_back({who, p == peers.end() ? std::string() : p->second.name, e.bytes, now - e.changed});
    }
    return all;
}

} // namespace joinery
