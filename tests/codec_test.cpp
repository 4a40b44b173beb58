// SPDX-License-Identifier: Apache-2.0
#include <joinery/codec.hpp>

#include "bytes.hpp"
#include "cereal_archives.hpp"

#include <doctest/doctest.h>

#include <sstream>
#include <stdexcept>

using joinery::causal_context;
using joinery::decode;
using joinery::decode_error;
using joinery::dot;
using joinery::dot_range;
using joinery::encode;
using joinery::replica_id;
using joinery::timestamp;
using joinery::version_vector;

namespace {
constexpr replica_id a{1}, b{2};

// Throws what it is told to.
enum class mood : std::uint8_t { calm, decode_failure, standard, allocation, number };
struct moody {
    mood m = mood::calm;
    template <class Archive> void save(Archive& ar) const { ar(static_cast<std::uint8_t>(m)); }
    template <class Archive> void load(Archive& ar) {
        std::uint8_t byte = 0;
        ar(byte);
        m = static_cast<mood>(byte);
        if (m == mood::decode_failure) throw joinery::decode_failure(decode_error::too_deep);
        if (m == mood::standard) throw std::runtime_error("no");
        if (m == mood::allocation) throw std::bad_alloc();
        if (m == mood::number) throw 7;
    }
};

// One level is a value and a vector: two steps of depth.
struct list {
    std::vector<list> tail;
    friend bool operator==(const list&, const list&) = default;
    template <class Archive> void serialize(Archive& ar) { ar(tail); }
};

template <class X> void check_all_archives(const X& x) {
    CHECK(round_trip(x) == x);
    CHECK(through_json(x) == x);
    CHECK(through_portable_binary(x) == x);
}
template <class X> X from_json(const std::string& json) {
    std::istringstream stream(json);
    cereal::JSONInputArchive in(stream);
    X x{};
    in(cereal::make_nvp("x", x));
    return x;
}
} // namespace

TEST_CASE("codec: the vocabulary goes through all of Cereal's archives") {
    check_all_archives(a);
    check_all_archives(dot{a, 17});
    check_all_archives(dot{});
    check_all_archives(dot_range{b, 3, 900});
    check_all_archives(timestamp{123456789});
    check_all_archives(version_vector{{a, 3}, {b, UINT32_MAX}});
    check_all_archives(version_vector{});
    check_all_archives(causal_context{{a, 1, 4}, {a, 6, 6}, {b, 9, 12}});
    check_all_archives(causal_context{});
}

TEST_CASE("codec: encode_to appends what encode gives") {
    std::vector<std::byte> out{std::byte{7}};
    const causal_context dots{dot_range{a, 1, 3}, dot{b, 2}};
    joinery::encode_to(out, dots);
    auto expected = encode(dots);
    expected.insert(expected.begin(), std::byte{7});
    CHECK(out == expected);
}

TEST_CASE("codec: other archives check what they read too") {
    CHECK(from_json<dot>(R"({"x": {"replica": 1, "seq": 4}})") == dot{a, 4});
    CHECK_THROWS_AS(from_json<dot>(R"({"x": {"replica": 1, "seq": 9223372036854775807}})"), joinery::decode_failure);
    CHECK_THROWS_AS(from_json<dot_range>(R"({"x": {"replica": 1, "first": 0, "last": 4}})"), joinery::decode_failure);
    CHECK_THROWS_AS(from_json<dot_range>(R"({"x": {"replica": 1, "first": 5, "last": 4}})"), joinery::decode_failure);
    CHECK_THROWS_AS(from_json<version_vector>(R"({"x": 5})"), cereal::Exception);
}

TEST_CASE("codec: what a user's load throws becomes an error value") {
    CHECK(decode<moody>(bytes({0})).has_value());
    CHECK(refusal<moody>({1}) == decode_error::too_deep);
    CHECK(refusal<moody>({2}) == decode_error::invalid_value);
    CHECK(refusal<moody>({3}) == decode_error::too_large);
    CHECK(refusal<moody>({4}) == decode_error::invalid_value);
}

TEST_CASE("codec: recursion in the data is bounded") {
    list l;
    for (int i = 0; i < 40; ++i) {
        list outer;
        outer.tail.push_back(std::move(l));
        l = std::move(outer);
    }
    CHECK(round_trip(l) == l);
    const auto nested = [](std::size_t depth) { // a list is a value, and so is its tail
        std::vector<std::byte> bytes(depth, std::byte{1});
        bytes.back() = std::byte{0};
        return bytes;
    };
    std::size_t deepest = 1;
    while (decode<list>(nested(deepest + 1))) ++deepest;
    CHECK(2 * deepest <= joinery::compact_input_archive::max_depth);
    CHECK(2 * (deepest + 1) > joinery::compact_input_archive::max_depth);
    CHECK(refusal<list>(nested(deepest + 1)) == decode_error::too_deep);
    CHECK(refusal<list>(nested(100'000)) == decode_error::too_deep);
}

TEST_CASE("decode_error: each has a short name") {
    std::vector<std::string_view> names;
    for (unsigned e = 0; e <= static_cast<unsigned>(decode_error::bad_checksum); ++e) {
        auto name = joinery::to_string(static_cast<decode_error>(e));
        CHECK(name != "unknown error");
        CHECK(std::find(names.begin(), names.end(), name) == names.end());
        names.push_back(name);
    }
    CHECK(std::string(joinery::decode_failure(decode_error::truncated).what()) == "truncated");
}
