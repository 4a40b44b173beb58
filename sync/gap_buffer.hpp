// SPDX-License-Identifier: Apache-2.0
#pragma once

// Updates that cannot be applied yet, because an earlier edit of their origin or something that they depend
// on is missing. Each waits once, whatever its number of arrivals.

#include <joinery/dot.hpp>
#include <joinery/transport.hpp>
#include <joinery/version_vector.hpp>

#include <cstddef>
#include <map>
#include <span>
#include <utility>
#include <vector>

namespace joinery {

class gap_buffer {
public:
    struct held_update {
        dot_range dots;
        link_id from = 0; // where it came from first
        version_vector dependencies;
        std::vector<std::byte> delta;
    };

    bool empty() const { return held_.empty(); }
    std::size_t size() const { return held_.size(); }
    /// Memory in use, about.
    std::size_t bytes() const { return bytes_; }
    /// Of what came on this link.
    std::size_t bytes(link_id from) const {
        const auto at = of_link_.find(from);
        return at == of_link_.end() ? 0 : at->second;
    }

    /// True if it was not there yet.
    bool add(const dot_range& dots, link_id from, const version_vector& dependencies, std::span<const std::byte> delta);
    void clear();
    /// Forgets the updates of this origin; how many there were.
    std::size_t erase(replica_id origin);
    /// Forgets what came on this link; how many updates there were. O(all).
    std::size_t erase_from(link_id from);

    /// Forgets what `version` has, and takes out the updates that can be applied at that version, one for each
    /// call; `f(const held_update&)` applies it and raises `version`, or gives false.
    /// Ends when there is none left, or at the first that f refuses, which is forgotten too.
    template <class F> void drain(const version_vector& version, F&& apply);

private:
    static constexpr std::size_t overhead = 128; // of an entry besides its bytes
    std::map<dot, held_update> held_;            // by first dot
    std::size_t bytes_ = 0;
    std::map<link_id, std::size_t> of_link_;

    static std::size_t cost(const held_update& u) {
        return overhead + u.delta.size() + u.dependencies.size() * sizeof(version_vector::value_type);
    }
    std::map<dot, held_update>::iterator erase(std::map<dot, held_update>::iterator at);
    std::map<dot, held_update>::iterator next_ready(const version_vector& version);
};

template <class F> void gap_buffer::drain(const version_vector& version, F&& apply) {
    for (auto at = next_ready(version); at != held_.end(); at = next_ready(version)) {
        const bool applied = apply(std::as_const(at->second));
        erase(at);
        if (!applied) return;
    }
}

} // namespace joinery
