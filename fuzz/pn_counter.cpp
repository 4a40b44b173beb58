// SPDX-License-Identifier: Apache-2.0
// Deltas and states of pn_counter.
#include "body.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    return joinery::fuzz::run<joinery::fuzz::pn_counters>(data, size);
}
