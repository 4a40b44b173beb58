// SPDX-License-Identifier: Apache-2.0
#include "text_index.hpp"

#include <algorithm>

namespace joinery::detail {

text_index::text_index(const text_index& other) : firsts_(other.firsts_) {
    pages_.reserve(other.pages_.size());
    for (const auto& p : other.pages_) pages_.push_back(std::make_unique<page>(*p));
}

text_index& text_index::operator=(const text_index& other) {
    if (this != &other) *this = text_index(other);
    return *this;
}

void text_index::build(std::span<const step> steps) {
    constexpr std::size_t filled = page_steps / 4 * 3;
    firsts_.clear();
    pages_.clear();
    for (const step& s : steps) {
        if (!pages_.empty()) {
            const page& last = *pages_.back();
            if (last.steps[last.count - 1].leaf == s.leaf) continue;
        }
        if (pages_.empty() || pages_.back()->count == filled) {
            pages_.push_back(std::make_unique<page>());
            firsts_.push_back(s.first);
        }
        page& p = *pages_.back();
        p.steps[p.count++] = s;
    }
}

namespace {

// The last of n >= 1 sorted ones whose first is not greater than v; the first if there is none.
template <class At> std::size_t last_not_greater(std::size_t n, std::uint32_t v, At&& first_at) {
    std::size_t at = 0;
    while (n > 1) { // no branch to be predicted
        const std::size_t half = n / 2;
        at = first_at(at + half) <= v ? at + half : at;
        n -= half;
    }
    return at;
}

} // namespace

// The last step that begins at or before v; the first of all if there is none.
text_index::place text_index::find(std::uint32_t v) const {
    std::size_t p = pages_.size() - 1;
    if (firsts_[p] > v) p = last_not_greater(pages_.size(), v, [&](std::size_t i) { return firsts_[i]; });
    const page& at = *pages_[p];
    if (at.steps[at.count - 1].first <= v) return {p, at.count - 1};
    return {p, last_not_greater(at.count, v, [&](std::size_t i) { return at.steps[i].first; })};
}

std::uint32_t text_index::leaf(std::uint32_t v) const {
    const place p = find(v);
    return pages_[p.page]->steps[p.step].leaf;
}

text_index::place text_index::following(place p) const {
    return p.step + 1 < pages_[p.page]->count ? place{p.page, p.step + 1} : place{p.page + 1, 0};
}

void text_index::insert(place p, step s) {
    if (pages_[p.page]->count == page_steps) {
        page& full = *pages_[p.page];
        const std::size_t half = p.page + 1 == pages_.size() && p.step == page_steps ? page_steps - 1 : page_steps / 2;
        auto rest = std::make_unique<page>();
        std::copy(full.steps + half, full.steps + full.count, rest->steps);
        rest->count = static_cast<std::uint32_t>(full.count - half);
        full.count = static_cast<std::uint32_t>(half);
        firsts_.insert(firsts_.begin() + static_cast<std::ptrdiff_t>(p.page) + 1, rest->steps[0].first);
        pages_.insert(pages_.begin() + static_cast<std::ptrdiff_t>(p.page) + 1, std::move(rest));
        if (p.step > half) p = {p.page + 1, p.step - half};
    }
    page& at = *pages_[p.page];
    std::copy_backward(at.steps + p.step, at.steps + at.count, at.steps + at.count + 1);
    at.steps[p.step] = s;
    ++at.count;
    if (p.step == 0) firsts_[p.page] = s.first;
}

void text_index::erase(place p) {
    page& at = *pages_[p.page];
    std::copy(at.steps + p.step + 1, at.steps + at.count, at.steps + p.step);
    if (--at.count == 0) {
        firsts_.erase(firsts_.begin() + static_cast<std::ptrdiff_t>(p.page));
        pages_.erase(pages_.begin() + static_cast<std::ptrdiff_t>(p.page));
    } else if (p.step == 0) {
        firsts_[p.page] = at.steps[0].first;
    }
}

void text_index::assign(std::uint32_t first, std::uint32_t n, std::uint32_t leaf, std::uint32_t all) {
    if (pages_.empty()) {
        const step only{first, leaf};
        return build({&only, 1});
    }
    const std::uint32_t behind = first + n;
    const page& last = *pages_.back();
    const step& end = last.steps[last.count - 1];
    if (behind == all && end.leaf == leaf && end.first <= first) return; // what is typed
    place p = find(first);
    const step at = pages_[p.page]->steps[p.step];
    if (at.leaf == leaf && at.first <= first) {
        const auto next = following(p);
        if (next.page == pages_.size() || pages_[next.page]->steps[next.step].first >= behind) return;
    }
    const std::uint32_t after = behind < all ? this->leaf(behind) : leaf;
    if (at.first == first)
        pages_[p.page]->steps[p.step].leaf = leaf;
    else
        insert(at.first < first ? place{p.page, p.step + 1} : p, {first, leaf});
    p = find(first);
    for (auto next = following(p); next.page < pages_.size(); next = following(p)) {
        if (pages_[next.page]->steps[next.step].first > behind) break;
        erase(next);
    }
    if (after != leaf) insert({p.page, p.step + 1}, {behind, after});
}

std::size_t text_index::memory() const {
    return pages_.size() * (sizeof(page) + 16) + pages_.capacity() * sizeof(pages_[0]) +
           firsts_.capacity() * sizeof(std::uint32_t);
}

} // namespace joinery::detail
