// SPDX-License-Identifier: Apache-2.0
#include <joinery/occurrences.hpp>

#include <algorithm>
#include <stdexcept>
#include <utility>

namespace joinery {

void occurrences::put(transaction& tx, const dot_range& dots) {
    live_.add(dots);
    tx.on_rollback([this, dots] { live_.remove(dots); });
    tx.entered(this, dots);
}

void occurrences::take(transaction& tx, std::uint64_t n, kills& out) {
    causal_context taken;
    for (const auto& r : live_.ranges()) {
        if (n == 0) break;
        const std::uint64_t some = std::min(n, r.size());
        taken.add({r.replica, r.first, r.first + some - 1});
        n -= some;
    }
    if (taken.empty()) return;
    live_.subtract(taken);
    taken.for_each([&](const dot_range& r) {
        out.add(r);
        tx.dropped(this, r);
    });
    tx.on_rollback([this, taken = std::move(taken)] { live_.join(taken); });
}

void occurrences::add(transaction& tx, std::uint64_t n) {
    if (n > most_at_once) throw std::length_error("occurrences: too many at once");
    if (n > 0) put(tx, tx.next(n));
}

void occurrences::remove(transaction& tx, std::uint64_t n) {
    kills taken;
    take(tx, n, taken);
    if (!taken.empty()) tx.record(tx.next(), std::move(taken));
}

void occurrences::replace(transaction& tx) {
    const dot d = tx.next();
    kills seen;
    take(tx, UINT64_MAX, seen);
    put(tx, d);
    tx.record(d, std::move(seen));
}

void occurrences::join(const fragment& f, join_scope& s) {
    if (s.overlapping) {
        const causal_context gone = live_.intersect(s.covered).minus(f.dots);
        live_.subtract(gone);
        gone.for_each([&](const dot_range& r) { s.dropped(r); });
    }
    const causal_context fresh = f.dots.intersect(s.covered).minus(s.seen).minus(s.log.awaited());
    fresh.for_each([&](const dot_range& r) {
        if (s.held(r) || live_.intersects(r)) return; // no replica sends a dot twice, but hostile bytes may
        live_.add(r);
        s.entered(r);
    });
}

void occurrences::kill(const dot_range& dots, join_scope& s) {
    for (const auto& gone : live_.intersect(dots)) {
        live_.remove(gone);
        s.dropped(gone);
    }
}

} // namespace joinery
