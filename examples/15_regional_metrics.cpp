// SPDX-License-Identifier: Apache-2.0
// Metrics of three regions, each of which measures by itself and shows the whole: requests are counted, visitors are
// counted once wherever they were seen, and latencies are summed up in a sketch from which quantiles are read.

#include <joinery/joinery.hpp>
#include <joinery/leader.hpp>
#include <joinery/memory_transport.hpp>
#include <joinery/random_source.hpp>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <iostream>
#include <string>
#include <vector>

using namespace std::chrono_literals;
using joinery::transaction;

namespace {

struct metrics {
    joinery::or_map<std::string, joinery::g_counter> requests; // by region
    joinery::hyperloglog<> visitors;
    joinery::ddsketch<> latency; // in milliseconds
};
JOINERY_RECORD(metrics, (1, requests), (2, visitors), (3, latency))
using leader = joinery::leader<metrics>;

void bar(const std::string& name, double value, double greatest) {
    const auto length = static_cast<std::size_t>(std::lround(40 * value / greatest));
    std::cout << "  " << name << std::string(10 - name.size(), ' ') << std::string(length, '#') << ' '
              << std::lround(value) << '\n';
}

void chart(const metrics& m) {
    std::cout << "requests\n";
    std::uint64_t greatest = 1;
    for (const auto& [region, n] : m.requests) greatest = std::max(greatest, n.value());
    for (const char* region : {"ap", "eu", "us"})
        if (const auto* n = m.requests.find(region))
            bar(region, static_cast<double>(n->value()), static_cast<double>(greatest));
    std::cout << "latency of " << m.latency.count() << " requests, in ms\n";
    for (const int q : {50, 90, 99})
        bar("p" + std::to_string(q), *m.latency.quantile(q / 100.0), *m.latency.quantile(0.99));
    std::cout << "about " << m.visitors.count() << " visitors\n";
}

// An hour of a region, in edits of a hundred requests.
void measure(leader& at, const std::string& region, unsigned requests, std::uint64_t first_visitor, double usual) {
    joinery::testing::random_source random(first_visitor + 1);
    for (unsigned done = 0; done < requests; done += 100)
        at.write([&](metrics& m, transaction& tx) {
            m.requests.at(tx, region)->increment(tx, 100);
            for (int i = 0; i < 100; ++i) {
                m.visitors.add(tx, first_visitor + random.below(2000));
                m.latency.add(tx, usual * static_cast<double>(100 + random.below(100)) / 100);
            }
        });
}

bool near(double a, double b, double error) { return std::abs(a - b) <= error * b; }

} // namespace

int main() {
    joinery::memory_network network;
    const auto start = [&](const std::string& name, const std::vector<std::string>& peers) {
        joinery::node_options options;
        options.name = name;
        options.transport = network.make(name, peers);
        return leader(std::move(options), "metrics");
    };
    auto eu = start("eu", {"us", "ap"});
    auto us = start("us", {"eu", "ap"});
    auto ap = start("ap", {"eu", "us"});

    // Visitors 1000 to 1999 are seen in eu and in us, and counted once.
    measure(eu, "eu", 10'000, 0, 20);
    measure(us, "us", 16'000, 1000, 40);
    measure(ap, "ap", 4'000, 10'000, 100);

    const auto complete = [](const metrics& m) { return m.latency.count() == 30'000; };
    bool ok = eu.wait_until(complete, 10s) && us.wait_until(complete, 10s) && ap.wait_until(complete, 10s);
    const metrics all = ap.read([](const metrics& m) { return m; });
    chart(all);

    // Of the 5,000 who might have come, 4,729 are to be expected.
    const auto quantile = [&](double q) { return all.latency.quantile(q).value_or(0); };
    ok = ok && near(static_cast<double>(all.visitors.count()), 4'729, 0.06) && near(quantile(0.5), 52, 0.04) &&
         near(quantile(0.99), 192, 0.04) && all.requests.find("us")->value() == 16'000 &&
         us.read([](const metrics& m) { return m.visitors.count(); }) == all.visitors.count();
    std::cout << (ok ? "all regions show the same\n" : "WRONG\n");
    return ok ? 0 : 1;
}
