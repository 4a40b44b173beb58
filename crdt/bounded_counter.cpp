// SPDX-License-Identifier: Apache-2.0
#include <joinery/bounded_counter.hpp>

#include <fmt/format.h>

#include <algorithm>

namespace joinery {

namespace {
// Sums of what counts up and of what counts down. They stop at 2^64 - 1, so that nothing that arrives can overflow.
class balance {
public:
    void add(std::int64_t n) { n < 0 ? raise(down_, n) : raise(up_, n); }
    void take(std::int64_t n) { n < 0 ? raise(up_, n) : raise(down_, n); }
    std::uint64_t left() const { return up_ > down_ ? up_ - down_ : 0; }

private:
    std::uint64_t up_ = 0, down_ = 0;
    static void raise(std::uint64_t& sum, std::int64_t n) {
        const auto size = n < 0 ? 0 - static_cast<std::uint64_t>(n) : static_cast<std::uint64_t>(n);
        sum += std::min(size, UINT64_MAX - sum);
    }
};

// What was passed on counts once, as its owner did it: one that was evicted makes its edits anew under another id, and
// whoever was away may bring them as they were, too.
std::int64_t counted_in(const detail::rights_account& account, const pn_counter& counted) {
    return account.from == account.to ? counted.value() : counted.value(account.from);
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
    balance all;
    for (const auto& [account, counted] : inner_)
        if (account.from == account.to) all.add(counted.value());
    return all.left();
}

std::uint64_t bounded_counter::rights(replica_id r) const {
    balance mine;
    for (const auto& [account, counted] : inner_) {
        if (account.to == r) mine.add(counted_in(account, counted));
        if (account.from == r && account.to != r) mine.take(counted_in(account, counted));
    }
    return mine.left();
}

std::map<replica_id, std::uint64_t> bounded_counter::rights() const {
    std::map<replica_id, balance> all;
    for (const auto& [account, counted] : inner_) {
        all[account.to].add(counted_in(account, counted));
        if (account.from != account.to) all[account.from].take(counted_in(account, counted));
    }
    std::map<replica_id, std::uint64_t> out;
    for (const auto& [who, has] : all)
        if (const auto n = has.left(); n > 0) out.emplace(who, n);
    return out;
}

} // namespace joinery
