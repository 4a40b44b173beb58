// SPDX-License-Identifier: Apache-2.0
#pragma once

// A record, which the program `joinery` does not know, and custom_tool does.

#include <joinery/or_set.hpp>
#include <joinery/pn_counter.hpp>
#include <joinery/record.hpp>

#include <string>

struct shop {
    joinery::or_set<std::string> open;
    joinery::pn_counter sold;
};
JOINERY_RECORD(shop, (1, open), (4, sold))
