// SPDX-License-Identifier: Apache-2.0
#include "text_body.hpp"

#include <joinery/codec.hpp>

#include <utility>

namespace joinery::detail {

text_body::text_body(const text_body& other)
    : engine_(other.engine_ ? other.read([](const text_engine& e) { return std::make_unique<text_engine>(e); })
                            : nullptr),
      bytes_(other.bytes_),
      size_(other.size_),
      history_(text_journal::new_history()) {}

text_fragment text_body::fragment() const { return decode<text_fragment>(bytes_).value(); }

void text_body::unpack(text_engine& to) const {
    if (bytes_.empty()) return;
    const text_fragment f = fragment();
    causal_context all;
    for (const auto& r : f.runs) all.add(dots_of(r));
    const causal_context seen;
    const removal_log log;
    join_scope scope{seen, all, log};
    to.join(f, scope);
    to.resume(history_);
}

text_engine& text_body::engine() {
    if (engine_) {
        engine_->flush();
        return *engine_;
    }
    engine_ = std::make_unique<text_engine>();
    new_ = bytes_.empty();
    unpack(*engine_);
    engine_->belongs_to(this);
    std::vector<std::byte>().swap(bytes_);
    return *engine_;
}

void text_body::pack_new() {
    constexpr lv small = 64;
    if (!std::exchange(new_, false) || !engine_ || !engine_->plain() || engine_->events() > small) return;
    text_fragment f;
    engine_->extract_all(f);
    if (f.empty()) return;
    bytes_ = encode(f);
    bytes_.shrink_to_fit();
    size_ = engine_->size();
    history_ = engine_->revision().history;
    engine_ = nullptr;
}

std::size_t text_body::memory() const { return sizeof *this + bytes_.capacity() + (engine_ ? engine_->memory() : 0); }

} // namespace joinery::detail
