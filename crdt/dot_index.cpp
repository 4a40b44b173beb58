// SPDX-License-Identifier: Apache-2.0
#include <joinery/dot_index.hpp>

#include <limits>
#include <utility>

namespace joinery {

namespace {
constexpr auto by_replica = [](const auto& e, replica_id r) { return e.first < r; };
}

const dot_index::tree* dot_index::find_tree(replica_id r) const {
    auto it = std::lower_bound(replicas_.begin(), replicas_.end(), r, by_replica);
    return it != replicas_.end() && it->first == r ? &it->second : nullptr;
}

dot_index::leaf::const_iterator dot_index::first_reaching(const leaf& l, std::uint64_t seq) {
    return std::lower_bound(l.begin(), l.end(), seq, [](const run& r, std::uint64_t s) { return r.last() < s; });
}

std::optional<dot_index::value> dot_index::find(dot d) const {
    if (alone(d)) return only_.number;
    const tree* t = find_tree(d.replica);
    if (!t) return std::nullopt;
    const leaf& l = std::prev(t->upper_bound(d.seq))->second;
    auto it = first_reaching(l, d.seq);
    return it != l.end() && it->first <= d.seq ? std::optional<value>(it->number) : std::nullopt;
}

// Requires: the run lies within the leaf's keys.
void dot_index::insert(tree& t, tree::iterator at, run r) {
    leaf& l = at->second;
    auto pos = l.begin() + (first_reaching(l, r.first) - l.begin());
    if (pos != l.begin()) {
        run& before = *std::prev(pos);
        if (before.number == r.number && before.last() + 1 == r.first &&
            r.length <= std::numeric_limits<std::uint32_t>::max() - before.length) {
            before.length += r.length;
            return;
        }
    }
    if (l.size() < leaf_size) {
        l.insert(pos, r);
        return;
    }
    // A full leaf: dots mostly come in order, so an append begins a new leaf and leaves this one full.
    if (pos == l.end()) {
        t.emplace_hint(std::next(at), r.first, leaf{r});
        return;
    }
    auto half = l.begin() + static_cast<std::ptrdiff_t>(leaf_size / 2);
    auto right = t.emplace_hint(std::next(at), half->first, leaf(half, l.end()));
    l.erase(half, l.end());
    insert(t, r.first < right->first ? at : right, r);
}

namespace {
constexpr std::uint64_t longest = std::numeric_limits<std::uint32_t>::max();
}

// Makes the dots the single run, or adds them to its end. False if there are to be more runs.
bool dot_index::assign_alone(const dot_range& dots, value v) {
    if (!replicas_.empty() || dots.size() > longest - only_.length) return false;
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
    auto it = std::lower_bound(replicas_.begin(), replicas_.end(), dots.replica, by_replica);
    if (it == replicas_.end() || it->first != dots.replica)
        it = replicas_.insert(it, {dots.replica, tree{{0, leaf{}}}});
    tree& t = it->second;
    for (std::uint64_t first = dots.first; first <= dots.last;) {
        auto next = t.upper_bound(first);
        std::uint64_t last = std::min(dots.last, first + longest - 1);
        if (next != t.end()) last = std::min(last, next->first - 1);
        insert(t, std::prev(next), {first, static_cast<std::uint32_t>(last - first + 1), v});
        first = last + 1;
    }
}

void dot_index::erase(const dot_range& dots) {
    if (only_.length > 0) {
        if (!alone(dots) || erase_alone(dots)) return;
        run r = std::exchange(only_, {});
        plant({replica_, r.first, r.last()}, r.number);
    }
    auto at = std::lower_bound(replicas_.begin(), replicas_.end(), dots.replica, by_replica);
    if (at == replicas_.end() || at->first != dots.replica) return;
    tree& t = at->second;
    auto it = std::prev(t.upper_bound(dots.first));
    while (it != t.end() && it->first <= dots.last) {
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
                insert(t, it, rest);
                return;
            }
        }
        // An empty leaf goes: the one before takes over its keys. A small one is joined with the next, so that
        // what remains after removals stays dense.
        auto next = std::next(it);
        if (l.empty() && it != t.begin()) {
            it = t.erase(it);
            continue;
        }
        if (next != t.end() && l.size() + next->second.size() <= leaf_size / 2) {
            l.insert(l.end(), next->second.begin(), next->second.end());
            bool more = next->first <= dots.last;
            t.erase(next);
            if (more) continue; // the runs that came over may lie within the range
            return;
        }
        it = next;
    }
    if (t.size() == 1 && t.begin()->second.empty()) replicas_.erase(at);
}

std::size_t dot_index::memory() const {
    std::size_t bytes = replicas_.capacity() * sizeof(replicas_[0]);
    for (const auto& [r, t] : replicas_)
        for (const auto& [key, l] : t)
            bytes += 48 + sizeof(std::pair<std::uint64_t, leaf>) + l.capacity() * sizeof(run);
    return bytes;
}

} // namespace joinery
