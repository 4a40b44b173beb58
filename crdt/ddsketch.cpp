// SPDX-License-Identifier: Apache-2.0
#include <joinery/ddsketch.hpp>

#include <algorithm>
#include <cmath>
#include <limits>
#include <stdexcept>

namespace joinery::detail {

namespace {
constexpr std::int32_t zero = INT32_MIN; // the others: twice the exponent, and one more for negative values
constexpr double least = 1e-300;
} // namespace

logarithmic_buckets::logarithmic_buckets(double error) : log_gamma_(std::log((1 + error) / (1 - error))) {}

std::int32_t logarithmic_buckets::of(double value) const {
    if (!std::isfinite(value)) throw std::invalid_argument("ddsketch: not a finite value");
    const double size = std::abs(value);
    if (size < least) return zero;
    return 2 * static_cast<std::int32_t>(std::ceil(std::log(size) / log_gamma_)) + (value < 0 ? 1 : 0);
}

double logarithmic_buckets::middle(std::int32_t bucket) const {
    if (bucket == zero) return 0;
    const bool negative = bucket & 1;
    const double exponent = (static_cast<double>(bucket) - (negative ? 1 : 0)) / 2;
    const double size = std::min(std::exp(exponent * log_gamma_ + std::log(2 / (std::exp(log_gamma_) + 1))),
                                 std::numeric_limits<double>::max());
    return negative ? -size : size;
}

std::optional<double> quantile(const std::map<double, std::uint64_t>& all, double q) {
    if (!(0 <= q && q <= 1)) throw std::invalid_argument("ddsketch: a quantile is from 0 to 1");
    long double count = 0;
    for (const auto& [value, n] : all) count += static_cast<long double>(n);
    if (all.empty()) return std::nullopt;
    const long double rank = static_cast<long double>(q) * (count - 1);
    long double below = 0;
    for (const auto& [value, n] : all) {
        below += static_cast<long double>(n);
        if (below > rank) return value;
    }
    return all.rbegin()->first;
}

} // namespace joinery::detail
