// SPDX-License-Identifier: Apache-2.0
#include <zmq.hpp>

#include "zmq_node.ipp"

#include <algorithm>
#include <utility>

namespace joinery::detail {

using std::chrono::milliseconds;

namespace {

constexpr milliseconds first_probe{2};         // the pause after the first request for a pulse
constexpr milliseconds farewell{1000};         // for the last broadcasts of a peer that says bye
constexpr milliseconds longest_farewell{3000}; // it may say so only because it has not heard us for long, and live

} // namespace

// ---- connecting ----

void zmq_node::dial(const std::string& address, const char* what) {
    auto where = zmq_address::parse(address, zmq_address::use::dial, what);
    const auto refuse = [&](const char* reason) {
        return std::invalid_argument(std::string(what) + ": \"" + address + "\" " + reason);
    };
    if (options_.keys && !where.key)
        throw refuse("has no key: with zmq_options::keys, '#' and the peer's public key stand after it");
    if (!options_.keys && where.key) throw refuse("has a key, and there are no zmq_options::keys to prove ours with");
    require_safe(where, options_, what);
    for (const auto& p : dialled_) {
        if (!p->forgotten && p->address == address) return;
    }
    auto p = std::make_unique<dialled_peer>();
    p->link = next_link_++;
    p->address = address;
    p->where = std::move(where);
    p->backoff = options_.reconnect_min;
    dialled_.push_back(std::move(p));
}

// A name may have addresses of both families, of which libzmq tries one: take turns.
void zmq_node::set_family(zmq::socket_t& s, const dialled_peer& p) const {
    s.set(zmq::sockopt::ipv6, p.where.numeric_ipv6() || (p.where.named() && p.attempts % 2 == 0));
}

void zmq_node::start(dialled_peer& p, steady::time_point now) {
    ++p.attempts;
    try {
        p.dealer.emplace(context_, zmq::socket_type::dealer, next_monitor_++, monitored_socket::of_dialler);
        configure(p.dealer->data.socket);
        prove(p.dealer->data.socket, p.where);
        p.dealer->data.socket.set(zmq::sockopt::immediate, true); // nothing is queued for nobody
        set_family(p.dealer->data.socket, p);
        p.dealer->data.socket.connect(p.where.str());
        p.now = dialled_peer::state::asking;
        p.deadline = now + options_.handshake;
        p.due = p.deadline; // the handshake's end brings the first question forward
        p.pause = first_probe * 10;
    } catch (const zmq::error_t&) { // out of descriptors, or not an address after all
        fail(p, now);
    }
}

void zmq_node::subscribe(dialled_peer& p, const welcome& w, steady::time_point now) {
    const std::string endpoint = p.where.publish_endpoint(w.place);
    if (endpoint.empty()) return fail(p, now);
    if (w.incarnation == incarnation_) { // this very node: nothing to gain
        p.backoff = options_.reconnect_max;
        return fail(p, now);
    }
    try {
        p.subscriber.emplace(context_, zmq::socket_type::sub, next_monitor_++, monitored_socket::of_dialler);
        configure(p.subscriber->data.socket);
        prove(p.subscriber->data.socket, p.where);
        set_family(p.subscriber->data.socket, p);
        p.subscriber->data.socket.set(zmq::sockopt::subscribe, "");
        p.subscriber->data.socket.connect(endpoint);
        p.incarnation = w.incarnation;
        p.now = dialled_peer::state::subscribing;
        p.deadline = now + options_.handshake;
        p.due = p.deadline;
        p.pause = first_probe;
    } catch (const zmq::error_t&) {
        fail(p, now);
    }
}

void zmq_node::become_connected(dialled_peer& p, steady::time_point now) {
    if (!greet(p, dial_stage::ready)) return; // the next pulse finds room
    p.now = dialled_peer::state::connected;
    p.connected_at = now;
    p.due = now + options_.heartbeat;
    p.unanswered = p.unheard = 0;
    if (std::exchange(p.was_connected, true)) ++stats_.reconnects;
    notices_.push_back({p.link, true});
}

bool zmq_node::greet(dialled_peer& p, dial_stage stage) {
    zmq::message_t m = message_of(hello{stage});
    return try_send(p.dealer->data, m) == sent::yes;
}

void zmq_node::say_goodbye(dialled_peer& p) {
    zmq::message_t m = message_of(bye{});
    try_send(p.dealer->data, m);
    p.dealer->data.socket.set(zmq::sockopt::linger, static_cast<int>(options_.linger.count()));
}

void zmq_node::hang_up(dialled_peer& p) {
    p.dealer.reset();
    p.subscriber.reset();
    p.subscribed = p.backlog = p.leaving = p.ended = p.cut = false;
    p.now = dialled_peer::state::idle;
}

// Ends the attempt or the connection and sets the time of the next attempt.
void zmq_node::fail(dialled_peer& p, steady::time_point now) {
    if (p.now == dialled_peer::state::connected) {
        if (p.open()) notices_.push_back({p.link, false});
        // One that held counts as a success; a peer that ends them at once is kept at a distance.
        if (now - p.connected_at >= options_.heartbeat) p.backoff = options_.reconnect_min;
    }
    hang_up(p);
    std::uniform_real_distribution<double> spread(0.75, 1.25);
    p.due = now + std::chrono::duration_cast<steady::duration>(p.backoff * spread(random_));
    p.backoff = std::min(p.backoff * 2, options_.reconnect_max);
}

// Closes what was given up since. Only called when nothing iterates over peers, which is at the start and the end of a
// poll.
void zmq_node::sweep() {
    if (renew_) renew_listening_sockets();
    for (auto& p : dialled_) {
        if (p->cut && !p->forgotten) hang_up(*p);
    }
    std::erase_if(dialled_, [&](const std::unique_ptr<dialled_peer>& p) {
        if (p->forgotten && !p->cut && p->now == dialled_peer::state::connected) say_goodbye(*p);
        return p->forgotten;
    });
}

// ---- receiving ----

// These read one slice and return true if there may be more.
bool zmq_node::read_peer(dialled_peer& p, transport_events& events, std::size_t& budget, steady::time_point now) {
    for (std::size_t left = slice; p.dealer && p.open() && try_receive(p.dealer->data, message_);) {
        from_dealer(p, events, now);
        flush_notices(events);
        if (!pay(budget, left, message_.size())) return true;
    }
    for (std::size_t left = slice; p.subscriber && p.open() && try_receive(p.subscriber->data, message_);) {
        from_publisher(p, events, now);
        flush_notices(events);
        if (!pay(budget, left, message_.size())) return true;
    }
    return false;
}

void zmq_node::from_dealer(dialled_peer& p, transport_events& events, steady::time_point now) {
    if (!single_part(p.dealer->data)) return;
    if (is_frame()) {
        if (p.now != dialled_peer::state::connected) {
            ++stats_.dropped;
            return;
        }
        return hand_over(events, p.link, bytes_of(message_).subspan(1));
    }
    const auto c = decode_control(bytes_of(message_));
    if (!c) {
        ++stats_.dropped;
    } else if (const auto* w = std::get_if<welcome>(&*c)) {
        p.unanswered = 0;
        if (p.now == dialled_peer::state::asking) {
            subscribe(p, *w, now);
        } else if (w->incarnation != p.incarnation) {
            fail(p, now);
        }
    } else if (std::holds_alternative<bye>(*c)) {
        if (p.now != dialled_peer::state::connected) return fail(p, now); // it has no room for us
        if (p.leaving) return;
        p.leaving = true;
        p.due = now + farewell;
        p.deadline = now + longest_farewell;
    }
}

void zmq_node::from_publisher(dialled_peer& p, transport_events& events, steady::time_point now) {
    if (!single_part(p.subscriber->data)) return;
    p.unheard = 0;
    if (p.leaving) p.due = std::min(now + farewell, p.deadline);
    if (const auto sequence = decode_broadcast(bytes_of(message_))) {
        if (p.now != dialled_peer::state::connected) {
            ++stats_.dropped;
            return;
        }
        note_sequence(p, *sequence);
        ++p.next_broadcast;
        return hand_over(events, p.link, bytes_of(message_).subspan(broadcast_header));
    }
    const auto c = decode_control(bytes_of(message_));
    const auto* beat = c ? std::get_if<pulse>(&*c) : nullptr;
    if (!beat) {
        ++stats_.dropped;
    } else if (beat->incarnation != p.incarnation) {
        fail(p, now); // another process has the port by now
    } else if (p.now == dialled_peer::state::subscribing) {
        p.next_broadcast = beat->next;
        become_connected(p, now);
    } else {
        note_sequence(p, beat->next);
    }
}

// Counts the broadcasts between the last one and this one: the publisher's queue had no room for them.
void zmq_node::note_sequence(dialled_peer& p, std::uint64_t sequence) {
    if (sequence > p.next_broadcast) stats_.dropped += sequence - p.next_broadcast;
    p.next_broadcast = sequence;
}

// ---- what becomes of the connections ----

// Returns false if there is more to be done at once.
bool zmq_node::read_monitors(steady::time_point now) {
    bool settled = true;
    for (auto* s : {&router_, &publisher_}) {
        while (const auto e = *s ? (*s)->reported() : std::nullopt) count_refused(*e);
    }
    for (auto& p : dialled_) {
        if (p->ended && !p->backlog) fail(*p, now);
        if (p->dealer) read_monitor(*p, *p->dealer, false, now);
        if (p->subscriber) read_monitor(*p, *p->subscriber, true, now);
        settled &= !p->ended;
    }
    return settled;
}

// A connection that ended is only noted: what came before it did may have come since we last read.
void zmq_node::read_monitor(dialled_peer& p, monitored_socket& s, bool subscriber, steady::time_point now) {
    while (const auto e = s.reported()) {
        if (count_refused(*e))
            tell_refused(p.address + (options_.keys ? " does not admit this node's key, or has another key itself"
                                                    : " wants keys, or is no leader"));
        if (e->kind == ZMQ_EVENT_HANDSHAKE_SUCCEEDED) {
            if (subscriber) p.subscribed = true;
            p.due = now;
        } else if (subscriber || !p.leaving) {
            p.ended = p.backlog = true;
        }
    }
}

// ---- timers ----

steady::time_point zmq_node::run_timer(dialled_peer& p, steady::time_point now) {
    using state = dialled_peer::state;
    if (p.now == state::idle) {
        if (!admits(p)) return steady::time_point::max();
        if (now < p.due) return p.due;
        start(p, now);
        return p.due;
    }
    if (p.leaving ? now >= p.due : p.now != state::connected && now >= p.deadline) {
        fail(p, now);
        return p.due;
    }
    if (p.leaving) return p.due;
    if (now >= p.due) {
        switch (p.now) {
        case state::idle: break;
        case state::asking: greet(p, dial_stage::asking); break;
        case state::subscribing:
            if (p.subscribed) greet(p, dial_stage::subscribed);
            break;
        case state::connected:
            // Unanswered ones are counted, not time: that the owner did not poll is no silence of the peer.
            if (p.unanswered >= missing_signs || p.unheard >= missing_signs) {
                fail(p, now);
                return p.due;
            }
            greet(p, dial_stage::ready);
            ++p.unanswered;
            ++p.unheard;
            p.due = now + options_.heartbeat;
            return p.due;
        }
        p.due = now + p.pause;
        p.pause = std::min(p.pause * 2, options_.heartbeat);
    }
    return p.now == state::connected ? p.due : std::min(p.due, p.deadline);
}

} // namespace joinery::detail
