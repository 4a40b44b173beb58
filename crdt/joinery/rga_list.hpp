// SPDX-License-Identifier: Apache-2.0
#pragma once

// A list that several replicas edit at once: its elements are ordered as the characters of a text are (rga_text.hpp),
// and everything said there of the order, tombstones and pruning holds here too. An element is never changed, only
// inserted and erased; one that several replicas erase is erased once.
//
//     joinery::replica<joinery::rga_list<std::string>> eu{joinery::replica_id::random()};
//     us.join(eu.edit([](auto& list, auto& tx) { list.push_back(tx, "milk"); }));
//
// The order is that of a text of placeholders; the elements are kept by their dots.

#include <joinery/compact_containers.hpp>
#include <joinery/digest.hpp>
#include <joinery/hash.hpp>
#include <joinery/rga_text.hpp>
#include <joinery/type_name.hpp>

#include <cstddef>
#include <cstdint>
#include <iterator>
#include <optional>
#include <span>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

namespace joinery {

/// What a delta carries of a list.
template <class T> struct list_fragment {
    text_fragment order;     ///< a placeholder for each element that lives
    std::vector<T> elements; ///< those, in the order of the runs

    bool empty() const { return order.empty(); }
    friend bool operator==(const list_fragment&, const list_fragment&) = default;

    template <class Archive> void save(Archive& ar) const {
        if constexpr (is_compact_archive_v<Archive>)
            detail::write_spelled_out(ar, order);
        else
            ar(CEREAL_NVP(order));
        ar(CEREAL_NVP(elements));
    }
    template <class Archive> void load(Archive& ar) {
        if constexpr (is_compact_archive_v<Archive>)
            detail::read_spelled_out(ar, order);
        else
            ar(CEREAL_NVP(order));
        ar(CEREAL_NVP(elements));
        if (elements.size() != order.text.size() || order.text.find_first_not_of('x') != std::string::npos)
            throw decode_failure(decode_error::invalid_value);
    }
};

/// Positions are elements. Errors, before anything is changed: std::out_of_range if a position or range is not within
/// the list. Everything takes O(log n) for each element that it touches, n the number of runs of elements that were
/// inserted one after the other, unless it says otherwise.
template <class T> class rga_list {
public:
    using value_type = T;
    using fragment = list_fragment<T>;

    // ---- editing ----

    /// Inserts before position `pos`.
    void insert(transaction& tx, std::size_t pos, T element) { insert(tx, pos, std::vector<T>{std::move(element)}); }
    void insert(transaction& tx, std::size_t pos, std::vector<T> elements);
    void push_back(transaction& tx, T element) { insert(tx, size(), std::move(element)); }
    /// Erases `n` elements from position `pos` on.
    void erase(transaction& tx, std::size_t pos, std::size_t n = 1);

    // ---- reading ----

    std::size_t size() const { return order_.size(); }
    bool empty() const { return order_.empty(); }
    /// std::out_of_range if there is none.
    const T& at(std::size_t pos) const { return elements_.at(id(pos)); }
    const T& operator[](std::size_t pos) const { return at(pos); }
    /// All, in order. O(n log n).
    std::vector<T> values() const {
        std::vector<T> out;
        out.reserve(size());
        for (std::size_t i = 0; i < size(); ++i) out.push_back(at(i));
        return out;
    }

    /// Places that stay with their elements, as in a text.
    text_anchor anchor(std::size_t pos, text_bias bias = text_bias::left) const { return order_.anchor(pos, bias); }
    std::optional<std::size_t> position(const text_anchor& a) const { return order_.position(a); }

    /// Equal elements with equal dots. O(n log n).
    friend bool operator==(const rga_list& a, const rga_list& b) {
        return a.order_ == b.order_ && a.elements_ == b.elements_;
    }

    // ---- the interface between types and replicas: crdt.hpp ----

    void extract(const causal_context& wanted, fragment& out) const {
        out = {};
        order_.extract(wanted, out.order);
        for_each_live(out.order, [&](dot d) { out.elements.push_back(elements_.at(d)); });
    }
    void extract_rest(fragment& out) const { order_.extract_rest(out.order); }
    void join(const fragment& f, join_scope& s);
    void kill(const dot_range& dots, join_scope& s) {
        order_.kill(dots, s);
        drop_dead({dots});
    }
    void clear(transaction& tx, kills& out) {
        kills mine;
        order_.clear(tx, mine);
        causal_context dots;
        for (const auto& r : mine.dots) dots.add(r);
        take_out(tx, dots);
        for (const auto& r : mine.dots) out.add(r);
    }
    void prune(const version_vector& stable, std::span<const dot_range> settled, dot_sink* sink) {
        order_.prune(stable, settled, sink);
    }
    static void keep_live(fragment& f) { rga_text::keep_live(f.order); }
    void known_removed(const causal_context& dots, causal_context& out) const { order_.known_removed(dots, out); }
    static void drop_reissued(fragment& f, const causal_context& unsent) {
        rga_text::drop_reissued(f.order, unsent);
        f.elements.clear();
    }
    void reissue(const rga_list& before, const causal_context& unsent, const removal_log& log, transaction& tx);
    bool vacant() const { return order_.vacant(); }
    std::uint64_t digest(const causal_context& all) const {
        std::uint64_t sum = order_.digest(all);
        for (std::size_t i = 0; i < size(); ++i) sum = combine(sum, joinery::digest(encode(at(i))));
        return sum;
    }
    static std::string type_name() { return "rga_list<" + joinery::type_name<T>() + ">"; }

private:
    struct hasher {
        std::size_t operator()(dot d) const {
            return static_cast<std::size_t>(detail::mixed_hash(d.replica.value() ^ detail::mixed_hash(d.seq)));
        }
    };
    using elements = std::unordered_map<dot, T, hasher>;

    rga_text order_;
    elements elements_; // of all that live, those that wait for their place too

    dot id(std::size_t pos) const {
        const dot d = order_.anchor(pos, text_bias::right).character;
        if (d.seq == 0) throw std::out_of_range("rga_list: no such element");
        return d;
    }
    template <class F> static void for_each_live(const text_fragment& f, F&& each) {
        for (const auto& r : f.runs)
            for (std::uint64_t i = 0; !r.deleted && i < r.count; ++i) each(dot{r.first.replica, r.first.seq + i});
    }
    causal_context living(const causal_context& dots) const {
        text_fragment here;
        order_.extract(dots, here);
        causal_context out;
        for (const auto& r : here.runs)
            if (!r.deleted) out.add({r.first.replica, r.first.seq, r.first.seq + r.count - 1});
        return out;
    }
    void take_out(transaction& tx, const causal_context& dots) {
        std::vector<typename elements::node_type> gone;
        dots.for_each([&](const dot_range& r) {
            for (std::uint64_t seq = r.first; seq <= r.last; ++seq)
                if (auto node = elements_.extract(dot{r.replica, seq})) gone.push_back(std::move(node));
        });
        tx.on_rollback([this, gone = std::move(gone)]() mutable {
            for (auto& node : gone) elements_.insert(std::move(node));
        });
    }
    // Of these dots, the elements that the order has no longer alive go.
    void drop_dead(const causal_context& dots) {
        const auto alive = living(dots);
        dots.for_each([&](const dot_range& all) {
            for (const auto& r : alive.missing(all)) {
                if (r.size() > elements_.size()) {
                    std::erase_if(elements_, [&](const auto& e) { return r.contains(e.first); });
                    continue;
                }
                for (std::uint64_t seq = r.first; seq <= r.last; ++seq) elements_.erase(dot{r.replica, seq});
            }
        });
    }
};

// ---- implementation ----

template <class T> void rga_list<T>::insert(transaction& tx, std::size_t pos, std::vector<T> elements) {
    if (elements.empty()) {
        if (pos > size()) throw std::out_of_range("rga_list: position beyond the end");
        return;
    }
    order_.insert(tx, pos, std::string(elements.size(), 'x'));
    const dot first = id(pos);
    const std::uint64_t n = elements.size();
    tx.on_rollback([this, first, n] {
        for (std::uint64_t i = 0; i < n; ++i) elements_.erase(dot{first.replica, first.seq + i});
    });
    for (std::uint64_t i = 0; i < n; ++i)
        elements_.emplace(dot{first.replica, first.seq + i}, std::move(elements[static_cast<std::size_t>(i)]));
}

template <class T> void rga_list<T>::erase(transaction& tx, std::size_t pos, std::size_t n) {
    if (pos > size() || n > size() - pos) throw std::out_of_range("rga_list: range beyond the end");
    causal_context dots;
    for (std::size_t i = pos; i < pos + n; ++i) dots.add(id(i));
    order_.erase(tx, pos, n);
    take_out(tx, dots);
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
    const auto alive = living(carried);
    auto element = f.elements.begin();
    for_each_live(f.order, [&](dot d) {
        if (alive.contains(d)) {
            if (s.repairing)
                elements_.insert_or_assign(d, *element);
            else
                elements_.emplace(d, *element);
        }
        ++element;
    });
    drop_dead(touched);
}

// Elements go behind the same one, or behind what is left of those before it.
template <class T>
void rga_list<T>::reissue(const rga_list& before, const causal_context& unsent, const removal_log&, transaction& tx) {
    std::vector<std::pair<std::size_t, std::vector<T>>> insertions; // in the order in which they stood
    std::size_t behind = 0;
    for (std::size_t i = 0; i < before.size(); ++i) {
        const dot d = before.id(i);
        if (!unsent.contains(d)) {
            if (const auto now = position({d, text_bias::left})) behind = *now;
            continue;
        }
        if (insertions.empty() || insertions.back().first != behind) insertions.push_back({behind, {}});
        insertions.back().second.push_back(before.elements_.at(d));
    }
    std::stable_sort(insertions.begin(), insertions.end(),
                     [](const auto& a, const auto& b) { return a.first < b.first; });
    for (auto at = insertions.rbegin(); at != insertions.rend(); ++at) // so that positions before it stay what they are
        insert(tx, at->first, std::move(at->second));
}

} // namespace joinery
