// SPDX-License-Identifier: Apache-2.0
#pragma once

// A whole text of many runs in columns: what happened, a column for each kind of number, and the visible text as it
// reads. So it is small, and can be read without more; where each character stands is found once it is edited.
//
// Events are numbered in the order of their dots; 0 is the start of the text, n + 1 the event number n. An insertion
// tells its parent, a deletion its first target, by the distance to where the writer's cursor was (after the last
// character inserted, before the last one erased), or to the last place that it jumped to, whichever is shorter. What
// tells where a character stands is its key and the keys before it (text_tree.hpp).
//
//     columns  := varint(stretches) { range zigzag(drift) }*      runs of dots and Lamport numbers; a drift is the
//                                                                 Lamport number less the sequence number, less the
//                                                                 same of the stretch before
//                 varint(settled runs) { varint(gap) varint(length - 1) }*    tombstones of which no deletion is known
//                 varint(pruned Lamport number, or 0)
//                 bytes(heads) bytes(lengths) bytes(distances)    each varint(size) and that many bytes
//                 the visible text, UTF-8
//     a head   := 28 * (3 * kind + place) + min(length - 1, 27)
//                 kind: 0 insertion, 1 deletion forward, 2 deletion backward
//                 place: 0 at the cursor, 1 a distance from there, 2 a distance from the last jump
//     lengths   : varint(length - 28) for each head that says 27
//     distances : zigzag for each head that is not at the cursor
//
// Only texts that are complete fit: each parent and each target is there. And only those of which each run takes some
// bytes: what a text takes when it is opened is bounded by what was read.

#include "text_characters.hpp"
#include "text_log.hpp"

#include <joinery/codec.hpp>
#include <joinery/text_fragment.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

namespace joinery::detail {

class text_columns {
public:
    /// Consecutive dots with consecutive Lamport numbers.
    struct stretch {
        dot first_dot;
        std::uint64_t lamport;
        lv first; ///< number
        lv count;
    };
    enum class kind : std::uint8_t { inserted, erased_forward, erased_backward };
    /// A run of insertions, each the child of the one before, or of deletions, each beside the one before.
    struct entry {
        lv first;
        lv count;
        lv to; ///< 1 + the number of the first one's parent or target; 0: the start
        kind what;
        lv lowest_target() const { return what == kind::erased_backward ? to - count : to - 1; }
    };
    struct run {
        lv first;
        lv count;
    };

    /// True if it is a whole text of many runs, so that columns are how it is encoded. O(n log n).
    static bool fit(const text_fragment& f);
    /// Null unless it fits.
    static std::shared_ptr<const text_columns> of(const text_fragment& f);
    text_fragment spelled_out() const;

    void write(compact_output_archive& ar) const;
    /// Throws decode_failure.
    static std::shared_ptr<const text_columns> read(compact_input_archive& ar);

    const text_characters& text() const { return text_; }
    lv size() const { return stretches_.back().first + stretches_.back().count; }
    std::span<const stretch> stretches() const { return stretches_; }
    std::span<const run> settled() const { return settled_; }
    std::uint64_t lamport() const { return lamport_; }
    std::vector<entry> entries() const;
    dot_range dots(const stretch& s) const {
        return {s.first_dot.replica, s.first_dot.seq, s.first_dot.seq + s.count - 1};
    }
    const stretch& stretch_of(lv number) const;

    std::size_t memory() const;

private:
    struct outline;

    std::vector<stretch> stretches_;
    std::vector<run> settled_;
    std::uint64_t lamport_ = 0;
    std::vector<std::byte> heads_, lengths_, distances_;
    text_characters text_;
    std::size_t runs_ = 0, deletions_ = 0; // of the fragment, spelled out

    std::vector<entry> entries(text_bits& begins) const; // and where they begin
    static std::shared_ptr<text_columns> without_text(const text_fragment& f);
    bool sparse(std::size_t text_bytes) const; // too few bytes for its runs
};

} // namespace joinery::detail
