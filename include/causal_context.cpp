// SPDX-License-Identifier: Apache-2.0
#include <joinery/causal_context.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <iterator>

namespace joinery {

namespace {

using range = causal_context::range;
using ranges = std::vector<range>;
using entry = causal_context::entry;

constexpr auto entry_before = [](const entry& e, replica_id r) { return e.replica < r; };

// The first range that ends at or after `seq`.
template <class It> It reaching(It first, It last, std::uint64_t seq) {
    return std::lower_bound(first, last, seq, [](const range& r, std::uint64_t s) { return r.second < s; });
}

bool covers(const ranges& rs, std::uint64_t first, std::uint64_t last) {
    auto it = reaching(rs.begin(), rs.end(), first);
    return it != rs.end() && it->first <= first && last <= it->second;
}

bool touches(const ranges& rs, std::uint64_t first, std::uint64_t last) {
    auto it = reaching(rs.begin(), rs.end(), first);
    return it != rs.end() && it->first <= last;
}

// Adds [first, last], merging what overlaps or is adjacent. True if any of it was new.
bool insert_range(ranges& rs, std::uint64_t first, std::uint64_t last) {
    if (rs.empty() || rs.back().second < first - 1) {
        rs.emplace_back(first, last);
        return true;
    }
    auto it = reaching(rs.begin(), rs.end(), first - 1); // reaches first-1: overlapping or adjacent
    if (it != rs.end() && it->first <= first && last <= it->second) return false;
    if (it == rs.end() || (last != UINT64_MAX && it->first > last + 1)) {
        rs.insert(it, {first, last});
        return true;
    }
    it->first = std::min(it->first, first);
    it->second = std::max(it->second, last);
    auto next = it + 1;
    auto end = next;
    while (end != rs.end() && (it->second == UINT64_MAX || end->first <= it->second + 1)) {
        it->second = std::max(it->second, end->second);
        ++end;
    }
    rs.erase(next, end);
    return true;
}

void erase_range(ranges& rs, std::uint64_t first, std::uint64_t last) {
    auto it = reaching(rs.begin(), rs.end(), first);
    if (it == rs.end() || it->first > last) return;
    if (it->first < first && last < it->second) { // splits one range in two
        range right{last + 1, it->second};
        it->second = first - 1;
        rs.insert(it + 1, right);
        return;
    }
    if (it->first < first) {
        it->second = first - 1;
        ++it;
    }
    auto end = it;
    while (end != rs.end() && end->second <= last) ++end;
    if (end != rs.end() && end->first <= last) end->first = last + 1;
    rs.erase(it, end);
}

ranges united(const ranges& a, const ranges& b) {
    ranges out;
    out.reserve(a.size() + b.size());
    auto i = a.begin();
    auto j = b.begin();
    while (i != a.end() || j != b.end()) {
        const range& r = j == b.end() || (i != a.end() && i->first <= j->first) ? *i++ : *j++;
        if (!out.empty() && (out.back().second == UINT64_MAX || r.first <= out.back().second + 1))
            out.back().second = std::max(out.back().second, r.second);
        else
            out.push_back(r);
    }
    return out;
}

ranges difference(const ranges& a, const ranges& b) {
    ranges out;
    auto j = b.begin();
    for (auto [first, last] : a) {
        while (j != b.end() && j->second < first) ++j;
        bool rest = true;
        for (auto k = j; k != b.end() && k->first <= last; ++k) {
            if (k->first > first) out.emplace_back(first, k->first - 1);
            if (k->second >= last) {
                rest = false;
                break;
            }
            first = k->second + 1;
            j = k;
        }
        if (rest) out.emplace_back(first, last);
    }
    return out;
}

ranges intersection(const ranges& a, const ranges& b) {
    ranges out;
    auto i = a.begin();
    auto j = b.begin();
    while (i != a.end() && j != b.end()) {
        std::uint64_t first = std::max(i->first, j->first);
        std::uint64_t last = std::min(i->second, j->second);
        if (first <= last) out.emplace_back(first, last);
        (i->second < j->second ? i : j)++;
    }
    return out;
}

} // namespace

causal_context::causal_context(const version_vector& v) {
    entries_.reserve(v.size());
    for (const auto& [r, seq] : v) entries_.push_back({r, {{1, seq}}});
}

causal_context::causal_context(std::initializer_list<dot_range> list) {
    for (const auto& r : list) add(r);
}

const causal_context::entry* causal_context::find(replica_id r) const {
    auto it = std::lower_bound(entries_.begin(), entries_.end(), r, entry_before);
    return it != entries_.end() && it->replica == r ? &*it : nullptr;
}

causal_context::entry& causal_context::slot(replica_id r) {
    auto it = std::lower_bound(entries_.begin(), entries_.end(), r, entry_before);
    if (it == entries_.end() || it->replica != r) it = entries_.insert(it, entry{r, {}});
    return *it;
}

std::span<const causal_context::range> causal_context::ranges(replica_id r) const {
    const entry* e = find(r);
    return e ? std::span<const range>(e->ranges) : std::span<const range>();
}

bool causal_context::contains(dot d) const {
    const entry* e = find(d.replica);
    return e && covers(e->ranges, d.seq, d.seq);
}

bool causal_context::contains(const dot_range& r) const {
    const entry* e = find(r.replica);
    return e && covers(e->ranges, r.first, r.last);
}

bool causal_context::contains(const causal_context& other) const {
    return std::all_of(other.entries_.begin(), other.entries_.end(), [&](const entry& o) {
        const entry* e = find(o.replica);
        return e && std::all_of(o.ranges.begin(), o.ranges.end(),
                                [&](const range& r) { return covers(e->ranges, r.first, r.second); });
    });
}

bool causal_context::intersects(const dot_range& r) const {
    const entry* e = find(r.replica);
    return e && touches(e->ranges, r.first, r.last);
}

bool causal_context::intersects(const causal_context& other) const {
    const auto& fewer = range_count() < other.range_count() ? *this : other;
    const auto& more = &fewer == this ? other : *this;
    return std::any_of(fewer.entries_.begin(), fewer.entries_.end(), [&](const entry& o) {
        const entry* e = more.find(o.replica);
        return e && std::any_of(o.ranges.begin(), o.ranges.end(),
                                [&](const range& r) { return touches(e->ranges, r.first, r.second); });
    });
}

bool causal_context::add(const dot_range& r) { return insert_range(slot(r.replica).ranges, r.first, r.last); }

bool causal_context::join(const causal_context& other) {
    bool grew = false;
    std::size_t unknown = 0; // replicas
    auto mine = entries_.begin();
    for (const auto& o : other.entries_) {
        mine = std::lower_bound(mine, entries_.end(), o.replica, entry_before);
        if (mine == entries_.end() || mine->replica != o.replica) {
            ++unknown;
        } else if (o.ranges.size() == 1) {
            grew |= insert_range(mine->ranges, o.ranges[0].first, o.ranges[0].second);
        } else {
            auto all = united(mine->ranges, o.ranges);
            grew |= all != mine->ranges;
            mine->ranges = std::move(all);
        }
    }
    if (unknown == 0) return grew;
    // From the back, so that each entry moves once.
    auto from = entries_.size();
    entries_.resize(from + unknown);
    auto to = entries_.size();
    for (auto o = other.entries_.rbegin(); unknown > 0; ++o) {
        while (from > 0 && o->replica < entries_[from - 1].replica) entries_[--to] = std::move(entries_[--from]);
        if (from > 0 && entries_[from - 1].replica == o->replica) continue;
        entries_[--to] = *o;
        --unknown;
    }
    return true;
}

void causal_context::remove(const dot_range& r) {
    auto it = std::lower_bound(entries_.begin(), entries_.end(), r.replica, entry_before);
    if (it == entries_.end() || it->replica != r.replica) return;
    erase_range(it->ranges, r.first, r.last);
    if (it->ranges.empty()) entries_.erase(it);
}

void causal_context::subtract(const causal_context& other) {
    for (const auto& o : other.entries_) {
        auto it = std::lower_bound(entries_.begin(), entries_.end(), o.replica, entry_before);
        if (it == entries_.end() || it->replica != o.replica) continue;
        it->ranges = difference(it->ranges, o.ranges);
    }
    std::erase_if(entries_, [](const entry& e) { return e.ranges.empty(); });
}

void causal_context::subtract(const version_vector& v) {
    for (auto& e : entries_)
        if (std::uint64_t seq = v[e.replica]) erase_range(e.ranges, 1, seq);
    std::erase_if(entries_, [](const entry& e) { return e.ranges.empty(); });
}

causal_context causal_context::minus(const version_vector& v) const {
    causal_context out;
    for (const auto& e : entries_) {
        std::uint64_t seq = v[e.replica];
        auto it = seq == UINT64_MAX ? e.ranges.end() : reaching(e.ranges.begin(), e.ranges.end(), seq + 1);
        if (it == e.ranges.end()) continue;
        entry rest{e.replica, std::vector<range>(it, e.ranges.end())};
        rest.ranges.front().first = std::max(rest.ranges.front().first, seq + 1);
        out.entries_.push_back(std::move(rest));
    }
    return out;
}

causal_context causal_context::minus(const causal_context& other) const {
    causal_context out = *this;
    out.subtract(other);
    return out;
}

causal_context causal_context::intersect(const causal_context& other) const {
    causal_context out;
    for (const auto& e : entries_) {
        const entry* o = other.find(e.replica);
        if (!o) continue;
        auto both = intersection(e.ranges, o->ranges);
        if (!both.empty()) out.entries_.push_back({e.replica, std::move(both)});
    }
    return out;
}

std::vector<dot_range> causal_context::intersect(const dot_range& r) const {
    std::vector<dot_range> out;
    auto rs = ranges(r.replica);
    for (auto it = reaching(rs.begin(), rs.end(), r.first); it != rs.end() && it->first <= r.last; ++it)
        out.emplace_back(r.replica, std::max(it->first, r.first), std::min(it->second, r.last));
    return out;
}

std::vector<dot_range> causal_context::missing(const dot_range& r) const {
    std::vector<dot_range> out;
    auto rs = ranges(r.replica);
    std::uint64_t next = r.first;
    for (auto it = reaching(rs.begin(), rs.end(), r.first); it != rs.end() && it->first <= r.last; ++it) {
        if (it->first > next) out.emplace_back(r.replica, next, it->first - 1);
        if (it->second >= r.last) return out;
        next = it->second + 1;
    }
    out.emplace_back(r.replica, next, r.last);
    return out;
}

version_vector causal_context::version() const {
    version_vector v;
    for (const auto& e : entries_)
        if (e.ranges.front().first == 1) v.raise(e.replica, e.ranges.front().second);
    return v;
}

std::uint64_t causal_context::contiguous(replica_id r) const {
    auto rs = ranges(r);
    return !rs.empty() && rs.front().first == 1 ? rs.front().second : 0;
}

std::uint64_t causal_context::greatest(replica_id r) const {
    auto rs = ranges(r);
    return rs.empty() ? 0 : rs.back().second;
}

bool causal_context::gapless() const {
    return std::all_of(entries_.begin(), entries_.end(),
                       [](const entry& e) { return e.ranges.size() == 1 && e.ranges[0].first == 1; });
}

std::uint64_t causal_context::count() const {
    std::uint64_t n = 0;
    for_each([&](const dot_range& r) { n += r.size(); });
    return n;
}

std::size_t causal_context::range_count() const {
    std::size_t n = 0;
    for (const auto& e : entries_) n += e.ranges.size();
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
