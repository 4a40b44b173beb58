// SPDX-License-Identifier: Apache-2.0
#pragma once

// Which characters of a text died lately, in this order: bounded, so that it may not go back far enough.

#include "text_log.hpp"

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

namespace joinery::detail {

class text_journal {
public:
    text_journal() = default;
    /// A copy has a history of its own.
    text_journal(const text_journal&) {}
    text_journal& operator=(const text_journal&) = delete;
    ~text_journal() = default;

    /// Never the same twice.
    static std::uint64_t new_history();
    /// Changes whenever what was said of lvs before is no longer so.
    std::uint64_t history() const { return history_; }
    void begin_anew() {
        history_ = new_history();
        forget();
    }
    /// This is the text that had that history, with nothing dead.
    void resume(std::uint64_t history) { history_ = history; }
    /// The dead may leave the text.
    void forget() {
        std::vector<run>().swap(runs_);
        forgotten_ = total_;
    }

    /// One after the other, from the last to the first if `backward`.
    void died(lv first, std::uint32_t n, bool backward = false) {
        total_ += n;
        if (!runs_.empty()) {
            run& last = runs_.back();
            const bool one = n == 1, was_one = last.count == 1;
            if (last.first + last.count == first && (one || !backward) && (was_one || !last.backward)) {
                last.backward = false;
                last.count += n;
                return;
            }
            if (first + n == last.first && (one || backward) && (was_one || last.backward)) {
                last = {first, last.count + n, true};
                return;
            }
            if (runs_.size() == most) forget_half();
        }
        runs_.push_back({first, n, backward && n > 1});
    }
    /// How many died in all.
    std::uint64_t total() const { return total_; }
    bool reaches(std::uint64_t deaths) const { return deaths >= forgotten_ && deaths <= total_; }
    /// Those that died after so many others. Requires: it reaches back to there.
    std::vector<std::pair<lv, std::uint32_t>> since(std::uint64_t deaths) const;

    std::size_t memory() const { return runs_.capacity() * sizeof(run); }

private:
    static constexpr std::size_t most = 4096;
    struct run {
        lv first;
        std::uint32_t count;
        bool backward;
    };
    std::uint64_t history_ = new_history();
    std::uint64_t total_ = 0;
    std::uint64_t forgotten_ = 0;
    std::vector<run> runs_;

    void forget_half();
};

} // namespace joinery::detail
