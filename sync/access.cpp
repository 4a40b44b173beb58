// SPDX-License-Identifier: Apache-2.0
#include <joinery/access.hpp>

#include <algorithm>
#include <set>
#include <stdexcept>

namespace joinery {

namespace {

bool may_anything(const peer_access& a) {
    return a.rights != access_right::none || std::any_of(a.collections.begin(), a.collections.end(),
                                                         [](const auto& c) { return c.second != access_right::none; });
}

} // namespace

std::string_view to_string(access_right r) {
    switch (r) {
    case access_right::none: return "none";
    case access_right::read: return "read";
    case access_right::write: return "write";
    case access_right::admin: return "admin";
    }
    return "none";
}

access_right peer_access::in(std::string_view collection) const {
    const auto at = collections.find(collection);
    return at == collections.end() ? rights : at->second;
}

bool peer_access::relays(std::string_view collection) const {
    const auto right = in(collection);
    return right >= access_right::read && relay.value_or(right >= access_right::write);
}

const peer_access* access_policy::find(const std::optional<peer_key>& key) const {
    if (key && *key != peer_key{}) {
        for (const auto& p : peers)
            if (p.key == *key) return &p;
        if (self.key == *key) return &self;
    }
    return may_anything(others) ? &others : nullptr;
}

std::vector<peer_key> access_policy::keys() const {
    std::vector<peer_key> all;
    for (const auto& p : peers) all.push_back(p.key);
    if (self.key != peer_key{} && std::find(all.begin(), all.end(), self.key) == all.end()) all.push_back(self.key);
    return all;
}

void access_policy::check() const {
    std::set<peer_key> keys;
    std::set<replica_id> ids;
    for (const auto& p : peers) {
        if (!keys.insert(p.key).second)
            throw std::invalid_argument("access policy: the key " + to_string(p.key) + " is listed twice");
        for (const auto id : p.ids)
            if (!ids.insert(id).second)
                throw std::invalid_argument("access policy: the id " + to_string(id) + " is listed twice");
    }
}

} // namespace joinery
