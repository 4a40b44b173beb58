// SPDX-License-Identifier: Apache-2.0
#pragma once

// How much memory a piece of code holds at its peak: operator new is replaced in the programs that link
// allocation_meter.cpp. Meters do not nest, and see their own thread only.

#include <cstddef>

namespace joinery::fuzz {

/// Counts from its construction on.
class allocation_meter {
public:
    allocation_meter();
    ~allocation_meter();
    allocation_meter(const allocation_meter&) = delete;
    allocation_meter& operator=(const allocation_meter&) = delete;

    /// The greatest number of bytes that were allocated and not yet freed.
    std::size_t peak() const;

    /// From the nth allocation on (counted from 0), std::bad_alloc is thrown instead, once.
    void fail_at(std::size_t n);
    /// True if the failure asked for has happened.
    bool failed() const;
};

} // namespace joinery::fuzz
