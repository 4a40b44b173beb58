// SPDX-License-Identifier: Apache-2.0
#pragma once

// Where the characters of a text stand: the order of their lvs (text_log.hpp), live ones and tombstones.
//
// They are kept as spans of eight bytes: consecutive lvs whose dots and Lamport numbers are consecutive too, all live
// or all dead. Spans lie in the leaves of a B+tree whose inner entries sum up the visible text below them.
//
// No parents are stored. A child's key (Lamport, replica, sequence number) exceeds its parent's, and siblings stand in
// descending order of keys. So the parent is the nearest character to the left with a lesser key, and one that arrives
// belongs before the first to the right of its parent whose key is not greater. Both are found in O(log n) from the
// least key of each subtree: two writers who prepend concurrently cost no more than any others. It also says what
// becomes of the children of a character that is erased: they belong to the nearest lesser one that remains.
//
// Editing goes on where it was: a cursor knows the span and its position, and what was typed is told to the entries
// above the leaf only when somebody needs to know. Which leaf an lv is in is found by an index that is made when it is
// first asked for, which mere typing never does.
//
// Invariants:
//   1. spans and leaves are never empty, except that an empty tree has no leaf;
//   2. neighbouring spans of one leaf that could be one are one;
//   3. all leaves are equally deep;
//   4. the sums above each leaf are right, except for the one leaf that is `unsettled_`.
//
// Every operation is O(log n) for one span, n the number of spans, unless it says otherwise. A `place` is valid until
// the next change.

#include "text_index.hpp"
#include "text_log.hpp"
#include "text_pool.hpp"

#include <joinery/short_vector.hpp>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

namespace joinery::detail {

class text_tree {
public:
    enum class unit { points, bytes, utf16, newlines };
    static std::uint64_t size(const text_measure& m, unit u) {
        switch (u) {
        case unit::points: return m.points;
        case unit::bytes: return m.bytes;
        case unit::utf16: return std::uint64_t{m.points} + m.wide;
        case unit::newlines: break;
        }
        return m.newlines;
    }

    struct span {
        lv first;
        std::int32_t length; ///< negative: tombstones
        bool live() const { return length > 0; }
        std::uint32_t count() const { return static_cast<std::uint32_t>(length > 0 ? length : -length); }
        std::uint32_t points() const { return length > 0 ? static_cast<std::uint32_t>(length) : 0; }
        lv behind() const { return first + count(); }
    };
    /// One character: the `offset`-th of a span.
    struct place {
        std::uint32_t leaf;
        std::uint32_t span;
        std::uint32_t offset;
    };
    /// A gap between visible characters, or the end.
    struct position {
        std::uint64_t points = 0;
        std::uint64_t bytes = 0;
        std::uint64_t utf16 = 0;
        std::uint64_t newlines = 0;
        bool exact = true; ///< false: the number asked for lies inside a character, which begins here

        void pass(const text_measure& m) {
            points += m.points;
            bytes += m.bytes;
            utf16 += std::uint64_t{m.points} + m.wide;
            newlines += m.newlines;
        }
    };

    const text_measure& size() const { return total_; }
    bool empty() const { return root_ == none; }

    // ---- by position ----

    /// The last gap before which there are `n` units of visible text. Requires: n <= size.
    position locate(unit u, std::uint64_t n, const text_log& log) const;
    /// The visible character with `n` before it. Requires: there is one.
    place visible(std::uint32_t n) const;
    /// How many visible characters there are before a character.
    std::uint32_t points_before(place p) const;
    span at(place p) const { return leaves_[p.leaf].spans[p.span]; }

    // ---- by lv ----

    /// Makes find() quick from now on. O(n log n), if it was not so already.
    void make_findable();
    /// O(n) unless make_findable() was called. Requires: the character is there.
    place find(lv v) const;
    /// The same for any lv: false if it is of no character that is there. Requires: make_findable() was called.
    bool find_known(lv v, place& found) const;
    /// The parent of a character; text_log::none if it is the start.
    lv parent(place p, const text_log& log) const;
    /// The character that follows, visible or not.
    std::optional<lv> following(place p) const;
    /// Places compare as these do.
    std::pair<std::uint64_t, std::uint64_t> rank(place p) const;

    // ---- editing, by one who inserts what has the greatest key ----

    /// At the start, or behind the visible character that seek() has found last.
    void insert_first(lv first, std::uint32_t n, const text_measure& m, const text_log& log);
    void insert_behind(std::uint32_t offset, lv first, std::uint32_t n, const text_measure& m, const text_log& log);
    /// What comes behind the span that ends at `pos`, if that is where the last one was put; else text_log::none.
    lv follows(std::uint32_t pos) const {
        if (cursor_.leaf == none) return text_log::none;
        const span& s = leaves_[cursor_.leaf].spans[cursor_.span];
        return s.live() && pos == cursor_.start + s.count() ? s.behind() : text_log::none;
    }
    /// Makes that span longer by what follows, and is connected with it.
    void extend(std::uint32_t n, const text_measure& m, const text_log& log) {
        extend(cursor_.leaf, cursor_.span, n, m, log);
    }
    /// True if what was found or put last is in a live span that ends before `v`.
    bool recent_ends_at(lv v) const {
        if (recent_.leaf == none || recent_.span >= leaves_[recent_.leaf].spans.size()) return false;
        const span& s = leaves_[recent_.leaf].spans[recent_.span];
        return s.live() && s.behind() == v;
    }
    void extend_recent(std::uint32_t n, const text_measure& m, const text_log& log) {
        cursor_.leaf = none;
        extend(recent_.leaf, recent_.span, n, m, log);
    }
    /// Moves the cursor to the span that the visible character at `pos` is in, and returns its offset there. (What is
    /// known of a place stays in the cursor: three numbers returned together would pass through memory.)
    std::uint32_t seek(std::uint32_t pos);
    span sought() const { return leaves_[cursor_.leaf].spans[cursor_.span]; }
    /// The same, if it is in the span that seek() has found last.
    std::uint32_t offset_sought(std::uint32_t pos) const { return pos - cursor_.start; }
    /// Makes tombstones of `n` characters of that span.
    void erase_sought(std::uint32_t offset, std::uint32_t n, const text_measure& m, const text_log& log);

    // ---- any changes ----

    /// Characters, each the child of the one before, the first the child of `parent` (the start if none).
    void insert(std::optional<place> parent, lv first, std::uint32_t n, bool live, const text_log& log);
    /// How a tree is made at once, O(n): all characters in order, and what they measure; then `complete`. Nothing else
    /// is asked for in between. Requires: the tree is new.
    void append(lv first, std::uint32_t n, bool live, const text_measure& m, const text_log& log);
    void complete(const text_log& log);
    /// Makes `n` characters of one span, which measure `m`, tombstones, or live.
    void bury(place p, std::uint32_t n, const text_measure& m, const text_log& log);
    void revive(place p, std::uint32_t n, const text_measure& m, const text_log& log);
    /// Makes tombstones of all. O(n).
    void bury_all(const text_log& log);
    /// Takes `n` characters of one span out.
    void erase(place p, std::uint32_t n, const text_log& log);

    /// Calls f(span) for every span in order. O(n).
    template <class F> void for_each(F&& f) const {
        for (std::uint32_t id = first_leaf_; id != none; id = leaves_[id].after)
            for (const span& s : leaves_[id].spans) f(s);
    }
    /// Calls f(span) for those that begin with `from`, cut to begin there, until it returns false.
    template <class F> void for_each_from(place from, F&& f) const {
        for (std::uint32_t id = from.leaf; id != none; id = leaves_[id].after) {
            const leaf& l = leaves_[id];
            for (std::uint32_t i = from.span; i < l.spans.size(); ++i) {
                span s = l.spans[i];
                const auto offset = static_cast<std::int32_t>(from.offset);
                s.first += from.offset;
                s.length -= s.live() ? offset : -offset;
                from.offset = 0;
                if (!f(s)) return;
            }
            from.span = 0;
        }
    }

    /// Tells the entries above what was typed: reading does so, too, so that who is done writing must have done it.
    void settle() const {
        if (unsettled_ != none) settle_now();
    }

    std::size_t memory() const;

private:
    static constexpr std::uint32_t none = UINT32_MAX;
#ifdef JOINERY_TINY_TEXT_NODES // for tests: every split and merge happens soon
    static constexpr std::size_t fan_out = 4;
    static constexpr std::size_t leaf_spans = 4;
#else
    static constexpr std::size_t fan_out = 32;
    static constexpr std::size_t leaf_spans = 62; // two more come before a split
#endif

    struct leaf {
        short_vector<span, 2> spans;
        text_measure sum;
        lv least = 0; // the lv with the least key
        std::uint32_t parent = none;
        std::uint32_t before = none;
        std::uint32_t after = none;
    };
    struct inner {
        std::uint32_t parent = none;
        std::uint32_t count = 0;
        bool over_leaves = true;
        std::uint32_t recent = 0; // the child that was settled last
        std::uint32_t child[fan_out];
        lv least[fan_out];
        text_measure sum[fan_out];
    };
    // Just before a span's character `offset`, or at the end of a leaf (span == spans.size()).
    struct gap {
        std::uint32_t leaf;
        std::uint32_t span;
        std::uint32_t offset;
    };
    struct cursor {
        std::uint32_t leaf = none;
        std::uint32_t span = 0;
        std::uint32_t start = 0;      // visible characters before the span
        std::uint32_t leaf_start = 0; // and before the leaf
    };

    text_pool<leaf> leaves_;
    mutable text_pool<inner> inners_; // settling changes sums
    text_index index_;
    text_measure total_;
    cursor cursor_;
    place recent_{none, 0, 0}; // where something was found or put last
    mutable std::uint32_t unsettled_ = none;
    std::uint32_t root_ = none;
    std::uint32_t first_leaf_ = none;
    std::uint32_t last_leaf_ = none;
    std::uint32_t depth_ = 0; // of inner nodes
    bool findable_ = false;   // the index is kept

    static bool connected(const span& a, const span& b, const text_log& log);
    static text_measure measure(const span& s, const text_log& log) {
        return s.live() ? log.measure(s.first, s.count()) : text_measure{};
    }
    gap behind(place p) const {
        const bool ends = p.offset + 1 == at(p).count();
        return ends ? gap{p.leaf, p.span + 1, 0} : gap{p.leaf, p.span, p.offset + 1};
    }
    void go_to_leaf(std::uint32_t pos);
    lv parent_below(const leaf& l, std::size_t spans, const text_key& key, const text_log& log) const;
    gap past_greater(gap g, lv v, const text_log& log) const;
    std::uint32_t begin();
    place put(gap g, span s, const text_measure& m, const text_log& log);
    static std::uint32_t coalesce(leaf& l, std::uint32_t i, const text_log& log);
    std::uint32_t flip(std::uint32_t id, std::uint32_t i, std::uint32_t offset, std::uint32_t n, const text_log& log);

    void extend(std::uint32_t id, std::uint32_t i, std::uint32_t n, const text_measure& m, const text_log& log) {
        span& s = leaves_[id].spans[i];
        if (findable_) index_.assign(s.behind(), n, id, log.size());
        s.length += static_cast<std::int32_t>(n);
        grew(id, m);
    }
    void grew(std::uint32_t id, const text_measure& m) { grew(id, leaves_[id], m); }
    void grew(std::uint32_t id, leaf& l, const text_measure& m) {
        if (unsettled_ != id) unsettle(id);
        l.sum += m;
        total_ += m;
    }
    void shrank(std::uint32_t id, const text_measure& m) { shrank(id, leaves_[id], m); }
    void shrank(std::uint32_t id, leaf& l, const text_measure& m) {
        if (unsettled_ != id) unsettle(id);
        l.sum -= m;
        total_ -= m;
    }
    void unsettle(std::uint32_t id) {
        settle();
        unsettled_ = id;
    }
    void settle_now() const;
    static lv least_of(const leaf& l, const text_log& log);
    static lv least_of(const inner& n, const text_log& log);
    void lower(std::uint32_t id, lv least, const text_log& log);
    void find_least(std::uint32_t id, const text_log& log);
    void tidy(std::uint32_t id, const text_log& log);
    place split(std::uint32_t id, place kept, const text_log& log);

    std::uint32_t slot(std::uint32_t parent, std::uint32_t child) const;
    std::uint32_t& parent_of(std::uint32_t id, bool is_leaf) {
        return is_leaf ? leaves_[id].parent : inners_[id].parent;
    }
    void add_child(std::uint32_t beside, std::uint32_t id, bool leaves, const text_measure& sum, lv left_least,
                   lv least, const text_log& log);
    void remove_child(std::uint32_t parent, std::uint32_t child, const text_log& log);
    void remove_leaf(std::uint32_t id, const text_log& log);
};

} // namespace joinery::detail
