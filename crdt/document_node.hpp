// SPDX-License-Identifier: Apache-2.0
#pragma once

// What stands at one path of a document.

#include "utf8.hpp"

#include <joinery/composed.hpp>
#include <joinery/document.hpp>
#include <joinery/dot_store.hpp>
#include <joinery/hash.hpp>
#include <joinery/lww_register.hpp>
#include <joinery/or_map.hpp>
#include <joinery/pn_counter.hpp>
#include <joinery/record.hpp>
#include <joinery/rga_list.hpp>
#include <joinery/rga_text.hpp>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace joinery::detail {

/// That a container was made here: so an empty one is there too.
struct document_mark {
    document::kind what = document::kind::map;

    friend bool operator==(const document_mark&, const document_mark&) = default;
    template <class Archive> void save(Archive& ar) const {
        ar(cereal::make_nvp("kind", static_cast<std::uint8_t>(what)));
    }
    template <class Archive> void load(Archive& ar) {
        std::uint8_t n = 0;
        ar(cereal::make_nvp("kind", n));
        if (n >= static_cast<std::uint8_t>(document::kind::value)) throw decode_failure(decode_error::invalid_value);
        what = static_cast<document::kind>(n);
    }
};

struct document_map;
class document_list;
struct document_node;

// Of the names of elements: in the order, and in what has them.
template <> inline constexpr bool sums_elements<unique_id> = true;
template <> inline constexpr bool sums_keys<unique_id, document_node> = true;

struct document_node {
    dot_store<document_mark> marks;
    lww_register<document_scalar> value;
    boxed<pn_counter> counter;
    boxed<rga_text> text;
    boxed<document_map> map;
    boxed<document_list> list;

    // Not inline, here and below: they are used in many places, and each is made of all that a document is.
    document_node();
    document_node(const document_node& other);
    document_node(document_node&& other) noexcept;
    document_node& operator=(const document_node& other);
    document_node& operator=(document_node&& other) noexcept;
    ~document_node();

    bool has(document::kind k) const;
    std::vector<document::kind> kinds() const;
    /// What changes tell of: what counts here, and beside it all else. Texts and what is below are told of apart.
    observation<shown_value> observed() const;
    static constexpr bool told_apart(std::uint32_t tag) { return tag >= 4; }
    /// Null if there is none.
    const document_node* child(const std::string& key) const;
    const document_node* child(const unique_id& element) const;
};
JOINERY_RECORD(document_node, (1, marks), (2, value), (3, counter), (4, text), (5, map), (6, list))

} // namespace joinery::detail

namespace joinery {

// As of any map; but that however deep it nests, a level of a document counts as one, and that what a state takes is
// known better.
template <class K> struct or_map_fragment<K, detail::document_node> {
    struct item {
        K key{};
        record_fragment<detail::document_node> value;

        item();
        item(K k, record_fragment<detail::document_node> v = {});
        item(const item& other);
        item(item&& other) noexcept;
        item& operator=(const item& other);
        item& operator=(item&& other) noexcept;
        ~item();
        friend bool operator==(const item&, const item&) = default;
    };
    std::vector<item> items;

    bool empty() const { return items.empty(); }
    friend bool operator==(const or_map_fragment&, const or_map_fragment&) = default;
    void save(compact_output_archive& ar) const {
        ar.varint(items.size());
        for (const auto& i : items) ar(i.key, i.value);
    }
    void load(compact_input_archive& ar);
};

namespace detail {

struct document_map : or_map<std::string, document_node> {};

struct document_list_parts {
    rga_list<unique_id> order;
    or_map<unique_id, document_node> items;

    static constexpr bool told_apart(std::uint32_t tag) { return tag == 2; }
};
JOINERY_RECORD(document_list_parts, (1, order), (2, items))

/// An element is there if something is at it or below. It stands at its place in the order; one that was erased while
/// somebody wrote below it may have none: such elements come last, by their names. A place may have nothing at it, if
/// its element was moved while somebody else erased it, and a name two, if it was put back meanwhile: the first counts.
class document_list : public composed<document_list_parts> {
public:
    bool empty() const { return inner_.items.empty(); }
    std::size_t size() const { return inner_.items.size(); }
    /// All, in order. O(n log n).
    std::vector<unique_id> all() const;
    std::optional<unique_id> at(std::size_t position) const;
    bool contains(const unique_id& element) const { return inner_.items.contains(element); }
    const document_node* find(const unique_id& element) const { return inner_.items.find(element); }
    /// How many of them have a place.
    std::size_t placed() const;

    /// Elements that are still to be filled.
    std::vector<unique_id> insert(transaction& tx, std::size_t position, std::size_t n);
    or_map<unique_id, document_node>::open_key open(transaction& tx, const unique_id& element) {
        return inner_.items.at(tx, element);
    }
    /// The element at that position, or where it is unknown.
    void erase(transaction& tx, const unique_id& element, std::optional<std::size_t> position);
    /// The same; it is then at position `to`, which is within the list. False if it is there.
    bool move(transaction& tx, const unique_id& element, std::optional<std::size_t> position, std::size_t to);

    /// Places that count no more go.
    bool untidy(const version_vector& stable) const;
    void tidy(transaction& tx, const version_vector& stable, kills& out);

    /// For those who follow what joins change: the elements, and where in the order they stand.
    using mark = std::pair<dot, unique_id>;
    std::vector<mark> marks() const;
    std::vector<list_step<unique_id>> steps_since(const std::vector<mark>& before) const;

    static std::string type_name() { return "document_list"; }

private:
    struct layout {
        std::vector<std::pair<unique_id, std::size_t>> placed; // with their positions in the order
        std::vector<std::size_t> idle;                         // the other positions
        std::vector<unique_id> astray;                         // without a place
    };
    bool regular() const;
    layout lay_out() const;
    // Behind this many of the elements that have a place, in the order.
    std::size_t gap(std::size_t elements) const;
    std::vector<std::size_t> superfluous(const version_vector& stable) const;
    std::optional<std::size_t> drop_repeated(transaction& tx, const unique_id& element);
};

/// The keys and what is below them, sorted.
std::vector<std::pair<const std::string*, const document_node*>> by_key(const document_node& n);
/// Takes away all that was seen here, but what is of this kind; its mark goes too.
void clear_except(document_node& n, transaction& tx, std::optional<document::kind> kept, kills& out);
/// In the place of all that was seen and cleared.
void put_mark(document_node& n, transaction& tx, document::kind what, kills seen = {});

} // namespace detail

extern template struct or_map_fragment<std::string, detail::document_node>;
extern template struct or_map_fragment<unique_id, detail::document_node>;
extern template class or_map<std::string, detail::document_node>;
extern template class or_map<unique_id, detail::document_node>;
extern template class rga_list<unique_id>;

template <class K> void or_map_fragment<K, detail::document_node>::load(compact_input_archive& ar) {
    // The box; in a list also the record inside it, and the field.
    constexpr int around = std::is_same_v<K, std::string> ? 2 : 3;
    constexpr std::uint64_t in_state = sizeof(K) + sizeof(detail::document_node) + 100; // a node, and tables growing
    const std::size_t n = ar.count();
    ar.charge(n * (sizeof(item) + in_state));
    items.clear();
    items.reserve(n);
    for (int i = 0; i < around; ++i) ar.leave();
    detail::slot_table keys;
    for (std::uint32_t i = 0; i < n; ++i) {
        item& x = items.emplace_back();
        const std::size_t before = ar.remaining();
        ar(x.key);
        if constexpr (std::is_same_v<K, std::string>)
            if (!detail::measure_utf8(x.key)) ar.fail(decode_error::invalid_value);
        ar.below(before - ar.remaining(), [&] { ar(x.value); });
        const std::uint32_t hash = detail::hash_of(x.key);
        auto same = [&](std::uint32_t k) { return items[k].key == x.key; };
        if (x.value.empty() || keys.find(hash, same) != detail::slot_table::none) ar.fail(decode_error::non_canonical);
        keys.insert(hash, i);
    }
    for (int i = 0; i < around; ++i) ar.enter();
}

} // namespace joinery
