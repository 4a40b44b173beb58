// SPDX-License-Identifier: Apache-2.0
#include <zmq.hpp>

#include "zmq_node.ipp"

#include <algorithm>
#include <climits>
#include <cstring>
#include <utility>

namespace joinery::detail {

using std::chrono::milliseconds;

namespace {

// ZeroMQ's pause before it reconnects: 12 days. Turned off (-1), it discards what has come when a connection ends.
constexpr int never = INT_MAX / 2;
constexpr int most_sockets = 16384; // of one context; a dialled peer takes six

zmq::message_t broadcast_message(std::uint64_t sequence, std::span<const std::byte> frame) {
    zmq::message_t m(broadcast_header + frame.size());
    encode_broadcast(m.data<std::byte>(), sequence);
    if (!frame.empty()) std::memcpy(m.data<std::byte>() + broadcast_header, frame.data(), frame.size());
    return m;
}

zmq::message_t frame_message(std::span<const std::byte> frame) {
    zmq::message_t m(frame.size() + 1);
    *m.data<std::byte>() = frame_mark;
    if (!frame.empty()) std::memcpy(m.data<std::byte>() + 1, frame.data(), frame.size());
    return m;
}

} // namespace

zmq::message_t message_of(const control& c) {
    const auto bytes = encode_control(c);
    return {bytes.data(), bytes.size()};
}

std::invalid_argument bad_option(const std::string& what) { return std::invalid_argument("zmq_options::" + what); }

void require_safe(const zmq_address& a, const zmq_options& o, std::string_view what) {
    if (o.keys || o.insecure || a.local()) return;
    throw std::invalid_argument(std::string(what) + ": \"" + a.str() +
                                "\" is not on this machine, and the connection is not encrypted; give "
                                "zmq_options::keys, or set zmq_options::insecure to allow that");
}

// Calls f(watched_socket&) for every socket that is read.
template <class F> void zmq_node::for_each_socket(F&& f) {
    if (admissions_) f(admissions_);
    if (router_) {
        f(router_->data);
        f(router_->monitor);
    }
    if (publisher_) f(publisher_->monitor); // it is only sent to
    for (auto& p : dialled_) {
        for (auto* s : {&p->dealer, &p->subscriber}) {
            if (!*s) continue;
            f((*s)->data);
            f((*s)->monitor);
        }
    }
}

zmq_node::zmq_node(zmq_options options) : options_(std::move(options)) {
    std::random_device entropy;
    random_.seed((std::uint64_t{entropy()} << 32) ^ entropy());
    incarnation_ = random_();
    context_.set(zmq::ctxopt::max_sockets, std::min(most_sockets, context_.get(zmq::ctxopt::socket_limit)));
    guard();
    if (!options_.listen.empty()) {
        listen();
    } else if (!options_.publish.empty()) {
        throw bad_option("publish: needs zmq_options::listen, from which peers learn of it");
    }
    for (const auto& address : options_.peers) dial(address, "zmq_options::peers");
}

zmq_node::~zmq_node() {
    const int linger = static_cast<int>(options_.linger.count());
    for (auto& p : dialled_) {
        if (p->open() && p->now == dialled_peer::state::connected) say_goodbye(*p);
    }
    for (auto& [route, peer] : inbound_) route_control(route, bye{});
    if (router_) router_->data.socket.set(zmq::sockopt::linger, linger);
    if (publisher_ && !renew_) publisher_->data.socket.set(zmq::sockopt::linger, linger);
}

void zmq_node::broadcast(std::span<const std::byte> frame) {
    if (options_.listen.empty()) return;
    if (frame.size() > options_.max_frame) {
        ++stats_.dropped;
        return;
    }
    zmq::message_t m = broadcast_message(next_broadcast_++, frame);
    if (!publish(m)) ++stats_.dropped;
    count_out(frame.size());
}

bool zmq_node::send(link_id link, std::span<const std::byte> frame) {
    if (frame.size() > options_.max_frame) return false;
    end_wait(); // sending may take away the sign that something came
    if (auto found = by_link_.find(link); found != by_link_.end()) {
        zmq::message_t m = frame_message(frame);
        const sent done = route_message(found->second->route, m);
        if (done == sent::gone) drop_inbound(*found->second);
        if (done != sent::yes) return false;
    } else {
        auto at = std::find_if(dialled_.begin(), dialled_.end(), [&](const auto& p) { return p->link == link; });
        if (at == dialled_.end() || !(*at)->open() || (*at)->now != dialled_peer::state::connected) return false;
        zmq::message_t m = frame_message(frame);
        if (try_send((*at)->dealer->data, m) != sent::yes) return false;
    }
    count_out(frame.size());
    return true;
}

void zmq_node::poll(transport_events& events) {
    note_arrivals();
    polling_ = true;
    due_ = {};
    sweep();
    flush_notices(events);
    const bool drained = receive(events);
    const auto now = steady::now();
    const bool settled = read_monitors(now) && drained;
    const auto next = run_timers(now, drained);
    flush_notices(events);
    sweep();

    bool more = !settled;
    descriptors_.push_back({wake_.fd(), POLLIN, 0});
    for_each_socket([&](const watched_socket& s) {
        descriptors_.push_back({s.fd, POLLIN, 0});
        more |= s.ready;
    });
    if (!more) due_ = next;
    polling_ = false;
    polled_at_ = steady::now();
}

void zmq_node::wait(milliseconds timeout) {
    const auto now = steady::now();
    if (polled_at_ != steady::time_point()) owners_ = now - std::exchange(polled_at_, {});
    const auto until = std::min(due_, now + std::clamp(timeout, milliseconds(0), longest_wait));
    const bool at_once = wake_.take() || until <= now;
    // Rounded up: a timer that is a fraction of a millisecond away must not spin.
    look(at_once ? milliseconds(0) : std::chrono::ceil<milliseconds>(until - now));
    looked_ = true;
    if (descriptors_.empty() || descriptors_.front().revents == 0) return;
    wake_.drain();
    wake_.take();
}

// An interrupted or failed look is as good as one that ended early.
void zmq_node::look(milliseconds time) {
    if (::poll(descriptors_.data(), descriptors_.size(), static_cast<int>(time.count())) > 0) return;
    for (auto& d : descriptors_) d.revents = 0;
}

// Takes the descriptors: if this poll ends with an exception, the next wait ends at once and the next poll
// looks at every socket.
void zmq_node::note_arrivals() {
    if (!std::exchange(looked_, false)) look(milliseconds(0));
    auto at = descriptors_.begin();
    const bool known = at != descriptors_.end();
    if (known) ++at; // the wake pipe's
    for_each_socket([&](watched_socket& s) { s.ready |= !known || (at++)->revents != 0; });
    descriptors_.clear();
}

// What was just done is work for a poll, and another thread may be waiting.
void zmq_node::end_wait() {
    if (!polling_) wake_.raise();
}

void zmq_node::connect(const std::string& address) {
    dial(address, "zmq_transport: connect");
    end_wait();
}

void zmq_node::disconnect(const std::string& address) {
    for (auto& p : dialled_) {
        if (p->forgotten || p->address != address) continue;
        if (p->open() && p->now == dialled_peer::state::connected) notices_.push_back({p->link, false});
        p->forgotten = true; // `sweep` closes its sockets: this may be a call from within poll
    }
    end_wait();
}

void zmq_node::configure(zmq::socket_t& s) const {
    s.set(zmq::sockopt::linger, 0);
    s.set(zmq::sockopt::sndhwm, static_cast<int>(options_.send_high_water));
    s.set(zmq::sockopt::rcvhwm, static_cast<int>(options_.receive_high_water));
    // Far above what is sent, since a greater message ends the connection; never so small that it
    // hits the handshake (276 bytes).
    s.set(zmq::sockopt::maxmsgsize,
          static_cast<std::int64_t>(std::max(2 * options_.max_frame + broadcast_header, std::size_t{1} << 16)));
    s.set(zmq::sockopt::handshake_ivl, static_cast<int>(options_.handshake.count()));
    s.set(zmq::sockopt::connect_timeout, static_cast<int>(options_.handshake.count()));
    s.set(zmq::sockopt::reconnect_ivl, never);
    // The system ends connections on which nothing is acknowledged; pulses see to it that there is
    // always something to acknowledge.
    s.set(zmq::sockopt::tcp_maxrt, static_cast<int>((options_.heartbeat * missing_signs).count()));
}

void zmq_node::count_out(std::size_t bytes) {
    ++stats_.frames_out;
    stats_.bytes_out += bytes;
}

// Each is taken from the queue before the owner is told: it may call us, or throw.
void zmq_node::flush_notices(transport_events& events) {
    while (!notices_.empty()) {
        const notice n = notices_.front();
        notices_.pop_front();
        if (n.up) {
            events.connected(n.link);
        } else {
            events.disconnected(n.link);
        }
    }
    for (const auto& whom : std::exchange(refused_, {})) events.refused(whom);
}

void zmq_node::hand_over(transport_events& events, link_id link, std::span<const std::byte> frame) {
    ++stats_.frames_in;
    stats_.bytes_in += frame.size();
    events.received(link, frame);
}

// Hands over what has come, up to the budget. True if nothing is left.
bool zmq_node::receive(transport_events& events) {
    std::size_t budget = poll_budget;
    const auto now = steady::now();
    poll_until_ = now + std::clamp<steady::duration>(owners_ / 4, least_poll, longest_poll);
    for (;;) {
        bool more = false;
        // The owner may dial further peers meanwhile, so no iterator is kept.
        const std::size_t sources = dialled_.size() + 1;
        for (std::size_t i = 0; i < sources; ++i) {
            const std::size_t source = (turn_ + i) % sources;
            if (source + 1 == sources) {
                more |= answer_admissions(budget);
                more |= read_router(events, budget);
            } else {
                dialled_peer& p = *dialled_[source];
                p.backlog = read_peer(p, events, budget, now);
                more |= p.backlog;
            }
            if (budget == 0) {
                turn_ = source + 1;
                return false;
            }
        }
        if (!more) return true;
    }
}

bool zmq_node::pay(std::size_t& budget, std::size_t& left, std::size_t bytes) const {
    constexpr std::size_t frame_cost = 64;
    const std::size_t cost = bytes + frame_cost;
    budget = steady::now() >= poll_until_ ? 0 : budget - std::min(budget, cost);
    left -= std::min(left, cost);
    return budget > 0 && left > 0;
}

// True if message_ is whole. Ours have one part; of others the rest is read and all of it dropped.
bool zmq_node::single_part(watched_socket& socket) {
    if (!message_.more()) return true;
    while (message_.more() && try_receive(socket, message_)) {
    }
    ++stats_.dropped;
    return false;
}

// Does what is due and returns when to be called again. Whether a peer is silent can only be told
// when everything that has come was read.
steady::time_point zmq_node::run_timers(steady::time_point now, bool drained) {
    auto next = run_listener_timers(now, drained);
    for (auto& p : dialled_) {
        if (p->open()) next = std::min(next, run_timer(*p, now));
    }
    return next;
}

} // namespace joinery::detail
