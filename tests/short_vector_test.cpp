// SPDX-License-Identifier: Apache-2.0
#include <joinery/short_vector.hpp>

#include <doctest/doctest.h>

#include <random>
#include <string>
#include <utility>
#include <vector>

using joinery::short_vector;

namespace {
template <class T> using some = short_vector<T, 3>;
using numbers = some<int>;

template <class T> T value(unsigned n);
template <> int value(unsigned n) { return static_cast<int>(n); }
template <> std::string value(unsigned n) { return std::string(40, static_cast<char>(n)); } // on the heap

template <class T> bool same(const some<T>& a, const std::vector<T>& b) {
    return a.size() == b.size() && a.empty() == b.empty() && a.capacity() >= a.size() &&
           std::equal(a.begin(), a.end(), b.begin(), b.end());
}
bool inside(const numbers& a) {
    const auto* at = reinterpret_cast<const char*>(a.data());
    const auto* self = reinterpret_cast<const char*>(&a);
    return self <= at && at < self + sizeof a;
}
} // namespace

TEST_CASE_TEMPLATE("short_vector: does what a vector does", T, int, std::string) {
    for (unsigned seed = 1; seed <= 20; ++seed) {
        std::mt19937 random(seed);
        some<T> a;
        std::vector<T> b;
        for (int step = 0; step < 400; ++step) {
            const auto i = static_cast<std::ptrdiff_t>(random() % (b.size() + 1));
            const auto j = i + static_cast<std::ptrdiff_t>(random() % (b.size() + 1 - static_cast<std::size_t>(i)));
            const T x = value<T>(random() % 100);
            const std::vector<T> more(random() % 4, x);
            const T* at = nullptr;
            switch (random() % 12) {
            case 0:
            case 1:
                a.push_back(x);
                b.push_back(x);
                break;
            case 2:
                at = a.insert(a.begin() + i, x);
                CHECK(at == a.begin() + i);
                b.insert(b.begin() + i, x);
                break;
            case 3:
                a.insert(a.begin() + i, more.data(), more.data() + more.size());
                b.insert(b.begin() + i, more.begin(), more.end());
                break;
            case 4:
                at = a.erase(a.begin() + i, a.begin() + j);
                CHECK(at == a.begin() + i);
                b.erase(b.begin() + i, b.begin() + j);
                break;
            case 5:
                if (b.empty()) break;
                a.push_back(a.front()); // its own element
                b.push_back(b.front());
                break;
            case 6:
                if (i == j) break;
                a.erase(a.begin() + i);
                b.erase(b.begin() + i);
                break;
            case 7:
                if (random() % 20 != 0) break;
                a.clear();
                b.clear();
                break;
            case 8: a.reserve(random() % 16); break;
            case 9:
                CHECK(erase_if(a, [&](const T& e) { return e < x; }) ==
                      std::erase_if(b, [&](const T& e) { return e < x; }));
                break;
            case 10:
                a = some<T>(a);
                a.emplace_back(x);
                b.push_back(x);
                break;
            case 11: {
                some<T> other = std::move(a);
                CHECK(a.empty()); // NOLINT(bugprone-use-after-move): it says what is left
                a = std::move(other);
                break;
            }
            }
            REQUIRE(same(a, b));
            if (!b.empty()) REQUIRE((a.front() == b.front() && a.back() == b.back()));
        }
    }
}

TEST_CASE("short_vector: copies share nothing, and what is moved from is empty") {
    for (const std::vector<int>& values : {std::vector<int>{}, {1}, {1, 2, 3}, {1, 2, 3, 4, 5}}) {
        numbers a;
        for (int x : values) a.push_back(x);
        CHECK(inside(a) == (values.size() <= 3));
        numbers copy = a;
        CHECK(copy == a);
        numbers moved = std::move(copy);
        CHECK(moved == a);
        CHECK(copy.empty()); // NOLINT(bugprone-use-after-move): it says what is left
        copy.push_back(7);
        CHECK(same(copy, {7}));
        for (const std::vector<int>& others : {std::vector<int>{}, {9}, {9, 8, 7, 6}}) {
            numbers target;
            for (int x : others) target.push_back(x);
            target = a;
            CHECK(same(target, values));
            target = std::as_const(target);
            CHECK(same(target, values));
            numbers source = a;
            target = std::move(source);
            CHECK(same(target, values));
            target.push_back(5);
            CHECK(same(a, values));
        }
    }
    CHECK(numbers{1, 2} == numbers{1, 2});
    CHECK_FALSE(numbers{1, 2} == numbers{1, 2, 3});
}
