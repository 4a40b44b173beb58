// SPDX-License-Identifier: Apache-2.0
#pragma once

// The kit under RapidCheck: histories as a generator that shrinks by leaving actions out, and a check that
// runs under RapidCheck's seed, number of cases and size (RC_PARAMS).
//
//     TEST_CASE("poll: converges") { CHECK(joinery::testing::rapid_check(polls())); }

#include <joinery/convergence.hpp>

#include <rapidcheck.h>

#include <ostream>
#include <string>
#include <utility>
#include <vector>

namespace joinery::testing {

inline std::ostream& operator<<(std::ostream& out, const history& h) {
    return out << h.actions.size() << " actions of " << h.replicas << " replicas";
}

/// Histories of a shape; those of small size have few steps.
inline rc::Gen<history> histories(history_shape shape = {}) {
    auto any = rc::gen::withSize([shape](int size) {
        history_shape now = shape;
        std::uint32_t more = shape.most_steps - shape.least_steps;
        now.most_steps = shape.least_steps + more * static_cast<std::uint32_t>(std::min(size, 100)) / 100;
        return rc::gen::map(rc::gen::resize(100, rc::gen::arbitrary<std::uint64_t>()),
                            [now](std::uint64_t seed) { return random_history(seed, now); });
    });
    return rc::gen::shrink(rc::gen::noShrink(std::move(any)), [](const history& h) {
        return rc::seq::map(rc::shrink::removeChunks(h.actions), [h](std::vector<action>&& actions) {
            history smaller = h;
            smaller.actions = std::move(actions);
            return smaller;
        });
    });
}

/// All laws and the specification, on histories that RapidCheck makes. True if they hold.
template <crdt T, class E> bool rapid_check(const subject<T, E>& s, const history_shape& shape = {}) {
    return rc::check(s.name() + " converges", [&] {
        history h = *histories(shape);
        std::vector<std::string> story;
        auto found = run(s, h, &story);
        if (found) {
            std::string text = found->law + ", but: " + found->what;
            for (const auto& line : story) text += "\n  " + line;
            RC_FAIL(text);
        }
        RC_CLASSIFY(h.stale > 0, "stale peers");
        RC_CLASSIFY(h.actions.size() > 20, "more than 20 actions");
    });
}

} // namespace joinery::testing
