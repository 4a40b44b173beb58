// SPDX-License-Identifier: Apache-2.0
#include <joinery/lww_map.hpp>

#include "replicas.hpp"

#include <doctest/doctest.h>

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

using map = joinery::lww_map<std::string, int>;
using set = joinery::lww_set<std::string>;
using joinery::replica;
using joinery::transaction;

namespace {

template <class T> struct three {
    std::shared_ptr<std::uint64_t> wall = std::make_shared<std::uint64_t>(1'700'000'000'000);
    replica<T> a{id_a, clock()}, b{id_b, clock()}, c{id_c, clock()};
    joinery::hybrid_clock clock() const {
        return joinery::hybrid_clock([w = wall] { return *w; });
    }
    void later() { *wall += 10; }
};

auto setting(int v) {
    return [v](map& m, transaction& tx) { m.set(tx, "k", v); };
}
auto erasing = [](map& m, transaction& tx) { m.erase(tx, "k"); };

} // namespace

TEST_CASE("lww_map: the last of concurrent writes wins, be it a set or an erase") {
    three<map> at;
    at.a.edit(setting(1));
    at.later();
    at.b.edit(erasing); // where it has not arrived yet
    meet(at.a, at.b);
    CHECK_FALSE(at.a->contains("k"));
    CHECK(at.a->size() == 0);
    check_converged(at.a, at.b);
    at.later();
    at.c.edit(setting(3));
    meet(at.a, at.b, at.c);
    REQUIRE(at.a->find("k"));
    CHECK(*at.a->find("k") == 3);
    CHECK(at.a->siblings("k") == std::vector<std::optional<int>>{3, std::nullopt, 1});
    check_converged(at.a, at.b, at.c);
    at.later();
    at.a.edit(setting(4));
    CHECK(at.a->siblings("k") == std::vector<std::optional<int>>{4});
    CHECK(at.a.siblings().resolved > 0);
    check_undone(at.a, erasing);
    std::map<std::string, int> all;
    for (const auto& [key, value] : *at.a) all[key] = value;
    CHECK(all == std::map<std::string, int>{{"k", 4}});
}

TEST_CASE("lww_map: whoever has seen a write overrules it, whatever the clocks say") {
    three<map> at;
    *at.wall += 1'000'000'000;
    at.a.edit(setting(1));
    *at.wall -= 1'000'000'000;
    at.b.join(at.a.state());
    at.b.edit(erasing);
    at.a.join(at.b.state());
    CHECK_FALSE(at.a->contains("k"));
    check_converged(at.a, at.b);
}

TEST_CASE("lww_map: tidied up, it keeps nothing of what was erased") {
    three<map> at;
    for (int i = 0; i < 50; ++i)
        at.a.edit([i](map& m, transaction& tx) {
            m.set(tx, std::to_string(i), i);
            m.erase(tx, std::to_string(i));
        });
    at.b.join(at.a.state());
    const auto d = at.b.tidy(at.b.version());
    CHECK(at.b->vacant());
    at.a.join(d);
    CHECK(at.a->vacant());
    check_converged(at.a, at.b);
}

TEST_CASE("lww_set: the last of add and remove wins") {
    three<set> at;
    at.a.edit([](set& s, transaction& tx) { s.add(tx, "x"); });
    at.later();
    at.b.edit([](set& s, transaction& tx) { s.remove(tx, "x"); });
    meet(at.a, at.b);
    CHECK_FALSE(at.a->contains("x"));
    at.later();
    at.c.edit([](set& s, transaction& tx) { s.add(tx, "x"); });
    meet(at.a, at.b, at.c);
    CHECK(std::set<std::string>(at.a->begin(), at.a->end()) == std::set<std::string>{"x"});
    CHECK(at.a->contains("x"));
    CHECK(at.a->size() == 1);
    check_converged(at.a, at.b, at.c);
}
