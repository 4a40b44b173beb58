// SPDX-License-Identifier: Apache-2.0
#pragma once

// An observed-remove set: a remove takes away the adds that it has seen, so an element that is added and
// removed concurrently stays (add wins). Every add has its own dot; an element is in the set if and only
// if one of its adds lives. A new add supersedes the adds that it has seen, so an element has one dot
// unless it was added concurrently. No tombstones: the causal context says what has been seen.
// Source: Bieniusa, Zawirski et al., "An Optimized Conflict-free Replicated Set" (2012).

#include <joinery/changes.hpp>
#include <joinery/dot_entries.hpp>
#include <joinery/dot_index.hpp>
#include <joinery/hash.hpp>
#include <joinery/join_scope.hpp>
#include <joinery/replica.hpp>
#include <joinery/transaction.hpp>

#include <algorithm>
#include <iterator>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

namespace joinery {

namespace detail {

/// A sorted set of dots, in pages of up to 256, so that no change moves many; 16 bytes a dot.
class dot_set {
public:
    bool empty() const { return pages_.empty(); }
    dot front() const { return pages_.front().front(); }
    void insert(dot d) {
        if (pages_.empty()) pages_.emplace_back();
        auto page = page_of(d);
        if (page->size() == most) {
            // Dots mostly come in order, so what comes last begins a new page and leaves this one full.
            auto half = page->back() < d ? page->end() : page->begin() + most / 2;
            std::vector<dot> upper(half, page->end());
            page->erase(half, page->end());
            page = pages_.insert(std::next(page), std::move(upper));
            if (!page->empty() && d < page->front()) --page;
        }
        if (page->size() == page->capacity()) page->reserve(std::min(most, page->size() + page->size() / 4 + 1));
        auto at = std::lower_bound(page->begin(), page->end(), d);
        if (at != page->end() && *at == d) return;
        page->insert(at, d);
    }
    /// Requires: `d` is there.
    void erase(dot d) {
        auto page = page_of(d);
        page->erase(std::lower_bound(page->begin(), page->end(), d));
        if (page->empty()) pages_.erase(page);
    }
    template <class F> void for_each(F&& f) const {
        for (const auto& page : pages_)
            for (dot d : page) f(d);
    }

private:
    static constexpr std::size_t most = 256;
    std::vector<std::vector<dot>> pages_; // none is empty

    std::vector<std::vector<dot>>::iterator page_of(dot d) {
        auto behind = std::upper_bound(pages_.begin(), pages_.end(), d,
                                       [](dot x, const auto& page) { return !page.empty() && x < page.front(); });
        return behind == pages_.begin() ? behind : std::prev(behind);
    }
};

/// Values by number, in pages of up to 64: growing moves no more than one page.
template <class T> class paged {
public:
    std::size_t size() const { return pages_.empty() ? 0 : (pages_.size() - 1) * page + pages_.back().size(); }
    T& operator[](std::size_t i) { return pages_[i / page][i % page]; }
    const T& operator[](std::size_t i) const { return pages_[i / page][i % page]; }
    void push_back(T x) {
        if (pages_.empty() || pages_.back().size() == page) {
            pages_.emplace_back();
            if (pages_.size() > 1) pages_.back().reserve(page);
        }
        pages_.back().push_back(std::move(x));
    }
    std::size_t memory() const {
        std::size_t values = pages_.empty() ? 0 : (pages_.size() - 1) * page + pages_.back().capacity();
        return pages_.capacity() * sizeof(pages_[0]) + values * sizeof(T);
    }

private:
    static constexpr std::size_t page = 64;
    std::vector<std::vector<T>> pages_; // all but the last are full
};

} // namespace detail

/// Elements are any encodable values with ==. Look-ups are O(1), changes O(log n) by dot.
template <class E> class or_set {
public:
    using fragment = dot_entries<E>;
    class iterator;
    using const_iterator = iterator;
    using value_type = E;

    or_set() = default;
    or_set(or_set&&) noexcept = default;
    or_set& operator=(or_set&&) noexcept = default;
    or_set(const or_set& other);
    or_set& operator=(const or_set& other) { return *this = or_set(other); }

    void add(transaction& tx, E e);
    /// Does nothing if the element is not there.
    void remove(transaction& tx, const E& e);

    bool contains(const E& e) const { return find(e) != detail::slot_table::none; }
    std::size_t size() const { return table_.size(); }
    bool empty() const { return size() == 0; }
    /// In no particular order; invalidated by every change.
    iterator begin() const { return {&nodes_, 0}; }
    iterator end() const { return {&nodes_, nodes_.size()}; }

    // The CRDT interface (crdt.hpp).
    void extract(const causal_context& wanted, fragment& out) const;
    void save_whole(const causal_context& seen, compact_output_archive& ar) const;
    void join(const fragment& f, join_scope& s);
    void kill(const dot_range& dots, join_scope& s);
    void clear(transaction& tx, kills& out);
    bool vacant() const { return empty(); }
    static std::string type_name() { return type_name_list<E>("or_set"); }

    /// Equal elements with equal dots. O(n).
    friend bool operator==(const or_set& a, const or_set& b) { return a.equals(b); }

    /// Bytes in use, estimated; what the elements themselves allocate is left out.
    std::size_t memory() const {
        return nodes_.memory() + free_.capacity() * sizeof(slot) + table_.memory() + dots_.memory();
    }

private:
    using slot = std::uint32_t;
    struct node {
        E element{};
        dot first;                             // sequence 0: the node is free
        std::unique_ptr<detail::dot_set> more; // further dots, after concurrent adds
    };
    detail::paged<node> nodes_;
    std::vector<slot> free_;
    detail::slot_table table_; // by element
    dot_index dots_;           // every live dot to its node

    slot find(const E& e) const { return find(e, detail::hash_of(e)); }
    slot find(const E& e, std::uint32_t hash) const {
        return table_.find(hash, [&](slot i) { return nodes_[i].element == e; });
    }
    template <class F> static void for_each_dot(const node& n, F&& f) {
        f(n.first);
        if (n.more) n.more->for_each(f);
    }
    void put(dot d, E e);
    /// An element that is not there.
    void put_first(dot d, E e, std::uint32_t hash);
    void put_beside(dot d, slot i);
    /// Takes a dot out; with its last dot the element goes and is returned.
    std::optional<E> take(dot d);
    std::optional<E> take(dot d, slot i); // of this node
    /// What was freed goes once it is most of what there is. Slots change. Amortised O(1) a removal.
    void trim();
    bool equals(const or_set& other) const;

    // Before this join, and so concurrently with the event whose kills it survives.
    bool was_there(slot i, const join_scope& s) const {
        bool seen = false;
        for_each_dot(nodes_[i], [&](dot d) { seen = seen || s.seen.contains(d); });
        return seen;
    }
    static void note(join_scope& s, const E& e, bool before, bool after, conflict_choice how = conflict_choice::none) {
        if (!s.changes) return;
        const path_step step = step_to_key(s.path, e);
        s.changes->note(&step, shown_value(before), shown_value(after), how);
    }
};

template <class E> class or_set<E>::iterator {
public:
    using iterator_category = std::forward_iterator_tag;
    using value_type = E;
    using difference_type = std::ptrdiff_t;
    using pointer = const E*;
    using reference = const E&;

    iterator() = default;
    reference operator*() const { return (*nodes_)[i_].element; }
    pointer operator->() const { return &**this; }
    iterator& operator++() {
        ++i_;
        skip();
        return *this;
    }
    iterator operator++(int) {
        iterator before = *this;
        ++*this;
        return before;
    }
    friend bool operator==(const iterator&, const iterator&) = default;

private:
    friend class or_set;
    iterator(const detail::paged<node>* nodes, std::size_t i) : nodes_(nodes), i_(i) { skip(); }
    void skip() {
        while (i_ < nodes_->size() && (*nodes_)[i_].first.seq == 0) ++i_;
    }
    const detail::paged<node>* nodes_ = nullptr;
    std::size_t i_ = 0;
};

// ---- implementation ----

template <class E>
or_set<E>::or_set(const or_set& other) : free_(other.free_), table_(other.table_), dots_(other.dots_) {
    for (std::size_t i = 0; i < other.nodes_.size(); ++i) {
        const node& n = other.nodes_[i];
        nodes_.push_back({n.element, n.first, n.more ? std::make_unique<detail::dot_set>(*n.more) : nullptr});
    }
}

template <class E> void or_set<E>::put(dot d, E e) {
    const std::uint32_t hash = detail::hash_of(e);
    const slot i = find(e, hash);
    if (i == detail::slot_table::none)
        put_first(d, std::move(e), hash);
    else
        put_beside(d, i);
}

template <class E> void or_set<E>::put_first(dot d, E e, std::uint32_t hash) {
    slot i = 0;
    if (free_.empty()) {
        i = static_cast<slot>(nodes_.size());
        nodes_.push_back({std::move(e), d, nullptr});
    } else {
        i = free_.back();
        free_.pop_back();
        nodes_[i].element = std::move(e);
        nodes_[i].first = d;
    }
    table_.insert(hash, i);
    dots_.assign(d, i);
}

template <class E> void or_set<E>::put_beside(dot d, slot i) {
    auto& n = nodes_[i];
    if (!n.more) n.more = std::make_unique<detail::dot_set>();
    n.more->insert(d);
    dots_.assign(d, i);
}

template <class E> std::optional<E> or_set<E>::take(dot d) {
    auto i = dots_.find(d);
    if (!i) return std::nullopt;
    return take(d, *i);
}

template <class E> std::optional<E> or_set<E>::take(dot d, slot i) {
    auto& n = nodes_[i];
    dots_.erase(d);
    if (n.more) {
        if (n.first == d) {
            n.first = n.more->front();
            n.more->erase(n.first);
        } else {
            n.more->erase(d);
        }
        if (n.more->empty()) n.more.reset();
        return std::nullopt;
    }
    table_.erase(detail::hash_of(n.element), i);
    n.first = {};
    free_.push_back(i);
    return std::exchange(n.element, E{});
}

template <class E> void or_set<E>::add(transaction& tx, E e) {
    dot d = tx.next();
    const std::uint32_t hash = detail::hash_of(e);
    slot i = find(e, hash);
    if (i == detail::slot_table::none) {
        put_first(d, std::move(e), hash);
        tx.on_rollback([this, d] { take(d); });
    } else {
        kills seen;
        for_each_dot(nodes_[i], [&](dot old) { seen.add(old); });
        put_beside(d, i);
        tx.on_rollback([this, d] { take(d); });
        for (const auto& r : seen.dots) {
            dot old{r.replica, r.first};
            take(old);
            tx.on_rollback([this, old, d] { put_beside(old, *dots_.find(d)); });
            tx.dropped(this, old);
        }
        tx.record(d, std::move(seen));
    }
    tx.entered(this, d);
}

template <class E> void or_set<E>::remove(transaction& tx, const E& e) {
    slot i = find(e);
    if (i == detail::slot_table::none) return;
    kills seen;
    for_each_dot(nodes_[i], [&](dot d) { seen.add(d); });
    // `e` may be the element inside the node, as when iterating: it is not used any more.
    std::optional<E> element;
    for (const auto& r : seen.dots) {
        element = take({r.replica, r.first});
        tx.dropped(this, r);
    }
    tx.on_rollback([this, element = std::move(*element), dots = seen.dots] {
        for (const auto& r : dots) put({r.replica, r.first}, element);
    });
    tx.record(tx.next(), std::move(seen));
    trim();
}

template <class E> void or_set<E>::trim() {
    if (free_.size() < 256 || free_.size() / 4 < size()) return;
    or_set kept;
    for (std::size_t i = 0; i < nodes_.size(); ++i) {
        const node& n = nodes_[i];
        if (n.first.seq == 0) continue;
        const auto k = static_cast<slot>(kept.nodes_.size());
        kept.nodes_.push_back({n.element, n.first, n.more ? std::make_unique<detail::dot_set>(*n.more) : nullptr});
        kept.table_.insert(detail::hash_of(n.element), k);
        for_each_dot(n, [&](dot d) { kept.dots_.assign(d, k); });
    }
    *this = std::move(kept);
}

template <class E> void or_set<E>::extract(const causal_context& wanted, fragment& out) const {
    out.reserve(out.size() + static_cast<std::size_t>(std::min<std::uint64_t>(wanted.count(), size())));
    wanted.for_each([&](const dot_range& r) {
        dots_.visit(r, [&](const dot_range& part, slot i) {
            for (std::uint64_t seq = part.first; seq <= part.last; ++seq)
                out.push_back({part.replica, seq}, nodes_[i].element);
        });
    });
}

template <class E> void or_set<E>::save_whole(const causal_context&, compact_output_archive& ar) const {
    detail::write_entries(
        ar, [&](auto&& f) { dots_.for_each([&](const dot_range& dots, slot i) { f(dots, nodes_[i].element); }); });
}

template <class E> void or_set<E>::join(const fragment& f, join_scope& s) {
    if (s.overlapping) {
        std::vector<dot> gone;
        s.covered.for_each([&](const dot_range& r) {
            dots_.visit(r, [&](const dot_range& part, slot) {
                for (std::uint64_t seq = part.first; seq <= part.last; ++seq)
                    if (!f.contains({part.replica, seq})) gone.push_back({part.replica, seq});
            });
        });
        for (dot d : gone) {
            if (const auto e = take(d)) note(s, *e, true, false);
            s.dropped(d);
        }
    }
    for (const auto& e : f) {
        if (!s.enters(e.where) || dots_.find(e.where)) continue; // hostile bytes may bring a dot twice
        const bool before = s.changes && contains(e.value);
        put(e.where, e.value);
        note(s, e.value, before, true);
        s.entered(e.where);
    }
    trim();
}

template <class E> void or_set<E>::kill(const dot_range& dots, join_scope& s) {
    std::vector<std::pair<dot_range, slot>> gone;
    dots_.visit(dots, [&](const dot_range& part, slot i) { gone.emplace_back(part, i); });
    for (const auto& [part, i] : gone) {
        std::optional<E> element;
        for (std::uint64_t seq = part.first; seq <= part.last; ++seq) element = take({part.replica, seq}, i);
        if (element)
            note(s, *element, true, false);
        else if (s.changes && s.event && dots_.find(*s.event) != i && was_there(i, s))
            note(s, nodes_[i].element, true, true, conflict_choice::unseen_survives);
        s.dropped(part);
    }
    trim();
}

template <class E> void or_set<E>::clear(transaction& tx, kills& out) {
    if (empty()) return;
    for (std::size_t i = 0; i < nodes_.size(); ++i)
        if (nodes_[i].first.seq != 0)
            for_each_dot(nodes_[i], [&](dot d) {
                out.add(d);
                tx.dropped(this, d);
            });
    auto saved = std::make_shared<or_set>(std::move(*this));
    tx.on_rollback([this, saved] { *this = std::move(*saved); });
    *this = or_set();
}

template <class E> bool or_set<E>::equals(const or_set& other) const {
    if (size() != other.size()) return false;
    auto sorted = [](const node& n) {
        std::vector<dot> all;
        for_each_dot(n, [&](dot d) { all.push_back(d); });
        std::sort(all.begin(), all.end());
        return all;
    };
    for (std::size_t k = 0; k < nodes_.size(); ++k) {
        const node& n = nodes_[k];
        if (n.first.seq == 0) continue;
        slot i = other.find(n.element);
        if (i == detail::slot_table::none) return false;
        const auto& o = other.nodes_[i];
        if (!n.more && !o.more ? n.first != o.first : sorted(n) != sorted(o)) return false;
    }
    return true;
}

} // namespace joinery
