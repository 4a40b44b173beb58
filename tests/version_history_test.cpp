// SPDX-License-Identifier: Apache-2.0
#include "../sync/version_history.hpp"

#include <doctest/doctest.h>

using namespace joinery;
using namespace std::chrono_literals;

namespace {
const replica_id a{0xa}, b{0xb};
}

TEST_CASE("version_history: says since when the oldest missing dot has been there") {
    version_history h;
    CHECK_FALSE(h.lacking_since({}));
    h.reached(100ms, {{a, 1}});
    h.reached(200ms, {{a, 1}, {b, 5}});
    h.reached(300ms, {{a, 2}, {b, 5}});
    CHECK(h.lacking_since({}) == 100ms);
    CHECK(h.lacking_since({{b, 5}}) == 100ms);
    CHECK(h.lacking_since({{a, 1}}) == 200ms);
    CHECK(h.lacking_since({{a, 1}, {b, 4}}) == 200ms);
    CHECK(h.lacking_since({{a, 1}, {b, 9}}) == 300ms);
    CHECK_FALSE(h.lacking_since({{a, 2}, {b, 5}}));
}

TEST_CASE("version_history: what is told of a long past is at most a third too long") {
    version_history h;
    std::chrono::milliseconds now{0};
    for (std::uint64_t i = 1; i <= 200'000; ++i) {
        now += 10ms;
        h.reached(now, {{a, i}});
    }
    for (std::uint64_t behind = 1; behind < 200'000; behind += 1 + behind / 10) {
        const auto exact = 10ms * (behind - 1);
        const auto since = h.lacking_since({{a, 200'000 - behind}});
        REQUIRE(since);
        CHECK(now - *since >= exact);
        CHECK(now - *since <= exact + exact / 3 + 10ms);
    }
}
