// SPDX-License-Identifier: Apache-2.0
#include "standard_types.hpp"

#include <joinery/document.hpp>
#include <joinery/rga_list.hpp>
#include <joinery/rga_text.hpp>
#include <joinery/tree.hpp>

namespace joinery::tool {

void add_sequences(std::vector<tool_type>& to) {
    to.push_back(shown_type<rga_text>());
    to.push_back(shown_type<rga_list<std::string>>());
    to.push_back(shown_type<rga_list<std::int64_t>>());
    to.push_back(shown_type<tree>());
    to.push_back(shown_type<document>());
}

} // namespace joinery::tool
