// SPDX-License-Identifier: Apache-2.0
#include "observer.hpp"

#include <joinery/digest.hpp>
#include <joinery/keys.hpp>
#include <joinery/zmq_transport.hpp>

#include <string_view>

namespace joinery::tool {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

observer::observer(const std::string& endpoint, bool insecure, const std::string& identity) {
    seen_.endpoint = endpoint;
    mine_.replica = replica_id::random();
    mine_.nonce = replica_id::random().value();
    mine_.role = node_role::follower;
    mine_.name = "joinery (tool)";
    zmq_options options;
    options.insecure = insecure;
    options.peers = {endpoint};
    options.linger = milliseconds(0);
    try {
        if (!identity.empty()) options.keys = load_keys(identity);
        if (const auto mark = endpoint.find('#'); options.keys && mark != endpoint.npos) {
            if (const auto key = peer_key::parse(endpoint.substr(mark + 1))) options.admitted = {*key};
        }
        wire_ = zmq_transport(std::move(options));
    } catch (const std::exception& e) {
        std::string_view what = e.what(); // in the words of who writes a program
        if (what.find("zmq_options::insecure") != what.npos)
            throw tool_error(endpoint + ": it is on another machine, and the connection is not encrypted; --insecure "
                                        "allows that");
        if (constexpr std::string_view where = "zmq_options::peers: "; what.starts_with(where))
            what.remove_prefix(where.size());
        throw tool_error(std::string(what));
    }
}

observer::~observer() = default;

void observer::send(message_batch& batch) {
    if (link_) wire_->send(*link_, batch.close(frame_kind::direct));
}

void observer::ask() {
    const auto now = steady_clock::now();
    if (!link_ || (!answered_ && now - asked_ < std::chrono::seconds(2))) return;
    asked_ = now;
    answered_ = false;
    parts_.clear();
    mine_.challenge = replica_id::random().value();
    mine_.hears = true; // so that its broadcasts are not sent here once more
    message_batch batch;
    batch.add(mine_);
    send(batch);
}

void observer::run(milliseconds time, const std::function<bool()>& enough) {
    const auto end = steady_clock::now() + time;
    for (;;) {
        wire_->poll(*this);
        if (enough && enough()) return;
        const auto left = std::chrono::duration_cast<milliseconds>(end - steady_clock::now());
        if (left.count() <= 0) return;
        wire_->wait(std::min(left, milliseconds(100)));
    }
}

std::vector<std::uint64_t> observer::digests_of(channel c, const version_vector& at, const causal_context& dots,
                                                std::uint64_t width, milliseconds time) {
    comparison m{c, ++request_, digest(encode(at)), width, dots};
    message_batch batch;
    batch.add(m);
    answer_.reset();
    send(batch);
    run(time, [&] { return answer_ && answer_->request == m.request; });
    return answer_ && answer_->request == m.request ? answer_->values : std::vector<std::uint64_t>();
}

void observer::connected(link_id link) {
    link_ = link;
    seen_.connected = true;
    answered_ = true; // what was asked is lost
    ask();
}

void observer::disconnected(link_id) {
    link_.reset();
    seen_.connected = false;
}

void observer::received(link_id, std::span<const std::byte> frame) {
    ++seen_.frames;
    seen_.bytes += frame.size();
    seen_.heard = steady_clock::now();
    const auto opened = open_frame(frame);
    if (!opened || is_stored(opened->kind)) {
        ++seen_.refused;
        return;
    }
    message_reader reader(opened->body);
    message m;
    for (;;) {
        const auto more = reader.next(m);
        if (!more) ++seen_.refused;
        if (!more || !*more) return;
        if (const auto* h = std::get_if<hello>(&m)) take(*h);
        if (const auto* b = std::get_if<beacon>(&m)) take(*b);
        if (std::holds_alternative<update>(m)) ++seen_.updates;
        if (const auto* d = std::get_if<digests>(&m)) answer_ = *d;
    }
}

void observer::take(const hello& m) {
    if (m.echo != mine_.challenge) return; // not an answer
    parts_.insert(parts_.end(), m.collections.begin(), m.collections.end());
    if (!m.complete) return;
    answered_ = true;
    if (seen_.said && seen_.said->nonce != m.nonce) {
        ++seen_.restarts;
        seen_.views.clear();
    }
    seen_.said = m;
    seen_.said->collections = std::exchange(parts_, {});
    for (const auto& c : seen_.said->collections)
        seen_.views[channel_of(c.name, c.fingerprint).value].version = c.version;
}

void observer::take(const beacon& m) {
    if (!seen_.said || m.nonce != seen_.said->nonce) return;
    for (const auto& c : m.collections) {
        auto& v = seen_.views[c.channel.value];
        v.version.join(c.version);
        v.members = c.members;
        if (!c.digest) continue;
        v.digest = c.digest;
        v.digest_at = c.version;
    }
}

} // namespace joinery::tool
