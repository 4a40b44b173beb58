// SPDX-License-Identifier: Apache-2.0
// What most targets include, compiled once for all of their replays.
#include <joinery/joinery.hpp>
