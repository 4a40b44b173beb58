// SPDX-License-Identifier: Apache-2.0
#pragma once

// A text that several replicas edit at once: a replicated growable array of characters. Each character is
// inserted after another one and stays there, so concurrent edits at different places do not disturb
// each other, what was typed in one go stays together, and all replicas arrive at the same text.
//
//     joinery::replica<joinery::rga_text> eu{joinery::replica_id::random()};
//     auto d = eu.edit([](auto& text, auto& tx) { text.insert(tx, 0, "Hello"); });
//     us.join(d);
//     us.edit([](auto& text, auto& tx) { text.erase(tx, 4, 1); });
//
// A deleted character leaves a tombstone, so that what was concurrently inserted after it finds its place;
// tombstones go once they are causally stable. Concurrent insertions at one place are ordered by Lamport number, then
// replica, the greater first. Why the join converges: the text is a function of the set of characters and deletions
// seen, each of which says where it belongs. Source: Roh, Jeon, Kim, Lee, "Replicated abstract data types" (2011); the
// ordering as in Attiya, Burckhardt et al., "Specification and Complexity of Collaborative Text Editing" (2016).

#include <joinery/causal_context.hpp>
#include <joinery/join_scope.hpp>
#include <joinery/removal_log.hpp>
#include <joinery/replica.hpp>
#include <joinery/text_diff.hpp>
#include <joinery/text_fragment.hpp>
#include <joinery/text_positions.hpp>
#include <joinery/transaction.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

namespace joinery {

namespace detail {
class text_body;
}

/// Positions are Unicode code points, or, where the name says so, bytes of UTF-8 or units of UTF-16. Text
/// goes in and comes out as UTF-8.
///
/// Errors, by all functions that take positions or text, before anything is changed: std::out_of_range if
/// a position or range is not within the text, std::invalid_argument if a position is inside a character
/// or the text is not valid UTF-8; std::length_error if there would be more than 536,870,910 characters and deletions,
/// what was forgotten by all aside. (More that arrive from others are kept, and passed on, but not shown.)
///
/// Everything takes O(log n) and the size of what is inserted, erased or returned, n the number of runs,
/// unless it says otherwise. A text that was read whole is made ready when it is first edited or joined, O(n log n);
/// until then lines and conversions take O(characters / 64), and what asks for its characters' dots (anchors, changes)
/// O(n log n). Moved and copied freely (deeply); an empty text is one pointer.
class rga_text {
public:
    using fragment = text_fragment;

    rga_text();
    rga_text(const rga_text& other);
    rga_text(rga_text&& other) noexcept;
    rga_text& operator=(const rga_text& other);
    rga_text& operator=(rga_text&& other) noexcept;
    ~rga_text();

    // ---- editing ----

    /// Inserts before position `pos`.
    void insert(transaction& tx, std::size_t pos, std::string_view utf8);
    void insert_utf8(transaction& tx, std::size_t byte, std::string_view utf8);
    void insert_utf16(transaction& tx, std::size_t unit, std::string_view utf8);

    /// Erases `n` characters (bytes, units) from position `pos` on.
    void erase(transaction& tx, std::size_t pos, std::size_t n);
    void erase_utf8(transaction& tx, std::size_t byte, std::size_t bytes);
    void erase_utf16(transaction& tx, std::size_t unit, std::size_t units);

    /// Makes `utf8` of the text by few edits (text_diff.hpp): how a file that was changed by any program comes in
    /// without undoing what others write elsewhere. O(n) and a bounded search for the differences.
    void apply_diff(transaction& tx, std::string_view utf8);
    /// Edits of this text, in ascending order.
    void apply(transaction& tx, std::span<const text_edit> edits);

    // ---- reading ----

    std::string str() const;
    /// At most `n` characters from position `pos` on.
    std::string substr(std::size_t pos, std::size_t n = static_cast<std::size_t>(-1)) const;

    /// Calls f(std::string_view) for the pieces of the same, without copying; they are valid until the next change.
    template <class F>
    void for_each_chunk(F&& f, std::size_t pos = 0, std::size_t n = static_cast<std::size_t>(-1)) const {
        visit(pos, n, &f,
              [](void* context, std::string_view text) { (*static_cast<std::remove_reference_t<F>*>(context))(text); });
    }

    /// In code points, bytes and units. O(1).
    std::size_t size() const;
    std::size_t size_utf8() const;
    std::size_t size_utf16() const;
    bool empty() const { return size() == 0; }

    /// The byte, or unit, at which code point `pos` begins; at the end, the size.
    std::size_t to_utf8(std::size_t pos) const;
    std::size_t to_utf16(std::size_t pos) const;
    /// The code point that begins at a byte, or unit.
    std::size_t from_utf8(std::size_t byte) const;
    std::size_t from_utf16(std::size_t unit) const;

    /// The number of lines: one more than there are newlines. O(1).
    std::size_t lines() const;
    text_location location(std::size_t pos) const;
    /// The position at which line `line`, from 0, begins; and of a place in it. std::out_of_range if there is no such
    /// line, or if it is not so long.
    std::size_t line_start(std::size_t line) const;
    std::size_t position(const text_location& at) const;

    /// Position `pos`, for as long as one likes. The position of an anchor, or none if it is not known: its character
    /// has not arrived yet, or was erased by all, and forgotten (causal stability). O(log n), except in a text that
    /// nothing was ever joined into: O(n).
    text_anchor anchor(std::size_t pos, text_bias bias = text_bias::left) const;
    std::optional<std::size_t> position(const text_anchor& a) const;

    /// How the visible text has changed since `r`, by edits and joins alike, in ascending order: for any editor's
    /// buffer. None if that is no longer known: after an edit was undone, much was forgotten or thousands of places
    /// were erased; then all of it is to be read again. O(what has changed * log n).
    text_revision revision() const;
    std::optional<std::vector<text_change>> changes_since(const text_revision& r) const;

    /// Equal visible characters, dots included. O(n).
    friend bool operator==(const rga_text& a, const rga_text& b) { return a.equals(b); }

    // ---- the interface between types and replicas: crdt.hpp ----

    void extract(const causal_context& wanted, fragment& out) const;
    void extract_edit(const causal_context& wanted, fragment& out);
    void extract_rest(fragment& out) const;
    void join(const fragment& f, join_scope& s);
    void kill(const dot_range& dots, join_scope& s);
    void clear(transaction& tx, kills& out);
    /// Tombstones go from right to left: one goes only if its deletion is stable, and the next element that
    /// remains is too, or there is none; and if no element that is not stable was inserted after it. `settled`: dots
    /// killed by removals that have become stable.
    void prune(const version_vector& stable, std::span<const dot_range> settled, dot_sink* sink) {
        prune(stable, settled, sink, {});
    }
    static void keep_live(fragment& f);
    void known_removed(const causal_context& dots, causal_context& out) const;
    static void drop_reissued(fragment& f, const causal_context& unsent);
    /// Insertions go behind the same character, or behind what is left of those before it.
    void reissue(const rga_text& before, const causal_context& unsent, const removal_log& log, transaction& tx);
    bool vacant() const;
    std::uint64_t digest(const causal_context& all) const;
    static std::string type_name() { return "rga_text"; }

    // ---- for types that are made of a text: rga_list.hpp ----

    /// As `clear`, those of these dots that live.
    void clear(transaction& tx, const causal_context& dots, kills& out);
    /// A character lives as `utf8` whatever deleted it, until the next kill. False if it is not here, nor waits.
    bool revive(dot d, std::string_view utf8);
    /// As `prune`, but what is left of these stays, whatever deleted them.
    void prune(const version_vector& stable, std::span<const dot_range> settled, dot_sink* sink,
               const causal_context& but);
    /// Makes these tombstones.
    static void bury(fragment& f, const causal_context& dots);

    /// The greatest Lamport number seen; the next character or deletion gets the one after.
    std::uint64_t max_lamport() const;
    /// An estimate of the memory in use, in bytes. O(n).
    std::size_t memory() const;

private:
    std::unique_ptr<detail::text_body> body_; // null: vacant

    detail::text_body& body();
    [[gnu::noinline]] void insert_apart(transaction& tx, std::size_t pos, std::string_view utf8);
    [[gnu::noinline]] void erase_apart(transaction& tx, std::size_t pos, std::size_t n);
    bool equals(const rga_text& other) const;
    void visit(std::size_t pos, std::size_t n, void* context, void (*f)(void*, std::string_view)) const;
};

} // namespace joinery
