// SPDX-License-Identifier: Apache-2.0
#include <joinery/zstd.hpp>

#include <zstd.h>
#include <zstd_errors.h>

#include <algorithm>
#include <memory>
#include <new>

namespace joinery {

std::vector<std::byte> zstd_compress(std::span<const std::byte> bytes, int level) {
    const std::unique_ptr<ZSTD_CCtx, decltype(&ZSTD_freeCCtx)> context(ZSTD_createCCtx(), &ZSTD_freeCCtx);
    if (!context) throw std::bad_alloc();
    ZSTD_CCtx_setParameter(context.get(), ZSTD_c_compressionLevel, std::clamp(level, 1, 19));
    ZSTD_CCtx_setParameter(context.get(), ZSTD_c_checksumFlag, 1);
    std::vector<std::byte> out(ZSTD_compressBound(bytes.size()));
    const std::size_t size = ZSTD_compress2(context.get(), out.data(), out.size(), bytes.data(), bytes.size());
    if (ZSTD_isError(size)) throw std::bad_alloc(); // nothing else can go wrong
    out.resize(size);
    out.shrink_to_fit();
    return out;
}

result<std::vector<std::byte>, decode_error> zstd_decompress(std::span<const std::byte> frame, std::size_t most) {
    const std::size_t taken = ZSTD_findFrameCompressedSize(frame.data(), frame.size());
    if (ZSTD_isError(taken))
        return failure<decode_error>(ZSTD_getErrorCode(taken) == ZSTD_error_srcSize_wrong
                                         ? decode_error::truncated
                                         : decode_error::invalid_value);
    if (taken != frame.size()) return failure<decode_error>(decode_error::trailing_bytes);
    const unsigned long long size = ZSTD_getFrameContentSize(frame.data(), frame.size());
    if (size == ZSTD_CONTENTSIZE_UNKNOWN || size == ZSTD_CONTENTSIZE_ERROR)
        return failure<decode_error>(decode_error::invalid_value);
    if (size > most) return failure<decode_error>(decode_error::too_large);
    try {
        std::vector<std::byte> out(static_cast<std::size_t>(size));
        const std::size_t written = ZSTD_decompress(out.data(), out.size(), frame.data(), frame.size());
        if (!ZSTD_isError(written) && written == out.size()) return out;
        return failure<decode_error>(ZSTD_isError(written) && ZSTD_getErrorCode(written) == ZSTD_error_checksum_wrong
                                         ? decode_error::bad_checksum
                                         : decode_error::invalid_value);
    } catch (const std::bad_alloc&) {
        return failure<decode_error>(decode_error::too_large);
    }
}

} // namespace joinery
