// SPDX-License-Identifier: Apache-2.0
// Addresses that are given away once, on any of three leaders: one of them is their home, and grants them. When it is
// cut off, the others say so until an operator orders that another one takes over; what the old home has granted
// meanwhile is seen on both sides, and decided. Then the same on simulated clusters, where everything goes wrong that
// can.

#include <joinery/claims.hpp>
#include <joinery/joinery.hpp>
#include <joinery/memory_transport.hpp>
#include <joinery/simulation.hpp>

#include <algorithm>
#include <chrono>
#include <iostream>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

using namespace std::chrono_literals;

namespace {

// A leader of the addresses, and its desk.
struct office {
    joinery::leader<joinery::claims> at;
    joinery::registrar<joinery::leader<joinery::claims>> desk;
    explicit office(joinery::node_options options) : at(std::move(options), "addresses"), desk(at) {}
};

bool claims(const char* where, office& at, const std::string& address, const std::string& account,
            std::chrono::milliseconds timeout = 10s) {
    const auto result = at.desk.claim(address, account, timeout);
    std::cout << where << ": " << account << " claims " << address << ": " << to_string(result) << '\n';
    return result.granted();
}

// Of those that are contested, whoever comes first by name keeps the address; the others are told to choose another. A
// function of the claims alone: so it does not matter who decides.
void decide_all(office& at) {
    for (const auto& address : at.desk.conflicts()) {
        const auto all = at.desk.of(address);
        const auto first =
            std::min_element(all.begin(), all.end(), [](const auto& a, const auto& b) { return a.owner < b.owner; });
        at.desk.decide(address, first->owner, 10s);
    }
}

// For a simulation: everybody wants the same few addresses, and now and then the home hands them over. None may ever be
// given to two, and who was told that one is theirs has it in the end.
struct registrations {
    using value_type = joinery::claims;
    using here_leader = joinery::testing::simulated_leader<joinery::claims>;
    using given = std::pair<std::string, std::string>; // address, account
    std::shared_ptr<joinery::registrar<here_leader>> desk;

    void start(here_leader& here) {
        desk = std::make_shared<joinery::registrar<here_leader>>(here);
        if (here.address() == "A" && !desk->home_of("")) desk->take_over("", here.id(), "A");
    }
    std::optional<given> step(here_leader& here, joinery::testing::choices& from) {
        const auto peers = here.status().peers;
        if (!peers.empty() && from.pick(10) == 0) {
            const auto& next = from.of(peers);
            desk->hand_over("", next.id, next.name, 200ms);
            return std::nullopt;
        }
        const given wish(std::string(1, static_cast<char>('a' + from.pick(6))) + "@example.org",
                         here.address() + std::to_string(from.pick(3)));
        return desk->claim(wish.first, wish.second, 200ms).granted() ? std::optional(wish) : std::nullopt;
    }
    bool check(const joinery::claims& all) const { return all.conflicts().empty(); }
    joinery::testing::problem check_end(const joinery::claims& all, const std::vector<given>& told) const {
        for (const auto& [address, account] : told)
            if (all.owner(address) != account) return account + " has lost an address";
        return {};
    }
};

} // namespace

int main() {
    joinery::memory_network network;
    const auto start = [&](const std::string& name, const std::vector<std::string>& peers) {
        joinery::node_options options;
        options.name = name;
        options.transport = network.make(name, peers);
        return options;
    };
    office eu(start("eu", {"us", "asia"})), us(start("us", {"eu", "asia"})), asia(start("asia", {"eu", "us"}));
    const std::string bob = "bob@example.org", eve = "eve@example.org";
    const auto home_is = [&](const joinery::node_status& who) {
        return [id = who.id](const joinery::claims& all) {
            const auto home = all.homes.of("");
            return home && home->node == id;
        };
    };

    eu.desk.take_over("", eu.at.id(), "eu"); // the first one
    bool ok = us.at.wait_until(home_is(eu.at.status()), 10s) && asia.at.wait_until(home_is(eu.at.status()), 10s);
    ok = ok && claims("us", us, eve, "eve-1");
    ok = ok && !claims("asia", asia, eve, "eve-2");

    std::cout << "eu is cut off\n";
    for (const auto* peer : {"us", "asia"}) eu.at.disconnect(peer);
    for (auto* o : {&us, &asia}) o->at.disconnect("eu");
    ok = ok && !claims("us", us, bob, "bob-of-us", 300ms);
    us.desk.take_over("", us.at.id(), "us", {.acknowledgements = 1});
    std::cout << "an operator orders that us takes over\n";
    ok = ok && claims("asia", asia, bob, "bob-of-us") && claims("eu", eu, bob, "bob-of-eu");

    std::cout << "eu is back\n";
    for (const auto* peer : {"us", "asia"}) eu.at.connect(peer);
    const auto contested = [&](const joinery::claims& all) { return all.conflicts() == std::vector{bob}; };
    ok = ok && eu.at.wait_until(contested, 10s) && us.at.wait_until(contested, 10s);
    claims("eu", eu, bob, "bob-of-us"); // at us, its home now
    decide_all(eu);
    const auto decided = [&](const joinery::claims& all) {
        return all.conflicts().empty() && all.owner(bob) == "bob-of-eu";
    };
    for (auto* o : {&eu, &us, &asia}) ok = ok && o->at.wait_until(decided, 10s);
    std::cout << (ok ? "decided, and known everywhere\n" : "WRONG\n");

    const auto report = joinery::testing::simulate(registrations{});
    std::cout << to_string(report);
    return ok && report.ok() ? 0 : 1;
}
