// SPDX-License-Identifier: Apache-2.0
// Compressed bytes: any answer is within what was allowed, and what is accepted can be compressed again.
#include <joinery/zstd.hpp>

#include <cstdint>
#include <cstdlib>
#include <span>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    constexpr std::size_t most = 1 << 16;
    const auto content = joinery::zstd_decompress(std::as_bytes(std::span(data, size)), most);
    if (!content) return 0;
    if (content->size() > most) std::abort();
    const auto frame = joinery::zstd_compress(*content, 1);
    const auto back = joinery::zstd_decompress(frame, content->size());
    if (!back || *back != *content) std::abort();
    return 0;
}
