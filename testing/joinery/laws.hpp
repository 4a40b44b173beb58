// SPDX-License-Identifier: Apache-2.0
#pragma once

// The laws of a delta-state CRDT, each on given values. They return what is wrong, or nothing. A campaign
// (convergence.hpp) checks them on what random histories lead to; they can be used alone too.
// Source: Almeida, Shoker, Baquero, "Delta State Replicated Data Types" (2018), sections 4 and 5.

#include <joinery/narration.hpp>
#include <joinery/replica.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace joinery::testing {

/// What is wrong, in words; nothing if all is well.
using problem = std::optional<std::string>;

/// A delta by itself, as a state. For an answer of delta_since this is what it adds to its receiver.
template <crdt T> causal<T> as_state(delta<T> d) {
    d.since = {};
    causal<T> out;
    out.set_log_budget(std::nullopt);
    out.join(d);
    return out;
}

/// The state as it would be if it had pruned what any of the two has pruned; then bytes can be compared.
template <crdt T> causal<T> pruned_like(causal<T> a, const causal<T>& b) {
    version_vector both = a.horizon();
    both.join(b.horizon());
    a.prune(both);
    return a;
}

/// True if equal contexts must give equal bytes, once both are pruned to the same point. The tombstones of
/// sequences go in an order that depends on when they were looked at, so there it needs unpruned states.
template <crdt T> bool bytes_comparable(const causal<T>& a, const causal<T>& b) {
    return !crdt_traits<T>::leaves_tombstones || (a.horizon().empty() && b.horizon().empty());
}

/// A state that many are compared with: its digest and its bytes, worked out once.
template <crdt T> struct compared_state {
    const causal<T>& state; ///< outlives this, and stays as it is
    std::uint64_t digest;
    std::vector<std::byte> bytes;

    explicit compared_state(const causal<T>& s) : state(s), digest(s.digest()), bytes(encode(s)) {}
};

/// Equal contexts: equal content, equal digests, equal bytes.
template <crdt T> problem equal_states(const compared_state<T>& known, const causal<T>& b) {
    const causal<T>& a = known.state;
    if (a.context() != b.context()) return "contexts differ: " + name_of(a.context()) + " and " + name_of(b.context());
    if (!(a == b)) return "equal contexts " + name_of(a.context()) + ", different content";
    if (!(b == a)) return "== depends on which side a state is on, at " + name_of(a.context());
    if (known.digest != b.digest()) return "equal states, different digests, at " + name_of(a.context());
    if (!bytes_comparable(a, b)) return {};
    if (a.horizon().empty() && b.horizon().empty()) {
        if (known.bytes != encode(b)) return "equal states, different bytes, at " + name_of(a.context());
    } else if (encode(pruned_like(a, b)) != encode(pruned_like(b, a)))
        return "equal states, pruned to the same point, different bytes, at " + name_of(a.context());
    return {};
}
template <crdt T> problem equal_states(const causal<T>& a, const causal<T>& b) {
    return equal_states(compared_state<T>(a), b);
}

/// Encoding and decoding gives the same bytes again.
template <class X> problem round_trip(const X& x, const char* what) {
    auto bytes = encode(x);
    auto back = decode<X>(bytes);
    if (!back) return std::string(what) + " cannot be decoded: " + std::string(to_string(back.error()));
    if (encode(*back) != bytes) return std::string(what) + " is encoded differently after decoding";
    return {};
}

/// A delta carries nothing beyond what it covers, and all of that: taken apart and put together it is the same.
template <crdt T> problem normal_form(const delta<T>& d) {
    if (auto p = round_trip(d, "a delta")) return p;
    for (const auto& r : d.removals)
        if (!d.covered.contains(r.event)) return "a record of " + name_of(r.event) + " is not covered";
    const causal<T> state = as_state(d);
    delta<T> again = state.whole();
    if (encode(state) != encode(again)) return "a state has other bytes than the same as a delta";
    again.since = d.since;
    if (again.covered != d.covered) return "joined into nothing, a delta gives the context " + name_of(again.covered);
    if (encode(again) != encode(d)) return "a delta has content that its coverage does not bear out";
    return {};
}

/// Join is commutative, associative, idempotent and absorbing, on deltas and on the states that they make.
template <crdt T> problem join_laws(const delta<T>& x, const delta<T>& y, const delta<T>& z) {
    auto joined = [](delta<T> a, const delta<T>& b) {
        a.join(b);
        return a;
    };
    auto compare = [](const char* law, const delta<T>& a, const delta<T>& b) -> problem {
        if (a.since != b.since) return std::string(law) + ": different starting points";
        if (auto p = equal_states(as_state(a), as_state(b))) return std::string(law) + ": " + *p;
        bool pruned = !a.horizon.empty() || !b.horizon.empty();
        if (!pruned && encode(a) != encode(b)) return std::string(law) + ": different bytes";
        return {};
    };
    if (auto p = compare("idempotence", joined(x, x), x)) return p;
    delta<T> xy = joined(x, y);
    if (auto p = compare("commutativity", xy, joined(y, x))) return p;
    if (auto p = compare("associativity", joined(xy, z), joined(x, joined(y, z)))) return p;
    if (auto p = compare("absorption", joined(xy, x), xy)) return p;
    causal<T> one_by_one = as_state(x);
    delta<T> rest = y;
    rest.since = {};
    one_by_one.join(rest);
    if (auto p = equal_states(one_by_one, as_state(xy))) return "a group and its parts: " + *p;
    return {};
}

/// What a join must have done: grown the state if and only if the context grew, and said so.
template <crdt T>
problem join_outcome(const causal<T>& before, const delta<T>& d, const causal<T>& after, bool said_grown) {
    if (!before.accepts(d)) {
        if (said_grown) return "a delta that is not accepted is said to have grown the state";
        if (encode(after) != encode(before)) return "a delta that is not accepted has changed the state";
        return {};
    }
    causal_context all = before.context();
    bool grows = all.join(d.covered);
    if (after.context() != all) return "the context became " + name_of(after.context()) + ", not " + name_of(all);
    if (said_grown != grows) return std::string("join says that the state ") + (grows ? "did not grow" : "grew");
    if (grows) return {};
    if (!(after == before)) return "nothing new, yet the content changed";
    if (after.horizon() == before.horizon() && encode(after) != encode(before)) return "nothing new, yet bytes changed";
    return {};
}

/// What a delta of delta_since must be: exactly what is lacking, and as good as the whole state.
template <crdt T> problem answer(const causal<T>& sender, const causal<T>& receiver) {
    version_vector v = receiver.version();
    delta<T> d = sender.delta_since(v);
    if (auto p = normal_form(d)) return p;
    bool complete = !sender.horizon().within(v);
    if (complete) {
        if (!d.since.empty()) return "a complete state says that it starts somewhere";
        if (d.covered != sender.context()) return "a complete state covers " + name_of(d.covered);
        if (d.horizon != sender.horizon()) return "a complete state does not say what it has pruned";
    } else {
        if (d.since != v) return "an answer to " + name_of(v) + " says that it starts at " + name_of(d.since);
        if (d.covered != sender.context().minus(v))
            return "an answer to " + name_of(v) + " covers " + name_of(d.covered) + ", not " +
                   name_of(sender.context().minus(v));
        if (d.covered.empty() && !(d.fragment.empty() && d.removals.empty()))
            return "an answer covers nothing and is not empty";
    }
    if (!receiver.accepts(d)) return "an answer is not accepted by who asked for it";
    causal<T> by_answer = receiver;
    causal<T> by_state = receiver;
    by_answer.join(d);
    by_state.join(sender);
    if (auto p = equal_states(by_answer, by_state)) return "an answer differs from the whole state: " + *p;
    return {};
}

/// Only an answer that starts beyond the state's version is not accepted.
template <crdt T> problem acceptance(const causal<T>& state, const delta<T>& d) {
    bool expected = d.since.within(state.version());
    if (state.accepts(d) == expected) return {};
    return std::string(expected ? "refuses" : "accepts") + " a delta that starts at " + name_of(d.since) + ", at " +
           name_of(state.version());
}

} // namespace joinery::testing
