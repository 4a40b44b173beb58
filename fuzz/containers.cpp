// SPDX-License-Identifier: Apache-2.0
// Standard containers and user types, nested.
#include "body.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    return joinery::fuzz::run_value<joinery::fuzz::containers>(data, size);
}
