// SPDX-License-Identifier: Apache-2.0

// The program `joinery` for who has collections of a type of their own.

#include "shop.hpp"

#include <joinery/tool.hpp>

int main(int argc, char** argv) {
    // All records have one fingerprint, so they are told apart by the names of their collections.
    return joinery::tool_main(argc, argv, {joinery::shown_type<shop>("shop")});
}
