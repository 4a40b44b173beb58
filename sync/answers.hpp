// SPDX-License-Identifier: Apache-2.0
#pragma once

// Both ends of a pull's answer, which is encoded deltas, cut into chunks without regard to them: the end that collects
// it, and the end that holds the answers which are on their way.

#include "token_bucket.hpp"

#include <joinery/messages.hpp>
#include <joinery/result.hpp>
#include <joinery/transport.hpp>

#include <chrono>
#include <cstddef>
#include <map>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

namespace joinery {

/// An incoming answer: chunks in any order, any number of times, all of one answer.
class staged_answer {
public:
    bool empty() const { return !total_; }
    std::uint64_t answer() const { return answer_; }
    /// All bytes below this have arrived.
    std::uint64_t prefix() const { return prefix_.size(); }
    bool complete() const { return total_ && prefix_.size() == *total_; }

    /// True if the chunk was new and is kept; at most `max_ahead` bytes are, beyond the prefix. Requires: the
    /// first, or of the same answer as the first.
    bool add(const chunk& c, std::size_t max_ahead);
    void clear();
    /// Requires: complete.
    const std::vector<std::byte>& bytes() const { return prefix_; }

private:
    std::uint64_t answer_ = 0;
    std::optional<std::uint64_t> total_;
    std::vector<std::byte> prefix_;
    std::map<std::uint64_t, std::vector<std::byte>> later_; // by offset, beyond the prefix
    std::size_t later_bytes_ = 0;
};

/// What an answer consists of. The deltas refer to its bytes.
struct answer_parts {
    version_vector horizon; ///< if they are parts of a complete state: what that has pruned
    std::vector<std::span<const std::byte>> deltas;
    std::size_t header = 0; ///< the bytes before the deltas
};
result<answer_parts, decode_error> parts_of(std::span<const std::byte> answer);

/// Begins the bytes of an answer; put_item (stored_items.hpp) adds its deltas.
void begin_answer(std::vector<std::byte>& bytes, const version_vector& horizon);

/// How much is read of a state at one go.
struct step_size {
    std::uint64_t dots;
    std::size_t bytes; ///< once a step was greater the next ones have fewer dots
};

/// A great state is read step by step, so that nobody has to wait for it; what happens meanwhile is the last part.
struct steps_of_state {
    step_size most;
    version_vector until, horizon; ///< when it began
    std::vector<dot_range> left;   ///< the next are at the end
    std::uint64_t dots = 0;        ///< of one step
    bool made = false;             ///< at least one
};
struct steps_of_answer : steps_of_state {
    version_vector since;
    std::chrono::milliseconds told{};
};

/// The outgoing answers.
class answer_book {
public:
    struct answer {
        replica_id peer;
        link_id link = 0;
        joinery::channel channel;
        std::uint64_t request = 0;
        std::shared_ptr<answer_pace> pace; ///< of the key that it is for, or of the link
        std::vector<std::byte> bytes;
        std::uint64_t digest = 0;
        std::uint64_t sent = 0, received = 0, until = 0;
        std::chrono::milliseconds expires{};

        std::optional<steps_of_answer> making;

        bool can_send() const { return !making && sent < until && sent < bytes.size(); }
    };

    answer* find(replica_id peer, std::uint64_t request);
    /// True if it may be added: no peer and no key gets more than a quarter of the places. One for the same peer and
    /// channel gives its place up.
    bool has_room(const answer& a, std::size_t max_answers) const;
    /// True if it may grow: the others do not take so many bytes. So all together are not greater than that and one.
    bool may_grow(const answer& a, std::size_t max_bytes) const { return bytes_ - a.bytes.size() < max_bytes; }
    /// In place of one for the same peer and channel, which asks for one thing after the other.
    answer& add(answer a);
    /// Begins its bytes, again if need be.
    void begin(answer& a, const version_vector& horizon);
    /// One more delta of it was made.
    void grow(answer& a, std::span<const std::byte> delta);
    void erase(replica_id peer, std::uint64_t request);
    /// All that are for this peer.
    void erase(replica_id peer);
    void clear();
    bool empty() const { return answers_.empty(); }

    auto begin() { return answers_.begin(); }
    auto end() { return answers_.end(); }
    /// Drops those whose time is over; the next time at which one will be.
    std::optional<std::chrono::milliseconds> expire(std::chrono::milliseconds now);

private:
    using map = std::map<std::pair<replica_id, std::uint64_t>, answer>;
    map answers_;
    std::size_t bytes_ = 0;

    map::iterator drop(map::iterator at);
};

} // namespace joinery
