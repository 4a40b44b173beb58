// SPDX-License-Identifier: Apache-2.0
#include <joinery/rga_text.hpp>

#include "text_body.hpp"
#include "utf8.hpp"

#include <joinery/digest.hpp>

#include <algorithm>
#include <stdexcept>

namespace joinery {

using unit = detail::text_tree::unit;

namespace {

using detail::text_engine;

std::uint64_t size_of(const detail::text_body* body, unit u) {
    return body ? detail::text_tree::size(body->size(), u) : 0;
}

// The gap at a position given by the caller.
detail::text_tree::position checked(const detail::text_body* body, unit u, std::size_t n) {
    if (n > size_of(body, u)) throw std::out_of_range("rga_text: position beyond the end");
    if (!body) return {};
    const auto at = body->locate(u, n);
    if (!at.exact) throw std::invalid_argument("rga_text: position inside a character");
    return at;
}

struct code_points {
    std::size_t first;
    std::size_t count;
};

// A range given by the caller, in code points.
code_points checked(const detail::text_body* body, unit u, std::size_t first, std::size_t count) {
    std::uint64_t size = size_of(body, u);
    if (first > size || count > size - first) throw std::out_of_range("rga_text: range beyond the end");
    auto from = checked(body, u, first).points;
    return {from, checked(body, u, first + count).points - from};
}

// Takes both runs of characters by what they have in common.
bool same_text(std::vector<text_engine::visible_run> a, std::vector<text_engine::visible_run> b) {
    const auto pass = [](text_engine::visible_run& r, std::uint32_t n, std::size_t bytes) {
        r.first.seq += n;
        r.count -= n;
        r.text.remove_prefix(bytes);
    };
    for (auto i = a.begin(), j = b.begin(); i != a.end(); i += i->count == 0, j += j->count == 0) {
        const std::uint32_t n = std::min(i->count, j->count);
        const std::size_t bytes = detail::utf8_prefix(i->text, n);
        if (i->first != j->first || i->text.substr(0, bytes) != j->text.substr(0, bytes)) return false;
        pass(*i, n, bytes);
        pass(*j, n, bytes);
    }
    return true;
}

} // namespace

rga_text::rga_text() = default;
rga_text::rga_text(const rga_text& other)
    : body_(other.body_ ? std::make_unique<detail::text_body>(*other.body_) : nullptr) {}
rga_text::rga_text(rga_text&& other) noexcept = default;
rga_text& rga_text::operator=(const rga_text& other) {
    if (this != &other) body_ = other.body_ ? std::make_unique<detail::text_body>(*other.body_) : nullptr;
    return *this;
}
rga_text& rga_text::operator=(rga_text&& other) noexcept = default;
rga_text::~rga_text() = default;

detail::text_body& rga_text::body() {
    if (!body_) body_ = std::make_unique<detail::text_body>();
    return *body_;
}

namespace {

bool is_ascii_character(std::string_view utf8) {
    return utf8.size() == 1 && static_cast<unsigned char>(utf8[0]) < 0x80;
}

} // namespace

// What most changes are, in few instructions: it goes on from the one before in the same edit.
void rga_text::insert(transaction& tx, std::size_t pos, std::string_view utf8) {
    auto* edited = body_ ? body_->edited() : nullptr;
    if (!edited || !edited->open() || !is_ascii_character(utf8) || !edited->follows_typing(tx.upcoming(), pos))
        return insert_apart(tx, pos, utf8);
    edited->type_on(utf8[0]);
    tx.inserted(1);
    tx.entered(this, tx.next());
}

void rga_text::insert_apart(transaction& tx, std::size_t pos, std::string_view utf8) {
    auto* edited = body_ ? body_->edited() : nullptr;
    const bool one = is_ascii_character(utf8);
    tx.inserted(utf8.size());
    if (edited && one && !edited->open() &&
        edited->follows_typing(dot{tx.replica(), tx.upcoming()}, pos)) { // from one of an earlier edit
        edited->open_to_wait(tx);
        edited->type_on(utf8[0]);
        return tx.entered(this, tx.next());
    }
    if (edited) edited->flush();
    if (pos > size()) throw std::out_of_range("rga_text: position beyond the end");
    std::uint64_t points = 1;
    if (!one) {
        const auto measure = detail::measure_utf8(utf8);
        if (!measure) throw std::invalid_argument("rga_text: not valid UTF-8");
        if (utf8.empty()) return;
        points = measure->points;
    }
    const dot_range dots = tx.next(points);
    body().engine().insert(tx, dots, pos, utf8);
    tx.entered(this, dots);
}

void rga_text::insert_utf8(transaction& tx, std::size_t byte, std::string_view utf8) {
    insert(tx, from_utf8(byte), utf8);
}

void rga_text::insert_utf16(transaction& tx, std::size_t at, std::string_view utf8) {
    insert(tx, from_utf16(at), utf8);
}

void rga_text::erase(transaction& tx, std::size_t pos, std::size_t n) {
    auto* edited = body_ ? body_->edited() : nullptr;
    if (!edited || !edited->open() || n != 1 || !edited->follows_erasing(tx.upcoming(), pos))
        return erase_apart(tx, pos, n);
    edited->erase_on(pos);
    tx.entered(this, tx.next());
}

void rga_text::erase_apart(transaction& tx, std::size_t pos, std::size_t n) {
    auto* edited = body_ ? body_->edited() : nullptr;
    if (edited && n == 1 && !edited->open() && edited->follows_erasing(dot{tx.replica(), tx.upcoming()}, pos)) {
        edited->open_to_wait(tx);
        edited->erase_on(pos);
        return tx.entered(this, tx.next());
    }
    if (edited) edited->flush();
    const std::size_t size = this->size();
    if (pos > size || n > size - pos) throw std::out_of_range("rga_text: range beyond the end");
    if (n == 0) return;
    const dot_range dots = tx.next(n);
    body_->engine().erase(tx, dots, pos);
    tx.entered(this, dots);
}

void rga_text::erase_utf8(transaction& tx, std::size_t byte, std::size_t bytes) {
    auto [pos, n] = checked(body_.get(), unit::bytes, byte, bytes);
    erase(tx, pos, n);
}

void rga_text::erase_utf16(transaction& tx, std::size_t at, std::size_t units) {
    auto [pos, n] = checked(body_.get(), unit::utf16, at, units);
    erase(tx, pos, n);
}

void rga_text::apply_diff(transaction& tx, std::string_view utf8) {
    const auto wanted = decode_utf8(utf8);
    if (!wanted) throw std::invalid_argument("rga_text: not valid UTF-8");
    apply(tx, text_diff(*decode_utf8(str()), *wanted));
}

void rga_text::apply(transaction& tx, std::span<const text_edit> edits) {
    std::size_t passed = 0;
    for (const auto& e : edits) {
        if (e.position < passed || e.position > size() || e.erased > size() - e.position)
            throw std::out_of_range("rga_text: edits beyond the end, or not in order");
        passed = e.position + e.erased;
    }
    for (auto e = edits.rbegin(); e != edits.rend(); ++e) { // so that positions before it stay what they are
        erase(tx, e->position, e->erased);
        insert(tx, e->position, encode_utf8(e->inserted));
    }
}

std::string rga_text::str() const { return substr(0); }

std::string rga_text::substr(std::size_t pos, std::size_t n) const {
    std::string out;
    if (n >= size()) out.reserve(size_utf8());
    for_each_chunk([&](std::string_view text) { out += text; }, pos, n);
    return out;
}

void rga_text::visit(std::size_t pos, std::size_t n, void* context, void (*f)(void*, std::string_view)) const {
    if (pos > size()) throw std::out_of_range("rga_text: position beyond the end");
    if (!body_) return;
    n = std::min(n, size() - pos);
    body_->visit(static_cast<std::uint32_t>(pos), static_cast<std::uint32_t>(n),
                 [&](std::string_view chunk) { f(context, chunk); });
}

std::size_t rga_text::lines() const { return size_of(body_.get(), unit::newlines) + 1; }

text_location rga_text::location(std::size_t pos) const {
    const std::size_t line = checked(body_.get(), unit::points, pos).newlines;
    return {line, pos - line_start(line)};
}

std::size_t rga_text::line_start(std::size_t line) const {
    if (line >= lines()) throw std::out_of_range("rga_text: no such line");
    return line == 0 ? 0 : checked(body_.get(), unit::newlines, line - 1).points + 1; // behind the last newline before
}

std::size_t rga_text::position(const text_location& at) const {
    const std::size_t start = line_start(at.line);
    const std::size_t end = at.line + 1 < lines() ? line_start(at.line + 1) - 1 : size();
    if (at.column > end - start) throw std::out_of_range("rga_text: no such column");
    return start + at.column;
}

text_anchor rga_text::anchor(std::size_t pos, text_bias bias) const {
    if (pos > size()) throw std::out_of_range("rga_text: position beyond the end");
    if (!body_) return {{}, bias};
    return body_->read([&](const text_engine& text) { return text.anchor(static_cast<std::uint32_t>(pos), bias); });
}

std::optional<std::size_t> rga_text::position(const text_anchor& a) const {
    if (a.character.seq == 0) return a.bias == text_bias::left ? 0 : size();
    if (!body_) return std::nullopt;
    return body_->read([&](const text_engine& text) -> std::optional<std::size_t> { return text.position(a); });
}

text_revision rga_text::revision() const {
    return body_ ? body_->read([](const text_engine& text) { return text.revision(); }) : text_revision{};
}

std::optional<std::vector<text_change>> rga_text::changes_since(const text_revision& r) const {
    if (r == text_revision{}) { // of a text that had nothing
        std::vector<text_change> all;
        if (!empty()) all.push_back({0, 0, str()});
        return all;
    }
    if (!body_) return std::nullopt;
    return body_->read([&](const text_engine& text) { return text.changes_since(r); });
}

std::size_t rga_text::size() const { return size_of(body_.get(), unit::points); }
std::size_t rga_text::size_utf8() const { return size_of(body_.get(), unit::bytes); }
std::size_t rga_text::size_utf16() const { return size_of(body_.get(), unit::utf16); }

std::size_t rga_text::to_utf8(std::size_t pos) const { return checked(body_.get(), unit::points, pos).bytes; }
std::size_t rga_text::to_utf16(std::size_t pos) const { return checked(body_.get(), unit::points, pos).utf16; }
std::size_t rga_text::from_utf8(std::size_t byte) const { return checked(body_.get(), unit::bytes, byte).points; }
std::size_t rga_text::from_utf16(std::size_t at) const { return checked(body_.get(), unit::utf16, at).points; }

bool rga_text::equals(const rga_text& other) const {
    if (size() != other.size() || size_utf8() != other.size_utf8()) return false;
    if (size() == 0) return true;
    return body_->read([&](const text_engine& mine) {
        return other.body_->read(
            [&](const text_engine& theirs) { return same_text(mine.visible(), theirs.visible()); });
    });
}

// Over the visible characters as runs of consecutive dots, however they are stored.
std::uint64_t rga_text::digest(const causal_context&) const {
    std::uint64_t sum = 0;
    if (size() == 0) return sum;
    std::string run;
    dot next;
    auto close = [&] {
        if (!run.empty()) sum = combine(combine(sum, next.replica.value()), combine(next.seq, joinery::digest(run)));
    };
    body_->read([&](const text_engine& text) {
        for (const auto& at : text.visible()) {
            if (at.first != next) {
                close();
                run.clear();
            }
            run += at.text;
            next = detail::advanced(at.first, at.count);
        }
    });
    close();
    return sum;
}

void rga_text::extract(const causal_context& wanted, fragment& out) const {
    if (!out.empty()) out = {};
    if (!body_ || body_->extract_last(wanted, out)) return;
    if (const auto& columns = body_->columns()) {
        const auto asked = [&](const auto& part) { return wanted.contains(columns->dots(part)); };
        if (std::all_of(columns->stretches().begin(), columns->stretches().end(), asked)) {
            out.columns = columns;
            return;
        }
    }
    if (body_->packed()) {
        out = body_->fragment();
        const auto asked = [&](const text_run& r) { return wanted.contains(detail::dots_of(r)); };
        if (std::all_of(out.runs.begin(), out.runs.end(), asked)) return;
    }
    body_->read([&](const text_engine& text) { text.extract(wanted, out); });
}

void rga_text::extract_edit(const causal_context& wanted, fragment& out) {
    const auto* edited = body_ ? body_->edited() : nullptr;
    if (!edited || wanted.range_count() != 1 || !edited->extract_waiting(wanted.ranges().front(), out))
        extract(wanted, out);
}

void rga_text::extract_rest(fragment& out) const {
    if (body_ && !body_->packed() && !out.columns)
        body_->read([&](const text_engine& text) { text.extract_rest(out); });
}

void rga_text::join(const fragment& f, join_scope& s) {
    if (!body_ && f.empty()) return;
    if (f.columns && !s.repairing && body().adopt(f.columns, s)) return;
    body().engine().join(f, s);
    body_->pack_new();
}

void rga_text::kill(const dot_range& dots, join_scope&) {
    if (body_) body_->engine().kill(dots);
}

void rga_text::clear(transaction& tx, kills& out) {
    if (body_) body_->engine().clear(tx, out);
}

void rga_text::prune(const version_vector& stable, std::span<const dot_range> settled, dot_sink* sink,
                     const causal_context& but) {
    if (body_ && !body_->packed()) body_->engine().prune(stable, settled, sink, but);
}

// Parents among tombstones are incidental, too.
void rga_text::keep_live(fragment& f) {
    f.spell_out();
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

void rga_text::clear(transaction& tx, const causal_context& dots, kills& out) {
    if (body_) body_->engine().clear(tx, dots, out);
}

bool rga_text::revive(dot d, std::string_view utf8) { return body_ && body_->engine().revive(d, utf8); }

void rga_text::bury(fragment& f, const causal_context& dots) {
    f.spell_out();
    fragment buried;
    std::string_view rest = f.text;
    const auto take = [&](text_run run, const dot_range& part, bool deleted) {
        if (part.first > run.first.seq) run.parent = {part.replica, part.first - 1};
        run.lamport += part.first - run.first.seq;
        run.first.seq = part.first;
        run.count = part.size();
        const auto size = run.deleted ? 0 : detail::utf8_prefix(rest, run.count);
        run.deleted = run.deleted || deleted;
        detail::append(buried, run, run.deleted ? std::string_view() : rest.substr(0, size));
        rest.remove_prefix(size);
    };
    for (const auto& r : f.runs) {
        dot_range all = detail::dots_of(r);
        for (const auto& part : dots.intersect(all)) {
            if (all.first < part.first) take(r, {all.replica, all.first, part.first - 1}, false);
            take(r, part, true);
            all.first = part.last + 1;
        }
        if (all.first <= all.last) take(r, all, false);
    }
    f.runs = std::move(buried.runs);
    f.text = std::move(buried.text);
}

void rga_text::known_removed(const causal_context& dots, causal_context& out) const {
    if (body_ && !body_->packed()) body_->read([&](const text_engine& text) { text.known_removed(dots, out); });
}

bool rga_text::vacant() const {
    if (!body_) return true;
    return !body_->packed() && !body_->columns() && body_->read([](const text_engine& text) { return text.vacant(); });
}
std::uint64_t rga_text::max_lamport() const {
    return body_ ? body_->read([](const text_engine& text) { return text.max_lamport(); }) : 0;
}
std::size_t rga_text::memory() const { return sizeof *this + (body_ ? body_->memory() : 0); }

} // namespace joinery
