// SPDX-License-Identifier: Apache-2.0
#pragma once

// The steps of cluster.hpp, which includes this.

#include <joinery/cluster.hpp>

#include <algorithm>

namespace joinery::testing {

// Clocks differ: some by more than a replica is ready to follow.
template <crdt T, class E> wall_clock cluster<T, E>::clock_of(std::size_t r) const {
    constexpr std::uint64_t ahead[] = {0, 0, 150, 400, 3'600'000, 10'000'000'000};
    std::uint64_t skew = ahead[random_source(history_.seed + r).below(std::size(ahead))];
    return [wall = wall_, skew] { return *wall + skew; };
}

template <crdt T, class E>
cluster<T, E>::cluster(const subject<T, E>& s, const history& h, distribution& counts, std::vector<std::string>* story,
                       acknowledgement rule)
    : subject_(s), history_(h), counts_(counts), story_(story), rule_(rule) {
    if (story_) {
        std::string columns;
        for (std::size_t r = 0; r < h.replicas; ++r) columns += name(r) + " ";
        story_->push_back(columns);
    }
    for (std::size_t r = 0; r < h.replicas; ++r) {
        bool stale = s.stale() != stale_peers::none && r + h.stale >= h.replicas;
        members_.push_back({replica<T>(numbered_replica(r), hybrid_clock(clock_of(r))), stale});
        members_.back().heard.resize(h.replicas);
        if (h.small_logs && s.forgetting()) members_.back().self.set_log_budget(700);
        if (stale) tell("the others prune without waiting for " + name(r));
    }
    if (h.small_logs && s.forgetting()) tell("removal logs hold few records and forget the older ones");
}

template <crdt T, class E> void cluster<T, E>::run() {
    for (const auto& a : history_.actions) step(a);
    finish();
}

template <crdt T, class E> void cluster<T, E>::step(const action& a) {
    counts_.count(occurrence::step);
    if (steps_++ % 3 == 0) *wall_ += 7; // so that timestamps can be equal
    std::size_t who = index(a.who);
    std::size_t other = index(a.other);
    switch (a.kind) {
    case action_kind::edit: edit(who, a); break;
    case action_kind::failing_edit: failing_edit(who, a.operations); break;
    case action_kind::deliver:
        if (auto d = deltas_.find(a.delta); d != deltas_.end())
            deliver(who, d->second, "delta " + std::to_string(a.delta));
        break;
    case action_kind::group: group(a); break;
    case action_kind::pull:
        if (who != other) pull(who, other);
        break;
    case action_kind::ask:
        if (who != other) ask(who, other, a.delta);
        break;
    case action_kind::keep_state:
        counts_.count(occurrence::kept_state);
        deltas_[a.delta] = members_[who].self.state();
        tell("the state of " + name(who) + " is kept as delta " + std::to_string(a.delta), who, 'o');
        break;
    case action_kind::beacon:
        if (who == other) break;
        members_[who].heard[other].push_back(members_[other].self.version());
        tell(name(who) + " hears that " + name(other) + " is at " + name_of(members_[other].self.version()), who, 'o');
        break;
    case action_kind::prune:
        if (members_[who].stale) break;
        if (a.other & 2) tidy(who, stable_by_hearsay(who));
        if (a.other & 1)
            prune(who, stable_by_hearsay(who), "what it heard is stable");
        else
            prune(who, stable_in_fact(who), "what is stable");
        break;
    case action_kind::restart: restart(who); break;
    case action_kind::algebra: algebra(a); break;
    }
}

template <crdt T, class E>
E cluster<T, E>::apply(std::uint64_t seed, T& value, transaction& tx, std::string& said) const {
    choices from(seed);
    const auto& op = subject_.choose(from);
    E what = op.run(value, tx, from);
    said = told(op.name, what);
    return what;
}

template <crdt T, class E> void cluster<T, E>::edit(std::size_t r, const action& a) {
    member& m = members_[r];
    if (m.stale && subject_.stale() == stale_peers::only_read) return;
    const causal<T> before = m.self.state();
    auto bytes_before = encode(before);

    // First each operation on its own, on a copy: so it is known which dots are whose.
    replica<T> rehearsal(m.self.id(), before, m.self.clock());
    std::vector<std::uint64_t> taken;
    std::string said;
    try {
        for (auto seed : a.operations)
            taken.push_back(rehearsal.edit([&](T& v, transaction& tx) { apply(seed, v, tx, said); }).covered.count());
    } catch (const std::exception&) { // an operation that refuses its arguments
        return failing_edit(r, a.operations);
    }
    if (encode(m.self.state()) != bytes_before)
        throw violation{"copies share nothing", "editing a copy changed its original"};

    std::uint64_t seq = before.context().greatest(m.self.id());
    std::size_t first_event = events_.size();
    std::string story;
    delta<T> d = m.self.edit([&](T& v, transaction& tx) {
        causal_context seen = before.context();
        std::uint64_t last = seq;
        for (std::size_t i = 0; i < a.operations.size(); ++i) {
            E what = apply(a.operations[i], v, tx, said);
            story += (i ? "; " : "") + said;
            if (taken[i] == 0) continue;
            dot_range dots{m.self.id(), last + 1, last + taken[i]};
            story += " = " + name_of(dots);
            events_.push_back({dots, seen, std::move(what)});
            seen.add(dots);
            last = dots.last;
        }
    });
    counts_.count(occurrence::edit);
    if (a.operations.size() > 1) counts_.count(occurrence::multi_operation_edit);
    counts_.count(occurrence::event, events_.size() - first_event);
    tell(name(r) + " edits: " + story + "  [delta " + std::to_string(a.delta) + "]" + now_at(r), r, '*');

    std::uint64_t n = 0;
    for (auto t : taken) n += t;
    causal_context expected;
    if (n > 0) expected.add({m.self.id(), seq + 1, seq + n});
    if (d.covered != expected)
        throw violation{"an edit issues the next dots", "its delta covers " + name_of(d.covered) + ", not " +
                                                            name_of(expected) + " as its operations one by one"};
    if (n == 0) {
        if (!d.empty() || encode(m.self.state()) != bytes_before)
            throw violation{"an edit without events changes nothing", name_of(d.covered)};
        return;
    }
    if (!issued_.minus(before.context()).empty()) counts_.count(occurrence::concurrent_edit);
    if (m.self.state().horizon() != before.horizon()) counts_.count(occurrence::forgotten);
    issued_.join(expected);
    edits_.push_back(expected);
    require("a delta describes what it covers", normal_form(d));
    causal<T> joined = before;
    bool grew = joined.join(d);
    require("a join grows the state as the context grows", join_outcome(before, d, joined, grew));
    require("an edit is the join of its delta", equal_states(m.self.state(), joined));
    deltas_[a.delta] = std::move(d);
    if (snapshots_.size() < 4) snapshots_.push_back({before, std::move(bytes_before)});
    check(r);
}

template <crdt T, class E>
void cluster<T, E>::failing_edit(std::size_t r, const std::vector<std::uint64_t>& operations) {
    member& m = members_[r];
    const causal<T> before = m.self.state();
    timestamp clock = m.self.clock().latest();
    std::string story, said;
    try {
        m.self.edit([&](T& v, transaction& tx) {
            for (auto seed : operations) {
                apply(seed, v, tx, said);
                story += (story.empty() ? "" : "; ") + said;
            }
            throw thrown_on_purpose{};
        });
    } catch (const thrown_on_purpose&) {
    } catch (const std::exception& e) {
        story += std::string("; then ") + e.what();
    }
    counts_.count(occurrence::failed_edit);
    tell(name(r) + " edits and throws: " + story + now_at(r), r, '!');
    constexpr auto law = "an edit that throws changes nothing";
    if (m.self.state().context() != before.context())
        throw violation{law, "the context became " + name_of(m.self.state().context())};
    require(law, equal_states(before, m.self.state()));
    if (encode(before) != encode(m.self.state())) throw violation{law, "the bytes of the state differ"};
    if (m.self.clock().latest() != clock) throw violation{law, "the clock moved"};
    // Nor what cannot be seen: the next edit is the same as without it.
    replica<T> one(m.self.id(), before, m.self.clock());
    replica<T> two(m.self.id(), m.self.state(), m.self.clock());
    auto again = [&](replica<T>& at) {
        return encode(at.edit([&](T& v, transaction& tx) {
            for (auto seed : operations) apply(seed, v, tx, said);
        }));
    };
    try {
        if (again(one) != again(two)) throw violation{law, "the next edit is another than without it"};
    } catch (const std::exception&) { // an operation that refuses its arguments, on both
    }
    check(r);
}

template <crdt T, class E> void cluster<T, E>::deliver(std::size_t r, const delta<T>& d, const std::string& what) {
    member& m = members_[r];
    require("only answers that start beyond the version are refused", acceptance(m.self.state(), d));
    const causal<T> before = m.self.state();
    bool accepted = m.self.accepts(d);
    bool grew = m.self.join(d);
    counts_.count(occurrence::delivery);
    if (!accepted)
        counts_.count(occurrence::refused);
    else if (before.context().contains(d.covered))
        counts_.count(occurrence::duplicate);
    if (!d.covered.empty()) // not worth a line otherwise
        tell(name(r) + (accepted ? " joins " : " refuses ") + what + " " + name_of(d.covered) + now_at(r), r,
             accepted ? 'v' : 'x');
    require("a join grows the state as the context grows", join_outcome(before, d, m.self.state(), grew));
    check(r);
}

template <crdt T, class E> void cluster<T, E>::group(const action& a) {
    auto one = deltas_.find(a.other);
    auto two = deltas_.find(a.third);
    if (one == deltas_.end() || two == deltas_.end()) return;
    delta<T> d = one->second;
    d.join(two->second);
    counts_.count(occurrence::group);
    tell("delta " + std::to_string(a.delta) + " = delta " + std::to_string(a.other) + " joined with delta " +
         std::to_string(a.third));
    require("a delta describes what it covers", normal_form(d));
    deltas_[a.delta] = std::move(d);
}

template <crdt T, class E> void cluster<T, E>::pull(std::size_t r, std::size_t from) {
    const auto& sender = members_[from].self;
    require("delta_since is all that is lacking, and no more", answer(sender.state(), members_[r].self.state()));
    version_vector v = members_[r].self.version();
    counts_.count(occurrence::pull);
    bool complete = !sender.state().horizon().within(v);
    if (complete) counts_.count(occurrence::complete_answer);
    deliver(r, sender.delta_since(v),
            std::string(complete ? "the complete state" : "the answer") + " of " + name(from));
}

template <crdt T, class E> void cluster<T, E>::ask(std::size_t r, std::size_t from, std::uint32_t id) {
    require("delta_since is all that is lacking, and no more",
            answer(members_[from].self.state(), members_[r].self.state()));
    deltas_[id] = members_[from].self.delta_since(members_[r].self.version());
    counts_.count(occurrence::kept_answer);
    tell(name(r) + " at " + name_of(members_[r].self.version()) + " asks " + name(from) + ", whose answer " +
             name_of(deltas_[id].covered) + " is kept as delta " + std::to_string(id),
         from, 'o');
}

template <crdt T, class E> version_vector cluster<T, E>::stable_by_hearsay(std::size_t r) const {
    version_vector stable = members_[r].self.version();
    for (std::size_t p = 0; p < members_.size(); ++p) {
        if (p == r || members_[p].stale) continue;
        version_vector acknowledged;
        for (const auto& v : members_[r].heard[p]) {
            bool all_here = v[numbered_replica(p)] <= members_[r].self.version()[numbered_replica(p)];
            if (all_here || rule_ == acknowledgement::at_once) acknowledged = v;
        }
        stable.meet(acknowledged);
    }
    return stable;
}

template <crdt T, class E> version_vector cluster<T, E>::stable_in_fact(std::size_t r) const {
    version_vector stable = members_[r].self.version();
    for (std::size_t p = 0; p < members_.size(); ++p) {
        if (members_[p].stale) continue;
        version_vector v = members_[p].self.version();
        if (v[numbered_replica(p)] > members_[r].self.version()[numbered_replica(p)]) return {};
        stable.meet(v);
    }
    return stable;
}

template <crdt T, class E>
void cluster<T, E>::prune(std::size_t r, const version_vector& stable, const std::string& why) {
    if (stable.empty()) return;
    member& m = members_[r];
    const causal<T> before = m.self.state();
    m.self.prune(stable);
    std::size_t gone = before.removals().size() - m.self.state().removals().size();
    counts_.count(occurrence::prune);
    counts_.count(occurrence::record_pruned, gone);
    if (gone > 0)
        tell(name(r) + " prunes " + why + ", " + name_of(stable) + ": " + std::to_string(gone) + " records go" +
                 now_at(r),
             r, 'o');
    require("pruning changes nothing that is seen", equal_states(before, m.self.state()));
    check(r);
}

// An edit that nobody sees anything of. Not beside replicas that nobody waits for: what they write unseen would come to
// show.
template <crdt T, class E> void cluster<T, E>::tidy(std::size_t r, const version_vector& stable) {
    if constexpr (crdt_traits<T>::tidies) {
        for (const auto& m : members_)
            if (m.stale && subject_.stale() == stale_peers::edit) return;
        member& m = members_[r];
        const causal<T> before = m.self.state();
        const delta<T> d = m.self.tidy(stable);
        if (d.covered.empty()) return;
        counts_.count(occurrence::tidied);
        tell(name(r) + " tidies up, as " + name_of(stable) + " is stable: " + name_of(d.covered) + now_at(r), r, '*');
        constexpr auto law = "tidying up changes nothing that is seen";
        if (subject_.view() && subject_.view()(*m.self) != subject_.view()(*before)) throw violation{law, now_at(r)};
        require("a delta describes what it covers", normal_form(d));
        causal<T> joined = before;
        joined.join(d);
        require("an edit is the join of its delta", equal_states(m.self.state(), joined));
        issued_.join(d.covered);
        edits_.push_back(d.covered);
        tidied_.emplace_back(d.covered, before.context());
        deltas_[deltas_.empty() ? 0 : deltas_.rbegin()->first + 1] = d;
        check(r);
    }
}

template <crdt T, class E> bool cluster<T, E>::closed(const seen_events<E>& seen) const {
    return seen.closed() && std::all_of(tidied_.begin(), tidied_.end(), [&](const auto& edit) {
               return !seen.context().intersects(edit.first) || seen.context().contains(edit.second);
           });
}

template <crdt T, class E> void cluster<T, E>::restart(std::size_t r) {
    member& m = members_[r];
    auto bytes = encode(m.self.state());
    auto restored = decode<causal<T>>(bytes);
    constexpr auto law = "a state can be saved and restored";
    if (!restored) throw violation{law, "its bytes cannot be decoded: " + std::string(to_string(restored.error()))};
    if (encode(*restored) != bytes) throw violation{law, "the restored state has other bytes"};
    if (restored->horizon() != m.self.state().horizon()) throw violation{law, "the horizon is lost"};
    if (restored->removals() != m.self.state().removals()) throw violation{law, "the removal log differs"};
    require(law, equal_states(*restored, m.self.state()));
    m.self = replica<T>(m.self.id(), std::move(*restored), hybrid_clock(clock_of(r)));
    if (history_.small_logs && subject_.forgetting()) m.self.set_log_budget(700);
    counts_.count(occurrence::restart);
    tell(name(r) + " restarts" + now_at(r), r, 'o');
    check(r);
}

template <crdt T, class E> delta<T> cluster<T, E>::any_delta(std::uint32_t n) const {
    std::size_t at = n % (deltas_.size() + members_.size());
    if (at >= deltas_.size()) return members_[at - deltas_.size()].self.state();
    return std::next(deltas_.begin(), static_cast<std::ptrdiff_t>(at))->second;
}

template <crdt T, class E> void cluster<T, E>::algebra(const action& a) {
    auto x = any_delta(a.delta * 7 + a.who), y = any_delta(a.other * 5 + a.who), z = any_delta(a.third * 3);
    counts_.count(occurrence::algebra);
    tell("laws of join on x = " + name_of(x.covered) + ", y = " + name_of(y.covered) + ", z = " + name_of(z.covered));
    require("join is a least upper bound", join_laws(x, y, z));
}

// What holds for every state that is ever reached.
template <crdt T, class E> void cluster<T, E>::check(std::size_t r) {
    const causal<T>& s = members_[r].self.state();
    if (!s.context().gapless()) counts_.count(occurrence::gap);
    for (const auto& e : edits_)
        if (s.context().intersects(e) && !s.context().contains(e))
            throw violation{"an edit is seen whole or not at all", name(r) + " has a part of " + name_of(e)};
    require("a state can be encoded and decoded", round_trip(s, "a state"));
    require("a version can be encoded and decoded", round_trip(s.version(), "a version"));
    auto key = encode(s.context());
    auto [first, is_new] = first_at_.try_emplace(key, s);
    if (!is_new) require("equal contexts, equal states", equal_states(first->second, s));
    compare_with_specification(r, key);
}

template <crdt T, class E>
void cluster<T, E>::compare_with_specification(std::size_t r, const std::vector<std::byte>& key) {
    if (!subject_.view() || !subject_.model()) return;
    const causal<T>& s = members_[r].self.state();
    auto known = model_at_.find(key);
    if (known == model_at_.end()) {
        seen_events<E> seen(events_, s.context());
        const bool whole = closed(seen);
        if (!whole) counts_.count(occurrence::not_closed);
        if (!whole && (subject_.sets() == event_sets::closed || !tidied_.empty())) return;
        auto answer = subject_.model()(seen);
        if (!answer) return;
        known = model_at_.emplace(key, std::move(*answer)).first;
    }
    counts_.count(occurrence::comparison);
    std::string found = subject_.view()(*s);
    if (found != known->second)
        throw violation{"the state is what the specification says",
                        name(r) + " at " + name_of(s.context()) + " has " + found + ", specified " + known->second};
}

// Everybody asks everybody, in any order, until nobody lacks anything; then all is stable.
template <crdt T, class E> void cluster<T, E>::finish() {
    random_source random(history_.seed);
    std::size_t n = members_.size();
    tell("the history is over; as after each, all ask all, and prune everything");
    for (std::size_t round = 0; round <= n; ++round)
        for (std::size_t k = 0; k < n * n; ++k) {
            std::size_t r = round == n ? k / n : random.below(n);
            std::size_t q = round == n ? k % n : random.below(n);
            bool lacks = !members_[r].self.state().context().contains(members_[q].self.state().context());
            if (r != q && (lacks || round == 0)) pull(r, q);
        }
    constexpr auto law = "all replicas converge";
    const causal<T>& all = members_[0].self.state();
    if (!all.context().gapless()) throw violation{law, "a gap is left: " + name_of(all.context())};
    if (all.context() != issued_) throw violation{law, "events are lost: " + name_of(all.context())};
    for (std::size_t r = 1; r < n; ++r) require(law, equal_states(all, members_[r].self.state()));
    for (std::size_t r = 0; r < n; ++r) prune(r, all.version(), "everything");
    constexpr auto bytes = "once all is stable, all is equal to the byte";
    for (std::size_t r = 0; r < n; ++r) {
        if (!members_[r].self.state().removals().empty()) throw violation{bytes, "removal records outlive stability"};
        if (encode(members_[r].self.state()) != encode(all)) throw violation{bytes, "A and " + name(r) + " differ"};
    }
    // Pruned states go on working: an edit by each, concurrently, then all to all, backwards.
    tell("what is pruned must go on working: each edits once more, and all ask all again");
    std::uint32_t id = deltas_.empty() ? 0 : deltas_.rbegin()->first + 1;
    for (std::size_t r = 0; r < n; ++r) {
        action a{action_kind::edit, static_cast<std::uint32_t>(r)};
        a.operations = {random.next()};
        a.delta = id++;
        edit(r, a);
    }
    for (std::size_t round = 0; round < 2; ++round)
        for (std::size_t r = n; r-- > 0;)
            for (std::size_t q = 0; q < n; ++q)
                if (q != r) pull(r, q);
    for (std::size_t r = 1; r < n; ++r) require(law, equal_states(members_[0].self.state(), members_[r].self.state()));
    for (const auto& s : snapshots_)
        if (encode(s.copy) != s.bytes) throw violation{"copies share nothing", "a copy changed with its original"};
}

} // namespace joinery::testing
