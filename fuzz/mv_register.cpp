// SPDX-License-Identifier: Apache-2.0
// Deltas and states of mv_register.
#include "body.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    return joinery::fuzz::run<joinery::fuzz::mv_registers>(data, size);
}
