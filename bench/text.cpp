// SPDX-License-Identifier: Apache-2.0
// Texts on real editing histories, through the public interface. Every final text is checked.
#include "text_figures.hpp"
#include "traces.hpp"

#include <joinery/joinery.hpp>
#include <joinery/messages.hpp>
#include <joinery/zstd.hpp>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

using namespace joinery;
using bench::text_figures, bench::text_options, bench::text_replica, bench::trace;

namespace {

const replica_id writer_id{0x6a6f696e65727931}, reader_id{0x6a6f696e65727932};

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

// Of bytes if all is ASCII, else of code points.
void gap_buffer_of(const trace& t, const text_options& options) {
    const text_figures out(t.name, options, "gap buffer");
    const auto patches = t.patches();
    const auto end = bench::code_points(t.end);
    const auto measure = [&]<class Char>(const std::vector<std::basic_string<Char>>& texts) {
        out.time_made(
            "local",
            [&] {
                gap_buffer<Char> b;
                for (std::size_t i = 0; i < patches.size(); ++i)
                    b.replace(patches[i].position, patches[i].erased, texts[i].data(), texts[i].size());
                return b;
            },
            [&](const auto& b) {
                bool same = b.size() == end.size();
                for (std::size_t i = 0; same && i < end.size(); ++i) same = static_cast<char32_t>(b.at(i)) == end[i];
                out.require(same, "another text");
            });
    };
    std::vector<std::string> bytes;
    std::vector<std::u32string> points;
    bool ascii = true;
    for (const auto& p : patches) {
        bytes.push_back(p.inserted);
        points.push_back(bench::code_points(p.inserted));
        ascii = ascii && bytes.back().size() == points.back().size();
    }
    if (ascii)
        measure(bytes);
    else
        measure(points);
}

// The updates that a reader gets. All at once is no faster.
void remote(const text_figures& out, const std::vector<bench::update>& updates, const std::string& end) {
    const auto joined = [&] {
        text_replica r{reader_id};
        for (const auto& u : updates) bench::join(r, u);
        return r;
    };
    for (const char* column : {"remote", "remote_batch"})
        out.time_made(column, joined, [&](const auto& r) { out.require(r->str() == end, "another text"); });
    out.heap("heap_remote", joined);
}

// What is done with a whole document at once.
void whole(const text_figures& out, const causal<rga_text>& state, const std::string& end) {
    const auto history = encode(state.delta_since({}));
    const auto merged = [&] {
        text_replica r{reader_id};
        bench::join(r, history);
        return r;
    };
    out.time_made("merge", merged, [&](const auto& r) { out.require(r->str() == end, "another text"); });
    out.heap("heap_merge", merged);
    const auto edited = [&] {
        text_replica r = merged();
        r.edit([](rga_text& text, transaction& tx) { text.insert(tx, 0, "x"); });
        return r;
    };
    out.time_made("merge_edit", edited, [&](const auto& r) { out.require(r->str() == "x" + end, "another text"); });
    out.heap("heap_merge_edit", edited);
    out.time_made(
        "save", [&] { return encode(state); }, [](const auto&) {});
    const auto saved = encode(state);
    out.figure("bytes", static_cast<double>(saved.size()), "bytes");
    out.figure("bytes_zstd", static_cast<double>(joinery::zstd_compress(saved, 19).size()), "bytes");
    out.time_made(
        "open", [&] { return text_replica(reader_id, *decode<causal<rga_text>>(saved))->str(); },
        [&](const std::string& text) { out.require(text == end, "opened with another text"); });
}

// What one leader sends another for each of these, if it sends a hundred at a time.
double bytes_in_frames(const std::vector<bench::update>& updates) {
    constexpr std::size_t at_a_time = 100;
    message_batch batch;
    std::size_t sum = 0;
    for (std::size_t i = 0; i < updates.size(); ++i) {
        batch.add(update{channel_of(1, 2), assurance::none, {}, updates[i]});
        if (i % at_a_time + 1 < at_a_time && i + 1 < updates.size()) continue;
        sum += batch.close(frame_kind::broadcast).size();
        batch.clear();
    }
    return static_cast<double>(sum) / static_cast<double>(updates.size());
}

void sequential(const trace& t, const text_options& options) {
    gap_buffer_of(t, options);
    const text_figures out(t.name, options);
    const auto patches = t.patches();
    const auto right = [&](const text_replica& r) { out.require(r->str() == t.end, "another text"); };
    const auto local = [&] {
        text_replica r{writer_id};
        bench::edit(r, patches);
        return r;
    };
    out.time_made("local", local, right);
    out.heap("heap_local", local);

    std::vector<bench::update> updates;
    updates.reserve(patches.size());
    text_replica writer{writer_id};
    out.time("local_delta", "ms", 1, [&] {
        updates.clear();
        text_replica r{writer_id};
        const bench::stopwatch clock;
        for (const auto& p : patches) updates.push_back(bench::edited(r, {&p, 1}));
        const auto time = clock.elapsed();
        right(r);
        writer = std::move(r);
        return time;
    });
    out.figure("bytes_per_keystroke",
               static_cast<double>(bench::size_of(updates)) / static_cast<double>(patches.size()), "bytes");
    out.figure("bytes_per_keystroke_in_frames", bytes_in_frames(updates), "bytes");
    remote(out, updates, t.end);
    whole(out, writer.state(), t.end);
}

void concurrent(const trace& t, const bench::replayed& r, const text_options& options) {
    const text_figures out(t.name, options);
    remote(out, r.updates, t.end);
    whole(out, r.merged, t.end);
}

void measure_traces(const text_options& options) {
    // NOLINTNEXTLINE(concurrency-mt-unsafe): there is one thread
    const char* folder = std::getenv("JOINERY_TRACES");
    for (const char* name : {"automerge-paper", "sveltecomponent", "seph-blog1", "friendsforever", "A1", "S1"}) {
        const auto flat = std::string(name) + "-flat";
        if (!options.wants(name) && !options.wants(flat)) continue;
        const auto t = folder ? bench::read_trace(folder, name) : std::nullopt;
        if (!t) {
            std::fprintf(stderr, "%s: no such trace in JOINERY_TRACES\n", name);
        } else if (!t->concurrent) {
            sequential(*t, options);
        } else {
            const auto r = bench::replay(*t);
            if (options.each_writer) {
                const auto writers = bench::check_each_writer(*t, r);
                std::fprintf(stderr, "%s: the replicas of all %zu writers end with its text\n", name, writers);
                continue;
            }
            if (t->name == "friendsforever" && options.wants(flat)) sequential(bench::flattened(*t, r), options);
            if (options.wants(name)) concurrent(*t, r, options);
        }
    }
}

} // namespace

int main(int argc, char** argv) {
    text_options options;
    for (int i = 1; i < argc; ++i) {
        if (argv[i] == std::string_view("--quick"))
            options.quick = true;
        else if (argv[i] == std::string_view("--each-writer"))
            options.each_writer = true;
        else
            options.names.emplace_back(argv[i]);
    }
    bench::print_platform();
    measure_traces(options);
    bench::measure_text_shapes(options);
}
