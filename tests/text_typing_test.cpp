// SPDX-License-Identifier: Apache-2.0
// Keystrokes of an edit each: they wait, until somebody looks or does something else, and nobody can tell.
#include "text_notes.hpp"

#include <joinery/or_map.hpp>
#include <joinery/record.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <cstdlib>
#include <functional>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

using namespace text_tests;
using joinery::causal;
using joinery::decode;
using joinery::encode;
using joinery::or_map;
using text_replica = joinery::replica<rga_text>;
using text_delta = joinery::delta<rga_text>;

namespace {

struct page {
    rga_text title, body;
};
JOINERY_RECORD(page, (1, title), (2, body))

text_delta type(text_replica& r, std::size_t pos, const std::string& what) {
    return r.edit([&](rga_text& t, transaction& tx) { t.insert(tx, pos, what); });
}
text_delta rub_out(text_replica& r, std::size_t pos, std::size_t n = 1) {
    return r.edit([&](rga_text& t, transaction& tx) { t.erase(tx, pos, n); });
}

struct changed_mind {};

// A text of which some keystrokes wait, and one of the same edits that was looked at after each of them.
struct pair_of_writers {
    text_replica waits{id_a};
    text_replica done{id_a};
    text_replica follower{id_b};

    void edit(const std::function<void(rga_text&, transaction&)>& f) {
        const auto d = waits.edit(f);
        const auto same = done.edit(f);
        REQUIRE(d == same);
        REQUIRE(encode(d) == encode(same));
        (void)done->size();
        follower.join(*decode<text_delta>(encode(d)));
    }
    void undone(const std::function<void(rga_text&, transaction&)>& f) {
        for (auto* r : {&waits, &done})
            CHECK_THROWS_AS(r->edit([&](rga_text& t, transaction& tx) {
                f(t, tx);
                throw changed_mind{};
            }),
                            changed_mind);
        (void)done->size();
    }
    void type(const std::string& letters, std::size_t pos) {
        for (const char c : letters) {
            edit([&](rga_text& t, transaction& tx) { t.insert(tx, pos, std::string(1, c)); });
            ++pos;
        }
    }
    void backspace(std::size_t n, std::size_t pos) {
        for (; n > 0; --n) {
            --pos;
            edit([&](rga_text& t, transaction& tx) { t.erase(tx, pos, 1); });
        }
    }
    void erase_forward(std::size_t n, std::size_t pos) {
        for (; n > 0; --n) edit([&](rga_text& t, transaction& tx) { t.erase(tx, pos, 1); });
    }
    void check() {
        CHECK(encode(waits.state()) == encode(done.state()));
        CHECK(waits->str() == done->str());
        CHECK(follower->str() == done->str());
        CHECK(follower.state() == waits.state());
    }
};

// What waits when somebody looks: letters, backspaces, or characters erased forward.
const std::vector<std::function<void(pair_of_writers&)>>& rows() {
    static const std::vector<std::function<void(pair_of_writers&)>> all{
        [](pair_of_writers& p) { p.type("waiting", 5); },
        [](pair_of_writers& p) { p.backspace(4, 8); },
        [](pair_of_writers& p) { p.erase_forward(4, 3); },
        [](pair_of_writers& p) {
            p.type("words", 2);
            p.backspace(3, 7);
        },
        [](pair_of_writers& p) { p.type(std::string(200, 'x') + "\n", 0); },
    };
    return all;
}

pair_of_writers begun() {
    pair_of_writers p;
    p.edit([](rga_text& t, transaction& tx) { t.insert(tx, 0, "0123456789\n\u00e9\u20ac"); });
    p.type("begun", 4);
    return p;
}

} // namespace

TEST_CASE("rga_text: each keystroke's delta is the same, whether it waits or not") {
    for (const auto& row : rows()) {
        auto p = begun();
        row(p);
        p.check();
        row(p);
        p.check();
    }
}

TEST_CASE("rga_text: who looks at a text sees what waits") {
    using look = std::function<void(const text_replica&, const text_replica&)>;
    const std::vector<look> looks{
        [](const auto& a, const auto& b) { CHECK(a->str() == b->str()); },
        [](const auto& a, const auto& b) { CHECK(a->substr(3, 4) == b->substr(3, 4)); },
        [](const auto& a, const auto& b) { CHECK(a->size() == b->size()); },
        [](const auto& a, const auto& b) { CHECK(a->size_utf16() == b->size_utf16()); },
        [](const auto& a, const auto& b) { CHECK(a->lines() == b->lines()); },
        [](const auto& a, const auto& b) { CHECK(a->location(a->size()) == b->location(b->size())); },
        [](const auto& a, const auto& b) { CHECK(a->to_utf8(a->size()) == b->to_utf8(b->size())); },
        [](const auto& a, const auto& b) { CHECK(a->max_lamport() == b->max_lamport()); },
        [](const auto& a, const auto& b) { CHECK(a->memory() >= b->size()); },
        [](const auto& a, const auto& b) { CHECK(a->anchor(6) == b->anchor(6)); },
        [](const auto& a, const auto& b) { CHECK(a->position(b->anchor(6)) == 6); },
        [](const auto& a, const auto& b) { CHECK(a.state() == b.state()); },
        [](const auto& a, const auto& b) { CHECK(a.state().digest() == b.state().digest()); },
        [](const auto& a, const auto& b) { CHECK(encode(a.state()) == encode(b.state())); },
        [](const auto& a, const auto& b) { CHECK(a.delta_since({}) == b.delta_since({})); },
        [](const auto& a, const auto& b) {
            for (std::uint64_t back = 0; back < 12; ++back) {
                const version_vector v{{id_a, a.version()[id_a] - back}};
                CHECK(a.delta_since(v) == b.delta_since(v));
            }
        },
        [](const auto& a, const auto& b) {
            const auto last = a.version()[id_a];
            for (const auto& part : {dot_range{id_a, last - 3, last - 1}, dot_range{id_a, last - 2, last}})
                CHECK(a.state().extract({part}) == b.state().extract({part}));
        },
        [](const auto& a, const auto& b) {
            const causal<rga_text> copy = a.state();
            CHECK(copy == b.state());
            CHECK(encode(copy) == encode(b.state()));
        },
    };
    for (const auto& row : rows())
        for (const auto& look : looks) {
            auto p = begun();
            row(p);
            look(p.waits, p.done);
            p.check();
            row(p); // and goes on
            p.check();
        }
}

TEST_CASE("rga_text: what is done to a text comes after what waits") {
    using act = std::function<void(text_replica&)>;
    text_replica other{id_c};
    other.join(begun().done.state());
    type(other, 3, "from another");
    rub_out(other, 0, 2);
    const std::vector<act> acts{
        [](text_replica& r) { type(r, 1, "several letters"); },
        [](text_replica& r) { type(r, 7, "\u20ac"); },
        [](text_replica& r) { rub_out(r, 1, 6); },
        [&](text_replica& r) { r.join(other.state()); },
        [](text_replica& r) { r.prune(r.version()); },
        [](text_replica& r) { r = text_replica(std::move(r)); },
        [](text_replica& r) {
            r.edit([](rga_text& t, transaction& tx) {
                joinery::kills killed;
                t.clear(tx, killed);
                tx.record(tx.next(), std::move(killed));
            });
        },
        [](text_replica& r) {
            r.edit([](rga_text& t, transaction& tx) { t.apply_diff(tx, t.str().substr(2) + "."); });
        },
        [](text_replica& r) {
            r.edit([](rga_text& t, transaction&) {
                rga_text moved = std::move(t);
                t = std::move(moved);
            });
        },
        [](text_replica& r) { r.edit([](rga_text& t, transaction&) { t = rga_text(t); }); },
        [](text_replica& r) { r.rename_from(0, id_d); },
    };
    for (const auto& row : rows())
        for (const auto& act : acts) {
            auto p = begun();
            row(p);
            act(p.waits);
            act(p.done);
            CHECK(encode(p.waits.state()) == encode(p.done.state()));
            CHECK(p.waits->str() == p.done->str());
        }
}

TEST_CASE("rga_text: an edit that is undone leaves what waited before it") {
    using wrong = std::function<void(rga_text&, transaction&)>;
    const std::vector<wrong> wrongs{
        [](rga_text&, transaction&) {},
        [](rga_text& t, transaction& tx) { t.insert(tx, 12, "!"); }, // goes on from what was typed
        [](rga_text& t, transaction& tx) {
            t.insert(tx, 12, "!");
            t.insert(tx, 13, "!");
            t.insert(tx, 0, "!");
        },
        [](rga_text& t, transaction& tx) {
            t.insert(tx, 12, "!");
            CHECK(t.substr(12, 1) == "!");
            t.insert(tx, 13, "!");
        },
        [](rga_text& t, transaction& tx) { t.erase(tx, 3, 1); }, // and from what was erased, either way
        [](rga_text& t, transaction& tx) {
            t.erase(tx, 3, 1);
            t.erase(tx, 2, 1);
            t.insert(tx, 0, "!");
        },
        [](rga_text& t, transaction& tx) {
            t.erase(tx, 3, 1);
            (void)t.size();
            t.erase(tx, 3, 1);
        },
        [](rga_text& t, transaction& tx) { t.insert(tx, 1, "many letters"); },
        [](rga_text& t, transaction& tx) { t.insert(tx, 9999, "beyond"); },
    };
    for (const auto& row : rows())
        for (const auto& first : wrongs)
            for (const auto& second : wrongs) {
                auto p = begun();
                row(p);
                for (const auto& f : {first, second}) {
                    for (auto* r : {&p.waits, &p.done})
                        CHECK_THROWS(r->edit([&](rga_text& t, transaction& tx) {
                            f(t, tx);
                            throw changed_mind{};
                        }));
                    (void)p.done->size();
                }
                row(p);
                p.check();
            }
}

TEST_CASE("rga_text: a revision survives keystrokes that wait and are undone") {
    auto p = begun();
    p.type("ab", 5);
    const auto before = p.waits->revision();
    p.type("cd", 7);
    p.undone([](rga_text& t, transaction& tx) { t.insert(tx, 9, "e"); });
    const auto changes = p.waits->changes_since(before);
    REQUIRE(changes);
    CHECK(*changes == std::vector<joinery::text_change>{{7, 0, "cd"}});
    p.check();
}

TEST_CASE("rga_text: two texts of a record and the texts of a map, typed into in turn") {
    joinery::replica<page> a{id_a}, b{id_b};
    std::string title, body;
    for (int i = 0; i < 40; ++i) {
        const bool both = i % 7 == 6;
        b.join(a.edit([&](page& p, transaction& tx) {
            if (i % 11 < 8 || both) p.title.insert(tx, title.size(), "t");
            if (i % 11 >= 8 || both) p.body.insert(tx, body.size(), "b");
        }));
        if (i % 11 < 8 || both) title += 't';
        if (i % 11 >= 8 || both) body += 'b';
        if (i % 13 == 12) {
            CHECK_THROWS_AS(a.edit([&](page& p, transaction& tx) {
                p.title.insert(tx, title.size(), "!");
                p.body.insert(tx, body.size(), "!");
                throw changed_mind{};
            }),
                            changed_mind);
        }
        CHECK(b->title.str() == title);
        CHECK(b->body.str() == body);
    }
    CHECK(a.state() == b.state());
    CHECK(encode(a.state()) == encode(b.state()));

    joinery::replica<or_map<std::string, rga_text>> m{id_a}, n{id_b};
    for (int i = 0; i < 100; ++i)
        n.join(m.edit([&](auto& map, auto& tx) {
            const std::string key = i % 20 < 15 ? "one" : "two";
            const auto at = map.at(tx, key);
            at->insert(tx, at->size(), std::string(1, static_cast<char>('a' + i % 26)));
        }));
    CHECK(m.state() == n.state());
    CHECK(encode(m.state()) == encode(n.state()));
}

// Readers exclude whoever edits, but not each other.
TEST_CASE("rga_text: several threads may read a text while keystrokes wait") {
    for (const auto& row : rows())
        for (int round = 0; round < 20; ++round) {
            auto p = begun();
            row(p);
            const text_replica& shared = p.waits;
            const std::vector<std::function<bool()>> reads{
                [&] { return shared->str() == p.done->str(); },
                [&] { return shared->size() == p.done->size(); },
                [&] { return shared.delta_since({}).covered == p.done.state().context(); },
                [&] { return causal<rga_text>(shared.state()) == p.done.state(); },
            };
            std::vector<char> right(reads.size(), 0);
            std::vector<std::thread> readers;
            for (std::size_t i = 0; i < reads.size(); ++i) readers.emplace_back([&, i] { right[i] = reads[i](); });
            for (auto& t : readers) t.join();
            CHECK(std::count(right.begin(), right.end(), 1) == static_cast<std::ptrdiff_t>(reads.size()));
        }
}

// As in an editor, one edit after the other; now and then one is undone, somebody looks, or another writes.
TEST_CASE("rga_text: random keystrokes of an edit each agree with the same ones looked at, and with a plain text") {
    const char* asked = std::getenv("JOINERY_TEXT_HISTORIES");
    const std::uint64_t histories = asked ? std::strtoull(asked, nullptr, 10) / 5 : 100;
    for (std::uint64_t seed = 1; seed <= histories; ++seed) {
        CAPTURE(seed);
        std::mt19937_64 random(seed);
        const auto below = [&](std::size_t n) { return static_cast<std::size_t>(random() % n); };
        pair_of_writers p;
        std::u32string plain;
        std::size_t pos = 0;
        // One keystroke or a few at the cursor, which stays where they leave it unless they are undone.
        const auto edit = [&](int kind, std::size_t count) {
            auto text = plain;
            auto at = pos;
            std::vector<std::function<void(rga_text&, transaction&)>> steps;
            for (; count > 0; --count) {
                if (kind == 0) {
                    const char32_t c = below(40) == 0 ? U'\u20ac' : below(10) == 0 ? U'\n' : U'a' + below(26);
                    steps.push_back([at, c](rga_text& t, transaction& tx) {
                        t.insert(tx, at, joinery::encode_utf8(std::u32string(1, c)));
                    });
                    text.insert(at++, 1, c);
                } else if (kind == 1 && at > 0) {
                    steps.push_back([at](rga_text& t, transaction& tx) { t.erase(tx, at - 1, 1); });
                    text.erase(--at, 1);
                } else if (kind == 2 && at < text.size()) {
                    steps.push_back([at](rga_text& t, transaction& tx) { t.erase(tx, at, 1); });
                    text.erase(at, 1);
                }
                if (below(30) == 0)
                    steps.push_back([size = text.size()](rga_text& t, transaction&) { CHECK(t.size() == size); });
            }
            const auto all = [&](rga_text& t, transaction& tx) {
                for (const auto& step : steps) step(t, tx);
            };
            if (below(12) == 0) return p.undone(all);
            p.edit(all);
            plain = std::move(text);
            pos = at;
        };
        int kind = 0;
        for (int i = 0; i < 150; ++i) {
            if (below(5) == 0) kind = static_cast<int>(below(5)) / 2;
            if (below(15) == 0) pos = below(plain.size() + 1);
            if (below(15) == 0) pos -= std::min<std::size_t>(pos, 1);
            if (below(8) == 0) {
                const auto n = std::min(below(8), plain.size() - pos);
                p.edit([&](rga_text& t, transaction& tx) {
                    t.erase(tx, pos, n);
                    t.insert(tx, pos, "pasted");
                });
                plain.replace(pos, n, U"pasted");
                pos += 6;
            }
            const auto rows = 1 + below(below(10) == 0 ? 100 : 6);
            for (std::size_t k = 0; k < rows; ++k) edit(kind, below(6) == 0 ? 1 + below(5) : 1);
            switch (below(14)) {
            case 0: CHECK(p.waits->str() == joinery::encode_utf8(plain)); break;
            case 1: p.check(); break;
            case 2: { // another one writes
                const auto d = type(p.follower, pos, "theirs");
                p.waits.join(d);
                p.done.join(d);
                plain.insert(pos, U"theirs");
                break;
            }
            case 3: {
                const auto stable = p.follower.version();
                for (auto* r : {&p.waits, &p.done, &p.follower}) r->prune(stable);
                break;
            }
            case 4: p.waits = text_replica(id_a, p.waits.state()); break;
            case 5: p.waits = text_replica(std::move(p.waits)); break;
            case 6: CHECK(p.waits->size() == plain.size()); break;
            }
        }
        p.check();
        CHECK(p.waits->str() == joinery::encode_utf8(plain));
    }
}
