// SPDX-License-Identifier: Apache-2.0
#include "engine_core.hpp"

namespace joinery {

// ---- beacons ----

void engine::core::write_beacons(std::optional<link_id> to) {
    const bool audit = !to && std::exchange(audit_due, false);
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
        beacon::collection item{c.channel, public_version(c), c.held ? 0 : c.list, std::nullopt};
        if (audit && !c.held) item.digest = digest_of(c);
        const std::size_t cost = 32 + 20 * item.version.size();
        if (size > 0 && size + cost > options.limits.max_frame - message_overhead) send();
        size += cost;
        m.collections.push_back(std::move(item));
    }
    send();
}

void engine::core::on_beacon(link& k, const beacon& m) {
    ++counters.beacons_received;
    if (m.nonce == nonce) return;
    if (m.replica == name()) return conflict(m.nonce);
    auto* p = peer_of(k);
    if (!p || *k.peer != m.replica || k.nonce != m.nonce) { // it is new, or has changed: who is there?
        if (k.answered) say_hello(k);
        return;
    }
    for (const auto& b : m.collections) {
        auto* c = find(b.channel);
        if (!c) continue;
        auto& v = p->views[c->number];
        v.shares = true;
        if (!next_id && b.version[id] > own_limit(*c)) exceeded(*c);
        learn(*c, *p, b.version);
        if (b.members != 0) v.member = true;
        if (b.members != 0 && std::exchange(v.withholds, false)) say_hello(k); // now it can answer who reads
        acknowledged(*c, m.replica, b.members, b.version);
        if (c->joining && k.answered && b.members != 0) {
            if (!v.let_in) v.let_in = b.version;
            check_holds();
        }
        if (b.members != 0 && b.members != c->list) write_list(*c, k.out);
        if (b.digest) audit(*c, m.replica, v, b);
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
    if (!p || !c) return;
    auto& had = p->views[c->number].received;
    had.join(m.version);
    if (had.size() > options.limits.members) had = m.version; // of made-up replicas
}

void engine::core::learn(collection& c, peer& p, const version_vector& version) {
    auto& v = p.views[c.number];
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
