// SPDX-License-Identifier: Apache-2.0
#include "encrypted_file.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#ifdef JOINERY_SODIUM
#include <joinery/encrypted_storage.hpp>
#endif

namespace joinery::tool {

namespace {

[[noreturn]] void need_key(const std::string& path) {
    throw tool_error(fmt::format("{}: it is encrypted; give its key with --key-file", path));
}

template <class Collections> bool any_list(const Collections& all) {
    return std::any_of(all.begin(), all.end(), [](const auto& c) { return c.name == encrypted_name; });
}

#ifdef JOINERY_SODIUM

// What comes of it, and what is damaged, by the place in the result.
stored_node decrypt(const std::string& path, const stored_node& n, const std::string& key_file,
                    std::vector<encrypted_damage>& damaged) {
    const auto key = storage_key::from_file(key_file);
    try {
        return decrypted(n, key, &damaged);
    } catch (const storage_error& e) {
        std::string why = e.what();
        constexpr std::string_view who = "encrypted storage: ";
        if (why.starts_with(who)) why.erase(0, who.size());
        throw tool_error(fmt::format("{}: {}", path, why));
    }
}

void tell(const stored_node& n, const std::vector<encrypted_damage>& damaged, std::vector<damage>& found) {
    for (const auto& d : damaged)
        found.push_back(
            {d.collection < n.collections.size() ? fmt::format("'{}'", n.collections[d.collection].name) : "encryption",
             d.what});
}

#endif

} // namespace

bool is_encrypted(const stored_file& f) { return any_list(f.collections); }
bool is_encrypted(const found_node& n) { return any_list(n.collections); }

#ifdef JOINERY_SODIUM

stored_file read_opened(const std::string& path, bool thorough, const std::string& key_file, bool look_outside) {
    auto f = read_stored(path, thorough);
    f.encrypted = is_encrypted(f);
    if (!f.encrypted && !key_file.empty() && f.found.empty())
        throw tool_error(fmt::format("{}: it is not encrypted", path));
    if (!f.encrypted) return f;
    if (key_file.empty()) {
        if (!look_outside) need_key(path);
        f.collections.clear();
        return f;
    }
    stored_node n{f.id, true, {}};
    for (auto& c : f.collections)
        n.collections.push_back({std::move(c.name), c.fingerprint, std::move(c.snapshot), std::move(c.records)});
    std::vector<encrypted_damage> damaged;
    auto inside = decrypt(path, n, key_file, damaged);
    tell(inside, damaged, f.found);
    std::vector<file_collection> all;
    for (auto& c : inside.collections) {
        auto& to = all.emplace_back();
        to.number = all.size();
        to.name = std::move(c.name);
        to.fingerprint = c.fingerprint;
        to.snapshot = std::move(c.snapshot);
        to.records = std::move(c.records);
        for (const auto& r : to.records) to.log_bytes += r.size();
    }
    f.collections = std::move(all);
    return f;
}

found_node opened(const std::string& path, found_node&& from, const std::string& key_file, std::vector<damage>& found) {
    if (key_file.empty()) need_key(path);
    stored_node n{from.id, true, {}};
    std::vector<bool> gap; // something is missing behind what is read
    for (auto& c : from.collections) {
        while (n.collections.size() < c.number) n.collections.emplace_back(); // its place counts
        gap.resize(c.number + 1);
        auto& to = n.collections.emplace_back();
        to.name = c.name.value_or("");
        to.fingerprint = c.fingerprint;
        to.snapshot = std::move(c.snapshot);
        // Each record rests on the one before it.
        for (auto& r : c.records) {
            gap[c.number] = !r;
            if (!r) break;
            to.records.push_back(std::move(*r));
        }
    }
    std::vector<encrypted_damage> damaged;
    auto inside = decrypt(path, n, key_file, damaged);
    tell(inside, damaged, found);
    found_node out{inside.id, {}};
    const bool all_named = inside.collections.size() + 1 == n.collections.size();
    for (std::size_t i = 0; i < inside.collections.size(); ++i) {
        auto& c = inside.collections[i];
        auto& to = out.collections.emplace_back();
        to.number = i + 1;
        to.name = std::move(c.name);
        to.fingerprint = c.fingerprint;
        to.snapshot = std::move(c.snapshot);
        for (auto& r : c.records) to.records.emplace_back(std::move(r));
        bool more = !all_named || gap[i + 1];
        for (const auto& d : damaged) {
            if (d.collection != i) continue;
            to.snapshot_lost = to.snapshot_lost || (d.snapshot && to.snapshot.empty());
            more = more || !d.snapshot;
        }
        if (more) to.records.emplace_back();
    }
    return out;
}

std::unique_ptr<storage> behind(const std::string& key_file, std::unique_ptr<storage> s) {
    return key_file.empty() ? std::move(s) : encrypted_storage(std::move(s), storage_key::from_file(key_file));
}

#else

namespace {

void refuse(const std::string& key_file) {
    if (!key_file.empty()) throw tool_error("--key-file: this program was built without libsodium");
}

} // namespace

stored_file read_opened(const std::string& path, bool thorough, const std::string& key_file, bool look_outside) {
    refuse(key_file);
    auto f = read_stored(path, thorough);
    f.encrypted = is_encrypted(f);
    if (f.encrypted && !look_outside) need_key(path);
    if (f.encrypted) f.collections.clear();
    return f;
}

found_node opened(const std::string& path, found_node&&, const std::string& key_file, std::vector<damage>&) {
    refuse(key_file);
    need_key(path);
}

std::unique_ptr<storage> behind(const std::string& key_file, std::unique_ptr<storage> s) {
    refuse(key_file);
    return s;
}

#endif

} // namespace joinery::tool
