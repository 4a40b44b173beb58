// SPDX-License-Identifier: Apache-2.0
#include "text_engine.hpp"

#include "text_columns.hpp"
#include "utf8.hpp"

#include <algorithm>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

// The join rule (join_scope.hpp) for texts: what arrives takes its place, waits for what it rests on, or finds that it
// was deleted; what a sender has pruned goes here too.

namespace joinery::detail {

// Changes the state of the characters in `r`, here or waiting, that are in state `from`.
void text_engine::mark(const dot_range& r, text_state from, text_state to) {
    for (dot_range rest = r; rest.first <= r.last;) {
        const auto p = next(rest);
        if (!p) break;
        if (p->state == from) set_state(*p, to);
        rest.first = p->dots.last + 1;
    }
    if (!waiting()) return;
    for (dot_range rest = r; rest.first <= r.last;) {
        auto part = late_->text.peek(rest);
        if (!part) break;
        rest.first = part->run->first.seq + part->offset + part->count;
        if (part->run->state != from) continue;
        arriving_text* run = late_->text.next({r.replica, rest.first - part->count, rest.first - 1});
        run->state = to;
        std::string().swap(run->text);
    }
}

// A deletion of these has become known: they are tombstones, and those that were thought settled are not.
void text_engine::kill(const dot_range& r) {
    mark(r, text_state::live, text_state::dead);
    if (!settled_.empty() || waiting()) mark(r, text_state::settled, text_state::dead);
    if (!open_) tree_.settle();
}

// True if there were any.
bool text_engine::drop_elements(const dot_range& r, join_scope& s) {
    bool any = false;
    while (const auto p = next(r)) {
        any = true;
        s.dropped(p->dots);
        forget(*p);
    }
    if (!waiting()) return any;
    while (arriving_text* run = late_->text.next(r)) {
        forgot(run->lamport + run->count - 1);
        s.dropped(detail::dots_of(*run));
        late_->text.take(run->first);
    }
    return any;
}

// Takes a deletion out of what is known.
void text_engine::drop(const text_deletion& d) {
    forgot(d.lamport + d.count - 1);
    if (const auto v = log_.find(d.first); v && log_.at(*v, *v).erased())
        log_.forget(*v, static_cast<std::uint32_t>(d.count));
    else
        late_->deletions.remove(detail::dots_of(d));
}

// Its sender has pruned these deletions, so they were stable. True if targets of theirs are still to come.
bool text_engine::drop_deletions(const dot_range& r, join_scope& s) {
    bool any_awaited = false;
    while (const auto d = next_deletion(r)) {
        s.dropped(detail::dots_of(*d));
        drop(*d);
        mark(targets_of(*d), text_state::dead, text_state::settled);
        if (!late_ || !late_->awaited.intersects(targets_of(*d))) continue;
        late_->awaited.remove(targets_of(*d)); // they come as settled, if at all
        any_awaited = true;
    }
    return any_awaited;
}

void text_engine::drop_what_was_pruned(join_under_way& j) {
    bool any_awaited = false;
    j.scope.covered.for_each([&](const dot_range& r) {
        for (const auto& gone : j.carried.missing(r)) {
            any_awaited |= drop_deletions(gone, j.scope);
            j.elements_pruned |= drop_elements(gone, j.scope);
        }
    });
    if (!any_awaited) return;
    for_each_deletion([&](const text_deletion& d) { // which others await as well
        for (const auto& unseen : j.scope.seen.missing(targets_of(d))) late().awaited.add(unseen);
    });
}

void text_engine::join(const text_fragment& f, join_scope& s) {
    if (wasteful()) compact();
    if (f.runs.size() + f.deletions.size() == 1 && !f.columns && f.lamport == 0 && !s.repairing) {
        const bool joined =
            f.deletions.empty() ? join_one(f.runs.front(), f.text, s) : join_one(f.deletions.front(), {}, s);
        if (joined) return tree_.settle();
    }
    if (f.columns) return join(f.columns->spelled_out(), s);
    if (!well_formed(f)) return;
    if (s.repairing) return repair(f, s);
    if (log_.size() == 0 && !late_ && build(f, s)) return;
    join_under_way j{s};
    if (s.overlapping) {
        for (const auto& r : f.runs) j.carried.add(detail::dots_of(r));
        for (const auto& d : f.deletions) j.carried.add(detail::dots_of(d));
        drop_what_was_pruned(j);
    }
    // What was pruned may have kept apart what comes now and what is here: the order is found apart.
    std::vector<dot_range> order;
    if (j.elements_pruned) order = merged_order(sequence(), sequence_of(f));
    const auto fresh = [&](const auto& run) { return !log_.next(detail::dots_of(run)); }; // forged bytes repeat dots
    // In the order of the dots, so that those that follow one another do so here; but what is deleted must have come.
    std::vector<const text_deletion*> later;
    auto d = f.deletions.begin();
    const auto join_deletions = [&](auto&& is_next) {
        for (; d != f.deletions.end() && is_next(*d); ++d)
            if (!fresh(*d) || !join_one(*d, {}, s)) later.push_back(&*d);
    };
    std::string_view rest = f.text;
    for (const auto& r : f.runs) {
        join_deletions([&](const text_deletion& x) { return x.first < r.first; });
        const std::string_view text = rest.substr(0, r.deleted ? 0 : utf8_prefix(rest, r.count));
        if (!fresh(r) || !join_one(r, text, s)) enter(r, text, j);
        rest.remove_prefix(text.size());
    }
    join_deletions([](const text_deletion&) { return true; });
    for (const auto* x : later) enter(*x, s);
    if (j.elements_pruned) rearrange(order);
    saw(f.lamport);
    forgot(f.lamport);
    if (late_) {
        if (!late_->awaited.empty()) // what came has come
            s.covered.for_each([&](const dot_range& r) { late_->awaited.remove(r); });
        if (late_->empty()) late_ = nullptr;
    }
    tree_.settle();
}

// True if these characters follow on the last that came, whose place is known, with nothing behind that they must pass.
bool text_engine::goes_on(const text_run& r) const {
    return r.parent == before(r.first) && r.lamport > max_lamport_ && log_.typing() &&
           log_.continues(r.first, r.lamport) && log_.has_room(r.count) && tree_.recent_ends_at(log_.size());
}

// A run of characters or of deletions, all of it new, whose parent or targets are here: what most deltas are no more
// than. False, with nothing done, if it is anything else, or not well-formed.
template <class Run> bool text_engine::join_one(const Run& r, std::string_view text, join_scope& s) {
    const dot_range dots = detail::dots_of(r);
    if (s.overlapping || late_ || !s.log.awaited().empty() || !s.covered.contains(dots) || !put(r, text)) return false;
    saw(r.lamport + r.count - 1);
    s.entered(dots);
    return true;
}

bool text_engine::put(const text_run& r, std::string_view text) {
    if (r.deleted || !numbers_fit(r.first, r.count, r.lamport) || !is_utf8(text, r.count)) return false;
    if (!goes_on(r)) return attach(r, text_state::live, text);
    const lv v = log_.size();
    const auto n = static_cast<std::uint32_t>(r.count);
    log_.extend(text, n);
    tree_.extend_recent(n, log_.measure(v, n), log_);
    return true;
}

bool text_engine::put(const text_deletion& d, std::string_view) {
    if (!well_formed(d) || !log_.has_room(d.count)) return false;
    const dot_range targets = targets_of(d);
    const auto known = log_.next(targets);
    if (!known || known->seq != targets.first || known->count != d.count) return false;
    tree_.make_findable();
    text_tree::place p;
    if (!tree_.find_known(known->first, p) || !tree_.at(p).live() || known->count > tree_.at(p).count() - p.offset)
        return false;
    const std::uint32_t n = known->count;
    log_.erase(d.first, d.lamport, n, d.backward ? known->first + n - 1 : known->first, d.backward);
    tree_.bury(p, n, log_.bury_live(known->first, n), log_);
    journal_.died(known->first, n, d.backward);
    return true;
}

// The parts of `r` that the delta covers and the state has not seen.
static std::vector<dot_range> new_parts(const dot_range& r, const join_scope& s) {
    if (s.covered.contains(r) && !s.seen.intersects(r)) return {r};
    std::vector<dot_range> out;
    for (const auto& part : s.covered.intersect(r)) {
        auto missing = s.seen.missing(part);
        out.insert(out.end(), missing.begin(), missing.end());
    }
    return out;
}

// Keeps a deletion: with the characters that are here, or apart.
void text_engine::add(const text_deletion& d) {
    for (std::uint64_t i = 0, n = 1; i < d.count; i += n) {
        const text_deletion rest = slice(d, i, d.count - i);
        const dot_range targets = targets_of(rest);
        // Of a backward run the last first; what is not here then goes one by one.
        const auto p = next(rest.backward ? dot_range(rest.target) : targets);
        const bool here = p && dot{p->dots.replica, p->dots.first} == rest.target && log_.has_room(rest.count);
        if (!log_.has_room(rest.count))
            n = rest.count;
        else if (!here)
            n = rest.backward ? 1 : p ? p->dots.first - targets.first : rest.count;
        else
            n = std::min<std::uint64_t>(rest.count, rest.backward ? log_.reach_back(p->first) : p->dots.size());
        if (here)
            log_.erase(rest.first, rest.lamport, static_cast<std::uint32_t>(n), p->first, rest.backward);
        else
            late().deletions.add(slice(rest, 0, n));
    }
}

// Calls f(dot_range) for those of these dots that nothing here has: forged bytes may bring a dot twice.
template <class F> void text_engine::for_each_free(dot_range within, F&& f) const {
    while (within.first <= within.last) {
        std::uint64_t first = within.last + 1, behind = first; // what is taken
        const auto taken = [&](std::uint64_t seq, std::uint64_t count) {
            if (seq >= first) return;
            first = seq;
            behind = seq + count;
        };
        if (const auto known = log_.next(within)) taken(known->seq, known->count);
        if (late_) {
            if (const auto held = late_->text.peek(within)) taken(held->run->first.seq + held->offset, held->count);
            if (const auto apart = late_->deletions.next(within)) taken(apart->first.seq, apart->count);
        }
        if (within.first < first) f(dot_range{within.replica, within.first, first - 1});
        within.first = behind;
    }
}

void text_engine::enter(const text_deletion& d, join_scope& s) {
    for (const auto& part : new_parts(detail::dots_of(d), s))
        for_each_free(part, [&](const dot_range& dots) {
            const text_deletion fresh = slice(d, dots.first - d.first.seq, dots.size());
            add(fresh);
            saw(fresh.lamport + fresh.count - 1);
            s.entered(dots);
            const dot_range targets = targets_of(fresh);
            kill(targets);
            if (!s.covered.contains(targets)) // else what is to come has come
                for (const auto& unseen : s.seen.missing(targets)) late().awaited.add(unseen);
        });
}

void text_engine::enter(const text_run& r, std::string_view utf8, join_under_way& j) {
    join_scope& s = j.scope;
    const dot_range all = detail::dots_of(r);
    for (const auto& part : new_parts(all, s))
        for_each_free(part, [&](const dot_range& dots) {
            std::string_view text = utf8;
            if (!r.deleted && dots != all) {
                text.remove_prefix(utf8_prefix(text, dots.first - all.first));
                text = text.substr(0, utf8_prefix(text, dots.size()));
            }
            enter_new(r, dots, text, s);
        });
    if (s.overlapping && s.seen.intersects(all))
        for (const auto& part : s.seen.intersect(all))
            for (const auto& covered : s.covered.intersect(part)) meet_known(r, covered, j);
}

// `part` of r has not been here before; utf8 is its text.
void text_engine::enter_new(const text_run& r, dot_range part, std::string_view utf8, join_scope& s) {
    saw(r.lamport + (part.last - r.first.seq));
    s.entered(part);
    causal_context killed;
    if (s.log.kills_arriving(part))
        for (const auto& k : s.log.awaited().intersect(part)) killed.add(k);
    if (late_ && late_->awaited.intersects(part)) {
        for (const auto& k : late_->awaited.intersect(part)) killed.add(k);
        late_->awaited.remove(part);
    }
    const auto put = [&](const dot_range& dots, text_state state) {
        const std::uint64_t offset = dots.first - r.first.seq;
        text_run run{{dots.replica, dots.first}, r.parent, dots.size(), r.lamport + offset, r.deleted};
        if (offset > 0) run.parent = before(run.first);
        std::string_view text;
        if (!r.deleted) {
            text = utf8.substr(0, dots.last == part.last ? utf8.size() : utf8_prefix(utf8, dots.size()));
            utf8.remove_prefix(text.size());
        }
        place(run, state, state == text_state::live ? text : std::string_view());
    };
    // A tombstone whose deletion is unknown: its sender has pruned that, so it was stable.
    const text_state otherwise = r.deleted ? text_state::settled : text_state::live;
    if (killed.empty()) return put(part, otherwise);
    for (const auto& dead : killed.intersect(part)) {
        if (part.first < dead.first) put({part.replica, part.first, dead.first - 1}, otherwise);
        put(dead, text_state::dead);
        if (dead.last == part.last) return;
        part.first = dead.last + 1;
    }
    put(part, otherwise);
}

// `part` of r, covered by the delta, was seen here before.
void text_engine::meet_known(const text_run& r, const dot_range& part, join_under_way& j) {
    if (r.deleted) mark(part, text_state::live, text_state::settled);
    if (!waiting()) return;
    // What waits for a parent that the sender has pruned takes the place that the sender gives it.
    for (dot_range rest = part;;) {
        auto held = late_->text.peek(rest);
        if (!held) return;
        std::uint64_t first = held->run->first.seq + held->offset;
        rest.first = first + held->count;
        dot parent = held->offset > 0 ? dot{part.replica, first - 1} : held->run->parent;
        dot theirs = first == r.first.seq ? r.parent : dot{part.replica, first - 1};
        bool pruned =
            parent != theirs && parent.seq > 0 && j.scope.covered.contains(parent) && !j.carried.contains(parent);
        if (pruned) {
            arriving_text run = late_->text.take(late_->text.next({part.replica, first, rest.first - 1})->first);
            place({run.first, theirs, run.count, run.lamport, false}, run.state, run.text);
        }
        if (rest.first > part.last || !waiting()) return;
    }
}

// Puts a run behind its parent. False if that is not there; or if it is not older, which no replica writes: forged
// text waits for ever, since the order of the tree rests on the ages. So does what there are no more numbers for.
bool text_engine::attach(const text_run& r, text_state state, std::string_view text) {
    if (!log_.has_room(r.count)) return false;
    lv parent = text_log::none;
    std::optional<text_tree::place> place;
    if (r.parent.seq > 0) {
        const auto known = log_.next(dot_range(r.parent));
        const text_key key{r.lamport, r.first.replica, r.first.seq};
        if (!known || !(text_key{known->lamport, r.parent.replica, r.parent.seq} < key)) return false;
        tree_.make_findable();
        if (!tree_.find_known(known->first, place.emplace())) return false;
        parent = known->first;
    }
    const auto n = static_cast<std::uint32_t>(r.count);
    const lv v = log_.insert(r.first, r.lamport, n, parent, text);
    tree_.insert(place, v, n, state == text_state::live, log_);
    if (state == text_state::settled) settled_.add(detail::dots_of(r));
    return true;
}

// Puts a run where it belongs, and what has waited for it, or lets it wait.
void text_engine::place(const text_run& r, text_state state, std::string_view text) {
    if (!attach(r, state, text))
        return late().text.add({r.first, r.parent, r.count, r.lamport, state, std::string(text)});
    if (!waiting()) return;
    std::vector<arriving_text> ready;
    late_->text.take_children(detail::dots_of(r), ready);
    while (!ready.empty()) {
        arriving_text next = std::move(ready.back());
        ready.pop_back();
        if (attach({next.first, next.parent, next.count, next.lamport, false}, next.state, next.text)) {
            late_->text.take_children(detail::dots_of(next), ready);
        } else {
            late_->text.add(std::move(next));
        }
    }
}

} // namespace joinery::detail
