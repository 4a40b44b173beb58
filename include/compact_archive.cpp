// SPDX-License-Identifier: Apache-2.0
#include <joinery/compact_archive.hpp>

namespace joinery {

namespace detail {

namespace {
constexpr std::size_t few = 12; // up to here a linear search beats hashing
} // namespace

std::uint64_t new_hash_seed() { return replica_id::random().value(); }

std::size_t dot_table::find(replica_id r) const {
    if (entries_.size() <= few) {
        for (std::size_t i = 0; i < entries_.size(); ++i)
            if (entries_[i].replica == r) return i;
        return none;
    }
    auto it = index_.find(r);
    return it == index_.end() ? none : it->second;
}

std::size_t dot_table::add(replica_id r, std::uint64_t last) {
    entries_.push_back({r, last});
    version_ = ++versions_;
    if (entries_.size() == few + 1)
        for (std::size_t i = 0; i < few; ++i) index_.emplace(entries_[i].replica, i);
    if (entries_.size() > few) index_.emplace(r, entries_.size() - 1);
    return entries_.size() - 1;
}

dot_table::mark dot_table::begin_section() {
    mark m{entries_.size(), undo_.size(), section_, version_};
    section_ = ++sections_;
    return m;
}

// Only the first change of an entry in a section is remembered.
void dot_table::remember(std::size_t i) {
    if (changed_in_.size() <= i) changed_in_.resize(entries_.size(), 0);
    if (changed_in_[i] == section_) return;
    undo_.push_back({i, entries_[i].last, changed_in_[i]});
    changed_in_[i] = section_;
}

void dot_table::restore(const mark& m) {
    for (; undo_.size() > m.undo; undo_.pop_back()) {
        const change& c = undo_.back();
        entries_[c.index].last = c.last;
        changed_in_[c.index] = c.section;
    }
    if (m.size <= few)
        index_.clear();
    else
        for (std::size_t i = m.size; i < entries_.size(); ++i) index_.erase(entries_[i].replica);
    entries_.erase(entries_.begin() + m.size, entries_.end());
    if (changed_in_.size() > m.size) changed_in_.resize(m.size);
    section_ = m.section;
    version_ = m.version;
}

const shared<std::vector<dot_table::entry>>& dot_table::copy() {
    if (!copied()) copy_ = std::vector<entry>(entries_.begin(), entries_.end());
    copy_of_ = version_;
    return copy_;
}

} // namespace detail

// A replica is written as 1 + its place in the table; the first time, its eight bytes follow.
void compact_output_archive::replica(replica_id r) {
    std::size_t i = dots_.find(r);
    bool known = i != detail::dot_table::none;
    if (!known) i = dots_.add(r);
    varint(i + 1);
    if (!known) mention(r);
}

void compact_output_archive::mention(replica_id r) {
    std::byte bytes[8];
    for (unsigned k = 0; k < 8; ++k) bytes[k] = static_cast<std::byte>(r.value() >> (8 * k));
    raw(bytes, sizeof bytes);
}

void compact_output_archive::write_first(dot d) {
    if (dots_.size() > 0) return write(d);
    mention(d.replica);
    varint(d.seq);
    dots_.add(d.replica, d.seq);
}

void compact_output_archive::write(dot d) {
    if (d.seq == 0) return byte(0);
    replica(d.replica);
    std::size_t i = dots_.find(d.replica);
    varint(detail::zigzag(static_cast<std::int64_t>(d.seq - dots_[i].last)));
    dots_.set_last(i, d.seq);
}

void compact_output_archive::insert_varint(std::size_t at, std::uint64_t n) {
    std::byte bytes[10];
    out_.insert(out_.begin() + static_cast<std::ptrdiff_t>(at), bytes, detail::write_varint(bytes, n));
}

void compact_output_archive::write(const dot_range& r) {
    write(dot{r.replica, r.first});
    varint(r.last - r.first);
}

void compact_output_archive::write(const version_vector& v) {
    varint(v.size());
    for (const auto& [r, seq] : v) write(dot{r, seq});
}

// Per replica: the first range, the number of further ranges, and for each of those the dots skipped
// since the one before (at least one) and its length, less one each.
void compact_output_archive::write(const causal_context& c) {
    const auto all = c.ranges();
    std::size_t replicas = 0;
    for (std::size_t i = 0; i < all.size(); ++i) replicas += i == 0 || all[i].replica != all[i - 1].replica;
    varint(replicas);
    for (std::size_t i = 0; i < all.size();) {
        const std::size_t begin = i;
        while (i < all.size() && all[i].replica == all[begin].replica) ++i;
        write(all[begin]);
        varint(i - begin - 1);
        for (std::size_t k = begin + 1; k < i; ++k) {
            varint(all[k].first - all[k - 1].last - 2);
            varint(all[k].last - all[k].first);
        }
    }
}

compact_input_archive::compact_input_archive(std::span<const std::byte> in,
                                             const std::vector<detail::dot_table::entry>& named)
    : compact_input_archive(in) {
    for (const auto& e : named)
        if (dots_.find(e.replica) == detail::dot_table::none) dots_.add(e.replica, e.last);
}

std::size_t compact_input_archive::replica_index() {
    std::uint64_t code = varint();
    if (code == 0 || code > dots_.size() + 1) fail(decode_error::invalid_value);
    if (code <= dots_.size()) return static_cast<std::size_t>(code - 1);
    const replica_id r = first_mention();
    if (dots_.find(r) != detail::dot_table::none) fail(decode_error::non_canonical);
    return dots_.add(r);
}

replica_id compact_input_archive::first_mention() {
    std::uint64_t value = 0;
    for (unsigned k = 0; k < 8; ++k) value |= std::uint64_t{byte()} << (8 * k);
    charge(160); // the table's entry, growing, and its place in the index
    return replica_id{value};
}

replica_id compact_input_archive::replica() { return dots_[replica_index()].replica; }

std::uint64_t compact_input_archive::sequence(std::size_t index) {
    std::uint64_t seq = dots_[index].last + static_cast<std::uint64_t>(detail::unzigzag(varint()));
    if (seq == 0 || seq > max_sequence) fail(decode_error::invalid_value);
    dots_.set_last(index, seq);
    return seq;
}

dot compact_input_archive::read_dot() {
    std::size_t i = replica_index();
    std::uint64_t seq = sequence(i);
    dot d{dots_[i].replica, seq};
    return renaming_ ? (*renaming_)(d) : d;
}

dot compact_input_archive::read_first_dot() {
    if (dots_.size() > 0) {
        const std::size_t i = replica_index();
        return {dots_[i].replica, sequence(i)};
    }
    const replica_id r = first_mention();
    const std::uint64_t seq = varint();
    if (seq == 0 || seq > max_sequence) fail(decode_error::invalid_value);
    dots_.add(r, seq);
    return {r, seq};
}

dot compact_input_archive::read_null_or_dot() {
    if (remaining() > 0 && in_[pos_] == std::byte{0}) {
        ++pos_;
        return {};
    }
    return read_dot();
}

namespace {
std::uint64_t end_of(std::uint64_t first, std::uint64_t more) {
    if (more > max_sequence - first) compact_input_archive::fail(decode_error::invalid_value);
    return first + more;
}

} // namespace

short_vector<dot_range, 2> dot_renaming::operator()(const dot_range& r) const {
    if (r.replica != from || r.last <= after) return {r};
    const dot_range moved{to, std::max(r.first, after + 1) - after, r.last - after};
    if (r.first > after) return {moved};
    return {{r.replica, r.first, after}, moved};
}

short_vector<dot_range, 2> compact_input_archive::read_ranges() {
    std::size_t i = replica_index();
    std::uint64_t first = sequence(i);
    const dot_range r{dots_[i].replica, first, end_of(first, varint())};
    return renaming_ ? (*renaming_)(r) : short_vector<dot_range, 2>{r};
}

version_vector compact_input_archive::read_version_vector() {
    version_vector v;
    replica_id before;
    for (std::size_t n = count(), i = 0; i < n; ++i) {
        charge(3 * sizeof(version_vector::value_type)); // a growing vector: old and new side by side
        std::size_t k = replica_index();
        replica_id r = dots_[k].replica;
        if (i > 0 && r <= before) fail(decode_error::non_canonical);
        before = r;
        v.raise(r, sequence(k)); // a version is of what was published: a renaming does not reach it
    }
    return v;
}

causal_context compact_input_archive::read_causal_context() {
    causal_context c;
    replica_id before;
    for (std::size_t n = count(), i = 0; i < n; ++i) {
        charge(3 * sizeof(dot_range));
        std::size_t k = replica_index();
        replica_id r = dots_[k].replica;
        if (i > 0 && r <= before) fail(decode_error::non_canonical);
        before = r;
        std::uint64_t first = sequence(k);
        std::uint64_t last = end_of(first, varint());
        auto add = [&] {
            if (!renaming_) return void(c.add({r, first, last}));
            for (const auto& part : (*renaming_)({r, first, last})) c.add(part);
        };
        add();
        for (std::size_t more = count(); more > 0; --more) {
            charge(3 * sizeof(dot_range));
            first = end_of(end_of(last, 2), varint());
            last = end_of(first, varint());
            add();
        }
    }
    return c;
}

} // namespace joinery
