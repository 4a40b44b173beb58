// SPDX-License-Identifier: Apache-2.0
#pragma once

// What a peer proves that it is: the public half of a key pair.

#include <array>
#include <compare>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace joinery {

/// A public key of Curve25519.
struct peer_key {
    std::array<std::byte, 32> bytes{};

    /// Reads what `to_string` writes, in either case; nothing for any other text.
    static std::optional<peer_key> parse(std::string_view text);

    friend auto operator<=>(const peer_key&, const peer_key&) = default;
};

/// 64 hexadecimal digits.
std::string to_string(const peer_key& k);

} // namespace joinery
