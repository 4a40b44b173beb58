// SPDX-License-Identifier: Apache-2.0
#pragma once

// What a list (rga_list.hpp) knows of the elements that were moved or set, which most are not: where each of them may
// stand, and what it may be.
//
// Concurrent moves leave an element several places, of which one shows and the others are hidden. A set keeps the place
// that it was made at: that lives, whoever deleted it, for as long as the set does.

#include <joinery/hash.hpp>
#include <joinery/list_fragment.hpp>
#include <joinery/rga_text.hpp>

#include <algorithm>
#include <cstddef>
#include <map>
#include <memory>
#include <set>
#include <tuple>
#include <unordered_map>
#include <utility>
#include <vector>

namespace joinery::detail {

struct dot_hasher {
    std::size_t operator()(dot d) const {
        return static_cast<std::size_t>(mixed_hash(d.replica.value() ^ mixed_hash(d.seq)));
    }
};
/// True for lists that know which elements they have by a sum.
template <class T> inline constexpr bool sums_elements = false;

/// What stands at the places that live, unless they do so for a set alone.
template <class T> class list_elements {
    using map = std::unordered_map<dot, T, dot_hasher>;

public:
    using node_type = typename map::node_type;

    std::size_t size() const { return all_.size(); }
    bool contains(dot d) const { return all_.contains(d); }
    const T& at(dot d) const { return all_.at(d); }
    auto find(dot d) const { return all_.find(d); }
    auto end() const { return all_.end(); }
    /// Of hashes of all elements; zero if nobody asks.
    std::uint64_t sum() const { return sum_; }

    /// False if something is there.
    bool emplace(dot d, T element) {
        const auto [at, is_new] = all_.emplace(d, std::move(element));
        if (is_new) sum_ += summand(at->second);
        return is_new;
    }
    void insert(node_type node) {
        if (const auto done = all_.insert(std::move(node)); done.inserted) sum_ += summand(done.position->second);
    }
    void insert_or_assign(dot d, T element) {
        erase(d);
        emplace(d, std::move(element));
    }
    node_type extract(dot d) {
        auto node = all_.extract(d);
        if (node) sum_ -= summand(node.mapped());
        return node;
    }
    void erase(dot d) { extract(d); }
    void erase(const dot_range& dots) {
        if (dots.size() > all_.size()) {
            std::erase_if(all_, [&](const auto& e) {
                if (!dots.contains(e.first)) return false;
                sum_ -= summand(e.second);
                return true;
            });
        } else {
            for (std::uint64_t seq = dots.first; seq <= dots.last; ++seq) erase(dot{dots.replica, seq});
        }
    }

    friend bool operator==(const list_elements& a, const list_elements& b) { return a.all_ == b.all_; }

private:
    map all_;
    std::uint64_t sum_ = 0;

    static std::uint64_t summand([[maybe_unused]] const T& element) {
        if constexpr (sums_elements<T>)
            return mixed_hash(hash_of(element));
        else
            return 0;
    }
};

/// The timestamp of a write at `now` that has seen one of `seen`, from however fast a clock.
inline timestamp after(timestamp seen, timestamp now) {
    return std::max(now, timestamp{seen.ticks + (seen.ticks < UINT64_MAX ? 1 : 0)});
}

/// Everything takes O(log n) for each move and set that it is about, unless it says otherwise. What was changed shows
/// in `hidden` only after `refresh`.
template <class T> class list_changes {
public:
    using elements = list_elements<T>;
    using move_map = std::map<dot, list_move>;
    using set_map = std::map<dot, list_set<T>>;

    /// By their dots: moves by the place that they made.
    const move_map& moves() const { return moves_; }
    const set_map& sets() const { return sets_; }
    bool empty() const { return moves_.empty() && sets_.empty(); }

    // ---- one element ----

    dot element_at(dot place) const {
        if (const auto m = moves_.find(place); m != moves_.end()) return m->second.element;
        return kept_.contains(place) ? first_set_at(place).element : place;
    }
    timestamp placed(dot place) const {
        if (const auto m = moves_.find(place); m != moves_.end()) return m->second.placed;
        return kept_.contains(place) ? first_set_at(place).placed : timestamp{};
    }
    bool kept(dot place) const { return kept_.contains(place); }
    template <class F> void for_each_kept(const dot_range& dots, F&& f) const {
        for (auto d = kept_.lower_bound({dots.replica, dots.first}); d != kept_.end() && dots.contains(*d); ++d) f(*d);
    }
    /// True if a set was made there that lives.
    bool set_at(dot place) const {
        const auto at = by_place_.lower_bound({place, {}});
        return at != by_place_.end() && at->first == place;
    }
    /// True if it was moved or set.
    bool changed(dot element) const {
        const auto at = by_element_.lower_bound({element, {}});
        return at != by_element_.end() && at->first == element;
    }
    /// The dots of its sets.
    std::vector<dot> sets_of(dot element) const {
        std::vector<dot> out;
        for_each(by_element_, element, [&](dot d) {
            if (sets_.contains(d)) out.push_back(d);
        });
        return out;
    }
    /// Where it may stand; the place that shows comes first.
    std::vector<dot> places(dot element, const elements& all) const {
        std::vector<dot> out;
        if (all.contains(element) && !moves_.contains(element)) out.push_back(element);
        for_each(by_element_, element, [&](dot d) {
            if (const auto s = sets_.find(d); s == sets_.end()) {
                out.push_back(d);
            } else if (const dot at = s->second.place; kept_.contains(at) && element_at(at) == element) {
                if (std::find(out.begin(), out.end(), at) == out.end()) out.push_back(at);
            }
        });
        const auto last = std::max_element(
            out.begin(), out.end(), [&](dot a, dot b) { return std::pair(placed(a), a) < std::pair(placed(b), b); });
        if (last != out.end()) std::iter_swap(out.begin(), last);
        return out;
    }
    /// Its value, when that was set, and the dot of the set, or of the place that took it along.
    struct written_value {
        timestamp written, placed;
        dot where;
        const T* value = nullptr;

        bool before(const written_value& other) const {
            return !value || std::tie(written, placed, where) < std::tie(other.written, other.placed, other.where);
        }
    };
    /// Of all sets that live, and of what was taken along, the last. Of what several places took along the same, what
    /// is at the place that shows.
    written_value value(dot element, const elements& all) const {
        written_value last;
        const auto see = [&](const written_value& v) {
            if (last.before(v)) last = v;
        };
        if (const auto e = all.find(element); e != all.end() && !moves_.contains(element))
            see({{}, {}, element, &e->second});
        for_each(by_element_, element, [&](dot d) {
            if (const auto s = sets_.find(d); s != sets_.end())
                return see({s->second.written, {}, d, &s->second.value});
            const list_move& m = moves_.at(d);
            see({m.written, m.placed, d, &all.at(d)});
        });
        return last;
    }

    // ---- changes ----

    void add(dot d, list_move m) {
        by_element_.emplace(m.element, d);
        touched_.push_back(m.element);
        moves_.insert_or_assign(d, std::move(m));
    }
    void add(dot d, list_set<T> s) {
        by_element_.emplace(s.element, d);
        by_place_.emplace(s.place, d);
        touch(s);
        sets_.insert_or_assign(d, std::move(s));
    }
    void drop_set(dot d) {
        const auto s = sets_.find(d);
        touch(s->second);
        by_element_.erase({s->second.element, d});
        by_place_.erase({s->second.place, d});
        sets_.erase(s);
    }
    /// These places are no more, nor is anything kept there.
    void drop_place(dot d) {
        hidden_.erase(d);
        if (const auto m = moves_.find(d); m != moves_.end()) {
            touched_.push_back(m->second.element);
            by_element_.erase({m->second.element, d});
            moves_.erase(m);
        }
    }
    void keep(dot place) { kept_.insert(place); }
    bool let_go(dot place) { return kept_.erase(place) > 0; }
    /// Something has become of these dots.
    void touch(const dot_range& dots) {
        const auto each = [&](const auto& index, auto&& f) {
            for (auto at = index.lower_bound({{dots.replica, dots.first}, {}});
                 at != index.end() && dots.contains(at->first); ++at)
                f(*at);
        };
        each(by_element_, [&](const auto& e) { touched_.push_back(e.first); });
        each(by_place_, [&](const auto& e) { touch(sets_.at(e.second)); });
    }
    /// Moves whose place is among these dots and no more alive go.
    void drop_dead(const dot_range& dots, const elements& all) {
        std::vector<dot> gone;
        for (auto m = moves_.lower_bound({dots.replica, dots.first}); m != moves_.end() && dots.contains(m->first); ++m)
            if (!all.contains(m->first)) gone.push_back(m->first);
        for (const dot d : gone) drop_place(d);
        for (auto h = hidden_.lower_bound({dots.replica, dots.first}); h != hidden_.end() && dots.contains(*h);)
            h = all.contains(*h) || kept_.contains(*h) ? std::next(h) : hidden_.erase(h);
    }
    /// Lets live in the order what a set keeps, and nothing else that was deleted. O(log n) for each place touched.
    void settle(rga_text& order, const elements& all, join_scope& s) {
        for (const dot place : std::exchange(unsettled_, {})) {
            if (all.contains(place)) {
                kept_.erase(place);
            } else if (set_at(place)) {
                if (order.revive(place, "x"))
                    kept_.insert(place);
                else
                    let_go_of(place);
            } else if (kept_.contains(place)) {
                let_go_of(place);
                order.kill(place, s);
            }
        }
    }
    /// Finds which places show. O((touched + hidden) log n).
    void refresh(const rga_text& order, const elements& all) {
        for (const dot element : std::exchange(touched_, {})) {
            const auto at = places(element, all);
            for (std::size_t i = 0; i < at.size(); ++i)
                i == 0 ? void(hidden_.erase(at[i])) : void(hidden_.insert(at[i]));
        }
        hidden_at_.clear();
        for (const dot d : hidden_)
            if (const auto at = order.position({d, text_bias::right})) hidden_at_.push_back(*at);
        std::sort(hidden_at_.begin(), hidden_at_.end());
    }

    // ---- hidden places ----

    const std::set<dot>& hidden() const { return hidden_; }
    std::size_t hidden_in_order() const { return hidden_at_.size(); }
    /// The position in the order of the place that shows as `pos`, and back. O(log of the hidden).
    std::size_t in_order(std::size_t pos) const {
        std::size_t before = 0;
        for (std::size_t n = hidden_at_.size(); n > 0;) { // how many of the hidden are before it
            const std::size_t half = n / 2;
            if (hidden_at_[before + half] - (before + half) <= pos) {
                before += half + 1;
                n -= half + 1;
            } else {
                n = half;
            }
        }
        return pos + before;
    }
    std::size_t shown(std::size_t in_order) const {
        const auto behind = std::lower_bound(hidden_at_.begin(), hidden_at_.end(), in_order);
        return in_order - static_cast<std::size_t>(behind - hidden_at_.begin());
    }

    /// What arrived and was written; all else follows from it.
    friend bool operator==(const list_changes& a, const list_changes& b) {
        return a.moves_ == b.moves_ && a.sets_ == b.sets_;
    }

private:
    using index = std::set<std::pair<dot, dot>>;

    move_map moves_;
    set_map sets_;
    index by_element_;                   // moves and sets
    index by_place_;                     // sets
    std::set<dot> kept_;                 // places that live for a set alone
    std::set<dot> hidden_;               // places that live, and do not show
    std::vector<std::size_t> hidden_at_; // where those stand in the order, of those that do, ascending
    std::vector<dot> touched_;           // elements of which that is to be found out
    std::vector<dot> unsettled_;         // places that may have to be kept, or let go

    const list_set<T>& first_set_at(dot place) const { return sets_.at(by_place_.lower_bound({place, {}})->second); }
    void touch(const list_set<T>& s) {
        touched_.push_back(s.element);
        unsettled_.push_back(s.place);
    }
    void let_go_of(dot place) {
        kept_.erase(place);
        hidden_.erase(place);
    }
    template <class F> static void for_each(const index& i, dot key, F&& f) {
        for (auto at = i.lower_bound({key, {}}); at != i.end() && at->first == key; ++at) f(at->second);
    }
};

/// One of these, made when it is first needed.
template <class X> class seldom {
public:
    seldom() = default;
    seldom(const seldom& other) : x_(other.x_ ? std::make_unique<X>(*other.x_) : nullptr) {}
    seldom(seldom&&) noexcept = default;
    seldom& operator=(seldom other) noexcept {
        x_ = std::move(other.x_);
        return *this;
    }
    ~seldom() = default;

    explicit operator bool() const { return x_ != nullptr; }
    X* operator->() { return x_.get(); }
    const X* operator->() const { return x_.get(); }
    const X& operator*() const { return *x_; }
    X& make() {
        if (!x_) x_ = std::make_unique<X>();
        return *x_;
    }

private:
    std::unique_ptr<X> x_;
};

} // namespace joinery::detail
