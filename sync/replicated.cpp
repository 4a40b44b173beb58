// SPDX-License-Identifier: Apache-2.0
#include <joinery/replicated.hpp>

#include <string>

namespace joinery {

void replicated_state::throw_too_large(std::size_t bytes) const {
    throw edit_too_large("an edit inserts " + std::to_string(bytes) + " bytes of text; at most " +
                         std::to_string(most_text_) + " are possible");
}

namespace {

template <class F> bool all_killed(const kills& k, F&& f) {
    return std::all_of(k.dots.begin(), k.dots.end(), f) &&
           std::all_of(k.runs.begin(), k.runs.end(), [&](const auto& run) {
               return f(dot_range{run.start.replica, run.start.seq, run.last});
           });
}

} // namespace

bool replicated_state::removes_what_is_here(const std::vector<removal>& removals, const dot_range& edit) const {
    const auto known = [&](const dot_range& dots) {
        if (dots.replica == edit.replica) return dots.last <= edit.last;
        return context().contains(dots) && (dots.replica != id() || dots.last <= published_);
    };
    return std::all_of(removals.begin(), removals.end(), [&](const auto& r) { return all_killed(r.killed, known); });
}

bool replicated_state::within(const kills& k, const causal_context& a, const causal_context& b) {
    return all_killed(k, [&](const dot_range& dots) {
        const auto missing = a.missing(dots);
        return std::all_of(missing.begin(), missing.end(), [&](const dot_range& r) { return b.contains(r); });
    });
}

version_vector replicated_state::take_dependencies() {
    version_vector changed;
    if (!grown_) return changed;
    grown_ = false;
    version_vector now = version();
    now.set(id(), 0); // an edit follows the ones before it anyhow
    for (const auto& [r, seq] : now)
        if (depended_[r] < seq) changed.raise(r, seq);
    depended_ = std::move(now);
    return changed;
}

} // namespace joinery
