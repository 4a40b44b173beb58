// SPDX-License-Identifier: Apache-2.0
#include "text_body.hpp"

#include <joinery/codec.hpp>

#include <utility>

namespace joinery::detail {

text_body::text_body(const text_body& other)
    : engine_(other.engine_ ? other.read([](const text_engine& e) { return std::make_unique<text_engine>(e); })
                            : nullptr),
      columns_(other.columns_),
      bytes_(other.bytes_),
      size_(other.size_),
      history_(text_journal::new_history()) {}

text_tree::position text_body::locate(text_tree::unit u, std::uint64_t n) const {
    if (!columns_) return read([&](const text_engine& e) { return e.locate(u, n); });
    text_tree::position at;
    const auto& text = columns_->text();
    for (std::uint32_t first = 0, count = text.size(); count > 0;) {
        const std::uint32_t half = (count + 1) / 2;
        const text_measure m = text.measure(first, half);
        if (text_tree::size(m, u) > n) {
            count = half - 1;
            continue;
        }
        at.pass(m);
        n -= text_tree::size(m, u);
        first += half;
        count -= half;
    }
    at.exact = n == 0;
    return at;
}

bool text_body::adopt(const std::shared_ptr<const text_columns>& columns, join_scope& s) {
    if (engine_ || columns_ || !bytes_.empty() || s.overlapping || !s.log.awaited().empty()) return false;
    for (const auto& part : columns->stretches())
        if (!s.covered.contains(columns->dots(part))) return false;
    for (const auto& part : columns->stretches()) s.entered(columns->dots(part));
    columns_ = columns;
    size_ = columns->text().measure(0, columns->text().size());
    history_ = text_journal::new_history();
    return true;
}

text_fragment text_body::fragment() const {
    text_fragment f = decode<text_fragment>(bytes_).value();
    f.spell_out();
    return f;
}

std::unique_ptr<text_engine> text_body::unpack() const {
    auto e = columns_ ? std::make_unique<text_engine>(*columns_) : std::make_unique<text_engine>();
    if (!bytes_.empty()) e->join(fragment());
    if (columns_ || !bytes_.empty()) e->resume(history_);
    return e;
}

void text_body::make_engine() {
    new_ = bytes_.empty() && !columns_;
    engine_ = unpack();
    engine_->belongs_to(this);
    columns_ = nullptr;
    std::vector<std::byte>().swap(bytes_);
}

void text_body::pack_if_small() {
    constexpr lv small = 64;
    if (!engine_ || !engine_->plain() || engine_->events() > small) return;
    text_fragment f;
    engine_->extract_all(f);
    if (f.empty()) return;
    bytes_ = encode(f);
    bytes_.shrink_to_fit();
    size_ = engine_->size();
    history_ = engine_->revision().history;
    engine_ = nullptr;
}

std::size_t text_body::memory() const {
    if (engine_) engine_->catch_up();
    return sizeof *this + bytes_.capacity() + (columns_ ? columns_->memory() : 0) + (engine_ ? engine_->memory() : 0);
}

} // namespace joinery::detail
