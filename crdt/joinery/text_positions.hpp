// SPDX-License-Identifier: Apache-2.0
#pragma once

// What editors ask of a text beside its characters: lines, places that stay where they are while others edit, and what
// has changed since they last looked.

#include <joinery/dot.hpp>

#include <cstddef>
#include <cstdint>
#include <string>

namespace joinery {

/// Both from 0. Lines end with a newline; columns are code points.
struct text_location {
    std::size_t line = 0;
    std::size_t column = 0;

    friend bool operator==(const text_location&, const text_location&) = default;
};

/// What an anchor stays with when something is inserted just where it is.
enum class text_bias : std::uint8_t {
    left, ///< the character before it
    right ///< the character behind it
};

/// A place between two characters that means the same to every replica, whatever is inserted and erased around it. Can
/// be sent and stored.
struct text_anchor {
    dot character; ///< the one that it stays with; none: the beginning (left) or the end of the text
    text_bias bias = text_bias::left;

    friend bool operator==(const text_anchor&, const text_anchor&) = default;

    template <class Archive> void serialize(Archive& ar) { ar(character, bias); }
};

/// One step of a change: passes over `retain` code points, then erases `erase` of them and puts `insert` (UTF-8) there.
struct text_change {
    std::size_t retain = 0;
    std::size_t erase = 0;
    std::string insert;

    friend bool operator==(const text_change&, const text_change&) = default;
};

/// For people.
std::string to_string(const text_change& c);

/// When a text was looked at. Means something to that text object alone, and not to copies of it.
struct text_revision {
    std::uint64_t history = 0; // which numbering the others are of
    std::uint64_t events = 0;
    std::uint64_t kills = 0;

    friend bool operator==(const text_revision&, const text_revision&) = default;
};

} // namespace joinery
