// SPDX-License-Identifier: Apache-2.0
#pragma once

// The rights of a bounded_counter, where they are needed: a leader whose own do not suffice asks others for theirs, and
// waits. Those with most are asked first, as many at once as it seems to take; each gives at most half of what it can
// spare, by an edit that passes them on, so that none is ever lost or doubled, whatever is lost on the way. Who waits
// for some itself keeps them from those that wait for less long; so the one that waits longest always gets on.
//
//     struct shop { joinery::or_map<std::string, joinery::bounded_counter> stock; joinery::g_counter sold; };
//     joinery::rights_exchange stock(leader, [](shop& s, auto& tx, const std::string& article, auto&& f) {
//         s.stock.update(tx, article, f);
//     });
//     if (!stock.decrement("tea", 5, 2s).complete) std::cout << "not enough within reach\n";

#include <joinery/bounded_counter.hpp>
#include <joinery/leader.hpp>

#include <algorithm>
#include <chrono>
#include <concepts>
#include <cstdint>
#include <functional>
#include <list>
#include <map>
#include <mutex>
#include <set>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace joinery {

struct rights_result {
    bool complete = false;           ///< this leader had the rights in time
    std::uint64_t available = 0;     ///< what it has at the end
    std::uint64_t elsewhere = 0;     ///< what others have, as far as is known here
    std::vector<replica_id> missing; ///< of those who did not answer when last asked
};

namespace detail {

struct rights_order {
    std::string key;
    std::uint64_t wanted = 0;
    std::uint64_t waited = 0; // milliseconds
    template <class Archive> void serialize(Archive& ar) {
        ar(CEREAL_NVP(key), CEREAL_NVP(wanted), CEREAL_NVP(waited));
    }
};

struct rights_grant {
    std::uint64_t given = 0;
    version_vector token; // of the edit that passes them on
    template <class Archive> void serialize(Archive& ar) { ar(CEREAL_NVP(given), CEREAL_NVP(token)); }
};

} // namespace detail

/// Where the value is the counter.
struct whole_counter {
    void operator()(bounded_counter& c, transaction&, const std::string&, auto&& f) const { f(c); }
};

/// One at each leader. select(T&, transaction&, key, f) calls f(bounded_counter&) for the counter that the key names,
/// or not at all. Whoever has rights has to have one, or nobody gets any of them. Thread safety: all members may be
/// called from any thread.
template <class Leader, class Select = whole_counter> class rights_exchange {
public:
    using value_type = typename Leader::value_type;

    /// With more than one in a collection, each needs a service of its own name.
    explicit rights_exchange(Leader at, Select select = {}, std::string service = "joinery.rights")
        : at_(std::move(at)),
          select_(std::move(select)),
          service_(std::move(service)),
          serving_(at_.serve(service_, [this](replica_id from, std::span<const std::byte> bytes) {
              const auto order = decode<detail::rights_order>(bytes);
              return order ? encode(give(from, *order)) : std::vector<std::byte>();
          })) {}
    rights_exchange(const rights_exchange&) = delete;
    rights_exchange& operator=(const rights_exchange&) = delete;

    /// Counts down by n, and runs also(T&, transaction&) in the same edit, as soon as this leader's rights suffice; for
    /// as long as they do not, asks others for theirs. If the time runs out nothing is changed, but the rights that
    /// came stay. Throws as leader::write and, if anybody has to be asked, leader::request.
    template <class F = void (*)(value_type&, transaction&)>
    rights_result decrement(
        const std::string& key, std::uint64_t n, std::chrono::milliseconds timeout,
        F&& also = [](value_type&, transaction&) {}) {
        return gather(key, n, timeout, [&](bounded_counter& c, value_type& value, transaction& tx) {
            c.decrement(tx, n);
            std::invoke(also, value, tx);
        });
    }
    /// Of the only counter.
    rights_result decrement(std::uint64_t n, std::chrono::milliseconds timeout) { return decrement({}, n, timeout); }

    /// Waits until this leader may count down by n: what is here for others to use, or to take away again.
    rights_result reserve(const std::string& key, std::uint64_t n, std::chrono::milliseconds timeout) {
        return gather(key, n, timeout, [](bounded_counter&, value_type&, transaction&) {});
    }

private:
    using milliseconds = std::chrono::milliseconds;
    static constexpr milliseconds longest_question{500}; // also for what was passed on to come here; then others
    static constexpr milliseconds pause{50};             // once all were asked in vain

    struct waiting {
        std::string key;
        std::uint64_t wanted;
        milliseconds since;
    };

    Leader at_;
    Select select_;
    std::string service_;
    std::mutex mutex_; // of what follows; taken last
    std::list<waiting> waiting_;
    subscription serving_;

    template <class F> rights_result gather(const std::string& key, std::uint64_t n, milliseconds timeout, F&& use) {
        const auto start = at_.now(), deadline = start + detail::waiting_time(timeout);
        const auto left = [&] { return std::max(deadline - at_.now(), milliseconds(0)); };
        entered_list in(*this, {key, 0, start});
        rights_result result;
        std::set<replica_id> vain; // asked since the last pause
        for (bool first = true;; first = false) {
            std::map<replica_id, std::uint64_t> others;
            at_.write([&](value_type& value, transaction& tx) {
                select_(value, tx, key, [&](bounded_counter& c) {
                    result.available = c.available(tx);
                    if ((result.complete = result.available >= n)) use(c, value, tx);
                    if (result.complete) result.available = c.available(tx);
                    others = c.rights();
                    others.erase(tx.replica());
                });
            });
            result.elsewhere = 0;
            for (const auto& [who, has] : others) result.elsewhere += has;
            if (result.complete || (!first && left() == milliseconds(0))) return result;

            // For what cannot be had, nobody else has to do without.
            const bool possible = n - result.available <= result.elsewhere;
            in.want(possible ? n : 0);
            const auto whom = possible ? choose(others, vain, n - result.available) : std::vector<replica_id>();
            if (whom.empty()) {
                vain.clear();
                (void)at_.wait_until([](const value_type&) { return false; }, std::min(left(), pause));
                continue;
            }
            result.missing.clear();
            const auto token = ask({key, n - result.available, count(at_.now() - start)}, whom,
                                   std::min(left(), longest_question), vain, result.missing);
            if (!token.empty()) (void)at_.sync_to(token, std::min(left(), longest_question));
        }
    }

    // Those that have most, and are there, first; so many that half of what they have may be enough.
    std::vector<replica_id> choose(const std::map<replica_id, std::uint64_t>& others, const std::set<replica_id>& vain,
                                   std::uint64_t need) const {
        std::set<replica_id> there;
        for (const auto& p : at_.status().peers)
            if (p.up) there.insert(p.id);
        std::vector<std::pair<replica_id, std::uint64_t>> all(others.begin(), others.end());
        std::sort(all.begin(), all.end(), [&](const auto& a, const auto& b) {
            const bool a_there = there.contains(a.first), b_there = there.contains(b.first);
            return a_there != b_there ? a_there : a.second > b.second;
        });
        std::vector<replica_id> whom;
        std::uint64_t hoped = 0;
        for (const auto& [who, has] : all) {
            if (hoped >= need) break;
            if (vain.contains(who)) continue;
            whom.push_back(who);
            hoped += has - has / 2;
        }
        return whom;
    }

    version_vector ask(const detail::rights_order& order, const std::vector<replica_id>& whom, milliseconds timeout,
                       std::set<replica_id>& vain, std::vector<replica_id>& missing) {
        std::vector<outgoing_request> questions;
        for (const auto who : whom) questions.push_back({who, encode(order)});
        const auto answers = at_.request(service_, questions, timeout);
        version_vector token;
        for (std::size_t i = 0; i < whom.size(); ++i) {
            const auto grant =
                answers[i].answer ? decode<detail::rights_grant>(*answers[i].answer) : decode<detail::rights_grant>({});
            if (!answers[i].answer) missing.push_back(whom[i]);
            if (grant && grant->given > 0)
                token.join(grant->token);
            else
                vain.insert(whom[i]);
        }
        return token;
    }

    // For another leader, on the node's thread.
    detail::rights_grant give(replica_id to, const detail::rights_order& order) {
        detail::rights_grant grant;
        try {
            const auto passed_on = at_.write([&](value_type& value, transaction& tx) {
                if (to == tx.replica()) return;
                select_(value, tx, order.key, [&](bounded_counter& c) {
                    const auto all = c.available(tx), kept = std::min(all, kept_from(to, tx.replica(), order));
                    grant.given = std::min(order.wanted, (all - kept) - (all - kept) / 2);
                    if (grant.given > 0) c.transfer(tx, to, grant.given);
                });
            });
            grant.token = passed_on.token();
        } catch (const std::exception&) { // it cannot write now
            grant = {};
        }
        return grant;
    }

    // For those who wait here for longer.
    std::uint64_t kept_from(replica_id to, replica_id here, const detail::rights_order& order) {
        const auto now = at_.now();
        std::uint64_t kept = 0;
        std::lock_guard lock(mutex_);
        for (const auto& w : waiting_)
            if (w.key == order.key && std::pair(count(now - w.since), to) > std::pair(order.waited, here))
                kept += std::min(w.wanted, UINT64_MAX - kept);
        return kept;
    }

    static std::uint64_t count(milliseconds t) {
        return static_cast<std::uint64_t>(std::max<std::int64_t>(t.count(), 0));
    }

    class entered_list {
    public:
        entered_list(rights_exchange& all, waiting w) : all_(all) {
            std::lock_guard lock(all_.mutex_);
            place_ = all_.waiting_.insert(all_.waiting_.end(), std::move(w));
        }
        ~entered_list() {
            std::lock_guard lock(all_.mutex_);
            all_.waiting_.erase(place_);
        }
        void want(std::uint64_t n) {
            std::lock_guard lock(all_.mutex_);
            place_->wanted = n;
        }
        entered_list(const entered_list&) = delete;
        entered_list& operator=(const entered_list&) = delete;

    private:
        rights_exchange& all_;
        typename std::list<waiting>::iterator place_;
    };
};

} // namespace joinery
