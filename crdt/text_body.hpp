// SPDX-License-Identifier: Apache-2.0
#pragma once

// What an rga_text owns: an engine; or columns, of a text that was read whole and has not been changed since; or the
// encoded fragment of a text that is small and has just come to be. Most texts among many are written once: so they
// take no more than their bytes until they are changed again.

#include "text_columns.hpp"
#include "text_engine.hpp"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>
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
        engine_->catch_up();
        return engine_->size();
    }
    /// Calls f(const text_engine&) with what this holds, unpacked for as long as the call takes: O(n) unless there is
    /// an engine.
    template <class F> decltype(auto) read(F&& f) const {
        if (engine_) {
            engine_->catch_up();
            return f(static_cast<const text_engine&>(*engine_));
        }
        const auto unpacked = unpack();
        return f(static_cast<const text_engine&>(*unpacked));
    }
    /// As text_engine has them: O(n / 64) in columns.
    text_tree::position locate(text_tree::unit u, std::uint64_t n) const;
    template <class F> void visit(std::uint32_t first, std::uint32_t points, F&& f) const {
        if (columns_) return f(columns_->text().text(first, points));
        read([&](const text_engine& e) { e.read(first, points, f); });
    }
    /// For changes.
    text_engine& engine() {
        if (!engine_) make_engine();
        engine_->flush();
        return *engine_;
    }
    /// For edits that may go on from the last one: null if there was none.
    text_engine* edited() { return engine_.get(); }
    /// True if it is packed: then nothing of it is dead, and all is one fragment.
    bool packed() const { return !engine_ && !bytes_.empty(); }
    /// Null unless that is what there is.
    const std::shared_ptr<const text_columns>& columns() const { return columns_; }
    /// Takes the columns, if this is empty and the delta brings all that they have.
    bool adopt(const std::shared_ptr<const text_columns>& columns, join_scope& s);
    text_fragment fragment() const;
    /// Adds these dots to an empty fragment if they are what was done last, and one run; else nothing.
    bool extract_last(const causal_context& wanted, text_fragment& out) const {
        if (!engine_ || wanted.range_count() != 1) return false;
        engine_->catch_up();
        return engine_->extract_last(wanted.ranges().front(), out);
    }
    /// Packs what has never been changed since it came to be, if it is small. `engine()` is no more.
    void pack_new() {
        if (std::exchange(new_, false)) pack_if_small();
    }

    std::size_t memory() const;

private:
    std::unique_ptr<text_engine> engine_;
    std::shared_ptr<const text_columns> columns_;
    std::vector<std::byte> bytes_;
    text_measure size_;         // unless there is an engine
    std::uint64_t history_ = 0; // and what it was before
    bool new_ = false;

    std::unique_ptr<text_engine> unpack() const;
    void make_engine();
    void pack_if_small();
};

} // namespace joinery::detail
