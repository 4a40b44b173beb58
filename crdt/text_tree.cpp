// SPDX-License-Identifier: Apache-2.0
#include "text_tree.hpp"

#include <algorithm>
#include <utility>

namespace joinery::detail {

// ---- by position ----

text_tree::position text_tree::locate(unit u, std::uint64_t n, const text_log& log) const {
    position at;
    if (root_ == none) return at;
    settle();
    const auto pass = [&](const text_measure& m) {
        at.pass(m);
        n -= size(m, u);
    };
    std::uint32_t id = root_;
    for (std::uint32_t level = 0; level < depth_; ++level) {
        const inner& node = inners_[id];
        std::uint32_t i = 0;
        for (; i + 1 < node.count && size(node.sum[i], u) <= n; ++i) pass(node.sum[i]);
        id = node.child[i];
    }
    for (const span& s : leaves_[id].spans) {
        if (!s.live()) continue;
        const text_measure m = measure(s, log);
        if (size(m, u) <= n) {
            pass(m);
            continue;
        }
        std::uint32_t fits = 0; // the most characters of the span that are at most n units
        if (u == unit::points || (u != unit::newlines && m.bytes == m.points)) {
            fits = static_cast<std::uint32_t>(n);
        } else {
            std::uint32_t above = s.count();
            while (above - fits > 1) {
                const std::uint32_t half = fits + (above - fits) / 2;
                (size(log.measure(s.first, half), u) <= n ? fits : above) = half;
            }
        }
        if (fits > 0) pass(log.measure(s.first, fits));
        at.exact = n == 0;
        break;
    }
    return at;
}

text_tree::place text_tree::visible(std::uint32_t n) const {
    settle();
    std::uint32_t id = root_;
    for (std::uint32_t level = 0; level < depth_; ++level) {
        const inner& node = inners_[id];
        std::uint32_t i = 0;
        for (; i + 1 < node.count && node.sum[i].points <= n; ++i) n -= node.sum[i].points;
        id = node.child[i];
    }
    std::uint32_t i = 0;
    for (const auto& spans = leaves_[id].spans; spans[i].points() <= n; ++i) n -= spans[i].points();
    return {id, i, n};
}

std::uint32_t text_tree::points_before(place p) const {
    settle();
    const leaf& l = leaves_[p.leaf];
    std::uint32_t sum = at(p).live() ? p.offset : 0;
    for (std::uint32_t i = 0; i < p.span; ++i) sum += l.spans[i].points();
    std::uint32_t child = p.leaf;
    for (std::uint32_t id = l.parent; id != none; child = id, id = inners_[id].parent)
        for (std::uint32_t i = 0; inners_[id].child[i] != child; ++i) sum += inners_[id].sum[i].points;
    return sum;
}

// ---- by lv ----

void text_tree::make_findable() {
    if (std::exchange(findable_, true)) return;
    std::vector<text_index::step> steps;
    for (std::uint32_t id = first_leaf_; id != none; id = leaves_[id].after)
        for (const span& s : leaves_[id].spans) steps.push_back({s.first, id});
    std::sort(steps.begin(), steps.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
    index_.build(steps);
}

text_tree::place text_tree::find(lv v) const {
    const auto in = [&](const span& s) { return v - s.first < s.count(); };
    if (recent_.leaf != none) {
        const auto& spans = leaves_[recent_.leaf].spans;
        if (recent_.span < spans.size() && in(spans[recent_.span]))
            return {recent_.leaf, recent_.span, v - spans[recent_.span].first};
    }
    for (std::uint32_t id = findable_ ? index_.leaf(v) : first_leaf_;; id = leaves_[id].after) {
        const auto& spans = leaves_[id].spans;
        for (std::uint32_t i = 0; i < spans.size(); ++i)
            if (in(spans[i])) return {id, i, v - spans[i].first};
    }
}

bool text_tree::find_known(lv v, place& found) const {
    const auto in = [&](const span& s) { return v - s.first < s.count(); };
    if (root_ == none) return false;
    if (recent_.leaf != none) {
        const auto& spans = leaves_[recent_.leaf].spans;
        if (recent_.span < spans.size() && in(spans[recent_.span])) {
            found = {recent_.leaf, recent_.span, v - spans[recent_.span].first};
            return true;
        }
    }
    const std::uint32_t id = index_.leaf(v);
    if (!leaves_.has(id)) return false; // of what is gone the index says anything
    const auto& spans = leaves_[id].spans;
    for (std::uint32_t i = 0; i < spans.size(); ++i) {
        if (!in(spans[i])) continue;
        found = {id, i, v - spans[i].first};
        return true;
    }
    return false;
}

// The last character with a lesser key among the first spans of a leaf.
lv text_tree::parent_below(const leaf& l, std::size_t spans, const text_key& key, const text_log& log) const {
    while (spans-- > 0) {
        const span& s = l.spans[spans];
        const auto first = log.identify(s.first);
        if (!(text_key{first.lamport, first.id.replica, first.id.seq} < key)) continue;
        std::uint64_t lesser = std::min<std::uint64_t>(key.lamport - first.lamport, s.count());
        if (lesser < s.count() && dot{first.id.replica, first.id.seq + lesser} < dot{key.replica, key.seq}) ++lesser;
        return s.first + static_cast<lv>(lesser) - 1;
    }
    return text_log::none;
}

lv text_tree::parent(place p, const text_log& log) const {
    if (p.offset > 0) return at(p).first + p.offset - 1;
    const text_key key = log.key(at(p).first);
    const lv near = parent_below(leaves_[p.leaf], p.span, key, log);
    if (near != text_log::none) return near;
    std::uint32_t child = p.leaf;
    for (std::uint32_t id = leaves_[p.leaf].parent; id != none; child = id, id = inners_[id].parent) {
        const inner* node = &inners_[id];
        for (std::uint32_t i = slot(id, child); i-- > 0;) {
            if (!(log.key(node->least[i]) < key)) continue;
            for (;;) { // down, always to the last child that has a lesser key
                const std::uint32_t below = node->child[i];
                if (node->over_leaves) return parent_below(leaves_[below], leaves_[below].spans.size(), key, log);
                node = &inners_[below];
                for (i = node->count - 1; !(log.key(node->least[i]) < key);) --i;
            }
        }
    }
    return text_log::none;
}

std::optional<lv> text_tree::following(place p) const {
    const span s = at(p);
    if (p.offset + 1 < s.count()) return s.first + p.offset + 1;
    const leaf& l = leaves_[p.leaf];
    if (p.span + 1 < l.spans.size()) return l.spans[p.span + 1].first;
    if (l.after == none) return std::nullopt;
    return leaves_[l.after].spans.front().first;
}

std::pair<std::uint64_t, std::uint64_t> text_tree::rank(place p) const {
    std::uint64_t path = 0, weight = 1;
    std::uint32_t child = p.leaf;
    for (std::uint32_t id = leaves_[p.leaf].parent; id != none; child = id, id = inners_[id].parent) {
        path += weight * slot(id, child);
        weight *= fan_out;
    }
    return {path, std::uint64_t{p.span} << 32 | p.offset};
}

// ---- editing at the cursor ----

// Moves the cursor to the leaf that the visible character at `pos` is in: most edits are near the last one.
void text_tree::go_to_leaf(std::uint32_t pos) {
    cursor& c = cursor_;
    if (c.leaf != none) {
        const leaf& l = leaves_[c.leaf];
        if (pos < c.leaf_start) {
            const std::uint32_t start = c.leaf_start - leaves_[l.before].sum.points;
            if (pos >= start) {
                c = {l.before, 0, start, start};
                return;
            }
        } else if (const std::uint32_t start = c.leaf_start + l.sum.points; pos - start < leaves_[l.after].sum.points) {
            c = {l.after, 0, start, start};
            return;
        }
    }
    settle();
    std::uint32_t id = root_;
    std::uint32_t start = 0;
    for (std::uint32_t level = 0; level < depth_; ++level) {
        const inner& node = inners_[id];
        std::uint32_t i = 0;
        for (; i + 1 < node.count && node.sum[i].points <= pos - start; ++i) start += node.sum[i].points;
        id = node.child[i];
    }
    c = {id, 0, start, start};
}

std::uint32_t text_tree::seek(std::uint32_t pos) {
    cursor& c = cursor_;
    if (c.leaf == none || pos - c.leaf_start >= leaves_[c.leaf].sum.points) go_to_leaf(pos);
    const span* s = leaves_[c.leaf].spans.begin();
    std::uint32_t i = c.span, start = c.start;
    while (pos < start) start -= s[--i].points();
    for (std::uint32_t n; pos - start >= (n = s[i].points()); ++i) start += n;
    c.span = i;
    c.start = start;
    return pos - start;
}

void text_tree::insert_first(lv first, std::uint32_t n, const text_measure& m, const text_log& log) {
    const place p = put({begin(), 0, 0}, {first, static_cast<std::int32_t>(n)}, m, log);
    cursor_ = {p.leaf, p.span, 0, 0};
}

void text_tree::insert_behind(std::uint32_t offset, lv first, std::uint32_t n, const text_measure& m,
                              const text_log& log) {
    const std::uint32_t id = cursor_.leaf;
    leaf& l = leaves_[id];
    span* at = l.spans.begin() + cursor_.span;
    const span made{first, static_cast<std::int32_t>(n)};
    const std::uint32_t left = offset + 1, right = at->count() - left;
    if (right == 0 && connected(*at, made, log)) {
        at->length += made.length;
    } else {
        cursor_.start += left;
        ++cursor_.span;
        if (right == 0) {
            l.spans.insert(at + 1, made);
        } else {
            at->length = static_cast<std::int32_t>(left);
            const span both[] = {made, {at->behind(), static_cast<std::int32_t>(right)}};
            l.spans.insert(at + 1, both, both + 2);
        }
    }
    recent_ = {id, cursor_.span, 0};
    grew(id, l, m);
    if (findable_) index_.assign(first, n, id, log.size());
    if (l.spans.size() > leaf_spans) split(id, recent_, log);
}

void text_tree::erase_sought(std::uint32_t offset, std::uint32_t n, const text_measure& m, const text_log& log) {
    const std::uint32_t id = cursor_.leaf;
    leaf& l = leaves_[id];
    const std::size_t before = l.spans.size();
    shrank(id, l, m);
    cursor_.span = flip(id, cursor_.span, offset, n, log);
    const std::size_t after = l.spans.size();
    if (after > leaf_spans || after < before) tidy(id, log);
}

// ---- any changes ----

// The first leaf, which is made if there is none.
std::uint32_t text_tree::begin() {
    if (root_ == none) {
        index_ = {};
        root_ = first_leaf_ = last_leaf_ = leaves_.add();
    }
    return first_leaf_;
}

void text_tree::insert(std::optional<place> parent, lv first, std::uint32_t n, bool live, const text_log& log) {
    cursor_.leaf = none;
    const gap g = parent ? behind(*parent) : gap{begin(), 0, 0};
    const auto length = static_cast<std::int32_t>(n);
    const span s{first, live ? length : -length};
    put(past_greater(g, first, log), s, measure(s, log), log);
}

// The gap before the first character at or after `g` whose key is not greater than v's.
text_tree::gap text_tree::past_greater(gap g, lv v, const text_log& log) const {
    const bool ordered = log.ordered();
    const text_key key = ordered ? text_key{} : log.key(v);
    const auto stops = [&](lv x) { return ordered ? x <= v : !(key < log.key(x)); };
    const leaf& l = leaves_[g.leaf];
    std::uint32_t i = g.span;
    if (g.offset > 0) {
        if (stops(l.spans[i].first + g.offset)) return g;
        ++i;
    }
    for (; i < l.spans.size(); ++i)
        if (stops(l.spans[i].first)) return {g.leaf, i, 0};
    std::uint32_t child = g.leaf;
    for (std::uint32_t id = l.parent; id != none; child = id, id = inners_[id].parent) {
        const inner* node = &inners_[id];
        for (i = slot(id, child) + 1; i < node->count; ++i) {
            if (!stops(node->least[i])) continue;
            while (!node->over_leaves) { // down, always to the first child that has such a key
                node = &inners_[node->child[i]];
                for (i = 0; !stops(node->least[i]);) ++i;
            }
            const std::uint32_t found = node->child[i];
            std::uint32_t k = 0;
            while (!stops(leaves_[found].spans[k].first)) ++k;
            if (k > 0) return {found, k, 0};
            // Between two leaves: the end of the former, where what is typed goes on.
            const std::uint32_t before = leaves_[found].before;
            return {before, static_cast<std::uint32_t>(leaves_[before].spans.size()), 0};
        }
    }
    return {last_leaf_, static_cast<std::uint32_t>(leaves_[last_leaf_].spans.size()), 0};
}

void text_tree::bury(place p, std::uint32_t n, const text_measure& m, const text_log& log) {
    cursor_.leaf = none;
    shrank(p.leaf, m);
    flip(p.leaf, p.span, p.offset, n, log);
    tidy(p.leaf, log);
}

void text_tree::revive(place p, std::uint32_t n, const text_measure& m, const text_log& log) {
    cursor_.leaf = none;
    grew(p.leaf, m);
    flip(p.leaf, p.span, p.offset, n, log);
    tidy(p.leaf, log);
}

void text_tree::bury_all(const text_log& log) {
    cursor_.leaf = none;
    settle();
    for (std::uint32_t id = first_leaf_; id != none; id = leaves_[id].after) {
        leaf& l = leaves_[id];
        std::size_t kept = 0;
        for (std::size_t i = 0; i < l.spans.size(); ++i) {
            span s = l.spans[i];
            if (s.live()) s.length = -s.length;
            if (i > 0 && connected(l.spans[kept], s, log))
                l.spans[kept].length += s.length;
            else
                l.spans[i == 0 ? 0 : ++kept] = s;
        }
        l.spans.erase(l.spans.begin() + kept + 1, l.spans.end());
        l.sum = {};
    }
    inners_.for_each([](inner& n) { std::fill_n(n.sum, n.count, text_measure{}); });
    total_ = {};
}

void text_tree::erase(place p, std::uint32_t n, const text_log& log) {
    cursor_.leaf = none;
    leaf& l = leaves_[p.leaf];
    const span s = l.spans[p.span];
    const lv first = s.first + p.offset;
    if (s.live()) shrank(p.leaf, log.measure(first, n));
    const auto length = [&](std::uint32_t count) {
        return s.live() ? static_cast<std::int32_t>(count) : -static_cast<std::int32_t>(count);
    };
    const std::uint32_t right = s.count() - p.offset - n;
    auto* at = l.spans.begin() + p.span;
    if (p.offset > 0) {
        at->length = length(p.offset);
        if (right > 0) l.spans.insert(at + 1, {first + n, length(right)});
    } else if (right > 0) {
        *at = {first + n, length(right)};
    } else {
        l.spans.erase(at);
        if (l.spans.empty()) return remove_leaf(p.leaf, log);
        if (p.span > 0) coalesce(l, p.span - 1, log);
    }
    if (l.least - first < n) find_least(p.leaf, log);
    tidy(p.leaf, log);
}

// ---- within a leaf ----

bool text_tree::connected(const span& a, const span& b, const text_log& log) {
    return a.behind() == b.first && a.live() == b.live() && !log.begins_stretch(b.first);
}

// Restores invariant 2 around span i, and returns where its characters are now.
std::uint32_t text_tree::coalesce(leaf& l, std::uint32_t i, const text_log& log) {
    const auto join_next = [&](std::uint32_t k) {
        if (k + 1 >= l.spans.size() || !connected(l.spans[k], l.spans[k + 1], log)) return false;
        l.spans[k].length += l.spans[k + 1].length;
        l.spans.erase(l.spans.begin() + k + 1);
        return true;
    };
    join_next(i);
    return i > 0 && join_next(i - 1) ? i - 1 : i;
}

text_tree::place text_tree::put(gap g, span s, const text_measure& m, const text_log& log) {
    leaf& l = leaves_[g.leaf];
    const bool first = l.spans.empty();
    std::uint32_t i = g.span;
    if (g.offset > 0) { // cut
        span right = l.spans[i];
        const auto offset = static_cast<std::int32_t>(right.live() ? g.offset : -g.offset);
        l.spans[i].length = offset;
        right.first += g.offset;
        right.length -= offset;
        l.spans.insert(l.spans.begin() + ++i, right);
    }
    place p{g.leaf, i, 0};
    if (i > 0 && connected(l.spans[i - 1], s, log)) {
        p = {g.leaf, i - 1, l.spans[i - 1].count()};
        l.spans[i - 1].length += s.length;
    } else {
        l.spans.insert(l.spans.begin() + i, s);
    }
    if (p.span + 1 < l.spans.size() && connected(l.spans[p.span], l.spans[p.span + 1], log)) coalesce(l, p.span, log);
    if (first || log.less(s.first, l.least)) lower(g.leaf, s.first, log);
    grew(g.leaf, m);
    if (findable_) index_.assign(s.first, s.count(), g.leaf, log.size());
    if (l.spans.size() > leaf_spans) p = split(g.leaf, p, log);
    recent_ = p;
    return p;
}

// Makes `n` characters of span i from `offset` on live, or dead if they were live. Returns where the span begins now,
// or the first of these characters if it began with them.
std::uint32_t text_tree::flip(std::uint32_t id, std::uint32_t i, std::uint32_t offset, std::uint32_t n,
                              const text_log& log) {
    leaf& l = leaves_[id];
    const span s = l.spans[i];
    const auto part = static_cast<std::int32_t>(s.live() ? n : -n);
    const auto left = static_cast<std::int32_t>(s.live() ? offset : -offset);
    const std::int32_t right = s.length - left - part;
    const span flipped{s.first + offset, -part};
    recent_ = {id, i, 0};
    if (left == 0 && right == 0) {
        l.spans[i].length = -part;
        i = coalesce(l, i, log);
    } else if (right == 0) {
        l.spans[i].length = left;
        if (i + 1 < l.spans.size() && connected(flipped, l.spans[i + 1], log)) {
            l.spans[i + 1].first -= n;
            l.spans[i + 1].length -= part;
        } else {
            l.spans.insert(l.spans.begin() + i + 1, flipped);
        }
    } else if (left == 0) {
        l.spans[i] = {s.first + n, right};
        if (i > 0 && connected(l.spans[i - 1], flipped, log))
            l.spans[i - 1].length -= part;
        else
            l.spans.insert(l.spans.begin() + i, flipped);
    } else {
        l.spans[i].length = left;
        const span both[] = {flipped, {flipped.behind(), right}};
        l.spans.insert(l.spans.begin() + i + 1, both, both + 2);
    }
    return i;
}

// ---- sums ----

void text_tree::settle_now() const {
    std::uint32_t child = std::exchange(unsettled_, none);
    const leaf& l = leaves_[child];
    std::uint32_t id = l.parent;
    if (id == none) return;
    const auto sum = [&](inner& n) -> text_measure& {
        if (n.recent >= n.count || n.child[n.recent] != child) n.recent = slot(id, child);
        return n.sum[n.recent];
    };
    const text_measure change = l.sum - sum(inners_[id]);
    for (; id != none; child = id, id = inners_[id].parent) sum(inners_[id]) += change;
}

// `least` has come into the leaf, and is its least.
void text_tree::lower(std::uint32_t id, lv least, const text_log& log) {
    leaves_[id].least = least;
    std::uint32_t child = id;
    for (id = leaves_[id].parent; id != none; child = id, id = inners_[id].parent) {
        lv& known = inners_[id].least[slot(id, child)];
        if (!log.less(least, known)) return;
        known = least;
    }
}

lv text_tree::least_of(const leaf& l, const text_log& log) {
    lv least = l.spans.front().first;
    if (log.ordered()) {
        for (const span& s : l.spans) least = std::min(least, s.first);
        return least;
    }
    text_key least_key = log.key(least);
    for (const span& s : l.spans)
        if (const text_key key = log.key(s.first); key < least_key) {
            least = s.first;
            least_key = key;
        }
    return least;
}

lv text_tree::least_of(const inner& n, const text_log& log) {
    lv least = n.least[0];
    for (std::uint32_t i = 1; i < n.count; ++i)
        if (log.less(n.least[i], least)) least = n.least[i];
    return least;
}

// The least key of a leaf has gone.
void text_tree::find_least(std::uint32_t id, const text_log& log) {
    lv least = leaves_[id].least = least_of(leaves_[id], log);
    std::uint32_t child = id;
    for (id = leaves_[id].parent; id != none; child = id, id = inners_[id].parent) {
        inners_[id].least[slot(id, child)] = least;
        least = least_of(inners_[id], log);
    }
}

std::size_t text_tree::memory() const {
    std::size_t sum = leaves_.memory() + inners_.memory() + index_.memory();
    leaves_.for_each([&](const leaf& l) {
        if (l.spans.capacity() > 2) sum += l.spans.capacity() * sizeof(span) + 16;
    });
    return sum;
}

} // namespace joinery::detail
