// SPDX-License-Identifier: Apache-2.0
#include <joinery/text_fragment.hpp>

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

bool extends(const text_deletion& d, const text_deletion& next) {
    if (next.first != advanced(d.first, d.count) || next.lamport != d.lamport + d.count ||
        next.target.replica != d.target.replica)
        return false;
    bool backward = d.count > 1 ? d.backward : next.count > 1 ? next.backward : next.target.seq < d.target.seq;
    if (next.count > 1 && next.backward != backward) return false;
    return backward ? next.target.seq + d.count == d.target.seq : next.target.seq == d.target.seq + d.count;
}

void extend(text_deletion& d, const text_deletion& next) {
    d.backward = next.target.seq < d.target.seq;
    d.count += next.count;
}

void append(std::vector<text_deletion>& to, const text_deletion& d) {
    if (!to.empty() && extends(to.back(), d))
        extend(to.back(), d);
    else
        to.push_back(d);
}

bool extends(const text_run& r, const text_run& next) {
    return next.first == advanced(r.first, r.count) && next.lamport == r.lamport + r.count &&
           next.parent == before(next.first) && next.deleted == r.deleted;
}

void append(text_fragment& to, const text_run& r, std::string_view utf8) {
    if (!to.runs.empty() && extends(to.runs.back(), r))
        to.runs.back().count += r.count;
    else
        to.runs.push_back(r);
    to.text += utf8;
}

namespace {

bool numbers_fit(dot first, std::uint64_t count, std::uint64_t lamport) {
    return first.seq >= 1 && count >= 1 && first.seq <= max_sequence && count - 1 <= max_sequence - first.seq &&
           lamport >= 1 && lamport <= max_lamport && count - 1 <= max_lamport - lamport;
}

bool well_formed(const text_deletion& d) {
    if (!numbers_fit(d.first, d.count, d.lamport) || d.target.seq < 1 || d.target.seq > max_sequence) return false;
    if (d.count == 1) return !d.backward;
    return d.backward ? d.count <= d.target.seq : d.count - 1 <= max_sequence - d.target.seq;
}

// The greatest Lamport number of what is there.
std::uint64_t greatest_lamport(const text_fragment& f) {
    std::uint64_t greatest = 0;
    for (const auto& r : f.runs) greatest = std::max(greatest, r.lamport + r.count - 1);
    for (const auto& d : f.deletions) greatest = std::max(greatest, d.lamport + d.count - 1);
    return greatest;
}

template <class Run> bool in_order(const std::vector<Run>& runs) {
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

void require(bool ok, decode_error e = decode_error::invalid_value) {
    if (!ok) throw decode_failure(e);
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
        const dot_renaming* renaming = ar_.renaming();
        bool renamed = renaming && first.replica == renaming->to;
        lamport = last_ + first.seq + (renamed ? renaming->after : 0); // what the writer called it
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

std::vector<text_run> read_runs(compact_input_archive& ar, drift_reader& drift, std::size_t n) {
    std::vector<text_run> runs;
    std::vector<std::size_t> cut_off; // runs that a renaming has cut off the one before
    runs.reserve(n);
    for (std::size_t i = 0; i < n; ++i) {
        auto parts = ar.read_ranges();
        for (const auto& r : parts) runs.push_back({{r.replica, r.first}, {}, r.size(), 0, false});
        if (parts.size() == 2) {
            cut_off.push_back(runs.size() - 1);
            ar.charge(2 * (sizeof(text_run) + sizeof(std::size_t)));
        }
    }
    std::vector<std::uint8_t> flags;
    flags.reserve(runs.size());
    auto cut = cut_off.begin();
    for (std::size_t i = 0; i < runs.size(); ++i) {
        text_run& r = runs[i];
        if (cut != cut_off.end() && *cut == i) {
            const text_run& former = runs[i - 1];
            r.lamport = former.lamport + former.count;
            r.parent = advanced(former.first, former.count - 1);
            r.deleted = former.deleted;
            flags.push_back(at_start);
            ++cut;
            continue;
        }
        std::uint8_t flag = drift.read(r.lamport, r.first);
        require(flag < 16 && (flag & (at_start | after_previous)) != (at_start | after_previous));
        require(numbers_fit(r.first, r.count, r.lamport));
        r.deleted = (flag & deleted) != 0;
        if (flag & after_previous) {
            const dot_renaming* renaming = ar.renaming();
            const bool seam = renaming && renaming->after > 0 && r.first == dot{renaming->to, 1};
            require(seam || r.first.seq > 1);
            r.parent = seam ? dot{renaming->from, renaming->after} : before(r.first); // which keeps its name
        }
        flags.push_back(flag);
    }
    for (std::size_t i = 0; i < runs.size(); ++i) {
        if (flags[i] & (at_start | after_previous)) continue;
        runs[i].parent = ar.read_dot();
        require(ar.renaming() || runs[i].parent != before(runs[i].first), decode_error::non_canonical);
    }
    return runs;
}

std::vector<text_deletion> read_deletions(compact_input_archive& ar, drift_reader& drift, std::size_t n) {
    std::vector<dot_range> events;
    std::vector<std::pair<std::uint64_t, std::uint8_t>> lamports; // with flags
    std::vector<std::size_t> counts;
    std::vector<text_deletion> out;
    ar.charge(n * (sizeof(dot_range) + 2 * sizeof(std::uint64_t) + 1));
    events.reserve(n);
    counts.reserve(n);
    for (std::size_t i = 0; i < n; ++i) {
        auto parts = ar.read_ranges();
        events.insert(events.end(), parts.begin(), parts.end());
        counts.push_back(parts.size());
    }
    lamports.reserve(n);
    for (std::size_t i = 0, e = 0; i < n; e += counts[i++]) {
        auto& [lamport, flags] = lamports.emplace_back();
        flags = drift.read(lamport, {events[e].replica, events[e].first});
        require((flags & ~(deleted | drifts)) == 0);
    }
    out.reserve(n);
    for (std::size_t i = 0, e = 0; i < n; ++i) {
        std::uint64_t count = 0;
        for (std::size_t k = 0; k < counts[i]; ++k) count += events[e + k].size();
        auto [lamport, flags] = lamports[i];
        bool backward = (flags & deleted) != 0;
        auto targets = count == 1 ? short_vector<dot_range, 2>{ar.read_dot()} : ar.read_ranges();
        std::uint64_t killed = 0;
        for (const auto& t : targets) killed += t.size();
        require(killed == count && (count > 1 || !backward));
        if (backward) std::reverse(targets.begin(), targets.end());
        // A renaming may have cut either side.
        auto target = targets.begin();
        std::uint64_t used = 0;
        for (std::size_t k = 0; k < counts[i]; ++k, ++e) {
            dot first{events[e].replica, events[e].first};
            for (std::uint64_t left = events[e].size(); left > 0;) {
                std::uint64_t part = std::min(left, target->size() - used);
                dot at{target->replica, backward ? target->last - used : target->first + used};
                text_deletion d{first, at, part, lamport, backward && part > 1};
                require(well_formed(d));
                if (out.size() == out.capacity()) ar.charge(4 * out.size() * sizeof(text_deletion));
                out.push_back(d);
                first.seq += part;
                lamport += part;
                left -= part;
                used += part;
                if (used == target->size()) {
                    ++target;
                    used = 0;
                }
            }
        }
    }
    return out;
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
    auto m = measure_utf8(f.text);
    return m && m->points == points && f.lamport <= max_lamport;
}

void write_compact(compact_output_archive& ar, const text_fragment& f) {
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

void read_compact(compact_input_archive& ar, text_fragment& f) {
    f = {};
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
    auto rest = ar.rest();
    std::size_t size = 0;
    for (; points > 0; --points) {
        require(size < rest.size(), decode_error::truncated);
        size += utf8_length(static_cast<char>(rest[size]));
    }
    auto text = ar.raw(size);
    ar.charge(size + 1);
    f.text.assign(reinterpret_cast<const char*>(text.data()), text.size());
    require(well_formed(f));
    if (ar.renaming())
        normalize(f);
    else
        require(in_order(f.runs) && in_order(f.deletions), decode_error::non_canonical);
}

std::vector<readable_run> readable_runs(const text_fragment& f) {
    std::vector<readable_run> out;
    std::string_view rest = f.text;
    for (const auto& r : f.runs) {
        std::size_t size = r.deleted ? 0 : utf8_prefix(rest, r.count);
        out.push_back({r.first, r.parent, r.count, r.lamport, r.deleted, std::string(rest.substr(0, size))});
        rest.remove_prefix(size);
    }
    return out;
}

void take_readable_runs(text_fragment& f, const std::vector<readable_run>& runs) {
    f.runs.clear();
    f.text.clear();
    for (const auto& r : runs) {
        auto m = measure_utf8(r.text);
        require(m && m->points == (r.deleted ? 0 : r.count));
        f.runs.push_back({r.first, r.parent, r.count, r.lamport, r.deleted});
        f.text += r.text;
    }
    require(well_formed(f));
    normalize(f);
}

} // namespace joinery::detail
