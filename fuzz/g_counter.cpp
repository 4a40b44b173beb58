// SPDX-License-Identifier: Apache-2.0
// Deltas and states of g_counter.
#include "body.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    return joinery::fuzz::run<joinery::fuzz::g_counters>(data, size);
}
