// SPDX-License-Identifier: Apache-2.0
#include "standard_types.hpp"

#include <joinery/bounded_counter.hpp>
#include <joinery/ddsketch.hpp>
#include <joinery/flags.hpp>
#include <joinery/g_counter.hpp>
#include <joinery/hyperloglog.hpp>
#include <joinery/lww_register.hpp>
#include <joinery/merged_register.hpp>
#include <joinery/mv_register.hpp>
#include <joinery/pn_counter.hpp>

namespace joinery::tool {

void add_values(std::vector<tool_type>& to) {
    to.push_back(shown_type<g_counter>());
    to.push_back(shown_type<pn_counter>());
    to.push_back(shown_type<bounded_counter>());
    to.push_back(shown_type<enable_wins_flag>());
    to.push_back(shown_type<disable_wins_flag>());
    to.push_back(shown_type<hyperloglog<>>());
    to.push_back(shown_type<ddsketch<>>());
    to.push_back(shown_type<lww_register<std::string>>());
    to.push_back(shown_type<lww_register<std::int32_t>>());
    to.push_back(shown_type<lww_register<std::int64_t>>());
    to.push_back(shown_type<lww_register<std::uint64_t>>());
    to.push_back(shown_type<lww_register<double>>());
    to.push_back(shown_type<lww_register<bool>>());
    to.push_back(shown_type<mv_register<std::string>>());
    to.push_back(shown_type<mv_register<std::int64_t>>());
    to.push_back(shown_type<max_register<std::int64_t>>());
    to.push_back(shown_type<min_register<std::int64_t>>());
}

} // namespace joinery::tool
