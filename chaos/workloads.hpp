// SPDX-License-Identifier: Apache-2.0
#pragma once

// The operations of a chaos run, as a leader performs them. A line that asks for one, and the lines of its answer:
//
//     17 text insert 0.4 5 acks=1         17 saw 0f3 -             before anybody can know of the edit
//                                         17 ok dots=00c0..:12-17 complete=1 acked=1
//     18 bank read answers=2              18 ok mask=0f7 value=a:12,b:0 complete=1
//
// `saw` tells which operations the board showed (the mask of their numbers, see `hexadecimal`), and which of the items
// that it showed the operation takes away. The answer is `ok`; `failed`, which is certain; or `unknown`.

#include "boards.hpp"

#include <joinery/node.hpp>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace joinery::chaos {

struct request {
    std::uint64_t number = 0;
    std::string action;
    std::vector<std::string> arguments;
    std::size_t acknowledgements = 0, answers = 0;
    std::string session; ///< as the last answer had it; "new" for a new one; empty: none

    /// Throws std::invalid_argument if there is no such argument.
    const std::string& word(std::size_t i) const;
    double fraction(std::size_t i) const;
    std::int64_t integer(std::size_t i) const;
};

class workload {
public:
    virtual ~workload() = default;
    virtual const std::string& name() const = 0;
    /// The answer without the number. `say` is called with `saw ...` while nobody else can know of the edit.
    virtual std::string perform(const request& r, const std::function<void(const std::string&)>& say) = 0;
    virtual std::uint64_t digest() const = 0;
};

/// A collection for each board, of these names: set, counter, registers, bank, text, claims.
std::vector<std::unique_ptr<workload>> open_workloads(node& at, bool wrong_text);

/// That of the claims.
std::unique_ptr<workload> open_claims(node& at);

/// Bits of numbers, the lowest first: two digits for each eight of them.
std::string hexadecimal(const std::vector<std::uint64_t>& numbers);
std::string hexadecimal(const journal& numbers);
std::string hexadecimal(const std::vector<std::byte>& bytes);

} // namespace joinery::chaos
