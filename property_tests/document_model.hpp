// SPDX-License-Identifier: Apache-2.0
#pragma once

// What documents mean, as a function of a causally closed history and of nothing else.
//
// An edit writes entries, each at a path, and kills entries that it had seen. What is there is what lives. Paths are
// text: "/key" leads into a map, "#name" into a list, and a prefix to a document in something else.

#include <joinery/convergence.hpp>
#include <joinery/document.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

namespace document_model {

using joinery::document;
using joinery::timestamp;
using kind = document::kind;

struct facts;

struct operation {
    enum class act { set, make, insert, move, erase, count, type, cut, import };
    act what = act::erase;
    std::string path{};
    kind made = kind::value; ///< what is made, or inserted; a value: `value`
    std::string value{};
    timestamp at{};
    std::int64_t amount = 0;
    std::size_t position = 0;
    std::size_t count = 0;
    std::string element{}; ///< the name of what was inserted, or moved
    mutable std::shared_ptr<const facts> known{};
};
using act = operation::act;
using event = joinery::testing::event<operation>;
using history = joinery::testing::seen_events<operation>;

/// The node at a path: "(map /a(...) list #x(...) text "abc" counter 3 value [1 2])"; "()" if nothing is there.
std::string node_text(const history& seen, const std::string& path);
std::string to_string(const operation& o);

} // namespace document_model
