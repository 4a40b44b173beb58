// SPDX-License-Identifier: Apache-2.0
#pragma once

// Characters in the order in which they arrived, as UTF-8, each found by its number. While all are ASCII, a number is
// a byte; else the bytes and the wide characters before every 64th are counted. What ends a line is a bit.

#include "text_bits.hpp"
#include "utf8.hpp"

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace joinery::detail {

/// The size of some text. `wide` counts those that take two units of UTF-16.
struct text_measure {
    std::uint32_t points = 0;
    std::uint32_t bytes = 0;
    std::uint32_t wide = 0;
    std::uint32_t newlines = 0;

    text_measure& operator+=(const text_measure& m) {
        points += m.points;
        bytes += m.bytes;
        wide += m.wide;
        newlines += m.newlines;
        return *this;
    }
    text_measure& operator-=(const text_measure& m) {
        points -= m.points;
        bytes -= m.bytes;
        wide -= m.wide;
        newlines -= m.newlines;
        return *this;
    }
    friend text_measure operator+(text_measure a, const text_measure& b) { return a += b; }
    friend text_measure operator-(text_measure a, const text_measure& b) { return a -= b; }
    friend bool operator==(const text_measure&, const text_measure&) = default;
};

class text_characters {
public:
    std::uint32_t size() const { return size_; }
    std::size_t bytes() const { return utf8_.size(); }
    bool ascii() const { return ascii_; }

    void append(std::string_view utf8, std::uint32_t n);
    /// ASCII without ends of lines.
    void append_plain(std::string_view text) {
        utf8_ += text;
        size_ += static_cast<std::uint32_t>(text.size());
        if (!ascii_) count_blocks();
    }
    /// There are n more; the text of all comes before anything is asked of it.
    void expect(std::uint32_t n) { size_ += n; }
    void fill(std::string_view all) { append(all, std::exchange(size_, 0)); }
    void truncate(std::uint32_t size);

    std::string_view text(std::uint32_t first, std::uint32_t n) const {
        if (ascii_) return std::string_view(utf8_).substr(first, n);
        const std::size_t begin = byte(first);
        return std::string_view(utf8_).substr(begin, byte(first + n) - begin);
    }
    /// Reads text from front to back: what is near the last costs little.
    class reader {
    public:
        explicit reader(const text_characters& all) : all_(all) {}
        std::string_view text(std::uint32_t first, std::uint32_t n) {
            const std::string_view utf8 = all_.utf8_;
            if (all_.ascii_) return {utf8.data() + first, n};
            if (first - next_ <= near)
                byte_ += utf8_prefix(utf8.substr(byte_), first - next_);
            else
                byte_ = all_.byte(first);
            const std::size_t begin = byte_, size = utf8_prefix(utf8.substr(begin), n);
            next_ = first + n;
            byte_ += size;
            return utf8.substr(begin, size);
        }

    private:
        static constexpr std::uint32_t near = 32;
        const text_characters& all_;
        std::uint32_t next_ = 0;
        std::size_t byte_ = 0; // where it begins
    };
    text_measure measure(std::uint32_t first, std::uint32_t n) const;

    std::size_t memory() const {
        return utf8_.capacity() + (bytes_.capacity() + wides_.capacity()) * sizeof(std::uint32_t) +
               newlines_.capacity() * sizeof(std::uint64_t);
    }

private:
    std::string utf8_;
    std::uint32_t size_ = 0;
    bool ascii_ = true;
    std::vector<std::uint32_t> bytes_; // before each 64th character, unless all are ASCII
    std::vector<std::uint32_t> wides_;
    text_bits newlines_;

    std::size_t byte(std::uint32_t c) const;
    void count_blocks();
    void count_from(std::uint32_t first, std::size_t byte, std::uint32_t wide);
};

} // namespace joinery::detail
