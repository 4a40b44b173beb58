// SPDX-License-Identifier: Apache-2.0
#pragma once

// A client that moves between leaders sees its own writes, and never less than it has seen before: what it reads and
// writes at one leader comes after what it has read and written at others.
// Source: Terry et al., "Session Guarantees for Weakly Consistent Replicated Data" (1994).
//
//     joinery::session mine;
//     mine.write(eu, [](auto& cart, auto& tx) { cart.add(tx, "milk"); });
//     bool there = mine.read(us, [](const auto& cart) { return cart.contains("milk"); }); // waits until it is there
//
// Its token can be kept by the client, as a cookie, and be given to another process: encode(mine), decode<session>.

#include <joinery/leader.hpp>

#include <chrono>
#include <map>
#include <stdexcept>
#include <string>
#include <utility>

namespace joinery {

/// What a session has seen did not come to a leader in time. Nothing was read or written there.
struct session_behind : std::runtime_error {
    using std::runtime_error::runtime_error;
};

/// Read your writes, monotonic reads, monotonic writes, and writes follow reads; for each collection apart. A token
/// takes some ten bytes for each replica that ever wrote. What a leader has lost with its process, because it was not
/// durable, cannot be waited for; nor can an edit by the id that it was made under, if it has another since, because
/// its leader was evicted or shared its id (events `new_id`). As it waits, it cannot be used on a leader's own thread,
/// in subscribers (std::logic_error). Thread safety: none.
class session {
public:
    explicit session(std::chrono::milliseconds patience = std::chrono::seconds(5)) : patience_(patience) {}

    /// As leader::write. Throws session_behind too.
    template <class Leader, class F> write_result write(Leader& at, F&& f, const write_options& options = {}) {
        arrive(at);
        auto result = at.write(std::forward<F>(f), options);
        // What f has seen comes before what it wrote; if that was nothing, it has read.
        const auto seen =
            result.dots ? result.token() : at.read([](const auto&) { return true; }, read_options()).token;
        tokens_[at.name()].join(seen);
        return result;
    }
    /// As leader::read. Throws session_behind too.
    template <class Leader, class F> auto read(const Leader& at, F&& f) {
        return read(at, std::forward<F>(f), read_options()).value;
    }
    /// As leader::read: what others have too is part of what this session has seen then.
    template <class Leader, class F> auto read(const Leader& at, F&& f, const read_options& options) {
        arrive(at);
        auto result = at.read(std::forward<F>(f), options);
        tokens_[at.name()].join(result.token);
        return result;
    }

    /// What was seen of a collection.
    version_vector token(const std::string& collection) const {
        const auto known = tokens_.find(collection);
        return known == tokens_.end() ? version_vector() : known->second;
    }

    template <class Archive> void serialize(Archive& ar) { ar(cereal::make_nvp("tokens", tokens_)); }

private:
    std::chrono::milliseconds patience_;
    std::map<std::string, version_vector> tokens_;

    template <class Leader> void arrive(const Leader& at) {
        const auto seen = token(at.name());
        if (at.sync_to(seen, patience_)) return;
        throw session_behind("\"" + at.name() + "\": what this session has seen elsewhere, " + to_string(seen) +
                             ", is not all here yet: " + to_string(at.version()));
    }
};

} // namespace joinery
