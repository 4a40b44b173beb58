// SPDX-License-Identifier: Apache-2.0
#include "engine_core.hpp"

#include <bit>

// What peers may do. A link has the key that its peer has proved to hold, and what the policy grants that key; an id is
// bound to the first key that says hello under it. What comes from a link is taken
// 1. if it is about the key's own ids: by the key's right;
// 2. if it is about others: if the key may relay, which is trusted for content.
// What is refused holds nothing up: the edits that a peer may not make are left out of what it says to have.

namespace joinery {

// ---- the policy ----

void engine::core::set_access(access_policy policy) {
    policy.check();
    options.access = std::move(policy);
    settle_access();
    for (auto& [l, k] : links)
        if (!k.barred) ask_anew(k);
    for (auto& [who, p] : peers) {
        auto* k = link_to(p);
        if (!k) {
            const auto* access = options.access->find(owner(who));
            for (const auto& c : collections)
                if (p.views[c.number].quarantined && access && access->in(c.name) >= access_right::write)
                    to_rejoin.insert(who);
            continue;
        }
        bool rejoins = false;
        for (auto& c : collections) {
            auto& v = p.views[c.number];
            if (!may(*k, c, access_right::read)) {
                v.shares = false;
                answers.erase(who);
            }
            if (may(*k, c, access_right::write)) rejoins |= std::exchange(v.quarantined, false);
            if (c.pull.request && c.pull.peer == who && !may_pull(*k, c, v.version)) fail_pull(c);
        }
        // What it had acknowledged counted without the edits that were not taken: others may have forgotten what these
        // rest on.
        if (rejoins) k->out.add(refuse{.reason = refusal::evicted, .name = who.value()});
    }
    beacon_due = true;
}

void engine::core::settle_access() {
    if (!options.access) return;
    for (auto& [l, k] : links) settle_access(l, k);
    // Who listens to broadcasts need not have a link.
    const auto& all = options.access->peers;
    const auto* others = options.access->find(std::nullopt);
    for (auto& c : collections) {
        const auto may_not = [&](const peer_access& p) { return p.in(c.name) < access_right::read; };
        c.closed = std::any_of(all.begin(), all.end(), may_not) || (others && may_not(*others)) ||
                   std::any_of(links.begin(), links.end(),
                               [&](const auto& l) { return l.second.grants[c.number].right < access_right::read; });
    }
}

void engine::core::settle_access(link_id l, link& k) {
    k.access = options.access->find(k.key);
    k.grants.clear();
    for (const auto& c : collections)
        k.grants.push_back(k.access ? grant{k.access->in(c.name), k.access->relays(c.name)}
                                    : grant{access_right::none, false});
    const bool before = std::exchange(k.barred, !k.access);
    if (k.barred == before) return;
    k.ignored = k.barred;
    if (k.barred) {
        detach(l, k);
        k.out.add(refuse{.reason = refusal::forbidden});
    } else {
        ask_anew(k);
    }
}

// ---- whose an id is ----

std::optional<peer_key> engine::core::owner(replica_id who) const {
    const auto& policy = *options.access;
    if (who == id || who == name() || formers.contains(who))
        return policy.self.key == peer_key{} ? std::nullopt : std::optional(policy.self.key);
    for (const auto& p : policy.peers)
        if (std::find(p.ids.begin(), p.ids.end(), who) != p.ids.end()) return p.key;
    const auto at = bound.find(who);
    return at == bound.end() ? std::nullopt : std::optional(at->second);
}

bool engine::core::owns(const link& k, replica_id who) const { return k.peer == who || (k.key && owner(who) == k.key); }

// False if it is not let in under that id.
bool engine::core::identify(link_id l, link& k, const hello& m) {
    if (!options.access) return true;
    const auto refused = [&](std::string_view what) {
        detach(l, k);
        k.ignored = true;
        deny(l, k, nullptr, what);
        k.out.add(refuse{.reason = refusal::forbidden});
        return false;
    };
    if (k.barred) return refused("hello: its key is not let in");
    if (m.replica == id || m.replica == name()) return is_self(k) || refused("hello under this node's id");
    const auto others = [&](replica_id who) {
        const auto whose = owner(who);
        return whose && whose != k.key;
    };
    if (others(m.replica)) return refused("hello under the id of another key");
    if (std::any_of(m.formers.begin(), m.formers.end(), others))
        return refused("hello with a former id of another key");
    const auto& ids = k.access->ids;
    if (!ids.empty() && std::find(ids.begin(), ids.end(), m.replica) == ids.end())
        return refused("hello under an id that is not its key's");
    return bind(k, m.replica) || refused("hello under more ids than a key may have");
}

bool engine::core::bind(const link& k, replica_id who) {
    if (!k.key || *k.key == peer_key{} || gone.contains(who) || owner(who)) return true;
    const auto many = std::count_if(bound.begin(), bound.end(), [&](const auto& b) { return b.second == *k.key; });
    if (static_cast<std::size_t>(many) >= options.limits.peer_ids) return false;
    // Those that are gone stay on the list for good: who takes one after the other must not fill it.
    const auto at_once = static_cast<engine_time::rep>(std::max(options.limits.peer_ids, most_new_ids));
    const auto each = options.timings.forget_volatile;
    auto& used = k.rates->ids_until;
    if (std::max(used, now) + each > now + at_once * each) return false;
    used = std::max(used, now) + each;
    bound.emplace(who, *k.key);
    if (logging) log_bound(who, *k.key);
    return true;
}

// ---- what is taken ----

bool engine::core::may_pull(const link& k, const collection& c, const version_vector& theirs) const {
    if (relays(k, c)) return true;
    if (!may(k, c, access_right::write)) return false;
    return std::all_of(theirs.begin(), theirs.end(),
                       [&](const auto& has) { return has.second <= c.version[has.first] || owns(k, has.first); });
}

// An answer that covers what is here takes away what it does not carry: who is trusted with its own edits only is not
// with that.
bool engine::core::may_join(const link& k, const collection& c, const causal_context& covered) const {
    if (!options.access) return true;
    bool all = true;
    covered.for_each([&](const dot_range& r) {
        const bool own = owns(k, r.replica);
        all &= own || relays(k, c);
        all &= !own || may(k, c, access_right::write) || r.last <= c.version[r.replica];
    });
    return all;
}

version_vector engine::core::believed(const collection& c, const link& k, const version_vector& version) const {
    version_vector v = version;
    if (may(k, c, access_right::write)) return v;
    for (const auto& [who, seq] : version)
        if (seq > c.version[who] && owns(k, who)) v.set(who, c.version[who]);
    return v;
}

bool engine::core::may_write(const collection& c) const {
    if (options.access && options.access->self.in(c.name) < access_right::write) return false;
    bool refused = false, taken = false;
    for (const auto& [who, p] : peers) {
        const auto& v = p.views[c.number];
        refused |= v.refuses;
        taken |= p.up && v.shares && !v.refuses;
    }
    return taken || !refused;
}

access_right engine::core::right_of(replica_id origin, const link& k, const collection& c) const {
    if (!options.access) return access_right::admin;
    const auto whose = owner(origin);
    if (!whose || whose == k.key) return k.grants[c.number].right;
    const auto* known = options.access->find(whose);
    return known ? known->in(c.name) : access_right::none;
}

// ---- what is not ----

// Reported with every power of two, as what cannot be read.
void engine::core::deny(link_id l, link& k, const collection* c, std::string_view what) {
    pass_over(k);
    if (!std::has_single_bit(++k.denied)) return;
    auto& e = note(event_kind::denied, c ? c->number : event::no_collection);
    e.link = l;
    e.peer = k.peer.value_or(replica_id{});
    e.text = what;
    if (!options.access) return;
    // Who it is, and what it may, for whoever makes the policy.
    e.text += "; ";
    if (k.access && !k.access->name.empty()) e.text += '"' + k.access->name + "\", ";
    e.text += k.key ? "key " + to_string(*k.key) : "without a key";
    if (c) e.text += ", right: " + std::string(to_string(k.grants[c->number].right));
}

void engine::core::pass_over(link& k) {
    ++counters.denials;
    if (auto* p = peer_of(k)) ++p->denied;
}

void engine::core::on_forbidden(link& k, const refuse& m) {
    for (auto& c : collections) {
        if (!c.pull.request || c.pull.request->request != m.request || k.peer != c.pull.peer) continue;
        peers.at(*k.peer).views[c.number].shares = false; // until it says again that it does
        fail_pull(c);
    }
    if (m.request != 0 || std::exchange(k.shut_out, true) || !std::has_single_bit(++k.unfit)) return;
    auto& e = note(event_kind::forbidden);
    e.peer = k.peer.value_or(replica_id{});
    e.text = "it does not let this node in, or not under its id";
}

// The links of one key have one rate, also when they come anew.
std::shared_ptr<engine::core::link_rates> engine::core::rates_of(const std::optional<peer_key>& key) {
    if (!key || *key == peer_key{}) return std::make_shared<link_rates>();
    std::erase_if(rates, [&](const auto& r) { return r.second.use_count() == 1 && r.second->unused(now); });
    auto& known = rates[*key];
    if (!known) known = std::make_shared<link_rates>();
    return known;
}

std::size_t engine::core::buffered_of(const collection& c, link_id l, const link& k) const {
    std::size_t n = 0;
    for (const auto& [other, j] : links)
        if (other == l || j.rates == k.rates) n += c.buffer.bytes(other);
    return n;
}

bool engine::core::within_rate(link_id l, link& k, token_bucket& bucket, std::uint64_t rate, std::uint64_t amount) {
    if (rate == 0 || bucket.take(now, rate, amount)) return true;
    ++counters.frames_over_rate;
    if (std::has_single_bit(++k.over_rate)) {
        auto& e = note(event_kind::rejected);
        e.link = l;
        e.peer = k.peer.value_or(replica_id{});
        e.text =
            "more than " + std::to_string(rate) + (&bucket == &k.rates->bytes ? " bytes" : " messages") + " a second";
    }
    return false;
}

} // namespace joinery
