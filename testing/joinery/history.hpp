// SPDX-License-Identifier: Apache-2.0
#pragma once

// A history is what happened to a few replicas: edits, edits that failed, deltas delivered in any order and
// any number of times, grouped, relayed, lost; complete states, restarts, pruning. It is data: it can be
// generated from a seed, repeated, and shrunk by leaving actions out, since every subset is a history too.

#include <joinery/random_source.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

namespace joinery::testing {

enum class action_kind : std::uint8_t {
    edit,         ///< `who` runs `operations` as one edit, whose delta is kept as `delta`
    failing_edit, ///< the same, but then the edit throws
    deliver,      ///< `who` joins `delta`; any number of times
    group,        ///< deltas `other` and `third` join into a new one, `delta`
    pull,         ///< `who` joins what `other` answers to its version
    ask,          ///< what `other` answers to the version of `who` is kept as `delta`
    keep_state,   ///< the complete state of `who` is kept as `delta`
    beacon,       ///< `who` hears the version of `other`
    prune,   ///< `who` prunes what is stable; `other` 1 or 3: by what it has heard, 0 or 2: by what is so; 2 or 3: it
             ///< tidies up first
    restart, ///< `who` is saved as bytes and restored from them
    algebra, ///< the laws of join are checked on `delta`, `other` and `third`
};

struct action {
    action_kind kind = action_kind::edit;
    std::uint32_t who = 0;
    std::uint32_t other = 0;
    std::uint32_t third = 0;
    std::uint32_t delta = 0;
    std::vector<std::uint64_t> operations{}; ///< one seed for each: which operation, and its arguments

    friend bool operator==(const action&, const action&) = default;
};

struct history {
    std::uint64_t seed = 1; ///< of clocks and of the order of the last anti-entropy
    std::uint32_t replicas = 2;
    std::uint32_t stale = 0; ///< how many replicas, the last ones, the others do not wait for when they prune
    bool small_logs = false; ///< removal logs forget early, where subject::forgetting allows it
    std::vector<action> actions{};

    friend bool operator==(const history&, const history&) = default;
};

/// What random histories look like.
struct history_shape {
    std::uint32_t least_replicas = 2;
    std::uint32_t most_replicas = 5;
    std::uint32_t least_steps = 4;
    std::uint32_t most_steps = 26;
    std::uint32_t most_operations = 3; ///< in one edit
    bool pruning = true;
    bool stale_peers = true;
};

namespace detail {

struct history_writer {
    random_source& random;
    const history_shape& shape;
    history& h;
    std::vector<std::uint32_t> ids{};

    std::uint32_t replica() { return static_cast<std::uint32_t>(random.below(h.replicas)); }
    std::uint32_t known_delta() {
        std::size_t recent = random.chance(60) ? std::min<std::size_t>(ids.size(), 6) : ids.size();
        return ids[ids.size() - 1 - random.below(recent)];
    }
    std::uint32_t new_delta() {
        ids.push_back(static_cast<std::uint32_t>(ids.size()));
        return ids.back();
    }
    void put(action a) { h.actions.push_back(std::move(a)); }

    std::vector<std::uint64_t> operations() {
        std::vector<std::uint64_t> out;
        for (std::size_t n = random.between(1, shape.most_operations); n > 0; --n) out.push_back(random.next() | 1);
        return out;
    }
    // Most replicas come to have most of what there is, say so, and prune: pruning seldom comes by chance.
    void settle() {
        std::uint32_t hub = h.stale ? 0 : replica();
        const unsigned percents[] = {30, 60, 90, 100};
        unsigned percent = percents[random.below(4)];
        std::uint32_t members = h.replicas - h.stale;
        auto takes_part = [&](std::uint32_t r) {
            return r != hub && (r < members || random.chance(20)) && random.chance(percent);
        };
        for (std::uint32_t r = 0; r < h.replicas; ++r)
            if (takes_part(r)) put({action_kind::pull, hub, r});
        for (std::uint32_t r = 0; r < h.replicas; ++r)
            if (takes_part(r)) put({action_kind::pull, r, hub});
        if (random.chance(50))
            for (std::uint32_t r = 0; r < h.replicas; ++r)
                for (std::uint32_t q = 0; q < h.replicas; ++q)
                    if (q != r && random.chance(q == hub || r == hub ? 90 : 50)) put({action_kind::beacon, r, q});
        if (random.chance(30)) edit(); // while pruning goes on
        for (std::uint32_t r = 0; r < h.replicas; ++r)
            if (random.chance(60)) put({action_kind::prune, r, static_cast<std::uint32_t>(random.below(4))});
    }
    void edit() {
        action a{action_kind::edit, replica()};
        a.operations = operations();
        a.delta = new_delta();
        put(std::move(a));
    }
    void step() {
        if (shape.pruning && !ids.empty() && random.chance(6)) return settle();
        std::size_t x = random.below(100);
        if (ids.empty() || x < 39) return edit();
        if (x < 42) {
            put({action_kind::failing_edit, replica(), 0, 0, 0, operations()});
        } else if (x < 64) {
            action a{action_kind::deliver, replica()};
            a.delta = known_delta();
            put(a);
        } else if (x < 69) {
            std::uint32_t one = known_delta(), two = known_delta();
            put({action_kind::group, 0, one, two, new_delta()});
        } else if (x < 81) {
            put({action_kind::pull, replica(), replica()});
        } else if (x < 85) {
            std::uint32_t asks = replica(), answers = replica();
            put({action_kind::ask, asks, answers, 0, new_delta()});
            if (random.chance(60)) { // it reaches somebody else, for whom it may start too late
                action a{action_kind::deliver, replica()};
                a.delta = ids.back();
                put(a);
            }
        } else if (x < 87) {
            std::uint32_t who = replica();
            put({action_kind::keep_state, who, 0, 0, new_delta()});
        } else if (x < 90) {
            put({action_kind::restart, replica()});
        } else if (x < 94) {
            std::uint32_t one = known_delta(), two = known_delta(), three = known_delta();
            put({action_kind::algebra, replica(), two, three, one});
        } else if (!shape.pruning || x < 97) {
            put({action_kind::beacon, replica(), replica()});
        } else {
            put({action_kind::prune, replica(), static_cast<std::uint32_t>(random.below(4))});
        }
    }
};

} // namespace detail

/// The history that belongs to a seed.
inline history random_history(std::uint64_t seed, const history_shape& shape = {}) {
    random_source random(seed);
    history h;
    h.seed = random.next();
    h.replicas = static_cast<std::uint32_t>(random.between(shape.least_replicas, shape.most_replicas));
    if (shape.stale_peers && h.replicas > 2 && random.chance(35)) h.stale = h.replicas > 3 && random.chance(30) ? 2 : 1;
    h.small_logs = random.chance(15);
    detail::history_writer writer{random, shape, h};
    std::size_t steps = random.between(shape.least_steps, shape.most_steps);
    for (std::size_t i = 0; i < steps; ++i) writer.step();
    return h;
}

/// A smallest history for which `fails` is still true: no action, operation or replica can be left out, and
/// no choice made simpler. Source: Zeller, Hildebrandt, "Simplifying and Isolating Failure-Inducing Input" (2002).
template <class Fails> history shrunk(history h, Fails&& fails) {
    auto keep_if_fails = [&](history smaller) {
        if (!fails(std::as_const(smaller))) return false;
        h = std::move(smaller);
        return true;
    };
    auto without_actions = [&](std::size_t first, std::size_t count) {
        history smaller = h;
        auto at = smaller.actions.begin() + static_cast<std::ptrdiff_t>(first);
        smaller.actions.erase(at, at + static_cast<std::ptrdiff_t>(count));
        return keep_if_fails(std::move(smaller));
    };
    bool again = true;
    while (again) {
        again = false;
        for (std::size_t count = std::max<std::size_t>(h.actions.size() / 2, 1); count > 0; count /= 2)
            for (std::size_t end = h.actions.size(); end >= count; end = std::min(end - 1, h.actions.size()))
                again |= without_actions(end - count, count);
        for (std::size_t i = 0; i < h.actions.size(); ++i) {
            for (std::size_t j = h.actions[i].operations.size(); j-- > 0 && h.actions[i].operations.size() > 1;) {
                history smaller = h;
                auto& operations = smaller.actions[i].operations;
                operations.erase(operations.begin() + static_cast<std::ptrdiff_t>(j));
                again |= keep_if_fails(std::move(smaller));
            }
            for (std::size_t j = 0; j < h.actions[i].operations.size(); ++j) {
                if (h.actions[i].operations[j] == 0) continue;
                history smaller = h;
                smaller.actions[i].operations[j] = 0;
                again |= keep_if_fails(std::move(smaller));
            }
        }
        auto simpler = [&](auto&& change) {
            history smaller = h;
            change(smaller);
            if (smaller != h) again |= keep_if_fails(std::move(smaller));
        };
        simpler([](history& s) { s.small_logs = false; });
        simpler([](history& s) { s.stale = 0; });
        simpler([](history& s) { s.seed = 1; });
        simpler([](history& s) { s.replicas = std::max(s.replicas - 1, 2u); });
    }
    return h;
}

} // namespace joinery::testing
