// SPDX-License-Identifier: Apache-2.0
#pragma once

// The types that the tool knows by itself: common instantiations, in a few sources that compile apart.

#include <joinery/tool.hpp>

#include <vector>

namespace joinery::tool {

void add_values(std::vector<tool_type>& to);
void add_sets(std::vector<tool_type>& to);
void add_maps(std::vector<tool_type>& to);
void add_sequences(std::vector<tool_type>& to);

} // namespace joinery::tool
