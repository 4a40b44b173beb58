// SPDX-License-Identifier: Apache-2.0
#include <joinery/bounded_counter.hpp>

#include <fmt/format.h>

#include <algorithm>

namespace joinery {

namespace {
std::uint64_t not_negative(std::int64_t n) { return static_cast<std::uint64_t>(std::max<std::int64_t>(n, 0)); }
// Modulo 2^64, so that nothing that arrives can overflow.
std::int64_t sum(std::int64_t a, std::int64_t b) {
    return static_cast<std::int64_t>(static_cast<std::uint64_t>(a) + static_cast<std::uint64_t>(b));
}
std::int64_t difference(std::int64_t a, std::int64_t b) {
    return static_cast<std::int64_t>(static_cast<std::uint64_t>(a) - static_cast<std::uint64_t>(b));
}
} // namespace

insufficient_rights::insufficient_rights(std::uint64_t wanted, std::uint64_t available)
    : std::runtime_error(
          fmt::format("bounded_counter: {} wanted, of which this replica has the right to {}", wanted, available)),
      wanted_(wanted),
      available_(available) {}

void bounded_counter::need(const transaction& tx, std::uint64_t n) const {
    if (const auto there = available(tx); n > there) throw insufficient_rights(n, there);
}

void bounded_counter::increment(transaction& tx, std::uint64_t n) {
    if (n > 0) inner_.at(tx, {tx.replica(), tx.replica()})->increment(tx, n);
}

void bounded_counter::decrement(transaction& tx, std::uint64_t n) {
    need(tx, n);
    if (n > 0) inner_.at(tx, {tx.replica(), tx.replica()})->decrement(tx, n);
}

void bounded_counter::transfer(transaction& tx, replica_id to, std::uint64_t n) {
    if (to == tx.replica()) throw std::invalid_argument("bounded_counter: rights passed on to their owner");
    need(tx, n);
    if (n > 0) inner_.at(tx, {tx.replica(), to})->increment(tx, n);
}

std::uint64_t bounded_counter::value() const {
    std::int64_t all = 0;
    for (const auto& [account, counted] : inner_)
        if (account.from == account.to) all = sum(all, counted.value());
    return not_negative(all);
}

std::uint64_t bounded_counter::rights(replica_id r) const {
    std::int64_t mine = 0;
    for (const auto& [account, counted] : inner_) {
        if (account.to == r) mine = sum(mine, counted.value());
        if (account.from == r && account.to != r) mine = difference(mine, counted.value());
    }
    return not_negative(mine);
}

} // namespace joinery
