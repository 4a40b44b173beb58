// SPDX-License-Identifier: Apache-2.0
#include <joinery/rga_text.hpp>

#include "text_engine.hpp"
#include "utf8.hpp"

#include <joinery/digest.hpp>

#include <algorithm>
#include <stdexcept>

namespace joinery {

using unit = detail::text_tree::unit;

namespace {

std::uint64_t size_of(const detail::text_engine* engine, unit u) { return engine ? engine->tree().size(u) : 0; }

// The gap at a position given by the caller.
detail::text_tree::position checked(const detail::text_engine* engine, unit u, std::size_t n) {
    if (n > size_of(engine, u)) throw std::out_of_range("rga_text: position beyond the end");
    if (!engine) return {};
    auto at = engine->tree().locate(u, n);
    if (!at.exact) throw std::invalid_argument("rga_text: position inside a character");
    return at;
}

struct code_points {
    std::size_t first;
    std::size_t count;
};

// A range given by the caller, in code points.
code_points checked(const detail::text_engine* engine, unit u, std::size_t first, std::size_t count) {
    std::uint64_t size = size_of(engine, u);
    if (first > size || count > size - first) throw std::out_of_range("rga_text: range beyond the end");
    auto from = checked(engine, u, first).points;
    return {from, checked(engine, u, first + count).points - from};
}

} // namespace

rga_text::rga_text() = default;
rga_text::rga_text(const rga_text& other)
    : engine_(other.engine_ ? std::make_unique<detail::text_engine>(*other.engine_) : nullptr) {}
rga_text::rga_text(rga_text&& other) noexcept = default;
rga_text& rga_text::operator=(const rga_text& other) {
    if (this != &other) engine_ = other.engine_ ? std::make_unique<detail::text_engine>(*other.engine_) : nullptr;
    return *this;
}
rga_text& rga_text::operator=(rga_text&& other) noexcept = default;
rga_text::~rga_text() = default;

detail::text_engine& rga_text::engine() {
    if (!engine_) engine_ = std::make_unique<detail::text_engine>();
    return *engine_;
}

void rga_text::insert(transaction& tx, std::size_t pos, std::string_view utf8) {
    if (pos > size()) throw std::out_of_range("rga_text: position beyond the end");
    auto measure = detail::measure_utf8(utf8);
    if (!measure) throw std::invalid_argument("rga_text: not valid UTF-8");
    if (!utf8.empty()) engine().insert(tx, this, pos, utf8, measure->points);
}

void rga_text::insert_utf8(transaction& tx, std::size_t byte, std::string_view utf8) {
    insert(tx, from_utf8(byte), utf8);
}

void rga_text::insert_utf16(transaction& tx, std::size_t at, std::string_view utf8) {
    insert(tx, from_utf16(at), utf8);
}

void rga_text::erase(transaction& tx, std::size_t pos, std::size_t n) {
    if (pos > size() || n > size() - pos) throw std::out_of_range("rga_text: range beyond the end");
    if (n > 0) engine_->erase(tx, this, pos, n);
}

void rga_text::erase_utf8(transaction& tx, std::size_t byte, std::size_t bytes) {
    auto [pos, n] = checked(engine_.get(), unit::bytes, byte, bytes);
    erase(tx, pos, n);
}

void rga_text::erase_utf16(transaction& tx, std::size_t at, std::size_t units) {
    auto [pos, n] = checked(engine_.get(), unit::utf16, at, units);
    erase(tx, pos, n);
}

std::string rga_text::str() const { return engine_ ? engine_->tree().read(0, size_utf8()) : std::string(); }

std::string rga_text::substr(std::size_t pos, std::size_t n) const {
    std::size_t from = to_utf8(pos);
    return engine_ ? engine_->tree().read(from, to_utf8(pos + std::min(n, size() - pos)) - from) : std::string();
}

std::size_t rga_text::size() const { return size_of(engine_.get(), unit::points); }
std::size_t rga_text::size_utf8() const { return size_of(engine_.get(), unit::bytes); }
std::size_t rga_text::size_utf16() const { return size_of(engine_.get(), unit::utf16); }

std::size_t rga_text::to_utf8(std::size_t pos) const { return checked(engine_.get(), unit::points, pos).bytes; }
std::size_t rga_text::to_utf16(std::size_t pos) const { return checked(engine_.get(), unit::points, pos).utf16; }
std::size_t rga_text::from_utf8(std::size_t byte) const { return checked(engine_.get(), unit::bytes, byte).points; }
std::size_t rga_text::from_utf16(std::size_t at) const { return checked(engine_.get(), unit::utf16, at).points; }

bool rga_text::equals(const rga_text& other) const {
    if (size() != other.size() || size_utf8() != other.size_utf8()) return false;
    if (size() == 0) return true;
    detail::text_tree::reader a(engine_->tree());
    detail::text_tree::reader b(other.engine_->tree());
    while (!a.text.empty()) {
        std::uint64_t n = std::min(a.count, b.count);
        std::size_t bytes = detail::utf8_prefix(a.text, n);
        if (a.first != b.first || a.text.substr(0, bytes) != b.text.substr(0, bytes)) return false;
        a.advance(n);
        b.advance(n);
    }
    return true;
}

// Over the visible characters as runs of consecutive dots, however they are stored.
std::uint64_t rga_text::digest(const causal_context&) const {
    std::uint64_t sum = 0;
    if (!engine_) return sum;
    std::string run;
    dot next;
    auto close = [&] {
        if (!run.empty()) sum = combine(combine(sum, next.replica.value()), combine(next.seq, joinery::digest(run)));
    };
    for (detail::text_tree::reader at(engine_->tree()); !at.text.empty(); at.advance(at.count)) {
        if (at.first != next) {
            close();
            run.clear();
        }
        run += at.text;
        next = detail::advanced(at.first, at.count);
    }
    close();
    return sum;
}

void rga_text::extract(const causal_context& wanted, fragment& out) const {
    if (engine_)
        engine_->extract(wanted, out);
    else
        out = {};
}

void rga_text::extract_rest(fragment& out) const {
    if (engine_) engine_->extract_rest(out);
}

void rga_text::join(const fragment& f, join_scope& s) {
    if (engine_ || !f.empty()) engine().join(f, s);
}

void rga_text::kill(const dot_range& dots, join_scope&) {
    if (engine_) engine_->kill(dots);
}

void rga_text::clear(transaction& tx, kills& out) {
    if (engine_) engine_->clear(tx, out);
}

void rga_text::prune(const version_vector& stable, std::span<const dot_range> settled, dot_sink* sink) {
    if (engine_) engine_->prune(stable, settled, sink);
}

// Parents among tombstones are incidental, too.
void rga_text::keep_live(fragment& f) {
    fragment live;
    std::string_view rest = f.text;
    for (const auto& r : f.runs) {
        if (r.deleted) continue;
        const auto size = detail::utf8_prefix(rest, r.count);
        auto run = r;
        run.parent = run.first.seq > 1 ? detail::before(run.first) : dot{};
        detail::append(live, run, rest.substr(0, size));
        rest.remove_prefix(size);
    }
    f = std::move(live);
}

void rga_text::known_removed(const causal_context& dots, causal_context& out) const {
    if (engine_) engine_->known_removed(dots, out);
}

bool rga_text::vacant() const { return !engine_ || engine_->vacant(); }
std::uint64_t rga_text::max_lamport() const { return engine_ ? engine_->max_lamport() : 0; }
std::size_t rga_text::memory() const { return sizeof *this + (engine_ ? engine_->memory() : 0); }

} // namespace joinery
