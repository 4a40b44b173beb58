// SPDX-License-Identifier: Apache-2.0
#pragma once

// Frames for targets that are given traffic: put around any body, changed, and with their checksums corrected, so that
// what is behind the checksum is reached.

#include <joinery/digest.hpp>
#include <joinery/frame.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <span>
#include <vector>

namespace joinery::fuzz {

using bytes = std::vector<std::byte>;

/// Reads an input from its beginning; behind its end there are zeros.
class input {
public:
    explicit input(std::span<const std::byte> in) : in_(in) {}

    bool empty() const { return in_.empty(); }
    unsigned take() {
        if (in_.empty()) return 0;
        const auto b = std::to_integer<unsigned>(in_.front());
        in_ = in_.subspan(1);
        return b;
    }
    std::size_t take_two() {
        const std::size_t low = take();
        return low + 256 * std::size_t{take()};
    }
    /// So many bytes as the first two say, or what is left.
    std::span<const std::byte> take_part() {
        const std::size_t wanted = take_two();
        const auto size = std::min(wanted, in_.size()); // of what is left by now
        const auto part = in_.first(size);
        in_ = in_.subspan(size);
        return part;
    }

private:
    std::span<const std::byte> in_;
};

/// A whole frame around these bytes.
inline bytes framed(std::span<const std::byte> body, frame_kind kind) {
    frame_writer w;
    w.body().insert(w.body().end(), body.begin(), body.end());
    const auto frame = w.close(kind);
    return {frame.begin(), frame.end()};
}

/// Corrects the checksum of everything that looks like a frame.
inline void mend_checksums(std::span<std::byte> data) {
    constexpr std::size_t checksum = 4;
    for (std::size_t start = 0; start + 5 <= data.size(); ++start) {
        if (data[start] != std::byte{'j'} || data[start + 1] != std::byte{'y'}) continue;
        std::size_t at = start + (std::to_integer<unsigned>(data[start + 3]) > 2 ? 20 : 4); // stored ones say of what
        std::uint64_t length = 0;
        for (unsigned shift = 0; at < data.size() && shift < 28; shift += 7) {
            const auto b = std::to_integer<std::uint64_t>(data[at++]);
            length |= (b & 0x7f) << shift;
            if (b < 0x80) break;
        }
        if (at + length + checksum > data.size()) continue;
        const auto end = at + static_cast<std::size_t>(length);
        const auto sum = digest(data.subspan(start, end - start));
        for (std::size_t i = 0; i < checksum; ++i) data[end + i] = static_cast<std::byte>(sum >> (8 * i));
    }
}

/// A frame of messages that was changed: one of four keeps the checksum that it had.
inline bytes changed(const bytes& frame, const bytes& other, unsigned how, input& in) {
    const auto opened = open_frame(frame);
    const auto cut_in = open_frame(other);
    if (!opened || !cut_in) return frame;
    const bool mend = how / 64 != 3;
    bytes b = mend ? bytes(opened->body.begin(), opened->body.end()) : frame;
    const std::size_t where = in.take_two();
    const auto at = b.begin() + static_cast<std::ptrdiff_t>(b.empty() ? 0 : where % b.size());
    switch (how % 8) {
    case 0:
        if (!b.empty()) *at ^= std::byte{1} << in.take() % 8;
        break;
    case 1:
        if (!b.empty()) *at = static_cast<std::byte>(in.take());
        break;
    case 2: b.erase(at, b.end()); break;
    case 3: { // goes on as another one does
        const auto from = std::min(in.take_two(), cut_in->body.size());
        b.erase(at, b.end());
        b.insert(b.end(), cut_in->body.begin() + static_cast<std::ptrdiff_t>(from), cut_in->body.end());
        break;
    }
    case 4: {
        const auto part = in.take_part();
        b.insert(at, part.begin(), part.end());
        break;
    }
    case 5: b.erase(at, at + std::min<std::ptrdiff_t>(b.end() - at, 1 + in.take() % 8)); break;
    case 6: { // eight bytes that stand in the other: an id, a channel, a nonce
        const auto& from = cut_in->body;
        if (from.size() < 8 || b.size() < 8) break;
        const auto source = from.begin() + static_cast<std::ptrdiff_t>(in.take_two() % (from.size() - 7));
        std::copy_n(source, 8, b.begin() + static_cast<std::ptrdiff_t>(where % (b.size() - 7)));
        break;
    }
    default: // the messages of both
        b.insert(b.end(), cut_in->body.begin(), cut_in->body.end());
    }
    return mend ? framed(b, how & 8 ? frame_kind::broadcast : opened->kind) : b;
}

/// Counts frames by whether their checksum is right; with JOINERY_FUZZ_TALLY in the environment says so at the end.
inline void tally(std::span<const std::byte> frame) {
    struct counts {
        std::uint64_t right = 0, wrong = 0;
        ~counts() {
            if (!std::getenv("JOINERY_FUZZ_TALLY")) return;
            std::fprintf(stderr, "frames: %llu right, %llu wrong\n", static_cast<unsigned long long>(right),
                         static_cast<unsigned long long>(wrong));
        }
    };
    static counts all;
    ++(open_frame(frame) ? all.right : all.wrong);
}

} // namespace joinery::fuzz
