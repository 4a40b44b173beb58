// SPDX-License-Identifier: Apache-2.0
#pragma once

// Convergence testing for your own types: random histories of a few replicas, with everything that networks
// and programs do to them, and after each step the laws of a CRDT and your specification.
//
//     joinery::testing::subject<joinery::g_counter> counter("g_counter");
//     counter.operation("increment", [](auto& c, auto& tx, auto& from) { c.increment(tx, 1 + from.pick(3)); });
//     auto report = joinery::testing::check(counter);
//     std::cout << to_string(report);
//     return report.ok() ? 0 : 1;
//
// A history has 2 to 5 replicas: edits of one or more operations, edits that throw, deltas delivered in any
// order, again and again or never, delta groups, answers of delta_since at once and late, complete states
// as deltas, saving and restoring, pruning, replicas that nobody waited for, and a last anti-entropy.
//
// Environment: JOINERY_SEED repeats a run, JOINERY_HISTORIES says how many histories each check makes.
// docs/testing_your_types.md tells the whole of it.

#include <joinery/cluster.hpp>

#include <array>
#include <chrono>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace joinery::testing {

struct options {
    std::uint64_t seed = 0;      ///< of the first history, unless JOINERY_SEED is set; 0: one of the system's entropy
    std::uint64_t histories = 0; ///< 0: JOINERY_HISTORIES, or `usual_histories`
    std::uint64_t usual_histories = 300;
    double seconds = 0; ///< if positive: as many histories as fit into this time, instead
    history_shape shape{};
    acknowledgement rule = acknowledgement::when_contiguous;
};

/// A law that did not hold, with the smallest history found.
struct failure_report {
    std::string law;
    std::string what;
    std::uint64_t seed = 0;  ///< of the history as it was generated
    std::uint64_t after = 0; ///< how many histories it took to find, this one included
    history smallest;
    std::vector<std::string> story; ///< the smallest history, a line for each step
};

struct report {
    std::string subject;
    std::uint64_t seed = 0;
    distribution counts;
    std::optional<failure_report> failure;

    bool ok() const { return !failure; }
};

namespace detail {

template <crdt T, class E>
std::optional<violation> outcome(const subject<T, E>& s, const history& h, distribution& counts, acknowledgement rule,
                                 std::vector<std::string>* story = nullptr) {
    std::optional<violation> found;
    try {
        cluster<T, E>(s, h, counts, story, rule).run();
    } catch (const violation& v) {
        found = v;
    } catch (const std::exception& e) {
        found = violation{"nothing throws", e.what()};
    }
    counts.next_history();
    return found;
}

} // namespace detail

/// Runs one history. Nothing, if all laws hold. `story` gets a line for each step.
template <crdt T, class E>
std::optional<violation> run(const subject<T, E>& s, const history& h, std::vector<std::string>* story = nullptr) {
    distribution counts;
    return detail::outcome(s, h, counts, acknowledgement::when_contiguous, story);
}

/// The smallest history that still fails, and what it shows.
template <crdt T, class E>
failure_report shrink(const subject<T, E>& s, const history& h,
                      acknowledgement rule = acknowledgement::when_contiguous) {
    distribution ignored;
    failure_report out;
    out.smallest =
        shrunk(h, [&](const history& smaller) { return detail::outcome(s, smaller, ignored, rule).has_value(); });
    if (auto v = detail::outcome(s, out.smallest, ignored, rule, &out.story)) {
        out.law = v->law;
        out.what = v->what;
    }
    return out;
}

/// Random histories until one fails or there were enough.
template <crdt T, class E> report check(const subject<T, E>& s, const options& o = {}) {
    using clock = std::chrono::steady_clock;
    report out;
    out.subject = s.name();
    out.seed = seed_for_this_run(o.seed);
    std::uint64_t histories = o.histories ? o.histories : environment_number("JOINERY_HISTORIES", o.usual_histories);
    auto end = clock::now() + std::chrono::duration_cast<clock::duration>(std::chrono::duration<double>(o.seconds));
    for (std::uint64_t i = 0; o.seconds > 0 ? clock::now() < end : i < histories; ++i) {
        std::uint64_t seed = out.seed + i; // so the first history of a replay is the one that failed
        history h = random_history(seed, o.shape);
        if (!detail::outcome(s, h, out.counts, o.rule)) continue;
        out.failure = shrink(s, h, o.rule);
        out.failure->seed = seed;
        out.failure->after = i + 1;
        break;
    }
    return out;
}

/// A history as C++, for a test of its own: `CHECK_FALSE(joinery::testing::run(subject, h))` once it is mended.
inline std::string as_cpp(const history& h) {
    constexpr std::array<const char*, 11> names = {"edit",       "failing_edit", "deliver", "group",   "pull",   "ask",
                                                   "keep_state", "beacon",       "prune",   "restart", "algebra"};
    std::string out = "using kind = joinery::testing::action_kind;\nconst joinery::testing::history h{.seed = " +
                      std::to_string(h.seed) + "u, .replicas = " + std::to_string(h.replicas) +
                      ", .stale = " + std::to_string(h.stale) + ", .small_logs = " + (h.small_logs ? "true" : "false") +
                      ", .actions = {\n";
    for (const auto& a : h.actions) {
        out += std::string("    {kind::") + names.at(static_cast<std::size_t>(a.kind));
        for (auto n : {a.who, a.other, a.third, a.delta}) out += ", " + std::to_string(n);
        out += ", {";
        for (std::size_t i = 0; i < a.operations.size(); ++i)
            out += (i ? ", " : "") + std::to_string(a.operations[i]) + "u";
        out += "}},\n";
    }
    return out + "}};\n";
}

inline std::string to_string(const failure_report& f) {
    std::string out = "  law: " + f.law + "\n  but: " + f.what + "\n  smallest history found:\n";
    for (const auto& line : f.story) out += "    " + line + "\n";
    out += "  the same as C++:\n";
    for (std::string text = as_cpp(f.smallest); !text.empty(); text.erase(0, text.find('\n') + 1))
        out += "    " + text.substr(0, text.find('\n') + 1);
    out += "  found after " + std::to_string(f.after) +
           " histories; replay with JOINERY_SEED=" + std::to_string(f.seed) + " JOINERY_HISTORIES=1\n";
    return out;
}

/// A line on the whole, and on a failure all that is known of it.
inline std::string to_string(const report& r) {
    std::string out = r.subject + ": " + std::to_string(r.counts.histories()) + " histories, " +
                      std::to_string(r.counts.total(occurrence::step)) + " steps, " +
                      std::to_string(r.counts.total(occurrence::comparison)) + " comparisons with the specification, ";
    if (r.failure) return out + "one FAILED\n" + to_string(*r.failure);
    return out + "no failure (JOINERY_SEED=" + std::to_string(r.seed) + ")\n";
}

} // namespace joinery::testing
