// SPDX-License-Identifier: Apache-2.0
#pragma once

// States of any type, as the tool reads and shows them.

#include <joinery/bag.hpp>
#include <joinery/causal.hpp>
#include <joinery/json_value.hpp>
#include <joinery/record.hpp>
#include <joinery/result.hpp>
#include <joinery/tree.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <ranges>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace joinery {

namespace detail {

template <class T> inline constexpr bool is_bag = false;
template <class E> inline constexpr bool is_bag<bag<E>> = true;

std::string hexadecimal(std::span<const std::byte> bytes);

template <class V> json_value value_to_json(const V& v);

// Keys of JSON objects are strings: those of maps that are something else are written as JSON, in the string.
template <class K> std::string key_to_json(const K& key) {
    auto j = value_to_json(key);
    return j.what() == json_value::kind::string ? j.text() : j.str();
}

/// A value of a register, an element, a key. What has no form of its own is shown as the bytes of its encoding.
template <class V> json_value value_to_json(const V& v) {
    if constexpr (std::integral<V> || std::floating_point<V>) {
        return v;
    } else if constexpr (std::is_enum_v<V>) {
        return static_cast<std::underlying_type_t<V>>(v);
    } else if constexpr (std::convertible_to<const V&, std::string_view>) {
        return std::string_view(v);
    } else if constexpr (std::same_as<V, unique_id>) {
        return to_string(v);
    } else if constexpr (requires { json_value(to_json(v)); }) { // of the user's own
        return to_json(v);
    } else if constexpr (requires { v.has_value(), *v; }) {
        return v.has_value() ? value_to_json(*v) : json_value();
    } else if constexpr (requires {
                             typename V::key_type;
                             typename V::mapped_type;
                         }) {
        auto all = json_value::object();
        for (const auto& [k, x] : v) all.add(key_to_json(k), value_to_json(x));
        return all;
    } else if constexpr (std::ranges::input_range<const V>) {
        auto all = requires { typename V::key_type; }
        ? json_value::set() : json_value::array();
        for (const auto& e : v) all.push(value_to_json(e));
        return all;
    } else if constexpr (requires { std::tuple_size<V>::value; }) {
        auto all = json_value::array();
        std::apply([&](const auto&... e) { (all.push(value_to_json(e)), ...); }, v);
        return all;
    } else {
        auto all = json_value::object();
        all.add("hex", hexadecimal(encode(v)));
        return all;
    }
}

// Nodes with their parents, null for those below the root: moves show as what they are, and depth does not matter.
json_value tree_to_json(const tree& t);

} // namespace detail

/// What there is to see of a CRDT: a number, a string, an array, an object. Of a register the value that wins, or null.
/// A type of yours may have `json_value to_json(const T&)` in its namespace.
template <crdt T> json_value shown(const T& t) {
    using detail::key_to_json, detail::value_to_json;
    if constexpr (record<T>) {
        auto all = json_value::object();
        detail::for_each_field<T>([&](auto field, auto) { all.add(field.name, shown(t.*field.member)); });
        return all;
    } else if constexpr (requires { json_value(to_json(t)); }) {
        return to_json(t);
    } else if constexpr (requires { json_value::parse(t.to_json()); }) { // document
        return json_value::parse(t.to_json());
    } else if constexpr (detail::is_bag<T>) {
        auto all = json_value::object();
        for (const auto& [e, n] : t) all.add(key_to_json(e), n);
        return all;
    } else if constexpr (std::same_as<T, tree>) {
        return detail::tree_to_json(t);
    } else if constexpr (requires { t.enabled(); }) { // flags
        return t.enabled();
    } else if constexpr (requires { value_to_json(t.value()); }) { // counters
        return value_to_json(t.value());
    } else if constexpr (requires { std::string(t.str()); }) { // rga_text
        return t.str();
    } else if constexpr (requires { value_to_json(t.values()); }) { // mv_register, rga_list
        return value_to_json(t.values());
    } else if constexpr (requires { value_to_json(t.get()); }) { // lww_register, merged_register
        return value_to_json(t.get());
    } else if constexpr (requires { (*t.begin()).second; }) { // maps
        auto all = json_value::object();
        for (const auto& [k, v] : t) {
            if constexpr (crdt<std::remove_cvref_t<decltype(v)>>)
                all.add(key_to_json(k), shown(v));
            else
                all.add(key_to_json(k), value_to_json(v));
        }
        return all;
    } else if constexpr (requires { *t.begin(); }) { // sets
        auto all = json_value::set();
        for (const auto& e : t) all.push(value_to_json(e));
        return all;
    } else if constexpr (requires { t.count(); }) { // sketches
        auto all = json_value::object();
        all.add("count", t.count());
        if constexpr (requires { t.quantile(0.5); })
            for (const auto& [name, q] : {std::pair("p50", 0.5), {"p90", 0.9}, {"p99", 0.99}})
                all.add(name, value_to_json(t.quantile(q)));
        return all;
    } else {
        auto all = json_value::object();
        all.add("empty", crdt_traits<T>::empty(t));
        return all;
    }
}

/// A state whose type is known when the tool is compiled.
class shown_state {
public:
    virtual ~shown_state() = default;
    /// In place of what is here: an encoded complete state.
    virtual result<bool, decode_error> start(std::span<const std::byte> whole) = 0;
    virtual result<bool, decode_error> join(std::span<const std::byte> delta) = 0;
    /// Encoded deltas that join together or not at all; with a horizon, the parts of a complete state.
    virtual result<bool, decode_error> join(const version_vector& horizon,
                                            std::span<const std::span<const std::byte>> deltas) = 0;
    virtual std::vector<std::byte> whole() const = 0;
    virtual std::uint64_t digest() const = 0;
    virtual std::vector<std::uint64_t> digests(std::span<const dot_range> parts) const = 0;
    virtual json_value value() const = 0;
};

namespace detail {

template <crdt T> class shown_state_of final : public shown_state {
public:
    shown_state_of() { state_.set_log_budget(std::nullopt); }

    result<bool, decode_error> start(std::span<const std::byte> whole) override {
        const auto d = decode<delta<T>>(whole);
        if (!d) return failure<decode_error>(d.error());
        if (!d->since.empty()) return failure<decode_error>(decode_error::invalid_value);
        state_ = causal<T>();
        state_.set_log_budget(std::nullopt);
        return state_.join(*d);
    }
    result<bool, decode_error> join(std::span<const std::byte> bytes) override {
        const auto d = decode<delta<T>>(bytes);
        if (!d) return failure<decode_error>(d.error());
        if (!state_.accepts(*d)) return failure<decode_error>(decode_error::invalid_value);
        return state_.join(*d);
    }
    result<bool, decode_error> join(const version_vector& horizon,
                                    std::span<const std::span<const std::byte>> deltas) override {
        if (deltas.size() == 1 && horizon.empty()) return join(deltas.front());
        causal<T> sum;
        sum.set_log_budget(std::nullopt);
        for (const auto bytes : deltas) {
            const auto d = decode<delta<T>>(bytes);
            if (!d) return failure<decode_error>(d.error());
            if (!d->since.empty() || !d->horizon.empty()) return failure<decode_error>(decode_error::invalid_value);
            sum.join(*d);
        }
        if (!horizon.within(sum.version())) return failure<decode_error>(decode_error::invalid_value);
        sum.pass_horizon(horizon);
        return state_.join(sum.whole());
    }
    std::vector<std::byte> whole() const override { return encode(state_.whole()); }
    std::uint64_t digest() const override { return state_.digest(); }
    std::vector<std::uint64_t> digests(std::span<const dot_range> parts) const override {
        return state_.digests(parts);
    }
    json_value value() const override { return shown(*state_); }

private:
    causal<T> state_;
};

} // namespace detail

} // namespace joinery
