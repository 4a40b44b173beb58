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
    for (auto* c = open_; c; c = c->outer_) {
        const auto* address = static_cast<const std::byte*>(owner);
        if (std::less<>{}(address, c->child_) || !std::less<>{}(address, c->child_ + c->size_)) continue;
        report(*c);
        owner = c->container_;
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

void* transaction::allocate_more(std::size_t size, std::size_t alignment) {
    if (!more_) more_.emplace();
    return more_->allocate(size, alignment);
}

} // namespace joinery
