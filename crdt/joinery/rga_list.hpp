// SPDX-License-Identifier: Apache-2.0
#pragma once

// A list that several replicas edit at once: its elements are ordered as the characters of a text are (rga_text.hpp),
// and everything said there of the order, tombstones and pruning holds here too.
//
//     joinery::replica<joinery::rga_list<std::string>> eu{joinery::replica_id::random()};
//     us.join(eu.edit([](auto& list, auto& tx) { list.push_back(tx, "milk"); }));
//     eu.edit([](auto& list, auto& tx) { list.set(tx, 0, "oat milk"); });
//     us.edit([](auto& list, auto& tx) { list.move(tx, 0, 2); });         // oat milk is then at 2
//
// Of concurrent sets of one element the last wins, and of concurrent moves the last place: causality decides first,
// then the hybrid clock, then replica and dot. An element is never twice in the list. A move and a set of one element
// both take effect. An erase takes what it has seen: an element that is moved concurrently is then where it was moved
// to, and one that is set concurrently stays where it is. One that several replicas erase is erased once.
//
// How: the order is that of a text of placeholders. A move inserts another placeholder, which takes the value along,
// and kills those of its element that it has seen; a set is kept by its dot, and keeps alive the placeholder that the
// element stood at. An element is there if any of its placeholders lives, once, at the one that was moved last; so the
// list is a function of the events seen. Source: Kleppmann, "Moving elements in list CRDTs" (PaPoC 2020), where each
// element has a register of its place.

#include <joinery/changes.hpp>
#include <joinery/digest.hpp>
#include <joinery/list_changes.hpp>
#include <joinery/list_fragment.hpp>
#include <joinery/rga_text.hpp>
#include <joinery/siblings.hpp>
#include <joinery/type_name.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <set>
#include <span>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace joinery {

/// One step of a change: passes over `retain` elements, then erases `erase` of them and puts `insert` there. An element
/// that is moved, or set, is erased and inserted.
template <class T> struct list_step {
    std::size_t retain = 0;
    std::size_t erase = 0;
    std::vector<T> insert;

    friend bool operator==(const list_step&, const list_step&) = default;
    friend std::string to_string(const list_step& s) {
        std::string out = "retain " + std::to_string(s.retain);
        if (s.erase > 0) out += ", erase " + std::to_string(s.erase);
        if (s.insert.empty()) return out;
        out += ", insert ";
        detail::show_any(out, s.insert);
        return out;
    }
};

/// Positions are elements. Errors, before anything is changed: std::out_of_range if a position or range is not within
/// the list. Everything takes O(log n) for each element that it touches, n the number of runs of elements that were
/// inserted one after the other, unless it says otherwise; changes take as much again for each element that was moved
/// concurrently, until one who has seen that moves or erases it, or tidies up (replica<T>::tidy). An element that was
/// set takes some 300 bytes more and keeps its first value, one that was moved some 200 bytes.
template <class T> class rga_list {
public:
    using value_type = T;
    using fragment = list_fragment<T>;

    // ---- editing ----

    /// Inserts before position `pos`.
    void insert(transaction& tx, std::size_t pos, T element) { insert(tx, pos, std::vector<T>{std::move(element)}); }
    void insert(transaction& tx, std::size_t pos, std::vector<T> elements);
    void push_back(transaction& tx, T element) { insert(tx, size(), std::move(element)); }
    /// Puts another value in the place of the one at `pos`.
    void set(transaction& tx, std::size_t pos, T value);
    /// Takes the element at `from` to another place: it is then at position `to`, which is within the list now. Does
    /// nothing if it is there.
    void move(transaction& tx, std::size_t from, std::size_t to);
    /// Erases `n` elements from position `pos` on.
    void erase(transaction& tx, std::size_t pos, std::size_t n = 1);

    // ---- reading ----

    std::size_t size() const { return order_.size() - (changes_ ? changes_->hidden_in_order() : 0); }
    bool empty() const { return size() == 0; }
    /// std::out_of_range if there is none.
    const T& at(std::size_t pos) const { return value(place(pos)); }
    const T& operator[](std::size_t pos) const { return at(pos); }
    /// All, in order. O(n log n).
    std::vector<T> values() const {
        std::vector<T> out;
        out.reserve(size());
        for (std::size_t i = 0; i < size(); ++i) out.push_back(at(i));
        return out;
    }
    /// All values that the element was concurrently set to, the winner first, then by decreasing timestamp. More than
    /// one: a conflict that the clock decided and that the next set, or move, resolves.
    std::vector<T> siblings(std::size_t pos) const;

    /// Places that stay with their elements, wherever those are moved; with one that was erased, where it was inserted.
    text_anchor anchor(std::size_t pos, text_bias bias = text_bias::left) const;
    std::optional<std::size_t> position(const text_anchor& a) const;

    /// What stands where, for `steps_since`: which place of which element, and which write of its value. O(n log n).
    using mark = std::pair<dot, dot>;
    std::vector<mark> marks() const {
        std::vector<mark> out;
        out.reserve(size());
        for (std::size_t i = 0; i < size(); ++i) {
            const dot at = place(i), element = element_at(at);
            const bool was_changed = changes_ && changes_->changed(element);
            out.emplace_back(at, was_changed ? changes_->value(element, elements_).where : at);
        }
        return out;
    }
    /// How the list has changed since it had these marks. O(n log n).
    std::vector<list_step<T>> steps_since(const std::vector<mark>& before) const;

    /// Equal elements with equal dots. O(n log n).
    friend bool operator==(const rga_list& a, const rga_list& b) {
        if (a.changed() != b.changed() || (a.changed() && !(*a.changes_ == *b.changes_))) return false;
        return a.order_ == b.order_ && a.elements_ == b.elements_;
    }

    // ---- the interface between types and replicas: crdt.hpp ----

    void extract(const causal_context& wanted, fragment& out) const;
    void extract_rest(fragment& out) const { order_.extract_rest(out.order); }
    void join(const fragment& f, join_scope& s);
    void kill(const dot_range& dots, join_scope& s);
    void clear(transaction& tx, kills& out);
    void prune(const version_vector& stable, std::span<const dot_range> settled, dot_sink* sink) {
        if (!doomed_) return order_.prune(stable, settled, sink);
        for (const auto& r : settled) doomed_->remove(r);
        order_.prune(stable, settled, sink, *doomed_);
    }
    static void keep_live(fragment& f) { rga_text::keep_live(f.order); }
    void known_removed(const causal_context& dots, causal_context& out) const { order_.known_removed(dots, out); }
    static void drop_reissued(fragment& f, const causal_context& unsent) {
        rga_text::drop_reissued(f.order, unsent);
        f.elements.clear();
        f.moves = {};
        f.sets = {};
    }
    void reissue(const rga_list& before, const causal_context& unsent, const removal_log& log, transaction& tx);
    bool untidy(const version_vector& stable) const { return changes_ && !superfluous(stable).empty(); }
    /// Drops places that nobody can bring to show any more.
    void tidy(transaction& tx, const version_vector& stable, kills& out);
    bool vacant() const { return order_.vacant() && !changed(); }
    std::uint64_t digest(const causal_context& all) const;
    static std::string type_name() { return type_name_list<T>("rga_list"); }

private:
    using changes = detail::list_changes<T>;

    rga_text order_;
    detail::list_elements<T> elements_; // of all that live, those that wait for their place too
    detail::seldom<changes> changes_;
    // Places that a record in the log kills: only that says when nobody rests on them any more.
    detail::seldom<causal_context> doomed_;

    bool changed() const { return changes_ && !changes_->empty(); }

    // The place that shows at `pos`, and the position in the order where something goes that is to be there.
    dot place(std::size_t pos) const {
        const dot d = order_.anchor(changes_ ? in_order(pos) : pos, text_bias::right).character;
        if (d.seq == 0) throw std::out_of_range("rga_list: no such element");
        return d;
    }
    std::size_t in_order(std::size_t pos) const { return pos < size() ? changes_->in_order(pos) : order_.size(); }
    std::size_t gap(std::size_t pos) const { return !changes_ || pos == 0 ? pos : in_order(pos - 1) + 1; }
    dot element_at(dot place) const { return changes_ ? changes_->element_at(place) : place; }
    const T& value(dot place) const {
        const dot element = element_at(place);
        return changes_ && changes_->changed(element) ? *changes_->value(element, elements_).value
                                                      : elements_.at(place);
    }

    // Those of these dots that are places, alive or not; and those that live.
    causal_context present(const causal_context& dots, bool dead = true) const {
        text_fragment here;
        order_.extract(dots, here);
        causal_context out;
        for (const auto& r : here.runs)
            if (dead || !r.deleted) out.add({r.first.replica, r.first.seq, r.first.seq + r.count - 1});
        return out;
    }
    causal_context living(const causal_context& dots) const { return present(dots, false); }
    /// What an edit takes out of the list, to be put back if it is undone.
    struct taken {
        std::vector<typename detail::list_elements<T>::node_type> elements;
        std::vector<std::pair<dot, list_move>> moves;
        std::vector<std::pair<dot, list_set<T>>> sets;
        std::vector<dot> kept;
    };
    void begin_edit(transaction& tx);
    void end_edit();
    void take_out(transaction& tx, const causal_context& places, const std::vector<dot>& sets = {});
    void remove(transaction& tx, const std::vector<dot>& places, const std::vector<dot>& sets, kills& out,
                dot but = {});
    void doom(transaction& tx, const causal_context& places);
    dot put(transaction& tx, std::size_t gap, T value, const list_move* m);
    // Of these dots, the places that the order has no longer alive go.
    void drop_dead(const causal_context& dots);
    void join_sets(const fragment& f, join_scope& s);
    void drop_sets(const dot_range& dots, join_scope& s, const fragment* but = nullptr);
    template <class Change> void count_siblings(dot element, join_scope& s, Change&& change) const;
    std::vector<dot> superfluous(const version_vector& stable) const;
};

// ---- implementation; the rest is in rga_list_join.hpp ----

// ---- editing ----

// First, so that it is done last if the edit is undone.
template <class T> void rga_list<T>::begin_edit(transaction& tx) {
    if (changes_) tx.on_rollback([this] { changes_->refresh(order_, elements_); });
}
template <class T> void rga_list<T>::end_edit() {
    if (changes_) changes_->refresh(order_, elements_);
}

// Takes out what is known of these places, which no longer live, and these sets.
template <class T>
void rga_list<T>::take_out(transaction& tx, const causal_context& places, const std::vector<dot>& sets) {
    taken gone;
    places.for_each([&](const dot_range& r) {
        for (std::uint64_t seq = r.first; seq <= r.last; ++seq) {
            const dot d{r.replica, seq};
            if (auto node = elements_.extract(d)) gone.elements.push_back(std::move(node));
            if (!changes_) continue;
            if (const auto m = changes_->moves().find(d); m != changes_->moves().end()) gone.moves.push_back(*m);
            if (changes_->let_go(d)) gone.kept.push_back(d);
            changes_->drop_place(d);
            changes_->touch(d);
        }
    });
    for (const dot d : sets) {
        gone.sets.emplace_back(d, changes_->sets().at(d));
        changes_->drop_set(d);
        tx.dropped(this, d);
    }
    tx.on_rollback([this, gone = std::move(gone)]() mutable {
        for (auto& node : gone.elements) {
            if (changes_) changes_->touch(node.key());
            elements_.insert(std::move(node));
        }
        for (auto& [d, m] : gone.moves) changes_->add(d, std::move(m));
        for (auto& [d, s] : gone.sets) changes_->add(d, std::move(s));
        for (const dot d : gone.kept) changes_->keep(d);
    });
}

// Kills them by a record. What kills a set must name the place that it kept: that may have been deleted long ago.
template <class T>
void rga_list<T>::remove(transaction& tx, const std::vector<dot>& places, const std::vector<dot>& sets, kills& out,
                         dot but) {
    causal_context dots;
    for (const dot d : places) dots.add(d);
    for (const dot d : sets) {
        if (const dot was = changes_->sets().at(d).place; was != but) dots.add(was); // also one that is still to come
        out.add(d);
    }
    dots.for_each([&](const dot_range& r) { out.add(r); });
    kills here;
    if (!dots.empty()) order_.clear(tx, dots, here);
    doom(tx, dots);
    take_out(tx, dots, sets);
}

template <class T> void rga_list<T>::doom(transaction& tx, const causal_context& places) {
    if (places.empty()) return;
    const causal_context fresh = places.minus(doomed_.make());
    doomed_->join(fresh);
    tx.on_rollback([this, fresh] { doomed_->subtract(fresh); });
}

// A place for an element, before position `gap` of the order.
template <class T> dot rga_list<T>::put(transaction& tx, std::size_t gap, T value, const list_move* m) {
    order_.insert(tx, gap, "x");
    const dot d{tx.replica(), tx.upcoming() - 1};
    tx.on_rollback([this, d] {
        if (changes_) changes_->drop_place(d);
        elements_.erase(d);
    });
    elements_.emplace(d, std::move(value));
    if (m) changes_.make().add(d, *m);
    return d;
}

template <class T> void rga_list<T>::insert(transaction& tx, std::size_t pos, std::vector<T> elements) {
    if (pos > size()) throw std::out_of_range("rga_list: position beyond the end");
    if (elements.empty()) return;
    begin_edit(tx);
    const dot first{tx.replica(), tx.upcoming()};
    const std::uint64_t n = elements.size();
    order_.insert(tx, gap(pos), std::string(elements.size(), 'x'));
    tx.on_rollback([this, first, n] {
        for (std::uint64_t i = 0; i < n; ++i) elements_.erase(dot{first.replica, first.seq + i});
    });
    for (std::uint64_t i = 0; i < n; ++i)
        elements_.emplace(dot{first.replica, first.seq + i}, std::move(elements[static_cast<std::size_t>(i)]));
    end_edit();
}

template <class T> void rga_list<T>::erase(transaction& tx, std::size_t pos, std::size_t n) {
    if (pos > size() || n > size() - pos) throw std::out_of_range("rga_list: range beyond the end");
    if (n == 0) return;
    begin_edit(tx);
    causal_context shown;
    std::vector<dot> others, sets;
    for (std::size_t i = pos; i < pos + n; ++i) {
        const dot at = place(i), element = element_at(at);
        shown.add(at);
        if (!changes_ || !changes_->changed(element)) continue;
        for (const dot d : changes_->places(element, elements_))
            if (d != at) others.push_back(d);
        const auto all = changes_->sets_of(element);
        tx.superseded(all.size());
        sets.insert(sets.end(), all.begin(), all.end());
    }
    if (!changes_ || changes_->hidden_in_order() == 0)
        order_.erase(tx, pos, n);
    else
        for (std::size_t i = pos + n; i > pos; --i) order_.erase(tx, in_order(i - 1), 1);
    const dot event{tx.replica(), tx.upcoming() - 1}; // the last deletion's
    take_out(tx, shown);
    if (!others.empty() || !sets.empty()) {
        kills seen;
        remove(tx, others, sets, seen);
        tx.record(event, std::move(seen));
    }
    end_edit();
}

// Places keep their order, so what is there before and after stands in one order.
template <class T> std::vector<list_step<T>> rga_list<T>::steps_since(const std::vector<mark>& before) const {
    const auto after = marks();
    const std::set<mark> old(before.begin(), before.end()), now(after.begin(), after.end());
    std::vector<list_step<T>> out;
    list_step<T> step;
    const auto end_step = [&] {
        if (step.erase > 0 || !step.insert.empty()) out.push_back(std::exchange(step, {}));
    };
    for (std::size_t i = 0, j = 0; i < before.size() || j < after.size();) {
        if (i < before.size() && !now.contains(before[i])) {
            ++step.erase, ++i;
        } else if (j < after.size() && !old.contains(after[j])) {
            step.insert.push_back(at(j++));
        } else {
            end_step();
            ++step.retain, ++i, ++j;
        }
    }
    end_step();
    return out;
}

template <class T> void rga_list<T>::set(transaction& tx, std::size_t pos, T value) {
    if (pos >= size()) throw std::out_of_range("rga_list: no such element");
    begin_edit(tx);
    auto& all = changes_.make();
    const dot at = place(pos), element = all.element_at(at);
    const auto seen = all.sets_of(element);
    const timestamp written = detail::after(all.value(element, elements_).written, tx.now());
    const dot d = tx.next();
    all.add(d, {at, all.placed(at), element, written, std::move(value)});
    tx.on_rollback([this, d] { changes_->drop_set(d); });
    tx.entered(this, d);
    std::vector<dot> let_go; // hidden places that those kept
    const auto places = all.places(element, elements_);
    for (const dot old : seen)
        if (const dot was = all.sets().at(old).place;
            was != at && std::find(places.begin(), places.end(), was) != places.end())
            let_go.push_back(was);
    kills superseded;
    tx.superseded(seen.size());
    remove(tx, let_go, seen, superseded, at);
    tx.record(d, std::move(superseded));
    end_edit();
}

template <class T> void rga_list<T>::move(transaction& tx, std::size_t from, std::size_t to) {
    if (from >= size() || to >= size()) throw std::out_of_range("rga_list: no such element");
    if (from == to) return;
    begin_edit(tx);
    auto& all = changes_.make();
    const dot element = all.element_at(place(from));
    const auto places = all.places(element, elements_);
    const auto sets = all.sets_of(element);
    const auto last = all.value(element, elements_);
    const list_move m{element, detail::after(all.placed(places.front()), tx.now()), last.written};
    const dot d = put(tx, gap(to > from ? to + 1 : to), T(*last.value), &m);
    kills seen;
    tx.superseded(sets.size());
    remove(tx, places, sets, seen);
    tx.record(d, std::move(seen));
    end_edit();
}

// ---- reading ----

template <class T> std::vector<T> rga_list<T>::siblings(std::size_t pos) const {
    const dot at = place(pos), element = element_at(at);
    if (!changes_ || !changes_->changed(element)) return {elements_.at(at)};
    const auto last = changes_->value(element, elements_);
    std::vector<std::pair<std::pair<timestamp, dot>, const T*>> others;
    for (const dot d : changes_->sets_of(element)) {
        const auto& s = changes_->sets().at(d);
        if (d != last.where) others.push_back({{s.written, d}, &s.value});
    }
    std::sort(others.begin(), others.end(), [](const auto& a, const auto& b) { return b.first < a.first; });
    std::vector<T> out{*last.value};
    for (const auto& [when, value] : others) out.push_back(*value);
    return out;
}

template <class T> text_anchor rga_list<T>::anchor(std::size_t pos, text_bias bias) const {
    if (!changes_) return order_.anchor(pos, bias);
    if (pos > size()) throw std::out_of_range("rga_list: position beyond the end");
    const bool left = bias == text_bias::left;
    if (pos == (left ? 0 : size())) return {{}, bias};
    return {element_at(place(left ? pos - 1 : pos)), bias};
}

template <class T> std::optional<std::size_t> rga_list<T>::position(const text_anchor& a) const {
    if (!changes_) return order_.position(a);
    if (a.character.seq == 0) return a.bias == text_bias::left ? 0 : size();
    text_anchor now = a;
    if (const auto places = changes_->places(a.character, elements_); !places.empty()) now.character = places.front();
    const auto at = order_.position(now);
    return at ? std::optional(changes_->shown(*at)) : std::nullopt;
}

} // namespace joinery

#include <joinery/rga_list_join.hpp>
