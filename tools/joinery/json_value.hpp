// SPDX-License-Identifier: Apache-2.0
#pragma once

// What the tool shows of a state: a value of JSON, or a set, which is written as an array and has no order.

#include <concepts>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace joinery {

class json_value {
public:
    enum class kind : std::uint8_t { null, boolean, number, string, array, set, object };
    using member = std::pair<std::string, json_value>;

    json_value() = default;
    template <class N>
        requires(std::integral<N> || std::floating_point<N>)
    json_value(N n) {
        if constexpr (std::same_as<N, bool>)
            *this = of(kind::boolean, n ? "true" : "false");
        else if constexpr (std::floating_point<N>)
            *this = number(static_cast<double>(n));
        else
            *this = of(kind::number, std::to_string(n));
    }
    json_value(std::string_view text) : json_value(of(kind::string, std::string(text))) {}
    json_value(const std::string& text) : json_value(std::string_view(text)) {}
    json_value(const char* text) : json_value(std::string_view(text)) {}

    static json_value array() { return of(kind::array, {}); }
    static json_value set() { return of(kind::set, {}); }
    static json_value object() { return of(kind::object, {}); }
    /// Not finite ones, which JSON does not have, as strings.
    static json_value number(double n);
    /// Of a JSON text; null if it is none.
    static json_value parse(std::string_view json);

    /// Of an array or a set.
    void push(json_value element) { members_.emplace_back(std::string(), std::move(element)); }
    /// Of an object; names may come twice.
    json_value& add(std::string name, json_value value) {
        return members_.emplace_back(std::move(name), std::move(value)).second;
    }

    kind what() const { return kind_; }
    /// Of a string; of a number or boolean as it is written.
    const std::string& text() const { return text_; }
    const std::vector<member>& members() const { return members_; }
    /// The member of an object, or null if there is none.
    const json_value* find(std::string_view name) const;

    /// RFC 8259; sets in the order of their elements' texts. Bytes that are not UTF-8 become U+FFFD. In lines, if
    /// `indent` is greater than 0. O(n log n).
    std::string str(unsigned indent = 0) const;

    friend bool operator==(const json_value& a, const json_value& b) { return a.str() == b.str(); }

private:
    static json_value of(kind k, std::string text) {
        json_value v;
        v.kind_ = k;
        v.text_ = std::move(text);
        return v;
    }
    void write(std::string& out, unsigned indent, unsigned depth) const;

    kind kind_ = kind::null;
    std::string text_;
    std::vector<member> members_;
};

/// One place where two values differ: a path as `/name/3`, and what is there, or is not.
struct json_difference {
    std::string path;
    const json_value* here = nullptr;
    const json_value* there = nullptr;
};
/// At most `most` of them, in order. They refer to the values. O(n log n).
std::vector<json_difference> differences(const json_value& here, const json_value& there, std::size_t most);

} // namespace joinery
