// SPDX-License-Identifier: Apache-2.0
// Deltas and states of rga_text.
#include "body.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    return joinery::fuzz::run<joinery::fuzz::texts>(data, size);
}
