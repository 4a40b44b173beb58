// SPDX-License-Identifier: Apache-2.0
#include "salvage.hpp"

#include "sqlite_format.hpp"
#include "sqlite_wal.hpp"

#include <joinery/frame.hpp>
#include <joinery/messages.hpp>

#include <algorithm>
#include <cstring>
#include <map>
#include <set>
#include <span>
#include <tuple>

namespace joinery::tool {

namespace {

using namespace sqlite;
using bytes = std::vector<std::byte>;
using image = std::vector<unsigned char>;

// ---- pages (SQLite's fileformat2.html) ----

/// A column of a row: nothing, a number or bytes.
struct column {
    enum class kind : std::uint8_t { null, integer, blob, other } is = kind::null;
    std::int64_t integer = 0;
    std::span<const std::byte> blob{};
};

class page_reader {
public:
    explicit page_reader(const image& m) : m_(m) {
        const std::size_t said = m.size() >= 100 ? std::size_t{m[16]} << 8 | m[17] : 0;
        page_ = said == 1 ? 65536 : said;
        if (page_ < 512 || (page_ & (page_ - 1)) != 0) page_ = page_size; // the header is damaged
        usable_ = page_;
    }

    /// Calls f(rowid, columns) for each row that can be read on a leaf.
    template <class F> void for_each_row(F&& f) const {
        for (std::size_t start = 0; start + page_ <= m_.size() + page_ - 1; start += page_) {
            const std::size_t head = start == 0 ? 100 : start;
            if (head + 8 > m_.size() || m_[head] != 13) continue;
            const std::size_t cells = two(head + 3);
            for (std::size_t i = 0; i < cells; ++i) {
                const std::size_t at = head + 8 + 2 * i;
                if (at + 2 > std::min(m_.size(), start + page_)) break;
                read_row(start + two(at), start + page_, f);
            }
        }
    }

private:
    const image& m_;
    std::size_t page_ = page_size, usable_ = page_size;

    std::size_t two(std::size_t at) const { return std::size_t{m_[at]} << 8 | m_[at + 1]; }

    static std::optional<std::uint64_t> varint(std::span<const unsigned char>& in) {
        std::uint64_t value = 0;
        for (std::size_t i = 0; i < 9; ++i) {
            if (i >= in.size()) return std::nullopt;
            value = i == 8 ? value << 8 | in[i] : value << 7 | (in[i] & 0x7f);
            if (i == 8 || !(in[i] & 0x80)) {
                in = in.subspan(i + 1);
                return value;
            }
        }
        return std::nullopt;
    }

    template <class F> void read_row(std::size_t at, std::size_t end, F&& f) const {
        end = std::min(end, m_.size());
        if (at >= end) return;
        std::span<const unsigned char> in(&m_[at], end - at);
        const auto size = varint(in);
        const auto rowid = size ? varint(in) : std::nullopt;
        if (!rowid || *size > m_.size()) return;
        // How much of it is on this page, and how much on those that it leads to.
        const std::size_t most = usable_ - 35, least = (usable_ - 12) * 32 / 255 - 23;
        std::size_t here = static_cast<std::size_t>(*size);
        if (here > most) {
            here = least + (here - least) % (usable_ - 4);
            if (here > most) here = least;
        }
        if (in.size() < here) return;
        image row(in.begin(), in.begin() + static_cast<std::ptrdiff_t>(here));
        if (here < *size) {
            if (in.size() < here + 4) return;
            std::uint64_t next = big_endian(&in[here]);
            while (row.size() < *size) {
                if (next < 2 || next * page_ > m_.size()) return;
                const unsigned char* p = &m_[(next - 1) * page_];
                const auto n = std::min<std::size_t>(usable_ - 4, static_cast<std::size_t>(*size) - row.size());
                row.insert(row.end(), p + 4, p + 4 + n);
                next = big_endian(p);
            }
        }
        read_columns(unstored(static_cast<std::int64_t>(*rowid)), row, f);
    }

    template <class F> static void read_columns(std::uint64_t rowid, const image& row, F&& f) {
        std::span<const unsigned char> in(row);
        const auto head = varint(in);
        if (!head || *head > row.size() || *head > 64) return;
        auto types = std::span(row).first(static_cast<std::size_t>(*head)).subspan(row.size() - in.size());
        auto rest = std::span(row).subspan(static_cast<std::size_t>(*head));
        std::vector<column> columns;
        while (!types.empty()) {
            const auto type = varint(types);
            if (!type) return;
            column c;
            std::size_t size = 0;
            if (*type >= 12) {
                c.is = *type % 2 == 0 ? column::kind::blob : column::kind::other;
                if ((*type - 12) / 2 > rest.size()) return;
                size = static_cast<std::size_t>((*type - 12) / 2);
            } else if (*type > 0) {
                constexpr std::size_t sizes[] = {0, 1, 2, 3, 4, 6, 8, 8, 0, 0};
                if (*type > 9) return;
                c.is = *type == 7 ? column::kind::other : column::kind::integer;
                size = sizes[*type];
            }
            if (size > rest.size()) return;
            if (c.is == column::kind::blob) c.blob = std::as_bytes(rest.first(size));
            if (c.is == column::kind::integer) {
                std::uint64_t v = size > 0 && (rest[0] & 0x80) ? ~std::uint64_t{0} : 0;
                for (std::size_t i = 0; i < size; ++i) v = v << 8 | rest[i];
                c.integer = *type == 9 ? 1 : stored(v);
            }
            rest = rest.subspan(size);
            columns.push_back(c);
        }
        f(rowid, std::span<const column>(columns));
    }
};

/// The transactions of a write-ahead log put into a copy of the file, those behind a damaged one too.
image with_all_of_the_log(image file, const image& wal) {
    if (wal.size() < 32) return file;
    const std::size_t size = big_endian(&wal[8]);
    if (size < 512 || size > 65536) return file;
    for (std::size_t at = 32; at + 24 + size <= wal.size(); at += 24 + size) {
        const std::uint64_t page = big_endian(&wal[at]);
        if (page == 0 || std::memcmp(&wal[at + 8], &wal[16], 8) != 0) continue; // of an earlier use
        if (page * size > 4 * (file.size() + wal.size()) + (std::size_t{1} << 20)) continue;
        if (file.size() < page * size) file.resize(page * size);
        std::memcpy(&file[(page - 1) * size], &wal[at + 24], size);
    }
    return file;
}

// ---- rows ----

struct part {
    std::uint64_t sum = 0;
    bytes data;
    friend bool operator==(const part&, const part&) = default;
};
struct collection_row {
    std::uint64_t fingerprint = 0, size = 0, sum = 0;
    std::string name;
    std::uint64_t base() const { return chain(fingerprint, name.size(), std::as_bytes(std::span(name))); }
    friend bool operator==(const collection_row&, const collection_row&) = default;
};

/// Those of all images; the first is the likeliest.
struct rows {
    std::vector<std::pair<replica_id, std::uint64_t>> ids; // and the mark that they verify with
    std::map<std::uint64_t, std::size_t> marks;            // that other rows do, and how many
    std::uint64_t mark = 0;
    std::map<std::uint64_t, std::vector<collection_row>> collections;
    std::map<std::uint64_t, std::vector<part>> snapshot, log; // by key

    template <class X> static void put(std::vector<X>& to, X x) {
        if (std::find(to.begin(), to.end(), x) == to.end()) to.push_back(std::move(x));
    }

    void read(const image& m) {
        using enum column::kind;
        const auto are = [](std::span<const column> c, std::initializer_list<column::kind> kinds) {
            return std::equal(c.begin(), c.end(), kinds.begin(), kinds.end(),
                              [](const column& x, column::kind k) { return x.is == k; });
        };
        const auto copy = [](std::span<const std::byte> b) { return bytes(b.begin(), b.end()); };
        page_reader(m).for_each_row([&](std::uint64_t key, std::span<const column> c) {
            if (are(c, {null, blob})) {
                put(snapshot[key], {0, copy(c[1].blob)});
            } else if (are(c, {null, integer, blob})) {
                put(log[key], {unstored(c[1].integer), copy(c[2].blob)});
            } else if (are(c, {null, integer, integer, integer, blob}) && key <= max_collections) {
                const auto& b = c[4].blob;
                collection_row row{unstored(c[1].integer), unstored(c[2].integer), unstored(c[3].integer),
                                   std::string(reinterpret_cast<const char*>(b.data()), b.size())};
                if (row.size == 0) ++marks[row.base() ^ row.sum];
                put(collections[key], std::move(row));
            } else if (are(c, {null, integer, integer, integer, integer}) && key == 1) {
                const replica_id id(unstored(c[1].integer));
                const auto sum = node_checksum(id, c[2].integer, unstored(c[3].integer), 0);
                const auto with = sum ^ unstored(c[4].integer);
                ++marks[with];
                put(ids, std::pair(id, with));
            }
        });
    }

    /// That of the header, if any row has it; else the one that most rows have.
    void choose_mark(const image& file) {
        if (file.size() >= 64) mark = mark_sum(mark_of(big_endian(&file[60])));
        if (marks.contains(mark) || marks.empty()) return;
        mark = std::max_element(marks.begin(), marks.end(), [](const auto& a, const auto& b) {
                   return a.second < b.second;
               })->first;
    }
};

// ---- collections ----

class assembler {
public:
    assembler(const rows& from, std::uint64_t number) : from_(from), number_(number) { out_.number = number; }

    found_collection take() && {
        choose_row();
        read_log();
        return std::move(out_);
    }

private:
    const rows& from_;
    std::uint64_t number_;
    found_collection out_;
    std::optional<std::uint64_t> base_; // what the log's chain begins with

    std::uint64_t key(std::uint64_t position) const { return number_ << position_bits | position; }

    const std::vector<part>* parts(const std::map<std::uint64_t, std::vector<part>>& of, std::uint64_t at) const {
        const auto found = of.find(key(at));
        return found == of.end() ? nullptr : &found->second;
    }

    // Of several rows the first whose snapshot verifies, or else the first.
    void choose_row() {
        const auto found = from_.collections.find(number_);
        if (found == from_.collections.end()) {
            out_.snapshot_lost = true;
            return;
        }
        for (const auto& row : found->second)
            if (read_snapshot(row)) return;
        const auto& row = found->second.front();
        out_.name = row.name;
        out_.fingerprint = row.fingerprint;
        out_.snapshot_lost = true;
    }

    bool read_snapshot(const collection_row& row) {
        const auto base = row.base();
        std::vector<const std::vector<part>*> all;
        std::uint64_t choices = 1;
        if (row.size > 0)
            for (std::uint64_t at = 0; at * part_size < row.size; ++at) {
                all.push_back(parts(from_.snapshot, at));
                if (!all.back()) return false;
                choices = std::min<std::uint64_t>(choices * all.back()->size(), 256);
            }
        for (std::uint64_t choice = 0; choice < choices; ++choice) {
            auto sum = row.size > 0 ? chain(base, row.size, {}) : base;
            bytes whole;
            auto left = choice;
            for (std::uint64_t at = 0; at < all.size(); ++at) {
                const auto& data = (*all[at])[left % all[at]->size()].data;
                left /= all[at]->size();
                sum = chain(sum, at, data);
                whole.insert(whole.end(), data.begin(), data.end());
            }
            // Without the mark, which the file's header or the row of node has, the frame verifies itself.
            const bool frame =
                row.size > 0 && open_stored(whole, frame_kind::snapshot, name_digest(row.name), row.fingerprint);
            if (whole.size() != row.size || (!frame && (sum ^ row.sum) != from_.mark)) continue;
            out_.name = row.name;
            out_.fingerprint = row.fingerprint;
            out_.snapshot = std::move(whole);
            base_ = sum;
            return true;
        }
        return false;
    }

    bool is_frame(const bytes& record) const {
        const auto f = open_frame(record);
        return f && f->kind == frame_kind::record && (!out_.name || f->collection == name_digest(*out_.name));
    }

    void missing() {
        if (out_.records.empty() || out_.records.back()) out_.records.emplace_back();
    }

    // Parts that follow on each other are a stream of records. Behind one that is missing a part may begin anywhere:
    // then those records count that are frames.
    void read_log() {
        const auto first = from_.log.lower_bound(key(0)),
                   last = from_.log.lower_bound(key(0) + (1ull << position_bits));
        auto before = base_;
        std::uint64_t expected = 0;
        std::vector<bytes> stream;
        std::optional<record_splitter> splitter;
        bool sure = base_.has_value();
        const auto end_stream = [&] {
            const bool torn = splitter && !splitter->whole();
            if (torn && !stream.empty()) stream.pop_back();
            for (auto& record : stream) {
                if (sure || is_frame(record))
                    out_.records.emplace_back(std::move(record));
                else
                    missing();
            }
            if (torn) missing();
            stream.clear();
            splitter.reset();
        };
        if (!before) missing();
        for (auto at = first; at != last; ++at) {
            const auto position = at->first - key(0);
            const auto verified = [&](const part& p) {
                return before && chain(*before, at->first, p.data) == (p.sum ^ from_.mark);
            };
            auto p =
                position == expected ? std::find_if(at->second.begin(), at->second.end(), verified) : at->second.end();
            if (p == at->second.end()) {
                end_stream();
                missing();
                sure = false;
                p = likeliest(at->first, at->second);
            }
            if (!splitter) splitter.emplace(stream);
            const std::size_t n = stream.size();
            if (!splitter->add(p->data)) {
                stream.resize(n);
                splitter.reset();
                sure = false;
                end_stream();
                missing();
            }
            before = p->sum ^ from_.mark;
            expected = position + 1;
        }
        end_stream();
    }

    // The one that the next one follows on.
    std::vector<part>::const_iterator likeliest(std::uint64_t at, const std::vector<part>& all) const {
        const auto next = from_.log.find(at + 1);
        if (next != from_.log.end())
            for (auto p = all.begin(); p != all.end(); ++p)
                for (const auto& n : next->second)
                    if (chain(p->sum ^ from_.mark, at + 1, n.data) == (n.sum ^ from_.mark)) return p;
        return all.begin();
    }
};

} // namespace

found_node all_of(stored_file&& f) {
    found_node all{f.id, {}};
    for (auto& c : f.collections) {
        auto& to = all.collections.emplace_back();
        to.number = c.number;
        to.name = std::move(c.name);
        to.fingerprint = c.fingerprint;
        to.snapshot = std::move(c.snapshot);
        for (auto& r : c.records) to.records.emplace_back(std::move(r));
    }
    return all;
}

found_node salvage(const file_image& from) {
    rows all;
    image file = from.main;
    const auto most = 4 * (from.main.size() + from.wal.size()) + (std::size_t{64} << 20);
    // A log of another file is left out, where that can be told.
    const auto is_ours = [&](const image& m) {
        if (from.main.size() < 100 || std::memcmp(from.main.data(), "SQLite format 3", 16) != 0) return true;
        const auto version = big_endian(&from.main[60]);
        return version == 0 || mark_of(version) == mark_of(big_endian(&m[60]));
    };
    if (!from.wal.empty()) {
        if (replay_wal(from.wal, file, most).value_or(0) > 0 && is_ours(file)) all.read(file);
        const auto whole = with_all_of_the_log(file, from.wal);
        if (whole != file && is_ours(whole)) all.read(whole);
    }
    all.read(from.main);
    all.choose_mark(from.main);

    found_node node;
    for (const auto& [id, mark] : all.ids)
        if (mark == all.mark && !node.id) node.id = id;
    std::set<std::uint64_t> numbers;
    for (const auto& [number, row] : all.collections) numbers.insert(number);
    for (const auto* parts : {&all.snapshot, &all.log})
        for (const auto& [key, part] : *parts)
            if (key >> position_bits <= max_collections) numbers.insert(key >> position_bits);
    for (const auto number : numbers) node.collections.push_back(assembler(all, number).take());
    return node;
}

} // namespace joinery::tool
