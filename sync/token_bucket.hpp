// SPDX-License-Identifier: Apache-2.0
#pragma once

// How much there may be in a second: what was not used is saved up, for one second at most.

#include <algorithm>
#include <chrono>
#include <cstdint>

namespace joinery {

class token_bucket {
public:
    /// True if there is room for so much at `rate` a second. What is more than a second's worth needs a full bucket.
    bool take(std::chrono::milliseconds now, std::uint64_t rate, std::uint64_t amount) {
        const std::uint64_t passed = static_cast<std::uint64_t>(std::max<std::int64_t>((now - at_).count(), 0));
        if (passed >= 1000 || !started_) {
            left_ = rate * 1000;
        } else {
            left_ = std::min(left_ + passed * rate, rate * 1000);
        }
        started_ = true;
        at_ = std::max(at_, now);
        const auto cost = std::min(amount, rate) * 1000;
        if (cost > left_) return false;
        left_ -= cost;
        return true;
    }

    /// True if it is as if nothing had ever been taken.
    bool full(std::chrono::milliseconds now) const { return !started_ || now - at_ >= std::chrono::seconds(1); }

private:
    std::chrono::milliseconds at_{0};
    std::uint64_t left_ = 0; // thousandths
    bool started_ = false;
};

/// The same for what is known only once it is made, and paid for after it, however much it was.
class answer_pace {
public:
    /// The first time at which there may be more.
    std::chrono::milliseconds next() const { return std::chrono::ceil<std::chrono::milliseconds>(paid_ - saved); }
    /// `rate` a second; 0: any.
    void pay(std::chrono::milliseconds now, std::uint64_t rate, std::uint64_t amount) {
        if (rate == 0) return;
        const double seconds = static_cast<double>(amount) / static_cast<double>(rate);
        paid_ = std::max<time>(paid_, now) + std::chrono::duration_cast<time>(std::chrono::duration<double>(seconds));
    }
    bool full(std::chrono::milliseconds now) const { return paid_ <= now; }

private:
    using time = std::chrono::microseconds;
    static constexpr std::chrono::seconds saved{1};
    time paid_{0}; // when everything that was made is paid for
};

} // namespace joinery
