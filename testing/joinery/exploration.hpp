// SPDX-License-Identifier: Apache-2.0
#pragma once

// All that can happen, as long as little does: every history of up to four edits on up to three replicas, and in each
// of them every order in which the edits can reach somebody, every duplicate, and every answer of one to another. What
// diverges at all mostly does so in a history that is as small.
//
//     joinery::testing::subject<poll, std::string> polls("poll");
//     polls.operation("yes", [](auto& p, auto& tx, auto&) { p.vote(tx, true); });
//     polls.operation("no", [](auto& p, auto& tx, auto&) { p.vote(tx, false); });
//     std::cout << to_string(joinery::testing::explore(polls));
//
// Of what an operation draws, the first two choices are tried in histories of few edits, and the first in the others:
// so operations that draw nothing, of which there are more instead, say most. Two histories are one if the same edits
// have seen the same, in whatever order they were made, or if only the names of the replicas differ, not their order;
// and what has been received is a set of edits, whoever received it in whatever order. That is checked on every step
// from one set to the next, and so for every order.

#include <joinery/convergence.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

namespace joinery::testing {

/// How far to go. The time grows some fortyfold with each further edit.
struct exploration_bounds {
    std::size_t replicas = 3;
    std::size_t edits = 4;        ///< of all replicas together
    std::size_t varied_edits = 3; ///< in histories of so many, or fewer, the second choices of draws are tried too:
    std::size_t varied_draws = 2; ///< of so many draws of an operation, the first ones; at most 16
};

struct exploration {
    std::string subject;
    exploration_bounds bounds;
    std::uint64_t histories = 0;   ///< ways in which edits can have seen each other
    std::uint64_t states = 0;      ///< sets of edits that somebody can have received
    std::uint64_t joins = 0;       ///< of deltas, of answers and of complete states
    std::uint64_t comparisons = 0; ///< with the specification
    std::uint64_t refused = 0;     ///< edits that threw, which is to say that they cannot be made there
    std::size_t draws = 0;         ///< the most that an operation made
    std::optional<violation> failure;
    std::vector<std::string> story; ///< the history that failed: a line for each edit

    bool ok() const { return !failure; }
};

namespace detail {

template <crdt T, class E> class explorer {
public:
    explorer(const subject<T, E>& s, const exploration_bounds& bounds) : subject_(s) {
        found_.subject = s.name();
        found_.bounds = bounds;
        found_.bounds.varied_draws = std::min<std::size_t>(bounds.varied_draws, 16);
    }

    exploration run() {
        try {
            std::set<edits> level{edits{}};
            for (std::size_t n = 0; !level.empty(); ++n) {
                std::set<edits> next;
                for (const auto& history : level) {
                    at_ = history;
                    if (told_apart(history)) {
                        ++found_.histories;
                        for (std::uint32_t part = 0; part < (std::uint32_t{1} << history.size()); ++part)
                            state(part_of(history, part));
                    }
                    if (n < found_.bounds.edits) extend(history, next);
                }
                level = std::move(next);
            }
        } catch (const violation& v) {
            found_.failure = v;
        } catch (const std::exception& e) {
            found_.failure = violation{"nothing throws", e.what()};
        }
        if (found_.failure)
            for (auto e : at_) found_.story.push_back(made_[e].said);
        return std::move(found_);
    }

private:
    using edits = std::vector<std::uint32_t>; // ascending: in an order in which nothing comes before what it had seen
    struct made {
        std::size_t replica = 0;
        std::uint64_t second = 0; // which draws took the second choice
        edits seen;
        delta<T> what;
        event<E> told;
        std::string said;
    };

    const subject<T, E>& subject_;
    exploration found_;
    std::vector<made> made_;
    struct tried {
        std::optional<std::uint32_t> edit; // none if it changes nothing
        std::size_t draws = 0;             // that may vary
    };
    std::map<std::tuple<std::size_t, std::size_t, std::uint64_t, edits>, tried> known_;
    std::map<edits, std::vector<std::byte>> states_;
    edits at_; // the history that is looked at

    static edits part_of(const edits& all, std::uint32_t part) {
        edits out;
        for (std::size_t i = 0; i < all.size(); ++i)
            if (part >> i & 1) out.push_back(all[i]);
        return out;
    }
    static edits without(const edits& all, std::uint32_t one) {
        edits out = all;
        std::erase(out, one);
        return out;
    }
    // Whether this is not another one with its replicas renamed: those that made what was received or seen are the
    // first ones.
    bool told_apart(const edits& received) const {
        std::uint64_t editing = 0;
        for (auto e : causes_of(received)) editing |= std::uint64_t{1} << made_[e].replica;
        return (editing & (editing + 1)) == 0;
    }
    static causal<T> read(const std::vector<std::byte>& bytes) {
        auto state = decode<causal<T>>(bytes);
        if (!state) throw violation{"a state can be saved and restored", std::string(to_string(state.error()))};
        return std::move(*state);
    }
    static void require(const char* law, const problem& p) {
        if (p) throw violation{law, *p};
    }

    // One more edit, by each replica, of each kind, having seen each part of the history that has its own edits.
    void extend(const edits& history, std::set<edits>& next) {
        const bool varied = std::any_of(history.begin(), history.end(), [&](auto e) { return made_[e].second != 0; });
        const bool may_vary = history.size() < found_.bounds.varied_edits;
        if (varied && !may_vary) return;
        for (std::size_t r = 0; r < found_.bounds.replicas; ++r)
            for (std::uint32_t part = 0; part < (std::uint32_t{1} << history.size()); ++part) {
                const edits seen = part_of(history, part);
                const auto own = [&](std::uint32_t e) { return made_[e].replica == r; };
                if (std::count_if(seen.begin(), seen.end(), own) != std::count_if(history.begin(), history.end(), own))
                    continue;
                for (std::size_t op = 0; op < subject_.operations().size(); ++op) {
                    std::size_t draws = 0; // the most, of any choices
                    for (std::uint64_t second = 0; second >> (may_vary ? draws : 0) == 0; ++second) {
                        const tried now = edit(r, op, second, seen);
                        draws = std::max(draws, now.draws);
                        if (!now.edit || second >> now.draws != 0) continue; // fewer draws: as one before
                        edits longer = history;
                        longer.insert(std::upper_bound(longer.begin(), longer.end(), *now.edit), *now.edit);
                        next.insert(std::move(longer));
                    }
                }
            }
    }

    tried edit(std::size_t r, std::size_t op, std::uint64_t second, const edits& seen) {
        auto [at, is_new] = known_.try_emplace({r, op, second, seen});
        if (!is_new) return at->second;
        const causal<T> before = read(state(seen));
        replica<T> self(numbered_replica(r), before, hybrid_clock([] { return std::uint64_t{1'700'000'000'000}; }));
        made m{r, second, seen, {}, {}, {}};
        choices from = choices::planned(second);
        try {
            m.what = self.edit(
                [&](T& value, transaction& tx) { m.told.what = subject_.operations()[op].run(value, tx, from); });
        } catch (const std::exception&) { // it refuses its arguments
            ++found_.refused;
        }
        at->second.draws = std::min(from.draws(), found_.bounds.varied_draws);
        found_.draws = std::max(found_.draws, from.draws());
        if (m.what.covered.empty()) return at->second;
        m.told.dots = m.what.covered.ranges().front();
        m.told.seen = before.context();
        m.said = name_of(numbered_replica(r)) + ", having seen " + name_of(before.context()) +
                 ", edits: " + told(subject_.operations()[op].name, m.told.what) + " = " + name_of(m.told.dots);
        causal<T> joined = before;
        joined.join(m.what);
        require("an edit is the join of its delta", equal_states(self.state(), joined));
        require("a delta describes what it covers", normal_form(m.what));
        made_.push_back(std::move(m));
        at->second.edit = static_cast<std::uint32_t>(made_.size() - 1);
        return at->second;
    }

    // Who has received these.
    const std::vector<std::byte>& state(const edits& received) {
        if (const auto known = states_.find(received); known != states_.end()) return known->second;
        auto& bytes = states_[received]; // a map: it stays where it is
        if (!told_apart(received)) return bytes = encode(without_checks(received));
        std::vector<causal<T>> smaller; // each without one of them
        for (auto last : received) smaller.push_back(read(state(without(received, last))));
        causal<T> sum;
        if (!received.empty()) {
            sum = smaller.front();
            sum.join(made_[received.front()].what);
        }
        const compared_state<T> known(sum);
        for (std::size_t i = 0; i < received.size(); ++i) {
            causal<T> now = smaller[i];
            const bool grew = now.join(made_[received[i]].what);
            ++found_.joins;
            require("a join grows the state as the context grows",
                    join_outcome(smaller[i], made_[received[i]].what, now, grew));
            if (i > 0) require("the order of deltas does not matter", equal_states(known, now));
        }
        joins_of(received, smaller, known);
        require("a state can be encoded and decoded", round_trip(sum, "a state"));
        ++found_.states;
        compare(received, sum);
        return bytes = known.bytes;
    }
    causal<T> without_checks(const edits& received) {
        causal<T> out = read(state(without(received, received.back())));
        out.join(made_[received.back()].what);
        return out;
    }

    // Whatever arrives again, and whatever is asked for.
    void joins_of(const edits& received, const std::vector<causal<T>>& smaller, const compared_state<T>& sum) {
        for (auto e : received) {
            causal<T> again = sum.state;
            ++found_.joins;
            if (again.join(made_[e].what)) throw violation{"a duplicate changes nothing", "the state grew"};
            require("a duplicate changes nothing", equal_states(sum, again));
        }
        for (std::size_t i = 0; i < smaller.size(); ++i) {
            require("delta_since is all that is lacking, and no more", answer(sum.state, smaller[i]));
            found_.joins += 2;
            for (std::size_t k = 0; k < smaller.size(); ++k) {
                if (k == i) continue;
                causal<T> both = smaller[i];
                both.join(smaller[k]);
                ++found_.joins;
                require("states join as their deltas do", equal_states(sum, both));
            }
        }
    }

    void compare(const edits& received, const causal<T>& s) {
        if (!subject_.view() || !subject_.model()) return;
        const auto all = causes_of(received);
        std::deque<event<E>> events;
        for (auto e : all) events.push_back(made_[e].told);
        const seen_events<E> seen(events, s.context());
        if (subject_.sets() == event_sets::closed && !seen.closed()) return;
        const auto specified = subject_.model()(seen);
        auto told = events.begin();
        for (auto e : all) made_[e].told.what = (told++)->what; // what a specification has found out about it
        if (!specified) return;
        ++found_.comparisons;
        if (const std::string found = subject_.view()(*s); found != *specified)
            throw violation{"the state is what the specification says",
                            "at " + name_of(s.context()) + " it has " + found + ", specified " + *specified};
    }
    // What was received, and what whoever made it had seen.
    std::set<std::uint32_t> causes_of(const edits& received) const {
        std::set<std::uint32_t> all(received.begin(), received.end());
        for (auto e : received) add_seen(e, all);
        return all;
    }
    void add_seen(std::uint32_t e, std::set<std::uint32_t>& all) const {
        for (auto before : made_[e].seen)
            if (all.insert(before).second) add_seen(before, all);
    }
};

} // namespace detail

/// Stops at the first failure. Some thousand states a second; the fewer operations the subject has, the fewer there
/// are.
template <crdt T, class E> exploration explore(const subject<T, E>& s, const exploration_bounds& bounds = {}) {
    return detail::explorer<T, E>(s, bounds).run();
}

inline std::string to_string(const exploration& x) {
    std::string out = x.subject + ": all histories of up to " + std::to_string(x.bounds.edits) + " edits on " +
                      std::to_string(x.bounds.replicas) + " replicas: " + std::to_string(x.histories) + " histories, " +
                      std::to_string(x.states) + " states, " + std::to_string(x.joins) + " joins, " +
                      std::to_string(x.comparisons) + " comparisons with the specification, ";
    if (x.refused > 0) out += std::to_string(x.refused) + " edits refused, ";
    if (x.draws > 0) {
        const auto& b = x.bounds;
        out += "draws (up to " + std::to_string(x.draws) + " by an operation): ";
        if (b.varied_draws > 0 && b.varied_edits > 0)
            out += "the first two choices of " +
                   (x.draws > b.varied_draws ? "the first " + std::to_string(b.varied_draws) + " draws"
                                             : std::string("each draw")) +
                   " in histories of up to " + std::to_string(std::min(b.varied_edits, b.edits)) + " edits, else ";
        out += "the first choices only, ";
    }
    if (x.ok()) return out + "no failure\n";
    out += "one FAILED\n  law: " + x.failure->law + "\n  but: " + x.failure->what + "\n";
    for (const auto& line : x.story) out += "    " + line + "\n";
    return out;
}

} // namespace joinery::testing
