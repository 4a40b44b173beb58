// SPDX-License-Identifier: Apache-2.0
#pragma once

// One edit under way: it issues dots and timestamps, collects removal records, and knows how to undo.
// Mutators take it as their first argument; replica<T>::edit makes it, and nothing else can.
//
//     void add(transaction& tx, E e) {
//         dot d = tx.next();
//         ...put the entry in...
//         tx.on_rollback([this, d] { ...take it out... });
//         tx.entered(this, d);
//     }
//
// If the edit's callable throws, the undo steps run in reverse order, the dots are returned, and nothing
// has changed; that costs O(edit), never a copy of the state.

#include <joinery/dot.hpp>
#include <joinery/hybrid_clock.hpp>
#include <joinery/removal_log.hpp>
#include <joinery/unique_id.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory_resource>
#include <new>
#include <optional>
#include <utility>
#include <vector>

namespace joinery {

/// A container's child that is open for editing. Changes made to an object that lies inside the child
/// (by address) are reported to the container, and so on outwards.
class open_child {
public:
    virtual void entered(const dot_range& dots) = 0;
    virtual void dropped(const dot_range& dots) = 0;

protected:
    open_child(const void* container, const void* child, std::size_t child_size)
        : container_(container), child_(static_cast<const std::byte*>(child)), size_(child_size) {}
    ~open_child() = default;

private:
    friend class transaction;
    const void* container_;
    const std::byte* child_;
    std::size_t size_;
    open_child* outer_ = nullptr;
};

class transaction {
public:
    transaction(const transaction&) = delete;
    transaction& operator=(const transaction&) = delete;

    /// Who edits.
    replica_id replica() const { return replica_; }

    /// Issues the next dot, or the next n >= 1 dots. Each event takes one.
    dot next() { return {replica_, ++last_}; }
    /// The sequence number of the next dot.
    std::uint64_t upcoming() const { return last_ + 1; }
    dot_range next(std::uint64_t n) {
        last_ += n;
        return {replica_, last_ - n + 1, last_};
    }
    /// A new name, which nobody else issues: an event of its own.
    joinery::unique_id unique_id() { return joinery::unique_id(next()); }
    /// The edit's timestamp; the same for the whole edit.
    timestamp now();

    /// `owner` (the object that holds the entries: pass `this`) came to hold, or let go of, these dots.
    /// Undoing the edit undoes what the containers made of it.
    void entered(const void* owner, const dot_range& dots) {
        if (open_) report_entered(owner, dots);
    }
    void entered(const void* owner, dot d) {
        if (open_) report_entered(owner, d);
    }
    void dropped(const void* owner, const dot_range& dots) {
        if (open_) report_dropped(owner, dots);
    }

    /// The event `d`, a dot of this edit, kills these. Nothing is recorded if there are none.
    void record(dot d, kills killed);

    /// So many bytes of text were inserted.
    void inserted(std::size_t bytes) { inserted_ += bytes; }
    /// In the edit so far.
    std::size_t inserted() const { return inserted_; }

    /// This many values of one register were replaced or removed: all but one were siblings.
    void superseded(std::size_t values) {
        if (values > 1) siblings_resolved_ += values - 1;
    }

    /// Keeps a P{from...} until the edit ends: then its roll_back() is called if the edit is undone, or its commit()
    /// once the edit is part of the state; of several the last one's first. They must not throw. Returns what is kept.
    template <class P, class... From> P& enlist(From&&... from) {
        auto* made =
            ::new (allocate(sizeof(kept<P>), alignof(kept<P>))) kept<P>(last_step_, std::forward<From>(from)...);
        last_step_ = made;
        return made->participant;
    }
    /// Runs `f` if the edit is undone, in the same order. `f` must not throw.
    template <class F> void on_rollback(F&& f) { enlist<undoing<std::decay_t<F>>>(std::forward<F>(f)); }
    /// Runs `f` once the edit is part of the state, in the same order. `f` must not throw.
    template <class F> void on_commit(F&& f) { enlist<completing<std::decay_t<F>>>(std::forward<F>(f)); }

    /// For containers: while a child is open, changes inside it are reported. Closed in reverse order.
    void open(open_child& c) noexcept {
        c.outer_ = open_;
        open_ = &c;
    }
    void close() noexcept { open_ = open_->outer_; }

    /// True if no dot was issued.
    bool empty() const { return last_ == base_; }

    /// Dots of this replica above this may yet be re-issued under another id, if it turns out that the
    /// storage was restored from an old copy: no entry may mix them with earlier ones.
    std::uint64_t confirmed() const { return confirmed_; }

private:
    template <class T> friend class replica;

    enum class ending : std::uint8_t { rolled_back, committed, dropped };

    // What to do when the edit ends; and nothing of it is left.
    struct step {
        explicit step(step* b) : before(b) {}
        virtual void end(ending how) noexcept = 0;
        step* before;

    protected:
        ~step() = default;
    };
    template <class P> struct kept final : step {
        template <class... From>
        explicit kept(step* b, From&&... from) : step(b), participant{std::forward<From>(from)...} {}
        void end(ending how) noexcept override {
            if (how == ending::rolled_back) participant.roll_back();
            if (how == ending::committed) participant.commit();
            participant.~P();
        }
        union { // it ends before the step does
            P participant;
        };

    protected:
        ~kept() {}
    };
    template <class F> struct undoing {
        F f;
        void roll_back() noexcept { f(); }
        void commit() noexcept {}
    };
    template <class F> struct completing {
        F f;
        void roll_back() noexcept {}
        void commit() noexcept { f(); }
    };

    transaction(replica_id r, std::uint64_t last, std::uint64_t confirmed, hybrid_clock& clock)
        : replica_(r), base_(last), last_(last), confirmed_(confirmed), clock_(clock), clock_before_(clock.latest()) {}

    ~transaction() { end(ending::dropped); }

    // Room for steps, until the transaction ends.
    void* allocate(std::size_t size, std::size_t alignment) {
        if (alignment <= alignof(std::max_align_t)) {
            size = (size + alignof(std::max_align_t) - 1) / alignof(std::max_align_t) * alignof(std::max_align_t);
            if (size <= room_.size() - used_) return room_.data() + std::exchange(used_, used_ + size);
        }
        return allocate_more(size, alignment);
    }
    void* allocate_more(std::size_t size, std::size_t alignment);
    void end(ending how) noexcept {
        while (last_step_) std::exchange(last_step_, last_step_->before)->end(how);
    }

    template <class Report> void report(const void* owner, Report&& report);
    void report_entered(const void* owner, const dot_range& dots);
    void report_entered(const void* owner, dot d);
    void report_dropped(const void* owner, const dot_range& dots);

    void rollback() noexcept {
        end(ending::rolled_back);
        clock_.rewind(clock_before_);
    }
    void commit() noexcept { end(ending::committed); }
    dot_range dots() const { return {replica_, base_ + 1, last_}; }

    replica_id replica_;
    std::uint64_t base_; // the last sequence number before this edit
    std::uint64_t last_;
    std::uint64_t confirmed_;
    hybrid_clock& clock_;
    timestamp clock_before_;
    std::optional<timestamp> now_;
    std::uint64_t siblings_resolved_ = 0;
    std::size_t inserted_ = 0;
    std::vector<removal> removals_;
    step* last_step_ = nullptr;
    open_child* open_ = nullptr; // the innermost one
    std::size_t used_ = 0;
    std::optional<std::pmr::monotonic_buffer_resource> more_;   // for the steps of a great edit
    alignas(std::max_align_t) std::array<std::byte, 512> room_; // for those of a small one
};

} // namespace joinery
