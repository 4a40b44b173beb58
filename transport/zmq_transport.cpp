// SPDX-License-Identifier: Apache-2.0
#include <joinery/zmq_transport.hpp>

#include "zmq_control.hpp"

#include <zmq.hpp>

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <climits>
#include <cstring>
#include <deque>
#include <functional>
#include <optional>
#include <random>
#include <stdexcept>
#include <string_view>
#include <system_error>
#include <unordered_map>
#include <utility>

namespace joinery {

namespace {

using detail::decode_control;
using detail::dial_stage;
using detail::encode_control;
using detail::frame_mark;
using detail::zmq_address;

using steady = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr std::size_t poll_budget = std::size_t{1} << 20; // bytes that one poll hands over, about
constexpr std::size_t frame_cost = 64;                    // what a frame costs of it besides its bytes
constexpr std::size_t slice = std::size_t{1} << 16;       // of it for one socket before the next has its turn
constexpr int missing_signs = 10;                         // signs of life in succession
constexpr milliseconds first_probe{2};                    // the pause after the first request for a pulse
constexpr milliseconds farewell{1000};                    // for the last broadcasts of a peer that says bye
constexpr milliseconds longest_wait = std::chrono::hours(24);
// ZeroMQ's pause before it reconnects: 12 days. Turned off (-1), it discards what has come when a connection ends.
constexpr int never = INT_MAX / 2;
constexpr int most_sockets = 16384; // of one context; a dialled peer takes six

constexpr int watched_events = ZMQ_EVENT_HANDSHAKE_SUCCEEDED | ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL |
                               ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL | ZMQ_EVENT_HANDSHAKE_FAILED_AUTH |
                               ZMQ_EVENT_DISCONNECTED | ZMQ_EVENT_CLOSED;

std::span<const std::byte> bytes_of(const zmq::message_t& m) {
    return {static_cast<const std::byte*>(m.data()), m.size()};
}

/// Ends a wait from another thread: a pipe, since ZeroMQ's sockets belong to one thread.
class wake_pipe {
public:
    wake_pipe() {
        if (::pipe(ends_.data()) != 0) fail();
        for (int fd : ends_) {
            if (::fcntl(fd, F_SETFL, O_NONBLOCK) != 0 || ::fcntl(fd, F_SETFD, FD_CLOEXEC) != 0) fail();
        }
    }
    wake_pipe(const wake_pipe&) = delete;
    wake_pipe& operator=(const wake_pipe&) = delete;
    ~wake_pipe() { close_both(); }

    int fd() const { return ends_[0]; }

    void raise() {
        if (raised_.exchange(true, std::memory_order_acq_rel)) return; // a byte is, or will be, in the pipe
        const char byte = 0;
        while (::write(ends_[1], &byte, 1) < 0 && errno == EINTR) {
        }
    }

    /// True if it was raised since the last call. The byte stays, or comes a little later: a wait that ends
    /// early for it calls `drain`.
    bool take() {
        return raised_.load(std::memory_order_relaxed) && raised_.exchange(false, std::memory_order_acq_rel);
    }

    /// Empties the pipe. Call `take` before the next wait: the byte may belong to a flag that is still up,
    /// and while it is up no further byte is written.
    void drain() {
        char bytes[16];
        while (::read(ends_[0], bytes, sizeof bytes) > 0) {
        }
    }

private:
    std::array<int, 2> ends_{-1, -1};
    std::atomic<bool> raised_{false};

    void close_both() {
        for (int fd : ends_) {
            if (fd >= 0) ::close(fd);
        }
    }
    [[noreturn]] void fail() {
        const int error = errno;
        close_both();
        throw std::runtime_error("zmq_transport: pipe: " + std::generic_category().message(error));
    }
};

/// A socket that is read, without a look at it while nothing can have come: a look at an empty one is several
/// system calls in ZeroMQ. Once a read has found nothing, the descriptor tells that something came. Any other
/// use of the socket may take that sign away, so whatever sends makes it `ready`, too.
struct watched_socket {
    zmq::socket_t socket;
    int fd = -1;
    bool ready = true; // it may have something

    watched_socket() = default;
    watched_socket(zmq::context_t& context, zmq::socket_type type)
        : socket(context, type), fd(socket.get(zmq::sockopt::fd)) {}
    explicit operator bool() const { return socket.handle() != nullptr; }
};

/// A socket that dials, and the pair socket on which libzmq reports what becomes of the connection. Each
/// makes one attempt: ZeroMQ does not reconnect (an own state machine does), so there are a handful of
/// events at most and libzmq's thread never waits for us to read them. Reconnecting would also let libzmq
/// 4.3.4 abort if the queue was full when the connection ended ("Assertion failed: _input_stopped").
struct dialling_socket {
    watched_socket monitor, data;

    dialling_socket(zmq::context_t& context, zmq::socket_type type, std::uint64_t number)
        : monitor(context, zmq::socket_type::pair), data(context, type) {
        const std::string name = "inproc://monitor-" + std::to_string(number);
        if (zmq_socket_monitor(data.socket.handle(), name.c_str(), watched_events) != 0) throw zmq::error_t();
        monitor.socket.set(zmq::sockopt::linger, 0);
        monitor.socket.connect(name);
    }
    dialling_socket(const dialling_socket&) = delete;
    dialling_socket& operator=(const dialling_socket&) = delete;
    /// A report to a pair socket that has gone would block libzmq's thread, so reports end first.
    ~dialling_socket() { zmq_socket_monitor(data.socket.handle(), nullptr, 0); }
};

/// A peer that this node dials.
struct dialled_peer {
    enum class state : std::uint8_t {
        idle,        // waits for `due` to dial
        asking,      // has a DEALER and asks where to subscribe
        subscribing, // has a SUB as well and asks for a pulse
        connected,
    };

    link_id link = 0;
    std::string address;
    zmq_address where;
    state now = state::idle;
    bool forgotten = false; // by disconnect(); swept when nothing iterates
    bool was_connected = false;
    bool subscribed = false; // the SUB's handshake is done
    bool backlog = false;    // its sockets were not read to the end
    bool leaving = false;    // it said goodbye; what it broadcast before may still come
    bool ended = false;      // its connection has; what came before is read once more
    std::optional<dialling_socket> dealer, subscriber;
    std::uint64_t incarnation = 0;    // of the process that answers
    std::uint64_t next_broadcast = 0; // its sequence number
    steady::time_point due{};         // the next attempt, question or sign of life
    steady::time_point deadline{};    // ends a step of connecting
    steady::time_point connected_at{};
    milliseconds backoff{};
    milliseconds pause{}; // between questions
    int unanswered = 0;   // hellos since the last welcome
    int unheard = 0;      // hellos since the last message of the publisher
    unsigned attempts = 0;
};

/// A peer that dialled in and is ready.
struct inbound_peer {
    link_id link = 0;
    std::string route;
    int silent = 0; // checks since it was last heard: counted, since our own pause is no silence of the peer
};

struct string_hash {
    using is_transparent = void;
    std::size_t operator()(std::string_view s) const { return std::hash<std::string_view>{}(s); }
};

enum class sent : std::uint8_t { yes, full, gone };

/// Takes the message if the answer is `yes`.
sent try_send(zmq::socket_t& socket, zmq::message_t& message, int flags = 0) {
    for (bool refreshed = false;;) {
        if (zmq_msg_send(message.handle(), socket.handle(), flags | ZMQ_DONTWAIT) >= 0) return sent::yes;
        if (zmq_errno() == EINTR) continue;
        if (zmq_errno() != EAGAIN) return sent::gone;
        if (refreshed) return sent::full;
        // Sending looks only once in a while at what peers have taken from their queues; this always does.
        static_cast<void>(socket.get(zmq::sockopt::events));
        refreshed = true;
    }
}

sent try_send(watched_socket& s, zmq::message_t& message, int flags = 0) {
    s.ready = true;
    return try_send(s.socket, message, flags);
}

bool try_receive(watched_socket& s, zmq::message_t& message) {
    if (!s.ready) return false;
    while (zmq_msg_recv(message.handle(), s.socket.handle(), ZMQ_DONTWAIT) < 0) {
        if (zmq_errno() != EINTR) return s.ready = false;
    }
    return true;
}

zmq::message_t message_of(std::span<const std::byte> bytes) { return {bytes.data(), bytes.size()}; }

zmq::message_t message_of(const detail::control& c) { return message_of(encode_control(c)); }

zmq::message_t broadcast_message(std::uint64_t sequence, std::span<const std::byte> frame) {
    zmq::message_t m(detail::broadcast_header + frame.size());
    detail::encode_broadcast(m.data<std::byte>(), sequence);
    if (!frame.empty()) std::memcpy(m.data<std::byte>() + detail::broadcast_header, frame.data(), frame.size());
    return m;
}

zmq::message_t frame_message(std::span<const std::byte> frame) {
    zmq::message_t m(frame.size() + 1);
    *m.data<std::byte>() = frame_mark;
    if (!frame.empty()) std::memcpy(m.data<std::byte>() + 1, frame.data(), frame.size());
    return m;
}

std::invalid_argument bad_option(const std::string& what) { return std::invalid_argument("zmq_options::" + what); }

/// ZeroMQ removes a socket file before it binds, also one that another process listens on.
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

void require_local(const zmq_address& a, bool insecure, std::string_view what) {
    if (insecure || a.local()) return;
    throw std::invalid_argument(std::string(what) + ": \"" + a.str() +
                                "\" is not on this machine, and the connection is not encrypted; set "
                                "zmq_options::insecure to allow that");
}

zmq_options checked(zmq_options o) {
    if (o.max_frame == 0 || o.max_frame > std::size_t{1} << 30) throw bad_option("max_frame: not in 1 byte to 1 GiB");
    if (o.send_high_water == 0 || o.send_high_water > INT_MAX) throw bad_option("send_high_water: out of range");
    if (o.receive_high_water == 0 || o.receive_high_water > INT_MAX) {
        throw bad_option("receive_high_water: out of range");
    }
    auto check = [&](milliseconds value, milliseconds least, const char* name) {
        if (value < least || value > longest_wait) {
            throw bad_option(std::string(name) + ": not in " + std::to_string(least.count()) + " ms to 24 h");
        }
    };
    check(o.heartbeat, milliseconds(10), "heartbeat");
    check(o.reconnect_min, milliseconds(1), "reconnect_min");
    check(o.reconnect_max, o.reconnect_min, "reconnect_max");
    check(o.handshake, milliseconds(10), "handshake");
    check(o.linger, milliseconds(0), "linger");
    return o;
}

class zmq_node final : public transport {
public:
    explicit zmq_node(zmq_options options) : options_(checked(std::move(options))) {
        std::random_device entropy;
        random_.seed((std::uint64_t{entropy()} << 32) ^ entropy());
        incarnation_ = random_();
        context_.set(zmq::ctxopt::max_sockets, std::min(most_sockets, context_.get(zmq::ctxopt::socket_limit)));
        if (!options_.listen.empty()) {
            listen();
        } else if (!options_.publish.empty()) {
            throw bad_option("publish: needs zmq_options::listen, from which peers learn of it");
        }
        for (const auto& address : options_.peers) dial(address, "zmq_options::peers");
    }

    ~zmq_node() override {
        const int linger = static_cast<int>(options_.linger.count());
        for (auto& p : dialled_) {
            if (p->now == dialled_peer::state::connected) say_goodbye(*p);
        }
        for (auto& [route, peer] : inbound_) route_control(route, detail::bye{});
        if (router_) router_.socket.set(zmq::sockopt::linger, linger);
        if (publisher_) publisher_.set(zmq::sockopt::linger, linger);
    }

    void broadcast(std::span<const std::byte> frame) override {
        if (!publisher_) return;
        if (frame.size() > options_.max_frame) {
            ++stats_.dropped;
            return;
        }
        zmq::message_t m = broadcast_message(next_broadcast_++, frame);
        if (!publish(m)) ++stats_.dropped;
        count_out(frame.size());
    }

    bool send(link_id link, std::span<const std::byte> frame) override {
        if (frame.size() > options_.max_frame) return false;
        if (auto found = by_link_.find(link); found != by_link_.end()) {
            zmq::message_t m = frame_message(frame);
            const sent done = route_message(found->second->route, m);
            if (done == sent::gone) drop_inbound(*found->second);
            if (done != sent::yes) return false;
        } else {
            auto at = std::find_if(dialled_.begin(), dialled_.end(), [&](const auto& p) { return p->link == link; });
            if (at == dialled_.end() || (*at)->forgotten || (*at)->now != dialled_peer::state::connected) return false;
            zmq::message_t m = frame_message(frame);
            if (try_send((*at)->dealer->data, m) != sent::yes) return false;
        }
        count_out(frame.size());
        return true;
    }

    void poll(transport_events& events, milliseconds timeout) override {
        const auto until = steady::now() + std::clamp(timeout, milliseconds(0), longest_wait);
        wait(steady::duration::zero());
        for (;;) {
            sweep();
            handed_over_ = false;
            flush_notices(events);
            const bool drained = receive(events);
            const auto now = steady::now();
            const bool settled = read_monitors(now) && drained;
            auto next = run_timers(now, drained);
            flush_notices(events);
            if (wake_.take() || handed_over_ || now >= until) break;
            wait(settled && !any_ready() ? std::min(next, until) - now : steady::duration::zero());
        }
        sweep();
    }

    void wake() override { wake_.raise(); }

    void connect(const std::string& address) override { dial(address, "zmq_transport: connect"); }

    void disconnect(const std::string& address) override {
        for (auto& p : dialled_) {
            if (p->forgotten || p->address != address) continue;
            if (p->now == dialled_peer::state::connected) notices_.push_back({p->link, false});
            p->forgotten = true; // `sweep` closes its sockets: this may be a call from within poll
        }
    }

    std::size_t max_frame() const override { return options_.max_frame; }
    std::string address() const override { return address_; }
    statistics stats() const override { return stats_; }

private:
    struct notice {
        link_id link;
        bool up;
    };
    using routes = std::unordered_map<std::string, inbound_peer, string_hash, std::equal_to<>>;

    zmq_options options_;
    wake_pipe wake_;
    zmq::context_t context_; // before the sockets: it can only end after them
    watched_socket router_;
    zmq::socket_t publisher_;
    std::string address_;
    detail::publish_place place_;
    std::uint64_t incarnation_ = 0;
    std::mt19937_64 random_;

    std::vector<std::unique_ptr<dialled_peer>> dialled_;
    routes inbound_;
    std::unordered_map<link_id, inbound_peer*> by_link_;
    link_id next_link_ = 1;
    std::uint64_t next_monitor_ = 1;

    std::deque<notice> notices_;             // in order, until the owner can be told
    std::vector<pollfd> descriptors_;        // reused
    zmq::message_t route_message_, message_; // reused, so that receiving allocates nothing here
    std::size_t turn_ = 0;                   // whose turn it is to be read first
    std::uint64_t next_broadcast_ = 0;       // its sequence number
    bool pulse_wanted_ = false;
    bool handed_over_ = false;
    steady::time_point next_pulse_{}, next_check_{};
    statistics stats_;

    void count_out(std::size_t bytes) {
        ++stats_.frames_out;
        stats_.bytes_out += bytes;
    }

    // ---- sockets -----------------------------------------------------------------------------------

    void configure(zmq::socket_t& s) const {
        s.set(zmq::sockopt::linger, 0);
        s.set(zmq::sockopt::sndhwm, static_cast<int>(options_.send_high_water));
        s.set(zmq::sockopt::rcvhwm, static_cast<int>(options_.receive_high_water));
        // Far above what is sent, since a greater message ends the connection; never so small that it
        // hits the handshake (276 bytes).
        s.set(zmq::sockopt::maxmsgsize, static_cast<std::int64_t>(std::max(
                                            2 * options_.max_frame + detail::broadcast_header, std::size_t{1} << 16)));
        s.set(zmq::sockopt::handshake_ivl, static_cast<int>(options_.handshake.count()));
        s.set(zmq::sockopt::connect_timeout, static_cast<int>(options_.handshake.count()));
        s.set(zmq::sockopt::reconnect_ivl, never);
        // The system ends connections on which nothing is acknowledged; pulses see to it that there is
        // always something to acknowledge.
        s.set(zmq::sockopt::tcp_maxrt, static_cast<int>((options_.heartbeat * missing_signs).count()));
    }

    std::string bind(zmq::socket_t& s, const zmq_address& a, const char* what) {
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

    void listen() {
        using use = zmq_address::use;
        const auto at = zmq_address::parse(options_.listen, use::bind, "zmq_options::listen");
        require_local(at, options_.insecure, "zmq_options::listen");
        zmq_address out = at;
        if (options_.publish.empty()) {
            out.port = "*";
        } else {
            out = zmq_address::parse(options_.publish, use::bind, "zmq_options::publish");
            const bool fits = out.ipc == at.ipc &&
                              (at.ipc ? out.host.starts_with(at.host) && out.host != at.host : out.host == at.host);
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
                                 std::to_string(detail::max_place_suffix) + " of [A-Za-z0-9._-] may follow");
            }
            bind(publisher_, out, "zmq_options::publish");
        }
    }

    /// False if a subscriber's queue has become full: then ZeroMQ drops the message for that one and delivers
    /// it to the rest. Until there is room again it drops further ones without a word; see `note_sequence`.
    bool publish(zmq::message_t& m) {
        if (try_send(publisher_, m) == sent::yes) return true;
        publisher_.set(zmq::sockopt::xpub_nodrop, false);
        try_send(publisher_, m);
        publisher_.set(zmq::sockopt::xpub_nodrop, true);
        return false;
    }

    sent route_message(std::string_view route, zmq::message_t& m) {
        zmq::message_t head(route.data(), route.size());
        const sent done = try_send(router_, head, ZMQ_SNDMORE);
        return done == sent::yes ? try_send(router_, m) : done;
    }

    sent route_control(std::string_view route, const detail::control& c) {
        zmq::message_t m = message_of(c);
        return route_message(route, m);
    }

    detail::welcome own_place() const { return {incarnation_, place_}; }

    // ---- notices -----------------------------------------------------------------------------------

    /// Each is taken from the queue before the owner is told: it may call us, or throw.
    void flush_notices(transport_events& events) {
        while (!notices_.empty()) {
            const notice n = notices_.front();
            notices_.pop_front();
            handed_over_ = true;
            if (n.up) {
                events.connected(n.link);
            } else {
                events.disconnected(n.link);
            }
        }
    }

    void hand_over(transport_events& events, link_id link, std::span<const std::byte> frame) {
        ++stats_.frames_in;
        stats_.bytes_in += frame.size();
        handed_over_ = true;
        events.received(link, frame);
    }

    // ---- dialling ----------------------------------------------------------------------------------

    void dial(const std::string& address, const char* what) {
        auto where = zmq_address::parse(address, zmq_address::use::dial, what);
        require_local(where, options_.insecure, what);
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

    /// A name may have addresses of both families, of which libzmq tries one: take turns.
    void set_family(zmq::socket_t& s, const dialled_peer& p) const {
        s.set(zmq::sockopt::ipv6, p.where.numeric_ipv6() || (p.where.named() && p.attempts % 2 == 0));
    }

    void start(dialled_peer& p, steady::time_point now) {
        ++p.attempts;
        try {
            p.dealer.emplace(context_, zmq::socket_type::dealer, next_monitor_++);
            configure(p.dealer->data.socket);
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

    void subscribe(dialled_peer& p, const detail::welcome& w, steady::time_point now) {
        const std::string endpoint = p.where.publish_endpoint(w.place);
        if (endpoint.empty()) return fail(p, now);
        if (w.incarnation == incarnation_) { // this very node: nothing to gain
            p.backoff = options_.reconnect_max;
            return fail(p, now);
        }
        try {
            p.subscriber.emplace(context_, zmq::socket_type::sub, next_monitor_++);
            configure(p.subscriber->data.socket);
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

    void become_connected(dialled_peer& p, steady::time_point now) {
        if (!greet(p, dial_stage::ready)) return; // the next pulse finds room
        p.now = dialled_peer::state::connected;
        p.connected_at = now;
        p.due = now + options_.heartbeat;
        p.unanswered = p.unheard = 0;
        if (std::exchange(p.was_connected, true)) ++stats_.reconnects;
        notices_.push_back({p.link, true});
    }

    bool greet(dialled_peer& p, dial_stage stage) {
        zmq::message_t m = message_of(detail::hello{stage});
        return try_send(p.dealer->data, m) == sent::yes;
    }

    void say_goodbye(dialled_peer& p) {
        zmq::message_t m = message_of(detail::bye{});
        try_send(p.dealer->data, m);
        p.dealer->data.socket.set(zmq::sockopt::linger, static_cast<int>(options_.linger.count()));
    }

    void close_sockets(dialled_peer& p) {
        p.dealer.reset();
        p.subscriber.reset();
        p.subscribed = p.backlog = p.leaving = p.ended = false;
        p.now = dialled_peer::state::idle;
    }

    /// Ends the attempt or the connection and sets the time of the next attempt.
    void fail(dialled_peer& p, steady::time_point now) {
        if (p.now == dialled_peer::state::connected) {
            if (!p.forgotten) notices_.push_back({p.link, false});
            // One that held counts as a success; a peer that ends them at once is kept at a distance.
            if (now - p.connected_at >= options_.heartbeat) p.backoff = options_.reconnect_min;
        }
        close_sockets(p);
        std::uniform_real_distribution<double> spread(0.75, 1.25);
        p.due = now + std::chrono::duration_cast<steady::duration>(p.backoff * spread(random_));
        p.backoff = std::min(p.backoff * 2, options_.reconnect_max);
    }

    /// Only called when nothing iterates over `dialled_`, which is at the start and the end of a poll.
    void sweep() {
        std::erase_if(dialled_, [&](const std::unique_ptr<dialled_peer>& p) {
            if (p->forgotten && p->now == dialled_peer::state::connected) say_goodbye(*p);
            return p->forgotten;
        });
    }

    // ---- receiving ---------------------------------------------------------------------------------

    /// Hands over what has come, up to the budget. True if nothing is left.
    bool receive(transport_events& events) {
        std::size_t budget = poll_budget;
        const auto now = steady::now();
        for (;;) {
            bool more = false;
            // The owner may dial further peers meanwhile, so no iterator is kept.
            const std::size_t sources = dialled_.size() + 1;
            for (std::size_t i = 0; i < sources; ++i) {
                const std::size_t source = (turn_ + i) % sources;
                if (source + 1 == sources) {
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

    /// Takes from the budget what a message costs; true if the slice has room for another.
    static bool pay(std::size_t& budget, std::size_t& left, std::size_t bytes) {
        const std::size_t cost = bytes + frame_cost;
        budget -= std::min(budget, cost);
        left -= std::min(left, cost);
        return budget > 0 && left > 0;
    }

    /// These read one slice and return true if there may be more.
    bool read_peer(dialled_peer& p, transport_events& events, std::size_t& budget, steady::time_point now) {
        for (std::size_t left = slice; p.dealer && !p.forgotten && try_receive(p.dealer->data, message_);) {
            from_dealer(p, events, now);
            flush_notices(events);
            if (!pay(budget, left, message_.size())) return true;
        }
        for (std::size_t left = slice; p.subscriber && !p.forgotten && try_receive(p.subscriber->data, message_);) {
            from_publisher(p, events, now);
            flush_notices(events);
            if (!pay(budget, left, message_.size())) return true;
        }
        return false;
    }

    bool read_router(transport_events& events, std::size_t& budget) {
        if (!router_) return false;
        for (std::size_t left = slice; try_receive(router_, route_message_);) {
            if (!route_message_.more() || !try_receive(router_, message_)) continue;
            from_router(route_message_.to_string_view(), events);
            flush_notices(events);
            if (!pay(budget, left, message_.size())) return true;
        }
        return false;
    }

    /// True if message_ is whole. Ours have one part; of others the rest is read and all of it dropped.
    bool single_part(watched_socket& socket) {
        if (!message_.more()) return true;
        while (message_.more() && try_receive(socket, message_)) {
        }
        ++stats_.dropped;
        return false;
    }

    bool is_frame() const { return !message_.empty() && *message_.data<std::byte>() == frame_mark; }

    void from_dealer(dialled_peer& p, transport_events& events, steady::time_point now) {
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
        } else if (const auto* w = std::get_if<detail::welcome>(&*c)) {
            p.unanswered = 0;
            if (p.now == dialled_peer::state::asking) {
                subscribe(p, *w, now);
            } else if (w->incarnation != p.incarnation) {
                fail(p, now);
            }
        } else if (std::holds_alternative<detail::bye>(*c)) {
            if (p.now != dialled_peer::state::connected) return fail(p, now); // it has no room for us
            p.leaving = true;
            p.due = now + farewell;
        }
    }

    void from_publisher(dialled_peer& p, transport_events& events, steady::time_point now) {
        if (!single_part(p.subscriber->data)) return;
        p.unheard = 0;
        if (p.leaving) p.due = now + farewell;
        if (const auto sequence = detail::decode_broadcast(bytes_of(message_))) {
            if (p.now != dialled_peer::state::connected) {
                ++stats_.dropped;
                return;
            }
            note_sequence(p, *sequence);
            ++p.next_broadcast;
            return hand_over(events, p.link, bytes_of(message_).subspan(detail::broadcast_header));
        }
        const auto c = decode_control(bytes_of(message_));
        const auto* beat = c ? std::get_if<detail::pulse>(&*c) : nullptr;
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

    /// Counts the broadcasts between the last one and this one: the publisher's queue had no room for them.
    void note_sequence(dialled_peer& p, std::uint64_t sequence) {
        if (sequence > p.next_broadcast) stats_.dropped += sequence - p.next_broadcast;
        p.next_broadcast = sequence;
    }

    void from_router(std::string_view route, transport_events& events) {
        if (!single_part(router_)) return;
        const auto at = inbound_.find(route);
        if (at != inbound_.end()) at->second.silent = 0;
        if (is_frame()) {
            if (at != inbound_.end()) return hand_over(events, at->second.link, bytes_of(message_).subspan(1));
            ++stats_.dropped;
            route_control(route, detail::bye{}); // whoever takes itself for connected had better dial again
            return;
        }
        const auto c = decode_control(bytes_of(message_));
        if (!c) {
            ++stats_.dropped;
        } else if (const auto* h = std::get_if<detail::hello>(&*c)) {
            answer(route, at, h->stage);
        } else if (std::holds_alternative<detail::bye>(*c) && at != inbound_.end()) {
            drop_inbound(at->second);
        }
    }

    void answer(std::string_view route, routes::iterator at, dial_stage stage) {
        if (at == inbound_.end() && inbound_.size() >= options_.max_inbound) {
            route_control(route, detail::bye{});
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

    void drop_inbound(const inbound_peer& peer) {
        notices_.push_back({peer.link, false});
        by_link_.erase(peer.link);
        inbound_.erase(inbound_.find(peer.route));
    }

    // ---- monitors ----------------------------------------------------------------------------------

    /// Returns false if there is more to be done at once.
    bool read_monitors(steady::time_point now) {
        bool settled = true;
        for (auto& p : dialled_) {
            if (p->ended && !p->backlog) fail(*p, now);
            if (p->dealer) read_monitor(*p, *p->dealer, false, now);
            if (p->subscriber) read_monitor(*p, *p->subscriber, true, now);
            settled &= !p->ended;
        }
        return settled;
    }

    /// A connection that ended is only noted: what came before it did may have come since we last read.
    void read_monitor(dialled_peer& p, dialling_socket& s, bool subscriber, steady::time_point now) {
        while (try_receive(s.monitor, message_)) {
            std::uint16_t event = 0;
            if (message_.size() >= sizeof event) std::memcpy(&event, message_.data(), sizeof event);
            while (message_.more() && try_receive(s.monitor, message_)) {
            }
            if (event == ZMQ_EVENT_HANDSHAKE_SUCCEEDED) {
                if (subscriber) p.subscribed = true;
                p.due = now;
            } else if (subscriber || !p.leaving) {
                p.ended = p.backlog = true;
            }
        }
    }

    // ---- timers ------------------------------------------------------------------------------------

    /// Does what is due and returns when to be called again. Whether a peer is silent can only be told
    /// when everything that has come was read.
    steady::time_point run_timers(steady::time_point now, bool drained) {
        auto next = steady::time_point::max();
        for (auto& p : dialled_) {
            if (!p->forgotten) next = std::min(next, run_timer(*p, now));
        }
        if (!router_) return next;
        if (pulse_wanted_ || now >= next_pulse_) {
            pulse_wanted_ = false;
            next_pulse_ = now + options_.heartbeat;
            // Takes in new subscriptions first, which sending itself does only once in a while.
            static_cast<void>(publisher_.get(zmq::sockopt::events));
            zmq::message_t m = message_of(detail::pulse{incarnation_, next_broadcast_});
            publish(m);
        }
        if (drained && now >= next_check_) {
            next_check_ = now + options_.heartbeat;
            check_inbound();
        }
        return std::min({next, next_pulse_, next_check_});
    }

    steady::time_point run_timer(dialled_peer& p, steady::time_point now) {
        using state = dialled_peer::state;
        if (p.now == state::idle) {
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

    /// ROUTER does not report that a peer has gone, but a message for it then cannot be routed.
    void check_inbound() {
        std::vector<const inbound_peer*> gone;
        for (auto& [route, peer] : inbound_) {
            if (++peer.silent < 2) continue;
            const bool hung = peer.silent > missing_signs;
            const sent done = hung ? route_control(route, detail::bye{}) : route_control(route, own_place());
            if (hung || done == sent::gone) gone.push_back(&peer);
        }
        for (const auto* peer : gone) drop_inbound(*peer);
    }

    // ---- waiting -----------------------------------------------------------------------------------

    /// Calls f(watched_socket&) for every socket that is read.
    template <class F> void for_each_socket(F&& f) {
        if (router_) f(router_);
        for (auto& p : dialled_) {
            for (auto* s : {&p->dealer, &p->subscriber}) {
                if (!*s) continue;
                f((*s)->data);
                f((*s)->monitor);
            }
        }
    }

    bool any_ready() {
        bool any = false;
        for_each_socket([&](const watched_socket& s) { any |= s.ready; });
        return any;
    }

    void wait(steady::duration time) {
        descriptors_.clear();
        descriptors_.push_back({wake_.fd(), POLLIN, 0});
        for_each_socket([&](const watched_socket& s) { descriptors_.push_back({s.fd, POLLIN, 0}); });
        // Rounded up: a timer that is a fraction of a millisecond away must not spin. An interrupted or
        // failed wait is as good as one that ended early.
        const auto rounded = std::chrono::ceil<milliseconds>(std::max(time, steady::duration::zero()));
        if (::poll(descriptors_.data(), descriptors_.size(), static_cast<int>(rounded.count())) <= 0) return;
        auto at = descriptors_.begin();
        if (at++->revents != 0) wake_.drain();
        for_each_socket([&](watched_socket& s) { s.ready |= at++->revents != 0; });
    }
};

} // namespace

std::unique_ptr<transport> zmq_transport(zmq_options options) { return std::make_unique<zmq_node>(std::move(options)); }

} // namespace joinery
