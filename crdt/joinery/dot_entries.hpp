// SPDX-License-Identifier: Apache-2.0
#pragma once

// Payloads by dot: the fragment of every type whose live entries are independent of each other.

#include <joinery/codec.hpp>
#include <joinery/dot.hpp>
#include <joinery/short_vector.hpp>

#include <algorithm>
#include <vector>

namespace joinery {

template <class P> struct dot_entry {
    dot where;
    P value{};

    friend bool operator==(const dot_entry&, const dot_entry&) = default;
    template <class Archive> void serialize(Archive& ar) {
        ar(cereal::make_nvp("dot", where), cereal::make_nvp("value", value));
    }
};

/// Sorted by dot, each dot once.
template <class P> class dot_entries {
public:
    bool empty() const { return items_.empty(); }
    std::size_t size() const { return items_.size(); }
    auto begin() const { return items_.begin(); }
    auto end() const { return items_.end(); }

    /// Requires: `d` is greater than all dots here.
    void push_back(dot d, P value) { items_.push_back({d, std::move(value)}); }
    void reserve(std::size_t n) { items_.reserve(n); }
    /// Restores the order after push_backs in any order.
    void sort() {
        std::sort(items_.begin(), items_.end(), [](const auto& a, const auto& b) { return a.where < b.where; });
    }

    bool contains(dot d) const {
        auto it = std::lower_bound(items_.begin(), items_.end(), d,
                                   [](const dot_entry<P>& e, dot at) { return e.where < at; });
        return it != items_.end() && it->where == d;
    }

    friend bool operator==(const dot_entries&, const dot_entries&) = default;

    template <class Archive> void save(Archive& ar) const;
    template <class Archive> void load(Archive& ar);

private:
    short_vector<dot_entry<P>, 1> items_; // one is what most edits write
};

// ---- implementation ----

namespace detail {
/// How payloads are written. `each` calls what it is given with each (dot_range, payload of every dot in it), in order,
/// and is called twice. The number of runs of consecutive dots comes first, then the range of each, and then all
/// payloads, so that a reader knows how many there are before it allocates.
template <class Each> void write_entries(compact_output_archive& ar, Each&& each) {
    short_vector<dot_range, 2> runs;
    each([&](const dot_range& dots, const auto&) {
        if (!runs.empty() && runs.back().replica == dots.replica && runs.back().last + 1 == dots.first)
            runs.back().last = dots.last;
        else
            runs.push_back(dots);
    });
    ar.varint(runs.size());
    for (const auto& r : runs) ar.write(r);
    each([&](const dot_range& dots, const auto& payload) {
        for (std::uint64_t n = dots.size(); n > 0; --n) write_element(ar, payload);
    });
}
} // namespace detail

template <class P> template <class Archive> void dot_entries<P>::save(Archive& ar) const {
    if constexpr (is_compact_archive_v<Archive>) {
        detail::write_entries(ar, [&](auto&& f) {
            for (const auto& e : items_) f(dot_range(e.where), e.value);
        });
    } else {
        const std::vector<dot_entry<P>> all(items_.begin(), items_.end());
        ar(cereal::make_nvp("entries", all));
    }
}

template <class P> template <class Archive> void dot_entries<P>::load(Archive& ar) {
    items_.clear();
    if constexpr (is_compact_archive_v<Archive>) {
        short_vector<dot_range, 2> runs;
        std::size_t n = ar.count();
        ar.charge(n * sizeof(dot_range));
        runs.reserve(n);
        std::uint64_t total = 0;
        for (; n > 0; --n) {
            auto parts = ar.read_ranges();
            const dot_range& next = parts.front();
            if (!ar.renaming() && !runs.empty() && runs.back().replica >= next.replica &&
                !(runs.back().replica == next.replica && runs.back().last + 1 < next.first))
                ar.fail(decode_error::non_canonical);
            for (const auto& r : parts) {
                runs.push_back(r);
                if (r.size() > ar.remaining() - std::min<std::uint64_t>(total, ar.remaining()))
                    ar.fail(decode_error::truncated); // every payload takes a byte
                total += r.size();
            }
        }
        ar.charge(total * (sizeof(dot_entry<P>) + 20)); // and what a set keeps of a dot
        items_.reserve(static_cast<std::size_t>(total));
        for (const auto& r : runs) {
            for (std::uint64_t seq = r.first; seq <= r.last; ++seq) {
                auto& e = items_.emplace_back();
                e.where = {r.replica, seq};
                read_element(ar, e.value);
            }
        }
        if (ar.renaming()) { // it moves entries to another replica, but never makes two of one
            sort();
            const auto same = [](const auto& a, const auto& b) { return a.where == b.where; };
            if (std::adjacent_find(items_.begin(), items_.end(), same) != items_.end())
                ar.fail(decode_error::non_canonical);
        }
    } else {
        std::vector<dot_entry<P>> all;
        ar(cereal::make_nvp("entries", all));
        items_.reserve(all.size());
        for (auto& e : all) items_.push_back(std::move(e));
        for (std::size_t i = 0; i < items_.size(); ++i)
            if (items_[i].where.seq == 0 || (i > 0 && items_[i].where <= items_[i - 1].where))
                throw decode_failure(decode_error::non_canonical);
    }
}

} // namespace joinery
