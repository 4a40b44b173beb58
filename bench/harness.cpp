// SPDX-License-Identifier: Apache-2.0
#include "harness.hpp"

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <malloc.h>
#include <stdexcept>

namespace bench {

std::string processor() {
    std::ifstream info("/proc/cpuinfo");
    for (std::string line; std::getline(info, line);)
        if (line.starts_with("model name")) return line.substr(line.find(':') + 2);
    return "unknown processor";
}

const char* const compiler =
#ifdef __clang__
    "clang " __clang_version__;
#else
    "g++ " __VERSION__;
#endif

namespace {
std::string quoted(std::string_view text) {
    std::string out = "\"";
    for (char c : text) {
        if (c == '"' || c == '\\') out += '\\';
        out += c;
    }
    return out + '"';
}
} // namespace

report::report(std::string title, int argc, char** argv) : title_(std::move(title)) {
    for (int i = 1; i < argc; ++i) {
        if (std::string_view(argv[i]) != "--json" || i + 1 == argc) throw std::invalid_argument("usage: --json FILE");
        json_ = argv[++i];
    }
}

report::~report() {
    std::printf("\n%s (%s, %s)\n", title_.c_str(), compiler, processor().c_str());
    for (const auto& f : figures_) {
        std::printf("  %-58s %12.1f %-10s", f.name.c_str(), f.value, f.unit.c_str());
        if (f.yardstick > 0) std::printf(" %6.2fx of %s (%.1f)", f.value / f.yardstick, f.beside.c_str(), f.yardstick);
        std::printf("\n");
    }
    if (json_.empty()) return;
    std::ofstream out(json_);
    out << "{\"title\": " << quoted(title_) << ", \"compiler\": " << quoted(compiler)
        << ", \"processor\": " << quoted(processor()) << ", \"figures\": [";
    const char* comma = "";
    for (const auto& f : figures_) {
        out << comma << "\n  {\"name\": " << quoted(f.name) << ", \"value\": " << f.value
            << ", \"unit\": " << quoted(f.unit);
        if (f.yardstick > 0)
            out << ", \"beside\": " << quoted(f.beside) << ", \"yardstick\": " << f.yardstick
                << ", \"ratio\": " << f.value / f.yardstick;
        out << "}";
        comma = ",";
    }
    out << "\n]}\n";
}

double median(std::vector<double> samples) {
    if (samples.empty()) return 0;
    auto middle = samples.begin() + static_cast<std::ptrdiff_t>(samples.size() / 2);
    std::nth_element(samples.begin(), middle, samples.end());
    return *middle;
}

figure paired(std::string name, std::string beside, std::size_t rounds, std::size_t operations,
              const std::function<void()>& subject, const std::function<void()>& yardstick,
              const std::function<void()>& prepare) {
    std::vector<double> ours;
    std::vector<double> theirs;
    prepare();
    subject();
    yardstick();
    for (std::size_t i = 0; i < rounds; ++i) {
        prepare();
        ours.push_back(time_of(subject) / static_cast<double>(operations));
        theirs.push_back(time_of(yardstick) / static_cast<double>(operations));
    }
    return {std::move(name), median(ours), "ns/op", median(theirs), std::move(beside)};
}

figure timed(std::string name, std::size_t rounds, std::size_t operations, const std::function<void()>& subject) {
    std::vector<double> samples;
    subject();
    for (std::size_t i = 0; i < rounds; ++i) samples.push_back(time_of(subject) / static_cast<double>(operations));
    return {std::move(name), median(samples), "ns/op", 0, ""};
}

std::size_t heap_in_use() { return mallinfo2().uordblks + mallinfo2().hblkhd; }

} // namespace bench
