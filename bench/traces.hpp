// SPDX-License-Identifier: Apache-2.0
#pragma once

// Real editing histories, as in github.com/josephg/editing-traces and egwalker-paper: gzip'ed JSON.

#include <joinery/codec.hpp>
#include <joinery/replica.hpp>
#include <joinery/rga_text.hpp>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
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
    std::vector<patch> patches() const;
};

/// None if there is no such file. Throws std::runtime_error if it cannot be read.
std::optional<trace> read_trace(const std::string& folder, const std::string& name);

using text_replica = joinery::replica<joinery::rga_text>;
using text_delta = joinery::delta<joinery::rga_text>;
/// An encoded delta, as others are sent it.
using update = std::vector<std::byte>;

/// Makes all patches in one transaction.
inline text_delta edit(text_replica& r, std::span<const patch> patches) {
    return r.edit([&](joinery::rga_text& text, joinery::transaction& tx) {
        for (const auto& p : patches) {
            if (p.erased > 0) text.erase(tx, p.position, p.erased);
            if (!p.inserted.empty()) text.insert(tx, p.position, p.inserted);
        }
    });
}

inline update edited(text_replica& r, std::span<const patch> patches) { return joinery::encode(edit(r, patches)); }

inline void join(text_replica& r, std::span<const std::byte> update) { r.join(*joinery::decode<text_delta>(update)); }

std::size_t size_of(std::span<const update> updates);

std::u32string code_points(std::string_view utf8);

/// What replicas make of a trace: one update for each transaction, in an order in which causes come first, and the
/// merged text. An agent that goes on where it did not stop is another replica from there on.
struct replayed {
    std::vector<update> updates;
    std::vector<joinery::replica_id> writers; ///< of the updates
    joinery::causal<joinery::rga_text> merged;
};
replayed replay(const trace& t);

/// Makes each writer's own replica once more, and of its own edits the same updates: it joins what each of them
/// follows, in the end all others', and has then the same text. Every other one joins effects before their causes.
/// Returns how many there are; throws std::runtime_error if one differs. O(writers * transactions).
std::size_t check_each_writer(const trace& t, const replayed& r);

/// The same text, by edits that follow one another: as one replica sees them that gets the updates in this order. What
/// does not change its text is left out.
trace flattened(const trace& t, const replayed& r);

} // namespace bench
