// SPDX-License-Identifier: Apache-2.0
#include <joinery/unknown_fields.hpp>

#include <joinery/codec.hpp>

#include <algorithm>

namespace joinery {

namespace {
void write_path(compact_output_archive& ar, const path_step* step) {
    if (!step) return;
    write_path(ar, step->outer);
    step->write(ar, step->what);
}
} // namespace

void keep_unknown(std::vector<unknown_field>& into, const path_step* record, std::uint32_t tag,
                  const causal_context& covered, const opaque_fragment& content) {
    unknown_field field;
    compact_output_archive ar(field.path);
    write_path(ar, record);
    ar.varint(tag);
    field.covered = covered;
    field.content = content;
    if (std::find(into.begin(), into.end(), field) == into.end()) into.push_back(std::move(field));
}

} // namespace joinery
