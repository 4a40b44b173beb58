// SPDX-License-Identifier: Apache-2.0
#include <joinery/frame.hpp>

#include <joinery/digest.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

using joinery::decode_error;
using joinery::frame_kind;
using joinery::frame_writer;

namespace {

using bytes = std::vector<std::byte>;

void append(bytes& out, std::string_view text) {
    for (char c : text) out.push_back(static_cast<std::byte>(c));
}

bytes frame_of(std::string_view text, frame_kind kind, std::uint64_t collection = 0, std::uint64_t fingerprint = 0) {
    frame_writer w;
    append(w.body(), text);
    const auto f = w.close(kind, collection, fingerprint);
    return {f.begin(), f.end()};
}

bool is(std::span<const std::byte> body, std::string_view text) {
    bytes expected;
    append(expected, text);
    return std::equal(body.begin(), body.end(), expected.begin(), expected.end());
}

decode_error error_of(const bytes& b) {
    const auto f = joinery::open_frame(b);
    REQUIRE_FALSE(f);
    return f.error();
}

} // namespace

TEST_CASE("frame: what was closed is opened again") {
    const auto messages = frame_of("hello", frame_kind::broadcast);
    CHECK(messages.size() == 5 + 9);
    const auto opened = joinery::open_frame(messages);
    REQUIRE(opened);
    CHECK(opened->kind == frame_kind::broadcast);
    CHECK(is(opened->body, "hello"));

    const auto stored = joinery::open_frame(frame_of("", frame_kind::record, 7, 8));
    REQUIRE(stored);
    CHECK(stored->kind == frame_kind::record);
    CHECK(stored->collection == 7);
    CHECK(stored->fingerprint == 8);
    CHECK(stored->body.empty());
}

TEST_CASE("frame: one body can be closed as both kinds of message, and the writer used again") {
    frame_writer w;
    append(w.body(), "to all");
    const auto first = w.close(frame_kind::broadcast);
    const bytes all(first.begin(), first.end());
    const auto second = w.close(frame_kind::direct);
    const bytes one(second.begin(), second.end());
    CHECK(all == frame_of("to all", frame_kind::broadcast));
    CHECK(one == frame_of("to all", frame_kind::direct));
    CHECK(w.body_size() == 6);
    w.clear();
    CHECK(w.body_size() == 0);
    append(w.body(), "x");
    const auto third = w.close(frame_kind::direct);
    CHECK(bytes(third.begin(), third.end()) == frame_of("x", frame_kind::direct));
}

TEST_CASE("frame: lengths of one to three bytes") {
    for (std::size_t n : {0, 1, 127, 128, 16383, 16384, 100'000}) {
        const auto f = frame_of(std::string(n, 'x'), frame_kind::direct);
        const auto opened = joinery::open_frame(f);
        REQUIRE(opened);
        CHECK(opened->body.size() == n);
    }
}

TEST_CASE("frame: each kind of damage has its error") {
    const auto good = frame_of("some content", frame_kind::direct);
    auto at = [&](std::size_t i, std::uint8_t value) {
        auto bad = good;
        bad[i] = std::byte{value};
        return error_of(bad);
    };
    CHECK(at(0, 'x') == decode_error::bad_magic);
    CHECK(at(2, 2) == decode_error::unknown_version);
    CHECK(at(3, 0) == decode_error::invalid_value);
    CHECK(at(3, 5) == decode_error::invalid_value);
    CHECK(at(3, 2) == decode_error::bad_checksum); // the other kind of message
    CHECK(at(8, 'x') == decode_error::bad_checksum);
    CHECK(at(good.size() - 1, static_cast<std::uint8_t>(good.back()) ^ 1) == decode_error::bad_checksum);
    CHECK(at(4, 100) == decode_error::truncated);
    CHECK(at(4, 3) == decode_error::trailing_bytes);
    CHECK(error_of({}) == decode_error::truncated);
}

TEST_CASE("frame: every cut and every flipped bit is noticed") {
    const auto good = frame_of("some content", frame_kind::snapshot, 1, 2);
    for (std::size_t n = 0; n < good.size(); ++n) CHECK_FALSE(joinery::open_frame(std::span(good).first(n)));
    for (std::size_t bit = 0; bit < good.size() * 8; ++bit) {
        auto bad = good;
        bad[bit / 8] ^= std::byte{1} << (bit % 8);
        CHECK_FALSE(joinery::open_frame(bad));
    }
}

TEST_CASE("frame: what is stored belongs to one collection and one type") {
    const auto f = frame_of("state", frame_kind::snapshot, 1, 2);
    const auto opened = joinery::open_stored(f, frame_kind::snapshot, 1, 2);
    REQUIRE(opened);
    CHECK(is(*opened, "state"));
    CHECK(joinery::open_stored(f, frame_kind::record, 1, 2).error() == decode_error::wrong_type);
    CHECK(joinery::open_stored(f, frame_kind::snapshot, 3, 2).error() == decode_error::wrong_type);
    CHECK(joinery::open_stored(f, frame_kind::snapshot, 1, 3).error() == decode_error::wrong_type);
}
