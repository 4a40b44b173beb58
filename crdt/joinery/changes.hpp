// SPDX-License-Identifier: Apache-2.0
#pragma once

// What joins have changed of a value, place by place: for views that follow a state, and to tell people of conflicts.
//
//     joinery::change_list changes;
//     us.join(delta, &changes);
//     for (const auto& c : changes.take().values) std::cout << to_string(c) << '\n';
//         // carts/"alice"/coupon: "SPRING" -> "SUMMER", last write won over ["AUTUMN"]
//
// It is noted only if asked for. A type says what there is to see of it by a member `observed` (crdt.hpp).

#include <joinery/codec.hpp>
#include <joinery/unknown_fields.hpp>

#include <any>
#include <concepts>
#include <cstddef>
#include <iosfwd>
#include <optional>
#include <ranges>
#include <sstream>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

namespace joinery {

/// How a conflict was settled, where concurrent edits met.
enum class conflict_choice : std::uint8_t {
    none,            ///< there was none, or it is over
    last_write,      ///< the greatest timestamp counts
    all_kept,        ///< the values stand side by side
    merged,          ///< the type's own merge
    removal_wins,    ///< what was put in concurrently with a removal is not there
    unseen_survives, ///< a removal left what its author had not seen
};
std::string_view to_string(conflict_choice c);

/// What there is to see of a value: what types answer with when they are `observed`.
template <class V> struct observation {
    std::optional<V> value;
    conflict_choice how = conflict_choice::none;
    std::vector<V> overruled; ///< concurrent values that do not count for now

    observation() = default;
    observation(std::optional<V> v, conflict_choice h = conflict_choice::none) : value(std::move(v)), how(h) {}
    friend bool operator==(const observation&, const observation&) = default;
};

namespace detail {
void show(std::string& out, std::string_view text); // in quotes
void show(std::string& out, double number);
template <class V> void show_any(std::string& out, const V& v) {
    if constexpr (std::is_same_v<V, bool>) {
        out += v ? "true" : "false";
    } else if constexpr (std::convertible_to<const V&, std::string_view>) {
        show(out, std::string_view(v));
    } else if constexpr (std::floating_point<V>) {
        show(out, static_cast<double>(v));
    } else if constexpr (std::integral<V>) {
        out += std::to_string(v);
    } else if constexpr (requires { v.has_value(), *v; }) {
        v.has_value() ? show_any(out, *v) : void(out += "nothing");
    } else if constexpr (std::ranges::input_range<const V>) {
        out += '[';
        for (std::string_view comma; const auto& e : v) {
            out += std::exchange(comma, ", ");
            show_any(out, e);
        }
        out += ']';
    } else if constexpr (requires { out += to_string(v); }) {
        out += to_string(v);
    } else if constexpr (requires(std::ostringstream & s) { s << v; }) {
        std::ostringstream s;
        s << v;
        out += s.str();
    } else {
        out += "...";
    }
}
} // namespace detail

/// A copy of a value of any type, or nothing.
class shown_value {
public:
    shown_value() = default;
    template <std::equality_comparable V>
    explicit shown_value(V value) : value_(std::move(value)), kind_(&kind_of<V>) {}
    template <class V> explicit shown_value(std::optional<V> value) {
        if (value) *this = shown_value(std::move(*value));
    }

    bool has_value() const { return value_.has_value(); }
    /// The value, or null if it is of another type, or nothing.
    template <class V> const V* as() const { return std::any_cast<V>(&value_); }
    /// For people.
    std::string str() const;

    friend bool operator==(const shown_value& a, const shown_value& b) {
        return a.kind_ == b.kind_ && (!a.kind_ || a.kind_->same(a.value_, b.value_));
    }

private:
    struct kind {
        bool (*same)(const std::any&, const std::any&);
        void (*show)(std::string&, const std::any&);
    };
    template <class V>
    static constexpr kind kind_of{
        [](const std::any& a, const std::any& b) { return *std::any_cast<V>(&a) == *std::any_cast<V>(&b); },
        [](std::string& out, const std::any& a) { detail::show_any(out, *std::any_cast<V>(&a)); }};

    std::any value_;
    const kind* kind_ = nullptr;
};

/// What has changed in one place.
struct value_change {
    /// From the root: names of fields (std::string), keys and elements (of their own types).
    std::vector<shown_value> path;
    /// As the type is observed: the value of a counter or register, std::vector<V> of an mv_register, true and false
    /// of flags and of elements of sets, the number of times of a bag's, the parent of a tree's node; nothing where
    /// there was, or is, nothing. Of a text `before` is nothing and `after` a std::vector<text_change>, each such
    /// change on top of those before; or the whole text (std::string), where single changes are not known. Of an
    /// rga_list<T> likewise a std::vector<list_step<T>>. A vector is one pass from the start.
    /// Of what stands at a path of a document: document::scalar of a value, std::int64_t of a counter, and of a map, a
    /// list or a text its document::kind; for the last two also their steps, a list's of the names of its elements. The
    /// path has keys and names (document_path makes one of it); a container that is new comes before what is in it.
    shown_value before, after;
    conflict_choice how = conflict_choice::none; ///< if concurrent edits met here: what decided
    std::vector<shown_value> overruled;          ///< the concurrent values that do not count
};
/// One line for people.
std::string to_string(const value_change& c);
/// The steps, with slashes between.
std::string to_string(const std::vector<shown_value>& path);

/// What joins have changed since the last `take`, in the order in which it did first; what changed back is left out,
/// unless there was an edit here in between. Edits made here are not told, so a view of a text or list that is edited
/// here too is kept up to date by changes_since(revision()), or steps_since(marks()), instead.
struct noted_changes {
    std::vector<value_change> values;
    /// More than that: so much came at once that it is better read anew, or it is not known what changed.
    bool everything = false;
};

/// Notes what joins change. Takes O(what there is to see where something has changed).
class change_list {
public:
    /// Beyond `most` changes all counts as changed.
    explicit change_list(std::size_t most = 10'000) : most_(most) {}

    /// What was noted; nothing is noted then.
    noted_changes take();

    // For types, and what joins.
    template <class V> void note(const path_step* path, const observation<V>& before, observation<V> after) {
        if (before == after) return;
        std::vector<shown_value> overruled;
        for (auto&& v : after.overruled) overruled.emplace_back(V(std::move(v)));
        note(path, shown_value(before.value), shown_value(std::move(after.value)), after.how, std::move(overruled));
    }
    void note(const path_step* path, shown_value before, shown_value after, conflict_choice how = conflict_choice::none,
              std::vector<shown_value> overruled = {});
    /// Changes of a sequence, on top of those before.
    void note_steps(const path_step* path, shown_value steps);
    /// All of a sequence, in the place of those before.
    void note_whole(const path_step* path, shown_value value);
    void note_everything();
    /// What comes to be here is told of before what else is noted from now on. Requires: nothing is there.
    void note_in_front(const path_step* path);
    /// Something was edited here: what comes is told apart from what came.
    void edited() { places_.clear(); }

private:
    std::size_t most_;
    noted_changes noted_;
    std::unordered_map<std::string, std::size_t> places_; // of values by their encoded paths
    std::vector<std::size_t> sequences_;                  // the places of what was noted of texts and lists

    value_change* add(const path_step* path);
    value_change* add_sequence(const path_step* path);
};

/// The step from a container to what is at a key of it.
template <class K> path_step step_to_key(const path_step* outer, const K& key) {
    return {outer, &key, [](compact_output_archive& ar, const void* k) { ar(*static_cast<const K*>(k)); },
            [](const void* k) { return shown_value(*static_cast<const K*>(k)); }};
}

} // namespace joinery
