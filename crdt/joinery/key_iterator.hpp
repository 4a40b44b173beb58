// SPDX-License-Identifier: Apache-2.0
#pragma once

// The keys of an or_map, for sets that are maps from their elements to what is known of each.

#include <cstddef>
#include <iterator>

namespace joinery::detail {

template <class Iterator> class key_iterator {
public:
    using iterator_category = std::input_iterator_tag;
    using reference = decltype((*Iterator()).first);
    using value_type = std::remove_cvref_t<reference>;
    using difference_type = std::ptrdiff_t;
    using pointer = const value_type*;

    key_iterator() = default;
    explicit key_iterator(Iterator at) : at_(at) {}
    reference operator*() const { return (*at_).first; }
    pointer operator->() const { return &**this; }
    key_iterator& operator++() {
        ++at_;
        return *this;
    }
    key_iterator operator++(int) {
        key_iterator before = *this;
        ++*this;
        return before;
    }
    friend bool operator==(const key_iterator&, const key_iterator&) = default;

private:
    Iterator at_;
};

} // namespace joinery::detail
