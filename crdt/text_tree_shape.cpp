// SPDX-License-Identifier: Apache-2.0
// The nodes of the tree: splitting, joining, and the summaries above a change.
#include "text_tree.hpp"
#include "utf8.hpp"

#include <algorithm>
#include <utility>

namespace joinery::detail {

// To be called after every change of a leaf: sums it up and gives it a proper size.
void text_tree::changed(std::uint32_t id) {
    leaf& l = leaves_[id];
    if (l.spans.empty()) return remove_leaf(id);
    if (l.text.capacity() > 64 && l.text.size() < l.text.capacity() / 4) l.text.shrink_to_fit();
    if (l.spans.size() > leaf_spans || l.text.size() > leaf_bytes) return split(id);
    lift(id, true);
    if (l.spans.size() <= leaf_spans / 4 && l.text.size() <= leaf_bytes / 4 && l.parent != none) {
        const inner& node = inners_[l.parent];
        std::uint32_t i = slot(node, id);
        if (!(i + 1 < node.count && absorb_next(id)) && i > 0) absorb_next(l.before);
    }
}

// Moves half of a leaf to a new one behind it, as often as it takes.
void text_tree::split(std::uint32_t id) {
    std::uint32_t added = new_leaf();
    leaf& l = leaves_[id];
    leaf& r = leaves_[added];
    std::size_t i = l.spans.size() / 2;
    std::size_t byte = text_offset(l, i);
    if (l.spans.size() <= leaf_spans) { // too much text: in the middle of it
        std::size_t half = l.text.size() / 2;
        for (i = 0, byte = 0; byte + l.spans[i].bytes <= half; ++i) byte += l.spans[i].bytes;
        std::string_view text = std::string_view(l.text).substr(byte, half - byte);
        while (!text.empty() && (static_cast<unsigned char>(l.text[byte + text.size()]) & 0xc0) == 0x80)
            text.remove_suffix(1);
        if (!text.empty()) {
            cut(l, i, count_utf8(text).points);
            ++i;
            byte += text.size();
        }
    }
    auto from = l.spans.begin() + static_cast<std::ptrdiff_t>(i);
    r.spans.assign(from, l.spans.end());
    r.text.assign(l.text, byte);
    l.spans.erase(from, l.spans.end());
    l.text.resize(byte);
    for (const auto& s : r.spans) {
        forget(id, s.dots());
        index_.assign(s.dots(), added);
    }

    r.before = id;
    r.after = l.after;
    (r.after == none ? last_leaf_ : leaves_[r.after].before) = added;
    l.after = added;
    add_child(added, id, true);
    changed(added);
    changed(id);
}

// Takes in the next leaf, of the same node, if both together are well below the limits.
bool text_tree::absorb_next(std::uint32_t id) {
    leaf& l = leaves_[id];
    std::uint32_t gone = l.after;
    leaf& r = leaves_[gone];
    if (l.spans.size() + r.spans.size() > leaf_spans * 3 / 4 || l.text.size() + r.text.size() > leaf_bytes * 3 / 4)
        return false;
    std::size_t seam = l.spans.size();
    l.spans.insert(l.spans.end(), r.spans.begin(), r.spans.end());
    l.text += r.text;
    r.spans.clear();
    for (std::size_t i = seam; i < l.spans.size(); ++i) {
        forget(gone, l.spans[i].dots());
        index_.assign(l.spans[i].dots(), id);
    }
    coalesce(l, seam);
    lift(id, true);
    remove_leaf(gone);
    return true;
}

// The leaf does not have these dots any more. What of their interval lies between its other elements goes with them, or
// the index would grow with everything that was ever erased.
void text_tree::forget(std::uint32_t id, const dot_range& gone) {
    const bool alone = !index_.extends(gone);
    index_.erase(gone);
    if (alone) return;
    std::uint64_t before = 0, after = UINT64_MAX;
    for (const auto& s : leaves_[id].spans) {
        const auto dots = s.dots();
        if (dots.replica != gone.replica) continue;
        if (dots.last < gone.first)
            before = std::max(before, dots.last);
        else if (dots.first > gone.last)
            after = std::min(after, dots.first);
    }
    index_.trim(gone, id, before, after);
}

void text_tree::remove_leaf(std::uint32_t id) {
    leaf& l = leaves_[id];
    (l.before == none ? first_leaf_ : leaves_[l.before].after) = l.after;
    (l.after == none ? last_leaf_ : leaves_[l.after].before) = l.before;
    std::uint32_t parent = l.parent;
    if (parent == none) { // the last
        *this = text_tree();
        return;
    }
    std::vector<span>().swap(l.spans); // assignment would keep the memory
    std::string().swap(l.text);
    l.parent = l.before = none;
    l.after = free_leaf_;
    free_leaf_ = id;
    remove_child(parent, id);
}

std::uint32_t text_tree::new_leaf() {
    if (free_leaf_ == none) {
        leaves_.emplace_back();
        return static_cast<std::uint32_t>(leaves_.size() - 1);
    }
    std::uint32_t id = free_leaf_;
    free_leaf_ = leaves_[id].after;
    leaves_[id].after = none;
    return id;
}

std::uint32_t text_tree::new_inner() {
    if (free_inner_ == none) {
        inners_.emplace_back();
        return static_cast<std::uint32_t>(inners_.size() - 1);
    }
    std::uint32_t id = free_inner_;
    free_inner_ = inners_[id].parent;
    inners_[id] = inner{};
    return id;
}

std::uint32_t text_tree::slot(const inner& n, std::uint32_t child) const {
    std::uint32_t i = 0;
    while (n.child[i] != child) ++i;
    return i;
}

std::uint32_t& text_tree::parent_of(std::uint32_t id, bool is_leaf) {
    return is_leaf ? leaves_[id].parent : inners_[id].parent;
}

void text_tree::replace_root(std::uint32_t id, bool is_leaf) {
    root_ = id;
    root_is_leaf_ = is_leaf;
    if (id != none) parent_of(id, is_leaf) = none;
}

// Sums a node or leaf up, and everything above it.
void text_tree::lift(std::uint32_t id, bool is_leaf) {
    summary sum = is_leaf ? summarize(leaves_[id]) : summarize(inners_[id]);
    for (;;) {
        std::uint32_t above = parent_of(id, is_leaf);
        if (above == none) break;
        inner& node = inners_[above];
        summary& entry = node.sum[slot(node, id)];
        if (entry == sum) return;
        entry = sum;
        sum = summarize(node);
        id = above;
        is_leaf = false;
    }
    total_ = sum;
}

// Puts a new node or leaf behind its sibling.
void text_tree::add_child(std::uint32_t child, std::uint32_t sibling, bool leaves) {
    std::uint32_t id = parent_of(sibling, leaves);
    if (id == none) {
        id = new_inner();
        inner& top = inners_[id];
        top.over_leaves = leaves;
        top.count = 1;
        top.child[0] = sibling;
        replace_root(id, false);
        parent_of(sibling, leaves) = id;
    } else if (inners_[id].count == fan_out) {
        std::uint32_t added = new_inner();
        inner& l = inners_[id];
        inner& r = inners_[added];
        constexpr std::uint32_t half = fan_out / 2;
        r.over_leaves = leaves;
        r.count = half;
        l.count = half;
        for (std::uint32_t i = 0; i < half; ++i) {
            r.child[i] = l.child[half + i];
            r.sum[i] = l.sum[half + i];
            parent_of(r.child[i], leaves) = added;
        }
        add_child(added, id, false);
        id = parent_of(sibling, leaves);
    }
    inner& node = inners_[id];
    std::uint32_t i = slot(node, sibling) + 1;
    std::copy_backward(node.child.begin() + i, node.child.begin() + node.count, node.child.begin() + node.count + 1);
    std::copy_backward(node.sum.begin() + i, node.sum.begin() + node.count, node.sum.begin() + node.count + 1);
    node.child[i] = child;
    node.sum[i] = leaves ? summarize(leaves_[child]) : summarize(inners_[child]);
    node.sum[i - 1] = leaves ? summarize(leaves_[sibling]) : summarize(inners_[sibling]);
    ++node.count;
    parent_of(child, leaves) = id;
    lift(id, false);
}

void text_tree::remove_child(std::uint32_t id, std::uint32_t child) {
    inner& node = inners_[id];
    std::uint32_t i = slot(node, child);
    std::copy(node.child.begin() + i + 1, node.child.begin() + node.count, node.child.begin() + i);
    std::copy(node.sum.begin() + i + 1, node.sum.begin() + node.count, node.sum.begin() + i);
    --node.count;
    if (node.parent == none && node.count == 1) { // a root with one child gives way to it
        total_ = node.sum[0];
        while (!root_is_leaf_ && inners_[root_].count == 1) {
            std::uint32_t gone = root_;
            replace_root(inners_[gone].child[0], inners_[gone].over_leaves);
            free_node(gone);
        }
    } else if (node.count == 0) {
        std::uint32_t above = node.parent;
        free_node(id);
        remove_child(above, id);
    } else {
        lift(id, false);
        if (node.count <= fan_out / 4 && node.parent != none) merge_node(id);
    }
}

// Joins a node that has few children with a neighbour that has few too.
void text_tree::merge_node(std::uint32_t id) {
    const inner& above = inners_[inners_[id].parent];
    std::uint32_t i = slot(above, id);
    for (std::uint32_t k : {i, i - 1}) {
        if (k >= above.count || k + 1 >= above.count) continue;
        inner& l = inners_[above.child[k]];
        std::uint32_t gone = above.child[k + 1];
        inner& r = inners_[gone];
        if (l.count + r.count > fan_out * 3 / 4) continue;
        for (std::uint32_t m = 0; m < r.count; ++m) {
            l.child[l.count] = r.child[m];
            l.sum[l.count++] = r.sum[m];
            parent_of(r.child[m], r.over_leaves) = above.child[k];
        }
        lift(above.child[k], false);
        std::uint32_t parent = r.parent;
        free_node(gone);
        return remove_child(parent, gone);
    }
}

void text_tree::free_node(std::uint32_t id) {
    inners_[id].count = 0;
    inners_[id].parent = free_inner_;
    free_inner_ = id;
}

} // namespace joinery::detail
