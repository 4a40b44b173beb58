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
// Each operation of the subject is tried as it is with its first choices, so it should draw none. Two histories are one
// if the same edits have seen the same, in whatever order they were made, or if only the names of the replicas differ,
// not their order; and what has been received is a set of edits, whoever received it in whatever order. That is checked
// on every step from one set to the next, and so for every order.

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
    std::size_t edits = 4; ///< of all replicas together
};

struct exploration {
    std::string subject;
    exploration_bounds bounds;
    std::uint64_t histories = 0;   ///< ways in which edits can have seen each other
    std::uint64_t states = 0;      ///< sets of edits that somebody can have received
    std::uint64_t joins = 0;       ///< of deltas, of answers and of complete states
    std::uint64_t comparisons = 0; ///< with the specification
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
        edits seen;
        delta<T> what;
        event<E> told;
        std::string said;
    };

    const subject<T, E>& subject_;
    exploration found_;
    std::vector<made> made_;
    std::map<std::tuple<std::size_t, std::size_t, edits>, std::optional<std::uint32_t>> known_;
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
    // Whether this is not another one with its replicas renamed: those that edit are the first ones.
    bool told_apart(const edits& set) const {
        std::uint64_t editing = 0;
        for (auto e : set) editing |= std::uint64_t{1} << made_[e].replica;
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
        for (std::size_t r = 0; r < found_.bounds.replicas; ++r)
            for (std::uint32_t part = 0; part < (std::uint32_t{1} << history.size()); ++part) {
                const edits seen = part_of(history, part);
                const auto own = [&](std::uint32_t e) { return made_[e].replica == r; };
                if (std::count_if(seen.begin(), seen.end(), own) != std::count_if(history.begin(), history.end(), own))
                    continue;
                for (std::size_t op = 0; op < subject_.operations().size(); ++op)
                    if (const auto e = edit(r, op, seen)) {
                        edits longer = history;
                        longer.insert(std::upper_bound(longer.begin(), longer.end(), *e), *e);
                        next.insert(std::move(longer));
                    }
            }
    }

    // Nothing if it changes nothing.
    std::optional<std::uint32_t> edit(std::size_t r, std::size_t op, const edits& seen) {
        auto [at, is_new] = known_.try_emplace({r, op, seen});
        if (!is_new) return at->second;
        const causal<T> before = read(state(seen));
        replica<T> self(numbered_replica(r), before, hybrid_clock([] { return std::uint64_t{1'700'000'000'000}; }));
        made m{r, seen, {}, {}, {}};
        m.what = self.edit([&](T& value, transaction& tx) {
            choices first(0);
            m.told.what = subject_.operations()[op].run(value, tx, first);
        });
        if (m.what.covered.empty()) return std::nullopt;
        m.told.dots = m.what.covered.ranges().front();
        m.told.seen = before.context();
        m.said = name_of(numbered_replica(r)) + ", having seen " + name_of(before.context()) +
                 ", edits: " + subject_.operations()[op].name + " = " + name_of(m.told.dots);
        causal<T> joined = before;
        joined.join(m.what);
        require("an edit is the join of its delta", equal_states(self.state(), joined));
        require("a delta describes what it covers", normal_form(m.what));
        made_.push_back(std::move(m));
        at->second = static_cast<std::uint32_t>(made_.size() - 1);
        return at->second;
    }

    // Who has received these.
    const std::vector<std::byte>& state(const edits& received) {
        if (const auto known = states_.find(received); known != states_.end()) return known->second;
        auto& bytes = states_[received]; // a map: it stays where it is
        if (!told_apart(received)) return bytes = encode(without_checks(received));
        std::vector<causal<T>> smaller; // each without one of them
        for (auto last : received) smaller.push_back(read(state(without(received, last))));
        std::optional<causal<T>> sum;
        if (received.empty()) sum.emplace();
        for (std::size_t i = 0; i < received.size(); ++i) {
            causal<T> now = smaller[i];
            const bool grew = now.join(made_[received[i]].what);
            ++found_.joins;
            require("a join grows the state as the context grows",
                    join_outcome(smaller[i], made_[received[i]].what, now, grew));
            if (sum)
                require("the order of deltas does not matter", equal_states(*sum, now));
            else
                sum = std::move(now);
        }
        joins_of(received, smaller, *sum);
        require("a state can be encoded and decoded", round_trip(*sum, "a state"));
        ++found_.states;
        compare(received, *sum);
        return bytes = encode(*sum);
    }
    causal<T> without_checks(const edits& received) {
        causal<T> out = read(state(without(received, received.back())));
        out.join(made_[received.back()].what);
        return out;
    }

    // Whatever arrives again, and whatever is asked for.
    void joins_of(const edits& received, const std::vector<causal<T>>& smaller, const causal<T>& sum) {
        for (auto e : received) {
            causal<T> again = sum;
            ++found_.joins;
            if (again.join(made_[e].what)) throw violation{"a duplicate changes nothing", "the state grew"};
            require("a duplicate changes nothing", equal_states(sum, again));
        }
        for (std::size_t i = 0; i < smaller.size(); ++i) {
            require("delta_since is all that is lacking, and no more", answer(sum, smaller[i]));
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
        std::set<std::uint32_t> all(received.begin(), received.end());
        for (auto e : received) add_seen(e, all);
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
    if (x.ok()) return out + "no failure\n";
    out += "one FAILED\n  law: " + x.failure->law + "\n  but: " + x.failure->what + "\n";
    for (const auto& line : x.story) out += "    " + line + "\n";
    return out;
}

} // namespace joinery::testing
