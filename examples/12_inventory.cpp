// SPDX-License-Identifier: Apache-2.0
// Stock that is never sold twice, although no warehouse asks another one before it sells: each holds rights to a part
// of it, and refuses when these are spent, unless another one is within reach that gives it some. First two leaders,
// cut off from each other; then the same shop on simulated clusters, where everything goes wrong that can.

#include <joinery/joinery.hpp>
#include <joinery/leader.hpp>
#include <joinery/memory_transport.hpp>
#include <joinery/rights.hpp>
#include <joinery/simulation.hpp>

#include <chrono>
#include <iostream>
#include <numeric>
#include <optional>
#include <string>
#include <vector>

using namespace std::chrono_literals;
using joinery::transaction;

namespace {

struct inventory {
    joinery::bounded_counter stock;
    joinery::g_counter delivered, sold;
};
JOINERY_RECORD(inventory, (1, stock), (2, delivered), (3, sold))

// Where the stock is, for those that ask each other for rights.
struct stock_of {
    void operator()(inventory& i, transaction&, const std::string&, auto&& f) const { f(i.stock); }
};

struct shop {
    using value_type = inventory;

    template <class Leader>
    static joinery::write_result deliver(Leader& here, unsigned n, std::size_t acknowledgements) {
        const auto write = [n](inventory& i, transaction& tx) {
            i.stock.increment(tx, n);
            i.delivered.increment(tx, n);
        };
        return here.write(write, {.acknowledgements = acknowledgements});
    }
    // How many were sold, or nothing: the rights do not suffice here, whatever others may have.
    template <class Leader> static std::optional<unsigned> sell(Leader& here, unsigned n) {
        try {
            here.write([n](inventory& i, transaction& tx) {
                i.stock.decrement(tx, n);
                i.sold.increment(tx, n);
            });
            return n;
        } catch (const joinery::insufficient_rights&) {
            return std::nullopt; // nothing has changed
        }
    }
    template <class Leader> static bool pass_on(Leader& here, joinery::replica_id to, unsigned n) {
        try {
            here.write([&](inventory& i, transaction& tx) { i.stock.transfer(tx, to, n); });
            return true;
        } catch (const joinery::insufficient_rights&) {
            return false;
        }
    }

    // What a simulation does with it at a random leader; what it returns is what a customer was told.
    template <class Leader> std::optional<unsigned> step(Leader& here, joinery::testing::choices& from) {
        const auto n = 1 + static_cast<unsigned>(from.pick(5));
        const auto peers = here.status().peers;
        switch (from.pick(4)) {
        case 0: deliver(here, n, 0); return std::nullopt;
        case 1:
            if (!peers.empty()) pass_on(here, from.of(peers).id, n);
            return std::nullopt;
        default: return sell(here, n);
        }
    }
    // Holds at every leader at all times, ...
    bool check(const inventory& i) const { return i.delivered.value() == i.sold.value() + i.stock.value(); }
    // ... and in the end there is everything that a customer was told.
    bool check_end(const inventory& i, const std::vector<unsigned>& told) const {
        return std::accumulate(told.begin(), told.end(), 0u) <= i.sold.value();
    }
};

} // namespace

int main() {
    joinery::memory_network network;
    const auto start = [&](const std::string& name, const std::string& peer) {
        joinery::node_options options;
        options.name = name;
        options.transport = network.make(name, {peer});
        return joinery::leader<inventory>(std::move(options), "inventory");
    };
    auto eu = start("eu", "us");
    auto us = start("us", "eu");

    const bool met = shop::deliver(us, 1, 1).complete && shop::deliver(eu, 10, 1).complete;
    const bool passed = shop::pass_on(eu, us.id(), 4) && us.sync_to(eu.version(), 10s);
    std::cout << "11 delivered; eu may sell 6 of them, and us 5\n";

    eu.disconnect("us");
    us.disconnect("eu");
    const auto sale = [](const char* where, auto& here, unsigned n) {
        const auto sold = shop::sell(here, n);
        std::cout << where << (sold ? " sells " : " refuses to sell ") << n << '\n';
        return sold.has_value();
    };
    const bool cut_off = sale("eu", eu, 5) && !sale("eu", eu, 2) && sale("us", us, 5) && !sale("us", us, 1);

    eu.connect("us");
    us.connect("eu");
    const auto right = [](const inventory& i) { return i.stock.value() == 1 && i.sold.value() == 10; };
    bool ok = met && passed && cut_off && eu.wait_until(right, 10s) && us.wait_until(right, 10s);

    joinery::rights_exchange<joinery::leader<inventory>, stock_of> at_eu(eu), at_us(us);
    const auto sell = [](inventory& i, transaction& tx) { i.sold.increment(tx); };
    ok = ok && at_us.decrement("", 1, 10s, sell).complete; // the last one, which was eu's to sell
    std::cout << (ok ? "us sells the last one; 11 sold, and nothing twice\n" : "WRONG\n");

    const auto report = joinery::testing::simulate(shop{});
    std::cout << to_string(report);
    return ok && report.ok() ? 0 : 1;
}
