// SPDX-License-Identifier: Apache-2.0
#include "text_columns.hpp"

#include "text_engine.hpp"
#include "text_runs.hpp"
#include "utf8.hpp"

#include <algorithm>
#include <array>
#include <limits>
#include <optional>
#include <string>
#include <utility>

namespace joinery::detail {

namespace {

constexpr std::size_t few_entries = 16;      // of which no columns are made
constexpr lv longest_in_head = 27;           // length less one
constexpr std::uint8_t lengths_of_head = 28; // that it can say
constexpr std::size_t least_for_run = 3;     // bytes
constexpr std::uint64_t most_events = 32;    // for each entry and live character: bounds what bits take

enum place : std::uint8_t { at_cursor, from_cursor, from_jump };

using entry = text_columns::entry;
using kind = text_columns::kind;

struct head {
    kind what;
    place to;
    std::uint8_t count; // 28 or more if that is the greatest
    bool valid;
};
constexpr std::array<head, 256> heads = [] {
    std::array<head, 256> all{};
    for (std::size_t h = 0; h < all.size(); ++h) {
        const std::size_t kind_and_place = h / lengths_of_head;
        all[h] = {static_cast<kind>(kind_and_place / 3), static_cast<place>(kind_and_place % 3),
                  static_cast<std::uint8_t>(h % lengths_of_head + 1), kind_and_place < 9};
    }
    return all;
}();

// Where the next entry is likely to be: `entries` are those before.
class expectation {
public:
    expectation(const std::vector<entry>& entries, lv size)
        : entries_(entries), begins_(size / 64 + 1), last_(size / 64 + 1) {}

    lv cursor() const { return cursor_; }
    lv jumped() const { return jumped_; }
    std::int64_t distance(place p, lv to) const {
        return std::int64_t{to} - std::int64_t{p == from_jump ? jumped_ : cursor_};
    }
    // The place by which `to` is told.
    place place_of(lv to) const {
        if (to == cursor_) return at_cursor;
        const auto bytes = [](std::int64_t distance) { return (std::bit_width(zigzag(distance)) + 6) * 37 >> 8; };
        return bytes(distance(from_cursor, to)) <= bytes(distance(from_jump, to)) ? from_cursor : from_jump;
    }
    // Entry number `i` is `e`.
    void happened(std::uint32_t i, const entry& e, place p) {
        jumped_ = p != at_cursor ? e.to : jumped_;
        begins_[e.first / 64] |= std::uint64_t{1} << (e.first % 64);
        last_[e.first / 64] = i;
        cursor_ = e.what == kind::inserted ? e.first + e.count : before(e.lowest_target());
    }
    text_bits& begins() { return begins_; }

private:
    const std::vector<entry>& entries_;
    text_bits begins_;                // where they begin
    std::vector<std::uint32_t> last_; // of those that begin within each word of these
    lv cursor_ = 0, jumped_ = 0;

    // What was before a character when it was inserted.
    lv before(lv character) const {
        const std::uint64_t from = begins_[character / 64] >> (character % 64);
        return (from & 1) == 0 ? character : entries_[last_[character / 64] - count_bits(from >> 1)].to;
    }
};

[[gnu::noinline]] std::uint64_t long_number(const std::byte*& at, const std::byte* end) {
    std::uint64_t n = 0;
    const auto error = read_varint(at, end, n);
    require(error != varint_error::truncated, decode_error::truncated);
    require(error == varint_error::none && n < std::uint64_t{1} << 35, decode_error::non_canonical);
    return n;
}

// The next number of a column, or 0 if there is none of this entry. Of a byte or two, or none, without a branch that
// nobody could predict.
inline std::uint64_t next_number(const std::byte*& at, const std::byte* end, bool there) {
    if (end - at < 2) return there ? long_number(at, end) : 0;
    const auto low = std::to_integer<std::uint32_t>(at[0]), high = std::to_integer<std::uint32_t>(at[1]);
    const std::uint32_t two = low >> 7;
    if (there && two > 0 && high - 1 >= 0x7f) return long_number(at, end);
    at += there ? 1 + two : 0;
    return there ? (low & 0x7f) | (high & (0 - two)) << 7 : 0;
}

// The stretch that an event is in.
const text_columns::stretch& stretch_at(std::span<const text_columns::stretch> all, lv number) {
    const text_columns::stretch* at = all.data();
    for (std::size_t n = all.size(); n > 1;) { // no branch to be predicted
        const std::size_t half = n / 2;
        at = at[half].first <= number ? at + half : at;
        n -= half;
    }
    return *at;
}

} // namespace

// What a text has but for the visible characters themselves.
struct text_columns::outline {
    std::vector<stretch> stretches{};
    std::vector<entry> entries{};
    std::vector<run> settled{};
    text_bits inserted{}, dead{};
    lv live = 0;

    lv size() const { return stretches.empty() ? 0 : stretches.back().first + stretches.back().count; }
    const stretch& stretch_of(lv number) const { return stretch_at(stretches, number); }
    dot dot_of(lv number) const {
        const stretch& s = stretch_of(number);
        return advanced(s.first_dot, number - s.first);
    }
    static text_key key(const stretch& s, lv number) {
        const lv offset = number - s.first;
        return {s.lamport + offset, s.first_dot.replica, s.first_dot.seq + offset};
    }
    std::optional<lv> number_of(dot d) const {
        auto s = std::upper_bound(stretches.begin(), stretches.end(), d,
                                  [](dot x, const stretch& t) { return x < t.first_dot; });
        if (s == stretches.begin()) return std::nullopt;
        --s;
        if (s->first_dot.replica != d.replica || d.seq - s->first_dot.seq >= s->count) return std::nullopt;
        return s->first + static_cast<lv>(d.seq - s->first_dot.seq);
    }
    text_deletion deletion(const entry& e) const {
        const dot first = dot_of(e.first);
        return {first, dot_of(e.to - 1), e.count, 0, e.what == kind::erased_backward};
    }
    // True if an entry can be no part of the one before it in its stretch.
    bool begins(const entry& e, const entry& former) const {
        const bool inserts = e.what == kind::inserted, inserted = former.what == kind::inserted;
        const bool follows = e.to == former.to + former.count, precedes = e.to + former.count == former.to;
        const bool beside = inserts ? e.to == e.first : follows | precedes;
        if (!beside | (inserts != inserted)) return true; // as most are: one branch for all of it
        if (inserts) return false;
        text_deletion d = deletion(former), next = deletion(e);
        next.lamport = d.count;
        return !extends(d, next);
    }

    bool complete();
    static std::optional<outline> of(const text_fragment& f);
    bool add(dot first, std::uint64_t lamport, std::uint64_t count);
};

// Finds what is dead. False if something is not there, or what is nobody writes. The entries fill the stretches.
bool text_columns::outline::complete() {
    const lv n = size();
    if (entries.size() < few_entries) return false;
    const std::size_t words = n / 64 + 1;
    inserted.assign(words, 0);
    dead.assign(words, 0);
    for (const entry& e : entries) { // their ends first, then what lies between
        const std::uint64_t mark = e.what == kind::inserted ? 1 : 0;
        inserted[e.first / 64] ^= mark << (e.first % 64);
        inserted[(e.first + e.count) / 64] ^= mark << ((e.first + e.count) % 64);
    }
    fill_between(inserted);
    // What the replica has erased whose entry it is: of only one, all that is dead.
    const bool alone = stretches.front().first_dot.replica == stretches.back().first_dot.replica;
    text_bits apart(alone ? 0 : words);
    text_bits& own = alone ? dead : apart;
    std::size_t first_own = 0; // entry
    const stretch* in = stretches.data();
    const stretch* near = in; // where something was found last
    const auto stretch_near = [&](lv number) -> const stretch& {
        if (number - near->first >= near->count) near = &stretch_of(number);
        return *near;
    };
    for (std::size_t i = 0; i < entries.size(); ++i) {
        const entry& e = entries[i];
        if (e.first - in->first >= in->count) {
            const replica_id writer = in++->first_dot.replica;
            if (in->first_dot.replica != writer)
                for (; first_own < i; ++first_own)
                    if (const entry& x = entries[first_own]; x.what != kind::inserted)
                        clear_bits(own, x.lowest_target(), x.count);
        }
        if (e.what == kind::inserted) {
            if (e.to == 0) continue;
            const lv parent = e.to - 1;
            if (parent >= n || !has_bit(inserted, parent)) return false;
            if (parent - in->first < in->count ? parent >= e.first
                                               : !(key(stretch_near(parent), parent) < key(*in, e.first)))
                return false;
            continue;
        }
        if (e.to == 0 || e.to > n || (e.what == kind::erased_backward && (e.count == 1 || e.to < e.count)))
            return false;
        const lv lowest = e.lowest_target();
        if (lowest >= n || e.count > n - lowest) return false;
        const stretch& there = stretch_near(lowest);
        if (e.count > there.first + there.count - lowest &&
            advanced(dot_of(lowest), e.count - 1) != dot_of(lowest + e.count - 1))
            return false;
        bool erasable = true;
        for_each_word(own, lowest, e.count,
                      [&, word = inserted.data() + lowest / 64](std::uint64_t& erased, std::uint64_t mask) mutable {
                          erasable = erasable && (*word++ & ~erased & mask) == mask;
                          erased |= mask;
                      });
        if (!erasable) return false;
        if (!alone) set_bits(dead, lowest, e.count);
    }
    lv behind = 0;
    for (const run& r : settled) {
        if (r.first < behind || r.first >= n || r.count > n - r.first) return false;
        if (!all_bits(inserted, r.first, r.count) || any_bits(dead, r.first, r.count)) return false;
        behind = r.first + r.count + 1;
    }
    for (const run& r : settled) set_bits(dead, r.first, r.count);
    live = count_bits(inserted, 0, n) - count_bits(dead, 0, n);
    return n <= most_events * (entries.size() + live);
}

// Adds what follows in the order of the dots.
bool text_columns::outline::add(dot first, std::uint64_t lamport, std::uint64_t count) {
    const lv n = size();
    if (count > text_log::max_size - n) return false;
    if (!stretches.empty()) {
        stretch& s = stretches.back();
        const dot behind = advanced(s.first_dot, s.count);
        if (first < behind) return false;
        if (first == behind && lamport == s.lamport + s.count) {
            s.count += static_cast<lv>(count);
            return true;
        }
    }
    stretches.push_back({first, lamport, n, static_cast<lv>(count)});
    return true;
}

std::optional<text_columns::outline> text_columns::outline::of(const text_fragment& f) {
    if (f.runs.size() + f.deletions.size() < few_entries) return std::nullopt;
    outline o;
    const auto in_order = [&](auto&& take_run, auto&& take_deletion) {
        auto r = f.runs.begin();
        auto d = f.deletions.begin();
        while (r != f.runs.end() || d != f.deletions.end()) {
            const bool is_run = d == f.deletions.end() || (r != f.runs.end() && r->first < d->first);
            if (is_run ? !take_run(*r++) : !take_deletion(*d++)) return false;
        }
        return true;
    };
    const auto add = [&](const auto& x) { return o.add(x.first, x.lamport, x.count); };
    if (!in_order(add, add)) return std::nullopt;
    if (o.size() > most_events * (f.runs.size() + f.deletions.size() + f.text.size())) return std::nullopt;
    o.entries.reserve(f.runs.size() + f.deletions.size());
    lv next = 0;
    std::size_t at = 0; // the stretch that `next` is in
    text_bits tombstones(o.size() / 64 + 1);
    const auto take = [&](entry e, bool dead) {
        e.first = next;
        while (next >= o.stretches[at].first + o.stretches[at].count) ++at;
        next += e.count;
        if (dead) set_bits(tombstones, e.first, e.count);
        entry* former = !o.entries.empty() && e.first > o.stretches[at].first ? &o.entries.back() : nullptr;
        if (former && former->what == e.what && !o.begins(e, *former)) {
            if (e.what != kind::inserted) return false; // they were not as long as they could be
            former->count += e.count;
        } else {
            o.entries.push_back(e);
        }
        return true;
    };
    const bool closed = in_order(
        [&](const text_run& r) {
            const auto parent = r.parent.seq == 0 ? std::optional<lv>(0) : o.number_of(r.parent);
            if (!parent) return false;
            return take({0, static_cast<lv>(r.count), r.parent.seq == 0 ? 0 : *parent + 1, kind::inserted}, r.deleted);
        },
        [&](const text_deletion& d) {
            const auto target = o.number_of(d.target);
            if (!target) return false;
            const kind what = d.backward ? kind::erased_backward : kind::erased_forward;
            return take({0, static_cast<lv>(d.count), *target + 1, what}, false);
        });
    if (!closed || !o.complete()) return std::nullopt;
    // What is dead must be so, and what is not must not.
    for (std::size_t w = 0; w < o.dead.size(); ++w) {
        if ((o.dead[w] & ~tombstones[w]) != 0) return std::nullopt;
        tombstones[w] &= ~o.dead[w];
    }
    for (const entry& e : o.entries) {
        if (e.what != kind::inserted) continue;
        for (lv n = e.first, behind = e.first + e.count, count; n < behind; n += count) {
            count = alike_bits(tombstones, n, behind - n);
            if (!has_bit(tombstones, n)) continue;
            run* former = o.settled.empty() ? nullptr : &o.settled.back();
            if (former && former->first + former->count == n)
                former->count += count;
            else
                o.settled.push_back({n, count});
        }
    }
    for (const run& r : o.settled) {
        set_bits(o.dead, r.first, r.count);
        o.live -= r.count;
    }
    if (o.size() > most_events * (o.entries.size() + o.live)) return std::nullopt;
    return o;
}

bool text_columns::fit(const text_fragment& f) { return without_text(f) != nullptr; }

bool text_columns::sparse(std::size_t text_bytes) const {
    return heads_.size() + lengths_.size() + distances_.size() + text_bytes < least_for_run * (runs_ + deletions_);
}

// Null unless it fits.
std::shared_ptr<text_columns> text_columns::without_text(const text_fragment& f) {
    auto o = outline::of(f);
    if (!o) return nullptr;
    auto c = std::make_shared<text_columns>();
    c->runs_ = f.runs.size();
    c->deletions_ = f.deletions.size();
    expectation expected(o->entries, o->size());
    const auto put = [](std::vector<std::byte>& to, std::uint64_t n) { compact_output_archive(to).varint(n); };
    for (std::uint32_t i = 0; i < o->entries.size(); ++i) {
        const entry& e = o->entries[i];
        const place p = expected.place_of(e.to);
        const auto kind_and_place = static_cast<std::uint8_t>(3 * static_cast<std::uint8_t>(e.what) + p);
        const lv length = std::min(e.count - 1, longest_in_head);
        c->heads_.push_back(static_cast<std::byte>(lengths_of_head * kind_and_place + length));
        if (length == longest_in_head) put(c->lengths_, e.count - 1 - longest_in_head);
        if (p != at_cursor) put(c->distances_, zigzag(expected.distance(p, e.to)));
        expected.happened(i, e, p);
    }
    c->stretches_ = std::move(o->stretches);
    c->settled_ = std::move(o->settled);
    c->lamport_ = f.lamport;
    return c->sparse(f.text.size()) ? nullptr : c;
}

std::shared_ptr<const text_columns> text_columns::of(const text_fragment& f) {
    auto c = without_text(f);
    if (!c) return nullptr;
    std::string visible;
    text_engine placed;
    placed.join(f);
    placed.for_each([&](const dot_range&, bool, std::string_view text) { visible += text; });
    c->text_.append(visible, placed.size().points);
    return c;
}

text_fragment text_columns::spelled_out() const {
    text_fragment f;
    f.runs.reserve(runs_);
    f.deletions.reserve(deletions_);
    text_engine(*this).extract_all(f);
    f.lamport = lamport_;
    return f;
}

const text_columns::stretch& text_columns::stretch_of(lv number) const { return stretch_at(stretches_, number); }

std::vector<text_columns::entry> text_columns::entries() const {
    text_bits begins;
    return entries(begins);
}

std::vector<text_columns::entry> text_columns::entries(text_bits& begins) const {
    std::vector<entry> out;
    out.reserve(heads_.size());
    expectation expected(out, size());
    const std::byte* length = lengths_.data();
    const std::byte* const lengths_end = length + lengths_.size();
    const std::byte* distance = distances_.data();
    const std::byte* const distances_end = distance + distances_.size();
    auto in = stretches_.begin();
    lv next = 0;
    for (const std::byte h : heads_) {
        const head& said = heads[std::to_integer<std::size_t>(h)];
        require(said.valid && in != stretches_.end());
        const std::uint64_t count = said.count + next_number(length, lengths_end, said.count > longest_in_head);
        require(count <= in->first + in->count - next);
        const std::int64_t distance_to = unzigzag(next_number(distance, distances_end, said.to != at_cursor));
        const std::int64_t to = (said.to == from_jump ? expected.jumped() : expected.cursor()) + distance_to;
        require(to >= 0 && to <= std::int64_t{size()});
        require(expected.place_of(static_cast<lv>(to)) == said.to, decode_error::non_canonical);
        const entry e{next, static_cast<lv>(count), static_cast<lv>(to), said.what};
        if (e.what != kind::inserted) require(e.to > 0 && (e.what == kind::erased_forward || e.to >= e.count));
        out.push_back(e);
        expected.happened(static_cast<std::uint32_t>(out.size() - 1), e, said.to);
        next += e.count;
        if (next == in->first + in->count) ++in;
    }
    require(in == stretches_.end() && length == lengths_end && distance == distances_end, decode_error::trailing_bytes);
    begins = std::move(expected.begins());
    return out;
}

void text_columns::write(compact_output_archive& ar) const {
    ar.varint(stretches_.size());
    std::uint64_t drift = 0;
    for (const stretch& s : stretches_) {
        ar.write(dots(s));
        ar.varint(zigzag(static_cast<std::int64_t>(s.lamport - s.first_dot.seq - drift)));
        drift = s.lamport - s.first_dot.seq;
    }
    ar.varint(settled_.size());
    lv behind = 0;
    for (const run& r : settled_) {
        ar.varint(r.first - behind);
        ar.varint(r.count - 1);
        behind = r.first + r.count;
    }
    ar.varint(lamport_);
    for (const auto* column : {&heads_, &lengths_, &distances_}) {
        ar.varint(column->size());
        ar.raw(column->data(), column->size());
    }
    const std::string_view all = text_.text(0, text_.size());
    ar.raw(all.data(), all.size());
}

std::shared_ptr<const text_columns> text_columns::read(compact_input_archive& ar) {
    auto c = std::make_shared<text_columns>();
    outline o;
    std::uint64_t drift = 0;
    for (std::size_t n = ar.count(), i = 0; i < n; ++i) {
        ar.charge(3 * sizeof(stretch));
        const dot_range dots = ar.read_ranges().front();
        drift += static_cast<std::uint64_t>(unzigzag(ar.varint()));
        const dot first{dots.replica, dots.first};
        const std::uint64_t lamport = drift + dots.first;
        require(numbers_fit(first, dots.size(), lamport));
        require(o.add(first, lamport, dots.size()) && o.stretches.size() == i + 1, decode_error::non_canonical);
    }
    const lv size = o.size();
    ar.charge(size / 64 * 5 * sizeof(std::uint64_t));
    lv behind = 0;
    for (std::size_t n = ar.count(); n > 0; --n) {
        ar.charge(3 * sizeof(run));
        const std::uint64_t gap = ar.varint(), more = ar.varint();
        require(gap < size - behind && more < size - behind - gap);
        const lv first = behind + static_cast<lv>(gap);
        o.settled.push_back({first, static_cast<lv>(more) + 1});
        behind = first + static_cast<lv>(more) + 1;
    }
    c->lamport_ = ar.varint();
    std::uint64_t greatest = 0;
    for (const stretch& s : o.stretches) greatest = std::max(greatest, s.lamport + s.count - 1);
    require(c->lamport_ <= max_lamport && (c->lamport_ == 0 || c->lamport_ > greatest));
    for (auto* column : {&c->heads_, &c->lengths_, &c->distances_}) {
        const auto bytes = ar.raw(ar.varint());
        ar.charge(bytes.size() * (1 + sizeof(entry) + 2 * sizeof(lv)));
        column->assign(bytes.begin(), bytes.end());
    }
    require(!o.stretches.empty());
    c->stretches_ = o.stretches;
    text_bits begins;
    o.entries = c->entries(begins);
    require(o.complete());
    for (std::size_t i = 1, s = 0; i < o.entries.size(); ++i) {
        const entry& e = o.entries[i];
        while (e.first >= o.stretches[s].first + o.stretches[s].count) ++s;
        if (e.first > o.stretches[s].first) require(o.begins(e, o.entries[i - 1]), decode_error::non_canonical);
    }
    // Of the fragment, a run of characters begins where an entry does, and within it where they are dead and were not,
    // or the other way round.
    for (const entry& e : o.entries) ++(e.what == kind::inserted ? c->runs_ : c->deletions_);
    for (std::size_t w = 0, carry = 0; w < begins.size(); carry = o.dead[w++] >> 63)
        c->runs_ += count_bits((o.dead[w] ^ (o.dead[w] << 1 | carry)) & o.inserted[w] & ~begins[w]);
    c->settled_ = std::move(o.settled);
    const std::string_view text = read_utf8(ar, o.live);
    require(!c->sparse(text.size()), decode_error::non_canonical);
    c->text_.append(text, o.live);
    ar.charge(c->text_.memory());
    return c;
}

std::size_t text_columns::memory() const {
    return sizeof *this + stretches_.capacity() * sizeof(stretch) + settled_.capacity() * sizeof(run) +
           heads_.capacity() + lengths_.capacity() + distances_.capacity() + text_.memory();
}

} // namespace joinery::detail
