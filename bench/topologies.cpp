// SPDX-License-Identifier: Apache-2.0
// What an edit costs on the wire in a graph of leaders, once the ways that are too many have been left out. Each write
// is one edit in a frame of its own, and the next follows when everybody has it; the bytes that all leaders receive,
// beacons included, stand beside the least that there can be: the encoded delta, once over each link of a spanning
// tree. What ZeroMQ and TCP put around a frame is in neither.
#include "harness.hpp"
#include "leaders.hpp"

#include <string>
#include <utility>
#include <vector>

using namespace joinery;
using namespace std::chrono_literals;
using clock_type = std::chrono::steady_clock;
using bench::counter, bench::element, bench::require, bench::seconds_since, bench::set;

namespace {

using leaders = std::deque<leader<set>>;

struct graph {
    const char* name;
    std::size_t nodes;
    std::vector<std::pair<std::size_t, std::size_t>> links;
};

const graph graphs[] = {
    {"all to all, 3", 3, {{0, 1}, {0, 2}, {1, 2}}},
    {"all to all, 5", 5, {{0, 1}, {0, 2}, {0, 3}, {0, 4}, {1, 2}, {1, 3}, {1, 4}, {2, 3}, {2, 4}, {3, 4}}},
    {"ring of 5", 5, {{0, 1}, {1, 2}, {2, 3}, {3, 4}, {4, 0}}},
    {"star of 5", 5, {{0, 1}, {0, 2}, {0, 3}, {0, 4}}},
    {"tree of 7", 7, {{0, 1}, {0, 2}, {1, 3}, {1, 4}, {2, 5}, {2, 6}}},
};

std::uint64_t sum(const leaders& all, std::string_view name) {
    std::uint64_t n = 0;
    for (const auto& l : all) n += counter(l, name);
    return n;
}

/// Everybody writes one edit, or the last of them does, who is a leaf where there are leaves; returns when all have it.
void write_round(leaders& all, bool everybody, std::size_t& next) {
    for (auto& l : all)
        if (everybody || &l == &all.back()) l.write([&, i = next++](set& s, auto& tx) { s.add(tx, element(i)); });
    const auto size = next + all.size(); // with their greetings
    for (auto& l : all)
        require(l.wait_until([&](const set& s) { return s.size() == size; }, 20s), "the edits did not arrive");
}

void measure(bench::report& out, const graph& g, bool everybody) {
    auto all = bench::start_all(g.nodes, g.links);
    std::size_t next = 0;
    // Peers say again with each beacon which ways are too many, should it have been lost.
    for (const auto begin = clock_type::now(); seconds_since(begin) < 3;) write_round(all, everybody, next);

    const auto first_duplicates = sum(all, "updates_duplicate");

    constexpr const char* names[] = {"edits_published",     "bytes_published",   "transport_bytes_in",
                                     "transport_frames_in", "updates_duplicate", "pulls_sent"};
    double counts[std::size(names)];
    for (std::size_t i = 0; i < std::size(names); ++i) counts[i] = -static_cast<double>(sum(all, names[i]));
    const auto begin = clock_type::now();
    for (const std::size_t end = next + 3000; next < end;) write_round(all, everybody, next);
    const auto seconds = seconds_since(begin);
    for (std::size_t i = 0; i < std::size(names); ++i) counts[i] += static_cast<double>(sum(all, names[i]));

    const auto [edits, delta_bytes, bytes, frames, duplicates, pulls] = counts;
    const auto tree_links = static_cast<double>(g.nodes - 1);
    const auto who = std::string(g.name) + (everybody ? ", all write" : ", one writes");
    out.add({who + ": pace", edits / seconds, "edits/s", 0, ""});
    out.add({"  bytes on all links", bytes / edits, "bytes/edit", delta_bytes / edits * tree_links,
             "its delta, over a spanning tree"});
    out.add({"  frames on all links", frames / edits, "/edit", tree_links, "a spanning tree's links"});
    out.add({"  duplicates before, until the ways were thinned out", static_cast<double>(first_duplicates), "", 0, ""});
    out.add({"  duplicates, in a thousand edits", duplicates / edits * 1e3, "", 0, ""});
    out.add({"  pulls, in a thousand edits", pulls / edits * 1e3, "", 0, ""});
    require(duplicates <= edits / 100, "edits still come twice");
}

} // namespace

int main(int argc, char** argv) {
    bench::report out("edits on the wire, by topology", argc, argv);
    for (const auto& g : graphs)
        for (const bool everybody : {false, true}) measure(out, g, everybody);
}
