// SPDX-License-Identifier: Apache-2.0
#pragma once

// What the tests of texts have in common: a value around a text, writers of it, and their edits.

#include <joinery/codec.hpp>
#include <joinery/replica.hpp>
#include <joinery/rga_text.hpp>

#include <doctest/doctest.h>

#include <string>
#include <vector>

namespace text_tests {

using joinery::causal_context;
using joinery::delta;
using joinery::dot;
using joinery::dot_range;
using joinery::replica;
using joinery::replica_id;
using joinery::rga_text;
using joinery::text_fragment;
using joinery::transaction;
using joinery::version_vector;

/// A value around a text, as a map's or a record's is: it can be wiped, which is a removal from outside.
struct note {
    using fragment = text_fragment;
    rga_text text;

    void wipe(transaction& tx) {
        joinery::kills killed;
        text.clear(tx, killed);
        dot event = tx.next();
        tx.record(event, std::move(killed));
    }
    void extract(const causal_context& wanted, fragment& out) const { text.extract(wanted, out); }
    void extract_edit(const causal_context& dots, fragment& out) { text.extract_edit(dots, out); }
    void join(const fragment& f, joinery::join_scope& s) { text.join(f, s); }
    void kill(const dot_range& dots, joinery::join_scope& s) { text.kill(dots, s); }
    void clear(transaction& tx, joinery::kills& out) { text.clear(tx, out); }
    void prune(const version_vector& stable, std::span<const dot_range> settled, joinery::dot_sink* sink) {
        text.prune(stable, settled, sink);
    }
    static void keep_live(fragment& f) { rga_text::keep_live(f); }
    void known_removed(const causal_context& dots, causal_context& out) const { text.known_removed(dots, out); }
    bool empty() const { return text.empty(); }
    bool vacant() const { return text.vacant(); }
    std::uint64_t digest(const causal_context& all) const { return text.digest(all); }
    static std::string type_name() { return "note"; }
    friend bool operator==(const note&, const note&) = default;
};

using writer = replica<note>;
using note_delta = delta<note>;

inline constexpr replica_id id_a{0xa};
inline constexpr replica_id id_b{0xb};
inline constexpr replica_id id_c{0xc};
inline constexpr replica_id id_d{0xd};

inline note_delta insert(writer& w, std::size_t pos, const std::string& what) {
    return w.edit([&](note& n, transaction& tx) { n.text.insert(tx, pos, what); });
}
inline note_delta erase(writer& w, std::size_t pos, std::size_t n) {
    return w.edit([&](note& x, transaction& tx) { x.text.erase(tx, pos, n); });
}
inline note_delta wipe(writer& w) {
    return w.edit([](note& n, transaction& tx) { n.wipe(tx); });
}
inline std::string str(const writer& w) { return w->text.str(); }

template <class... W> void check_converged(writer& first, W&... others) {
    std::vector<writer*> all{&first, &others...};
    for (int round = 0; round < 2; ++round)
        for (auto* to : all)
            for (auto* from : all)
                if (to != from) to->join(from->delta_since(to->version()));
    for (auto* w : all) {
        CHECK(w->state() == first.state());
        CHECK(str(*w) == str(first));
        CHECK(w->state().digest() == first.state().digest());
    }
}

/// A round through the wire.
inline note_delta sent(const note_delta& d) {
    auto bytes = joinery::encode(d);
    auto back = joinery::decode<note_delta>(bytes);
    REQUIRE(back);
    CHECK(*back == d);
    CHECK(joinery::encode(*back) == bytes);
    return *back;
}

/// What f throws is the caller's; what the edit has done by then is undone.
template <class F> void undone(writer& w, F&& f) {
    struct cancelled {};
    auto before = joinery::encode(w.state());
    CHECK_THROWS_AS(w.edit([&](note& n, transaction& tx) {
        f(n, tx);
        throw cancelled{};
    }),
                    cancelled);
    CHECK(joinery::encode(w.state()) == before);
}

} // namespace text_tests
