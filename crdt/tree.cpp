// SPDX-License-Identifier: Apache-2.0
#include <joinery/tree.hpp>

#include <algorithm>
#include <stdexcept>
#include <utility>

namespace joinery {

// ---- reading ----

bool tree::contains(const unique_id& node) const {
    for (unique_id at = node; at != root();) {
        const auto put = placed_.find(at);
        if (put == placed_.end()) return false;
        const unique_id& up = moves_.at(put->second).move.parent;
        if (up == at) return false; // removed
        at = up;
    }
    return node != root();
}

std::optional<unique_id> tree::parent(const unique_id& node) const {
    if (!contains(node)) return std::nullopt;
    return moves_.at(placed_.at(node)).move.parent;
}

std::vector<unique_id> tree::children(const unique_id& node) const {
    std::vector<unique_id> out;
    if (!is_there(node)) return out;
    const auto all = children_.find(node);
    if (all == children_.end()) return out;
    for (const auto& at : all->second) out.push_back(moves_.at(at).move.node);
    return out;
}

std::size_t tree::size() const {
    std::size_t n = 0;
    std::vector<unique_id> left{root()};
    while (!left.empty()) {
        const unique_id at = left.back();
        left.pop_back();
        const auto below = children_.find(at);
        if (below == children_.end()) continue;
        for (const auto& put : below->second) left.push_back(moves_.at(put).move.node);
        n += below->second.size();
    }
    return n;
}

bool operator==(const tree& a, const tree& b) {
    return std::equal(
        a.moves_.begin(), a.moves_.end(), b.moves_.begin(), b.moves_.end(),
        [](const auto& x, const auto& y) { return x.first == y.first && x.second.move == y.second.move; });
}

// ---- the order of moves ----

// True if `below` is the node, or lies below it. There are no cycles among what is placed.
bool tree::above(const unique_id& node, unique_id below) const {
    while (below != node) {
        const auto put = placed_.find(below);
        if (put == placed_.end()) return false;
        const unique_id& up = moves_.at(put->second).move.parent;
        if (up == below) return false; // removed
        below = up;
    }
    return true;
}

void tree::take_child(const unique_id& parent, const place& at) {
    const auto siblings = children_.find(parent);
    siblings->second.erase(at);
    if (siblings->second.empty()) children_.erase(siblings);
}

void tree::apply(const place& at, step& s) {
    const auto& m = s.move;
    s.before.reset();
    s.effective = m.node != root() && (m.parent == m.node || !above(m.node, m.parent));
    if (!s.effective) return;
    const auto [put, is_new] = placed_.try_emplace(m.node, at);
    if (!is_new) {
        s.before = std::exchange(put->second, at);
        take_child(moves_.at(*s.before).move.parent, *s.before);
    }
    children_[m.parent].insert(at);
}

void tree::undo(const place& at, step& s) {
    if (!s.effective) return;
    const auto& m = s.move;
    take_child(m.parent, at);
    if (s.before) {
        placed_[m.node] = *s.before;
        children_[moves_.at(*s.before).move.parent].insert(*s.before);
    } else {
        placed_.erase(m.node);
    }
}

void tree::undo_from(const place& at) {
    for (auto it = moves_.end(); it != moves_.begin() && std::prev(it)->first >= at; --it)
        undo(std::prev(it)->first, std::prev(it)->second);
}

void tree::apply_from(const place& at) {
    for (auto it = moves_.lower_bound(at); it != moves_.end(); ++it) apply(it->first, it->second);
}

void tree::insert(dot where, const tree_move& m) {
    const place at{m.lamport, where};
    undo_from(at);
    moves_.emplace(at, step{m, false, std::nullopt});
    lamports_.emplace(where, m.lamport);
    apply_from(at);
}

void tree::erase(const std::vector<dot>& gone) {
    if (gone.empty()) return;
    std::vector<place> places;
    for (const auto& d : gone) places.push_back({lamports_.at(d), d});
    const place first = *std::min_element(places.begin(), places.end());
    undo_from(first);
    for (const auto& at : places) {
        moves_.erase(at);
        lamports_.erase(at.where);
    }
    apply_from(first);
}

// ---- editing ----

void tree::need(const unique_id& node) const {
    if (!is_there(node)) throw std::out_of_range("tree: no node " + to_string(node));
}

// Whoever forges the greatest number there may be is not overtaken, but nor is anybody refused.
std::uint64_t tree::next_lamport() const {
    return moves_.empty() ? 1 : std::min(moves_.rbegin()->first.lamport + 1, max_sequence);
}

void tree::add(transaction& tx, const tree_move& m) {
    const dot d = tx.next();
    insert(d, m);
    tx.on_rollback([this, d] { erase({d}); });
    tx.entered(this, d);
}

unique_id tree::create(transaction& tx, const unique_id& parent) {
    need(parent);
    const dot d = tx.next();
    const tree_move m{next_lamport(), unique_id(d), parent};
    insert(d, m);
    tx.on_rollback([this, d] { erase({d}); });
    tx.entered(this, d);
    return m.node;
}

void tree::move(transaction& tx, const unique_id& node, const unique_id& parent) {
    if (node == root()) throw std::invalid_argument("tree: the root is not moved");
    need(node);
    need(parent);
    if (above(node, parent)) throw std::invalid_argument("tree: a node does not go below itself");
    add(tx, {next_lamport(), node, parent});
}

void tree::remove(transaction& tx, const unique_id& node) {
    if (node == root()) throw std::invalid_argument("tree: the root is not removed");
    need(node);
    add(tx, {next_lamport(), node, node});
}

// ---- the CRDT interface ----

void tree::extract(const causal_context& wanted, fragment& out) const {
    wanted.for_each([&](const dot_range& r) {
        for (auto it = lamports_.lower_bound({r.replica, r.first}); it != lamports_.end() && r.contains(it->first);
             ++it)
            out.push_back(it->first, moves_.at({it->second, it->first}).move);
    });
}

// Notes which nodes come to be elsewhere, come or go by a change of the moves from a place on; `more` are those that
// come to be moved there.
template <class Change>
void tree::noting(const place& from, const std::vector<unique_id>& more, join_scope& s, Change&& change) {
    if (!s.changes) return change();
    std::map<unique_id, std::optional<unique_id>> before; // these, and all below them
    std::vector<unique_id> left = more;
    for (auto it = moves_.lower_bound(from); it != moves_.end(); ++it) left.push_back(it->second.move.node);
    while (!left.empty()) {
        const unique_id node = left.back();
        left.pop_back();
        if (!before.emplace(node, parent(node)).second) continue;
        const auto below = children_.find(node);
        if (below == children_.end()) continue;
        for (const auto& at : below->second) left.push_back(moves_.at(at).move.node);
    }
    change();
    for (const auto& [node, up] : before) {
        const auto now = parent(node);
        if (now == up) continue;
        const path_step step = step_to_key(s.path, node);
        s.changes->note(&step, shown_value(up), shown_value(now));
    }
}

template <class Gone> void tree::drop_if(const dot_range& dots, join_scope& s, Gone&& gone) {
    std::vector<dot> all;
    for (auto it = lamports_.lower_bound({dots.replica, dots.first}); it != lamports_.end() && dots.contains(it->first);
         ++it)
        if (gone(it->first)) all.push_back(it->first);
    if (all.empty()) return;
    place first{lamports_.at(all.front()), all.front()};
    for (const auto& d : all) first = std::min(first, {lamports_.at(d), d});
    noting(first, {}, s, [&] { erase(all); });
    for (const auto& d : all) s.dropped(d);
}

void tree::join(const fragment& f, join_scope& s) {
    if (s.overlapping)
        s.covered.for_each([&](const dot_range& r) { drop_if(r, s, [&](dot d) { return !f.contains(d); }); });
    // All at once: what comes after the first of them is applied once.
    std::optional<place> first;
    std::vector<const dot_entry<tree_move>*> fresh;
    std::vector<unique_id> moved;
    for (const auto& e : f) {
        if (!s.enters(e.where) || lamports_.contains(e.where)) continue; // hostile bytes may bring a dot twice
        fresh.push_back(&e);
        moved.push_back(e.value.node);
        const place at{e.value.lamport, e.where};
        if (!first || at < *first) first = at;
    }
    if (!first) return;
    noting(*first, moved, s, [&] {
        undo_from(*first);
        for (const auto* e : fresh) {
            moves_.emplace(place{e->value.lamport, e->where}, step{e->value, false, std::nullopt});
            lamports_.emplace(e->where, e->value.lamport);
            s.entered(e->where);
        }
        apply_from(*first);
    });
}

void tree::kill(const dot_range& dots, join_scope& s) {
    drop_if(dots, s, [](dot) { return true; });
}

void tree::clear(transaction& tx, kills& out) {
    if (moves_.empty()) return;
    for (const auto& [d, lamport] : lamports_) {
        out.add(d);
        tx.dropped(this, d);
    }
    tx.on_rollback([this, saved = std::move(*this)]() mutable { *this = std::move(saved); });
    *this = tree();
}

// Moves whose place in the order nothing can come before any more: who has yet to move something has seen them, and
// gives its move a greater number. Of these only the one that put a node where it is counts; and where nothing else is
// to come at all, only those of the nodes that can be reached. The last move of all keeps its number known.
std::vector<dot> tree::superfluous(const version_vector& stable) const {
    std::vector<dot> out;
    if (moves_.empty()) return out;
    const auto unstable =
        std::find_if(moves_.begin(), moves_.end(), [&](const auto& m) { return !stable.contains(m.first.where); });
    const bool all = unstable == moves_.end();
    // Nodes as they were placed by the stable moves alone.
    std::unordered_map<unique_id, place> settled;
    for (auto it = moves_.begin(); it != unstable; ++it)
        if (it->second.effective) settled[it->second.move.node] = it->first;
    const auto last = std::prev(moves_.end())->first;
    for (auto it = moves_.begin(); it != unstable; ++it) {
        const auto& [at, s] = *it;
        if (at == last) continue;
        const bool counts = s.effective && settled.at(s.move.node) == at;
        if (!counts || (all && !contains(s.move.node))) out.push_back(at.where);
    }
    return out;
}

void tree::tidy(transaction& tx, const version_vector& stable, kills& out) {
    const auto gone = superfluous(stable);
    if (gone.empty()) return;
    std::vector<std::pair<dot, tree_move>> old;
    for (const auto& d : gone) {
        old.emplace_back(d, moves_.at({lamports_.at(d), d}).move);
        out.add(d);
        tx.dropped(this, d);
    }
    erase(gone);
    tx.on_rollback([this, old = std::move(old)] {
        for (const auto& [d, m] : old) insert(d, m);
    });
}

} // namespace joinery
