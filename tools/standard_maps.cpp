// SPDX-License-Identifier: Apache-2.0
#include "standard_types.hpp"

#include <joinery/g_counter.hpp>
#include <joinery/lww_map.hpp>
#include <joinery/lww_register.hpp>
#include <joinery/mv_register.hpp>
#include <joinery/or_map.hpp>
#include <joinery/or_set.hpp>
#include <joinery/pn_counter.hpp>
#include <joinery/rga_text.hpp>

namespace joinery::tool {

void add_maps(std::vector<tool_type>& to) {
    to.push_back(shown_type<lww_map<std::string, std::string>>());
    to.push_back(shown_type<lww_map<std::string, std::int64_t>>());
    to.push_back(shown_type<or_map<std::string, g_counter>>());
    to.push_back(shown_type<or_map<std::string, pn_counter>>());
    to.push_back(shown_type<or_map<std::string, lww_register<std::string>>>());
    to.push_back(shown_type<or_map<std::string, lww_register<std::int64_t>>>());
    to.push_back(shown_type<or_map<std::string, mv_register<std::string>>>());
    to.push_back(shown_type<or_map<std::string, or_set<std::string>>>());
    to.push_back(shown_type<or_map<std::string, rga_text>>());
}

} // namespace joinery::tool
