// SPDX-License-Identifier: Apache-2.0
#pragma once

// What a delta carries of a list (rga_list.hpp).

#include <joinery/codec.hpp>
#include <joinery/compact_containers.hpp>
#include <joinery/dot_entries.hpp>
#include <joinery/hybrid_clock.hpp>
#include <joinery/text_fragment.hpp>

#include <cstddef>
#include <cstdint>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace joinery {

/// What a placeholder says that an element was moved to.
struct list_move {
    dot element;       ///< the placeholder that it was inserted with
    timestamp placed;  ///< when it was moved
    timestamp written; ///< when the value was set that it took along; zero: never

    static constexpr std::size_t memory = 256; // of what a list keeps of it
    friend bool operator==(const list_move&, const list_move&) = default;
    template <class Archive> void save(Archive& ar) const {
        ar(CEREAL_NVP(element), CEREAL_NVP(placed), CEREAL_NVP(written));
    }
    template <class Archive> void load(Archive& ar) {
        ar(CEREAL_NVP(element), CEREAL_NVP(placed), CEREAL_NVP(written));
        if constexpr (is_compact_archive_v<Archive>) ar.charge(memory);
        if (element.seq == 0 || placed == timestamp{}) throw decode_failure(decode_error::invalid_value);
    }
};

/// A value that an element was set to.
template <class T> struct list_set {
    dot place;         ///< the placeholder at which the element was then
    timestamp placed;  ///< when it was moved there; zero: it was inserted there
    dot element;       ///< the placeholder that it was inserted with
    timestamp written; ///< when it was set
    T value{};

    static constexpr std::size_t memory = 384; // of what a list keeps of it, less the value
    friend bool operator==(const list_set&, const list_set&) = default;
    template <class Archive> void save(Archive& ar) const {
        ar(CEREAL_NVP(place), CEREAL_NVP(placed));
        if (placed != timestamp{} || !is_compact_archive_v<Archive>) ar(CEREAL_NVP(element));
        ar(CEREAL_NVP(written), CEREAL_NVP(value));
    }
    template <class Archive> void load(Archive& ar) {
        ar(CEREAL_NVP(place), CEREAL_NVP(placed));
        element = place;
        if (placed != timestamp{} || !is_compact_archive_v<Archive>) ar(CEREAL_NVP(element));
        ar(CEREAL_NVP(written), CEREAL_NVP(value));
        if constexpr (is_compact_archive_v<Archive>) ar.charge(memory);
        if (place.seq == 0 || element.seq == 0 || (placed == timestamp{} && element != place))
            throw decode_failure(decode_error::invalid_value);
    }
};

template <class T> struct list_fragment {
    text_fragment order;          ///< a placeholder for each place that lives
    std::vector<T> elements;      ///< what is there, in the order of the runs
    dot_entries<list_move> moves; ///< those of the places that elements were moved to
    dot_entries<list_set<T>> sets{};

    bool empty() const { return order.empty() && sets.empty(); }
    /// Calls f(dot) for the places that live, in the order of `elements`.
    template <class F> void for_each_live(F&& f) const {
        for (const auto& r : order.runs)
            for (std::uint64_t i = 0; !r.deleted && i < r.count; ++i) f(dot{r.first.replica, r.first.seq + i});
    }
    friend bool operator==(const list_fragment&, const list_fragment&) = default;

    template <class Archive> void save(Archive& ar) const;
    template <class Archive> void load(Archive& ar);

private:
    void check() const;
};

// ---- implementation ----

template <class T> void list_fragment<T>::check() const {
    bool ok = elements.size() == order.text.size() && order.text.find_first_not_of('x') == std::string::npos;
    if (ok && !moves.empty()) {
        causal_context live;
        for (const auto& r : order.runs)
            if (!r.deleted) live.add({r.first.replica, r.first.seq, r.first.seq + r.count - 1});
        for (const auto& m : moves) ok = ok && live.contains(m.where);
    }
    if (!ok) throw decode_failure(decode_error::invalid_value);
}

// A byte says which of the rest there is. Of elements there are as many as there are placeholders.
template <class T> template <class Archive> void list_fragment<T>::save(Archive& ar) const {
    if constexpr (is_compact_archive_v<Archive>) {
        detail::write_spelled_out(ar, order);
        ar.byte(static_cast<std::uint8_t>((moves.empty() ? 0 : 1) | (sets.empty() ? 0 : 2)));
        if constexpr (std::is_arithmetic_v<T> && sizeof(T) == 1 && !std::is_same_v<T, bool>)
            ar.raw(elements.data(), elements.size());
        else
            for (const auto& e : elements) write_element(ar, static_cast<const T&>(e));
        if (!moves.empty()) ar(moves);
        if (!sets.empty()) ar(sets);
    } else {
        ar(CEREAL_NVP(order), CEREAL_NVP(elements), CEREAL_NVP(moves), CEREAL_NVP(sets));
    }
}

template <class T> template <class Archive> void list_fragment<T>::load(Archive& ar) {
    if constexpr (is_compact_archive_v<Archive>) {
        detail::read_spelled_out(ar, order);
        const std::uint8_t parts = ar.byte();
        if (parts > 3) throw decode_failure(decode_error::invalid_value);
        const std::size_t n = order.text.size();
        if (n > ar.remaining()) throw decode_failure(decode_error::truncated);
        ar.charge(std::uint64_t{n} * sizeof(T));
        elements.clear();
        elements.reserve(n);
        if constexpr (std::is_arithmetic_v<T> && sizeof(T) == 1 && !std::is_same_v<T, bool>) {
            const auto part = ar.raw(n);
            const auto* data = reinterpret_cast<const T*>(part.data());
            elements.assign(data, data + part.size());
        } else {
            for (std::size_t i = 0; i < n; ++i) {
                T e{};
                read_element(ar, e);
                elements.push_back(std::move(e));
            }
        }
        if (parts & 1) ar(moves);
        if (parts & 2) ar(sets);
        if (((parts & 1) && moves.empty()) || ((parts & 2) && sets.empty()))
            throw decode_failure(decode_error::non_canonical);
    } else {
        ar(CEREAL_NVP(order), CEREAL_NVP(elements), CEREAL_NVP(moves), CEREAL_NVP(sets));
    }
    check();
}

} // namespace joinery
