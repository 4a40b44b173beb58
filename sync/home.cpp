// SPDX-License-Identifier: Apache-2.0
#include <joinery/claims.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <stdexcept>
#include <tuple>

namespace joinery {

// ---- homes ----

std::optional<home> homes::of(std::string_view key) const {
    if (inner_.size() <= key.size()) {
        const std::string* longest = nullptr;
        std::optional<home> out;
        for (const auto& [prefix, at] : inner_) {
            if (!key.starts_with(prefix) || (longest && prefix.size() < longest->size())) continue;
            longest = &prefix;
            out = at.get();
        }
        return out;
    }
    for (auto n = key.size() + 1; n > 0; --n)
        if (const auto* at = inner_.find(std::string(key.substr(0, n - 1)))) return at->get();
    return std::nullopt;
}

std::map<std::string, home> homes::all() const {
    std::map<std::string, home> out;
    for (const auto& [prefix, at] : inner_)
        if (auto now = at.get()) out.emplace(prefix, std::move(*now));
    return out;
}

void homes::appoint(transaction& tx, const std::string& prefix, replica_id node, std::string name) {
    const auto now = of(prefix);
    if (now && now->node == node && inner_.contains(prefix)) return;
    // Nobody gets to the last epoch but by a forged one. As all that was seen is replaced, it may begin anew.
    const bool last = now && now->epoch == UINT64_MAX;
    auto at = inner_.at(tx, prefix);
    if (last) at->reset(tx);
    at->merge(tx, {now && !last ? now->epoch + 1 : 1, node, std::move(name)});
}

std::string_view to_string(home_status s) {
    switch (s) {
    case home_status::done: return "done";
    case home_status::refused: return "refused";
    case home_status::no_home: return "there is no home";
    case home_status::unavailable: return "unavailable";
    case home_status::unknown: return "unknown";
    }
    return "unknown";
}

std::string to_string(const home_result& r) {
    const auto where = r.at ? r.at->name.empty() ? to_string(r.at->node) : r.at->name : std::string();
    const auto why = r.reason.empty() ? std::string() : ": " + r.reason;
    switch (r.status) {
    case home_status::done: return fmt::format("done at \"{}\"", where);
    case home_status::refused: return fmt::format("refused by the home \"{}\"{}", where, why);
    case home_status::no_home: return "nobody is the home of this key";
    case home_status::unavailable: return fmt::format("the home \"{}\" is unavailable, nothing was done{}", where, why);
    case home_status::unknown:
        return fmt::format("the home \"{}\" has not answered: it may have been done, ask again", where);
    }
    return {};
}

// ---- claims ----

std::vector<claim> claims::of(const std::string& key) const {
    const auto* found = granted.find(key);
    auto all = found ? found->values() : std::vector<claim>();
    std::sort(all.begin(), all.end(), [](const claim& a, const claim& b) {
        return std::tie(b.epoch, b.home, a.owner) < std::tie(a.epoch, a.home, b.owner);
    });
    std::vector<claim> out;
    for (auto& c : all)
        if (std::none_of(out.begin(), out.end(), [&](const claim& before) { return before.owner == c.owner; }))
            out.push_back(std::move(c));
    return out;
}

std::optional<std::string> claims::owner(const std::string& key) const {
    auto all = of(key);
    return all.empty() ? std::nullopt : std::optional(std::move(all.front().owner));
}

std::vector<std::string> claims::conflicts() const {
    std::vector<std::string> out;
    for (const auto& [key, claimed] : granted)
        if (claimed.size() > 1 && of(key).size() > 1) out.push_back(key);
    std::sort(out.begin(), out.end());
    return out;
}

void claims::claim_here(transaction& tx, const std::string& key, const std::string& owner) {
    if (!of(key).empty()) return;
    const auto at = homes.of(key);
    granted.at(tx, key)->set(tx, {owner, at ? at->epoch : 0, tx.replica()});
}

void claims::release_here(transaction& tx, const std::string& key, const std::string& owner) {
    const auto all = of(key);
    if (all.size() == 1 && all.front().owner == owner) granted.erase(tx, key);
}

void claims::decide_here(transaction& tx, const std::string& key, const std::string& owner) {
    const auto all = of(key);
    if (all.size() < 2) return;
    const auto at = std::find_if(all.begin(), all.end(), [&](const claim& c) { return c.owner == owner; });
    if (at != all.end()) granted.at(tx, key)->set(tx, *at);
}

namespace detail {

std::vector<std::byte> carry_out(claims& all, transaction& tx, const std::string& key,
                                 std::span<const std::byte> order) {
    const auto o = decode<claim_order>(order);
    if (!o) throw std::invalid_argument("what is asked for cannot be read");
    switch (static_cast<claim_order::kind>(o->what)) {
    case claim_order::kind::claim: all.claim_here(tx, key, o->owner); break;
    case claim_order::kind::release: all.release_here(tx, key, o->owner); break;
    case claim_order::kind::decide: all.decide_here(tx, key, o->owner); break;
    default: throw std::invalid_argument("what is asked for is not known here");
    }
    return encode(all.of(key));
}

claim_result result_of(const home_result& r, const std::string& owner) {
    claim_result out;
    if (r.at) out.home = r.at->name.empty() ? to_string(r.at->node) : r.at->name;
    out.reason = r.reason;
    out.status = r.status == home_status::no_home   ? claim_status::no_home
                 : r.status == home_status::unknown ? claim_status::unknown
                                                    : claim_status::unavailable;
    if (!r.done()) return out;
    const auto all = decode<std::vector<claim>>(r.answer);
    if (!all) {
        out.status = claim_status::unknown;
        return out;
    }
    if (all->empty()) {
        out.status = claim_status::free;
        return out;
    }
    out.owner = all->front().owner;
    for (std::size_t i = 1; i < all->size(); ++i) out.others.push_back((*all)[i].owner);
    out.status = out.owner == owner ? claim_status::granted : claim_status::taken;
    return out;
}

} // namespace detail

std::string to_string(const claim_result& r) {
    std::string contested;
    for (const auto& o : r.others) contested += (contested.empty() ? ", contested by " : ", ") + o;
    switch (r.status) {
    case claim_status::granted: return "granted to " + r.owner + contested;
    case claim_status::taken: return "taken by " + r.owner + contested;
    case claim_status::free: return "free";
    case claim_status::no_home: return "nobody is the home of this key";
    case claim_status::unavailable:
        return fmt::format("the home \"{}\" is unavailable, nothing was done{}", r.home,
                           r.reason.empty() ? std::string() : ": " + r.reason);
    case claim_status::unknown:
        return fmt::format("the home \"{}\" has not answered: it may have been done, ask again", r.home);
    }
    return {};
}

} // namespace joinery
