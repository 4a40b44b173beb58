// SPDX-License-Identifier: Apache-2.0
#pragma once

// Values by number that stay where they are while others are added. The first are allocated one by one, so that few
// take no more than they need; the others in pages that begin with a cache line, so that a value of a line's size is
// not in two.

#include <cstddef>
#include <memory>
#include <new>
#include <utility>
#include <vector>

namespace joinery::detail {

/// Requires: moving a T does not throw.
template <class T> class steady_vector {
public:
    steady_vector() = default;
    steady_vector(steady_vector&& other) noexcept { swap(other); }
    steady_vector& operator=(steady_vector&& other) noexcept {
        steady_vector(std::move(other)).swap(*this);
        return *this;
    }
    ~steady_vector() {
        for (std::size_t i = 0; i < size_; ++i) std::destroy_at(&(*this)[i]);
        for (std::size_t p = 0; p < pages_.size(); ++p) deallocate(p);
    }

    std::size_t size() const { return size_; }
    bool empty() const { return size_ == 0; }
    T& operator[](std::size_t i) { return *at(i); }
    const T& operator[](std::size_t i) const { return *at(i); }
    /// O(1), amortised. If it throws, nothing has changed.
    void push_back(T x) {
        if (size_ < alone || size_ % page == 0) {
            pages_.reserve(pages_.size() == pages_.capacity() ? 2 * pages_.size() + 1 : 0);
            pages_.push_back(allocate(pages_.size()));
        }
        ::new (static_cast<void*>(at(size_))) T(std::move(x));
        ++size_;
    }

private:
    static constexpr std::size_t alone = 256; // so many
    static constexpr std::size_t page = 32;
    std::vector<T*> pages_;
    std::size_t size_ = 0;

    static constexpr std::align_val_t line{64};
    static_assert(alignof(T) <= 64);
    static T* allocate(std::size_t p) {
        return p < alone ? std::allocator<T>().allocate(1) : static_cast<T*>(::operator new(page * sizeof(T), line));
    }
    void deallocate(std::size_t p) {
        if (p < alone)
            std::allocator<T>().deallocate(pages_[p], 1);
        else
            ::operator delete(pages_[p], line);
    }
    T* at(std::size_t i) const { return i < alone ? pages_[i] : pages_[i / page + alone - alone / page] + i % page; }
    void swap(steady_vector& other) noexcept {
        pages_.swap(other.pages_);
        std::swap(size_, other.size_);
    }
};

} // namespace joinery::detail
