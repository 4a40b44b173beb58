// SPDX-License-Identifier: Apache-2.0
#pragma once

// What the simulated nodes replicate, the edits that they make, and the specification: what a document must
// show, as a plain function of the edits that its node has seen, without any thought of deltas or messages.

#include "simulation.hpp"

#include <joinery/lww_register.hpp>
#include <joinery/mv_register.hpp>
#include <joinery/or_map.hpp>
#include <joinery/or_set.hpp>
#include <joinery/pn_counter.hpp>
#include <joinery/random_source.hpp>
#include <joinery/record.hpp>
#include <joinery/replicated.hpp>
#include <joinery/rga_text.hpp>

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace joinery::simulation {

/// An rga_text that can be made to forget tombstones by plain causal stability: for a planted bug.
class simulated_text : public rga_text {
public:
    void prune(const version_vector& stable, std::span<const dot_range> settled, dot_sink* sink);

    /// In this thread, as long as it lives. `all`: what the states around the texts have seen.
    class plain_stability {
    public:
        explicit plain_stability(const causal_context& all);
        ~plain_stability();
        plain_stability(const plain_stability&) = delete;
        plain_stability& operator=(const plain_stability&) = delete;
    };
};

struct document {
    or_set<std::uint32_t> tags;
    or_map<std::uint32_t, pn_counter> counts;
    lww_register<std::uint32_t> title;
    mv_register<std::uint32_t> labels;
    simulated_text text;
};
JOINERY_RECORD(document, (1, tags), (2, counts), (3, title), (4, labels), (5, text))

/// Engines treat what has a text in it differently in many places: this has none.
struct ledger {
    or_set<std::uint32_t> tags;
    or_map<std::uint32_t, pn_counter> counts;
    lww_register<std::uint32_t> title;
    mv_register<std::uint32_t> labels;
};
JOINERY_RECORD(ledger, (1, tags), (2, counts), (3, title), (4, labels))

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

/// Draws the operations of one edit. `text` is null if there is none; `next_character` is raised by what is typed.
std::vector<operation> draw_operations(testing::random_source& random, const simulated_text* text,
                                       char32_t& next_character, bool mostly_text);

/// What a node has of a collection, whatever its type.
class opened_collection {
public:
    virtual ~opened_collection() = default;

    virtual replicated_state& state() = 0;
    const replicated_state& state() const { return const_cast<opened_collection*>(this)->state(); }
    /// What the engine sees of it: the state, unless a bug is planted there.
    virtual replicated_state& seen_by_engine() = 0;
    virtual const simulated_text* text() const = 0; ///< null: it has none
    virtual std::optional<dot_range> edit(const std::vector<operation>& operations, assurance wanted) = 0;
    /// All that it shows; of a text only which characters.
    virtual std::string show() const = 0;
    /// Requires: they are of one type.
    virtual bool equals(const opened_collection& other) const = 0;
    /// Something vanishes that lives there, as if memory had gone bad, so that others have more. False if there is
    /// nothing of that kind.
    virtual bool damage(testing::random_source& random) = 0;
};
std::unique_ptr<opened_collection> open_document(wall_clock wall, planted_bug bug);
std::unique_ptr<opened_collection> open_ledger(wall_clock wall, planted_bug bug);

/// What a collection must show whose node has seen these edits.
std::string specified(const std::vector<const edit_record*>& seen);

} // namespace joinery::simulation
