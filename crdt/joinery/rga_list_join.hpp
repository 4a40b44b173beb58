// SPDX-License-Identifier: Apache-2.0
#pragma once

// What a list makes of what arrives, and what it tells others: the interface of crdt.hpp.

#include <joinery/rga_list.hpp>

namespace joinery {

template <class T> std::uint64_t rga_list<T>::digest(const causal_context& all) const {
    std::uint64_t sum = order_.digest(all);
    for (std::size_t i = 0; i < order_.size(); ++i)
        if (const auto e = elements_.find(order_.anchor(i, text_bias::right).character); e != elements_.end())
            sum = combine(sum, joinery::digest(encode(e->second)));
    if (!changed()) return sum;
    fragment f;
    for (const auto& [d, m] : changes_->moves()) f.moves.push_back(d, m);
    for (const auto& [d, s] : changes_->sets()) f.sets.push_back(d, s);
    return combine(sum, combine(joinery::digest(encode(f.moves)), joinery::digest(encode(f.sets))));
}

template <class T> void rga_list<T>::extract(const causal_context& wanted, fragment& out) const {
    out = {};
    order_.extract(wanted, out.order);
    if (changed()) {
        causal_context kept; // deleted, as others will find
        wanted.for_each([&](const dot_range& r) {
            changes_->for_each_kept(r, [&](dot d) { kept.add(d); });
            for (auto s = changes_->sets().lower_bound({r.replica, r.first});
                 s != changes_->sets().end() && r.contains(s->first); ++s)
                out.sets.push_back(s->first, s->second);
        });
        if (!kept.empty()) rga_text::bury(out.order, kept);
    }
    out.for_each_live([&](dot d) {
        out.elements.push_back(elements_.at(d));
        if (!changes_) return;
        if (const auto m = changes_->moves().find(d); m != changes_->moves().end()) out.moves.push_back(d, m->second);
    });
}

template <class T> void rga_list<T>::drop_dead(const causal_context& dots) {
    const auto alive = living(dots);
    dots.for_each([&](const dot_range& all) {
        for (const auto& r : alive.missing(all)) {
            elements_.erase(r);
            if (changes_) changes_->drop_dead(r, elements_);
        }
        if (changes_) changes_->touch(all);
    });
}

template <class T>
template <class Change>
void rga_list<T>::count_siblings(dot element, join_scope& s, Change&& change) const {
    struct one {
        dot where;
    };
    detail::count_siblings_among(
        [&] {
            std::vector<one> all;
            for (const dot d : changes_->sets_of(element)) all.push_back({d});
            return all;
        },
        s, std::forward<Change>(change));
}

// Those of these dots that the fragment does not carry, if there is one.
template <class T> void rga_list<T>::drop_sets(const dot_range& dots, join_scope& s, const fragment* but) {
    std::vector<std::pair<dot, dot>> gone;
    const auto& all = changes_->sets();
    for (auto e = all.lower_bound({dots.replica, dots.first}); e != all.end() && dots.contains(e->first); ++e)
        if (!but || !but->sets.contains(e->first)) gone.emplace_back(e->first, e->second.element);
    for (const auto& [d, element] : gone) {
        count_siblings(element, s, [&, d = d] { changes_->drop_set(d); });
        s.dropped(d);
    }
}

template <class T> void rga_list<T>::join_sets(const fragment& f, join_scope& s) {
    if (changes_ && s.overlapping) s.covered.for_each([&](const dot_range& r) { drop_sets(r, s, &f); });
    for (const auto& e : f.sets) {
        s.observe(e.value.placed);
        s.observe(e.value.written);
        if (!s.enters(e.where)) continue;
        auto& all = changes_.make();
        if (all.sets().contains(e.where) || elements_.contains(e.where))
            continue; // hostile bytes may bring a dot twice
        count_siblings(e.value.element, s, [&] { all.add(e.where, e.value); });
        s.entered(e.where);
    }
}

template <class T> void rga_list<T>::join(const fragment& f, join_scope& s) {
    if (f.elements.size() != f.order.text.size()) return; // nobody writes that
    order_.join(f.order, s);
    causal_context carried, touched;
    for (const auto& r : f.order.runs) carried.add({r.first.replica, r.first.seq, r.first.seq + r.count - 1});
    touched = carried;
    for (const auto& d : f.order.deletions) {
        const std::uint64_t first = d.backward ? d.target.seq - (d.count - 1) : d.target.seq;
        touched.add({d.target.replica, first, first + d.count - 1});
    }
    if (s.overlapping) touched.join(s.covered);
    if (carried.intersects(s.log.awaited())) doomed_.make().join(carried.intersect(s.log.awaited()));
    const auto alive = living(carried);
    auto element = f.elements.begin();
    auto move = f.moves.begin();
    f.for_each_live([&](dot d) {
        while (move != f.moves.end() && move->where < d) ++move;
        const auto* moved = move != f.moves.end() && move->where == d ? &move->value : nullptr;
        if (moved) {
            s.observe(moved->placed);
            s.observe(moved->written);
        }
        // What a set keeps here was deleted, as the sender does not know.
        if (alive.contains(d) && (s.repairing || !changes_ || !changes_->kept(d))) {
            bool fresh = s.repairing;
            if (s.repairing) {
                elements_.insert_or_assign(d, *element);
                if (changes_) changes_->drop_place(d);
            } else {
                fresh = elements_.emplace(d, *element);
            }
            if (fresh && moved) changes_.make().add(d, *moved);
        }
        ++element;
    });
    join_sets(f, s);
    drop_dead(touched);
    if (!changes_) return;
    changes_->settle(order_, elements_, s);
    changes_->refresh(order_, elements_);
}

template <class T> void rga_list<T>::kill(const dot_range& dots, join_scope& s) {
    order_.kill(dots, s);
    if (const auto here = present({dots}); !here.empty()) doomed_.make().join(here);
    drop_dead({dots});
    if (!changes_) return;
    drop_sets(dots, s);
    changes_->settle(order_, elements_, s);
    changes_->refresh(order_, elements_);
}

template <class T> void rga_list<T>::clear(transaction& tx, kills& out) {
    begin_edit(tx);
    kills mine;
    order_.clear(tx, mine);
    causal_context dots;
    for (const auto& r : mine.dots) {
        dots.add(r);
        out.add(r);
    }
    std::vector<dot> sets;
    if (changes_)
        for (const auto& [d, s] : changes_->sets()) {
            sets.push_back(d);
            out.add(d);
            if (dots.add(s.place)) out.add(s.place);
        }
    doom(tx, dots);
    take_out(tx, dots, sets);
    end_edit();
}

// Hidden places whose element has another one that everybody knows, too: who has yet to move, set or erase it has seen
// both.
template <class T> std::vector<dot> rga_list<T>::superfluous(const version_vector& stable) const {
    std::vector<dot> out;
    for (const dot d : changes_->hidden()) {
        const dot element = changes_->element_at(d);
        if (!stable.contains(d) || changes_->set_at(d)) continue;
        if (changes_->value(element, elements_).where == d) continue; // its value is to be read
        if (stable.contains(changes_->places(element, elements_).front())) out.push_back(d);
    }
    return out;
}

template <class T> void rga_list<T>::tidy(transaction& tx, const version_vector& stable, kills& out) {
    if (!changes_) return;
    begin_edit(tx);
    remove(tx, superfluous(stable), {}, out);
    end_edit();
}

// Elements go behind the same one, or behind what is left of those before it. What was set or moved is set or moved
// again, if it is still there.
template <class T>
void rga_list<T>::reissue(const rga_list& before, const causal_context& unsent, const removal_log&, transaction& tx) {
    struct arrival {
        T value;
        std::optional<list_move> moved;
    };
    std::vector<std::pair<std::size_t, std::vector<arrival>>> arrivals; // in the order in which they stood
    std::vector<std::pair<dot, T>> sets;
    std::size_t behind = 0; // in the order
    for (std::size_t i = 0; i < before.size(); ++i) {
        const dot at = before.place(i), element = before.element_at(at);
        const auto last = before.changes_ && before.changes_->changed(element)
                              ? before.changes_->value(element, before.elements_)
                              : typename changes::written_value{{}, {}, at, &before.elements_.at(at)};
        if (!unsent.contains(at)) {
            if (const auto now = order_.position({at, text_bias::left})) behind = *now;
            if (unsent.contains(last.where)) sets.emplace_back(element, *last.value);
            continue;
        }
        if (arrivals.empty() || arrivals.back().first != behind) arrivals.push_back({behind, {}});
        arrival next{*last.value, std::nullopt};
        if (!unsent.contains(element)) next.moved = list_move{element, before.changes_->placed(at), last.written};
        arrivals.back().second.push_back(std::move(next));
    }
    std::stable_sort(arrivals.begin(), arrivals.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
    begin_edit(tx);
    for (auto at = arrivals.rbegin(); at != arrivals.rend(); ++at) // so that positions before it stay what they are
        for (auto next = at->second.begin(); next != at->second.end(); ++next)
            put(tx, at->first + static_cast<std::size_t>(next - at->second.begin()), std::move(next->value),
                next->moved ? &*next->moved : nullptr);
    end_edit();
    for (auto& [element, value] : sets)
        if (const auto pos = position({element, text_bias::right});
            pos && *pos < size() && element_at(place(*pos)) == element)
            set(tx, *pos, std::move(value));
}

} // namespace joinery
