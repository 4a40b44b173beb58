// SPDX-License-Identifier: Apache-2.0
#pragma once

// The causal history of a test run: what operations were made, under which dots, and what each had seen. A
// specification is a function of it, written without any thought of deltas, joins or messages.
// Source: Burckhardt, Gotsman, Yang, Zawirski, "Replicated Data Types: Specification, Verification,
// Optimality" (2014).

#include <joinery/causal_context.hpp>

#include <cstddef>
#include <deque>
#include <vector>

namespace joinery::testing {

/// One operation of an edit that changed something.
template <class E> struct event {
    dot_range dots;      ///< its own, at least one
    causal_context seen; ///< all that its replica had seen, earlier operations of the same edit included
    E what;              ///< what the operation said of itself

    /// True if this one had seen the other. (Of an edit's dots a replica sees all or none.)
    bool saw(const event& other) const { return seen.contains(dot{other.dots.replica, other.dots.last}); }
};

/// The events of a run that lie in some context, in an order in which nothing comes before what it had seen.
template <class E> class seen_events {
public:
    seen_events(const std::deque<event<E>>& all, const causal_context& context) : all_(&all), context_(context) {
        for (const auto& e : all)
            if (context.contains(dot{e.dots.replica, e.dots.last})) events_.push_back(&e);
    }

    class iterator;
    iterator begin() const { return {events_.begin()}; }
    iterator end() const { return {events_.end()}; }
    std::size_t size() const { return events_.size(); }
    bool empty() const { return events_.empty(); }
    const causal_context& context() const { return context_; }

    /// True if nothing is missing that one of these had seen.
    bool closed() const {
        for (const auto* e : events_)
            if (!context_.contains(e->seen)) return false;
        return true;
    }
    /// What `e` had seen. Requires: `e` is an event of the same run.
    seen_events before(const event<E>& e) const { return {*all_, e.seen}; }
    /// All events of the run, also those outside the context.
    seen_events everything() const {
        causal_context all;
        for (const auto& e : *all_) all.add(e.dots);
        return {*all_, all};
    }
    /// Whose dot this is; null if that event is not among these.
    const event<E>* find(dot d) const {
        for (const auto* e : events_)
            if (e->dots.contains(d)) return e;
        return nullptr;
    }

private:
    const std::deque<event<E>>* all_;
    causal_context context_;
    std::vector<const event<E>*> events_;
};

template <class E> class seen_events<E>::iterator {
public:
    using position = typename std::vector<const event<E>*>::const_iterator;
    iterator(position at) : at_(at) {}
    const event<E>& operator*() const { return **at_; }
    const event<E>* operator->() const { return *at_; }
    iterator& operator++() {
        ++at_;
        return *this;
    }
    friend bool operator==(const iterator&, const iterator&) = default;

private:
    position at_;
};

} // namespace joinery::testing
