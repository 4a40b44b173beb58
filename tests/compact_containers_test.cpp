// SPDX-License-Identifier: Apache-2.0
#include <joinery/compact_containers.hpp>

#include "bytes.hpp"
#include "cereal_archives.hpp"

#include <cereal/types/deque.hpp>
#include <doctest/doctest.h>

#include <deque>

using joinery::decode_error;
using joinery::dot;
using joinery::encode;
using joinery::replica_id;

namespace {
struct empty {
    friend auto operator<=>(const empty&, const empty&) = default;
    template <class Archive> void serialize(Archive&) {}
};
struct point {
    std::int32_t x = 0, y = 0;
    friend bool operator==(const point&, const point&) = default;
    template <class Archive> void serialize(Archive& ar) { ar(CEREAL_NVP(x), CEREAL_NVP(y)); }
};
struct shape {
    std::string name;
    std::vector<point> outline;
    std::map<std::string, std::optional<std::variant<std::int64_t, std::string>>> tags;
    std::unordered_map<std::uint32_t, std::set<std::string>> groups;
    std::array<std::uint16_t, 2> size{};
    std::pair<bool, std::tuple<char, float>> extra;
    friend bool operator==(const shape&, const shape&) = default;
    template <class Archive> void serialize(Archive& ar) {
        ar(CEREAL_NVP(name), CEREAL_NVP(outline), CEREAL_NVP(tags), CEREAL_NVP(groups), CEREAL_NVP(size),
           CEREAL_NVP(extra));
    }
};
template <class X> void check_round_trip(const X& x, std::initializer_list<unsigned> expected) {
    CHECK(encode(x) == bytes(expected));
    CHECK(round_trip(x) == x);
}
} // namespace

TEST_CASE("containers: what each looks like") {
    check_round_trip(std::string("ab"), {2, 'a', 'b'});
    check_round_trip(std::string(), {0});
    check_round_trip(std::vector<std::uint32_t>{1, 300}, {2, 1, 0xac, 2});
    check_round_trip(std::vector<char>{'x', 'y'}, {2, 'x', 'y'});
    check_round_trip(std::vector<std::byte>{std::byte{7}}, {1, 7});
    check_round_trip(std::vector<bool>{true, false, true}, {3, 1, 0, 1});
    check_round_trip(std::map<std::uint8_t, bool>{{2, true}, {1, false}}, {2, 1, 0, 2, 1});
    check_round_trip(std::set<std::string>{"b", "a"}, {2, 1, 'a', 1, 'b'});
    check_round_trip(std::optional<std::uint8_t>{5}, {0, 5});
    check_round_trip(std::optional<std::uint8_t>{}, {1});
    check_round_trip(std::array<std::uint16_t, 2>{1, 300}, {1, 0xac, 2});
    check_round_trip(std::array<bool, 2>{true, false}, {1, 0});
    check_round_trip(std::pair<std::uint8_t, std::string>{9, "z"}, {9, 1, 'z'});
    check_round_trip(std::variant<bool, std::string>{std::string("q")}, {2, 1, 'q'});
}

TEST_CASE("containers: unordered ones are written in the order of their bytes") {
    std::unordered_set<std::string> few{"bb", "a", "c", ""};
    CHECK(encode(few) == bytes({4, 0, 1, 'a', 1, 'c', 2, 'b', 'b'}));
    std::unordered_map<std::uint32_t, std::uint32_t> x, y;
    for (std::uint32_t i = 0; i < 1000; ++i) x.emplace(i * 7, i);
    y.reserve(5000);
    for (std::uint32_t i = 1000; i-- > 0;) y.emplace(i * 7, i);
    CHECK(encode(x) == encode(y));
    CHECK(round_trip(x) == x);
    CHECK(refusal<std::unordered_set<std::uint8_t>>({2, 9, 5}) == decode_error::non_canonical);
    CHECK(refusal<std::unordered_set<std::uint8_t>>({2, 5, 5}) == decode_error::non_canonical);
    CHECK(refusal<std::unordered_map<std::uint8_t, bool>>({2, 5, 0, 5, 1}) == decode_error::non_canonical);
}

TEST_CASE("containers: unordered ones may hold replicas and dots") {
    std::unordered_set<replica_id> ids{replica_id{9}, replica_id{4}, replica_id{700}};
    CHECK(round_trip(ids) == ids);
    std::unordered_map<std::string, std::vector<dot>> dots{{"x", {{replica_id{4}, 7}, {replica_id{9}, 8}}},
                                                           {"y", {{replica_id{4}, 7}}}};
    CHECK(round_trip(dots) == dots);
    std::pair<dot, std::pair<std::unordered_set<replica_id>, dot>> around{
        {replica_id{4}, 1}, {{replica_id{4}, replica_id{5}}, {replica_id{4}, 2}}};
    CHECK(round_trip(around) == around);
}

TEST_CASE("containers: repeated and unsorted keys are not canonical") {
    CHECK(refusal<std::set<std::uint8_t>>({2, 3, 3}) == decode_error::non_canonical);
    CHECK(refusal<std::set<std::uint8_t>>({2, 4, 3}) == decode_error::non_canonical);
    CHECK(refusal<std::map<std::uint8_t, bool>>({2, 3, 0, 3, 1}) == decode_error::non_canonical);
    CHECK(refusal<std::map<std::uint8_t, bool>>({2, 4, 0, 3, 1}) == decode_error::non_canonical);
}

TEST_CASE("containers: counts are bounded by the bytes that remain") {
    CHECK(refusal<std::vector<std::uint32_t>>({3, 1, 1}) == decode_error::truncated);
    CHECK(refusal<std::vector<std::string>>({255, 255, 255, 255, 15, 0}) == decode_error::truncated);
    CHECK(refusal<std::vector<bool>>({200, 1, 1}) == decode_error::truncated);
    CHECK(refusal<std::vector<std::byte>>({2, 1}) == decode_error::truncated);
    CHECK(refusal<std::string>({255, 255, 255, 255, 255, 255, 255, 255, 255, 1}) == decode_error::truncated);
    CHECK(refusal<std::map<std::string, std::string>>({255, 255, 3}) == decode_error::truncated);
    CHECK(refusal<std::unordered_map<int, int>>({255, 255, 3}) == decode_error::truncated);
    CHECK(refusal<std::deque<std::uint64_t>>({255, 255, 3}) == decode_error::truncated);
}

TEST_CASE("containers: elements without bytes of their own take one") {
    check_round_trip(std::vector<empty>(3), {3, 0, 0, 0});
    check_round_trip(std::set<empty>{{}}, {1, 0});
    check_round_trip(std::map<empty, std::uint8_t>{{{}, 4}}, {1, 0, 4});
    check_round_trip(std::vector<std::tuple<>>(2), {2, 0, 0});
    CHECK(refusal<std::vector<empty>>({100}) == decode_error::truncated);
    CHECK(refusal<std::vector<empty>>({1, 7}) == decode_error::invalid_value);
    CHECK(refusal<std::set<empty>>({2, 0, 0}) == decode_error::non_canonical);
}

TEST_CASE("containers: what an input asks for is in proportion to its size") {
    using big = std::optional<std::array<std::string, 50>>; // one byte if there is none, 1608 in memory
    CHECK(round_trip(std::vector<big>(30)) == std::vector<big>(30));
    std::vector<std::byte> many(20'000, std::byte{1}); // a count of 19998 and as many empty ones
    many[0] = std::byte{0x9e};
    many[1] = std::byte{0x9c};
    many.insert(many.begin() + 2, std::byte{1});
    many.resize(3 + 19'998, std::byte{1});
    CHECK(refusal<std::vector<big>>(many) == decode_error::too_large);
}

TEST_CASE("containers: a variant's index and an optional's flag are checked") {
    using choice = std::variant<bool, std::string>;
    CHECK(refusal<choice>({4, 0}) == decode_error::invalid_value);
    CHECK(refusal<choice>({1, 0}) == decode_error::invalid_value); // index -1
    CHECK(refusal<std::optional<int>>({2, 0}) == decode_error::invalid_value);
    CHECK(refusal<std::array<bool, 2>>({1, 2}) == decode_error::invalid_value);
    CHECK(refusal<std::vector<bool>>({2, 1, 2}) == decode_error::invalid_value);
}

TEST_CASE("containers: user types of all of them, in all archives") {
    shape s;
    s.name = "square";
    s.outline = {{0, 0}, {0, -5}, {100000, 7}};
    s.tags = {{"a", std::int64_t{-3}}, {"b", std::nullopt}, {"c", std::string("text")}};
    s.groups = {{5, {"x", "y"}}, {70000, {}}};
    s.size = {3, 65535};
    s.extra = {true, {'c', 1.5f}};
    CHECK(round_trip(s) == s);
    CHECK(through_json(s) == s);
    CHECK(through_portable_binary(s) == s);
    CHECK(round_trip(std::deque<point>{{1, 2}, {3, 4}}) == std::deque<point>{{1, 2}, {3, 4}});
}

TEST_CASE("containers: what was there before is replaced") {
    std::vector<int> v{1, 2, 3};
    std::map<int, int> m{{9, 9}};
    std::unordered_set<int> s{4};
    auto in = encode(std::tuple(std::vector<int>{7}, std::map<int, int>{{1, 2}}, std::unordered_set<int>{5}));
    joinery::compact_input_archive ar(in);
    ar(v, m, s);
    CHECK(v == std::vector<int>{7});
    CHECK(m == std::map<int, int>{{1, 2}});
    CHECK(s == std::unordered_set<int>{5});
}
