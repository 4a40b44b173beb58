// SPDX-License-Identifier: Apache-2.0
#include <joinery/frame.hpp>

#include <joinery/compact_archive.hpp>
#include <joinery/digest.hpp>

#include <algorithm>
#include <array>

namespace joinery {

namespace {

constexpr std::array magic{std::byte{'j'}, std::byte{'y'}};
constexpr std::size_t checksum_size = 4;

void put(std::vector<std::byte>& out, std::uint64_t value, unsigned bytes) {
    for (unsigned i = 0; i < bytes; ++i) out.push_back(static_cast<std::byte>(value >> (8 * i)));
}

std::uint64_t get(std::span<const std::byte> in) {
    std::uint64_t value = 0;
    for (std::size_t i = 0; i < in.size(); ++i) value |= std::to_integer<std::uint64_t>(in[i]) << (8 * i);
    return value;
}

std::uint64_t checksum(std::span<const std::byte> bytes) { return digest(bytes) & 0xffffffffu; }

} // namespace

void frame_writer::clear() {
    buffer_.resize(room);
    closed_ = false;
}

std::span<const std::byte> frame_writer::close(frame_kind kind, std::uint64_t collection, std::uint64_t fingerprint) {
    if (!closed_) end_ = buffer_.size();
    closed_ = true;
    buffer_.resize(end_);

    std::array<std::byte, room> header{};
    std::size_t n = 0;
    auto add = [&](std::uint64_t value, unsigned bytes) {
        for (unsigned i = 0; i < bytes; ++i) header[n++] = static_cast<std::byte>(value >> (8 * i));
    };
    for (auto b : magic) header[n++] = b;
    add(frame_version, 1);
    add(static_cast<std::uint8_t>(kind), 1);
    if (is_stored(kind)) {
        add(collection, 8);
        add(fingerprint, 8);
    }
    std::uint64_t length = end_ - room;
    for (; length >= 0x80; length >>= 7) add((length & 0x7f) | 0x80, 1);
    add(length, 1);

    const std::size_t start = room - n;
    std::copy_n(header.begin(), n, buffer_.begin() + static_cast<std::ptrdiff_t>(start));
    put(buffer_, checksum(std::span(buffer_).subspan(start)), checksum_size);
    return std::span<const std::byte>(buffer_).subspan(start);
}

result<frame_view, decode_error> open_frame(std::span<const std::byte> bytes) {
    const auto fail = [](decode_error e) { return failure<decode_error>(e); };
    if (bytes.size() < magic.size() + 2) return fail(decode_error::truncated);
    if (!std::equal(magic.begin(), magic.end(), bytes.begin())) return fail(decode_error::bad_magic);
    if (std::to_integer<std::uint8_t>(bytes[2]) != frame_version) return fail(decode_error::unknown_version);
    const auto kind = std::to_integer<std::uint8_t>(bytes[3]);
    if (kind < 1 || kind > 4) return fail(decode_error::invalid_value);

    frame_view f;
    f.kind = static_cast<frame_kind>(kind);
    try {
        compact_input_archive in(bytes.subspan(4));
        if (is_stored(f.kind)) {
            f.collection = get(in.raw(8));
            f.fingerprint = get(in.raw(8));
        }
        f.body = in.raw(in.varint());
        if (in.remaining() < checksum_size) return fail(decode_error::truncated);
        if (in.remaining() > checksum_size) return fail(decode_error::trailing_bytes);
        if (get(in.rest()) != checksum(bytes.first(bytes.size() - checksum_size)))
            return fail(decode_error::bad_checksum);
    } catch (const decode_failure& e) {
        return fail(e.reason);
    }
    return f;
}

result<std::span<const std::byte>, decode_error> open_stored(std::span<const std::byte> bytes, frame_kind kind,
                                                             std::uint64_t collection, std::uint64_t fingerprint) {
    auto f = open_frame(bytes);
    if (!f) return failure<decode_error>(f.error());
    if (f->kind != kind || f->collection != collection || f->fingerprint != fingerprint)
        return failure<decode_error>(decode_error::wrong_type);
    return f->body;
}

} // namespace joinery
