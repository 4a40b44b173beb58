// SPDX-License-Identifier: Apache-2.0
#pragma once

// encode and decode: any value that Cereal can serialise, to and from the compact form.
//
//     std::vector<std::byte> bytes = joinery::encode(delta);
//     auto back = joinery::decode<joinery::delta<cart>>(bytes);
//     if (!back) log(joinery::to_string(back.error()));
//
// The encoding is bare: no magic, version or checksum. Storage and transport wrap it in a frame (frame.hpp).

#include <joinery/compact_archive.hpp>
#include <joinery/compact_containers.hpp>
#include <joinery/hybrid_clock.hpp>
#include <joinery/result.hpp>

#include <concepts>
#include <new>
#include <type_traits>

namespace joinery {

/// Appends the compact form of `x` to `out`: so that a buffer can be used again. Equal values give equal bytes.
/// O(size). What is mostly very small may have members `bool encode_alone(std::vector<std::byte>&) const`, which
/// appends, and `bool decode_alone(std::span<const std::byte>)` which do without an archive, or return false and have
/// changed nothing.
template <class X> void encode_to(std::vector<std::byte>& out, const X& x) {
    if constexpr (requires {
                      { x.encode_alone(out) } -> std::same_as<bool>;
                  })
        if (x.encode_alone(out)) return;
    compact_output_archive ar(out);
    ar(x);
}

/// The same as a vector of its own.
template <class X> std::vector<std::byte> encode(const X& x) {
    constexpr std::size_t small = 32; // most deltas
    std::vector<std::byte> out;
    if constexpr (requires {
                      { x.encode_alone(out) } -> std::same_as<bool>;
                  })
        if (x.encode_alone(out)) return out;
    out.reserve(small);
    compact_output_archive ar(out);
    ar(x);
    return out;
}

/// A value from bytes that may be hostile, all of which it must use. Never throws; allocates at most 64
/// times the input's size plus 64 KiB.
template <class X>
result<X, decode_error> decode(std::span<const std::byte> bytes, const dot_renaming* renaming = nullptr) {
    constexpr bool throws = !std::is_nothrow_default_constructible_v<X>; // seldom
    auto x = [] {
        if constexpr (throws) {
            return result<X, decode_error>(failure<decode_error>(decode_error::too_large));
        } else {
            result<X, decode_error> made; // `result()` would clear all of it first
            return made;
        }
    }();
    try {
        if constexpr (throws) x.emplace();
        if constexpr (requires {
                          { x->decode_alone(bytes) } -> std::same_as<bool>;
                      })
            if (!renaming && x->decode_alone(bytes)) return x;
        compact_input_archive ar(bytes, renaming);
        ar(*x);
        if (ar.remaining() != 0) x = failure<decode_error>(decode_error::trailing_bytes);
    } catch (const decode_failure& e) {
        x = failure<decode_error>(e.reason);
    } catch (const std::bad_alloc&) {
        x = failure<decode_error>(decode_error::too_large);
    } catch (...) { // what a user's load refuses
        x = failure<decode_error>(decode_error::invalid_value);
    }
    return x;
}

// ---- the vocabulary, in the compact form and in all others ----

template <class Archive> void CEREAL_SAVE_FUNCTION_NAME(Archive& ar, const replica_id& r) {
    if constexpr (is_compact_archive_v<Archive>)
        ar.replica(r);
    else
        ar(cereal::make_nvp("id", r.value()));
}
template <class Archive> void CEREAL_LOAD_FUNCTION_NAME(Archive& ar, replica_id& r) {
    if constexpr (is_compact_archive_v<Archive>) {
        r = ar.replica();
    } else {
        std::uint64_t value = 0;
        ar(cereal::make_nvp("id", value));
        r = replica_id{value};
    }
}

template <class Archive> void CEREAL_SAVE_FUNCTION_NAME(Archive& ar, const dot& d) {
    if constexpr (is_compact_archive_v<Archive>)
        ar.write(d);
    else
        ar(cereal::make_nvp("replica", d.replica.value()), cereal::make_nvp("seq", d.seq));
}
template <class Archive> void CEREAL_LOAD_FUNCTION_NAME(Archive& ar, dot& d) {
    if constexpr (is_compact_archive_v<Archive>) {
        d = ar.read_null_or_dot();
    } else {
        std::uint64_t value = 0;
        ar(cereal::make_nvp("replica", value), cereal::make_nvp("seq", d.seq));
        d.replica = replica_id{value};
        if (d.seq > max_sequence) throw decode_failure(decode_error::invalid_value);
    }
}

template <class Archive> void CEREAL_SAVE_FUNCTION_NAME(Archive& ar, const dot_range& r) {
    if constexpr (is_compact_archive_v<Archive>)
        ar.write(r);
    else
        ar(cereal::make_nvp("replica", r.replica.value()), cereal::make_nvp("first", r.first),
           cereal::make_nvp("last", r.last));
}
/// Under a renaming that would cut the range this fails; lists of ranges are read by `read_ranges`.
template <class Archive> void CEREAL_LOAD_FUNCTION_NAME(Archive& ar, dot_range& r) {
    if constexpr (is_compact_archive_v<Archive>) {
        auto parts = ar.read_ranges();
        if (parts.size() != 1) throw decode_failure(decode_error::invalid_value);
        r = parts.front();
    } else {
        std::uint64_t value = 0;
        ar(cereal::make_nvp("replica", value), cereal::make_nvp("first", r.first), cereal::make_nvp("last", r.last));
        r.replica = replica_id{value};
        if (r.first == 0 || r.first > r.last || r.last > max_sequence)
            throw decode_failure(decode_error::invalid_value);
    }
}

template <class Archive> void CEREAL_SAVE_FUNCTION_NAME(Archive& ar, const timestamp& t) {
    ar(cereal::make_nvp("ticks", t.ticks));
}
template <class Archive> void CEREAL_LOAD_FUNCTION_NAME(Archive& ar, timestamp& t) {
    ar(cereal::make_nvp("ticks", t.ticks));
}

template <class Archive> void CEREAL_SAVE_FUNCTION_NAME(Archive& ar, const version_vector& v) {
    if constexpr (is_compact_archive_v<Archive>) {
        ar.write(v);
    } else {
        std::vector<dot> dots;
        for (const auto& [r, seq] : v) dots.push_back({r, seq});
        ar(cereal::make_nvp("dots", dots));
    }
}
template <class Archive> void CEREAL_LOAD_FUNCTION_NAME(Archive& ar, version_vector& v) {
    if constexpr (is_compact_archive_v<Archive>) {
        v = ar.read_version_vector();
    } else {
        std::vector<dot> dots;
        ar(cereal::make_nvp("dots", dots));
        v = {};
        for (const auto& d : dots) v.raise(d.replica, d.seq);
    }
}

template <class Archive> void CEREAL_SAVE_FUNCTION_NAME(Archive& ar, const causal_context& c) {
    if constexpr (is_compact_archive_v<Archive>) {
        ar.write(c);
    } else {
        std::vector<dot_range> ranges;
        c.for_each([&](const dot_range& r) { ranges.push_back(r); });
        ar(cereal::make_nvp("ranges", ranges));
    }
}
template <class Archive> void CEREAL_LOAD_FUNCTION_NAME(Archive& ar, causal_context& c) {
    if constexpr (is_compact_archive_v<Archive>) {
        c = ar.read_causal_context();
    } else {
        std::vector<dot_range> ranges;
        ar(cereal::make_nvp("ranges", ranges));
        c.clear();
        for (const auto& r : ranges) c.add(r);
    }
}

} // namespace joinery
