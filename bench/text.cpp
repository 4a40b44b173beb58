// SPDX-License-Identifier: Apache-2.0
// Texts on real editing histories, through the public interface: a figure in each line, as the programs in bench/peers
// print them of other libraries. Every final text is checked.
#include "harness.hpp"
#include "traces.hpp"

#include <joinery/joinery.hpp>

#include <zstd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

using namespace joinery;
using bench::text_delta, bench::text_replica, bench::trace, bench::patch;

namespace {

constexpr std::size_t rounds = 7;
const replica_id writer_id{0x6a6f696e65727931}, reader_id{0x6a6f696e65727932};

void require(bool ok, const std::string& what) {
    if (!ok) throw std::runtime_error("text: " + what);
}

void print(std::string_view peer, std::string_view trace, std::string_view column, double value, const char* unit) {
    std::printf("{\"peer\":\"%.*s\",\"version\":\"%s\",\"trace\":\"%.*s\",\"column\":\"%.*s\",\"value\":%.6g,\"unit\":"
                "\"%s\"}\n",
                static_cast<int>(peer.size()), peer.data(), "", static_cast<int>(trace.size()), trace.data(),
                static_cast<int>(column.size()), column.data(), value, unit);
    std::fflush(stdout);
}

void ours(std::string_view trace, std::string_view column, double value, const char* unit) {
    print("joinery", trace, column, value, unit);
}

// Median milliseconds of f, which returns what is checked and then destroyed outside of the time.
template <class F, class Check> double milliseconds(F&& f, Check&& check) {
    std::vector<double> samples;
    for (std::size_t i = 0; i <= rounds; ++i) {
        const auto begin = std::chrono::steady_clock::now();
        auto made = f();
        const std::chrono::duration<double, std::milli> t = std::chrono::steady_clock::now() - begin;
        check(made);
        if (i > 0) samples.push_back(t.count());
    }
    return bench::median(samples);
}

template <class F> double kib_of(F&& f) {
    const auto before = bench::heap_in_use();
    const auto made = f();
    return static_cast<double>(bench::heap_in_use() - before) / 1024;
}

// The floor: a buffer with a gap where it was last edited, of ASCII or of code points.
template <class Char> class gap_buffer {
public:
    void replace(std::size_t pos, std::size_t erased, const Char* text, std::size_t n) {
        if (pos != gap_) move(pos);
        end_ += erased;
        if (end_ - gap_ < n) grow(n);
        std::memcpy(buffer_.data() + gap_, text, n * sizeof(Char));
        gap_ += n;
    }
    std::size_t size() const { return buffer_.size() - (end_ - gap_); }
    Char at(std::size_t i) const { return buffer_[i < gap_ ? i : i + end_ - gap_]; }

private:
    std::vector<Char> buffer_ = std::vector<Char>(1024);
    std::size_t gap_ = 0, end_ = 1024;

    void move(std::size_t pos) {
        auto* b = buffer_.data();
        if (pos < gap_)
            std::memmove(b + end_ - (gap_ - pos), b + pos, (gap_ - pos) * sizeof(Char));
        else
            std::memmove(b + gap_, b + end_, (pos - gap_) * sizeof(Char));
        end_ = end_ + pos - gap_;
        gap_ = pos;
    }
    void grow(std::size_t n) {
        std::vector<Char> greater(2 * (buffer_.size() + n));
        const auto tail = buffer_.size() - end_;
        std::memcpy(greater.data(), buffer_.data(), gap_ * sizeof(Char));
        std::memcpy(greater.data() + greater.size() - tail, buffer_.data() + end_, tail * sizeof(Char));
        end_ = greater.size() - tail;
        buffer_.swap(greater);
    }
};

std::u32string points_of(std::string_view utf8) {
    std::u32string out;
    for (std::size_t i = 0; i < utf8.size();) {
        const auto lead = static_cast<unsigned char>(utf8[i]);
        const std::size_t n = lead < 0x80 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
        char32_t c = n == 1 ? lead : lead & (0xffu >> (n + 1));
        for (std::size_t k = 1; k < n; ++k) c = (c << 6) | (static_cast<unsigned char>(utf8[i + k]) & 0x3fu);
        out.push_back(c);
        i += n;
    }
    return out;
}

void floor_of(const trace& t) {
    const auto end = points_of(t.end);
    std::vector<patch> patches;
    bool ascii = true;
    for (const auto& x : t.transactions)
        for (const auto& p : x.patches) {
            patches.push_back(p);
            for (const char c : p.inserted) ascii = ascii && static_cast<unsigned char>(c) < 0x80;
        }
    const auto run = [&]<class Char>(const std::vector<std::basic_string<Char>>& texts) {
        return milliseconds(
            [&] {
                gap_buffer<Char> b;
                for (std::size_t i = 0; i < patches.size(); ++i)
                    b.replace(patches[i].position, patches[i].erased, texts[i].data(), texts[i].size());
                return b;
            },
            [&](const auto& b) {
                require(b.size() == end.size(), "the floor's length of " + t.name);
                for (std::size_t i = 0; i < end.size(); ++i)
                    require(static_cast<char32_t>(b.at(i)) == end[i], "the floor's text of " + t.name);
            });
    };
    double ms = 0;
    if (ascii) {
        std::vector<std::string> texts;
        for (const auto& p : patches) texts.push_back(p.inserted);
        ms = run(texts);
    } else {
        std::vector<std::u32string> texts;
        for (const auto& p : patches) texts.push_back(points_of(p.inserted));
        ms = run(texts);
    }
    print("gap buffer", t.name, "local", ms, "ms");
}

std::size_t zstd_size(const std::vector<std::byte>& bytes) {
    std::vector<char> out(ZSTD_compressBound(bytes.size()));
    return ZSTD_compress(out.data(), out.size(), bytes.data(), bytes.size(), 3);
}

// What is done with a whole document at once.
void whole(const trace& t, const std::string& name, const causal<rga_text>& state) {
    const auto right = [&](const auto& r) { require(r->str() == t.end, name); };
    const auto history = encode(state.delta_since({}));
    ours(name, "merge",
         milliseconds(
             [&] {
                 text_replica r{reader_id};
                 r.join(*decode<text_delta>(history));
                 return r;
             },
             right),
         "ms");
    ours(name, "save", milliseconds([&] { return encode(state); }, [](const auto&) {}), "ms");
    const auto saved = encode(state);
    ours(name, "bytes", static_cast<double>(saved.size()), "bytes");
    ours(name, "bytes_zstd", static_cast<double>(zstd_size(saved)), "bytes");
    ours(name, "open",
         milliseconds([&] { return decode<causal<rga_text>>(saved).value()->str(); },
                      [&](const std::string& s) { require(s == t.end, name + " opened"); }),
         "ms");
    ours(name, "heap_merge", kib_of([&] {
             text_replica r{reader_id};
             r.join(*decode<text_delta>(history));
             return r;
         }),
         "KiB");
}

void sequential(const trace& t) {
    const auto right = [&](const text_replica& r) { require(r->str() == t.end, t.name); };
    const auto local = [&] {
        text_replica r{writer_id};
        r.edit([&](rga_text& text, transaction& tx) {
            for (const auto& x : t.transactions)
                for (const auto& p : x.patches) bench::apply(p, text, tx);
        });
        return r;
    };
    floor_of(t);
    ours(t.name, "local", milliseconds(local, right), "ms");
    ours(t.name, "heap_local", kib_of(local), "KiB");
    std::vector<std::vector<std::byte>> deltas;
    deltas.reserve(t.patches());
    const auto keystrokes = [&] {
        deltas.clear();
        text_replica r{writer_id};
        for (const auto& x : t.transactions)
            for (const auto& p : x.patches)
                deltas.push_back(encode(r.edit([&](rga_text& text, transaction& tx) { bench::apply(p, text, tx); })));
        return r;
    };
    ours(t.name, "local_delta", milliseconds(keystrokes, right), "ms");
    double bytes = 0;
    for (const auto& d : deltas) bytes += static_cast<double>(d.size());
    ours(t.name, "bytes_per_keystroke", bytes / static_cast<double>(deltas.size()), "bytes");
    const auto remote = [&] {
        text_replica r{reader_id};
        for (const auto& d : deltas) r.join(*decode<text_delta>(d));
        return r;
    };
    ours(t.name, "remote", milliseconds(remote, right), "ms");
    ours(t.name, "heap_remote", kib_of(remote), "KiB");
    whole(t, t.name, keystrokes().state());
}

void concurrent(const trace& t) {
    const auto r = bench::replay(t);
    require(r.merged->str() == t.end, t.name + " merged");
    whole(t, t.name, r.merged);
    ours(t.name, "remote",
         milliseconds(
             [&] {
                 text_replica reader{reader_id};
                 for (const auto& d : r.deltas) reader.join(*decode<text_delta>(d));
                 return reader;
             },
             [&](const auto& x) { require(x->str() == t.end, t.name + " one by one"); }),
         "ms");
}

// Single characters at random places of a great document: of one insertion, and of a million more.
void random_inserts() {
    constexpr std::size_t size = 10'000'000, edits = 100'000;
    text_replica r{writer_id};
    std::mt19937_64 random(1);
    r.edit([](rga_text& t, transaction& tx) { t.insert(tx, 0, std::string(size, 'x')); });
    const auto scatter = [&](std::size_t n) {
        const auto begin = std::chrono::steady_clock::now();
        r.edit([&](rga_text& t, transaction& tx) {
            for (std::size_t i = 0; i < n; ++i) t.insert(tx, random() % (t.size() + 1), "y");
        });
        const std::chrono::duration<double, std::nano> time = std::chrono::steady_clock::now() - begin;
        return time.count() / static_cast<double>(n);
    };
    ours("random-insert", "1 span", scatter(edits), "ns");
    scatter(1'000'000 - edits);
    ours("random-insert", "2 M spans", scatter(edits), "ns");
    require(r->size() == size + 1'000'000 + edits, "random inserts");
}

// Two writers prepend concurrently, and then hear of it edit by edit.
double prepends(std::size_t n) {
    std::vector<double> samples;
    for (std::size_t round = 0; round < 3; ++round) {
        text_replica a{writer_id}, b{reader_id};
        std::vector<std::vector<std::byte>> from_a, from_b;
        for (std::size_t i = 0; i < n; ++i) {
            from_a.push_back(encode(a.edit([](rga_text& t, transaction& tx) { t.insert(tx, 0, "a"); })));
            from_b.push_back(encode(b.edit([](rga_text& t, transaction& tx) { t.insert(tx, 0, "b"); })));
        }
        const auto begin = std::chrono::steady_clock::now();
        for (const auto& d : from_b) a.join(*decode<text_delta>(d));
        for (const auto& d : from_a) b.join(*decode<text_delta>(d));
        const std::chrono::duration<double, std::micro> time = std::chrono::steady_clock::now() - begin;
        require(a.state() == b.state() && a->size() == 2 * n, "prepends");
        samples.push_back(time.count() / static_cast<double>(2 * n));
    }
    return bench::median(samples);
}

void small_texts() {
    constexpr std::size_t texts = 100'000;
    using notes = or_map<std::string, rga_text>;
    const std::string words = "forty characters make a text that is one";
    replica<notes> r{writer_id};
    const auto before = bench::heap_in_use();
    const auto begin = std::chrono::steady_clock::now();
    for (std::size_t i = 0; i < texts; ++i)
        r.edit([&](notes& n, transaction& tx) { n.at(tx, "note " + std::to_string(i))->insert(tx, 0, words); });
    const std::chrono::duration<double, std::micro> time = std::chrono::steady_clock::now() - begin;
    ours("100,000 texts in a map", "bytes_each", static_cast<double>(bench::heap_in_use() - before) / texts, "bytes");
    ours("100,000 texts in a map", "insert", time.count() / texts, "us");
    require(words.size() == 40 && r->size() == texts && r->find("note 77")->str() == words, "small texts");
}

} // namespace

int main(int argc, char** argv) {
    const auto wanted = [&](std::string_view name) {
        for (int i = 1; i < argc; ++i)
            if (argv[i] == name) return true;
        return argc == 1;
    };
    const char* folder = std::getenv("JOINERY_TRACES");
    for (const char* name : {"automerge-paper", "seph-blog1", "sveltecomponent", "friendsforever", "A1", "S1"}) {
        if (!wanted(name)) continue;
        const auto t = folder ? bench::read_trace(folder, name) : std::nullopt;
        if (!t) {
            std::fprintf(stderr, "%s: no such trace in JOINERY_TRACES\n", name);
            continue;
        }
        if (!t->concurrent) {
            sequential(*t);
            continue;
        }
        concurrent(*t);
        if (t->name == "friendsforever") sequential(bench::flattened(*t, bench::replay(*t)));
    }
    if (wanted("random-insert")) random_inserts();
    if (wanted("prepend"))
        for (const std::size_t n : {2'000, 20'000})
            ours("2 x " + std::to_string(n) + " prepends", "prepend", prepends(n), "us");
    if (wanted("small-texts")) small_texts();
}
