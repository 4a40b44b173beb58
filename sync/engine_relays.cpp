// SPDX-License-Identifier: Apache-2.0
#include "engine_core.hpp"

// A node passes on every edit that is new to it, unchanged, to the peers that may not hear its origin. Where
// there are several ways, what comes second is asked to be left out, so that in the end each origin's edits
// flow along a tree; beacons still go everywhere. When a branch of the tree breaks, or a beacon shows that
// another way is faster, the edits are asked for again. (After Plumtree: Leitao, Pereira, Rodrigues, "Epidemic
// broadcast trees", 2007; with a tree for each origin, and beacons for its lazy pushes.)

namespace joinery {

std::size_t engine::core::size_in_frame(const version_vector& dependencies, std::span<const std::byte> delta) {
    return delta.size() + message_overhead + 20 * dependencies.size();
}

bool engine::core::alive(link_id l) const {
    const auto k = links.find(l);
    if (k == links.end() || !k->second.peer) return false;
    const auto p = peers.find(*k->second.peer);
    return p != peers.end() && p->second.up;
}

void engine::core::relay(collection& c, link_id from, const dot_range& dots, const version_vector& dependencies,
                         std::span<const std::byte> delta) {
    if (peers.size() < 2) return;
    const auto source = links.find(from);
    const auto sender = source == links.end() ? std::nullopt : source->second.peer;
    auto& r = c.routes[dots.replica];
    if (sender && r.source != from && !(r.refused.contains(*sender) && alive(r.source))) {
        r.source = from;
        if (r.refused.contains(*sender)) want(c, dots.replica, r, *sender);
    }
    const auto size = size_in_frame(dependencies, delta);
    for (auto& [who, p] : peers) {
        if (!p.up || who == sender || who == dots.replica || r.thinned.contains(who)) continue;
        const auto& v = p.views[c.number];
        auto* k = link_to(p);
        if (!k || !v.shares || v.version.contains({dots.replica, dots.last})) continue;
        if (size > options.limits.max_frame) { // it goes in chunks, to who asks
            beacon_due = true;
            continue;
        }
        k->relayed.add(update{c.channel, assurance::none, dependencies, delta}, size, options.limits.batch);
        ++counters.updates_relayed;
    }
}

// Not from there, as long as it comes on another way that is alive. Said again if it does not help.
void engine::core::came_twice(collection& c, link_id l, link& k, replica_id origin) {
    if (!k.peer || *k.peer == origin) return; // who makes edits tells everybody
    auto& r = c.routes[origin];
    if (origin != id && (r.source == l || !alive(r.source))) return;
    const auto told = r.refused.find(*k.peer);
    if (told != r.refused.end() && now - told->second < options.timings.beacon) return;
    r.refused[*k.peer] = now;
    k.out.add(relaying{c.channel, origin, relay_wish::unwanted});
}

void engine::core::came_late(collection& c, replica_id from, const causal_context& covered,
                             const version_vector& before) {
    for (auto& [origin, r] : c.routes) {
        if (!r.refused.contains(from) || covered.greatest(origin) <= before[origin]) continue;
        const auto source = links.find(r.source);
        const bool behind =
            !alive(r.source) ||
            !peers.at(*source->second.peer).views[c.number].version.contains({origin, covered.greatest(origin)});
        if (behind) want(c, origin, r, from);
    }
}

void engine::core::want(collection& c, replica_id origin, route& r, replica_id from) {
    const auto p = peers.find(from);
    auto* k = p == peers.end() ? nullptr : link_to(p->second);
    if (!k) return;
    r.refused.erase(from);
    k->out.add(relaying{c.channel, origin, relay_wish::wanted});
}

void engine::core::source_lost(link_id l) {
    for (auto& c : collections)
        for (auto& [origin, r] : c.routes)
            if (r.source == l) find_source(c, origin, r);
}

// Whoever can may send them now; the ways that are too many are left out again. If nobody was told not to,
// those that hear of the origin through us may know another way.
void engine::core::find_source(collection& c, replica_id origin, route& r) {
    const auto lost = std::exchange(r.source, 0);
    for (const auto& [who, told] : std::map(r.refused)) want(c, origin, r, who);
    for (auto& [who, p] : peers) {
        auto* k = link_to(p);
        if (k && p.up && who != origin && may(*k, c, access_right::read) && p.links.front() != lost &&
            !r.thinned.contains(who))
            k->out.add(relaying{c.channel, origin, relay_wish::cut_off});
    }
}

void engine::core::forget_relays_to(replica_id who) {
    for (auto& c : collections) {
        for (auto& [origin, r] : c.routes) {
            r.thinned.erase(who);
            r.refused.erase(who);
        }
    }
}

void engine::core::on_relaying(link_id l, link& k, const relaying& m) {
    auto* c = find(m.channel);
    if (!c || !peer_of(k) || !may(k, *c, access_right::read)) return;
    const auto r = c->routes.find(m.origin);
    switch (m.wish) {
    case relay_wish::unwanted:
        if (c->version[m.origin] > 0) c->routes[m.origin].thinned.insert(*k.peer); // else there is nothing to relay
        break;
    case relay_wish::wanted:
        if (r != c->routes.end()) r->second.thinned.erase(*k.peer);
        break;
    case relay_wish::cut_off:
        if (r != c->routes.end() && r->second.source == l) find_source(*c, m.origin, r->second);
        break;
    }
}

} // namespace joinery
