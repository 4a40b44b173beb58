// SPDX-License-Identifier: Apache-2.0
#include <joinery/zstd.hpp>

#include <doctest/doctest.h>

#include <random>
#include <string>

using joinery::decode_error;
using bytes = std::vector<std::byte>;

namespace {

bytes some_text(std::size_t n) {
    std::mt19937_64 random(n);
    bytes out;
    while (out.size() < n)
        for (const char c : "word " + std::to_string(random() % 100)) out.push_back(static_cast<std::byte>(c));
    return out;
}

} // namespace

TEST_CASE("zstd: what was compressed comes back, at every level") {
    for (const std::size_t n : {0, 1, 100, 100'000})
        for (const int level : {-100, 1, 3, 19, 100}) {
            const bytes content = some_text(n);
            const bytes frame = joinery::zstd_compress(content, level);
            const auto back = joinery::zstd_decompress(frame, content.size());
            REQUIRE(back);
            CHECK(*back == content);
            if (n == 100'000) CHECK(frame.size() < n / 3);
        }
}

TEST_CASE("zstd: no more than was allowed is taken") {
    const bytes frame = joinery::zstd_compress(bytes(1'000'000));
    CHECK(frame.size() < 200);
    CHECK(joinery::zstd_decompress(frame, 999'999).error() == decode_error::too_large);
    CHECK(joinery::zstd_decompress(frame, 1'000'000)->size() == 1'000'000);
}

TEST_CASE("zstd: damaged frames are refused") {
    const bytes content = some_text(2000);
    const bytes frame = joinery::zstd_compress(content, 19);
    CHECK(joinery::zstd_decompress({}, 100).error() == decode_error::truncated);
    CHECK(joinery::zstd_decompress(content, 10'000).error() == decode_error::invalid_value);
    bytes two = frame;
    two.insert(two.end(), frame.begin(), frame.end());
    CHECK(joinery::zstd_decompress(two, 10'000).error() == decode_error::trailing_bytes);
    for (std::size_t n = 0; n < frame.size(); ++n)
        CHECK_FALSE(joinery::zstd_decompress(std::span(frame).first(n), 10'000));
    std::size_t harmless = 0; // bits that say nothing of the content
    for (std::size_t i = 0; i < frame.size(); ++i)
        for (int bit = 0; bit < 8; ++bit) {
            bytes bad = frame;
            bad[i] ^= static_cast<std::byte>(1 << bit);
            const auto back = joinery::zstd_decompress(bad, 10'000);
            if (back && ++harmless) CHECK(*back == content);
        }
    CHECK(50 * harmless < 8 * frame.size());
}
