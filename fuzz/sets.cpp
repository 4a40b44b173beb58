// SPDX-License-Identifier: Apache-2.0
// Deltas and states of records of sets and maps of every kind.
#include "body.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    return joinery::fuzz::run<joinery::fuzz::sets>(data, size);
}
