// SPDX-License-Identifier: Apache-2.0
#pragma once

// What histories contained: so that a run without failures can be told from a run without content.

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <string>
#include <string_view>
#include <vector>

namespace joinery::testing {

enum class occurrence : std::uint8_t {
    step,
    edit,
    multi_operation_edit,
    failed_edit,
    event,
    concurrent_edit,
    delivery,
    duplicate,
    refused,
    group,
    pull,
    complete_answer,
    kept_answer,
    kept_state,
    restart,
    prune,
    record_pruned,
    tidied,
    forgotten,
    gap,
    not_closed,
    comparison,
    algebra,
    count_
};

/// How often each of these occurred, and in how many histories.
class distribution {
public:
    static constexpr std::size_t kinds = static_cast<std::size_t>(occurrence::count_);

    void count(occurrence o, std::uint64_t n = 1) { now_[index(o)] += n; }
    /// A history is over.
    void next_history() {
        ++histories_;
        for (std::size_t i = 0; i < kinds; ++i) {
            total_[i] += now_[i];
            in_histories_[i] += now_[i] > 0;
        }
        now_ = {};
    }
    void add(const distribution& other) {
        histories_ += other.histories_;
        for (std::size_t i = 0; i < kinds; ++i) {
            total_[i] += other.total_[i];
            in_histories_[i] += other.in_histories_[i];
        }
    }

    std::uint64_t histories() const { return histories_; }
    std::uint64_t total(occurrence o) const { return total_[index(o)]; }
    /// In how many histories, in per mille.
    std::uint64_t per_mille(occurrence o) const { return histories_ ? in_histories_[index(o)] * 1000 / histories_ : 0; }

    /// What occurred in fewer than so many of a thousand histories. A test of a test: it should be empty.
    std::vector<std::string> thin(std::uint64_t least_per_mille, const std::vector<occurrence>& wanted) const {
        std::vector<std::string> out;
        for (auto o : wanted)
            if (per_mille(o) < least_per_mille) out.emplace_back(name(o));
        return out;
    }
    /// What every type's histories must contain if they are to say something.
    std::vector<std::string> thin(std::uint64_t least_per_mille = 10) const {
        return thin(least_per_mille, {occurrence::multi_operation_edit, occurrence::failed_edit,
                                      occurrence::concurrent_edit, occurrence::duplicate, occurrence::refused,
                                      occurrence::group, occurrence::pull, occurrence::kept_state, occurrence::restart,
                                      occurrence::prune, occurrence::gap, occurrence::not_closed, occurrence::algebra});
    }

    static std::string_view name(occurrence o) {
        constexpr std::array<std::string_view, kinds> names = {
            "steps",
            "edits",
            "edits of several operations",
            "edits that threw",
            "events",
            "edits concurrent with others",
            "deliveries",
            "duplicates",
            "refused answers",
            "delta groups",
            "pulls",
            "answers with a complete state",
            "answers kept for later",
            "states kept for later",
            "restarts",
            "prunings",
            "removal records pruned",
            "edits that tidied up",
            "edits after which a log forgot",
            "states with gaps",
            "states not causally closed",
            "comparisons with the specification",
            "checks of the laws of join",
        };
        return names[index(o)];
    }

private:
    using counts = std::array<std::uint64_t, kinds>;
    std::uint64_t histories_ = 0;
    counts total_{};
    counts in_histories_{};
    counts now_{};

    static constexpr std::size_t index(occurrence o) { return static_cast<std::size_t>(o); }
};

/// A table, a line for each kind.
inline std::string to_string(const distribution& d) {
    std::string out;
    for (std::size_t i = 0; i < distribution::kinds; ++i) {
        auto o = static_cast<occurrence>(i);
        char line[120];
        std::snprintf(line, sizeof line, "  %10llu  %-36s in %5.1f %% of histories\n",
                      static_cast<unsigned long long>(d.total(o)), std::string(distribution::name(o)).c_str(),
                      static_cast<double>(d.per_mille(o)) / 10);
        out += line;
    }
    return out;
}

} // namespace joinery::testing
