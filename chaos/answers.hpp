// SPDX-License-Identifier: Apache-2.0
#pragma once

// What the answers of all workloads are made of.

#include "workloads.hpp"

#include <joinery/leader.hpp>
#include <joinery/session.hpp>

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

namespace joinery::chaos {

/// A list of items, as the lines show it.
class list {
public:
    void add(const std::string& item) { out_ += (out_.empty() ? "" : ",") + item; }
    void add(std::uint64_t item) { add(std::to_string(item)); }
    std::string str() const { return out_.empty() ? "-" : out_; }

private:
    std::string out_;
};

/// Sessions travel with their clients.
inline session read_session(const std::string& hex) {
    session s(std::chrono::milliseconds(1500));
    if (hex == "new") return s;
    std::vector<std::byte> bytes;
    for (std::size_t i = 0; i + 1 < hex.size(); i += 2)
        bytes.push_back(static_cast<std::byte>(std::stoul(hex.substr(i, 2), nullptr, 16)));
    compact_input_archive in(bytes);
    in(s);
    return s;
}

/// look(const T&) gives `ok mask=... value=...`.
template <class T, class Look> std::string read_board(const leader<T>& at, const request& r, Look look) {
    if (!r.session.empty()) {
        session s = read_session(r.session);
        const auto seen = s.read(at, look);
        return seen + " complete=0 session=" + hexadecimal(encode(s));
    }
    if (r.answers == 0) return at.read(look) + " complete=0";
    const read_options options{.answers = r.answers, .timeout = std::chrono::milliseconds(1500)};
    const auto seen = at.read(look, options);
    return seen.value + " complete=" + (seen.complete ? '1' : '0');
}

} // namespace joinery::chaos
