// SPDX-License-Identifier: Apache-2.0
#pragma once

// What a frame on the simulated network says, for people who read a trace (simulated_network::observe).

#include <joinery/dot.hpp>

#include <cstddef>
#include <functional>
#include <span>
#include <string>

namespace joinery::testing {

/// The names of its messages, and of updates the first dots, as `name` writes them: "update A3, beacon". With
/// `data_only`, no messages but those that carry edits or ask for them; empty if it has none, or cannot be read.
std::string story_of(std::span<const std::byte> frame, const std::function<std::string(dot)>& name,
                     bool data_only = false);

} // namespace joinery::testing
