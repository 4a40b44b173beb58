// SPDX-License-Identifier: Apache-2.0
#pragma once

// What an or_map's iterator gives, in another form: for types that are maps within.

#include <cstddef>
#include <functional>
#include <iterator>
#include <type_traits>

namespace joinery::detail {

/// `Project` makes what is read of what `Iterator` gives: a function object without a state.
template <class Iterator, class Project> class projected_iterator {
public:
    using iterator_category = std::input_iterator_tag;
    using reference = std::invoke_result_t<Project, decltype(*Iterator())>;
    using value_type = std::remove_cvref_t<reference>;
    using difference_type = std::ptrdiff_t;
    using pointer = void;

    projected_iterator() = default;
    explicit projected_iterator(Iterator at) : at_(at) {}
    reference operator*() const { return Project()(*at_); }
    projected_iterator& operator++() {
        ++at_;
        return *this;
    }
    projected_iterator operator++(int) {
        projected_iterator before = *this;
        ++*this;
        return before;
    }
    friend bool operator==(const projected_iterator&, const projected_iterator&) = default;

private:
    Iterator at_;
};

/// The keys alone.
struct key_of {
    template <class Pair> auto operator()(Pair pair) const -> decltype(pair.first) { return pair.first; }
};
template <class Map> using key_iterator = projected_iterator<typename Map::iterator, key_of>;

} // namespace joinery::detail
