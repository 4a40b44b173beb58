// SPDX-License-Identifier: Apache-2.0
#include "campaign.hpp"

#include <algorithm>
#include <atomic>
#include <mutex>
#include <thread>
#include <utility>

namespace joinery::simulation {

campaign run_campaign(std::uint64_t first, std::uint64_t schedules, unsigned threads, planted_bug bug,
                      std::size_t most_failures, const std::function<void(std::uint64_t)>& progress,
                      schedule (*draw)(std::uint64_t)) {
    campaign all;
    std::mutex mutex;
    std::atomic<std::uint64_t> next{0};
    std::atomic<bool> enough{false};
    const std::uint64_t stride = std::max<std::uint64_t>(schedules / 10, 1);
    const auto work = [&] {
        tally counts;
        for (std::uint64_t n = next++; n < schedules && !enough; n = next++) {
            auto plan = draw(first + n);
            const auto result = run(plan, bug);
            add(counts, result.counts);
            std::lock_guard lock(mutex);
            ++all.schedules;
            all.slowest_convergence = std::max(all.slowest_convergence, result.converged_after);
            if (!result.violation.empty()) all.failures.push_back({std::move(plan), result.violation});
            if (all.failures.size() >= most_failures) enough = true;
            if (progress && all.schedules % stride == 0) progress(all.schedules);
        }
        std::lock_guard lock(mutex);
        add(all.counts, counts);
    };
    std::vector<std::thread> others;
    for (unsigned i = 1; i < threads; ++i) others.emplace_back(work);
    work();
    for (auto& t : others) t.join();
    std::sort(all.failures.begin(), all.failures.end(),
              [](const auto& a, const auto& b) { return a.plan.seed < b.plan.seed; });
    return all;
}

double campaign::average(std::string_view what) const {
    const auto at = counts.find(what);
    return at == counts.end() || schedules == 0 ? 0 : static_cast<double>(at->second) / static_cast<double>(schedules);
}

std::string report(const campaign& c, planted_bug bug) {
    std::string out;
    for (const auto& [what, n] : c.counts) {
        auto number = std::to_string(n);
        number.insert(0, number.size() < 12 ? 12 - number.size() : 0, ' ');
        out += number + "  " + what + "\n";
    }
    out += std::to_string(c.average("edits")) + " edits and " + std::to_string(c.average("faults")) +
           " faults a schedule" + (c.busy() ? "\n" : ": TOO FEW\n");
    out += "slowest convergence after the last fault: " + std::to_string(c.slowest_convergence.count()) + " ms\n";
    for (const auto& f : c.failures) out += "FAILED: seed " + std::to_string(f.plan.seed) + ": " + f.violation + "\n";
    if (!c.failures.empty()) {
        const auto smallest = shrunk(c.failures.front().plan, bug);
        out += "the first of them with " + std::to_string(smallest.steps.size()) + " steps:\n";
        for (const auto& line : run(smallest, bug, true).trace) out += line + "\n";
    }
    for (const auto& what : never_seen(c.counts)) out += "NEVER SEEN: " + what + "\n";
    return out;
}

} // namespace joinery::simulation
