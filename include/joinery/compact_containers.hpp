// SPDX-License-Identifier: Apache-2.0
#pragma once

// Standard containers in the compact archives. Cereal's own loaders resize before they read and accept
// repeated keys; these grow with what has been read, and refuse what no encoder writes.

#include <joinery/compact_archive.hpp>

#include <cereal/types/array.hpp>
#include <cereal/types/map.hpp>
#include <cereal/types/optional.hpp>
#include <cereal/types/set.hpp>
#include <cereal/types/string.hpp>
#include <cereal/types/tuple.hpp>
#include <cereal/types/unordered_map.hpp>
#include <cereal/types/unordered_set.hpp>
#include <cereal/types/utility.hpp>
#include <cereal/types/variant.hpp>
#include <cereal/types/vector.hpp>

#include <algorithm>
#include <array>
#include <map>
#include <set>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

// In namespace cereal, so that argument-dependent look-up finds them for std types from any archive.
namespace cereal {

inline void CEREAL_SAVE_FUNCTION_NAME(joinery::compact_output_archive& ar, const std::string& s) {
    ar.varint(s.size());
    ar.raw(s.data(), s.size());
}
inline void CEREAL_LOAD_FUNCTION_NAME(joinery::compact_input_archive& ar, std::string& s) {
    auto part = ar.raw(ar.varint());
    if (part.size() > 15) ar.charge(part.size() + 1);
    s.assign(reinterpret_cast<const char*>(part.data()), part.size());
}

template <class T, class A>
void CEREAL_SAVE_FUNCTION_NAME(joinery::compact_output_archive& ar, const std::vector<T, A>& v) {
    ar.varint(v.size());
    if constexpr (std::is_arithmetic_v<T> && sizeof(T) == 1)
        ar.raw(v.data(), v.size());
    else
        for (const auto& x : v) joinery::write_element(ar, x);
}
template <class T, class A> void CEREAL_LOAD_FUNCTION_NAME(joinery::compact_input_archive& ar, std::vector<T, A>& v) {
    std::size_t n = ar.count();
    ar.charge(std::uint64_t{n} * sizeof(T));
    v.clear();
    if constexpr (std::is_arithmetic_v<T> && sizeof(T) == 1) {
        auto part = ar.raw(n);
        auto data = reinterpret_cast<const T*>(part.data());
        v.assign(data, data + part.size());
    } else {
        v.reserve(n);
        for (; n > 0; --n) joinery::read_element(ar, v.emplace_back());
    }
}

template <class A> void CEREAL_SAVE_FUNCTION_NAME(joinery::compact_output_archive& ar, const std::vector<bool, A>& v) {
    ar.varint(v.size());
    for (bool b : v) ar(b);
}
template <class A> void CEREAL_LOAD_FUNCTION_NAME(joinery::compact_input_archive& ar, std::vector<bool, A>& v) {
    std::size_t n = ar.count();
    ar.charge(n);
    v.clear();
    v.reserve(n);
    for (; n > 0; --n) {
        bool b = false;
        ar(b);
        v.push_back(b);
    }
}

// Cereal writes arrays of numbers as they are in memory: in the machine's byte order, a bool of any bits.
template <class T, std::size_t N>
    requires(std::is_arithmetic_v<T>)
void CEREAL_SAVE_FUNCTION_NAME(joinery::compact_output_archive& ar, const std::array<T, N>& a) {
    for (T x : a) ar(x);
}
template <class T, std::size_t N>
    requires(std::is_arithmetic_v<T>)
void CEREAL_LOAD_FUNCTION_NAME(joinery::compact_input_archive& ar, std::array<T, N>& a) {
    for (T& x : a) ar(x);
}

// Byte vectors: std::byte is an enumeration to Cereal, and is written in one piece here.
template <class A>
void CEREAL_SAVE_FUNCTION_NAME(joinery::compact_output_archive& ar, const std::vector<std::byte, A>& v) {
    ar.varint(v.size());
    ar.raw(v.data(), v.size());
}
template <class A> void CEREAL_LOAD_FUNCTION_NAME(joinery::compact_input_archive& ar, std::vector<std::byte, A>& v) {
    auto part = ar.raw(ar.varint());
    ar.charge(part.size());
    v.assign(part.begin(), part.end());
}

template <class K, class V, class C, class A>
void CEREAL_SAVE_FUNCTION_NAME(joinery::compact_output_archive& ar, const std::map<K, V, C, A>& m) {
    ar.varint(m.size());
    for (const auto& [k, v] : m) {
        joinery::write_element(ar, k);
        ar(v);
    }
}
template <class K, class V, class C, class A>
void CEREAL_LOAD_FUNCTION_NAME(joinery::compact_input_archive& ar, std::map<K, V, C, A>& m) {
    m.clear();
    for (std::size_t n = ar.count(); n > 0; --n) {
        ar.charge(sizeof(std::pair<K, V>) + 32);
        K k{};
        joinery::read_element(ar, k);
        if (!m.empty() && !m.key_comp()(std::prev(m.end())->first, k)) ar.fail(joinery::decode_error::non_canonical);
        auto it = m.emplace_hint(m.end(), std::move(k), V{});
        ar(it->second);
    }
}

template <class K, class C, class A>
void CEREAL_SAVE_FUNCTION_NAME(joinery::compact_output_archive& ar, const std::set<K, C, A>& s) {
    ar.varint(s.size());
    for (const auto& k : s) joinery::write_element(ar, k);
}
template <class K, class C, class A>
void CEREAL_LOAD_FUNCTION_NAME(joinery::compact_input_archive& ar, std::set<K, C, A>& s) {
    s.clear();
    for (std::size_t n = ar.count(); n > 0; --n) {
        ar.charge(sizeof(K) + 32);
        K k{};
        joinery::read_element(ar, k);
        if (!s.empty() && !s.key_comp()(*std::prev(s.end()), k)) ar.fail(joinery::decode_error::non_canonical);
        s.emplace_hint(s.end(), std::move(k));
    }
}

} // namespace cereal

namespace joinery::detail {

// Unordered containers are written in the order of their encoded elements.
template <class Range, class Write> void write_sorted(compact_output_archive& ar, const Range& range, Write&& write) {
    std::vector<std::vector<std::byte>> parts;
    for (const auto& x : range) {
        compact_output_archive one(parts.emplace_back());
        write(one, x);
    }
    std::sort(parts.begin(), parts.end());
    ar.varint(parts.size());
    for (const auto& p : parts) ar.raw(p.data(), p.size());
}

// Calls read() n times and checks that each took bytes greater than the one before.
template <class Read> void read_sorted(compact_input_archive& ar, Read&& read) {
    std::span<const std::byte> before;
    std::size_t n = ar.count();
    for (std::size_t i = 0; i < n; ++i) {
        auto rest = ar.rest();
        ar.isolated([&](auto&) { read(); });
        auto now = rest.first(rest.size() - ar.remaining());
        if (i > 0 && !std::lexicographical_compare(before.begin(), before.end(), now.begin(), now.end()))
            ar.fail(decode_error::non_canonical);
        before = now;
    }
}

} // namespace joinery::detail

namespace cereal {

template <class K, class V, class H, class E, class A>
void CEREAL_SAVE_FUNCTION_NAME(joinery::compact_output_archive& ar, const std::unordered_map<K, V, H, E, A>& m) {
    joinery::detail::write_sorted(ar, m, [](auto& one, const auto& x) {
        joinery::write_element(one, x.first);
        one(x.second);
    });
}
template <class K, class V, class H, class E, class A>
void CEREAL_LOAD_FUNCTION_NAME(joinery::compact_input_archive& ar, std::unordered_map<K, V, H, E, A>& m) {
    m.clear();
    joinery::detail::read_sorted(ar, [&] {
        ar.charge(sizeof(std::pair<K, V>) + 56); // a node, and the table growing
        K k{};
        V v{};
        joinery::read_element(ar, k);
        ar(v);
        if (!m.emplace(std::move(k), std::move(v)).second) ar.fail(joinery::decode_error::non_canonical);
    });
}

template <class K, class H, class E, class A>
void CEREAL_SAVE_FUNCTION_NAME(joinery::compact_output_archive& ar, const std::unordered_set<K, H, E, A>& s) {
    joinery::detail::write_sorted(ar, s, [](auto& one, const auto& x) { joinery::write_element(one, x); });
}
template <class K, class H, class E, class A>
void CEREAL_LOAD_FUNCTION_NAME(joinery::compact_input_archive& ar, std::unordered_set<K, H, E, A>& s) {
    s.clear();
    joinery::detail::read_sorted(ar, [&] {
        ar.charge(sizeof(K) + 56);
        K k{};
        joinery::read_element(ar, k);
        if (!s.insert(std::move(k)).second) ar.fail(joinery::decode_error::non_canonical);
    });
}

} // namespace cereal
