// SPDX-License-Identifier: Apache-2.0
#include <joinery/text_fragment.hpp>

#include <joinery/delta.hpp>

#include "text_columns.hpp"
#include "text_runs.hpp"
#include "utf8.hpp"

#include <algorithm>
#include <iterator>
#include <numeric>

namespace joinery::detail {

text_deletion slice(const text_deletion& d, std::uint64_t offset, std::uint64_t n) {
    dot target{d.target.replica, d.backward ? d.target.seq - offset : d.target.seq + offset};
    return {advanced(d.first, offset), target, n, d.lamport + offset, d.backward && n > 1};
}

std::string_view read_utf8(compact_input_archive& ar, std::uint64_t points) {
    const auto rest = ar.rest();
    require(points <= rest.size(), decode_error::truncated);
    const auto plain = rest.first(static_cast<std::size_t>(points));
    if (is_ascii({reinterpret_cast<const char*>(plain.data()), plain.size()})) {
        ar.charge(points + 1);
        const auto bytes = ar.raw(points);
        return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
    }
    std::size_t size = 0;
    for (; points > 0; --points) {
        require(size < rest.size(), decode_error::truncated);
        size += utf8_length(static_cast<char>(rest[size]));
    }
    const auto bytes = ar.raw(size);
    ar.charge(size + 1);
    const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    require(measure_utf8(text).has_value());
    return text;
}

namespace {

// The greatest Lamport number of what is there.
std::uint64_t greatest_lamport(const text_fragment& f) {
    std::uint64_t greatest = 0;
    for (const auto& r : f.runs) greatest = std::max(greatest, r.lamport + r.count - 1);
    for (const auto& d : f.deletions) greatest = std::max(greatest, d.lamport + d.count - 1);
    return greatest;
}

template <class Runs> bool in_order(const Runs& runs) {
    for (std::size_t i = 1; i < runs.size(); ++i) {
        const dot_range a = dots_of(runs[i - 1]);
        const dot_range b = dots_of(runs[i]);
        if (b.replica < a.replica || (b.replica == a.replica && b.first <= a.last)) return false;
        if (extends(runs[i - 1], runs[i])) return false;
    }
    return true;
}

// Sorts by dot and makes runs as long as they can be.
void normalize(text_fragment& f) {
    std::vector<std::string_view> texts;
    std::string_view rest = f.text;
    for (const auto& r : f.runs) {
        std::size_t size = r.deleted ? 0 : utf8_prefix(rest, r.count);
        texts.push_back(rest.substr(0, size));
        rest.remove_prefix(size);
    }
    std::vector<std::size_t> order(f.runs.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::stable_sort(order.begin(), order.end(),
                     [&](std::size_t a, std::size_t b) { return f.runs[a].first < f.runs[b].first; });
    text_fragment sorted;
    for (std::size_t i : order) append(sorted, f.runs[i], texts[i]);
    std::stable_sort(f.deletions.begin(), f.deletions.end(),
                     [](const text_deletion& a, const text_deletion& b) { return a.first < b.first; });
    for (const auto& d : f.deletions) append(sorted.deletions, d);
    sorted.lamport = f.lamport > greatest_lamport(sorted) ? f.lamport : 0;
    f = std::move(sorted);
}

enum run_flag : std::uint8_t { deleted = 1, at_start = 2, after_previous = 4, drifts = 8 };

// Lamport numbers as the drift between them and the sequence numbers: while one replica writes one text,
// there is none.
class drift_writer {
public:
    explicit drift_writer(compact_output_archive& ar) : ar_(ar) {}
    void write(std::uint8_t flags, std::uint64_t lamport, dot first) {
        std::uint64_t drift = lamport - first.seq;
        ar_.byte(static_cast<std::uint8_t>(flags | (drift != last_ ? drifts : 0)));
        if (drift != last_) ar_.varint(zigzag(static_cast<std::int64_t>(drift - last_)));
        last_ = drift;
    }

private:
    compact_output_archive& ar_;
    std::uint64_t last_ = 0;
};

class drift_reader {
public:
    explicit drift_reader(compact_input_archive& ar) : ar_(ar) {}
    std::uint8_t read(std::uint64_t& lamport, dot first) {
        std::uint8_t flags = ar_.byte();
        if (flags & drifts) {
            std::uint64_t change = ar_.varint();
            require(change != 0, decode_error::non_canonical);
            last_ += static_cast<std::uint64_t>(unzigzag(change));
        }
        lamport = last_ + first.seq;
        return flags;
    }

private:
    compact_input_archive& ar_;
    std::uint64_t last_ = 0;
};

// The number of runs that follow, each of which takes at least four bytes.
std::size_t run_count(compact_input_archive& ar, std::uint64_t n) {
    require(n <= ar.remaining() / 4, decode_error::truncated);
    ar.charge(n * sizeof(text_run));
    return static_cast<std::size_t>(n);
}

text_run_list read_runs(compact_input_archive& ar, drift_reader& drift, std::size_t n) {
    text_run_list runs;
    runs.reserve(n);
    for (std::size_t i = 0; i < n; ++i) {
        const dot_range r = ar.read_ranges().front();
        runs.push_back({{r.replica, r.first}, {}, r.size(), 0, false});
    }
    std::vector<std::uint8_t> flags;
    flags.reserve(n);
    for (auto& r : runs) {
        const std::uint8_t flag = drift.read(r.lamport, r.first);
        require(flag < 16 && (flag & (at_start | after_previous)) != (at_start | after_previous));
        require(numbers_fit(r.first, r.count, r.lamport));
        r.deleted = (flag & deleted) != 0;
        if (flag & after_previous) {
            require(r.first.seq > 1);
            r.parent = before(r.first);
        }
        flags.push_back(flag);
    }
    for (std::size_t i = 0; i < n; ++i) {
        if (flags[i] & (at_start | after_previous)) continue;
        runs[i].parent = ar.read_dot();
        require(runs[i].parent != before(runs[i].first), decode_error::non_canonical);
    }
    return runs;
}

text_deletion_list read_deletions(compact_input_archive& ar, drift_reader& drift, std::size_t n) {
    text_deletion_list out;
    out.reserve(n);
    for (std::size_t i = 0; i < n; ++i) {
        const dot_range r = ar.read_ranges().front();
        out.push_back({{r.replica, r.first}, {}, r.size(), 0, false});
    }
    for (auto& d : out) {
        const std::uint8_t flags = drift.read(d.lamport, d.first);
        require((flags & ~(deleted | drifts)) == 0);
        d.backward = (flags & deleted) != 0;
    }
    for (auto& d : out) {
        if (d.count == 1) {
            d.target = ar.read_dot();
        } else {
            const dot_range targets = ar.read_ranges().front();
            require(targets.size() == d.count);
            d.target = {targets.replica, d.backward ? targets.last : targets.first};
        }
        require(well_formed(d));
    }
    return out;
}

// ---- under a renaming ----

// Runs are cut where the renaming begins, their targets too.
void rename(text_fragment& f, const dot_renaming& renaming) {
    text_run_list runs;
    for (const auto& r : f.runs) {
        const auto parts = renaming(dots_of(r));
        runs.push_back({{parts[0].replica, parts[0].first}, renaming(r.parent), parts[0].size(), r.lamport, r.deleted});
        if (parts.size() == 1) continue;
        const text_run& left = runs.back();
        runs.push_back({{parts[1].replica, parts[1].first},
                        advanced(left.first, left.count - 1),
                        parts[1].size(),
                        r.lamport + left.count,
                        r.deleted});
    }
    f.runs = std::move(runs);
    text_deletion_list deletions;
    for (const auto& d : f.deletions) {
        for (std::uint64_t i = 0, n; i < d.count; i += n) {
            const text_deletion rest = slice(d, i, d.count - i);
            n = renaming(dots_of(rest))[0].size();
            const auto targets = renaming(targets_of(rest));
            n = std::min(n, rest.backward ? targets.back().size() : targets[0].size());
            text_deletion part = slice(rest, 0, n);
            part.first = renaming(part.first);
            part.target = renaming(part.target);
            deletions.push_back(part);
        }
    }
    f.deletions = std::move(deletions);
    normalize(f);
}

// ---- one run ----

enum brief_flag : std::uint8_t { deletes = 1, drifted = 2, parent_follows = 4, backward = 4, as_dot = 8, buried = 16 };

std::uint8_t reference_flag(dot first, dot to, std::uint64_t least) {
    return to.replica == first.replica && to.seq > 0 && to.seq < first.seq && first.seq - to.seq >= least ? 0 : as_dot;
}

void write_reference(compact_output_archive& ar, std::uint8_t how, dot first, dot to, std::uint64_t least) {
    how& as_dot ? ar.write(to) : ar.varint(first.seq - to.seq - least);
}

dot read_reference(compact_input_archive& ar, std::uint8_t how, dot first, std::uint64_t least) {
    if (how & as_dot) return ar.read_null_or_dot();
    const std::uint64_t back = ar.varint();
    require(first.seq > least && back < first.seq - least);
    return {first.replica, first.seq - back - least};
}

constexpr std::uint64_t least_to_parent = 2, least_to_target = 1; // a parent just before the first is not written

std::uint8_t form_of(const text_run& r) {
    const int how = (r.lamport != r.first.seq ? drifted : 0) | (r.deleted ? buried : 0);
    const bool follows = r.parent.seq > 0 && r.parent == before(r.first);
    return static_cast<std::uint8_t>(
        follows ? how : how | parent_follows | reference_flag(r.first, r.parent, least_to_parent));
}

std::uint8_t form_of(const text_deletion& d) {
    return static_cast<std::uint8_t>(deletes | (d.lamport != d.first.seq ? drifted : 0) | (d.backward ? backward : 0) |
                                     reference_flag(d.first, d.target, least_to_target));
}

// The dots of the one run that it is, if it is no more.
std::optional<dot_range> only_run(const text_fragment& f) {
    if (f.columns || f.lamport != 0 || f.runs.size() + f.deletions.size() != 1) return std::nullopt;
    return f.runs.empty() ? dots_of(f.deletions.front()) : dots_of(f.runs.front());
}

} // namespace

bool well_formed(const text_fragment& f) {
    std::uint64_t points = 0;
    for (const auto& r : f.runs) {
        if (!numbers_fit(r.first, r.count, r.lamport) || r.parent.seq > max_sequence) return false;
        if (r.deleted) continue;
        if (r.count > f.text.size() - points) return false;
        points += r.count;
    }
    for (const auto& d : f.deletions)
        if (!well_formed(d)) return false;
    const auto m = measure_utf8(f.text);
    return m && m->points == points && f.lamport <= max_lamport;
}

namespace {

void write_runs(compact_output_archive& ar, const text_fragment& f) {
    ar.varint(4 * f.runs.size() + (f.deletions.empty() ? 0 : 1) + (f.lamport == 0 ? 0 : 2));
    drift_writer drift(ar);
    for (const auto& r : f.runs) ar.write(dots_of(r));
    auto parent_flag = [](const text_run& r) {
        return r.parent.seq == 0 ? at_start : r.parent == before(r.first) ? after_previous : 0;
    };
    for (const auto& r : f.runs)
        drift.write(static_cast<std::uint8_t>(parent_flag(r) | (r.deleted ? deleted : 0)), r.lamport, r.first);
    for (const auto& r : f.runs)
        if (parent_flag(r) == 0) ar.write(r.parent);
    if (!f.deletions.empty()) {
        ar.varint(f.deletions.size());
        for (const auto& d : f.deletions) ar.write(dots_of(d));
        for (const auto& d : f.deletions) drift.write(d.backward ? deleted : 0, d.lamport, d.first);
        for (const auto& d : f.deletions) d.count == 1 ? ar.write(d.target) : ar.write(targets_of(d));
    }
    if (f.lamport != 0) ar.varint(f.lamport);
    ar.raw(f.text.data(), f.text.size());
}

void read_runs(compact_input_archive& ar, text_fragment& f) {
    std::uint64_t head = ar.varint();
    drift_reader drift(ar);
    f.runs = read_runs(ar, drift, run_count(ar, head / 4));
    if (head & 1) {
        std::size_t n = run_count(ar, ar.varint());
        require(n > 0, decode_error::non_canonical);
        f.deletions = read_deletions(ar, drift, n);
    }
    if (head & 2) {
        f.lamport = ar.varint();
        require(f.lamport > greatest_lamport(f), decode_error::non_canonical);
    }
    std::uint64_t points = 0;
    for (const auto& r : f.runs) {
        if (r.deleted) continue;
        require(r.count <= ar.remaining() - points, decode_error::truncated);
        points += r.count;
    }
    f.text = read_utf8(ar, points);
    require(detail::well_formed(f));
    require(in_order(f.runs) && in_order(f.deletions), decode_error::non_canonical);
    require(!only_run(f), decode_error::non_canonical);
}

} // namespace

void write_compact(compact_output_archive& ar, const text_fragment& f) {
    const auto columns = f.columns ? f.columns : text_columns::of(f);
    if (!columns) return write_spelled_out(ar, f);
    ar.byte(1);
    columns->write(ar);
}

void write_spelled_out(compact_output_archive& ar, const text_fragment& f) {
    const auto dots = only_run(f);
    if (!dots) {
        ar.byte(0);
        return write_runs(ar, f);
    }
    const std::uint8_t how = *f.brief(*dots);
    const bool one = dots->first == dots->last;
    ar.byte(static_cast<std::uint8_t>(delta_head::brief | (one ? 0 : delta_head::several) | how));
    ar.write(dot{dots->replica, dots->first});
    if (!one) ar.varint(dots->last - dots->first - 1);
    f.save_brief(ar, *dots, how);
}

namespace {

void read(compact_input_archive& ar, text_fragment& f, bool columns) {
    f = {};
    const std::uint8_t form = ar.byte();
    if (form & delta_head::brief) {
        dot_range dots;
        ar.unrenamed([&] {
            const dot first = ar.read_dot();
            std::uint64_t more = 0;
            if (form & delta_head::several) {
                more = ar.varint();
                require(more < max_sequence - first.seq);
                ++more;
            }
            dots = {first.replica, first.seq, first.seq + more};
        });
        return f.load_brief(ar, dots, form & delta_head::all_of_brief);
    }
    require(form == 0 || (form == 1 && columns));
    ar.unrenamed([&] { form == 1 ? void(f.columns = text_columns::read(ar)) : read_runs(ar, f); });
    if (form == 0 && columns) require(!text_columns::fit(f), decode_error::non_canonical);
    if (!ar.renaming()) return;
    f.spell_out();
    rename(f, *ar.renaming());
}

} // namespace

void read_compact(compact_input_archive& ar, text_fragment& f) { read(ar, f, true); }
void read_spelled_out(compact_input_archive& ar, text_fragment& f) { read(ar, f, false); }

readable_fragment readable(text_fragment f) {
    f.spell_out();
    readable_fragment out{{}, {f.deletions.begin(), f.deletions.end()}, f.lamport};
    std::string_view rest = f.text;
    for (const auto& r : f.runs) {
        std::size_t size = r.deleted ? 0 : utf8_prefix(rest, r.count);
        out.runs.push_back({r.first, r.parent, r.count, r.lamport, r.deleted, std::string(rest.substr(0, size))});
        rest.remove_prefix(size);
    }
    return out;
}

text_fragment taken(const readable_fragment& readable) {
    text_fragment f;
    for (const auto& r : readable.runs) {
        auto m = measure_utf8(r.text);
        require(m && m->points == (r.deleted ? 0 : r.count));
        f.runs.push_back({r.first, r.parent, r.count, r.lamport, r.deleted});
        f.text += r.text;
    }
    for (const auto& d : readable.deletions) f.deletions.push_back(d);
    f.lamport = readable.lamport;
    require(well_formed(f));
    normalize(f);
    return f;
}

} // namespace joinery::detail

namespace joinery {

using detail::text_columns;

void text_fragment::spell_out() {
    if (columns) *this = columns->spelled_out();
}

bool operator==(const text_fragment& a, const text_fragment& b) {
    if (a.columns || b.columns) {
        if (a.columns == b.columns) return true;
        text_fragment x = a, y = b;
        x.spell_out();
        y.spell_out();
        return x == y;
    }
    return a.runs == b.runs && a.text == b.text && a.deletions == b.deletions && a.lamport == b.lamport;
}

std::optional<std::uint8_t> text_fragment::brief(const dot_range& dots) const {
    using namespace detail;
    if (only_run(*this) != dots) return std::nullopt;
    return runs.empty() ? form_of(deletions.front()) : form_of(runs.front());
}

void text_fragment::save_brief(compact_output_archive& ar, const dot_range& dots, std::uint8_t how) const {
    using namespace detail;
    const dot first{dots.replica, dots.first};
    const std::uint64_t at = runs.empty() ? deletions.front().lamport : runs.front().lamport;
    if (how & drifted) ar.varint(zigzag(static_cast<std::int64_t>(at - first.seq)));
    if (how & deletes) return write_reference(ar, how, first, deletions.front().target, least_to_target);
    if (how & parent_follows) write_reference(ar, how, first, runs.front().parent, least_to_parent);
    ar.raw(text.data(), text.size());
}

void text_fragment::load_brief(compact_input_archive& ar, const dot_range& dots, std::uint8_t how) {
    using namespace detail;
    *this = {};
    const dot first{dots.replica, dots.first};
    std::uint64_t at = first.seq;
    if (how & drifted) at += static_cast<std::uint64_t>(unzigzag(ar.varint()));
    ar.unrenamed([&] {
        if (how & deletes) {
            const dot target = read_reference(ar, how, first, least_to_target);
            ar.charge(sizeof(text_deletion));
            deletions.push_back({first, target, dots.size(), at, (how & detail::backward) != 0});
        } else {
            dot parent = before(first);
            if (how & parent_follows) parent = read_reference(ar, how, first, least_to_parent);
            ar.charge(sizeof(text_run));
            runs.push_back({first, parent, dots.size(), at, (how & buried) != 0});
            if (!(how & buried)) text = read_utf8(ar, dots.size());
        }
    });
    require(well_formed(*this));
    require(brief(dots) == how, decode_error::non_canonical);
    if (ar.renaming()) rename(*this, *ar.renaming());
}

bool text_fragment::encode_alone(const dot_range& dots, std::vector<std::byte>& out) const {
    using namespace detail;
    if (columns || lamport != 0 || runs.size() + deletions.size() != 1) return false;
    const dot first{dots.replica, dots.first};
    const auto form = [&](const auto& run) {
        return run.first == first && run.count == dots.size() ? form_of(run) : std::uint8_t{as_dot};
    };
    const bool inserts = deletions.empty();
    const std::uint8_t how = inserts ? form(runs.front()) : form(deletions.front());
    if (how & as_dot) return false;
    constexpr std::size_t longest_head = 1 + 8 + 4 * 10, most_with_it = 64;
    std::byte bytes[longest_head + most_with_it];
    std::byte* at = bytes;
    const bool one = dots.first == dots.last;
    *at++ = static_cast<std::byte>(delta_head::brief | (one ? 0 : delta_head::several) | how);
    at = write_varint(write_fixed(at, dots.replica.value()), dots.first);
    if (!one) at = write_varint(at, dots.last - dots.first - 1);
    if (how & drifted) {
        const std::uint64_t lamport_of = inserts ? runs.front().lamport : deletions.front().lamport;
        at = write_varint(at, zigzag(static_cast<std::int64_t>(lamport_of - dots.first)));
    }
    if (how & deletes)
        at = write_varint(at, dots.first - deletions.front().target.seq - least_to_target);
    else if (how & parent_follows)
        at = write_varint(at, dots.first - runs.front().parent.seq - least_to_parent);
    const auto* characters = reinterpret_cast<const std::byte*>(text.data());
    if (text.size() == 1)
        *at++ = *characters;
    else if (text.size() <= most_with_it)
        at = std::copy(characters, characters + text.size(), at);
    if (out.empty())
        out.assign(bytes, at);
    else
        out.insert(out.end(), bytes, at);
    if (text.size() > most_with_it) out.insert(out.end(), characters, characters + text.size());
    return true;
}

bool text_fragment::decode_alone(dot_range& dots, std::span<const std::byte> bytes) {
    using namespace detail;
    constexpr std::size_t id = 8;
    if (bytes.size() < 1 + id + 1) return false;
    const auto begin = std::to_integer<std::uint8_t>(bytes[0]);
    const auto how = static_cast<std::uint8_t>(begin & delta_head::all_of_brief);
    if (begin < delta_head::brief || (how & as_dot)) return false;
    const std::byte* at = bytes.data() + 1 + id;
    const std::byte* const end = bytes.data() + bytes.size();
    std::uint64_t n = 0;
    const auto number = [&] { return read_varint(at, end, n) == varint_error::none; };
    if (!number() || n == 0 || n > max_sequence) return false;
    dots = {replica_id{read_fixed(bytes.data() + 1)}, n, n};
    if (begin & delta_head::several) {
        if (!number() || n >= max_sequence - dots.first) return false;
        dots.last += n + 1;
    }
    const dot first{dots.replica, dots.first};
    std::uint64_t lamport_of = first.seq;
    if (how & drifted) {
        if (!number()) return false;
        lamport_of += static_cast<std::uint64_t>(unzigzag(n));
    }
    if (!numbers_fit(first, dots.size(), lamport_of)) return false;
    dot other = before(first);
    const std::uint64_t least = how & deletes ? least_to_target : least_to_parent;
    if (how & (deletes | parent_follows)) {
        if (!number() || first.seq <= least || n >= first.seq - least) return false;
        other.seq = first.seq - n - least;
    }
    if (how & deletes) {
        const text_deletion d{first, other, dots.size(), lamport_of, (how & detail::backward) != 0};
        if (at != end || !well_formed(d) || form_of(d) != how) return false;
        deletions.push_back(d);
    } else {
        const std::string_view characters(reinterpret_cast<const char*>(at), static_cast<std::size_t>(end - at));
        const text_run r{first, other, dots.size(), lamport_of, (how & buried) != 0};
        if (other.seq == 0 || form_of(r) != how || !is_utf8(characters, r.deleted ? 0 : r.count)) return false;
        runs.push_back(r);
        text.assign(characters);
    }
    return true;
}

} // namespace joinery
