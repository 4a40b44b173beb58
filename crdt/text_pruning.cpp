// SPDX-License-Identifier: Apache-2.0
#include "text_engine.hpp"

#include <algorithm>
#include <utility>
#include <vector>

// What a text forgets once everybody knows it, and how it gives back the memory.

namespace joinery::detail {

void text_engine::prune(const version_vector& stable, std::span<const dot_range> settled, dot_sink* sink,
                        const causal_context& but) {
    for (const auto& r : settled) mark(r, text_state::dead, text_state::settled);
    std::vector<text_deletion> known;
    for_each_deletion([&](const text_deletion& d) {
        if (const auto part = stable_part(d, stable)) known.push_back(*part);
    });
    for (const auto& d : known) {
        drop(d);
        if (sink) sink->dropped(detail::dots_of(d));
        mark(targets_of(d), text_state::dead, text_state::settled);
    }
    but.for_each([&](const dot_range& r) { mark(r, text_state::settled, text_state::dead); });
    if (late_ && late_->empty()) late_ = nullptr;
    if (!settled_.empty()) prune_tombstones(stable, sink);
    if (wasteful()) compact();
    tree_.settle();
}

// The parents of the characters that are not in `v`, sorted.
std::vector<dot> text_engine::parents_of_others(const version_vector& v) const {
    std::vector<dot> out;
    log_.for_each_writer([&](replica_id r) {
        dot_range rest{r, v[r] + 1, UINT64_MAX};
        while (const auto p = next(rest)) {
            out.push_back(parent(log_.at(p->first, p->first)));
            rest.first = p->dots.last + 1;
        }
    });
    std::sort(out.begin(), out.end());
    return out;
}

// From right to left: one goes if the next that remains is stable, or there is none; and if it is not the parent of
// something that a peer may yet lack, which would then be sent with another parent.
void text_engine::prune_tombstones(const version_vector& stable, dot_sink* sink) {
    tree_.make_findable();
    struct tombstones {
        std::pair<std::uint64_t, std::uint64_t> rank;
        lv first;
        std::uint32_t count;
    };
    std::vector<tombstones> all;
    settled_.for_each([&](const dot_range& r) {
        for (dot_range rest = r; rest.first <= r.last;) {
            const auto p = next(rest);
            if (!p) break;
            rest.first = p->dots.last + 1;
            for_each_place(p->first, p->count(), [&](text_tree::place at, std::uint32_t n) {
                all.push_back({tree_.rank(at), tree_.at(at).first + at.offset, n});
            });
        }
    });
    std::sort(all.begin(), all.end(), [](const auto& a, const auto& b) { return a.rank > b.rank; });
    const auto parents = parents_of_others(stable);
    const auto erase = [&](const dot_range& part) {
        while (const auto p = next(part)) {
            if (sink) sink->dropped(p->dots);
            forget(*p);
        }
    };
    for (const auto& t : all) {
        const auto next = tree_.following(tree_.find(t.first + t.count - 1));
        const dot first = log_.identify(t.first).id;
        dot_range gone{first.replica, first.seq, first.seq + t.count - 1};
        if (next && !stable.contains(log_.identify(*next).id)) {
            // The last stays, or the last that is stable; it makes room for those before it.
            const std::uint64_t stays = std::min(gone.last, stable[gone.replica]);
            if (stays <= gone.first) continue;
            gone.last = stays - 1;
        }
        auto stays = std::lower_bound(parents.begin(), parents.end(), first);
        for (; stays != parents.end() && gone.contains(*stays) && gone.first <= gone.last; ++stays) {
            if (gone.first < stays->seq) erase({gone.replica, gone.first, stays->seq - 1});
            gone.first = stays->seq + 1;
        }
        if (gone.first <= gone.last) erase(gone);
    }
}

// Makes the log anew of what is left, and the order of that.
void text_engine::compact() {
    struct renumbered {
        lv from, to;
        std::uint32_t count;
    };
    text_log kept;
    std::vector<renumbered> numbers;
    const auto now = [&](lv v) { // or not_kept
        if (v == text_log::none) return v;
        const auto behind =
            std::upper_bound(numbers.begin(), numbers.end(), v, [](lv x, const renumbered& r) { return x < r.from; });
        if (behind == numbers.begin() || v - behind[-1].from >= behind[-1].count) return text_log::not_kept;
        return behind[-1].to + (v - behind[-1].from);
    };
    const auto keep = [&](const text_log::events& e) {
        const lv to = kept.size();
        for (lv v = e.first; v <= e.last;) {
            const auto [live, n] = log_.lives(e, v);
            const std::uint32_t offset = v - e.first;
            kept.insert(advanced(e.dots, offset), e.lamport + offset, n, offset > 0 ? kept.size() - 1 : now(e.to),
                        live ? log_.text().text(e.characters + offset, n) : std::string_view());
            v += n;
        }
        if (!numbers.empty() && numbers.back().from + numbers.back().count == e.first &&
            numbers.back().to + numbers.back().count == to)
            numbers.back().count += e.count();
        else
            numbers.push_back({e.first, to, e.count()});
    };
    const auto keep_deletion = [&](const text_deletion& d) {
        for (std::uint64_t i = 0, n = 1; i < d.count; i += n) {
            const dot_range rest = targets_of(slice(d, i, d.backward ? 1 : d.count - i));
            const auto p = next(rest);
            const bool here = p && p->dots.first == rest.first;
            n = here ? p->dots.size() : p ? p->dots.first - rest.first : rest.size();
            if (here)
                kept.erase(advanced(d.first, i), d.lamport + i, static_cast<std::uint32_t>(n), now(p->first));
            else
                late().deletions.add(slice(d, i, n));
        }
    };
    if (log_.size() > 0)
        log_.for_each(0, log_.size() - 1, [&](const text_log::events& e) {
            if (e.inserted())
                keep(e);
            else if (e.erased())
                log_.for_each_deletion(e, keep_deletion);
        });
    text_tree order;
    tree_.for_each([&](const text_tree::span& s) {
        const lv first = now(s.first);
        order.append(first, s.count(), s.live(), s.live() ? kept.measure(first, s.count()) : text_measure{}, kept);
    });
    order.complete(kept);
    order.make_findable();
    log_ = std::move(kept);
    tree_ = std::move(order);
    journal_.begin_anew();
}

} // namespace joinery::detail
