// SPDX-License-Identifier: Apache-2.0
#pragma once

// What happened to a text, in the order in which it arrived here: every dot, of a character or of a deletion, has a
// local version (lv), and what is kept of it is found by that. Nothing in here knows where a character stands; that
// is text_tree.hpp.
//
// Three tables, each of runs as long as they can be, that are nearly always only added to: which dots the lvs are,
// what they did, and the characters that came with text. A character keeps its bytes until the log is made anew
// (text_engine::compact), so that undoing a deletion copies nothing. What died is a bit for each lv, and so is which
// characters are not plain (ASCII and no end of a line): most of what is deleted is measured by that alone.
//
// Finding a dot or an lv takes O(log n) in the number of runs, the most recent ones O(1).

#include "text_bits.hpp"
#include "text_characters.hpp"
#include "text_runs.hpp"
#include "utf8.hpp"

#include <joinery/dot.hpp>
#include <joinery/text_fragment.hpp>

#include <algorithm>
#include <bit>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

namespace joinery::detail {

/// Local version: a dot's number in order of arrival.
using lv = std::uint32_t;

/// What siblings are ordered by.
struct text_key {
    std::uint64_t lamport = UINT64_MAX;
    replica_id replica{UINT64_MAX};
    std::uint64_t seq = UINT64_MAX; // tells apart only what is forged
    friend constexpr auto operator<=>(const text_key&, const text_key&) = default;
};

class text_log {
public:
    static constexpr lv max_size = (lv{1} << 29) - 2;
    static constexpr lv none = max_size;         ///< as a parent: the start of the text
    static constexpr lv not_kept = max_size + 1; ///< as a parent: one that was forgotten
    enum class kind : std::uint8_t {
        typed,           ///< characters, with their text
        buried,          ///< characters that came as tombstones
        erased_forward,  ///< deletions, each of the character behind the last one's
        erased_backward, ///< deletions, each of the character before the last one's
        gone             ///< forgotten
    };
    /// Some events of one kind, one after the other, whose dots and Lamport numbers are consecutive.
    struct events {
        kind what;
        lv first;
        lv last;
        lv to; ///< the first one's parent (each of the others is the child of the one before), or the first one's
               ///< target
        std::uint32_t characters; ///< of typed ones: the first one's number in text()
        dot dots;                 ///< the first one's
        std::uint64_t lamport;    ///< the first one's
        std::uint32_t count() const { return last - first + 1; }
        bool inserted() const { return what == kind::typed || what == kind::buried; }
        bool erased() const { return what == kind::erased_forward || what == kind::erased_backward; }
    };
    struct identity {
        dot id;
        std::uint64_t lamport;
        lv last; ///< how far the dots that follow are the lvs that follow
    };

    lv size() const { return size_; }
    [[noreturn]] static void too_many();
    bool has_room(std::uint64_t events) const { return events <= max_size - size_; }
    const text_characters& text() const { return characters_; }
    /// How many of them nobody reads any more.
    std::uint32_t dead_characters() const { return dead_characters_; }

    identity identify(lv v) const {
        const stretch_view in = view(stretch_of(v));
        return {{in.writer, in.seq + (v - in.first)}, in.lamport + (v - in.first), in.end - 1};
    }
    text_key key(lv v) const {
        const identity i = identify(v);
        return {i.lamport, i.id.replica, i.id.seq};
    }
    /// True if the dots of v and of the lv before it are not consecutive, or their Lamport numbers are not.
    bool begins_stretch(lv v) const { return stretches_[stretch_of(v)].first == v; }
    /// True if the lesser of two characters' lvs always has the lesser key.
    bool ordered() const { return ordered_; }
    bool less(lv a, lv b) const { return ordered_ ? a < b : key(a) < key(b); }
    /// The lv of a dot, whatever it did.
    std::optional<lv> find(dot d) const;
    /// The first of these dots that have lvs, with those that follow in both.
    struct piece {
        lv first;
        std::uint64_t seq;
        std::uint64_t lamport; ///< the first one's
        std::uint32_t count;
    };
    std::optional<piece> next(const dot_range& within) const;

    /// What `v` did, and those behind it until `last`, as far as one entry goes.
    events at(lv v, lv last) const { return at(entry_of(v), v, last); }
    /// Calls f(const events&) for what the lvs `first` to `last` did, in order.
    template <class F> void for_each(lv first, lv last, F&& f) const {
        for_each(entry_of(first), first, last, std::forward<F>(f));
    }
    /// The same, and where to look for what follows: `near` is an entry not behind the one of `first`, and not far
    /// before.
    template <class F> std::size_t for_each(std::size_t near, lv first, lv last, F&& f) const {
        while (end(near) <= first) ++near;
        const entry* e = &entries_[near];
        const entry* const behind = entries_.data() + entries_.size();
        for (stretch_view in = view(stretch_of(first)); first <= last; ++e) {
            if (in.end <= first) in = view(in.index + 1);
            const events did = at(*e, e + 1 < behind ? e[1].first : size_, first, last, in);
            f(did);
            first = did.last + 1;
        }
        return static_cast<std::size_t>(e - entries_.data()) - 1;
    }
    /// How many entries tell what the lvs `first` to `last` did: of insertions, and of deletions.
    std::pair<std::size_t, std::size_t> entries(lv first, lv last) const {
        std::pair<std::size_t, std::size_t> n;
        for (std::size_t i = entry_of(first); i < entries_.size() && entries_[i].first <= last; ++i)
            ++(erased(entries_[i]) ? n.second : n.first);
        return n;
    }
    /// An entry not behind the one of what is inserted next.
    std::size_t entry_of_next() const { return entries_.empty() ? 0 : entries_.size() - 1; }
    /// Calls f(replica_id) for everybody who has dots here.
    template <class F> void for_each_writer(F&& f) const {
        for (const auto& w : writers_) f(w.id);
    }
    /// Calls f(const events&) for all deletions.
    template <class F> void for_each_erased(F&& f) const {
        for (std::size_t i = first_erased_; i < entries_.size(); ++i)
            if (erased(entries_[i])) f(at(i, entries_[i].first, end(i) - 1));
    }
    /// Some deletions as others see them: calls f(const text_deletion&) for each run of targets.
    template <class F> void for_each_deletion(const events& e, F&& f) const {
        const bool backward = e.what == kind::erased_backward;
        for (std::uint32_t done = 0; done < e.count();) {
            const lv target = backward ? e.to - done : e.to + done;
            const stretch_view in = view(stretch_of(target));
            const std::uint32_t n = std::min(e.count() - done, backward ? target - in.first + 1 : in.end - target);
            f(text_deletion{advanced(e.dots, done),
                            {in.writer, in.seq + (target - in.first)},
                            n,
                            e.lamport + done,
                            backward && n > 1});
            done += n;
        }
    }

    /// True if an event with this dot and Lamport number continues the last run of dots.
    bool continues(const dot& d, std::uint64_t lamport) const {
        return d.seq == tail_seq_ && lamport == tail_lamport_ && d.replica == tail_replica_ && size_ > 0;
    }
    /// True if the last event was a character that came with text, so that the next can follow it.
    bool typing() const { return typing_; }
    replica_id last_writer() const { return tail_replica_; }
    /// Characters, each the child of the one before. `text` is empty if they are tombstones. Throws std::length_error
    /// if there are too many.
    lv insert(const dot& first, std::uint64_t lamport, std::uint32_t n, lv parent, std::string_view text) {
        const lv v = enter(first, lamport, n, parent, text.empty() ? kind::buried : kind::typed);
        if (!text.empty()) append(v, text, n);
        return v;
    }
    /// The same, with text. Returns what it measures.
    text_measure type(const dot& first, std::uint64_t lamport, std::uint32_t n, lv parent, std::string_view text) {
        const lv v = enter(first, lamport, n, parent, kind::typed);
        return append(v, text, n) ? text_measure{n, n, 0, 0} : measure(v, n);
    }
    /// The same, live or tombstones: the text of all that live comes later, at once.
    lv insert(const dot& first, std::uint64_t lamport, std::uint32_t n, lv parent, bool live);
    void fill(std::string_view text);
    /// Characters that continue the last ones, which came with text. O(n).
    void extend(std::string_view text, std::uint32_t n) {
        if (!has_room(n)) too_many();
        tail_seq_ += n;
        tail_lamport_ += n;
        size_ += n;
        append(size_ - n, text, n);
        came(tail_lamport_ - n, {tail_replica_, tail_seq_ - n}, n);
    }
    /// True if these are the dots of the last events.
    bool ends_with(const dot_range& r) const {
        return r.last + 1 == tail_seq_ && r.replica == tail_replica_ && r.size() <= size_;
    }
    /// How many of the last events are characters of one run, the child of its first one and so on.
    std::uint32_t typed_on() const { return typing_ ? size_ - entries_.back().first - 1 : 0; }
    bool any_dead(lv first) const { return first / 64 < dead_.size() && any_bits(dead_, first, size_ - first); }
    std::uint64_t next_lamport() const { return tail_lamport_; }
    /// These events, if they are the last ones.
    std::optional<events> last(const dot_range& r) const {
        if (r.last + 1 != tail_seq_ || r.replica != tail_replica_ || size_ == 0) return std::nullopt;
        const entry& e = entries_.back();
        const std::uint64_t n = r.size();
        if (n > size_ - e.first) return std::nullopt;
        const lv v = size_ - static_cast<lv>(n), offset = v - e.first;
        lv to = e.to;
        if (what(e) == kind::erased_forward)
            to += offset;
        else if (what(e) == kind::erased_backward)
            to += size_ - 1 - v;
        else if (offset > 0)
            to = v - 1;
        return events{what(e), v, size_ - 1, to, e.characters + offset, {r.replica, r.first}, tail_lamport_ - n};
    }
    /// Deletions of the characters from `target` on, forward or backward.
    void erase(const dot& first, std::uint64_t lamport, std::uint32_t n, lv target, bool backward = false) {
        typing_ = false;
        const lv v = size_;
        const bool same = number(first, lamport, n);
        size_ += n;
        if (same && erased(entries_.back()) && extend_erased(entries_.back(), v, n, target, backward)) return;
        entries_.push_back(backward ? made(v, target - (n - 1), kind::erased_backward, 0)
                                    : made(v, target, kind::erased_forward, 0));
    }
    /// How many characters, this one and those before it, are of one entry.
    std::uint32_t reach_back(lv v) const { return v - entries_[entry_of(v)].first + 1; }

    /// Live characters die. Returns what they measured.
    text_measure bury_live(lv first, std::uint32_t n) {
        make_words(dead_, first + n);
        dead_characters_ += n;
        const std::size_t word = first / 64;
        if (first % 64 + n <= 64) { // as nearly always
            const std::uint64_t mask = ~std::uint64_t{0} >> (64 - n) << (first % 64);
            dead_[word] |= mask;
            if (word >= marked_.size() || (marked_[word] & mask) == 0) return {n, n, 0, 0};
        } else {
            set_bits(dead_, first, n);
        }
        return measure(first, n);
    }
    /// Characters die, or come alive again with the text that they had. Returns what they measure.
    text_measure bury(lv first, std::uint32_t n) { return set_dead(first, n, true); }
    text_measure unbury(lv first, std::uint32_t n) { return set_dead(first, n, false); }
    /// Characters come alive with this text.
    void revive(lv first, std::uint32_t n, std::string_view text);
    void forget(lv first, std::uint32_t n);
    /// The parent of a character is not what was said.
    void forget_parent(lv v) { entries_[cut(v)].to = not_kept; }
    /// How many runs all events are kept as.
    std::size_t runs() const { return entries_.size(); }
    /// How many events are gone.
    std::uint32_t forgotten() const { return forgotten_; }

    /// Of characters: how many from `v` on are all alive or all dead.
    struct liveness {
        bool live;
        std::uint32_t count;
    };
    liveness lives(const events& e, lv v) const {
        const std::uint32_t n = e.last - v + 1;
        if (e.what != kind::typed) return {false, n};
        const std::uint64_t word = v / 64 < dead_.size() ? dead_[v / 64] >> (v % 64) : 0;
        const bool live = (word & 1) == 0;
        const auto alike = static_cast<std::uint32_t>(std::countr_zero(live ? word : ~word));
        const std::uint32_t here = 64 - v % 64;
        return {live, alike < here || n <= here ? std::min(alike, n) : alike_bits(dead_, v, n)};
    }

    /// Of characters that came with text.
    text_measure measure(lv first, std::uint32_t n) const {
        const std::uint32_t marked = n == 1 ? has_bit(marked_, first) : count_bits(marked_, first, n);
        if (marked == 0 || characters_.ascii()) return {n, n, 0, marked};
        return measure_marked(first, n);
    }
    /// Calls f(lv, std::uint32_t count, std::string_view) for their text.
    template <class F> void for_each_text(lv first, std::uint32_t n, F&& f) const {
        for_each(first, first + n - 1,
                 [&](const events& e) { f(e.first, e.count(), characters_.text(e.characters, e.count())); });
    }

    /// A state to which the log can be taken back while there was nothing but insertions, deletions and burials.
    struct mark {
        lv size = 0;
        std::uint32_t characters = 0;
        text_key greatest{};
        bool ordered = true;
    };
    mark here() const { return {size_, characters_.size(), greatest_, ordered_}; }
    void go_back(const mark& m);

    std::size_t memory() const;

private:
    struct stretch { // of dots
        lv first;
        std::uint32_t writer;
        std::uint64_t seq;
        std::uint64_t lamport;
    };
    struct writer {
        replica_id id;
        std::vector<std::uint32_t> stretches; // by seq
    };
    struct entry { // within one stretch
        lv first;
        std::uint32_t to : 29; // parent; first target of a forward run; last target of a backward one
        std::uint32_t what : 3;
        std::uint32_t characters;
    };

    std::vector<stretch> stretches_;
    std::vector<writer> writers_;
    std::vector<std::uint32_t> by_id_; // writers
    std::vector<entry> entries_;
    text_characters characters_;
    text_bits dead_;   // lvs of characters that came with text and died
    text_bits marked_; // and of those that are not plain: not ASCII, or the end of a line
    std::uint32_t dead_characters_ = 0;
    lv size_ = 0;
    std::uint32_t forgotten_ = 0;
    std::size_t first_erased_ = 0; // no entry before it is a deletion
    bool ordered_ = true;
    bool typing_ = false;
    replica_id tail_replica_{}; // what would come next
    std::uint64_t tail_seq_ = 0;
    std::uint64_t tail_lamport_ = 0;
    text_key greatest_{0, replica_id{}, 0};

    static constexpr lv max_lv = (lv{1} << 29) - 1; // what fits into an entry

    static kind what(const entry& e) { return static_cast<kind>(e.what); }
    static bool erased(const entry& e) { return what(e) == kind::erased_forward || what(e) == kind::erased_backward; }
    static void set(entry& e, kind k) { e.what = static_cast<std::uint32_t>(k) & 7u; }
    static entry made(lv first, lv to, kind k, std::uint32_t characters) {
        return {first, to & max_lv, static_cast<std::uint32_t>(k) & 7u, characters};
    }
    lv end(std::size_t entry) const { return entry + 1 < entries_.size() ? entries_[entry + 1].first : size_; }
    lv stretch_end(std::size_t s) const { return s + 1 < stretches_.size() ? stretches_[s + 1].first : size_; }
    std::size_t entry_of(lv v) const;
    struct stretch_view {
        std::size_t index;
        lv first;
        lv end;
        replica_id writer;
        std::uint64_t seq;
        std::uint64_t lamport;
    };
    stretch_view view(std::size_t i) const {
        const stretch& s = stretches_[i];
        return {i, s.first, stretch_end(i), writers_[s.writer].id, s.seq, s.lamport};
    }
    events at(std::size_t i, lv v, lv last) const { return at(entries_[i], end(i), v, last, view(stretch_of(v))); }
    // What v did, and those behind it until `last`, of an entry that ends before `end`.
    static events at(const entry& e, lv end, lv v, lv last, const stretch_view& in) {
        const lv offset = v - e.first, of_stretch = v - in.first;
        events out{what(e),
                   v,
                   std::min(end - 1, last),
                   e.to,
                   e.characters + offset,
                   {in.writer, in.seq + of_stretch},
                   in.lamport + of_stretch};
        switch (out.what) {
        case kind::typed:
        case kind::buried:
            if (offset > 0) out.to = v - 1;
            break;
        case kind::erased_forward: out.to += offset; break;
        case kind::erased_backward: out.to += end - 1 - v; break;
        case kind::gone: break;
        }
        return out;
    }
    std::size_t stretch_of(lv v) const {
        return v >= stretches_.back().first ? stretches_.size() - 1 : earlier_stretch(v);
    }
    std::size_t earlier_stretch(lv v) const;
    std::uint32_t writer_of(replica_id id);
    const writer* known(replica_id id) const;
    // True if the dots continue the last run of them.
    bool number(const dot& first, std::uint64_t lamport, std::uint32_t n) {
        if (!has_room(n)) too_many();
        const bool same = continues(first, lamport);
        if (!same) begin_stretch(first, lamport);
        tail_seq_ += n;
        tail_lamport_ += n;
        return same;
    }
    void begin_stretch(const dot& first, std::uint64_t lamport);
    // Characters have come.
    void came(std::uint64_t lamport, const dot& first, std::uint32_t n) {
        const text_key last{lamport + n - 1, first.replica, first.seq + n - 1};
        if (lamport <= greatest_.lamport) { // seldom
            if (!(greatest_ < text_key{lamport, first.replica, first.seq})) ordered_ = false;
            if (last < greatest_) return;
        }
        greatest_ = last;
    }
    // True if they are plain.
    bool append(lv first, std::string_view text, std::uint32_t n) {
        const bool plain = text.size() == 1 ? text[0] != '\n' && static_cast<unsigned char>(text[0]) < 0x80
                                            : plain_prefix(text) == text.size();
        if (plain) {
            characters_.append_plain(text);
        } else {
            mark_text(first, text);
            characters_.append(text, n);
        }
        return plain;
    }
    // True if the entry, which ends before v, can tell of these deletions, too: then it does.
    static bool extend_erased(entry& e, lv v, std::uint32_t n, lv target, bool backward) {
        const lv count = v - e.first;
        if ((n == 1 || !backward) && e.to + count == target && (count == 1 || what(e) == kind::erased_forward)) {
            set(e, kind::erased_forward);
            return true;
        }
        if ((n == 1 || backward) && target + 1 == e.to && (count == 1 || what(e) == kind::erased_backward)) {
            e.to = (target - (n - 1)) & max_lv;
            set(e, kind::erased_backward);
            return true;
        }
        return false;
    }
    void mark_text(lv first, std::string_view text);
    text_measure measure_marked(lv first, std::uint32_t n) const;
    lv enter(const dot& first, std::uint64_t lamport, std::uint32_t n, lv parent, kind k) {
        const lv v = size_;
        const bool same = number(first, lamport, n);
        const bool extends = same && parent == v - 1 && what(entries_.back()) == k && (typing_ || k == kind::buried);
        if (!extends) entries_.push_back(made(v, parent, k, characters_.size()));
        size_ += n;
        typing_ = k == kind::typed;
        came(lamport, first, n);
        return v;
    }
    std::size_t cut(lv v);
    void set_dead_bits(lv first, std::uint32_t n, bool dead);
    text_measure set_dead(lv first, std::uint32_t n, bool dead);
};

} // namespace joinery::detail
