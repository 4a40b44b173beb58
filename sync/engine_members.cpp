// SPDX-License-Identifier: Apache-2.0
#include "engine_core.hpp"

#include <joinery/digest.hpp>

#include <bit>

// What a removal or a deletion left behind may be forgotten once every member has seen it: once nobody can make
// an edit any more that knows nothing of it. So everybody must know who the members are.
//
// The list of members is two sets that only grow: who joined, and who is gone. A beacon acknowledges a version
// and names the list under which it was sent, by its digest; it counts only while that is our list, and once
// we have all that it acknowledges. Therefore
// 1. what a newcomer was given by one member includes all that any other can have forgotten on the word of
//    that member: for it put the newcomer on its list before, and nothing that it acknowledges later counts
//    for who has not done the same;
// 2. what an evicted node gave to one member is known wherever that member's word counts again.
// Members that are not linked hear of each other's acknowledgements from those between them.

namespace joinery {

namespace {

constexpr std::string_view members_name = "joinery.members";
constexpr std::uint64_t members_fingerprint = 0x6a6f'696e'7331'0001u;
enum class item : std::uint8_t { joined = 1, gone = 2, former = 3, passing = 4, key = 5 }; // of a key four, 5 to 8
constexpr std::size_t item_size = 17, most_records = 256;

void put(frame_writer& to, std::uint8_t kind, std::uint64_t what, replica_id who) {
    compact_output_archive ar(to.body());
    ar.byte(kind);
    for (const auto v : {what, who.value()})
        for (unsigned i = 0; i < 8; ++i) ar.byte(static_cast<std::uint8_t>(v >> (8 * i)));
}
void put(frame_writer& to, item kind, channel c, replica_id who) {
    put(to, static_cast<std::uint8_t>(kind), c.value, who);
}

constexpr unsigned parts_of_key = 4;
void put(frame_writer& to, replica_id who, const peer_key& key) {
    for (unsigned part = 0; part < parts_of_key; ++part) {
        std::uint64_t v = 0;
        for (unsigned i = 0; i < 8; ++i) v |= std::to_integer<std::uint64_t>(key.bytes[8 * part + i]) << (8 * i);
        put(to, static_cast<std::uint8_t>(static_cast<unsigned>(item::key) + part), v, who);
    }
}

} // namespace

bool engine::core::is_reserved(std::string_view name) { return name.starts_with("joinery."); }

// ---- the list ----

std::uint64_t engine::core::list_digest(const collection& c) const {
    std::vector<replica_id> there;
    for (const auto r : joined.at(c.channel))
        if (!gone.contains(r)) there.push_back(r);
    return std::max<std::uint64_t>(
        1, combine(digest(encode(there)), digest(encode(std::vector(gone.begin(), gone.end())))));
}

bool engine::core::is_member(const collection& c, replica_id who) const {
    const auto list = joined.find(c.channel);
    return list != joined.end() && list->second.contains(who) && !gone.contains(who);
}

bool engine::core::join_member(channel c, replica_id who) {
    auto& list = joined[c];
    if (gone.contains(who) || list.contains(who) || (who != id && list.size() >= options.limits.members)) return false;
    list.insert(who);
    if (logging) put(members_record, item::joined, c, who);
    list_changed();
    if (who == id) return true;
    auto& e = note(event_kind::member_joined, find(c) ? find(c)->number : event::no_collection);
    e.peer = who;
    return true;
}

bool engine::core::remove_member(replica_id who) {
    if (!gone.insert(who).second) return false;
    formers.erase(who);
    passing.erase(who);
    bound.erase(who);
    if (logging) put(members_record, item::gone, {}, who);
    list_changed();
    answers.erase(who);
    for (auto& c : collections) counters.updates_dropped += c.buffer.erase(who);
    note(event_kind::member_gone).peer = who;
    for (auto& [l, k] : links)
        if (k.peer == who) turn_away(l, k, who);
    return true;
}

void engine::core::add_former(replica_id who) {
    if (gone.contains(who) || !formers.insert(who).second) return;
    if (logging) put(members_record, item::former, {}, who);
}

void engine::core::log_bound(replica_id who, const peer_key& key) { put(members_record, who, key); }

// Once a member has all that was made under such an id.
void engine::core::retire_formers() {
    for (const auto who : std::set(formers)) {
        const bool known = std::all_of(collections.begin(), collections.end(), [&](const collection& c) {
            const auto last = c.version[who];
            return last == 0 || std::any_of(peers.begin(), peers.end(), [&](const auto& p) {
                       return is_member(c, p.first) && p.second.views[c.number].version[who] >= last;
                   });
        });
        if (known && !collections.empty()) remove_member(who);
    }
}

void engine::core::list_changed() {
    for (auto& c : collections) {
        c.list = list_digest(c);
        c.list_due = true;
        c.stable = {};
    }
    beacon_due = true;
}

void engine::core::turn_away(link_id l, link& k, replica_id who) {
    k.out.add(refuse{.reason = refusal::evicted, .name = who.value()});
    detach(l, k);
    k.ignored = true;
}

void engine::core::load_members(const stored_collection& was) {
    const auto read = [&](std::span<const std::byte> frame, frame_kind kind) {
        const auto body = open_stored(frame, kind, joinery::name_digest(members_name), members_fingerprint);
        if (!body || body->size() % item_size != 0) throw storage_error("the list of members cannot be read");
        compact_input_archive in(*body);
        const auto number = [&] {
            std::uint64_t v = 0;
            for (unsigned i = 0; i < 8; ++i) v |= std::uint64_t{in.byte()} << (8 * i);
            return v;
        };
        while (in.remaining() > 0) {
            const unsigned kind_of = in.byte();
            const channel c{number()};
            const replica_id who{number()};
            if (const auto part = kind_of - static_cast<unsigned>(item::key); part < parts_of_key)
                for (unsigned i = 0; i < 8; ++i)
                    bound[who].bytes[8 * part + i] = static_cast<std::byte>(c.value >> (8 * i));
            switch (static_cast<item>(kind_of)) {
            case item::joined: joined[c].insert(who); break;
            case item::gone: gone.insert(who); break;
            case item::former: formers.insert(who); break;
            case item::passing: passing.insert(who); break;
            default: break;
            }
        }
    };
    if (!was.snapshot.empty()) read(was.snapshot, frame_kind::snapshot);
    for (const auto& r : was.records) read(r, frame_kind::record);
    for (const auto who : gone) {
        formers.erase(who);
        passing.erase(who);
        bound.erase(who);
    }
    members_records = was.records.size();
}

// Requires: a sync follows before anything leaves.
bool engine::core::write_members() {
    if (members_record.body_size() == 0) return false;
    const auto name = joinery::name_digest(members_name);
    if (!members_stored) members_stored = disk.attach(members_name, members_fingerprint);
    if (++members_records > most_records) {
        frame_writer all;
        for (const auto& [c, ids] : joined)
            for (const auto who : ids) put(all, item::joined, c, who);
        for (const auto who : gone) put(all, item::gone, {}, who);
        for (const auto who : formers) put(all, item::former, {}, who);
        for (const auto who : passing) put(all, item::passing, {}, who);
        for (const auto& [who, key] : bound) put(all, who, key);
        disk.compact(*members_stored, all.close(frame_kind::snapshot, name, members_fingerprint));
        members_records = 0;
    } else {
        disk.append(*members_stored, members_record.close(frame_kind::record, name, members_fingerprint));
    }
    members_record.clear();
    return true;
}

// In parts, if it is long: the lists only grow, so each says something by itself.
template <class Send> void engine::core::write_list(const collection& c, Send&& send) {
    const std::size_t most = std::max<std::size_t>(options.limits.batch / 10, 1);
    message_batch batch;
    membership m{c.channel, {}, {}};
    const auto part_ends = [&] {
        batch.clear();
        batch.add(m);
        send(batch);
        m.joined.clear();
        m.gone.clear();
    };
    const auto add = [&](std::vector<replica_id>& to, replica_id who) {
        if (m.joined.size() + m.gone.size() >= most) part_ends();
        to.push_back(who);
    };
    for (const auto who : joined.at(c.channel))
        if (!c.joining || !is_newcomer(c, who)) add(m.joined, who); // who waits says nothing of others that do
    for (const auto who : gone) add(m.gone, who);
    part_ends();
}

// To all whom they concern, when they have changed.
void engine::core::write_lists() {
    for (auto& c : collections)
        if (std::exchange(c.list_due, false) && !peers.empty())
            write_list(c, [&](message_batch& batch) { broadcast(c, batch); });
}

void engine::core::write_lists(link_id l, link& k) {
    for (const auto number : std::exchange(k.lists_due, {}))
        if (may(k, collections[number], access_right::read))
            write_list(collections[number], [&](message_batch& batch) { send(l, batch.close(frame_kind::direct)); });
}

void engine::core::on_membership(link_id l, link& k, const membership& m) {
    auto* c = find(m.channel);
    if (!c || !peer_of(k) || !may(k, *c, access_right::read)) return;
    const auto too_many = [&](const std::set<replica_id>& ours, const std::vector<replica_id>& theirs) {
        const auto fresh = std::count_if(theirs.begin(), theirs.end(), [&](auto who) { return !ours.contains(who); });
        return ours.size() + static_cast<std::size_t>(fresh) > options.limits.members;
    };
    if (too_many(joined[c->channel], m.joined) || too_many(gone, m.gone)) return reject(l, k, decode_error::too_large);
    bool evicted_now = false, denied = false;
    for (const auto who : m.gone) {
        if (gone.contains(who) || (who == id && next_id)) continue;
        if (!is_admin(k) && (who == id || !owns(k, who)))
            denied = true;
        else if (who == id)
            evicted_now = true;
        else
            remove_member(who);
    }
    for (const auto who : m.joined)
        if (who != id && (relays(k, *c) || owns(k, who))) join_member(c->channel, who); // of ourselves we say it
    if (denied) pass_over(k);
    if (evicted_now) evicted();
}

// ---- acknowledgements ----

void engine::core::acknowledged(collection& c, replica_id who, std::uint64_t list, const version_vector& version) {
    if (list == 0 || who == id) return;
    auto& a = c.acknowledged[who];
    if (a.newest.list == list && version.within(a.newest.version)) return;
    if (a.newest.list != list && !a.newest.version.within(version)) return; // older
    a.newest = {list, version};
    a.pass_on = true;
    if (!a.waiting || a.waiting->list != list) a.waiting = a.newest;
}

// What a member has acknowledged counts once we have all of it.
void engine::core::settle(const collection& c, acknowledgement& a) {
    while (a.waiting && a.waiting->version.within(c.version)) {
        a.counted = *a.waiting;
        if (a.newest == a.counted)
            a.waiting.reset();
        else
            a.waiting = a.newest;
    }
}

// None if it is not known for some member.
std::optional<version_vector> engine::core::stable_version(collection& c) {
    if (c.held) return std::nullopt;
    version_vector stable = c.version;
    for (const auto who : joined.at(c.channel)) {
        if (who == id || gone.contains(who)) continue;
        const auto a = c.acknowledged.find(who);
        if (a == c.acknowledged.end()) return std::nullopt;
        settle(c, a->second);
        if (a->second.counted.list != c.list) return std::nullopt;
        stable.meet(a->second.counted.version);
    }
    return stable;
}

void engine::core::on_acknowledgements(link& k, const acknowledgements& m) {
    auto* c = find(m.channel);
    if (!c || !k.peer) return;
    if (!relays(k, *c)) return pass_over(k);
    for (const auto& e : m.entries)
        if (is_member(*c, e.member)) acknowledged(*c, e.member, e.members, e.version);
}

// Says on what members said, if there is anybody who may not have heard it; now and then all of it, because it
// may be lost.
void engine::core::pass_on_acknowledgements() {
    const bool all = prune_rounds++ % 6 == 0;
    message_batch batch;
    std::size_t size = 0;
    const auto send = [&](const collection& last) {
        if (!batch.empty()) broadcast(last, batch);
        batch.clear();
        size = 0;
    };
    for (auto& c : collections) {
        if (c.number > 0 && (c.closed || collections[c.number - 1].closed)) send(collections[c.number - 1]);
        acknowledgements m;
        m.channel = c.channel;
        for (auto& [who, a] : c.acknowledged) {
            if ((!std::exchange(a.pass_on, false) && !all) || peers.size() < 2 || !is_member(c, who)) continue;
            const std::size_t cost = 64 + 20 * a.newest.version.size();
            if (size > 0 && size + cost > options.limits.batch) {
                if (!m.entries.empty()) batch.add(m);
                m.entries.clear();
                send(c);
            }
            size += cost;
            m.entries.push_back({who, a.newest.list, a.newest.version});
        }
        if (!m.entries.empty()) batch.add(m);
    }
    if (!collections.empty()) send(collections.back());
}

void engine::core::prune() {
    retire_formers();
    forget_volatile();
    pass_on_acknowledgements();
    const std::vector<replica_id> absent(gone.begin(), gone.end());
    for (auto& c : collections) {
        if (const auto stable = stable_version(c)) c.stable = *stable;
        if (c.stable.empty() || c.stable.within(c.pruned)) continue;
        std::lock_guard lock(c.state->mutex());
        if (!c.state->prunable()) continue;
        c.state->prune(c.stable, absent);
        c.pruned = c.stable;
        ++counters.prunings;
    }
    tidy();
}

// One member at a time need do it: of the leaders that are up, the one with the least id.
void engine::core::tidy() {
    if (options.role != node_role::leader || !conflicts.empty()) return;
    for (auto& c : collections) {
        if (c.held || c.joining || !may_write(c) || c.stable.within(c.tidied) ||
            now - c.tidied_at < options.timings.tidy)
            continue;
        const bool others = std::any_of(peers.begin(), peers.end(), [&](const auto& p) {
            const auto* k = p.second.links.empty() ? nullptr : &links.at(p.second.links.front());
            return p.first < id && p.second.up && p.second.role == node_role::leader && is_member(c, p.first) && k &&
                   may(*k, c, access_right::write);
        });
        if (others) continue;
        c.tidied = c.stable;
        c.tidied_at = now;
        {
            std::lock_guard lock(c.state->mutex());
            if (!c.state->tidy(c.stable)) continue;
        }
        take_edits(c);
    }
}

// A node whose storage does not last comes back under another id, and one that takes no writes has nothing to
// lose: neither holds up the others for long. Who they are is known after a restart, too.
void engine::core::forget_volatile() {
    const auto member = [&](replica_id who) {
        return std::any_of(collections.begin(), collections.end(), [&](const auto& c) { return is_member(c, who); });
    };
    for (const auto& [who, p] : peers) {
        if (p.level != durability::none && p.role == node_role::leader)
            passing.erase(who);
        else if (member(who) && passing.insert(who).second && logging)
            put(members_record, item::passing, {}, who);
    }
    const auto absent_for = [&](replica_id who) {
        const auto p = peers.find(who);
        return p == peers.end() ? now - started_at : p->second.up ? engine_time(0) : now - p->second.last_heard;
    };
    for (const auto who : std::set(passing))
        if (absent_for(who) >= options.timings.forget_volatile) remove_member(who);
}

} // namespace joinery
