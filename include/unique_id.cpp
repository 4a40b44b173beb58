// SPDX-License-Identifier: Apache-2.0
#include <joinery/compact_archive.hpp>
#include <joinery/unique_id.hpp>

#include <algorithm>

namespace joinery {

namespace {

constexpr std::string_view digits = "0123456789abcdefghjkmnpqrstvwxyz";

std::string written(std::uint64_t n) {
    std::string out;
    do out += digits[n % 32];
    while ((n /= 32) > 0);
    std::reverse(out.begin(), out.end());
    return out;
}

std::optional<std::uint64_t> read(std::string_view text) {
    if (text.empty()) return std::nullopt;
    std::uint64_t n = 0;
    for (char c : text) {
        if ('A' <= c && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
        if (c == 'o') c = '0';
        if (c == 'i' || c == 'l') c = '1';
        const auto digit = digits.find(c);
        if (digit == std::string_view::npos || n > UINT64_MAX / 32) return std::nullopt;
        if (digit == 0 && n == 0 && text.size() > 1) return std::nullopt; // nothing has a second form
        n = n * 32 + digit;
    }
    return n;
}

} // namespace

std::optional<unique_id> unique_id::parse(std::string_view text) {
    const auto dash = text.find('-');
    if (dash == std::string_view::npos) return std::nullopt;
    const auto issuer = read(text.substr(0, dash));
    const auto number = read(text.substr(dash + 1));
    if (!issuer || !number || (*number == 0 && *issuer != 0) || *number > max_sequence) return std::nullopt;
    return unique_id(dot{replica_id{*issuer}, *number});
}

std::string to_string(const unique_id& id) { return written(id.issuer().value()) + '-' + written(id.number()); }

} // namespace joinery
