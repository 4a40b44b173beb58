// SPDX-License-Identifier: Apache-2.0
// The engine among peers that all count.
#include "engine_steps.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    joinery::fuzz::steps(std::as_bytes(std::span(data, size)))();
    return 0;
}
