// SPDX-License-Identifier: Apache-2.0
#pragma once

// Names that no two leaders give twice, without asking each other: what an auto-incremented column is elsewhere. An id
// is the dot of an event that did nothing else (transaction::unique_id), and so as unique as dots are: a storage that
// was copied, and is used twice at once, may issue one twice until its node notices.

#include <joinery/dot.hpp>

#include <compare>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

namespace joinery {

/// A value like any other: an element, a key. Ordered by who issued it, then by when. One that is made of nothing is no
/// one's, "0-0".
class unique_id {
public:
    unique_id() = default;
    explicit unique_id(dot issued) : replica_(issued.replica.value()), number_(issued.seq) {}

    replica_id issuer() const { return replica_id{replica_}; }
    std::uint64_t number() const { return number_; }

    /// The other direction of to_string, in either case; o reads as 0, and i and l as 1. Nothing if it is none.
    static std::optional<unique_id> parse(std::string_view text);

    friend auto operator<=>(const unique_id&, const unique_id&) = default;

    static std::string type_name() { return "unique_id"; }
    template <class Archive> void serialize(Archive& ar) { ar(replica_, number_); } // a name, and never renamed

private:
    std::uint64_t replica_ = 0;
    std::uint64_t number_ = 0;
};

/// Up to 13 letters and digits for the issuer, a dash, and what the number takes, mostly two to four:
/// "5kq2r0m8xw3yt-c1". Digits of base 32 without i, l, o and u (Crockford).
std::string to_string(const unique_id& id);

} // namespace joinery

template <> struct std::hash<joinery::unique_id> {
    std::size_t operator()(const joinery::unique_id& id) const noexcept {
        return static_cast<std::size_t>((id.issuer().value() + id.number()) * 0x9e3779b97f4a7c15u);
    }
};
