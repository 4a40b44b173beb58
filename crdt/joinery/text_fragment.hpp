// SPDX-License-Identifier: Apache-2.0
#pragma once

// What a delta carries of a text: runs of inserted characters and runs of deletions.
//
// A run is as long as it can be: consecutive dots of one replica with consecutive Lamport numbers, each
// character the child of the one before; of deletions: each of the character beside the last one's.
// So what was typed or backspaced in one go is one run, and a tombstoned run of any length is a few bytes.

#include <joinery/codec.hpp>
#include <joinery/dot.hpp>
#include <joinery/short_vector.hpp>

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace joinery {

namespace detail {
class text_columns;
}

/// Characters that were inserted one after the other.
struct text_run {
    dot first;                 ///< the first character's; the others' follow
    dot parent;                ///< what the first was inserted after; seq 0 = the start of the text
    std::uint64_t count = 0;   ///< code points
    std::uint64_t lamport = 0; ///< the first character's; the others' follow
    bool deleted = false;      ///< a tombstone: no text

    friend bool operator==(const text_run&, const text_run&) = default;
};

/// Deletions that were made one after the other: event i (dot first + i, Lamport number lamport + i) kills
/// the character target + i, or target - i if they ran backward. A single one is not backward.
struct text_deletion {
    dot first;
    dot target;
    std::uint64_t count = 0;
    std::uint64_t lamport = 0;
    bool backward = false;

    friend bool operator==(const text_deletion&, const text_deletion&) = default;
};

using text_run_list = short_vector<text_run, 1>; // one is what most edits are
using text_deletion_list = short_vector<text_deletion, 1>;

struct text_fragment {
    text_run_list runs;           ///< sorted by dot
    std::string text;             ///< the characters of all live runs, in this order
    text_deletion_list deletions; ///< sorted by dot
    std::uint64_t lamport = 0;    ///< the greatest that was pruned, if it exceeds all above; else 0
    /// A whole text as it was decoded, in place of all of these: spell_out() makes them of it.
    std::shared_ptr<const detail::text_columns> columns{};

    bool empty() const { return runs.empty() && deletions.empty() && lamport == 0 && !columns; }
    /// O(n log n), if there is anything to be done.
    void spell_out();
    friend bool operator==(const text_fragment& a, const text_fragment& b);

    template <class Archive> void save(Archive& ar) const;
    template <class Archive> void load(Archive& ar);

    /// The form of a fragment in a delta of nothing else, if it is one run that has these dots: delta_head.
    std::optional<std::uint8_t> brief(const dot_range& dots) const;
    void save_brief(compact_output_archive& ar, const dot_range& dots, std::uint8_t how) const;
    void load_brief(compact_input_archive& ar, const dot_range& dots, std::uint8_t how);
    /// A delta of nothing else, without an archive: false, with nothing done, if that needs one. What is decoded joins
    /// an empty fragment.
    bool encode_alone(const dot_range& dots, std::vector<std::byte>& out) const;
    bool decode_alone(dot_range& dots, std::span<const std::byte> bytes);
};

// ---- implementation ----

namespace detail {

/// Lamport numbers from outside are at most this, so that arithmetic on them cannot overflow.
inline constexpr std::uint64_t max_lamport = std::uint64_t{1} << 62;

/// True if counts, numbers and text are consistent. Not required: that runs are sorted or disjoint.
bool well_formed(const text_fragment& f);

/// Wire format; numbers are varints, dots and ranges as the archive writes them. The first byte says what follows:
///
///     128 + how  one run: its first dot, [its length less two if `how` & 64], the rest in brief form
///     1          a whole text of many runs: text_columns.hpp
///     0          any others:
///                4 * number of runs + (1 if deletions follow) + (2 if a pruned Lamport number follows)
///                runs:       the dots of each as a range; then of each, flags and drift; then the parents that no
///                            flag says
///                deletions:  their number; the dots of each; of each, flags and drift; the targets of each, a dot if
///                            it is one, else a range
///                the pruned Lamport number
///                the text of the live runs; its length follows from their counts
///
/// Flags (a byte): 1 deleted or backward, 2 the parent is the start, 4 the parent is the dot before the first,
/// 8 a drift follows: the Lamport number less the sequence number less the same of the run before (zigzag).
///
/// Brief form of a run whose dots are known; `how`: 1 deletions, 2 a drift follows, 4 a parent follows, or the
/// deletions run backward, 8 the parent or target is a dot and not the distance back to it (of a parent less two, of a
/// target less one), 16 tombstones. Then drift, parent or target, text.
void write_compact(compact_output_archive& ar, const text_fragment& f);
void read_compact(compact_input_archive& ar, text_fragment& f);
/// The same without columns: for what wants the runs.
void write_spelled_out(compact_output_archive& ar, const text_fragment& f);
void read_spelled_out(compact_input_archive& ar, text_fragment& f);

/// How other archives see a run.
struct readable_run {
    dot first, parent;
    std::uint64_t count = 0;
    std::uint64_t lamport = 0;
    bool deleted = false;
    std::string text;

    template <class Archive> void serialize(Archive& ar) {
        ar(CEREAL_NVP(first), CEREAL_NVP(parent), CEREAL_NVP(count), CEREAL_NVP(lamport), CEREAL_NVP(deleted),
           CEREAL_NVP(text));
    }
};
struct readable_fragment {
    std::vector<readable_run> runs;
    std::vector<text_deletion> deletions;
    std::uint64_t lamport = 0;

    template <class Archive> void serialize(Archive& ar) {
        ar(CEREAL_NVP(runs), CEREAL_NVP(deletions), CEREAL_NVP(lamport));
    }
};
readable_fragment readable(text_fragment f);
/// Throws decode_failure unless the result is well-formed.
text_fragment taken(const readable_fragment& readable);

} // namespace detail

template <class Archive> void CEREAL_SERIALIZE_FUNCTION_NAME(Archive& ar, text_deletion& d) {
    ar(cereal::make_nvp("first", d.first), cereal::make_nvp("target", d.target), cereal::make_nvp("count", d.count),
       cereal::make_nvp("lamport", d.lamport), cereal::make_nvp("backward", d.backward));
}

template <class Archive> void text_fragment::save(Archive& ar) const {
    if constexpr (is_compact_archive_v<Archive>)
        detail::write_compact(ar, *this);
    else
        detail::readable(*this).serialize(ar);
}

template <class Archive> void text_fragment::load(Archive& ar) {
    if constexpr (is_compact_archive_v<Archive>) {
        detail::read_compact(ar, *this);
    } else {
        detail::readable_fragment f;
        f.serialize(ar);
        *this = detail::taken(f);
    }
}

} // namespace joinery
