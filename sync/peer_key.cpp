// SPDX-License-Identifier: Apache-2.0
#include <joinery/peer_key.hpp>

#include <charconv>

namespace joinery {

std::optional<peer_key> peer_key::parse(std::string_view text) {
    peer_key k;
    if (text.size() != 2 * k.bytes.size()) return std::nullopt;
    for (std::size_t i = 0; i < k.bytes.size(); ++i) {
        const char* const at = text.data() + 2 * i;
        unsigned value = 0;
        const auto read = std::from_chars(at, at + 2, value, 16);
        if (read.ptr != at + 2 || *at == '-') return std::nullopt;
        k.bytes[i] = static_cast<std::byte>(value);
    }
    return k;
}

std::string to_string(const peer_key& k) {
    constexpr std::string_view digits = "0123456789abcdef";
    std::string text;
    text.reserve(2 * k.bytes.size());
    for (const auto b : k.bytes) {
        text += digits[static_cast<unsigned>(b) >> 4];
        text += digits[static_cast<unsigned>(b) & 15];
    }
    return text;
}

} // namespace joinery
