// SPDX-License-Identifier: Apache-2.0
#pragma once

// A few engines and a router between them, driven by hand: nothing moves unless the test says so, and the
// test may look at every frame and lose it.

#include <joinery/engine.hpp>
#include <joinery/memory_storage.hpp>
#include <joinery/or_set.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <random>
#include <string>
#include <vector>

using set_of_strings = joinery::or_set<std::string>;

/// A frame's messages, as far as tests ask for them.
struct frame_content {
    joinery::frame_kind kind{};
    std::vector<std::size_t> kinds; ///< places in joinery::message: 0 hello, 1 update, 2 beacon, 3 pull, 4 chunk, ...
    bool has(std::size_t k) const { return std::find(kinds.begin(), kinds.end(), k) != kinds.end(); }
};
enum : std::size_t {
    is_hello,
    is_update,
    is_beacon,
    is_pull,
    is_chunk,
    is_credit,
    is_refuse,
    is_relaying,
    is_membership,
    is_acknowledgements,
    is_presence,
    is_comparison,
    is_digests,
    is_receipt,
    is_request,
    is_reply
};

inline frame_content content_of(std::span<const std::byte> frame) {
    frame_content c;
    const auto opened = joinery::open_frame(frame);
    if (!opened) return c;
    c.kind = opened->kind;
    joinery::message_reader reader(opened->body);
    joinery::message m;
    for (auto more = reader.next(m); more && *more; more = reader.next(m)) c.kinds.push_back(m.index());
    return c;
}

class router;

/// One node: a disk that outlives it, its states, and an engine that can be stopped and started.
class test_engine final : public joinery::engine_output {
public:
    std::string name;
    joinery::memory_disk disk;
    std::unique_ptr<joinery::storage> open_disk;
    std::function<std::unique_ptr<joinery::storage>()> open; ///< none: `disk`
    std::unique_ptr<joinery::replicated<set_of_strings>> set;
    std::optional<joinery::engine> engine;
    joinery::collection_id number = 0;
    joinery::engine_options options;
    std::optional<joinery::peer_key> key; ///< that its peers see
    std::vector<joinery::event> events;
    std::vector<std::string> trace; ///< what leaves: "broadcast", "send"

    test_engine(router& r, std::size_t place, joinery::durability level);
    void start();
    /// The process dies.
    void crash();
    /// Adds to the set, and flushes.
    joinery::dot add(const std::string& element);
    /// The same without flushing.
    joinery::dot add_later(const std::string& element, joinery::assurance wanted = joinery::assurance::none);
    void remove(const std::string& element);
    bool has(const std::string& element) const { return (*set)->contains(element); }
    joinery::version_vector version() const { return set->version(); }
    bool heard_of(joinery::event_kind kind) const { return count(kind) > 0; }
    std::size_t count(joinery::event_kind kind) const;
    const joinery::engine_counters& counters() const { return engine->counters(); }
    joinery::collection_status status() const { return engine->status(number); }

    void broadcast(std::span<const std::byte> frame) override;
    bool send(joinery::link_id link, std::span<const std::byte> frame) override;
    void notify(const joinery::event& e) override { events.push_back(e); }

private:
    router& router_;
    std::size_t place_;
};

class router {
public:
    struct envelope {
        std::size_t from, to;
        std::vector<std::byte> frame;
    };

    std::deque<std::unique_ptr<test_engine>> nodes;
    std::deque<envelope> wire;
    std::vector<envelope> seen; ///< everything that was put on the wire
    joinery::engine_time now{1000};
    std::mt19937_64 random{7};
    /// True: the frame is lost.
    std::function<bool(const envelope&, const frame_content&)> lose;
    bool one_way_broadcasts = false; ///< only nodes with a greater place hear broadcasts: they dial the others

    test_engine& add(std::string name, joinery::durability level = joinery::durability::full) {
        auto& n = *nodes.emplace_back(std::make_unique<test_engine>(*this, nodes.size(), level));
        n.name = n.options.name = std::move(name);
        return n;
    }
    bool linked(std::size_t a, std::size_t b) const {
        return std::find(links_.begin(), links_.end(), std::pair(std::min(a, b), std::max(a, b))) != links_.end();
    }
    /// Links two nodes that run. The link's number is the other's place.
    void link(std::size_t a, std::size_t b) {
        links_.emplace_back(std::min(a, b), std::max(a, b));
        if (nodes[a]->engine) nodes[a]->engine->connected(b, nodes[b]->key); // one may be played by the test
        if (nodes[b]->engine) nodes[b]->engine->connected(a, nodes[a]->key);
        flush();
    }
    void cut(std::size_t a, std::size_t b) {
        std::erase(links_, std::pair(std::min(a, b), std::max(a, b)));
        std::erase_if(wire, [&](const auto& e) { return (e.from == a && e.to == b) || (e.from == b && e.to == a); });
        if (nodes[a]->engine) nodes[a]->engine->disconnected(b);
        if (nodes[b]->engine) nodes[b]->engine->disconnected(a);
        flush();
    }
    void link_all() {
        for (std::size_t a = 0; a < nodes.size(); ++a)
            for (std::size_t b = a + 1; b < nodes.size(); ++b)
                if (!linked(a, b)) link(a, b);
    }
    void flush() {
        for (auto& n : nodes)
            if (n->engine) n->engine->flush();
    }
    /// Delivers one frame, and flushes who got it.
    void deliver_next() {
        auto e = std::move(wire.front());
        wire.pop_front();
        auto& to = *nodes[e.to];
        if (!to.engine || !linked(e.from, e.to)) return;
        to.engine->received(e.from, e.frame);
        to.engine->flush();
    }
    /// Delivers until nothing is on the wire.
    void deliver() {
        for (int i = 0; !wire.empty(); ++i) {
            REQUIRE(i < 100'000); // they never come to rest
            deliver_next();
        }
    }
    /// Time goes on in small steps, and everything is delivered.
    void run(joinery::engine_time t) {
        for (const auto end = now + t; now < end;) {
            deliver();
            auto next = end;
            for (auto& n : nodes)
                if (n->engine) next = std::min(next, n->engine->next_deadline());
            now = std::max(now + joinery::engine_time(1), next);
            for (auto& n : nodes)
                if (n->engine) n->engine->tick(now);
            flush();
        }
        deliver();
    }
    void start_all() {
        for (auto& n : nodes) n->start();
        link_all();
        run(joinery::engine_time(200));
    }
    /// How many frames with such a message were put on the wire.
    std::size_t count(std::size_t kind) const {
        return static_cast<std::size_t>(
            std::count_if(seen.begin(), seen.end(), [&](const auto& e) { return content_of(e.frame).has(kind); }));
    }

    void put(std::size_t from, std::size_t to, std::span<const std::byte> frame) {
        envelope e{from, to, {frame.begin(), frame.end()}};
        seen.push_back(e);
        if (!lose || !lose(e, content_of(frame))) wire.push_back(std::move(e));
    }

private:
    std::vector<std::pair<std::size_t, std::size_t>> links_;
};

inline test_engine::test_engine(router& r, std::size_t place, joinery::durability level)
    : disk(level), router_(r), place_(place) {
    options.random = [&r] { return r.random(); };
}

inline void test_engine::start() {
    open_disk = open ? open() : disk.open();
    set = std::make_unique<joinery::replicated<set_of_strings>>();
    engine.emplace(options, *open_disk, *this);
    engine->tick(router_.now);
    number = engine->attach("set", *set);
}

inline void test_engine::crash() {
    engine.reset();
    set.reset();
    for (std::size_t other = 0; other < router_.nodes.size(); ++other)
        if (router_.linked(place_, other)) router_.cut(place_, other);
    disk.crash();
    open_disk.reset();
}

inline joinery::dot test_engine::add_later(const std::string& element, joinery::assurance wanted) {
    std::lock_guard lock(set->mutex());
    const auto dots = set->edit([&](auto& s, auto& tx) { s.add(tx, element); }, wanted);
    return {dots->replica, dots->last};
}

inline joinery::dot test_engine::add(const std::string& element) {
    const auto d = add_later(element);
    engine->flush();
    return d;
}

inline void test_engine::remove(const std::string& element) {
    {
        std::lock_guard lock(set->mutex());
        set->edit([&](auto& s, auto& tx) { s.remove(tx, element); });
    }
    engine->flush();
}

inline std::size_t test_engine::count(joinery::event_kind kind) const {
    return static_cast<std::size_t>(
        std::count_if(events.begin(), events.end(), [&](const auto& e) { return e.kind == kind; }));
}

inline void test_engine::broadcast(std::span<const std::byte> frame) {
    trace.emplace_back("broadcast");
    for (std::size_t to = 0; to < router_.nodes.size(); ++to)
        if (router_.linked(place_, to) && (!router_.one_way_broadcasts || to > place_)) router_.put(place_, to, frame);
}

inline bool test_engine::send(joinery::link_id link, std::span<const std::byte> frame) {
    trace.emplace_back("send");
    if (!router_.linked(place_, static_cast<std::size_t>(link))) return false;
    router_.put(place_, static_cast<std::size_t>(link), frame);
    return true;
}

/// Adds so many elements, "NAME 0" and so on, in one flush.
inline void fill(test_engine& n, int count) {
    for (int i = 0; i < count; ++i) n.add_later(n.name + " " + std::to_string(i));
    n.engine->flush();
}

/// Edits a state that is attached beside the sets, and flushes.
template <class T, class F> std::optional<joinery::dot_range> edit(router& r, joinery::replicated<T>& state, F&& f) {
    std::optional<joinery::dot_range> dots;
    {
        std::lock_guard lock(state.mutex());
        dots = state.edit(f);
    }
    r.flush();
    return dots;
}

inline void check_converged(const router& r) {
    const auto& first = *r.nodes.front();
    for (const auto& n : r.nodes) {
        CHECK(n->set->get().state() == first.set->get().state());
        CHECK(n->engine->version(n->number) == n->set->version());
        CHECK(n->status().buffered_updates == 0);
    }
}
