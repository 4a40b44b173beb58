// SPDX-License-Identifier: Apache-2.0
// Deltas and states of documents as JSON knows them.
#include "body.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    return joinery::fuzz::run<joinery::fuzz::dynamic_documents>(data, size);
}
