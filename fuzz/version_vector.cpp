// SPDX-License-Identifier: Apache-2.0
// Version vectors.
#include "body.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    return joinery::fuzz::run_value<joinery::version_vector>(data, size);
}
