// SPDX-License-Identifier: Apache-2.0
#pragma once

// A map from keys to CRDTs of any kind, nested as deep as you like. A key exists if and only if something
// live is below it. Removing a key is one event that kills every live dot seen below it, at any depth;
// what the remover had not seen survives: elements added, values set, increments counted, text typed.
// Source: the ORMap of Almeida, Shoker, Baquero (2018), section 7.4.
//
//     carts.update(tx, "alice", [&](auto& cart) { cart.add(tx, "milk"); });
//     carts.at(tx, "alice")->add(tx, "milk");      // the same
//     carts.erase(tx, "bob");

#include <joinery/crdt.hpp>
#include <joinery/dot_index.hpp>
#include <joinery/hash.hpp>
#include <joinery/replica.hpp>
#include <joinery/steady_vector.hpp>

#include <functional>
#include <iterator>
#include <memory>
#include <new>
#include <type_traits>
#include <unordered_map>
#include <utility>
#include <vector>

namespace joinery {

namespace detail {
/// The numbers of these keys, in the order of their bytes.
std::vector<std::size_t> in_order(const std::vector<std::vector<std::byte>>& keys);

/// True for maps that know which keys they have by a sum.
template <class K, class V> inline constexpr bool sums_keys = false;

template <class Item> void sort_by_keys(std::vector<Item>& items) {
    std::vector<std::vector<std::byte>> keys;
    keys.reserve(items.size());
    for (const auto& item : items) keys.push_back(encode(item.key));
    std::vector<Item> sorted;
    sorted.reserve(items.size());
    for (const std::size_t i : in_order(keys)) sorted.push_back(std::move(items[i]));
    items = std::move(sorted);
}
} // namespace detail

/// What a delta carries of a map: fragments by key, in order of their first dots.
template <class K, crdt V> struct or_map_fragment {
    struct item {
        K key{};
        fragment_of<V> value;
        friend bool operator==(const item&, const item&) = default;
        template <class Archive> void serialize(Archive& ar) {
            if constexpr (std::is_same_v<Archive, compact_input_archive>) {
                const std::size_t before = ar.remaining();
                ar(key);
                ar.below(before - ar.remaining(), [&] { ar(value); });
            } else {
                ar(cereal::make_nvp("key", key), cereal::make_nvp("value", value));
            }
        }
    };
    std::vector<item> items;

    bool empty() const { return items.empty(); }
    friend bool operator==(const or_map_fragment&, const or_map_fragment&) = default;
    template <class Archive> void save(Archive& ar) const { ar(cereal::make_nvp("items", items)); }
    /// Refuses what no replica writes: a key twice, a key without content.
    template <class Archive> void load(Archive& ar);
};

/// Keys are any encodable values with ==. Look-ups are O(1), changes O(log n) by dot for each level.
template <class K, crdt V> class or_map {
public:
    using fragment = or_map_fragment<K, V>;
    class open_key;
    class iterator;
    using const_iterator = iterator;

    or_map() = default;
    or_map(or_map&&) noexcept = default;
    or_map& operator=(or_map&&) noexcept = default;
    or_map(const or_map& other);
    or_map& operator=(const or_map& other) { return *this = or_map(other); }

    /// The value at a key, open for editing for as long as what it returns lives; nothing comes to exist by
    /// opening alone. Use the value only through what this returns, and only with this transaction.
    open_key at(transaction& tx, const K& key) { return open_key(tx, *this, slot_for(tx, key)); }
    /// Runs f(V&) on the value at a key.
    template <class F> void update(transaction& tx, const K& key, F&& f) {
        open_key open = at(tx, key);
        std::invoke(std::forward<F>(f), *open);
    }
    /// Removes all that has been seen below the key. Does nothing if there is nothing.
    void erase(transaction& tx, const K& key);

    bool contains(const K& key) const { return find(key) != nullptr; }
    /// The value at a key, or null if the key does not exist. Invalidated by every change.
    const V* find(const K& key) const;
    /// The number of keys that exist.
    std::size_t size() const { return live_; }
    /// Of hashes of the keys that exist; zero if nobody asks (detail::sums_keys).
    std::uint64_t key_sum() const {
        if constexpr (detail::sums_keys<K, V>)
            return sum_;
        else
            return 0;
    }
    bool empty() const { return live_ == 0; }
    /// Pairs of key and value, in no particular order; invalidated by every change.
    iterator begin() const { return {&nodes_, 0}; }
    iterator end() const { return {&nodes_, nodes_.size()}; }

    // The CRDT interface (crdt.hpp).
    void extract(const causal_context& wanted, fragment& out) const;
    void extract_rest(fragment& out) const requires(crdt_traits<V>::leaves_tombstones);
    void save_whole(const causal_context& seen, compact_output_archive& ar) const
        requires(!crdt_traits<V>::leaves_tombstones);
    void join(const fragment& f, join_scope& s);
    void kill(const dot_range& dots, join_scope& s);
    void kill(const run_removal& r, join_scope& s);
    void clear(transaction& tx, kills& out);
    void prune(const version_vector& stable, std::span<const dot_range> settled,
               dot_sink* sink) requires(crdt_traits<V>::leaves_tombstones);
    static void keep_live(fragment& f) requires(crdt_traits<V>::leaves_tombstones);
    void known_removed(const causal_context& dots, causal_context& out) const
        requires(crdt_traits<V>::leaves_tombstones);
    static void drop_reissued(fragment& f, const causal_context& unsent) requires(crdt_traits<V>::reissues);
    void reissue(const or_map& before, const causal_context& unsent, const removal_log& log,
                 transaction& tx) requires(crdt_traits<V>::reissues);
    bool place(compact_input_archive& path, const unknown_field& field, join_scope& s);
    bool untidy(const version_vector& stable) const requires(crdt_traits<V>::tidies);
    void tidy(transaction& tx, const version_vector& stable, kills& out) requires(crdt_traits<V>::tidies);
    bool vacant() const { return table_.size() == 0; }
    std::uint64_t digest(const causal_context& all) const;
    static std::string type_name() {
        return "or_map<" + joinery::type_name<K>::get() + "," + crdt_traits<V>::type_name() + ">";
    }

    /// Equal keys with equal live content. O(n).
    friend bool operator==(const or_map& a, const or_map& b) { return a.equals(b); }

private:
    using traits = crdt_traits<V>;
    using slot = std::uint32_t;
    struct node {
        K key{};
        bool used = false; // or the slot is free
        bool live = false;
        bool touched = false; // by the edit under way, whose steps need the node
        V value{};
    };
    detail::steady_vector<node> nodes_; // values do not move while they are edited
    std::vector<slot> free_;
    detail::slot_table table_; // by key; keys with tombstones only are there too
    dot_index dots_;           // every dot held below, to its key
    std::uint32_t live_ = 0;
    std::uint32_t touched_ = 0;
    struct nothing {};
    [[no_unique_address]] std::conditional_t<detail::sums_keys<K, V>, std::uint64_t, nothing> sum_{};

    slot lookup(const K& key) const { return lookup(key, detail::hash_of(key)); }
    slot lookup(const K& key, std::uint32_t hash) const {
        return table_.find(hash, [&](slot i) { return nodes_[i].key == key; });
    }
    slot lookup_or_insert(const K& key);
    void refresh(slot i);
    void sweep(slot i);
    void trim();
    slot slot_for(transaction& tx, const K& key);
    bool equals(const or_map& other) const;

    // Reports what happens below one key to the index and to the enclosing container.
    struct key_sink final : dot_sink {
        key_sink(or_map& m, slot i, dot_sink* o) : map(m), at(i), outer(o) {}
        void entered(const dot_range& dots) override {
            map.dots_.reassign(dots, at);
            if (outer) outer->entered(dots);
        }
        void dropped(const dot_range& dots) override {
            map.dots_.erase(dots);
            if (outer) outer->dropped(dots);
        }
        bool holds(const dot_range& dots) const override {
            return map.dots_.intersects(dots) || (outer && outer->holds(dots));
        }
        or_map& map;
        slot at;
        dot_sink* outer;
    };
    // Runs f(V&, join_scope&) on one key's value and brings the map up to date with it.
    template <class F> void change(slot i, join_scope& s, F&& f) {
        key_sink sink(*this, i, s.sink);
        const path_step step = step_to_key(s.path, nodes_[i].key);
        join_scope below = s.inside(sink, step);
        f(nodes_[i].value, below);
        refresh(i);
        sweep(i);
    }
};

/// A key's value, open for editing.
template <class K, crdt V> class or_map<K, V>::open_key final : open_child {
public:
    open_key(const open_key&) = delete;
    open_key& operator=(const open_key&) = delete;
    ~open_key() {
        tx_.close();
        map_.refresh(at_);
    }

    V& operator*() const { return map_.nodes_[at_].value; }
    V* operator->() const { return &**this; }

private:
    friend class or_map;
    open_key(transaction& tx, or_map& map, slot at)
        : open_child(&map, &map.nodes_[at].value, sizeof(V)), tx_(tx), map_(map), at_(at) {
        tx_.open(*this);
    }
    void entered(const dot_range& dots) override {
        map_.dots_.assign(dots, at_);
        tx_.on_rollback([map = &map_, dots] { map->dots_.erase(dots); });
    }
    void dropped(const dot_range& dots) override {
        map_.dots_.erase(dots);
        tx_.on_rollback([map = &map_, dots, at = at_] { map->dots_.assign(dots, at); });
    }
    transaction& tx_;
    or_map& map_;
    slot at_;
};

template <class K, crdt V> class or_map<K, V>::iterator {
public:
    using iterator_category = std::input_iterator_tag;
    using value_type = std::pair<const K&, const V&>;
    using difference_type = std::ptrdiff_t;
    using pointer = void;
    using reference = value_type;

    iterator() = default;
    reference operator*() const { return {(*nodes_)[i_].key, (*nodes_)[i_].value}; }
    iterator& operator++() {
        ++i_;
        skip();
        return *this;
    }
    iterator operator++(int) {
        iterator before = *this;
        ++*this;
        return before;
    }
    friend bool operator==(const iterator&, const iterator&) = default;

private:
    friend class or_map;
    using nodes = detail::steady_vector<node>;
    iterator(const nodes* n, std::size_t i) : nodes_(n), i_(i) { skip(); }
    void skip() {
        while (i_ < nodes_->size() && !(*nodes_)[i_].live) ++i_;
    }
    const nodes* nodes_ = nullptr;
    std::size_t i_ = 0;
};

// ---- implementation ----

template <class K, crdt V> template <class Archive> void or_map_fragment<K, V>::load(Archive& ar) {
    ar(cereal::make_nvp("items", items));
    if constexpr (is_compact_archive_v<Archive>) ar.charge(items.size() * 32); // the table of keys, growing
    detail::slot_table keys;
    keys.reserve(items.size());
    for (std::uint32_t i = 0; i < items.size(); ++i) {
        const K& key = items[i].key;
        std::uint32_t hash = detail::hash_of(key);
        auto same = [&](std::uint32_t k) { return items[k].key == key; };
        if (items[i].value.empty() || keys.find(hash, same) != detail::slot_table::none)
            throw decode_failure(decode_error::non_canonical);
        keys.insert(hash, i);
    }
}

template <class K, crdt V>
or_map<K, V>::or_map(const or_map& other)
    : free_(other.free_), table_(other.table_), dots_(other.dots_), live_(other.live_), sum_(other.sum_) {
    for (slot i = 0; i < other.nodes_.size(); ++i) {
        const node& n = other.nodes_[i];
        nodes_.push_back({n.key, n.used, n.live, false, n.value});
    }
}

template <class K, crdt V> const V* or_map<K, V>::find(const K& key) const {
    slot i = lookup(key);
    return i != detail::slot_table::none && nodes_[i].live ? &nodes_[i].value : nullptr;
}

template <class K, crdt V> typename or_map<K, V>::slot or_map<K, V>::lookup_or_insert(const K& key) {
    const std::uint32_t hash = detail::hash_of(key);
    slot i = lookup(key, hash);
    if (i != detail::slot_table::none) return i;
    if (free_.empty()) {
        i = static_cast<slot>(nodes_.size());
        nodes_.push_back({key, true});
    } else {
        i = free_.back();
        nodes_[i].key = key;
        nodes_[i].used = true;
        free_.pop_back();
    }
    table_.insert(hash, i);
    return i;
}

// Counts the key in or out after its value has changed.
template <class K, crdt V> void or_map<K, V>::refresh(slot i) {
    if (!nodes_[i].used) return;
    bool live = !traits::empty(nodes_[i].value);
    if (live == nodes_[i].live) return;
    live_ += live ? 1 : std::uint32_t(-1);
    if constexpr (detail::sums_keys<K, V>) {
        const std::uint64_t h = detail::mixed_hash(detail::hash_of(nodes_[i].key));
        sum_ += live ? h : 0 - h;
    }
    nodes_[i].live = live;
}

// Lets a key go below which nothing is stored.
template <class K, crdt V> void or_map<K, V>::sweep(slot i) {
    if (!nodes_[i].used || nodes_[i].touched || !traits::vacant(nodes_[i].value)) return;
    table_.erase(detail::hash_of(nodes_[i].key), i);
    nodes_[i] = {};
    free_.push_back(i);
}

// What was freed goes once there is half as much of it as of the rest. Slots change. Amortised O(1) a removal.
template <class K, crdt V> void or_map<K, V>::trim() {
    if (touched_ > 0 || free_.size() < 256 || free_.size() < table_.size() / 2) return;
    or_map kept;
    std::vector<slot> place;
    try {
        place.resize(nodes_.size());
        for (slot i = 0; i < nodes_.size(); ++i) {
            if (!nodes_[i].used) continue;
            place[i] = static_cast<slot>(kept.nodes_.size());
            kept.nodes_.push_back({});
            kept.table_.insert(detail::hash_of(nodes_[i].key), place[i]);
        }
        dots_.for_each([&](const dot_range& dots, slot i) { kept.dots_.assign(dots, place[i]); });
    } catch (const std::bad_alloc&) {
        return; // an edit is being settled; memory will be given back when there is some to work in
    }
    for (slot i = 0; i < nodes_.size(); ++i)
        if (nodes_[i].used) kept.nodes_[place[i]] = std::move(nodes_[i]);
    kept.live_ = live_;
    kept.sum_ = sum_;
    *this = std::move(kept);
}

// Once in each edit, and before anything below the key is touched: so this is the last to be undone or
// committed, and the key is there until then, whatever else the edit does to it.
template <class K, crdt V> typename or_map<K, V>::slot or_map<K, V>::slot_for(transaction& tx, const K& key) {
    const slot i = lookup_or_insert(key);
    if (nodes_[i].touched) return i;
    auto settle = [this, i] {
        nodes_[i].touched = false;
        --touched_;
        refresh(i);
        sweep(i);
        trim();
    };
    tx.on_rollback(settle);
    nodes_[i].touched = true;
    ++touched_;
    tx.on_commit(settle);
    return i;
}

template <class K, crdt V> void or_map<K, V>::erase(transaction& tx, const K& key) {
    slot i = lookup(key);
    if (i == detail::slot_table::none) return;
    kills seen;
    {
        open_key open(tx, *this, slot_for(tx, nodes_[i].key));
        traits::clear(*open, tx, seen);
    }
    if (!seen.empty()) tx.record(tx.next(), std::move(seen));
}

template <class K, crdt V> void or_map<K, V>::clear(transaction& tx, kills& out) {
    for (slot i = 0; i < nodes_.size(); ++i) {
        if (!nodes_[i].used) continue;
        open_key open(tx, *this, slot_for(tx, nodes_[i].key));
        traits::clear(*open, tx, out);
    }
}

template <class K, crdt V> void or_map<K, V>::extract(const causal_context& wanted, fragment& out) const {
    std::vector<std::pair<slot, causal_context>> parts; // in order of first dots
    std::unordered_map<slot, std::size_t> place;
    std::vector<std::size_t> places; // the same, once there are many
    wanted.for_each([&](const dot_range& r) {
        dots_.visit(r, [&](const dot_range& dots, slot i) {
            if (parts.empty() || parts.back().first != i) {
                auto& at = places.empty() ? place.try_emplace(i, SIZE_MAX).first->second : places[i];
                if (at != SIZE_MAX) {
                    parts[at].second.add(dots);
                    return;
                }
                at = parts.size();
                parts.emplace_back(i, causal_context());
                if (places.empty() && parts.size() > 64 && parts.size() > nodes_.size() / 8) {
                    places.assign(nodes_.size(), SIZE_MAX);
                    for (std::size_t k = 0; k < parts.size(); ++k) places[parts[k].first] = k;
                }
            }
            parts.back().second.add(dots);
        });
    });
    out.items.reserve(out.items.size() + parts.size());
    for (const auto& [i, dots] : parts) {
        typename fragment::item item{nodes_[i].key, {}};
        traits::extract(nodes_[i].value, dots, item.value);
        if (!item.value.empty()) out.items.push_back(std::move(item));
    }
}

// Keys that hold no dot any more come last, in order of their encoded keys.
template <class K, crdt V>
void or_map<K, V>::extract_rest(fragment& out) const requires(crdt_traits<V>::leaves_tombstones) {
    std::vector<bool> there(nodes_.size());
    for (auto& item : out.items) {
        slot i = lookup(item.key);
        traits::extract_rest(nodes_[i].value, item.value);
        there[i] = true;
    }
    std::vector<typename fragment::item> rest;
    for (slot i = 0; i < nodes_.size(); ++i) {
        if (!nodes_[i].used || there[i]) continue;
        typename fragment::item item{nodes_[i].key, {}};
        traits::extract_rest(nodes_[i].value, item.value);
        if (!item.value.empty()) rest.push_back(std::move(item));
    }
    detail::sort_by_keys(rest);
    for (auto& item : rest) out.items.push_back(std::move(item));
}

// Not all indexed dots have been seen: the first one of a counter's run may not.
template <class K, crdt V>
void or_map<K, V>::save_whole(const causal_context& seen, compact_output_archive& ar) const
    requires(!crdt_traits<V>::leaves_tombstones) {
    if constexpr (!crdt_traits<V>::leaves_tombstones) { // clang 14 instantiates it explicitly where it may not
        ar.counted([&] {
            std::vector<bool> saved(nodes_.size());
            std::size_t n = 0;
            dots_.for_each([&](const dot_range& dots, slot i) {
                if (saved[i] || !(seen.contains(dots) || seen.intersects(dots))) return;
                saved[i] = true;
                traits::save_whole(nodes_[i].value, seen, [&](auto&& save) {
                    ar(nodes_[i].key);
                    save(ar);
                    ++n;
                });
            });
            return n;
        });
    }
}

template <class K, crdt V> void or_map<K, V>::join(const fragment& f, join_scope& s) {
    if (s.overlapping) {
        // Keys that hold covered dots and are not carried: what the sender no longer has goes.
        std::vector<slot> touched;
        s.covered.for_each(
            [&](const dot_range& r) { dots_.visit(r, [&](const dot_range&, slot i) { touched.push_back(i); }); });
        std::vector<slot> carried;
        for (const auto& item : f.items)
            if (slot i = lookup(item.key); i != detail::slot_table::none) carried.push_back(i);
        std::sort(carried.begin(), carried.end());
        std::sort(touched.begin(), touched.end());
        touched.erase(std::unique(touched.begin(), touched.end()), touched.end());
        for (slot i : touched) {
            if (std::binary_search(carried.begin(), carried.end(), i)) continue;
            change(i, s, [&](V& v, join_scope& below) { traits::join(v, fragment_of<V>{}, below); });
        }
    }
    if (nodes_.empty()) table_.reserve(f.items.size());
    for (const auto& item : f.items)
        change(lookup_or_insert(item.key), s, [&](V& v, join_scope& below) { traits::join(v, item.value, below); });
    trim();
}

template <class K, crdt V> void or_map<K, V>::kill(const dot_range& dots, join_scope& s) {
    std::vector<std::pair<dot_range, slot>> parts;
    dots_.visit(dots, [&](const dot_range& part, slot i) { parts.emplace_back(part, i); });
    for (const auto& part : parts) {
        if (!nodes_[part.second].used) continue;
        change(part.second, s, [&](V& v, join_scope& below) { traits::kill(v, part.first, below); });
    }
    trim();
}

template <class K, crdt V> void or_map<K, V>::kill(const run_removal& r, join_scope& s) {
    auto i = dots_.find(r.start);
    if (!i) return;
    change(*i, s, [&](V& v, join_scope& below) { traits::kill(v, r, below); });
    trim();
}

template <class K, crdt V>
bool or_map<K, V>::untidy(const version_vector& stable) const requires(crdt_traits<V>::tidies) {
    for (slot i = 0; i < nodes_.size(); ++i)
        if (nodes_[i].used && traits::untidy(nodes_[i].value, stable)) return true;
    return false;
}

template <class K, crdt V>
void or_map<K, V>::tidy(transaction& tx, const version_vector& stable, kills& out) requires(crdt_traits<V>::tidies) {
    for (slot i = 0; i < nodes_.size(); ++i) {
        if (!nodes_[i].used || !traits::untidy(nodes_[i].value, stable)) continue;
        open_key open(tx, *this, slot_for(tx, nodes_[i].key));
        traits::tidy(*open, tx, stable, out);
    }
}

template <class K, crdt V>
bool or_map<K, V>::place(compact_input_archive& path, const unknown_field& field, join_scope& s) {
    K key{};
    path(key);
    bool known = false;
    change(lookup_or_insert(key), s, [&](V& v, join_scope& below) {
        try {
            known = traits::place(v, path, field, below);
        } catch (const decode_failure&) { // the path leads nowhere, and the key may go again
        }
    });
    return known;
}

template <class K, crdt V>
void or_map<K, V>::prune(const version_vector& stable, std::span<const dot_range> settled,
                         dot_sink* sink) requires(crdt_traits<V>::leaves_tombstones) {
    std::unordered_map<slot, std::vector<dot_range>> settled_below;
    for (const auto& r : settled)
        dots_.visit(r, [&](const dot_range& part, slot i) { settled_below[i].push_back(part); });
    for (slot i = 0; i < nodes_.size(); ++i)
        if (nodes_[i].used) {
            key_sink below(*this, i, sink);
            traits::prune(nodes_[i].value, stable, settled_below[i], &below);
            sweep(i);
        }
    trim();
}

// Items stand in the order of their first dots, tombstones' included: they are sorted by their keys.
template <class K, crdt V> void or_map<K, V>::keep_live(fragment& f) requires(crdt_traits<V>::leaves_tombstones) {
    for (auto& item : f.items) traits::keep_live(item.value);
    std::erase_if(f.items, [](const auto& item) { return item.value.empty(); });
    detail::sort_by_keys(f.items);
}

template <class K, crdt V>
void or_map<K, V>::known_removed(const causal_context& dots, causal_context& out) const
    requires(crdt_traits<V>::leaves_tombstones) {
    std::unordered_map<slot, causal_context> below;
    dots.for_each(
        [&](const dot_range& r) { dots_.visit(r, [&](const dot_range& part, slot i) { below[i].add(part); }); });
    for (const auto& [i, part] : below) traits::known_removed(nodes_[i].value, part, out);
}

template <class K, crdt V>
void or_map<K, V>::drop_reissued(fragment& f, const causal_context& unsent) requires(crdt_traits<V>::reissues) {
    for (auto& item : f.items) traits::drop_reissued(item.value, unsent);
    std::erase_if(f.items, [](const auto& item) { return item.value.empty(); });
}

template <class K, crdt V>
void or_map<K, V>::reissue(const or_map& before, const causal_context& unsent, const removal_log& log,
                           transaction& tx) requires(crdt_traits<V>::reissues) {
    std::vector<slot> touched;
    unsent.for_each(
        [&](const dot_range& r) { before.dots_.visit(r, [&](const dot_range&, slot i) { touched.push_back(i); }); });
    std::sort(touched.begin(), touched.end());
    touched.erase(std::unique(touched.begin(), touched.end()), touched.end());
    for (slot i : touched) {
        open_key open = at(tx, before.nodes_[i].key);
        traits::reissue(*open, before.nodes_[i].value, unsent, log, tx);
    }
}

// Independent of order: the keys have none.
template <class K, crdt V> std::uint64_t or_map<K, V>::digest(const causal_context& all) const {
    std::uint64_t sum = live_;
    for (const auto& [key, value] : *this) sum += combine(joinery::digest(encode(key)), traits::digest(value, all));
    return sum;
}

template <class K, crdt V> bool or_map<K, V>::equals(const or_map& other) const {
    if (live_ != other.live_) return false;
    for (const auto& [key, value] : *this) {
        const V* v = other.find(key);
        if (!v || !traits::equal(value, *v)) return false;
    }
    return true;
}

} // namespace joinery
