// SPDX-License-Identifier: Apache-2.0
#include <joinery/compact_archive.hpp>

#include "bytes.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <random>

using joinery::causal_context;
using joinery::compact_input_archive;
using joinery::compact_output_archive;
using joinery::decode;
using joinery::decode_error;
using joinery::dot;
using joinery::dot_range;
using joinery::encode;
using joinery::max_sequence;
using joinery::replica_id;
using joinery::version_vector;

namespace {
constexpr replica_id a{1}, b{2};

template <class T> void check_number(T v, std::initializer_list<unsigned> expected) {
    CHECK(encode(v) == bytes(expected));
    CHECK(round_trip(v) == v);
}
template <class T> void check_limits() {
    for (T v : {std::numeric_limits<T>::min(), std::numeric_limits<T>::max(), T{0}, T{1}}) CHECK(round_trip(v) == v);
}
} // namespace

TEST_CASE("compact archive: unsigned numbers are varints, signed ones zigzag, single bytes raw") {
    check_number<std::uint32_t>(0, {0});
    check_number<std::uint32_t>(127, {127});
    check_number<std::uint32_t>(128, {0x80, 1});
    check_number<std::uint64_t>(UINT64_MAX, {255, 255, 255, 255, 255, 255, 255, 255, 255, 1});
    check_number<std::int32_t>(0, {0});
    check_number<std::int32_t>(-1, {1});
    check_number<std::int32_t>(1, {2});
    check_number<std::int64_t>(INT64_MIN, {255, 255, 255, 255, 255, 255, 255, 255, 255, 1});
    check_number<std::uint8_t>(200, {200});
    check_number<std::int8_t>(-1, {255});
    check_number<char>('x', {'x'});
    check_number(false, {0});
    check_number(true, {1});
    check_limits<std::int16_t>();
    check_limits<std::uint16_t>();
    check_limits<std::int32_t>();
    check_limits<std::int64_t>();
    check_limits<std::uint64_t>();
}

TEST_CASE("compact archive: floating point keeps its bits, little-endian") {
    check_number(1.0f, {0, 0, 0x80, 0x3f});
    check_number(-2.0, {0, 0, 0, 0, 0, 0, 0, 0xc0});
    CHECK(std::signbit(round_trip(-0.0)));
    CHECK(std::isnan(round_trip(std::nan(""))));
    CHECK(round_trip(std::numeric_limits<double>::infinity()) == std::numeric_limits<double>::infinity());
    CHECK(round_trip(std::numeric_limits<float>::denorm_min()) == std::numeric_limits<float>::denorm_min());
}

TEST_CASE("compact archive: truncated input") {
    CHECK(refusal<std::uint32_t>({}) == decode_error::truncated);
    CHECK(refusal<std::uint32_t>({0x80}) == decode_error::truncated);
    CHECK(refusal<bool>({}) == decode_error::truncated);
    CHECK(refusal<double>({1, 2, 3}) == decode_error::truncated);
    CHECK(refusal<dot>({1, 0, 0, 0}) == decode_error::truncated);
    CHECK(refusal<std::string>({3, 'a', 'b'}) == decode_error::truncated);
}

TEST_CASE("compact archive: trailing bytes") {
    CHECK(refusal<std::uint32_t>({5, 0}) == decode_error::trailing_bytes);
    CHECK(refusal<version_vector>({0, 0}) == decode_error::trailing_bytes);
}

TEST_CASE("compact archive: overlong varints are not canonical") {
    CHECK(refusal<std::uint64_t>({0x80, 0}) == decode_error::non_canonical);
    CHECK(refusal<std::uint64_t>({0xff, 0x80, 0}) == decode_error::non_canonical);
    CHECK(refusal<std::uint64_t>({255, 255, 255, 255, 255, 255, 255, 255, 255, 2}) == decode_error::non_canonical);
    CHECK(refusal<std::uint64_t>({255, 255, 255, 255, 255, 255, 255, 255, 255, 128, 1}) == decode_error::non_canonical);
}

TEST_CASE("compact archive: values out of range are invalid") {
    CHECK(refusal<bool>({2}) == decode_error::invalid_value);
    CHECK(refusal<bool>({255}) == decode_error::invalid_value);
    CHECK(refusal<std::uint16_t>({0x80, 0x80, 4}) == decode_error::invalid_value); // 65536
    CHECK(decode<std::uint16_t>(bytes({0xff, 0xff, 3})).value() == 65535);
    CHECK(refusal<std::int16_t>({0x80, 0x80, 4}) == decode_error::invalid_value); // 32768
    CHECK(refusal<std::int16_t>({0x81, 0x80, 4}) == decode_error::invalid_value); // -32769
    CHECK(decode<std::int16_t>(bytes({0xff, 0xff, 3})).value() == -32768);
    CHECK(refusal<std::int32_t>({0x80, 0x80, 0x80, 0x80, 0x10}) == decode_error::invalid_value);
}

TEST_CASE("compact archive: a replica costs eight bytes once, then one") {
    std::vector<std::byte> out;
    compact_output_archive ar(out);
    ar.replica(replica_id{0x0102030405060708});
    CHECK(out == bytes({1, 8, 7, 6, 5, 4, 3, 2, 1}));
    ar.replica(b);
    ar.replica(replica_id{0x0102030405060708});
    CHECK(out.size() == 9 + 9 + 1);
    CHECK(out.back() == std::byte{1});

    compact_input_archive in(out);
    CHECK(in.replica() == replica_id{0x0102030405060708});
    CHECK(in.replica() == b);
    CHECK(in.replica() == replica_id{0x0102030405060708});
    CHECK(in.remaining() == 0);
}

TEST_CASE("compact archive: a hundred replicas keep their places") {
    std::vector<std::byte> out;
    compact_output_archive ar(out);
    for (int round = 0; round < 2; ++round)
        for (std::uint64_t r = 0; r < 100; ++r) ar.write(dot{replica_id{r * r}, 5 + r});
    compact_input_archive in(out);
    for (int round = 0; round < 2; ++round)
        for (std::uint64_t r = 0; r < 100; ++r) CHECK(in.read_dot() == dot{replica_id{r * r}, 5 + r});
}

TEST_CASE("compact archive: a replica that was named is not spelled out again, nor named before its turn") {
    CHECK(refusal<replica_id>({0}) == decode_error::invalid_value);
    CHECK(refusal<replica_id>({2, 1, 0, 0, 0, 0, 0, 0, 0}) == decode_error::invalid_value);
    auto twice = bytes({2, 1, 7, 0, 0, 0, 0, 0, 0, 0, 4, 2, 7, 0, 0, 0, 0, 0, 0, 0, 4});
    CHECK(refusal<std::vector<dot>>(twice) == decode_error::non_canonical);
}

TEST_CASE("compact archive: dots are relative to the last of their replica") {
    CHECK(encode(dot{a, 3}) == bytes({1, 1, 0, 0, 0, 0, 0, 0, 0, 6}));
    CHECK(encode(dot{}) == bytes({0}));
    CHECK(round_trip(dot{}) == dot{});
    std::vector<dot> dots{{a, 1000}, {b, 1}, {a, 1001}, {a, 999}, {}, {b, max_sequence}};
    CHECK(encode(dots).size() == 1 + 11 + 10 + 2 + 2 + 1 + 10);
    CHECK(round_trip(dots) == dots);
    CHECK(round_trip(dot_range{a, 5, max_sequence}) == dot_range{a, 5, max_sequence});
}

TEST_CASE("compact archive: no sequence number is 0 or beyond the greatest") {
    CHECK(refusal<dot>({1, 1, 0, 0, 0, 0, 0, 0, 0, 0}) == decode_error::invalid_value);
    CHECK(refusal<dot>({1, 1, 0, 0, 0, 0, 0, 0, 0, 1}) == decode_error::invalid_value); // -1
    CHECK(round_trip(dot{a, max_sequence}).seq == max_sequence);
    CHECK(refusal<dot>(encode(dot{a, max_sequence + 1})) == decode_error::invalid_value);
    CHECK(refusal<dot>(encode(dot{a, UINT64_MAX})) == decode_error::invalid_value);
    CHECK(refusal<dot_range>(encode(dot_range{a, 5, max_sequence + 1})) == decode_error::invalid_value);
    CHECK(refusal<dot_range>(encode(dot_range{a, 5, UINT64_MAX})) == decode_error::invalid_value);
}

TEST_CASE("compact archive: version vectors ascend by replica") {
    version_vector v{{a, 7}, {b, 300}};
    CHECK(encode(v) == bytes({2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 14, 2, 2, 0, 0, 0, 0, 0, 0, 0, 0xd8, 4}));
    CHECK(round_trip(v) == v);
    auto swapped = bytes({2, 1, 2, 0, 0, 0, 0, 0, 0, 0, 14, 2, 1, 0, 0, 0, 0, 0, 0, 0, 14});
    CHECK(refusal<version_vector>(swapped) == decode_error::non_canonical);
    auto repeated = bytes({2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 14, 1, 2, 0, 0, 0, 0, 0, 0, 0, 0});
    CHECK(refusal<version_vector>(repeated) == decode_error::non_canonical);
    CHECK(refusal<version_vector>({200, 1}) == decode_error::truncated); // a count beyond the bytes
}

TEST_CASE("compact archive: causal contexts ascend, with gaps between ranges") {
    causal_context c{{a, 1, 3}, {a, 5, 5}, {a, 100, 1000}, {b, 2, 2}};
    CHECK(round_trip(c) == c);
    CHECK(encode(c) == bytes({2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 2, 2, 2, 0, 0, 93, 0x84, 7, //
                              2, 2, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0}));
    causal_context ends{{a, 1, 1}, {a, max_sequence, max_sequence}};
    CHECK(round_trip(ends) == ends);
    // A further range that ends beyond the greatest sequence number.
    auto beyond = bytes({1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 2, 0, 1, 0, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1});
    CHECK(refusal<causal_context>(beyond) == decode_error::invalid_value);
    auto swapped = bytes({2, 1, 2, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 2, 1, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0});
    CHECK(refusal<causal_context>(swapped) == decode_error::non_canonical);
}

TEST_CASE("compact archive: sections can be skipped, and name nothing for what follows") {
    std::vector<std::byte> out;
    compact_output_archive ar(out);
    ar.write(dot{a, 10});
    ar.section([](auto& inner) {
        inner.write(dot{a, 12}); // relative to what was named before
        inner.write(dot{b, 1});
        inner.section([](auto& innermost) { innermost.write(dot{b, 2}); });
        inner.write(dot{b, 2});
    });
    ar.write(dot{a, 11});
    ar.write(dot{b, 1}); // spelled out again

    compact_input_archive reading(out);
    CHECK(reading.read_dot() == dot{a, 10});
    reading.section([](auto& inner) {
        CHECK(inner.read_dot() == dot{a, 12});
        CHECK(inner.read_dot() == dot{b, 1});
        inner.section([](auto& innermost) { CHECK(innermost.read_dot() == dot{b, 2}); });
        CHECK(inner.read_dot() == dot{b, 2});
    });
    CHECK(reading.read_dot() == dot{a, 11});
    CHECK(reading.read_dot() == dot{b, 1});
    CHECK(reading.remaining() == 0);

    compact_input_archive skipping(out);
    CHECK(skipping.read_dot() == dot{a, 10});
    skipping.raw(skipping.varint());
    CHECK(skipping.read_dot() == dot{a, 11});
    CHECK(skipping.read_dot() == dot{b, 1});
}

TEST_CASE("compact archive: a section is read to its end and not beyond") {
    std::vector<std::byte> out;
    compact_output_archive ar(out);
    ar.section([](auto& inner) { inner.write(dot{a, 1}); });
    out.push_back(std::byte{9});
    compact_input_archive more(out);
    CHECK_THROWS_AS(more.section([](auto& inner) {
        inner.read_dot();
        inner.byte();
    }),
                    joinery::decode_failure);
    compact_input_archive less(out);
    CHECK_THROWS_AS(less.section([](auto&) {}), joinery::decode_failure);
}

TEST_CASE("compact archive: the table is as before after sections of many replicas") {
    // Against a reader and writer that copy the table at each section.
    std::mt19937 random(3);
    std::vector<std::byte> out;
    compact_output_archive ar(out);
    std::vector<dot> written;
    auto some = [&](auto& to, std::uint64_t replicas) {
        for (auto n = random() % 12; n > 0; --n) {
            dot d{replica_id{random() % replicas}, 1 + random() % 1000};
            to.write(d);
            written.push_back(d);
        }
        return written.size();
    };
    std::vector<std::size_t> sizes;
    for (int i = 0; i < 50; ++i) {
        sizes.push_back(some(ar, 10));
        ar.section([&](auto& inner) {
            sizes.push_back(some(inner, 40));
            inner.section([&](auto& innermost) { sizes.push_back(some(innermost, 40)); });
            sizes.push_back(some(inner, 40));
        });
    }
    compact_input_archive in(out);
    std::size_t next = 0;
    auto size = sizes.begin();
    auto check = [&](auto& from) {
        for (std::size_t end = *size++; next < end; ++next) REQUIRE(from.read_dot() == written[next]);
    };
    for (int i = 0; i < 50; ++i) {
        check(in);
        in.section([&](auto& inner) {
            check(inner);
            inner.section([&](auto& innermost) { check(innermost); });
            check(inner);
        });
    }
    CHECK(in.remaining() == 0);
    CHECK(next > 500);
}

TEST_CASE("compact archive: a renaming moves the later dots of one replica") {
    joinery::dot_renaming renaming{a, 5, b};
    auto renamed = [&](const auto& x) {
        return decode<std::remove_cvref_t<decltype(x)>>(encode(x), &renaming).value();
    };
    CHECK(renamed(dot{a, 5}) == dot{a, 5});
    CHECK(renamed(dot{a, 6}) == dot{b, 1});
    CHECK(renamed(dot{replica_id{3}, 9}) == dot{replica_id{3}, 9});
    CHECK(renamed(dot{}) == dot{});
    CHECK(renamed(causal_context{{a, 2, 8}, {a, 10, 10}}) == causal_context{{a, 2, 5}, {b, 1, 3}, {b, 5, 5}});
    CHECK(renamed(version_vector{{a, 7}}) == version_vector{{a, 7}}); // says what was published
    std::vector<std::byte> range = encode(dot_range{a, 4, 7});
    compact_input_archive in(range, &renaming);
    CHECK(in.read_ranges() == joinery::short_vector<dot_range, 2>{{a, 4, 5}, {b, 1, 2}});
}
