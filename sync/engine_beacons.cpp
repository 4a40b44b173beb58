// SPDX-License-Identifier: Apache-2.0
#include "engine_core.hpp"

namespace joinery {

// ---- beacons ----

// A collection that is not broadcast goes to those who may read it, one by one.
void engine::core::write_beacons(std::optional<link_id> to) {
    if (to) {
        const auto& k = links.at(*to);
        return write_beacon(to, false, [&](const collection& c) { return may(k, c, access_right::read); });
    }
    const bool audit = std::exchange(audit_due, false);
    write_beacon(to, audit, [](const collection& c) { return !c.closed; });
    if (std::none_of(collections.begin(), collections.end(), [](const collection& c) { return c.closed; })) return;
    for (const auto& [who, p] : peers) {
        const auto* k = link_to(p);
        if (p.up && k)
            write_beacon(p.links.front(), audit,
                         [&](const collection& c) { return c.closed && may(*k, c, access_right::read); });
    }
}

template <class Wanted> void engine::core::write_beacon(std::optional<link_id> to, bool audit, Wanted&& wanted) {
    message_batch batch;
    beacon m;
    m.replica = name();
    m.nonce = nonce;
    std::size_t size = 0;
    const auto send = [&] {
        batch.add(m);
        if (to)
            this->send(*to, batch.close(frame_kind::direct));
        else
            broadcast(batch);
        batch.clear();
        m.collections.clear();
        size = 0;
        ++counters.beacons_sent;
    };
    for (auto& c : collections) {
        if (!wanted(c)) continue;
        beacon::collection item{c.channel, public_version(c), c.held ? 0 : c.list, std::nullopt};
        if (audit && !c.held) item.digest = digest_of(c);
        const std::size_t cost = 32 + 20 * item.version.size();
        if (size > 0 && size + cost > options.limits.max_frame - message_overhead) send();
        size += cost;
        m.collections.push_back(std::move(item));
    }
    send();
}

void engine::core::on_beacon(link_id l, link& k, const beacon& m) {
    ++counters.beacons_received;
    if (m.nonce == nonce) return;
    if (m.replica == name()) return is_self(k) ? conflict(m.nonce) : deny(l, k, nullptr, "a beacon of this node's id");
    auto* p = peer_of(k);
    if (!p || *k.peer != m.replica || k.nonce != m.nonce) { // it is new, or has changed: who is there?
        if (k.answered) say_hello(k);
        return;
    }
    for (const auto& b : m.collections) {
        auto* c = find(b.channel);
        if (!c || !may(k, *c, access_right::read)) continue;
        auto& v = p->views[c->number];
        const bool trusted = relays(k, *c);
        v.shares = true;
        if (!next_id && b.version[id] > own_limit(*c) && trusted) exceeded(*c);
        learn(*c, k, *p, b.version);
        if (b.members != 0) v.member = true;
        if (b.members != 0 && std::exchange(v.withholds, false)) say_hello(k); // now it can answer who reads
        const auto has = believed(*c, k, b.version);
        acknowledged(*c, m.replica, b.members, has);
        if (c->joining && k.answered && b.members != 0 && trusted) {
            if (!v.let_in) v.let_in = has;
            check_holds();
        }
        if (b.members != 0 && b.members != c->list) k.lists.insert(c->number);
        if (b.digest && trusted) audit(*c, m.replica, v, b);
    }
}

// ---- receipts ----

// Before what has arrived is durable.
void engine::core::write_receipts() {
    for (auto& [l, k] : links) {
        if (k.receipts.empty()) continue;
        message_batch batch;
        for (const auto& [number, origins] : k.receipts) {
            const auto& c = collections[number];
            receipt m{c.channel, {}};
            for (const auto& origin : origins) m.version.raise(origin, c.version[origin]);
            batch.add(m);
        }
        k.receipts.clear();
        send(l, batch.close(frame_kind::direct));
    }
}

void engine::core::on_receipt(const link& k, const receipt& m) {
    auto* p = peer_of(k);
    auto* c = find(m.channel);
    if (!p || !c || !may(k, *c, access_right::read)) return;
    auto& had = p->views[c->number].received;
    had.join(m.version);
    if (had.size() > options.limits.members) had = m.version; // of made-up replicas
}

void engine::core::learn(collection& c, const link& k, peer& p, const version_vector& said) {
    auto& v = p.views[c.number];
    const auto version = believed(c, k, said);
    v.quarantined = version != said;
    v.version.join(version);
    if (v.version.size() > options.limits.members) v.version = version; // of made-up replicas
    if (v.version.within(c.version)) {
        v.ahead_since = never;
    } else if (v.ahead_since == never) {
        v.ahead_since = now;
        wake(now + options.timings.patience);
    }
}

} // namespace joinery
