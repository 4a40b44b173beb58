// SPDX-License-Identifier: Apache-2.0
#include <joinery/frame_story.hpp>

#include <joinery/frame.hpp>
#include <joinery/messages.hpp>

#include <variant>

namespace joinery::testing {

namespace {

constexpr const char* kinds[] = {
    "hello",      "update",           "beacon",   "pull",       "chunk",   "credit",  "refuse",  "relaying",
    "membership", "acknowledgements", "presence", "comparison", "digests", "receipt", "request", "reply"};
static_assert(std::size(kinds) == std::variant_size_v<message>);

bool has_data(const message& m) {
    return std::holds_alternative<update>(m) || std::holds_alternative<pull>(m) || std::holds_alternative<chunk>(m) ||
           std::holds_alternative<request>(m) || std::holds_alternative<reply>(m);
}

} // namespace

std::string story_of(std::span<const std::byte> frame, const std::function<std::string(dot)>& name, bool data_only) {
    std::string out;
    const auto opened = open_frame(frame);
    if (!opened) return out;
    message_reader reader(opened->body);
    message m;
    for (auto more = reader.next(m); more && *more; more = reader.next(m)) {
        if (data_only && !has_data(m)) continue;
        if (!out.empty()) out += ", ";
        out += kinds[m.index()];
        if (const auto* u = std::get_if<update>(&m))
            if (const auto dots = edit_dots(u->delta)) out += " " + name({dots->replica, dots->first});
    }
    return out;
}

} // namespace joinery::testing
