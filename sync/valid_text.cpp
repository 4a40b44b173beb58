// SPDX-License-Identifier: Apache-2.0
#include "valid_text.hpp"

#include <utf8.hpp>

namespace joinery::detail {

code_point take_code_point(std::string_view& text) {
    const auto bytes = text.substr(0, utf8_length(text.front()));
    if (!measure_utf8(bytes)) {
        text.remove_prefix(1);
        return {0xfffd, "\xef\xbf\xbd"};
    }
    text.remove_prefix(bytes.size());
    const auto lead = static_cast<unsigned char>(bytes.front());
    char32_t value = bytes.size() == 1 ? lead : lead & (0x7fu >> bytes.size());
    for (const char c : bytes.substr(1)) value = value << 6 | (static_cast<unsigned char>(c) & 0x3fu);
    return {value, bytes};
}

std::string called(std::string_view name, std::uint64_t number) {
    for (auto rest = name; !rest.empty();) {
        const auto c = take_code_point(rest);
        if (c.value < 0x20 || (c.value >= 0x7f && c.value < 0xa0) || c.value == 0xfffd)
            return "collection " + std::to_string(number);
    }
    return '\'' + std::string(name) + '\'';
}

} // namespace joinery::detail
