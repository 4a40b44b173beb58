// SPDX-License-Identifier: Apache-2.0
#include "engine_core.hpp"

#include <stdexcept>

// One replica asks another, which answers. A request goes straight to a peer; where its target is none, to all peers,
// each of which passes it on once. The answer takes the way back on which the request came first. Nothing is repeated
// here: who gets no answer asks again, under another number.

namespace joinery {

namespace {
constexpr std::size_t most_ways = 64; // back to one instance
} // namespace

void engine::core::check_size(std::string_view service, std::span<const std::byte> bytes) const {
    const auto most = std::min(joinery::request::max_bytes, options.limits.max_frame - 2 * message_overhead);
    if (service.size() > joinery::request::max_service || bytes.size() > most)
        throw std::invalid_argument("request \"" + std::string(service) + "\": " + std::to_string(bytes.size()) +
                                    " bytes; at most " + std::to_string(most) +
                                    " are possible, and 64 for the name of a service");
}

// ---- from here ----

std::optional<std::uint64_t> engine::core::request(collection& c, replica_id target, std::string_view service,
                                                   std::span<const std::byte> bytes) {
    check_size(service, bytes);
    if (gone.contains(target)) return std::nullopt;
    const joinery::request m{c.channel, name(), target, nonce, ++last_request, service, bytes};
    if (pass_on(c, m, std::nullopt) == 0) return std::nullopt;
    awaited.emplace(m.number, reply_to_come{target, std::nullopt});
    ++counters.requests_sent;
    return m.number;
}

void engine::core::reply(const asked_request& to, std::span<const std::byte> bytes) {
    check_size({}, bytes);
    const joinery::reply m{collections[to.collection].channel, to.origin, to.nonce, to.number, bytes};
    if (const auto* way = way_back(m)) send_back(m, *way);
    ++counters.replies_sent;
}

// ---- from others ----

void engine::core::on_request(link_id l, link& k, const joinery::request& m) {
    auto* c = find(m.channel);
    if (!c || !k.peer || m.nonce == nonce) return;
    if (!may(k, *c, access_right::read) || !(relays(k, *c) || owns(k, m.origin))) return pass_over(k);
    if (gone.contains(m.origin) || !is_news(m, l)) {
        ++counters.requests_dropped;
        return;
    }
    if (m.target != name()) {
        counters.requests_relayed += pass_on(*c, m, k.peer);
        return;
    }
    if (next_id || asked.size() >= options.limits.requests) {
        ++counters.requests_dropped;
        return;
    }
    ++counters.requests_received;
    asked.push_back({c->number,
                     m.origin,
                     m.nonce,
                     m.number,
                     std::string(m.service),
                     {m.bytes.begin(), m.bytes.end()},
                     right_of(m.origin, k, *c)});
}

void engine::core::on_reply(link& k, const joinery::reply& m) {
    auto* c = find(m.channel);
    if (!c || !k.peer || !may(k, *c, access_right::read)) return;
    if (m.nonce != nonce) {
        const auto* way = way_back(m);
        if (!way) return;
        if (!relays(k, *c) && !owns(k, way->target)) return pass_over(k); // who asked would believe us
        send_back(m, *way);
        ++counters.requests_relayed;
        return;
    }
    const auto at = awaited.find(m.number);
    if (at == awaited.end()) return;
    if (!relays(k, *c) && !owns(k, at->second.from)) return pass_over(k);
    ++counters.replies_received;
    at->second.bytes.emplace(m.bytes.begin(), m.bytes.end());
}

// Those that were heard of lately stay, however many come: what they have asked would go round for ever. And one link
// brings no more than a quarter.
bool engine::core::make_room_for_asker(link_id l) {
    const auto most = options.limits.requests;
    const auto full = [&] {
        const auto& k = links.at(l);
        const auto same = std::count_if(askers.begin(), askers.end(), [&](const auto& a) {
            const auto by = links.find(a.second.came_on);
            return a.second.came_on == l || (by != links.end() && by->second.rates == k.rates);
        });
        return askers.size() >= most || 4 * static_cast<std::size_t>(same) >= most;
    };
    if (!full()) return true;
    std::erase_if(askers, [&](const auto& a) { return a.second.heard + options.timings.answer_life <= now; });
    return !full();
}

// An instance's requests count upwards, so that one that was delayed is not carried out after a later one, and a flood
// ends.
bool engine::core::is_news(const joinery::request& m, link_id l) {
    const instance who{m.origin, m.nonce};
    if (!askers.contains(who) && !make_room_for_asker(l)) return false;
    auto& a = askers[who];
    if (m.number <= a.last) return false;
    if (a.last == 0) a.came_on = l;
    a.heard = now;
    a.last = m.number;
    a.ways.push_back({m.number, l, m.target});
    if (a.ways.size() > most_ways) a.ways.pop_front();
    return true;
}

// To how many.
std::size_t engine::core::pass_on(const collection& c, const joinery::request& m, std::optional<replica_id> from) {
    const auto size = m.bytes.size() + m.service.size() + message_overhead;
    const auto give = [&](peer& p) {
        if (!p.up || p.links.empty() || !p.views[c.number].shares) return false;
        link_to(p)->relayed.add(m, size, options.limits.batch);
        return true;
    };
    if (const auto straight = peers.find(m.target); straight != peers.end() && give(straight->second)) return 1;
    std::size_t n = 0;
    for (auto& [who, p] : peers) n += who != from && who != m.origin && give(p);
    return n;
}

const engine::core::asking::way* engine::core::way_back(const joinery::reply& m) const {
    const auto asker = askers.find({m.origin, m.nonce});
    if (asker == askers.end()) return nullptr;
    const auto& ways = asker->second.ways;
    const auto way = std::find_if(ways.begin(), ways.end(), [&](const auto& w) { return w.number == m.number; });
    return way == ways.end() ? nullptr : &*way;
}

void engine::core::send_back(const joinery::reply& m, const asking::way& way) {
    if (const auto k = links.find(way.link); k != links.end())
        k->second.relayed.add(m, m.bytes.size() + message_overhead, options.limits.batch);
}

} // namespace joinery
