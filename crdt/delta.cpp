// SPDX-License-Identifier: Apache-2.0
#include <joinery/delta.hpp>

namespace joinery::detail {

void delta_head::write(compact_output_archive& ar) const {
    if (covered.range_count() != 1) {
        ar.byte(parts);
        return ar.write(covered);
    }
    const dot_range& dots = covered.ranges().front();
    const bool one = dots.first == dots.last;
    ar.byte(static_cast<std::uint8_t>(how ? brief | (one ? 0 : several) | *how : parts | (one ? one_dot : one_range)));
    ar.write_first({dots.replica, dots.first});
    if (!one) ar.varint(dots.last - dots.first - 1);
}

delta_head delta_head::read(compact_input_archive& ar) {
    delta_head h;
    const std::uint8_t first = ar.byte();
    if (first <= all_parts) {
        h.parts = first;
        ar.unrenamed([&] { h.covered = ar.read_causal_context(); });
        if (h.covered.range_count() == 1) ar.fail(decode_error::non_canonical);
        return h;
    }
    const bool is_brief = (first & brief) != 0;
    if (!is_brief && (first & one_dot) && (first & one_range)) ar.fail(decode_error::invalid_value);
    const bool more = (first & (is_brief ? several : one_range)) != 0;
    if (is_brief) h.how = first & all_of_brief;
    h.parts = is_brief ? std::uint8_t{fragment} : first & all_parts;
    const dot d = ar.read_first_dot();
    std::uint64_t last = d.seq;
    if (more) {
        const std::uint64_t length = ar.varint();
        if (d.seq >= max_sequence || length > max_sequence - d.seq - 1) ar.fail(decode_error::invalid_value);
        last += length + 1;
    }
    h.covered.add({d.replica, d.seq, last});
    return h;
}

std::optional<edit_start> edit_start::of(std::span<const std::byte> delta) {
    constexpr std::size_t id = 8;
    if (delta.size() < 1 + id) return std::nullopt;
    const auto first = std::to_integer<std::uint8_t>(delta[0]);
    const bool brief = (first & delta_head::brief) != 0;
    if (first <= delta_head::all_parts || (!brief && first > delta_head::one_range + delta_head::all_parts))
        return std::nullopt;
    std::uint64_t replica = 0, seq = 0, length = 0;
    for (unsigned k = 0; k < id; ++k) replica |= std::to_integer<std::uint64_t>(delta[1 + k]) << (8 * k);
    const std::byte* at = delta.data() + 1 + id;
    const std::byte* const end = delta.data() + delta.size();
    if (read_varint(at, end, seq) != varint_error::none || seq == 0 || seq > max_sequence) return std::nullopt;
    const auto rest = static_cast<std::size_t>(at - delta.data());
    const bool several = (first & (brief ? delta_head::several : delta_head::one_range)) != 0;
    if (several && (read_varint(at, end, length) != varint_error::none || length >= max_sequence - seq))
        return std::nullopt;
    return edit_start{{replica_id{replica}, seq, several ? seq + length + 1 : seq}, rest};
}

void write_kills(compact_output_archive& ar, const kills& k) {
    if (k.dots.size() == 1 && k.runs.empty()) {
        ar.varint(0);
        ar.write(k.dots.front());
        return;
    }
    ar.varint(1 + k.dots.size());
    for (const auto& r : k.dots) ar.write(r);
    ar(k.runs);
}

void read_kills(compact_input_archive& ar, kills& k) {
    std::uint64_t code = ar.varint();
    std::uint64_t n = code == 0 ? 1 : code - 1;
    if (n > ar.remaining()) ar.fail(decode_error::truncated);
    ar.charge(n * sizeof(dot_range));
    k.dots.reserve(static_cast<std::size_t>(n));
    for (; n > 0; --n)
        for (const auto& part : ar.read_ranges()) k.add(part);
    if (code != 0) ar(k.runs);
    if (ar.renaming())
        k.normalize();
    else if (!k.normal() || (code != 0 && k.dots.size() == 1 && k.runs.empty()))
        ar.fail(decode_error::non_canonical);
}

} // namespace joinery::detail
