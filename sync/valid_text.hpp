// SPDX-License-Identifier: Apache-2.0
#pragma once

// Text from outside, such as a peer's name, on its way into a format that must be valid UTF-8.

#include <cstdint>
#include <string>
#include <string_view>

namespace joinery::detail {

struct code_point {
    char32_t value = 0;
    std::string_view bytes; ///< valid UTF-8
};

/// Takes the first code point from text that is not empty. A byte that is not part of valid UTF-8 is taken as
/// U+FFFD.
code_point take_code_point(std::string_view& text);

/// For a message of one line: the name of a collection in quotes, or its number if that is no such text. (An encrypted
/// storage's names are not.)
std::string called(std::string_view name, std::uint64_t number);

} // namespace joinery::detail
