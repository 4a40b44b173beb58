// SPDX-License-Identifier: Apache-2.0
#include <joinery/delta.hpp>

namespace joinery::detail {

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
