// SPDX-License-Identifier: Apache-2.0
#pragma once

// Why bytes from outside were refused. Decoding is total: it answers with a value or one of these.

#include <cstdint>
#include <exception>
#include <string_view>

namespace joinery {

enum class decode_error : std::uint8_t {
    truncated,       ///< the input ended inside a value, or a count exceeds the bytes that remain
    trailing_bytes,  ///< a whole value was read and bytes were left over
    non_canonical,   ///< a form that no encoder writes: overlong varint, unsorted or repeated keys
    invalid_value,   ///< well-formed, but out of range: bool 2, sequence number 0, bad UTF-8
    too_deep,        ///< nested deeper than the limit
    too_large,       ///< more elements or memory than an input of this size may ask for
    bad_magic,       ///< a frame that does not start as one of ours
    unknown_version, ///< a frame of a format version that this library does not know
    wrong_type,      ///< a frame for another collection or another type
    bad_checksum,    ///< a frame whose content was damaged
};

/// A short, stable name: "truncated", "trailing bytes", ...
constexpr std::string_view to_string(decode_error e) {
    switch (e) {
    case decode_error::truncated: return "truncated";
    case decode_error::trailing_bytes: return "trailing bytes";
    case decode_error::non_canonical: return "non-canonical form";
    case decode_error::invalid_value: return "invalid value";
    case decode_error::too_deep: return "nested too deeply";
    case decode_error::too_large: return "too large";
    case decode_error::bad_magic: return "bad magic";
    case decode_error::unknown_version: return "unknown format version";
    case decode_error::wrong_type: return "wrong type or collection";
    case decode_error::bad_checksum: return "bad checksum";
    }
    return "unknown error";
}

/// Thrown by the `load` of a type that finds bad data; `decode` catches it and answers with the reason.
struct decode_failure : std::exception {
    explicit decode_failure(decode_error r) : reason(r) {}
    const char* what() const noexcept override { return to_string(reason).data(); }
    decode_error reason;
};

} // namespace joinery
