// SPDX-License-Identifier: Apache-2.0
#include "output.hpp"

#include "valid_text.hpp"

#include <joinery/shown_state.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <system_error>

namespace joinery {

std::string detail::hexadecimal(std::span<const std::byte> bytes) {
    std::string out;
    out.reserve(2 * bytes.size());
    for (const auto b : bytes) fmt::format_to(std::back_inserter(out), "{:02x}", std::to_integer<unsigned>(b));
    return out;
}

json_value detail::tree_to_json(const tree& t) {
    auto all = json_value::object();
    for (std::vector<unique_id> open{tree::root()}; !open.empty();) {
        const auto parent = open.back();
        open.pop_back();
        for (const auto& node : t.children(parent)) {
            all.add(to_string(node), parent == tree::root() ? json_value() : json_value(to_string(parent)));
            open.push_back(node);
        }
    }
    return all;
}

namespace tool {

namespace {

std::size_t width(std::string_view text) { // of what is printed, near enough: code points
    return static_cast<std::size_t>(std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xc0) != 0x80; }));
}

} // namespace

std::string printable(std::string_view text) {
    std::string out;
    while (!text.empty()) {
        const auto c = detail::take_code_point(text);
        const bool bidi = (c.value >= 0x202a && c.value <= 0x202e) || (c.value >= 0x2066 && c.value <= 0x2069);
        if (c.value < 0x20 || (c.value >= 0x7f && c.value < 0xa0) || c.value == 0x2028 || c.value == 0x2029 || bidi)
            out += fmt::format("\\u{:04x}", static_cast<std::uint32_t>(c.value));
        else
            out += c.bytes;
    }
    return out;
}

std::string shown_name(std::string_view name) {
    auto out = printable(name);
    return out == name && !name.empty() && name.find(' ') == name.npos ? out : '"' + out + '"';
}

std::string counted(std::uint64_t n, std::string_view what) {
    return fmt::format("{} {}{}", n, what, n == 1 ? "" : "s");
}

std::string shown_bytes(std::uint64_t n) {
    if (n < 1024) return fmt::format("{} B", n);
    auto x = static_cast<double>(n);
    const char* unit = "B";
    for (const char* next : {"KiB", "MiB", "GiB", "TiB"}) {
        if (x < 1024) break;
        x /= 1024;
        unit = next;
    }
    return fmt::format("{:.1f} {}", x, unit);
}

std::string shown_dots(const causal_context& dots) {
    std::string out;
    std::size_t n = 0;
    for (const auto& r : dots.ranges()) {
        if (++n > 20) return out + fmt::format(" and {} more ranges", dots.range_count() - 20);
        if (!out.empty()) out += ' ';
        out += r.first == r.last ? fmt::format("{}:{}", to_string(r.replica), r.first)
                                 : fmt::format("{}:{}-{}", to_string(r.replica), r.first, r.last);
    }
    return out;
}

std::string hex_number(std::uint64_t n) { return fmt::format("{:016x}", n); }

std::string table(const std::vector<std::vector<std::string>>& rows) {
    std::vector<std::size_t> widths;
    for (const auto& row : rows) {
        widths.resize(std::max(widths.size(), row.size()));
        for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], width(row[i]));
    }
    std::string out;
    for (const auto& row : rows) {
        for (std::size_t i = 0; i < row.size(); ++i) {
            out += row[i];
            if (i + 1 < row.size()) out.append(widths[i] - width(row[i]) + 2, ' ');
        }
        out.erase(out.find_last_not_of(' ') + 1);
        out += '\n';
    }
    return out;
}

json_value to_json(const version_vector& v) {
    auto all = json_value::object();
    for (const auto& [r, seq] : v) all.add(to_string(r), seq);
    return all;
}

json_value to_json(const causal_context& dots) {
    auto all = json_value::array();
    for (const auto& r : dots.ranges()) {
        auto one = json_value::object();
        one.add("replica", to_string(r.replica));
        one.add("first", r.first);
        one.add("last", r.last);
        all.push(std::move(one));
    }
    return all;
}

json_value to_json(std::span<const replica_id> ids) {
    auto all = json_value::array();
    for (const auto r : ids) all.push(to_string(r));
    return all;
}

json_value to_json(std::span<const damage> found) {
    auto all = json_value::array();
    for (const auto& d : found) {
        auto one = json_value::object();
        one.add("where", d.where);
        one.add("what", d.what);
        all.push(std::move(one));
    }
    return all;
}

std::uint64_t count_of(const version_vector& v) {
    std::uint64_t sum = 0;
    for (const auto& [r, seq] : v) sum += seq;
    return sum;
}

void complain(std::string_view text) {
    const auto line = "joinery: " + printable(text) + '\n';
    std::fwrite(line.data(), 1, line.size(), stderr);
}

void print(std::string_view text) {
    errno = 0;
    if (std::fwrite(text.data(), 1, text.size(), stdout) != text.size() || std::fflush(stdout) != 0)
        throw tool_error(fmt::format("standard output: {}", std::generic_category().message(errno)));
}

void print_json(const json_value& v) { print(v.str(2) + '\n'); }

} // namespace tool

} // namespace joinery
