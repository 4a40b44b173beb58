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

std::string zmq_node::bind(zmq::socket_t& s, const zmq_address& a, const char* what) {
    s.set(zmq::sockopt::ipv6, a.numeric_ipv6());
    const auto refuse = [&](const std::string& reason) {
        return std::runtime_error("zmq_transport: bind " + std::string(what) + " to " + a.str() + ": " + reason);
    };
    if (a.ipc && somebody_listens(a.host)) throw refuse(std::generic_category().message(EADDRINUSE));
    try {
        s.bind(a.str());
    } catch (const zmq::error_t& e) {
        throw refuse(e.what());
    }
    return s.get(zmq::sockopt::last_endpoint);
}

void zmq_node::listen() {
    using use = zmq_address::use;
    const auto at = zmq_address::parse(options_.listen, use::bind, "zmq_options::listen");
    require_local(at, options_.insecure, "zmq_options::listen");
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
    router_ = watched_socket(context_, zmq::socket_type::router);
    configure(router_.socket);
    router_.socket.set(zmq::sockopt::router_mandatory, true);
    address_ = bind(router_.socket, at, "zmq_options::listen");

    publisher_ = zmq::socket_t(context_, zmq::socket_type::pub);
    configure(publisher_);
    publisher_.set(zmq::sockopt::xpub_nodrop, true); // so that a full queue shows: see `publish`
    if (!at.ipc) {
        const std::string endpoint = bind(publisher_, out, "zmq_options::publish");
        place_ = static_cast<std::uint16_t>(std::stoul(endpoint.substr(endpoint.rfind(':') + 1)));
    } else {
        const std::string path = address_.substr(std::strlen("ipc://")); // "*" is resolved
        if (options_.publish.empty()) out.host = path + ".pub";
        place_ = out.host.substr(path.size());
        if (at.publish_endpoint(place_).empty()) {
            throw bad_option("publish: after the path of zmq_options::listen only 1 to " +
                             std::to_string(max_place_suffix) + " of [A-Za-z0-9._-] may follow");
        }
        bind(publisher_, out, "zmq_options::publish");
    }
}

// ---- sending ----

// False if a subscriber's queue has become full: then ZeroMQ drops the message for that one and delivers
// it to the rest. Until there is room again it drops further ones without a word; see `note_sequence`.
bool zmq_node::publish(zmq::message_t& m) {
    if (try_send(publisher_, m) == sent::yes) return true;
    publisher_.set(zmq::sockopt::xpub_nodrop, false);
    try_send(publisher_, m);
    publisher_.set(zmq::sockopt::xpub_nodrop, true);
    return false;
}

sent zmq_node::route_message(std::string_view route, zmq::message_t& m) {
    zmq::message_t head(route.data(), route.size());
    const sent done = try_send(router_, head, ZMQ_SNDMORE);
    return done == sent::yes ? try_send(router_, m) : done;
}

sent zmq_node::route_control(std::string_view route, const control& c) {
    zmq::message_t m = message_of(c);
    return route_message(route, m);
}

// ---- receiving ----

bool zmq_node::read_router(transport_events& events, std::size_t& budget) {
    if (!router_) return false;
    for (std::size_t left = slice; try_receive(router_, route_message_);) {
        if (!route_message_.more() || !try_receive(router_, message_)) continue;
        from_router(route_message_.to_string_view(), events);
        flush_notices(events);
        if (!pay(budget, left, message_.size())) return true;
    }
    return false;
}

void zmq_node::from_router(std::string_view route, transport_events& events) {
    if (!single_part(router_)) return;
    const auto at = inbound_.find(route);
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
    if (at == inbound_.end() && inbound_.size() >= options_.max_inbound) {
        route_control(route, bye{});
        return;
    }
    if (stage == dial_stage::subscribed) pulse_wanted_ = true;
    if (stage == dial_stage::ready && at == inbound_.end()) {
        at = inbound_.emplace(route, inbound_peer{next_link_++, std::string(route)}).first;
        by_link_.emplace(at->second.link, &at->second);
        notices_.push_back({at->second.link, true});
    }
    route_control(route, own_place());
}

void zmq_node::drop_inbound(const inbound_peer& peer) {
    notices_.push_back({peer.link, false});
    by_link_.erase(peer.link);
    inbound_.erase(inbound_.find(peer.route));
}

// ---- timers ----

steady::time_point zmq_node::run_listener_timers(steady::time_point now, bool drained) {
    if (!router_) return steady::time_point::max();
    if (pulse_wanted_ || now >= next_pulse_) {
        pulse_wanted_ = false;
        next_pulse_ = now + options_.heartbeat;
        // Takes in new subscriptions first, which sending itself does only once in a while.
        static_cast<void>(publisher_.get(zmq::sockopt::events));
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
