// SPDX-License-Identifier: Apache-2.0
#pragma once

// The errors of property_tests/planted_bugs.hpp, planted around the engine of a real node: in what it sends and hears,
// in its storage, and in the states that it prunes and answers from.

#include "../property_tests/planted_bugs.hpp"
#include "boards.hpp"

#include <joinery/transport.hpp>

#include <memory>
#include <optional>
#include <string_view>

namespace joinery::chaos {

using simulation::planted_bug;

/// By the name of the enumerator; none if there is none.
std::optional<planted_bug> bug_of(std::string_view name);

/// Of this process, from now on.
void plant(planted_bug bug);
/// The node's id, which some of them need.
void plant_in(replica_id node);

std::unique_ptr<transport> tampered(std::unique_ptr<transport> inner);
std::unique_ptr<storage> tampered(std::unique_ptr<storage> inner);

} // namespace joinery::chaos

namespace joinery {

// The states have no seam between the engine and them, other than that their members can be specialized.
template <> std::vector<std::byte> replicated<chaos::set_board>::delta_since(const version_vector& peer) const;
template <>
result<bool, decode_error> replicated<chaos::text_board>::join(std::span<const std::byte> bytes, const dot_range* edit);
template <>
void replicated<chaos::wrong_text_board>::prune(const version_vector& stable, std::span<const replica_id> absent);

} // namespace joinery
