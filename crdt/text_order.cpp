// SPDX-License-Identifier: Apache-2.0
#include "text_order.hpp"

#include <map>
#include <utility>

namespace joinery::detail {

namespace {

using stretch = text_sequence::stretch;
using stretches = std::vector<stretch>;

// Calls f(const stretch&, bool common) for all of `all`, cut where what `other` holds too begins or ends.
template <class F> void for_each_stretch(const text_sequence& all, const causal_context& other, F&& f) {
    for (const stretch& s : all.stretches) {
        const auto part = [&](std::uint64_t first, std::uint64_t last, bool common) {
            if (first > last) return;
            const text_key key{s.key.lamport + (first - s.dots.first), s.dots.replica, first};
            f(stretch{{s.dots.replica, first, last}, key}, common);
        };
        std::uint64_t rest = s.dots.first;
        for (const auto& held : other.intersect(s.dots)) {
            part(rest, held.first - 1, false);
            part(held.first, held.last, true);
            rest = held.last + 1;
        }
        part(rest, s.dots.last, false);
    }
}

// Two forests become one: always the greater root, with its tree.
void merge_gap(stretches& a, stretches& b, std::vector<dot_range>& out) {
    auto i = a.begin(), j = b.begin();
    auto take_tree = [&](auto& it, auto end) {
        text_key root = it->key;
        do out.push_back((it++)->dots);
        while (it != end && root < it->key);
    };
    while (i != a.end() && j != b.end()) {
        if (j->key < i->key)
            take_tree(i, a.end());
        else
            take_tree(j, b.end());
    }
    for (; i != a.end(); ++i) out.push_back(i->dots);
    for (; j != b.end(); ++j) out.push_back(j->dots);
    a.clear();
    b.clear();
}

} // namespace

std::vector<dot_range> merged_order(const text_sequence& mine, const text_sequence& theirs) {
    // What only I hold, by the common element that it follows; a null dot is the start.
    std::map<dot, stretches> gaps;
    dot anchor{};
    for_each_stretch(mine, theirs.dots, [&](const stretch& s, bool common) {
        if (common)
            anchor = {s.dots.replica, s.dots.last};
        else
            gaps[anchor].push_back(s);
    });

    std::vector<dot_range> out;
    stretches here = std::exchange(gaps[{}], {}), there;
    for_each_stretch(theirs, mine.dots, [&](const stretch& s, bool common) {
        if (!common) {
            there.push_back(s);
            return;
        }
        dot_range rest = s.dots;
        for (auto gap = gaps.lower_bound({rest.replica, rest.first}); gap != gaps.end() && rest.contains(gap->first);
             ++gap) {
            merge_gap(here, there, out);
            out.push_back({rest.replica, rest.first, gap->first.seq});
            here = std::move(gap->second);
            rest.first = gap->first.seq + 1;
            if (gap->first.seq == s.dots.last) return;
        }
        merge_gap(here, there, out);
        out.push_back(rest);
    });
    merge_gap(here, there, out);
    return out;
}

} // namespace joinery::detail
