// SPDX-License-Identifier: Apache-2.0
// A policy that names keys, over sockets on which they are proved.
#include <joinery/joinery.hpp>
#include <joinery/leader.hpp>

#include "comes.hpp"
#include "zmq_peers.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <utility>
#include <vector>

using namespace zmq_tests;
using namespace std::chrono_literals;
using joinery::access_policy;
using joinery::access_right;
using joinery::peer_key;
using test_support::comes;

namespace {

using list = joinery::or_set<std::string>;
using rights = std::vector<std::pair<peer_key, access_right>>;
constexpr auto patience = 30s; // far beyond what is needed

access_policy policy(const rights& all) {
    access_policy p;
    for (const auto& [key, right] : all) p.peers.push_back({.key = key, .rights = right});
    return p;
}

/// A node with a key, which nobody is let in to yet, its two collections, and what it has logged.
struct keyed_node {
    std::mutex mutex;
    std::set<std::string> told; // events with their details
    joinery::node node;
    joinery::leader<list> notes, bills;

    keyed_node(const std::string& name, const party& who, std::vector<peer_key> admitted = {})
        : node(options(name, who.options(admitted, any_port))),
          notes(node.open<list>("notes")),
          bills(node.open<list>("bills")) {}
    joinery::node_options options(const std::string& name, zmq_options o) {
        joinery::node_options n;
        n.name = name;
        n.transport = zmq_transport(std::move(o));
        n.timings.beacon = n.timings.prune = 50ms; // what is stable is known with each attempt to prune
        n.log = [this](const joinery::log_line& line) {
            std::lock_guard lock(mutex);
            for (const auto& f : line.fields)
                if (f.key == "detail") told.insert(std::string(line.event) + ": " + f.value);
        };
        return n;
    }
    bool was_told(std::string_view event) {
        return comes([&] {
            std::lock_guard lock(mutex);
            return std::any_of(told.begin(), told.end(), [&](const auto& t) { return t.starts_with(event); });
        });
    }
    /// Nothing if that peer is not known.
    joinery::peer_status about(const party& who) const {
        const auto s = node.status();
        const auto at = std::find_if(s.peers.rbegin(), s.peers.rend(),
                                     [&](const auto& p) { return p.key == who.key() && !p.renamed; });
        return at == s.peers.rend() ? joinery::peer_status{} : *at;
    }
    bool hears(const party& who) const {
        return comes([&] { return about(who).up; });
    }
    bool quarantines(const keyed_node& other) const {
        const auto q = notes.status().collections[0].quarantined;
        return std::find(q.begin(), q.end(), other.node.id()) != q.end();
    }
    std::uint64_t counter(const char* name) const { return node.status().counters.at(name); }
};

void add(joinery::leader<list>& to, const std::string& what, std::size_t acknowledgements = 0) {
    joinery::write_options o;
    o.acknowledgements = acknowledgements;
    o.level = joinery::assurance::received;
    o.timeout = patience;
    const auto w = to.write([&](list& l, auto& tx) { l.add(tx, what); }, o);
    CHECK(w.complete);
}
bool has(const joinery::leader<list>& l, const std::string& what) {
    return l.read([&](const list& s) { return s.contains(what); });
}
bool gets(const joinery::leader<list>& l, const std::string& what) {
    return l.wait_until([&](const list& s) { return s.contains(what); }, patience);
}

} // namespace

TEST_CASE("access over ZeroMQ: a reader's edits are refused and counted, a stranger gets nothing, nobody waits") {
    const party pa, pw, pr, px;
    keyed_node a("a", pa), w("writer", pw), r("reader", pr, {pa.key(), pw.key()}), x("stranger", px, {pa.key()});
    // Nobody is let in before there is a policy. The reader thinks that it may write, since it has none.
    add(r.notes, "forged");
    w.node.connect(a.node.address());
    r.node.connect(a.node.address());
    r.node.connect(w.node.address());
    x.node.connect(a.node.address());
    a.node.set_access(policy({{pw.key(), access_right::write}, {pr.key(), access_right::read}}));
    w.node.set_access(policy({{pa.key(), access_right::admin}, {pr.key(), access_right::read}}));

    REQUIRE(a.hears(pw));
    REQUIRE(a.hears(pr));
    REQUIRE(w.hears(pr));
    CHECK(a.about(pw).rights == std::vector{access_right::write, access_right::write});
    CHECK(a.about(pr).rights == std::vector{access_right::read, access_right::read});
    for (auto* n : {&a, &w}) {
        CHECK(comes([&] { return n->quarantines(r); }));
        CHECK(n->about(pr).quarantined[0]);
    }
    REQUIRE(comes([&] { return !r.notes.status().collections[0].writable; }));
    CHECK_THROWS_AS(add(r.notes, "later"), joinery::permission_denied);

    // Whoever may write is acknowledged, by the reader too, and nothing is kept for longer than that takes.
    for (int i = 0; i < 20; ++i) {
        add(a.notes, "a" + std::to_string(i), 2);
        add(w.notes, "w" + std::to_string(i), 2);
        add(w.bills, "w" + std::to_string(i), 2);
    }
    for (int i = 0; i < 20; ++i) {
        for (auto* n : {&a, &w, &r}) {
            CHECK(gets(n->notes, "a" + std::to_string(i)));
            CHECK(gets(n->notes, "w" + std::to_string(i)));
            CHECK(gets(n->bills, "w" + std::to_string(i)));
        }
    }
    CHECK(comes([&] {
        const auto c = a.notes.status().collections[0];
        return c.stable == c.version && !c.pulling && c.buffered_updates == 0;
    }));
    for (auto* n : {&a, &w}) {
        CHECK_FALSE(has(n->notes, "forged"));
        CHECK(n->was_told("denied: edits of its own; key " + to_string(pr.key()) + ", right: read"));
    }

    // The stranger's handshakes end before it is anybody.
    CHECK(comes([&] { return x.counter("transport_refused_handshakes") > 2; }));
    CHECK(a.counter("transport_refused_handshakes") > 0);
    CHECK(a.node.status().peers.size() == 2);
    CHECK(x.node.status().peers.empty());
    CHECK_FALSE(has(x.notes, "a0"));
    CHECK(a.was_told("refused: a peer dialled in whose key is not admitted: " + to_string(px.key())));
    CHECK(x.was_told("refused: " + a.node.address() + " does not admit"));
}

TEST_CASE("access over ZeroMQ: a right to write is given and taken away while everybody writes") {
    const party pa, pw, pr;
    keyed_node a("a", pa), w("writer", pw, {pa.key(), pr.key()}), r("reader", pr, {pa.key(), pw.key()});
    const auto grant = [&](access_right to_w, access_right to_r) {
        a.node.set_access(policy({{pw.key(), to_w}, {pr.key(), to_r}}));
    };
    add(r.notes, "early");
    grant(access_right::write, access_right::read);
    w.node.connect(a.node.address());
    r.node.connect(a.node.address());
    REQUIRE(a.hears(pw));
    REQUIRE(a.hears(pr));
    REQUIRE(comes([&] { return a.quarantines(r); }));

    // Who gets the right goes on under a new id, with what was not taken.
    const auto before = r.node.id();
    grant(access_right::write, access_right::write);
    CHECK(gets(a.notes, "early"));
    CHECK(r.node.id() != before);
    REQUIRE(comes([&] { return r.notes.status().collections[0].writable; }));
    add(r.notes, "granted", 1);
    CHECK(gets(w.notes, "granted"));
    CHECK(comes([&] { return a.notes.status().collections[0].quarantined.empty(); }));

    // Who loses it while it is away finds out when it is back. What it wrote meanwhile is refused, until it has it
    // again.
    w.node.disconnect(a.node.address());
    REQUIRE(comes([&] { return !w.about(pa).up; }));
    add(w.notes, "late");
    grant(access_right::read, access_right::write);
    w.node.connect(a.node.address());
    REQUIRE(comes([&] { return !w.notes.status().collections[0].writable; }));
    CHECK_THROWS_WITH_AS(add(w.notes, "later"), doctest::Contains("refused by \"a\""), joinery::permission_denied);
    CHECK(comes([&] { return a.quarantines(w); }));
    CHECK(a.was_told("denied: edits of its own; key " + to_string(pw.key()) + ", right: read"));
    CHECK_FALSE(has(a.notes, "late"));
    grant(access_right::write, access_right::write);
    CHECK(gets(a.notes, "late"));
    CHECK(gets(r.notes, "late"));

    // Who writes while it loses it learns of it with the next hello.
    REQUIRE(comes([&] { return w.notes.status().collections[0].writable; }));
    grant(access_right::read, access_right::write);
    int round = 0;
    REQUIRE(comes([&] {
        try {
            add(w.notes, "w" + std::to_string(round));
        } catch (const joinery::permission_denied&) {
            return true;
        }
        add(a.notes, "a" + std::to_string(round++));
        return false;
    }));
    add(a.notes, "the last", 2);
    CHECK(gets(r.notes, "the last"));
    CHECK(gets(w.notes, "the last"));
    CHECK_FALSE(has(a.notes, "w0"));
    CHECK(a.counter("denials") > 0);
    CHECK(comes([&] {
        const auto c = a.notes.status().collections[0];
        return c.stable == c.version;
    }));
    const auto drained = a.node.drain({.timeout = patience});
    CHECK(drained.complete);
    a.node.resume();

    // And all of it.
    a.node.set_access(policy({{pr.key(), access_right::write}}));
    REQUIRE(comes([&] { return !a.about(pw).up && !w.about(pa).up; }));
    add(a.notes, "secret", 1);
    CHECK(gets(r.notes, "secret"));
    const auto tried = w.counter("transport_refused_handshakes");
    CHECK(comes([&] { return w.counter("transport_refused_handshakes") > tried + 2; }));
    CHECK_FALSE(has(w.notes, "secret"));
}

TEST_CASE("access over ZeroMQ: what a peer may not read is sent to those alone who may") {
    const party pa, pw, pk;
    keyed_node a("a", pa), w("writer", pw, {pa.key()}), k("kiosk", pk, {pa.key()});
    auto p = policy({{pw.key(), access_right::write}, {pk.key(), access_right::write}});
    p.peers[1].collections = {{"bills", access_right::none}};
    a.node.set_access(p);
    w.node.connect(a.node.address());
    k.node.connect(a.node.address());
    REQUIRE(a.hears(pw));
    REQUIRE(a.hears(pk));
    CHECK(a.about(pk).rights == std::vector{access_right::write, access_right::none});
    add(k.bills, "forged");
    add(w.bills, "electricity", 1);
    add(a.bills, "water", 1);
    add(k.notes, "milk", 1);
    add(a.notes, "bread", 2);
    CHECK(gets(a.bills, "electricity"));
    CHECK(gets(w.bills, "water"));
    CHECK(gets(w.notes, "milk"));
    CHECK(gets(k.notes, "bread"));
    CHECK_FALSE(has(a.bills, "forged"));
    CHECK(k.bills.read([](const list& l) { return l.size(); }) == 1);

    p.peers[1].collections = {{"bills", access_right::read}};
    a.node.set_access(p);
    CHECK(gets(k.bills, "water"));
    CHECK(gets(k.bills, "electricity"));
    p.peers[1].collections = {{"bills", access_right::none}};
    a.node.set_access(p);
    add(a.bills, "gas", 1);
    add(a.notes, "tea", 2);
    CHECK(gets(w.bills, "gas"));
    CHECK(gets(k.notes, "tea"));
    CHECK_FALSE(has(k.bills, "gas"));
}
