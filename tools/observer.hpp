// SPDX-License-Identifier: Apache-2.0
#pragma once

// Asks leaders what they are and have, over the protocol that they speak with each other, without being a member of
// anything: its hello names no collections. It leaves their questions unanswered, since a leader that was restarted
// counts answers before it publishes.

#include "contents.hpp"

#include <joinery/messages.hpp>
#include <joinery/transport.hpp>

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace joinery::tool {

using steady_time = std::chrono::steady_clock::time_point;

/// What one leader has said of itself.
struct observed_leader {
    std::string endpoint;
    bool connected = false;
    std::optional<hello> said;  ///< the last; its collections are of all of its frames
    std::uint64_t restarts = 0; ///< other instances seen since
    std::optional<steady_time> heard;
    std::uint64_t frames = 0, bytes = 0, updates = 0, refused = 0; ///< that came from it
    struct view {
        version_vector version;              ///< the last that it told
        std::uint64_t members = 0;           ///< the digest of its list of members
        std::optional<std::uint64_t> digest; ///< at exactly `digest_at`
        version_vector digest_at;
    };
    std::map<std::uint64_t, view> views; ///< by channel
};

/// One connection to one leader. Not thread-safe.
class observer final : private transport_events {
public:
    /// Starts to dial, with the keys of a file if there is one. Throws tool_error for a bad endpoint or file.
    observer(const std::string& endpoint, bool insecure, const std::string& identity);
    ~observer();

    const observed_leader& seen() const { return seen_; }
    /// Asks it what it has, unless that has just been asked; also what keeps it from taking this for dead.
    void ask();
    /// Sees to what comes, for that long at most; until `enough` says so.
    void run(std::chrono::milliseconds time, const std::function<bool()>& enough = {});
    /// Digests of these dots, if it is at that version now; none if it is not, or does not answer in time.
    std::vector<std::uint64_t> digests_of(channel c, const version_vector& at, const causal_context& dots,
                                          std::uint64_t width, std::chrono::milliseconds time);

private:
    observed_leader seen_;
    std::unique_ptr<transport> wire_;
    std::optional<link_id> link_;
    hello mine_;
    steady_time asked_{};
    bool answered_ = true;
    std::uint64_t request_ = 0;
    std::vector<hello::collection> parts_; // of a hello in several frames
    std::optional<digests> answer_;

    void send(message_batch& batch);
    void take(const hello& m);
    void take(const beacon& m);
    void received(link_id link, std::span<const std::byte> frame) override;
    void connected(link_id link) override;
    void disconnected(link_id link) override;
};

} // namespace joinery::tool
