// SPDX-License-Identifier: Apache-2.0
#pragma once

// The transport over ZeroMQ from within: a listener's two sockets (zmq_listening.cpp), the peers that this
// node dials (zmq_dialling.cpp), who may connect (zmq_admission.cpp), and what takes turns between them (zmq_node.cpp).
// To be included after <zmq.hpp>.

#include <joinery/zmq_transport.hpp>

#include "zmq_control.hpp"
#include "zmq_socket.ipp"

#include <poll.h>

#include <algorithm>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <random>
#include <stdexcept>
#include <string_view>
#include <unordered_map>

namespace joinery::detail {

using steady = std::chrono::steady_clock;

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
    bool cut = false;       // its key is admitted no more; its sockets are swept likewise
    bool was_connected = false;
    bool subscribed = false; // the SUB's handshake is done
    bool backlog = false;    // its sockets were not read to the end
    bool leaving = false;    // it said goodbye; what it broadcast before may still come
    bool ended = false;      // its connection has; what came before is read once more
    std::optional<monitored_socket> dealer, subscriber;
    std::uint64_t incarnation = 0;    // of the process that answers
    std::uint64_t next_broadcast = 0; // its sequence number
    steady::time_point due{};         // the next attempt, question or sign of life
    steady::time_point deadline{};    // ends a step of connecting
    steady::time_point connected_at{};
    std::chrono::milliseconds backoff{};
    std::chrono::milliseconds pause{}; // between questions
    int unanswered = 0;                // hellos since the last welcome
    int unheard = 0;                   // hellos since the last message of the publisher
    unsigned attempts = 0;

    bool open() const { return !forgotten && !cut; }
};

/// A peer that dialled in and is ready.
struct inbound_peer {
    link_id link = 0;
    std::string route;
    std::string user; // the key that it has proved, as ZeroMQ hands it over with each message; empty in plaintext
    int silent = 0;   // checks since it was last heard: counted, since our own pause is no silence of the peer
};

class zmq_node final : public transport {
public:
    /// Requires: options within their limits.
    explicit zmq_node(zmq_options options);
    ~zmq_node() override;

    void broadcast(std::span<const std::byte> frame) override;
    bool send(link_id link, std::span<const std::byte> frame) override;
    void wait(std::chrono::milliseconds timeout) override;
    void poll(transport_events& events) override;
    void wake() override { wake_.raise(); }
    void connect(const std::string& address) override;
    void disconnect(const std::string& address) override;
    std::optional<peer_key> key_of(link_id link) const override;
    std::optional<peer_key> own_key() const override {
        return options_.keys ? std::optional(options_.keys->public_half()) : std::nullopt;
    }
    void admit(const std::vector<peer_key>& keys) override;
    link_security security() const override;
    std::size_t max_frame() const override { return options_.max_frame; }
    std::string address() const override { return address_; }
    statistics stats() const override { return stats_; }

private:
    struct notice {
        link_id link;
        bool up;
    };
    struct string_hash {
        using is_transparent = void;
        std::size_t operator()(std::string_view s) const { return std::hash<std::string_view>{}(s); }
    };
    using routes = std::unordered_map<std::string, inbound_peer, string_hash, std::equal_to<>>;

    zmq_options options_;
    wake_pipe wake_;
    zmq::context_t context_;    // before the sockets: it can only end after them
    watched_socket admissions_; // where libzmq asks whether a key is admitted
    std::optional<monitored_socket> router_, publisher_;
    owned_descriptor router_descriptor_, publisher_descriptor_; // with keys: what the sockets listen on
    std::string router_endpoint_, publisher_endpoint_, address_;
    publish_place place_;
    std::uint64_t incarnation_ = 0;
    std::mt19937_64 random_;

    std::vector<std::unique_ptr<dialled_peer>> dialled_;
    routes inbound_;
    std::unordered_map<link_id, inbound_peer*> by_link_;
    std::vector<peer_key> admitted_, let_in_; // sorted; let in: since the listening sockets were made
    bool renew_ = false;                      // the listening sockets have to be made anew
    link_id next_link_ = 1;
    std::uint64_t next_monitor_ = 1;

    std::deque<notice> notices_;             // in order, until the owner can be told
    std::vector<std::string> refused_;       // in one poll: connections
    zmq::message_t route_message_, message_; // reused, so that receiving allocates nothing here
    std::size_t turn_ = 0;                   // whose turn it is to be read first
    std::uint64_t next_broadcast_ = 0;       // its sequence number
    bool pulse_wanted_ = false;
    steady::time_point next_pulse_{}, next_check_{};
    statistics stats_;

    // Between two polls these belong to `wait`.
    std::vector<pollfd> descriptors_; // the wake pipe's, and those of the sockets as `for_each_socket` goes
    steady::time_point due_{};        // when to poll even if nothing comes
    bool looked_ = false;             // `wait` has filled in what has come
    steady::duration owners_{0};      // what the owner has done since the last poll has taken so long

    bool polling_ = false;
    steady::time_point polled_at_{}, poll_until_{}; // the end of the last poll, and of this one

    // ---- zmq_node.cpp: turns ----

    void configure(zmq::socket_t& s) const;
    void count_out(std::size_t bytes);
    void flush_notices(transport_events& events);
    void hand_over(transport_events& events, link_id link, std::span<const std::byte> frame);
    bool receive(transport_events& events);
    /// Takes from both what a message of so many bytes costs, and the time that it took; true if there is room for
    /// another.
    bool pay(std::size_t& budget, std::size_t& left, std::size_t bytes) const;
    bool single_part(watched_socket& socket);
    bool is_frame() const { return !message_.empty() && *message_.data<std::byte>() == frame_mark; }
    steady::time_point run_timers(steady::time_point now, bool drained);
    template <class F> void for_each_socket(F&& f);
    void look(std::chrono::milliseconds time);
    void note_arrivals();
    void end_wait();
    /// True if a handshake failed.
    bool count_refused(const monitored_socket::event& e) {
        const bool failed = (e.kind & monitored_socket::handshake_failed) != 0;
        stats_.refused_handshakes += failed;
        return failed;
    }
    void tell_refused(std::string whom) {
        if (refused_.size() < 16) refused_.push_back(std::move(whom)); // all are counted
    }

    // ---- zmq_admission.cpp: who may connect ----

    void guard();
    void prove(zmq::socket_t& s, const zmq_address& to) const;
    void demand_proof(zmq::socket_t& s) const;
    bool admits(const peer_key& k) const;
    bool admits(const dialled_peer& p) const { return !p.where.key || admits(*p.where.key); }
    std::string_view user_of(const zmq::message_t& m) const;
    bool answer_admissions(std::size_t& budget);
    void admit_or_refuse(std::vector<zmq::message_t>& request);

    // ---- zmq_listening.cpp: the sockets that peers dial ----

    std::string bind(monitored_socket& s, const zmq_address& a, const char* what, owned_descriptor& descriptor);
    void listen();
    void make_listening_sockets();
    void renew_listening_sockets();
    bool publish(zmq::message_t& m);
    sent route_message(std::string_view route, zmq::message_t& m);
    sent route_control(std::string_view route, const control& c);
    welcome own_place() const { return {incarnation_, place_}; }
    bool read_router(transport_events& events, std::size_t& budget);
    void from_router(std::string_view route, transport_events& events);
    void answer(std::string_view route, routes::iterator at, dial_stage stage);
    const inbound_peer* crowding_out(std::string_view user) const;
    void drop_inbound(const inbound_peer& peer);
    steady::time_point run_listener_timers(steady::time_point now, bool drained);
    void check_inbound();

    // ---- zmq_dialling.cpp: the peers that this node dials ----

    void dial(const std::string& address, const char* what);
    void set_family(zmq::socket_t& s, const dialled_peer& p) const;
    void start(dialled_peer& p, steady::time_point now);
    void subscribe(dialled_peer& p, const welcome& w, steady::time_point now);
    void become_connected(dialled_peer& p, steady::time_point now);
    bool greet(dialled_peer& p, dial_stage stage);
    void say_goodbye(dialled_peer& p);
    void hang_up(dialled_peer& p);
    void fail(dialled_peer& p, steady::time_point now);
    void sweep();
    bool read_peer(dialled_peer& p, transport_events& events, std::size_t& budget, steady::time_point now);
    void from_dealer(dialled_peer& p, transport_events& events, steady::time_point now);
    void from_publisher(dialled_peer& p, transport_events& events, steady::time_point now);
    void note_sequence(dialled_peer& p, std::uint64_t sequence);
    bool read_monitors(steady::time_point now);
    void read_monitor(dialled_peer& p, monitored_socket& s, bool subscriber, steady::time_point now);
    steady::time_point run_timer(dialled_peer& p, steady::time_point now);
};

/// What one poll may hand over, and one socket before the next has its turn.
inline constexpr std::size_t poll_budget = std::size_t{1} << 18; // bytes, about
inline constexpr std::size_t slice = std::size_t{1} << 16;
/// How long it may take: a quarter of what the owner has taken since the last one (it may have to sync a disk), within
/// these. So what came from one peer goes on soon, however much there is from others.
inline constexpr std::chrono::microseconds least_poll{500}, longest_poll{10'000};

inline constexpr std::chrono::milliseconds longest_wait = std::chrono::hours(24);
inline constexpr int missing_signs = 10; // signs of life in succession

zmq::message_t message_of(const control& c);
std::invalid_argument bad_option(const std::string& what);
/// Throws std::invalid_argument for an address off this machine unless that is allowed; `what` names the option.
void require_safe(const zmq_address& a, const zmq_options& o, std::string_view what);

} // namespace joinery::detail
