// SPDX-License-Identifier: Apache-2.0
// Lists against a text of which each character stands for an element: the text is tested against the specification.
#include <joinery/codec.hpp>
#include <joinery/or_map.hpp>
#include <joinery/replica.hpp>
#include <joinery/rga_list.hpp>

#include <doctest/doctest.h>

#include <random>
#include <stdexcept>
#include <string>
#include <vector>

using joinery::causal;
using joinery::delta;
using joinery::dot;
using joinery::replica;
using joinery::replica_id;
using joinery::rga_list;
using joinery::rga_text;

namespace {

using list = rga_list<std::string>;
using words = std::vector<std::string>;
using writer = replica<list>;

auto insert(writer& w, std::size_t pos, const words& elements) {
    return w.edit([&](auto& l, auto& tx) { l.insert(tx, pos, elements); });
}
auto erase(writer& w, std::size_t pos, std::size_t n = 1) {
    return w.edit([&](auto& l, auto& tx) { l.erase(tx, pos, n); });
}
template <class T> T sent(const T& x) {
    const auto bytes = joinery::encode(x);
    auto back = joinery::decode<T>(bytes).value();
    CHECK(joinery::encode(back) == bytes);
    return back;
}

} // namespace

TEST_CASE("rga_list: elements are inserted and erased at positions") {
    writer w{replica_id{1}};
    CHECK(w->empty());
    insert(w, 0, {"a", "c"});
    insert(w, 1, {"b"});
    w.edit([](auto& l, auto& tx) { l.push_back(tx, "d"); });
    CHECK(w->values() == words{"a", "b", "c", "d"});
    CHECK((*w)[2] == "c");
    erase(w, 1, 2);
    CHECK(w->values() == words{"a", "d"});
    CHECK_THROWS_AS(w->at(2), std::out_of_range);
    CHECK_THROWS_AS(insert(w, 3, {"x"}), std::out_of_range);
    CHECK_THROWS_AS(insert(w, 3, {}), std::out_of_range);
    CHECK_THROWS_AS(erase(w, 1, 2), std::out_of_range);
    CHECK(insert(w, 2, {}).empty());
    CHECK_THROWS(w.edit([](auto& l, auto& tx) {
        l.insert(tx, 1, words{"x", "y"});
        l.erase(tx, 0, 2);
        throw std::runtime_error("undone");
    }));
    CHECK(w->values() == words{"a", "d"});
}

TEST_CASE("rga_list: concurrent edits meet, and what both erase is erased once") {
    writer a{replica_id{1}}, b{replica_id{2}};
    b.join(sent(insert(a, 0, {"milk", "bread", "eggs"})));
    const auto place = a->anchor(2);
    const auto x = insert(a, 1, {"tea"}), y = erase(a, 2);
    const auto z = erase(b, 1), u = insert(b, 2, {"salt", "rice"});
    for (const auto& d : {y, u, z, x}) { // a deletion before the insertion that is not its target
        a.join(sent(d));
        b.join(sent(d));
    }
    CHECK(a->values() == words{"milk", "tea", "eggs", "salt", "rice"});
    CHECK(a.state() == b.state());
    CHECK(a.state().digest() == b.state().digest());
    CHECK(a->position(place) == 2);
    a.prune(a.version());
    b.prune(b.version());
    CHECK(joinery::encode(a.state()) == joinery::encode(b.state()));
    CHECK(a.state().whole().fragment.elements.size() == 5);
}

TEST_CASE("rga_list: in a map, and removed with its key") {
    using lists = joinery::or_map<std::string, list>;
    replica<lists> a{replica_id{1}}, b{replica_id{2}};
    b.join(sent(a.edit([](auto& m, auto& tx) { m.at(tx, "todo")->push_back(tx, "one"); })));
    const auto gone = a.edit([](auto& m, auto& tx) { m.erase(tx, "todo"); });
    const auto more = b.edit([](auto& m, auto& tx) { m.at(tx, "todo")->push_back(tx, "two"); });
    a.join(sent(more));
    b.join(sent(gone));
    CHECK(a.state() == b.state());
    CHECK(a->find("todo")->values() == words{"two"});
    CHECK_THROWS(a.edit([](auto& m, auto& tx) {
        m.erase(tx, "todo");
        throw std::runtime_error("undone");
    }));
    CHECK(a->find("todo")->values() == words{"two"});
}

TEST_CASE("rga_list: as a text of its elements, in random histories") {
    for (std::uint64_t seed = 1; seed <= 300; ++seed) {
        CAPTURE(seed);
        std::mt19937_64 random(seed);
        const auto below = [&](std::size_t n) { return static_cast<std::size_t>(random() % n); };
        std::vector<replica<rga_list<char>>> lists;
        std::vector<replica<rga_text>> texts;
        for (std::uint64_t i = 1; i <= 3; ++i) lists.emplace_back(replica_id{i}), texts.emplace_back(replica_id{i});
        std::vector<std::pair<delta<rga_list<char>>, delta<rga_text>>> deltas;
        const auto same = [&](std::size_t i) {
            const auto values = lists[i]->values();
            REQUIRE(std::string(values.begin(), values.end()) == texts[i]->str());
            REQUIRE(lists[i].version() == texts[i].version());
        };
        for (int step = 0; step < 60; ++step) {
            const std::size_t i = below(lists.size());
            const std::size_t pos = below(texts[i]->size() + 1), n = 1 + below(3);
            const std::size_t end = texts[i]->size();
            switch (below(6)) {
            case 0:
            case 1: {
                const std::string letters(n, static_cast<char>('a' + below(26)));
                deltas.emplace_back(lists[i].edit([&](auto& l, auto& tx) {
                    l.insert(tx, pos, {letters.begin(), letters.end()});
                }),
                                    texts[i].edit([&](auto& t, auto& tx) { t.insert(tx, pos, letters); }));
                break;
            }
            case 2:
                if (pos + n > end) break;
                deltas.emplace_back(lists[i].edit([&](auto& l, auto& tx) { l.erase(tx, pos, n); }),
                                    texts[i].edit([&](auto& t, auto& tx) { t.erase(tx, pos, n); }));
                break;
            case 3:
            case 4: {
                if (deltas.empty()) break;
                const auto& [l, t] = deltas[below(deltas.size())]; // also before what it rests on, and twice
                lists[i].join(sent(l));
                texts[i].join(t);
                break;
            }
            default: {
                const std::size_t k = below(lists.size());
                lists[i].join(sent(lists[k].delta_since(lists[i].version())));
                texts[i].join(texts[k].delta_since(texts[i].version()));
                if (below(3) > 0) break;
                for (std::size_t x = 0; x < 9; ++x) {
                    lists[x / 3].join(lists[x % 3].state());
                    texts[x / 3].join(texts[x % 3].state());
                }
                for (auto& l : lists) l.prune(lists[0].version());
                for (auto& t : texts) t.prune(texts[0].version());
            }
            }
            same(i);
        }
        for (std::size_t x = 0; x < 18; ++x) {
            lists[x / 3 % 3].join(lists[x % 3].state());
            texts[x / 3 % 3].join(texts[x % 3].state());
        }
        for (std::size_t i = 0; i < 3; ++i) {
            same(i);
            REQUIRE(lists[i].state() == lists[0].state());
            REQUIRE(lists[i].state().digest() == lists[0].state().digest());
        }
    }
}

TEST_CASE("rga_list: what was evicted with unsent edits comes back with them") {
    writer a{replica_id{1}}, b{replica_id{2}};
    b.join(insert(a, 0, {"one", "two", "three"}));
    const auto known = b.version();
    insert(b, 1, {"mine", "too"});
    insert(b, 5, {"last"});
    erase(a, 0);
    a.prune(a.version());
    b.rejoin(a.state().whole(), known[replica_id{2}], replica_id{3});
    CHECK(b->values() == words{"mine", "too", "two", "three", "last"});
    a.join(b.state());
    CHECK(a.state() == b.state());
}

TEST_CASE("rga_list: fragments that nobody writes are refused or ignored") {
    writer w{replica_id{1}};
    const auto d = insert(w, 0, {"a", "b"});
    auto bytes = joinery::encode(d);
    std::mt19937 random(9);
    for (int i = 0; i < 20'000; ++i) {
        auto bad = bytes;
        bad[random() % bad.size()] = static_cast<std::byte>(random());
        if (const auto read = joinery::decode<delta<list>>(bad)) {
            writer other{replica_id{2}};
            other.join(*read);
            CHECK(other->values().size() == other->size());
            other.join(other.state().whole());
        }
    }
    auto wrong = d;
    wrong.fragment.elements.pop_back();
    writer other{replica_id{2}};
    other.join(wrong);
    CHECK(other->empty());
    other.join(other.state().whole());
}
