// SPDX-License-Identifier: Apache-2.0
#include "zmq_control.hpp"

#include "zmq_peers.hpp"

#include <doctest/doctest.h>

#include <span>
#include <string>
#include <string_view>
#include <vector>

using namespace zmq_tests;

TEST_CASE("zmq_control: encoding and decoding are inverse, and nothing else is accepted") {
    const std::vector<joinery::detail::control> all = {
        hello{dial_stage::asking},
        hello{dial_stage::subscribed},
        hello{dial_stage::ready},
        welcome{0x0123456789abcdef, std::uint16_t{65535}},
        welcome{0, std::uint16_t{1}},
        welcome{1, ".pub"},
        welcome{1, std::string(joinery::detail::max_place_suffix, 'x')},
        pulse{~std::uint64_t{0}, 1},
        bye{},
    };
    for (const auto& c : all) {
        const auto bytes = encode_control(c);
        const auto back = decode_control(bytes);
        REQUIRE(back.has_value());
        CHECK(*back == c);
        auto longer = bytes;
        longer.push_back(std::byte{0});
        CHECK_FALSE(decode_control(longer).has_value());
        for (std::size_t size = 0; size < bytes.size(); ++size) {
            const auto part = decode_control(std::span(bytes).first(size));
            // A suffix ends where the message ends; all else is truncated.
            if (part)
                CHECK(encode_control(*part) ==
                      std::vector<std::byte>(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(size)));
        }
    }
    using joinery::decode_error;
    auto error = [](std::string_view text) { return decode_control(test_node::bytes(text)).error(); };
    using namespace std::string_view_literals;
    CHECK(error(""sv) == decode_error::truncated);
    CHECK(error("J\1\4"sv) == decode_error::bad_magic);
    CHECK(error("j\2\4"sv) == decode_error::unknown_version);
    CHECK(error("j\1\5"sv) == decode_error::invalid_value);
    CHECK(error("j\1\1\3"sv) == decode_error::invalid_value);
    CHECK(error("j\1\4\0"sv) == decode_error::trailing_bytes);
    CHECK(error("j\1\2\0\0\0\0\0\0\0\0\1\0\0"sv) == decode_error::invalid_value);  // port 0
    CHECK(error("j\1\2\0\0\0\0\0\0\0\0\2/../x"sv) == decode_error::invalid_value); // a path
    CHECK(error("j\1\2\0\0\0\0\0\0\0\0\2"sv) == decode_error::truncated);
    CHECK(error("j\1\2\0\0\0\0\0\0\0\0\2xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"sv) == decode_error::too_large);
}

TEST_CASE("zmq_control: a publisher's place cannot lead away from the address that was dialled") {
    auto place = [](const char* dialled, const publish_place& p) {
        return zmq_address::parse(dialled, zmq_address::use::dial, "test").publish_endpoint(p);
    };
    CHECK(place("tcp://127.0.0.1:7001", std::uint16_t{7002}) == "tcp://127.0.0.1:7002");
    CHECK(place("tcp://[::1]:7001", std::uint16_t{7002}) == "tcp://[::1]:7002");
    CHECK(place("ipc:///run/leader", ".pub") == "ipc:///run/leader.pub");
    CHECK(place("tcp://127.0.0.1:7001", ".pub") == "");
    CHECK(place("tcp://127.0.0.1:7001", std::uint16_t{0}) == "");
    CHECK(place("ipc:///run/leader", std::uint16_t{7002}) == "");
    CHECK(place("ipc:///run/leader", "/../../etc/x") == "");
    CHECK(place("ipc:///run/leader", "") == "");
}
