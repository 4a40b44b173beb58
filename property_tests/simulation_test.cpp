// SPDX-License-Identifier: Apache-2.0
// Applications on simulated clusters: a right one holds for a thousand schedules, and broken ones are found. Seeds are
// fixed, so that a failure is one of the code; JOINERY_SEED takes their place, and with JOINERY_SCHEDULES the first of
// them is a soak.
#include "environment_variable.hpp"

#include <joinery/joinery.hpp>
#include <joinery/memory_transport.hpp>
#include <joinery/simulation.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <numeric>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

using namespace joinery;
using namespace std::chrono_literals;
using joinery::testing::choices;
using joinery::testing::faults;
using joinery::testing::problem;
using joinery::testing::simulate;
using joinery::testing::simulation_options;
using joinery::testing::simulation_report;

namespace {

// ---- a shopping cart, of which nothing may be lost ----

struct cart {
    or_map<std::string, pn_counter> items;
    lww_register<std::string> coupon;
    rga_text note;
};
JOINERY_RECORD(cart, (1, items), (2, coupon), (3, note))

const std::vector<std::string> goods = {"milk", "bread", "tea", "salt"};

struct shopping {
    using value_type = cart;

    // Tells how many of what were put in.
    template <class Leader> std::optional<std::pair<std::string, int>> step(Leader& here, choices& from) {
        const auto what = from.of(goods);
        const auto n = 1 + static_cast<int>(from.pick(3));
        switch (from.pick(5)) {
        case 0: here.write([&](cart& c, transaction& tx) { c.coupon.set(tx, what); }); return std::nullopt;
        case 1:
            here.write([&](cart& c, transaction& tx) { c.note.insert(tx, from.pick(c.note.size() + 1), what); });
            return std::nullopt;
        default:
            here.write([&](cart& c, transaction& tx) { c.items.at(tx, what)->increment(tx, n); },
                       {.acknowledgements = from.pick(3) == 0 ? 1u : 0u, .timeout = 500ms});
            return std::pair(what, n);
        }
    }
    problem check_end(const cart& c, const std::vector<std::pair<std::string, int>>& told) const {
        for (const auto& what : goods) {
            std::int64_t least = 0;
            for (const auto& [name, n] : told) least += name == what ? n : 0;
            const auto* there = c.items.find(what);
            if (least > (there ? there->value() : 0)) return "fewer " + what + " than were put in";
        }
        return {};
    }
};

// ---- what must be found ----

/// Sells what it sees, without asking whether others do: the last one can be sold twice.
struct oversold_shop {
    using value_type = pn_counter;

    template <class Leader> std::string step(Leader& here, choices& from) {
        if (from.pick(3) == 0 || here.read([](const pn_counter& stock) { return stock.value() == 0; })) {
            here.write([](pn_counter& stock, transaction& tx) { stock.increment(tx); });
            return "one came in";
        }
        here.write([](pn_counter& stock, transaction& tx) { stock.decrement(tx); });
        return "sold one";
    }
    bool check(const pn_counter& stock) const { return stock.value() >= 0; }
    std::string view(const pn_counter& stock) const { return std::to_string(stock.value()); }
};

/// The same with rights, which only their holder can use: it refuses rather than sell what is not there.
struct stock_and_sales {
    bounded_counter stock;
    g_counter came, sold;
};
JOINERY_RECORD(stock_and_sales, (1, stock), (2, came), (3, sold))

struct right_shop {
    using value_type = stock_and_sales;

    // Tells of what was sold.
    template <class Leader> std::optional<unsigned> step(Leader& here, choices& from) {
        const auto n = 1 + static_cast<unsigned>(from.pick(3));
        if (from.pick(3) == 0) {
            here.write([&](stock_and_sales& s, transaction& tx) { s.stock.increment(tx, n), s.came.increment(tx, n); });
            return std::nullopt;
        }
        try {
            here.write([&](stock_and_sales& s, transaction& tx) { s.stock.decrement(tx, n), s.sold.increment(tx, n); });
            return n;
        } catch (const insufficient_rights&) {
            return std::nullopt;
        }
    }
    bool check(const stock_and_sales& s) const { return s.came.value() == s.sold.value() + s.stock.value(); }
    bool check_end(const stock_and_sales& s, const std::vector<unsigned>& told) const {
        return std::accumulate(told.begin(), told.end(), 0u) <= s.sold.value();
    }
};

/// Of two bids the one that is merged in last is kept: no merge function, as it depends on the order.
struct later_bid {
    std::uint32_t operator()(std::uint32_t, std::uint32_t b) const { return b; }
    static std::string type_name() { return "later_bid"; }
};
template <class Register> struct auction {
    using value_type = Register;

    // Bids more than what is known, and tells what was bid.
    template <class Leader> std::uint32_t step(Leader& here, choices& from) {
        const auto bid = here.read([](const Register& r) { return r.get().value_or(0); }) + 1 +
                         static_cast<std::uint32_t>(from.pick(9));
        here.write([&](Register& r, transaction& tx) { r.merge(tx, bid); });
        return bid;
    }
    problem check_end(const Register& end, const std::vector<std::uint32_t>& told) const {
        for (const auto bid : told)
            if (end.get() < bid) return "a bid of " + std::to_string(bid) + " is forgotten";
        return {};
    }
    std::string view(const Register& r) const { return testing::show(r.get()); }
};

/// Numbers its invoices with a count in memory, which goes when the process does.
template <bool FromMemory> struct invoices {
    using value_type = g_set<std::string>;
    unsigned last = 0;

    template <class Leader> std::string step(Leader& here, choices&) {
        if constexpr (!FromMemory)
            last = here.read([&](const value_type& all) {
                return static_cast<unsigned>(std::count_if(
                    all.begin(), all.end(), [&](const std::string& i) { return i.substr(0, 1) == here.address(); }));
            });
        auto invoice = here.address() + std::to_string(++last);
        here.write([&](value_type& all, transaction& tx) { all.add(tx, invoice); });
        return invoice;
    }
    problem check_end(const value_type& all, std::vector<std::string> told) const {
        for (const auto& i : told)
            if (!all.contains(i)) return i + " is lost";
        std::sort(told.begin(), told.end());
        const auto twice = std::adjacent_find(told.begin(), told.end());
        return twice == told.end() ? problem{} : *twice + " was given twice";
    }
};

/// Remembers which value came last, and counts that as content: replicas differ by the order of arrival.
class by_arrival : public mv_register<std::uint32_t> {
    using base = mv_register<std::uint32_t>;

public:
    void join(const fragment& f, join_scope& s) {
        for (const auto& e : f) last_ = e.value;
        base::join(f, s);
    }
    std::uint64_t digest(const causal_context&) const { return last_; }
    static std::string type_name() { return "by_arrival"; }

private:
    std::uint32_t last_ = 0;
};
struct diverging {
    using value_type = by_arrival;
    template <class Leader> void step(Leader& here, choices& from) {
        here.write([&](by_arrival& r, transaction& tx) { r.set(tx, static_cast<std::uint32_t>(from.pick(100))); });
    }
};

enum class mistake { none, escapes, calls_back, waits_in_subscriber };
template <mistake M> struct careless {
    using value_type = or_set<std::uint32_t>;
    std::shared_ptr<subscription> watch;

    template <class Leader> void start(Leader& here) {
        if constexpr (M == mistake::waits_in_subscriber)
            watch = std::make_shared<subscription>(here.subscribe([&here](const change&) {
                (void)here.wait_until([](const value_type& s) { return s.size() > 1'000'000; }, 100ms);
            }));
        else
            (void)here.id();
    }
    template <class Leader> void step(Leader& here, choices& from) {
        const auto n = static_cast<std::uint32_t>(from.pick(50));
        here.write([&](value_type& s, transaction& tx) {
            s.add(tx, n);
            if constexpr (M == mistake::calls_back) (void)here.version();
        });
        if constexpr (M == mistake::escapes)
            if (n == 7) throw std::out_of_range("seven");
    }
};

// ---- what else leaders do ----

/// Requests are answered by whoever they are for, from a subscriber; who asks may wait for the answer.
struct replies {
    using value_type = or_map<std::string, or_set<std::string>>; // requests to answers
    std::shared_ptr<subscription> watch;

    template <class Leader> void start(Leader& here) {
        const auto answer = [&here](const change&) {
            const auto open = here.read([&](const value_type& all) {
                std::vector<std::string> out;
                for (const auto& [request, answers] : all)
                    if (request.substr(0, 1) == here.address() && !answers.contains("done")) out.push_back(request);
                return out;
            });
            for (const auto& r : open)
                here.write([&](value_type& all, transaction& tx) { all.at(tx, r)->add(tx, "done"); });
        };
        watch = std::make_shared<subscription>(here.subscribe(answer));
    }
    template <class Leader> std::string step(Leader& here, choices& from) {
        auto request = std::string(1, static_cast<char>('A' + from.pick(2))) + std::to_string(from.pick(1000));
        const auto w = here.write([&](value_type& all, transaction& tx) { all.at(tx, request)->add(tx, "asked"); });
        if (from.pick(2) == 0)
            (void)here.wait_until(
                [&](const value_type& all) {
                    const auto* answers = all.find(request);
                    return answers && answers->contains("done");
                },
                300ms);
        else
            CHECK(here.sync_to(w.token(), 0ms));
        return request;
    }
    problem check_end(const value_type& all, const std::vector<std::string>& told) const {
        for (const auto& r : told)
            if (!all.contains(r)) return r + " is forgotten";
        return {};
    }
};

simulation_report quiet(const simulation_report& r) {
    std::printf("%llu schedules, slowest convergence %lld ms\n%s", static_cast<unsigned long long>(r.schedules),
                static_cast<long long>(r.slowest.count()), r.failure ? to_string(*r.failure).c_str() : "");
    return r;
}

template <class App>
void check_found(const char* what, const App& app, const std::string& law, const faults& f = {},
                 const simulation_options& o = {.seed = 1, .schedules = 1000}) {
    const auto r = simulate(app, f, o);
    CAPTURE(std::string(what));
    REQUIRE(!r.ok());
    std::printf("found after %llu schedules: %s: %s: %s\n", static_cast<unsigned long long>(r.failure->after), what,
                r.failure->law.c_str(), r.failure->what.c_str());
    CHECK(r.failure->law == law);
    CHECK(!r.failure->story.empty());
    // Its seed replays it, alone and to the letter, whatever seed the program asks for.
    const environment_variable seed("JOINERY_SEED", std::to_string(r.failure->seed));
    auto again = o;
    again.schedules = 1;
    const auto replayed = simulate(app, f, again);
    REQUIRE(!replayed.ok());
    CHECK(replayed.failure->what == r.failure->what);
    CHECK(replayed.failure->story == r.failure->story);
}

} // namespace

TEST_CASE("simulate: a cart loses nothing in a thousand schedules with every kind of fault") {
    const auto r = simulate(shopping{}, faults{}, 1);
    std::printf("%s", to_string(r).c_str());
    CHECK(r.ok());
    if (r.schedules < 1000) return;
    CHECK(r.total("writes that others acknowledged") > 0);
    CHECK(r.total("writes held back after a start") > 0);
    CHECK(r.thin(50).empty());
}

TEST_CASE("simulate: also when storages are lost, are none at all, or machines lose their power") {
    faults lossy;
    lossy.storage_loss = 4;
    const auto lost = quiet(simulate(shopping{}, lossy, {.seed = 1, .schedules = 300}));
    CHECK(lost.ok());
    CHECK(lost.total("storage lost") > 0);
    CHECK(lost.total("writes that may be lost with their last storage") > 0);
    const auto relaxed =
        simulate(careless<mistake::none>{}, {}, {.seed = 1, .schedules = 300, .storage = durability::relaxed});
    CHECK(quiet(relaxed).ok());
    CHECK(relaxed.total("power cut") > 0);
    CHECK(quiet(simulate(careless<mistake::none>{}, {}, {.seed = 1, .schedules = 300, .storage = durability::none}))
              .ok());
}

TEST_CASE("simulate: faults can be left out, and their absence is told") {
    const auto calm = quiet(simulate(shopping{}, faults::none(), {.seed = 1, .schedules = 50}));
    CHECK(calm.ok());
    CHECK(calm.asked_for.empty());
    CHECK(calm.total("frames lost") + calm.total("crash") + calm.total("clock off by hours") == 0);
    auto only = faults::none();
    only.partition = 1;
    CHECK(quiet(simulate(shopping{}, only, {.seed = 1, .schedules = 50})).total("partition") >= 50 * faults{}.least);
    only.least = only.most = 3;
    const auto parted = quiet(simulate(shopping{}, only, {.seed = 1, .schedules = 50}));
    CHECK(parted.ok());
    CHECK(parted.total("partition") == 3 * parted.schedules);
    CHECK(parted.asked_for == std::vector<std::string>{"partition"});
    // Storages that do nothing cannot die in the middle of it.
    auto never = faults::none();
    never.crash_in_step = 1;
    never.least = never.most = 3;
    const auto r = simulate(replies{}, never, {.seed = 1, .schedules = 20, .storage = durability::none});
    CHECK(r.ok());
    CHECK(r.thin() == std::vector<std::string>{"crash in a storage step"});
    CHECK(to_string(r).find("hardly ever happened: crash in a storage step") != std::string::npos);
    CHECK_THROWS_AS(simulate(shopping{}, {}, simulation_options{.least_leaders = 1}), std::invalid_argument);
    never.least = never.most = 0; // but it is asked for
    CHECK_THROWS_AS(simulate(replies{}, never), std::invalid_argument);
}

TEST_CASE("simulate: subscribers write, and steps wait") {
    CHECK(quiet(simulate(replies{}, {}, {.seed = 1, .schedules = 300})).ok());
}

// A step asks somebody to say yes, which is another step, and waits for it, far longer than a schedule is.
struct questions {
    using value_type = or_map<std::string, g_counter>; // questions to answers
    template <class Leader> bool step(Leader& here, choices& from) {
        const auto open = here.read([&](const value_type& all) {
            std::vector<std::string> out;
            for (const auto& [question, answers] : all)
                if (question.substr(0, 1) != here.address() && answers.value() < 2) out.push_back(question);
            return out;
        });
        const auto raise = [&](const std::string& question) {
            here.write([&](value_type& all, transaction& tx) { all.at(tx, question)->increment(tx); });
        };
        if (!open.empty()) {
            for (const auto& question : open) raise(question);
            return false;
        }
        const auto question = here.address() + std::to_string(from.pick(1'000'000));
        raise(question);
        return here.wait_until([&](const value_type& all) { return all.find(question)->value() > 1; }, 60s);
    }
    bool check_end(const value_type&, const std::vector<bool>& answered) const {
        *all += answered.size();
        *yes += static_cast<std::size_t>(std::count(answered.begin(), answered.end(), true));
        return true;
    }
    std::shared_ptr<std::size_t> all = std::make_shared<std::size_t>(), yes = std::make_shared<std::size_t>();
};

TEST_CASE("simulate: while one leader waits, others take steps that it may be waiting for") {
    const questions app;
    CHECK(quiet(simulate(app, faults::none(), {.seed = 1, .schedules = 100})).ok());
    CHECK(*app.all > 500);
    CHECK(*app.yes * 4 > *app.all); // those that are not were the answers
    CHECK(quiet(simulate(app, {}, {.seed = 1, .schedules = 100})).ok());
}

TEST_CASE("simulate: broken applications are found, and what mends them holds") {
    check_found("sells what it sees", oversold_shop{}, "check");
    CHECK(quiet(simulate(right_shop{}, {}, {.seed = 1, .schedules = 1000})).ok());
    check_found("a merge that depends on the order", auction<merged_register<std::uint32_t, later_bid>>{}, "check_end");
    CHECK(quiet(simulate(auction<max_register<std::uint32_t>>{}, {}, {.seed = 1, .schedules = 300})).ok());
    check_found("numbers from the memory of the process", invoices<true>{}, "check_end");
    CHECK(quiet(simulate(invoices<false>{}, {}, {.seed = 1, .schedules = 300})).ok());
    check_found("promises without a durable storage", shopping{}, "check_end", {},
                {.seed = 1, .schedules = 1000, .storage = durability::none});
    check_found("a type that depends on the order of arrival", diverging{}, "leaders at one version are equal");
    check_found("an exception that is not handled", careless<mistake::escapes>{},
                "nothing escapes from the application");
    check_found("a callable that calls back", careless<mistake::calls_back>{}, "nothing escapes from the application");
    check_found("a subscriber that waits", careless<mistake::waits_in_subscriber>{},
                "nothing escapes from the application");
}

TEST_CASE("simulate: a report says how to repeat it, and tells the story") {
    const auto r = simulate(oversold_shop{}, {}, {.seed = 1, .schedules = 1000});
    REQUIRE(!r.ok());
    const auto text = to_string(r);
    std::printf("%s", to_string(*r.failure).c_str());
    CHECK(text.find("JOINERY_SEED=" + std::to_string(r.failure->seed) + " JOINERY_SCHEDULES=1") != std::string::npos);
    CHECK(text.find("tells its user: \"sold one\"") != std::string::npos);
    CHECK(text.find("FAILS: ") != std::string::npos);
    CHECK(r.failure->steps <= 8);
}

TEST_CASE("simulate: the same steps run on leaders") {
    memory_network network;
    node_options a, b;
    a.transport = network.make("a");
    b.transport = network.make("b", {"a"});
    leader<cart> one(std::move(a)), two(std::move(b));
    shopping app;
    std::vector<std::pair<std::string, int>> told;
    for (std::uint64_t seed = 1; seed <= 20; ++seed) {
        choices from(seed);
        if (const auto said = app.step(seed % 2 ? one : two, from)) told.push_back(*said);
    }
    REQUIRE(one.sync_to(two.version(), 10s));
    CHECK_FALSE(one.read([&](const cart& c) { return app.check_end(c, told); }));
}
