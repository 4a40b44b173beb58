// SPDX-License-Identifier: Apache-2.0
#pragma once

// Which leaf of a text_tree holds a character: a step function of its lv, as sorted steps in pages. What it says of
// deletions, and of what is gone, means nothing: so one step serves all that was typed and deleted in one leaf.
//
// O(log n), n the number of steps; at the end O(1).

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

namespace joinery::detail {

class text_index {
public:
    struct step {
        std::uint32_t first; // lv
        std::uint32_t leaf;
    };

    text_index() = default;
    text_index(const text_index& other);
    text_index& operator=(const text_index& other);
    text_index(text_index&&) noexcept = default;
    text_index& operator=(text_index&&) noexcept = default;
    ~text_index() = default;

    bool empty() const { return pages_.empty(); }
    /// Takes the place of what is there. Requires: sorted.
    void build(std::span<const step> steps);
    /// Requires: not empty.
    std::uint32_t leaf(std::uint32_t v) const;
    /// The `n` from `first` on are in `leaf`. There are `all` lvs.
    void assign(std::uint32_t first, std::uint32_t n, std::uint32_t leaf, std::uint32_t all);
    std::size_t memory() const;

private:
    static constexpr std::size_t page_steps = 64;
    struct page {
        std::uint32_t count = 0;
        step steps[page_steps];
    };
    struct place {
        std::size_t page;
        std::size_t step;
    };
    std::vector<std::uint32_t> firsts_; // of the pages
    std::vector<std::unique_ptr<page>> pages_;

    place find(std::uint32_t v) const;
    place following(place p) const;
    void insert(place p, step s);
    void erase(place p);
};

} // namespace joinery::detail
