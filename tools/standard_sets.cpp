// SPDX-License-Identifier: Apache-2.0
#include "standard_types.hpp"

#include <joinery/g_set.hpp>
#include <joinery/lww_map.hpp>
#include <joinery/or_set.hpp>
#include <joinery/rw_set.hpp>
#include <joinery/two_phase_set.hpp>

namespace joinery::tool {

void add_sets(std::vector<tool_type>& to) {
    to.push_back(shown_type<or_set<std::string>>());
    to.push_back(shown_type<or_set<std::int32_t>>());
    to.push_back(shown_type<or_set<std::int64_t>>());
    to.push_back(shown_type<or_set<std::uint64_t>>());
    to.push_back(shown_type<or_set<unique_id>>());
    to.push_back(shown_type<g_set<std::string>>());
    to.push_back(shown_type<rw_set<std::string>>());
    to.push_back(shown_type<lww_set<std::string>>());
    to.push_back(shown_type<two_phase_set<std::string>>());
    to.push_back(shown_type<bag<std::string>>());
}

} // namespace joinery::tool
