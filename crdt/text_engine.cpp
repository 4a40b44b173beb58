// SPDX-License-Identifier: Apache-2.0
#include "text_engine.hpp"

#include "text_order.hpp"
#include "utf8.hpp"

#include <algorithm>
#include <iterator>
#include <utility>
#include <vector>

namespace joinery::detail {

// ---- editing ----

// What an edit has done so far, in order; undone from the back. It outlives the engine if a value is
// assigned to in the middle of an edit.
struct text_engine::open_edit {
    enum class kind { inserted, logged, buried, waiting_buried };
    struct step {
        kind what;
        dot_range dots;
        std::string text; // of what was buried
    };
    text_engine* engine;
    std::uint64_t max_lamport;
    std::vector<step> steps;
};

text_engine::text_engine(const text_engine& other)
    : tree_(other.tree_),
      deletions_(other.deletions_),
      late_(other.late_ ? std::make_unique<late_arrivals>(*other.late_) : nullptr),
      max_lamport_(other.max_lamport_),
      pruned_lamport_(other.pruned_lamport_) {}

text_engine::~text_engine() {
    if (open_) open_->engine = nullptr;
}

text_engine::open_edit& text_engine::open(transaction& tx) {
    if (open_) return *open_;
    auto edit = std::make_shared<open_edit>(open_edit{this, max_lamport_, {}});
    tx.on_rollback([edit] {
        if (edit->engine) edit->engine->roll_back(*edit);
    });
    tx.on_commit([edit] {
        if (edit->engine) edit->engine->open_ = nullptr;
    });
    return *(open_ = edit.get());
}

void text_engine::roll_back(open_edit& edit) {
    for (auto step = edit.steps.rbegin(); step != edit.steps.rend(); ++step) {
        switch (step->what) {
        case open_edit::kind::inserted:
            while (auto p = tree_.next(step->dots)) tree_.erase(p->at, p->dots.size());
            break;
        case open_edit::kind::logged: deletions_.remove(step->dots); break;
        case open_edit::kind::buried: tree_.revive(step->dots, step->text); break;
        case open_edit::kind::waiting_buried: {
            arriving_text* run = late_->text.next(step->dots);
            run->state = text_state::live;
            run->text = std::move(step->text);
            break;
        }
        }
    }
    max_lamport_ = edit.max_lamport;
    open_ = nullptr;
}

void text_engine::insert(transaction& tx, const void* owner, std::uint64_t pos, std::string_view utf8,
                         std::uint64_t points) {
    open_edit& edit = open(tx);
    std::optional<text_tree::place> parent;
    if (pos > 0) parent = tree_.locate(text_tree::unit::points, pos - 1).next;
    dot_range dots = tx.next(points);
    edit.steps.push_back({open_edit::kind::inserted, dots, {}});
    tree_.insert(parent, {dots.replica, dots.first}, max_lamport_ + 1, points, text_state::live, utf8);
    max_lamport_ += points;
    tx.entered(owner, dots);
}

void text_engine::erase(transaction& tx, const void* owner, std::uint64_t pos, std::uint64_t n) {
    open_edit& edit = open(tx);
    dot_range events = tx.next(n);
    for (std::uint64_t first = events.first; n > 0;) {
        text_tree::place p = *tree_.locate(text_tree::unit::points, pos).next;
        text_tree::span s = tree_.at(p);
        std::uint64_t part = std::min(n, s.count - p.offset);
        dot target = advanced(s.first, p.offset);
        dot_range targets{target.replica, target.seq, target.seq + part - 1};
        edit.steps.push_back({open_edit::kind::buried, targets, std::string(tree_.text(p, part))});
        tree_.bury(p, part, text_state::dead);
        edit.steps.push_back({open_edit::kind::logged, {events.replica, first, first + part - 1}, {}});
        deletions_.add({{events.replica, first}, target, part, max_lamport_ + 1, false});
        max_lamport_ += part;
        first += part;
        n -= part;
    }
    tx.entered(owner, events);
}

void text_engine::clear(transaction& tx, kills& out) {
    if (tree_.size(text_tree::unit::points) == 0 && !waiting()) return;
    open_edit& edit = open(tx);
    while (auto next = tree_.locate(text_tree::unit::points, 0).next) {
        dot_range dots = tree_.at(*next).dots();
        edit.steps.push_back({open_edit::kind::buried, dots, std::string(tree_.text(*next, dots.size()))});
        tree_.bury(*next, dots.size(), text_state::dead);
        out.add(dots);
    }
    if (!waiting()) return;
    for (const auto& dots : late_->text.live()) { // seen, though not yet to be read
        arriving_text* run = late_->text.next(dots);
        edit.steps.push_back({open_edit::kind::waiting_buried, dots, std::exchange(run->text, {})});
        run->state = text_state::dead;
        out.add(dots);
    }
}

// ---- joining ----

struct text_engine::join_under_way {
    join_scope& scope;
    causal_context carried{}; // what the fragment carries, where that matters
    bool elements_pruned = false;
};

text_engine::late_arrivals& text_engine::late() {
    if (!late_) late_ = std::make_unique<late_arrivals>();
    return *late_;
}

// Changes the state of the elements in `r`, held or waiting, that are in state `from`.
void text_engine::mark(const dot_range& r, text_state from, text_state to) {
    for (dot_range rest = r;;) {
        auto p = tree_.next(rest);
        if (!p) break;
        if (p->state == from) tree_.bury(p->at, p->dots.size(), to);
        if (p->dots.last == r.last) break;
        rest.first = p->dots.last + 1;
    }
    if (!waiting()) return;
    for (dot_range rest = r;;) {
        auto part = late_->text.peek(rest);
        if (!part) break;
        rest.first = part->run->first.seq + part->offset + part->count;
        if (part->run->state == from) {
            arriving_text* run = late_->text.next({r.replica, rest.first - part->count, rest.first - 1});
            run->state = to;
            std::string().swap(run->text);
        }
        if (rest.first > r.last) break;
    }
}

// A deletion of these has become known: they are tombstones, and those that were thought settled are not.
void text_engine::kill(const dot_range& r) {
    mark(r, text_state::live, text_state::dead);
    mark(r, text_state::settled, text_state::dead);
}

// True if there were any.
bool text_engine::drop_elements(const dot_range& r, join_scope& s) {
    bool any = false;
    while (auto p = tree_.next(r)) {
        any = true;
        forgot(p->lamport + p->dots.size() - 1);
        s.dropped(p->dots);
        tree_.erase(p->at, p->dots.size());
    }
    if (!waiting()) return any;
    while (arriving_text* run = late_->text.next(r)) {
        forgot(run->lamport + run->count - 1);
        s.dropped(dots_of(*run));
        late_->text.take(run->first);
    }
    return any;
}

// Its sender has pruned these deletions, so they were stable. True if targets of theirs are still to come.
bool text_engine::drop_deletions(const dot_range& r, join_scope& s) {
    bool any_awaited = false;
    while (auto d = deletions_.next(r)) {
        forgot(d->lamport + d->count - 1);
        s.dropped(dots_of(*d));
        deletions_.remove(dots_of(*d));
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
    deletions_.for_each([&](const text_deletion& d) { // which others await as well
        for (const auto& unseen : j.scope.seen.missing(targets_of(d))) late().awaited.add(unseen);
    });
}

void text_engine::join(const text_fragment& f, join_scope& s) {
    if (!well_formed(f)) return;
    if (s.repairing) return repair(f, s);
    join_under_way j{s};
    if (s.overlapping) {
        for (const auto& r : f.runs) j.carried.add(dots_of(r));
        for (const auto& d : f.deletions) j.carried.add(dots_of(d));
        drop_what_was_pruned(j);
    }
    // What was pruned may have kept apart what comes now and what is here: the order is found apart.
    std::vector<dot_range> order;
    if (j.elements_pruned) order = merged_order(tree_, sequence_of(f));
    for (const auto& d : f.deletions) enter(d, s); // first, so that elements find their deletions
    std::string_view rest = f.text;
    for (const auto& r : f.runs) {
        std::size_t size = r.deleted ? 0 : utf8_prefix(rest, r.count);
        enter(r, rest.substr(0, size), j);
        rest.remove_prefix(size);
    }
    if (j.elements_pruned) rearrange(order);
    saw(f.lamport);
    forgot(f.lamport);
    if (late_) {
        if (!late_->awaited.empty()) // what came has come
            s.covered.for_each([&](const dot_range& r) { late_->awaited.remove(r); });
        if (late_->awaited.empty() && late_->text.empty()) late_ = nullptr;
    }
}

// ---- repairing ----

// Elements that are here keep their places, since others stand where they do because of them.
void text_engine::repair(const text_fragment& f, join_scope& s) {
    for (const auto& d : f.deletions) enter(d, s);
    std::string_view rest = f.text;
    for (const auto& r : f.runs) {
        const std::size_t size = r.deleted ? 0 : utf8_prefix(rest, r.count);
        for (const auto& part : s.covered.intersect(dots_of(r)))
            if (!s.seen.intersects(part)) repair(r, part, rest.substr(0, size), s);
        rest.remove_prefix(size);
    }
    s.covered.for_each([&](const dot_range& r) {
        if (!s.log.kills_arriving(r)) return;
        for (const auto& killed : s.log.awaited().intersect(r)) kill(killed);
    });
    saw(f.lamport);
    forgot(f.lamport);
}

// `utf8` is the text of all of r.
void text_engine::repair(const text_run& r, dot_range part, std::string_view utf8, join_scope& s) {
    const auto text_of = [&](const dot_range& dots) {
        if (r.deleted) return std::string_view();
        const auto from = utf8.substr(utf8_prefix(utf8, dots.first - r.first.seq));
        return from.substr(0, utf8_prefix(from, dots.size()));
    };
    while (part.first <= part.last) {
        const auto here = tree_.next(part);
        const dot_range absent{part.replica, part.first, here ? here->dots.first - 1 : part.last};
        if (absent.first <= absent.last) {
            auto run = r; // if its parent is not here, its place is found with the complete states
            if (absent.first == r.first.seq && r.parent.seq > 0 && !tree_.find(r.parent)) run.parent = {};
            enter_new(run, absent, text_of(absent), s);
        }
        if (!here) return;
        if (here->state == text_state::live) tree_.bury(here->at, here->dots.size(), text_state::settled);
        if (!r.deleted) tree_.revive(here->dots, text_of(here->dots));
        part.first = here->dots.last + 1;
    }
}

// The order in which a sender holds what it sends; hostile bytes may bring a dot twice.
text_tree text_engine::sequence_of(const text_fragment& f) {
    text_engine sender;
    causal_context placed;
    for (const auto& r : f.runs) {
        if (placed.intersects(dots_of(r))) continue;
        placed.add(dots_of(r));
        sender.place({r.first, r.parent, r.count, r.lamport, text_state::dead, {}});
    }
    return std::move(sender.tree_);
}

// Brings the elements into an order; those that it does not name go where their keys say.
void text_engine::rearrange(const std::vector<dot_range>& order) {
    text_tree sorted;
    auto for_each_piece = [](const text_tree& tree, dot_range within, auto&& f) {
        while (auto p = tree.next(within)) {
            f(*p);
            if (p->dots.last == within.last) return;
            within.first = p->dots.last + 1;
        }
    };
    auto text_of = [&](const text_tree::piece& p) {
        return p.state == text_state::live ? tree_.text(p.at, p.dots.size()) : std::string_view();
    };
    for (const auto& r : order)
        for_each_piece(tree_, r, [&](const text_tree::piece& p) {
            sorted.append({r.replica, p.dots.first}, p.lamport, p.dots.size(), p.state, text_of(p));
        });
    causal_context named;
    for (const auto& r : order) named.add(r);
    tree_.for_each([&](const text_tree::span& s, std::string_view) {
        for (const auto& other : named.missing(s.dots()))
            for_each_piece(tree_, other, [&](const text_tree::piece& p) {
                sorted.insert(sorted.find(tree_.parent(p.at)), {other.replica, p.dots.first}, p.lamport, p.dots.size(),
                              p.state, text_of(p));
            });
    });
    tree_ = std::move(sorted);
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

void text_engine::enter(const text_deletion& d, join_scope& s) {
    for (const auto& part : new_parts(dots_of(d), s)) {
        for (dot_range rest = part;;) { // leave out what the same fragment has brought already
            auto held = deletions_.next(rest);
            std::uint64_t last = held ? held->first.seq - 1 : part.last;
            if (rest.first <= last) {
                text_deletion fresh = slice(d, rest.first - d.first.seq, last - rest.first + 1);
                deletions_.add(fresh);
                saw(fresh.lamport + fresh.count - 1);
                s.entered({part.replica, rest.first, last});
                dot_range targets = targets_of(fresh);
                kill(targets);
                for (const auto& unseen : s.seen.missing(targets)) late().awaited.add(unseen);
            }
            if (!held || held->first.seq + held->count > part.last) break;
            rest.first = held->first.seq + held->count;
        }
    }
}

void text_engine::enter(const text_run& r, std::string_view utf8, join_under_way& j) {
    join_scope& s = j.scope;
    dot_range all = dots_of(r);
    for (const auto& part : new_parts(all, s)) {
        for (dot_range rest = part;;) { // leave out what the same fragment has brought already
            auto placed = tree_.next(rest);
            std::uint64_t first = placed ? placed->dots.first : part.last + 1;
            std::uint64_t behind = placed ? placed->dots.last + 1 : part.last + 1;
            if (waiting()) {
                auto held = late_->text.peek(rest);
                std::uint64_t at = held ? held->run->first.seq + held->offset : first;
                if (at < first) {
                    first = at;
                    behind = at + held->count;
                }
            }
            if (rest.first < first) {
                std::string_view text = utf8;
                if (!r.deleted && (rest.first > all.first || first <= all.last)) {
                    text.remove_prefix(utf8_prefix(text, rest.first - all.first));
                    text = text.substr(0, utf8_prefix(text, first - rest.first));
                }
                enter_new(r, {part.replica, rest.first, first - 1}, text, s);
            }
            if (behind > part.last) break;
            rest.first = behind;
        }
    }
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
    auto put = [&](const dot_range& dots, text_state state) {
        std::uint64_t offset = dots.first - r.first.seq;
        arriving_text run{{dots.replica, dots.first}, {}, dots.size(), r.lamport + offset, state, {}};
        run.parent = offset == 0 ? r.parent : before(run.first);
        if (!r.deleted) {
            std::string_view text =
                utf8.substr(0, dots.last == part.last ? utf8.size() : utf8_prefix(utf8, dots.size()));
            if (state == text_state::live) run.text = text;
            utf8.remove_prefix(text.size());
        }
        place(std::move(run));
    };
    // A tombstone whose deletion is unknown: its sender has pruned that, so it was stable.
    text_state otherwise = r.deleted ? text_state::settled : text_state::live;
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
            run.parent = theirs;
            place(std::move(run));
        }
        if (rest.first > part.last || !waiting()) return;
    }
}

// Puts a run behind its parent. False if that is not there; or if it is not older, which no replica writes: forged
// text waits for ever, since the order of the tree rests on the ages.
bool text_engine::attach(const arriving_text& run) {
    std::optional<text_tree::place> place;
    if (run.parent.seq > 0) {
        const auto parent = tree_.next(dot_range(run.parent));
        const text_key key{run.lamport, run.first.replica, run.first.seq};
        if (!parent || !(text_key{parent->lamport, run.parent.replica, run.parent.seq} < key)) return false;
        place = parent->at;
    }
    tree_.insert(place, run.first, run.lamport, run.count, run.state, run.text);
    return true;
}

// Puts a run where it belongs, and what has waited for it, or lets it wait.
void text_engine::place(arriving_text run) {
    if (!attach(run)) return late().text.add(std::move(run));
    if (!waiting()) return;
    std::vector<arriving_text> ready;
    late_->text.take_children(dots_of(run), ready);
    while (!ready.empty()) {
        arriving_text next = std::move(ready.back());
        ready.pop_back();
        if (attach(next)) {
            late_->text.take_children(dots_of(next), ready);
        } else {
            late_->text.add(std::move(next));
        }
    }
}

// ---- extracting ----

void text_engine::extract(const causal_context& wanted, text_fragment& out) const {
    out = {};
    wanted.for_each([&](const dot_range& range) {
        for (dot_range rest = range;;) {
            auto placed = tree_.next(rest);
            std::optional<waiting_text::part> held;
            if (waiting()) held = late_->text.peek(rest);
            if (held && placed && placed->dots.first < held->run->first.seq + held->offset) held.reset();
            if (held) {
                const arriving_text& w = *held->run;
                dot first = advanced(w.first, held->offset);
                std::string_view text = w.text;
                if (w.state == text_state::live) {
                    text.remove_prefix(utf8_prefix(text, held->offset));
                    text = text.substr(0, utf8_prefix(text, held->count));
                }
                append(out,
                       {first, held->offset > 0 ? before(first) : w.parent, held->count, w.lamport + held->offset,
                        w.state != text_state::live},
                       text);
                rest.first = first.seq + held->count;
            } else if (placed) {
                bool live = placed->state == text_state::live;
                std::uint64_t n = placed->dots.size();
                append(out, {{rest.replica, placed->dots.first}, tree_.parent(placed->at), n, placed->lamport, !live},
                       live ? tree_.text(placed->at, n) : std::string_view());
                rest.first = placed->dots.last + 1;
            } else {
                break;
            }
            if (rest.first > range.last) break;
        }
        for (dot_range rest = range;;) {
            auto d = deletions_.next(rest);
            if (!d) break;
            append(out.deletions, *d);
            rest.first = d->first.seq + d->count;
            if (rest.first > range.last) break;
        }
    });
    // Who lacks something of this text lacks what was pruned, or knows of it: then it changes nothing.
    bool nothing_held = tree_.empty() && deletions_.empty() && !waiting();
    if (!out.empty() || (nothing_held && !wanted.empty())) extract_rest(out);
}

// The greatest Lamport number outlives pruning.
void text_engine::extract_rest(text_fragment& out) const {
    if (pruned_lamport_ == 0) return;
    std::uint64_t greatest = 0;
    for (const auto& r : out.runs) greatest = std::max(greatest, r.lamport + r.count - 1);
    for (const auto& d : out.deletions) greatest = std::max(greatest, d.lamport + d.count - 1);
    if (pruned_lamport_ > greatest) out.lamport = pruned_lamport_;
}

// ---- pruning ----

void text_engine::prune(const version_vector& stable, std::span<const dot_range> settled, dot_sink* sink) {
    auto dropped = [&](const dot_range& r, std::uint64_t lamport) {
        forgot(lamport);
        if (sink) sink->dropped(r);
    };
    for (const auto& r : settled) mark(r, text_state::dead, text_state::settled);
    for (const auto& d : deletions_.stable(stable)) {
        deletions_.remove(dots_of(d));
        dropped(dots_of(d), d.lamport + d.count - 1);
        mark(targets_of(d), text_state::dead, text_state::settled);
    }
    // From right to left: one goes if the next that remains is stable, or there is none; and if it is not the
    // parent of something that a peer may yet lack, which would then be sent with another parent.
    auto tombstones = tree_.settled();
    if (tombstones.empty()) return;
    auto parents = tree_.parents_of_others(stable);
    for (auto r = tombstones.rbegin(); r != tombstones.rend(); ++r) {
        auto next = tree_.following(*tree_.find({r->replica, r->last}));
        dot_range gone = *r;
        if (next && !stable.contains(*next)) {
            // The last stays, or the last that is stable; it makes room for those before it.
            std::uint64_t stays = std::min(r->last, stable[r->replica]);
            if (stays <= r->first) continue;
            gone.last = stays - 1;
        }
        auto erase = [&](const dot_range& part) {
            while (auto p = tree_.next(part)) {
                dropped(p->dots, p->lamport + p->dots.size() - 1);
                tree_.erase(p->at, p->dots.size());
            }
        };
        auto stays = std::lower_bound(parents.begin(), parents.end(), dot{gone.replica, gone.first});
        for (; stays != parents.end() && gone.contains(*stays) && gone.first <= gone.last; ++stays) {
            if (gone.first < stays->seq) erase({gone.replica, gone.first, stays->seq - 1});
            gone.first = stays->seq + 1;
        }
        if (gone.first <= gone.last) erase(gone);
    }
    tree_.compact();
}

// Settled tombstones had a deletion that every member knew; the others' is among `deletions_`, or in the log of
// records.
void text_engine::known_removed(const causal_context& dots, causal_context& out) const {
    dots.for_each([&](const dot_range& r) {
        for (auto rest = r; rest.first <= rest.last;) {
            const auto p = tree_.next(rest);
            if (!p) break;
            if (p->state == text_state::settled) out.add(p->dots);
            rest.first = p->dots.last + 1;
        }
    });
    deletions_.for_each([&](const text_deletion& d) {
        for (const auto& known : dots.intersect(targets_of(d))) out.add(known);
    });
}

bool text_engine::vacant() const {
    return tree_.empty() && deletions_.empty() && (!late_ || (late_->text.empty() && late_->awaited.empty())) &&
           max_lamport_ == 0;
}

std::size_t text_engine::memory() const {
    std::size_t sum = sizeof *this - sizeof tree_ + tree_.memory() + deletions_.memory();
    if (late_) sum += late_->text.memory() + late_->awaited.range_count() * sizeof(dot_range);
    return sum;
}

} // namespace joinery::detail
