// SPDX-License-Identifier: Apache-2.0
// Deltas and states of a record of flags, registers that merge, sketches and a bounded counter.
#include "body.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    return joinery::fuzz::run<joinery::fuzz::switches>(data, size);
}
