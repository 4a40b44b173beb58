// SPDX-License-Identifier: Apache-2.0
#pragma once

// Leaders of different versions can run together: a record's field that this version does not know is
// kept as it came, passed on with everything else, and joined once this program knows the field.
// Until then nothing is pruned, since what it holds cannot be looked at.

#include <joinery/compact_archive.hpp>
#include <joinery/compact_containers.hpp>

#include <cstdint>
#include <vector>

namespace joinery {

/// One step of the way from a state's root to a value inside it: a record's tag or a map's key.
struct path_step {
    const path_step* outer;
    const void* what;
    void (*write)(compact_output_archive& ar, const void* what);
};

/// The bytes of a fragment that cannot be read, with the dots that its encoding had named before.
struct opaque_fragment {
    std::vector<detail::dot_table::entry> table;
    std::vector<std::byte> bytes;

    friend bool operator==(const opaque_fragment&, const opaque_fragment&) = default;

    /// Reads the fragment, now that its type is known. False if it is not one.
    template <class F> bool read(F& fragment) const {
        try {
            compact_input_archive ar(bytes, table);
            ar(fragment);
            return ar.remaining() == 0;
        } catch (const std::exception&) {
            return false;
        }
    }

    template <class Archive> void save(Archive& ar) const;
    template <class Archive> void load(Archive& ar);
};

/// Where a kept field belongs, and what the delta that brought it covers.
struct unknown_field {
    std::vector<std::byte> path;
    causal_context covered;
    opaque_fragment content;

    friend bool operator==(const unknown_field&, const unknown_field&) = default;
    template <class Archive> void serialize(Archive& ar) {
        ar(cereal::make_nvp("path", path), cereal::make_nvp("covered", covered),
           cereal::make_nvp("content", content));
    }
};

/// Keeps a field found at `tag` below `record`.
void keep_unknown(std::vector<unknown_field>& into, const path_step* record, std::uint32_t tag,
                  const causal_context& covered, const opaque_fragment& content);

// ---- implementation ----

template <class Archive> void opaque_fragment::save(Archive& ar) const {
    std::vector<dot> dots;
    for (const auto& e : table) dots.push_back({e.replica, e.last + 1}); // a dot is never 0
    ar(cereal::make_nvp("table", dots), cereal::make_nvp("bytes", bytes));
}
template <class Archive> void opaque_fragment::load(Archive& ar) {
    std::vector<dot> dots;
    ar(cereal::make_nvp("table", dots), cereal::make_nvp("bytes", bytes));
    table.clear();
    for (const auto& d : dots) {
        if (d.seq == 0) throw decode_failure(decode_error::invalid_value);
        table.push_back({d.replica, d.seq - 1});
    }
}

} // namespace joinery
