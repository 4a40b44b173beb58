// SPDX-License-Identifier: Apache-2.0
#pragma once

// How the tool says what it has found: the same words and numbers in all commands.

#include "stored_file.hpp"

#include <joinery/causal_context.hpp>
#include <joinery/json_value.hpp>
#include <joinery/version_vector.hpp>

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace joinery::tool {

constexpr int good = 0, bad = 1, failed = 2; ///< exit codes

/// Text from outside for a terminal: what is no valid UTF-8, or controls a terminal, is escaped.
std::string printable(std::string_view text);
/// The same; with quotes if there is anything to escape, or nothing to see.
std::string shown_name(std::string_view name);
/// "1 edit", "2 edits"
std::string counted(std::uint64_t n, std::string_view what);
/// "1.5 MiB"
std::string shown_bytes(std::uint64_t n);
/// "ab12:1-7 cd34:2"
std::string shown_dots(const causal_context& dots);
/// Sixteen hexadecimal digits.
std::string hex_number(std::uint64_t n);

/// Columns below each other; the first row is the heading.
std::string table(const std::vector<std::vector<std::string>>& rows);

/// {"<id>": number, ...}
json_value to_json(const version_vector& v);
/// [{"replica": "<id>", "first": 1, "last": 7}, ...]
json_value to_json(const causal_context& dots);
json_value to_json(std::span<const replica_id> ids);
/// [{"where": ..., "what": ...}, ...]
json_value to_json(std::span<const damage> found);

std::uint64_t count_of(const version_vector& v);

/// A line to stderr, after the program's name; that nobody can read it is no error.
void complain(std::string_view text);
/// To stdout. Throws tool_error if that cannot be written.
void print(std::string_view text);
void print_json(const json_value& v);

} // namespace joinery::tool
