// SPDX-License-Identifier: Apache-2.0
#pragma once

// Waiting for what nobody tells of.

#include <chrono>
#include <thread>

namespace test_support {

/// Asks until it holds; false after the patience, which is far beyond what is needed.
template <class F>
bool comes(F&& holds, std::chrono::milliseconds patience = std::chrono::seconds(30),
           std::chrono::milliseconds every = std::chrono::milliseconds(2)) {
    for (const auto end = std::chrono::steady_clock::now() + patience; std::chrono::steady_clock::now() < end;
         std::this_thread::sleep_for(every))
        if (holds()) return true;
    return holds();
}

} // namespace test_support
