// SPDX-License-Identifier: Apache-2.0
#include "engine_core.hpp"

namespace joinery {

// ---- holding edits back until peers have said what they know of us ----

// What peers may be told that we have: own edits that are held back are not part of it.
version_vector engine::core::public_version(const collection& c) const {
    if (next_id) return {}; // what we have will be replaced by what the others have
    version_vector v = c.version;
    if (c.held) v.set(id, std::min(v[id], c.opened_at));
    return v;
}

// Who asks what we have, to read all of it, has no answer as long as this is so.
bool engine::core::withholds(const collection& c) const { return next_id || (c.held && c.version[id] > c.opened_at); }

// No peer can have own dots above this, unless another instance published them.
std::uint64_t engine::core::own_limit(const collection& c) const { return c.held ? c.opened_at : c.version[id]; }

void engine::core::answered(link& k) {
    k.answered = true;
    for (auto& c : collections) {
        if (!c.held) continue;
        c.answered.insert(*k.peer);
        if (c.first_answer == never) c.first_answer = now;
    }
    check_holds();
}

void engine::core::check_holds() {
    if (next_id) return come_back_without_answer();
    if (!conflicts.empty()) return;
    const bool waiting =
        std::any_of(links.begin(), links.end(), [](const auto& l) { return !l.second.ignored && !l.second.answered; });
    for (auto& c : collections) {
        if (!c.held || !is_answered(c)) continue;
        const engine_time patience_ends = c.first_answer + options.timings.hello_grace;
        if ((waiting || c.answered.size() < options.expected_peers) && now < patience_ends) {
            wake(patience_ends);
            continue;
        }
        if (!may_publish(c)) continue;
        take_edits(c);
        bool anew = false;
        {
            std::lock_guard lock(c.state->mutex());
            const bool edited = c.state->context().greatest(id) > c.opened_at;
            if (edited && !c.joining && c.group && may_be_outdated(c)) {
                join_anew(c);
                ask();
                continue;
            }
            log_confirmed(c);
            if (std::exchange(c.joining, false)) {
                anew = c.group && edited && make_anew(c);
                join_member(c.channel, id);
            }
            c.state->confirm();
            c.held = false;
        }
        if (anew) write_all(c);
        beacon_due = true; // what was held back is pulled
    }
}

// Only those can tell who share the collection; to others there is nothing to publish.
bool engine::core::is_answered(const collection& c) const {
    return std::any_of(c.answered.begin(), c.answered.end(), [&](replica_id who) {
        const auto p = peers.find(who);
        return p != peers.end() && p->second.views[c.number].shares;
    });
}

// An old copy of a storage lacks what it had acknowledged, and whom it said so to may be away. But whatever anybody has
// forgotten, every member has: so held edits rest on nothing of that if one has no more than the storage brought.
bool engine::core::may_be_outdated(const collection& c) {
    return c.state->leaves_tombstones() && std::none_of(peers.begin(), peers.end(), [&](const auto& p) {
               const auto& let_in = p.second.views[c.number].let_in;
               return let_in && let_in->within(c.brought);
           });
}

// What others may have forgotten by the word of those that let us in, our edits may have been made on.
bool engine::core::make_anew(collection& c) {
    if (!c.state->rejoin({}, c.opened_at, id)) return false;
    c.state->pending().clear();
    c.version = c.state->version();
    c.local = true;
    return true;
}

// Who waits to be let in and has nothing yet is no reason for another to wait: founders meet, whatever their number.
bool engine::core::is_newcomer(const collection& c, replica_id who) {
    const auto p = peers.find(who);
    if (p == peers.end() || !p->second.up) return false;
    const auto& v = p->second.views[c.number];
    const auto* k = link_to(p->second);
    return v.shares && !v.member && v.said.empty() && k && relays(*k, c);
}

// Who joins a group takes what a member has before it says anything. Where all that are left wait to be let in, the
// one that has the most is the first member again (whoever has all of another's and more, has the most of the two); of
// those that have as much, the one with the least id.
bool engine::core::may_publish(collection& c) {
    if (!c.joining || !c.group) return true;
    if (std::any_of(peers.begin(), peers.end(), [&](const auto& p) {
            const auto& let_in = p.second.views[c.number].let_in;
            return let_in && let_in->within(c.version);
        }))
        return true;
    const auto patience_ends = c.first_answer + 3 * options.timings.hello_grace;
    if (now < patience_ends) {
        wake(patience_ends);
        return false;
    }
    const auto events = [](const version_vector& v) {
        std::uint64_t sum = 0;
        for (const auto& [who, seq] : v) sum += seq;
        return sum;
    };
    const auto mine = events(public_version(c));
    bool together = false; // alone there is nobody to publish to, and members may be cut off
    bool first = true;
    for (const auto& [who, p] : peers) {
        const auto& v = p.views[c.number];
        const auto* k = link_to(p);
        if (!p.up || !v.shares || !k || !relays(*k, c)) continue; // the others could not let us in
        together = true;
        const auto theirs = events(v.said); // not of who passed for it before
        first &= !v.member && (mine == theirs ? id < who : mine > theirs);
    }
    if (together && first) return true;
    c.first_answer = now;
    ask(); // who was a member may wait like us by now
    return false;
}

// ---- another instance under our id ----

void engine::core::conflict(std::uint64_t other) {
    if (std::find(moved_away.begin(), moved_away.end(), other) != moved_away.end()) return; // late news
    if (conflicts.size() >= max_conflicts || !conflicts.insert(other).second || conflicts.size() > 1) return;
    auto& e = note(event_kind::identity_conflict);
    e.peer = id;
    e.text = "another live node has the id " + to_string(id) + ": writes are refused until one takes a new id";
}

// The instance lives under another id now.
void engine::core::conflict_over(std::uint64_t other) {
    if (conflicts.erase(other) == 0) return;
    moved_away.push_back(other);
    if (moved_away.size() > max_conflicts) moved_away.pop_front();
    if (!conflicts.empty()) return;
    note(event_kind::identity_resolved).peer = id;
    // What peers said meanwhile of its edits under our id was not acted upon: ask again before publishing.
    // And what is held was made while the other may have acknowledged more under our id than we had.
    for (auto& c : collections) {
        c.answered.clear();
        c.first_answer = never;
        if (c.held && c.state->leaves_tombstones()) join_anew(c);
    }
    for (auto& [l, k] : links) {
        if (!k.ignored) ask_anew(k);
    }
}

// A third party sees two instances under one id. The one that it hears of later is not answered before both have been
// asked anew: what they said before may have been under way for long, and whoever said it dead. If both answer, both
// are told; if one does not, the other is the same node after a restart.
void engine::core::doubt(link_id l, link& k) {
    const auto& contested = peers.at(*k.peer).contested;
    if (k.doubt_until != never || contested.contains(k.nonce)) return;
    for (auto& [other, j] : links) {
        if (other == l || j.peer != k.peer || j.nonce == k.nonce || contested.contains(j.nonce)) continue;
        ask_anew(j);
        k.doubt_until = now + options.timings.hello_grace;
    }
    if (k.doubt_until == never) return;
    ask_anew(k);
    wake(k.doubt_until);
}

// The instance behind this link has just answered a question that was asked when it was in doubt, or another one was.
void engine::core::contest(link_id l, link& k) {
    for (auto& [other, j] : links) {
        if (other == l || j.peer != k.peer || j.nonce == k.nonce || !j.answered) continue;
        if (j.doubt_until == never && k.doubt_until == never) continue;
        k.out.add(refuse{.reason = refusal::identity_in_use, .name = k.peer->value(), .nonce = j.nonce});
        j.out.add(refuse{.reason = refusal::identity_in_use, .name = k.peer->value(), .nonce = k.nonce});
        auto& contested = peers.at(*k.peer).contested;
        if (contested.size() >= max_conflicts) contested.clear();
        contested.insert({j.nonce, k.nonce});
        end_doubt(j);
        end_doubt(k);
    }
}

// Doubts end when all links to the peer lead to one instance.
void engine::core::settle_doubts(replica_id who) {
    std::set<std::uint64_t> instances;
    for (const auto& [l, k] : links)
        if (k.peer == who) instances.insert(k.nonce);
    if (instances.size() > 1) return;
    if (const auto p = peers.find(who); p != peers.end()) p->second.contested.clear();
    for (auto& [l, k] : links)
        if (k.peer == who && k.doubt_until != never) end_doubt(k);
}

// An instance has another id now: those that it was in conflict with may not hear it themselves.
void engine::core::released(replica_id former, std::uint64_t other) {
    for (auto& [l, k] : links)
        if (k.peer == former && k.nonce != other)
            k.out.add(refuse{.reason = refusal::identity_free, .name = former.value(), .nonce = other});
}

// Not both have answered. The links of whoever did not are dead, whatever the transport says; if none did, those of the
// one that was there before.
void engine::core::doubt_over(link_id l, link& k) {
    std::vector<link_id> dead;
    bool late = false; // what it said was under way for so long that it came after what its successor says
    for (auto& [other, j] : links) {
        if (other == l || j.peer != k.peer || j.nonce == k.nonce) continue;
        if (j.answered)
            late = true;
        else
            dead.push_back(other);
    }
    if (late && !k.answered) dead.assign(1, l);
    end_doubt(k);
    for (const auto other : dead) detach(other, links.at(other));
}

void engine::core::end_doubt(link& k) {
    if (k.doubt_until == never) return;
    k.doubt_until = never;
    k.hello_due = true;
}

// ---- new ids ----

void engine::core::exceeded(collection& c) {
    if (!conflicts.empty()) return;
    const bool lost = !c.held && std::any_of(collections.begin(), collections.end(),
                                             [&](const collection& d) { return d.version[id] > d.opened_at; });
    take_new_id(lost);
}

// Members that this one does not hear may forget, by the word of what we were, what our edits are made on. None counts
// that word beside the word of who knows our new id.
void engine::core::fallen_back(collection& c) {
    if (c.held && conflicts.empty() && c.state->leaves_tombstones()) take_new_id(false);
}

replica_id engine::core::fresh_id() {
    replica_id fresh = id;
    while (fresh == id || fresh.value() == 0 || peers.contains(fresh)) fresh = replica_id{options.random()};
    return fresh;
}

// Everything that the states have is in the snapshots that are stored together with the new id; so whatever waits
// to be logged, or to be taken, is done with.
template <class F> void engine::core::adopt(replica_id fresh, bool join_again, F&& change) {
    const replica_id old = id;
    std::vector<std::pair<std::uint32_t, std::vector<std::byte>>> snapshots;
    for (auto& c : collections) {
        std::lock_guard lock(c.state->mutex());
        c.renamed.emplace_back(dot{old, change(c)}, fresh);
        c.state->pending().clear();
        c.version = c.state->version();
        c.opened_at = 0;
        c.held = c.joining = c.hold_logged = join_again && c.state->leaves_tombstones();
        c.digest = {};
        c.history = {}; // dots that nobody will acknowledge
        c.local = true;
        c.record.clear();
        c.compacting.reset();
        if (logging) {
            frame_writer snapshot;
            write_snapshot(c, snapshot, c.held ? std::optional(dot{fresh, 0}) : std::nullopt);
            const auto frame = snapshot.close(frame_kind::snapshot, c.name_digest, c.fingerprint);
            snapshots.emplace_back(c.stored, std::vector<std::byte>(frame.begin(), frame.end()));
            c.snapshot_bytes = frame.size();
            c.log_bytes = 0;
        }
        c.pull = {}; // its version may name dots that exist no more
        c.check_pull = true;
    }
    disk.rebase(fresh, snapshots);
    id = fresh;
    next_id.reset();
    rename_presence(old);
    restarted = false;
    conflicts.clear();
    answers.clear();
    for (auto& [l, k] : links) ask_anew(k);
    beacon_due = true;
    auto& e = note(event_kind::new_id);
    e.peer = id;
    e.text = to_string(old) + " is now " + to_string(id);
}

// Edits that nobody has seen become edits of the new id.
void engine::core::take_new_id(bool lost) {
    if (next_id) return; // it has one already, and will take it
    const auto old = id, fresh = fresh_id();
    adopt(fresh, true, [&](collection& c) {
        const std::uint64_t after = c.held ? c.opened_at : c.state->context().greatest(old);
        c.state->rename_from(after, fresh);
        return after;
    });
    for (auto& c : collections) {
        if (c.held) {
            join_anew(c);
            std::lock_guard lock(c.state->mutex());
            c.state->hold_from(0);
        } else
            join_member(c.channel, id);
    }
    if (!lost) return;
    auto& f = note(event_kind::lost_edits);
    f.peer = old;
    f.text = "edits under the id " + to_string(old) + " had been published when a peer showed others of the same name";
}

void engine::core::join_anew(collection& c) {
    const auto& list = joined.at(c.channel);
    c.group = std::any_of(list.begin(), list.end(), [&](replica_id who) { return who != id && !gone.contains(who); });
    for (auto& [who, p] : peers) p.views[c.number].let_in.reset();
    c.joining = true;
    c.answered.clear();
    c.first_answer = never;
}

// ---- evicted ----

// The others do not know this id any more, and may have forgotten what it never saw: so what they have is fetched
// under another id, and what nobody has of this one's edits is made anew on top of that. Until then edits are made
// and kept as before, and nothing is published.
void engine::core::evicted() {
    if (next_id || left) return;
    note(event_kind::evicted).peer = id;
    next_id = fresh_id();
    evicted_at = now;
    for (auto& c : collections) {
        take_edits(c);
        if (!c.held) {
            c.held = true;
            c.opened_at = c.version[id];
        }
        c.buffer.clear();
        c.pull = {};
        c.check_pull = true;
    }
    for (auto& [l, k] : links) {
        k.ignored = false;
        ask_anew(k); // what they have of our edits is not what they had
    }
}

void engine::core::come_back_without_answer() {
    const bool shared = std::any_of(collections.begin(), collections.end(), [&](const collection& c) {
        return !c.fetched && std::any_of(peers.begin(), peers.end(),
                                         [&](const auto& p) { return p.second.up && p.second.views[c.number].shares; });
    });
    if (shared) come_back();
}

// Once there is an answer for every collection that somebody shares. Those who wait to be let in themselves cannot give
// one, and may wait for us. But whoever of them has anything was in a group that has forgotten things without us, and
// goes before us, however much we have: what we have was never pruned with that, and edits on top of it would rest on
// what is forgotten there. It goes, since to those who wait we say that we have nothing. Newcomers have nothing indeed.
void engine::core::come_back() {
    const auto patience_ends = evicted_at + 3 * options.timings.hello_grace;
    for (const auto& c : collections) {
        if (c.fetched) continue;
        for (const auto& [who, p] : peers) {
            const auto& v = p.views[c.number];
            const auto* k = link_to(p);
            if (!p.up || !v.shares || !k || !relays(*k, c)) continue;
            if (v.member || !v.said.empty()) return;
            if (now < patience_ends) return wake(patience_ends);
        }
    }
    const auto fresh = *next_id;
    const auto old = id;
    adopt(fresh, false, [&](collection& c) {
        std::uint64_t known = c.state->context().greatest(old);
        if (!c.fetched) {
            c.state->rename_from(known, fresh);
            return known;
        }
        const auto fetched = std::exchange(c.fetched, {});
        known = std::min(known, fetched->covered.greatest(old));
        if (!c.state->rejoin(fetched.get(), 0, fresh)) c.state->rename_from(known, fresh);
        return known;
    });
    remove_member(old);
    for (auto& c : collections) join_member(c.channel, id);
}

} // namespace joinery
