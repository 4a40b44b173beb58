// SPDX-License-Identifier: Apache-2.0
#include "replies.hpp"

#include <charconv>

namespace app {

namespace {

std::string hexadecimal(std::uint64_t n) {
    char digits[16];
    return {digits, std::to_chars(digits, digits + sizeof digits, n, 16).ptr};
}

} // namespace

std::string to_word(std::uint64_t digest) {
    const std::string digits = hexadecimal(digest);
    return std::string(16 - digits.size(), '0') + digits;
}

std::string to_word(const joinery::version_vector& v) {
    std::string out;
    for (const auto& [replica, seq] : v)
        out += (out.empty() ? "" : ",") + hexadecimal(replica.value()) + ':' + hexadecimal(seq);
    return out.empty() ? "-" : out;
}

joinery::version_vector to_version(const std::string& word) {
    joinery::version_vector v;
    if (word == "-") return v;
    const char *at = word.data(), *end = at + word.size();
    auto number = [&] {
        std::uint64_t n = 0;
        const auto [next, error] = std::from_chars(at, end, n, 16);
        if (error != std::errc()) throw command_error("\"" + word + "\" is not a version");
        at = next;
        return n;
    };
    for (;;) {
        const joinery::replica_id replica{number()};
        if (at == end || *at++ != ':') throw command_error("\"" + word + "\" is not a version");
        v.raise(replica, number());
        if (at == end) return v;
        if (*at++ != ',') throw command_error("\"" + word + "\" is not a version");
    }
}

} // namespace app
