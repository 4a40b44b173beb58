// SPDX-License-Identifier: Apache-2.0
#include <joinery/hash.hpp>

#include <doctest/doctest.h>

#include <array>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <vector>

using joinery::detail::hash_of;
using joinery::detail::slot_table;

namespace {
struct point {
    std::int32_t x = 0, y = 0;
    template <class Archive> void serialize(Archive& ar) { ar(x, y); }
};
} // namespace

TEST_CASE("hash: numbers, text and any encodable value spread") {
    std::set<std::uint32_t> hashes;
    for (std::uint64_t i = 0; i < 1000; ++i) hashes.insert(hash_of(i));
    for (std::uint64_t i = 1; i < 1000; ++i) hashes.insert(hash_of(i << 40));
    for (int i = 0; i < 1000; ++i) hashes.insert(hash_of(std::to_string(i)));
    for (std::int32_t i = 0; i < 1000; ++i) hashes.insert(hash_of(point{i, -i}));
    CHECK(hashes.size() > 3990);
    CHECK(hash_of(std::string("x")) == hash_of(std::string_view("x")));
    CHECK(hash_of(point{1, 2}) == hash_of(point{1, 2}));
}

// It is run by the next one.
TEST_CASE("hash: of each kind is said" * doctest::skip()) {
    std::printf("hashes %08x %08x %08x\n", hash_of(std::uint64_t{1}), hash_of(std::string("x")), hash_of(point{1, 2}));
}

TEST_CASE("hash: another process has other hashes") {
    const auto self = std::filesystem::read_symlink("/proc/self/exe").string();
    const auto said = [&] {
        std::unique_ptr<FILE, int (*)(FILE*)> out(
            ::popen(("'" + self + "' --no-skip --test-case='hash: of each kind is said'").c_str(), "r"), ::pclose);
        REQUIRE(out != nullptr);
        std::array<unsigned, 3> h{};
        std::array<char, 512> line{};
        bool found = false;
        while (std::fgets(line.data(), line.size(), out.get()))
            found |= std::sscanf(line.data(), "hashes %8x %8x %8x", &h[0], &h[1], &h[2]) == 3; // NOLINT(cert-err34-c)
        REQUIRE(found);
        return h;
    };
    const auto one = said(), other = said();
    for (std::size_t i = 0; i < one.size(); ++i) CHECK(one[i] != other[i]);
}

TEST_CASE("hash: numbers that collide under a known multiplier do not collide here") {
    // Under h * 0x9e3779b97f4a7c15 >> 32 these would all be equal.
    constexpr std::uint64_t inverse = 0xf1de83e19937733du;
    static_assert(inverse * 0x9e3779b97f4a7c15u == 1);
    std::set<std::uint32_t> hashes;
    for (std::uint64_t i = 0; i < 1000; ++i) hashes.insert(hash_of(i * inverse));
    CHECK(hashes.size() > 990);
}

TEST_CASE("slot_table: does what a multimap from hashes does") {
    std::mt19937 random(5);
    slot_table table;
    std::set<std::pair<std::uint32_t, std::uint32_t>> expected;
    for (int i = 0; i < 20'000; ++i) {
        std::uint32_t hash = random() % 64, slot = random() % 400; // many share a hash
        bool there = expected.contains({hash, slot});
        REQUIRE((table.find(hash, [&](std::uint32_t s) { return s == slot; }) == slot) == there);
        if (there) {
            table.erase(hash, slot);
            expected.erase({hash, slot});
        } else if (random() % 8 < 3 + static_cast<std::size_t>(i) / 4000 % 3) {
            bool used = false; // a slot has one hash
            for (std::uint32_t h = 0; h < 64; ++h) used = used || expected.contains({h, slot});
            if (used) continue;
            table.insert(hash, slot);
            expected.emplace(hash, slot);
        }
        REQUIRE(table.size() == expected.size());
    }
    CHECK_FALSE(expected.empty());
    CHECK(table.memory() >= expected.size() * 8);
}
