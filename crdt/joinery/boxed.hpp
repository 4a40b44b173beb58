// SPDX-License-Identifier: Apache-2.0
#pragma once

// A CRDT behind a pointer, which takes one word while nothing is stored: what a type that contains itself is made of.
// T need not be complete where boxed<T> is named, and so it is taken to leave tombstones, to reissue and to
// tidy.

#include <joinery/crdt.hpp>

#include <memory>
#include <span>
#include <string>
#include <utility>

namespace joinery::detail {

template <class T> class boxed {
    using traits = crdt_traits<T>;

public:
    class fragment;
    class opened;

    boxed() = default;
    boxed(const boxed& other) : held_(other.held_ ? std::make_unique<holder>(other.held_->value) : nullptr) {}
    boxed(boxed&&) noexcept = default;
    boxed& operator=(const boxed& other) { return *this = boxed(other); }
    boxed& operator=(boxed&&) noexcept = default;
    ~boxed() = default;

    /// Null if nothing is stored, or only what says that something was.
    const T* get() const { return empty() ? nullptr : &held_->value; }
    /// The value, open for editing for as long as what it returns lives.
    opened open(transaction& tx) { return opened(tx, *this); }

    // The CRDT interface (crdt.hpp).
    void extract(const causal_context& wanted, fragment& out) const {
        if (held_) traits::extract(held_->value, wanted, out.make());
    }
    void extract_rest(fragment& out) const {
        if (held_) traits::extract_rest(held_->value, out.make());
    }
    void join(const fragment& f, join_scope& s) {
        if (!held_ && f.empty()) return;
        hold();
        traits::join(held_->value, f.get(), s);
        sweep();
    }
    void kill(const dot_range& dots, join_scope& s) {
        if (!held_) return;
        traits::kill(held_->value, dots, s);
        sweep();
    }
    void kill(const run_removal& r, join_scope& s) {
        if (!held_) return;
        traits::kill(held_->value, r, s);
        sweep();
    }
    void clear(transaction& tx, kills& out) {
        if (!held_) return;
        opened value = open(tx);
        traits::clear(*value, tx, out);
    }
    bool empty() const { return !held_ || traits::empty(held_->value); }
    bool vacant() const { return !held_ || traits::vacant(held_->value); }
    static std::string type_name() { return traits::type_name(); }
    void prune(const version_vector& stable, std::span<const dot_range> settled, dot_sink* sink) {
        if (!held_) return;
        traits::prune(held_->value, stable, settled, sink);
        sweep();
    }
    static void keep_live(fragment& f) {
        if (!f.empty()) traits::keep_live(f.make());
    }
    void known_removed(const causal_context& dots, causal_context& out) const {
        if (held_) traits::known_removed(held_->value, dots, out);
    }
    static void drop_reissued(fragment& f, const causal_context& unsent) {
        if (!f.empty()) traits::drop_reissued(f.make(), unsent);
    }
    void reissue(const boxed& before, const causal_context& unsent, const removal_log& log, transaction& tx) {
        if (!before.held_) return;
        opened value = open(tx);
        traits::reissue(*value, before.held_->value, unsent, log, tx);
    }
    bool place(compact_input_archive& path, const unknown_field& field, join_scope& s) {
        hold();
        const bool known = traits::place(held_->value, path, field, s);
        sweep();
        return known;
    }
    bool untidy(const version_vector& stable) const { return held_ && traits::untidy(held_->value, stable); }
    void tidy(transaction& tx, const version_vector& stable, kills& out) {
        if (!untidy(stable)) return;
        opened value = open(tx);
        traits::tidy(*value, tx, stable, out);
    }
    std::uint64_t digest(const causal_context& all) const { return held_ ? traits::digest(held_->value, all) : 0; }

    friend bool operator==(const boxed& a, const boxed& b) {
        const T *x = a.get(), *y = b.get();
        return x && y ? traits::equal(*x, *y) : x == y;
    }

private:
    struct holder {
        holder() = default;
        explicit holder(const T& v) : value(v) {}
        T value{};
        bool touched = false; // by the edit under way, whose steps need it
    };
    std::unique_ptr<holder> held_;

    void hold() {
        if (!held_) held_ = std::make_unique<holder>();
    }
    void sweep() {
        if (held_ && !held_->touched && traits::vacant(held_->value)) held_.reset();
    }
    // Once in each edit, and before anything in the box is touched: so this is the last to be undone or committed.
    void touch(transaction& tx) {
        hold();
        if (held_->touched) return;
        auto settle = [this] {
            held_->touched = false;
            sweep();
        };
        tx.on_rollback(settle);
        held_->touched = true;
        tx.on_commit(settle);
    }
};

template <class T> class boxed<T>::fragment {
public:
    fragment() = default;
    fragment(const fragment& other) : held_(other.held_ ? std::make_unique<content>(*other.held_) : nullptr) {}
    fragment(fragment&&) noexcept = default;
    fragment& operator=(const fragment& other) { return *this = fragment(other); }
    fragment& operator=(fragment&&) noexcept = default;
    ~fragment() = default;

    bool empty() const { return !held_ || held_->value.empty(); }
    const auto& get() const {
        static const content none{};
        return held_ ? held_->value : none.value;
    }
    auto& make() {
        if (!held_) held_ = std::make_unique<content>();
        return held_->value;
    }
    friend bool operator==(const fragment& a, const fragment& b) {
        return a.empty() || b.empty() ? a.empty() == b.empty() : a.get() == b.get();
    }

    template <class Archive> void save(Archive& ar) const { ar(cereal::make_nvp("value", get())); }
    template <class Archive> void load(Archive& ar) {
        if constexpr (is_compact_archive_v<Archive>) {
            ar.charge(sizeof(content) + sizeof(holder) + 32);
            ar(make());
        } else {
            ar(cereal::make_nvp("value", make()));
        }
    }

private:
    struct content {
        fragment_of<T> value;
    };
    std::unique_ptr<content> held_;
};

/// Changes inside are changes of the box.
template <class T> class boxed<T>::opened final : open_child {
public:
    opened(const opened&) = delete;
    opened& operator=(const opened&) = delete;
    ~opened() { tx_.close(); }

    T& operator*() const { return value_; }
    T* operator->() const { return &value_; }

private:
    friend class boxed;
    opened(transaction& tx, boxed& box) : opened(tx, box, (box.touch(tx), box.held_->value)) {}
    // Not inline: g++ 12 does not see that the destructor takes back what the transaction is told.
    [[gnu::noinline]] opened(transaction& tx, boxed& box, T& value)
        : open_child(&box, &value, sizeof(T)), tx_(tx), value_(value) {
        tx_.open(*this);
    }
    void entered(const dot_range&) override {}
    void dropped(const dot_range&) override {}
    transaction& tx_;
    T& value_;
};

} // namespace joinery::detail
