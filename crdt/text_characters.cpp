// SPDX-License-Identifier: Apache-2.0
#include "text_characters.hpp"

#include "utf8.hpp"

#include <algorithm>
#include <bit>

namespace joinery::detail {

namespace {

constexpr std::uint32_t block = 64;

} // namespace

std::size_t text_characters::byte(std::uint32_t c) const {
    if (ascii_) return c;
    if (c == size_) return utf8_.size();
    const std::size_t at = bytes_[c / block];
    return at + utf8_prefix(std::string_view(utf8_).substr(at), c % block);
}

// Requires: `first` begins a block, at `byte`, with `wide` before it.
void text_characters::count_from(std::uint32_t first, std::size_t byte, std::uint32_t wide) {
    for (std::uint32_t c = first; c < size_; c += block) {
        bytes_.push_back(static_cast<std::uint32_t>(byte));
        wides_.push_back(wide);
        const std::string_view rest = std::string_view(utf8_).substr(byte);
        const std::string_view part = rest.substr(0, utf8_prefix(rest, std::min(block, size_ - c)));
        byte += part.size();
        wide += static_cast<std::uint32_t>(count_utf8(part).wide);
    }
}

void text_characters::append(std::string_view utf8, std::uint32_t n) {
    std::uint32_t c = size_;
    utf8_ += utf8;
    size_ += n;
    for (std::size_t at = 0, end; (end = utf8.find('\n', at)) != utf8.npos; at = end + 1, ++c) {
        c += static_cast<std::uint32_t>(utf8.size() == n ? end - at : count_utf8(utf8.substr(at, end - at)).points);
        set_bit(newlines_, c);
    }
    if (ascii_ && utf8.size() == n) return;
    ascii_ = false;
    count_blocks();
}

// Not all are ASCII, and there are more than before.
void text_characters::count_blocks() {
    const std::uint32_t counted = static_cast<std::uint32_t>(bytes_.size()) * block;
    if (counted >= size_) return;
    if (counted == 0) return count_from(0, 0, 0);
    // The last block that was counted is complete now.
    const std::uint32_t last = counted - block;
    const std::size_t begin = bytes_[last / block];
    const std::string_view rest = std::string_view(utf8_).substr(begin);
    const std::string_view part = rest.substr(0, utf8_prefix(rest, block));
    count_from(counted, begin + part.size(), wides_.back() + static_cast<std::uint32_t>(count_utf8(part).wide));
}

void text_characters::truncate(std::uint32_t size) {
    if (size == size_) return;
    truncate_bits(newlines_, size);
    utf8_.resize(byte(size));
    size_ = size;
    if (ascii_) return;
    const std::size_t blocks = (size + block - 1) / block;
    bytes_.resize(std::min(bytes_.size(), blocks));
    wides_.resize(bytes_.size());
}

text_measure text_characters::measure(std::uint32_t first, std::uint32_t n) const {
    text_measure m{n, n, 0, 0};
    if (n == 1)
        m.newlines = has_bit(newlines_, first);
    else
        m.newlines = count_bits(newlines_, first, n);
    if (ascii_) return m;
    const auto wide_before = [&](std::uint32_t c) -> std::uint32_t {
        if (c == 0) return 0;
        const std::uint32_t b = (c - 1) / block; // the block that c ends, or is in
        const std::string_view rest = std::string_view(utf8_).substr(bytes_[b]);
        return wides_[b] +
               static_cast<std::uint32_t>(count_utf8(rest.substr(0, utf8_prefix(rest, c - b * block))).wide);
    };
    const std::size_t begin = byte(first), end = byte(first + n);
    m.bytes = static_cast<std::uint32_t>(end - begin);
    if (m.bytes == n) return m;
    if (n <= 2 * block)
        m.wide = static_cast<std::uint32_t>(count_utf8(std::string_view(utf8_).substr(begin, m.bytes)).wide);
    else
        m.wide = wide_before(first + n) - wide_before(first);
    return m;
}

} // namespace joinery::detail
