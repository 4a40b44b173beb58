// SPDX-License-Identifier: Apache-2.0
#include "comparison.hpp"
#include "observer.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace joinery::tool {

namespace {

using std::chrono::milliseconds;

constexpr std::uint64_t most_dots = 16'384;  // of one question
constexpr std::uint64_t first_width = 4'096; // a power of 16
constexpr int attempts = 5;

struct sides {
    observer &a, &b;
    milliseconds time;

    // What both have at this moment, or near it.
    void ask_again() {
        for (auto* o : {&a, &b}) {
            const auto before = o->seen().said;
            bool asked = false;
            o->run(time, [&] {
                if (!o->seen().connected) return false;
                if (!std::exchange(asked, true)) o->ask();
                return o->seen().said && o->seen().said->echo != (before ? before->echo : 0);
            });
            if (!o->seen().said || (before && o->seen().said->echo == before->echo))
                throw tool_error(fmt::format("{}: no answer within {} s", o->seen().endpoint,
                                             static_cast<double>(time.count()) / 1000));
        }
    }
};

// Both digests of each block: false if one of the two has moved on.
bool compare_blocks(sides& s, channel c, const version_vector& at, std::vector<dot_range>& blocks,
                    std::uint64_t width) {
    std::vector<dot_range> different;
    for (std::size_t i = 0; i < blocks.size();) {
        causal_context dots;
        std::vector<dot_range> asked;
        std::uint64_t n = 0;
        for (; i < blocks.size() && asked.size() < comparison::max_blocks; ++i) {
            const auto more = blocks[i].last - blocks[i].first + 1;
            if (n > 0 && n + more > most_dots) break;
            n += more;
            dots.add(blocks[i]);
            asked.push_back(blocks[i]);
        }
        const auto here = s.a.digests_of(c, at, dots, width, s.time);
        const auto there = s.b.digests_of(c, at, dots, width, s.time);
        if (here.size() != asked.size() || there.size() != asked.size()) return false;
        for (std::size_t k = 0; k < asked.size(); ++k)
            if (here[k] != there[k]) different.push_back(asked[k]);
    }
    blocks = std::move(different);
    return true;
}

std::vector<dot_range> blocks_of(const causal_context& dots, std::uint64_t width) {
    std::vector<dot_range> all;
    comparison{{}, 0, 0, width, dots}.for_each_block([&](const dot_range& b) { all.push_back(b); });
    return all;
}

// What lives of each edit, by digests; the whole states', which count positions too, if both have told them of late.
bool compare_content(sides& s, channel c, const version_vector& at, collection_comparison& out) {
    causal_context dots(at);
    for (auto width = first_width;; width /= 16) {
        auto blocks = blocks_of(dots, width);
        if (blocks.size() > most_differences * 16 && width < first_width) blocks.resize(most_differences * 16);
        if (!compare_blocks(s, c, at, blocks, width)) return false;
        dots.clear();
        for (const auto& b : blocks) dots.add(b);
        if (width == 1 || blocks.empty()) break;
    }
    out.differing = dots;
    out.same_content = dots.empty();
    const auto &here = s.a.seen().views, &there = s.b.seen().views;
    const auto v = here.find(c.value), w = there.find(c.value);
    if (v == here.end() || w == there.end()) return true;
    if (!v->second.digest || !w->second.digest || v->second.digest_at != at || w->second.digest_at != at) return true;
    out.digests[0] = hex_number(*v->second.digest);
    out.digests[1] = hex_number(*w->second.digest);
    *out.same_content = *out.same_content && out.digests[0] == out.digests[1];
    return true;
}

std::string name_of(std::uint64_t digest, const live_options& live) {
    for (const auto& name : live.collections)
        if (name_digest(name) == digest) return name;
    return "#" + hex_number(digest);
}

std::vector<collection_comparison> compare_once(sides& s, const live_options& live, bool& moved) {
    s.ask_again();
    const auto here = s.a.seen().said->collections, there = s.b.seen().said->collections;
    std::vector<collection_comparison> all;
    const auto asked_for = [&](std::uint64_t name) {
        return live.collections.empty() || std::any_of(live.collections.begin(), live.collections.end(),
                                                       [&](const auto& n) { return name_digest(n) == name; });
    };
    const auto other = [](const auto& list, std::uint64_t name) {
        return std::find_if(list.begin(), list.end(), [&](const auto& c) { return c.name == name; });
    };
    for (const auto& c : here) {
        if (!asked_for(c.name)) continue;
        auto& out = all.emplace_back();
        out.name = name_of(c.name, live);
        const auto twin = other(there, c.name);
        if (twin == there.end()) {
            out.only_in = "a";
            continue;
        }
        out.other_type = c.fingerprint != twin->fingerprint;
        if (out.other_type) continue;
        out.versions[0] = c.version;
        out.versions[1] = twin->version;
        out.lacks[0] = causal_context(twin->version).minus(c.version);
        out.lacks[1] = causal_context(c.version).minus(twin->version);
        if (c.version != twin->version) {
            out.why_not = "they have not seen the same edits";
            moved = true; // an edit may have been on its way
        } else if (!compare_content(s, channel_of(c.name, c.fingerprint), c.version, out)) {
            out.why_not = "they have gone on meanwhile, or one was restarted and no peer has answered it yet";
            out.undecided = moved = true;
        }
    }
    for (const auto& c : there) {
        if (!asked_for(c.name) || other(here, c.name) != here.end()) continue;
        all.emplace_back().name = name_of(c.name, live);
        all.back().only_in = "b";
    }
    for (const auto& name : live.collections)
        if (std::none_of(all.begin(), all.end(), [&](const auto& c) { return c.name == name; }))
            throw tool_error(fmt::format("neither leader has a collection '{}'", name));
    return all;
}

} // namespace

int compare_live(const std::string& a, const std::string& b, const live_options& live, const common_options& o) {
    observer first(a, live.insecure, live.identity), second(b, live.insecure, live.identity);
    sides s{first, second, live.timeout};
    std::vector<collection_comparison> all;
    bool moved = true;
    for (int i = 0; i < attempts && moved; ++i) {
        moved = false;
        all = compare_once(s, live, moved);
    }
    return report(a, b, all, o.json);
}

} // namespace joinery::tool
