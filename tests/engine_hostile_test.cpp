// SPDX-License-Identifier: Apache-2.0

// A peer that has a key and the right to write, and abuses it in every way there is: three nodes go on as if it were
// not there, and within their memory.

#include "engine_access.hpp"

#include "../fuzz/allocation_meter.hpp"

#include <joinery/digest.hpp>

#include <array>
#include <cstdlib>
#include <numeric>

using namespace joinery;
using namespace std::chrono_literals;

namespace {

constexpr std::size_t good = 3; // their places are 0, 1, 2
constexpr std::size_t hostile = good;

class attacker {
public:
    attacker(router& r, std::uint64_t seed) : router_(r), random_(seed) {}

    std::size_t frames = 0;

    /// One act against one of the nodes.
    void act() {
        const auto to = random_() % good;
        switch (random_() % 22) {
        case 0: return raw(to, noise(random_() % 300));
        case 1: return truncate(to);
        case 2: return flip(to, false);
        case 3:
        case 4: return flip(to, true);
        case 5:
        case 6: return replay(to);
        case 7: return change_id(to);
        case 8: return beacons(to);
        case 9: return made_up_versions(to);
        case 10: return chunks(to);
        case 11: return members(to);
        case 12: return acknowledge(to);
        case 13: return presences(to);
        case 14: return requests(to);
        case 15:
        case 16: return edits(to);
        case 17: return questions(to);
        case 18: return refusals(to);
        case 19: return gaps(to);
        case 20: return reconnect(to);
        default: return hello_again(to);
        }
    }

    void hello_again(std::size_t to) { say(to, hello_now()); }

private:
    router& router_;
    std::mt19937_64 random_;
    replica_id id_{0xbad};
    std::uint64_t nonce_ = 0xbad;
    std::uint64_t number_ = 0;
    std::uint64_t edits_ = 0;
    std::vector<std::byte> noise_;

    channel set() const { return set_channel(); }
    replica_id victim() { return router_.nodes[random_() % good]->engine->id(); }
    replica_id made_up() { return replica_id{random_() % 4 == 0 ? random_() : random_() % 50'000 + 1}; }
    replica_id anybody() { return random_() % 2 ? victim() : random_() % 2 ? made_up() : id_; }
    /// Near what a sequence number can be, or near what it is.
    std::uint64_t sequence() {
        switch (random_() % 4) {
        case 0: return max_sequence - random_() % 3;
        case 1: return random_() % max_sequence + 1;
        default: return random_() % 40 + 1;
        }
    }
    version_vector version(std::size_t replicas) {
        version_vector v;
        for (std::size_t i = 0; i < replicas; ++i) v.raise(anybody(), sequence());
        return v;
    }
    std::span<const std::byte> noise(std::size_t size) {
        noise_.resize(size);
        for (auto& b : noise_) b = static_cast<std::byte>(random_());
        return noise_;
    }
    hello hello_now() {
        auto h = hello_of(id_, nonce_, random_() % 2 ? version(5) : version_vector());
        h.challenge = random_() % 2;
        h.echo = random_() % 2;
        h.collections[0].fallen_back = random_() % 2;
        return h;
    }

    void raw(std::size_t to, std::span<const std::byte> frame) {
        ++frames;
        auto& n = *router_.nodes[to];
        n.engine->received(hostile, frame);
        n.engine->flush();
    }
    template <class... M> void say(std::size_t to, const M&... m) {
        message_batch b;
        (b.add(m), ...);
        raw(to, b.close(random_() % 2 ? frame_kind::direct : frame_kind::broadcast));
    }
    // Real traffic, as far as it is remembered.
    std::vector<std::byte> overheard() {
        if (router_.seen.empty()) return {};
        return router_.seen[random_() % router_.seen.size()].frame;
    }
    void truncate(std::size_t to) {
        auto f = overheard();
        if (!f.empty()) f.resize(random_() % f.size());
        raw(to, f);
    }
    void flip(std::size_t to, bool correct) {
        auto f = overheard();
        if (f.empty()) return;
        if (!correct) {
            f[random_() % f.size()] ^= static_cast<std::byte>(1u << random_() % 8);
            return raw(to, f);
        }
        const auto opened = open_frame(f);
        frame_writer w;
        w.body().insert(w.body().end(), opened->body.begin(), opened->body.end());
        const auto start = w.body().size() - opened->body.size();
        for (auto n = random_() % 3 + 1; n > 0 && !opened->body.empty(); --n)
            w.body()[start + random_() % opened->body.size()] ^= static_cast<std::byte>(1u << random_() % 8);
        raw(to, w.close(opened->kind));
    }
    void replay(std::size_t to) {
        for (auto n = random_() % 20; n > 0; --n) raw(to, overheard());
    }
    void change_id(std::size_t to) {
        auto h = hello_now();
        switch (random_() % 4) {
        case 0: h.replica = victim(); break;
        case 1: h.replica = made_up(); break;
        case 2: h.nonce = router_.nodes[random_() % good]->engine->nonce(); break;
        default:
            for (std::size_t i = 0; i < good; ++i) h.formers.push_back(router_.nodes[i]->engine->id());
        }
        say(to, h);
        hello_again(to);
    }
    void beacons(std::size_t to) {
        beacon m{random_() % 4 ? id_ : victim(), nonce_, {}};
        m.collections.push_back({set(), version(random_() % 20), random_(), random_()});
        if (random_() % 2) // at a version that is real
            m.collections[0].version = router_.nodes[to]->engine->version(router_.nodes[to]->number);
        say(to, m);
    }
    // A million replicas, in the end.
    void made_up_versions(std::size_t to) {
        const auto v = version(random_() % 20 == 0 ? 20'000 : random_() % 1500);
        switch (random_() % 4) {
        case 0: return say(to, beacon{id_, nonce_, {{set(), v, 1, std::nullopt}}});
        case 1: return say(to, receipt{set(), v});
        case 2: return say(to, hello_of(id_, nonce_, v));
        default: return say(to, acknowledgements{set(), {{id_, 1, v}, {victim(), 1, v}}});
        }
    }
    void chunks(std::size_t to) {
        const auto bytes = noise(60'000);
        for (unsigned i = 0; i < 20; ++i)
            say(to, chunk{set(), random_() % 2 ? random_() : i, digest(bytes), i * 60'000, 1'200'000, bytes});
    }
    void members(std::size_t to) {
        membership m{set(), {}, {}};
        for (unsigned i = 0; i < 1000; ++i) m.joined.push_back(made_up());
        for (std::size_t i = 0; i < good; ++i) m.gone.push_back(router_.nodes[i]->engine->id());
        for (auto* ids : {&m.joined, &m.gone}) {
            std::sort(ids->begin(), ids->end());
            ids->erase(std::unique(ids->begin(), ids->end()), ids->end());
        }
        say(to, m);
    }
    void acknowledge(std::size_t to) {
        acknowledgements m{set(), {}};
        for (std::size_t i = 0; i < 2 * good; ++i) m.entries.push_back({victim(), random_(), version(5)});
        say(to, m);
    }
    void presences(std::size_t to) {
        const auto bytes = noise(1000);
        for (unsigned i = 0; i < 200; ++i)
            say(to, presence{set(), anybody(), random_() | 1, sequence(), 3'600'000, bytes});
    }
    void requests(std::size_t to) {
        const auto bytes = noise(2000);
        for (unsigned i = 0; i < 50; ++i) {
            say(to, request{set(), random_() % 2 ? id_ : anybody(), random_() % 2 ? victim() : made_up(), random_() | 1,
                            ++number_, "service", bytes});
            say(to, reply{set(), victim(), router_.nodes[to]->engine->nonce(), random_() % 10 + 1, bytes});
        }
    }
    // Of its own as it may; and of others, and of dots that nobody comes to.
    void edits(std::size_t to) {
        replica<set_of_strings> own(id_);
        for (std::uint64_t i = 0; i < edits_; ++i) edit_of(own, "of the attacker " + std::to_string(i % 50));
        const auto mine = edit_of(own, "of the attacker " + std::to_string(edits_ % 50));
        if (edits_ < 200) ++edits_;
        say(to, update{set(), assurance::durable, {}, mine});
        causal<set_of_strings> far;
        replica<set_of_strings> other(anybody());
        auto d = other.edit([](auto& s, auto& tx) { s.add(tx, "forged"); });
        d.covered = {};
        const auto seq = sequence();
        d.covered.add(dot_range{anybody(), seq, seq});
        say(to, update{set(), assurance::received, version(3), encode(d)},
            update{set(), assurance::none, {}, encode(d)});
    }
    void questions(std::size_t to) {
        causal_context dots;
        for (unsigned i = 0; i < 5; ++i) {
            const auto first = sequence();
            dots.add(dot_range{anybody(), first, std::min(first + random_() % 100, max_sequence)});
        }
        pull p{set(), random_() % 5, version(5), random_() % 2 ? sequence() : 0, max_sequence, random_() % 2 == 0, {}};
        if (p.repair) p.dots = dots;
        say(to, p, comparison{set(), random_(), random_(), std::uint64_t{1} << 60, dots},
            digests{set(), random_() % 5, {1, 2, 3}}, credit{set(), random_() % 5, sequence(), max_sequence},
            relaying{set(), anybody(), static_cast<relay_wish>(random_() % 3 + 1)});
    }
    void refusals(std::size_t to) {
        for (std::uint8_t why = 2; why <= 8; ++why)
            say(to, refuse{static_cast<refusal>(why), random_() % 2 ? victim().value() : random_(), random_() % 5,
                           random_()});
    }
    // Edits without those before them.
    void gaps(std::size_t to) {
        replica<set_of_strings> own(id_);
        for (unsigned i = 0; i < 60; ++i) {
            const auto d = edit_of(own, std::string(2000, 'g'));
            if (i % 2) say(to, update{set(), assurance::none, version(3), d});
        }
    }
    void reconnect(std::size_t to) {
        auto& n = *router_.nodes[to];
        n.engine->disconnected(hostile);
        n.engine->connected(hostile, router_.nodes[hostile]->key);
        hello_again(to);
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
        for (std::size_t i = 0; i < good; ++i) x.hello_again(i);
        std::mt19937_64 random(seed);
        for (unsigned step = 0; step < steps; ++step) {
            x.act();
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
            if (r.seen.size() > 100) r.seen.erase(r.seen.begin(), r.seen.end() - 50);
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
            MESSAGE("seed ", seed, ": ", x.frames, " frames, ", r.nodes[0]->counters().denials, " denied, ",
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
        if (histories() > 6) MESSAGE("seed ", seed, ": ", x.frames, " frames, at most ", meter.peak() >> 10, " KiB");
    }
}
