// SPDX-License-Identifier: Apache-2.0
#pragma once

// The sequence under rga_text: elements (characters, live or tombstoned) in document order.
//
// Elements are kept as spans: one replica, consecutive dots, consecutive Lamport numbers, all live or all
// dead. Spans lie in the leaves of a B+tree whose inner entries sum up what is below them; a leaf holds
// the UTF-8 of its live spans in one string, so a deleted character keeps its identity and loses its bytes.
// An index of dots leads from an element to its leaf.
//
// No parents are stored. An element's key is (Lamport, replica, sequence number), and a child's key exceeds its
// parent's; since siblings stand in descending order of keys, the parent is the nearest element to the left with a
// lesser key, and an arriving element belongs before the first element to the right of its parent whose
// key is not greater. Both are found in O(log n) from the least key of each subtree: two writers who
// prepend concurrently cost no more than any others. It also says what becomes of the children of an
// element that is erased: they belong to the nearest lesser element that remains.
//
// Invariants:
//   1. spans and leaves are never empty, except that an empty tree has no leaf;
//   2. two neighbouring spans of one leaf that could be one span are one span;
//   3. the index covers every element with its leaf; what it says of other dots means nothing.
//
// Every operation is O(log n) for one span, n the number of spans, unless it says otherwise. Not
// thread-safe. A `place` is valid until the next change.

#include <joinery/dot.hpp>
#include <joinery/version_vector.hpp>

#include <array>
#include <compare>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace joinery::detail {

enum class text_state : std::uint8_t {
    live,
    dead,   ///< a tombstone
    settled ///< a tombstone whose deletion is causally stable
};

/// What siblings are ordered by.
struct text_key {
    std::uint64_t lamport = UINT64_MAX;
    replica_id replica{UINT64_MAX};
    std::uint64_t seq = UINT64_MAX; // tells apart only what is forged
    friend constexpr auto operator<=>(const text_key&, const text_key&) = default;
};

/// Where each run of dots lies: maximal intervals of one replica's dots in one leaf. Dots that no element
/// has may be covered or not, as it comes.
class text_index {
public:
    struct interval {
        std::uint64_t last;
        std::uint32_t leaf;
    };
    using map = std::map<dot, interval>;

    void assign(const dot_range& r, std::uint32_t leaf);
    void erase(const dot_range& r);
    /// True if the interval that `r` is in has dots beyond it.
    bool extends(const dot_range& r) const;
    /// After `r` was erased: what is left of its interval keeps the dots up to `before` and those from `after` on.
    /// Nobody has those in between any more.
    void trim(const dot_range& r, std::uint32_t leaf, std::uint64_t before, std::uint64_t after);
    /// The first interval that reaches `d` or lies behind it; of any replica.
    map::const_iterator reaching(dot d) const;
    map::const_iterator end() const { return intervals_.end(); }
    std::size_t size() const { return intervals_.size(); }

private:
    map intervals_; // disjoint
};

class text_tree {
public:
    struct span {
        dot first;
        std::uint64_t lamport = 0;
        std::uint64_t count = 0;
        std::uint16_t bytes = 0; ///< of UTF-8; 0 unless live
        std::uint16_t wide = 0;  ///< code points that take two UTF-16 units
        text_state state = text_state::live;

        text_key key() const { return {lamport, first.replica, first.seq}; }
        dot_range dots() const { return {first.replica, first.seq, first.seq + count - 1}; }
    };
    /// One element: the `offset`-th of a span.
    struct place {
        std::uint32_t leaf;
        std::uint32_t span;
        std::uint64_t offset;
    };
    /// Some elements of one span.
    struct piece {
        dot_range dots;
        std::uint64_t lamport;
        text_state state;
        place at;
    };
    enum class unit { points, bytes, utf16 };
    /// A gap between visible characters, or the end.
    struct position {
        std::uint64_t points = 0;
        std::uint64_t bytes = 0;
        std::uint64_t utf16 = 0;
        bool exact = true;         ///< false: the number asked for lies inside a character, which begins here
        std::optional<place> next; ///< the visible character that follows
    };

    std::uint64_t size(unit u) const { return total_.size(u); }
    bool empty() const { return root_ == none; }

    std::optional<place> find(dot d) const;
    /// The first piece of elements with dots in `within`, in order of dots.
    std::optional<piece> next(const dot_range& within) const;
    /// The gap before which there are `n` units of visible text. Requires: n <= size(u).
    position locate(unit u, std::uint64_t n) const;
    /// The parent of an element; seq 0 if it is the start.
    dot parent(place p) const;
    /// The element that follows in document order, visible or not.
    std::optional<dot> following(place p) const;
    span at(place p) const { return leaves_[p.leaf].spans[p.span]; }
    /// The UTF-8 of `n` elements of a live span.
    std::string_view text(place p, std::uint64_t n) const;
    /// Visible text: `count` bytes from byte `first`. O(log n + count). Requires: they exist.
    std::string read(std::uint64_t first, std::uint64_t count) const;
    /// The parents of the elements that are not in `v`, sorted. O((|answer| + #replicas) log n).
    std::vector<dot> parents_of_others(const version_vector& v) const;
    /// The settled tombstones in document order. O(|answer| log n).
    std::vector<dot_range> settled() const;

    /// Inserts a run of elements, each the child of the one before, the first the child of `parent` (the
    /// start if none). `utf8` is empty unless live. Requires: no element has one of these dots.
    void insert(std::optional<place> parent, dot first, std::uint64_t lamport, std::uint64_t count, text_state state,
                std::string_view utf8);
    /// Inserts at the end, whatever the keys say.
    void append(dot first, std::uint64_t lamport, std::uint64_t count, text_state state, std::string_view utf8);
    /// Makes `n` elements of one span tombstones. Requires: state is dead or settled.
    void bury(place p, std::uint64_t n, text_state state);
    /// Makes tombstones live again. Requires: all of `r` is held and dead.
    void revive(const dot_range& r, std::string_view utf8);
    /// Takes `n` elements of one span out.
    void erase(place p, std::uint64_t n);
    /// Gives back what erasing left free, if that is most of what there is. Places change. O(free leaves), and O(n)
    /// after as much was erased.
    void compact();

    /// Calls f(const span&, std::string_view text) for every span in document order. O(n).
    template <class F> void for_each(F&& f) const {
        for (std::uint32_t id = first_leaf_; id != none; id = leaves_[id].after) {
            std::string_view text = leaves_[id].text;
            for (const span& s : leaves_[id].spans) {
                f(s, text.substr(0, s.bytes));
                text.remove_prefix(s.bytes);
            }
        }
    }

    /// Walks over the visible text; `text` is empty at its end.
    class reader {
    public:
        explicit reader(const text_tree& tree);
        dot first;
        std::uint64_t count = 0;
        std::string_view text;
        void advance(std::uint64_t points);

    private:
        const text_tree& tree_;
        std::uint32_t leaf_;
        std::uint32_t span_ = 0;
        std::size_t byte_ = 0;
        void load();
    };

    /// An estimate of the memory in use, in bytes. O(n).
    std::size_t memory() const;

private:
    static constexpr std::uint32_t none = UINT32_MAX;
    static constexpr std::size_t fan_out = 16;
    static constexpr std::size_t leaf_spans = 32;
    static constexpr std::size_t leaf_bytes = 2048;
    static constexpr std::size_t chunk_bytes = 512;

    struct summary {
        std::uint64_t points = 0;
        std::uint64_t bytes = 0;
        std::uint64_t wide = 0;
        std::uint64_t settled = 0; // spans
        text_key least;
        std::uint64_t size(unit u) const;
        void add(const summary& s);
        friend bool operator==(const summary&, const summary&) = default;
    };
    struct leaf {
        std::vector<span> spans;
        std::string text;
        std::uint32_t parent = none;
        std::uint32_t before = none;
        std::uint32_t after = none; // of a free leaf: the next free one
    };
    struct inner {
        std::uint32_t parent = none; // of a free node: the next free one
        std::uint32_t count = 0;
        bool over_leaves = true;
        std::array<std::uint32_t, fan_out> child;
        std::array<summary, fan_out> sum;
    };
    // Just before element `offset` of a span, or at the end of a leaf (span == spans.size()).
    struct gap {
        std::uint32_t leaf;
        std::uint32_t span;
        std::uint64_t offset;
    };

    std::vector<leaf> leaves_;
    std::vector<inner> inners_;
    text_index index_;
    summary total_;
    std::uint32_t root_ = none;
    std::uint32_t first_leaf_ = none;
    std::uint32_t last_leaf_ = none;
    std::uint32_t free_leaf_ = none;
    std::uint32_t free_inner_ = none;
    bool root_is_leaf_ = true;

    gap past_greater(gap g, text_key key) const;
    void put_run(gap g, dot first, std::uint64_t lamport, std::uint64_t count, text_state state, std::string_view utf8);
    void put(gap g, const span& s, std::string_view utf8);
    static void cut(leaf& l, std::size_t i, std::uint64_t offset);
    static std::size_t isolate(leaf& l, std::size_t i, std::uint64_t offset, std::uint64_t n);
    static std::size_t coalesce(leaf& l, std::size_t i);
    static bool continues(const span& a, const span& b);
    static std::size_t text_offset(const leaf& l, std::size_t i);

    static summary summarize(const leaf& l);
    static summary summarize(const inner& n);
    void changed(std::uint32_t id);
    void split(std::uint32_t id);
    bool absorb_next(std::uint32_t id);
    void forget(std::uint32_t id, const dot_range& gone);
    void remove_leaf(std::uint32_t id);

    std::uint32_t new_leaf();
    std::uint32_t new_inner();
    void free_node(std::uint32_t id);
    std::uint32_t slot(const inner& n, std::uint32_t child) const;
    std::uint32_t& parent_of(std::uint32_t id, bool is_leaf);
    void replace_root(std::uint32_t id, bool is_leaf);
    void lift(std::uint32_t id, bool is_leaf);
    void add_child(std::uint32_t child, std::uint32_t sibling, bool leaves);
    void remove_child(std::uint32_t id, std::uint32_t child);
    void merge_node(std::uint32_t id);
};

} // namespace joinery::detail
