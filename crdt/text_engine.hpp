// SPDX-License-Identifier: Apache-2.0
#pragma once

// What is inside an rga_text: what happened (text_log.hpp), the order of the characters (text_tree.hpp), what waits,
// and the Lamport clock. rga_text checks arguments; from here on they are right.

#include "text_deletions.hpp"
#include "text_journal.hpp"
#include "text_log.hpp"
#include "text_order.hpp"
#include "text_tree.hpp"
#include "waiting_text.hpp"

#include <joinery/join_scope.hpp>
#include <joinery/text_fragment.hpp>
#include <joinery/text_positions.hpp>
#include <joinery/transaction.hpp>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace joinery::detail {

class text_body;
class text_columns;

class text_engine {
public:
    text_engine() = default;
    explicit text_engine(const text_columns& c);
    /// Whose edits are told to it when they are done.
    void belongs_to(text_body* body) { body_ = body; }
    void resume(std::uint64_t history) { journal_.resume(history); }
    /// A copy takes no part in an edit under way.
    text_engine(const text_engine& other);
    text_engine& operator=(const text_engine&) = delete;
    ~text_engine();

    text_measure size() const { return tree_.size(); }
    text_tree::position locate(text_tree::unit u, std::uint64_t n) const { return tree_.locate(u, n, log_); }
    /// Calls f(std::string_view) for the text of `points` characters from `first` on. O(log n + answer).
    template <class F> void read(std::uint32_t first, std::uint32_t points, F&& f) const {
        if (points == 0) return;
        tree_.for_each_from(tree_.visible(first), [&](const text_tree::span& s) {
            if (!s.live()) return true;
            const std::uint32_t n = std::min(points, s.count());
            log_.for_each_text(s.first, n, [&](lv, std::uint32_t, std::string_view text) { f(text); });
            points -= n;
            return points > 0;
        });
    }
    /// The visible text: characters whose dots are consecutive, in order.
    struct visible_run {
        dot first;
        std::uint32_t count;
        std::string_view text;
    };
    std::vector<visible_run> visible() const;
    /// Calls f(dot_range, bool live, std::string_view text) for all characters in order. O(n).
    template <class F> void for_each(F&& f) const {
        tree_.for_each([&](const text_tree::span& s) {
            if (!s.live()) return f(dots_of(s), false, std::string_view());
            log_.for_each_text(s.first, s.count(), [&](lv v, std::uint32_t n, std::string_view text) {
                f(dots_of({v, static_cast<std::int32_t>(n)}), true, text);
            });
        });
    }

    text_revision revision() const { return {journal_.history(), log_.size(), journal_.total()}; }
    std::optional<std::vector<text_change>> changes_since(const text_revision& r) const;
    text_anchor anchor(std::uint32_t pos, text_bias bias) const;
    std::optional<std::uint32_t> position(const text_anchor& a) const;

    /// What is typed, or erased, one after the other waits, also when its edit is over, and is done in one go before
    /// anything else is: before any other member is called, catch_up() must be, and before what changes something
    /// flush(). A character at `pos` goes on from the last edit if its dot does, too; then `pos` is right, and there is
    /// room for it:
    bool follows_typing(std::uint64_t seq, std::uint64_t pos) const {
        const going_on& g = going_on_;
        return pos == g.pos + g.count && g.count < g.typing && seq == g.seq + g.count;
    }
    bool follows_erasing(std::uint64_t seq, std::uint64_t pos) const {
        const going_on& g = going_on_;
        if (g.count >= g.erasing || seq != g.seq + g.count) return false;
        return pos == g.pos ? g.count < g.ahead : pos + 1 == g.pos && pos >= g.lowest;
    }
    /// The same asked by an edit that has done nothing here yet.
    bool follows_typing(const dot& d, std::uint64_t pos) const {
        return d.replica == going_on_.replica && follows_typing(d.seq, pos);
    }
    bool follows_erasing(const dot& d, std::uint64_t pos) const {
        return d.replica == going_on_.replica && follows_erasing(d.seq, pos);
    }
    /// An edit of this is under way; one that begins by going on from an earlier one.
    bool open() const { return open_ != nullptr; }
    void open_to_wait(transaction& tx) {
        const going_on& g = going_on_;
        open_ = &tx.enlist<open_edit>(this, open_edit::what_waited{g.count, g.ahead, g.lowest, g.pos, g.backward});
    }
    /// Does that. Requires: open.
    void type_on(char ascii) {
        going_on_.text[going_on_.count++] = ascii;
        waits_.store(waiting_state::waits, std::memory_order_relaxed);
    }
    void erase_on(std::uint64_t pos) {
        going_on& g = going_on_;
        if (pos == g.pos) {
            g.lowest = pos;
        } else {
            g.ahead = 0;
            g.backward = true;
        }
        g.pos = pos;
        ++g.count;
        waits_.store(waiting_state::waits, std::memory_order_relaxed);
    }
    /// Does what waits. Several threads may, as all of them only read.
    void catch_up() {
        if (waits_.load(std::memory_order_acquire) != waiting_state::nothing) catch_up_first();
    }
    void flush() {
        if (going_on_.count > 0) {
            do_what_waits();
            waits_.store(waiting_state::nothing, std::memory_order_relaxed);
        }
        going_on_.typing = going_on_.erasing = 0;
    }
    /// Adds these dots to an empty fragment if they are the last ones that wait; else nothing.
    bool extract_waiting(const dot_range& wanted, text_fragment& out) const;

    /// `dots` are the transaction's. Requires: pos within the text; utf8 valid, not empty, of as many code points.
    void insert(transaction& tx, const dot_range& dots, std::uint64_t pos, std::string_view utf8);
    /// Requires: as many characters lie behind pos.
    void erase(transaction& tx, const dot_range& dots, std::uint64_t pos);
    void clear(transaction& tx, kills& out);
    /// The same for some: those of these dots that live.
    void clear(transaction& tx, const causal_context& dots, kills& out);
    /// A character lives whatever deleted it, as this. False if it is not here.
    bool revive(dot d, std::string_view utf8);

    void extract(const causal_context& wanted, text_fragment& out) const;
    /// Adds these dots to an empty fragment if they are what was done last, and one run; else nothing.
    bool extract_last(const dot_range& wanted, text_fragment& out) const;
    void extract_rest(text_fragment& out) const;
    void join(const text_fragment& f, join_scope& s);
    /// All of it, into a new text.
    void join(const text_fragment& f);
    void kill(const dot_range& r);
    void prune(const version_vector& stable, std::span<const dot_range> settled, dot_sink* sink,
               const causal_context& but);
    void known_removed(const causal_context& dots, causal_context& out) const;

    bool vacant() const;
    /// True if there is nothing but live characters in their places.
    bool plain() const;
    /// How many events are known.
    lv events() const { return log_.size(); }
    void extract_all(text_fragment& out) const;
    std::uint64_t max_lamport() const { return max_lamport_; }
    std::size_t memory() const;

private:
    struct late_arrivals { // seldom needed, so apart
        waiting_text text;
        causal_context awaited;   // deleted, not yet arrived
        text_deletions deletions; // of what is not here
        bool empty() const { return text.empty() && awaited.empty() && deletions.empty(); }
    };
    struct join_under_way {
        join_scope& scope;
        causal_context carried{}; // what the fragment carries, where that matters
        bool elements_pruned = false;
    };
    /// Some characters that are here, all in one state.
    struct piece {
        dot_range dots;
        std::uint64_t lamport;
        text_state state;
        lv first;
        std::uint32_t count() const { return static_cast<std::uint32_t>(dots.size()); }
    };

    // Edits of single characters that wait: those of a row are all typed, each behind the one before, or erased in one
    // direction from within one span. What is done of a row is no longer counted.
    struct going_on {
        std::uint32_t count = 0;
        std::uint32_t ahead = 0;  // how many may be erased forward
        std::uint64_t lowest = 0; // how far they may be erased backward
        std::uint64_t pos = 0;    // of the first that is typed, or of the foremost that is erased
        bool backward = false;
        std::uint32_t typing = 0;  // if they are typed: how many may wait
        std::uint32_t erasing = 0; // if they are erased
        lv erased = 0;             // the character that was erased last, of those that do not wait
        std::uint64_t seq = 0;     // of the first
        replica_id replica{};
        char text[64];
    };
    enum class waiting_state : std::uint8_t { nothing, waits, under_way };

    // An edit under way. It outlives the engine if a value is assigned to in the middle of an edit. While it only adds
    // to what waits, it is undone by taking that back; else what it did is what the log has more than before.
    struct open_edit {
        struct what_waited {
            std::uint32_t count, ahead;
            std::uint64_t lowest, pos;
            bool backward;
        };
        struct waiting_run {
            dot_range dots;
            std::string text;
        };
        struct what_was {
            text_log::mark log;
            std::uint64_t max_lamport;
            std::vector<std::pair<lv, std::uint32_t>> cleared{};
            std::vector<waiting_run> cleared_waiting{};
        };
        text_engine* engine;
        what_waited waited{};
        std::optional<what_was> before{};

        void roll_back() noexcept {
            if (engine) engine->roll_back(*this);
        }
        void commit() noexcept {
            if (engine) engine->commit(*this);
        }
    };

    text_log log_;
    text_tree tree_;
    text_journal journal_;
    causal_context settled_; // tombstones whose deletion is stable
    std::unique_ptr<late_arrivals> late_;
    std::uint64_t max_lamport_ = 0;    // of all that was ever here
    std::uint64_t pruned_lamport_ = 0; // of what was pruned
    open_edit* open_ = nullptr;
    text_body* body_ = nullptr;
    going_on going_on_;
    std::atomic<waiting_state> waits_{waiting_state::nothing}; // true of going_on_.count

    // Nothing waits while late arrivals do: their dots may be anybody's.
    std::uint32_t most_that_wait() const {
        return late_ ? 0 : std::min<std::uint32_t>(sizeof going_on_.text, text_log::max_size - log_.size());
    }
    open_edit::what_was& open(transaction& tx);
    void roll_back(open_edit& edit);
    void commit(open_edit& edit);
    [[gnu::noinline]] void catch_up_first() noexcept;
    void do_what_waits();
    void do_next(std::uint32_t n);
    void begin_going_on(const dot_range& dots, std::uint64_t pos);
    void erase_now(dot first, std::uint32_t offset, std::uint32_t n, bool backward);
    void insert_now(dot first, std::uint32_t n, std::uint32_t pos, std::string_view utf8);

    dot_range dots_of(const text_tree::span& s) const {
        const dot first = log_.identify(s.first).id;
        return {first.replica, first.seq, first.seq + s.count() - 1};
    }
    /// Calls f(place, n) for characters, in pieces of one span each; f may change the tree.
    template <class F> void for_each_place(lv first, std::uint32_t n, F&& f) const {
        for (std::uint32_t part = 0; n > 0; first += part, n -= part) {
            const auto p = tree_.find(first);
            part = std::min(n, tree_.at(p).count() - p.offset);
            f(p, part);
        }
    }
    std::optional<piece> next(dot_range within) const;
    std::optional<text_deletion> next_deletion(dot_range within) const;
    template <class F> void for_each_deletion(F&& f) const {
        log_.for_each_erased([&](const text_log::events& e) { log_.for_each_deletion(e, f); });
        if (late_) late_->deletions.for_each(f);
    }
    // The parent of the first of these.
    dot parent(const text_log::events& e) const {
        if (e.to == text_log::none) return {};
        return log_.forgotten() == 0 && e.to != text_log::not_kept ? log_.identify(e.to).id : parent_now(e.first, e.to);
    }
    dot parent_now(lv first, lv parent) const;

    late_arrivals& late();
    bool waiting() const { return late_ && !late_->text.empty(); }
    void saw(std::uint64_t lamport) { max_lamport_ = std::max(max_lamport_, lamport); }
    void forgot(std::uint64_t lamport) { pruned_lamport_ = std::max(pruned_lamport_, lamport); }

    void set_live(lv first, std::uint32_t n, bool live);
    void set_state(const piece& p, text_state to);
    void take_out(lv first, std::uint32_t n);
    void forget(const piece& p);
    void mark(const dot_range& r, text_state from, text_state to);
    void add(const text_deletion& d);
    void drop(const text_deletion& d);
    bool drop_elements(const dot_range& r, join_scope& s);
    bool drop_deletions(const dot_range& r, join_scope& s);
    void drop_what_was_pruned(join_under_way& j);
    template <class F> void for_each_free(dot_range within, F&& f) const;
    void enter(const text_deletion& d, join_scope& s);
    void enter(const text_run& r, std::string_view utf8, join_under_way& j);
    void enter_new(const text_run& r, dot_range part, std::string_view utf8, join_scope& s);
    void meet_known(const text_run& r, const dot_range& part, join_under_way& j);
    bool attach(const text_run& r, text_state state, std::string_view text);
    void place(const text_run& r, text_state state, std::string_view text);
    bool goes_on(const text_run& r) const;
    template <class Run> bool join_one(const Run& r, std::string_view text, join_scope& s);
    bool put(const text_run& r, std::string_view text);
    bool put(const text_deletion& d, std::string_view);

    bool build(const text_fragment& f, join_scope& s);
    struct linked_run {
        lv parent, first, last;
        std::size_t entry; // of the log, not behind that of the first
    };
    template <class F> void for_each_ordered(std::vector<linked_run>& runs, F&& f) const;

    void repair(const text_fragment& f, join_scope& s);
    void repair(const text_run& r, dot_range part, std::string_view utf8, join_scope& s);

    text_sequence sequence() const;
    static text_sequence sequence_of(const text_fragment& f);
    void rearrange(const std::vector<dot_range>& order);
    void forget_wrong_parents();

    void prune_tombstones(const version_vector& stable, dot_sink* sink);
    std::vector<dot> parents_of_others(const version_vector& v) const;
    /// True if much of what is kept is of no use: most events, or most of the text, if it is worth the work that there
    /// is with each run.
    bool wasteful() const {
        constexpr std::uint32_t few = 1024, per_run = 8;
        const std::uint32_t gone = log_.forgotten(), dead = log_.dead_characters();
        return (gone > few && gone > log_.size() / 2) ||
               (dead > few && dead > log_.text().size() / 2 && dead / per_run > log_.runs());
    }
    void compact();
};

} // namespace joinery::detail
