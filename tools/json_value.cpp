// SPDX-License-Identifier: Apache-2.0
#include <joinery/json_value.hpp>

#include "valid_text.hpp"

#include <fmt/format.h>

#define RAPIDJSON_NAMESPACE joinery::tool_rapidjson
#include <rapidjson/document.h>

#include <algorithm>
#include <cmath>

namespace joinery {

namespace rapid = tool_rapidjson;

namespace {

using kind = json_value::kind;

void quote(std::string& out, std::string_view text) {
    out += '"';
    while (!text.empty()) {
        const auto c = detail::take_code_point(text);
        if (c.value == '"' || c.value == '\\')
            out += '\\', out += c.bytes;
        else if (c.value == '\n')
            out += "\\n";
        else if (c.value < 0x20 || (c.value >= 0x7f && c.value < 0xa0) || c.value == 0x2028 || c.value == 0x2029)
            out += fmt::format("\\u{:04x}", static_cast<std::uint32_t>(c.value));
        else
            out += c.bytes;
    }
    out += '"';
}

json_value taken(const rapid::Value& v) {
    switch (v.GetType()) {
    case rapid::kNullType: return {};
    case rapid::kFalseType: return false;
    case rapid::kTrueType: return true;
    case rapid::kStringType: return std::string_view(v.GetString(), v.GetStringLength());
    case rapid::kNumberType:
        return v.IsInt64() ? json_value(v.GetInt64()) : v.IsUint64() ? json_value(v.GetUint64()) : v.GetDouble();
    case rapid::kArrayType: {
        auto all = json_value::array();
        for (const auto& e : v.GetArray()) all.push(taken(e));
        return all;
    }
    case rapid::kObjectType: break;
    }
    auto all = json_value::object();
    for (const auto& m : v.GetObject())
        all.add(std::string(m.name.GetString(), m.name.GetStringLength()), taken(m.value));
    return all;
}

// An element of a path, as JSON Pointer (RFC 6901) writes it.
std::string step(std::string_view name) {
    std::string out = "/";
    for (const char c : name) {
        if (c == '~')
            out += "~0";
        else if (c == '/')
            out += "~1";
        else
            out += c;
    }
    return out;
}

class comparison_of_values {
public:
    explicit comparison_of_values(std::size_t most) : most_(most) {}
    std::vector<json_difference> found;

    void compare(const std::string& path, const json_value& a, const json_value& b) {
        if (found.size() == most_) return;
        if (a.what() != b.what()) return add(path, &a, &b);
        switch (a.what()) {
        case kind::set: return meet(path, sorted(a, &text_of), sorted(b, &text_of), [](auto&&...) {});
        case kind::object:
            return meet(path, sorted(a, &name_of), sorted(b, &name_of),
                        [&](const std::string& name, const json_value& x, const json_value& y) {
                            compare(path + step(name), x, y);
                        });
        case kind::array:
            for (std::size_t i = 0; i < std::max(a.members().size(), b.members().size()); ++i) {
                const auto at = path + step(std::to_string(i));
                if (i < std::min(a.members().size(), b.members().size()))
                    compare(at, a.members()[i].second, b.members()[i].second);
                else
                    add(at, i < a.members().size() ? &a.members()[i].second : nullptr,
                        i < b.members().size() ? &b.members()[i].second : nullptr);
            }
            return;
        default:
            if (a.text() != b.text()) add(path, &a, &b);
        }
    }

private:
    using entry = std::pair<std::string, const json_value*>;
    std::size_t most_;

    static std::string text_of(const json_value::member& m) { return m.second.str(); }
    static std::string name_of(const json_value::member& m) { return m.first; }
    static std::vector<entry> sorted(const json_value& v, std::string (*key)(const json_value::member&)) {
        std::vector<entry> all;
        for (const auto& m : v.members()) all.emplace_back(key(m), &m.second);
        std::stable_sort(all.begin(), all.end(), [](const entry& x, const entry& y) { return x.first < y.first; });
        return all;
    }
    template <class Both>
    void meet(const std::string& path, const std::vector<entry>& a, const std::vector<entry>& b, Both&& both) {
        for (std::size_t i = 0, j = 0; i < a.size() || j < b.size();) {
            if (j == b.size() || (i < a.size() && a[i].first < b[j].first)) {
                add(path + step(a[i].first), a[i].second, nullptr);
                ++i;
            } else if (i == a.size() || b[j].first < a[i].first) {
                add(path + step(b[j].first), nullptr, b[j].second);
                ++j;
            } else {
                both(a[i].first, *a[i].second, *b[j].second);
                ++i, ++j;
            }
        }
    }
    void add(const std::string& path, const json_value* a, const json_value* b) {
        if (found.size() < most_) found.push_back({path, a, b});
    }
};

} // namespace

json_value json_value::number(double n) {
    if (!std::isfinite(n)) return fmt::format("{}", n);
    return of(kind::number, fmt::format("{}", n));
}

json_value json_value::parse(std::string_view json) {
    rapid::Document d;
    d.Parse<rapid::kParseFullPrecisionFlag>(json.data(), json.size());
    return d.HasParseError() ? json_value() : taken(d);
}

const json_value* json_value::find(std::string_view name) const {
    for (const auto& m : members_)
        if (m.first == name) return &m.second;
    return nullptr;
}

std::string json_value::str(unsigned indent) const {
    std::string out;
    write(out, indent, 0);
    return out;
}

void json_value::write(std::string& out, unsigned indent, unsigned depth) const {
    const auto line = [&](unsigned deep) {
        if (indent > 0) out.append(1, '\n').append(std::size_t{indent} * deep, ' ');
    };
    const auto list = [&](char open, char close, auto&& each) {
        out += open;
        bool first = true;
        for (const auto& m : members_) {
            if (!std::exchange(first, false)) out += ',';
            line(depth + 1);
            each(m);
        }
        if (!members_.empty()) line(depth);
        out += close;
    };
    switch (kind_) {
    case kind::null: out += "null"; break;
    case kind::boolean:
    case kind::number: out += text_; break;
    case kind::string: quote(out, text_); break;
    case kind::array: list('[', ']', [&](const member& m) { m.second.write(out, indent, depth + 1); }); break;
    case kind::object:
        list('{', '}', [&](const member& m) {
            quote(out, m.first);
            out += indent > 0 ? ": " : ":";
            m.second.write(out, indent, depth + 1);
        });
        break;
    case kind::set: {
        std::vector<std::pair<std::string, const json_value*>> in_order;
        for (const auto& m : members_) in_order.emplace_back(m.second.str(), &m.second);
        std::sort(in_order.begin(), in_order.end());
        json_value ordered = array();
        for (const auto& e : in_order) ordered.push(*e.second);
        ordered.write(out, indent, depth);
    }
    }
}

std::vector<json_difference> differences(const json_value& here, const json_value& there, std::size_t most) {
    comparison_of_values c(most);
    c.compare("", here, there);
    return std::move(c.found);
}

} // namespace joinery
