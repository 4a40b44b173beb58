// SPDX-License-Identifier: Apache-2.0
#pragma once

// What every target does with the bytes it is given: whatever they are, decoding answers with a value or an
// error, within the promised memory; and a value that was accepted can be joined, asked, pruned, edited,
// saved and read back, like one that a replica wrote.

#include "allocation_meter.hpp"
#include "carried_dots.hpp"
#include "histories.hpp"

#include <joinery/codec.hpp>

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <span>
#include <stdexcept>
#include <vector>

namespace joinery::fuzz {

using byte_span = std::span<const std::byte>;

inline void require(bool holds, const char* what) {
    if (holds) return;
    std::fprintf(stderr, "broken: %s\n", what);
    std::abort();
}

/// What bytes may cost while they are decoded.
constexpr std::size_t memory_cap(std::size_t size) { return 64 * size + 64 * 1024; }

template <class X> result<X, decode_error> metered_decode(byte_span in) {
    allocation_meter meter;
    auto x = decode<X>(in);
    require(meter.peak() <= memory_cap(in.size()), "decoding stays within its memory");
    return x;
}

/// Decodes, and checks that what was accepted is encoded and decoded to the same again. A type with one form
/// for each value also gives back the bytes that came.
template <class X> std::optional<X> accepted(byte_span in, bool one_form) {
    auto x = metered_decode<X>(in);
    if (!x) return std::nullopt;
    auto written = encode(*x);
    if (one_form)
        require(std::equal(in.begin(), in.end(), written.begin(), written.end()), "only one form is accepted");
    auto back = decode<X>(written);
    require(back.has_value(), "what was accepted can be read back");
    require(*back == *x, "it reads back as it was");
    require(encode(*back) == written, "and is written as it was");
    return std::move(*x);
}

/// A value without a join of its own.
template <class X> int run_value(const std::uint8_t* data, std::size_t size, bool one_form = true) {
    accepted<X>(std::as_bytes(std::span(data, size)), one_form);
    return 0;
}

/// What holds for every state, whatever it was made of.
template <class T> void check_state(const causal<T>& s) {
    auto written = encode(s);
    auto back = metered_decode<causal<T>>(written);
    require(back.has_value(), "a state can be restored");
    require(*back == s, "it is restored as it was");
    require(back->digest() == s.digest(), "equal states have equal digests");
    require(encode(*back) == written, "equal states have equal bytes");
    require(!back->join(s), "a state has nothing new for its copy");

    version_vector some;
    for (const auto& [r, seq] : s.version()) some.raise(r, seq / 2);
    for (const auto& peer : {version_vector{}, some, s.version()}) {
        delta<T> answer = s.delta_since(peer);
        auto received = decode<delta<T>>(encode(answer));
        require(received.has_value() && *received == answer, "an answer can be read");
        causal<T> fresh;
        if (fresh.join(answer)) require(fresh.context() == answer.covered, "a join gives the dots that it covers");
    }
}

template <class Type> class state_run {
public:
    using T = typename Type::type;

    /// The first byte says what follows: 0 a delta, 1 a state, 2 several deltas, each after its size in two
    /// bytes (the last may be longer).
    int operator()(const std::uint8_t* data, std::size_t size) {
        if (size == 0) return 0;
        auto in = std::as_bytes(std::span(data + 1, size - 1));
        if (data[0] == 0) {
            if (auto d = accepted<delta<T>>(in, Type::one_form)) one_delta(*d);
            renamed(in);
        } else if (data[0] == 1) {
            if (auto s = accepted<causal<T>>(in, false)) one_state(*s);
        } else if (data[0] == 2) {
            several(in);
        }
        return 0;
    }

private:
    // Own edits are read so, under a new id.
    static void renamed(byte_span in) {
        const dot_renaming renaming{replica_id{2}, 1, replica_id{98}};
        allocation_meter meter;
        const auto d = decode<delta<T>>(in, &renaming);
        require(meter.peak() <= memory_cap(in.size()), "decoding stays within its memory");
        if (!d) return;
        causal<T> s;
        s.join(*d);
        readable(s);
    }

    // What must hold even if one dot stands for two things.
    static void readable(const causal<T>& s) {
        auto back = metered_decode<causal<T>>(encode(s));
        require(back.has_value() && back->context() == s.context(), "a state can be restored");
        causal<T> pruned = *back;
        pruned.prune(pruned.version());
        require(pruned.join(s) == false, "a state has nothing new for its copy");
    }

    // Two things that came under one dot, together or from different sides, do not always show in what is held, as the
    // index of dots knows one of them: but then which one depends on who came first.
    static bool contradict(const std::vector<const delta<T>*>& sides, const causal<T>& a, const causal<T>& b) {
        for (const delta<T>* side : sides)
            if (ambiguous(side->fragment)) return true;
        const auto held = a.whole(), other = b.whole();
        return ambiguous(held.fragment) || ambiguous(other.fragment) || (share_dots(sides) && held != other);
    }

    // Some edits by replicas 1, 2 and 3, so that what arrives meets dots of the same names.
    struct known {
        std::vector<delta<T>> edits = history<Type>(6).edits;
        causal<T> state;
        known() {
            for (std::size_t i = 0; i < edits.size(); ++i)
                if (i != 2) state.join(edits[i]); // one is missing: a gap
        }
    };
    static const known& base() {
        static const known k;
        return k;
    }

    void one_delta(const delta<T>& d) {
        causal<T> alone;
        bool grew = alone.join(d);
        require(grew == (!d.covered.empty() && d.since.empty()), "a state grows by what it lacks");
        require(!alone.join(d), "joining again changes nothing");
        if (ambiguous(d.fragment))
            readable(alone);
        else
            one_state(alone);

        for (bool other_first : {false, true}) {
            delta<T> group = other_first ? base().edits[0] : d;
            group.join(other_first ? d : base().edits[0]);
            auto back = decode<delta<T>>(encode(group));
            require(back.has_value() && *back == group, "a delta group can be sent");
        }
    }

    void one_state(const causal<T>& s) {
        if (ambiguous(s.whole().fragment)) return readable(s);
        check_state(s);
        causal<T> mine = base().state;
        mine.join(s);
        mine.join(base().edits[2]);
        causal<T> theirs = s;
        for (const auto& d : base().edits) theirs.join(d);
        const auto known = base().state.whole(), added = s.whole();
        if (contradict({&known, &base().edits[2], &added}, mine, theirs)) return readable(mine);
        check_state(mine);
        require(theirs.context() == mine.context(), "both have seen the same");
        check_state(theirs);
        edit(mine);

        auto live = mine.digest();
        version_vector some;
        for (const auto& [r, seq] : mine.version()) some.raise(r, (seq + 1) / 2);
        for (const auto& stable : {some, mine.version()}) {
            mine.prune(stable);
            require(mine.digest() == live, "pruning changes nothing that lives");
            check_state(mine);
        }
        theirs.set_log_budget(0);
        theirs.join(base().edits[1]);
        theirs.join(mine);
        check_state(theirs);
    }

    // By a replica that the input does not name: forged removals of dots that are yet to be issued would kill them
    // elsewhere and not here. Nor does it name the id that it takes later.
    void edit(const causal<T>& s) {
        constexpr replica_id me{0x6a6f696e65727921}, fresh{0x6a6f696e65727922};
        if (s.context().greatest(me) > max_sequence / 2) return; // there must be room for more
        if (s.context().greatest(fresh) > 0) return;
        replica<T> r(me, s);
        auto before = encode(r.state());
        for (unsigned step = 0; step < Type::steps; ++step) {
            try {
                r.edit([&](T& value, transaction& tx) {
                    Type::edit(value, tx, step);
                    Type::edit(value, tx, step + 1);
                    throw std::runtime_error("changed my mind");
                });
            } catch (const std::exception&) {
            }
        }
        require(encode(r.state()) == before && r.state() == s, "an edit that fails changes nothing");
        try {
            r.edit([](T& value, transaction& tx) { Type::edit(value, tx, 0); });
        } catch (const std::overflow_error&) { // a counter that arrived full
        }
        std::uint64_t published = r.state().context().greatest(me);
        r.hold_from(published);
        for (unsigned step = 0; step < Type::steps; ++step) {
            try {
                causal<T> peer = r.state();
                auto d = r.edit([&](T& value, transaction& tx) { Type::edit(value, tx, step); });
                peer.join(d);
                require(peer == r.state(), "an edit's delta says all that it changed");
            } catch (const std::overflow_error&) {
            }
        }
        check_state(r.state());
        r.rename_from(published, fresh);
        check_state(r.state());
    }

    void several(byte_span in) {
        std::vector<delta<T>> deltas;
        while (in.size() >= 2 && deltas.size() < 8) {
            std::size_t size = std::to_integer<std::size_t>(in[0]) + 256 * std::to_integer<std::size_t>(in[1]);
            in = in.subspan(2);
            size = std::min(size, in.size());
            if (auto d = accepted<delta<T>>(in.first(size), Type::one_form)) deltas.push_back(std::move(*d));
            in = in.subspan(size);
        }
        causal<T> forward, backward;
        for (const auto& d : deltas) forward.join(d);
        for (auto it = deltas.rbegin(); it != deltas.rend(); ++it) backward.join(*it);
        std::vector<const delta<T>*> sides;
        for (const auto& d : deltas) sides.push_back(&d);
        if (contradict(sides, forward, backward)) return readable(forward);
        check_state(forward);
        check_state(backward);
        forward.join(backward);
        backward.join(forward);
        require(forward.context() == backward.context(), "both have seen the same");
        one_state(forward);
    }
};

template <class Type> int run(const std::uint8_t* data, std::size_t size) { return state_run<Type>()(data, size); }

} // namespace joinery::fuzz
