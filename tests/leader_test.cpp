// SPDX-License-Identifier: Apache-2.0
#include <joinery/leader.hpp>

#include <joinery/lww_register.hpp>
#include <joinery/memory_storage.hpp>
#include <joinery/memory_transport.hpp>
#include <joinery/or_set.hpp>

#include "gated_storage.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

using namespace joinery;
using namespace std::chrono_literals;

namespace {

using set_of_strings = or_set<std::string>;
using set_leader = leader<set_of_strings>;

constexpr auto patience = 20s; // far beyond what is needed; nothing waits for it in vain

node_options options(memory_network& network, const std::string& name, const std::vector<std::string>& peers,
                     std::unique_ptr<storage> disk = nullptr) {
    node_options o;
    o.name = name;
    o.transport = network.make(name, peers);
    o.storage = std::move(disk);
    o.timings.beacon = 50ms;
    return o;
}

template <class L> void add(L& l, const std::string& element) {
    l.write([&](auto& s, auto& tx) { s.add(tx, element); });
}
template <class L> bool arrives(const L& l, const std::string& element) {
    return l.wait_until([&](const auto& s) { return s.contains(element); }, patience);
}

} // namespace

TEST_CASE("leader: what is written here is read there") {
    memory_network network;
    set_leader a(options(network, "a", {"b"}));
    set_leader b(options(network, "b", {"a"}));
    const auto result = a.write([](auto& s, auto& tx) { s.add(tx, "milk"); });
    CHECK(result.dots == dot_range{a.id(), 1, 1});
    CHECK(result.complete);
    CHECK(a.read([](const auto& s) { return s.contains("milk"); })); // at once
    CHECK(arrives(b, "milk"));
    add(b, "bread");
    CHECK(arrives(a, "bread"));
    CHECK(a.version() == b.version());
    CHECK(a.read([](const causal<set_of_strings>& s) { return s.context().count(); }) == 2);
}

TEST_CASE("leader: one dialled link is enough, and a chain too") {
    memory_network network;
    set_leader a(options(network, "a", {}));
    set_leader b(options(network, "b", {"a"}));
    set_leader c(options(network, "c", {"b"}));
    add(a, "from a");
    add(c, "from c");
    CHECK(arrives(a, "from c"));
    CHECK(arrives(b, "from c"));
    CHECK(arrives(c, "from a"));
}

TEST_CASE("leader: a writer whose write finds a peer silent tells of it") {
    memory_network network;
    auto slow = options(network, "b", {"a"});
    slow.timings.beacon = 200ms;
    auto strict = options(network, "a", {});
    strict.timings.peer_timeout = 2ms; // so b is silent, and heard of again, all the time
    std::atomic<int> downs{0};
    SUBCASE("and somebody follows the events") {
        strict.on_event = [&](const event& e) { downs += e.kind == event_kind::peer_down; };
    }
    SUBCASE("and nobody does") {}
    const bool followed = strict.on_event != nullptr;
    set_leader a(std::move(strict));
    set_leader b(std::move(slow));
    add(b, "from b");
    REQUIRE(arrives(a, "from b"));
    for (int i = 0; i < 3000; ++i) {
        add(a, "element " + std::to_string(i % 10));
        const auto pause = std::chrono::steady_clock::now() + 50us; // the thread goes to sleep
        while (std::chrono::steady_clock::now() < pause) std::this_thread::yield();
    }
    CHECK(arrives(b, "element 9"));
    if (followed) CHECK(downs > 0);
}

TEST_CASE("leader: a callable that throws has changed nothing") {
    memory_network network;
    set_leader a(options(network, "a", {}));
    CHECK_THROWS_AS(a.write([](auto& s, auto& tx) {
        s.add(tx, "milk");
        throw std::runtime_error("no");
    }),
                    std::runtime_error);
    CHECK(a.read([](const auto& s) { return s.empty(); }));
    CHECK_FALSE(a.write([](auto&, auto&) {}).dots);
    CHECK(a.write([](auto& s, auto& tx) { s.add(tx, "bread"); }).dots == dot_range{a.id(), 1, 1});
}

TEST_CASE("leader: subscribers hear of changes from here and from others, until they end") {
    memory_network network;
    set_leader a(options(network, "a", {"b"}));
    set_leader b(options(network, "b", {"a"}));
    std::atomic<int> local{0}, remote{0};
    auto watch = a.subscribe([&](const change& c) {
        local += c.local;
        remote += c.remote;
    });
    add(a, "milk");
    add(b, "bread");
    REQUIRE(arrives(a, "bread"));
    add(a, "more");
    CHECK(a.wait_until([&](const auto&) { return local > 0 && remote > 0; }, patience));
    watch.cancel();
    const int before = local;
    add(a, "even more");
    REQUIRE(arrives(b, "even more"));
    CHECK(local == before);
}

TEST_CASE("leader: who subscribes to details hears what came from others, and which conflicts were settled") {
    memory_network network;
    using register_leader = leader<lww_register<std::string>>;
    register_leader a(options(network, "a", {}));
    register_leader b(options(network, "b", {}));
    a.write([](auto& r, auto& tx) { r.set(tx, "from a"); });
    b.write([](auto& r, auto& tx) { r.set(tx, "from b"); });
    std::mutex mutex;
    std::vector<value_change> heard;
    std::atomic<bool> bare{true};
    auto watch = a.subscribe(
        [&](const change& c) {
            std::lock_guard lock(mutex);
            heard.insert(heard.end(), c.noted.values.begin(), c.noted.values.end());
        },
        true);
    auto other = a.subscribe([&](const change& c) { bare = bare && c.noted.values.empty() && !c.noted.everything; });
    a.connect("b");
    for (auto* l : {&a, &b}) REQUIRE(l->wait_until([](const auto& r) { return r.siblings().size() == 2; }, patience));
    b.write([](auto& r, auto& tx) { r.set(tx, "later"); });
    REQUIRE(a.wait_until([](const auto& r) { return r.get() == "later"; }, patience));
    const auto told = [&](const auto&) {
        std::lock_guard lock(mutex);
        return !heard.empty() && *heard.back().after.template as<std::string>() == "later";
    };
    REQUIRE(a.wait_until(told, patience));
    std::lock_guard lock(mutex);
    CHECK(*heard.front().before.as<std::string>() == "from a");
    if (heard.size() > 1) { // they may have come at once
        CHECK(heard.front().how == conflict_choice::last_write);
        CHECK(heard.front().overruled.size() == 1);
    }
    CHECK(heard.back().how == conflict_choice::none);
    CHECK(bare);
}

TEST_CASE("leader: a subscriber may write, and may end itself") {
    memory_network network;
    memory_disk disk;
    set_leader a(options(network, "a", {}, disk.open()));
    subscription watch;
    std::atomic<bool> ready{false}, ended{false};
    watch = a.subscribe([&](const change&) {
        if (!ready) return;
        add(a, "answer");
        watch.cancel();
        ended = true;
        ended.notify_one();
    });
    ready = true;
    add(a, "question");
    CHECK(arrives(a, "answer"));
    ended.wait(false);
}

TEST_CASE("leader: what is called may hold the leader, for as long as it is not cancelled") {
    memory_network network;
    const auto token = std::make_shared<int>();
    {
        set_leader a(options(network, "a", {}));
        std::vector<subscription> all;
        all.push_back(a.subscribe([a](const change&) {}));
        all.push_back(a.serve("x", [a, token](replica_id, std::span<const std::byte>) {
            return std::vector<std::byte>(); // never called
        }));
        add(a, "milk");
        CHECK(token.use_count() == 2);
        all.clear();
        CHECK(token.use_count() == 1);
    }
    set_leader again(options(network, "a", {})); // the name is free: the node is gone
}

TEST_CASE("leader: a write that asks for acknowledgements returns when the peers have it") {
    memory_network network;
    set_leader a(options(network, "a", {"b", "c"}));
    set_leader b(options(network, "b", {"a", "c"}));
    set_leader c(options(network, "c", {"a", "b"}));
    add(b, "here"), add(c, "too");
    REQUIRE(arrives(a, "here"));
    REQUIRE(arrives(a, "too"));
    const auto r = a.write([](auto& s, auto& tx) { s.add(tx, "milk"); }, {.acknowledgements = 2, .timeout = patience});
    CHECK(r.complete);
    CHECK(r.acknowledged == 2);
    CHECK(r.missing.empty());
    CHECK(b.read([](const auto& s) { return s.contains("milk"); }));
    CHECK(c.read([](const auto& s) { return s.contains("milk"); }));
}

TEST_CASE("leader: a write that is not acknowledged in time says by whom, and stays") {
    memory_network network;
    set_leader a(options(network, "a", {"b", "c"}));
    set_leader b(options(network, "b", {"a"}));
    {
        set_leader c(options(network, "c", {"a"}));
        add(b, "here"), add(c, "too");
        REQUIRE(arrives(a, "here"));
        REQUIRE(arrives(a, "too"));
    }
    const auto r = a.write([](auto& s, auto& tx) { s.add(tx, "milk"); }, {.acknowledgements = 2, .timeout = 300ms});
    CHECK_FALSE(r.complete);
    CHECK(r.acknowledged == 1);
    REQUIRE(r.missing.size() == 1);
    CHECK(r.missing[0].name == "c");
    CHECK(arrives(b, "milk"));
}

TEST_CASE("leader: a session token makes a write readable elsewhere (known failures: 24 lost read-your-writes)") {
    memory_network network;
    set_leader a(options(network, "a", {"b"}));
    set_leader b(options(network, "b", {"a"}));
    for (int i = 0; i < 20; ++i) {
        const auto element = std::to_string(i);
        const auto r = a.write([&](auto& s, auto& tx) { s.add(tx, element); });
        REQUIRE(b.sync_to(r.token(), patience));
        CHECK(b.read([&](const auto& s) { return s.contains(element); }));
    }
    CHECK_FALSE(b.sync_to(version_vector{{replica_id{77}, 1}}, 10ms));
}

TEST_CASE("leader: several collections over one transport and one storage") {
    memory_network network;
    memory_disk disk;
    node a(options(network, "a", {"b"}, disk.open()));
    node b(options(network, "b", {"a"}));
    auto carts = a.open<set_of_strings>("carts");
    auto title = a.open<lww_register<std::string>>("title");
    auto carts_b = b.open<set_of_strings>("carts");
    auto title_b = b.open<lww_register<std::string>>("title");
    add(carts, "milk");
    title.write([](auto& t, auto& tx) { t.set(tx, "news"); });
    CHECK(arrives(carts_b, "milk"));
    CHECK(title_b.wait_until([](const auto& t) { return t.get() == "news"; }, patience));
    CHECK_THROWS_AS(a.open<set_of_strings>("carts"), std::invalid_argument);
    auto s = a.status();
    for (const auto end = std::chrono::steady_clock::now() + patience; // b may know a before a knows b
         s.peers.empty() && std::chrono::steady_clock::now() < end; s = a.status())
        std::this_thread::yield();
    CHECK(s.collections.size() == 2);
    CHECK(s.counters.at("storage_syncs") > 0);
    CHECK(s.level == durability::full);
    REQUIRE(s.peers.size() == 1);
    CHECK(s.peers[0].name == "b");
    CHECK(s.peers[0].up);
}

TEST_CASE("leader: what a durable write returned for outlives a crash") {
    memory_network network;
    memory_disk disk;
    replica_id id;
    {
        set_leader a(options(network, "a", {}, disk.open()));
        id = a.id();
        add(a, "milk");
        disk.crash();
        CHECK_THROWS_AS(add(a, "bread"), node_closed); // its storage is gone
        CHECK_FALSE(a.status().failure.empty());
    }
    set_leader a(options(network, "a", {}, disk.open()));
    CHECK(a.id() == id);
    CHECK(a.read([](const auto& s) { return s.contains("milk"); }));
    a.close();
    CHECK_THROWS_AS(add(a, "eggs"), node_closed);
    CHECK(a.read([](const auto& s) { return s.contains("milk"); })); // reading goes on
}

TEST_CASE("leader: writers on many threads share syncs") {
    memory_network network;
    memory_disk disk;
    set_leader a(options(network, "a", {"b"}, disk.open()));
    set_leader b(options(network, "b", {"a"}));
    constexpr int threads = 8, each = 50;
    std::vector<std::thread> writers;
    for (int t = 0; t < threads; ++t)
        writers.emplace_back([&a, t] {
            for (int i = 0; i < each; ++i) add(a, std::to_string(t) + "." + std::to_string(i));
        });
    for (auto& w : writers) w.join();
    CHECK(b.wait_until([](const auto& s) { return s.size() == threads * each; }, patience));
    CHECK(a.status().counters.at("storage_syncs") <= threads * each);
    CHECK(a.version() == b.version());
}

TEST_CASE("leader: two nodes with one identity refuse writes until one takes a new one") {
    memory_network network;
    memory_disk disk;
    {
        set_leader a(options(network, "a", {}, disk.open()));
        add(a, "milk");
    }
    auto copy = disk.copy();
    std::atomic<int> conflicts{0}, resolved{0};
    auto of_a = options(network, "a", {"b"}, disk.open());
    auto of_b = options(network, "b", {"a"}, copy.open());
    of_a.on_event = of_b.on_event = [&](const event& e) {
        auto& count = e.kind == event_kind::identity_conflict ? conflicts : resolved;
        if (e.kind != event_kind::identity_conflict && e.kind != event_kind::identity_resolved) return;
        ++count;
        count.notify_one();
    };
    set_leader a(std::move(of_a));
    set_leader b(std::move(of_b));
    REQUIRE(a.id() == b.id());
    for (int n = 0; (n = conflicts) < 2;) conflicts.wait(n);
    CHECK_THROWS_AS(add(a, "x"), identity_conflict);
    CHECK_THROWS_AS(add(b, "x"), identity_conflict);
    CHECK(a.status().identity_conflict);
    b.take_new_id();
    CHECK(a.id() != b.id());
    add(b, "of b");
    CHECK(arrives(a, "of b"));
    resolved.wait(0);
    add(a, "of a");
    CHECK(arrives(b, "of a"));
}

TEST_CASE("leader: peers are dialled and left at run time") {
    memory_network network;
    set_leader a(options(network, "a", {}));
    set_leader b(options(network, "b", {}));
    add(a, "milk");
    b.connect("a");
    CHECK(arrives(b, "milk"));
    b.disconnect("a");
    add(a, "bread");
    CHECK_FALSE(b.wait_until([](const auto& s) { return s.contains("bread"); }, 200ms));
    b.connect("a");
    CHECK(arrives(b, "bread"));
}

TEST_CASE("leader: a follower shows everything, refuses writes, and says where to write") {
    memory_network network;
    auto o = options(network, "f", {"a"});
    o.role = node_role::follower;
    o.zone = "north";
    set_leader f(std::move(o));
    const auto refusal = [&] {
        try {
            add(f, "x");
        } catch (const not_a_leader& e) {
            return std::string(e.what());
        }
        return std::string();
    };
    CHECK(refusal() == "write \"main\": this node is a follower; no leader is connected");
    set_leader a(options(network, "a", {}));
    const write_options known_to_both{.acknowledgements = 1, .timeout = patience};
    CHECK(a.write([](auto& s, auto& tx) { s.add(tx, "milk"); }, known_to_both).complete);
    CHECK(arrives(f, "milk"));
    CHECK(refusal() == "write \"main\": this node is a follower; write at \"a\" (" + to_string(a.id()) + ")");
    CHECK(f.status().role == node_role::follower);
    const auto peers = a.status().peers;
    REQUIRE(peers.size() == 1);
    CHECK(peers[0].role == node_role::follower);
    CHECK(peers[0].zone == "north");
}

TEST_CASE("leader: a hub joins leaders that do not know each other's addresses") {
    memory_network network;
    auto o = options(network, "hub", {});
    o.role = node_role::hub;
    set_leader hub(std::move(o));
    set_leader a(options(network, "a", {"hub"})), b(options(network, "b", {"hub"})), c(options(network, "c", {"hub"}));
    add(a, "from a");
    add(c, "from c");
    for (const auto* l : {&a, &b, &c}) {
        CHECK(arrives(*l, "from a"));
        CHECK(arrives(*l, "from c"));
    }
    CHECK_THROWS_AS(add(hub, "x"), not_a_leader);
}

TEST_CASE("leader: who leaves is not waited for, and who is evicted comes back as another") {
    memory_network network;
    memory_disk disk(durability::full), other(durability::full);
    std::optional<set_leader> b(std::in_place, options(network, "b", {"a"}, other.open()));
    auto o = options(network, "a", {"b"}, disk.open());
    o.timings.prune = 50ms;
    set_leader a(std::move(o));
    add(*b, "milk");
    CHECK(arrives(a, "milk"));
    const auto former = b->id();
    CHECK_THROWS_AS(b->evict(former), std::invalid_argument);
    CHECK(b->leave(patience));
    CHECK_THROWS_AS(add(*b, "x"), node_closed);
    b.reset();
    const auto members = [&] { return a.status().collections[0].members.size(); };
    const auto until = [&](auto&& holds) { // each change of what is asked for wakes a
        const auto end = std::chrono::steady_clock::now() + patience;
        while (!holds() && std::chrono::steady_clock::now() < end) std::this_thread::yield();
        return holds();
    };
    CHECK(until([&] { return members() == 1; }));
    b.emplace(options(network, "b", {"a"}, other.open()));
    CHECK(until([&] { return b->id() != former; }));
    CHECK(until([&] { return members() == 2; }));
    CHECK(arrives(*b, "milk"));
    const auto second = b->id();
    a.evict(second);
    CHECK(until([&] { return b->id() != second; }));
    add(*b, "bread");
    CHECK(arrives(a, "bread"));
}

TEST_CASE("leader: a storage that fails while the node leaves stops it, as at any other time") {
    memory_network network;
    memory_disk disk(durability::full);
    const auto breaks = std::make_shared<gate>();
    set_leader a(options(network, "a", {"b"}, std::make_unique<gated_storage>(disk.open(), breaks)));
    set_leader b(options(network, "b", {"a"}));
    CHECK(a.write([](auto& s, auto& tx) { s.add(tx, "milk"); }, {.acknowledgements = 1, .timeout = patience}).complete);
    breaks->fail();
    CHECK_THROWS_AS(a.leave(patience), node_closed);
    CHECK(a.status().failure.find("the disk is gone") != std::string::npos);
    CHECK_THROWS_AS(add(a, "bread"), node_closed);
    CHECK_THROWS_AS(a.take_new_id(), node_closed);
    a.close();
    CHECK(a.read([](const auto& s) { return s.contains("milk"); }));
}

TEST_CASE("leader: nobody leaves with edits that no peer has") {
    memory_network network;
    set_leader a(options(network, "a", {"b"}));
    add(a, "milk");
    CHECK_FALSE(a.leave(20ms));
    add(a, "bread"); // it goes on
    CHECK(a.read([](const auto& s) { return s.size(); }) == 2);
}

TEST_CASE("leader: what a node that leaves has accepted its peers have") {
    for (int round = 0; round < 12; ++round) {
        CAPTURE(round);
        memory_network network;
        set_leader a(options(network, "a", {"b"}));
        set_leader b(options(network, "b", {"a"}));
        std::vector<std::vector<std::string>> written(4);
        std::vector<std::thread> writers;
        for (std::size_t w = 0; w < written.size(); ++w)
            writers.emplace_back([&, w] {
                try {
                    for (int i = 0;; ++i) {
                        const auto element = std::to_string(w) + "." + std::to_string(i);
                        add(a, element);
                        written[w].push_back(element);
                        std::this_thread::sleep_for(100us);
                    }
                } catch (const node_draining&) {
                } catch (const node_closed&) {
                }
            });
        const bool some = b.wait_until([](const auto& s) { return s.size() > 5; }, patience);
        const bool left = a.leave(patience);
        if (!left) a.close();
        for (auto& w : writers) w.join();
        REQUIRE(some);
        REQUIRE(left);
        for (const auto& all : written)
            for (const auto& element : all) REQUIRE(arrives(b, element));
    }
}

TEST_CASE("leader: who never stops writing can leave") {
    memory_network network;
    set_leader a(options(network, "a", {"b"}));
    set_leader b(options(network, "b", {"a"}));
    std::vector<std::thread> writers;
    for (int w = 0; w < 4; ++w)
        writers.emplace_back([&, w] {
            try {
                for (int i = 0;; ++i) add(a, std::to_string(w) + "." + std::to_string(i));
            } catch (const node_draining&) {
            } catch (const node_closed&) {
            }
        });
    const bool some = b.wait_until([](const auto& s) { return s.size() > 100; }, patience);
    const bool left = a.leave(8s);
    if (!left) a.close();
    for (auto& w : writers) w.join();
    CHECK(some);
    CHECK(left);
}

TEST_CASE("leader: closing is quick, whatever is under way") {
    memory_network network;
    auto a = std::make_unique<set_leader>(options(network, "a", {"b"}));
    set_leader b(options(network, "b", {"a"}));
    std::atomic<bool> closed{false};
    std::thread writer([&] {
        try {
            for (int i = 0;; ++i) add(*a, std::to_string(i));
        } catch (const node_closed&) {
            closed = true;
        }
    });
    std::thread waiter([&] { CHECK_FALSE(a->wait_until([](const auto&) { return false; }, 60s)); });
    REQUIRE(b.wait_until([](const auto& s) { return s.size() > 100; }, patience));
    const auto start = std::chrono::steady_clock::now();
    a->close();
    CHECK(std::chrono::steady_clock::now() - start < 1s);
    writer.join();
    waiter.join();
    CHECK(closed);
}

TEST_CASE("leader: the log has a line for every event, and for the start, the end and the failure") {
    memory_network network;
    memory_disk disk;
    std::mutex mutex; // two threads write the log
    std::vector<std::string> lines;
    const auto start = [&](const std::string& name, const std::string& peer, std::unique_ptr<storage> d) {
        auto o = options(network, name, {peer}, std::move(d));
        o.wall = [] { return std::uint64_t{0}; };
        o.log = [&](const log_line& line) {
            std::lock_guard lock(mutex);
            lines.push_back(logfmt(line));
        };
        return set_leader(std::move(o));
    };
    std::string id;
    {
        auto a = start("a", "b", nullptr);
        auto b = start("b\nevil", "a", disk.open());
        id = to_string(b.id());
        add(b, "milk");
        REQUIRE(arrives(a, "milk"));
        disk.crash();
        CHECK_THROWS_AS(add(b, "bread"), node_closed);
    }
    const auto count = [&](const std::string& part) {
        return std::count_if(lines.begin(), lines.end(),
                             [&](const auto& line) { return line.find(part) != std::string::npos; });
    };
    const std::string prefix = "time=1970-01-01T00:00:00.000Z level=";
    CHECK(count(prefix + "info event=node_started") == 2);
    CHECK(count(" node=\"b\\nevil\" id=" + id + " address=\"b\\nevil\" durability=full") == 1);
    CHECK(count(prefix + "info event=peer_up msg=\"a peer is there\" node=a peer=" + id + " detail=\"b\\nevil\"") == 1);
    CHECK(count(prefix + "info event=node_stopped msg=\"the node has stopped\" node=a") == 1);
    CHECK(count(prefix + "error event=node_failed") == 1);
    CHECK(count("event=changed") == 0);
    CHECK(lines.back().find("event=node_stopped") != std::string::npos);
    for (const auto& line : lines) CHECK(line.starts_with(prefix));
}

TEST_CASE("leader: presence is seen by the others, as bytes and as values, until it ends") {
    memory_network network;
    set_leader a(options(network, "a", {"b"}));
    set_leader b(options(network, "b", {"a", "c"}));
    auto c = std::make_unique<set_leader>(options(network, "c", {"b"}));
    std::mutex mutex;
    std::condition_variable told;
    const auto watch = [&](set_leader& l) {
        return l.subscribe([&](const change& change) {
            std::lock_guard lock(mutex);
            if (change.presence) told.notify_all();
        });
    };
    const auto watch_a = watch(a), watch_b = watch(b);
    const auto until = [&](auto&& condition) {
        std::unique_lock lock(mutex);
        return told.wait_for(lock, patience, condition);
    };
    const write_options by_both{.acknowledgements = 2, .timeout = patience};
    REQUIRE(b.write([](auto& s, auto& tx) { s.add(tx, "met"); }, by_both).complete); // it knows their names now
    c->set_presence(std::string("of c"));
    a.set_presence(std::pair<int, std::string>(7, "of a"));
    REQUIRE(until([&] { return a.presence().size() == 1 && b.presence().size() == 2; }));
    const auto at_a = a.presence<std::string>();
    REQUIRE(at_a.size() == 1);
    CHECK(at_a[0].replica == c->id());
    CHECK(at_a[0].value == "of c");
    CHECK(at_a[0].name.empty()); // b is in between
    const auto at_b = b.presence<std::pair<int, std::string>>();
    REQUIRE(at_b.size() == 1); // the other one is of another type
    CHECK(at_b[0].value == std::pair<int, std::string>(7, "of a"));
    CHECK(at_b[0].name == "a");
    const std::vector<std::byte> raw{std::byte{1}, std::byte{2}};
    c->set_presence(raw, 1s); // repeated as long as it lives
    CHECK(until([&] { return a.presence().at(0).bytes == raw; }));
    a.clear_presence();
    CHECK(until([&] { return b.presence().size() == 1; }));
    CHECK_THROWS_AS(a.set_presence(std::vector<std::byte>{}), std::invalid_argument);
    c.reset(); // says that it goes
    CHECK(until([&] { return a.presence().empty() && b.presence().empty(); }));
    b.close();
    b.clear_presence();
    CHECK_THROWS_AS(b.set_presence(raw), node_closed);
    CHECK(b.presence().empty());
}

TEST_CASE("leader: how far a peer's clock may be ahead is the node's to say") {
    for (const auto ahead : {999ms, 1000ms, 1001ms}) {
        CAPTURE(ahead);
        memory_network network;
        const auto clocked = [&](const std::string& name, const std::string& peer, std::uint64_t time) {
            auto o = options(network, name, {peer});
            o.wall = [time] { return time; };
            o.max_skew = 1s;
            return o;
        };
        constexpr std::uint64_t here = 1'000'000;
        node a(clocked("a", "b", here)), b(clocked("b", "a", here + static_cast<std::uint64_t>(ahead.count())));
        auto at_a = a.open<lww_register<std::string>>("dated"), at_b = b.open<lww_register<std::string>>("dated");
        at_b.write([](auto& r, auto& tx) { r.set(tx, "ahead"); });
        REQUIRE(at_a.wait_until([](const auto& r) { return !r.empty(); }, patience));
        CHECK(a.status().clock_rejections == (ahead > 1s ? 1 : 0));
        CHECK(a.status().greatest_skew == (ahead > 1s ? 1001 : 0));
    }
}

TEST_CASE("leader: a flood of writes arrives complete") {
    memory_network network;
    set_leader a(options(network, "a", {"b"}));
    set_leader b(options(network, "b", {"a"}));
    constexpr std::size_t n = 20'000;
    for (std::size_t i = 0; i < n; ++i) add(a, std::to_string(i));
    CHECK(b.wait_until([](const auto& s) { return s.size() == n; }, patience));
    CHECK(a.status().counters.at("edits_published") == n);
}
