// SPDX-License-Identifier: Apache-2.0
#pragma once

// What every storage is tested with: a model of its contents, a history of operations that knows what may
// have survived a crash at any moment, and the promises of storage.hpp as test cases.

#include <joinery/storage.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

namespace storage_test {

using bytes = std::vector<std::byte>;

/// Bytes that differ for each seed and do not compress to anything regular.
inline bytes blob(std::size_t size, std::uint64_t seed) {
    std::mt19937_64 random(seed);
    bytes result(size);
    for (std::size_t at = 0; at < size; at += 8) {
        std::uint64_t word = random();
        std::memcpy(result.data() + at, &word, std::min<std::size_t>(8, size - at));
    }
    return result;
}

inline std::uint64_t hash(const bytes& b) {
    std::string_view view(reinterpret_cast<const char*>(b.data()), b.size());
    return b.empty() ? 0 : std::hash<std::string_view>()(view);
}

/// A stored node without its clean flag, with hashes for the long parts.
struct content {
    struct collection {
        std::string name;
        std::uint64_t fingerprint = 0;
        std::uint64_t snapshot = 0;
        std::vector<std::uint64_t> records = {};
        friend bool operator==(const collection&, const collection&) = default;
    };
    std::optional<std::uint64_t> id;
    std::vector<collection> collections;

    content() = default;
    explicit content(const joinery::stored_node& node) {
        if (node.id) id = node.id->value();
        for (const auto& c : node.collections) {
            collections.push_back({c.name, c.fingerprint, hash(c.snapshot)});
            for (const auto& r : c.records) collections.back().records.push_back(hash(r));
        }
    }
    friend bool operator==(const content&, const content&) = default;
};

/// Calls a storage and keeps every version of the contents that it went through.
class history {
public:
    history(joinery::storage& s, content start) : storage_(&s), versions_{std::move(start)} {}

    void set_id(std::uint64_t id) {
        next().id = id;
        storage_->set_id(joinery::replica_id{id});
        harden_acknowledged();
    }
    std::uint32_t attach(const std::string& name, std::uint64_t fingerprint) {
        content& c = next();
        auto same = [&](const auto& other) { return other.name == name; };
        if (std::none_of(c.collections.begin(), c.collections.end(), same))
            c.collections.push_back({name, fingerprint, 0});
        auto number = storage_->attach(name, fingerprint);
        acknowledge();
        return number;
    }
    void append(std::uint32_t collection, const bytes& record) {
        next().collections.at(collection).records.push_back(hash(record));
        storage_->append(collection, record);
    }
    void sync() {
        storage_->sync();
        acknowledge();
    }
    void harden() {
        storage_->harden();
        harden_acknowledged();
    }
    void compact(std::uint32_t collection, const bytes& snapshot) {
        auto& c = next().collections.at(collection);
        c.snapshot = hash(snapshot);
        c.records.clear();
        storage_->compact(collection, snapshot);
        harden_acknowledged();
    }
    void rebase(std::uint64_t id, const std::vector<std::pair<std::uint32_t, bytes>>& snapshots) {
        content& c = next();
        c.id = id;
        for (const auto& [number, snapshot] : snapshots) {
            c.collections.at(number).snapshot = hash(snapshot);
            c.collections.at(number).records.clear();
        }
        storage_->rebase(joinery::replica_id{id}, snapshots);
        harden_acknowledged();
    }
    void close() {
        storage_->close();
        acknowledge();
    }

    /// One operation, mostly appends and syncs.
    template <class Random> void step(Random& random, std::size_t snapshot_size) {
        auto number = [&](std::size_t n) { return static_cast<std::size_t>(random() % n); };
        std::size_t known = now().collections.size();
        bool all_synced = acknowledged_ + 1 == versions_.size();
        std::size_t choice = known == 0 ? 0 : number(32);
        if (choice == 0 && all_synced && known < 3)
            attach("collection " + std::to_string(known), 100 + known);
        else if (choice == 1 && all_synced)
            set_id(random());
        else if (choice == 2)
            compact(static_cast<std::uint32_t>(number(known)), blob(number(snapshot_size), random()));
        else if (choice == 3)
            rebase(random(), {{static_cast<std::uint32_t>(number(known)), blob(number(snapshot_size), random())}});
        else if (choice == 4)
            harden();
        else if (choice < 10)
            sync();
        else
            append(static_cast<std::uint32_t>(number(known)), blob(number(300), random()));
    }

    const content& now() const { return versions_.back(); }
    const content& acknowledged() const { return versions_[acknowledged_]; }
    /// True if a crash now may leave this: at least what was acknowledged, at most what was begun.
    bool may_survive(const content& c) const {
        return std::find(versions_.begin() + static_cast<std::ptrdiff_t>(acknowledged_), versions_.end(), c) !=
               versions_.end();
    }
    /// True if a power cut now may leave this at level relaxed: at least what was hardened.
    bool may_survive_power_cut(const content& c) const {
        return std::find(versions_.begin() + static_cast<std::ptrdiff_t>(hardened_), versions_.end(), c) !=
               versions_.end();
    }

private:
    joinery::storage* storage_;
    std::vector<content> versions_;
    std::size_t acknowledged_ = 0, hardened_ = 0;

    content& next() {
        versions_.push_back(versions_.back());
        return versions_.back();
    }
    void acknowledge() { acknowledged_ = versions_.size() - 1; }
    void harden_acknowledged() {
        acknowledge();
        hardened_ = acknowledged_;
    }
};

/// The promises of storage.hpp. `open` opens the same contents again and again; level full or relaxed.
inline void check_promises(const std::function<std::unique_ptr<joinery::storage>()>& open) {
    using namespace joinery;
    auto first = open();
    stored_node fresh = first->load();
    CHECK_FALSE(fresh.id);
    CHECK(fresh.clean);
    CHECK(fresh.collections.empty());

    SUBCASE("an identity is kept at once") {
        first->set_id(replica_id{0xfedcba9876543210});
        first.reset();
        first = open();
        auto node = first->load();
        CHECK(node.id == replica_id{0xfedcba9876543210});
        CHECK_FALSE(node.clean);
        first->set_id(replica_id{0});
        first.reset();
        CHECK(open()->load().id == replica_id{0});
    }

    SUBCASE("records come back in the order of their collection") {
        history h(*first, content(fresh));
        auto a = h.attach("a", 1), b = h.attach("b", 2);
        CHECK(a != b);
        for (std::uint64_t i = 0; i < 300; ++i) {
            h.append(i % 3 == 0 ? b : a, blob(i, i)); // the first one is empty
            if (i % 7 == 0) h.sync();
        }
        h.close();
        first.reset();
        auto node = open()->load();
        CHECK(node.clean);
        CHECK(content(node) == h.now());
        REQUIRE(node.collections.size() == 2);
        CHECK(node.collections[0].records[0] == blob(1, 1));
        CHECK(node.collections[1].records[0].empty());
    }

    SUBCASE("what was not synced is lost, in order") {
        history h(*first, content(fresh));
        auto a = h.attach("a", 1);
        h.append(a, blob(10, 1));
        h.sync();
        h.append(a, blob(10, 2));
        h.append(a, blob(10, 3));
        first.reset();
        auto node = open()->load();
        CHECK_FALSE(node.clean);
        CHECK(h.may_survive(content(node)));
    }

    SUBCASE("an attached name gives the same number again, and no other type") {
        auto a = first->attach("a", 1), b = first->attach(std::string_view("b\0c", 3), ~std::uint64_t{0});
        CHECK(first->attach("a", 1) == a);
        CHECK_THROWS_AS(first->attach("a", 2), storage_error);
        first->close();
        first.reset();
        first = open();
        auto node = first->load();
        REQUIRE(node.collections.size() == 2);
        CHECK(node.collections[1].name == std::string("b\0c", 3));
        CHECK(node.collections[1].fingerprint == ~std::uint64_t{0});
        CHECK_THROWS_AS(first->attach("a", 2), storage_error);
        CHECK(first->attach(std::string_view("b\0c", 3), ~std::uint64_t{0}) == b);
        CHECK(first->attach("a", 1) == a);
        CHECK(first->attach("", 3) != a);
        first->append(a, blob(5, 5)); // a refused attach has broken nothing
        first->sync();
        first.reset();
        CHECK(open()->load().collections[0].records.size() == 1);
    }

    SUBCASE("compact replaces the snapshot and all records, synced and unsynced, of one collection") {
        history h(*first, content(fresh));
        auto a = h.attach("a", 1), b = h.attach("b", 2);
        h.append(a, blob(10, 1));
        h.append(b, blob(10, 2));
        h.sync();
        h.append(a, blob(10, 3));
        h.append(b, blob(10, 4));
        h.compact(a, blob(1000, 5));
        first.reset(); // without close: a compaction is durable by itself
        first = open();
        auto node = first->load();
        CHECK(h.may_survive(content(node)));
        CHECK(node.collections[0].snapshot == blob(1000, 5));
        CHECK(node.collections[0].records.empty());
        history h2(*first, content(node));
        h2.append(a, blob(10, 6));
        h2.sync();
        h2.compact(a, blob(2000, 7));
        h2.compact(b, {}); // an empty snapshot is none
        h2.append(a, blob(10, 8));
        h2.close();
        first.reset();
        node = open()->load();
        CHECK(content(node) == h2.now());
        CHECK(node.collections[1].snapshot.empty());
        CHECK(node.collections[1].records.empty());
    }

    SUBCASE("rebase replaces identity and snapshots in one step") {
        history h(*first, content(fresh));
        auto a = h.attach("a", 1), b = h.attach("b", 2), c = h.attach("c", 3);
        h.set_id(7);
        for (auto n : {a, b, c}) h.append(n, blob(20, n));
        h.rebase(8, {{a, blob(500, 1)}, {c, blob(600, 2)}});
        first.reset();
        first = open();
        auto node = first->load();
        CHECK(h.may_survive(content(node)));
        CHECK(node.id == replica_id{8});
        CHECK(node.collections[1].records.size() == 1); // not rebased, not lost
        history h2(*first, content(node));
        h2.rebase(9, {});
        h2.append(c, blob(3, 3));
        h2.close();
        first.reset();
        CHECK(content(open()->load()) == h2.now());
    }

    SUBCASE("clean says whether the last owner closed") {
        first->close();
        first.reset();
        for (int i = 0; i < 3; ++i) {
            auto s = open();
            CHECK(s->load().clean);
            if (i < 2) s->close();
        }
        auto s = open(); // the third had loaded but not closed
        CHECK_FALSE(s->load().clean);
        s->close();
        s.reset();
        CHECK(open()->load().clean);
    }

    SUBCASE("one group, one sync; without records, none") {
        auto a = first->attach("a", 1), b = first->attach("b", 2);
        for (std::uint64_t i = 0; i < 1000; ++i) first->append(i % 2 ? a : b, blob(100, i));
        first->sync();
        first->sync();
        CHECK(first->stats().appends == 1000);
        CHECK(first->stats().syncs == 1);
        CHECK(first->stats().bytes_written >= 100'000);
        first->compact(a, blob(10, 1));
        first->sync();
        CHECK(first->stats().syncs == 1);
        CHECK(first->stats().compactions == 1);
    }

    SUBCASE("a storage is held by one owner") {
        CHECK_THROWS_AS(open(), storage_error);
        first->close();
        auto second = open(); // closed, though not destroyed
        CHECK(second->load().clean);
    }

    SUBCASE("misuse is refused") {
        auto a = first->attach("a", 1);
        CHECK_THROWS_AS(first->load(), storage_error);
        CHECK_THROWS_AS(first->append(a + 1, blob(1, 1)), storage_error);
        CHECK_THROWS_AS(first->compact(a + 1, blob(1, 1)), storage_error);
        std::vector<std::pair<std::uint32_t, bytes>> unknown{{a + 1, {}}};
        CHECK_THROWS_AS(first->rebase(replica_id{1}, unknown), storage_error);
        first->append(a, blob(1, 1));
        first->close();
        CHECK_THROWS_AS(first->append(a, blob(1, 1)), storage_error);
        CHECK_THROWS_AS(first->sync(), storage_error);
        CHECK_THROWS_AS(first->close(), storage_error);
        first.reset();
        auto second = open();
        CHECK_THROWS_AS(second->append(a, blob(1, 1)), storage_error);
        CHECK_THROWS_AS(second->sync(), storage_error);
        CHECK(second->load().collections[0].records.size() == 1);
    }

    SUBCASE("random histories over many openings") {
        for (std::uint64_t seed = 0; seed < 10; ++seed) {
            CAPTURE(seed);
            std::mt19937_64 random(seed);
            first.reset();
            first = open();
            auto node = first->load();
            history h(*first, content(node));
            for (int i = 0; i < 150; ++i) h.step(random, 20'000);
            bool close = random() % 2 == 0;
            if (close) h.close();
            first.reset();
            first = open();
            node = first->load();
            CHECK(node.clean == close);
            CHECK(h.may_survive(content(node)));
        }
    }
}

} // namespace storage_test
