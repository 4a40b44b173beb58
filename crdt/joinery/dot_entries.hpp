// SPDX-License-Identifier: Apache-2.0
#pragma once

// Payloads by dot: the fragment of every type whose live entries are independent of each other.

#include <joinery/codec.hpp>
#include <joinery/dot.hpp>

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
    std::vector<dot_entry<P>> items_;
};

// ---- implementation ----

// Runs of consecutive dots: the number of runs, then each run's range and its payloads.
template <class P> template <class Archive> void dot_entries<P>::save(Archive& ar) const {
    if constexpr (is_compact_archive_v<Archive>) {
        auto run_end = [&](std::size_t i) {
            std::size_t j = i + 1;
            while (j < items_.size() && items_[j].where.replica == items_[i].where.replica &&
                   items_[j].where.seq == items_[j - 1].where.seq + 1)
                ++j;
            return j;
        };
        std::size_t runs = 0;
        for (std::size_t i = 0; i < items_.size(); i = run_end(i)) ++runs;
        ar.varint(runs);
        for (std::size_t i = 0, j = 0; i < items_.size(); i = j) {
            j = run_end(i);
            ar.write(dot_range{items_[i].where.replica, items_[i].where.seq, items_[j - 1].where.seq});
            for (std::size_t k = i; k < j; ++k) ar(items_[k].value);
        }
    } else {
        ar(cereal::make_nvp("entries", items_));
    }
}

template <class P> template <class Archive> void dot_entries<P>::load(Archive& ar) {
    items_.clear();
    if constexpr (is_compact_archive_v<Archive>) {
        for (std::size_t runs = ar.count(); runs > 0; --runs) {
            bool first_part = true;
            for (const auto& part : ar.read_ranges()) {
                // Elements without bytes would make a long run out of nothing.
                if (part.size() > ar.remaining()) ar.fail(decode_error::truncated);
                if (!ar.renaming() && first_part && !items_.empty()) {
                    dot last = items_.back().where;
                    if (dot{part.replica, part.first} <= dot{last.replica, last.seq + 1})
                        ar.fail(decode_error::non_canonical);
                }
                first_part = false;
                ar.charge(part.size() * sizeof(dot_entry<P>));
                if (items_.empty()) items_.reserve(static_cast<std::size_t>(part.size()));
                for (std::uint64_t seq = part.first; seq <= part.last; ++seq) {
                    auto& e = items_.emplace_back();
                    e.where = {part.replica, seq};
                    ar(e.value);
                }
            }
        }
        if (ar.renaming()) sort();
    } else {
        ar(cereal::make_nvp("entries", items_));
        for (std::size_t i = 0; i < items_.size(); ++i)
            if (items_[i].where.seq == 0 || (i > 0 && items_[i].where <= items_[i - 1].where))
                throw decode_failure(decode_error::non_canonical);
    }
}

} // namespace joinery
