// SPDX-License-Identifier: Apache-2.0
#pragma once

// Messages on their way out, edits mostly, in frames that fill up one after the other.

#include <joinery/messages.hpp>

#include <cstddef>
#include <deque>

namespace joinery {

class batch_queue {
public:
    bool empty() const { return used_ == 0; }

    /// `size` is the message's, at most; a frame that has something takes no more than `limit` bytes.
    template <class M> void add(const M& m, std::size_t size, std::size_t limit) {
        if (used_ == 0 || (!batches_[used_ - 1].empty() && batches_[used_ - 1].size() + size > limit)) {
            if (batches_.size() == used_) batches_.emplace_back();
            ++used_;
        }
        batches_[used_ - 1].add(m);
    }

    /// Calls f(message_batch&) for each frame, and is empty.
    template <class F> void drain(F&& f) {
        for (std::size_t i = 0; i < used_; ++i) {
            f(batches_[i]);
            batches_[i].clear();
        }
        quiet_ = used_ == 0 ? quiet_ + 1 : 0;
        used_ = 0;
        while (batches_.size() > (quiet_ > 4 ? 0 : 4)) batches_.pop_back(); // of a burst
    }

private:
    std::deque<message_batch> batches_; // the first `used_` are in use; the others keep their memory
    std::size_t used_ = 0;
    unsigned quiet_ = 0; // how often in a row there was nothing
};

} // namespace joinery
