// SPDX-License-Identifier: Apache-2.0
#pragma once

// All data types, and what it takes to replicate them.

#include <joinery/bag.hpp>
#include <joinery/bounded_counter.hpp>
#include <joinery/codec.hpp>
#include <joinery/ddsketch.hpp>
#include <joinery/document.hpp>
#include <joinery/flags.hpp>
#include <joinery/g_counter.hpp>
#include <joinery/g_set.hpp>
#include <joinery/hyperloglog.hpp>
#include <joinery/lww_map.hpp>
#include <joinery/lww_register.hpp>
#include <joinery/merged_register.hpp>
#include <joinery/mv_register.hpp>
#include <joinery/or_map.hpp>
#include <joinery/or_set.hpp>
#include <joinery/pn_counter.hpp>
#include <joinery/record.hpp>
#include <joinery/replica.hpp>
#include <joinery/rga_list.hpp>
#include <joinery/rga_text.hpp>
#include <joinery/rw_set.hpp>
#include <joinery/tree.hpp>
#include <joinery/two_phase_set.hpp>
#include <joinery/unique_id.hpp>
