// SPDX-License-Identifier: Apache-2.0
#pragma once

// The set that tests of whatever holds a data type edit, and its two edits.

#include <joinery/or_set.hpp>
#include <joinery/replica.hpp>

#include <string>
#include <utility>

using cart = joinery::or_set<std::string>;

inline auto adding(std::string e) {
    return [e = std::move(e)](cart& c, joinery::transaction& tx) { c.add(tx, e); };
}
inline auto removing(std::string e) {
    return [e = std::move(e)](cart& c, joinery::transaction& tx) { c.remove(tx, e); };
}
