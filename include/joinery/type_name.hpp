// SPDX-License-Identifier: Apache-2.0
#pragma once

// A type's structure as text, the same with every compiler, and its fingerprint: how two leaders find
// out that they do not replicate the same type. A record's fields are left out, so that leaders of
// different versions can run together.

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <tuple>
#include <type_traits>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <variant>
#include <vector>

namespace joinery {

/// Specialise for a value type of your own to tell it from others: a static `std::string get()`.
template <class T> struct type_name {
    static std::string get() {
        if constexpr (requires {
                          { T::type_name() } -> std::convertible_to<std::string>;
                      })
            return T::type_name();
        else if constexpr (std::is_same_v<T, bool>)
            return "bool";
        else if constexpr (std::is_integral_v<T>)
            return (std::is_signed_v<T> ? "i" : "u") + std::to_string(8 * sizeof(T));
        else if constexpr (std::is_floating_point_v<T>)
            return "f" + std::to_string(8 * sizeof(T));
        else if constexpr (std::is_enum_v<T>)
            return "enum:" + type_name<std::underlying_type_t<T>>::get();
        else
            return "value";
    }
};

/// "a<b,c>"
template <class... Ts> std::string type_name_list(const std::string& outer) {
    std::string out = outer + "<";
    bool first = true;
    ((out += (first ? "" : ",") + type_name<Ts>::get(), first = false), ...);
    return out + ">";
}

template <> struct type_name<std::string> {
    static std::string get() { return "string"; }
};
template <class T, class A> struct type_name<std::vector<T, A>> {
    static std::string get() { return type_name_list<T>("vector"); }
};
template <class T, std::size_t N> struct type_name<std::array<T, N>> {
    static std::string get() { return type_name_list<T>("array" + std::to_string(N)); }
};
template <class T> struct type_name<std::optional<T>> {
    static std::string get() { return type_name_list<T>("optional"); }
};
template <class A, class B> struct type_name<std::pair<A, B>> {
    static std::string get() { return type_name_list<A, B>("tuple"); }
};
template <class... Ts> struct type_name<std::tuple<Ts...>> {
    static std::string get() { return type_name_list<Ts...>("tuple"); }
};
template <class... Ts> struct type_name<std::variant<Ts...>> {
    static std::string get() { return type_name_list<Ts...>("variant"); }
};
template <class K, class V, class C, class A> struct type_name<std::map<K, V, C, A>> {
    static std::string get() { return type_name_list<K, V>("map"); }
};
template <class K, class C, class A> struct type_name<std::set<K, C, A>> {
    static std::string get() { return type_name_list<K>("set"); }
};
template <class K, class V, class H, class E, class A> struct type_name<std::unordered_map<K, V, H, E, A>> {
    static std::string get() { return type_name_list<K, V>("unordered_map"); }
};
template <class K, class H, class E, class A> struct type_name<std::unordered_set<K, H, E, A>> {
    static std::string get() { return type_name_list<K>("unordered_set"); }
};

} // namespace joinery
