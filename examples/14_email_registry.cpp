// SPDX-License-Identifier: Apache-2.0
// Who owns an address, where two leaders may give it away at the same time: that cannot be prevented without asking,
// but it must not go unnoticed. Every claim is kept, the same one is honoured for the time being on all leaders, and
// the conflict is seen on both sides until somebody decides. First two leaders; then simulated clusters.

#include <joinery/joinery.hpp>
#include <joinery/leader.hpp>
#include <joinery/memory_transport.hpp>
#include <joinery/simulation.hpp>

#include <algorithm>
#include <chrono>
#include <iostream>
#include <optional>
#include <string>
#include <utility>
#include <vector>

using namespace std::chrono_literals;
using joinery::transaction;

namespace {

using registry = joinery::or_map<std::string, joinery::mv_register<std::string>>; // addresses to accounts

// All who claim an address; the first is its owner for the time being. A function of the claims alone, so all leaders
// that know the same claims agree.
std::vector<std::string> claims_of(const registry& all, const std::string& address) {
    const auto* found = all.find(address);
    auto claims = found ? found->values() : std::vector<std::string>();
    std::sort(claims.begin(), claims.end());
    return claims;
}

// False if the address is taken, as far as is known here.
template <class Leader> bool claim(Leader& at, const std::string& address, const std::string& account) {
    bool free = false;
    at.write([&](registry& all, transaction& tx) {
        free = claims_of(all, address).empty();
        if (free) all.at(tx, address)->set(tx, account);
    });
    return free;
}

template <class Leader> void decide(Leader& at, const std::string& address, const std::string& account) {
    at.write([&](registry& all, transaction& tx) { all.at(tx, address)->set(tx, account); });
}

// For a simulation: everybody wants the same few addresses. Whoever was told that one is theirs either has it in the
// end, or is seen to be in conflict with who has.
struct registrations {
    using value_type = registry;
    using given = std::pair<std::string, std::string>; // address, account

    template <class Leader> std::optional<given> step(Leader& here, joinery::testing::choices& from) {
        const given wish(std::string(1, static_cast<char>('a' + from.pick(6))) + "@example.org",
                         here.address() + std::to_string(from.pick(1000)));
        return claim(here, wish.first, wish.second) ? std::optional(wish) : std::nullopt;
    }
    joinery::testing::problem check_end(const registry& all, const std::vector<given>& told) const {
        for (const auto& [address, account] : told) {
            const auto claims = claims_of(all, address);
            if (std::find(claims.begin(), claims.end(), account) == claims.end())
                return "nobody sees that " + account + " has lost an address";
        }
        return {};
    }
};

} // namespace

int main() {
    joinery::memory_network network;
    const auto start = [&](const std::string& name, const std::string& peer) {
        joinery::node_options options;
        options.name = name;
        options.transport = network.make(name, {peer});
        return joinery::leader<registry>(std::move(options), "addresses");
    };
    auto eu = start("eu", "us");
    auto us = start("us", "eu");
    const std::string bob = "bob@example.org", eve = "eve@example.org";

    bool ok = claim(eu, eve, "eve-1") && us.sync_to(eu.version(), 10s);
    ok = ok && !claim(us, eve, "eve-2"); // seen in time: refused
    std::cout << "cut off, both give away " << bob << '\n';
    eu.disconnect("us");
    us.disconnect("eu");
    ok = ok && claim(eu, bob, "bob-of-eu") && claim(us, bob, "bob-of-us");

    eu.connect("us");
    us.connect("eu");
    const auto conflict = [&](const registry& all) { return claims_of(all, bob).size() == 2; };
    ok = ok && eu.wait_until(conflict, 10s) && us.wait_until(conflict, 10s);
    const auto claims = [&](const registry& all) { return claims_of(all, bob); };
    for (auto* at : {&eu, &us})
        for (const auto& account : at->read(claims))
            std::cout << "  " << (at == &eu ? "eu: " : "us: ") << account
                      << (account == at->read(claims).front() ? ", for the time being\n" : ", in conflict\n");
    ok = ok && eu.read(claims) == us.read(claims);

    decide(us, bob, "bob-of-us");
    const auto decided = [&](const registry& all) {
        return claims_of(all, bob) == std::vector{std::string("bob-of-us")};
    };
    ok = ok && eu.wait_until(decided, 10s);
    std::cout << (ok ? "decided at us, and known at eu\n" : "WRONG\n");

    const auto report = joinery::testing::simulate(registrations{});
    std::cout << to_string(report);
    return ok && report.ok() ? 0 : 1;
}
