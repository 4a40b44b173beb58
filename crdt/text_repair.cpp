// SPDX-License-Identifier: Apache-2.0
#include "text_engine.hpp"

#include "utf8.hpp"

#include <utility>
#include <vector>

// Where joining is not enough: states that differ although they must not, and the order of texts of which one has
// pruned what the other's order rests on.

namespace joinery::detail {

// Characters that are here keep their places, since others stand where they do because of them.
void text_engine::repair(const text_fragment& f, join_scope& s) {
    journal_.begin_anew();
    for (const auto& d : f.deletions) enter(d, s);
    std::string_view rest = f.text;
    for (const auto& r : f.runs) {
        const std::size_t size = r.deleted ? 0 : utf8_prefix(rest, r.count);
        for (const auto& part : s.covered.intersect(detail::dots_of(r)))
            if (!s.seen.intersects(part)) repair(r, part, rest.substr(0, size), s);
        rest.remove_prefix(size);
    }
    s.covered.for_each([&](const dot_range& r) {
        if (!s.log.kills_arriving(r)) return;
        for (const auto& killed : s.log.awaited().intersect(r)) kill(killed);
    });
    saw(f.lamport);
    forgot(f.lamport);
    tree_.settle();
}

// `utf8` is the text of all of r.
void text_engine::repair(const text_run& r, dot_range part, std::string_view utf8, join_scope& s) {
    const auto text_of = [&](const dot_range& dots) {
        if (r.deleted) return std::string_view();
        const auto from = utf8.substr(utf8_prefix(utf8, dots.first - r.first.seq));
        return from.substr(0, utf8_prefix(from, dots.size()));
    };
    while (part.first <= part.last) {
        const auto here = next(part);
        const dot_range absent{part.replica, part.first, here ? here->dots.first - 1 : part.last};
        if (absent.first <= absent.last) {
            auto run = r; // if its parent is not here, its place is found with the complete states
            if (absent.first == r.first.seq && r.parent.seq > 0 && !next(dot_range(r.parent))) run.parent = {};
            if (!log_.next(absent)) enter_new(run, absent, text_of(absent), s);
        }
        if (!here) return;
        if (here->state == text_state::live) set_state(*here, text_state::settled);
        if (!r.deleted) {
            settled_.remove(here->dots);
            log_.revive(here->first, here->count(), text_of(here->dots));
            set_live(here->first, here->count(), true);
        }
        part.first = here->dots.last + 1;
    }
}

text_sequence text_engine::sequence() const {
    text_sequence all;
    tree_.for_each([&](const text_tree::span& s) { all.add(dots_of(s), log_.identify(s.first).lamport); });
    return all;
}

// The order in which a sender holds what it sends; hostile bytes may bring a dot twice.
text_sequence text_engine::sequence_of(const text_fragment& f) {
    text_engine sender;
    causal_context placed;
    for (const auto& r : f.runs) {
        if (placed.intersects(detail::dots_of(r))) continue;
        placed.add(detail::dots_of(r));
        sender.place(r, text_state::dead, {});
    }
    return sender.sequence();
}

// An order in which forged characters stand elsewhere makes them children of others.
void text_engine::forget_wrong_parents() {
    std::vector<lv> wrong;
    tree_.for_each([&](const text_tree::span& s) {
        log_.for_each(s.first, s.behind() - 1, [&](const text_log::events& e) {
            if (e.to == text_log::not_kept) return;
            const lv parent = e.first > s.first ? e.first - 1 : tree_.parent(tree_.find(e.first), log_);
            const bool gone = e.to != text_log::none && log_.at(e.to, e.to).what == text_log::kind::gone;
            if (e.to != parent && !gone) wrong.push_back(e.first);
        });
    });
    for (const lv v : wrong) log_.forget_parent(v);
}

// Brings the characters into an order; those that it does not name go where their keys say.
void text_engine::rearrange(const std::vector<dot_range>& order) {
    text_tree sorted;
    tree_.make_findable();
    causal_context named;
    for (const auto& r : order) {
        named.add(r);
        for (dot_range rest = r; rest.first <= r.last;) {
            const auto p = next(rest);
            if (!p) break;
            const bool live = p->state == text_state::live;
            sorted.append(p->first, p->count(), live, live ? log_.measure(p->first, p->count()) : text_measure{}, log_);
            rest.first = p->dots.last + 1;
        }
    }
    sorted.complete(log_);
    sorted.make_findable();
    tree_.for_each([&](const text_tree::span& s) {
        for (const auto& other : named.missing(dots_of(s)))
            for (dot_range rest = other; rest.first <= other.last;) {
                const auto p = next(rest);
                if (!p) break;
                const lv parent = tree_.parent(tree_.find(p->first), log_);
                std::optional<text_tree::place> place;
                if (parent != text_log::none) place = sorted.find(parent);
                sorted.insert(place, p->first, p->count(), p->state == text_state::live, log_);
                rest.first = p->dots.last + 1;
            }
    });
    tree_ = std::move(sorted);
    journal_.begin_anew();
    forget_wrong_parents();
}

} // namespace joinery::detail
