// SPDX-License-Identifier: Apache-2.0
#include <joinery/transaction.hpp>

#include <functional>

namespace joinery {

timestamp transaction::now() {
    if (!now_) now_ = clock_.tick();
    return *now_;
}

// Walks outwards from the innermost open child; each container found is itself the next owner to look for.
template <class Report> void transaction::report(const void* owner, Report&& report) {
    for (auto it = open_.rbegin(); it != open_.rend(); ++it) {
        const auto* address = static_cast<const std::byte*>(owner);
        const auto* child = (*it)->child_;
        if (std::less<>{}(address, child) || !std::less<>{}(address, child + (*it)->size_)) continue;
        report(**it);
        owner = (*it)->container_;
    }
}

void transaction::report_entered(const void* owner, const dot_range& dots) {
    report(owner, [&](open_child& c) { c.entered(dots); });
}

void transaction::report_entered(const void* owner, dot d) { report_entered(owner, dot_range(d)); }

void transaction::report_dropped(const void* owner, const dot_range& dots) {
    report(owner, [&](open_child& c) { c.dropped(dots); });
}

void transaction::record(dot d, kills killed) {
    if (killed.empty()) return;
    killed.normalize();
    removals_.push_back({d, std::move(killed)});
}

void transaction::rollback() noexcept {
    undo_.run();
    clock_.rewind(clock_before_);
}

void transaction::commit() noexcept { commit_.run(); }

} // namespace joinery
