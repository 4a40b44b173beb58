// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <mutex>

namespace joinery::detail {

/// A mutex that whoever unlocks it cannot take again before somebody who already waits. A thread that holds
/// a std::mutex nearly all the time, as a node's does while frames pour in, keeps others out for long.
class fair_mutex {
public:
    void lock() {
        std::lock_guard turn(next_);
        mutex_.lock();
    }
    bool try_lock() {
        std::unique_lock turn(next_, std::try_to_lock);
        return turn && mutex_.try_lock();
    }
    void unlock() { mutex_.unlock(); }

private:
    std::mutex next_; // held by the first who waits
    std::mutex mutex_;
};

} // namespace joinery::detail
