// SPDX-License-Identifier: Apache-2.0
#include "text_tree.hpp"

#include <algorithm>
#include <utility>
#include <vector>

// How the nodes of a text_tree come and go.

namespace joinery::detail {

std::uint32_t text_tree::slot(std::uint32_t parent, std::uint32_t child) const {
    const inner& n = inners_[parent];
    return static_cast<std::uint32_t>(std::find(n.child, n.child + n.count, child) - n.child);
}

// Cuts a leaf with too many spans in two, and returns where `kept` is then.
text_tree::place text_tree::split(std::uint32_t id, place kept, const text_log& log) {
    settle();
    const std::uint32_t other = leaves_.add();
    leaf& l = leaves_[id];
    leaf& r = leaves_[other];
    const auto n = static_cast<std::uint32_t>(l.spans.size());
    const bool grows_at_end = id == last_leaf_ && kept.span + 2 >= n;
    const std::uint32_t half = grows_at_end ? n - std::max(n / 8, 1u) : n / 2;
    r.spans.reserve(leaf_spans + 2);
    r.spans.insert(r.spans.end(), l.spans.begin() + half, l.spans.end());
    l.spans.erase(l.spans.begin() + half, l.spans.end());
    for (const span& s : r.spans) {
        r.sum += measure(s, log);
        if (findable_) index_.assign(s.first, s.count(), other, log.size());
    }
    l.sum -= r.sum;
    l.least = least_of(l, log);
    r.least = least_of(r, log);
    r.before = id;
    r.after = std::exchange(l.after, other);
    (r.after == none ? last_leaf_ : leaves_[r.after].before) = other;
    add_child(id, other, true, r.sum, l.least, r.least, log);
    recent_.leaf = none;
    if (cursor_.leaf == id && cursor_.span >= half)
        cursor_ = {other, cursor_.span - half, cursor_.start, cursor_.leaf_start + l.sum.points};
    if (kept.span >= half) kept = {other, kept.span - half, kept.offset};
    return kept;
}

void text_tree::append(lv first, std::uint32_t n, bool live, const text_measure& m, const text_log& log) {
    constexpr std::size_t full = leaf_spans - leaf_spans / 8; // leaves room for what is typed
    const auto length = static_cast<std::int32_t>(n);
    const span s{first, live ? length : -length};
    total_ += m;
    if (last_leaf_ != none) {
        leaf& l = leaves_[last_leaf_];
        const bool goes_on = connected(l.spans.back(), s, log);
        if (goes_on || l.spans.size() < full) {
            l.sum += m;
            if (goes_on) {
                l.spans.back().length += s.length;
                return;
            }
            l.spans.push_back(s);
            if (log.less(first, l.least)) l.least = first;
            return;
        }
    }
    const std::uint32_t id = leaves_.add();
    leaf& l = leaves_[id];
    if (last_leaf_ != none) l.spans.reserve(leaf_spans + 2);
    l.spans.push_back(s);
    l.sum = m;
    l.least = first;
    l.before = last_leaf_;
    (last_leaf_ == none ? first_leaf_ : leaves_[last_leaf_].after) = id;
    last_leaf_ = id;
}

void text_tree::complete(const text_log& log) {
    constexpr std::size_t full = fan_out - fan_out / 8;
    std::vector<std::uint32_t> level;
    for (std::uint32_t id = first_leaf_; id != none; id = leaves_[id].after) level.push_back(id);
    for (bool leaves = true; level.size() > 1; leaves = false, ++depth_) {
        const std::size_t nodes = (level.size() + full - 1) / full;
        std::vector<std::uint32_t> above;
        above.reserve(nodes);
        std::size_t next = 0;
        for (std::size_t k = 0; k < nodes; ++k) {
            const std::uint32_t id = inners_.add();
            inner& node = inners_[id];
            node.over_leaves = leaves;
            for (const std::size_t end = level.size() * (k + 1) / nodes; next < end; ++next) {
                const std::uint32_t child = level[next];
                parent_of(child, leaves) = id;
                node.child[node.count] = child;
                if (leaves) {
                    node.least[node.count] = leaves_[child].least;
                    node.sum[node.count] = leaves_[child].sum;
                } else {
                    const inner& below = inners_[child];
                    node.least[node.count] = least_of(below, log);
                    for (std::uint32_t i = 0; i < below.count; ++i) node.sum[node.count] += below.sum[i];
                }
                ++node.count;
            }
            above.push_back(id);
        }
        level = std::move(above);
    }
    if (!level.empty()) root_ = level.front();
    if (std::exchange(findable_, false)) make_findable();
}

// Puts a node behind the one that it was cut off from.
void text_tree::add_child(std::uint32_t beside, std::uint32_t id, bool leaves, const text_measure& sum, lv left_least,
                          lv least, const text_log& log) {
    std::uint32_t parent = parent_of(beside, leaves);
    if (parent == none) {
        parent = inners_.add();
        inner& top = inners_[parent];
        top.over_leaves = leaves;
        top.count = 1;
        top.child[0] = beside;
        top.sum[0] = total_;
        parent_of(beside, leaves) = root_ = parent;
        ++depth_;
    } else if (inners_[parent].count == fan_out) {
        const std::uint32_t cut_off = inners_.add();
        inner& p = inners_[parent];
        inner& q = inners_[cut_off];
        constexpr std::uint32_t half = fan_out / 2;
        q.over_leaves = leaves;
        q.count = fan_out - half;
        p.count = half;
        std::copy_n(p.child + half, q.count, q.child);
        std::copy_n(p.least + half, q.count, q.least);
        std::copy_n(p.sum + half, q.count, q.sum);
        text_measure moved;
        for (std::uint32_t i = 0; i < q.count; ++i) {
            parent_of(q.child[i], leaves) = cut_off;
            moved += q.sum[i];
        }
        add_child(parent, cut_off, false, moved, least_of(p, log), least_of(q, log), log);
        parent = parent_of(beside, leaves);
    }
    inner& p = inners_[parent];
    const std::uint32_t i = slot(parent, beside);
    p.sum[i] -= sum;
    p.least[i] = left_least;
    std::copy_backward(p.child + i + 1, p.child + p.count, p.child + p.count + 1);
    std::copy_backward(p.least + i + 1, p.least + p.count, p.least + p.count + 1);
    std::copy_backward(p.sum + i + 1, p.sum + p.count, p.sum + p.count + 1);
    p.child[i + 1] = id;
    p.least[i + 1] = least;
    p.sum[i + 1] = sum;
    ++p.count;
    parent_of(id, leaves) = parent;
}

// Takes a child without text out.
void text_tree::remove_child(std::uint32_t parent, std::uint32_t child, const text_log& log) {
    inner& p = inners_[parent];
    if (p.count == 1) { // not the root, which has two
        const std::uint32_t above = p.parent;
        inners_.remove(parent);
        return remove_child(above, parent, log);
    }
    const std::uint32_t i = slot(parent, child);
    std::copy(p.child + i + 1, p.child + p.count, p.child + i);
    std::copy(p.least + i + 1, p.least + p.count, p.least + i);
    std::copy(p.sum + i + 1, p.sum + p.count, p.sum + i);
    --p.count;
    if (parent == root_) {
        while (depth_ > 0 && inners_[root_].count == 1) {
            const std::uint32_t top = root_;
            root_ = inners_[top].child[0];
            parent_of(root_, inners_[top].over_leaves) = none;
            inners_.remove(top);
            --depth_;
        }
        return;
    }
    for (std::uint32_t below = parent, id = p.parent; id != none; below = id, id = inners_[id].parent)
        inners_[id].least[slot(id, below)] = least_of(inners_[below], log);
}

void text_tree::remove_leaf(std::uint32_t id, const text_log& log) {
    settle();
    const leaf& l = leaves_[id];
    (l.before == none ? first_leaf_ : leaves_[l.before].after) = l.after;
    (l.after == none ? last_leaf_ : leaves_[l.after].before) = l.before;
    const std::uint32_t parent = l.parent;
    leaves_.remove(id);
    recent_.leaf = cursor_.leaf = none;
    if (parent != none) return remove_child(parent, id, log);
    root_ = none;
    index_ = {};
}

// Cuts a leaf that has become too great, and joins one that has become small with the next.
void text_tree::tidy(std::uint32_t id, const text_log& log) {
    leaf& l = leaves_[id];
    const std::size_t n = l.spans.size();
    if (n > leaf_spans) {
        split(id, {id, 0, 0}, log);
        return;
    }
    const std::uint32_t next = l.after;
    if (n > leaf_spans / 4 || next == none || leaves_[next].parent != l.parent) return;
    leaf& r = leaves_[next];
    if (n + r.spans.size() > leaf_spans / 2) return;
    settle();
    for (const span& s : r.spans)
        if (findable_) index_.assign(s.first, s.count(), id, log.size());
    l.spans.insert(l.spans.end(), r.spans.begin(), r.spans.end());
    l.sum += r.sum;
    if (log.less(r.least, l.least)) l.least = r.least;
    inner& p = inners_[l.parent];
    const std::uint32_t i = slot(l.parent, id);
    p.sum[i] = l.sum;
    p.least[i] = l.least;
    p.sum[i + 1] = {};
    const auto at = cursor_;
    remove_leaf(next, log);
    if (at.leaf == id) cursor_ = at;
    coalesce(leaves_[id], static_cast<std::uint32_t>(n) - 1, log);
}

} // namespace joinery::detail
