// SPDX-License-Identifier: Apache-2.0
#pragma once

// Pages with a text, which leaves tombstones, beside the sets of the nodes on a router.

#include "engine_router.hpp"

#include <joinery/or_map.hpp>
#include <joinery/pn_counter.hpp>
#include <joinery/record.hpp>
#include <joinery/rga_text.hpp>

#include <initializer_list>
#include <memory>
#include <optional>
#include <string>
#include <vector>

struct page {
    joinery::rga_text text;
    joinery::or_map<std::string, joinery::pn_counter> votes;
    joinery::or_set<std::string> tags;
};
JOINERY_RECORD(page, (1, text), (2, votes), (3, tags))

/// Pages beside the sets of the nodes, by place.
struct pages {
    router& r;
    std::vector<std::unique_ptr<joinery::replicated<page>>> all;
    std::vector<joinery::collection_id> numbers;

    explicit pages(router& to) : r(to) {
        for (std::size_t i = 0; i < r.nodes.size(); ++i) open(i);
    }
    void open(std::size_t i) {
        all.resize(std::max(all.size(), i + 1));
        numbers.resize(all.size());
        all[i] = std::make_unique<joinery::replicated<page>>();
        if (r.nodes[i]->engine) numbers[i] = r.nodes[i]->engine->attach("page", *all[i]);
    }
    void restart(std::size_t i) {
        r.nodes[i]->crash();
        all[i].reset();
        r.nodes[i]->start();
        open(i);
    }
    template <class F> joinery::dot_range edit(std::size_t i, F&& f) {
        std::optional<joinery::dot_range> dots;
        {
            std::lock_guard lock(all[i]->mutex());
            dots = all[i]->edit(f);
        }
        r.nodes[i]->engine->flush();
        return *dots;
    }
    void type(std::size_t i, std::size_t at, const std::string& what) {
        edit(i, [&](auto& p, auto& tx) { p.text.insert(tx, at, what); });
    }
    void erase(std::size_t i, std::size_t at, std::size_t n) {
        edit(i, [&](auto& p, auto& tx) { p.text.erase(tx, at, n); });
    }
    void vote(std::size_t i, const std::string& for_what, int n) {
        edit(i, [&](auto& p, auto& tx) {
            p.votes.update(tx, for_what, [&](auto& c) { n > 0 ? c.increment(tx, n) : c.decrement(tx, -n); });
        });
    }
    std::string text(std::size_t i) const { return (*all[i])->text.str(); }
    std::int64_t votes(std::size_t i, const std::string& for_what) const {
        const auto* c = (*all[i])->votes.find(for_what);
        return c ? c->value() : 0;
    }
    const joinery::version_vector& horizon(std::size_t i) const { return all[i]->get().state().horizon(); }
    bool held(std::size_t i) const { return r.nodes[i]->engine->status(numbers[i]).held; }
    joinery::collection_status status(std::size_t i) const { return r.nodes[i]->engine->status(numbers[i]); }
    void check_equal() const {
        for (std::size_t i = 1; i < all.size(); ++i) {
            CAPTURE(i);
            CHECK(all[i]->get().state() == all[0]->get().state());
        }
    }
};

/// Starts the nodes, these too, each with a page, and links them all.
inline pages start_pages(router& r, std::initializer_list<const char*> names = {}) {
    for (const char* name : names) r.add(name);
    for (auto& n : r.nodes) n->start();
    pages p(r);
    r.link_all();
    r.run(std::chrono::seconds(2));
    return p;
}

inline std::size_t records(const test_engine& n) {
    std::size_t count = 0;
    n.set->get().state().removals().for_each([&](const auto&...) { ++count; });
    return count;
}

inline void start(router& r, std::initializer_list<const char*> names) {
    for (const char* name : names) r.add(name).start();
}

inline void start_chain(router& r, std::size_t n) {
    for (std::size_t i = 0; i < n; ++i) r.add(std::string(1, static_cast<char>('a' + i))).start();
    for (std::size_t i = 1; i < n; ++i) r.link(i - 1, i);
    r.run(std::chrono::seconds(2));
}
