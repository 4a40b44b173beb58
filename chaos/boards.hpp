// SPDX-License-Identifier: Apache-2.0
#pragma once

// What the leaders of a chaos run replicate. Each board has a journal of the numbers of its operations, which every
// operation signs in the same edit as it does what it does. So whatever a leader shows names the operations that it
// comes of, and can be checked against them, at any moment and exactly. Claims need none: nothing takes one away, and
// the owner of each is the number of the operation that asked for it.

#include "../property_tests/simulated_document.hpp"

#include <joinery/bounded_counter.hpp>
#include <joinery/claims.hpp>
#include <joinery/g_set.hpp>
#include <joinery/lww_register.hpp>
#include <joinery/mv_register.hpp>
#include <joinery/or_map.hpp>
#include <joinery/or_set.hpp>
#include <joinery/pn_counter.hpp>
#include <joinery/record.hpp>
#include <joinery/rga_text.hpp>

#include <cstdint>
#include <string>

namespace joinery::chaos {

using journal = g_set<std::uint64_t>;

struct set_board {
    journal done;
    or_set<std::uint64_t> members;
};
JOINERY_RECORD(set_board, (1, done), (2, members))

struct counter_board {
    journal done;
    pn_counter sum;
};
JOINERY_RECORD(counter_board, (1, done), (2, sum))

struct register_board {
    journal done;
    or_map<std::string, lww_register<std::uint64_t>> last;
    or_map<std::string, mv_register<std::uint64_t>> all;
};
JOINERY_RECORD(register_board, (1, done), (2, last), (3, all))

struct bank_board {
    journal done;
    or_map<std::string, bounded_counter> accounts;
};
JOINERY_RECORD(bank_board, (1, done), (2, accounts))

struct text_board {
    journal done;
    rga_text text;
};
JOINERY_RECORD(text_board, (1, done), (2, text))

struct claims_board {
    claims all;
};
JOINERY_RECORD(claims_board, (1, all))

/// The same with a text that can be made to prune too early: for a planted bug.
struct wrong_text_board {
    journal done;
    simulation::simulated_text text;
};
JOINERY_RECORD(wrong_text_board, (1, done), (2, text))

} // namespace joinery::chaos
