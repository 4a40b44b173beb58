// SPDX-License-Identifier: Apache-2.0
// Texts against the specification: random histories, and texts large enough for a tree of several levels.
#include "text_notes.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <map>
#include <random>
#include <set>
#include <stdexcept>
#include <string>
#include <tuple>
#include <vector>

using namespace text_tests;
using joinery::causal;
using joinery::causal_context;
using joinery::dot;
using joinery::replica;
using joinery::replica_id;
using joinery::rga_text;
using joinery::transaction;
using joinery::version_vector;

namespace {

/// The specification: the text as a function of the dots seen, nothing else.
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

    // Keystrokes, one after the other: typing, backspace and delete, now and then somewhere else.
    void type_some(note& n, transaction& tx, causal_context& seen) {
        std::size_t pos = below(n.text.size() + 1);
        for (std::size_t strokes = 2 + below(90), left = 0, what = 0; strokes > 0; --strokes) {
            if (left-- == 0) {
                left = below(80);
                what = below(3);
                if (below(4) == 0) pos = below(n.text.size() + 1);
            }
            const auto visible = history_.visible(seen);
            const dot next{tx.replica(), seen.greatest(tx.replica()) + 1};
            const std::uint64_t lamport = history_.lamport(seen) + 1;
            if (what == 0) {
                const std::string letter = below(30) ? "k" : below(2) ? "\u00e9" : "\n";
                history_.inserted[next] = {pos > 0 ? visible[pos - 1] : dot{}, lamport, letter};
                n.text.insert(tx, pos++, letter);
            } else {
                if (what == 1 && pos > 0) --pos; // backspace
                if (pos == visible.size()) {
                    left = 0;
                    continue;
                }
                history_.removed[next] = {{visible[pos]}, lamport};
                n.text.erase(tx, pos, 1);
            }
            seen.add(next);
            if (below(20) == 0) CHECK(n.text.size() == history_.visible(seen).size());
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
            case 6:
                if (below(4) == 0) type_some(n, tx, seen);
                break;
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
    const char* asked = std::getenv("JOINERY_TEXT_HISTORIES");
    const std::uint64_t histories = asked ? std::strtoull(asked, nullptr, 10) : 1500;
    std::size_t characters = 0;
    for (std::uint64_t seed = 1; seed <= histories; ++seed) {
        CAPTURE(seed);
        random_history h(seed, 2 + seed % 5);
        for (std::size_t i = 0; i < 20 + seed % 40; ++i) h.step();
        h.end();
        characters += h.inserted();
    }
    CHECK(characters > 10000);
}

// Many edits between two looks at the text, as in an editor: rows of keystrokes, jumps near and far, ranges erased, and
// now and then all of it undone.
TEST_CASE("rga_text: many edits in one transaction agree with a plain text, here and at a follower") {
    struct changed_mind {};
    const std::u32string letters = U"abcdefgh\n\u00e9\u20ac\U0001f600";
    for (std::uint64_t seed = 1; seed <= 60; ++seed) {
        CAPTURE(seed);
        std::mt19937_64 random(seed);
        const auto below = [&](std::size_t n) { return static_cast<std::size_t>(random() % n); };
        const std::size_t kinds = seed % 3 == 0 ? letters.size() : 9; // or ASCII alone
        writer a{id_a};
        writer b{id_b};
        std::u32string plain;
        std::size_t pos = 0;
        const auto put = [&](rga_text& text, transaction& tx, std::size_t n) {
            std::u32string some;
            while (some.size() < n) some += letters[below(kinds)];
            text.insert(tx, pos, joinery::encode_utf8(some));
            plain.insert(pos, some);
            pos += n;
        };
        const auto take = [&](rga_text& text, transaction& tx, std::size_t n) {
            n = std::min(n, plain.size() - pos);
            text.erase(tx, pos, n);
            plain.erase(pos, n);
        };
        const auto some_edits = [&](rga_text& text, transaction& tx) {
            const std::size_t count = 1 + below(100);
            switch (below(9)) {
            case 0: pos = below(plain.size() + 1); break;
            case 1: pos = plain.size() - std::min(plain.size(), below(20)); break;
            case 2: pos -= std::min(pos, below(40)); break;
            case 3: pos += std::min(plain.size() - pos, below(40)); break;
            case 4: put(text, tx, count * count / 20 + 1); break;
            case 5: take(text, tx, count * count / 20); break;
            case 6:
                for (std::size_t i = 0; i < count; ++i) put(text, tx, 1);
                break;
            case 7:
                for (std::size_t i = 0; i < count && pos > 0; ++i) {
                    --pos;
                    take(text, tx, 1);
                }
                break;
            case 8:
                for (std::size_t i = 0; i < count && pos < plain.size(); ++i) take(text, tx, 1);
                break;
            }
        };
        for (int round = 0; round < 30; ++round) {
            const auto edit = [&](note& n, transaction& tx) {
                for (std::size_t i = below(60); i > 0; --i) some_edits(n.text, tx);
            };
            if (below(4) == 0) {
                const std::u32string before = plain;
                const auto state = joinery::encode(a.state());
                CHECK_THROWS_AS(a.edit([&](note& n, transaction& tx) {
                    edit(n, tx);
                    throw changed_mind{};
                }),
                                changed_mind);
                CHECK(joinery::encode(a.state()) == state);
                plain = before;
                pos = 0;
            }
            b.join(a.edit(edit));
            REQUIRE(a->text.str() == joinery::encode_utf8(plain));
            REQUIRE(b->text.str() == a->text.str());
            CHECK(joinery::encode(b.state()) == joinery::encode(a.state()));
            const auto ends = std::count(plain.begin(), plain.end(), U'\n');
            CHECK(a->text.lines() == static_cast<std::size_t>(ends) + 1);
            CHECK(a->text.size_utf16() ==
                  plain.size() + static_cast<std::size_t>(
                                     std::count_if(plain.begin(), plain.end(), [](char32_t c) { return c > 0xffff; })));
            if (plain.empty()) continue;
            const std::size_t at = below(plain.size());
            CHECK(a->text.to_utf8(at) == joinery::encode_utf8(plain.substr(0, at)).size());
            CHECK(a->text.position(a->text.location(at)) == at);
            if (below(3) == 0) // from there on the order is found by local version, too
                a.join(b.edit([&](note& n, transaction& tx) { n.text.insert(tx, at, "b"); }));
            if (a->text.size() > plain.size()) plain.insert(at, U"b");
            if (below(40) == 0) b = writer(id_b, a.state());
        }
    }
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
