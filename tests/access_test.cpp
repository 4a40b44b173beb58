// SPDX-License-Identifier: Apache-2.0
#include <joinery/access.hpp>

#include <joinery/claims.hpp>
#include <joinery/leader.hpp>
#include <joinery/memory_transport.hpp>
#include <joinery/metrics.hpp>
#include <joinery/or_set.hpp>

#include "comes.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <map>
#include <stdexcept>
#include <string>
#include <vector>

using namespace joinery;
using namespace std::chrono_literals;
using test_support::comes;

namespace {

using set_of_strings = or_set<std::string>;
using set_leader = leader<set_of_strings>;
constexpr auto patience = 20s; // far beyond what is needed; nothing waits for it in vain

peer_key key(unsigned n) {
    peer_key k;
    k.bytes.fill(static_cast<std::byte>(n));
    return k;
}

peer_access access(unsigned n, access_right right) {
    peer_access a;
    a.key = key(n);
    a.rights = right;
    return a;
}

node_options options(memory_network& network, unsigned n, const std::vector<std::string>& peers,
                     std::optional<access_policy> policy = std::nullopt) {
    node_options o;
    o.name = std::to_string(n);
    o.transport = network.make(o.name, peers, key(n));
    o.timings.beacon = 50ms;
    o.access = std::move(policy);
    return o;
}

access_policy policy(unsigned own, std::vector<peer_access> peers) {
    access_policy p;
    p.self.key = key(own);
    p.peers = std::move(peers);
    return p;
}

template <class L> void add(L& l, const std::string& element) {
    l.write([&](auto& s, auto& tx) { s.add(tx, element); });
}
template <class L> bool arrives(const L& l, const std::string& element) {
    return l.wait_until([&](const auto& s) { return s.contains(element); }, patience);
}

} // namespace

TEST_CASE("access_policy: rights by collection, and who relays") {
    auto p = access(1, access_right::write);
    p.collections = {{"orders", access_right::read}, {"secrets", access_right::none}};
    CHECK(p.in("anything") == access_right::write);
    CHECK(p.in("orders") == access_right::read);
    CHECK(p.relays("anything"));
    CHECK_FALSE(p.relays("orders"));
    p.relay = true;
    CHECK(p.relays("orders"));
    CHECK_FALSE(p.relays("secrets"));
    p.relay = false;
    CHECK_FALSE(p.relays("anything"));

    auto all = policy(9, {p, access(2, access_right::admin)});
    all.check();
    CHECK(all.find(key(1)) == &all.peers[0]);
    CHECK(all.find(key(9)) == &all.self);
    CHECK(all.find(key(3)) == nullptr);
    CHECK(all.find(std::nullopt) == nullptr);
    CHECK(all.keys() == std::vector{key(1), key(2), key(9)});
    all.others.collections = {{"public", access_right::read}};
    CHECK(all.find(key(3)) == &all.others);
    all.peers[0].ids = all.peers[1].ids = {replica_id{5}};
    CHECK_THROWS_AS(all.check(), std::invalid_argument);
    all.peers[1] = all.peers[0];
    CHECK_THROWS_AS(all.check(), std::invalid_argument);
    CHECK(to_string(access_right::none) == "none");
    CHECK(to_string(access_right::admin) == "admin");
}

TEST_CASE("access: a write that nobody would take throws, until it may be made") {
    memory_network network;
    set_leader a(options(network, 1, {}, policy(1, {access(2, access_right::read)})));
    node reader(options(network, 2, {"1"}));
    auto b = reader.open<set_of_strings>("main");
    add(a, "milk");
    CHECK(arrives(b, "milk"));
    REQUIRE(comes([&] { return !b.status().collections[0].writable; }));
    CHECK_THROWS_WITH_AS(add(b, "bread"), doctest::Contains("refused by \"1\""), permission_denied);
    CHECK(prometheus_text(b.status()).find("joinery_collection_writable{node=\"2\",collection=\"main\"} 0") !=
          std::string::npos);
    const auto drained = a.drain({.timeout = patience}); // a reader has what it reads
    CHECK(drained.complete);
    a.resume();

    // The same by the policy of this node.
    memory_network alone;
    auto own = policy(1, {});
    own.self.rights = access_right::read;
    node c(options(alone, 1, {}, own));
    auto set = c.open<set_of_strings>("main");
    CHECK_THROWS_WITH_AS(add(set, "bread"), doctest::Contains("the right \"read\""), permission_denied);
    own.self.rights = access_right::write;
    c.set_access(own);
    add(set, "bread");
    CHECK_THROWS_AS(c.evict(replica_id{5}), permission_denied); // nobody would believe it
    own.self.rights = access_right::admin;
    c.set_access(own);
    c.evict(replica_id{5});
}

TEST_CASE("access: the policy that counts can be read, and changed from there") {
    memory_network network;
    node a(options(network, 1, {}));
    auto set = a.open<set_of_strings>("main");
    CHECK_FALSE(a.access().has_value());
    a.set_access({});
    auto now = a.access();
    REQUIRE(now.has_value());
    CHECK(now->self.key == key(1)); // the transport's
    now->peers.push_back(access(2, access_right::read));
    a.set_access(*now);
    CHECK(a.access()->peers.size() == 1);
    node b(options(network, 2, {"1"}, access_policy{.peers = {access(1, access_right::write)}}));
    CHECK(b.access()->self.key == key(2));
    auto copy = b.open<set_of_strings>("main");
    add(set, "milk");
    CHECK(arrives(copy, "milk"));
}

TEST_CASE("access: changed while everything runs") {
    memory_network network;
    node one(options(network, 1, {}, policy(1, {})));
    auto a = one.open<set_of_strings>("main");
    node two(options(network, 2, {"1"}));
    auto b = two.open<set_of_strings>("main");
    add(a, "milk");
    add(b, "bread");
    CHECK_FALSE(b.wait_until([](const auto& s) { return s.contains("milk"); }, 200ms)); // it is not let in at all
    CHECK(two.status().peers.empty());
    one.set_access(policy(1, {access(2, access_right::write)}));
    CHECK(arrives(b, "milk"));
    CHECK(arrives(a, "bread"));
    CHECK(one.status().peers.at(0).key == key(2));
    one.set_access(policy(1, {}));
    REQUIRE(comes([&] { return !two.status().peers.at(0).up; }));
    add(a, "tea");
    CHECK_FALSE(b.wait_until([](const auto& s) { return s.contains("tea"); }, 200ms));
    CHECK_THROWS_AS(one.set_access(policy(1, {access(2, access_right::read), access(2, access_right::read)})),
                    std::invalid_argument);
}

TEST_CASE("access: a policy for three peers") {
    const std::vector keys{key(1), key(2), key(3), key(4)};
    memory_network network;
    joinery::node node(options(network, 1, {}));
    auto orders = node.open<set_of_strings>("orders"), stock = node.open<set_of_strings>("stock");
    joinery::access_policy policy;
    policy.self.key = keys[0];
    policy.peers = {{.key = keys[1], .name = "us", .rights = joinery::access_right::admin},
                    {.key = keys[2], .name = "kiosk", .rights = joinery::access_right::read},
                    {.key = keys[3],
                     .name = "partner",
                     .rights = joinery::access_right::none,
                     .collections = {{"orders", joinery::access_right::write}},
                     .relay = false}};
    node.set_access(policy);
    joinery::node partner(options(network, 4, {"1"}));
    auto theirs = partner.open<set_of_strings>("orders"), nothing = partner.open<set_of_strings>("stock");
    add(theirs, "tea");
    add(stock, "coffee");
    CHECK(arrives(orders, "tea"));
    add(orders, "coffee");
    CHECK(arrives(theirs, "coffee"));
    CHECK_FALSE(nothing.read([](const auto& s) { return s.contains("coffee"); }));
    REQUIRE(node.status().peers.size() == 1);
    CHECK(node.status().peers[0].rights == std::vector{access_right::write, access_right::none});
    CHECK(node.status().peers[0].shares == std::vector{true, false});
}

TEST_CASE("access: what may be asked of a leader") {
    memory_network network;
    node one(options(network, 1, {}, policy(1, {access(2, access_right::read), access(3, access_right::admin)})));
    auto a = one.open<set_of_strings>("main");
    std::map<std::string, int> calls;
    std::vector<subscription> serving;
    for (const auto& [name, least] : std::map<std::string, access_right>{
             {"read", access_right::read}, {"write", access_right::write}, {"admin", access_right::admin}})
        serving.push_back(a.serve(
            name,
            [&calls, n = name](replica_id, std::span<const std::byte>) {
                ++calls[n];
                return std::vector<std::byte>{std::byte{1}};
            },
            least));
    for (const unsigned n : {2u, 3u}) {
        CAPTURE(n);
        node other(options(network, n, {"1"}));
        auto b = other.open<set_of_strings>("main");
        add(a, "for " + other.address());
        REQUIRE(arrives(b, "for " + other.address()));
        const auto answers = [&](const std::string& service, std::chrono::milliseconds timeout) {
            return b.request(service, {{a.id(), {}}}, timeout)[0].answer.has_value();
        };
        CHECK(answers("read", patience));
        CHECK(answers("write", n == 3 ? std::chrono::milliseconds(patience) : 100ms) == (n == 3));
        CHECK(answers("admin", n == 3 ? std::chrono::milliseconds(patience) : 100ms) == (n == 3));
    }
    CHECK(calls["read"] == 2);
    CHECK(calls["admin"] == 1);
    CHECK(one.status().counters.at("denials") > 0);
}

TEST_CASE("access: who is no admin cannot have a home handed over") {
    memory_network network;
    node one(options(network, 1, {}, policy(1, {access(2, access_right::write), access(3, access_right::admin)})));
    node two(options(network, 2, {"1"})), three(options(network, 3, {"1"}));
    auto a = one.open<claims>("names"), b = two.open<claims>("names"), c = three.open<claims>("names");
    registrar<leader<claims>> at_a(a), at_b(b), at_c(c);
    at_a.take_over("", a.id(), "1");
    REQUIRE(b.wait_until([](const claims& s) { return s.homes.of("x").has_value(); }, patience));
    REQUIRE(c.wait_until([](const claims& s) { return s.homes.of("x").has_value(); }, patience));
    CHECK(at_b.claim("x", "b", patience).granted());
    CHECK_FALSE(at_b.hand_over("", b.id(), "2", 300ms).done());
    CHECK(a.read([](const claims& s) { return s.homes.of("x")->name; }) == "1");
    CHECK(at_c.hand_over("", c.id(), "3", patience).done());
    CHECK(a.read([](const claims& s) { return s.homes.of("x")->name; }) == "3");
}
