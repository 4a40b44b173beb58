// SPDX-License-Identifier: Apache-2.0
#pragma once

// Nodes with numbers for addresses: each stays where it is, is reused when it was given back, and a copy of all has
// the same numbers.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

namespace joinery::detail {

template <class T> class text_pool {
public:
    text_pool() = default;
    text_pool(const text_pool& other) : free_(other.free_) {
        nodes_.reserve(other.nodes_.size());
        for (const auto& n : other.nodes_) nodes_.push_back(n ? std::make_unique<T>(*n) : nullptr);
    }
    text_pool(text_pool&&) noexcept = default;
    text_pool& operator=(text_pool&&) noexcept = default;
    text_pool& operator=(const text_pool& other) { return *this = text_pool(other); }
    ~text_pool() = default;

    T& operator[](std::uint32_t id) { return *nodes_[id]; }
    const T& operator[](std::uint32_t id) const { return *nodes_[id]; }
    bool has(std::uint32_t id) const { return nodes_[id] != nullptr; }
    std::uint32_t add() {
        if (free_.empty()) {
            nodes_.push_back(std::make_unique<T>());
            return static_cast<std::uint32_t>(nodes_.size() - 1);
        }
        const std::uint32_t id = free_.back();
        nodes_[id] = std::make_unique<T>();
        free_.pop_back();
        return id;
    }
    void remove(std::uint32_t id) {
        free_.push_back(id);
        nodes_[id] = nullptr;
    }
    /// Calls f(T&) for each.
    template <class F> void for_each(F&& f) const {
        for (const auto& n : nodes_)
            if (n) f(*n);
    }
    std::size_t memory() const {
        return nodes_.capacity() * sizeof(nodes_[0]) + free_.capacity() * sizeof(free_[0]) +
               (nodes_.size() - free_.size()) * (sizeof(T) + 16);
    }

private:
    std::vector<std::unique_ptr<T>> nodes_;
    std::vector<std::uint32_t> free_;
};

} // namespace joinery::detail
