// SPDX-License-Identifier: Apache-2.0
#pragma once

// Text from outside, such as a peer's name, on its way into a format that must be valid UTF-8.

#include <cstdint>
#include <string_view>

namespace joinery::detail {

struct code_point {
    char32_t value = 0;
    std::string_view bytes; ///< valid UTF-8
};

/// Takes the first code point from text that is not empty. A byte that is not part of valid UTF-8 is taken as
/// U+FFFD.
code_point take_code_point(std::string_view& text);

} // namespace joinery::detail
