// SPDX-License-Identifier: Apache-2.0
// What most types include, compiled once.
#include <joinery/changes.hpp>
#include <joinery/delta.hpp>
#include <joinery/transaction.hpp>
