// SPDX-License-Identifier: Apache-2.0
#include "answers.hpp"

#include "stored_items.hpp"

#include <algorithm>

namespace joinery {

bool staged_answer::add(const chunk& c, std::size_t max_ahead) {
    if (!total_) {
        answer_ = c.answer;
        total_ = c.total;
    }
    if (c.total != *total_ || c.offset + c.bytes.size() <= prefix_.size() || later_.contains(c.offset)) return false;
    if (c.offset > prefix_.size()) {
        if (c.bytes.size() > max_ahead || later_bytes_ > max_ahead - c.bytes.size()) return false;
        later_bytes_ += c.bytes.size();
        later_.emplace(c.offset, std::vector<std::byte>(c.bytes.begin(), c.bytes.end()));
        return true;
    }
    auto append = [&](std::uint64_t offset, std::span<const std::byte> bytes) {
        if (offset + bytes.size() <= prefix_.size()) return;
        const auto fresh = bytes.subspan(static_cast<std::size_t>(prefix_.size() - offset));
        prefix_.insert(prefix_.end(), fresh.begin(), fresh.end());
    };
    append(c.offset, c.bytes);
    while (!later_.empty() && later_.begin()->first <= prefix_.size()) {
        append(later_.begin()->first, later_.begin()->second);
        later_bytes_ -= later_.begin()->second.size();
        later_.erase(later_.begin());
    }
    return true;
}

void staged_answer::clear() { *this = {}; }

result<answer_parts, decode_error> parts_of(std::span<const std::byte> answer) {
    answer_parts parts;
    compact_input_archive ar(answer);
    try {
        parts.horizon = ar.read_version_vector();
        parts.header = answer.size() - ar.remaining();
        while (ar.remaining() > 0) {
            const auto size = ar.varint();
            if (size == 0) ar.fail(decode_error::invalid_value);
            parts.deltas.push_back(ar.raw(size));
        }
    } catch (const decode_failure& e) {
        return failure<decode_error>(e.reason);
    }
    if (parts.deltas.empty()) return failure<decode_error>(decode_error::truncated);
    return parts;
}

void begin_answer(std::vector<std::byte>& bytes, const version_vector& horizon) {
    bytes.clear();
    compact_output_archive(bytes).write(horizon);
}

answer_book::answer* answer_book::find(replica_id peer, std::uint64_t request) {
    const auto at = answers_.find({peer, request});
    return at == answers_.end() ? nullptr : &at->second;
}

bool answer_book::has_room(const answer& a, std::size_t max_answers) const {
    std::size_t all = 0, its = 0;
    for (const auto& [name, other] : answers_) {
        if (other.peer == a.peer && other.channel == a.channel) continue;
        ++all;
        if (other.peer == a.peer || other.pace == a.pace) ++its;
    }
    return all < max_answers && its < std::max<std::size_t>(max_answers / 4, 1);
}

answer_book::answer& answer_book::add(answer a) {
    for (auto at = answers_.lower_bound({a.peer, 0}); at != answers_.end() && at->first.first == a.peer;)
        at = at->second.channel == a.channel ? drop(at) : std::next(at);
    bytes_ += a.bytes.size();
    const std::pair key(a.peer, a.request);
    return answers_.emplace(key, std::move(a)).first->second;
}

void answer_book::begin(answer& a, const version_vector& horizon) {
    bytes_ -= a.bytes.size();
    begin_answer(a.bytes, horizon);
    bytes_ += a.bytes.size();
}

void answer_book::grow(answer& a, std::span<const std::byte> delta) {
    bytes_ -= a.bytes.size();
    put_item(a.bytes, delta);
    bytes_ += a.bytes.size();
}

answer_book::map::iterator answer_book::drop(map::iterator at) {
    bytes_ -= at->second.bytes.size();
    return answers_.erase(at);
}

void answer_book::erase(replica_id peer, std::uint64_t request) {
    if (const auto at = answers_.find({peer, request}); at != answers_.end()) drop(at);
}

void answer_book::erase(replica_id peer) {
    for (auto at = answers_.lower_bound({peer, 0}); at != answers_.end() && at->first.first == peer;) at = drop(at);
}

void answer_book::clear() {
    answers_.clear();
    bytes_ = 0;
}

std::optional<std::chrono::milliseconds> answer_book::expire(std::chrono::milliseconds now) {
    std::optional<std::chrono::milliseconds> next;
    for (auto at = answers_.begin(); at != answers_.end();) {
        if (at->second.expires <= now) {
            at = drop(at);
        } else {
            next = next ? std::min(*next, at->second.expires) : at->second.expires;
            ++at;
        }
    }
    return next;
}

} // namespace joinery
