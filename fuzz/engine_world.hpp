// SPDX-License-Identifier: Apache-2.0
#pragma once

// Two good nodes with disks, the wire between them, and bad links to each, whose frames come from the input. What
// leaves a good node is checked: its frames are whole, no own dot that was ever told of stands for another edit later,
// and who may not read hears nothing.

#include "framing.hpp"

#include <joinery/engine.hpp>
#include <joinery/joinery.hpp>
#include <joinery/memory_storage.hpp>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace joinery::fuzz {

inline void require(bool holds, const char* what) {
    if (holds) return;
    std::fprintf(stderr, "broken: %s\n", what);
    std::abort();
}

/// Has tombstones, removals that are logged, and runs.
struct page {
    rga_text text;
    or_map<std::string, pn_counter> votes;
    or_set<std::string> tags;
};
JOINERY_RECORD(page, (1, text), (2, votes), (3, tags))
using names = or_set<std::string>;

inline channel set_channel() { return channel_of(name_digest("set"), fingerprint<names>()); }
inline channel page_channel() { return channel_of(name_digest("page"), fingerprint<page>()); }

inline constexpr link_id good_link = 1;
inline constexpr std::array<link_id, 2> bad_links{10, 11};

/// Edits that have little to do with each other.
inline void edit_page(page& p, transaction& tx, unsigned what) {
    const std::string word(1 + what % 5, static_cast<char>('a' + what % 26));
    switch (what / 32) {
    case 0: p.tags.add(tx, word); break;
    case 1: p.tags.remove(tx, word); break;
    case 2: p.votes.at(tx, word.substr(0, 1))->increment(tx, what); break;
    case 3: p.votes.erase(tx, word.substr(0, 1)); break;
    case 4: p.text.insert(tx, p.text.size() / 2, word); break;
    case 5: p.text.erase(tx, p.text.size() / 3, std::min<std::size_t>(p.text.size() - p.text.size() / 3, 2)); break;
    case 6: p.text.insert(tx, p.text.size(), word); break;
    default: p.votes.at(tx, "z")->decrement(tx, 1); p.text.insert(tx, 0, "\xf0\x9f\x98\x80");
    }
}

/// What a bad link has heard of a node: enough to answer it.
struct overheard {
    std::uint64_t challenge = 0;
    pull pulled;
    comparison compared;
    joinery::request asked; ///< without its bytes
};

/// Of a message alone.
inline std::uint64_t digest_of(const message& m) {
    message_batch alone;
    std::visit([&](const auto& x) { alone.add(x); }, m);
    return digest(open_frame(alone.close(frame_kind::direct))->body);
}

inline bool says_of_dots(const message& m) {
    const auto says = [](const auto& collections) {
        return std::any_of(collections.begin(), collections.end(), [](const auto& c) { return !c.version.empty(); });
    };
    if (const auto* h = std::get_if<hello>(&m)) return !h->formers.empty() || says(h->collections);
    if (const auto* b = std::get_if<beacon>(&m)) return says(b->collections);
    return std::holds_alternative<update>(m) || std::holds_alternative<chunk>(m) ||
           std::holds_alternative<acknowledgements>(m) || std::holds_alternative<receipt>(m) ||
           std::holds_alternative<membership>(m);
}

/// What the bad links may do; they may never relay. None: there is no policy.
class guard {
public:
    guard() = default;
    explicit guard(unsigned how) : rates_(how & 16) {
        constexpr std::array all{access_right::none, access_right::read, access_right::write, access_right::read};
        for (std::size_t bad = 0; bad < bad_links.size(); ++bad) rights_.push_back(all[how >> 2 * bad & 3]);
    }
    bool believes(std::size_t bad) const { return rights_.empty() || rights_[bad] >= access_right::write; }
    bool shuts_out(std::size_t bad) const { return !rights_.empty() && rights_[bad] == access_right::none; }
    bool shuts_out() const { return shuts_out(0) || shuts_out(1); }
    std::optional<peer_key> bad_key(std::size_t bad) const { return key(1, bad); }
    std::optional<peer_key> good_key(std::size_t place) const { return key(2, place); }
    /// Of the node at this place.
    void set(engine_options& o, std::size_t place) const {
        if (rates_) {
            o.limits.rate_messages = 200;
            o.limits.rate_bytes = 16 * 1024;
        }
        if (rights_.empty()) return;
        auto& policy = o.access.emplace();
        policy.self.key = *good_key(place);
        policy.peers.push_back({.key = *good_key(1 - place), .rights = access_right::admin});
        for (std::size_t bad = 0; bad < bad_links.size(); ++bad)
            policy.peers.push_back({.key = *bad_key(bad),
                                    .rights = rights_[bad],
                                    .relay = false,
                                    .ids = {replica_id{7 + bad}, replica_id{9 + bad}}}); // or the first word counts
    }

private:
    std::vector<access_right> rights_; // of the bad links
    bool rates_ = false;

    std::optional<peer_key> key(unsigned kind, std::size_t number) const {
        if (rights_.empty()) return std::nullopt;
        return peer_key{std::byte(kind), std::byte(number)};
    }
};

/// To whom it is sent.
inline bool tells_of_edits(const message& m) {
    if (const auto* h = std::get_if<hello>(&m)) return !h->collections.empty();
    if (const auto* b = std::get_if<beacon>(&m)) return !b->collections.empty();
    return std::holds_alternative<update>(m) || std::holds_alternative<chunk>(m) ||
           std::holds_alternative<digests>(m) || std::holds_alternative<presence>(m);
}

class world;

class node final : public engine_output {
public:
    world& all;
    const std::size_t place;
    memory_disk disk;
    std::unique_ptr<storage> open;
    std::unique_ptr<replicated<names>> set;
    std::unique_ptr<replicated<page>> doc;
    std::optional<engine> e;
    std::array<bool, 2> up{}; ///< its bad links
    std::array<overheard, 2> heard;
    bool diverged = false;

    node(world& w, std::size_t at, replica_id id) : all(w), place(at) {
        const auto s = disk.open();
        s->load();
        s->set_id(id);
        s->close();
    }
    void start();
    void stop(bool clean, std::size_t keep);
    void connect(std::size_t bad, bool there);
    void edit(unsigned what);
    /// What is logged then is there after a crash.
    void flush();

    void broadcast(std::span<const std::byte> frame) override;
    bool send(link_id l, std::span<const std::byte> frame) override;
    void notify(const event& what) override { diverged |= what.kind == event_kind::divergence; }

private:
    unsigned edit_in_flush_ = 0;
    struct {
        replica_id id;
        std::uint64_t set = 0, doc = 0;
    } logged_; // own dots

    void make_edit(unsigned what);
    void edit_meanwhile() {
        if (const auto what = std::exchange(edit_in_flush_, 0)) make_edit(what);
    }
    void check(std::span<const std::byte> frame, overheard* by, bool may_read = true);
    void check(const message& m);
    static void listen(const message& m, overheard& by);
};

class world {
public:
    engine_time now{1000};
    std::deque<node> nodes;
    struct envelope {
        std::size_t to;
        bytes frame;
    };
    std::deque<envelope> wire;
    bool linked = false;
    std::set<std::uint64_t> said; ///< the digests of messages that good nodes have sent
    std::deque<bytes> recorded;   ///< the last that good nodes have sent
    using own = std::pair<channel, replica_id>;
    std::map<own, std::uint64_t> told;                                ///< own dots up to here are known to others
    std::map<std::pair<own, std::uint64_t>, std::uint64_t> published; ///< by the first dot: the digests of edits

    const guard policy;
    std::set<replica_id> good_ids; ///< all that good nodes ever had

    explicit world(const guard& g) : policy(g) {
        for (std::uint64_t i = 0; i < 2; ++i) nodes.emplace_back(*this, i, replica_id{100 + 100 * i});
        for (auto& n : nodes) n.start();
    }

    std::uint64_t random() { // ids and nonces that an input does not guess by counting
        std::uint64_t z = seed_ += 0x9e3779b97f4a7c15u;
        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
        z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
        return z ^ (z >> 31);
    }
    void link(bool there) {
        if (linked == there || (there && !(nodes[0].e && nodes[1].e))) return;
        linked = there;
        wire.clear();
        for (auto& n : nodes)
            if (n.e) there ? n.e->connected(good_link, policy.good_key(1 - n.place)) : n.e->disconnected(good_link);
        flush();
    }
    void flush() {
        for (auto& n : nodes)
            if (n.e) n.flush();
    }
    void put(std::size_t to, std::span<const std::byte> frame) {
        if (linked) wire.push_back({to, {frame.begin(), frame.end()}});
    }
    void deliver() {
        const auto next = std::move(wire.front());
        wire.pop_front();
        receive(nodes[next.to], good_link, next.frame);
    }
    void receive(node& n, link_id l, std::span<const std::byte> frame) {
        if (!n.e) return;
        n.e->received(l, frame);
        n.flush();
        answer(n);
    }
    void answer(node& n) {
        const auto asked = n.e->take_requests();
        require(asked.size() <= 2 * max_requests, "questions have a bound");
        for (const auto& r : asked)
            if (r.bytes.size() < 256) n.e->reply(r, r.bytes);
        if (!asked.empty()) n.flush();
    }
    void tick(engine_time by) {
        now += by;
        for (auto& n : nodes)
            if (n.e) n.e->tick(now);
        flush();
    }
    void deliver_all() {
        for (int i = 0; !wire.empty(); ++i) {
            require(i < 20'000, "messages come to an end");
            deliver();
        }
    }

    /// True if it says of dots, or what they stand for, what no good node has said.
    bool is_lie(std::span<const std::byte> frame) const {
        const auto opened = open_frame(frame);
        if (!opened) return false;
        message_reader reader(opened->body);
        message m;
        for (;;) {
            const auto more = reader.next(m);
            if (!more || !*more) return false;
            if (says_of_dots(m) && !said.contains(digest_of(m))) return true;
        }
    }

    bool equal() {
        auto &a = nodes[0], &b = nodes[1];
        return same(*a.set, *b.set) && same(*a.doc, *b.doc);
    }
    bool only_own() const {
        const auto own = [&](const auto& state) {
            const auto version = state->version();
            return std::all_of(version.begin(), version.end(),
                               [&](const auto& e) { return good_ids.contains(e.first); });
        };
        return std::all_of(nodes.begin(), nodes.end(), [&](const node& n) { return own(n.set) && own(n.doc); });
    }
    /// The bad links are gone, all else is well, and time goes on until `done`, or for so long.
    template <class F> bool run(engine_time longest, F&& done) {
        for (const auto end = now + longest; now < end;) {
            deliver_all();
            auto next = end;
            for (auto& n : nodes) {
                if (!n.e->writable()) n.e->take_new_id();
                next = std::min(next, n.e->next_deadline());
            }
            tick(std::max(engine_time(1), next - now));
            deliver_all();
            if (done()) return true;
        }
        return false;
    }

    static constexpr std::size_t max_requests = 4;

private:
    std::uint64_t seed_ = 0;

    template <class T> static bool same(const replicated<T>& a, const replicated<T>& b) {
        return a.version() == b.version() && a.get().state() == b.get().state();
    }
};

inline void node::start() {
    if (e) return;
    open = disk.open();
    set = std::make_unique<replicated<names>>([] { return std::uint64_t{1'000'000}; });
    doc = std::make_unique<replicated<page>>([] { return std::uint64_t{1'000'000}; });
    engine_options o;
    o.random = [this] { return all.random(); };
    o.timings.audit = std::chrono::seconds(5);
    o.timings.prune = std::chrono::seconds(2);
    o.timings.tidy = std::chrono::seconds(5);
    o.limits.max_frame = 4096;
    o.limits.batch = 1024;
    o.limits.chunk = 512;
    o.limits.window = 2048;
    o.limits.buffer = 4096;
    o.limits.staging = std::size_t{1} << 20;
    o.limits.answers = 8;
    o.limits.answer_bytes = 1 << 16;
    o.limits.peers = 8;
    o.limits.members = 1024;
    o.limits.log_minimum = 2048;
    o.limits.presence_entries = 4;
    o.limits.presence_bytes = 256;
    o.limits.requests = world::max_requests;
    all.policy.set(o, place);
    e.emplace(o, *open, *this);
    e->tick(all.now);
    e->attach("set", *set);
    e->attach("page", *doc);
    if (logged_.id == e->id())
        require(set->version()[logged_.id] >= logged_.set && doc->version()[logged_.id] >= logged_.doc,
                "what was logged is there");
    flush();
}

inline void node::connect(std::size_t bad, bool there) {
    if (!e || up[bad] == there) return;
    up[bad] = there;
    there ? e->connected(bad_links[bad], all.policy.bad_key(bad)) : e->disconnected(bad_links[bad]);
    flush();
}

inline void node::flush() {
    e->flush();
    all.good_ids.insert(e->id());
    logged_ = {e->id(), e->version(0)[e->id()], e->version(1)[e->id()]};
}

inline void node::stop(bool clean, std::size_t keep) {
    if (!e) return;
    all.link(false);
    if (clean) e->close();
    e.reset();
    set.reset();
    doc.reset();
    up = {};
    heard = {};
    if (!clean) disk.crash(keep);
    open.reset();
}

inline void node::edit(unsigned what) {
    if (!e) return;
    if (what % 16 == 15) { // a writer that does so while the engine is busy
        edit_in_flush_ = what;
        return;
    }
    make_edit(what);
    if (what % 5) flush();
}

inline void node::make_edit(unsigned what) {
    if (!e->writable()) return;
    const auto edited = [&](auto& state, channel c, auto&& f) {
        std::lock_guard lock(state.mutex());
        const auto dots = state.edit(f, static_cast<assurance>(what % 3));
        require(!dots || (dots->replica == e->id() && dots->first > all.told[{c, e->id()}]), "no dot is issued twice");
    };
    const std::string word(1 + what % 7, static_cast<char>('a' + what % 5));
    try {
        if (what % 3 == 0)
            edited(*set, set_channel(), [&](names& s, transaction& tx) {
                if (what % 2)
                    s.add(tx, word);
                else
                    s.remove(tx, word);
            });
        else
            edited(*doc, page_channel(), [&](page& p, transaction& tx) { edit_page(p, tx, what); });
    } catch (const std::overflow_error&) { // a counter that arrived full
    }
}

inline void node::broadcast(std::span<const std::byte> frame) {
    check(frame, nullptr, !all.policy.shuts_out());
    all.put(1 - place, frame);
    for (std::size_t i = 0; i < bad_links.size(); ++i)
        if (up[i]) check(frame, &heard[i]);
    edit_meanwhile();
}

inline bool node::send(link_id l, std::span<const std::byte> frame) {
    if (l == good_link) {
        check(frame, nullptr);
        all.put(1 - place, frame);
        edit_meanwhile();
        return all.linked;
    }
    const std::size_t bad = l == bad_links[0] ? 0 : 1;
    check(frame, &heard[bad], !all.policy.shuts_out(bad));
    edit_meanwhile();
    return true;
}

// Every message of a frame that leaves.
inline void node::check(std::span<const std::byte> frame, overheard* by, bool may_read) {
    all.recorded.emplace_back(frame.begin(), frame.end());
    if (all.recorded.size() > 48) all.recorded.pop_front();
    const auto opened = open_frame(frame);
    require(opened.has_value(), "what is sent is a frame");
    message_reader reader(opened->body);
    message m;
    for (;;) {
        const auto more = reader.next(m);
        require(more.has_value(), "what is sent can be read");
        if (!*more) return;
        require(may_read || !tells_of_edits(m), "who may not read hears nothing");
        all.said.insert(digest_of(m));
        check(m);
        if (by) listen(m, *by);
    }
}

inline void node::check(const message& m) {
    const auto tell = [&](channel c, replica_id id, std::uint64_t seq) {
        auto& known = all.told[{c, id}];
        known = std::max(known, seq);
    };
    if (const auto* u = std::get_if<update>(&m)) {
        const auto dots = edit_dots(u->delta);
        require(dots.has_value(), "what is sent is an edit");
        if (!e || dots->replica != e->id()) return;
        const world::own own{u->channel, dots->replica};
        const auto is = digest(u->delta);
        require(all.published.try_emplace({own, dots->first}, is).first->second == is,
                "a published dot stands for one edit");
        tell(own.first, own.second, dots->last);
    } else if (const auto* b = std::get_if<beacon>(&m)) {
        for (const auto& c : b->collections) tell(c.channel, b->replica, c.version[b->replica]);
    } else if (const auto* h = std::get_if<hello>(&m)) {
        for (const auto& c : h->collections) tell(channel_of(c.name, c.fingerprint), h->replica, c.version[h->replica]);
    }
}

inline void node::listen(const message& m, overheard& by) {
    if (const auto* h = std::get_if<hello>(&m)) {
        by.challenge = h->challenge;
    } else if (const auto* p = std::get_if<pull>(&m)) {
        by.pulled = *p;
    } else if (const auto* c = std::get_if<comparison>(&m)) {
        by.compared = *c;
    } else if (const auto* q = std::get_if<joinery::request>(&m)) {
        by.asked = *q;
        by.asked.service = {};
        by.asked.bytes = {};
    }
}

} // namespace joinery::fuzz
