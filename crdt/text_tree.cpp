// SPDX-License-Identifier: Apache-2.0
#include "text_tree.hpp"

#include "utf8.hpp"

#include <algorithm>
#include <iterator>

namespace joinery::detail {

// ---- the index of dots ----

void text_index::erase(const dot_range& r) {
    auto it = intervals_.upper_bound({r.replica, r.first});
    if (it != intervals_.begin()) {
        auto before = std::prev(it);
        auto [last, leaf] = before->second;
        if (before->first.replica == r.replica && last >= r.first) {
            if (before->first.seq < r.first)
                before->second.last = r.first - 1;
            else
                it = intervals_.erase(before);
            if (last > r.last) {
                intervals_.emplace_hint(it, dot{r.replica, r.last + 1}, interval{last, leaf});
                return;
            }
        }
    }
    while (it != intervals_.end() && it->first.replica == r.replica && it->first.seq <= r.last) {
        auto rest = it->second;
        it = intervals_.erase(it);
        if (rest.last > r.last) {
            intervals_.emplace_hint(it, dot{r.replica, r.last + 1}, rest);
            return;
        }
    }
}

// Intervals of one leaf grow over dots between them that are nobody's: typing and deleting in turn makes
// one interval, not one for each run.
void text_index::assign(const dot_range& r, std::uint32_t leaf) {
    auto joins = [&](map::iterator it) { return it->first.replica == r.replica && it->second.leaf == leaf; };
    auto next = intervals_.upper_bound({r.replica, r.first});
    if (next != intervals_.begin() && joins(std::prev(next)) && std::prev(next)->second.last >= r.last) return;
    bool free = (next == intervals_.end() || dot{r.replica, r.last} < next->first) &&
                (next == intervals_.begin() || std::prev(next)->first.replica != r.replica ||
                 std::prev(next)->second.last < r.first);
    if (!free) {
        erase(r);
        next = intervals_.upper_bound({r.replica, r.first});
    }
    auto it = next == intervals_.begin() || !joins(std::prev(next))
                  ? intervals_.emplace_hint(next, dot{r.replica, r.first}, interval{r.last, leaf})
                  : std::prev(next);
    it->second.last = r.last;
    if (next != intervals_.end() && joins(next)) {
        it->second.last = next->second.last;
        intervals_.erase(next);
    }
}

text_index::map::const_iterator text_index::reaching(dot d) const {
    auto it = intervals_.upper_bound(d);
    if (it == intervals_.begin()) return it;
    auto before = std::prev(it);
    return before->first.replica == d.replica && before->second.last >= d.seq ? before : it;
}

// ---- summaries ----

std::uint64_t text_tree::summary::size(unit u) const {
    return u == unit::points ? points : u == unit::bytes ? bytes : points + wide;
}

void text_tree::summary::add(const summary& s) {
    points += s.points;
    bytes += s.bytes;
    wide += s.wide;
    settled += s.settled;
    least = std::min(least, s.least);
}

text_tree::summary text_tree::summarize(const leaf& l) {
    summary sum;
    for (const auto& s : l.spans) {
        if (s.state == text_state::live) sum.points += s.count;
        sum.bytes += s.bytes;
        sum.wide += s.wide;
        if (s.state == text_state::settled) ++sum.settled;
        sum.least = std::min(sum.least, s.key());
    }
    return sum;
}

text_tree::summary text_tree::summarize(const inner& n) {
    summary sum;
    for (std::uint32_t i = 0; i < n.count; ++i) sum.add(n.sum[i]);
    return sum;
}

// ---- queries ----

std::optional<text_tree::place> text_tree::find(dot d) const {
    auto it = index_.reaching(d);
    if (it == index_.end() || it->first > d) return std::nullopt;
    const auto& spans = leaves_[it->second.leaf].spans;
    for (std::uint32_t i = 0; i < spans.size(); ++i)
        if (spans[i].first.replica == d.replica && d.seq - spans[i].first.seq < spans[i].count)
            return place{it->second.leaf, i, d.seq - spans[i].first.seq};
    return std::nullopt;
}

std::optional<text_tree::piece> text_tree::next(const dot_range& within) const {
    auto it = index_.reaching({within.replica, within.first});
    for (; it != index_.end() && it->first.replica == within.replica && it->first.seq <= within.last; ++it) {
        std::uint64_t first = std::max(within.first, it->first.seq);
        std::uint64_t last = std::min(within.last, it->second.last);
        const auto& spans = leaves_[it->second.leaf].spans;
        std::optional<piece> best;
        for (std::uint32_t i = 0; i < spans.size(); ++i) {
            const auto& s = spans[i];
            if (s.first.replica != within.replica || s.first.seq > last || s.dots().last < first) continue;
            std::uint64_t from = std::max(first, s.first.seq);
            if (best && best->dots.first <= from) continue;
            std::uint64_t offset = from - s.first.seq;
            best = piece{{within.replica, from, std::min(within.last, s.dots().last)},
                         s.lamport + offset,
                         s.state,
                         {it->second.leaf, i, offset}};
        }
        if (best) return best;
    }
    return std::nullopt;
}

text_tree::position text_tree::locate(unit u, std::uint64_t n) const {
    position at;
    if (n >= size(u)) {
        at.points = size(unit::points);
        at.bytes = size(unit::bytes);
        at.utf16 = size(unit::utf16);
        return at;
    }
    auto pass = [&](std::uint64_t points, std::uint64_t bytes, std::uint64_t wide) {
        at.points += points;
        at.bytes += bytes;
        at.utf16 += points + wide;
    };
    std::uint32_t id = root_;
    for (bool is_leaf = root_is_leaf_; !is_leaf;) {
        const inner& node = inners_[id];
        std::uint32_t i = 0;
        for (; n >= node.sum[i].size(u); ++i) {
            n -= node.sum[i].size(u);
            pass(node.sum[i].points, node.sum[i].bytes, node.sum[i].wide);
        }
        id = node.child[i];
        is_leaf = node.over_leaves;
    }
    const leaf& l = leaves_[id];
    std::size_t byte = 0;
    std::uint32_t i = 0;
    for (;; ++i) {
        const span& s = l.spans[i];
        if (s.state != text_state::live) continue;
        std::uint64_t size = u == unit::points ? s.count : u == unit::bytes ? s.bytes : s.count + s.wide;
        if (n < size) break;
        n -= size;
        byte += s.bytes;
        pass(s.count, s.bytes, s.wide);
    }
    const span& s = l.spans[i];
    std::uint64_t offset = n;
    if (s.bytes == s.count) { // ASCII: all units are the same
        pass(n, n, 0);
    } else {
        offset = 0;
        for (;;) {
            std::size_t length = utf8_length(l.text[byte]);
            std::uint64_t units = u == unit::points ? 1 : u == unit::bytes ? length : length == 4 ? 2 : 1;
            if (n < units) break;
            n -= units;
            byte += length;
            ++offset;
            pass(1, length, length == 4 ? 1 : 0);
        }
        at.exact = n == 0;
    }
    at.next = place{id, i, offset};
    return at;
}

dot text_tree::parent(place p) const {
    const span& own = at(p);
    if (p.offset > 0) return {own.first.replica, own.first.seq + p.offset - 1};
    text_key key = own.key();
    auto search = [&](std::uint32_t id, std::size_t end) -> std::optional<dot> {
        for (std::size_t i = end; i-- > 0;) {
            const span& s = leaves_[id].spans[i];
            if (!(s.key() < key)) continue;
            std::uint64_t lesser = key.lamport - s.lamport + (s.first.replica < key.replica ? 1 : 0);
            return dot{s.first.replica, s.first.seq + std::min(lesser, s.count) - 1};
        }
        return std::nullopt;
    };
    if (auto found = search(p.leaf, p.span)) return *found;
    std::uint32_t child = p.leaf;
    for (std::uint32_t id = leaves_[p.leaf].parent; id != none; child = id, id = inners_[id].parent) {
        const inner* node = &inners_[id];
        for (std::uint32_t i = slot(*node, child); i-- > 0;) {
            if (!(node->sum[i].least < key)) continue;
            for (;;) { // down, always to the last child that has a lesser key
                std::uint32_t below = node->child[i];
                if (node->over_leaves) return *search(below, leaves_[below].spans.size());
                node = &inners_[below];
                for (i = node->count - 1; !(node->sum[i].least < key);) --i;
            }
        }
    }
    return {};
}

std::optional<dot> text_tree::following(place p) const {
    const span& s = at(p);
    if (p.offset + 1 < s.count) return dot{s.first.replica, s.first.seq + p.offset + 1};
    const leaf& l = leaves_[p.leaf];
    if (p.span + 1 < l.spans.size()) return l.spans[p.span + 1].first;
    if (l.after == none) return std::nullopt;
    return leaves_[l.after].spans.front().first;
}

std::size_t text_tree::text_offset(const leaf& l, std::size_t i) {
    std::size_t byte = 0;
    for (std::size_t k = 0; k < i; ++k) byte += l.spans[k].bytes;
    return byte;
}

std::string_view text_tree::text(place p, std::uint64_t n) const {
    const leaf& l = leaves_[p.leaf];
    const span& s = l.spans[p.span];
    std::string_view all = std::string_view(l.text).substr(text_offset(l, p.span), s.bytes);
    if (s.bytes == s.count) return all.substr(p.offset, n);
    all.remove_prefix(utf8_prefix(all, p.offset));
    return all.substr(0, utf8_prefix(all, n));
}

std::string text_tree::read(std::uint64_t first, std::uint64_t count) const {
    std::string out;
    if (count == 0) return out;
    out.reserve(count);
    place p = *locate(unit::bytes, first).next;
    std::uint32_t id = p.leaf;
    std::size_t from = text_offset(leaves_[id], p.span);
    from += utf8_prefix(std::string_view(leaves_[id].text).substr(from), p.offset);
    for (; out.size() < count; id = leaves_[id].after, from = 0) out.append(leaves_[id].text, from, count - out.size());
    return out;
}

std::vector<dot> text_tree::parents_of_others(const version_vector& v) const {
    std::vector<dot> out;
    for (auto it = index_.reaching({}); it != index_.end();) {
        replica_id r = it->first.replica;
        dot_range rest{r, v[r] + 1, UINT64_MAX};
        while (auto p = next(rest)) {
            out.push_back(parent(p->at));
            rest.first = p->dots.last + 1;
        }
        it = index_.reaching({r, UINT64_MAX});
    }
    std::sort(out.begin(), out.end());
    return out;
}

std::vector<dot_range> text_tree::settled() const {
    std::vector<dot_range> out;
    if (total_.settled == 0) return out;
    auto collect = [&](std::uint32_t id) {
        for (const auto& s : leaves_[id].spans)
            if (s.state == text_state::settled) out.push_back(s.dots());
    };
    auto visit = [&](auto& self, std::uint32_t id) -> void {
        const inner& node = inners_[id];
        for (std::uint32_t i = 0; i < node.count; ++i) {
            if (node.sum[i].settled == 0) continue;
            node.over_leaves ? collect(node.child[i]) : self(self, node.child[i]);
        }
    };
    root_is_leaf_ ? collect(root_) : visit(visit, root_);
    return out;
}

// The gap before the first element at or after `g` whose key is not greater than `key`.
text_tree::gap text_tree::past_greater(gap g, text_key key) const {
    auto stops = [&](const text_key& k) { return !(key < k); };
    const leaf& l = leaves_[g.leaf];
    std::uint32_t i = g.span;
    if (g.offset > 0) {
        const span& s = l.spans[i];
        if (stops({s.lamport + g.offset, s.first.replica})) return g;
        ++i;
    }
    for (; i < l.spans.size(); ++i)
        if (stops(l.spans[i].key())) return {g.leaf, i, 0};
    std::uint32_t child = g.leaf;
    for (std::uint32_t id = l.parent; id != none; child = id, id = inners_[id].parent) {
        const inner* node = &inners_[id];
        for (i = slot(*node, child) + 1; i < node->count; ++i) {
            if (!stops(node->sum[i].least)) continue;
            while (!node->over_leaves) { // down, always to the first child that has such a key
                node = &inners_[node->child[i]];
                for (i = 0; !stops(node->sum[i].least);) ++i;
            }
            std::uint32_t found = node->child[i];
            std::uint32_t k = 0;
            while (!stops(leaves_[found].spans[k].key())) ++k;
            // Between two leaves: the end of the former, where what is typed goes on.
            if (k == 0) {
                std::uint32_t before = leaves_[found].before;
                return {before, static_cast<std::uint32_t>(leaves_[before].spans.size()), 0};
            }
            return {found, k, 0};
        }
    }
    return {last_leaf_, static_cast<std::uint32_t>(leaves_[last_leaf_].spans.size()), 0};
}

// ---- changes within a leaf ----

bool text_tree::continues(const span& a, const span& b) {
    return a.state == b.state && a.first.replica == b.first.replica && a.first.seq + a.count == b.first.seq &&
           a.lamport + a.count == b.lamport;
}

// Cuts span i before its element `offset`. Requires: 0 < offset < count.
void text_tree::cut(leaf& l, std::size_t i, std::uint64_t offset) {
    span right = l.spans[i];
    span& left = l.spans[i];
    if (left.state == text_state::live) {
        if (left.bytes == left.count) {
            left.bytes = static_cast<std::uint16_t>(offset);
        } else {
            std::string_view all = std::string_view(l.text).substr(text_offset(l, i), left.bytes);
            std::string_view kept = all.substr(0, utf8_prefix(all, offset));
            left.bytes = static_cast<std::uint16_t>(kept.size());
            left.wide = static_cast<std::uint16_t>(count_utf8(kept).wide);
        }
    }
    left.count = offset;
    right.first.seq += offset;
    right.lamport += offset;
    right.count -= offset;
    right.bytes = static_cast<std::uint16_t>(right.bytes - left.bytes);
    right.wide = static_cast<std::uint16_t>(right.wide - left.wide);
    l.spans.insert(l.spans.begin() + static_cast<std::ptrdiff_t>(i) + 1, right);
}

// Makes a span of its own of `n` elements of span i, and returns its index.
std::size_t text_tree::isolate(leaf& l, std::size_t i, std::uint64_t offset, std::uint64_t n) {
    if (offset > 0) cut(l, i++, offset);
    if (n < l.spans[i].count) cut(l, i, n);
    return i;
}

// Restores invariant 2 around span i, and returns where its elements are now.
std::size_t text_tree::coalesce(leaf& l, std::size_t i) {
    auto join_next = [&](std::size_t k) {
        if (k + 1 >= l.spans.size() || !continues(l.spans[k], l.spans[k + 1])) return false;
        span& a = l.spans[k];
        const span& b = l.spans[k + 1];
        a.count += b.count;
        a.bytes = static_cast<std::uint16_t>(a.bytes + b.bytes);
        a.wide = static_cast<std::uint16_t>(a.wide + b.wide);
        l.spans.erase(l.spans.begin() + static_cast<std::ptrdiff_t>(k) + 1);
        return true;
    };
    join_next(i);
    return i > 0 && join_next(i - 1) ? i - 1 : i;
}

void text_tree::put(gap g, const span& s, std::string_view utf8) {
    leaf& l = leaves_[g.leaf];
    std::size_t i = g.span;
    if (g.offset > 0) cut(l, i++, g.offset);
    if (!utf8.empty()) l.text.insert(text_offset(l, i), utf8);
    if (i > 0 && continues(l.spans[i - 1], s)) { // what is typed
        span& grown = l.spans[--i];
        grown.count += s.count;
        grown.bytes = static_cast<std::uint16_t>(grown.bytes + s.bytes);
        grown.wide = static_cast<std::uint16_t>(grown.wide + s.wide);
    } else {
        l.spans.insert(l.spans.begin() + static_cast<std::ptrdiff_t>(i), s);
    }
    coalesce(l, i);
    index_.assign(s.dots(), g.leaf);
    changed(g.leaf);
}

void text_tree::insert(std::optional<place> parent, dot first, std::uint64_t lamport, std::uint64_t count,
                       text_state state, std::string_view utf8) {
    if (root_ == none) replace_root(first_leaf_ = last_leaf_ = new_leaf(), true);
    gap g{first_leaf_, 0, 0};
    if (parent) {
        bool ends = parent->offset + 1 == leaves_[parent->leaf].spans[parent->span].count;
        g = ends ? gap{parent->leaf, parent->span + 1, 0} : gap{parent->leaf, parent->span, parent->offset + 1};
    }
    put_run(past_greater(g, {lamport, first.replica}), first, lamport, count, state, utf8);
}

void text_tree::append(dot first, std::uint64_t lamport, std::uint64_t count, text_state state, std::string_view utf8) {
    if (root_ == none) replace_root(first_leaf_ = last_leaf_ = new_leaf(), true);
    gap end{last_leaf_, static_cast<std::uint32_t>(leaves_[last_leaf_].spans.size()), 0};
    put_run(end, first, lamport, count, state, utf8);
}

// In chunks, so that no leaf gets too much text.
void text_tree::put_run(gap g, dot first, std::uint64_t lamport, std::uint64_t count, text_state state,
                        std::string_view utf8) {
    while (true) {
        span s{first, lamport, count, 0, 0, state};
        std::string_view chunk = utf8;
        if (utf8.size() > chunk_bytes) {
            std::size_t end = chunk_bytes;
            while ((static_cast<unsigned char>(utf8[end]) & 0xc0) == 0x80) --end;
            chunk = utf8.substr(0, end);
        }
        if (state == text_state::live) {
            utf8_measure m = count_utf8(chunk);
            s.count = m.points;
            s.bytes = static_cast<std::uint16_t>(chunk.size());
            s.wide = static_cast<std::uint16_t>(m.wide);
        }
        put(g, s, chunk);
        count -= s.count;
        if (count == 0) return;
        utf8.remove_prefix(chunk.size());
        first.seq += s.count;
        lamport += s.count;
        place last = *find({first.replica, first.seq - 1});
        g = last.offset + 1 == at(last).count ? gap{last.leaf, last.span + 1, 0}
                                              : gap{last.leaf, last.span, last.offset + 1};
    }
}

void text_tree::bury(place p, std::uint64_t n, text_state state) {
    leaf& l = leaves_[p.leaf];
    std::size_t i = isolate(l, p.span, p.offset, n);
    span& s = l.spans[i];
    if (s.bytes > 0) l.text.erase(text_offset(l, i), s.bytes);
    s.bytes = s.wide = 0;
    s.state = state;
    coalesce(l, i);
    changed(p.leaf);
}

void text_tree::revive(const dot_range& r, std::string_view utf8) {
    for (std::uint64_t seq = r.first; seq <= r.last;) {
        place p = *find({r.replica, seq});
        std::uint64_t n = std::min({r.last - seq + 1, at(p).count - p.offset, std::uint64_t{chunk_bytes / 4}});
        std::string_view chunk = utf8.substr(0, utf8_prefix(utf8, n));
        leaf& l = leaves_[p.leaf];
        std::size_t i = isolate(l, p.span, p.offset, n);
        span& s = l.spans[i];
        l.text.insert(text_offset(l, i), chunk);
        s.bytes = static_cast<std::uint16_t>(chunk.size());
        s.wide = static_cast<std::uint16_t>(count_utf8(chunk).wide);
        s.state = text_state::live;
        coalesce(l, i);
        changed(p.leaf);
        utf8.remove_prefix(chunk.size());
        seq += n;
    }
}

void text_tree::erase(place p, std::uint64_t n) {
    leaf& l = leaves_[p.leaf];
    std::size_t i = isolate(l, p.span, p.offset, n);
    span& s = l.spans[i];
    if (s.bytes > 0) l.text.erase(text_offset(l, i), s.bytes);
    index_.erase(s.dots());
    l.spans.erase(l.spans.begin() + static_cast<std::ptrdiff_t>(i));
    if (i > 0) coalesce(l, i - 1);
    changed(p.leaf);
}

// ---- the shape of the tree ----

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
    for (const auto& s : r.spans) index_.assign(s.dots(), added);

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
    for (const auto& s : r.spans) index_.assign(s.dots(), id);
    coalesce(l, seam);
    lift(id, true);
    remove_leaf(gone);
    return true;
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

// ---- reading in order ----

text_tree::reader::reader(const text_tree& tree) : tree_(tree), leaf_(tree.first_leaf_) { load(); }

// Settles on the next live span, at or behind the present one.
void text_tree::reader::load() {
    text = {};
    for (; leaf_ != none; leaf_ = tree_.leaves_[leaf_].after, span_ = 0, byte_ = 0) {
        const leaf& l = tree_.leaves_[leaf_];
        while (span_ < l.spans.size() && l.spans[span_].state != text_state::live) ++span_;
        if (span_ == l.spans.size()) continue;
        const span& s = l.spans[span_];
        first = s.first;
        count = s.count;
        text = std::string_view(l.text).substr(byte_, s.bytes);
        byte_ += s.bytes;
        ++span_;
        return;
    }
}

void text_tree::reader::advance(std::uint64_t points) {
    if (points == count) return load();
    text.remove_prefix(text.size() == count ? points : utf8_prefix(text, points));
    first.seq += points;
    count -= points;
}

// ---- for tests and benchmarks ----

std::size_t text_tree::memory() const {
    constexpr std::size_t map_node = 80;
    std::size_t sum = sizeof *this + leaves_.capacity() * sizeof(leaf) + inners_.capacity() * sizeof(inner);
    for (const auto& l : leaves_) {
        sum += l.spans.capacity() * sizeof(span);
        if (l.text.capacity() > 15) sum += l.text.capacity() + 1;
    }
    return sum + index_.size() * map_node;
}

} // namespace joinery::detail
