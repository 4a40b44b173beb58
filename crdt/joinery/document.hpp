// SPDX-License-Identifier: Apache-2.0
#pragma once

// A document as JSON knows them, that several replicas edit at once: maps, lists, texts, counters and values, nested,
// and none of it declared beforehand.
//
//     joinery::replica<joinery::document> eu{joinery::replica_id::random()};
//     us.join(eu.edit([](joinery::document& d, auto& tx) {
//         const auto done = d.import_json(tx, {}, R"({"title": "Trip", "to do": ["pack"]})");
//         if (!done) throw std::invalid_argument(to_string(done.error()));
//         d.set(tx, {"to do", 0}, "pack the tent");
//         d.move(tx, {"to do", d.push_back(tx, {"to do"}, "book a train")}, 0);
//         d.increment(tx, {"votes"});
//     }));
//
// What concurrent edits do follows from what stands at a path being up to five things side by side, each a type of its
// own: a map (or_map), a list (rga_list), a text (rga_text), a counter (pn_counter) and a value (lww_register).
//
//   - set and make decide what stands at a path: whatever else was seen there goes. All other edits change what is
//     there, and make it if nothing is. So two leaders who create one path with different types keep both, until
//     somebody who has seen both decides; what two of them do to one kind merges as that type does.
//   - Erasing takes what was seen at the path and below. What was written there concurrently survives, with the path to
//     it; an element of a list then stands at the list's end, since its place has gone. It can be moved from there.
//   - Concurrent insertions into a list all stay, in the order of rga_list. Of concurrent moves of an element the last
//     place wins; an edit of what it holds and a move both take effect. One that is moved and erased concurrently is
//     erased, unless somebody wrote below it: then it is where it was moved to.
//
// Why the join converges: all of it is a record of those types, which holds maps of itself. The idea of a JSON of
// replicated types: Kleppmann, Beresford, "A Conflict-Free Replicated JSON Datatype" (2017).

#include <joinery/boxed.hpp>
#include <joinery/changes.hpp>
#include <joinery/compact_containers.hpp>
#include <joinery/replica.hpp>
#include <joinery/result.hpp>
#include <joinery/unique_id.hpp>

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

namespace joinery {

class rga_text;
namespace detail {
struct document_node;
}

namespace detail {
/// Integers that are numbers, and not characters.
template <class N>
concept number = std::integral<N> && !std::same_as<N, bool> && !std::same_as<N, char> && !std::same_as<N, wchar_t> &&
                 !std::same_as<N, char8_t> && !std::same_as<N, char16_t> && !std::same_as<N, char32_t>;
/// What converts to a number, and is not meant as one.
template <class N>
concept no_number = (std::integral<N> && !number<N>) || (std::is_enum_v<N> && std::is_convertible_v<N, int>);
} // namespace detail

/// A value that has nothing below it. An integer is an int64 if it fits. A char is a text of one character; wider
/// characters and enumerators are refused by the compiler.
class document_scalar {
public:
    using variant = std::variant<std::monostate, bool, std::int64_t, std::uint64_t, double, std::string>;

    document_scalar(); ///< null
    document_scalar(const document_scalar& other);
    document_scalar(document_scalar&& other) noexcept;
    document_scalar& operator=(const document_scalar& other);
    document_scalar& operator=(document_scalar&& other) noexcept;
    ~document_scalar();
    document_scalar(std::nullptr_t) {}
    document_scalar(std::same_as<bool> auto b) : value_(b) {}
    document_scalar(std::same_as<char> auto c) : value_(std::string(1, c)) {}
    template <detail::no_number N>
        requires(!std::same_as<N, bool> && !std::same_as<N, char>)
    document_scalar(N)
    = delete;
    template <detail::number N> document_scalar(N n) {
        if (std::in_range<std::int64_t>(n))
            value_ = static_cast<std::int64_t>(n);
        else
            value_ = static_cast<std::uint64_t>(n);
    }
    /// std::invalid_argument if it is infinite or not a number, which JSON does not know.
    document_scalar(double x);
    /// UTF-8, which is checked where it is written.
    document_scalar(std::string s) : value_(std::move(s)) {}
    document_scalar(std::string_view s) : value_(std::string(s)) {}
    document_scalar(const char* s) : value_(std::string(s)) {}

    const variant& get() const { return value_; }
    bool is_null() const { return value_.index() == 0; }
    /// Null if it is of another type.
    template <class T> const T* get_if() const { return std::get_if<T>(&value_); }
    /// As in JSON; a double keeps a point or an exponent, and reads back as it was.
    std::string to_json() const;

    /// Equal types with equal values; of doubles, bits.
    friend bool operator==(const document_scalar& a, const document_scalar& b);

    template <class Archive> void save(Archive& ar) const { ar(cereal::make_nvp("value", value_)); }
    template <class Archive> void load(Archive& ar) {
        ar(cereal::make_nvp("value", value_));
        if (!valid()) throw decode_failure(decode_error::invalid_value);
    }
    bool valid() const;

private:
    variant value_;
};

inline std::string to_string(const document_scalar& v) { return v.to_json(); }

/// A step from a container to what it holds: a key of a map; an element of a list, by its position or by its name. A
/// char is a key of one character.
class document_step {
public:
    /// Of a JSON pointer: a position if a list is there, else a key.
    struct token {
        std::string text;
        friend bool operator==(const token&, const token&) = default;
    };
    using variant = std::variant<std::string, std::size_t, unique_id, token>;

    document_step(std::string key) : step_(std::move(key)) {}
    document_step(std::string_view key) : step_(std::string(key)) {}
    document_step(const char* key) : step_(std::string(key)) {}
    document_step(std::same_as<char> auto key) : step_(std::string(1, key)) {}
    template <detail::no_number N>
        requires(!std::same_as<N, char>)
    document_step(N)
    = delete;
    template <detail::number N> document_step(N position) : step_(checked(position)) {}
    document_step(const unique_id& element) : step_(element) {}
    document_step(token t) : step_(std::move(t)) {}

    const variant& get() const { return step_; }
    friend bool operator==(const document_step&, const document_step&) = default;

private:
    variant step_;
    template <detail::number N> static std::size_t checked(N position) {
        return std::in_range<std::size_t>(position) ? static_cast<std::size_t>(position) : SIZE_MAX;
    }
};

/// From the root: {"users", 3, "name"}, or a JSON pointer (RFC 6901): "/users/3/name". Without steps, the root.
/// In a pointer "~1" is '/' and "~0" is '~'. Where a list is, a token is a position without leading zeros; "-", which
/// is where the next element would be, leads to nothing: push_back appends.
class document_path {
public:
    document_path() = default;
    document_path(std::initializer_list<document_step> steps) : steps_(steps) {}
    explicit document_path(std::vector<document_step> steps) : steps_(std::move(steps)) {}
    /// std::invalid_argument if it is none.
    document_path(std::string_view pointer);
    document_path(std::nullptr_t) = delete; // 0 is no path: {0} is
    document_path(const char* pointer) : document_path(std::string_view(pointer)) {}
    document_path(const std::string& pointer) : document_path(std::string_view(pointer)) {}
    /// What a change tells of (value_change::path), from its step number `first` on; std::invalid_argument if those are
    /// not all keys and names.
    explicit document_path(const std::vector<shown_value>& told, std::size_t first = 0);

    const std::vector<document_step>& steps() const { return steps_; }
    friend document_path operator/(document_path p, document_step s) {
        p.steps_.push_back(std::move(s));
        return p;
    }
    friend bool operator==(const document_path&, const document_path&) = default;

private:
    std::vector<document_step> steps_;
};
/// As a JSON pointer; the name of an element as text.
std::string to_string(const document_path& p);

/// Why a JSON text was refused, and where: the byte, counted from 0, and for people the line and in it the character,
/// both counted from 1.
struct json_error {
    std::string reason;
    std::size_t byte = 0;
    std::size_t line = 1, column = 1;
};
/// "line 3, column 7: ',' or '}' is missing in an object"
std::string to_string(const json_error& e);

/// What a delta carries of a document. Archives other than the compact ones see it as bytes.
class document_fragment {
public:
    document_fragment();
    document_fragment(const document_fragment& other);
    document_fragment(document_fragment&& other) noexcept;
    document_fragment& operator=(const document_fragment& other);
    document_fragment& operator=(document_fragment&& other) noexcept;
    ~document_fragment();

    bool empty() const;
    friend bool operator==(const document_fragment& a, const document_fragment& b);
    void save(compact_output_archive& ar) const;
    void load(compact_input_archive& ar);
    template <class Archive> void save(Archive& ar) const { ar(cereal::make_nvp("bytes", encode(*this))); }
    template <class Archive> void load(Archive& ar) {
        std::vector<std::byte> bytes;
        ar(cereal::make_nvp("bytes", bytes));
        auto f = decode<document_fragment>(bytes);
        if (!f) throw decode_failure(f.error());
        *this = std::move(*f);
    }

    using content = detail::boxed<detail::document_node>::fragment;
    const content& get() const { return content_; }
    content& get() { return content_; }

private:
    content content_;
};

/// Errors of edits, before anything is changed: std::out_of_range if an element or a position is not there,
/// std::invalid_argument if the path leads through something, or the edit is of a kind, that is not what is there, or
/// if text is not valid UTF-8; std::length_error if a path has more than max_depth steps. Reading what is not there
/// gives nothing.
///
/// A step costs O(1), by a position O(log n) in its list. In a list of which an element was concurrently moved twice,
/// or erased and written or moved, a step by position takes O(n log n); so does erasing or moving an element by its
/// name.
class document {
public:
    using fragment = document_fragment;
    using path = document_path;
    using scalar = document_scalar;
    /// In this order of precedence: the first that is there is what to_json shows.
    enum class kind : std::uint8_t { map, list, text, counter, value };

    /// Steps in a path, at most: what is decoded deeper is refused.
    static constexpr std::size_t max_depth = 32;
    /// The bytes of a JSON text, at most.
    static constexpr std::size_t max_json = std::size_t{1} << 28;

    document();
    document(const document& other);
    document(document&& other) noexcept;
    document& operator=(const document& other);
    document& operator=(document&& other) noexcept;
    ~document();

    // ---- editing; maps on the way are made where nothing is ----

    /// A value stands at the path, and nothing else that was seen there.
    void set(transaction& tx, const path& at, scalar value);
    /// Such a container stands at the path, and nothing else that was seen there. One that is there stays as it is.
    /// std::invalid_argument for a value.
    void make(transaction& tx, const path& at, kind what);
    void make_map(transaction& tx, const path& at) { make(tx, at, kind::map); }
    void make_list(transaction& tx, const path& at) { make(tx, at, kind::list); }
    void make_text(transaction& tx, const path& at) { make(tx, at, kind::text); }
    void make_counter(transaction& tx, const path& at) { make(tx, at, kind::counter); }
    /// A new element of the list before position `pos`: a value, or an empty container. Its name. At a position behind
    /// an element without a place it stands behind the last one that has one.
    unique_id insert(transaction& tx, const path& list, std::size_t pos, scalar value);
    unique_id insert(transaction& tx, const path& list, std::size_t pos, kind what);
    unique_id push_back(transaction& tx, const path& list, scalar value);
    unique_id push_back(transaction& tx, const path& list, kind what);
    /// Takes an element to another place in its list: it is then at position `to`, which is within the list; or behind
    /// the last that has a place. Its name, and what is below it, stay. Does nothing if it is there.
    /// std::invalid_argument if the path does not lead to an element of a list.
    void move(transaction& tx, const path& element, std::size_t to);
    /// Takes away all that was seen at the path and below. False, with nothing done, if there is nothing. O(what goes).
    bool erase(transaction& tx, const path& at);
    /// Counts up, or down if n is negative. std::overflow_error as pn_counter.
    void increment(transaction& tx, const path& counter, std::int64_t n = 1);
    /// Positions are code points.
    void insert_text(transaction& tx, const path& text, std::size_t pos, std::string_view utf8);
    void erase_text(transaction& tx, const path& text, std::size_t pos, std::size_t n);
    /// All that rga_text can do: runs f on the text.
    void edit_text(transaction& tx, const path& text, const std::function<void(rga_text&)>& f);
    /// A JSON text takes the place of what was seen at the path; its strings become values. With an error nothing has
    /// changed: what is not JSON, nested too deeply or too large, a key twice, text that is not UTF-8, an integer that
    /// neither int64 nor uint64 has, another number beyond what double has. O(n log n).
    [[nodiscard]] result<void, json_error> import_json(transaction& tx, const path& at, std::string_view json);

    // ---- reading ----

    bool contains(const path& at) const { return !kinds(at).empty(); }
    /// All kinds that are there, in order of precedence; more than one: a conflict, which set, make and erase resolve.
    std::vector<kind> kinds(const path& at) const;
    /// The value, or nothing if none is there. O(siblings).
    std::optional<scalar> get(const path& at) const;
    /// All concurrent values, the winner first.
    std::vector<scalar> siblings(const path& at) const;
    std::optional<std::string> text(const path& at) const;
    /// Null if there is none. Invalidated by every change.
    const rga_text* find_text(const path& at) const;
    std::optional<std::int64_t> counter(const path& at) const;
    /// The elements of the list, or if there is none the keys of the map.
    std::size_t size(const path& at) const;
    /// Of the map, sorted. O(n log n).
    std::vector<std::string> keys(const path& at) const;
    /// The name of an element, which is a step too, and stays when positions change. Nothing if the path does not end
    /// in an element of a list.
    std::optional<unique_id> name(const path& element) const;
    /// The names of all elements of the list, in order: to go through a long one. O(n log n).
    std::vector<unique_id> names(const path& list) const;
    /// All paths at which several kinds or values stand, in the order of to_json. O(n log n).
    std::vector<path> conflicts() const;
    /// What is at the path, and below, of each only the kind of highest precedence and the value that wins; null if
    /// there is nothing. Keys are sorted; with `indent` > 0 in lines. O(n log n).
    std::string to_json(const path& at = {}, unsigned indent = 0) const;

    /// Equal content, dots included. O(n).
    friend bool operator==(const document& a, const document& b);

    // The CRDT interface (crdt.hpp).
    void extract(const causal_context& wanted, fragment& out) const;
    void extract_rest(fragment& out) const;
    void join(const fragment& f, join_scope& s);
    void kill(const dot_range& dots, join_scope& s);
    void kill(const run_removal& r, join_scope& s);
    void clear(transaction& tx, kills& out);
    bool empty() const;
    bool vacant() const;
    void prune(const version_vector& stable, std::span<const dot_range> settled, dot_sink* sink);
    static void keep_live(fragment& f);
    void known_removed(const causal_context& dots, causal_context& out) const;
    static void drop_reissued(fragment& f, const causal_context& unsent);
    void reissue(const document& before, const causal_context& unsent, const removal_log& log, transaction& tx);
    bool untidy(const version_vector& stable) const;
    void tidy(transaction& tx, const version_vector& stable, kills& out);
    bool place(compact_input_archive& path, const unknown_field& field, join_scope& s);
    std::uint64_t digest(const causal_context& all) const;
    static std::string type_name() { return "document"; }

private:
    detail::boxed<detail::document_node> root_;

    using change = std::function<void(detail::document_node&)>;
    void write(transaction& tx, const path& at, const change& f);
    unique_id insert_element(transaction& tx, const path& list, std::size_t pos, const change& fill);
    std::size_t end_of(const path& list) const;
    const detail::document_node* find(const path& at) const;
    const detail::document_node* writable(const path& at, std::size_t further = 0) const;
    const detail::document_node* writable(const path& at, kind what, std::size_t further = 0) const;
};

/// "map", "list", "text", "counter", "value".
std::string_view to_string(document::kind k);

} // namespace joinery
