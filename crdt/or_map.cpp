// SPDX-License-Identifier: Apache-2.0
#include <joinery/or_map.hpp>

#include <algorithm>
#include <numeric>

namespace joinery::detail {

std::vector<std::size_t> in_order(const std::vector<std::vector<std::byte>>& keys) {
    std::vector<std::size_t> out(keys.size());
    std::iota(out.begin(), out.end(), std::size_t{0});
    // Not `<` of the vectors, in which g++ 12 sees a length below zero.
    std::sort(out.begin(), out.end(), [&](std::size_t a, std::size_t b) {
        return std::lexicographical_compare(keys[a].begin(), keys[a].end(), keys[b].begin(), keys[b].end());
    });
    return out;
}

} // namespace joinery::detail
