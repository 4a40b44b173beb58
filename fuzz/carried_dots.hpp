// SPDX-License-Identifier: Apache-2.0
#pragma once

// The dots that a fragment carries, with multiplicity: forged ones may stand for two things at once, for which
// no state can do more than stay readable.

#include "document_node.hpp"

#include <joinery/joinery.hpp>

#include <map>
#include <tuple>
#include <vector>

namespace joinery::fuzz {

/// Calls f(dot_range) for everything that a fragment carries.
template <class P, class F> void for_each_carried(const dot_entries<P>& all, F&& f) {
    for (const auto& e : all) f(dot_range(e.where));
}
template <class F> void for_each_carried(const occurrences::fragment& all, F&& f) { all.dots.for_each(f); }
template <class F> void for_each_carried(const counter_runs::fragment& counter, F&& f) {
    for (const auto& r : counter.runs) f(dot_range(r.start.replica, r.start.seq, std::max(r.start.seq, r.last)));
}
template <class F> void for_each_carried(text_fragment text, F&& f) {
    text.spell_out();
    for (const auto& r : text.runs) f(dot_range(r.first.replica, r.first.seq, r.first.seq + r.count - 1));
    for (const auto& d : text.deletions) f(dot_range(d.first.replica, d.first.seq, d.first.seq + d.count - 1));
}
template <class T, class F> void for_each_carried(const list_fragment<T>& list, F&& f) {
    for_each_carried(list.order, f);
    for_each_carried(list.sets, f);
}
template <record T, class F> void for_each_carried(const record_fragment<T>& r, F&& f);
template <class Box, class F>
    requires requires(const Box& b) { b.get(); }
void for_each_carried(const Box& box, F&& f) { // documents, and what is boxed in them
    for_each_carried(box.get(), f);
}
template <class K, crdt V, class F> void for_each_carried(const or_map_fragment<K, V>& map, F&& f) {
    for (const auto& i : map.items) for_each_carried(i.value, f);
}
template <record T, class F> void for_each_carried(const record_fragment<T>& r, F&& f) {
    std::apply([&](const auto&... field) { (for_each_carried(field, f), ...); }, r.fields);
}

/// True if a dot stands for two things.
template <class Fragment> bool ambiguous(const Fragment& fragment) {
    causal_context seen;
    bool twice = false;
    for_each_carried(fragment, [&](const dot_range& r) {
        twice |= seen.intersects(r);
        seen.add(r);
    });
    return twice;
}

/// True if a dot is in two of these, or a removal's, which kills other things in each.
template <class T> bool share_dots(const std::vector<const delta<T>*>& all) {
    causal_context seen;
    bool shared = false;
    for (const delta<T>* d : all) {
        for_each_carried(d->fragment, [&](const dot_range& r) { shared |= seen.intersects(r); });
        for_each_carried(d->fragment, [&](const dot_range& r) { seen.add(r); });
    }
    std::map<dot, kills> removals;
    for (const delta<T>* d : all)
        for (const auto& r : d->removals) shared |= removals.emplace(r.event, r.killed).first->second != r.killed;
    return shared;
}

} // namespace joinery::fuzz
