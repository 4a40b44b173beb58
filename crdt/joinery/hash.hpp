// SPDX-License-Identifier: Apache-2.0
#pragma once

// Hashing of elements and keys, and a table from hashes to slots. Any encodable type can be an element:
// one without std::hash is hashed through its encoding.

#include <joinery/codec.hpp>
#include <joinery/digest.hpp>

#include <algorithm>
#include <bit>
#include <concepts>
#include <cstdint>
#include <functional>
#include <string_view>
#include <type_traits>
#include <vector>

namespace joinery::detail {

/// Nobody outside can choose elements whose hashes collide: text and numbers are hashed with a seed that
/// differs in every process.
template <class E> std::uint32_t hash_of(const E& e) {
    std::uint64_t h = 0;
    if constexpr (std::is_convertible_v<const E&, std::string_view>)
        h = digest(std::string_view(e), mixed_hash(0));
    else if constexpr (requires {
                           { std::hash<E>{}(e) } -> std::convertible_to<std::size_t>;
                       })
        h = mixed_hash(std::hash<E>{}(e)); // of numbers it is the identity
    else
        h = digest(encode(e), mixed_hash(0));
    return static_cast<std::uint32_t>(h >> 32);
}

/// Open addressing, linear probing, backward-shift deletion; eight bytes a place, at most 7/8 full. It
/// holds slot numbers; what is equal is for the caller to say.
class slot_table {
public:
    static constexpr std::uint32_t none = UINT32_MAX;

    /// The slot with this hash for which same(slot), or none.
    template <class Same> std::uint32_t find(std::uint32_t hash, Same&& same) const {
        if (places_.empty()) return none;
        for (std::size_t i = hash & mask();; i = (i + 1) & mask()) {
            if (places_[i].slot == none) return none;
            if (places_[i].hash == hash && same(places_[i].slot)) return places_[i].slot;
        }
    }

    /// Makes room for n slots in all.
    void reserve(std::size_t n) {
        if (n > room()) grow(std::bit_ceil(n + n / 7 + 1));
    }

    /// Requires: the slot is not in the table.
    void insert(std::uint32_t hash, std::uint32_t slot) {
        if (size_ + 1 > room()) grow(2 * places_.size());
        place(hash, slot);
        ++size_;
    }

    /// Requires: the slot is in the table, under this hash.
    void erase(std::uint32_t hash, std::uint32_t slot) {
        std::size_t i = hash & mask();
        while (places_[i].slot != slot) i = (i + 1) & mask();
        for (std::size_t j = (i + 1) & mask(); places_[j].slot != none; j = (j + 1) & mask()) {
            std::size_t home = places_[j].hash & mask();
            if (((j - home) & mask()) < ((j - i) & mask())) continue; // it would move before its home
            places_[i] = places_[j];
            i = j;
        }
        places_[i].slot = none;
        --size_;
    }

    std::size_t size() const { return size_; }
    std::size_t memory() const { return places_.capacity() * sizeof(entry); }

private:
    struct entry {
        std::uint32_t hash = 0;
        std::uint32_t slot = none;
    };
    std::vector<entry> places_; // a power of two of them, or none
    std::size_t size_ = 0;

    std::size_t mask() const { return places_.size() - 1; }
    std::size_t room() const { return places_.size() * 7 / 8; }
    void place(std::uint32_t hash, std::uint32_t slot) {
        std::size_t i = hash & mask();
        while (places_[i].slot != none) i = (i + 1) & mask();
        places_[i] = {hash, slot};
    }
    void grow(std::size_t places) {
        std::vector<entry> old(std::max<std::size_t>(places, 2));
        old.swap(places_);
        for (const auto& e : old)
            if (e.slot != none) place(e.hash, e.slot);
    }
};

} // namespace joinery::detail
