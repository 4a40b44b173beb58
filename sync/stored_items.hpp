// SPDX-License-Identifier: Apache-2.0
#pragma once

// What a storage's snapshots and records consist of: states and deltas, each after its length. In place of a length
// stands 0, which none has, for an answer of which all is joined at once, and for a mark. The parts of an answer
// (answers.hpp) are written in the same way, so that they can be logged as they came.

#include <joinery/compact_archive.hpp>
#include <joinery/dot.hpp>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace joinery {

struct stored_item {
    enum class kind : std::uint8_t { delta, answer, mark };

    kind is = kind::delta;
    std::span<const std::byte> bytes; ///< of a state, a delta or an answer; they refer to what was read
    std::optional<dot> held_after;    ///< of a mark: the own dots after this one are held; or, without one, none are
};

/// A state or delta. Requires: it is not empty.
void put_item(std::vector<std::byte>& to, std::span<const std::byte> delta);
void put_answer(std::vector<std::byte>& to, std::span<const std::byte> answer);
void put_mark(std::vector<std::byte>& to, std::optional<dot> held_after);

/// The next one. Throws decode_failure.
stored_item read_item(compact_input_archive& in);

} // namespace joinery
