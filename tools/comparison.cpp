// SPDX-License-Identifier: Apache-2.0
#include "comparison.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace joinery::tool {

causal_context differing_dots(const causal_context& dots, const digest_source& a, const digest_source& b) {
    std::vector<dot_range> asked(dots.ranges().begin(), dots.ranges().end());
    causal_context found;
    while (!asked.empty()) {
        const auto here = a(asked), there = b(asked);
        std::vector<dot_range> next;
        for (std::size_t i = 0; i < asked.size(); ++i) {
            if (i < here.size() && i < there.size() && here[i] == there[i]) continue;
            const auto& r = asked[i];
            if (r.first == r.last) {
                if (found.count() < most_differences) found.add(r);
                continue;
            }
            const auto middle = r.first + (r.last - r.first) / 2;
            next.push_back({r.replica, r.first, middle});
            next.push_back({r.replica, middle + 1, r.last});
        }
        if (next.size() > 2 * most_differences) next.resize(2 * most_differences);
        asked = std::move(next);
    }
    return found;
}

namespace {

const char* content_of(const collection_comparison& c) {
    return !c.same_content ? "not compared" : *c.same_content ? "equal" : "different";
}

json_value described(const collection_comparison& c) {
    auto one = json_value::object();
    one.add("name", c.name);
    one.add("equal", c.undecided ? json_value() : json_value(c.equal()));
    one.add("only_in", c.only_in.empty() ? json_value() : json_value(c.only_in));
    one.add("other_type", c.other_type);
    one.add("a_version", to_json(c.versions[0]));
    one.add("b_version", to_json(c.versions[1]));
    one.add("a_lacks", to_json(c.lacks[0]));
    one.add("b_lacks", to_json(c.lacks[1]));
    one.add("content", content_of(c));
    one.add("why_not", c.why_not.empty() ? json_value() : json_value(c.why_not));
    for (int i : {0, 1})
        one.add(i == 0 ? "a_digest" : "b_digest", c.digests[i] ? json_value(*c.digests[i]) : json_value());
    one.add("differing_dots", to_json(c.differing));
    auto& elements = one.add("differences", json_value::array());
    for (const auto& e : c.elements) {
        auto d = json_value::object();
        d.add("path", e.path);
        if (e.values[0]) d.add("a", *e.values[0]);
        if (e.values[1]) d.add("b", *e.values[1]);
        elements.push(std::move(d));
    }
    return one;
}

std::string to_text(const collection_comparison& c) {
    auto out = shown_name(c.name) + ": ";
    if (!c.only_in.empty()) return out + fmt::format("only in {}\n", c.only_in);
    if (c.other_type) return out + "of another type\n";
    if (c.undecided) return out + fmt::format("the same edits; not compared: {}\n", c.why_not);
    if (c.equal()) {
        out += "equal, " + counted(count_of(c.versions[0]), "edit");
        return out + (c.same_content ? "\n" : fmt::format(" (the same edits; content not compared: {})\n", c.why_not));
    }
    out += "different\n";
    for (int i : {0, 1})
        if (!c.lacks[i].empty())
            out += fmt::format("  {} lacks {}: {}\n", i == 0 ? 'a' : 'b', counted(c.lacks[i].count(), "edit"),
                               shown_dots(c.lacks[i]));
    if (c.same_content == false && c.lacks[0].empty() && c.lacks[1].empty())
        out += "  both have seen the same edits, and differ: this should not be (docs/operations.md, divergences)\n";
    if (!c.differing.empty()) out += "  edits that left something else: " + shown_dots(c.differing) + '\n';
    for (const auto& e : c.elements)
        out += fmt::format("  {}: {} | {}\n", e.path.empty() ? "value" : printable(e.path),
                           e.values[0] ? printable(e.values[0]->str()) : "-",
                           e.values[1] ? printable(e.values[1]->str()) : "-");
    if (c.elements.size() == most_differences) out += "  ... and more\n";
    return out;
}

} // namespace

int report(const std::string& a, const std::string& b, std::span<const collection_comparison> all, bool json) {
    const bool equal = std::all_of(all.begin(), all.end(), [](const auto& c) { return c.equal(); });
    const bool undecided = equal && std::any_of(all.begin(), all.end(), [](const auto& c) { return c.undecided; });
    if (json) {
        auto out = json_value::object();
        out.add("a", a);
        out.add("b", b);
        out.add("equal", undecided ? json_value() : json_value(equal));
        auto& collections = out.add("collections", json_value::array());
        for (const auto& c : all) collections.push(described(c));
        print_json(out);
    } else {
        auto out = fmt::format("a: {}\nb: {}\n", printable(a), printable(b));
        for (const auto& c : all) out += to_text(c);
        print(out + (undecided ? "undecided\n" : equal ? "equal\n" : "different\n"));
    }
    return undecided ? failed : equal ? good : bad;
}

} // namespace joinery::tool
