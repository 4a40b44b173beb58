// SPDX-License-Identifier: Apache-2.0
#include <joinery/causal_context.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <iterator>

namespace joinery {

namespace {

using list = short_vector<dot_range, 1>;

constexpr std::size_t few = 8; // ranges that are added or removed one by one rather than all in one pass

constexpr auto ends_before = [](const dot_range& r, dot d) { return dot{r.replica, r.last} < d; };

// The first range that ends at or after `d`.
template <class It> It reaching(It first, It last, dot d) { return std::lower_bound(first, last, d, ends_before); }

// The same where it is near `first`: O(log distance).
template <class It> It reaching_soon(It first, It last, dot d) {
    std::ptrdiff_t step = 1;
    while (step < last - first && ends_before(first[step - 1], d)) {
        first += step;
        step *= 2;
    }
    return reaching(first, first + std::min(step, last - first), d);
}

// The first range of a later replica.
template <class It> It behind(It first, It last, replica_id r) {
    return std::upper_bound(first, last, r, [](replica_id x, const dot_range& y) { return x < y.replica; });
}

dot first_of(const dot_range& r) { return {r.replica, r.first}; }
dot last_of(const dot_range& r) { return {r.replica, r.last}; }

// True if nothing lies between the end of `a` and `b`, which does not begin before `a`.
bool continues(const dot_range& a, const dot_range& b) {
    return a.replica == b.replica && (a.last == UINT64_MAX || b.first <= a.last + 1);
}

void append(list& to, const dot_range& r) {
    if (!to.empty() && continues(to.back(), r))
        to.back().last = std::max(to.back().last, r.last);
    else
        to.push_back(r);
}

list united(const list& a, const list& b) {
    list out;
    out.reserve(a.size() + b.size());
    const auto *i = a.begin(), *j = b.begin();
    while (i != a.end() || j != b.end())
        append(out, j == b.end() || (i != a.end() && first_of(*i) <= first_of(*j)) ? *i++ : *j++);
    return out;
}

list difference(const list& a, const list& b) {
    list out;
    const auto* j = b.begin();
    for (dot_range rest : a) {
        j = reaching_soon(j, b.end(), first_of(rest));
        bool ended = false;
        for (const auto* k = j; !ended && k != b.end() && first_of(*k) <= last_of(rest); ++k) {
            if (k->first > rest.first) out.push_back({rest.replica, rest.first, k->first - 1});
            ended = k->last >= rest.last;
            if (!ended) rest.first = k->last + 1;
        }
        if (!ended) out.push_back(rest);
    }
    return out;
}

} // namespace

causal_context::causal_context(const version_vector& v) {
    ranges_.reserve(v.size());
    for (const auto& [r, seq] : v) ranges_.push_back({r, 1, seq});
}

causal_context::causal_context(std::initializer_list<dot_range> list) {
    for (const auto& r : list) add(r);
}

std::span<const dot_range> causal_context::ranges(replica_id r) const {
    const auto* first = reaching(ranges_.begin(), ranges_.end(), dot{r, 0});
    return {first, behind(first, ranges_.end(), r)};
}

bool causal_context::contains(dot d) const { return contains(dot_range(d)); }

bool causal_context::finds(const dot_range& r) const {
    const auto* it = reaching(ranges_.begin(), ranges_.end(), first_of(r));
    return it != ranges_.end() && first_of(*it) <= first_of(r) && r.last <= it->last;
}

bool causal_context::contains(const causal_context& other) const {
    const auto* it = ranges_.begin();
    return std::all_of(other.ranges_.begin(), other.ranges_.end(), [&](const dot_range& r) {
        it = reaching_soon(it, ranges_.end(), first_of(r));
        return it != ranges_.end() && first_of(*it) <= first_of(r) && r.last <= it->last;
    });
}

bool causal_context::nothing_from(const dot_range& r) const {
    const auto* it = reaching(ranges_.begin(), ranges_.end(), first_of(r));
    return it == ranges_.end() || it->replica != r.replica;
}

bool causal_context::intersects(const dot_range& r) const {
    const auto* it = reaching(ranges_.begin(), ranges_.end(), first_of(r));
    return it != ranges_.end() && first_of(*it) <= last_of(r);
}

bool causal_context::intersects(const causal_context& other) const {
    const auto& fewer = ranges_.size() < other.ranges_.size() ? *this : other;
    const auto& more = &fewer == this ? other : *this;
    const auto* it = more.ranges_.begin();
    return std::any_of(fewer.ranges_.begin(), fewer.ranges_.end(), [&](const dot_range& r) {
        it = reaching_soon(it, more.ranges_.end(), first_of(r));
        return it != more.ranges_.end() && first_of(*it) <= last_of(r);
    });
}

bool causal_context::insert(const dot_range& r) {
    auto* it = reaching(ranges_.begin(), ranges_.end(), dot{r.replica, r.first - 1}); // overlapping or adjacent
    if (it == ranges_.end() || !continues(r, *it)) {
        ranges_.insert(it, r);
        return true;
    }
    if (it->last == r.first - 1 && (it + 1 == ranges_.end() || !continues(r, it[1]))) { // what follows is added mostly
        it->last = r.last;
        return true;
    }
    if (it->first <= r.first && r.last <= it->last) return false;
    it->first = std::min(it->first, r.first);
    it->last = std::max(it->last, r.last);
    auto* next = it + 1;
    for (; next != ranges_.end() && continues(*it, *next); ++next) it->last = std::max(it->last, next->last);
    ranges_.erase(it + 1, next);
    return true;
}

bool causal_context::join(const causal_context& other) {
    if (other.ranges_.size() <= few) {
        bool grew = false;
        for (const auto& r : other.ranges_) grew |= add(r);
        return grew;
    }
    if (contains(other)) return false;
    ranges_ = united(ranges_, other.ranges_);
    return true;
}

void causal_context::remove(const dot_range& r) {
    auto* it = reaching(ranges_.begin(), ranges_.end(), first_of(r));
    if (it == ranges_.end() || last_of(r) < first_of(*it)) return;
    if (it->first < r.first) {
        const dot_range right{r.replica, r.last + 1, it->last};
        const bool splits = r.last < it->last;
        it->last = r.first - 1;
        ++it;
        if (splits) {
            ranges_.insert(it, right);
            return;
        }
    }
    auto* end = it;
    while (end != ranges_.end() && last_of(*end) <= last_of(r)) ++end;
    if (end != ranges_.end() && first_of(*end) <= last_of(r)) end->first = r.last + 1;
    ranges_.erase(it, end);
    if (ranges_.capacity() > few * (ranges_.size() + few)) ranges_ = list(ranges_); // what a burst took
}

void causal_context::subtract(const causal_context& other) {
    if (other.ranges_.size() > few)
        ranges_ = difference(ranges_, other.ranges_);
    else
        for (const auto& r : other.ranges_) remove(r);
}

void causal_context::subtract(const version_vector& v) { *this = minus(v); }

causal_context causal_context::minus(const version_vector& v) const {
    causal_context out;
    for (const auto* it = ranges_.begin(); it != ranges_.end();) {
        const std::uint64_t seq = v[it->replica];
        const auto* end = behind(it, ranges_.end(), it->replica);
        const auto* rest = seq == UINT64_MAX ? end : reaching(it, end, dot{it->replica, seq + 1});
        auto* first = out.ranges_.insert(out.ranges_.end(), rest, end);
        if (rest != end) first->first = std::max(first->first, seq + 1);
        it = end;
    }
    return out;
}

causal_context causal_context::minus(const causal_context& other) const {
    causal_context out;
    out.ranges_ = difference(ranges_, other.ranges_);
    return out;
}

causal_context causal_context::intersect(const causal_context& other) const {
    const auto& fewer = ranges_.size() < other.ranges_.size() ? *this : other;
    const auto& more = &fewer == this ? other : *this;
    causal_context out;
    const auto* it = more.ranges_.begin();
    for (const auto& r : fewer.ranges_) {
        it = reaching_soon(it, more.ranges_.end(), first_of(r));
        for (const auto* k = it; k != more.ranges_.end() && first_of(*k) <= last_of(r); ++k)
            out.ranges_.push_back({r.replica, std::max(k->first, r.first), std::min(k->last, r.last)});
    }
    return out;
}

std::vector<dot_range> causal_context::intersect(const dot_range& r) const {
    std::vector<dot_range> out;
    const auto* it = reaching(ranges_.begin(), ranges_.end(), first_of(r));
    for (; it != ranges_.end() && first_of(*it) <= last_of(r); ++it)
        out.emplace_back(r.replica, std::max(it->first, r.first), std::min(it->last, r.last));
    return out;
}

std::vector<dot_range> causal_context::missing(const dot_range& r) const {
    std::vector<dot_range> out;
    std::uint64_t next = r.first;
    const auto* it = reaching(ranges_.begin(), ranges_.end(), first_of(r));
    for (; it != ranges_.end() && first_of(*it) <= last_of(r); ++it) {
        if (it->first > next) out.emplace_back(r.replica, next, it->first - 1);
        if (it->last >= r.last) return out;
        next = it->last + 1;
    }
    out.emplace_back(r.replica, next, r.last);
    return out;
}

version_vector causal_context::version() const {
    version_vector v;
    for (const auto* it = ranges_.begin(); it != ranges_.end(); it = behind(it, ranges_.end(), it->replica))
        if (it->first == 1) v.raise(it->replica, it->last);
    return v;
}

std::uint64_t causal_context::contiguous(replica_id r) const {
    const auto* it = reaching(ranges_.begin(), ranges_.end(), dot{r, 1});
    return it != ranges_.end() && it->replica == r && it->first == 1 ? it->last : 0;
}

std::uint64_t causal_context::search_greatest(replica_id r) const {
    const auto* it = behind(ranges_.begin(), ranges_.end(), r);
    return it != ranges_.begin() && it[-1].replica == r ? it[-1].last : 0;
}

bool causal_context::gapless() const {
    return std::all_of(ranges_.begin(), ranges_.end(), [](const dot_range& r) { return r.first == 1; });
}

std::uint64_t causal_context::count() const {
    std::uint64_t n = 0;
    for (const auto& r : ranges_) n += r.size();
    return n;
}

std::string to_string(const causal_context& c) {
    std::string out = "{";
    c.for_each([&](const dot_range& r) {
        auto end = std::back_inserter(out);
        fmt::format_to(end, "{}{:x}:{}", out.size() > 1 ? " " : "", r.replica.value(), r.first);
        if (r.last != r.first) fmt::format_to(end, "-{}", r.last);
    });
    return out + "}";
}

} // namespace joinery
