// SPDX-License-Identifier: Apache-2.0
// What most tests of leaders and engines include, compiled once.
#include "tests.hpp"

#include <joinery/leader.hpp>
#include <joinery/memory_storage.hpp>
#include <joinery/memory_transport.hpp>
