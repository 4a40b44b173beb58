// SPDX-License-Identifier: Apache-2.0
// The body of a frame: its messages are what they were after they are written again, and an engine that is
// in the middle of a conversation survives them. A byte before the body chooses the kind of frame.
#include <joinery/engine.hpp>
#include <joinery/or_set.hpp>

#include "../sync/no_storage.hpp"

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <vector>

using namespace joinery;

namespace {

using set = or_set<std::string>;
constexpr link_id peer_link = 1, other_link = 2;

struct nowhere final : detail::no_storage, engine_output {
    durability level() const override { return durability::relaxed; }
    void broadcast(std::span<const std::byte>) override {}
    bool send(link_id, std::span<const std::byte> frame) override {
        if (!open_frame(frame)) std::abort();
        return true;
    }
    void notify(const event&) override {}
};

void write_again(std::span<const std::byte> body) {
    message_reader reader(body);
    message m;
    message_batch again;
    for (;;) {
        const auto more = reader.next(m);
        if (!more) return;
        if (!*more) break;
        if (const auto* h = std::get_if<hello>(&m); h && h->protocol != protocol_version) return; // not read
        std::visit([&](const auto& x) { again.add(x); }, m);
    }
    const auto frame = again.close(frame_kind::direct);
    const auto opened = open_frame(frame);
    if (!opened || opened->body.size() != body.size()) std::abort();
    if (!body.empty() && std::memcmp(opened->body.data(), body.data(), body.size()) != 0) std::abort();
}

hello greeting(replica_id who, std::uint64_t nonce, const replicated<set>& s) {
    hello h;
    h.replica = who;
    h.nonce = nonce;
    h.challenge = 1;
    h.collections = {{name_digest("set"), s.fingerprint(), {{who, 3}}}};
    return h;
}

void converse(std::span<const std::byte> frame) {
    nowhere io;
    std::uint64_t next = 100; // ids, nonces and requests that an input can name
    engine_options o;
    o.random = [&] { return next++; };
    o.limits.buffer = 4096;
    o.limits.staging = 1 << 16;
    o.limits.presence_entries = 2;
    o.limits.presence_bytes = 64;
    o.limits.requests = 2;
    replicated<set> state([] { return std::uint64_t{1'000'000}; });
    engine e(o, io, io);
    e.tick(engine_time(1000));
    e.attach("set", state);
    for (auto l : {peer_link, other_link}) e.connected(l);
    state.edit([](auto& s, auto& tx) { s.add(tx, "mine"); });
    const std::byte here[] = {std::byte{'h'}, std::byte{'i'}};
    e.set_presence(0, here, engine_time(500));
    message_batch hellos;
    hellos.add(greeting(replica_id{7}, 70, state)); // so that a pull is under way
    e.received(peer_link, hellos.close(frame_kind::direct));
    e.flush();
    const auto awaited = e.request(0, replica_id{7}, "echo", here);
    for (int i = 0; i < 2; ++i) {
        e.received(peer_link, frame);
        e.received(other_link, frame);
        const auto asked = e.take_requests();
        if (asked.size() > o.limits.requests) std::abort();
        for (const auto& r : asked) e.reply(r, r.bytes);
        e.flush();
        e.tick(engine_time(2000 + 1000 * i));
        e.flush();
        std::size_t bytes = 0;
        for (const auto& p : e.presence(0)) bytes += p.bytes.size();
        if (bytes > o.limits.presence_bytes || e.presence(0).size() > o.limits.presence_entries) std::abort();
    }
    if (awaited) (void)e.take_reply(*awaited);
    if (state.version()[e.id()] != e.version(0)[e.id()]) std::abort();
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size == 0) return 0;
    frame_writer w;
    for (std::size_t i = 1; i < size; ++i) w.body().push_back(static_cast<std::byte>(data[i]));
    const auto frame = w.close(data[0] % 2 == 0 ? frame_kind::direct : frame_kind::broadcast);
    const auto body = open_frame(frame)->body;
    write_again(body);
    converse(frame);
    return 0;
}
