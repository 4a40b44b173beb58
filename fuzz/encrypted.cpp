// SPDX-License-Identifier: Apache-2.0
// What an encrypted storage has stored, changed by who has no key: changes of four bytes each, of which the first says
// which part (all names, snapshots and records in turn), the next two where, and the last what. Anything but what was
// there is an error, and what is read in spite of the damage is the beginning of what was there.
#include <joinery/encrypted_storage.hpp>
#include <joinery/memory_storage.hpp>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdlib>
#include <vector>

using namespace joinery;

namespace {

const storage_key& key() {
    static const auto k = storage_key::from_bytes(std::array<std::byte, storage_key::size>{std::byte{1}});
    return k;
}

stored_node written() {
    memory_disk disk(durability::full);
    {
        auto s = encrypted_storage(disk.open(), key());
        s->load();
        s->set_id(replica_id{7});
        for (const char* name : {"a", "b"}) {
            const auto n = s->attach(name, 1);
            for (unsigned char i = 0; i < 3; ++i) s->append(n, std::vector<std::byte>(20, std::byte{i}));
            s->compact(n, std::vector<std::byte>(50, std::byte{9}));
            for (unsigned char i = 3; i < 6; ++i) s->append(n, std::vector<std::byte>(20, std::byte{i}));
            s->sync();
        }
    }
    return disk.copy().open()->load();
}

bool same(const stored_collection& x, const stored_collection& y) {
    return x.name == y.name && x.fingerprint == y.fingerprint && x.snapshot == y.snapshot && x.records == y.records;
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    static const stored_node good = written();
    static const stored_node inside = decrypted(good, key());
    auto bad = good;
    std::vector<std::vector<std::byte>*> parts;
    for (auto& c : bad.collections) {
        parts.push_back(&c.snapshot);
        for (auto& r : c.records) parts.push_back(&r);
    }
    for (std::size_t i = 0; i + 4 <= size; i += 4) {
        const std::size_t at = std::size_t{data[i + 1]} << 8 | data[i + 2];
        const std::size_t which = data[i] % (parts.size() + bad.collections.size());
        if (which < parts.size()) {
            auto& part = *parts[which];
            if (data[i + 3] == 0) {
                std::swap(part, *parts[at % parts.size()]);
            } else if (!part.empty()) {
                part[at % part.size()] ^= static_cast<std::byte>(data[i + 3]);
            }
        } else if (auto& name = bad.collections[which - parts.size()].name; !name.empty()) {
            name[at % name.size()] = static_cast<char>(name[at % name.size()] ^ data[i + 3]);
        }
    }
    const bool changed = !std::equal(bad.collections.begin(), bad.collections.end(), good.collections.begin(), same);
    for (const bool tolerant : {false, true}) {
        std::vector<encrypted_damage> damage;
        try {
            const auto read = decrypted(bad, key(), tolerant ? &damage : nullptr);
            if (changed && !tolerant) std::abort();
            if (changed != !damage.empty() && tolerant) std::abort();
            for (const auto& c : read.collections) {
                const auto was = std::find_if(inside.collections.begin(), inside.collections.end(),
                                              [&](const auto& d) { return d.name == c.name; });
                if (was == inside.collections.end() || c.records.size() > was->records.size() ||
                    !std::equal(c.records.begin(), c.records.end(), was->records.begin()) ||
                    (!c.snapshot.empty() && c.snapshot != was->snapshot))
                    std::abort();
            }
        } catch (const storage_error&) {
            if (!changed) std::abort();
        }
    }
    return 0;
}
