// SPDX-License-Identifier: Apache-2.0
// Claims at a home, and rights that are asked for, on simulated clusters with every kind of fault. Seeds are fixed, so
// that a failure is one of the code; JOINERY_SEED and JOINERY_SCHEDULES make the first of them a soak.
#include <joinery/claims.hpp>
#include <joinery/g_counter.hpp>
#include <joinery/rights.hpp>
#include <joinery/simulation.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <map>
#include <memory>
#include <numeric>
#include <optional>
#include <string>
#include <utility>
#include <vector>

using namespace joinery;
using namespace std::chrono_literals;
using joinery::testing::choices;
using joinery::testing::faults;
using joinery::testing::problem;
using joinery::testing::simulate;
using joinery::testing::simulated_leader;
using joinery::testing::simulation_report;

namespace {

// Asked and not waited for, waited for a little, and long enough for what is not cut off.
constexpr std::chrono::milliseconds times[] = {0ms, 30ms, 200ms, 1000ms};

enum class orders { hand_over, take_over };

/// Everybody wants the same few names, and the home moves: by its own edit, or by an operator's order as well. Names
/// with an s are given back, each by an account of its own.
template <orders O> struct registrations {
    using value_type = claims;
    struct told {
        std::string name, account;
        bool ended = false;
        friend std::string to_string(const told& t) {
            return t.name + (t.ended ? " is no longer " : " is given to ") + t.account;
        }
    };
    using desk = registrar<simulated_leader<claims>>;
    std::shared_ptr<desk> here;
    std::vector<told> to_end; // not known to anybody else, and gone with the process

    void start(simulated_leader<claims>& at) {
        here = std::make_shared<desk>(at);
        if (at.address() == "A" && !here->home_of("")) here->take_over("", at.id(), "A");
    }
    std::optional<told> step(simulated_leader<claims>& at, choices& from) {
        const auto timeout = times[from.pick(std::size(times))];
        const auto peers = at.status().peers;
        if (from.pick(8) == 0 && !peers.empty()) {
            const auto& to = from.of(peers);
            const std::string prefix(from.pick(2), 'a');
            if (O == orders::take_over && from.pick(2) == 0)
                here->take_over(prefix, to.id, to.name);
            else
                here->hand_over(prefix, to.id, to.name, timeout);
            return std::nullopt;
        }
        if (from.pick(3) == 0) return give_back(at, from, timeout);
        const told wish{std::string(1, static_cast<char>('a' + from.pick(2))) + std::to_string(from.pick(3)),
                        at.address() + std::to_string(from.pick(3))};
        if (!here->claim(wish.name, wish.account, timeout).granted()) return std::nullopt;
        return wish;
    }
    problem check(const claims& now) const {
        if (O == orders::take_over || now.conflicts().empty()) return {};
        return now.conflicts().front() + " was granted twice";
    }
    // Whoever was told that a name is theirs has it in the end, or is seen to be in conflict with who has; and what was
    // given back, or never granted, does not return.
    problem check_end(const claims& end, const std::vector<told>& all) const {
        for (const auto& t : all) {
            const auto now = end.of(t.name);
            const bool there =
                std::any_of(now.begin(), now.end(), [&](const claim& c) { return c.owner == t.account; });
            if (!there && !t.ended) return "nobody sees that " + t.account + " was given " + t.name;
            if (there && t.ended && O == orders::hand_over) return t.account + " has " + t.name + " again";
        }
        return {};
    }
    std::string view(const claims& now) const {
        std::string out;
        for (const auto& [prefix, at] : now.homes.all()) out += "home of \"" + prefix + "\": " + at.name + "; ";
        for (const auto& k : {"a0", "a1", "a2", "b0", "b1", "b2", "s0", "s1"})
            for (const auto& c : now.of(k)) out += std::string(k) + ": " + c.owner + "; ";
        return out;
    }

private:
    // What is not granted now may still be under way, and is given back likewise.
    std::optional<told> give_back(simulated_leader<claims>& at, choices& from, std::chrono::milliseconds timeout) {
        if (to_end.empty()) {
            to_end.push_back({"s" + std::to_string(from.pick(2)), at.address() + std::to_string(from.pick(1'000'000))});
            (void)here->claim(to_end.back().name, to_end.back().account, timeout);
            return std::nullopt;
        }
        auto last = to_end.back();
        const auto r = here->release(last.name, last.account, timeout);
        if (r.status != claim_status::free && r.status != claim_status::taken) return std::nullopt;
        to_end.pop_back();
        last.ended = true;
        return last;
    }
};

/// The same, but a home grants what it likes: it does not ask whether it is the home.
struct any_home_grants : registrations<orders::hand_over> {
    std::optional<told> step(simulated_leader<claims>& at, choices& from) {
        const told wish{std::string(1, static_cast<char>('a' + from.pick(2))), at.address()};
        at.write([&](claims& all, transaction& tx) { all.claim_here(tx, wish.name, wish.account); });
        return std::nullopt;
    }
};

struct inventory {
    bounded_counter stock;
    g_counter delivered, sold;
};
JOINERY_RECORD(inventory, (1, stock), (2, delivered), (3, sold))

struct whole_stock {
    void operator()(inventory& i, transaction&, const std::string&, auto&& f) const { f(i.stock); }
};

struct shop {
    using value_type = inventory;
    using exchange = rights_exchange<simulated_leader<inventory>, whole_stock>;
    std::shared_ptr<exchange> stock;

    void start(simulated_leader<inventory>& at) { stock = std::make_shared<exchange>(at); }
    // Tells how many were sold.
    std::optional<std::uint64_t> step(simulated_leader<inventory>& at, choices& from) {
        const auto n = 1 + from.pick(6);
        if (from.pick(4) == 0) {
            at.write([&](inventory& i, transaction& tx) { i.stock.increment(tx, n), i.delivered.increment(tx, n); });
            return std::nullopt;
        }
        const auto sale = [&](inventory& i, transaction& tx) { i.sold.increment(tx, n); };
        if (!stock->decrement("", n, times[from.pick(std::size(times))], sale).complete) return std::nullopt;
        return n;
    }
    problem check(const inventory& i) const {
        if (i.delivered.value() != i.sold.value() + i.stock.value())
            return "what came, went and is there do not add up";
        std::uint64_t rights = 0;
        for (const auto& [who, has] : i.stock.rights()) rights += has;
        if (rights != i.stock.value()) return "there are " + std::to_string(rights) + " rights";
        return {};
    }
    problem check_end(const inventory& i, const std::vector<std::uint64_t>& told) const {
        const auto sold = std::accumulate(told.begin(), told.end(), std::uint64_t{0});
        return sold <= i.sold.value() ? problem{} : "less was sold than was told";
    }
    std::string view(const inventory& i) const { return std::to_string(i.stock.value()); }
};

simulation_report quiet(const simulation_report& r) {
    std::printf("%llu schedules, %llu things told, %llu requests answered, slowest convergence %lld ms\n%s",
                static_cast<unsigned long long>(r.schedules), static_cast<unsigned long long>(r.total("things told")),
                static_cast<unsigned long long>(r.total("requests answered")),
                static_cast<long long>(r.slowest.count()), r.failure ? to_string(*r.failure).c_str() : "");
    return r;
}

} // namespace

TEST_CASE("homes: no name is granted twice, in a thousand schedules with every kind of fault") {
    const auto r =
        simulate(registrations<orders::hand_over>{}, faults{}, testing::environment_number("JOINERY_SEED", 1));
    std::printf("%s", to_string(r).c_str());
    CHECK(r.ok());
    if (r.schedules < 1000) return;
    CHECK(r.total("requests answered") > 1000);
    CHECK(r.total("things told") > 1000);
}

TEST_CASE("homes: what two homes grant after an operator's order is seen in the end, by all") {
    CHECK(quiet(simulate(registrations<orders::take_over>{}, faults{}, 1)).ok());
}

TEST_CASE("homes: leaders that grant without being the home are found") {
    const auto r = simulate(any_home_grants{}, faults{}, 1);
    REQUIRE(!r.ok());
    CHECK(r.failure->law == "check");
}

TEST_CASE("rights: none is lost or doubled, in a thousand schedules with every kind of fault") {
    const auto r = quiet(simulate(shop{}, faults{}, testing::environment_number("JOINERY_SEED", 1)));
    CHECK(r.ok());
    if (r.schedules < 1000) return;
    CHECK(r.total("requests answered") > 1000);
}

// One sells; what the others deliver while it waits can only help.
TEST_CASE("rights: without faults every sale is made that the stock is enough for") {
    struct calm_shop : shop {
        std::optional<std::uint64_t> step(simulated_leader<inventory>& at, choices& from) {
            const auto n = 1 + from.pick(6);
            const auto deliver = [&](inventory& i, transaction& tx) {
                i.stock.increment(tx, n), i.delivered.increment(tx, n);
            };
            if (from.pick(2) == 0 || at.address() != "A") {
                at.write(deliver);
                return std::nullopt;
            }
            (void)at.wait_until([](const inventory&) { return false; }, 200ms); // all have it
            const auto there = at.read([](const inventory& i) { return i.stock.value(); });
            const auto r = stock->decrement("", n, 5s, [&](inventory& i, transaction& tx) { i.sold.increment(tx, n); });
            if (there >= n) CHECK(r.complete);
            return r.complete ? std::optional(n) : std::nullopt;
        }
    };
    const auto r = quiet(simulate(calm_shop{}, faults::none(), {.seed = 1, .schedules = 200}));
    CHECK(r.ok());
    CHECK(r.total("requests answered") > 200);
}
