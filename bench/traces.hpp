// SPDX-License-Identifier: Apache-2.0
#pragma once

// Real editing histories, as in github.com/josephg/editing-traces and egwalker-paper: gzip'ed JSON.

#include <joinery/replica.hpp>
#include <joinery/rga_text.hpp>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace bench {

/// `erased` characters go at `position` (in code points), then `inserted` comes there.
struct patch {
    std::uint32_t position;
    std::uint32_t erased;
    std::string inserted;
};

/// Patches made in one go by one agent, on the text in which exactly its parents' transactions are merged.
struct trace_transaction {
    std::vector<std::uint32_t> parents; ///< earlier ones; of a sequential trace always the one before
    std::uint32_t agent = 0;
    std::vector<patch> patches;
};

struct trace {
    std::string name;
    bool concurrent = false; ///< not every transaction follows the one before
    std::vector<trace_transaction> transactions;
    std::string end;
    std::size_t patches() const;
};

/// None if there is no such file. Throws std::runtime_error if it cannot be read.
std::optional<trace> read_trace(const std::string& folder, const std::string& name);

using text_replica = joinery::replica<joinery::rga_text>;
using text_delta = joinery::delta<joinery::rga_text>;

inline void apply(const patch& p, joinery::rga_text& text, joinery::transaction& tx) {
    if (p.erased > 0) text.erase(tx, p.position, p.erased);
    if (!p.inserted.empty()) text.insert(tx, p.position, p.inserted);
}

/// What replicas make of a trace: one delta for each patch, in an order in which causes come first, and the merged
/// text. An agent that goes on where it did not stop is another replica from there on.
struct replayed {
    std::vector<std::vector<std::byte>> deltas; ///< encoded
    joinery::causal<joinery::rga_text> merged;
};
replayed replay(const trace& t);

/// The same text, by edits that follow one another: as one replica sees them that gets the deltas in this order.
trace flattened(const trace& t, const replayed& r);

} // namespace bench
