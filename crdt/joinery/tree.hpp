// SPDX-License-Identifier: Apache-2.0
#pragma once

// A tree whose nodes are moved by several replicas at once, and that stays a tree: folders, outlines, organisations.
// All moves are put into one order, the same everywhere; one that would make a node its own ancestor, at its place in
// that order, has no effect. So of two moves that together would make a cycle one stands, and of two places of one node
// the later one. Source: Kleppmann, Mulligan, Gomes, Beresford, "A highly-available move operation for replicated
// trees" (2021).
//
//     joinery::replica<joinery::tree> eu{joinery::replica_id::random()};
//     eu.edit([](joinery::tree& t, auto& tx) {
//         auto letters = t.create(tx, t.root());
//         auto drafts = t.create(tx, letters);
//         t.move(tx, drafts, t.root());
//     });
//
// It knows what lies where. What the nodes are is for a map beside it: or_map<unique_id, folder>.

#include <joinery/codec.hpp>
#include <joinery/dot_entries.hpp>
#include <joinery/join_scope.hpp>
#include <joinery/replica.hpp>
#include <joinery/transaction.hpp>
#include <joinery/unique_id.hpp>

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

namespace joinery {

/// Where a node was put.
struct tree_move {
    std::uint64_t lamport = 0; ///< 1 + the greatest that its replica had seen in this tree
    unique_id node;
    unique_id parent; ///< the node itself: it was removed

    friend bool operator==(const tree_move&, const tree_move&) = default;
    template <class Archive> void save(Archive& ar) const {
        ar(CEREAL_NVP(lamport), CEREAL_NVP(node), CEREAL_NVP(parent));
    }
    template <class Archive> void load(Archive& ar) {
        ar(CEREAL_NVP(lamport), CEREAL_NVP(node), CEREAL_NVP(parent));
        if (lamport == 0 || lamport > max_sequence) throw decode_failure(decode_error::invalid_value);
    }
};

/// A move takes O(depth + log n), and one that arrives late as much again for each that comes after it. Each node and
/// each move that is not yet known to be causally stable, or has not been tidied up (replica<T>::tidy), takes some 200
/// bytes.
class tree {
public:
    using fragment = dot_entries<tree_move>;

    /// The node above all others; it is always there.
    static unique_id root() { return {}; }

    // ---- editing; std::out_of_range if a node that is named is not there, std::invalid_argument for the root ----

    /// A new node, the last child of `parent`.
    unique_id create(transaction& tx, const unique_id& parent);
    /// Puts a node, with all that is below it, under another parent, as its last child. std::invalid_argument if that
    /// is the node itself or lies below it.
    void move(transaction& tx, const unique_id& node, const unique_id& parent);
    /// Takes a node away, with all that is below it, except for what is moved elsewhere concurrently.
    void remove(transaction& tx, const unique_id& node);

    // ---- reading ----

    /// True if the node can be reached from the root. O(depth).
    bool contains(const unique_id& node) const;
    /// Nothing for the root, and for a node that is not there. O(depth).
    std::optional<unique_id> parent(const unique_id& node) const;
    /// In the order in which they were put there. O(children).
    std::vector<unique_id> children(const unique_id& node) const;
    /// How many nodes can be reached from the root, which does not count. O(n).
    std::size_t size() const;

    // The CRDT interface (crdt.hpp).
    void extract(const causal_context& wanted, fragment& out) const;
    void join(const fragment& f, join_scope& s);
    void kill(const dot_range& dots, join_scope& s);
    void clear(transaction& tx, kills& out);
    bool empty() const { return !children_.contains(root()); }
    bool vacant() const { return moves_.empty(); }
    bool untidy(const version_vector& stable) const { return !superfluous(stable).empty(); }
    void tidy(transaction& tx, const version_vector& stable, kills& out);
    static std::string type_name() { return "tree"; }

    friend bool operator==(const tree& a, const tree& b);

private:
    // The order of moves: what comes later takes the place of what was before.
    struct place {
        std::uint64_t lamport = 0;
        dot where;
        friend auto operator<=>(const place&, const place&) = default;
    };
    struct step {
        tree_move move;
        bool effective = false;
        std::optional<place> before; // where the node was until then, if this one was effective
    };
    std::map<place, step> moves_;
    std::map<dot, std::uint64_t> lamports_;       // of each move, to find it by its dot
    std::unordered_map<unique_id, place> placed_; // by the move that put it there
    std::map<unique_id, std::set<place>>
        children_; // by parent; none is empty, and those that were removed have themselves

    bool is_there(const unique_id& node) const { return node == root() || contains(node); }
    void need(const unique_id& node) const;
    std::uint64_t next_lamport() const;
    void add(transaction& tx, const tree_move& m);
    void insert(dot where, const tree_move& m);
    void erase(const std::vector<dot>& gone);
    bool above(const unique_id& node, unique_id below) const;
    void take_child(const unique_id& parent, const place& at);
    void apply(const place& at, step& s);
    void undo(const place& at, step& s);
    void undo_from(const place& at);
    void apply_from(const place& at);
    template <class Change>
    void noting(const place& from, const std::vector<unique_id>& more, join_scope& s, Change&& change);
    std::vector<dot> superfluous(const version_vector& stable) const;
    template <class Gone> void drop_if(const dot_range& dots, join_scope& s, Gone&& gone);
};

} // namespace joinery
