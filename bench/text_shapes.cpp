// SPDX-License-Identifier: Apache-2.0
// Edits that are made up, the same as in bench/peers: the text shapes of github.com/dmonad/crdt-benchmarks (B1 to B3),
// random inserts into a long document, two writers who prepend; and many small texts.
#include "text_figures.hpp"
#include "traces.hpp"

#include <joinery/joinery.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

using namespace joinery;

namespace bench {

namespace {

constexpr std::size_t n_edits = 6000;

// Marsaglia's xorshift32: the programs in every language make the same edits.
class random_edits {
public:
    std::uint32_t below(std::size_t bound) {
        state_ ^= state_ << 13;
        state_ ^= state_ >> 17;
        state_ ^= state_ << 5;
        return static_cast<std::uint32_t>(state_ % bound);
    }

    std::string text(std::size_t length) {
        std::string out;
        for (std::size_t i = 0; i < length; ++i) out += static_cast<char>('a' + below(26));
        return out;
    }
    std::string letter() { return text(1); }
    // Three to nine letters.
    std::string word() { return text(3 + below(7)); }

    // Inserts what `text` makes at random places of a document with `length` characters.
    std::vector<patch> inserts(std::size_t length, std::string (random_edits::*text)()) {
        std::vector<patch> out;
        while (out.size() < n_edits) {
            out.push_back({below(length + 1), 0, (this->*text)()});
            length += out.back().inserted.size();
        }
        return out;
    }

    // Inserts words and deletes up to nine characters, by turns of a coin.
    std::vector<patch> inserts_and_deletes(std::size_t length) {
        std::vector<patch> out;
        while (out.size() < n_edits) {
            const auto pos = below(length + 1);
            if (pos == length || below(2) == 0) {
                out.push_back({pos, 0, word()});
                length += out.back().inserted.size();
            } else {
                const auto erased = std::min(1 + below(9), static_cast<std::uint32_t>(length) - pos);
                out.push_back({pos, erased, {}});
                length -= erased;
            }
        }
        return out;
    }

private:
    std::uint32_t state_ = 2463534242;
};

text_replica replica_of(std::size_t agent) { return text_replica{replica_id{0x9e3779b97f4a7c15 * (agent + 1)}}; }

std::string patched(std::string text, std::span<const patch> patches) {
    for (const auto& p : patches) text.replace(p.position, p.erased, p.inserted);
    return text;
}

std::vector<patch> b1_patches(char shape, random_edits& random) {
    std::vector<patch> out;
    switch (shape) {
    case '1':
        for (std::uint32_t i = 0; i < n_edits; ++i) out.push_back({i, 0, random.letter()});
        return out;
    case '2': return {{0, 0, random.text(n_edits)}};
    case '3':
        for (std::size_t i = 0; i < n_edits; ++i) out.push_back({0, 0, random.letter()});
        return out;
    case '4': return random.inserts(0, &random_edits::letter);
    case '5': return random.inserts(0, &random_edits::word);
    case '6': return {{0, 0, random.text(n_edits)}, {0, n_edits, {}}};
    default: return random.inserts_and_deletes(0);
    }
}

// One writer, whose updates another applies one by one.
void b1(const text_figures& out) {
    random_edits random;
    const auto patches = b1_patches(out.trace().back(), random);
    const auto text = patched({}, patches);
    std::size_t bytes = 0, saved = 0;
    out.time("time", "ms", 1, [&] {
        auto writer = replica_of(0), reader = replica_of(1);
        std::vector<update> updates;
        updates.reserve(patches.size());
        const stopwatch clock;
        for (const auto& p : patches) updates.push_back(edited(writer, {&p, 1}));
        for (const auto& u : updates) join(reader, u);
        const auto time = clock.elapsed();
        out.require(writer->str() == text && reader->str() == text, "another text");
        bytes = size_of(updates);
        saved = encode(writer.state()).size();
        return time;
    });
    out.figure("bytes_per_update", static_cast<double>(bytes) / static_cast<double>(patches.size()), "bytes");
    out.figure("bytes", static_cast<double>(saved), "bytes");
}

constexpr std::size_t b2_start = 100;

std::vector<patch> b2_patches(char shape, random_edits& random) {
    switch (shape) {
    case '1': return {{0, 0, random.text(n_edits)}};
    case '2': return random.inserts(b2_start, &random_edits::letter);
    case '3': return random.inserts(b2_start, &random_edits::word);
    default: return random.inserts_and_deletes(b2_start);
    }
}

bool has_subsequence(std::string_view text, std::string_view part) {
    for (std::size_t i = 0; i < text.size() && !part.empty(); ++i)
        if (text[i] == part.front()) part.remove_prefix(1);
    return part.empty();
}

// Two writers of a document with 100 characters edit it side by side, a transaction each, and exchange the updates.
void b2(const text_figures& out) {
    random_edits random;
    const patch start{0, 0, random.text(b2_start)};
    const auto shape = out.trace().back();
    const auto left = b2_patches(shape, random), right = b2_patches(shape, random);
    const auto right_of = [&](const text_replica& a, const text_replica& b) {
        const auto text = a->str();
        out.require(a.state() == b.state() && text == b->str(), "replicas differ");
        if (shape == '4') return; // what the other one inserts may be among what one deletes
        const auto l = patched(start.inserted, left), r = patched(start.inserted, right);
        out.require(text.size() == l.size() + r.size() - b2_start, "another length");
        out.require(has_subsequence(text, l) && has_subsequence(text, r), "another text");
    };
    std::size_t bytes = 0;
    out.time("time", "ms", 1, [&] {
        auto a = replica_of(0), b = replica_of(1);
        join(b, edited(a, {&start, 1}));
        const stopwatch clock;
        const auto from_a = edited(a, left), from_b = edited(b, right);
        join(a, from_b);
        join(b, from_a);
        const auto time = clock.elapsed();
        right_of(a, b);
        bytes = from_a.size() + from_b.size();
        return time;
    });
    out.figure("bytes_of_updates", static_cast<double>(bytes), "bytes");
}

// 20 * sqrt(n_edits) writers insert a number at the start of an empty document, and one of them gets all updates.
void b3(const text_figures& out) {
    const auto writers = static_cast<std::size_t>(20 * std::sqrt(static_cast<double>(n_edits)));
    std::vector<std::pair<replica_id, std::string>> numbers; // the greater replica first
    for (std::size_t i = 0; i < writers; ++i) numbers.emplace_back(replica_of(i).id(), std::to_string(i));
    std::sort(numbers.begin(), numbers.end(), [](const auto& a, const auto& b) { return b.first < a.first; });
    std::string text;
    for (const auto& [id, number] : numbers) text += number;
    std::size_t bytes = 0;
    out.time("time", "ms", 1, [&] {
        std::vector<text_replica> replicas;
        std::vector<update> updates;
        for (std::size_t i = 0; i < writers; ++i) {
            const patch p{0, 0, std::to_string(i)};
            replicas.push_back(replica_of(i));
            updates.push_back(edited(replicas.back(), {&p, 1}));
        }
        bytes = size_of(updates);
        const stopwatch clock;
        for (std::size_t i = 1; i < writers; ++i) join(replicas.front(), updates[i]);
        const auto time = clock.elapsed();
        for (std::size_t i = writers - 1; i-- > 0;) join(replicas.back(), updates[i]);
        out.require(replicas.front()->str() == text && replicas.back()->str() == text, "another text");
        return time;
    });
    out.figure("bytes_of_updates", static_cast<double>(bytes), "bytes");
}

// Two writers who know nothing of each other prepend single characters, and then exchange their updates: by turns, and
// first all of one and then all of the other.
void prepend(const text_figures& out, std::size_t n) {
    const patch p{0, 0, "x"};
    const std::string text(2 * n, 'x');
    const auto run = [&](bool at_once) {
        auto a = replica_of(0), b = replica_of(1);
        std::vector<update> from_a, from_b;
        from_a.reserve(n), from_b.reserve(n);
        const stopwatch clock;
        for (std::size_t i = 0; i < n; ++i) {
            from_a.push_back(edited(a, {&p, 1}));
            from_b.push_back(edited(b, {&p, 1}));
        }
        if (at_once) {
            for (const auto& u : from_b) join(a, u);
            for (const auto& u : from_a) join(b, u);
        } else {
            for (std::size_t i = 0; i < n; ++i) {
                join(a, from_b[i]);
                join(b, from_a[i]);
            }
        }
        const auto time = clock.elapsed();
        out.require(a.state() == b.state() && a->str() == text, "another text");
        return time;
    };
    const auto edits = 2 * static_cast<double>(n);
    out.time("time_batch", "us", edits, [&] { return run(true); });
    out.time("time", "us", edits, [&] { return run(false); });
}

// Single characters at random places of a document of ten millions, after so many of the same.
void random_insert(const text_figures& out, std::size_t before) {
    constexpr std::size_t length = 10'000'000, inserts = 100'000, in_one_transaction = 1000;
    random_edits random;
    std::vector<patch> patches;
    for (std::size_t i = 0; i < before + inserts; ++i) patches.push_back({random.below(length + i + 1), 0, "x"});
    const patch start{0, 0, std::string(length, 'a')};
    const auto replay = [](text_replica& r, std::span<const patch> all) {
        for (; !all.empty(); all = all.subspan(in_one_transaction)) edit(r, all.first(in_one_transaction));
    };
    out.time("time", "ns", static_cast<double>(inserts), [&] {
        auto r = replica_of(0);
        edit(r, {&start, 1});
        replay(r, {patches.data(), before});
        const stopwatch clock;
        replay(r, {patches.data() + before, inserts});
        const auto time = clock.elapsed();
        const auto text = r->str();
        const auto inserted = static_cast<std::size_t>(std::count(text.begin(), text.end(), 'x'));
        out.require(text.size() == length + inserted && inserted == patches.size(), "another text");
        return time;
    });
}

void small_texts(const text_figures& out) {
    constexpr std::size_t texts = 100'000;
    using notes = or_map<std::string, rga_text>;
    const std::string words = "forty characters make a text that is one";
    replica<notes> r{replica_id{0x6a6f696e65727931}};
    const auto before = heap_in_use();
    const stopwatch clock;
    for (std::size_t i = 0; i < texts; ++i)
        r.edit([&](notes& n, transaction& tx) { n.at(tx, "note " + std::to_string(i))->insert(tx, 0, words); });
    const auto time = clock.elapsed();
    out.figure("bytes_each", static_cast<double>(heap_in_use() - before) / texts, "bytes");
    out.figure("insert", time.count() * 1000 / texts, "us");
    out.require(words.size() == 40 && r->size() == texts && r->find("note 77")->str() == words, "another text");
}

} // namespace

void measure_text_shapes(const text_options& options) {
    const auto measure = [&](const char* name, const std::function<void(const text_figures&)>& shape) {
        if (options.wants(name)) shape(text_figures(name, options));
    };
    for (const char* name : {"b1.1", "b1.2", "b1.3", "b1.4", "b1.5", "b1.6", "b1.7"}) measure(name, b1);
    for (const char* name : {"b2.1", "b2.2", "b2.3", "b2.4"}) measure(name, b2);
    measure("b3", b3);
    measure("prepend-2000", [](const auto& out) { prepend(out, 2000); });
    measure("prepend-20000", [](const auto& out) { prepend(out, 20'000); });
    measure("random-insert", [](const auto& out) { random_insert(out, 0); });
    measure("random-insert-in-pieces", [](const auto& out) { random_insert(out, 1'000'000); });
    measure("small-texts", small_texts);
}

} // namespace bench
