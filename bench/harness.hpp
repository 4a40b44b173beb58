// SPDX-License-Identifier: Apache-2.0
#pragma once

// Paired measurements: the subject and a yardstick take turns within one run, so that a machine whose
// speed drifts does not favour either. Medians are reported, and their ratio.

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace bench {

/// One line of the report. What does not apply is left at zero.
struct figure {
    std::string name;
    double value = 0; ///< the median
    std::string unit;
    double yardstick = 0; ///< the yardstick's median in the same unit
    std::string beside;   ///< what the yardstick is
};

/// Collects figures, prints them as a table and, with `--json FILE`, writes them there.
class report {
public:
    /// Takes `--json FILE` from the command line. Throws std::invalid_argument for anything else.
    report(std::string title, int argc, char** argv);
    /// Prints the table and writes the file.
    ~report();
    report(const report&) = delete;
    report& operator=(const report&) = delete;

    void add(figure f) { figures_.push_back(std::move(f)); }

private:
    std::string title_;
    std::string json_;
    std::vector<figure> figures_;
};

/// What the figures are of.
std::string processor();
extern const char* const compiler;

double median(std::vector<double> samples);

/// Nanoseconds that one call takes.
template <class F> double time_of(F&& f) {
    auto start = std::chrono::steady_clock::now();
    f();
    return std::chrono::duration<double, std::nano>(std::chrono::steady_clock::now() - start).count();
}

/// Runs subject and yardstick in turn, `rounds` times after one warm-up; each call does `operations`
/// operations. Reports nanoseconds an operation. `prepare` runs before the subject, each time, and does not count.
figure paired(
    std::string name, std::string beside, std::size_t rounds, std::size_t operations,
    const std::function<void()>& subject, const std::function<void()>& yardstick,
    const std::function<void()>& prepare = [] {});
/// The same, without a yardstick.
figure timed(std::string name, std::size_t rounds, std::size_t operations, const std::function<void()>& subject);

/// Keeps the optimiser from removing what a value was computed by.
template <class T> void keep(const T& value) { asm volatile("" : : "r,m"(value) : "memory"); }

/// Bytes that the heap has handed out.
std::size_t heap_in_use();

} // namespace bench
