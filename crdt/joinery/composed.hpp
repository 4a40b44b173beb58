// SPDX-License-Identifier: Apache-2.0
#pragma once

// The CRDT interface (crdt.hpp) of a type that is another one with operations of its own:
//
//     class agenda : public joinery::composed<joinery::or_map<date, joinery::or_set<std::string>>> {
//     public:
//         void plan(transaction& tx, date d, std::string what) { inner_.at(tx, d)->add(tx, std::move(what)); }
//         static std::string type_name() { return "agenda"; }
//     };
//
// A type that hides `extract`, because it holds more, hides `save_whole` with it.

#include <joinery/crdt.hpp>

#include <cstdint>
#include <span>

namespace joinery {

template <crdt Inner> class composed {
    using traits = crdt_traits<Inner>;

public:
    using fragment = fragment_of<Inner>;

    void extract(const causal_context& wanted, fragment& out) const { traits::extract(inner_, wanted, out); }
    void extract_rest(fragment& out) const { traits::extract_rest(inner_, out); }
    void save_whole(const causal_context& seen, compact_output_archive& ar) const requires(traits::saves_whole) {
        traits::save_whole(inner_, seen, [&](auto&& save) { save(ar); });
    }
    void join(const fragment& f, join_scope& s) { traits::join(inner_, f, s); }
    void kill(const dot_range& dots, join_scope& s) { traits::kill(inner_, dots, s); }
    void kill(const run_removal& r, join_scope& s) { traits::kill(inner_, r, s); }
    void clear(transaction& tx, kills& out) { traits::clear(inner_, tx, out); }
    bool empty() const { return traits::empty(inner_); }
    bool vacant() const { return traits::vacant(inner_); }
    void prune(const version_vector& stable, std::span<const dot_range> settled,
               dot_sink* sink) requires(traits::leaves_tombstones) {
        traits::prune(inner_, stable, settled, sink);
    }
    static void keep_live(fragment& f) requires(traits::leaves_tombstones) { traits::keep_live(f); }
    void known_removed(const causal_context& dots, causal_context& out) const requires(traits::leaves_tombstones) {
        traits::known_removed(inner_, dots, out);
    }
    static void drop_reissued(fragment& f, const causal_context& unsent) requires(traits::reissues) {
        traits::drop_reissued(f, unsent);
    }
    void reissue(const composed& before, const causal_context& unsent, const removal_log& log,
                 transaction& tx) requires(traits::reissues) {
        traits::reissue(inner_, before.inner_, unsent, log, tx);
    }
    bool untidy(const version_vector& stable) const requires(traits::tidies) { return traits::untidy(inner_, stable); }
    void tidy(transaction& tx, const version_vector& stable, kills& out) requires(traits::tidies) {
        traits::tidy(inner_, tx, stable, out);
    }
    bool place(compact_input_archive& path, const unknown_field& field, join_scope& s) {
        return traits::place(inner_, path, field, s);
    }
    std::uint64_t digest(const causal_context& all) const { return traits::digest(inner_, all); }

    friend bool operator==(const composed& a, const composed& b) { return traits::equal(a.inner_, b.inner_); }

protected:
    Inner inner_;
};

} // namespace joinery
