// SPDX-License-Identifier: Apache-2.0
// Whole texts in columns: what is saved and sent is what was there, can be read as it came, and is edited on.
#include "replicas.hpp"

#include <joinery/rga_text.hpp>

#include <algorithm>
#include <random>
#include <string>
#include <vector>

using joinery::causal, joinery::decode, joinery::delta, joinery::dot, joinery::dot_range, joinery::encode;
using joinery::replica, joinery::rga_text, joinery::text_fragment, joinery::transaction;

namespace {

using text = replica<rga_text>;
using bytes = std::vector<std::byte>;

class editors {
public:
    explicit editors(std::uint64_t seed, std::size_t n) : random_(seed) {
        for (std::size_t i = 0; i < n; ++i) all.emplace_back(joinery::replica_id{10 + i});
    }
    std::size_t below(std::size_t n) { return static_cast<std::size_t>(random_() % n); }
    void edit(text& t) {
        t.edit([&](rga_text& x, transaction& tx) {
            for (std::size_t n = 1 + below(4); n > 0; --n) {
                const std::size_t pos = below(x.size() + 1);
                if (below(3) == 0 && pos < x.size()) {
                    for (std::size_t k = 1 + below(std::min<std::size_t>(12, x.size() - pos)); k > 0; --k)
                        x.erase(tx, below(2) ? pos : std::min(pos + k - 1, x.size() - 1), 1);
                } else {
                    static const std::string words[] = {
                        "typed ", "\n", "x", "a longer insertion of many words, over 28", "\u00e9\u20ac", "\U0001f600"};
                    x.insert(tx, pos, words[below(ascii ? 4 : 6)]);
                }
            }
        });
    }
    void edit_all(std::size_t rounds) {
        for (; rounds > 0; --rounds) {
            for (auto& t : all) edit(t);
            auto& to = all[below(all.size())];
            to.join(all[below(all.size())].state());
        }
        for (auto& a : all)
            for (auto& b : all) a.join(b.state());
    }

    std::vector<text> all;
    bool ascii = false;

private:
    std::mt19937_64 random_;
};

// The first byte of a delta's fragment, behind its coverage.
bool in_columns(const text_fragment& f) {
    const auto b = encode(f);
    return b.at(0) == std::byte{1};
}

void check_same_reading(const rga_text& a, const rga_text& b) {
    REQUIRE(a.str() == b.str());
    REQUIRE(a.size() == b.size());
    CHECK(a.size_utf8() == b.size_utf8());
    CHECK(a.size_utf16() == b.size_utf16());
    REQUIRE(a.lines() == b.lines());
    for (std::size_t line = 0; line < a.lines(); ++line) CHECK(a.line_start(line) == b.line_start(line));
    for (std::size_t pos = 0; pos <= a.size(); pos += 1 + a.size() / 50) {
        CHECK(a.to_utf8(pos) == b.to_utf8(pos));
        CHECK(a.to_utf16(pos) == b.to_utf16(pos));
        CHECK(a.from_utf8(a.to_utf8(pos)) == pos);
        CHECK(a.from_utf16(a.to_utf16(pos)) == pos);
        CHECK(a.location(pos) == b.location(pos));
        CHECK(a.substr(pos, 7) == b.substr(pos, 7));
        CHECK(a.anchor(pos) == b.anchor(pos));
        CHECK(a.position(b.anchor(pos)) == pos);
    }
    CHECK_THROWS_AS(a.substr(a.size() + 1), std::out_of_range);
    CHECK_THROWS_AS(a.to_utf8(a.size() + 1), std::out_of_range);
}

} // namespace

TEST_CASE("text columns: a whole text is restored, read as it came, and edited on") {
    std::size_t columns = 0; // not of all: some have too little text
    for (std::uint64_t seed = 1; seed <= 40; ++seed) {
        CAPTURE(seed);
        editors who(seed, 1 + seed % 4);
        who.ascii = seed % 3 == 0;
        who.edit_all(8 + seed % 9 * 3);
        auto& one = who.all.front();
        if (in_columns(one.state().whole().fragment)) ++columns;
        const bytes saved = encode(one.state());
        auto read = decode<causal<rga_text>>(saved);
        REQUIRE(read);
        check_same_reading(**read, *one);
        CHECK(encode(*read) == saved);
        CHECK(*read == one.state());
        CHECK(read->digest() == one.state().digest());
        const causal<rga_text> copy = *read;
        // As it was before it was opened, and afterwards.
        const auto seen = (*read)->revision();
        text opened{joinery::replica_id{77}, *read};
        const auto revision = opened->revision();
        opened.edit([&](rga_text& x, transaction& tx) {
            x.insert(tx, x.size() / 2, "\u00fc!");
            x.erase(tx, 0, 1);
        });
        CHECK((*read)->changes_since(seen)->empty());
        const auto changes = opened->changes_since(revision);
        REQUIRE(changes);
        CHECK(changes->size() == 2);
        CHECK(copy->str() == one->str());
        one.join(opened.state());
        check_converged(one, opened);
        check_same_reading(*one, *opened);
        who.edit(one);
        opened.join(one.state());
        check_converged(one, opened);
    }
    CHECK(columns > 30);
}

TEST_CASE("text columns: they join texts that have something already") {
    for (std::uint64_t seed = 1; seed <= 30; ++seed) {
        CAPTURE(seed);
        editors who(seed, 3);
        who.edit_all(7);
        text late{joinery::replica_id{77}};
        late.edit([](rga_text& x, transaction& tx) { x.insert(tx, 0, "mine"); });
        const auto behind = late.state();
        late.join(who.all[0].state());
        who.edit_all(4);
        late.join(*decode<delta<rga_text>>(encode(who.all[1].state().whole())));
        late.join(*decode<delta<rga_text>>(encode(who.all[1].state().delta_since({}))));
        for (auto& t : who.all) t.join(behind);
        check_converged(late, who.all[0], who.all[1], who.all[2]);
        check_same_reading(*late, *who.all[2]);
    }
}

TEST_CASE("text columns: what was pruned, and tombstones of which no deletion is known") {
    for (std::uint64_t seed = 1; seed <= 30; ++seed) {
        CAPTURE(seed);
        editors who(seed, 3);
        who.edit_all(10);
        const auto stable = who.all[0].version();
        who.edit(who.all[0]);
        who.edit(who.all[1]); // concurrently: some tombstones must stay
        who.all[0].prune(stable);
        text fresh{joinery::replica_id{77}};
        const auto whole = who.all[0].state().whole();
        fresh.join(*decode<delta<rga_text>>(encode(whole)));
        CHECK(fresh->max_lamport() == who.all[0]->max_lamport());
        check_same_reading(*fresh, *who.all[0]);
        fresh.join(who.all[1].state().delta_since(stable));
        who.all[0].join(who.all[1].state());
        check_converged(fresh, who.all[0]);
        fresh.prune(fresh.version());
        who.all[0].prune(who.all[0].version());
        check_converged(fresh, who.all[0]);
    }
}

TEST_CASE("text columns: a small text of many runs that came in one delta") {
    text a{id_a};
    a.edit([](rga_text& x, transaction& tx) {
        for (std::size_t i = 0; i < 40; ++i) x.insert(tx, i % 3 == 0 ? 0 : x.size() / 2, "ab");
        x.erase(tx, 5, 20);
    });
    text b{id_b};
    b.join(a.state().whole()); // and is kept as its bytes
    CHECK(b->str() == a->str());
    check_converged(a, b);
    a.edit([](rga_text& x, transaction& tx) {
        x.erase(tx, 0, 45);
        x.insert(tx, 3, "end");
    });
    a.prune(a.version());
    text c{id_c};
    c.join(a.state().whole());
    const auto part = c.state().delta_since({{id_a, 12}});
    CHECK(part.fragment.columns == nullptr);
    check_converged(a, c);
}

TEST_CASE("text columns: nobody deletes a character twice") {
    delta<rga_text> d; // whose Lamport numbers are not in the order of the dots
    const joinery::replica_id z{99};
    d.fragment.runs.push_back({{id_a, 1}, {}, 1, 10, false});
    d.fragment.runs.push_back({{id_a, 2}, {id_a, 1}, 2, 11, true});
    d.fragment.runs.push_back({{id_a, 4}, {id_a, 3}, 3, 13, false});
    d.fragment.text = "adef";
    for (std::uint64_t i = 0; i < 17; ++i) {
        d.fragment.runs.push_back({{joinery::replica_id{20 + i}, 1}, {}, 1, 1 + i, false});
        d.fragment.text += "x";
    }
    d.fragment.deletions.push_back({{z, 1}, {id_a, 2}, 1, 1, false});
    d.fragment.deletions.push_back({{z, 2}, {id_a, 3}, 2, 2, true});
    CHECK_FALSE(in_columns(d.fragment));
    const auto back = decode<text_fragment>(encode(d.fragment));
    REQUIRE(back);
    CHECK(*back == d.fragment);
}

TEST_CASE("text columns: a run that is longer than numbers go is refused") {
    bytes b{std::byte{0xc0}, std::byte{1}};
    for (int i = 0; i < 8; ++i) b.push_back(std::byte{1});
    b.push_back(std::byte{10});
    for (int i = 0; i < 9; ++i) b.push_back(std::byte{0xff});
    b.push_back(std::byte{1});
    b.push_back(std::byte{'a'});
    CHECK_FALSE(decode<text_fragment>(b));
}

TEST_CASE("text columns: dots are renamed inside them") {
    for (std::uint64_t seed = 1; seed <= 20; ++seed) {
        CAPTURE(seed);
        editors who(seed, 2);
        who.edit_all(9);
        const auto state = who.all[1].state(); // whose id is the greatest, as the new one is: the order stays
        const auto id = who.all[1].id();
        const std::uint64_t last = state.version()[id];
        const joinery::dot_renaming renaming{id, seed % 3 == 0 ? 0 : last / 2, joinery::replica_id{99}};
        const auto d = decode<delta<rga_text>>(encode(state.whole()), &renaming);
        REQUIRE(d);
        text renamed{joinery::replica_id{77}};
        renamed.join(*d);
        CHECK(renamed->str() == state->str());
        CHECK(renamed.version()[joinery::replica_id{99}] == last - renaming.after);
        CHECK(renamed.version()[id] == renaming.after);
        const auto again = decode<delta<rga_text>>(encode(renamed.state().whole()));
        REQUIRE(again);
        CHECK(again->fragment == renamed.state().whole().fragment);
    }
}

TEST_CASE("text columns: a fragment is what it is, spelled out or not") {
    editors who(5, 2);
    who.edit_all(12);
    const auto whole = who.all[0].state().whole().fragment;
    const auto read = *decode<text_fragment>(encode(whole));
    CHECK(read.columns);
    CHECK(read.runs.empty());
    CHECK_FALSE(read.empty());
    CHECK(read == whole);
    auto spelled = read;
    spelled.spell_out();
    CHECK_FALSE(spelled.columns);
    CHECK(spelled.runs == whole.runs);
    CHECK(spelled.text == whole.text);
    CHECK(spelled.deletions == whole.deletions);
    auto other = whole;
    other.text.front() = other.text.front() == 'q' ? 'r' : 'q';
    CHECK_FALSE(read == other);
    // What is not whole goes as runs: a part, and what names something that is not there.
    auto part = whole;
    part.runs.erase(part.runs.begin());
    CHECK_FALSE(in_columns(who.all[0].state().delta_since({{who.all[0].id(), 5}}).fragment));
    CHECK(*decode<text_fragment>(encode(other)) == other);
}

TEST_CASE("text columns: damaged bytes are refused, or are another text") {
    std::mt19937_64 random(7);
    const auto below = [&](std::size_t n) { return static_cast<std::size_t>(random() % n); };
    editors who(3, 3);
    who.edit_all(6);
    who.all[0].prune({{who.all[0].id(), 4}});
    const bytes good = encode(who.all[0].state().whole().fragment);
    REQUIRE(good.at(0) == std::byte{1});
    std::size_t accepted = 0;
    for (int i = 0; i < 20000; ++i) {
        bytes bad = good;
        for (std::size_t n = 1 + below(2); n > 0; --n) {
            auto& b = bad[1 + below(bad.size() - 1)];
            b = below(2) ? static_cast<std::byte>(below(256)) : static_cast<std::byte>(std::to_integer<int>(b) + 1);
        }
        if (below(8) == 0) bad.resize(below(bad.size()));
        auto f = decode<text_fragment>(bad);
        if (!f) continue;
        ++accepted;
        REQUIRE(encode(*f) == bad);
        if (accepted % 8 != 0) continue;
        f->spell_out();
        REQUIRE(encode(*f) == bad);
        delta<rga_text> d;
        d.fragment = *decode<text_fragment>(bad);
        for (const auto& r : f->runs) d.covered.add({r.first.replica, r.first.seq, r.first.seq + r.count - 1});
        for (const auto& r : f->deletions) d.covered.add({r.first.replica, r.first.seq, r.first.seq + r.count - 1});
        text t{id_c};
        t.join(d);
        check_same_reading(*t, *decode<causal<rga_text>>(encode(t.state())).value());
        t.edit([](rga_text& x, transaction& tx) { x.insert(tx, x.size() / 2, "ok"); });
        CHECK(decode<causal<rga_text>>(encode(t.state())).value() == t.state());
        t.join(who.all[0].state());
    }
    CHECK(accepted > 200);
}
