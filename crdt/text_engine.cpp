// SPDX-License-Identifier: Apache-2.0
#include "text_engine.hpp"

#include "text_body.hpp"
#include "utf8.hpp"

#include <algorithm>
#include <thread>
#include <tuple>
#include <utility>
#include <vector>

namespace joinery::detail {

// ---- reading ----

std::vector<text_engine::visible_run> text_engine::visible() const {
    std::vector<visible_run> out;
    for_each([&](const dot_range& dots, bool live, std::string_view text) {
        if (live) out.push_back({{dots.replica, dots.first}, static_cast<std::uint32_t>(dots.size()), text});
    });
    return out;
}

// ---- editing ----

text_engine::text_engine(const text_engine& other)
    : log_(other.log_),
      tree_(other.tree_),
      settled_(other.settled_),
      late_(other.late_ ? std::make_unique<late_arrivals>(*other.late_) : nullptr),
      max_lamport_(other.max_lamport_),
      pruned_lamport_(other.pruned_lamport_) {}

text_engine::~text_engine() {
    if (open_) open_->engine = nullptr;
}

// Requires: nothing waits.
text_engine::open_edit::what_was& text_engine::open(transaction& tx) {
    if (!open_) {
        if (wasteful()) compact();
        open_ = &tx.enlist<open_edit>(this);
    }
    if (!open_->before) open_->before.emplace(open_edit::what_was{log_.here(), max_lamport_});
    return *open_->before;
}

void text_engine::commit(open_edit& edit) {
    open_ = nullptr;
    if (!edit.before) return; // all that it did waits
    catch_up();
    tree_.settle();
    if (body_) body_->pack_new();
}

void text_engine::roll_back(open_edit& edit) {
    open_ = nullptr;
    if (!edit.before) {
        going_on& g = going_on_;
        std::tie(g.count, g.ahead, g.lowest, g.pos, g.backward) =
            std::tie(edit.waited.count, edit.waited.ahead, edit.waited.lowest, edit.waited.pos, edit.waited.backward);
        if (g.count == 0) waits_.store(waiting_state::nothing, std::memory_order_relaxed);
        return;
    }
    going_on_ = {};
    waits_.store(waiting_state::nothing, std::memory_order_relaxed);
    tree_.make_findable();
    const lv before = edit.before->log.size;
    if (before < log_.size())
        log_.for_each(before, log_.size() - 1, [&](const text_log::events& e) {
            if (e.erased()) {
                const lv first = e.what == text_log::kind::erased_forward ? e.to : e.to - (e.count() - 1);
                if (first < before) set_live(first, std::min(e.count(), before - first), true);
            } else {
                take_out(e.first, e.count());
            }
        });
    for (const auto& [first, n] : edit.before->cleared)
        if (first < before) set_live(first, std::min(n, before - first), true);
    for (auto& w : edit.before->cleared_waiting) {
        arriving_text* run = late_->text.next(w.dots);
        run->state = text_state::live;
        run->text = std::move(w.text);
    }
    log_.go_back(edit.before->log);
    journal_.begin_anew();
    max_lamport_ = edit.before->max_lamport;
    tree_.settle();
}

void text_engine::begin_going_on(const dot_range& dots, std::uint64_t pos) {
    going_on& g = going_on_;
    g.count = static_cast<std::uint32_t>(dots.size());
    g.pos = pos;
    g.seq = dots.first;
    g.replica = dots.replica;
    if (g.count > 0) waits_.store(waiting_state::waits, std::memory_order_relaxed);
}

void text_engine::catch_up_first() noexcept {
    auto expected = waiting_state::waits;
    if (waits_.compare_exchange_strong(expected, waiting_state::under_way, std::memory_order_acquire)) {
        do_what_waits();
        waits_.store(waiting_state::nothing, std::memory_order_release);
    } else {
        while (waits_.load(std::memory_order_acquire) == waiting_state::under_way) std::this_thread::yield();
    }
}

// What waited before the edit under way is done first: it stays if that is undone.
void text_engine::do_what_waits() {
    if (open_ && !open_->before) {
        do_next(open_->waited.count);
        open_->before.emplace(open_edit::what_was{log_.here(), max_lamport_});
    }
    do_next(going_on_.count);
    if (!open_) tree_.settle();
}

// The first `n` of what waits.
void text_engine::do_next(std::uint32_t n) {
    if (n == 0) return;
    going_on& g = going_on_;
    const dot first{g.replica, g.seq};
    g.seq += n;
    g.count -= n;
    if (g.typing > 0) {
        insert_now(first, n, static_cast<std::uint32_t>(g.pos), {g.text, n});
        g.pos += n;
        std::copy_n(g.text + n, g.count, g.text);
        g.typing = most_that_wait();
    } else {
        const std::uint32_t offset = tree_.seek(static_cast<std::uint32_t>(g.backward ? g.pos + g.count : g.pos));
        const lv target = tree_.sought().first + offset;
        erase_now(first, offset, n, g.backward);
        g.erased = g.backward ? target : target + n - 1;
        g.ahead -= std::min(n, g.ahead);
        g.erasing = most_that_wait();
    }
}

void text_engine::insert(transaction& tx, const dot_range& dots, std::uint64_t pos, std::string_view utf8) {
    flush();
    open(tx);
    if (!log_.has_room(dots.size())) text_log::too_many();
    const auto n = static_cast<std::uint32_t>(dots.size());
    if (utf8.size() > n || n > sizeof going_on_.text) {
        insert_now({dots.replica, dots.first}, n, static_cast<std::uint32_t>(pos), utf8);
        begin_going_on({dots.replica, dots.last + 1, dots.last}, pos + n);
        going_on_.typing = most_that_wait();
        return;
    }
    begin_going_on(dots, pos);
    going_on_.typing = std::min<std::uint32_t>(sizeof going_on_.text, text_log::max_size - log_.size());
    utf8.copy(going_on_.text, n);
}

void text_engine::insert_now(dot first, std::uint32_t n, std::uint32_t pos, std::string_view utf8) {
    const lv v = log_.size();
    const std::uint64_t lamport = max_lamport_ + 1;
    max_lamport_ += n;
    if (log_.typing() && log_.continues(first, lamport) && tree_.follows(pos) == v) {
        log_.extend(utf8, n);
        return tree_.extend(n, log_.measure(v, n), log_);
    }
    std::uint32_t before = 0;
    lv parent = text_log::none;
    if (pos > 0) {
        before = tree_.seek(pos - 1);
        parent = tree_.sought().first + before;
    }
    const text_measure m = log_.type(first, lamport, n, parent, utf8);
    pos > 0 ? tree_.insert_behind(before, v, n, m, log_) : tree_.insert_first(v, n, m, log_);
}

void text_engine::erase(transaction& tx, const dot_range& dots, std::uint64_t pos) {
    flush();
    open(tx);
    if (!log_.has_room(dots.size())) text_log::too_many();
    std::uint32_t offset = tree_.seek(static_cast<std::uint32_t>(pos));
    std::uint32_t here = tree_.sought().count() - offset;
    if (dots.size() == 1) {
        begin_going_on(dots, pos);
        going_on_.erasing = text_log::max_size - log_.size();
        going_on_.ahead = here;
        going_on_.lowest = pos - offset;
        going_on_.backward = false;
        return;
    }
    dot first{dots.replica, dots.first};
    for (auto n = static_cast<std::uint32_t>(dots.size());;) {
        const std::uint32_t part = std::min(n, here);
        erase_now(first, offset, part, false);
        if ((n -= part) == 0) return;
        first.seq += part;
        offset = tree_.seek(static_cast<std::uint32_t>(pos));
        here = tree_.sought().count() - offset;
    }
}

// Of one span, after seek() has found the first.
void text_engine::erase_now(dot first, std::uint32_t offset, std::uint32_t n, bool backward) {
    const lv target = tree_.sought().first + offset;
    log_.erase(first, max_lamport_ + 1, n, backward ? target + n - 1 : target, backward);
    tree_.erase_sought(offset, n, log_.bury_live(target, n), log_);
    journal_.died(target, n, backward);
    max_lamport_ += n;
}

void text_engine::clear(transaction& tx, kills& out) {
    if (tree_.size().points == 0 && !waiting()) return;
    auto& edit = open(tx);
    tree_.for_each([&](const text_tree::span& s) {
        if (!s.live()) return;
        edit.cleared.emplace_back(s.first, s.count());
        log_.bury_live(s.first, s.count());
        journal_.died(s.first, s.count());
        out.add(dots_of(s));
    });
    tree_.bury_all(log_);
    if (!waiting()) return;
    for (const auto& dots : late_->text.live()) { // seen, though not yet to be read
        arriving_text* run = late_->text.next(dots);
        edit.cleared_waiting.push_back({dots, std::exchange(run->text, {})});
        run->state = text_state::dead;
        out.add(dots);
    }
}

void text_engine::clear(transaction& tx, const causal_context& dots, kills& out) {
    auto& edit = open(tx);
    dots.for_each([&](const dot_range& r) {
        for (dot_range rest = r; rest.first <= r.last;) {
            const auto p = next(rest);
            if (!p) break;
            rest.first = p->dots.last + 1;
            if (p->state != text_state::live) continue;
            edit.cleared.emplace_back(p->first, p->count());
            set_live(p->first, p->count(), false);
            out.add(p->dots);
        }
    });
    if (!waiting()) return;
    for (const auto& held : late_->text.live())
        for (const auto& part : dots.intersect(held)) {
            arriving_text* run = late_->text.next(part);
            edit.cleared_waiting.push_back({part, std::exchange(run->text, {})});
            run->state = text_state::dead;
            out.add(part);
        }
}

bool text_engine::revive(dot d, std::string_view utf8) {
    journal_.begin_anew();
    if (arriving_text* run = waiting() ? late_->text.next(d) : nullptr) {
        run->state = text_state::live;
        run->text = utf8;
        return true;
    }
    const auto p = next(dot_range(d));
    if (!p || p->state == text_state::live) return p.has_value();
    settled_.remove(d);
    log_.revive(p->first, 1, utf8);
    set_live(p->first, 1, true);
    tree_.settle();
    return true;
}

// ---- what is here ----

std::optional<text_engine::piece> text_engine::next(dot_range within) const {
    while (within.first <= within.last) {
        const auto known = log_.next(within);
        if (!known) break;
        const auto e = log_.at(known->first, known->first + known->count - 1);
        within.first = e.dots.seq + e.count();
        if (!e.inserted()) continue;
        const auto [live, count] = log_.lives(e, e.first);
        piece p{{within.replica, e.dots.seq, e.dots.seq + count - 1}, e.lamport, text_state::live, e.first};
        if (live) return p;
        p.state = text_state::dead;
        if (settled_.empty()) return p;
        const auto settled = settled_.intersect(p.dots);
        if (settled.empty()) return p;
        if (settled.front().first > p.dots.first) {
            p.dots.last = settled.front().first - 1;
        } else {
            p.state = text_state::settled;
            p.dots.last = settled.front().last;
        }
        return p;
    }
    return std::nullopt;
}

// The first deletions that are known of these dots.
std::optional<text_deletion> text_engine::next_deletion(dot_range within) const {
    std::optional<text_deletion> found;
    if (late_) found = late_->deletions.next(within);
    if (found) within.last = found->first.seq;
    while (within.first <= within.last) {
        const auto known = log_.next(within);
        if (!known) break;
        const auto e = log_.at(known->first, known->first + known->count - 1);
        within.first = e.dots.seq + e.count();
        if (!e.erased()) continue;
        std::optional<text_deletion> first;
        log_.for_each_deletion(e, [&](const text_deletion& d) {
            if (!first) first = d;
        });
        return first;
    }
    return found;
}

// The parent that a character came with may have been forgotten.
dot text_engine::parent_now(lv first, lv parent) const {
    if (parent == text_log::not_kept || log_.at(parent, parent).what == text_log::kind::gone)
        parent = tree_.parent(tree_.find(first), log_);
    return parent == text_log::none ? dot{} : log_.identify(parent).id;
}

void text_engine::set_live(lv first, std::uint32_t n, bool live) {
    const text_measure all = live ? log_.unbury(first, n) : log_.bury(first, n);
    if (!live) journal_.died(first, n);
    tree_.make_findable();
    for_each_place(first, n, [&](text_tree::place p, std::uint32_t part) {
        const text_measure m = part == n ? all : log_.measure(tree_.at(p).first + p.offset, part);
        live ? tree_.revive(p, part, m, log_) : tree_.bury(p, part, m, log_);
    });
}

void text_engine::set_state(const piece& p, text_state to) {
    if (p.state == text_state::live) set_live(p.first, p.count(), false);
    if (to == text_state::settled)
        settled_.add(p.dots);
    else if (p.state == text_state::settled)
        settled_.remove(p.dots);
}

// Takes characters out of the order.
void text_engine::take_out(lv first, std::uint32_t n) {
    tree_.make_findable();
    for_each_place(first, n, [&](text_tree::place p, std::uint32_t part) { tree_.erase(p, part, log_); });
}

void text_engine::forget(const piece& p) {
    journal_.forget();
    take_out(p.first, p.count());
    log_.forget(p.first, p.count());
    if (p.state == text_state::settled) settled_.remove(p.dots);
    forgot(p.lamport + p.count() - 1);
}

text_engine::late_arrivals& text_engine::late() {
    if (!late_) late_ = std::make_unique<late_arrivals>();
    return *late_;
}

// ---- extracting ----

void text_engine::extract(const causal_context& wanted, text_fragment& out) const {
    if (!out.empty()) out = {};
    text_characters::reader characters(log_.text());
    const auto take = [&](const text_log::events& e) {
        if (e.erased()) return log_.for_each_deletion(e, [&](const text_deletion& d) { append(out.deletions, d); });
        if (!e.inserted()) return;
        for (lv v = e.first; v <= e.last;) {
            const auto [live, n] = log_.lives(e, v);
            const std::uint32_t offset = v - e.first;
            const dot first = advanced(e.dots, offset);
            append(out, {first, offset > 0 ? before(first) : parent(e), n, e.lamport + offset, !live},
                   live ? characters.text(e.characters + offset, n) : std::string_view());
            v += n;
        }
    };
    wanted.for_each([&](const dot_range& range) {
        for (dot_range rest = range; rest.first <= range.last;) {
            const auto known = log_.next(rest);
            std::optional<waiting_text::part> held;
            std::optional<text_deletion> apart;
            if (late_) { // what comes first, and of the log what is before it
                held = late_->text.peek(rest);
                apart = late_->deletions.next(rest);
            }
            const std::uint64_t waits = held ? held->run->first.seq + held->offset : UINT64_MAX;
            const std::uint64_t deletes = apart ? apart->first.seq : UINT64_MAX;
            const std::uint64_t first = known ? known->seq : UINT64_MAX;
            if (first < std::min(waits, deletes)) {
                const std::uint64_t n = std::min<std::uint64_t>(known->count, std::min(waits, deletes) - first);
                const lv last = known->first + static_cast<lv>(n) - 1;
                const auto [inserted, erased] = log_.entries(known->first, last);
                if (inserted > out.runs.size()) out.runs.reserve(out.runs.size() + inserted);
                if (erased > out.deletions.size()) out.deletions.reserve(out.deletions.size() + erased);
                log_.for_each(known->first, last, take);
                rest.first = first + n;
            } else if (apart && deletes <= waits) {
                append(out.deletions, *apart);
                rest.first = deletes + apart->count;
            } else if (held) {
                const arriving_text& w = *held->run;
                const dot at = advanced(w.first, held->offset);
                std::string_view text = w.text;
                if (w.state == text_state::live) {
                    text.remove_prefix(utf8_prefix(text, held->offset));
                    text = text.substr(0, utf8_prefix(text, held->count));
                }
                append(out,
                       {at, held->offset > 0 ? before(at) : w.parent, held->count, w.lamport + held->offset,
                        w.state != text_state::live},
                       text);
                rest.first = waits + held->count;
            } else {
                break;
            }
        }
    });
    // Who lacks something of this text lacks what was pruned, or knows of it: then it changes nothing.
    const bool nothing_held = log_.size() == log_.forgotten() && !waiting() && (!late_ || late_->deletions.empty());
    if (!out.empty() || (nothing_held && !wanted.empty())) extract_rest(out);
}

bool text_engine::extract_last(const dot_range& wanted, text_fragment& out) const {
    if (late_ || !log_.ends_with(wanted)) return false;
    const std::uint64_t n = wanted.size();
    const auto add = [&](dot parent, std::uint64_t lamport, std::uint32_t character) {
        out.runs.emplace_back(dot{wanted.replica, wanted.first}, parent, n, lamport, false);
        const auto text = log_.text().text(character, static_cast<std::uint32_t>(n));
        text.size() == 1 ? out.text.push_back(text.front()) : void(out.text = text);
    };
    if (n <= log_.typed_on()) { // what is typed, in few instructions
        const auto count = static_cast<std::uint32_t>(n);
        if (log_.any_dead(log_.size() - count)) return false;
        add({wanted.replica, wanted.first - 1}, log_.next_lamport() - n, log_.text().size() - count);
    } else if (const auto e = log_.last(wanted); e && e->erased()) {
        log_.for_each_deletion(*e, [&](const text_deletion& d) { append(out.deletions, d); });
    } else if (e && e->what == text_log::kind::typed && !log_.any_dead(e->first)) {
        add(parent(*e), e->lamport, e->characters);
    } else {
        return false;
    }
    if (pruned_lamport_ != 0) extract_rest(out);
    return true;
}

// As what was typed follows a character that was typed before by the same replica, and what is erased lies beside one,
// little need be looked up.
bool text_engine::extract_waiting(const dot_range& wanted, text_fragment& out) const {
    const going_on& g = going_on_;
    if (wanted.last + 1 != g.seq + g.count || wanted.first < g.seq || wanted.replica != g.replica || g.count == 0)
        return false;
    const dot first{wanted.replica, wanted.first};
    const auto offset = static_cast<std::uint32_t>(wanted.first - g.seq), n = g.count - offset;
    const std::uint64_t lamport = max_lamport_ + 1 + offset;
    if (g.typing > 0) {
        out.runs.emplace_back(first, before(first), n, lamport, false);
        n == 1 ? out.text.push_back(g.text[offset]) : void(out.text.assign(g.text + offset, n));
    } else {
        const lv target = g.backward ? g.erased - 1 - offset : g.erased + 1 + offset;
        out.deletions.emplace_back(first, log_.identify(target).id, n, lamport, g.backward && n > 1);
    }
    return true;
}

// The greatest Lamport number outlives pruning.
void text_engine::extract_rest(text_fragment& out) const {
    if (pruned_lamport_ == 0) return;
    std::uint64_t greatest = 0;
    for (const auto& r : out.runs) greatest = std::max(greatest, r.lamport + r.count - 1);
    for (const auto& d : out.deletions) greatest = std::max(greatest, d.lamport + d.count - 1);
    if (pruned_lamport_ > greatest) out.lamport = pruned_lamport_;
}

// Settled tombstones had a deletion that every member knew; the others' is among the deletions, or in the log of
// records.
void text_engine::known_removed(const causal_context& dots, causal_context& out) const {
    settled_.for_each([&](const dot_range& r) {
        for (const auto& known : dots.intersect(r)) out.add(known);
    });
    for_each_deletion([&](const text_deletion& d) {
        for (const auto& known : dots.intersect(targets_of(d))) out.add(known);
    });
}

bool text_engine::plain() const {
    return log_.forgotten() == 0 && log_.size() == tree_.size().points && !late_ && pruned_lamport_ == 0;
}

void text_engine::extract_all(text_fragment& out) const {
    causal_context all;
    log_.for_each_writer([&](replica_id r) { all.add({r, 1, UINT64_MAX}); });
    extract(all, out);
}

bool text_engine::vacant() const { return log_.size() == log_.forgotten() && !late_ && max_lamport_ == 0; }

std::size_t text_engine::memory() const {
    std::size_t sum =
        sizeof *this + log_.memory() + tree_.memory() + journal_.memory() + settled_.range_count() * sizeof(dot_range);
    if (late_)
        sum += late_->text.memory() + late_->awaited.range_count() * sizeof(dot_range) + late_->deletions.memory();
    return sum;
}

} // namespace joinery::detail
