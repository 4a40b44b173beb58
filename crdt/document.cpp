// SPDX-License-Identifier: Apache-2.0
// The CRDT interface of documents, what they carry, and the templates that they are made of.
#include "document_node.hpp"
#include "text_columns.hpp"

#include <algorithm>
#include <set>
#include <vector>

namespace joinery {

// ---- fragments ----

document_fragment::document_fragment() = default;
document_fragment::document_fragment(const document_fragment& other) = default;
document_fragment::document_fragment(document_fragment&& other) noexcept = default;
document_fragment& document_fragment::operator=(const document_fragment& other) = default;
document_fragment& document_fragment::operator=(document_fragment&& other) noexcept = default;
document_fragment::~document_fragment() = default;

bool document_fragment::empty() const { return content_.empty(); }
bool operator==(const document_fragment& a, const document_fragment& b) { return a.content_ == b.content_; }

namespace {

using node_fragment = record_fragment<detail::document_node>;

// Every map and list above a dot keeps it in an index. What those take grows with the depth, and so is not among what
// is charged where a dot is read. It is counted as the indexes do: in runs, by replica.
class index_cost {
public:
    explicit index_cost(compact_input_archive& ar) : ar_(ar), replicas_(document::max_depth + 1) {}

    void of(const node_fragment& f, std::size_t depth) {
        if (depth > document::max_depth) ar_.fail(decode_error::too_deep);
        replicas_[depth].clear();
        const auto& [marks, value, counter, text, map, list] = f.fields;
        for (const auto& m : marks) add(m.where, depth);
        for (const auto& v : value) add(v.where, depth);
        for (const auto& r : counter.get().runs) add({r.start.replica, r.start.seq, r.last}, depth);
        add(text.get(), depth);
        const auto& [order, items] = list.get().fields;
        add(order.order, depth);
        for (const auto& s : order.sets) add(s.where, depth);
        for (const auto& i : map.get().items) below(i.value, depth);
        for (const auto& i : items.items) below(i.value, depth);
    }

private:
    static constexpr std::uint64_t per_run = 24;
    static constexpr std::uint64_t per_replica = 128;

    compact_input_archive& ar_;
    std::vector<std::set<replica_id>> replicas_; // of the node on each level, so far
    dot_range last_{};
    std::size_t common_ = 0; // down to here the next dots lie where the last ones did

    void below(const node_fragment& f, std::size_t depth) {
        common_ = std::min(common_, depth);
        of(f, depth + 1);
    }
    void add(const dot_range& dots, std::size_t depth) {
        const bool follows = last_.replica == dots.replica && last_.last + 1 == dots.first;
        ar_.charge((follows ? depth - common_ : depth) * per_run);
        common_ = depth;
        last_ = dots;
        for (std::size_t d = depth; d-- > 0 && replicas_[d].insert(dots.replica).second;) ar_.charge(per_replica);
    }
    void add(const text_fragment& f, std::size_t depth) {
        if (f.columns)
            for (const auto& s : f.columns->stretches()) add(f.columns->dots(s), depth);
        for (const auto& r : f.runs) add({r.first.replica, r.first.seq, r.first.seq + r.count - 1}, depth);
        for (const auto& d : f.deletions) add({d.first.replica, d.first.seq, d.first.seq + d.count - 1}, depth);
    }
};

} // namespace

void document_fragment::save(compact_output_archive& ar) const { content_.save(ar); }

void document_fragment::load(compact_input_archive& ar) {
    content_.load(ar);
    index_cost(ar).of(content_.get(), 0);
}

// ---- what a document is made of, instantiated here and nowhere else ----

template <class K> or_map_fragment<K, detail::document_node>::item::item() = default;
template <class K>
or_map_fragment<K, detail::document_node>::item::item(K k, record_fragment<detail::document_node> v)
    : key(std::move(k)), value(std::move(v)) {}
template <class K> or_map_fragment<K, detail::document_node>::item::item(const item&) = default;
template <class K> or_map_fragment<K, detail::document_node>::item::item(item&&) noexcept = default;
template <class K>
typename or_map_fragment<K, detail::document_node>::item&
or_map_fragment<K, detail::document_node>::item::operator=(const item&) = default;
template <class K>
typename or_map_fragment<K, detail::document_node>::item&
or_map_fragment<K, detail::document_node>::item::operator=(item&&) noexcept = default;
template <class K> or_map_fragment<K, detail::document_node>::item::~item() = default;

template struct or_map_fragment<std::string, detail::document_node>;
template struct or_map_fragment<unique_id, detail::document_node>;
template class or_map<std::string, detail::document_node>;
template class or_map<unique_id, detail::document_node>;

namespace detail {
document_node::document_node() = default;
document_node::document_node(const document_node&) = default;
document_node::document_node(document_node&&) noexcept = default;
document_node& document_node::operator=(const document_node&) = default;
document_node& document_node::operator=(document_node&&) noexcept = default;
document_node::~document_node() = default;
} // namespace detail

// ---- the CRDT interface ----

document::document() = default;
document::document(const document& other) = default;
document::document(document&& other) noexcept = default;
document& document::operator=(const document& other) = default;
document& document::operator=(document&& other) noexcept = default;
document::~document() = default;

bool operator==(const document& a, const document& b) { return a.root_ == b.root_; }

void document::extract(const causal_context& wanted, fragment& out) const { root_.extract(wanted, out.get()); }
void document::extract_rest(fragment& out) const { root_.extract_rest(out.get()); }
void document::join(const fragment& f, join_scope& s) { root_.join(f.get(), s); }
void document::kill(const dot_range& dots, join_scope& s) { root_.kill(dots, s); }
void document::kill(const run_removal& r, join_scope& s) { root_.kill(r, s); }
void document::clear(transaction& tx, kills& out) { root_.clear(tx, out); }
bool document::empty() const { return root_.empty(); }
bool document::vacant() const { return root_.vacant(); }
void document::prune(const version_vector& stable, std::span<const dot_range> settled, dot_sink* sink) {
    root_.prune(stable, settled, sink);
}
void document::keep_live(fragment& f) { decltype(root_)::keep_live(f.get()); }
void document::known_removed(const causal_context& dots, causal_context& out) const { root_.known_removed(dots, out); }
void document::drop_reissued(fragment& f, const causal_context& unsent) {
    decltype(root_)::drop_reissued(f.get(), unsent);
}
void document::reissue(const document& before, const causal_context& unsent, const removal_log& log, transaction& tx) {
    root_.reissue(before.root_, unsent, log, tx);
}
bool document::place(compact_input_archive& path, const unknown_field& field, join_scope& s) {
    return root_.place(path, field, s);
}
bool document::untidy(const version_vector& stable) const { return root_.untidy(stable); }
void document::tidy(transaction& tx, const version_vector& stable, kills& out) { root_.tidy(tx, stable, out); }
std::uint64_t document::digest(const causal_context& all) const { return root_.digest(all); }

} // namespace joinery
