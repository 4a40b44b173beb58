// SPDX-License-Identifier: Apache-2.0
#pragma once

// Two sides of one or more collections, and where they differ: files or leaders.

#include "commands.hpp"

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace joinery::tool {

struct collection_comparison {
    std::string name;
    std::string only_in;     ///< "a" or "b", if the other does not have it
    bool other_type = false; ///< the fingerprints differ, and nothing else was compared
    version_vector versions[2];
    causal_context lacks[2];          ///< dots that the other has
    std::optional<bool> same_content; ///< if it was compared, which needs that none lacks anything
    std::string why_not;              ///< if it was not
    bool undecided = false;           ///< it could have been, and nothing is known
    std::optional<std::string> digests[2];
    causal_context differing; ///< dots whose entries differ although both have seen them
    struct element {
        std::string path;
        std::optional<json_value> values[2];
    };
    std::vector<element> elements;

    bool equal() const {
        return only_in.empty() && !other_type && lacks[0].empty() && lacks[1].empty() && same_content.value_or(true);
    }
};

constexpr std::size_t most_differences = 100;

/// Those of the dots for which the two answers differ. Each takes ranges and gives a digest for each of them. O(log n)
/// rounds; no more than `most_differences`.
using digest_source = std::function<std::vector<std::uint64_t>(std::span<const dot_range>)>;
causal_context differing_dots(const causal_context& dots, const digest_source& a, const digest_source& b);

/// Prints it; the exit code, which is `failed` if any is undecided and none is different.
int report(const std::string& a, const std::string& b, std::span<const collection_comparison> all, bool json);

} // namespace joinery::tool
