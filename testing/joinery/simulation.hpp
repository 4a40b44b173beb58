// SPDX-License-Identifier: Apache-2.0
#pragma once

// Your application, a few leaders of it, and everything that goes wrong: whole clusters in one thread, over the real
// engine, a simulated network and simulated disks, a thousand random schedules in a few seconds.
//
//     struct shop {
//         using value_type = joinery::pn_counter;                      // what is replicated
//         template <class Leader> void step(Leader& here, joinery::testing::choices& from) {
//             if (here.read([](const auto& c) { return c.value() > 0; }))
//                 here.write([](auto& c, auto& tx) { c.decrement(tx); });
//             else
//                 here.write([&](auto& c, auto& tx) { c.increment(tx, 1 + from.pick(3)); });
//         }
//         bool check(const joinery::pn_counter& c) const { return c.value() >= 0; }     // a mistake: it sells twice
//     };
//     std::cout << to_string(joinery::testing::simulate(shop{}));
//
// An application has `value_type` and `step`, which draws all that is random from the choices. It may have
//
//     void start(Leader& here)                          a process begins: subscribe, set things up
//     problem check(const T& now) const                 must hold at every leader, whenever it has changed
//     problem check_end(const T& end, const std::vector<R>& told) const
//                                                       once all are equal; `told` is what steps have returned, and
//                                                       can be left out
//     std::string view(const T& now) const              a value in the story of a failure
//
// What a step returns, an R or a std::optional<R>, is what its user was told: it must be true in the end, whatever
// happened since. Checks return a problem (laws.hpp), or a bool. Each process has a copy of the application of its
// own; its members are the process' memory, and go with it.
//
// By itself a simulation checks that
//
// 1. all leaders are equal within bounded time once the faults are over, and no two ever were at one version with
//    different content;
// 2. no write that returned is lost, unless all storages were lost that can have had it;
// 3. no dot is issued twice;
// 4. nothing escapes from the application but refusals of the leader.
//
// Environment: JOINERY_SEED repeats a run, JOINERY_SCHEDULES says how many schedules there are.
// docs/testing_your_types.md tells the whole of it.

#include <joinery/laws.hpp>
#include <joinery/random_source.hpp>
#include <joinery/simulated_leader.hpp>

#include <chrono>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace joinery::testing {

/// What goes wrong, each as often as its number says compared with the others; 0: never. `faults{}` has everything but
/// the loss of storages, and `faults::none()` nothing.
struct faults {
    // of the network, in some directions or all, for a while
    unsigned loss = 2, duplication = 1, reordering = 2, corruption = 1, delay = 1;
    unsigned partition = 3;         ///< frames between two sides vanish, and nobody is told
    unsigned one_way_partition = 1; ///< those from one side to the other
    unsigned link_cut = 1;          ///< one link, with notice
    // of processes, which start again soon
    unsigned crash = 3;           ///< anywhere: between two steps, or while one waits
    unsigned crash_in_step = 3;   ///< in the middle of what the storage does; what was not synced is gone
    unsigned storage_failure = 1; ///< the storage refuses a write, as a full disk does
    unsigned clean_stop = 1;
    unsigned freeze = 2; ///< nothing happens in it for a while; then all at once
    // of machines
    unsigned clock_jump = 1;         ///< of the wall clock, by up to an hour
    unsigned storage_loss = 0;       ///< a crash, after which the storage is empty
    bool clock_skew = true;          ///< some wall clocks are off by hours
    std::size_t least = 2, most = 7; ///< how many there are in a schedule, if any are asked for, but for the clocks

    static constexpr faults none() { return {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, false, 2, 7}; }
};

struct simulation_options {
    std::uint64_t seed = 0;      ///< of the first schedule, unless JOINERY_SEED is set; 0: one of the system's entropy
    std::uint64_t schedules = 0; ///< 0: JOINERY_SCHEDULES, or `usual_schedules`
    std::uint64_t usual_schedules = 1000;
    std::size_t least_leaders = 2, most_leaders = 4; ///< 2 to 26
    std::size_t least_steps = 15, most_steps = 40;   ///< of all leaders together
    std::chrono::milliseconds length{3000};          ///< in which they and the faults happen
    std::chrono::milliseconds patience{60'000};      ///< in which all must become equal afterwards
    /// Of the storages. What a leader without a durable one was told it may lose: its steps' results are checked
    /// nevertheless. With `relaxed`, some crashes are those of the machine.
    durability storage = durability::full;
};

/// How often something happened, and in how many schedules.
struct simulated_count {
    std::uint64_t total = 0, schedules = 0;
};

struct simulation_failure {
    std::string law;
    std::string what;
    std::uint64_t seed = 0;         ///< of the schedule
    std::uint64_t after = 0;        ///< how many schedules it took to find, this one included
    std::size_t steps = 0;          ///< and faults, of the smallest schedule found that fails likewise
    std::vector<std::string> story; ///< what happened in it, a line each: milliseconds, who, what
};

struct simulation_report {
    std::uint64_t seed = 0, schedules = 0;
    std::map<std::string, simulated_count, std::less<>> counts;
    std::vector<std::string> asked_for;   ///< the faults, by name
    std::chrono::milliseconds slowest{0}; ///< convergence, since the last fault was over
    std::optional<simulation_failure> failure;

    bool ok() const { return !failure; }
    std::uint64_t total(std::string_view what) const;
    /// What was asked for and happened in fewer than so many of a thousand schedules. Should be empty: a run without
    /// crashes says nothing of crashes. A short run need not have seen everything.
    std::vector<std::string> thin(std::uint64_t least_per_mille = 10) const;
};

/// What happened, how often, what hardly ever did; and on a failure all that is known of it.
std::string to_string(const simulation_report& r);
/// The last `lines` of the story, and how to repeat it.
std::string to_string(const simulation_failure& f, std::size_t lines = 80);

namespace detail {

/// A process' state and application, whatever their types.
class simulated_process {
public:
    virtual ~simulated_process() = default;
    virtual replicated_state& state() = 0;
    virtual void start() = 0;
    /// Keeps what the step told, and shows it; nothing if it told nothing.
    virtual std::optional<std::string> step(std::uint64_t draw) = 0;
    virtual problem check() const = 0;
    virtual std::string view() const = 0; ///< empty if there is none
};

class simulated_application {
public:
    virtual ~simulated_application() = default;
    /// A schedule begins: nothing was told.
    virtual void begin() = 0;
    virtual std::unique_ptr<simulated_process> open(simulated_host& host) = 0;
    /// `told`: which of all that was told, in order, still has to be true.
    virtual problem check_end(simulated_process& any, const std::vector<bool>& told) const = 0;
};

simulation_report simulate(simulated_application& app, const faults& f, const simulation_options& o);

template <class F> problem asked(F&& f) {
    try {
        if constexpr (std::is_same_v<decltype(f()), bool>)
            return f() ? problem{} : problem{"it does not hold"};
        else
            return f();
    } catch (const std::exception& e) {
        return std::string("it throws: ") + e.what();
    }
}

template <class R> struct told_by { using type = R; };
template <class R> struct told_by<std::optional<R>> { using type = R; };
template <> struct told_by<void> { using type = bool; };

template <class App> class application_of final : public simulated_application {
    using value = typename App::value_type;
    using leader = simulated_leader<value>;
    using result = decltype(std::declval<App&>().step(std::declval<leader&>(), std::declval<choices&>()));
    using told_type = typename told_by<std::decay_t<result>>::type;

    static constexpr bool starts = requires(App a, leader& here) { a.start(here); };
    static constexpr bool checks = requires(const App a, const value& now) { a.check(now); };
    static constexpr bool views = requires(const App a, const value& now) { a.view(now); };
    static constexpr bool checks_end = requires(const App a, const value& end) { a.check_end(end); };
    static constexpr bool checks_told = requires(const App a, const value& end, const std::vector<told_type>& told) {
        a.check_end(end, told);
    };
    // A member that is there and cannot be called as simulation.hpp says would never be asked.
    static constexpr bool has_check = requires { &App::check; };
    static constexpr bool has_view = requires { &App::view; };
    static constexpr bool has_check_end = requires { &App::check_end; };
    static_assert(checks || !has_check, "check(const T&) const");
    static_assert(views || !has_view, "view(const T&) const");
    static_assert(checks_end || checks_told || !has_check_end,
                  "check_end(const T&, const std::vector<R>&) const, where steps return an R");

    class process final : public simulated_process {
    public:
        process(simulated_host& host, const application_of& all, std::vector<told_type>& told)
            : state_(host.wall()), leader_(host, state_), app_(all.app_), told_(told) {}

        replicated_state& state() override { return state_; }
        void start() override {
            if constexpr (starts) app_.start(leader_);
        }
        std::optional<std::string> step(std::uint64_t draw) override {
            choices from(draw);
            if constexpr (std::is_void_v<result>) {
                app_.step(leader_, from);
            } else {
                std::optional<told_type> said = app_.step(leader_, from);
                if (said) {
                    auto text = show(*said);
                    told_.push_back(std::move(*said));
                    return text;
                }
            }
            return std::nullopt;
        }
        problem check() const override {
            if constexpr (checks) return asked([&] { return app_.check(*state_); });
            return {};
        }
        std::string view() const override {
            if constexpr (views) return app_.view(*state_);
            return {};
        }
        const value& now() const { return *state_; }

    private:
        replicated<value> state_;
        leader leader_;
        App app_;
        std::vector<told_type>& told_;
    };

public:
    explicit application_of(const App& app) : app_(app) {}

    void begin() override { told_.clear(); }
    std::unique_ptr<simulated_process> open(simulated_host& host) override {
        return std::make_unique<process>(host, *this, told_);
    }
    problem check_end(simulated_process& any, const std::vector<bool>& told) const override {
        const value& end = static_cast<process&>(any).now();
        std::vector<told_type> all;
        for (std::size_t i = 0; i < told.size(); ++i)
            if (told[i]) all.push_back(told_[i]);
        if constexpr (checks_told)
            return asked([&] { return app_.check_end(end, all); });
        else if constexpr (checks_end)
            return asked([&] { return app_.check_end(end); });
        return {};
    }

private:
    App app_;
    std::vector<told_type> told_;
};

} // namespace detail

/// What can be simulated.
template <class App>
concept simulated_app = std::copy_constructible<App> && requires {
    requires crdt<typename App::value_type>;
} && requires(App app, simulated_leader<typename App::value_type>& here, choices& from) {
    app.step(here, from);
};

/// Random schedules until one fails or there were enough. On one thread; everything follows from the seed, as long as
/// the application draws what is random from the choices. Throws std::invalid_argument for options that make no sense,
/// as are faults of which there are at most 0.
template <simulated_app App>
simulation_report simulate(const App& app, const faults& f = {}, const simulation_options& o = {}) {
    detail::application_of<App> all(app);
    return detail::simulate(all, f, o);
}
/// The schedules from this seed on, unless JOINERY_SEED is set.
template <simulated_app App> simulation_report simulate(const App& app, const faults& f, std::uint64_t seed) {
    return simulate(app, f, simulation_options{.seed = seed});
}

} // namespace joinery::testing
