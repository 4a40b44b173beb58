// SPDX-License-Identifier: Apache-2.0
#include <joinery/hyperloglog.hpp>

#include <algorithm>
#include <array>
#include <cmath>

namespace joinery::detail {

void raised_registers::note(const raised_register& r, std::size_t registers) {
    if (r.index >= registers) return; // hostile bytes may name others
    if (highest_.empty()) highest_.resize(registers);
    highest_[r.index] = std::max(highest_[r.index], std::min<std::uint8_t>(r.rank, 65));
}

void raised_registers::find_highest(std::size_t registers) {
    highest_.clear();
    for (const auto& e : store_) note(e.value, registers);
}

void raised_registers::raise(transaction& tx, raised_register r, std::size_t registers) {
    if (!highest_.empty() && highest_[r.index] >= r.rank) return;
    tx.on_rollback([this, registers] { find_highest(registers); }); // after the store's own
    store_.replace_if(tx, r, [&](const raised_register& old) { return old.index == r.index; });
    note(r, registers);
}

void raised_registers::join(const fragment& f, join_scope& s, std::size_t registers) {
    const std::size_t before = store_.size();
    store_.join(f, s);
    if (store_.size() != before + f.size()) return find_highest(registers); // something went, or did not come
    for (const auto& e : f) note(e.value, registers);
}

void raised_registers::kill(const dot_range& dots, join_scope& s, std::size_t registers) {
    const std::size_t before = store_.size();
    store_.kill(dots, s);
    if (store_.size() != before) find_highest(registers);
}

void raised_registers::clear(transaction& tx, kills& out, std::size_t registers) {
    tx.on_rollback([this, registers] { find_highest(registers); }); // after the store's own
    store_.clear(tx, out);
    highest_.clear();
}

namespace {

// sigma and tau of Ertl's estimator: what the registers that were never raised, or as high as can be, contribute.
double sigma(double x) {
    if (x == 1.0) return HUGE_VAL;
    double sum = x;
    for (double weight = 1.0, before = -1.0; before != sum; weight += weight) {
        x *= x;
        before = sum;
        sum += x * weight;
    }
    return sum;
}
double tau(double x) {
    if (x == 0.0 || x == 1.0) return 0.0;
    double sum = 1.0 - x;
    for (double weight = 1.0, before = -1.0; before != sum;) {
        x = std::sqrt(x);
        before = sum;
        weight *= 0.5;
        sum -= (1.0 - x) * (1.0 - x) * weight;
    }
    return sum / 3.0;
}

} // namespace

double raised_registers::estimate(std::size_t registers) const {
    if (highest_.empty()) return 0;
    std::array<double, 66> how_many{}; // registers of each rank
    for (auto rank : highest_) ++how_many[rank];
    const auto m = static_cast<double>(registers);
    const auto bits = static_cast<std::size_t>(65 - std::countr_zero(registers)); // the greatest rank
    double over = how_many[bits];
    for (std::size_t rank = bits + 1; rank < how_many.size(); ++rank) over += how_many[rank];
    double z = m * tau(1.0 - over / m);
    for (std::size_t rank = bits - 1; rank >= 1; --rank) z = 0.5 * (z + how_many[rank]);
    z += m * sigma(how_many[0] / m);
    return m * m / (2.0 * std::log(2.0)) / z;
}

} // namespace joinery::detail
