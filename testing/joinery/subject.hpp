// SPDX-License-Identifier: Apache-2.0
#pragma once

// What the kit must know of a type under test: its operations, and, if there is one, its specification.
//
//     joinery::testing::subject<poll, vote> polls("poll");
//     polls.operation("vote", [](poll& p, joinery::transaction& tx, joinery::testing::choices& from) {
//         vote v{...from.pick(3)...};
//         p.vote(tx, v.option);
//         return v;
//     });
//     polls.view([](const poll& p) { return show(p.results()); });
//     polls.specification([](const joinery::testing::seen_events<vote>& seen) { return ...; });

#include <joinery/crdt.hpp>
#include <joinery/events.hpp>
#include <joinery/narration.hpp>
#include <joinery/random_source.hpp>

#include <cstddef>
#include <functional>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace joinery::testing {

/// For which sets of events a specification holds. A replica that has missed a message holds a set that is
/// not causally closed: it lacks something that one of its events had seen.
enum class event_sets { closed, all };

/// What a replica that the others did not wait for when they pruned may have done meanwhile. Edits of
/// sequences, and of counters in maps, it would have to make anew under a new id; so there it only reads.
enum class stale_peers { none, only_read, edit };

/// T under test. An operation says of itself an E: that is what the specification sees of it, and what is
/// printed (show, narration.hpp).
template <class T, class E = std::string> class subject {
    static_assert(checked_crdt<T>(),
                  "T must have the members that crdt.hpp lists, or be a JOINERY_RECORD of such types");

public:
    using value_type = T;
    using event_type = E;
    using operation_function = std::function<E(T&, transaction&, choices&)>;
    using view_function = std::function<std::string(const T&)>;
    using model_function = std::function<std::optional<std::string>(const seen_events<E>&)>;

    struct named_operation {
        std::string name;
        unsigned weight;
        operation_function run;
    };

    explicit subject(std::string name) : name_(std::move(name)) {}

    /// Adds an operation: f(T&, transaction&, choices&), which may return an E. It draws all its arguments
    /// from the choices, and may look at the value. One of weight 3 is made three times as often.
    template <class F> subject& operation(std::string name, F f, unsigned weight = 1) {
        total_weight_ += weight;
        operations_.push_back(
            {std::move(name), weight, [f = std::move(f)](T& value, transaction& tx, choices& from) mutable {
                 if constexpr (std::is_void_v<std::invoke_result_t<F&, T&, transaction&, choices&>>) {
                     f(value, tx, from);
                     return E{};
                 } else {
                     return E(f(value, tx, from));
                 }
             }});
        return *this;
    }

    /// How a value is compared with the specification, and printed: all that can be read of it, as text.
    subject& view(view_function f) {
        view_ = std::move(f);
        return *this;
    }

    /// The view that a replica must have which has seen these events; nothing if that is left open. It is
    /// asked about causally closed sets only, unless it holds for all.
    subject& specification(model_function f, event_sets holds_for = event_sets::closed) {
        model_ = std::move(f);
        sets_ = holds_for;
        return *this;
    }

    /// Default: stale peers edit, unless the type leaves tombstones. Counters in maps need `only_read`.
    subject& stale(stale_peers s) {
        stale_ = s;
        return *this;
    }

    /// Whether removal logs may forget early, as they do past their byte budget; then every replica is like
    /// a stale peer. Default: true where stale peers edit.
    bool forgetting() const { return stale_ == stale_peers::edit; }

    const std::string& name() const { return name_; }
    const std::vector<named_operation>& operations() const { return operations_; }
    stale_peers stale() const { return stale_; }
    const view_function& view() const { return view_; }
    const model_function& model() const { return model_; }
    event_sets sets() const { return sets_; }

    /// The operation that a draw leads to.
    const named_operation& choose(choices& from) const {
        std::size_t at = from.pick(total_weight_);
        for (const auto& op : operations_) {
            if (at < op.weight) return op;
            at -= op.weight;
        }
        return operations_.front();
    }

private:
    std::string name_;
    std::vector<named_operation> operations_;
    std::size_t total_weight_ = 0;
    view_function view_;
    model_function model_;
    event_sets sets_ = event_sets::closed;
    stale_peers stale_ = crdt_traits<T>::leaves_tombstones ? stale_peers::only_read : stale_peers::edit;
};

} // namespace joinery::testing
