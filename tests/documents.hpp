// SPDX-License-Identifier: Apache-2.0
#pragma once

// Edits of documents, as callables.

#include "replicas.hpp"

#include <joinery/document.hpp>

#include <doctest/doctest.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace documents {

using joinery::document;
using joinery::replica;
using joinery::transaction;
using joinery::unique_id;
using kind = document::kind;
using kinds = std::vector<kind>;
using scalars = std::vector<document::scalar>;
using strings = std::vector<std::string>;

inline auto setting(document::path at, document::scalar v) {
    return [=](document& d, transaction& tx) { d.set(tx, at, v); };
}
inline auto making(document::path at, kind what) {
    return [=](document& d, transaction& tx) { d.make(tx, at, what); };
}
inline auto erasing(document::path at) {
    return [=](document& d, transaction& tx) { d.erase(tx, at); };
}
inline auto counting(document::path at, std::int64_t n) {
    return [=](document& d, transaction& tx) { d.increment(tx, at, n); };
}
inline auto typing(document::path at, std::size_t pos, std::string text) {
    return [=](document& d, transaction& tx) { d.insert_text(tx, at, pos, text); };
}
inline auto inserting(document::path at, std::size_t pos, document::scalar v) {
    return [=](document& d, transaction& tx) { d.insert(tx, at, pos, v); };
}
inline auto moving(document::path at, std::size_t to) {
    return [=](document& d, transaction& tx) { d.move(tx, at, to); };
}
inline auto importing(std::string json, document::path at = {}) {
    return [=](document& d, transaction& tx) {
        const auto done = d.import_json(tx, at, json);
        INFO(json);
        REQUIRE(done);
    };
}

// Two replicas that have seen the same document.
struct pair {
    replica<document> a{id_a}, b{id_b};
    explicit pair(const std::string& json) {
        a.edit(importing(json));
        b.join(a.state());
    }
};

inline std::string imported(const std::string& json) {
    replica<document> r{id_a};
    r.edit(importing(json));
    return r->to_json();
}

} // namespace documents
