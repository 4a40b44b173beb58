// SPDX-License-Identifier: Apache-2.0
#pragma once

// Replicas of the tests of data types: their ids, and what it means that they have converged.

#include <joinery/codec.hpp>
#include <joinery/replica.hpp>

#include <doctest/doctest.h>

inline constexpr joinery::replica_id id_a{0xa};
inline constexpr joinery::replica_id id_b{0xb};
inline constexpr joinery::replica_id id_c{0xc};

/// Equal states, with equal digests, that survive being saved and restored, as full states and through answers.
template <class T, class... More> void check_converged(const joinery::replica<T>& first, const More&... more) {
    const auto& s = first.state();
    auto check = [&](const joinery::replica<T>& other) {
        CHECK(other.state() == s);
        CHECK(other.state().context() == s.context());
        CHECK(other.state().digest() == s.digest());
    };
    (check(more), ...);
    auto saved = joinery::encode(s);
    auto restored = joinery::decode<joinery::causal<T>>(saved);
    REQUIRE(restored);
    CHECK(*restored == s);
    CHECK(joinery::encode(*restored) == saved);
    joinery::causal<T> fresh;
    fresh.join(first.delta_since({}));
    CHECK(fresh == s);
}
template <class T> void check_converged(const joinery::replica<T>& first) { check_converged<T>(first, first); }

/// Runs an edit that fails at its end, and checks that nothing has changed.
template <class T, class F> void check_undone(joinery::replica<T>& r, F&& f) {
    struct changed_my_mind {};
    auto before = joinery::encode(r.state());
    auto value = r.state();
    auto clock = r.clock().latest();
    auto failing = [&](T& t, joinery::transaction& tx) {
        f(t, tx);
        throw changed_my_mind();
    };
    CHECK_THROWS_AS(r.edit(failing), changed_my_mind);
    CHECK(r.state() == value);
    CHECK(joinery::encode(r.state()) == before);
    CHECK(r.clock().latest() == clock);
}

/// Everything joined into everything: what a network does in the end.
template <class T, class... More> void meet(joinery::replica<T>& first, More&... more) {
    (first.join(more.state()), ...);
    (more.join(first.state()), ...);
}
