// SPDX-License-Identifier: Apache-2.0
#include "comparison.hpp"

#include <fmt/format.h>

#include <set>

namespace joinery::tool {

namespace {

void compare_states(collection_comparison& out, const contents& a, const contents& b) {
    if (!a.type) {
        out.why_not = "this program does not know its type";
        return;
    }
    out.digests[0] = hex_number(a.state->digest());
    out.digests[1] = hex_number(b.state->digest());
    const bool same_edits = out.lacks[0].empty() && out.lacks[1].empty();
    out.same_content = out.digests[0] == out.digests[1];
    if (*out.same_content) return;
    if (same_edits)
        out.differing = differing_dots(
            a.context, [&](auto parts) { return a.state->digests(parts); },
            [&](auto parts) { return b.state->digests(parts); });
    const auto here = a.state->value(), there = b.state->value();
    for (const auto& d : differences(here, there, most_differences)) {
        auto& e = out.elements.emplace_back();
        e.path = d.path;
        if (d.here) e.values[0] = *d.here;
        if (d.there) e.values[1] = *d.there;
    }
}

void need_sound(const std::string& path, const std::vector<damage>& found) {
    if (!found.empty())
        throw tool_error(fmt::format("{}: damaged ({}: {}); `joinery verify` says more", path, found.front().where,
                                     found.front().what));
}

} // namespace

int compare_files(const std::string& path_a, const std::string& path_b, const common_options& o) {
    const auto a = read_opened(path_a, false, o.key_file), b = read_opened(path_b, false, o.key_file);
    need_sound(path_a, a.found);
    need_sound(path_b, b.found);
    std::set<std::string> names;
    for (const auto* f : {&a, &b})
        for (const auto& c : f->collections)
            if (c.name != members_name) names.insert(c.name);

    std::vector<collection_comparison> all;
    for (const auto& name : names) {
        auto& c = all.emplace_back();
        c.name = name;
        const auto *in_a = a.find(name), *in_b = b.find(name);
        if (!in_a || !in_b) {
            c.only_in = in_a ? "a" : "b";
            continue;
        }
        if (in_a->fingerprint != in_b->fingerprint) {
            c.other_type = true;
            continue;
        }
        const auto here = read_contents(*in_a, *o.types), there = read_contents(*in_b, *o.types);
        need_sound(path_a, here.found);
        need_sound(path_b, there.found);
        c.versions[0] = here.context.version();
        c.versions[1] = there.context.version();
        c.lacks[0] = there.context.minus(here.context);
        c.lacks[1] = here.context.minus(there.context);
        compare_states(c, here, there);
    }
    return report(path_a, path_b, all, o.json);
}

} // namespace joinery::tool
