// SPDX-License-Identifier: Apache-2.0
#include "engine_core.hpp"

#include <bit>
#include <iterator>

namespace joinery {

// ---- links ----

void engine::core::connected(link_id l, const std::optional<peer_key>& key) {
    disconnected(l); // whoever was there before
    if (links.size() >= options.limits.links) return;
    auto& k = links[l];
    k.key = key;
    k.rates = rates_of(key);
    settle_access();
    if (k.barred) return;
    k.asked = k.to_ask = rounds; // what it answers now is said after all that were asked
    say_hello(k);
    beacon_due = true; // so that who hears broadcasts can say so
}

void engine::core::disconnected(link_id l) {
    const auto at = links.find(l);
    if (at == links.end()) return;
    detach(l, at->second);
    links.erase(at);
}

void engine::core::detach(link_id l, link& k) {
    const auto who = std::exchange(k.peer, std::nullopt);
    if (!who) return;
    k.doubt_until = never;
    source_lost(l);
    if (const auto p = peers.find(*who); p != peers.end()) {
        auto& left = p->second;
        std::erase(left.links, l);
        left.reached = false; // until it says so again
        if (left.broadcasts_on == l) left.last_broadcast = never;
        if (auto* other = link_to(left))
            say_hello(*other);
        else if (left.up)
            down(*who, left);
    }
    settle_doubts(*who);
    check_holds();
}

engine::core::link* engine::core::link_to(const peer& p) {
    return p.links.empty() ? nullptr : &links.at(p.links.front());
}

engine::core::peer* engine::core::peer_of(const link& k) {
    if (!k.peer) return nullptr;
    const auto at = peers.find(*k.peer);
    return at == peers.end() ? nullptr : &at->second;
}

void engine::core::down(replica_id who, peer& p) {
    p.up = false;
    auto& e = note(event_kind::peer_down);
    e.peer = who;
    e.text = p.name;
}

// ---- frames ----

namespace {

template <class Link> bool is_another(const Link& k, const hello& m) {
    return k.peer && (*k.peer != m.replica || k.nonce != m.nonce);
}

// The entries of the greatest version in it.
std::size_t greatest_version(const message& m) {
    if (const auto* u = std::get_if<update>(&m)) return u->dependencies.size(); // by far the most frequent
    std::size_t n = 0;
    const auto look = [&](const version_vector& v) { n = std::max(n, v.size()); };
    if (const auto* h = std::get_if<hello>(&m))
        for (const auto& c : h->collections) look(c.version);
    if (const auto* b = std::get_if<beacon>(&m))
        for (const auto& c : b->collections) look(c.version);
    if (const auto* p = std::get_if<joinery::pull>(&m)) look(p->version);
    if (const auto* r = std::get_if<receipt>(&m)) look(r->version);
    if (const auto* a = std::get_if<acknowledgements>(&m))
        for (const auto& e : a->entries) look(e.version);
    return n;
}

} // namespace

void engine::core::received(link_id l, std::span<const std::byte> frame) {
    const auto at = links.find(l);
    if (at == links.end()) return; // of a link that is gone
    auto& k = at->second;
    // Its first message is paid for before anything of it is read.
    if (!within_rate(l, k, k.rates->bytes, options.limits.rate_bytes, frame.size()) ||
        !within_rate(l, k, k.rates->messages, options.limits.rate_messages, 1))
        return;
    const auto opened = open_frame(frame);
    if (!opened) return reject(l, k, opened.error());
    if (is_stored(opened->kind)) return reject(l, k, decode_error::wrong_type);
    hear(l, k, opened->kind);
    auto* from = peer_of(k);
    (from ? from->bytes_in : k.bytes_in) += frame.size();

    message_reader reader(opened->body);
    message m;
    std::unique_lock<std::mutex> lock; // of the state that a run of updates belongs to
    collection* locked = nullptr;
    for (bool first = true;; first = false) {
        const auto more = reader.next(m);
        std::optional<decode_error> bad;
        if (!more)
            bad = more.error();
        else if (!*more || (!first && !within_rate(l, k, k.rates->messages, options.limits.rate_messages, 1)))
            return;
        else if (greatest_version(m) > options.limits.version_entries)
            bad = decode_error::too_large;
        const auto* u = std::get_if<update>(&m);
        if (!bad && u && !k.ignored) {
            auto* c = find(u->channel);
            const auto dots = edit_dots(u->delta);
            ++counters.updates_received;
            if (!dots) {
                bad = dots.error();
            } else if (next_id) {
                // it will be in what is fetched
            } else if (c && options.access && !k.peer) {
                // under which id it speaks is not settled: it will be pulled
            } else if (c && !takes(k, *c, dots->replica)) {
                if (lock) lock.unlock();
                locked = nullptr;
                if (k.peer == dots->replica)
                    deny(l, k, c, "an edit");
                else
                    pass_over(k);
            } else if (u->delta.size() > options.limits.update) {
                bad = decode_error::too_large;
            } else if (c && dots->replica == id) {
                if (lock) lock.unlock();
                locked = nullptr;
                if (dots->last > own_limit(*c))
                    exceeded(*c);
                else
                    came_twice(*c, l, k, id);
            } else if (c) {
                if (locked != c) {
                    if (lock) lock.unlock();
                    lock = std::unique_lock(c->state->mutex());
                    locked = c;
                }
                const auto r = on_update(*c, l, k, *u, *dots);
                if (!r) bad = r.error();
            }
        }
        if (bad) {
            reject(l, k, *bad);
            if (!more) return;
        } else if (!u) {
            if (lock) lock.unlock();
            locked = nullptr;
            handle(l, k, m);
        }
    }
}

void engine::core::handle(link_id l, link& k, const message& m) {
    if (const auto* h = std::get_if<hello>(&m)) return on_hello(l, k, *h);
    if (k.ignored) {
        if (const auto* b = std::get_if<beacon>(&m); b && gone.contains(b->replica)) // it has not heard of that
            k.out.add(refuse{.reason = refusal::evicted, .name = b->replica.value()});
        if (const auto* r = std::get_if<refuse>(&m); r && r->reason == refusal::evicted) // each evicted the other
            on_refuse(k, *r);
        return;
    }
    if (options.access && !k.peer && !std::holds_alternative<refuse>(m)) return; // who is it?
    if (const auto* b = std::get_if<beacon>(&m))
        on_beacon(l, k, *b);
    else if (const auto* p = std::get_if<joinery::pull>(&m))
        on_pull(l, k, *p);
    else if (const auto* c = std::get_if<chunk>(&m))
        on_chunk(l, k, *c);
    else if (const auto* g = std::get_if<credit>(&m))
        on_credit(k, *g);
    else if (const auto* r = std::get_if<refuse>(&m))
        on_refuse(k, *r);
    else if (const auto* w = std::get_if<relaying>(&m))
        on_relaying(l, k, *w);
    else if (const auto* s = std::get_if<membership>(&m))
        on_membership(l, k, *s);
    else if (const auto* a = std::get_if<acknowledgements>(&m))
        on_acknowledgements(k, *a);
    else if (const auto* s = std::get_if<joinery::presence>(&m))
        on_presence(k, *s);
    else if (const auto* w = std::get_if<comparison>(&m))
        on_comparison(l, k, *w);
    else if (const auto* d = std::get_if<digests>(&m))
        on_digests(k, *d);
    else if (const auto* a = std::get_if<receipt>(&m))
        on_receipt(k, *a);
    else if (const auto* q = std::get_if<joinery::request>(&m))
        on_request(l, k, *q);
    else if (const auto* r = std::get_if<joinery::reply>(&m))
        on_reply(k, *r);
}

// Reported with every power of two, so that a flood of bad frames is not one of events.
void engine::core::reject(link_id l, link& k, decode_error e) {
    ++counters.frames_rejected;
    ++k.rejected;
    if (auto* p = peer_of(k)) ++p->rejected;
    if (!std::has_single_bit(k.rejected)) return;
    auto& n = note(event_kind::rejected);
    n.link = l;
    n.peer = k.peer.value_or(replica_id{});
    n.text = to_string(e);
}

void engine::core::hear(link_id l, link& k, frame_kind kind) {
    auto* p = peer_of(k);
    if (!p) return;
    p->last_heard = now;
    if (!p->up) {
        p->up = true;
        auto& e = note(event_kind::peer_up);
        e.peer = *k.peer;
        e.text = p->name;
    }
    if (kind != frame_kind::broadcast) return;
    if (p->last_broadcast == never) k.hello_due = true; // it need not send to us what it broadcasts
    p->last_broadcast = now;
    p->broadcasts_on = l;
}

// ---- hello ----

void engine::core::say_hello(link& k) {
    if (k.challenge == 0 || k.answered) {
        k.answered = false;
        do k.challenge = options.random();
        while (k.challenge == 0);
        k.retry_pause = options.timings.hello_retry;
    }
    k.hello_due = true;
}

void engine::core::ask_anew(link& k) {
    k.challenge = 0;
    say_hello(k);
}

// What is answered to a challenge was said after it was made, so one that is under way is of an earlier round. It is
// not given up for the new one: if rounds came fast, none would ever be answered.
std::uint64_t engine::core::ask() {
    ++rounds;
    for (auto& [l, k] : links) {
        k.to_ask = rounds;
        ask_next_round(k);
    }
    return rounds;
}

void engine::core::ask_next_round(link& k) {
    if (!k.answered || k.ignored || k.to_ask == k.asked) return;
    k.asked = k.to_ask;
    say_hello(k);
}

// True if all that it said in this round, or a later one, is here.
bool engine::core::reaches(const collection& c, view& v, std::uint64_t round) {
    while (!v.told.empty()) {
        auto here = v.told.end(); // the last that is here: what comes before it may have been of an id that is gone
        for (auto a = v.told.begin(); a != v.told.end(); ++a)
            if (a->version.within(c.version)) here = a;
        if (here == v.told.end()) break;
        v.reached = std::max(v.reached, here->round);
        v.told.erase(v.told.begin(), here + 1);
    }
    return v.reached >= round;
}

void engine::core::write_hello(link_id l, link& k) {
    const auto send = [&](link_id to, const hello& h) {
        message_batch alone;
        alone.add(h);
        this->send(to, alone.close(frame_kind::direct));
    };
    k.hello_due = false;
    hello m;
    m.replica = name();
    m.nonce = nonce;
    m.challenge = k.answered || k.ignored ? 0 : k.challenge;
    m.echo = k.doubt_until == never ? std::exchange(k.echo, 0) : 0; // in doubt it is asked, not answered
    const auto* p = peer_of(k);
    m.hears = p && p->last_broadcast != never;
    m.durability = static_cast<std::uint8_t>(disk.level());
    m.role = options.role;
    m.name = options.name;
    m.zone = options.zone;
    for (const auto who : formers)
        if (m.formers.size() < hello::max_formers) m.formers.push_back(who);
    std::size_t size = 0;
    for (const auto& c : collections) {
        if (!may(k, c, access_right::read)) continue;
        hello::collection item{c.name_digest, c.fingerprint, public_version(c)};
        item.refuses = !may(k, c, access_right::write);
        item.member = !c.joining && !next_id;
        item.group = c.joining && c.group; // as others have said
        for (const auto who : joined.at(c.channel))
            item.group |= who != k.peer && !gone.contains(who) && !is_newcomer(c, who);
        item.fallen_back = p && p->views[c.number].fallen_back.value_or(false);
        item.withholds = withholds(c);
        const std::size_t cost = 32 + 20 * item.version.size();
        if (size > 0 && size + cost > options.limits.max_frame - message_overhead) { // the rest in another frame
            m.complete = false;
            send(l, m);
            m.collections.clear();
            m.complete = true;
            size = 0;
        }
        size += cost;
        m.collections.push_back(std::move(item));
    }
    if (size > options.limits.max_frame / 4)
        send(l, m);
    else
        k.out.add(m);
    ++counters.hellos_sent;
    if (m.challenge == 0) return;
    k.retry_at = now + jitter(k.retry_pause);
    k.retry_pause = std::min(k.retry_pause * 2, options.timings.hello_retry * 10);
    wake(k.retry_at);
}

void engine::core::on_hello(link_id l, link& k, const hello& m) {
    ++counters.hellos_received;
    if (m.protocol != protocol_version) {
        if (!k.ignored) k.out.add(refuse{.reason = refusal::protocol});
        if (!k.ignored && std::has_single_bit(++k.unfit)) { // it may say one thing and the other for ever
            auto& e = note(event_kind::incompatible_peer);
            e.link = l;
            e.text = "protocol version " + std::to_string(m.protocol);
        }
        k.ignored = true;
        return;
    }
    if (m.nonce == nonce) { // we dialled ourselves
        k.ignored = true;
        return;
    }
    if (!identify(l, k, m)) return;
    if (is_another(k, m) && now < k.another_at)
        return; // again and again: not answered, so that it ends; it comes again
    k.ignored = false;
    if (m.challenge != 0) {
        k.echo = m.challenge;
        k.hello_due |= k.doubt_until == never; // or when that ends
    }
    const auto answers_us = [&] {
        return m.echo != 0 && m.echo == k.challenge;
    }; // not under an id that it shows to end
    if (m.replica == name()) {
        detach(l, k);
        k.nonce = m.nonce;
        if (answers_us()) k.answered = true;
        return conflict(m.nonce);
    }
    if (is_self(k)) conflict_over(m.nonce);
    if (gone.contains(m.replica)) return turn_away(l, k, m.replica);
    auto* p = introduce(l, k, m);
    if (!p) return;
    p->reached = m.hears;
    if (to_rejoin.erase(m.replica) > 0) k.out.add(refuse{.reason = refusal::evicted, .name = m.replica.value()});
    for (const auto& theirs : m.collections) {
        for (auto& c : collections) {
            if (c.name_digest != theirs.name || !may(k, c, access_right::read)) continue;
            auto& v = p->views[c.number];
            const bool trusted = relays(k, c);
            const auto has = believed(c, k, theirs.version);
            v.shares = c.fingerprint == theirs.fingerprint;
            if (v.shares) {
                if (!v.fallen_back) {
                    const auto a = c.acknowledged.find(m.replica);
                    v.fallen_back = a != c.acknowledged.end() && !a->second.newest.version.within(theirs.version);
                }
                // Who has to be waited for, only those say that could let us in.
                v.member = theirs.member && trusted;
                v.refuses = theirs.refuses;
                v.said = has;
                join_member(c.channel, m.replica);
                c.group |= trusted && (theirs.member || (answers_us() && theirs.group));
                if (answers_us() && theirs.fallen_back && trusted) fallen_back(c);
                if (!next_id && theirs.version[id] > own_limit(c) && trusted) exceeded(c);
                if (answers_us() && theirs.member && trusted && !v.let_in) v.let_in = has;
                learn(c, l, k, *p, theirs.version);
                v.withholds = theirs.withholds;
                if (answers_us() && !v.withholds) v.answered(k.asked, has);
                if (v.ahead_since != never) { // not news under way: it has what was lost, or is new
                    v.ahead_since = std::min(v.ahead_since, now - options.timings.patience);
                    c.check_pull = true;
                }
            } else if (!std::exchange(v.incompatible, true)) {
                k.out.add(refuse{.reason = refusal::type, .name = c.name_digest});
                if (!std::has_single_bit(++k.unfit)) continue;
                auto& e = note(event_kind::incompatible_peer, c.number);
                e.peer = m.replica;
                e.link = l;
                e.text = "the type of \"" + c.name + "\" is another there";
            }
        }
    }
    if (answers_us()) contest(l, k);
    doubt(l, k);
    settle_doubts(*k.peer);
    if (answers_us() && m.complete) {
        answered(k);
        ask_next_round(k);
    }
}

// The peer behind the link, as it says of itself; null if there are too many.
engine::core::peer* engine::core::introduce(link_id l, link& k, const hello& m) {
    if (is_another(k, m)) k.another_at = now + options.timings.hello_retry;
    if (k.peer && *k.peer != m.replica) {
        if (k.nonce == m.nonce) released(*k.peer, k.nonce);
        detach(l, k);
    }
    if (!peers.contains(m.replica) && !make_room_for_peer()) {
        k.out.add(refuse{.reason = refusal::busy});
        return nullptr;
    }
    auto& p = peers[m.replica];
    if (p.nonce != m.nonce) { // a new instance may have less than the one before
        p.nonce = m.nonce;
        p.met = now;
        const auto same = [&](replica_id former) { return !options.access || owns(k, former); };
        p.formers.clear();
        std::copy_if(m.formers.begin(), m.formers.end(), std::back_inserter(p.formers), same);
        for (auto& [who, other] : peers) {
            std::erase(other.formers, m.replica); // whoever has it now
            if (other.nonce == m.nonce && who != m.replica && same(who)) p.formers.push_back(who);
        }
        p.views.assign(collections.size(), {});
        forget_relays_to(m.replica);
        p.last_broadcast = never;
        k.hello_due = true;
        beacon_due = true;
    }
    p.name = m.name;
    p.zone = m.zone;
    p.role = m.role;
    p.level = static_cast<durability>(std::min<std::uint8_t>(m.durability, 2));
    k.nonce = m.nonce;
    k.passive = m.role != node_role::leader;
    k.shut_out = false;
    if (!k.peer) {
        k.peer = m.replica;
        p.links.push_back(l);
        p.bytes_in += std::exchange(k.bytes_in, 0);
        for (auto& c : collections) { // a transfer that was cut goes on
            if (!c.pull.request || c.pull.peer != m.replica || p.links.size() > 1) continue;
            c.pull.stalls = 0;
            c.pull.deadline = now;
            wake(now);
        }
    }
    hear(l, k, frame_kind::direct);
    return &p;
}

bool engine::core::make_room_for_peer() {
    if (peers.size() < options.limits.peers) return true;
    auto oldest = peers.end();
    for (auto at = peers.begin(); at != peers.end(); ++at)
        if (at->second.links.empty() && (oldest == peers.end() || at->second.last_heard < oldest->second.last_heard))
            oldest = at;
    if (oldest == peers.end()) return false;
    for (auto& c : collections) // a transfer that was cut does not go on
        if (c.pull.request && c.pull.peer == oldest->first) fail_pull(c);
    peers.erase(oldest);
    return true;
}

void engine::core::on_refuse(link& k, const refuse& m) {
    switch (m.reason) {
    case refusal::identity_in_use:
        if (m.name == name().value() && m.nonce != nonce && relays(k)) conflict(m.nonce);
        break;
    case refusal::identity_free:
        if (relays(k)) conflict_over(m.nonce);
        break;
    case refusal::protocol:
        k.ignored = true;
        if (std::has_single_bit(++k.unfit)) note(event_kind::incompatible_peer).text = to_string(m.reason);
        break;
    case refusal::type: // its hello says so too
        break;
    case refusal::evicted:
        if (m.name == name().value() && is_admin(k)) evicted();
        break;
    case refusal::forbidden: on_forbidden(k, m); break;
    case refusal::unknown:
    case refusal::busy:
        for (auto& c : collections)
            if (c.pull.request && c.pull.request->request == m.request && k.peer == c.pull.peer) fail_pull(c);
        break;
    }
}

// ---- time ----

void engine::core::peers_at_time() {
    const auto& timings = options.timings;
    for (auto& [l, k] : links) {
        if (k.doubt_until != never && now >= k.doubt_until) doubt_over(l, k);
        if (k.doubt_until != never) wake(k.doubt_until);
        if (k.answered || k.ignored || k.retry_at == never) continue;
        if (now >= k.retry_at)
            k.hello_due = true;
        else
            wake(k.retry_at);
    }
    for (auto& [who, p] : peers) {
        if (!p.up) continue;
        if (now - p.last_heard >= timings.peer_timeout) {
            down(who, p);
            for (const auto l : p.links) source_lost(l);
            continue;
        }
        wake(p.last_heard + timings.peer_timeout);
        if (p.last_broadcast == never) continue;
        if (now - p.last_broadcast >= timings.peer_timeout) {
            p.last_broadcast = never; // they do not arrive any more: it should send to us
            if (auto* k = link_to(p)) k->hello_due = true;
        } else {
            wake(p.last_broadcast + timings.peer_timeout);
        }
    }
}

} // namespace joinery
