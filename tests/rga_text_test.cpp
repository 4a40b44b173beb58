// SPDX-License-Identifier: Apache-2.0
#include <joinery/rga_text.hpp>

#include <joinery/codec.hpp>
#include <joinery/replica.hpp>

#include <cereal/archives/json.hpp>
#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <functional>
#include <map>
#include <optional>
#include <random>
#include <set>
#include <sstream>
#include <stdexcept>
#include <string>
#include <tuple>
#include <vector>

namespace {

using joinery::causal;
using joinery::causal_context;
using joinery::delta;
using joinery::dot;
using joinery::dot_range;
using joinery::replica;
using joinery::replica_id;
using joinery::rga_text;
using joinery::text_deletion;
using joinery::text_fragment;
using joinery::text_run;
using joinery::transaction;
using joinery::version_vector;

// A value around a text, as a map's or a record's is: it can be wiped, which is a removal from outside.
struct note {
    using fragment = text_fragment;
    rga_text text;

    void wipe(transaction& tx) {
        joinery::kills killed;
        text.clear(tx, killed);
        dot event = tx.next();
        tx.record(event, std::move(killed));
    }
    void extract(const causal_context& wanted, fragment& out) const { text.extract(wanted, out); }
    void join(const fragment& f, joinery::join_scope& s) { text.join(f, s); }
    void kill(const dot_range& dots, joinery::join_scope& s) { text.kill(dots, s); }
    void clear(transaction& tx, joinery::kills& out) { text.clear(tx, out); }
    void prune(const version_vector& stable, std::span<const dot_range> settled, joinery::dot_sink* sink) {
        text.prune(stable, settled, sink);
    }
    bool empty() const { return text.empty(); }
    bool vacant() const { return text.vacant(); }
    std::uint64_t digest(const causal_context& all) const { return text.digest(all); }
    static std::string type_name() { return "note"; }
    friend bool operator==(const note&, const note&) = default;
};

using writer = replica<note>;
using note_delta = delta<note>;

const replica_id id_a{0xa};
const replica_id id_b{0xb};
const replica_id id_c{0xc};
const replica_id id_d{0xd};

note_delta insert(writer& w, std::size_t pos, const std::string& what) {
    return w.edit([&](note& n, transaction& tx) { n.text.insert(tx, pos, what); });
}
note_delta erase(writer& w, std::size_t pos, std::size_t n) {
    return w.edit([&](note& x, transaction& tx) { x.text.erase(tx, pos, n); });
}
note_delta wipe(writer& w) {
    return w.edit([](note& n, transaction& tx) { n.wipe(tx); });
}
std::string str(const writer& w) { return w->text.str(); }

template <class... W> void check_converged(writer& first, W&... others) {
    std::vector<writer*> all{&first, &others...};
    for (int round = 0; round < 2; ++round)
        for (auto* to : all)
            for (auto* from : all)
                if (to != from) to->join(from->delta_since(to->version()));
    for (auto* w : all) {
        CHECK(w->state() == first.state());
        CHECK(str(*w) == str(first));
        CHECK(w->state().digest() == first.state().digest());
    }
}

// A round through the wire.
note_delta sent(const note_delta& d) {
    auto bytes = joinery::encode(d);
    auto back = joinery::decode<note_delta>(bytes);
    REQUIRE(back);
    CHECK(*back == d);
    CHECK(joinery::encode(*back) == bytes);
    return *back;
}

// What f throws is the caller's; what the edit has done by then is undone.
template <class F> void undone(writer& w, F&& f) {
    struct cancelled {};
    auto before = joinery::encode(w.state());
    CHECK_THROWS_AS(w.edit([&](note& n, transaction& tx) {
        f(n, tx);
        throw cancelled{};
    }),
                    cancelled);
    CHECK(joinery::encode(w.state()) == before);
}

// ---- the specification: the text as a function of the dots seen, nothing else ----

struct history {
    struct character {
        dot parent;
        std::uint64_t lamport;
        std::string utf8;
    };
    struct event {
        std::vector<dot> kills;
        std::uint64_t lamport;
    };
    std::map<dot, character> inserted;
    std::map<dot, event> removed;

    // All characters seen that hang together with the start: children in descending order of (lamport, replica).
    std::vector<dot> order(const causal_context& seen) const {
        std::map<dot, std::vector<dot>> children;
        for (const auto& [d, c] : inserted)
            if (seen.contains(d)) children[c.parent].push_back(d);
        std::vector<dot> out;
        std::vector<dot> open{dot{}};
        while (!open.empty()) {
            dot at = open.back();
            open.pop_back();
            if (at.seq > 0) out.push_back(at);
            auto& below = children[at];
            std::sort(below.begin(), below.end(), [&](dot x, dot y) {
                return std::tuple(inserted.at(x).lamport, x.replica) < std::tuple(inserted.at(y).lamport, y.replica);
            });
            open.insert(open.end(), below.begin(), below.end());
        }
        return out;
    }
    std::set<dot> dead(const causal_context& seen) const {
        std::set<dot> out;
        for (const auto& [d, e] : removed)
            if (seen.contains(d)) out.insert(e.kills.begin(), e.kills.end());
        return out;
    }
    std::vector<dot> visible(const causal_context& seen) const {
        auto gone = dead(seen);
        std::vector<dot> out;
        for (dot d : order(seen))
            if (!gone.contains(d)) out.push_back(d);
        return out;
    }
    // What a removal from outside kills: the characters that wait for their parents too.
    std::vector<dot> living(const causal_context& seen) const {
        auto gone = dead(seen);
        std::vector<dot> out;
        for (const auto& [d, c] : inserted)
            if (seen.contains(d) && !gone.contains(d)) out.push_back(d);
        return out;
    }
    std::string text(const std::vector<dot>& dots) const {
        std::string out;
        for (dot d : dots) out += inserted.at(d).utf8;
        return out;
    }
    std::uint64_t lamport(const causal_context& seen) const {
        std::uint64_t greatest = 0;
        for (const auto& [d, c] : inserted)
            if (seen.contains(d)) greatest = std::max(greatest, c.lamport);
        for (const auto& [d, e] : removed)
            if (seen.contains(d)) greatest = std::max(greatest, e.lamport);
        return greatest;
    }
};

class random_history {
public:
    random_history(std::uint64_t seed, std::size_t n) : random_(seed) {
        for (std::size_t i = 0; i < n; ++i) writers_.emplace_back(replica_id{0x100 * (random_() % 90 + 1) + i});
    }

    void step() {
        writer& w = writers_[below(writers_.size())];
        switch (below(21)) {
        case 0:
        case 1:
        case 2:
        case 3:
        case 4:
        case 5:
        case 6: edit(w); break;
        case 7: cancelled_edit(w); break;
        case 8:
        case 9:
        case 10:
        case 11:
        case 12:
            if (!deltas_.empty()) w.join(some_delta());
            break;
        case 13:
            if (!deltas_.empty()) { // a group of deltas
                note_delta group = some_delta();
                group.join(some_delta());
                group.join(some_delta());
                w.join(sent(group));
            }
            break;
        case 14:
        case 15: pull(w, writers_[below(writers_.size())]); break;
        case 16: { // the complete state, whether wanted or not
            writer& from = writers_[below(writers_.size())];
            if (&from == &w) break;
            w.join(from.state().whole());
            break;
        }
        case 17: prune(w); break;
        case 18: near_stability(); break;
        case 19: // a restart
            w = writer(w.id(), *joinery::decode<causal<note>>(joinery::encode(w.state())));
            break;
        case 20: hear(below(writers_.size()), below(writers_.size())); break;
        }
        check(w);
    }

    void end() {
        meet();
        for (auto& w : writers_) {
            check(w);
            CHECK(w.state() == writers_.front().state());
            CHECK(w.state().digest() == writers_.front().state().digest());
        }
        for (std::size_t r = 0; r < writers_.size(); ++r)
            for (std::size_t m = 0; m < writers_.size(); ++m) hear(r, m);
        for (auto& w : writers_) prune(w);
        for (auto& w : writers_) {
            check(w);
            // Nothing is left of what was deleted.
            note_delta whole = w.state().whole();
            CHECK(whole.fragment.deletions.empty());
            for (const auto& r : whole.fragment.runs) CHECK(!r.deleted);
            CHECK(joinery::encode(w.state()) == joinery::encode(writers_.front().state()));
        }
        // Who comes later gets the complete state, and goes on from there.
        writer late{replica_id{7}};
        late.join(sent(writers_.front().state().whole()));
        check(late);
        edit(late);
        check(late);
    }

    std::size_t inserted() const { return history_.inserted.size(); }

private:
    std::mt19937_64 random_;
    std::vector<writer> writers_;
    std::vector<note_delta> deltas_;
    std::map<std::pair<std::size_t, std::size_t>, std::vector<version_vector>> beacons_;
    history history_;

    std::size_t below(std::size_t n) { return static_cast<std::size_t>(random_() % n); }
    const note_delta& some_delta() {
        // Mostly late ones.
        return below(3) ? deltas_[deltas_.size() - 1 - below(std::min<std::size_t>(deltas_.size(), 6))]
                        : deltas_[below(deltas_.size())];
    }

    void insert_some(note& n, transaction& tx, causal_context& seen) {
        static const std::array<std::string, 6> letters{"a", "b", "c", "\u00e9", "\u20ac", "\U0001f600"};
        auto visible = history_.visible(seen);
        std::size_t pos = below(3) ? below(visible.size() + 1) : 0;
        dot parent = pos > 0 ? visible[pos - 1] : dot{};
        std::uint64_t lamport = history_.lamport(seen);
        std::size_t count = 1 + below(4);
        std::string all;
        dot next{tx.replica(), seen.greatest(tx.replica())};
        for (std::size_t i = 0; i < count; ++i) {
            ++next.seq;
            std::string letter = letters[below(letters.size())];
            all += letter;
            history_.inserted[next] = {parent, ++lamport, letter};
            seen.add(next);
            parent = next;
        }
        switch (below(3)) {
        case 0: n.text.insert(tx, pos, all); break;
        case 1: n.text.insert_utf8(tx, n.text.to_utf8(pos), all); break;
        case 2: n.text.insert_utf16(tx, n.text.to_utf16(pos), all); break;
        }
    }

    void erase_some(note& n, transaction& tx, causal_context& seen) {
        auto visible = history_.visible(seen);
        if (visible.empty()) return;
        std::size_t pos = below(visible.size());
        std::size_t count = std::min<std::size_t>(1 + below(4), visible.size() - pos);
        std::uint64_t lamport = history_.lamport(seen);
        dot next{tx.replica(), seen.greatest(tx.replica())};
        for (std::size_t i = 0; i < count; ++i) {
            ++next.seq;
            history_.removed[next] = {{visible[pos + i]}, ++lamport};
            seen.add(next);
        }
        std::size_t first = n.text.to_utf8(pos);
        std::size_t unit = n.text.to_utf16(pos);
        switch (below(3)) {
        case 0: n.text.erase(tx, pos, count); break;
        case 1: n.text.erase_utf8(tx, first, n.text.to_utf8(pos + count) - first); break;
        case 2: n.text.erase_utf16(tx, unit, n.text.to_utf16(pos + count) - unit); break;
        }
    }

    void wipe_all(note& n, transaction& tx, causal_context& seen) {
        dot next{tx.replica(), seen.greatest(tx.replica()) + 1};
        history_.removed[next] = {history_.living(seen), 0};
        seen.add(next);
        n.wipe(tx);
    }

    void change(writer& w, note& n, transaction& tx) {
        causal_context seen = w.state().context();
        for (std::size_t ops = 1 + below(3); ops > 0; --ops) {
            switch (below(16)) {
            case 0: wipe_all(n, tx, seen); break;
            case 1:
            case 2:
            case 3:
            case 4:
            case 5: erase_some(n, tx, seen); break;
            default: insert_some(n, tx, seen); break;
            }
            CHECK(n.text.str() == history_.text(history_.visible(seen)));
        }
    }

    void edit(writer& w) {
        auto d = w.edit([&](note& n, transaction& tx) { change(w, n, tx); });
        deltas_.push_back(sent(d));
    }

    void cancelled_edit(writer& w) {
        auto kept = history_;
        undone(w, [&](note& n, transaction& tx) { change(w, n, tx); });
        history_ = kept;
    }

    void pull(writer& to, writer& from) {
        if (&to == &from) return;
        note_delta d = from.delta_since(to.version());
        CHECK(to.accepts(d));
        to.join(sent(d));
        check(to);
    }

    void meet() {
        for (int round = 0; round < 2; ++round)
            for (auto& to : writers_)
                for (auto& from : writers_) pull(to, from);
    }

    // Writer r hears which version m has.
    void hear(std::size_t r, std::size_t m) { beacons_[{r, m}].push_back(writers_[m].version()); }

    // A beacon counts once all that its sender had issued by then has arrived.
    void prune(writer& w) {
        std::size_t r = static_cast<std::size_t>(&w - writers_.data());
        version_vector mine = w.version();
        version_vector stable = mine;
        for (std::size_t m = 0; m < writers_.size(); ++m) {
            version_vector acknowledged;
            for (const auto& b : beacons_[{r, m}])
                if (b[writers_[m].id()] <= mine[writers_[m].id()]) acknowledged = b;
            if (m != r) stable.meet(acknowledged);
        }
        w.prune(stable);
    }

    // Most of the group agree, write a little more, and some of them prune.
    void near_stability() {
        auto maybe_edit = [&] {
            if (below(10) < 7) edit(writers_[below(writers_.size())]);
        };
        std::size_t hub = below(writers_.size());
        for (auto& w : writers_) pull(writers_[hub], w);
        for (auto& w : writers_) pull(w, writers_[hub]);
        maybe_edit();
        maybe_edit();
        for (std::size_t r = 0; r < writers_.size(); ++r)
            for (std::size_t m = 0; m < writers_.size(); ++m)
                if (below(10) < 7) hear(r, m);
        maybe_edit();
        for (auto& w : writers_)
            if (below(10) < 6) prune(w);
        if (below(2)) pull(writers_[below(writers_.size())], writers_[below(writers_.size())]);
    }

    void check(writer& w) {
        const auto& seen = w.state().context();
        auto visible = history_.visible(seen);
        std::string expected = history_.text(visible);
        REQUIRE(str(w) == expected);
        CHECK(w->text.size() == visible.size());
        CHECK(w->text.size_utf8() == expected.size());
        CHECK(w->text.empty() == expected.empty());
        CHECK(w->text.max_lamport() == history_.lamport(seen));
        if (visible.empty()) return;
        std::size_t pos = below(visible.size());
        std::size_t n = below(visible.size() - pos + 1);
        auto part = std::vector<dot>(visible.begin() + static_cast<std::ptrdiff_t>(pos),
                                     visible.begin() + static_cast<std::ptrdiff_t>(pos + n));
        CHECK(w->text.substr(pos, n) == history_.text(part));
        CHECK(w->text.from_utf8(w->text.to_utf8(pos)) == pos);
        CHECK(w->text.from_utf16(w->text.to_utf16(pos)) == pos);
    }
};

} // namespace

TEST_CASE("rga_text: random histories follow the rule, with gaps, duplicates, relays and pruning") {
    std::size_t characters = 0;
    for (std::uint64_t seed = 1; seed <= 1500; ++seed) {
        CAPTURE(seed);
        random_history h(seed, 2 + seed % 3);
        for (std::size_t i = 0; i < 20 + seed % 40; ++i) h.step();
        h.end();
        characters += h.inserted();
    }
    CHECK(characters > 10000);
}

// Large enough for a tree of several levels, which the histories above are not.
TEST_CASE("rga_text: a large text, edited at random, agrees with a plain one here and at a follower") {
    for (std::uint64_t seed = 1; seed <= 3; ++seed) {
        CAPTURE(seed);
        std::mt19937_64 random(seed);
        auto below = [&](std::size_t n) { return static_cast<std::size_t>(random() % n); };
        writer a{id_a};
        writer b{id_b};
        std::vector<std::string> plain; // one string for each character
        auto text = [&] {
            std::string out;
            for (const auto& c : plain) out += c;
            return out;
        };
        auto at = [&](std::size_t pos) { return plain.begin() + static_cast<std::ptrdiff_t>(pos); };
        static const std::array<std::string, 4> letters{"x", "\u00e9", "\u20ac", "\U0001f600"};
        for (int i = 0; i < 6000; ++i) {
            std::size_t pos = below(plain.size() + 1);
            auto change = [&](note& n, transaction& tx) {
                if (below(100) < (i < 4000 ? 60u : 35u)) {
                    std::size_t count = below(200) == 0 ? 1 + below(4000) : 1 + below(6);
                    std::string all;
                    std::vector<std::string> parts;
                    for (std::size_t k = 0; k < count; ++k)
                        all += parts.emplace_back(letters[below(8) < 5 ? 0 : below(4)]);
                    n.text.insert(tx, pos, all);
                    plain.insert(at(pos), parts.begin(), parts.end());
                } else {
                    std::size_t count = std::min(plain.size() - pos, below(100) == 0 ? below(3000) : below(12));
                    n.text.erase(tx, pos, count);
                    plain.erase(at(pos), at(pos + count));
                }
            };
            if (below(20) == 0) {
                auto kept = plain;
                try {
                    a.edit([&](note& n, transaction& tx) {
                        change(n, tx);
                        pos = below(plain.size() + 1);
                        change(n, tx);
                        throw std::runtime_error("undone");
                    });
                } catch (const std::runtime_error&) {
                }
                plain = kept;
            } else {
                b.join(a.edit(change));
            }
            CHECK(a->text.size() == plain.size());
            if (i % 200 == 0) {
                REQUIRE(str(a) == text());
                REQUIRE(str(b) == text());
                writer c{id_c};
                c.join(sent(a.state().whole()));
                CHECK(c.state() == a.state());
                if (i % 400 == 0) a.prune(a.version());
                if (i % 600 == 0) b.prune(a.version());
            }
        }
        REQUIRE(str(a) == text());
        check_converged(a, b);
        b.join(erase(a, 0, plain.size()));
        a.prune(a.version());
        b.join(a.state().whole());
        CHECK(a.state().whole().fragment.runs.empty());
        CHECK(joinery::encode(a.state()) == joinery::encode(b.state()));
        CHECK(a->text.memory() < 40000);
    }
}

TEST_CASE("rga_text: three replicas write much apart, meet, and follow the rule") {
    std::mt19937_64 random(5);
    auto below = [&](std::size_t n) { return static_cast<std::size_t>(random() % n); };
    std::array<writer, 3> all{writer{id_c}, writer{id_a}, writer{id_b}};
    history h;
    for (int round = 0; round < 6; ++round) {
        for (auto& w : all) {
            auto visible = h.visible(w.state().context());
            std::uint64_t lamport = h.lamport(w.state().context());
            std::uint64_t seq = w.version()[w.id()];
            std::vector<note_delta> deltas;
            for (int i = 0; i < 400; ++i) {
                // Often at the very start, often where the others write.
                std::size_t pos = below(3) == 0 ? 0 : below(2) ? below(visible.size() + 1) : visible.size() / 2;
                auto v = visible.begin() + static_cast<std::ptrdiff_t>(pos);
                if (pos < visible.size() && below(3) == 0) {
                    h.removed[{w.id(), ++seq}] = {{*v}, ++lamport};
                    visible.erase(v);
                    deltas.push_back(erase(w, pos, 1));
                } else {
                    h.inserted[{w.id(), ++seq}] = {pos > 0 ? visible[pos - 1] : dot{}, ++lamport, "x"};
                    visible.insert(v, dot{w.id(), seq});
                    deltas.push_back(insert(w, pos, "x"));
                }
            }
            REQUIRE(w->text.max_lamport() == lamport);
            std::shuffle(deltas.begin(), deltas.end(), random); // one of the others hears all of it, at random
            for (const auto& d : deltas) all[(static_cast<std::size_t>(round) + 1) % 3].join(d);
        }
        check_converged(all[0], all[1], all[2]);
        if (round < 2) // nothing is pruned yet: parents are those that the writers saw
            for (const auto& r : all[0].state().whole().fragment.runs) CHECK(r.parent == h.inserted.at(r.first).parent);
        // The dots, not the letters, show the order.
        writer copy{id_d, all[0].state()};
        auto expected = h.visible(copy.state().context());
        REQUIRE(copy->text.size() == expected.size());
        for (std::size_t i = 0; i < expected.size(); i += 97) {
            auto d = erase(copy, i, 1);
            CHECK(d.fragment.deletions.front().target == expected[i]);
            expected.erase(expected.begin() + static_cast<std::ptrdiff_t>(i));
        }
        if (round % 2)
            for (auto& w : all) w.prune(all[0].version());
    }
}

TEST_CASE("rga_text: positions in code points, UTF-8 and UTF-16") {
    writer a{id_a};
    insert(a, 0, "a\u00e9\u20ac\U0001f600z");
    const rga_text& text = a->text;
    CHECK(text.size() == 5);
    CHECK(text.size_utf8() == 11);
    CHECK(text.size_utf16() == 6);
    std::array<std::size_t, 6> bytes{0, 1, 3, 6, 10, 11};
    std::array<std::size_t, 6> units{0, 1, 2, 3, 5, 6};
    for (std::size_t i = 0; i < 6; ++i) {
        CHECK(text.to_utf8(i) == bytes[i]);
        CHECK(text.to_utf16(i) == units[i]);
        CHECK(text.from_utf8(bytes[i]) == i);
        CHECK(text.from_utf16(units[i]) == i);
    }
    CHECK(text.substr(1, 2) == "\u00e9\u20ac");
    CHECK(text.substr(3) == "\U0001f600z");
    CHECK(text.substr(5).empty());

    a.edit([](note& n, transaction& tx) {
        n.text.insert_utf8(tx, 10, "8");
        n.text.insert_utf16(tx, 3, "16");
        n.text.erase_utf8(tx, 1, 2);
        n.text.erase_utf16(tx, 4, 2);
    });
    CHECK(str(a) == "a\u20ac168z");
}

TEST_CASE("rga_text: bad arguments are refused and change nothing") {
    writer a{id_a};
    insert(a, 0, "a\u00e9\U0001f600");
    auto before = joinery::encode(a.state());
    auto refused = [&](auto exception, auto&& f) {
        using E = decltype(exception);
        CHECK_THROWS_AS(a.edit([&](note& n, transaction& tx) { f(n.text, tx); }), E);
        CHECK(joinery::encode(a.state()) == before);
        writer empty{id_b};
        CHECK_THROWS(empty.edit([&](note& n, transaction& tx) { f(n.text, tx); }));
        CHECK(empty->vacant());
    };
    std::out_of_range range("");
    std::invalid_argument invalid("");
    refused(range, [](rga_text& t, transaction& tx) { t.insert(tx, 4, "x"); });
    refused(range, [](rga_text& t, transaction& tx) { t.insert(tx, 4, ""); });
    refused(range, [](rga_text& t, transaction& tx) { t.erase(tx, 1, 3); });
    refused(range, [](rga_text& t, transaction& tx) { t.erase(tx, 3, static_cast<std::size_t>(-1)); });
    refused(range, [](rga_text& t, transaction& tx) { t.erase_utf8(tx, 7, 1); });
    refused(range, [](rga_text& t, transaction& tx) { t.insert_utf16(tx, 5, "x"); });
    CHECK_THROWS_AS(a->text.substr(4), std::out_of_range);
    CHECK_THROWS_AS(a->text.from_utf8(8), std::out_of_range);
    refused(invalid, [](rga_text& t, transaction& tx) {
        if (t.empty()) throw std::invalid_argument("");
        t.insert_utf8(tx, 2, "x");
    });
    refused(invalid, [](rga_text& t, transaction& tx) {
        if (t.empty()) throw std::invalid_argument("");
        t.erase_utf16(tx, 2, 1);
    });
    for (std::string bad : {"\xff", "a\x80", "\xc0\x80", "\xc3", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xe0\x80\x80",
                            "\xf0\x80\x80\x80", "12345678\xe2\x82", "\xf8\x88\x80\x80\x80"})
        refused(invalid, [&](rga_text& t, transaction& tx) { t.insert(tx, 0, bad); });
    a.edit([](note& n, transaction& tx) {
        n.text.insert(tx, 3, "");
        n.text.erase(tx, 3, 0);
        CHECK(tx.empty());
    });
}

TEST_CASE("rga_text: concurrent insertions at one place stay together, the greater replica first") {
    writer a{id_a};
    writer b{id_b};
    auto a1 = insert(a, 0, "one ");
    auto b1 = insert(b, 0, "two ");
    b.join(sent(a1));
    a.join(sent(b1));
    CHECK(str(a) == "two one ");
    // b has seen everything, so what it writes now at the start comes first everywhere.
    a.join(insert(b, 0, "new "));
    CHECK(str(a) == "new two one ");
    check_converged(a, b);
}

TEST_CASE("rga_text: an insertion beside tombstones follows the character visible before it") {
    writer a{id_a};
    writer b{id_b};
    b.join(insert(a, 0, "abcd"));
    auto erased = erase(a, 1, 2);     // a has "ad"
    auto between = insert(a, 1, "X"); // after a, not after the dead c
    auto inside = insert(b, 2, "Y");  // after b, which a has deleted
    CHECK(str(b) == "abYcd");
    CHECK(between.fragment.runs.front().parent == dot{id_a, 1});
    a.join(inside);
    b.join(between);
    b.join(erased);
    CHECK(str(a) == "aXYd");
    check_converged(a, b);
}

TEST_CASE("rga_text: deltas in any order and number give the same text") {
    writer a{id_a};
    std::vector<note_delta> deltas;
    deltas.push_back(insert(a, 0, "hello"));
    deltas.push_back(insert(a, 5, " world"));
    deltas.push_back(erase(a, 0, 1));
    deltas.push_back(insert(a, 0, "J"));
    deltas.push_back(wipe(a));
    deltas.push_back(insert(a, 0, "after"));
    std::vector<std::size_t> order{0, 1, 2, 3, 4, 5};
    do {
        writer b{id_b};
        for (std::size_t i : order) {
            b.join(deltas[i]);
            b.join(deltas[order[0]]);
        }
        REQUIRE(str(b) == "after");
        REQUIRE(b.state() == a.state());
    } while (std::next_permutation(order.begin(), order.end()));
}

TEST_CASE("rga_text: text waits for its parent, also through a relay") {
    writer a{id_a};
    writer b{id_b};
    writer c{id_c};
    auto a1 = insert(a, 0, "first ");
    b.join(a1);
    auto b1 = insert(b, 6, "second ");
    a.join(b1);
    auto a2 = insert(a, 13, "third");
    auto a3 = erase(a, 0, 1);

    // c hears of the end, then of a deletion in what it does not have, and can show nothing.
    c.join(a2);
    c.join(a3);
    CHECK(str(c).empty());
    CHECK(c->text.max_lamport() == a->text.max_lamport());
    // A relay passes on what c waits with.
    writer d{id_d};
    d.join(sent(c.state().whole()));
    d.join(b1);
    CHECK(str(d).empty());
    d.join(a1);
    CHECK(str(d) == "irst second third");
    c.join(d.delta_since(c.version()));
    CHECK(str(c) == "irst second third");
    check_converged(a, b, c, d);
}

TEST_CASE("rga_text: the same dots twice are the same text") {
    writer a{id_a};
    writer b{id_b};
    auto d = insert(a, 0, "text");
    note_delta group = d;
    group.join(d);
    group.join(insert(a, 4, "s"));
    CHECK(b.join(sent(group)));
    CHECK(!b.join(d));
    CHECK(!b.join(a.state().whole()));
    CHECK(str(b) == "texts");
}

TEST_CASE("rga_text: what was concurrently inserted survives a removal from outside, in place") {
    writer a{id_a};
    writer b{id_b};
    b.join(insert(a, 0, "old text"));
    auto wiped = wipe(a);
    CHECK(a->empty());
    CHECK(!a->vacant());
    auto inserted = insert(b, 4, "NEW ");
    a.join(inserted);
    CHECK(str(a) == "NEW ");
    b.join(sent(wiped));
    CHECK(str(b) == "NEW ");
    // And it stays between what had been around it: c sees the removal last.
    writer c{id_c};
    c.join(inserted);
    c.join(insert(b, 0, "<"));
    c.join(insert(b, 5, ">"));
    check_converged(a, b, c);
    CHECK(str(c) == "<NEW >");
}

TEST_CASE("rga_text: an edit that throws leaves nothing behind") {
    writer a{id_a};
    undone(a, [](note& n, transaction& tx) { n.text.insert(tx, 0, "never"); });
    CHECK(a->vacant());
    insert(a, 0, "some t\u00e9xt, longer than a short string");
    writer b{id_b};
    b.join(a.state().whole());
    undone(a, [](note& n, transaction& tx) {
        n.text.erase(tx, 2, 9);
        n.text.insert(tx, 4, "inserted");
        n.text.erase(tx, 0, 6);
        n.wipe(tx);
        n.text.insert(tx, 0, "again");
    });
    // The dots are issued anew and nobody notices.
    b.join(insert(a, 0, "> "));
    CHECK(str(a) == "> some t\u00e9xt, longer than a short string");
    check_converged(a, b);
}

TEST_CASE("rga_text: copies are deep, moves leave a usable text") {
    writer a{id_a};
    insert(a, 0, "shared");
    rga_text copy = a->text;
    CHECK(copy == a->text);
    insert(a, 6, "!");
    CHECK(copy.str() == "shared");
    CHECK(!(copy == a->text));
    rga_text moved = std::move(copy);
    copy = rga_text();
    CHECK(copy.empty());
    CHECK(moved.str() == "shared");
}

TEST_CASE("rga_text: equality is over visible characters and their dots") {
    writer a{id_a};
    writer b{id_b};
    insert(a, 0, "same");
    insert(b, 0, "same");
    CHECK(!(a->text == b->text));
    CHECK(rga_text() == rga_text());
    // Tombstones do not count.
    writer c{id_c};
    c.join(a.state().whole());
    c.edit([](note& n, transaction& tx) {
        n.text.insert(tx, 2, "xyz");
        n.text.erase(tx, 2, 3);
    });
    CHECK(c->text == a->text);
    CHECK(c->text.digest({}) == a->text.digest({}));
}

TEST_CASE("rga_text: tombstones are pruned from right to left, as far as all have seen what follows") {
    writer a{id_a};
    writer b{id_b};
    writer c{id_c};
    // All have "pt"; b, which does not yet know that a deletes t, writes n after it, and s after p.
    auto a1 = insert(a, 0, "pt");
    b.join(a1);
    c.join(a1);
    auto n = insert(b, 2, "n");
    auto gone = erase(a, 1, 1);
    auto s = insert(c, 1, "s"); // a sibling of t that comes before it
    for (auto* w : {&a, &b, &c}) {
        w->join(gone);
        w->join(s);
    }
    a.join(n);
    CHECK(str(a) == "psn");
    // c has not seen n: t has to stay at a, so that n, relayed, finds its place at c.
    a.prune(c.version());
    CHECK(a.state().whole().fragment.runs.size() == 4);
    CHECK(a.state().whole().fragment.deletions.empty());
    c.join(a.delta_since(c.version()));
    CHECK(str(c) == "psn");
    // Now everybody has everything.
    b.join(c.delta_since(b.version()));
    for (auto* w : {&a, &b, &c}) w->prune(a.version());
    for (const auto& r : a.state().whole().fragment.runs) CHECK(!r.deleted);
    CHECK(joinery::encode(a.state()) == joinery::encode(b.state()));
    check_converged(a, b, c);
}

TEST_CASE("rga_text: the greatest Lamport number outlives pruning") {
    writer a{id_a};
    insert(a, 0, "xyz");
    erase(a, 0, 3);
    CHECK(a->text.max_lamport() == 6);
    a.prune(a.version());
    note_delta whole = sent(a.state().whole());
    CHECK(whole.fragment.runs.empty());
    CHECK(whole.fragment.lamport == 6);
    CHECK(!a->vacant());
    writer b{id_b};
    b.join(whole);
    CHECK(insert(b, 0, "w").fragment.runs.front().lamport == 7);
    // What exceeds it says it as well.
    CHECK(b.state().whole().fragment.lamport == 0);
}

TEST_CASE("rga_text: a complete state brings deletions that its sender has pruned") {
    writer a{id_a};
    writer b{id_b};
    writer c{id_c}; // has left the group
    auto a1 = insert(a, 0, "pt");
    b.join(a1);
    c.join(a1);
    auto n = insert(b, 2, "n"); // after t, which a deletes at the same time
    b.join(erase(a, 1, 1));
    b.prune({{id_a, 3}}); // the deletion's record goes, t stays before n
    CHECK(b.state().whole().fragment.deletions.empty());
    CHECK(b.state().whole().fragment.runs.size() == 3);
    a.join(n);
    c.join(sent(b.state().whole()));
    CHECK(str(c) == "pn");
    CHECK(c.state() == b.state());
    // c knows that this deletion was stable.
    c.prune(c.version());
    b.prune(c.version());
    CHECK(joinery::encode(b.state()) == joinery::encode(c.state()));
    CHECK(c.state().whole().fragment.runs.size() == 2);
}

TEST_CASE("rga_text: what waits for a pruned parent is placed by a complete state") {
    writer a{id_a};
    writer b{id_b};
    auto a1 = insert(a, 0, "pt");
    auto x = insert(a, 2, "x"); // after t
    b.join(a1);
    b.join(x);
    b.join(erase(a, 1, 1));
    b.prune(b.version());
    CHECK(b.state().whole().fragment.runs.size() == 2);
    writer late{id_c};
    late.join(x); // strayed in
    CHECK(str(late).empty());
    late.join(sent(b.state().whole()));
    CHECK(str(late) == "px");
    CHECK(joinery::encode(late.state()) == joinery::encode(b.state()));
}

TEST_CASE("rga_text: a complete state without tombstones leaves the order as it was") {
    writer a{id_a};
    writer b{id_b};
    auto b1 = insert(b, 0, "b");
    b.join(insert(a, 0, "xy"));
    b.join(erase(a, 0, 1)); // x, which is less than b; y is greater
    CHECK(str(b) == "by");
    b.prune({{id_a, 3}});
    CHECK(b.state().whole().fragment.runs.size() == 2);
    writer c{id_c};
    c.join(a.state().whole());
    c.join(b1);
    a.join(sent(b.state().whole()));
    CHECK(str(a) == "by");
    check_converged(a, b, c);
}

TEST_CASE("rga_text: complete states of two that have pruned differently give one order") {
    writer a{id_a};
    writer b{id_b};
    writer whole{id_c}; // never prunes
    std::vector<note_delta> deltas{insert(a, 0, "xmyn"), insert(b, 0, "1")};
    b.join(deltas[0]);
    deltas.push_back(insert(b, 3, "2")); // before y
    deltas.push_back(erase(a, 0, 1));
    deltas.push_back(erase(a, 1, 1)); // x and y
    for (const auto& d : deltas) {
        a.join(d);
        b.join(d);
        whole.join(d);
    }
    CHECK(str(b) == "1m2n");
    for (std::size_t pos : {0, 1, 3, 4}) {
        whole.join(insert(a, pos, "a"));
        whole.join(insert(b, pos, "b"));
    }
    b.prune({{id_a, 5}, {id_b, 1}});
    a.prune({{id_a, 6}, {id_b, 2}});
    auto from_a = sent(a.state().whole());
    auto from_b = sent(b.state().whole());
    a.join(from_b);
    b.join(from_a);
    CHECK(str(a) == str(whole));
    check_converged(a, b, whole);
}

TEST_CASE("rga_text: a tombstone stays while something inserted after it may be lacking somewhere") {
    writer a{id_a};
    writer b{id_b};
    writer c{id_c};
    auto base = insert(b, 0, "p");
    a.join(base);
    auto x = insert(a, 1, "x");
    auto t = insert(b, 1, "t"); // after p too, and greater than x
    auto gone = erase(b, 0, 1);
    a.join(t);
    a.join(gone);
    c.join(base);
    c.join(t);
    c.join(gone);
    CHECK(str(a) == "tx");
    a.prune(c.version()); // x is not stable, p its parent
    c.join(a.delta_since(c.version()));
    CHECK(str(c) == "tx");
    b.join(x);
    check_converged(a, b, c);
    a.prune(a.version());
    CHECK(a.state().whole().fragment.runs.size() == 2);
}

TEST_CASE("rga_text: edits that are re-issued under a new id stay where they were") {
    writer a{id_a};
    writer b{id_b};
    b.join(insert(a, 0, "shared text"));
    auto kept = a.version()[id_a];
    a.hold_from(kept);
    insert(a, 6, " own");
    erase(a, 0, 2);
    auto b1 = insert(b, 2, "!"); // after a character that a is about to have deleted
    std::string before = str(a);
    a.rename_from(kept, id_d);
    CHECK(str(a) == before);
    CHECK(a->text.max_lamport() == 17);
    // The deletion is not stable just because it has a new name.
    version_vector stable{{id_a, kept}};
    a.prune(stable);
    a.join(b1);
    b.join(a.delta_since(b.version()));
    CHECK(str(a) == "!ared own text");
    check_converged(a, b);
}

TEST_CASE("rga_text: runs in fragments are as long as they can be") {
    writer a{id_a};
    for (std::size_t i = 0; i < 5; ++i) insert(a, i, "x");
    CHECK(a.state().whole().fragment.runs.size() == 1);
    for (std::size_t i = 5; i-- > 2;) erase(a, i, 1); // backspace
    erase(a, 0, 1);                                   // delete
    erase(a, 0, 1);
    note_delta whole = sent(a.state().whole());
    REQUIRE(whole.fragment.runs.size() == 1);
    CHECK(whole.fragment.runs.front() == text_run{{id_a, 1}, {}, 5, 1, true});
    REQUIRE(whole.fragment.deletions.size() == 2);
    CHECK(whole.fragment.deletions[0] == text_deletion{{id_a, 6}, {id_a, 5}, 3, 6, true});
    CHECK(whole.fragment.deletions[1] == text_deletion{{id_a, 9}, {id_a, 1}, 2, 9, false});
    // A keystroke is a few bytes: header, dots, flags, parent, text.
    text_fragment key = insert(a, 0, "y").fragment;
    CHECK(joinery::encode(key).size() <= 15); // eight of them the replica's name
}

TEST_CASE("rga_text: fragments go through JSON") {
    writer a{id_a};
    writer b{id_b};
    b.join(insert(a, 0, "\"quoted\" \u20ac text"));
    a.join(insert(b, 3, "\U0001f600"));
    erase(a, 2, 4);
    text_fragment f = a.state().whole().fragment;
    std::stringstream stream;
    {
        cereal::JSONOutputArchive out(stream);
        out(f);
    }
    text_fragment back;
    cereal::JSONInputArchive in(stream);
    in(back);
    CHECK(back == f);
}

TEST_CASE("rga_text: short texts are small, deleted text is let go") {
    writer a{id_a};
    insert(a, 0, "a title of some words");
    CHECK(a->text.memory() < 500);
    insert(a, 0, std::string(1000000, 'x'));
    erase(a, 0, 1000000);
    CHECK(a->text.memory() < 500000);
    CHECK(joinery::encode(a.state()).size() < 100);
}

namespace {

note_delta hostile(std::vector<text_run> runs, std::string text, std::vector<text_deletion> deletions = {}) {
    note_delta d;
    d.fragment.runs = std::move(runs);
    d.fragment.text = std::move(text);
    d.fragment.deletions = std::move(deletions);
    for (const auto& r : d.fragment.runs) d.covered.add({r.first.replica, r.first.seq, r.first.seq + r.count - 1});
    for (const auto& r : d.fragment.deletions) d.covered.add({r.first.replica, r.first.seq, r.first.seq + r.count - 1});
    return d;
}

// Joined into an empty and into a used text, which must still work.
void survives(const note_delta& d) {
    for (bool used : {false, true}) {
        writer w{id_c};
        if (used) {
            insert(w, 0, "some text");
            erase(w, 3, 2);
        }
        std::string before = str(w);
        w.join(d);
        w.join(d);
        w.join(w.state().whole());
        insert(w, 0, "ab");
        erase(w, 1, 1);
        note_delta whole = w.state().whole();
        writer other{id_d};
        other.join(whole);
        CHECK(other->text.size() == w->text.size());
        w.prune(w.version());
        wipe(w);
        CHECK(w->empty());
    }
}

} // namespace

TEST_CASE("rga_text: hostile fragments do no harm") {
    constexpr std::uint64_t huge = std::uint64_t{1} << 60;
    SUBCASE("a character that is its own parent") { survives(hostile({{{id_a, 1}, {id_a, 1}, 1, 1}}, "x")); }
    SUBCASE("parents in a circle") {
        survives(hostile({{{id_a, 1}, {id_b, 2}, 2, 1}, {{id_b, 1}, {id_a, 2}, 2, 1}}, "wxyz"));
    }
    SUBCASE("a later character as parent") { survives(hostile({{{id_a, 1}, {id_a, 3}, 3, 1}}, "xyz")); }
    SUBCASE("the same dots twice, with other text") {
        survives(hostile({{{id_a, 1}, {}, 3, 1}, {{id_a, 2}, {}, 3, 7}}, "xyzuvw"));
        survives(hostile({{{id_a, 2}, {}, 1, 1}, {{id_a, 1}, {}, 3, 7}}, "xuvw"));
        survives(hostile({{{id_a, 2}, {id_b, 9}, 1, 1}, {{id_a, 1}, {id_b, 8}, 3, 7}}, "xuvw"));
    }
    SUBCASE("a child older than its parent") {
        survives(
            hostile({{{id_a, 1}, {}, 2, 50}, {{id_b, 1}, {id_a, 2}, 2, 1}, {{id_b, 3}, {id_a, 1}, 2, 50}}, "abcdef"));
    }
    SUBCASE("huge tombstones and Lamport numbers") {
        survives(hostile({{{id_a, 1}, {}, huge, huge, true}, {{id_b, 1}, {id_a, huge / 2}, 1, huge + huge}}, "x"));
        survives(hostile({{{id_a, 1}, {id_b, 5}, huge, 1, true}, {{id_b, 1}, {}, huge, 1, true}}, ""));
    }
    SUBCASE("huge deletions") {
        survives(hostile({{{id_a, 1}, {}, 3, 1}}, "abc", {{{id_a, huge}, {id_a, 1}, huge, 9, false}}));
        survives(hostile({{{id_a, 1}, {}, 3, 1}}, "abc", {{{id_a, huge}, {id_a, huge}, huge, 9, true}}));
    }
    SUBCASE("a deletion that kills itself, and one event twice") {
        survives(hostile({}, "", {{{id_a, 1}, {id_a, 1}, 1, 1, false}}));
        survives(hostile({{{id_a, 1}, {}, 3, 1}}, "abc",
                         {{{id_b, 1}, {id_a, 1}, 2, 4, false}, {{id_b, 1}, {id_a, 3}, 2, 9, true}}));
        survives(hostile({{{id_a, 1}, {}, 3, 1}}, "abc", {{{id_a, 2}, {id_a, 1}, 1, 4, false}}));
    }
    SUBCASE("what does not fit together is ignored") {
        survives(hostile({{{id_a, 1}, {}, 3, 1}}, "ab"));
        survives(hostile({{{id_a, 1}, {}, 1, 1}}, "\xff"));
        survives(hostile({{{id_a, 1}, {}, huge, 1}}, "x"));
    }
    SUBCASE("what is not covered does not enter") {
        note_delta d = hostile({{{id_a, 1}, {}, 3, 1}}, "abc", {{{id_b, 1}, {id_a, 1}, 2, 4, false}});
        d.covered = {dot_range{id_a, 2, 2}};
        writer w{id_c};
        w.join(d);
        CHECK(str(w).empty());
        d.covered = {dot_range{id_a, 1, 1}};
        w.join(d);
        CHECK(str(w) == "ab");
        survives(d);
    }
    SUBCASE("arbitrary combinations") {
        std::mt19937_64 random(11);
        auto below = [&](std::uint64_t n) { return random() % n; };
        auto any = [&] { return dot{below(2) ? id_a : id_b, 1 + below(12)}; };
        for (int i = 0; i < 3000; ++i) {
            std::vector<text_run> runs;
            std::vector<text_deletion> deletions;
            std::string text;
            for (std::uint64_t n = below(6); n > 0; --n) {
                runs.push_back({any(), below(3) ? any() : dot{}, 1 + below(4), 1 + below(9), below(3) == 0});
                if (!runs.back().deleted) text += std::string(runs.back().count, 'x');
            }
            for (std::uint64_t n = below(4); n > 0; --n) {
                deletions.push_back({any(), any(), 1 + below(3), 1 + below(9), false});
                deletions.back().backward = deletions.back().count > 1 && deletions.back().target.seq > 3;
            }
            survives(hostile(runs, text, deletions));
        }
    }
}

TEST_CASE("rga_text: damaged bytes are refused, or are another fragment in its canonical form") {
    std::mt19937_64 random(3);
    auto below = [&](std::size_t n) { return static_cast<std::size_t>(random() % n); };
    writer a{id_a};
    writer b{id_b};
    for (int i = 0; i < 12; ++i) {
        b.join(insert(a, below(a->text.size() + 1), i % 2 ? "word" : "\u20ac\U0001f600"));
        if (i % 3 == 0) a.join(erase(b, below(b->text.size() - 1), 2));
    }
    auto bytes = joinery::encode(a.state().whole().fragment);
    std::size_t accepted = 0;
    for (int i = 0; i < 30000; ++i) {
        auto bad = bytes;
        for (std::size_t n = 1 + below(3); n > 0; --n) bad[below(bad.size())] = static_cast<std::byte>(below(256));
        if (below(4) == 0) bad.resize(below(bad.size()));
        auto f = joinery::decode<text_fragment>(bad);
        if (!f) continue;
        ++accepted;
        REQUIRE(joinery::encode(*f) == bad);
        note_delta d;
        d.fragment = *f;
        for (const auto& r : f->runs) d.covered.add({r.first.replica, r.first.seq, r.first.seq + r.count - 1});
        for (const auto& r : f->deletions) d.covered.add({r.first.replica, r.first.seq, r.first.seq + r.count - 1});
        writer w{id_c};
        w.join(b.state().whole());
        w.join(d);
        insert(w, 0, "ok");
    }
    CHECK(accepted > 100);
}

// Each insertion goes before all of the other writer's, past which it must not walk.
TEST_CASE("rga_text: two writers who prepend concurrently are merged in good time") {
    constexpr std::size_t n = 20000;
    writer a{id_a};
    writer b{id_b};
    std::vector<note_delta> deltas;
    for (std::size_t i = 0; i < n; ++i) {
        deltas.push_back(insert(a, 0, "a"));
        insert(b, 0, "b");
    }
    for (const auto& d : deltas) b.join(d);
    a.join(b.delta_since(a.version()));
    CHECK(a.state() == b.state());
    CHECK(a->text.size() == 2 * n);
}
