// SPDX-License-Identifier: Apache-2.0
// libFuzzer's mutations, and in three of four the checksums of frames corrected. AFL++ does not ask for it.
#include "framing.hpp"

extern "C" [[gnu::weak]] std::size_t LLVMFuzzerMutate(std::uint8_t* data, std::size_t size, std::size_t most);

extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size, std::size_t most, unsigned seed) {
    size = LLVMFuzzerMutate(data, size, most);
    if (seed % 4 != 0) joinery::fuzz::mend_checksums(std::as_writable_bytes(std::span(data, size)));
    return size;
}
