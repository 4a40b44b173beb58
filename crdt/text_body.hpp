// SPDX-License-Identifier: Apache-2.0
#pragma once

// What an rga_text owns: an engine, or the encoded fragment of a text that is small and has just come to be. Most texts
// among many are written once: so they take no more than their bytes until they are changed again.

#include "text_engine.hpp"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

namespace joinery::detail {

class text_body {
public:
    text_body() = default;
    text_body(const text_body& other);
    text_body& operator=(const text_body&) = delete;
    ~text_body() = default;

    text_measure size() const {
        if (!engine_) return size_;
        engine_->flush();
        return engine_->size();
    }
    /// Calls f(const text_engine&) with what this holds, unpacked for as long as the call takes. O(size of a small
    /// text).
    template <class F> decltype(auto) read(F&& f) const {
        if (engine_) {
            engine_->flush();
            return f(static_cast<const text_engine&>(*engine_));
        }
        text_engine unpacked;
        unpack(unpacked);
        return f(static_cast<const text_engine&>(unpacked));
    }
    /// For changes.
    text_engine& engine();
    /// For edits that may go on from the last one: null if there was none.
    text_engine* edited() { return engine_.get(); }
    /// True if it is packed: then nothing of it is dead, and all is one fragment.
    bool packed() const { return !engine_ && !bytes_.empty(); }
    text_fragment fragment() const;
    /// Packs what has never been changed since it came to be, if it is small. `engine()` is no more.
    void pack_new();

    std::size_t memory() const;

private:
    std::unique_ptr<text_engine> engine_;
    std::vector<std::byte> bytes_;
    text_measure size_;         // if packed
    std::uint64_t history_ = 0; // and what it was before
    bool new_ = false;

    void unpack(text_engine& to) const;
};

} // namespace joinery::detail
