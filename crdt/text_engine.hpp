// SPDX-License-Identifier: Apache-2.0
#pragma once

// What is inside an rga_text: the sequence (text_tree.hpp), the text's own deletions, what waits, and the
// Lamport clock. rga_text checks arguments; from here on they are right.

#include "text_deletions.hpp"
#include "text_tree.hpp"
#include "waiting_text.hpp"

#include <joinery/join_scope.hpp>
#include <joinery/text_fragment.hpp>
#include <joinery/transaction.hpp>

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace joinery::detail {

class text_engine {
public:
    text_engine() = default;
    /// A copy takes no part in an edit under way.
    text_engine(const text_engine& other);
    text_engine& operator=(const text_engine&) = delete;
    ~text_engine();

    const text_tree& tree() const { return tree_; }
    const text_deletions& deletions() const { return deletions_; }

    /// `owner` is who the transaction is told about. Requires: pos within the text; utf8 valid, not empty,
    /// of `points` code points.
    void insert(transaction& tx, const void* owner, std::uint64_t pos, std::string_view utf8, std::uint64_t points);
    /// Requires: the range lies within the text, n >= 1.
    void erase(transaction& tx, const void* owner, std::uint64_t pos, std::uint64_t n);
    void clear(transaction& tx, kills& out);

    void extract(const causal_context& wanted, text_fragment& out) const;
    void extract_rest(text_fragment& out) const;
    void join(const text_fragment& f, join_scope& s);
    void kill(const dot_range& r);
    void prune(const version_vector& stable, std::span<const dot_range> settled, dot_sink* sink);
    void known_removed(const causal_context& dots, causal_context& out) const;

    bool vacant() const;
    std::uint64_t max_lamport() const { return max_lamport_; }
    std::size_t memory() const;

private:
    struct open_edit;
    struct late_arrivals { // seldom needed, so apart
        waiting_text text;
        causal_context awaited; // deleted by `deletions_`, not yet arrived
    };
    struct join_under_way;

    text_tree tree_;
    text_deletions deletions_;
    std::unique_ptr<late_arrivals> late_;
    std::uint64_t max_lamport_ = 0;    // of all that was ever here
    std::uint64_t pruned_lamport_ = 0; // of what was pruned
    open_edit* open_ = nullptr;

    open_edit& open(transaction& tx);
    void roll_back(open_edit& edit);

    late_arrivals& late();
    bool waiting() const { return late_ && !late_->text.empty(); }
    void saw(std::uint64_t lamport) { max_lamport_ = std::max(max_lamport_, lamport); }
    void forgot(std::uint64_t lamport) { pruned_lamport_ = std::max(pruned_lamport_, lamport); }

    void mark(const dot_range& r, text_state from, text_state to);
    void repair(const text_fragment& f, join_scope& s);
    void repair(const text_run& r, dot_range part, std::string_view utf8, join_scope& s);
    bool drop_elements(const dot_range& r, join_scope& s);
    bool drop_deletions(const dot_range& r, join_scope& s);
    void drop_what_was_pruned(join_under_way& j);
    void enter(const text_deletion& d, join_scope& s);
    void enter(const text_run& r, std::string_view utf8, join_under_way& j);
    void enter_new(const text_run& r, dot_range part, std::string_view utf8, join_scope& s);
    void meet_known(const text_run& r, const dot_range& part, join_under_way& j);
    static text_tree sequence_of(const text_fragment& f);
    void rearrange(const std::vector<dot_range>& order);
    bool attach(const arriving_text& run);
    void place(arriving_text run);
};

} // namespace joinery::detail
