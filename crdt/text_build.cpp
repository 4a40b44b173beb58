// SPDX-License-Identifier: Apache-2.0
#include "text_engine.hpp"

#include "utf8.hpp"

#include <algorithm>
#include <cstddef>
#include <vector>

// A whole history joined into an empty text: first the log, in the order of the Lamport numbers, then the order of the
// characters, in one walk from each to its children that only ever appends.

namespace joinery::detail {

namespace {

// A run of characters or of deletions of the fragment.
struct event {
    std::uint64_t lamport;
    replica_id replica;
    std::uint32_t index;
    bool deletion;
};

} // namespace

// False, with nothing done, if this is not the place for it: then it goes the way of any other join.
bool text_engine::build(const text_fragment& f, join_scope& s) {
    constexpr std::size_t few = 8;
    if (f.runs.size() + f.deletions.size() < few || s.overlapping || !s.log.awaited().empty()) return false;
    std::vector<event> events;
    events.reserve(f.runs.size() + f.deletions.size());
    std::uint64_t size = 0;
    const auto take = [&](const auto& runs, bool deletions) {
        for (std::size_t i = 0; i < runs.size(); ++i) {
            const auto dots = detail::dots_of(runs[i]);
            if (i > 0) {
                const auto former = detail::dots_of(runs[i - 1]);
                if (dots.replica < former.replica || (dots.replica == former.replica && dots.first <= former.last))
                    return false;
            }
            if (!s.covered.contains(dots)) return false;
            if (!log_.has_room(dots.size())) return false;
            events.push_back({runs[i].lamport, dots.replica, static_cast<std::uint32_t>(i), deletions});
            size += dots.size();
        }
        return true;
    };
    if (!take(f.runs, false) || !take(f.deletions, true) || !log_.has_room(size)) return false;
    std::sort(events.begin(), events.end(), [](const event& a, const event& b) {
        return a.lamport != b.lamport ? a.lamport < b.lamport : a.replica < b.replica;
    });
    std::vector<std::string_view> texts;
    texts.reserve(f.runs.size());
    std::string_view rest = f.text;
    for (const auto& r : f.runs) {
        texts.push_back(rest.substr(0, r.deleted ? 0 : utf8_prefix(rest, r.count)));
        rest.remove_prefix(texts.back().size());
    }
    std::vector<linked_run> runs;
    runs.reserve(f.runs.size());
    std::vector<dot_range> killed;
    std::vector<event> left; // what rests on something that is not here yet, or not older
    for (const event& e : events) {
        if (log_.next(e.deletion ? detail::dots_of(f.deletions[e.index]) : detail::dots_of(f.runs[e.index]))) {
            left.push_back(e); // forged
            continue;
        }
        if (!e.deletion) {
            const text_run& r = f.runs[e.index];
            lv parent = text_log::none;
            if (r.parent.seq > 0) {
                const auto known = next(dot_range(r.parent));
                const text_key key{r.lamport, r.first.replica, r.first.seq};
                if (!known || !(text_key{known->lamport, r.parent.replica, r.parent.seq} < key)) {
                    left.push_back(e);
                    continue;
                }
                parent = known->first;
            }
            const auto n = static_cast<std::uint32_t>(r.count);
            const lv v = log_.insert(r.first, r.lamport, n, parent, texts[e.index]);
            runs.push_back({parent, v, v + n - 1});
            saw(r.lamport + r.count - 1);
            s.entered(detail::dots_of(r));
            continue;
        }
        const text_deletion& d = f.deletions[e.index];
        const dot_range targets = targets_of(d);
        const auto known = next(targets);
        const auto first = known ? log_.next(targets) : std::nullopt;
        if (!first || first->seq != targets.first || first->count != targets.size()) {
            left.push_back(e);
            continue;
        }
        add(d);
        saw(d.lamport + d.count - 1);
        s.entered(detail::dots_of(d));
        log_.bury(first->first, first->count);
        killed.push_back(targets);
    }
    // A tombstone whose deletion is unknown: its sender has pruned that, so it was stable.
    std::sort(killed.begin(), killed.end(), [](const dot_range& a, const dot_range& b) {
        return dot{a.replica, a.first} < dot{b.replica, b.first};
    });
    causal_context known;
    for (const auto& r : killed) known.add(r);
    for (const text_run& r : f.runs)
        if (r.deleted && next(dot_range(r.first)))
            for (const auto& unknown : known.missing(detail::dots_of(r))) settled_.add(unknown);
    order_characters(runs);
    for (const event& e : left) {
        join_under_way j{s};
        e.deletion ? enter(f.deletions[e.index], s) : enter(f.runs[e.index], texts[e.index], j);
    }
    saw(f.lamport);
    forgot(f.lamport);
    tree_.settle();
    return true;
}

// From each character to its children, the greatest key first; the rest of its own run is one of them.
void text_engine::order_characters(std::vector<linked_run>& runs) {
    std::sort(runs.begin(), runs.end(), [&](const linked_run& a, const linked_run& b) {
        return a.parent != b.parent ? a.parent < b.parent : log_.less(a.first, b.first);
    });
    struct segment {
        lv first, last;
    };
    std::vector<segment> open;
    const auto children_from = [&](lv v) {
        return std::lower_bound(runs.begin(), runs.end(), v,
                                [](const linked_run& r, lv parent) { return r.parent < parent; });
    };
    for (auto r = children_from(text_log::none); r != runs.end(); ++r) open.push_back({r->first, r->last});
    while (!open.empty()) {
        const segment s = open.back();
        open.pop_back();
        auto child = children_from(s.first);
        const lv last = child != runs.end() ? std::min(child->parent, s.last) : s.last;
        log_.for_each(s.first, last, [&](const text_log::events& e) {
            for (lv v = e.first; v <= e.last;) {
                const auto [live, n] = log_.lives(e, v);
                tree_.append(v, n, live, log_);
                v += n;
            }
        });
        bool continued = last == s.last;
        for (; child != runs.end() && child->parent == last; ++child) {
            if (!continued && log_.less(last + 1, child->first)) {
                open.push_back({last + 1, s.last});
                continued = true;
            }
            open.push_back({child->first, child->last});
        }
        if (!continued) open.push_back({last + 1, s.last});
    }
}

} // namespace joinery::detail
