// SPDX-License-Identifier: Apache-2.0
#pragma once

// How a test waits for what happens on other threads: for the condition, never for a time.

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <mutex>

/// Rung when anything happens at any node.
class bell {
public:
    void ring() {
        std::lock_guard lock(mutex_);
        ++rung_;
        changed_.notify_all();
    }
    /// Looks at once, and then whenever it rings, or a little later: not all that is asked for rings. False if it did
    /// not hold in time, which is far beyond what is needed.
    template <class P> bool wait(P&& holds, std::chrono::milliseconds patience = std::chrono::seconds(20)) {
        const auto deadline = std::chrono::steady_clock::now() + patience;
        for (;;) {
            std::unique_lock lock(mutex_);
            const auto before = rung_;
            lock.unlock();
            if (holds()) return true;
            if (std::chrono::steady_clock::now() > deadline) return false;
            lock.lock();
            changed_.wait_for(lock, std::chrono::milliseconds(10), [&] { return rung_ != before; });
        }
    }

private:
    std::mutex mutex_;
    std::condition_variable changed_;
    std::size_t rung_ = 0;
};
