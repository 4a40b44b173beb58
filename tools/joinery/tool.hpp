// SPDX-License-Identifier: Apache-2.0
#pragma once

// The program `joinery` (docs/operations.md), for who wants it to know types of their own. In the library joinery-tool.
//
//     int main(int argc, char** argv) {
//         return joinery::tool_main(argc, argv, {
//             joinery::shown_type<shop::prices>(),      // wherever a collection has this type's fingerprint
//             joinery::shown_type<shop::cart>("carts"), // of records, which all have the same: by the collection's
//             name
//         });
//     }

#include <joinery/shown_state.hpp>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace joinery {

/// A type that the tool can read.
struct tool_type {
    std::string name; ///< type_name()
    std::uint64_t fingerprint = 0;
    std::string collection; ///< of this collection alone; empty: of all with the fingerprint
    std::unique_ptr<shown_state> (*make)() = nullptr;
};

template <crdt T> tool_type shown_type(std::string collection = {}) {
    return {crdt_traits<T>::type_name(), fingerprint<T>(), std::move(collection),
            []() -> std::unique_ptr<shown_state> { return std::make_unique<detail::shown_state_of<T>>(); }};
}

/// Runs the program, with these types besides those that it knows; they come first, and those for one collection before
/// all others. The process's exit code. Never throws. Not for a process that has the storage open itself: its lock
/// would end with the reading.
int tool_main(int argc, char** argv, std::vector<tool_type> also = {});

} // namespace joinery
