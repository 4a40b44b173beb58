// SPDX-License-Identifier: Apache-2.0
#pragma once

// What the simulated nodes replicate, the edits that they make, and the specification: what a document must
// show, as a plain function of the edits that its node has seen, without any thought of deltas or messages.

#include <joinery/lww_register.hpp>
#include <joinery/mv_register.hpp>
#include <joinery/or_map.hpp>
#include <joinery/or_set.hpp>
#include <joinery/pn_counter.hpp>
#include <joinery/random_source.hpp>
#include <joinery/record.hpp>
#include <joinery/rga_text.hpp>

#include <cstdint>
#include <string>
#include <vector>

namespace joinery::simulation {

struct document {
    or_set<std::uint32_t> tags;
    or_map<std::uint32_t, pn_counter> counts;
    lww_register<std::uint32_t> title;
    mv_register<std::uint32_t> labels;
    rga_text text;
};
JOINERY_RECORD(document, (1, tags), (2, counts), (3, title), (4, labels), (5, text))

/// A part of an edit. The parts of one edit concern different fields.
struct operation {
    enum class kind : std::uint8_t {
        add,
        remove,
        count,
        forget, // a key of `counts`
        set_title,
        reset_title,
        set_labels,
        reset_labels,
        type,
        erase
    };
    kind what{};
    std::uint32_t key = 0;   ///< element, key or value
    std::int64_t amount = 0; ///< of a count
    std::u32string text{};   ///< typed or erased; every character is typed once in a schedule
};
std::string to_string(const operation& o);

/// One edit, and what its node had seen.
struct edit_record {
    std::size_t collection = 0;
    dot_range dots;
    version_vector seen;
    timestamp written;
    std::vector<operation> operations;

    std::size_t lineage = 0;   ///< the storage that it was made on
    bool acknowledged = false; ///< it was flushed
    bool published = false;    ///< others may know it; its dots never change again
    bool excused = false;      ///< all storages that had it were lost
    bool gone = false;         ///< it was never acknowledged, or never left the storage that was lost

    bool saw(const edit_record& e) const { return seen[e.dots.replica] >= e.dots.last; }
};

/// Draws the operations of one edit. `next_character` is raised by what is typed.
std::vector<operation> draw_operations(testing::random_source& random, const document& d, char32_t& next_character);
void apply(const operation& o, document& d, transaction& tx);

/// All that a document shows, as text; of `text` only which characters.
std::string show(const document& d);
/// What a document must show whose node has seen these edits.
std::string specified(const std::vector<const edit_record*>& seen);

} // namespace joinery::simulation
