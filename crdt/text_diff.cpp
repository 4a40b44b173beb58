// SPDX-License-Identifier: Apache-2.0
#include <joinery/text_diff.hpp>

#include "utf8.hpp"

#include <algorithm>
#include <cstdint>
#include <unordered_map>

namespace joinery {

namespace {

/// from[a, a + na) becomes to[b, b + nb).
struct hunk {
    std::size_t a = 0, na = 0, b = 0, nb = 0;
};

// Myers' greedy algorithm on two sequences, given up after `max_d` differences or when `budget` steps are
// used up, which all calls of one diff share. Its trace takes max_d^2 / 2 numbers.
template <class Seq>
std::optional<std::vector<hunk>> myers(const Seq& from, const Seq& to, std::size_t max_d, std::size_t& budget) {
    const auto n = static_cast<std::int64_t>(from.size()), m = static_cast<std::int64_t>(to.size());
    const auto limit = static_cast<std::int64_t>(std::min<std::size_t>(max_d, from.size() + to.size()));
    std::vector<std::int64_t> furthest(static_cast<std::size_t>(2 * limit + 3), 0);
    auto at = [&](std::int64_t k) -> std::int64_t& { return furthest[static_cast<std::size_t>(k + limit + 1)]; };
    std::vector<std::vector<std::int32_t>> trace; // the furthest x on diagonals -d, -d + 2, ..., d for each d
    std::int64_t d = 0;
    bool found = false;
    for (; d <= limit && !found; ++d) {
        auto& row = trace.emplace_back();
        row.reserve(static_cast<std::size_t>(d + 1));
        for (std::int64_t k = -d; k <= d; k += 2) {
            std::int64_t x = d == 0 ? 0 : k == -d || (k != d && at(k - 1) < at(k + 1)) ? at(k + 1) : at(k - 1) + 1;
            const std::int64_t start = x;
            while (x < n && x - k < m && from[static_cast<std::size_t>(x)] == to[static_cast<std::size_t>(x - k)]) ++x;
            const auto steps = static_cast<std::size_t>(x - start + 1);
            if (steps > budget) return std::nullopt;
            budget -= steps;
            at(k) = x;
            row.push_back(static_cast<std::int32_t>(std::min<std::int64_t>(x, n + 1)));
            if (x >= n && x - k >= m) found = true;
            if (found) break;
        }
    }
    if (!found) return std::nullopt;

    // Back along the trace: each step is one insertion or deletion, then a diagonal.
    std::vector<hunk> steps;
    std::int64_t x = n, y = m;
    for (--d; d > 0; --d) {
        const auto& row = trace[static_cast<std::size_t>(d - 1)];
        auto before = [&](std::int64_t k) -> std::int64_t { // -1: outside
            return k < -(d - 1) || k > d - 1 ? -1 : row[static_cast<std::size_t>((k + d - 1) / 2)];
        };
        const std::int64_t k = x - y;
        const bool down = k == -d || (k != d && before(k - 1) < before(k + 1));
        const std::int64_t k0 = down ? k + 1 : k - 1;
        const std::int64_t x0 = before(k0), y0 = x0 - k0;
        steps.push_back({static_cast<std::size_t>(x0), down ? 0u : 1u, static_cast<std::size_t>(y0), down ? 1u : 0u});
        x = x0;
        y = y0;
    }
    std::vector<hunk> out;
    for (auto s = steps.rbegin(); s != steps.rend(); ++s) {
        if (!out.empty() && out.back().a + out.back().na == s->a && out.back().b + out.back().nb == s->b) {
            out.back().na += s->na;
            out.back().nb += s->nb;
        } else {
            out.push_back(*s);
        }
    }
    return out;
}

std::vector<std::u32string_view> lines_of(std::u32string_view text) {
    std::vector<std::u32string_view> out;
    while (!text.empty()) {
        const std::size_t end = std::min(text.find(U'\n'), text.size() - 1) + 1;
        out.push_back(text.substr(0, end));
        text.remove_prefix(end);
    }
    return out;
}

std::size_t length(const std::vector<std::u32string_view>& lines, std::size_t first, std::size_t n) {
    std::size_t sum = 0;
    for (std::size_t i = first; i < first + n; ++i) sum += lines[i].size();
    return sum;
}

// Cuts off what both begin and end with.
hunk trimmed(std::u32string_view from, std::u32string_view to, hunk h) {
    const auto f = from.substr(h.a, h.na), t = to.substr(h.b, h.nb);
    std::size_t same = 0;
    while (same < f.size() && same < t.size() && f[same] == t[same]) ++same;
    std::size_t tail = 0;
    while (tail < f.size() - same && tail < t.size() - same && f[f.size() - 1 - tail] == t[t.size() - 1 - tail]) ++tail;
    return {h.a + same, f.size() - same - tail, h.b + same, t.size() - same - tail};
}

constexpr std::size_t most_changed_lines = 3000;
constexpr std::size_t most_changed_characters = 2000;
constexpr std::size_t most_steps = 20'000'000;

} // namespace

std::vector<text_edit> text_diff(std::u32string_view from, std::u32string_view to) {
    std::vector<text_edit> out;
    std::size_t budget = most_steps;
    const hunk middle = trimmed(from, to, {0, from.size(), 0, to.size()});

    // Lines: equal ones get equal numbers. The middle is widened to whole lines, which adds the same to both.
    std::size_t start = middle.a, end_a = middle.a + middle.na, end_b = middle.b + middle.nb;
    while (start > 0 && from[start - 1] != U'\n') --start;
    auto within_line = [](std::u32string_view text, std::size_t i) { return i > 0 && text[i - 1] != U'\n'; };
    while (end_a < from.size() && (within_line(from, end_a) || within_line(to, end_b))) ++end_a, ++end_b;
    const auto old_lines = lines_of(from.substr(start, end_a - start));
    const auto new_lines = lines_of(to.substr(start, end_b - start));
    std::unordered_map<std::u32string_view, std::uint32_t> numbers;
    auto number = [&](const std::vector<std::u32string_view>& lines) {
        std::vector<std::uint32_t> ids;
        ids.reserve(lines.size());
        for (auto line : lines) ids.push_back(numbers.try_emplace(line, numbers.size()).first->second);
        return ids;
    };
    const auto old_ids = number(old_lines), new_ids = number(new_lines);
    const auto changed = myers(old_ids, new_ids, most_changed_lines, budget);

    std::vector<hunk> pieces;
    if (!changed) {
        pieces.push_back(middle);
    } else {
        std::size_t a = start, b = start, line_a = 0, line_b = 0;
        for (const auto& h : *changed) {
            a += length(old_lines, line_a, h.a - line_a);
            b += length(new_lines, line_b, h.b - line_b);
            const hunk piece{a, length(old_lines, h.a, h.na), b, length(new_lines, h.b, h.nb)};
            pieces.push_back(trimmed(from, to, piece));
            a += piece.na;
            b += piece.nb;
            line_a = h.a + h.na;
            line_b = h.b + h.nb;
        }
    }

    // Characters. A piece of which little is left is replaced: single letters that happen to be equal are
    // not what anybody kept.
    for (const auto& p : pieces) {
        std::optional<std::vector<hunk>> inside;
        const auto f = from.substr(p.a, p.na), t = to.substr(p.b, p.nb);
        if (p.na && p.nb) inside = myers(f, t, std::min(most_changed_characters, (p.na + p.nb) * 3 / 4), budget);
        if (!inside) inside = std::vector<hunk>{{0, p.na, 0, p.nb}};
        for (const auto& h : *inside)
            if (h.na || h.nb) out.push_back({p.a + h.a, h.na, std::u32string(t.substr(h.b, h.nb))});
    }
    return out;
}

std::vector<text_edit> carry_over(const std::vector<text_edit>& edits, std::u32string_view base,
                                  std::u32string_view current) {
    if (base == current) return edits;
    // Where each character of the base is now; none if it has been erased.
    constexpr auto gone = static_cast<std::size_t>(-1);
    std::vector<std::size_t> now(base.size(), gone);
    std::size_t from = 0, to = 0;
    auto keep_until = [&](std::size_t end) {
        while (from < end) now[from++] = to++;
    };
    for (const auto& theirs : text_diff(base, current)) {
        keep_until(theirs.position);
        from += theirs.erased;
        to += theirs.inserted.size();
    }
    keep_until(base.size());

    std::vector<text_edit> out;
    auto add = [&](std::size_t position, std::size_t erased, std::u32string_view inserted) {
        if (!out.empty() && out.back().position + out.back().erased == position) {
            out.back().erased += erased;
            out.back().inserted += inserted;
        } else {
            out.push_back({position, erased, std::u32string(inserted)});
        }
    };
    for (const auto& e : edits) {
        std::size_t before = e.position;
        while (before > 0 && now[before - 1] == gone) --before;
        if (!e.inserted.empty()) add(before == 0 ? 0 : now[before - 1] + 1, 0, e.inserted);
        for (std::size_t i = e.position; i < e.position + e.erased; ++i)
            if (now[i] != gone) add(now[i], 1, {});
    }
    return out;
}

std::u32string edited(std::u32string_view text, const std::vector<text_edit>& edits) {
    std::u32string out;
    std::size_t at = 0;
    for (const auto& e : edits) {
        out += text.substr(at, e.position - at);
        out += e.inserted;
        at = e.position + e.erased;
    }
    out += text.substr(at);
    return out;
}

std::optional<std::u32string> decode_utf8(std::string_view bytes, std::size_t* bad) {
    std::u32string out;
    out.reserve(bytes.size());
    for (std::size_t i = 0; i < bytes.size();) {
        const std::size_t n = std::min(detail::utf8_length(bytes[i]), bytes.size() - i);
        if (!detail::measure_utf8(bytes.substr(i, n))) {
            if (bad) *bad = i;
            return std::nullopt;
        }
        const auto lead = static_cast<unsigned char>(bytes[i]);
        char32_t c = n == 1 ? lead : lead & (0x7fu >> n);
        for (std::size_t k = 1; k < n; ++k) c = c << 6 | (static_cast<unsigned char>(bytes[i + k]) & 0x3fu);
        out += c;
        i += n;
    }
    return out;
}

std::string encode_utf8(std::u32string_view text) {
    std::string out;
    auto put = [&](char32_t c) { out += static_cast<char>(c); };
    for (char32_t c : text) {
        if (c < 0x80) {
            put(c);
        } else if (c < 0x800) {
            put(0xc0 | c >> 6);
            put(0x80 | (c & 0x3f));
        } else if (c < 0x10000) {
            put(0xe0 | c >> 12);
            put(0x80 | (c >> 6 & 0x3f));
            put(0x80 | (c & 0x3f));
        } else {
            put(0xf0 | c >> 18);
            put(0x80 | (c >> 12 & 0x3f));
            put(0x80 | (c >> 6 & 0x3f));
            put(0x80 | (c & 0x3f));
        }
    }
    return out;
}

} // namespace joinery
