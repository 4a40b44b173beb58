// SPDX-License-Identifier: Apache-2.0
#include <joinery/log.hpp>

#include "valid_text.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>

namespace joinery {

namespace {

struct description {
    log_level level;
    std::string_view message;
};

description describe(event_kind kind) {
    switch (kind) {
    case event_kind::changed: return {log_level::debug, "a collection changed"};
    case event_kind::peer_up: return {log_level::info, "a peer is there"};
    case event_kind::peer_down: return {log_level::warning, "a peer is silent, or not connected any more"};
    case event_kind::identity_conflict: return {log_level::error, "another live node has this id: writes are refused"};
    case event_kind::identity_resolved: return {log_level::info, "the other node has another id: writes go on"};
    case event_kind::new_id: return {log_level::warning, "this node has a new id"};
    case event_kind::lost_edits: return {log_level::error, "published edits under the old id are contested"};
    case event_kind::incompatible_peer: return {log_level::warning, "a peer is incompatible: nothing is exchanged"};
    case event_kind::rejected: return {log_level::warning, "a frame was refused"};
    case event_kind::divergence: return {log_level::error, "a peer with the same edits has another state"};
    case event_kind::buffer_dropped: return {log_level::warning, "too many updates waited: they are pulled instead"};
    case event_kind::member_joined: return {log_level::info, "a node is a member from now on"};
    case event_kind::member_gone: return {log_level::info, "a node is no member any more"};
    case event_kind::evicted: return {log_level::warning, "this node was evicted: it comes back under a new id"};
    case event_kind::repaired: return {log_level::warning, "what differed was taken from a peer"};
    case event_kind::denied: return {log_level::warning, "a peer may not do what it did"};
    case event_kind::forbidden: return {log_level::warning, "a peer does not let this node do what it does"};
    }
    return {log_level::warning, "an event"};
}

// Milliseconds since 1970 as RFC 3339 says.
std::string to_utc(std::uint64_t ms) {
    using namespace std::chrono;
    const sys_time<milliseconds> t{milliseconds(std::min<std::uint64_t>(ms, 253'402'300'799'999))}; // the year 9999
    const auto day = floor<days>(t);
    const year_month_day date{day};
    const hh_mm_ss clock{t - day};
    return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z", static_cast<int>(date.year()),
                       static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()), clock.hours().count(),
                       clock.minutes().count(), clock.seconds().count(), clock.subseconds().count());
}

bool is_control(char32_t c) { return c < 0x20 || (c >= 0x7f && c < 0xa0) || c == 0x2028 || c == 0x2029; }

// A string of JSON, which logfmt takes as well.
void quote(std::string& out, std::string_view text) {
    out += '"';
    while (!text.empty()) {
        const auto c = detail::take_code_point(text);
        switch (c.value) {
        case '"': out += "\\\""; break;
        case '\\': out += "\\\\"; break;
        case '\n': out += "\\n"; break;
        case '\r': out += "\\r"; break;
        case '\t': out += "\\t"; break;
        default:
            if (is_control(c.value))
                out += fmt::format("\\u{:04x}", static_cast<std::uint32_t>(c.value));
            else
                out += c.bytes;
        }
    }
    out += '"';
}

bool is_plain(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           std::string_view("_-.:/+@").find(c) != std::string_view::npos;
}

void write_logfmt(std::string& out, std::string_view key, std::string_view value) {
    if (!out.empty()) out += ' ';
    for (const char c : key) out += is_plain(c) ? c : '_';
    out += '=';
    if (!value.empty() && std::all_of(value.begin(), value.end(), is_plain))
        out += value;
    else
        quote(out, value);
}

void write_json(std::string& out, std::string_view key, std::string_view value) {
    out += out.empty() ? '{' : ',';
    quote(out, key);
    out += ':';
    quote(out, value);
}

template <class Write> std::string render(const log_line& line, std::string_view message_key, Write&& write) {
    std::string out;
    write(out, "time", to_utc(line.time));
    write(out, "level", to_string(line.level));
    write(out, "event", line.event);
    write(out, message_key, line.message);
    for (const auto& f : line.fields) write(out, f.key, f.value);
    return out;
}

} // namespace

std::string_view to_string(log_level level) {
    switch (level) {
    case log_level::debug: return "debug";
    case log_level::info: return "info";
    case log_level::warning: return "warning";
    case log_level::error: return "error";
    }
    return "error";
}

log_line to_log_line(const event& e, std::string_view collection) {
    const auto about = describe(e.kind);
    log_line line{0, about.level, to_string(e.kind), std::string(about.message), {}};
    if (!collection.empty()) line.fields.push_back({"collection", std::string(collection)});
    if (e.peer != replica_id{}) line.fields.push_back({"peer", to_string(e.peer)});
    if (e.link != 0) line.fields.push_back({"link", std::to_string(e.link)});
    if (!e.text.empty()) line.fields.push_back({"detail", e.text});
    return line;
}

std::string logfmt(const log_line& line) { return render(line, "msg", write_logfmt); }
std::string json(const log_line& line) { return render(line, "message", write_json) + '}'; }

} // namespace joinery
