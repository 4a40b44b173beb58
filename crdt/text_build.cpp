// SPDX-License-Identifier: Apache-2.0
#include "text_engine.hpp"

#include "text_columns.hpp"
#include "utf8.hpp"

#include <algorithm>
#include <cstddef>
#include <numeric>
#include <string>
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
                if (former.replica > dots.replica || (dots.replica == former.replica && dots.first <= former.last))
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
            const std::size_t entry = log_.entry_of_next();
            const lv v = log_.insert(r.first, r.lamport, n, parent, texts[e.index]);
            runs.push_back({parent, v, v + n - 1, entry});
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
    for_each_ordered(runs, [&](const text_log::events& e, bool live) {
        tree_.append(e.first, e.count(), live, live ? log_.measure(e.first, e.count()) : text_measure{}, log_);
    });
    tree_.complete(log_);
    for (const event& e : left) {
        join_under_way j{s};
        e.deletion ? enter(f.deletions[e.index], s) : enter(f.runs[e.index], texts[e.index], j);
    }
    saw(f.lamport);
    forgot(f.lamport);
    tree_.settle();
    return true;
}

// From each character to its children, the greatest key first; the rest of its own run is one of them. Calls
// f(const text_log::events&, bool live) for all of these, in order.
template <class F> void text_engine::for_each_ordered(std::vector<linked_run>& runs, F&& f) const {
    // Children by parent, found from the least of a block of parents on; those of the start come last.
    lv block = 64;
    while (log_.size() / block > 2 * runs.size()) block *= 2;
    const auto block_of = [&](lv parent) { return std::min(parent, log_.size()) / block; };
    std::vector<std::uint32_t> begin(log_.size() / block + 2);
    for (const auto& r : runs) ++begin[block_of(r.parent) + 1];
    for (std::size_t b = 1; b < begin.size(); ++b) begin[b] += begin[b - 1];
    std::vector<linked_run> children(runs.size());
    auto next = begin;
    for (const auto& r : runs) children[next[block_of(r.parent)]++] = r;
    const auto sooner = [&](const linked_run& a, const linked_run& b) {
        return a.parent != b.parent ? a.parent < b.parent : log_.less(a.first, b.first);
    };
    for (std::size_t b = 0; b + 1 < begin.size(); ++b) {
        const auto first = children.begin() + begin[b], last = children.begin() + begin[b + 1];
        if (!std::is_sorted(first, last, sooner)) std::sort(first, last, sooner);
    }
    const auto children_from = [&](lv v) {
        auto at = children.begin() + begin[block_of(v)];
        while (at != children.end() && at->parent < v) ++at;
        return at;
    };
    struct segment {
        lv first, last;
        std::size_t entry;
    };
    std::vector<segment> open;
    for (auto r = children_from(text_log::none); r != children.end(); ++r)
        open.push_back({r->first, r->last, r->entry});
    while (!open.empty()) {
        const segment s = open.back();
        open.pop_back();
        auto child = children_from(s.first);
        const lv last = child != children.end() ? std::min(child->parent, s.last) : s.last;
        const std::size_t entry = log_.for_each(s.entry, s.first, last, [&](const text_log::events& e) {
            for (lv v = e.first; v <= e.last;) {
                const auto [live, n] = log_.lives(e, v);
                text_log::events part = e;
                part.first = v;
                part.last = v + n - 1;
                part.characters += v - e.first;
                f(part, live);
                v += n;
            }
        });
        bool continued = last == s.last;
        for (; child != children.end() && child->parent == last; ++child) {
            if (!continued && log_.less(last + 1, child->first)) {
                open.push_back({last + 1, s.last, entry});
                continued = true;
            }
            open.push_back({child->first, child->last, child->entry});
        }
        if (!continued) open.push_back({last + 1, s.last, entry});
    }
}

void text_engine::join(const text_fragment& f) {
    std::vector<dot_range> dots;
    dots.reserve(f.runs.size() + f.deletions.size());
    for (const auto& r : f.runs) dots.push_back(detail::dots_of(r));
    for (const auto& d : f.deletions) dots.push_back(detail::dots_of(d));
    std::sort(dots.begin(), dots.end()); // or each would move those behind it
    causal_context all;
    for (const auto& r : dots) all.add(r);
    const causal_context seen;
    const removal_log log;
    join_scope scope{seen, all, log};
    join(f, scope);
}

text_engine::text_engine(const text_columns& c) {
    const auto entries = c.entries();
    const auto stretches = c.stretches();
    text_bits dead(c.size() / 64 + 1);
    for (const auto& e : entries)
        if (e.what != text_columns::kind::inserted) set_bits(dead, e.lowest_target(), e.count);
    for (const auto& r : c.settled()) {
        set_bits(dead, r.first, r.count);
        for (lv n = r.first, behind = r.first + r.count; n < behind;) {
            const auto& s = c.stretch_of(n);
            const lv last = std::min(behind, s.first + s.count) - 1;
            const dot first = advanced(s.first_dot, n - s.first);
            settled_.add({first.replica, first.seq, first.seq + (last - n)});
            n = last + 1;
        }
    }
    // Events get their lvs in the order of their Lamport numbers, which is mostly that of the dots.
    std::vector<std::uint32_t> order(entries.size());
    std::iota(order.begin(), order.end(), 0u);
    const auto lamport_of = [&](lv number) {
        const auto& s = c.stretch_of(number);
        return s.lamport + (number - s.first);
    };
    bool in_order = true;
    for (std::size_t i = 1; i < stretches.size(); ++i)
        in_order = in_order && stretches[i].lamport >= stretches[i - 1].lamport + stretches[i - 1].count;
    std::vector<lv> numbers; // the lv of each entry's first event
    if (!in_order) {
        std::vector<std::uint64_t> lamports;
        lamports.reserve(entries.size());
        for (const auto& e : entries) lamports.push_back(lamport_of(e.first));
        std::stable_sort(order.begin(), order.end(),
                         [&](std::uint32_t a, std::uint32_t b) { return lamports[a] < lamports[b]; });
        numbers.resize(entries.size());
        lv next = 0;
        for (const auto i : order) {
            numbers[i] = next;
            next += entries[i].count;
        }
    }
    struct numbered {
        lv first;
        lv count; // that follow in both
    };
    const auto numbered_as = [&](lv number) -> numbered {
        if (in_order) return {number, c.size() - number};
        const auto e = std::upper_bound(entries.begin(), entries.end(), number,
                                        [](lv n, const text_columns::entry& x) { return n < x.first; }) -
                       1;
        const lv offset = number - e->first;
        return {numbers[static_cast<std::size_t>(e - entries.begin())] + offset, e->count - offset};
    };
    std::vector<linked_run> runs;
    runs.reserve(entries.size());
    auto at = stretches.begin();
    for (const auto i : order) {
        const auto& e = entries[i];
        if (e.first < at->first || e.first - at->first >= at->count)
            at = stretches.begin() + (&c.stretch_of(e.first) - stretches.data());
        dot first = advanced(at->first_dot, e.first - at->first);
        std::uint64_t lamport = at->lamport + (e.first - at->first);
        saw(lamport + e.count - 1);
        if (e.what == text_columns::kind::inserted) {
            lv parent = e.to == 0 ? text_log::none : numbered_as(e.to - 1).first;
            runs.push_back({parent, log_.size(), log_.size() + e.count - 1, log_.entry_of_next()});
            for (lv n = e.first, behind = e.first + e.count, count; n < behind; n += count) {
                count = alike_bits(dead, n, behind - n);
                parent = log_.insert(first, lamport, count, parent, !has_bit(dead, n)) + count - 1;
                first.seq += count;
                lamport += count;
            }
            continue;
        }
        const bool backward = e.what == text_columns::kind::erased_backward;
        for (lv done = 0, n; done < e.count; done += n) { // backward runs one by one, where numbers and lvs differ
            const auto target = numbered_as(backward ? e.to - 1 - done : e.to - 1 + done);
            n = backward ? (in_order ? e.count : 1) : std::min(e.count - done, target.count);
            log_.erase(advanced(first, done), lamport + done, n, target.first, backward && n > 1);
        }
    }
    saw(c.lamport());
    forgot(c.lamport());
    // The text comes as it reads, and the log has it in its own order.
    struct piece {
        lv characters;
        std::string_view text;
    };
    std::vector<piece> pieces;
    pieces.reserve(runs.size());
    lv visible = 0;
    for_each_ordered(runs, [&](const text_log::events& e, bool live) {
        const lv n = e.count();
        if (!live) return tree_.append(e.first, n, false, {}, log_);
        tree_.append(e.first, n, true, c.text().measure(visible, n), log_);
        pieces.push_back({e.characters, c.text().text(visible, n)});
        visible += n;
    });
    tree_.complete(log_);
    std::string text(c.text().bytes(), '\0');
    if (c.text().ascii()) {
        for (const auto& p : pieces) p.text.copy(text.data() + p.characters, p.text.size());
    } else {
        std::sort(pieces.begin(), pieces.end(),
                  [](const auto& a, const auto& b) { return a.characters < b.characters; });
        std::size_t end = 0;
        for (const auto& p : pieces) end += p.text.copy(text.data() + end, p.text.size());
    }
    log_.fill(text);
}

} // namespace joinery::detail
