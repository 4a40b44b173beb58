// SPDX-License-Identifier: Apache-2.0
#pragma once

// Figures of texts, measured as the programs in bench/peers measure other libraries, and printed as they print them:
// a JSON object in each line.

#include "harness.hpp"

#include <chrono>
#include <cstddef>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace bench {

using milliseconds = std::chrono::duration<double, std::milli>;

class stopwatch {
public:
    milliseconds elapsed() const { return std::chrono::steady_clock::now() - start_; }

private:
    std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

/// A median, and of how many runs.
struct sample {
    milliseconds median;
    std::size_t runs;
};

/// Of up to five runs after one to warm up, while they take less than three seconds together; of the first alone if
/// that takes long, or if it is to be quick. `run` returns the time that counts.
template <class F> sample sample_of(bool quick, F&& run) {
    constexpr std::size_t most = 5;
    constexpr milliseconds budget{3000};
    const stopwatch all;
    const milliseconds first = run();
    if (quick || all.elapsed() > budget / 2) return {first, 1};
    std::vector<double> times;
    while (times.size() < most && all.elapsed() < budget) times.push_back(milliseconds(run()).count());
    return {milliseconds(median(times)), times.size()};
}

/// What is measured: the traces and shapes that are named, or all; and how often.
struct text_options {
    std::vector<std::string> names;
    bool quick = false;
    bool each_writer = false; // check_each_writer of the concurrent traces, and nothing measured of them

    bool wants(std::string_view name) const;
};

/// Prints a line that says what the figures below it were measured on.
void print_platform();

/// Prints the figures of one trace or shape.
class text_figures {
public:
    text_figures(std::string trace, const text_options& options, std::string peer = "joinery")
        : peer_(std::move(peer)), trace_(std::move(trace)), quick_(options.quick) {}

    const std::string& trace() const { return trace_; }

    void figure(std::string_view column, double value, const char* unit, std::size_t runs = 1) const;

    /// The time of `run` in `unit` (ms, us or ns), divided by `per`.
    template <class F> void time(std::string_view column, const char* unit, double per, F&& run) const {
        const auto s = sample_of(quick_, run);
        const double scale = unit[0] == 'n' ? 1e6 : unit[0] == 'u' ? 1e3 : 1;
        figure(column, s.median.count() * scale / per, unit, s.runs);
    }

    /// The same of `make`, whose result is checked and destroyed outside of the time.
    template <class F, class Check> void time_made(std::string_view column, F&& make, Check&& check) const {
        time(column, "ms", 1, [&] {
            const stopwatch clock;
            const auto made = make();
            const auto time = clock.elapsed();
            check(made);
            return time;
        });
    }

    /// KiB of the heap that what `make` returns takes.
    template <class F> void heap(std::string_view column, F&& make) const {
        const auto before = heap_in_use();
        const auto made = make();
        figure(column, static_cast<double>(heap_in_use() - before) / 1024, "KiB");
    }

    /// Throws std::runtime_error unless what was measured is right.
    void require(bool ok, std::string_view what) const {
        if (!ok) throw std::runtime_error(trace_ + ": " + std::string(what));
    }

private:
    std::string peer_;
    std::string trace_;
    bool quick_;
};

/// Edits that are made up: text_shapes.cpp.
void measure_text_shapes(const text_options& options);

} // namespace bench
