// SPDX-License-Identifier: Apache-2.0
#include <joinery/dot_index.hpp>

#include <limits>
#include <utility>

namespace joinery {

// The leaf in whose range the dot lies, or the end if its replica has none.
dot_index::tree::const_iterator dot_index::leaf_of(dot d) const {
    const auto& leaves = runs_->leaves;
    auto next = leaves.upper_bound(d);
    if (next == leaves.begin()) return leaves.end();
    auto at = std::prev(next);
    return at->first.replica == d.replica ? at : leaves.end();
}

dot_index::leaf::const_iterator dot_index::first_reaching(const leaf& l, std::uint64_t seq) {
    if (!l.empty() && l.back().last() < seq) return l.end(); // dots mostly come in order
    return std::lower_bound(l.begin(), l.end(), seq, [](const run& r, std::uint64_t s) { return r.last() < s; });
}

std::optional<dot_index::value> dot_index::find(dot d) const {
    if (alone(d)) return only_.number;
    std::optional<value> found;
    visit(d, [&](const dot_range&, value v) { found = v; });
    return found;
}

// Requires: the run lies within the leaf's keys. False if the leaf is full.
bool dot_index::insert_into(leaf& l, run r) {
    auto pos = l.begin() + (first_reaching(l, r.first) - l.begin());
    if (pos != l.begin()) {
        run& before = *std::prev(pos);
        if (before.number == r.number && before.last() + 1 == r.first &&
            r.length <= std::numeric_limits<std::uint32_t>::max() - before.length) {
            before.length += r.length;
            return true;
        }
    }
    if (l.size() == leaf_size) return false;
    l.insert(pos, r);
    return true;
}

// Requires: the run lies within the leaf's keys.
void dot_index::insert(tree::iterator at, run r) {
    leaf& l = at->second;
    if (insert_into(l, r)) return;
    runs_->last = nullptr;
    auto& leaves = runs_->leaves;
    // An append begins a new leaf and leaves the full one full.
    if (l.back().last() < r.first) {
        auto& next = leaves.emplace_hint(std::next(at), dot{at->first.replica, r.first}, leaf())->second;
        next.reserve(leaf_size);
        next.push_back(r);
        return;
    }
    auto half = l.begin() + static_cast<std::ptrdiff_t>(leaf_size / 2);
    auto right = leaves.emplace_hint(std::next(at), dot{at->first.replica, half->first}, leaf(half, l.end()));
    l.erase(half, l.end());
    insert(r.first < right->first.seq ? at : right, r);
}

namespace {
constexpr std::uint64_t longest = std::numeric_limits<std::uint32_t>::max();
}

// Makes the dots the single run, or adds them to its end. False if there are to be more runs.
bool dot_index::assign_alone(const dot_range& dots, value v) {
    if (runs_ || dots.size() > longest - only_.length) return false;
    if (only_.length == 0) {
        replica_ = dots.replica;
        only_ = {dots.first, 0, v};
    }
    if (replica_ != dots.replica || only_.number != v || only_.first + only_.length != dots.first) return false;
    only_.length += static_cast<std::uint32_t>(dots.size());
    return true;
}

// Takes the dots out of the single run. False if two would remain of it.
bool dot_index::erase_alone(const dot_range& dots) {
    bool keeps_head = only_.first < dots.first;
    bool keeps_tail = dots.last < only_.last();
    if (keeps_head && keeps_tail) return false;
    if (keeps_tail)
        only_ = {dots.last + 1, static_cast<std::uint32_t>(only_.last() - dots.last), only_.number};
    else
        only_.length = keeps_head ? static_cast<std::uint32_t>(dots.first - only_.first) : 0;
    return true;
}

void dot_index::assign(const dot_range& dots, value v) {
    if (assign_alone(dots, v)) return;
    if (run r = std::exchange(only_, {}); r.length > 0) plant({replica_, r.first, r.last()}, r.number);
    plant(dots, v);
}

void dot_index::plant(const dot_range& dots, value v) {
    if (!runs_) runs_ = std::make_unique<runs>();
    auto& leaves = runs_->leaves;
    if (runs_->appends_to(dots) && dots.size() <= longest &&
        insert_into(*runs_->last, {dots.first, static_cast<std::uint32_t>(dots.size()), v}))
        return;
    for (std::uint64_t first = dots.first; first <= dots.last;) {
        auto next = leaves.upper_bound({dots.replica, first});
        if (next == leaves.begin() || std::prev(next)->first.replica != dots.replica)
            next = std::next(leaves.emplace_hint(next, dot{dots.replica, 0}, leaf{}));
        std::uint64_t last = std::min(dots.last, first + longest - 1);
        const bool followed = next != leaves.end() && next->first.replica == dots.replica;
        if (followed) last = std::min(last, next->first.seq - 1);
        const auto at = std::prev(next);
        runs_->last = followed ? nullptr : &at->second;
        runs_->replica = dots.replica;
        insert(at, {first, static_cast<std::uint32_t>(last - first + 1), v});
        first = last + 1;
    }
}

void dot_index::erase(const dot_range& dots) {
    if (only_.length > 0) {
        if (!alone(dots) || erase_alone(dots)) return;
        run r = std::exchange(only_, {});
        plant({replica_, r.first, r.last()}, r.number);
    }
    if (!runs_) return;
    runs_->last = nullptr;
    auto& leaves = runs_->leaves;
    auto it = leaves.upper_bound({dots.replica, dots.first});
    if (it == leaves.begin() || std::prev(it)->first.replica != dots.replica) return;
    --it;
    const dot last_dot{dots.replica, dots.last};
    bool emptied = false;
    while (it != leaves.end() && it->first <= last_dot) {
        leaf& l = it->second;
        auto first = l.begin() + (first_reaching(l, dots.first) - l.begin());
        auto last = first;
        while (last != l.end() && last->first <= dots.last) ++last;
        if (first != last) {
            run head = *first;
            run tail = *std::prev(last);
            auto kept = first;
            bool keeps_head = head.first < dots.first;
            bool keeps_tail = tail.last() > dots.last;
            if (keeps_head) {
                head.length = static_cast<std::uint32_t>(dots.first - head.first);
                *kept++ = head;
            }
            run rest{dots.last + 1, keeps_tail ? static_cast<std::uint32_t>(tail.last() - dots.last) : 0, tail.number};
            if (keeps_tail && kept != last) {
                *kept++ = rest;
                keeps_tail = false;
            }
            l.erase(kept, last);
            if (keeps_tail) { // the middle of one run: two remain
                insert(it, rest);
                return;
            }
        }
        // An empty leaf goes: the one before takes over its keys. A small one is joined with the next, so that
        // what remains after removals stays dense.
        auto next = std::next(it);
        const bool has_next = next != leaves.end() && next->first.replica == dots.replica;
        if (l.empty() && (it->first.seq > 0 || !has_next)) {
            it = leaves.erase(it);
            emptied = true;
            continue;
        }
        if (has_next && l.size() + next->second.size() <= leaf_size / 2) {
            l.insert(l.end(), next->second.begin(), next->second.end());
            bool more = next->first <= last_dot;
            leaves.erase(next);
            if (more) continue; // the runs that came over may lie within the range
            return;
        }
        it = next;
    }
    if (!emptied) return;
    const auto head = leaves.find({dots.replica, 0});
    if (head != leaves.end() && head->second.empty()) {
        const auto next = std::next(head);
        if (next == leaves.end() || next->first.replica != dots.replica) leaves.erase(head);
    }
    if (leaves.empty()) runs_ = nullptr;
}

std::size_t dot_index::memory() const {
    if (!runs_) return 0;
    std::size_t bytes = sizeof(runs);
    for (const auto& [key, l] : runs_->leaves) bytes += 48 + sizeof(tree::value_type) + l.capacity() * sizeof(run);
    return bytes;
}

} // namespace joinery
