// SPDX-License-Identifier: Apache-2.0
#pragma once

// Shopping carts: what is replicated, and the commands that change it.

#include "app.hpp"

#include <joinery/joinery.hpp>

#include <string>
#include <vector>

/// Quantities add up, also those of concurrent changes. Of concurrent coupons the last one written counts.
struct cart {
    joinery::or_map<std::string, joinery::pn_counter> items;
    joinery::lww_register<std::string> coupon;
};
JOINERY_RECORD(cart, (1, items), (2, coupon))

/// By the name of the cart.
using carts = joinery::or_map<std::string, cart>;

/// Opens the collection "carts" of this node. The commands keep it.
std::vector<app::command> cart_commands(joinery::node& node);
