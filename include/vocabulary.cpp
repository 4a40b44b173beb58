// SPDX-License-Identifier: Apache-2.0
#include <joinery/dot.hpp>
#include <joinery/replica_id.hpp>
#include <joinery/version_vector.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <random>

namespace joinery {

replica_id replica_id::random() {
    std::random_device entropy;
    std::uint64_t value = 0;
    while (value == 0) value = (std::uint64_t{entropy()} << 32) | entropy();
    return replica_id{value};
}

std::string to_string(replica_id id) { return fmt::format("{:016x}", id.value()); }

std::string to_string(dot d) { return fmt::format("{:016x}:{}", d.replica.value(), d.seq); }

namespace {
constexpr auto by_replica = [](const version_vector::value_type& e, replica_id r) { return e.first < r; };
}

version_vector::version_vector(std::initializer_list<value_type> entries) {
    for (const auto& [r, seq] : entries) raise(r, seq);
}

std::uint64_t version_vector::operator[](replica_id r) const {
    auto it = std::lower_bound(entries_.begin(), entries_.end(), r, by_replica);
    return it != entries_.end() && it->first == r ? it->second : 0;
}

bool version_vector::raise(replica_id r, std::uint64_t seq) {
    if (seq == 0) return false;
    auto it = std::lower_bound(entries_.begin(), entries_.end(), r, by_replica);
    if (it == entries_.end() || it->first != r) {
        entries_.insert(it, {r, seq});
        return true;
    }
    if (it->second >= seq) return false;
    it->second = seq;
    return true;
}

void version_vector::set(replica_id r, std::uint64_t seq) {
    auto it = std::lower_bound(entries_.begin(), entries_.end(), r, by_replica);
    bool present = it != entries_.end() && it->first == r;
    if (seq == 0) {
        if (present) entries_.erase(it);
    } else if (present) {
        it->second = seq;
    } else {
        entries_.insert(it, {r, seq});
    }
}

bool version_vector::join(const version_vector& other) {
    bool grew = false;
    std::vector<value_type> merged;
    merged.reserve(std::max(entries_.size(), other.entries_.size()));
    auto a = entries_.begin();
    auto b = other.entries_.begin();
    while (a != entries_.end() || b != other.entries_.end()) {
        if (b == other.entries_.end() || (a != entries_.end() && a->first < b->first)) {
            merged.push_back(*a++);
        } else if (a == entries_.end() || b->first < a->first) {
            merged.push_back(*b++);
            grew = true;
        } else {
            grew |= b->second > a->second;
            merged.emplace_back(a->first, std::max(a->second, b->second));
            ++a, ++b;
        }
    }
    if (grew) entries_ = std::move(merged);
    return grew;
}

void version_vector::meet(const version_vector& other) {
    for (auto& [r, seq] : entries_) seq = std::min(seq, other[r]);
    std::erase_if(entries_, [](const value_type& e) { return e.second == 0; });
}

bool version_vector::within(const version_vector& other) const {
    return std::all_of(entries_.begin(), entries_.end(),
                       [&](const value_type& e) { return e.second <= other[e.first]; });
}

std::string to_string(const version_vector& v) {
    std::string out = "{";
    for (const auto& [r, seq] : v)
        fmt::format_to(std::back_inserter(out), "{}{:x}:{}", out.size() > 1 ? ", " : "", r.value(), seq);
    return out + "}";
}

} // namespace joinery
