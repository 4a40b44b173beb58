// SPDX-License-Identifier: Apache-2.0
#pragma once

// Structured log lines: what a node tells of itself, for people and for programs that read logs.
//
//     options.log = [](const joinery::log_line& line) { std::clog << joinery::logfmt(line) + '\n'; };
//
// gives
//
//     time=2026-05-01T09:30:00.250Z level=info event=peer_up msg="a peer is there" node=eu peer=00c0ffee00c0ffee
//     detail=us
//
// A rendered line is one line whatever is in it: peers choose their names, and cannot forge lines by them.

#include <joinery/engine.hpp>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace joinery {

enum class log_level : std::uint8_t { debug, info, warning, error };
std::string_view to_string(log_level level);

struct log_line {
    struct field {
        std::string key, value;
        friend bool operator==(const field&, const field&) = default;
    };
    std::uint64_t time = 0; ///< milliseconds since 1970
    log_level level = log_level::info;
    std::string_view event; ///< a stable name: that of an event_kind, node_started, node_stopped or node_failed
    std::string message;    ///< for people
    /// Of those that are known: node, id, address, durability, collection, peer (its id), link, detail.
    std::vector<field> fields;
};

/// The line that an event makes, without time and node: with the level that suits it, and the name of the
/// collection if it belongs to one.
log_line to_log_line(const event& e, std::string_view collection = {});

/// key=value pairs, as Heroku and Grafana Loki read them; without a line end. Values are quoted where they must be;
/// control characters and line separators are escaped, bytes that are not UTF-8 become U+FFFD. O(size).
std::string logfmt(const log_line& line);
/// One JSON object (RFC 8259) whose values are strings; without a line end. Escapes as `logfmt` does. O(size).
std::string json(const log_line& line);

} // namespace joinery
