// SPDX-License-Identifier: Apache-2.0
#pragma once

// Encodings written out in tests.

#include <joinery/codec.hpp>

#include <cstddef>
#include <initializer_list>
#include <vector>

/// The bytes with these values.
inline std::vector<std::byte> bytes(std::initializer_list<unsigned> values) {
    std::vector<std::byte> out;
    for (unsigned v : values) out.push_back(static_cast<std::byte>(v));
    return out;
}

/// Why decoding an X from these bytes fails; throws if it does not.
template <class X> joinery::decode_error refusal(const std::vector<std::byte>& in) {
    auto x = joinery::decode<X>(in);
    if (x) throw std::logic_error("the bytes were accepted");
    return x.error();
}
template <class X> joinery::decode_error refusal(std::initializer_list<unsigned> values) {
    return refusal<X>(bytes(values));
}

/// The value after encoding and decoding it; throws if that fails.
template <class X> X round_trip(const X& x) { return joinery::decode<X>(joinery::encode(x)).value(); }
