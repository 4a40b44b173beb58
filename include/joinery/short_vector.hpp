// SPDX-License-Identifier: Apache-2.0
#pragma once

// A vector whose first elements lie in the object itself: what is nearly always short allocates nothing.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <limits>
#include <memory>
#include <new>
#include <stdexcept>
#include <type_traits>
#include <utility>

namespace joinery {

/// As std::vector, with room for N elements inside, and for at most 2^32 - 1 in all. A move invalidates iterators. If
/// copying an element throws, nothing has changed.
template <class T, std::size_t N> class short_vector {
    static_assert(std::is_nothrow_move_constructible_v<T> && std::is_nothrow_move_assignable_v<T> && N > 0,
                  "values that are kept by their dots can be moved, and that does not throw");

public:
    using value_type = T;
    using iterator = T*;
    using const_iterator = const T*;

    short_vector() noexcept {} // not defaulted: then `{}` would clear the room inside first
    short_vector(std::initializer_list<T> values) : short_vector(values.begin(), values.end()) {}
    short_vector(const T* first, const T* last) : short_vector() { insert(begin(), first, last); }
    short_vector(const short_vector& other) : short_vector(other.begin(), other.end()) {}
    short_vector(short_vector&& other) noexcept { take(other); }
    short_vector& operator=(const short_vector& other) {
        if (this != &other) {
            clear();
            insert(begin(), other.begin(), other.end());
        }
        return *this;
    }
    short_vector& operator=(short_vector&& other) noexcept {
        if (this != &other) {
            clear();
            release();
            take(other);
        }
        return *this;
    }
    ~short_vector() {
        clear();
        release();
    }

    bool empty() const { return size_ == 0; }
    std::size_t size() const { return size_; }
    std::size_t capacity() const { return capacity_; }
    T* begin() { return data_; }
    T* end() { return data_ + size_; }
    const T* begin() const { return data_; }
    const T* end() const { return data_ + size_; }
    const T* data() const { return data_; }
    T& operator[](std::size_t i) { return data_[i]; }
    const T& operator[](std::size_t i) const { return data_[i]; }
    T& front() { return data_[0]; }
    const T& front() const { return data_[0]; }
    T& back() { return data_[size_ - 1]; }
    const T& back() const { return data_[size_ - 1]; }

    void reserve(std::size_t n) {
        if (n > capacity_) reallocate(n);
    }
    void push_back(const T& x) {
        if (size_ == capacity_) return push_back_grown(x);
        ::new (static_cast<void*>(data_ + size_)) T(x);
        ++size_;
    }
    void push_back(T&& x) {
        if (size_ == capacity_) return push_back_grown(std::move(x));
        ::new (static_cast<void*>(data_ + size_++)) T(std::move(x));
    }
    template <class... Args> T& emplace_back(Args&&... args) {
        if (size_ == capacity_) {
            push_back_grown(T{std::forward<Args>(args)...}); // made first: the arguments may be of an element
            return back();
        }
        T* made = ::new (static_cast<void*>(data_ + size_)) T{std::forward<Args>(args)...};
        ++size_;
        return *made;
    }
    T* insert(T* at, T x) {
        const auto i = at - data_;
        push_back(std::move(x));
        std::rotate(data_ + i, end() - 1, end());
        return data_ + i;
    }
    /// Requires: the new elements are not in this.
    T* insert(T* at, const T* first, const T* last) {
        const auto i = at - data_;
        const auto n = static_cast<std::size_t>(last - first);
        if (size_ + n > capacity_) reallocate(std::max(size_ + n, std::size_t{2} * capacity_));
        if constexpr (std::is_trivially_copyable_v<T>) {
            std::move_backward(data_ + i, data_ + size_, data_ + size_ + n);
            std::copy(first, last, data_ + i);
            size_ += static_cast<std::uint32_t>(n);
        } else {
            std::uninitialized_copy(first, last, end());
            size_ += static_cast<std::uint32_t>(n);
            std::rotate(data_ + i, end() - n, end());
        }
        return data_ + i;
    }
    T* erase(T* at) { return erase(at, at + 1); }
    T* erase(T* first, T* last) {
        if (first == last) return first; // or each would be moved to itself
        std::destroy(std::move(last, end(), first), end());
        size_ -= static_cast<std::uint32_t>(last - first);
        return first;
    }
    void clear() {
        std::destroy(begin(), end());
        size_ = 0;
    }
    template <class Pred> friend std::size_t erase_if(short_vector& v, Pred&& pred) {
        const auto before = v.size();
        v.erase(std::remove_if(v.begin(), v.end(), std::forward<Pred>(pred)), v.end());
        return before - v.size();
    }

    friend bool operator==(const short_vector& a, const short_vector& b) {
        return std::equal(a.begin(), a.end(), b.begin(), b.end());
    }

private:
    union room { // elements are made one by one
        room() noexcept {}
        ~room() {}
        T elements[N];
    };
    room inside_;
    T* data_ = inside_.elements;
    std::uint32_t size_ = 0;
    std::uint32_t capacity_ = N;

    [[gnu::noinline]] void push_back_grown(T x) { // apart, so that the rest is small
        reallocate(std::size_t{2} * capacity_);
        ::new (static_cast<void*>(data_ + size_++)) T(std::move(x));
    }
    void reallocate(std::size_t n) {
        if (n > std::numeric_limits<std::uint32_t>::max()) throw std::length_error("short_vector: too many elements");
        T* larger = std::allocator<T>().allocate(n);
        std::uninitialized_move(begin(), end(), larger);
        std::destroy(begin(), end());
        release();
        data_ = larger;
        capacity_ = static_cast<std::uint32_t>(n);
    }
    void release() {
        if (data_ != inside_.elements) std::allocator<T>().deallocate(data_, capacity_);
    }
    // Requires: this has no elements and owns no memory.
    void take(short_vector& other) {
        const bool inside = other.data_ == other.inside_.elements;
        data_ = inside ? inside_.elements : other.data_;
        size_ = other.size_;
        capacity_ = other.capacity_;
        if (inside) {
            std::uninitialized_move(other.begin(), other.end(), data_);
            std::destroy(other.begin(), other.end());
        }
        other.data_ = other.inside_.elements;
        other.size_ = 0;
        other.capacity_ = N;
    }
};

} // namespace joinery
