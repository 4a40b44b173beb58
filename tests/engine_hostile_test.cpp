// SPDX-License-Identifier: Apache-2.0

// A peer that has a key and the right to write, and abuses it in every way there is: three nodes go on as if it were
// not there, and within their memory.

#include "engine_access.hpp"
#include "hostile_peer.hpp"

#include "../fuzz/allocation_meter.hpp"

#include <array>
#include <cstdlib>

using namespace joinery;
using namespace std::chrono_literals;

namespace {

constexpr std::size_t good = 3; // their places are 0, 1, 2
constexpr std::size_t hostile = good;

// What it makes edits of.
constexpr auto edit_of_hostile = [](set_of_strings& s, transaction& tx, std::uint64_t n) {
    if (n == hostile_edits::forgery)
        s.add(tx, "forged");
    else if (n >= hostile_edits::great)
        s.add(tx, std::string(2000, 'g'));
    else
        s.add(tx, "of the attacker " + std::to_string(n % 50));
};

/// A hostile peer at its place of the router.
class attacker {
public:
    attacker(router& r, std::uint64_t seed) : router_(r), peer_(setting(), seed) {}

    hostile_peer& operator*() { return peer_; }
    hostile_peer* operator->() { return &peer_; }
    /// Frames that were sent since the last call.
    void listen() {
        for (const auto& e : router_.seen) {
            if (e.to == hostile)
                peer_.hear(e.from, e.frame);
            else
                peer_.overhear(e.frame);
        }
        router_.seen.clear();
    }

private:
    router& router_;
    hostile_peer peer_;

    hostile_peer::setting setting() {
        hostile_peer::setting s;
        s.id = replica_id{0xbad};
        s.collections.emplace_back("set", std::make_unique<hostile_edits_of<set_of_strings, decltype(edit_of_hostile)>>(
                                              s.id, edit_of_hostile));
        s.nodes = good;
        s.give = [this](std::size_t to, std::span<const std::byte> frame) {
            auto& n = *router_.nodes[to];
            n.engine->received(hostile, frame);
            n.engine->flush();
        };
        s.reconnect = [this](std::size_t to) {
            auto& n = *router_.nodes[to];
            n.engine->disconnected(hostile);
            n.engine->connected(hostile, router_.nodes[hostile]->key);
        };
        return s;
    }
};

struct besieged {
    router r;
    std::array<replica_id, good> ids;

    explicit besieged(bool with_policy) {
        for (std::size_t i = 0; i <= good; ++i) {
            auto& n = add_with_key(r, std::string(1, static_cast<char>('a' + i)));
            std::vector<peer_access> peers;
            for (std::size_t j = 0; j < good; ++j)
                if (j != i) peers.push_back(access_of(j, access_right::admin));
            peers.push_back(access_of(hostile, access_right::write));
            peers.back().relay = false;
            if (with_policy) n.options.access = policy_at(i, std::move(peers));
            auto& limits = n.options.limits;
            limits.version_entries = 1000;
            limits.members = 2000;
            limits.peers = 100;
            limits.buffer = 1 << 20;
            limits.buffer_per_link = 1 << 18;
            limits.staging = 1 << 20;
            limits.presence_entries = 100;
            limits.presence_bytes = 1 << 16;
            limits.requests = 100;
            limits.peer_ids = 8;
            if (i < good) n.start();
        }
        r.link_all();
        r.run(1s);
        for (std::size_t i = 0; i < good; ++i) ids[i] = r.nodes[i]->engine->id();
    }

    void hold_out(attacker& x, std::uint64_t seed, unsigned steps) {
        x.listen();
        for (std::size_t i = 0; i < good; ++i) x->greet(i);
        std::mt19937_64 random(seed);
        for (unsigned step = 0; step < steps; ++step) {
            x->act(hostile_peer::mixture::few);
            auto& n = *r.nodes[random() % good];
            if (step % 4 == 0 && n.engine->writable()) {
                if (random() % 4 == 0)
                    n.remove(n.name + std::to_string(random() % 100));
                else
                    n.add(n.name + std::to_string(step));
            }
            if (step % 8 == 0) r.run(50ms);
            for (std::size_t i = 0; i < good; ++i) {
                (void)r.nodes[i]->engine->take_requests(); // as a node does
                r.nodes[i]->events.clear();
                r.nodes[i]->trace.clear();
            }
            x.listen();
        }
        for (std::size_t i = 0; i < good; ++i) {
            auto& n = *r.nodes[i];
            CHECK(n.engine->peers().size() <= n.options.limits.peers);
            CHECK(n.status().buffered_bytes <= n.options.limits.buffer);
            CHECK(n.status().members.size() <= n.options.limits.members + 1);
            CHECK(n.status().present <= n.options.limits.presence_entries);
        }
    }
};

unsigned histories() {
    const char* wanted = std::getenv("JOINERY_HISTORIES");
    return wanted ? static_cast<unsigned>(std::strtoul(wanted, nullptr, 10)) : 6;
}

constexpr std::size_t memory = std::size_t{32} << 20; // of all three, and what is on its way

} // namespace

TEST_CASE("hostile: a peer that may write and abuses it changes nothing for the others") {
    std::uint64_t taken = 0; // of its own edits
    for (unsigned seed = 1; seed <= histories(); ++seed) {
        CAPTURE(seed);
        joinery::fuzz::allocation_meter meter;
        besieged b(true);
        auto& r = b.r;
        attacker x(r, seed);
        b.hold_out(x, seed, 400);
        for (std::size_t i = 0; i < good; ++i) {
            auto& n = *r.nodes[i];
            CHECK(n.engine->id() == b.ids[i]);
            CHECK(n.engine->writable());
            CHECK(n.engine->may_write(n.number));
            CHECK(n.engine->peers().size() <= good - 1 + n.options.limits.peer_ids);
            CHECK(n.status().members.size() <= good + good * n.options.limits.peer_ids);
            CHECK_FALSE(n.has("forged"));
            taken += n.version()[replica_id{0xbad}];
            CHECK(n.counters().denials > 0);
        }
        for (std::size_t i = 0; i < good; ++i) r.cut(i, hostile);
        for (std::size_t i = 0; i < good; ++i) r.nodes[i]->add("last of " + r.nodes[i]->name);
        r.run(1min);
        for (std::size_t i = 0; i < good; ++i) {
            auto& n = *r.nodes[i];
            // Also where two of them were told different things under one dot of the attacker's: the audit finds that.
            CHECK(n.set->get().state() == r.nodes[0]->set->get().state());
            for (std::size_t j = 0; j < good; ++j) CHECK(n.has("last of " + r.nodes[j]->name));
            CHECK(n.engine->acknowledged_by(n.number, {b.ids[i], n.version()[b.ids[i]]}).size() >= good - 1);
        }
        CHECK(meter.peak() < memory);
        if (histories() > 6)
            MESSAGE("seed ", seed, ": ", x->frames(), " frames, ", r.nodes[0]->counters().denials, " denied, ",
                    r.nodes[0]->counters().frames_rejected, " rejected at a, at most ", meter.peak() >> 10, " KiB");
    }
    CHECK(taken > 0);
}

// Whoever is let in without one may change anything, but neither stop a node nor take its memory.
TEST_CASE("hostile: without a policy nodes stay up, and within their memory") {
    for (unsigned seed = 1; seed <= histories(); ++seed) {
        CAPTURE(seed);
        joinery::fuzz::allocation_meter meter;
        besieged b(false);
        attacker x(b.r, seed);
        b.hold_out(x, seed, 400);
        for (std::size_t i = 0; i < good; ++i) b.r.cut(i, hostile);
        b.r.run(1min);
        CHECK(meter.peak() < memory);
        if (histories() > 6) MESSAGE("seed ", seed, ": ", x->frames(), " frames, at most ", meter.peak() >> 10, " KiB");
    }
}
