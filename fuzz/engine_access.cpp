// SPDX-License-Identifier: Apache-2.0
// The same with a policy; the first byte says what it is.
#include "engine_steps.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size == 0) return 0;
    joinery::fuzz::steps(std::as_bytes(std::span(data + 1, size - 1)), joinery::fuzz::guard(data[0]))();
    return 0;
}
