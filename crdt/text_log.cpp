// SPDX-License-Identifier: Apache-2.0
#include "text_log.hpp"

#include "utf8.hpp"

#include <algorithm>
#include <stdexcept>

namespace joinery::detail {

// ---- who is who ----

std::size_t text_log::earlier_stretch(lv v) const {
    const auto behind =
        std::upper_bound(stretches_.begin(), stretches_.end(), v, [](lv x, const stretch& s) { return x < s.first; });
    return static_cast<std::size_t>(behind - stretches_.begin()) - 1;
}

const text_log::writer* text_log::known(replica_id id) const {
    const auto at = std::lower_bound(by_id_.begin(), by_id_.end(), id,
                                     [&](std::uint32_t w, replica_id x) { return writers_[w].id < x; });
    return at == by_id_.end() || writers_[*at].id != id ? nullptr : &writers_[*at];
}

std::uint32_t text_log::writer_of(replica_id id) {
    const auto at = std::lower_bound(by_id_.begin(), by_id_.end(), id,
                                     [&](std::uint32_t w, replica_id x) { return writers_[w].id < x; });
    if (at != by_id_.end() && writers_[*at].id == id) return *at;
    const auto w = static_cast<std::uint32_t>(writers_.size());
    by_id_.insert(at, w);
    writers_.push_back({id, {}});
    return w;
}

std::optional<text_log::piece> text_log::next(const dot_range& within) const {
    const writer* w = known(within.replica);
    if (!w) return std::nullopt;
    const auto& own = w->stretches;
    if (own.empty()) return std::nullopt;
    auto at = own.end();
    if (stretches_[own.back()].seq > within.first) // seldom: what is wanted is recent
        at = std::upper_bound(own.begin(), own.end(), within.first,
                              [&](std::uint64_t seq, std::uint32_t s) { return seq < stretches_[s].seq; });
    if (at != own.begin()) {
        const stretch& s = stretches_[at[-1]];
        const std::uint64_t offset = within.first - s.seq;
        const lv n = stretch_end(at[-1]) - s.first;
        if (offset < n)
            return piece{s.first + static_cast<lv>(offset), within.first, s.lamport + offset,
                         static_cast<std::uint32_t>(std::min<std::uint64_t>(n - offset, within.size()))};
    }
    if (at == own.end() || stretches_[*at].seq > within.last) return std::nullopt;
    const stretch& s = stretches_[*at];
    return piece{
        s.first, s.seq, s.lamport,
        static_cast<std::uint32_t>(std::min<std::uint64_t>(stretch_end(*at) - s.first, within.last - s.seq + 1))};
}

std::optional<lv> text_log::find(dot d) const {
    const auto p = next(dot_range(d));
    return p ? std::optional(p->first) : std::nullopt;
}

// ---- what they did ----

std::size_t text_log::entry_of(lv v) const {
    const std::size_t last = entries_.size() - 1; // what is asked for is mostly recent
    for (std::size_t i = 0; i < 3 && i <= last; ++i)
        if (v >= entries_[last - i].first) return last - i;
    const entry* at = entries_.data();
    for (std::size_t n = last; n > 1;) { // no branch to be predicted
        const std::size_t half = n / 2;
        at = at[half].first <= v ? at + half : at;
        n -= half;
    }
    return static_cast<std::size_t>(at - entries_.data());
}

void text_log::too_many() { throw std::length_error("rga_text: too many characters and deletions"); }

void text_log::begin_stretch(const dot& first, std::uint64_t lamport) {
    const std::uint32_t w = writer_of(first.replica);
    const auto index = static_cast<std::uint32_t>(stretches_.size());
    auto& own = writers_[w].stretches;
    stretches_.push_back({size_, w, first.seq, lamport});
    auto at = own.end();
    while (at != own.begin() && stretches_[at[-1]].seq > first.seq) --at;
    own.insert(at, index);
    tail_replica_ = first.replica;
    tail_seq_ = first.seq;
    tail_lamport_ = lamport;
}

lv text_log::insert(const dot& first, std::uint64_t lamport, std::uint32_t n, lv parent, bool live) {
    const lv v = enter(first, lamport, n, parent, live ? kind::typed : kind::buried);
    if (live) characters_.expect(n);
    return v;
}

// Makes an entry begin at `v`.
std::size_t text_log::cut(lv v) {
    if (v == size_) return entries_.size();
    const std::size_t i = entry_of(v);
    entry& left = entries_[i];
    if (left.first == v) return i;
    entry right = left;
    const lv offset = v - left.first;
    right.first = v;
    switch (what(left)) {
    case kind::typed: right.characters += offset; [[fallthrough]];
    case kind::buried: right.to = (v - 1) & max_lv; break;
    case kind::erased_forward: right.to = (right.to + offset) & max_lv; break;
    case kind::erased_backward: left.to = (left.to + (end(i) - v)) & max_lv; break;
    case kind::gone: break;
    }
    entries_.insert(entries_.begin() + static_cast<std::ptrdiff_t>(i) + 1, right);
    return i + 1;
}

void text_log::forget(lv first, std::uint32_t n) {
    typing_ = false;
    std::size_t begin = cut(first);
    const std::size_t behind = cut(first + n);
    for (std::size_t i = begin; i < behind; ++i) {
        entry& e = entries_[i];
        if (what(e) == kind::typed) set_dead_bits(e.first, end(i) - e.first, true);
        if (what(e) != kind::gone) forgotten_ += end(i) - e.first;
        set(e, kind::gone);
    }
    // One entry for all that is gone of one run of dots.
    if (begin > 0 && what(entries_[begin - 1]) == kind::gone) --begin;
    std::size_t kept = begin;
    for (std::size_t i = begin + 1; i < behind; ++i)
        if (stretch_of(entries_[i].first) != stretch_of(entries_[kept].first)) entries_[++kept] = entries_[i];
    entries_.erase(entries_.begin() + static_cast<std::ptrdiff_t>(kept) + 1,
                   entries_.begin() + static_cast<std::ptrdiff_t>(behind));
    first_erased_ = std::min(first_erased_, begin);
    while (first_erased_ < entries_.size() && !erased(entries_[first_erased_])) ++first_erased_;
}

// ---- characters ----

void text_log::fill(std::string_view text) {
    characters_.fill(text);
    for (std::size_t i = 0; i < entries_.size(); ++i) {
        const entry& e = entries_[i];
        if (what(e) == kind::typed) mark_text(e.first, characters_.text(e.characters, end(i) - e.first));
    }
}

// Of new characters, those that are not plain.
void text_log::mark_text(lv first, std::string_view text) {
    for (lv c = first;; ++c) {
        const std::size_t plain = plain_prefix(text);
        if (plain == text.size()) return;
        c += static_cast<lv>(plain);
        set_bit(marked_, c);
        text.remove_prefix(plain + utf8_length(text[plain]));
    }
}

void text_log::set_dead_bits(lv first, std::uint32_t n, bool dead) {
    const std::uint32_t before = count_bits(dead_, first, n);
    if (dead) {
        make_words(dead_, first + n);
        set_bits(dead_, first, n);
        dead_characters_ += n - before;
    } else {
        clear_bits(dead_, first, n);
        dead_characters_ -= before;
    }
}

text_measure text_log::set_dead(lv first, std::uint32_t n, bool dead) {
    text_measure sum;
    for (std::size_t i = entry_of(first); n > 0; ++i) {
        const lv part = std::min(n, end(i) - first);
        if (what(entries_[i]) == kind::typed) {
            set_dead_bits(first, part, dead);
            sum += measure(first, part);
        }
        first += part;
        n -= part;
    }
    return sum;
}

void text_log::revive(lv first, std::uint32_t n, std::string_view text) {
    typing_ = false;
    const std::size_t begin = cut(first), behind = cut(first + n);
    for (std::size_t i = begin; i < behind; ++i) {
        entry& e = entries_[i];
        const lv count = end(i) - e.first;
        const std::string_view part = text.substr(0, utf8_prefix(text, count));
        text.remove_prefix(part.size());
        set(e, kind::typed);
        e.characters = characters_.size();
        clear_bits(dead_, e.first, count); // the characters that they had remain dead
        clear_bits(marked_, e.first, count);
        append(e.first, part, count);
    }
}

text_measure text_log::measure_marked(lv first, std::uint32_t n) const {
    text_measure sum;
    for (std::size_t i = entry_of(first); n > 0; ++i) {
        const entry& e = entries_[i];
        const lv part = std::min(n, end(i) - first);
        sum += characters_.measure(e.characters + (first - e.first), part);
        first += part;
        n -= part;
    }
    return sum;
}

// ---- going back ----

void text_log::go_back(const mark& m) {
    characters_.truncate(m.characters);
    if (m.size < size_) {
        dead_characters_ -= count_bits(dead_, m.size, size_ - m.size);
        truncate_bits(dead_, m.size);
        truncate_bits(marked_, m.size);
        if (m.size > 0) {
            const std::size_t i = entry_of(m.size - 1);
            if (what(entries_[i]) == kind::erased_backward)
                entries_[i].to = (entries_[i].to + (end(i) - m.size)) & max_lv;
        }
        while (!entries_.empty() && entries_.back().first >= m.size) entries_.pop_back();
        for (; !stretches_.empty() && stretches_.back().first >= m.size; stretches_.pop_back())
            std::erase(writers_[stretches_.back().writer].stretches, static_cast<std::uint32_t>(stretches_.size() - 1));
        first_erased_ = std::min(first_erased_, entries_.size());
    }
    size_ = m.size;
    greatest_ = m.greatest;
    ordered_ = m.ordered;
    typing_ = false;
    tail_seq_ = 0;
    if (stretches_.empty()) return;
    const stretch& s = stretches_.back();
    tail_replica_ = writers_[s.writer].id;
    tail_seq_ = s.seq + (size_ - s.first);
    tail_lamport_ = s.lamport + (size_ - s.first);
}

std::size_t text_log::memory() const {
    std::size_t sum = stretches_.capacity() * sizeof(stretch) + writers_.capacity() * sizeof(writer) +
                      by_id_.capacity() * sizeof(std::uint32_t) + entries_.capacity() * sizeof(entry) +
                      characters_.memory() + (dead_.capacity() + marked_.capacity()) * sizeof(std::uint64_t);
    for (const auto& w : writers_) sum += w.stretches.capacity() * sizeof(std::uint32_t);
    return sum;
}

} // namespace joinery::detail
