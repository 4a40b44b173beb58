// SPDX-License-Identifier: Apache-2.0
#pragma once

// Mistakes that one makes when one writes CRDTs, most of them found in published systems or made while this
// library was written. The types beside this file are right, but for the one that is planted.

#include <array>
#include <string_view>

namespace planted {

enum class bug {
    none,
    // of types
    keeps_what_is_covered,    // mine stays although the delta covers its dot without carrying it
    enters_again,             // theirs enters although I have seen its dot: the removed comes back
    enters_though_killed,     // theirs enters although a removal that came first kills it
    stays_though_killed,      // a removal record does not drop what is present
    removal_without_record,   // a removal has a dot, and does not say what it kills
    removal_of_the_unseen,    // a removal kills one dot more than it had seen
    newest_of_replica_wins,   // an arriving add drops an older one by the same replica, seen by it or not
    rollback_keeps_entry,     // an edit that throws leaves its entry behind
    rollback_forgets_removed, // an edit that throws does not bring back what it removed
    delta_of_everything,      // a delta carries entries that were not asked for
    equality_by_arrival,      // == depends on the order in which entries came
    bytes_by_arrival,         // so does the order in which they are encoded
    digest_by_arrival,        // so does the digest
    copies_share,             // a copy shares its entries with the original
    one_dot_for_two,          // a batch writes two fields under one dot
    only_winner_is_kept,      // a register drops the siblings that lost
    ties_by_arrival,          // of equal timestamps the one that came first wins
    removed_count_comes_back, // a counter that went on counts what was removed
    unseen_count_is_removed,  // a counter's removal takes later increments too
    // of states
    killed_dots_are_seen,   // killed dots enter the context, so what else their deltas hold is never asked for
    early_prune,            // a record goes when its event is stable, whatever it kills
    part_as_whole,          // an answer carries what is new, and covers everything
    answer_without_records, // an answer leaves the removal records out
    horizon_is_not_told,    // a complete state does not say what it has pruned
    horizon_is_not_minded,  // a peer below the horizon gets an ordinary answer
    accepts_everything,     // answers that start beyond the version are joined
    always_grown,           // join says that it changed something when it did not
    compares_versions,      // what lies within the version vector's maxima is taken for seen
    // of engines
    counts_early_beacons, // a version is an acknowledgement although its sender had issued more
    count_
};

/// The mistake that is made now.
inline bug now = bug::none;

inline bool is(bug b) { return now == b; }

inline std::string_view name(bug b) {
    constexpr std::array<std::string_view, static_cast<std::size_t>(bug::count_)> names = {
        "none",
        "keeps what is covered without being carried",
        "lets the removed enter again",
        "lets the killed enter",
        "keeps what a record kills",
        "removes without a record",
        "removes what it has not seen",
        "lets a replica's newest add win unseen",
        "keeps the entry of an edit that threw",
        "does not bring back what a failed edit removed",
        "puts everything into each delta",
        "compares in order of arrival",
        "encodes in order of arrival",
        "digests in order of arrival",
        "shares entries between copies",
        "uses one dot for two fields",
        "keeps only the winner of a register",
        "breaks ties by arrival",
        "lets removed increments come back",
        "removes increments it has not seen",
        "takes killed dots for seen",
        "prunes a record when only its event is stable",
        "sends a part that covers the whole",
        "leaves records out of answers",
        "does not tell its horizon",
        "does not mind its horizon",
        "accepts every answer",
        "always says that it has grown",
        "compares versions instead of contexts",
        "counts beacons as acknowledgements too early",
    };
    return names[static_cast<std::size_t>(b)];
}

} // namespace planted
