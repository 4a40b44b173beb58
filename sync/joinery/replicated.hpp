// SPDX-License-Identifier: Apache-2.0
#pragma once

// One collection's state as the engine sees it: bytes in, bytes out, whatever the type. The engine is
// compiled once over replicated_state; replicated<T> is the thin template that makes one of a replica<T>.
//
// Edits are made through the typed side, and wait in `pending` for the engine to log and publish them:
//
//     joinery::replicated<joinery::or_set<std::string>> cart;
//     auto number = engine.attach("carts", cart);
//     { std::lock_guard lock(cart.mutex()); cart.edit([](auto& c, auto& tx) { c.add(tx, "milk"); }); }
//     engine.local_edits(number);
//
// Thread safety: everything but `fingerprint` requires that the caller holds `mutex()`. The engine takes it
// by itself, and never while it does input or output.

#include <joinery/codec.hpp>
#include <joinery/concern.hpp>
#include <joinery/hybrid_clock.hpp>
#include <joinery/replica.hpp>
#include <joinery/result.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <stdexcept>
#include <utility>
#include <vector>

namespace joinery {

/// Edits in the order in which they were made. Reused after `clear()`, it allocates little.
class edit_batch {
public:
    struct entry {
        dot_range dots;
        assurance wanted{};
        version_vector dependencies; ///< what the state had, apart from what it had at the edit before
        std::size_t offset = 0, size = 0;
    };

    bool empty() const { return entries_.empty(); }
    std::size_t size() const { return entries_.size(); }
    const std::vector<entry>& entries() const { return entries_; }
    /// Of all encoded deltas together.
    std::size_t bytes() const { return bytes_.size(); }
    /// The encoded delta of an entry.
    std::span<const std::byte> delta(const entry& e) const {
        return std::span<const std::byte>(bytes_).subspan(e.offset, e.size);
    }

    /// Adds an edit; `write(std::vector<std::byte>&)` appends its encoded delta.
    template <class Write>
    void add(const dot_range& dots, assurance wanted, version_vector dependencies, Write&& write) {
        const std::size_t offset = bytes_.size();
        write(bytes_);
        entries_.push_back({dots, wanted, std::move(dependencies), offset, bytes_.size() - offset});
    }
    void clear() {
        quiet_ = entries_.empty() ? quiet_ + 1 : 0;
        if (quiet_ > 4 || std::max(bytes_.capacity(), entries_.capacity() * sizeof(entry)) > most_kept) { // of a burst
            std::vector<entry>().swap(entries_); // assignment would keep the memory
            std::vector<std::byte>().swap(bytes_);
        }
        entries_.clear();
        bytes_.clear();
    }

private:
    static constexpr std::size_t most_kept = 256 * 1024;
    std::vector<entry> entries_;
    std::vector<std::byte> bytes_;
    unsigned quiet_ = 0; // how often in a row there was nothing
};

/// An edit inserts more text than engine_limits::text: nothing has changed.
struct edit_too_large : std::length_error {
    using std::length_error::length_error;
};

class replicated_state {
public:
    virtual ~replicated_state() = default;

    std::mutex& mutex() const { return mutex_; }

    /// Of the type; never changes.
    virtual std::uint64_t fingerprint() const = 0;
    virtual replica_id id() const = 0;
    virtual const causal_context& context() const = 0;
    virtual const hybrid_clock& clock() const = 0;
    /// Concurrent writes that met in registers.
    virtual sibling_counts siblings() const = 0;
    version_vector version() const { return context().version(); }

    /// Joins an encoded delta. True if the state grew. With `edit`, the delta must be one edit with exactly
    /// these dots. After an error, or if the delta starts beyond this state's version, nothing has changed; nor if an
    /// edit removes dots of others that are not here: who makes one has seen what it removes.
    virtual result<bool, decode_error> join(std::span<const std::byte> delta, const dot_range* edit = nullptr) = 0;

    /// What a peer has answered, which is one or more encoded deltas: read, and not yet joined.
    struct answer {
        causal_context covered;
        /// True if all dots that it removes are among these or what it covers.
        virtual bool removes_only(const causal_context& seen) const = 0;
        virtual ~answer() = default;
    };
    /// If the deltas are parts of a complete state, `horizon` is what that has pruned. Does not require `mutex()`.
    /// O(size).
    virtual result<std::unique_ptr<answer>, decode_error>
    read_answer(const version_vector& horizon, std::span<const std::span<const std::byte>> deltas) const = 0;
    /// Joins all of it at once. True if the state grew. After an error nothing has changed. A complete state that is
    /// greater than this one takes O(this one). Requires: it was read by this object.
    virtual result<bool, decode_error> join(answer& a) = 0;

    /// An encoded delta: all that a peer at that version lacks.
    virtual std::vector<std::byte> delta_since(const version_vector& peer) const = 0;
    virtual const version_vector& horizon() const = 0;
    /// The complete state, encoded.
    virtual std::vector<std::byte> whole() const = 0;
    /// Starts again under this identity from an encoded complete state, or an empty one if there are no
    /// bytes. After an error nothing has changed.
    virtual result<bool, decode_error> restore(replica_id id, std::span<const std::byte> whole) = 0;

    virtual void prune(const version_vector& stable, std::span<const replica_id> absent) = 0;
    /// True if there may be something to prune. O(1).
    virtual bool prunable() const = 0;
    /// As replica<T>, as an edit that is left to the engine. True if there was something to tidy up. O(n) of types that
    /// have something of the kind.
    virtual bool tidy(const version_vector& stable) = 0;
    /// True if removed entries leave tombstones that only causal stability lets go (texts); of the type.
    virtual bool leaves_tombstones() const = 0;
    /// Of the context and the live content. O(n).
    virtual std::uint64_t digest() const = 0;
    /// As causal<T>: of what lives of these dots.
    virtual std::vector<std::uint64_t> digests(std::span<const dot_range> parts) const = 0;
    /// What there is of these dots, as an encoded delta.
    virtual std::vector<std::byte> extract(const causal_context& wanted) const = 0;
    /// As replica<T>, with an encoded delta that covers nothing but these dots. After an error nothing has changed.
    virtual result<bool, decode_error> replace(std::span<const std::byte> delta, const causal_context& wanted) = 0;

    /// As replica<T>: own dots above `seq` may yet be renamed; they are kept; they become dots of a new id.
    virtual void hold_from(std::uint64_t seq) = 0;
    virtual void confirm() = 0;
    virtual void rename_from(std::uint64_t seq, replica_id to) = 0;

    /// As replica<T>::rejoin; the answer may be null. After an error nothing has changed.
    virtual result<bool, decode_error> rejoin(answer* a, std::uint64_t seq, replica_id to) = 0;

    /// From now on, what joins change is noted.
    void note_changes() {
        if (!noted_) noted_.emplace();
    }
    /// What was noted since the last call.
    noted_changes take_changes() { return noted_ ? noted_->take() : noted_changes(); }

    /// Edits that the engine has not taken yet. All own dots that it does not know of are here.
    edit_batch& pending() { return pending_; }
    const edit_batch& pending() const { return pending_; }

    /// The most bytes of text that one edit inserts.
    void limit_text(std::size_t bytes) { most_text_ = bytes; }

protected:
    /// What the newest edit depends on, apart from what the edit before it did.
    version_vector take_dependencies();
    /// The state grew by a join, or starts anew: the next edit depends on more.
    void grew() { grown_ = true; }
    void published_up_to(std::uint64_t seq) { published_ = seq; }
    void started_anew() {
        depended_ = {};
        published_ = UINT64_MAX;
        grown_ = true;
        if (noted_) noted_->note_everything();
    }
    /// True if an edit removes dots of its own replica, and others that its maker can have seen. O(removed log n).
    bool removes_what_is_here(const std::vector<removal>& removals, const dot_range& edit) const;
    /// All that it kills is in one of these.
    static bool within(const kills& k, const causal_context& a, const causal_context& b);
    /// Throws edit_too_large.
    void check_text(std::size_t bytes) const {
        if (bytes > most_text_) throw_too_large(bytes);
    }
    /// For joins; null if nobody wants to know.
    change_list* noted() { return noted_ ? &*noted_ : nullptr; }

private:
    mutable std::mutex mutex_;
    edit_batch pending_;
    version_vector depended_; // what the edits so far depend on
    bool grown_ = true;
    std::uint64_t published_ = UINT64_MAX; // own dots above it nobody else has seen
    std::optional<change_list> noted_;
    std::size_t most_text_ = SIZE_MAX;

    [[noreturn]] void throw_too_large(std::size_t bytes) const;
};

template <class T> class replicated final : public replicated_state {
public:
    explicit replicated(wall_clock wall = system_milliseconds,
                        std::chrono::milliseconds max_skew = hybrid_clock::default_max_skew)
        : wall_(std::move(wall)), max_skew_(max_skew), replica_(replica_id{}, clock_anew()) {
        replica_.set_log_budget(log_budget_);
    }

    /// What every member has seen is forgotten anyhow. This bounds what is kept for a member that is away, or frozen,
    /// of types without tombstones (causal<T>::set_log_budget): if it was away for longer, it gets the complete state.
    void set_log_budget(std::optional<std::size_t> bytes) {
        log_budget_ = bytes;
        replica_.set_log_budget(bytes);
    }

    /// Runs f(T&, transaction&) as replica<T>::edit does, and leaves the edit to the engine. Its dots; none if
    /// f changed nothing. Throws edit_too_large. Requires: attached to an engine that accepts writes.
    template <class F> std::optional<dot_range> edit(F&& f, assurance wanted = assurance::none);

    const replica<T>& get() const { return replica_; }
    const T& operator*() const { return *replica_; }
    const T* operator->() const { return &*replica_; }

    std::uint64_t fingerprint() const override { return joinery::fingerprint<T>(); }
    replica_id id() const override { return replica_.id(); }
    const causal_context& context() const override { return replica_.state().context(); }
    const hybrid_clock& clock() const override { return replica_.clock(); }
    sibling_counts siblings() const override { return replica_.siblings(); }
    result<bool, decode_error> join(std::span<const std::byte> bytes, const dot_range* edit) override;
    result<std::unique_ptr<answer>, decode_error>
    read_answer(const version_vector& horizon, std::span<const std::span<const std::byte>> deltas) const override;
    result<bool, decode_error> join(answer& a) override;
    std::vector<std::byte> delta_since(const version_vector& peer) const override {
        return encode(replica_.delta_since(peer));
    }
    const version_vector& horizon() const override { return replica_.state().horizon(); }
    std::vector<std::byte> whole() const override { return encode(replica_.state()); }
    result<bool, decode_error> restore(replica_id id, std::span<const std::byte> bytes) override;
    void prune(const version_vector& stable, std::span<const replica_id> absent) override {
        replica_.prune(stable, absent);
    }
    bool tidy(const version_vector& stable) override {
        return take(replica_.tidy(stable), assurance::none).has_value();
    }
    bool prunable() const override { return leaves_tombstones() || !replica_.state().removals().empty(); }
    bool leaves_tombstones() const override { return crdt_traits<T>::leaves_tombstones; }
    std::uint64_t digest() const override { return replica_.state().digest(); }
    std::vector<std::uint64_t> digests(std::span<const dot_range> parts) const override {
        return replica_.state().digests(parts);
    }
    std::vector<std::byte> extract(const causal_context& wanted) const override {
        return encode(replica_.state().extract(wanted));
    }
    result<bool, decode_error> replace(std::span<const std::byte> bytes, const causal_context& wanted) override;
    void hold_from(std::uint64_t seq) override {
        replica_.hold_from(seq);
        published_up_to(seq);
    }
    void confirm() override {
        replica_.confirm();
        published_up_to(UINT64_MAX);
    }
    void rename_from(std::uint64_t seq, replica_id to) override {
        replica_.rename_from(seq, to);
        started_anew();
    }
    result<bool, decode_error> rejoin(answer* a, std::uint64_t seq, replica_id to) override;

private:
    struct typed_answer final : answer {
        delta<T> only;
        std::optional<causal<T>> sum; // of several
        sibling_counts siblings;

        bool removes_only(const causal_context& seen) const override {
            bool all = true;
            const auto look = [&](dot, const kills& k) { all = all && within(k, seen, covered); };
            for (const auto& r : only.removals) look(r.event, r.killed);
            if (sum) sum->removals().for_each(look);
            return all;
        }
    };

    wall_clock wall_;
    std::chrono::milliseconds max_skew_;
    std::optional<std::size_t> log_budget_ = std::size_t{64} << 20;
    replica<T> replica_;

    std::optional<dot_range> take(const delta<T>& edit, assurance wanted);
    hybrid_clock clock_anew() const { return hybrid_clock(wall_, max_skew_); }
};

// ---- implementation ----

template <class T> template <class F> std::optional<dot_range> replicated<T>::edit(F&& f, assurance wanted) {
    return take(replica_.edit([&](T& value, transaction& tx) {
        std::invoke(std::forward<F>(f), value, tx);
        check_text(tx.inserted());
    }),
                wanted);
}

template <class T> std::optional<dot_range> replicated<T>::take(const delta<T>& d, assurance wanted) {
    if (d.covered.empty()) return std::nullopt;
    if (noted()) noted()->edited();
    const dot_range dots = d.covered.ranges().front(); // an edit's are consecutive
    pending().add(dots, wanted, take_dependencies(), [&](std::vector<std::byte>& out) {
        compact_output_archive ar(out);
        ar(d);
    });
    return dots;
}

template <class T>
result<bool, decode_error> replicated<T>::join(std::span<const std::byte> bytes, const dot_range* edit) {
    const auto d = decode<delta<T>>(bytes);
    if (!d) return failure<decode_error>(d.error());
    if (edit && !(d->since.empty() && d->horizon.empty() && d->covered == causal_context{*edit}))
        return failure<decode_error>(decode_error::invalid_value);
    if (edit && !removes_what_is_here(d->removals, *edit)) return false;
    const bool changed = replica_.join(*d, noted());
    if (changed) grew();
    return changed;
}

template <class T>
auto replicated<T>::read_answer(const version_vector& horizon, std::span<const std::span<const std::byte>> deltas) const
    -> result<std::unique_ptr<answer>, decode_error> {
    auto a = std::make_unique<typed_answer>();
    if (deltas.size() > 1) a->sum.emplace().set_log_budget(std::nullopt);
    for (const auto bytes : deltas) {
        auto d = decode<delta<T>>(bytes);
        if (!d) return failure<decode_error>(d.error());
        a->covered.join(d->covered);
        if (!a->sum)
            a->only = std::move(*d);
        else if (d->since.empty() && d->horizon.empty())
            a->sum->join(*d, nullptr, &a->siblings);
        else
            return failure<decode_error>(decode_error::invalid_value);
    }
    if (!horizon.empty()) {
        if (!a->sum || !horizon.within(a->sum->version())) return failure<decode_error>(decode_error::invalid_value);
        a->sum->pass_horizon(horizon);
    }
    return std::unique_ptr<answer>(std::move(a));
}

template <class T> result<bool, decode_error> replicated<T>::join(answer& read) {
    auto& a = static_cast<typed_answer&>(read);
    if (!a.sum && !replica_.accepts(a.only)) return failure<decode_error>(decode_error::invalid_value);
    const bool changed = !a.sum    ? replica_.join(a.only, noted())
                         : noted() ? replica_.join(a.sum->whole(), noted())
                                   : replica_.join(std::move(*a.sum), a.siblings);
    if (changed) grew();
    return changed;
}

template <class T> result<bool, decode_error> replicated<T>::rejoin(answer* read, std::uint64_t seq, replica_id to) {
    delta<T> d;
    if (auto* a = static_cast<typed_answer*>(read)) d = a->sum ? a->sum->whole() : std::move(a->only);
    if (!replica_.accepts(d)) return failure<decode_error>(decode_error::invalid_value);
    replica_.rejoin(d, seq, to);
    started_anew();
    return true;
}

template <class T>
result<bool, decode_error> replicated<T>::replace(std::span<const std::byte> bytes, const causal_context& wanted) {
    const auto d = decode<delta<T>>(bytes);
    if (!d) return failure<decode_error>(d.error());
    if (!d->since.empty() || !d->horizon.empty() || !wanted.contains(d->covered) || !context().contains(d->covered))
        return failure<decode_error>(decode_error::invalid_value);
    replica_.replace(*d);
    grew();
    if (noted()) noted()->note_everything();
    return true;
}

template <class T> result<bool, decode_error> replicated<T>::restore(replica_id id, std::span<const std::byte> bytes) {
    causal<T> state;
    state.set_log_budget(log_budget_);
    if (!bytes.empty()) {
        const auto d = decode<delta<T>>(bytes);
        if (!d) return failure<decode_error>(d.error());
        if (!d->since.empty()) return failure<decode_error>(decode_error::invalid_value);
        state.join(*d);
    }
    replica_ = replica<T>(id, std::move(state), clock_anew());
    started_anew();
    return true;
}

} // namespace joinery
