// SPDX-License-Identifier: Apache-2.0
#pragma once

// How the kit writes things down: replicas as A, B, C, their events as A1, A2, contexts as {A1-3 B2}; and
// values of common kinds as text, so that views and models of a type under test are quickly written.

#include <joinery/causal_context.hpp>

#include <algorithm>
#include <optional>
#include <sstream>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

namespace joinery::testing {

/// The ids that replicas have in tests: 0xa, 0xb, ...
inline replica_id numbered_replica(std::size_t i) { return replica_id{0xa + i}; }

inline std::string name_of(replica_id r) {
    if (r.value() < 0xa || r.value() >= 0xa + 26) return to_string(r);
    return std::string(1, static_cast<char>('A' + (r.value() - 0xa)));
}
inline std::string name_of(const dot_range& r) {
    std::string out = name_of(r.replica) + std::to_string(r.first);
    return r.last == r.first ? out : out + "-" + std::to_string(r.last);
}
inline std::string name_of(dot d) { return d.seq == 0 ? "none" : name_of(dot_range(d)); }
inline std::string name_of(const causal_context& c) {
    std::string out;
    c.for_each([&](const dot_range& r) { out += (out.empty() ? "" : " ") + name_of(r); });
    return "{" + out + "}";
}
inline std::string name_of(const version_vector& v) { return name_of(causal_context(v)); }

template <class X> std::string show(const X& x);

namespace detail {

template <class X>
concept range = requires(const X& x) {
    x.begin();
    x.end();
};
template <class X>
concept streamable = requires(std::ostream& out, const X& x) {
    out << x;
};

template <class Range> std::vector<std::string> shown_elements(const Range& range) {
    std::vector<std::string> out;
    if constexpr (requires { out.reserve(range.size()); }) out.reserve(range.size());
    for (const auto& x : range) out.push_back(show(x));
    return out;
}
inline std::string listed(const std::vector<std::string>& parts) {
    std::string out;
    for (const auto& p : parts) out += (out.empty() ? "" : " ") + p;
    return out;
}

} // namespace detail

/// Strings in quotes, optionals as their value or "none", pairs and tuples as (a b), ranges as [a b c] in
/// their order, anything else as it is streamed, or by its to_string; what has neither, as "(no operator<<)".
template <class X> std::string show(const X& x) {
    if constexpr (std::is_convertible_v<const X&, std::string_view>) {
        return "\"" + std::string(std::string_view(x)) + "\"";
    } else if constexpr (std::is_same_v<X, bool>) {
        return x ? "true" : "false";
    } else if constexpr (std::is_integral_v<X>) {
        return std::to_string(x);
    } else if constexpr (detail::range<X>) {
        return "[" + detail::listed(detail::shown_elements(x)) + "]";
    } else if constexpr (requires { std::tuple_size<X>::value; }) {
        return "(" + std::apply([](const auto&... e) { return detail::listed({show(e)...}); }, x) + ")";
    } else if constexpr (requires {
                             x.has_value();
                             *x;
                         }) {
        return x ? show(*x) : "none";
    } else if constexpr (detail::streamable<X>) {
        std::ostringstream out;
        out << x;
        return std::move(out).str();
    } else if constexpr (requires { to_string(x); }) {
        return to_string(x);
    } else {
        return "(no operator<<)";
    }
}

/// How an operation is told of: its name, and what it says of itself.
template <class E> std::string told(const std::string& operation, const E& what) {
    std::string more;
    if constexpr (std::is_same_v<E, std::string>)
        more = what;
    else
        more = show(what);
    if (more == operation) more.clear();
    return operation + (operation.empty() || more.empty() ? "" : " ") + more;
}

/// A range without an order of its own, as {a b c}, sorted as text.
template <class Range> std::string show_unordered(const Range& range) {
    auto parts = detail::shown_elements(range);
    std::sort(parts.begin(), parts.end());
    return "{" + detail::listed(parts) + "}";
}

} // namespace joinery::testing
