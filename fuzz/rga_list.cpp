// SPDX-License-Identifier: Apache-2.0
// Deltas and states of rga_list.
#include "body.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    return joinery::fuzz::run<joinery::fuzz::lists>(data, size);
}
