// SPDX-License-Identifier: Apache-2.0
#include "sqlite_wal.hpp"

#include <array>
#include <cstddef>
#include <cstring>
#include <fstream>
#include <utility>
#include <vector>

namespace joinery::sqlite {

namespace {

using wal_checksum = std::pair<std::uint32_t, std::uint32_t>;

// The checksum of SQLite's WAL format (fileformat2.html, section 4.2); n is a multiple of 8.
wal_checksum add_to(wal_checksum sum, const unsigned char* p, std::size_t n, bool big) {
    auto word = [big](const unsigned char* q) {
        if (big) return big_endian(q);
        return std::uint32_t{q[3]} << 24 | std::uint32_t{q[2]} << 16 | std::uint32_t{q[1]} << 8 | q[0];
    };
    for (std::size_t i = 0; i < n; i += 8) {
        sum.first += word(p + i) + sum.second;
        sum.second += word(p + i + 4) + sum.first;
    }
    return sum;
}

} // namespace

bool verify_wal(const std::filesystem::path& path) {
    std::ifstream in(path, std::ios::binary);
    std::array<unsigned char, 32> header{};
    in.read(reinterpret_cast<char*>(header.data()), header.size());
    if (in.gcount() < std::streamsize(header.size())) return true; // not a frame in it
    std::uint32_t magic = big_endian(&header[0]), size = big_endian(&header[8]);
    bool big = magic & 1;
    wal_checksum sum = add_to({0, 0}, header.data(), 24, big);
    bool good_header = (magic & ~1u) == 0x377f0682 && big_endian(&header[4]) == 3007000 && size >= 512 &&
                       size <= 65536 && sum == wal_checksum{big_endian(&header[24]), big_endian(&header[28])};
    // SQLite syncs the header before it writes the first frame.
    if (!good_header) return in.peek() == std::ifstream::traits_type::eof();

    std::vector<unsigned char> frame(24 + std::size_t{size});
    wal_checksum said = sum, expected = sum; // after the frame before
    bool broken = false, committed = false;  // a bad frame was met; a commit since, that one included
    while (in.read(reinterpret_cast<char*>(frame.data()), std::streamsize(frame.size()))) {
        wal_checksum own{big_endian(&frame[16]), big_endian(&frame[20])};
        auto after = [&](wal_checksum before) {
            return add_to(add_to(before, frame.data(), 8, big), frame.data() + 24, size, big);
        };
        bool same_salts = std::memcmp(&frame[8], &header[16], 8) == 0;
        wal_checksum after_said = after(said);
        bool fits = after_said == own || (said != expected && after(expected) == own);
        // Only damage to the salts themselves makes a frame fit that has others.
        if (fits && (broken ? same_salts && committed : !same_salts)) return false;
        if (!fits) broken = true;
        if (broken && same_salts && big_endian(&frame[4]) != 0) committed = true;
        expected = after_said;
        said = own;
    }
    return true;
}

} // namespace joinery::sqlite
