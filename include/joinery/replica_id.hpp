// SPDX-License-Identifier: Apache-2.0
#pragma once

// Who issued a dot. A replica_id belongs to one storage and is never shared: two replicas with one id
// would issue the same dots for different events. Random 64-bit ids collide with probability
// n^2 / 2^65 for n replicas: 3e-14 for a thousand.

#include <compare>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>

namespace joinery {

/// A replica's identity: any 64-bit number, ordered as unsigned.
class replica_id {
public:
    constexpr replica_id() = default;
    constexpr explicit replica_id(std::uint64_t value) : value_(value) {}

    /// An id from the system's entropy source; never 0. Throws std::system_error if there is none.
    static replica_id random();

    constexpr std::uint64_t value() const { return value_; }

    friend constexpr auto operator<=>(replica_id, replica_id) = default;

private:
    std::uint64_t value_ = 0;
};

/// Sixteen hexadecimal digits.
std::string to_string(replica_id id);

} // namespace joinery

template <> struct std::hash<joinery::replica_id> {
    std::size_t operator()(joinery::replica_id id) const noexcept {
        return static_cast<std::size_t>(id.value() * 0x9e3779b97f4a7c15u);
    }
};
