// SPDX-License-Identifier: Apache-2.0
// Causal contexts.
#include "body.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    return joinery::fuzz::run_value<joinery::causal_context>(data, size);
}
