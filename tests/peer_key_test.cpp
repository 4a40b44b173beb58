// SPDX-License-Identifier: Apache-2.0
#include <joinery/peer_key.hpp>

#include <doctest/doctest.h>

#include <string>

using joinery::peer_key;

TEST_CASE("peer_key: is written as 64 hexadecimal digits, and read in either case") {
    peer_key k;
    for (std::size_t i = 0; i < k.bytes.size(); ++i) k.bytes[i] = static_cast<std::byte>(i * 8 + 7);
    const auto text = to_string(k);
    CHECK(text == "070f171f272f373f474f575f676f777f878f979fa7afb7bfc7cfd7dfe7eff7ff");
    CHECK(peer_key::parse(text) == k);
    std::string upper = text;
    for (auto& c : upper)
        if (c >= 'a') c = static_cast<char>(c - 'a' + 'A');
    CHECK(peer_key::parse(upper) == k);
}

TEST_CASE("peer_key: anything else is refused") {
    const std::string good(64, 'a');
    REQUIRE(peer_key::parse(good));
    CHECK_FALSE(peer_key::parse(""));
    CHECK_FALSE(peer_key::parse(good + "a"));
    CHECK_FALSE(peer_key::parse(good.substr(1)));
    for (const char* wrong : {"-1", "+1", " 1", "1 ", "0x", "1g", "1-"})
        for (std::size_t at : {0u, 31u, 62u}) {
            auto text = good;
            text.replace(at, 2, wrong);
            CHECK_FALSE(peer_key::parse(text));
        }
}
