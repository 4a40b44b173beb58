// SPDX-License-Identifier: Apache-2.0
#include "commands.hpp"

#include <joinery/delta.hpp>

#include <fmt/format.h>

namespace joinery::tool {

namespace {

// Of a type that is not known: what each delta covers and consists of.
json_value structure(const file_collection& c, std::vector<damage>& found) {
    using head = detail::delta_head;
    auto all = json_value::array();
    for_each_delta(c, found, [&](const stored_delta& d) {
        auto one = json_value::object();
        one.add("where", d.where);
        one.add("bytes", d.bytes);
        one.add("covers", to_json(d.covered));
        auto& parts = one.add("parts", json_value::array());
        for (const auto& [bit, name] : {std::pair(head::fragment, "fragment"),
                                        {head::removals, "removals"},
                                        {head::since, "since"},
                                        {head::horizon, "horizon"},
                                        {head::unknown, "unknown"}})
            if (d.parts & bit) parts.push(name);
        if (!d.fields.empty()) {
            auto& fields = one.add("fields", json_value::array());
            for (const auto& [tag, bytes] : d.fields) {
                auto f = json_value::object();
                f.add("tag", tag);
                f.add("bytes", bytes);
                fields.push(std::move(f));
            }
        }
        one.add("rest", detail::hexadecimal(d.rest));
        all.push(std::move(one));
    });
    return all;
}

} // namespace

int dump(const std::string& path, const std::optional<std::string>& collection, const common_options& o) {
    const auto file = read_opened(path, false, o.key_file);
    auto all = json_value::object();
    auto found = file.found;
    bool any = false;
    for (const auto& c : file.collections) {
        if (c.name == members_name || (collection && c.name != *collection)) continue;
        any = true;
        const auto state = read_contents(c, *o.types);
        auto& one = all.add(c.name, json_value::object());
        one.add("type", state.type_name.empty() ? json_value() : json_value(state.type_name));
        one.add("fingerprint", hex_number(c.fingerprint));
        one.add("version", to_json(state.context.version()));
        found.insert(found.end(), state.found.begin(), state.found.end());
        if (state.state) {
            one.add("value", state.state->value());
        } else {
            std::vector<damage> told; // before
            one.add("deltas", structure(c, told));
        }
    }
    if (collection && !any) throw tool_error(fmt::format("{}: there is no collection '{}'", path, *collection));
    print_json(all);
    for (const auto& d : found) complain(fmt::format("{}: {}", d.where, d.what));
    return found.empty() ? good : bad;
}

} // namespace joinery::tool
