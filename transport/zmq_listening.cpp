// SPDX-License-Identifier: Apache-2.0
#include <zmq.hpp>

#include "zmq_node.ipp"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <stdexcept>
#include <system_error>

namespace joinery::detail {

namespace {

// ZeroMQ removes a socket file before it binds, also one that another process listens on.
bool somebody_listens(const std::string& path) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (path.front() == '@' || path.size() >= sizeof address.sun_path) return false;
    std::copy(path.begin(), path.end(), address.sun_path);
    const int fd = ::socket(AF_UNIX, SOCK_STREAM, 0);
    if (fd < 0) return false;
    ::fcntl(fd, F_SETFL, O_NONBLOCK);
    const bool taken =
        ::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0 || errno == EAGAIN;
    ::close(fd);
    return taken;
}

} // namespace

// ---- binding ----

// With keys the socket may have to be made anew, at the same place: `descriptor` is kept so that it never is free. The
// old socket goes in its own time, and while both listen one of them finds nothing to accept: then it must not wait, as
// libzmq's thread would stand still.
std::string zmq_node::bind(monitored_socket& s, const zmq_address& a, const char* what, owned_descriptor& descriptor) {
    auto& socket = s.data.socket;
    socket.set(zmq::sockopt::ipv6, a.numeric_ipv6());
    const auto refuse = [&](const std::string& reason) {
        return std::runtime_error("zmq_transport: bind " + std::string(what) + " to " + a.str() + ": " + reason);
    };
    if (a.ipc && somebody_listens(a.host)) throw refuse(std::generic_category().message(EADDRINUSE));
    try {
        socket.bind(a.str());
    } catch (const zmq::error_t& e) {
        throw refuse(e.what());
    }
    while (const auto e = s.reported()) {
        if (!options_.keys || e->kind != ZMQ_EVENT_LISTENING) continue;
        descriptor = owned_descriptor::duplicate(static_cast<int>(e->value));
        const int flags = ::fcntl(descriptor.get(), F_GETFL);
        if (flags < 0 || ::fcntl(descriptor.get(), F_SETFL, flags | O_NONBLOCK) != 0)
            throw refuse(std::generic_category().message(errno));
    }
    return socket.get(zmq::sockopt::last_endpoint);
}

void zmq_node::make_listening_sockets() {
    router_.emplace(context_, zmq::socket_type::router, next_monitor_++, monitored_socket::of_listener);
    configure(router_->data.socket);
    demand_proof(router_->data.socket);
    router_->data.socket.set(zmq::sockopt::router_mandatory, true);

    publisher_.emplace(context_, zmq::socket_type::pub, next_monitor_++, monitored_socket::of_listener);
    configure(publisher_->data.socket);
    demand_proof(publisher_->data.socket);
    publisher_->data.socket.set(zmq::sockopt::xpub_nodrop, true); // so that a full queue shows: see `publish`
}

// Called by `sweep` only. Without descriptors it is tried again.
void zmq_node::renew_listening_sockets() {
    while (!inbound_.empty()) drop_inbound(inbound_.begin()->second);
    router_.reset();
    publisher_.reset();
    let_in_.clear();
    try {
        make_listening_sockets();
        const auto listen_again = [](zmq::socket_t& s, const std::string& endpoint, const owned_descriptor& on) {
            auto copy = owned_descriptor::duplicate(on.get());
            s.set(zmq::sockopt::ipv6, endpoint.starts_with("tcp://["));
            s.set(zmq::sockopt::use_fd, copy.get());
            s.bind(endpoint);
            copy.release(); // it is libzmq's
        };
        listen_again(router_->data.socket, router_endpoint_, router_descriptor_);
        listen_again(publisher_->data.socket, publisher_endpoint_, publisher_descriptor_);
        renew_ = false;
    } catch (const std::exception&) {
        router_.reset();
        publisher_.reset();
    }
}

void zmq_node::listen() {
    using use = zmq_address::use;
    const auto at = zmq_address::parse(options_.listen, use::bind, "zmq_options::listen");
    require_safe(at, options_, "zmq_options::listen");
    if (options_.keys && at.ipc && at.host == "*")
        throw bad_option("listen: \"ipc://*\" does not go with zmq_options::keys; give a path");
    zmq_address out = at;
    if (options_.publish.empty()) {
        out.port = "*";
    } else {
        out = zmq_address::parse(options_.publish, use::bind, "zmq_options::publish");
        const bool fits =
            out.ipc == at.ipc && (at.ipc ? out.host.starts_with(at.host) && out.host != at.host : out.host == at.host);
        if (!fits) {
            throw bad_option("publish: \"" + options_.publish + "\" must have the host of zmq_options::listen, " +
                             "or for ipc a path that begins with its path");
        }
    }
    make_listening_sockets();
    router_endpoint_ = bind(*router_, at, "zmq_options::listen", router_descriptor_);
    address_ = router_endpoint_ + (options_.keys ? "#" + to_string(options_.keys->public_half()) : "");
    const auto bind_publisher = [&] {
        return publisher_endpoint_ = bind(*publisher_, out, "zmq_options::publish", publisher_descriptor_);
    };
    if (!at.ipc) {
        const std::string endpoint = bind_publisher();
        place_ = static_cast<std::uint16_t>(std::stoul(endpoint.substr(endpoint.rfind(':') + 1)));
    } else {
        const std::string path = router_endpoint_.substr(std::strlen("ipc://")); // "*" is resolved
        if (options_.publish.empty()) out.host = path + ".pub";
        place_ = out.host.substr(path.size());
        if (at.publish_endpoint(place_).empty()) {
            throw bad_option("publish: after the path of zmq_options::listen only 1 to " +
                             std::to_string(max_place_suffix) + " of [A-Za-z0-9._-] may follow");
        }
        bind_publisher();
    }
}

// ---- sending ----

// False if a subscriber's queue has become full: then ZeroMQ drops the message for that one and delivers
// it to the rest. Until there is room again it drops further ones without a word; see `note_sequence`.
bool zmq_node::publish(zmq::message_t& m) {
    if (renew_ || !publisher_) return false; // somebody may listen who is admitted no more
    auto& socket = publisher_->data.socket;
    if (try_send(socket, m) == sent::yes) return true;
    socket.set(zmq::sockopt::xpub_nodrop, false);
    try_send(socket, m);
    socket.set(zmq::sockopt::xpub_nodrop, true);
    return false;
}

sent zmq_node::route_message(std::string_view route, zmq::message_t& m) {
    if (!router_) return sent::gone;
    zmq::message_t head(route.data(), route.size());
    const sent done = try_send(router_->data, head, ZMQ_SNDMORE);
    return done == sent::yes ? try_send(router_->data, m) : done;
}

sent zmq_node::route_control(std::string_view route, const control& c) {
    zmq::message_t m = message_of(c);
    return route_message(route, m);
}

// ---- receiving ----

bool zmq_node::read_router(transport_events& events, std::size_t& budget) {
    if (!router_) return false;
    for (std::size_t left = slice; try_receive(router_->data, route_message_);) {
        if (!route_message_.more() || !try_receive(router_->data, message_)) continue;
        from_router(route_message_.to_string_view(), events);
        flush_notices(events);
        if (!pay(budget, left, message_.size())) return true;
    }
    return false;
}

void zmq_node::from_router(std::string_view route, transport_events& events) {
    if (!single_part(router_->data)) return;
    auto at = inbound_.find(route);
    if (const auto user = user_of(message_); options_.keys && (at == inbound_.end() || at->second.user != user)) {
        // A routing id is the peer's choice; whoever has it now need not be who had it before.
        if (at != inbound_.end()) drop_inbound(at->second);
        at = inbound_.end();
        const auto key = peer_key::parse(user);
        if (!key || !admits(*key)) {
            ++stats_.dropped;
            return;
        }
    }
    if (at != inbound_.end()) at->second.silent = 0;
    if (is_frame()) {
        if (at != inbound_.end()) return hand_over(events, at->second.link, bytes_of(message_).subspan(1));
        ++stats_.dropped;
        route_control(route, bye{}); // whoever takes itself for connected had better dial again
        return;
    }
    const auto c = decode_control(bytes_of(message_));
    if (!c) {
        ++stats_.dropped;
    } else if (const auto* h = std::get_if<hello>(&*c)) {
        answer(route, at, h->stage);
    } else if (std::holds_alternative<bye>(*c) && at != inbound_.end()) {
        drop_inbound(at->second);
    }
}

void zmq_node::answer(std::string_view route, routes::iterator at, dial_stage stage) {
    const bool full = at == inbound_.end() && inbound_.size() >= options_.max_inbound;
    const auto* leaves = full ? crowding_out(user_of(message_)) : nullptr;
    if (full && !leaves) {
        route_control(route, bye{});
        return;
    }
    if (stage == dial_stage::subscribed) pulse_wanted_ = true;
    if (stage == dial_stage::ready && at == inbound_.end()) {
        if (leaves) {
            route_control(leaves->route, bye{});
            drop_inbound(*leaves);
        }
        at = inbound_.emplace(route, inbound_peer{next_link_++, std::string(route), std::string(user_of(message_))})
                 .first;
        by_link_.emplace(at->second.link, &at->second);
        notices_.push_back({at->second.link, true});
    }
    route_control(route, own_place());
}

// No key keeps others out: a newcomer takes the last place of the key that has most, if it has fewer even then.
const inbound_peer* zmq_node::crowding_out(std::string_view user) const {
    if (!options_.keys) return nullptr;
    std::unordered_map<std::string_view, std::size_t> places;
    for (const auto& [route, peer] : inbound_) ++places[peer.user];
    const auto most = std::max_element(places.begin(), places.end(),
                                       [](const auto& a, const auto& b) { return a.second < b.second; });
    const auto own = places.find(user);
    if (most == places.end() || most->second <= (own == places.end() ? 0 : own->second) + 1) return nullptr;
    const inbound_peer* last = nullptr;
    for (const auto& [route, peer] : inbound_)
        if (peer.user == most->first && (!last || peer.link > last->link)) last = &peer;
    return last;
}

void zmq_node::drop_inbound(const inbound_peer& peer) {
    notices_.push_back({peer.link, false});
    by_link_.erase(peer.link);
    inbound_.erase(inbound_.find(peer.route));
}

// ---- timers ----

steady::time_point zmq_node::run_listener_timers(steady::time_point now, bool drained) {
    if (renew_) return now + options_.reconnect_min;
    if (!router_) return steady::time_point::max();
    if (pulse_wanted_ || now >= next_pulse_) {
        pulse_wanted_ = false;
        next_pulse_ = now + options_.heartbeat;
        // Takes in new subscriptions first, which sending itself does only once in a while.
        static_cast<void>(publisher_->data.socket.get(zmq::sockopt::events));
        zmq::message_t m = message_of(pulse{incarnation_, next_broadcast_});
        publish(m);
    }
    if (drained && now >= next_check_) {
        next_check_ = now + options_.heartbeat;
        check_inbound();
    }
    return std::min(next_pulse_, next_check_);
}

// ROUTER does not report that a peer has gone, but a message for it then cannot be routed.
void zmq_node::check_inbound() {
    std::vector<const inbound_peer*> gone;
    for (auto& [route, peer] : inbound_) {
        if (++peer.silent < 2) continue;
        const bool hung = peer.silent > missing_signs;
        const sent done = hung ? route_control(route, bye{}) : route_control(route, own_place());
        if (hung || done == sent::gone) gone.push_back(&peer);
    }
    for (const auto* peer : gone) drop_inbound(*peer);
}

} // namespace joinery::detail
