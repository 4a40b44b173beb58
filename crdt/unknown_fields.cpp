// SPDX-License-Identifier: Apache-2.0
#include <joinery/unknown_fields.hpp>

#include <joinery/codec.hpp>

#include <algorithm>
#include <compare>
#include <iterator>
#include <tuple>
#include <utility>

namespace joinery {

namespace {
void write_path(compact_output_archive& ar, const path_step* step) {
    if (!step) return;
    write_path(ar, step->outer);
    step->write(ar, step->what);
}
} // namespace

std::vector<std::byte> encoded(const path_step* path) {
    std::vector<std::byte> bytes;
    compact_output_archive ar(bytes);
    write_path(ar, path);
    return bytes;
}

bool operator<(const unknown_field& a, const unknown_field& b) {
    auto ordered = [](const causal_context& x, const causal_context& y) {
        return std::lexicographical_compare_three_way(x.ranges().begin(), x.ranges().end(), y.ranges().begin(),
                                                      y.ranges().end());
    };
    if (auto c = ordered(*a.covered, *b.covered); c != 0) return c < 0;
    if (auto c = a.path <=> b.path; c != 0) return c < 0;
    if (auto c = a.content.bytes <=> b.content.bytes; c != 0) return c < 0;
    auto earlier = [](const auto& e, const auto& f) {
        return std::tie(e.replica, e.last) < std::tie(f.replica, f.last);
    };
    return std::lexicographical_compare(a.content.table->begin(), a.content.table->end(), b.content.table->begin(),
                                        b.content.table->end(), earlier);
}

void keep_unknown(unknown_fields& into, const path_step* record, std::uint32_t tag, const causal_context& covered,
                  const opaque_fragment& content) {
    unknown_field field;
    compact_output_archive ar(field.path);
    write_path(ar, record);
    ar.varint(tag);
    field.path.shrink_to_fit();
    field.content = content;
    field.covered = covered;
    auto at = into.lower_bound(field);
    for (auto near : {at, at == into.begin() ? at : std::prev(at)})
        if (near != into.end() && near->covered == field.covered) field.covered = near->covered;
    into.insert(at, std::move(field));
}

namespace detail {
namespace {
bool earlier(std::span<const std::byte> a, std::span<const std::byte> b) {
    return std::lexicographical_compare(a.begin(), a.end(), b.begin(), b.end());
}
template <class Fields> std::vector<std::span<const std::byte>> sorted_places(const Fields& fields) {
    std::vector<std::span<const std::byte>> places;
    places.reserve(fields.size());
    for (const auto& f : fields) places.emplace_back(f.path);
    std::sort(places.begin(), places.end(), earlier);
    return places;
}
} // namespace

std::vector<std::span<const std::byte>> places_of(const unknown_fields& fields) { return sorted_places(fields); }
std::vector<std::span<const std::byte>> places_of(const std::vector<unknown_field>& fields) {
    return sorted_places(fields);
}
bool among(const std::vector<std::span<const std::byte>>& places, const unknown_field& field) {
    return std::binary_search(places.begin(), places.end(), std::span<const std::byte>(field.path), earlier);
}
} // namespace detail

} // namespace joinery
