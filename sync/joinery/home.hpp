// SPDX-License-Identifier: Apache-2.0
#pragma once

// A home for some keys of a collection: the one leader at which operations on them are carried out, one after the
// other, whoever asks for them. So they never conflict, for as long as the home is the same. Which leader that is
// stands in the collection itself, with the data: whoever sees a hand-over has seen all that was done at the home
// before.
//
//     struct seats { joinery::homes homes; joinery::or_map<std::string, joinery::lww_register<std::string>> taken; };
//     JOINERY_RECORD(seats, (1, homes), (2, taken))
//
//     joinery::home_router booking(leader, "booking", [](auto& s) -> auto& { return s.homes; }, book);
//     booking.take_over("", leader.id(), "eu");              // once, by whoever sets things up
//     auto r = booking.run("12A", encode(passenger), 2s);    // at any leader: carried out at eu
//
// Handed over by the home itself, nothing can conflict. If it is away, an operator can order that another one takes
// over; what the old home grants before it hears of that does conflict, and stays visible in the types that it is kept
// in, unless it is lost with the home before anybody has got it. Uniqueness is ready made: claims.hpp.

#include <joinery/composed.hpp>
#include <joinery/concern.hpp>
#include <joinery/leader.hpp>
#include <joinery/merged_register.hpp>
#include <joinery/or_map.hpp>

#include <algorithm>
#include <chrono>
#include <compare>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace joinery {

/// Where operations on some keys are carried out.
struct home {
    std::uint64_t epoch = 0; ///< from 1; a later hand-over has a greater one
    replica_id node;
    std::string name; ///< of the node, for people

    friend auto operator<=>(const home&, const home&) = default;
    template <class Archive> void serialize(Archive& ar) { ar(CEREAL_NVP(epoch), CEREAL_NVP(node), CEREAL_NVP(name)); }
};

/// The homes of all keys, by prefix. Of concurrent hand-overs that with the greater epoch counts everywhere, and of
/// equal ones that to the greater id.
class homes : public composed<or_map<std::string, max_register<home>>> {
public:
    /// By the longest prefix of the key that has one. O(m) comparisons, m the lesser of the length of the key and the
    /// number of prefixes.
    std::optional<home> of(std::string_view key) const;
    std::map<std::string, home> all() const;
    /// From now on it is this node. Longer prefixes keep theirs. Nothing changes if it is already.
    void appoint(transaction& tx, const std::string& prefix, replica_id node, std::string name);

    static std::string type_name() { return "homes"; }
};

enum class home_status : std::uint8_t {
    done,
    refused,     ///< the operation threw; nothing has changed
    no_home,     ///< nobody was appointed for this key
    unavailable, ///< the home could not be asked in time, or is not ready; nothing was done
    unknown,     ///< it was asked and has not answered in time: it may have been done
};
std::string_view to_string(home_status s);

struct home_result {
    home_status status{};
    std::optional<home> at;        ///< who was asked last
    std::vector<std::byte> answer; ///< if done: the operation's
    std::string reason;            ///< if refused or unavailable, for people

    bool done() const { return status == home_status::done; }
};
/// For people, with the home's name.
std::string to_string(const home_result& r);

namespace detail {

// What is asked of a home.
struct home_order {
    enum class kind : std::uint8_t { run, hand_over };
    std::uint8_t what = 0;
    std::string key; // or prefix
    std::vector<std::byte> argument;
    std::uint64_t epoch = 0; // of the home that is asked: one that was handed over meanwhile, and back, refuses
    template <class Archive> void serialize(Archive& ar) {
        ar(CEREAL_NVP(what), CEREAL_NVP(key), CEREAL_NVP(argument), CEREAL_NVP(epoch));
    }
};

struct new_home {
    replica_id node;
    std::string name;
    template <class Archive> void serialize(Archive& ar) { ar(CEREAL_NVP(node), CEREAL_NVP(name)); }
};

// And what it says.
struct home_verdict {
    enum class kind : std::uint8_t { done, refused, not_ready, not_home };
    std::uint8_t what = static_cast<std::uint8_t>(kind::not_home);
    std::vector<std::byte> answer;
    std::string reason;
    version_vector token; // of what was done

    kind is() const { return static_cast<kind>(std::min<std::uint8_t>(what, 3)); }
    template <class Archive> void serialize(Archive& ar) {
        ar(CEREAL_NVP(what), CEREAL_NVP(answer), CEREAL_NVP(reason), CEREAL_NVP(token));
    }
};

struct refused_at_home : std::runtime_error {
    using std::runtime_error::runtime_error;
};

} // namespace detail

/// One at each leader: it carries out what others ask for where this leader is the home, and asks the home for what is
/// wanted here. `Leader` is a leader<T> (or a testing::simulated_leader<T>), and `Select` gives the homes in a T& or a
/// const T&. Thread safety: all members may be called from any thread.
template <class Leader, class Select> class home_router {
public:
    using value_type = typename Leader::value_type;
    /// operation(T&, transaction&, key, argument) is carried out as an edit at the home and gives an answer. What it
    /// throws (a std::exception) undoes it, and who asked is told; so does an answer of more than 63 KiB. If an answer
    /// was lost it is run again with the same arguments: it has to tell from the value that it was done already, and
    /// give the same answer.
    using operation = std::function<std::vector<std::byte>(value_type&, transaction&, const std::string& key,
                                                           std::span<const std::byte> argument)>;

    /// `service` is the same at all leaders, and of one router at each; at most 54 bytes.
    home_router(Leader at, std::string service, Select select, operation run)
        : at_(std::move(at)),
          service_(std::move(service)),
          select_(std::move(select)),
          run_(std::move(run)),
          serving_(at_.serve(service_, [this](replica_id, std::span<const std::byte> b) { return answer(b, run_it); })),
          handing_(at_.serve(
              service_of(give_it), [this](replica_id, std::span<const std::byte> b) { return answer(b, give_it); },
              access_right::admin)) {}
    home_router(const home_router&) = delete;
    home_router& operator=(const home_router&) = delete;

    /// The home of a key, as far as is known here.
    std::optional<home> of(const std::string& key) const {
        return at_.read([&](const value_type& value) { return select_(value).of(key); });
    }

    /// Carries out the operation at the home. If it is done, what it wrote is here, too, unless the time ran out. With
    /// no time at all the home is asked once and not waited for. Throws as leader::request, and where this leader is
    /// the home as leader::write.
    home_result run(const std::string& key, std::span<const std::byte> argument, std::chrono::milliseconds timeout) {
        return carry_out({run_it, key, {argument.begin(), argument.end()}, 0}, timeout);
    }

    /// The home hands the keys with this prefix, which were in its hands, over to another node: nothing conflicts.
    /// Fails if it is away, and if this leader is no admin there (access_policy).
    home_result hand_over(const std::string& prefix, replica_id node, std::string name,
                          std::chrono::milliseconds timeout) {
        return carry_out({give_it, prefix, encode(detail::new_home{node, std::move(name)}), 0}, timeout);
    }

    /// Without asking the home: for the first one, and where it is lost, or away for too long. What it does before it
    /// hears of this may conflict with what is done at the new one.
    write_result take_over(const std::string& prefix, replica_id node, std::string name,
                           const write_options& options = {}) {
        return at_.write(
            [&](value_type& value, transaction& tx) { select_(value).appoint(tx, prefix, node, std::move(name)); },
            options);
    }

private:
    using verdict = detail::home_verdict;
    static constexpr auto run_it = static_cast<std::uint8_t>(detail::home_order::kind::run);
    static constexpr auto give_it = static_cast<std::uint8_t>(detail::home_order::kind::hand_over);
    static constexpr std::size_t greatest_answer = joinery::request::max_bytes - 1024, longest_reason = 512; // bytes
    static constexpr std::chrono::milliseconds longest_question{1000}; // then it may be another one
    static constexpr std::chrono::milliseconds pause{50};              // before one that did not know is asked again

    Leader at_;
    std::string service_;
    Select select_;
    operation run_;
    subscription serving_, handing_;

    // What operators order has a service of its own, so that not everybody may.
    std::string service_of(std::uint8_t what) const { return what == give_it ? service_ + "/hand_over" : service_; }

    home_result carry_out(detail::home_order order, std::chrono::milliseconds timeout) {
        const auto deadline = at_.now() + detail::waiting_time(timeout);
        const auto left = [&] { return std::max(deadline - at_.now(), std::chrono::milliseconds(0)); };
        home_result result;
        for (bool asked = false;;) {
            result.at = of(order.key);
            std::optional<verdict> said;
            if (!result.at) {
                result.status = home_status::no_home;
                return result;
            }
            if (asked && order.what == give_it &&
                order.epoch != result.at->epoch) { // this order, or a later one of others
                const auto to = decode<detail::new_home>(order.argument);
                result.status = to && to->node == result.at->node ? home_status::done : home_status::unknown;
                return result;
            }
            order.epoch = result.at->epoch;
            if (result.at->node == at_.id()) {
                said = here(order);
            } else {
                const auto r = at_.request(service_of(order.what), {{result.at->node, encode(order)}},
                                           std::min(left(), longest_question));
                if (r[0].answer)
                    if (auto v = decode<verdict>(*r[0].answer)) said = std::move(*v);
                asked |= r[0].sent && (!said || r[0].again); // of several one may have been carried out
            }
            if (said) {
                result.reason = std::move(said->reason);
                if (said->is() == verdict::kind::refused) {
                    result.status = home_status::refused;
                    return result;
                }
                if (said->is() == verdict::kind::done) {
                    result.status = home_status::done;
                    result.answer = std::move(said->answer);
                    if (result.at->node != at_.id()) (void)at_.sync_to(said->token, left());
                    return result;
                }
            }
            if (at_.now() >= deadline) {
                result.status = asked ? home_status::unknown : home_status::unavailable;
                return result;
            }
            (void)at_.wait_until([&](const value_type& value) { return select_(value).of(order.key) != result.at; },
                                 std::min(left(), pause));
        }
    }

    // Where the order is carried out: whether this is the home is asked in the edit itself.
    verdict here(const detail::home_order& order) {
        verdict v;
        try {
            const auto done = at_.write([&](value_type& value, transaction& tx) { v = edit(value, tx, order); });
            v.token = done.token();
        } catch (const detail::refused_at_home& e) {
            v = {static_cast<std::uint8_t>(verdict::kind::refused), {}, e.what(), {}};
        }
        // Nothing was written if it had been done before: but that may have to be waited for, also to be durable here.
        if (v.is() == verdict::kind::done && v.token.empty()) {
            const auto seen = at_.read([](const value_type&) { return true; }, read_options{}).token;
            if (const auto own = seen[at_.id()]; own > 0) v.token.raise(at_.id(), own);
        }
        return v;
    }

    verdict edit(value_type& value, transaction& tx, const detail::home_order& order) {
        const auto say = [](verdict::kind k, std::string why) {
            return verdict{static_cast<std::uint8_t>(k), {}, std::move(why), {}};
        };
        auto& table = select_(value);
        const auto at = table.of(order.key);
        if (!at || at->node != tx.replica() || at->epoch != order.epoch)
            return say(verdict::kind::not_home, "it is not the home");
        if (tx.confirmed() != UINT64_MAX) // an older copy of this storage may have been opened
            return say(verdict::kind::not_ready, "it has started, and no peer has said yet what it knows of it");
        auto v = say(verdict::kind::done, {});
        if (order.what == give_it) {
            auto to = decode<detail::new_home>(order.argument);
            if (!to) throw detail::refused_at_home("the new home cannot be read");
            table.appoint(tx, order.key, to->node, std::move(to->name));
            return v;
        }
        try {
            v.answer = run_(value, tx, order.key, order.argument);
        } catch (const std::exception& e) {
            throw detail::refused_at_home(std::string(e.what()).substr(0, longest_reason));
        }
        if (v.answer.size() > greatest_answer)
            throw detail::refused_at_home("its answer is too great: " + std::to_string(v.answer.size()) + " bytes");
        return v;
    }

    // For another leader, on the node's thread.
    std::vector<std::byte> answer(std::span<const std::byte> bytes, std::uint8_t what) {
        const auto order = decode<detail::home_order>(bytes);
        if (!order || order->what != what) return {};
        try {
            return encode(here(*order));
        } catch (const std::exception& e) { // no leader, or no id of its own
            return encode(verdict{static_cast<std::uint8_t>(verdict::kind::not_ready), {}, e.what(), {}});
        }
    }
};

} // namespace joinery
