// SPDX-License-Identifier: Apache-2.0
#pragma once

// A histogram from which quantiles are read with a relative error: latencies, sizes. A value falls into a bucket of
// those that are within the error of each other; the buckets are counters, and so what is removed with an enclosing key
// is what was seen. Source: Masson, Rim, Lee, "DDSketch: a fast and fully-mergeable quantile sketch with relative-error
// guarantees" (2019).

#include <joinery/composed.hpp>
#include <joinery/g_counter.hpp>
#include <joinery/or_map.hpp>
#include <joinery/replica.hpp>

#include <cstdint>
#include <map>
#include <optional>
#include <string>

namespace joinery {

namespace detail {

/// Numbers buckets: of zero, of the positive values, and of the negative ones, by the logarithm of their size.
class logarithmic_buckets {
public:
    explicit logarithmic_buckets(double error);
    /// std::invalid_argument if the value is not finite.
    std::int32_t of(double value) const;
    /// What is within the error of all values in the bucket.
    double middle(std::int32_t bucket) const;

private:
    double log_gamma_;
};

} // namespace detail

/// PerMille is the relative error of a quantile, in thousandths, 1 to 500. Values within 1e-300 of 0 count as 0. Some
/// 200 bytes for each bucket that has anything: with an error of 1 %, values from a microsecond to an hour need 1,100.
template <unsigned PerMille = 10> class ddsketch : public composed<or_map<std::int32_t, g_counter>> {
    static_assert(1 <= PerMille && PerMille <= 500);

public:
    /// Adds a value n times. O(log buckets). std::invalid_argument if it is not finite, std::overflow_error if this
    /// replica's total of a bucket would exceed 2^63 - 1.
    void add(transaction& tx, double value, std::uint64_t n = 1) {
        const auto bucket = buckets().of(value);
        if (n > 0) inner_.at(tx, bucket)->increment(tx, n);
    }
    /// How many values there are. O(buckets).
    std::uint64_t count() const {
        std::uint64_t sum = 0;
        for (const auto& [bucket, n] : inner_) sum += n.value();
        return sum;
    }
    /// The value below which a share q of all lies, 0 <= q <= 1: the least for 0, the greatest for 1, within the error.
    /// Nothing if there are none. O(buckets log buckets). std::invalid_argument for another q.
    std::optional<double> quantile(double q) const;

    observation<std::uint64_t> observed() const { return {count()}; }
    static detail::logarithmic_buckets buckets() { return detail::logarithmic_buckets(PerMille / 1000.0); }
    static std::string type_name() { return "ddsketch<" + std::to_string(PerMille) + ">"; }
};

namespace detail {
/// Of values (as keys) and how often each is there.
std::optional<double> quantile(const std::map<double, std::uint64_t>& all, double q);
} // namespace detail

template <unsigned PerMille> std::optional<double> ddsketch<PerMille>::quantile(double q) const {
    std::map<double, std::uint64_t> all;
    const auto middles = buckets();
    for (const auto& [bucket, n] : inner_) all[middles.middle(bucket)] += n.value();
    return detail::quantile(all, q);
}

} // namespace joinery
