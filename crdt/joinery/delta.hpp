// SPDX-License-Identifier: Apache-2.0
#pragma once

// A delta is what one or more edits changed: entries, the dots it covers, and removal records. Deltas
// join with each other (delta groups) and into a state; a whole state is a delta too. Its coverage holds
// only events that it describes in full: the live entry or its death, and the removal record if there is
// one. Source: Almeida, Shoker, Baquero, "Delta State Replicated Data Types" (2018).

#include <joinery/crdt.hpp>

#include <algorithm>
#include <vector>

namespace joinery {

template <crdt T> class causal;

template <crdt T> struct delta {
    fragment_of<T> fragment;
    causal_context covered;
    std::vector<removal> removals;      ///< sorted by event
    version_vector since;               ///< an answer of delta_since joins only states at least at this version
    version_vector horizon;             ///< of a complete state: what it has pruned
    std::vector<unknown_field> unknown; ///< fields of later versions, passed on as they came

    /// True if it changes nothing.
    bool empty() const { return covered.empty() && horizon.empty(); }

    /// Joins another delta into this one: a delta group. O(|both| log |both|). If both are answers of
    /// delta_since, the group joins only states that could have joined both.
    void join(const delta& other);

    friend bool operator==(const delta&, const delta&) = default;

    template <class Archive> void save(Archive& ar) const;
    template <class Archive> void load(Archive& ar);
};

// ---- implementation ----

namespace detail {

enum delta_part : std::uint8_t {
    has_fragment = 1,
    has_removals = 2,
    has_since = 4,
    has_horizon = 8,
    has_unknown = 16,
    all_parts = 31
};

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

template <crdt T> template <class Archive> void delta<T>::save(Archive& ar) const {
    if constexpr (is_compact_archive_v<Archive>) {
        ar.byte(static_cast<std::uint8_t>(
            (fragment.empty() ? 0 : detail::has_fragment) | (removals.empty() ? 0 : detail::has_removals) |
            (since.empty() ? 0 : detail::has_since) | (horizon.empty() ? 0 : detail::has_horizon) |
            (unknown.empty() ? 0 : detail::has_unknown)));
        ar.write(covered);
        if (!since.empty()) ar.write(since);
        if (!horizon.empty()) ar.write(horizon);
        if (!fragment.empty()) ar(fragment);
        if (!removals.empty()) ar(removals);
        if (!unknown.empty()) ar(unknown);
    } else {
        ar(cereal::make_nvp("covered", covered), cereal::make_nvp("since", since), cereal::make_nvp("horizon", horizon),
           cereal::make_nvp("fragment", fragment), cereal::make_nvp("removals", removals),
           cereal::make_nvp("unknown", unknown));
    }
}

template <crdt T> template <class Archive> void delta<T>::load(Archive& ar) {
    if constexpr (is_compact_archive_v<Archive>) {
        std::uint8_t parts = ar.byte();
        if (parts > detail::all_parts) throw decode_failure(decode_error::invalid_value);
        covered = ar.read_causal_context();
        if (parts & detail::has_since) since = ar.read_version_vector();
        if (parts & detail::has_horizon) horizon = ar.read_version_vector();
        if (parts & detail::has_fragment) ar(fragment);
        if (parts & detail::has_removals) ar(removals);
        if (parts & detail::has_unknown) ar(unknown);
        bool said =
            ((parts & detail::has_fragment) && fragment.empty()) ||
            ((parts & detail::has_removals) && removals.empty()) || ((parts & detail::has_since) && since.empty()) ||
            ((parts & detail::has_horizon) && horizon.empty()) || ((parts & detail::has_unknown) && unknown.empty());
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
