// SPDX-License-Identifier: Apache-2.0
#pragma once

// A node's status in the text format that Prometheus scrapes, version 0.0.4: serve it over HTTP as
// `text/plain; version=0.0.4; charset=utf-8`. docs/operations.md says what each metric means.

#include <joinery/node.hpp>

#include <string>

namespace joinery {

/// All metrics of a node, each with its HELP and TYPE, in a stable order. Every sample has the label `node`, those of
/// peers also `peer` (a name or, without one, the id) and `peer_id`, those of collections `collection`. Names are
/// escaped; bytes of theirs that are not UTF-8 become U+FFFD. O(peers x collections).
std::string prometheus_text(const node_status& s);

} // namespace joinery
