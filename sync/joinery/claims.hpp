// SPDX-License-Identifier: Apache-2.0
#pragma once

// Who has what there is only one of: a name, an e-mail address, a slot. Claims are granted at a home (home.hpp), so
// that two are never granted for one key; and after an operator has ordered that another home takes over, those that
// the old one granted meanwhile stand beside the others, as siblings, on all leaders, until somebody decides.
//
//     joinery::leader<joinery::claims> addresses(std::move(options));
//     joinery::registrar desk(addresses);
//     auto r = desk.claim("bob@example.org", "bob", 2s);
//     if (!r.granted()) std::cout << to_string(r) << '\n';

#include <joinery/home.hpp>
#include <joinery/mv_register.hpp>
#include <joinery/record.hpp>

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace joinery {

struct claim {
    std::string owner;
    std::uint64_t epoch = 0; ///< of the home that has granted it
    replica_id home;

    friend bool operator==(const claim&, const claim&) = default;
    template <class Archive> void serialize(Archive& ar) { ar(CEREAL_NVP(owner), CEREAL_NVP(epoch), CEREAL_NVP(home)); }
};

enum class claim_status : std::uint8_t {
    granted,     ///< it is the owner's
    taken,       ///< it is another one's: `owner`
    free,        ///< it is nobody's (any more)
    no_home,     ///< as home_status
    unavailable, ///< nothing was done
    unknown,     ///< it may have been done; to ask again gives the answer
};

struct claim_result {
    claim_status status{};
    std::string owner;               ///< if granted or taken: whose it is
    std::vector<std::string> others; ///< who contests that: granted by another home
    std::string home;                ///< the name of the home that was asked; empty if there is none
    std::string reason;              ///< if unavailable, for people

    bool granted() const { return status == claim_status::granted; }
};
/// For people.
std::string to_string(const claim_result& r);

/// Claims, and the homes that grant them.
struct claims {
    joinery::homes homes;
    or_map<std::string, mv_register<claim>> granted;

    /// Who claims a key: the first has it, and others contest it. Of several it is the one that was granted at the
    /// newest home, so that all leaders that know the same claims agree. Each owner once. O(n log n) of the claims of
    /// this key.
    std::vector<claim> of(const std::string& key) const;
    /// Whose it is, as far as is known here.
    std::optional<std::string> owner(const std::string& key) const;
    /// The keys that are contested, in order. O(keys).
    std::vector<std::string> conflicts() const;

    // Edits, for the home alone. Who wants a key asks a registrar.
    void claim_here(transaction& tx, const std::string& key, const std::string& owner);
    void release_here(transaction& tx, const std::string& key, const std::string& owner);
    void decide_here(transaction& tx, const std::string& key, const std::string& owner);
};
JOINERY_RECORD(claims, (1, homes), (2, granted))

namespace detail {

struct claim_order {
    enum class kind : std::uint8_t { claim, release, decide };
    std::uint8_t what = 0;
    std::string owner;
    template <class Archive> void serialize(Archive& ar) { ar(CEREAL_NVP(what), CEREAL_NVP(owner)); }
};
/// Carries it out; the answer is who claims the key then, encoded. Throws std::invalid_argument for unreadable bytes.
std::vector<std::byte> carry_out(claims& all, transaction& tx, const std::string& key,
                                 std::span<const std::byte> order);
claim_result result_of(const home_result& r, const std::string& owner);

} // namespace detail

/// One at each leader. `Select` gives the claims in a T& or a const T&; by itself, T is `claims`. What is asked twice
/// has the same answer, also after the home has restarted: answers follow from the claims alone. Thread safety: all
/// members may be called from any thread.
template <class Leader, class Select = std::identity> class registrar {
    using value_type = typename Leader::value_type;
    using order = detail::claim_order::kind;

public:
    /// With more than one in a collection, each needs a service of its own name.
    explicit registrar(const Leader& at, Select select = {}, std::string service = "joinery.claims")
        : select_(select),
          at_(at),
          router_(at, std::move(service), homes_in{select},
                  [this](value_type& value, transaction& tx, const std::string& key, std::span<const std::byte> what) {
                      return detail::carry_out(select_(value), tx, key, what);
                  }) {}

    /// Granted if nobody has it, or this owner does. Throws as home_router::run.
    claim_result claim(const std::string& key, const std::string& owner, std::chrono::milliseconds timeout) {
        return ask(order::claim, key, owner, timeout);
    }
    /// Free afterwards, unless it is another one's, or contested: then it has to be decided first.
    claim_result release(const std::string& key, const std::string& owner, std::chrono::milliseconds timeout) {
        return ask(order::release, key, owner, timeout);
    }
    /// Of a contested key: it is this owner's, and the other claims end. Granted if the owner does claim it.
    claim_result decide(const std::string& key, const std::string& owner, std::chrono::milliseconds timeout) {
        return ask(order::decide, key, owner, timeout);
    }

    /// As far as is known here.
    std::vector<joinery::claim> of(const std::string& key) const {
        return at_.read([&](const value_type& value) { return select_(value).of(key); });
    }
    std::vector<std::string> conflicts() const {
        return at_.read([&](const value_type& value) { return select_(value).conflicts(); });
    }
    std::optional<joinery::home> home_of(const std::string& key) const { return router_.of(key); }

    /// As home_router.
    home_result hand_over(const std::string& prefix, replica_id node, std::string name,
                          std::chrono::milliseconds timeout) {
        return router_.hand_over(prefix, node, std::move(name), timeout);
    }
    write_result take_over(const std::string& prefix, replica_id node, std::string name,
                           const write_options& options = {}) {
        return router_.take_over(prefix, node, std::move(name), options);
    }

private:
    struct homes_in {
        Select select;
        auto& operator()(auto& value) const { return select(value).homes; }
    };

    Select select_;
    Leader at_;
    home_router<Leader, homes_in> router_;

    claim_result ask(order what, const std::string& key, const std::string& owner, std::chrono::milliseconds timeout) {
        const detail::claim_order o{static_cast<std::uint8_t>(what), owner};
        return detail::result_of(router_.run(key, encode(o), timeout), owner);
    }
};

} // namespace joinery
