// SPDX-License-Identifier: Apache-2.0
#include <joinery/replica.hpp>

#include <joinery/g_counter.hpp>
#include <joinery/lww_register.hpp>
#include <joinery/or_map.hpp>
#include <joinery/or_set.hpp>
#include <joinery/pn_counter.hpp>
#include <joinery/record.hpp>
#include <joinery/rga_text.hpp>

#include <doctest/doctest.h>

#include <string>
#include <tuple>
#include <vector>

using namespace joinery;

namespace {

struct page {
    rga_text text;
    or_map<std::string, pn_counter> votes;
    or_map<int, rga_text> notes;
    or_set<int> tags;
    lww_register<std::string> title;
    g_counter visits;
};
JOINERY_RECORD(page, (1, text), (2, votes), (3, notes), (4, tags), (5, title), (6, visits))

constexpr replica_id a{1}, b{2}, fresh{3};

template <class F> delta<page> edit(replica<page>& r, F&& f) {
    return r.edit([&](page& p, transaction& tx) { f(p, tx); });
}
void vote(page& p, transaction& tx, const std::string& key, int n) {
    p.votes.update(tx, key, [&](auto& c) { n > 0 ? c.increment(tx, n) : c.decrement(tx, -n); });
}
std::int64_t votes(const replica<page>& r, const std::string& key) {
    const auto* c = r->votes.find(key);
    return c ? c->value() : 0;
}
// Both have seen all; then b is away, and a forgets what only it and others have seen.
struct pair {
    replica<page> here{a}, away{b};
    pair() {
        here.join(edit(away, [](auto& p, auto& tx) {
            p.text.insert(tx, 0, "hello world");
            vote(p, tx, "yes", 5);
            vote(p, tx, "no", 2);
            p.notes.update(tx, 1, [&](auto& t) { t.insert(tx, 0, "abc"); });
            p.tags.add(tx, 1);
            p.visits.increment(tx, 7);
        }));
        away.join(edit(here, [](auto& p, auto& tx) {
            vote(p, tx, "yes", 10);
            p.title.set(tx, "first");
        }));
    }
    void come_back() {
        away.rejoin(here.state().whole(), 0, fresh);
        here.join(away.delta_since(here.version()));
    }
};

} // namespace

TEST_CASE("replica: an edit that nobody has is made anew on a text in which its place is forgotten") {
    pair p;
    edit(p.here, [](auto& d, auto& tx) { d.text.erase(tx, 5, 6); });
    p.here.prune(p.here.version());
    edit(p.away, [](auto& d, auto& tx) {
        d.text.insert(tx, 11, "!\xc3\xa9!");
        d.text.insert(tx, 8, "(inside)"); // of what is gone
        d.text.erase(tx, 0, 1);
        d.text.insert(tx, 0, "J");
        d.notes.update(tx, 1, [&](auto& t) { t.insert(tx, 1, "Z"); });
        d.notes.update(tx, 2, [&](auto& t) { t.insert(tx, 0, "new"); });
    });
    p.come_back();
    CHECK(p.away.id() == fresh);
    CHECK(p.away->text.str() == "Jello(inside)!\xc3\xa9!");
    CHECK(p.away->notes.find(1)->str() == "aZbc");
    CHECK(p.away->notes.find(2)->str() == "new");
    CHECK(p.here.state() == p.away.state());
    CHECK(decode<delta<page>>(encode(p.away.state().whole()))); // in canonical form
}

TEST_CASE("replica: of a run that others knew in part, what they did not know is counted again") {
    for (const bool removed : {false, true}) {
        CAPTURE(removed);
        pair p;
        if (removed) {
            edit(p.here, [](auto& d, auto& tx) {
                d.votes.erase(tx, "yes");
                d.votes.erase(tx, "no");
            });
            const replica_id absent[] = {b};
            p.here.prune(p.here.version(), absent);
        }
        edit(p.away, [](auto& d, auto& tx) {
            vote(d, tx, "yes", 3);
            vote(d, tx, "no", -1);
            d.visits.increment(tx, 1);
        });
        p.come_back();
        CHECK(votes(p.away, "yes") == (removed ? 3 : 18));
        CHECK(votes(p.away, "no") == (removed ? -1 : 1));
        CHECK(p.away->visits.value() == 8);
        CHECK(p.here.state() == p.away.state());
    }
}

TEST_CASE("replica: removals that nobody has are kept, also of what was gained unseen") {
    pair p;
    p.here.prune(p.here.version());
    edit(p.away, [](auto& d, auto& tx) {
        vote(d, tx, "yes", 3);
        d.votes.erase(tx, "yes");
        d.tags.remove(tx, 1);
        d.tags.add(tx, 2);
        d.title.set(tx, "second");
        d.notes.erase(tx, 1);
    });
    edit(p.here, [](auto& d, auto& tx) { vote(d, tx, "yes", 100); }); // not seen by the remover
    p.come_back();
    CHECK(votes(p.here, "yes") == 100);
    CHECK_FALSE(p.here->tags.contains(1));
    CHECK(p.here->tags.contains(2));
    CHECK(p.here->title.get() == "second");
    CHECK_FALSE(p.here->notes.contains(1));
    CHECK(p.here.state() == p.away.state());
}

TEST_CASE("replica: the removal of what was counted unseen does not speak of what was written before it") {
    for (const bool removed : {false, true}) {
        CAPTURE(removed);
        pair p;
        if (removed) edit(p.here, [](auto& d, auto& tx) { d.votes.erase(tx, "yes"); });
        edit(p.away, [](auto& d, auto& tx) {
            vote(d, tx, "yes", 3);
            d.votes.erase(tx, "yes");
        });
        const dot_range voted{b, 12, 12}, visited{b, 18, 18}; // the last before that
        p.come_back();
        CHECK(votes(p.here, "yes") == 0);
        CHECK(p.here.state() == p.away.state());
        auto less = p.here.state().whole();
        std::get<5>(less.fragment.fields) = {}; // the visits
        causal<page> bad;
        bad.join(less);
        const dot_range both[] = {voted, visited};
        CHECK(bad.digests(both) == std::vector<std::uint64_t>{removed_digest, 0});
    }
}

TEST_CASE("replica: under the same id, what is held is made anew on top of what is there") {
    replica<page> here{a}, away{b};
    const auto before = edit(here, [](auto& d, auto& tx) { d.text.insert(tx, 0, "one two"); });
    away.join(before);
    away.hold_from(0);
    edit(away, [](auto& d, auto& tx) {
        d.text.insert(tx, 7, " three");
        d.text.erase(tx, 0, 1);
        vote(d, tx, "yes", 2);
    });
    away.join(edit(here, [](auto& d, auto& tx) { d.text.erase(tx, 3, 4); }));
    here.prune(here.version()); // as if it had not to wait
    const auto had = away.version();
    away.rejoin({}, 0, b);
    CHECK(away.id() == b);
    CHECK(had.within(away.version()));
    CHECK(away->text.str() == "ne three");
    here.join(away.delta_since(here.version()));
    CHECK(here->text.str() == "ne three");
    CHECK(votes(here, "yes") == 2);
    CHECK(here.state() == away.state());
}

TEST_CASE("replica: what others wrote does not come to rest on edits that are made anew") {
    replica<page> here{a}, away{b};
    away.hold_from(0);
    edit(away, [](auto& d, auto& tx) { d.text.insert(tx, 0, "xy"); }); // stands before what `here` writes there
    away.join(edit(here, [](auto& d, auto& tx) { d.text.insert(tx, 0, "abcd"); }));
    edit(here, [](auto& d, auto& tx) { d.text.erase(tx, 0, 1); });
    here.prune(here.version()); // and with it what "bcd" was written after
    away.join(here.state());
    CHECK(away->text.str() == "xybcd");
    SUBCASE("under the same id") { away.rejoin({}, 0, b); }
    SUBCASE("under another id") { away.rejoin(here.state().whole(), 0, fresh); }
    SUBCASE("renamed") { away.rename_from(0, fresh); }
    CHECK(away->text.str().size() == 5);
    here.join(away.delta_since(here.version()));
    CHECK(here->text.str() == away->text.str());
    CHECK(here.state() == away.state());
}
