// SPDX-License-Identifier: Apache-2.0
#pragma once

// What makes a type a CRDT that can be replicated, nested, encoded and tested. A type has the members
// below; a record (record.hpp) gets them from its fields.
//
//     struct fragment                                  what a delta carries of it: plain, encodable data
//         bool empty() const
//     void extract(const causal_context& wanted, fragment& out) const
//                                                      the entries whose dots are wanted, in canonical order;
//                                                      O(|answer| log n), never a scan
//     void join(const fragment& f, join_scope& s)      the join rule (join_scope.hpp); while a state is repaired
//                                                      (s.repairing) an entry that comes alive takes the place of
//                                                      its tombstone
//     void kill(const dot_range& dots, join_scope& s)  drops the entries that have these dots
//     void clear(transaction& tx, kills& out)          an enclosing key is removed: drops all live entries,
//                                                      adds their dots to `out`, and can be undone
//     bool empty() const                               nothing live
//     bool vacant() const                              nothing stored at all, tombstones included
//     bool operator==                                  equal live content, dots included
//     static std::string type_name()                   by which leaders know that they replicate the same
//
// Optional, for types whose entries leave something behind:
//     void kill(const run_removal& r, join_scope& s)   counters
//     void extract_rest(fragment& out) const           adds what no dot leads to (what outlives pruning) to the
//                                                      rest of a complete state
//     fragment live(const causal_context& all) const   what of it is live, for digests
//     std::uint64_t digest(const causal_context& all) const
// For containers, which may be large, if nothing in them leaves tombstones:
//     void save_whole(const causal_context& seen, compact_output_archive& ar) const
//                                                      encodes the fragment of all that was seen, without making it;
//                                                      nobody calls it if the value is vacant
// For types that put off work until they are read:
//     void extract_edit(const causal_context& edit, fragment& out)
//                                                      as extract, of the edit just made, while nobody else reads
// For types whose removed entries leave tombstones, these three together:
//     void prune(const version_vector& stable, std::span<const dot_range> settled, dot_sink* sink)
//     static void keep_live(fragment& f)               takes out what a removal left behind, and what rests on that
//     void known_removed(const causal_context& dots, causal_context& out) const
//                                                      adds those that left something behind for a known reason
// For types whose entries rest on others, which everybody else may have forgotten (replica<T>::rejoin):
//     static void drop_reissued(fragment& f, const causal_context& unsent)
//                                                      leaves out what `reissue` makes anew
//     void reissue(const T& before, const causal_context& unsent, const removal_log& log, transaction& tx)
//                                                      makes those of the unsent edits anew that the value had
//                                                      before; O(n)
// For types that keep entries which only say that something is not there:
//     bool untidy(const version_vector& stable) const  true if any of them are stable
//     void tidy(transaction& tx, const version_vector& stable, kills& out)
//                                                      drops those, as `clear` does
// For those who follow what joins change (changes.hpp):
//     observation<V> observed() const                  what there is to see of it; sequences have
//                                                      steps_since(marks()) instead. Without either, nothing is told
//     static constexpr bool removes_in_part = true     removals leave some of what they have seen
// and for records that are seen as one, and whose fields are no steps of their paths:
//     static constexpr bool told_apart(std::uint32_t)  false for the tags of the fields that `observed` tells of
// For containers:
//     bool place(compact_input_archive& path, const unknown_field& field, join_scope& s)
//                                                      joins a kept field that is now known into the value
//                                                      that the path leads to

#include <joinery/causal_context.hpp>
#include <joinery/changes.hpp>
#include <joinery/codec.hpp>
#include <joinery/digest.hpp>
#include <joinery/join_scope.hpp>
#include <joinery/removal_log.hpp>
#include <joinery/transaction.hpp>
#include <joinery/type_name.hpp>

#include <concepts>
#include <span>

namespace joinery {

/// A type that has the members above.
template <class T>
concept crdt_members = std::default_initializable<T> && std::movable<T> && std::equality_comparable<T> &&
    requires(T t, const T c, const typename T::fragment f, typename T::fragment out, const causal_context& wanted,
             join_scope& scope, const dot_range& dots, transaction& tx, kills& k) {
    { f.empty() } -> std::convertible_to<bool>;
    c.extract(wanted, out);
    t.join(f, scope);
    t.kill(dots, scope);
    t.clear(tx, k);
    { c.empty() } -> std::convertible_to<bool>;
    { c.vacant() } -> std::convertible_to<bool>;
    { T::type_name() } -> std::convertible_to<std::string>;
};

/// How the library reaches a type. The primary template calls its members; record.hpp adds records.
template <class T> struct crdt_traits { static constexpr bool is_crdt = false; };

namespace detail {
template <class T> bool holds(const T& t, const causal_context& dots) {
    typename crdt_traits<T>::fragment f;
    crdt_traits<T>::extract(t, dots, f);
    return !f.empty();
}
// Makes a change that is part of a join to what is observed, and notes it. `killing`: the event of the scope kills some
// of it.
template <class T, class Change>
void note_observed(T& t, join_scope& s, change_list& changes, bool killing, Change&& change) {
    const auto before = t.observed();
    if constexpr (requires { T::told_apart(0u); }) // what is inside comes after it
        if (!before.value) changes.note_in_front(s.path);
    change();
    auto after = t.observed();
    killing = s.event && (killing || before.value != after.value);
    // What was here before the event came, and was not killed by it, is concurrent with it.
    if (!requires { T::removes_in_part; } && killing && after.how == conflict_choice::none &&
        !holds(t, causal_context{*s.event}) && holds(t, s.seen))
        after.how = conflict_choice::unseen_survives;
    changes.note(s.path, before, std::move(after));
}
} // namespace detail

template <crdt_members T> struct crdt_traits<T> {
    static constexpr bool is_crdt = true;
    using fragment = typename T::fragment;

    /// True if removed entries leave tombstones that only causal stability lets go (sequences).
    static constexpr bool leaves_tombstones =
        requires(T t, const version_vector& v, std::span<const dot_range> d, dot_sink* s) {
        t.prune(v, d, s);
    };
    static_assert(
        !leaves_tombstones ||
            requires(const T t, fragment& f, const causal_context& dots, causal_context& out) {
                T::keep_live(f);
                t.known_removed(dots, out);
            },
        "a type with prune needs keep_live and known_removed");

    static void extract(const T& t, const causal_context& wanted, fragment& out) { t.extract(wanted, out); }
    static void extract_edit(T& t, const causal_context& wanted, fragment& out) {
        if constexpr (requires { t.extract_edit(wanted, out); })
            t.extract_edit(wanted, out);
        else
            t.extract(wanted, out);
    }
    static void extract_rest(const T& t, fragment& out) {
        if constexpr (requires { t.extract_rest(out); }) t.extract_rest(out);
    }
    /// True if whole values are encoded without making a fragment.
    static constexpr bool saves_whole =
        !leaves_tombstones && requires(const T t, const causal_context& seen, compact_output_archive& ar) {
        t.save_whole(seen, ar);
    };
    /// Calls emit(f), unless there is nothing, for f(archive) to encode the fragment of all that was seen.
    template <class Emit>
    static void save_whole(const T& t, const causal_context& seen, Emit&& emit) requires(!leaves_tombstones) {
        if constexpr (saves_whole) {
            if (!t.vacant()) emit([&](compact_output_archive& ar) { t.save_whole(seen, ar); });
        } else {
            fragment f;
            t.extract(seen, f);
            if (!f.empty()) emit([&](compact_output_archive& ar) { ar(f); });
        }
    }
    static void join(T& t, const fragment& f, join_scope& s) {
        noting(t, s, [&] { t.join(f, s); });
    }
    static void kill(T& t, const dot_range& dots, join_scope& s) {
        if constexpr (tells)
            if (s.changes && holds(t, causal_context{dots}))
                return noting(
                    t, s, [&] { t.kill(dots, s); }, true);
        t.kill(dots, s);
    }
    static void kill(T& t, const run_removal& r, join_scope& s) {
        if constexpr (requires { t.kill(r, s); }) noting(t, s, [&] { t.kill(r, s); });
    }
    static void clear(T& t, transaction& tx, kills& out) { t.clear(tx, out); }
    static bool empty(const T& t) { return t.empty(); }
    static bool vacant(const T& t) { return t.vacant(); }
    static void prune(T& t, const version_vector& stable, std::span<const dot_range> settled, dot_sink* sink) {
        if constexpr (leaves_tombstones) t.prune(stable, settled, sink);
    }
    /// What is left of removed entries, and where the others stood among them, differs from replica to replica: takes
    /// that out of a fragment, and brings the rest into one order.
    static void keep_live(fragment& f) {
        if constexpr (leaves_tombstones) T::keep_live(f);
    }
    /// Adds those of these dots whose entries left tombstones for a known reason.
    static void known_removed(const T& t, const causal_context& dots, causal_context& out) {
        if constexpr (leaves_tombstones) t.known_removed(dots, out);
    }
    /// True if unsent edits cannot always be kept as they are.
    static constexpr bool reissues =
        requires(T t, const T c, const causal_context& unsent, const removal_log& log, transaction& tx) {
        t.reissue(c, unsent, log, tx);
    };
    static void drop_reissued(fragment& f, const causal_context& unsent) {
        if constexpr (reissues) T::drop_reissued(f, unsent);
    }
    static void reissue(T& t, const T& before, const causal_context& unsent, const removal_log& log, transaction& tx) {
        if constexpr (reissues) t.reissue(before, unsent, log, tx);
    }
    /// True if there may be entries which only say that something is not there (replica<T>::tidy).
    static constexpr bool tidies = requires(T t, const T c, transaction& tx, const version_vector& stable, kills& out) {
        { c.untidy(stable) } -> std::convertible_to<bool>;
        t.tidy(tx, stable, out);
    };
    static bool untidy(const T& t, const version_vector& stable) {
        if constexpr (tidies)
            return t.untidy(stable);
        else
            return false;
    }
    static void tidy(T& t, transaction& tx, const version_vector& stable, kills& out) {
        if constexpr (tidies) t.tidy(tx, stable, out);
    }
    /// Joins a field that was kept for a later version; false if this version does not know it either.
    static bool place(T& t, compact_input_archive& path, const unknown_field& field, join_scope& s) {
        if constexpr (requires { t.place(path, field, s); })
            return t.place(path, field, s);
        else
            return false;
    }
    static bool equal(const T& a, const T& b) { return a == b; }
    /// A digest of the live content; `all` is the context of the state that holds it.
    static std::uint64_t digest(const T& t, const causal_context& all) {
        if constexpr (requires { t.digest(all); }) {
            return t.digest(all);
        } else if constexpr (requires { t.live(all); }) {
            return joinery::digest(encode(t.live(all)));
        } else {
            fragment f;
            t.extract(all, f);
            return joinery::digest(encode(f));
        }
    }
    static std::string type_name() { return T::type_name(); }

private:
    static constexpr bool is_observed = requires(const T c) { c.observed(); };
    static constexpr bool has_revisions = requires(const T c) { c.changes_since(c.revision()); };
    static constexpr bool has_marks = requires(const T c) { c.steps_since(c.marks()); };
    static constexpr bool tells = is_observed || has_revisions || has_marks;

    // Makes a change that is part of a join, and notes it if anybody wants to know. `killing`: the event of the scope
    // kills some of it.
    template <class Change> static void noting(T& t, join_scope& s, Change&& change, bool killing = false) {
        if (!s.changes) return change();
        if constexpr (is_observed) {
            change_list* changes = std::exchange(s.changes, nullptr); // not what it is made of
            detail::note_observed(t, s, *changes, killing, std::forward<Change>(change));
            s.changes = changes;
        } else if constexpr (has_revisions) {
            const auto before = t.revision();
            change();
            const auto steps = t.changes_since(before);
            if (!steps)
                s.changes->note_whole(s.path, shown_value(t.str()));
            else if (!steps->empty())
                s.changes->note_steps(s.path, shown_value(*steps));
        } else if constexpr (has_marks) {
            const auto before = t.marks();
            change();
            if (auto steps = t.steps_since(before); !steps.empty())
                s.changes->note_steps(s.path, shown_value(std::move(steps)));
        } else {
            change();
        }
    }
    static bool holds(const T& t, const causal_context& dots) { return detail::holds(t, dots); }
};

/// A type whose values can be replicated: replica<T>. What one lacks is told by checked_crdt.
template <class T>
concept crdt = crdt_members<T> || crdt_traits<T>::is_crdt;

/// For a static_assert beside a type of your own: true, or else it does not compile, with a sentence for each member
/// that is missing.
template <class T> constexpr bool checked_crdt() {
    constexpr bool has_fragment = crdt<T> || requires { typename T::fragment; };
    static_assert(has_fragment, "T is no CRDT: it has no type `fragment`, and was not declared by JOINERY_RECORD");
    if constexpr (has_fragment && !crdt<T>) {
        using fragment = typename T::fragment;
        static_assert(std::default_initializable<T> && std::movable<T> && std::equality_comparable<T>,
                      "T is no CRDT: it cannot be made without arguments, moved, and compared with ==");
        static_assert(
            requires(const fragment f, fragment out) {
                { f.empty() } -> std::convertible_to<bool>;
            },
            "T is no CRDT: its fragment lacks `bool empty() const`");
        static_assert(
            requires(const T c, const causal_context& wanted, fragment& out) { c.extract(wanted, out); },
            "T is no CRDT: it lacks `void extract(const causal_context& wanted, fragment& out) const`");
        static_assert(
            requires(T t, const fragment& f, join_scope& s) { t.join(f, s); },
            "T is no CRDT: it lacks `void join(const fragment& f, join_scope& s)`");
        static_assert(
            requires(T t, const dot_range& dots, join_scope& s) { t.kill(dots, s); },
            "T is no CRDT: it lacks `void kill(const dot_range& dots, join_scope& s)`");
        static_assert(
            requires(T t, transaction & tx, kills & out) { t.clear(tx, out); },
            "T is no CRDT: it lacks `void clear(transaction& tx, kills& out)`");
        static_assert(
            requires(const T c) {
                { c.empty() } -> std::convertible_to<bool>;
            },
            "T is no CRDT: it lacks `bool empty() const`");
        static_assert(
            requires(const T c) {
                { c.vacant() } -> std::convertible_to<bool>;
            },
            "T is no CRDT: it lacks `bool vacant() const`");
        static_assert(
            requires {
                { T::type_name() } -> std::convertible_to<std::string>;
            },
            "T is no CRDT: it lacks `static std::string type_name()`");
    }
    return crdt<T>;
}

template <crdt T> using fragment_of = typename crdt_traits<T>::fragment;

/// Two leaders whose fingerprints differ do not replicate the same type. Equal ones say less: a record's
/// fields are not in its name, so that leaders of different versions can run together.
template <crdt T> std::uint64_t fingerprint() { return digest(crdt_traits<T>::type_name()); }

} // namespace joinery
