// SPDX-License-Identifier: Apache-2.0
#include <zmq.hpp>

#include "zmq_node.ipp"

#include <algorithm>
#include <array>
#include <cstring>

namespace joinery::detail {

// Who may connect. Every socket speaks CURVE (ZeroMQ RFC 26): whoever dials names the key that the listener has to
// prove, and proves its own; a listener has libzmq ask at `admissions_endpoint` (ZAP, RFC 27) whether that key is
// admitted. It asks only after the proof, so connections that stop half-way never get here: libzmq's thread carries
// them, until the handshake's time is up. Hence no thread of ours is needed either. An owner that does not poll keeps
// newcomers waiting and nobody else.

namespace {

constexpr const char* admissions_endpoint = "inproc://zeromq.zap.01";
constexpr std::string_view domain = "joinery";
// With nobody there to ask, nobody is let in. <zmq.h> names this option among drafts only; libzmq knows it since 4.3.
constexpr int zap_enforce_domain = 93;

enum part : std::size_t {
    p_route,
    p_delimiter,
    p_version,
    p_request,
    p_domain,
    p_address,
    p_identity,
    p_mechanism,
    p_key
};

void set(zmq::socket_t& s, int option, const void* value, std::size_t size) {
    if (zmq_setsockopt(s.handle(), option, value, size) != 0) throw zmq::error_t();
}

std::optional<peer_key> proved_key(const std::vector<zmq::message_t>& request) {
    peer_key k;
    if (request.size() != p_key + 1 || request[p_version].to_string_view() != "1.0" ||
        request[p_domain].to_string_view() != domain || request[p_mechanism].to_string_view() != "CURVE" ||
        request[p_key].size() != k.bytes.size())
        return std::nullopt;
    std::memcpy(k.bytes.data(), request[p_key].data(), k.bytes.size());
    return k;
}

void insert_sorted(std::vector<peer_key>& keys, const peer_key& k) {
    const auto at = std::lower_bound(keys.begin(), keys.end(), k);
    if (at == keys.end() || *at != k) keys.insert(at, k);
}

std::vector<peer_key> sorted(std::vector<peer_key> keys) {
    std::sort(keys.begin(), keys.end());
    keys.erase(std::unique(keys.begin(), keys.end()), keys.end());
    return keys;
}

} // namespace

// ---- sockets with keys ----

void zmq_node::guard() {
    if (!options_.keys) return;
    admitted_ = sorted(options_.admitted);
    if (options_.listen.empty()) return;
    admissions_ = watched_socket(context_, zmq::socket_type::router);
    admissions_.socket.set(zmq::sockopt::linger, 0);
    admissions_.socket.bind(admissions_endpoint);
}

void zmq_node::demand_proof(zmq::socket_t& s) const {
    if (!options_.keys) return;
    s.set(zmq::sockopt::curve_server, true);
    set(s, ZMQ_CURVE_SECRETKEY, options_.keys->secret_half().data(), key_pair::secret_size);
    set(s, ZMQ_ZAP_DOMAIN, domain.data(), domain.size());
    const int enforce = 1;
    set(s, zap_enforce_domain, &enforce, sizeof enforce);
}

void zmq_node::prove(zmq::socket_t& s, const zmq_address& to) const {
    if (!options_.keys) return;
    set(s, ZMQ_CURVE_SERVERKEY, to.key->bytes.data(), to.key->bytes.size());
    set(s, ZMQ_CURVE_PUBLICKEY, options_.keys->public_half().bytes.data(), to.key->bytes.size());
    set(s, ZMQ_CURVE_SECRETKEY, options_.keys->secret_half().data(), key_pair::secret_size);
}

// ---- questions of libzmq ----

// True if there may be more.
bool zmq_node::answer_admissions(std::size_t& budget) {
    if (!admissions_) return false;
    std::vector<zmq::message_t> request;
    for (std::size_t left = slice; try_receive(admissions_, message_);) {
        const bool last = !message_.more();
        request.push_back(std::move(message_));
        if (!last) continue;
        admit_or_refuse(request);
        request.clear();
        if (!pay(budget, left, 1024)) return true; // what a handshake costs
    }
    return false;
}

void zmq_node::admit_or_refuse(std::vector<zmq::message_t>& request) {
    if (request.size() <= p_request) return;
    const auto key = proved_key(request);
    const bool good = key && admits(*key);
    if (good) insert_sorted(let_in_, *key);
    if (key && !good) tell_refused("a peer dialled in whose key is not admitted: " + to_string(*key));
    const std::string user = good ? to_string(*key) : std::string();
    const std::array<std::string_view, 4> answer{good ? "200" : "400", good ? "OK" : "not admitted", user, ""};
    for (const auto p : {p_route, p_delimiter, p_version, p_request}) {
        if (try_send(admissions_, request[p], ZMQ_SNDMORE) != sent::yes) return;
    }
    for (const auto& text : answer) {
        zmq::message_t m(text.data(), text.size());
        if (try_send(admissions_, m, &text == &answer.back() ? 0 : ZMQ_SNDMORE) != sent::yes) return;
    }
}

// ---- keys and links ----

bool zmq_node::admits(const peer_key& k) const { return std::binary_search(admitted_.begin(), admitted_.end(), k); }

// libzmq attaches what `admit_or_refuse` has answered for the connection; the peer cannot choose it.
std::string_view zmq_node::user_of(const zmq::message_t& m) const {
    if (!options_.keys) return {};
    const char* user = zmq_msg_gets(m.handle(), "User-Id");
    return user ? std::string_view(user) : std::string_view();
}

std::optional<peer_key> zmq_node::key_of(link_id link) const {
    if (!options_.keys) return std::nullopt;
    if (const auto found = by_link_.find(link); found != by_link_.end()) return peer_key::parse(found->second->user);
    for (const auto& p : dialled_) {
        if (p->link == link && p->open() && p->now == dialled_peer::state::connected) return p->where.key;
    }
    return std::nullopt;
}

link_security zmq_node::security() const {
    if (options_.keys) return link_security::encrypted;
    return options_.insecure ? link_security::insecure : link_security::local;
}

// ZeroMQ cannot end one connection of a socket that listens, and one of a subscriber says nothing by which it could be
// told from others. So if one of those that were let in is so no more, both listening sockets are made anew, which ends
// all connections to them; the others dial again. Until then nothing is broadcast.
void zmq_node::admit(const std::vector<peer_key>& keys) {
    if (!options_.keys) return;
    admitted_ = sorted(keys);
    renew_ |= !std::includes(admitted_.begin(), admitted_.end(), let_in_.begin(), let_in_.end());

    std::vector<const inbound_peer*> gone;
    for (const auto& [route, peer] : inbound_) {
        const auto key = peer_key::parse(peer.user);
        if (!key || !admits(*key)) gone.push_back(&peer);
    }
    for (const auto* peer : gone) drop_inbound(*peer);
    for (auto& p : dialled_) {
        if (!p->open() || p->now == dialled_peer::state::idle || admits(*p)) continue;
        if (p->now == dialled_peer::state::connected) notices_.push_back({p->link, false});
        p->cut = true; // `sweep` closes its sockets: this may be a call from within poll
    }
    end_wait();
}

} // namespace joinery::detail
