// SPDX-License-Identifier: Apache-2.0
#include <joinery/digest.hpp>

#include <doctest/doctest.h>

#include <array>
#include <string>

TEST_CASE("digest: the same on every machine, XXH3 of the bytes") {
    CHECK(joinery::digest(std::string_view("")) == 0x2d06800538d394c2); // published by xxHash's authors
    std::array<std::byte, 3> bytes{std::byte{'a'}, std::byte{'b'}, std::byte{'c'}};
    CHECK(joinery::digest(bytes) == joinery::digest(std::string_view("abc")));
    CHECK(joinery::digest(bytes) == 0x78af5f94892f3950);
}

TEST_CASE("digest: content, length and seed count") {
    CHECK(joinery::digest(std::string(3, '\0')) != joinery::digest(std::string(4, '\0')));
    CHECK(joinery::digest(std::string_view("abc")) != joinery::digest(std::string_view("abd")));
    CHECK(joinery::digest(std::string_view("abc"), 1) != joinery::digest(std::string_view("abc"), 2));
}

TEST_CASE("digest: combining is not commutative") {
    CHECK(joinery::combine(1, 2) == joinery::combine(1, 2));
    CHECK(joinery::combine(1, 2) != joinery::combine(2, 1));
    CHECK(joinery::combine(0, 0) != 0);
}
