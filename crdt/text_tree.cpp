// SPDX-License-Identifier: Apache-2.0
#include "text_tree.hpp"

#include "utf8.hpp"

#include <algorithm>
#include <iterator>

namespace joinery::detail {

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
            std::uint64_t lesser = key.lamport - s.lamport; // and the one of the same age, if that has a lesser key
            if (dot{s.first.replica, s.first.seq + lesser} < dot{key.replica, key.seq}) ++lesser;
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
        if (stops({s.lamport + g.offset, s.first.replica, s.first.seq + g.offset})) return g;
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
    put_run(past_greater(g, {lamport, first.replica, first.seq}), first, lamport, count, state, utf8);
}

void text_tree::append(dot first, std::uint64_t lamport, std::uint64_t count, text_state state, std::string_view utf8) {
    if (root_ == none) replace_root(first_leaf_ = last_leaf_ = new_leaf(), true);
    gap end{last_leaf_, static_cast<std::uint32_t>(leaves_[last_leaf_].spans.size()), 0};
    put_run(end, first, lamport, count, state, utf8);
}

void text_tree::compact() {
    std::size_t unused = 0;
    for (std::uint32_t id = free_leaf_; id != none; id = leaves_[id].after) ++unused;
    if (unused < 48 || unused < leaves_.size() / 4 * 3) return;
    text_tree kept;
    for_each([&](const span& s, std::string_view text) { kept.append(s.first, s.lamport, s.count, s.state, text); });
    *this = std::move(kept);
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
    const dot_range gone = s.dots();
    l.spans.erase(l.spans.begin() + static_cast<std::ptrdiff_t>(i));
    forget(p.leaf, gone);
    if (i > 0) coalesce(l, i - 1);
    changed(p.leaf);
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
