// SPDX-License-Identifier: Apache-2.0
#include <joinery/rga_text.hpp>

#include "text_body.hpp"

#include <algorithm>
#include <iterator>
#include <map>
#include <vector>

// Edits that nobody else has, made anew on a text in which what they were made on may be forgotten.

namespace joinery {

namespace {

// Where the elements of a text are: for each run of dots, what is visible before it and whether it is itself.
class places {
public:
    explicit places(const detail::text_engine& text) {
        std::uint64_t before = 0;
        text.for_each([&](const dot_range& dots, bool live, std::string_view) {
            runs_.emplace(dot{dots.replica, dots.first}, run{dots.size(), before, live});
            if (live) before += dots.size();
        });
    }
    /// The visible characters up to the last of these that is there, itself included; none if none of them is.
    std::optional<std::uint64_t> behind(const dot_range& dots) const {
        auto at = runs_.upper_bound(dot{dots.replica, dots.last});
        if (at == runs_.begin() || (--at)->first.replica != dots.replica) return std::nullopt;
        const auto last = std::min(dots.last, at->first.seq + at->second.count - 1);
        if (last < dots.first) return std::nullopt;
        return at->second.before + (at->second.live ? last - at->first.seq + 1 : 0);
    }

private:
    struct run {
        std::uint64_t count, before;
        bool live;
    };
    std::map<dot, run> runs_;
};

struct insertion {
    std::uint64_t position;
    std::string text;
};

std::size_t bytes_of(std::string_view utf8, std::uint64_t points) {
    std::size_t i = 0;
    for (; points > 0; --points)
        for (++i; i < utf8.size() && (static_cast<unsigned char>(utf8[i]) & 0xc0) == 0x80;) ++i;
    return i;
}

} // namespace

// Deletions stay: they rest on nothing but what they delete.
void rga_text::drop_reissued(fragment& f, const causal_context&) {
    f.spell_out();
    f.runs.clear();
    f.text.clear();
}

void rga_text::reissue(const rga_text& before, const causal_context& unsent, const removal_log&, transaction& tx) {
    if (!before.body_) return;
    const places now(body().engine());
    std::vector<insertion> insertions; // in the order in which they stood
    std::uint64_t position = 0;
    const auto pass = [&](const dot_range& dots, bool live, std::string_view text) {
        const auto fresh = unsent.intersect(dots);
        std::uint64_t next = dots.first;
        const auto stays = [&](std::uint64_t end) { // those from `next` on
            if (next >= end) return;
            if (const auto at = now.behind({dots.replica, next, end - 1})) position = *at;
            text.remove_prefix(live ? bytes_of(text, end - next) : 0);
            next = end;
        };
        for (const auto& part : fresh) {
            stays(part.first);
            if (live) {
                const auto size = bytes_of(text, part.size());
                if (insertions.empty() || insertions.back().position != position) insertions.push_back({position, {}});
                insertions.back().text.append(text.substr(0, size));
                text.remove_prefix(size);
            }
            next = part.last + 1;
        }
        stays(dots.last + 1);
    };
    before.body_->read([&](const auto& engine) { engine.for_each(pass); });
    std::stable_sort(insertions.begin(), insertions.end(),
                     [](const insertion& a, const insertion& b) { return a.position < b.position; });
    for (auto at = insertions.rbegin(); at != insertions.rend(); ++at) // so that positions before it stay what they are
        insert(tx, at->position, at->text);
}

} // namespace joinery
