// SPDX-License-Identifier: Apache-2.0
#pragma once

// Leaders of different versions can run together: a record's field that this version does not know is
// kept as it came, passed on with everything else, and joined once this program knows the field.
// Until then nothing is pruned, since what it holds cannot be looked at.

#include <joinery/compact_archive.hpp>
#include <joinery/compact_containers.hpp>

#include <cstddef>
#include <cstdint>
#include <set>
#include <span>
#include <utility>
#include <vector>

namespace joinery {

class shown_value;

/// One step of the way from a state's root to a value inside it: a record's tag or a map's key.
struct path_step {
    const path_step* outer;
    const void* what;
    void (*write)(compact_output_archive& ar, const void* what);
    shown_value (*show)(const void* what); ///< as changes tell of it (changes.hpp)
    bool shown = true;                     ///< false: it is no step there
};
/// All steps, from the root on.
std::vector<std::byte> encoded(const path_step* path);

/// The bytes of a fragment that cannot be read, with the dots that its encoding had named before.
struct opaque_fragment {
    detail::shared<std::vector<detail::dot_table::entry>> table;
    std::vector<std::byte> bytes;

    friend bool operator==(const opaque_fragment&, const opaque_fragment&) = default;

    /// Reads the fragment, now that its type is known. False if it is not one.
    template <class F> bool read(F& fragment) const {
        try {
            compact_input_archive ar(bytes, *table);
            ar(fragment);
            return ar.remaining() == 0;
        } catch (...) { // no version of the field wrote this
            return false;
        }
    }

    template <class Archive> void save(Archive& ar) const;
    template <class Archive> void load(Archive& ar);
};

/// Where a kept field belongs, and what the delta that brought it covers.
struct unknown_field {
    std::vector<std::byte> path;
    detail::shared<causal_context> covered;
    opaque_fragment content;

    friend bool operator==(const unknown_field&, const unknown_field&) = default;
    /// A canonical order: fields with equal coverage side by side.
    friend bool operator<(const unknown_field& a, const unknown_field& b);
    template <class Archive> void save(Archive& ar) const {
        ar(cereal::make_nvp("path", path), cereal::make_nvp("covered", *covered), cereal::make_nvp("content", content));
    }
    template <class Archive> void load(Archive& ar) {
        causal_context dots;
        ar(cereal::make_nvp("path", path), cereal::make_nvp("covered", dots), cereal::make_nvp("content", content));
        covered = std::move(dots);
    }

    /// The memory that a state takes to keep one, without its path, its bytes, and its coverage, which is shared.
    static constexpr std::size_t node_size = 176;
};

/// The bytes of a tag in a path, at most.
inline constexpr std::size_t max_tag_size = 5;

/// Accounts for a field that stands where `ar` reads, and will be kept with its path, but for its bytes.
inline void charge_unknown(compact_input_archive& ar) {
    constexpr std::size_t in_fragment = 3 * sizeof(std::pair<std::uint32_t, opaque_fragment>); // a growing vector
    ar.charge(in_fragment + unknown_field::node_size + ar.path() + max_tag_size);
}

/// The fields that a state keeps, each once. Those of one delta share its coverage.
using unknown_fields = std::set<unknown_field>;

/// Keeps a field found at `tag` below `record`.
void keep_unknown(unknown_fields& into, const path_step* record, std::uint32_t tag, const causal_context& covered,
                  const opaque_fragment& content);

namespace detail {
/// Where these belong, sorted. O(n log n).
std::vector<std::span<const std::byte>> places_of(const unknown_fields& fields);
std::vector<std::span<const std::byte>> places_of(const std::vector<unknown_field>& fields);
bool among(const std::vector<std::span<const std::byte>>& places, const unknown_field& field);
} // namespace detail

// ---- implementation ----

template <class Archive> void opaque_fragment::save(Archive& ar) const {
    if constexpr (is_compact_archive_v<Archive>) {
        ar.varint(table->size());
        for (const auto& e : *table) {
            ar.replica(e.replica);
            ar.varint(e.last);
        }
        ar(bytes);
    } else {
        ar(cereal::make_nvp("table", *table), cereal::make_nvp("bytes", bytes));
    }
}
template <class Archive> void opaque_fragment::load(Archive& ar) {
    std::vector<detail::dot_table::entry> named;
    if constexpr (is_compact_archive_v<Archive>) {
        std::size_t n = ar.count();
        ar.charge(n * sizeof(named[0]));
        named.reserve(n);
        for (; n > 0; --n) {
            replica_id r = ar.replica();
            named.push_back({r, ar.varint()});
        }
        ar(bytes);
    } else {
        ar(cereal::make_nvp("table", named), cereal::make_nvp("bytes", bytes));
    }
    table = {};
    if (!named.empty()) table = std::move(named);
}

namespace detail {
template <class Archive> void CEREAL_SAVE_FUNCTION_NAME(Archive& ar, const dot_table::entry& e) {
    ar(cereal::make_nvp("replica", e.replica.value()), cereal::make_nvp("last", e.last));
}
template <class Archive> void CEREAL_LOAD_FUNCTION_NAME(Archive& ar, dot_table::entry& e) {
    std::uint64_t value = 0;
    ar(cereal::make_nvp("replica", value), cereal::make_nvp("last", e.last));
    e.replica = replica_id{value};
}
} // namespace detail

} // namespace joinery
