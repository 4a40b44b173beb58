// SPDX-License-Identifier: Apache-2.0
#pragma once

// A delta is what one or more edits changed: entries, the dots it covers, and removal records. Deltas
// join with each other (delta groups) and into a state; a whole state is a delta too. Its coverage holds
// only events that it describes in full: the live entry or its death, and the removal record if there is
// one. Source: Almeida, Shoker, Baquero, "Delta State Replicated Data Types" (2018).

#include <joinery/crdt.hpp>

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <type_traits>
#include <utility>
#include <vector>

namespace joinery {

namespace detail {

/// What an encoded delta begins with: which parts follow, and what it covers. Nearly all deltas cover a single dot or
/// range, and most carry nothing but a fragment that is a single entry, which then need not repeat its dots:
///
///     parts                    then a causal context
///     parts | one_dot          then the dot
///     parts | one_range        then its first dot, and its length less two
///     brief | [several] | how  the same, the latter if `several`; then the fragment in its brief form
///
/// The dot is written as the first one (compact_output_archive::write_first).
struct delta_head {
    enum part : std::uint8_t {
        fragment = 1,
        removals = 2,
        since = 4,
        horizon = 8,
        unknown = 16,
        all_parts = 31,
        one_dot = 32,
        one_range = 64,
        brief = 128,
        several = 64,
        all_of_brief = 63
    };
    std::uint8_t parts = 0;
    std::optional<std::uint8_t> how{}; ///< of a brief fragment: at most all_of_brief
    causal_context covered{};

    void write(compact_output_archive& ar) const;
    /// `covered` is as it was written, whatever the archive renames.
    static delta_head read(compact_input_archive& ar);
};

/// How an encoded delta begins that covers a single range: read without the rest.
struct edit_start {
    dot_range dots;
    std::size_t rest; ///< where the bytes behind the first dot begin

    static std::optional<edit_start> of(std::span<const std::byte> delta);
};

/// Fragments that have a brief form: `brief` is how they take it, if they can with these dots for all that they carry.
template <class F>
concept brief_fragment = requires(const F f, F out, const dot_range& dots, std::uint8_t how, compact_output_archive& to,
                                  compact_input_archive& from) {
    { f.brief(dots) } -> std::same_as<std::optional<std::uint8_t>>;
    f.save_brief(to, dots, how);
    out.load_brief(from, dots, how);
};
/// And those that can mostly do without an archive, or return false.
template <class F>
concept lone_fragment = brief_fragment<F> &&
    requires(const F f, F out, dot_range& dots, std::vector<std::byte>& to, std::span<const std::byte> from) {
    { f.encode_alone(dots, to) } -> std::same_as<bool>;
    { out.decode_alone(dots, from) } -> std::same_as<bool>;
};

} // namespace detail

template <crdt T> class causal;

template <crdt T> struct delta {
    fragment_of<T> fragment;
    causal_context covered;
    std::vector<removal> removals;      ///< sorted by event
    version_vector since;               ///< an answer of delta_since joins only states at least at this version
    version_vector horizon;             ///< of a complete state: what it has pruned
    std::vector<unknown_field> unknown; ///< fields of later versions, passed on as they came

    /// Not defaulted: `{}` would clear all of it first, which takes longer than to read most deltas.
    delta() noexcept(std::is_nothrow_default_constructible_v<fragment_of<T>>) {}

    /// True if it changes nothing.
    bool empty() const { return covered.empty() && horizon.empty(); }

    /// Joins another delta into this one: a delta group. O(|both| log |both|). If both are answers of
    /// delta_since, the group joins only states that could have joined both.
    void join(const delta& other);

    friend bool operator==(const delta&, const delta&) = default;

    template <class Archive> void save(Archive& ar) const;
    template <class Archive> void load(Archive& ar);

    /// True if it is no more than a fragment of one range of dots.
    bool plain() const {
        return covered.range_count() == 1 && removals.empty() && since.empty() && horizon.empty() && unknown.empty();
    }
    /// Writes all but the fragment, and that by `save_fragment`, if there is one.
    template <class F> void save_around(compact_output_archive& ar, bool with_fragment, F&& save_fragment) const;
    bool encode_alone(std::vector<std::byte>& out) const {
        if constexpr (detail::lone_fragment<fragment_of<T>>)
            return plain() && fragment.encode_alone(covered.ranges().front(), out);
        else
            return false;
    }
    bool decode_alone(std::span<const std::byte> bytes) {
        if constexpr (detail::lone_fragment<fragment_of<T>>) {
            dot_range dots;
            if (!fragment.decode_alone(dots, bytes)) return false;
            covered.add(dots);
            return true;
        } else {
            return false;
        }
    }
};

// ---- implementation ----

namespace detail {

/// A removal event's dot, then the numbers of dot ranges and of counter runs, then these. One range and no
/// run, the usual case, is the single number 0; else the first number is 1 + the number of ranges.
void write_kills(compact_output_archive& ar, const kills& k);
void read_kills(compact_input_archive& ar, kills& k);

} // namespace detail

template <class Archive> void CEREAL_SAVE_FUNCTION_NAME(Archive& ar, const run_removal& r) {
    if constexpr (is_compact_archive_v<Archive>) {
        ar.write(dot_range{r.start.replica, r.start.seq, r.last});
        ar(r.increments, r.decrements);
    } else {
        ar(cereal::make_nvp("start", r.start), cereal::make_nvp("last", r.last),
           cereal::make_nvp("increments", r.increments), cereal::make_nvp("decrements", r.decrements));
    }
}
template <class Archive> void CEREAL_LOAD_FUNCTION_NAME(Archive& ar, run_removal& r) {
    if constexpr (is_compact_archive_v<Archive>) {
        auto parts = ar.read_ranges();
        if (parts.size() != 1) ar.fail(decode_error::invalid_value);
        r.start = {parts[0].replica, parts[0].first};
        r.last = parts[0].last;
        ar(r.increments, r.decrements);
    } else {
        ar(cereal::make_nvp("start", r.start), cereal::make_nvp("last", r.last),
           cereal::make_nvp("increments", r.increments), cereal::make_nvp("decrements", r.decrements));
        if (r.start.seq == 0 || r.last < r.start.seq || r.last > max_sequence)
            throw decode_failure(decode_error::invalid_value);
    }
}

template <class Archive> void CEREAL_SAVE_FUNCTION_NAME(Archive& ar, const removal& r) {
    if constexpr (is_compact_archive_v<Archive>) {
        ar(r.event);
        detail::write_kills(ar, r.killed);
    } else {
        ar(cereal::make_nvp("event", r.event), cereal::make_nvp("dots", r.killed.dots),
           cereal::make_nvp("runs", r.killed.runs));
    }
}
template <class Archive> void CEREAL_LOAD_FUNCTION_NAME(Archive& ar, removal& r) {
    if constexpr (is_compact_archive_v<Archive>) {
        ar(r.event);
        if (r.event.seq == 0) throw decode_failure(decode_error::invalid_value);
        detail::read_kills(ar, r.killed);
    } else {
        ar(cereal::make_nvp("event", r.event), cereal::make_nvp("dots", r.killed.dots),
           cereal::make_nvp("runs", r.killed.runs));
    }
}

template <crdt T>
template <class F>
void delta<T>::save_around(compact_output_archive& ar, bool with_fragment, F&& save_fragment) const {
    using head = detail::delta_head;
    const auto parts =
        static_cast<std::uint8_t>((with_fragment ? head::fragment : 0) | (removals.empty() ? 0 : head::removals) |
                                  (since.empty() ? 0 : head::since) | (horizon.empty() ? 0 : head::horizon) |
                                  (unknown.empty() ? 0 : head::unknown));
    head{parts, {}, covered}.write(ar);
    if (!since.empty()) ar.write(since);
    if (!horizon.empty()) ar.write(horizon);
    if (with_fragment) save_fragment();
    if (!removals.empty()) ar(removals);
    if (!unknown.empty()) ar(unknown);
}

template <crdt T> template <class Archive> void delta<T>::save(Archive& ar) const {
    if constexpr (is_compact_archive_v<Archive>) {
        using head = detail::delta_head;
        if constexpr (detail::brief_fragment<fragment_of<T>>) {
            if (!fragment.empty() && plain()) {
                const dot_range& dots = covered.ranges().front();
                if (const auto how = fragment.brief(dots)) {
                    head{head::fragment, how, covered}.write(ar);
                    return fragment.save_brief(ar, dots, *how);
                }
            }
        }
        save_around(ar, !fragment.empty(), [&] { ar(fragment); });
    } else {
        ar(cereal::make_nvp("covered", covered), cereal::make_nvp("since", since), cereal::make_nvp("horizon", horizon),
           cereal::make_nvp("fragment", fragment), cereal::make_nvp("removals", removals),
           cereal::make_nvp("unknown", unknown));
    }
}

template <crdt T> template <class Archive> void delta<T>::load(Archive& ar) {
    if constexpr (is_compact_archive_v<Archive>) {
        using head_type = detail::delta_head;
        head_type head = head_type::read(ar);
        const auto rename = [&] {
            if (!ar.renaming()) return;
            causal_context renamed;
            head.covered.for_each([&](const dot_range& r) {
                for (const auto& part : (*ar.renaming())(r)) renamed.add(part);
            });
            head.covered = std::move(renamed);
        };
        if constexpr (detail::brief_fragment<fragment_of<T>>) {
            if (head.how) {
                const dot_range dots = head.covered.ranges().front();
                fragment.load_brief(ar, dots, *head.how);
                rename();
                covered = std::move(head.covered);
                return;
            }
        }
        if (head.how) throw decode_failure(decode_error::invalid_value);
        const bool may_be_brief = head.parts == head_type::fragment && head.covered.range_count() == 1;
        const auto dots = may_be_brief ? head.covered.ranges().front() : dot_range();
        rename();
        covered = std::move(head.covered);
        if (head.parts & head_type::since) since = ar.read_version_vector();
        if (head.parts & head_type::horizon) horizon = ar.read_version_vector();
        if (head.parts & head_type::fragment) ar(fragment);
        if (head.parts & head_type::removals) ar(removals);
        if (head.parts & head_type::unknown) ar(unknown);
        bool said = ((head.parts & head_type::fragment) && fragment.empty()) ||
                    ((head.parts & head_type::removals) && removals.empty()) ||
                    ((head.parts & head_type::since) && since.empty()) ||
                    ((head.parts & head_type::horizon) && horizon.empty()) ||
                    ((head.parts & head_type::unknown) && unknown.empty());
        if constexpr (detail::brief_fragment<fragment_of<T>>)
            said = said || (may_be_brief && !ar.renaming() && fragment.brief(dots));
        if (said) throw decode_failure(decode_error::non_canonical);
    } else {
        ar(cereal::make_nvp("covered", covered), cereal::make_nvp("since", since), cereal::make_nvp("horizon", horizon),
           cereal::make_nvp("fragment", fragment), cereal::make_nvp("removals", removals),
           cereal::make_nvp("unknown", unknown));
    }
    auto in_order = [](const removal& a, const removal& b) { return a.event < b.event; };
    if constexpr (is_compact_archive_v<Archive>)
        if (ar.renaming()) std::sort(removals.begin(), removals.end(), in_order);
    for (std::size_t i = 0; i < removals.size(); ++i) {
        if (!covered.contains(removals[i].event)) throw decode_failure(decode_error::invalid_value);
        if (i > 0 && !in_order(removals[i - 1], removals[i])) throw decode_failure(decode_error::non_canonical);
    }
    for (const auto& [r, seq] : horizon)
        if (!covered.contains(dot_range{r, 1, seq})) throw decode_failure(decode_error::invalid_value);
}

} // namespace joinery

#include <joinery/causal.hpp>
