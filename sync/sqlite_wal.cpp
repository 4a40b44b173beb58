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

std::optional<std::size_t> replay_wal(std::span<const unsigned char> wal, std::vector<unsigned char>& file,
                                      std::uint64_t max_size) {
    if (wal.size() < 32 || file.size() < 100) return 0;
    const std::uint32_t magic = big_endian(&wal[0]);
    const std::size_t size = big_endian(&wal[8]);
    const bool big = magic & 1;
    wal_checksum sum = add_to({0, 0}, wal.data(), 24, big);
    if ((magic & ~1u) != 0x377f0682 || big_endian(&wal[4]) != 3007000 ||
        sum != wal_checksum{big_endian(&wal[24]), big_endian(&wal[28])})
        return 0; // SQLite passes over it, too
    const std::size_t own = std::size_t{file[16]} << 8 | file[17];
    if (size != (own == 1 ? 65536 : own) || size < 512) return std::nullopt;

    std::size_t frames = 0, whole = 0;
    std::uint64_t pages = 0; // of the file after the last whole transaction
    const auto frame = [&](std::size_t i) { return &wal[32 + i * (24 + size)]; };
    for (; 32 + (frames + 1) * (24 + size) <= wal.size(); ++frames) {
        const unsigned char* f = frame(frames);
        if (std::memcmp(f + 8, &wal[16], 8) != 0 || big_endian(f) == 0) break;
        sum = add_to(add_to(sum, f, 8, big), f + 24, size, big);
        if (sum != wal_checksum{big_endian(f + 16), big_endian(f + 20)}) break;
        if (big_endian(f + 4) == 0) continue;
        whole = frames + 1;
        pages = big_endian(f + 4);
    }
    if (whole == 0) return 0;
    if (pages > max_size / size) return std::nullopt;
    file.resize(pages * size);
    for (std::size_t i = 0; i < whole; ++i) {
        const std::uint64_t page = big_endian(frame(i));
        if (page <= pages) std::memcpy(&file[(page - 1) * size], frame(i) + 24, size);
    }
    return whole;
}

} // namespace joinery::sqlite
