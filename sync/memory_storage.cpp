// SPDX-License-Identifier: Apache-2.0
#include <joinery/memory_storage.hpp>

#include <algorithm>
#include <utility>

namespace joinery {

std::unique_ptr<storage_backup> storage::back_up(const std::string&) {
    throw storage_error("back up: there is nothing in this storage that could be copied to a file");
}

// Invariants:
// 1. `synced` is what a new storage would load; `hardened` what it would load after a power cut.
// 2. `pending` holds the records appended since, over all collections, in order.
// 3. A view whose generation is not the current one is dead; `held` says that a live one exists.
struct memory_disk::contents {
    struct image {
        std::optional<replica_id> id;
        bool clean = true;
        bool copy = false; // no id was set since it was made
        std::vector<stored_collection> collections;

        void append(std::uint32_t collection, std::vector<std::byte> record) {
            collections[collection].records.push_back(std::move(record));
        }
        void compact(std::uint32_t collection, std::span<const std::byte> snapshot) {
            collections[collection].snapshot.assign(snapshot.begin(), snapshot.end());
            collections[collection].records.clear();
        }
    };

    durability level;
    image synced, hardened;
    std::vector<std::pair<std::uint32_t, std::vector<std::byte>>> pending;
    std::uint64_t generation = 0;
    bool held = false;
    std::uint64_t steps = 0, operations = 0;
    std::uint64_t crash_step = 0, failing_operation = 0; // absolute; 0 is never
    std::size_t crash_keep = 0;

    explicit contents(durability l) : level(l) {}

    void write_pending(std::size_t count) {
        for (std::size_t i = 0; i < count; ++i) synced.append(pending[i].first, std::move(pending[i].second));
        pending.erase(pending.begin(), pending.begin() + static_cast<std::ptrdiff_t>(count));
    }
    void harden() {
        if (level == durability::relaxed) hardened = synced;
    }
    void crash(std::size_t keep) {
        write_pending(std::min(keep, pending.size()));
        pending.clear();
        if (level == durability::none) synced = image{};
        ++generation;
        held = false;
        crash_step = failing_operation = 0;
    }
};

class memory_disk::view final : public storage {
public:
    explicit view(std::shared_ptr<contents> disk) : disk_(std::move(disk)), generation_(disk_->generation) {
        disk_->held = true;
    }
    ~view() override {
        if (dead() || closed_) return;
        disk_->pending.clear();
        disk_->held = false;
    }
    view(const view&) = delete;
    view& operator=(const view&) = delete;

    durability level() const override { return disk_->level; }

    stored_node load() override {
        check_alive("load");
        if (loaded_) throw storage_error("memory storage: load: loaded before");
        operation op(*this, "load");
        stored_node node = stored();
        found_.reset();
        disk_->synced.clean = false;
        disk_->harden();
        loaded_ = true;
        op.done();
        return node;
    }

    void set_id(replica_id id) override {
        operation op(*this, "set_id");
        disk_->synced.id = id;
        disk_->synced.copy = false;
        disk_->harden();
        op.done();
    }

    std::uint32_t attach(std::string_view name, std::uint64_t fingerprint) override {
        operation op(*this, "attach");
        auto& all = disk_->synced.collections;
        auto same = [&](const stored_collection& c) { return c.name == name; };
        auto found = std::find_if(all.begin(), all.end(), same);
        auto number = static_cast<std::uint32_t>(found - all.begin());
        if (found == all.end()) {
            all.push_back({std::string(name), fingerprint, {}, {}});
        } else if (found->fingerprint != fingerprint) {
            std::string what = "memory storage: attach: collection '";
            throw storage_error(what.append(name).append("' has another type"));
        }
        op.done();
        return number;
    }

    void append(std::uint32_t collection, std::span<const std::byte> record) override {
        check_collection("append", collection);
        operation op(*this, "append");
        disk_->pending.emplace_back(collection, std::vector<std::byte>(record.begin(), record.end()));
        ++stats_.appends;
        op.done();
    }

    void sync() override {
        operation op(*this, "sync");
        if (!disk_->pending.empty()) {
            ++stats_.syncs;
            write_pending();
        }
        op.done();
    }

    void harden() override {
        operation op(*this, "harden");
        if (!disk_->pending.empty()) {
            ++stats_.syncs;
            write_pending();
        }
        disk_->harden();
        op.done();
    }

    void compact(std::uint32_t collection, std::span<const std::byte> snapshot) override {
        check_collection("compact", collection);
        operation op(*this, "compact");
        write_pending();
        replace(collection, snapshot);
        disk_->harden();
        op.done();
    }

    void rebase(replica_id id, std::span<const std::pair<std::uint32_t, std::vector<std::byte>>> snapshots) override {
        for (const auto& given : snapshots) check_collection("rebase", given.first);
        operation op(*this, "rebase");
        write_pending();
        disk_->synced.id = id;
        disk_->synced.copy = false;
        for (const auto& [collection, snapshot] : snapshots) replace(collection, snapshot);
        disk_->harden();
        op.done();
    }

    void close() override {
        operation op(*this, "close");
        write_pending();
        disk_->synced.clean = true;
        disk_->harden();
        op.done();
        disk_->held = false;
        closed_ = true;
    }

    statistics stats() const override { return stats_; }

    const stored_node* found() const override {
        if (loaded_ || dead()) return nullptr;
        found_ = std::make_unique<stored_node>(stored());
        return found_.get();
    }
    std::string name() const override { return "memory storage"; }

private:
    std::shared_ptr<contents> disk_;
    mutable std::unique_ptr<stored_node> found_;
    std::uint64_t generation_;
    bool loaded_ = false, closed_ = false;
    statistics stats_;

    stored_node stored() const {
        const contents::image& from = disk_->synced;
        return {from.id, from.clean, from.collections, from.copy};
    }

    bool dead() const { return generation_ != disk_->generation; }

    void check_alive(const char* what) const {
        if (dead()) throw storage_crash(std::string("memory storage: ") + what + ": the process is dead");
        if (closed_) throw storage_error(std::string("memory storage: ") + what + ": closed");
    }
    void check_collection(const char* what, std::uint32_t collection) const {
        check_alive(what);
        if (collection < disk_->synced.collections.size()) return;
        throw storage_error(std::string("memory storage: ") + what + ": no collection " + std::to_string(collection));
    }

    void write_pending() {
        for (const auto& appended : disk_->pending) stats_.bytes_written += appended.second.size();
        disk_->write_pending(disk_->pending.size());
    }
    void replace(std::uint32_t collection, std::span<const std::byte> snapshot) {
        disk_->synced.compact(collection, snapshot);
        ++stats_.compactions;
        stats_.bytes_written += snapshot.size();
    }

    // The two steps around an operation's effect.
    class operation {
    public:
        operation(view& v, const char* what) : view_(v), what_(what) {
            v.check_alive(what);
            contents& disk = *v.disk_;
            if (!v.loaded_ && std::string_view(what) != "load")
                throw storage_error(std::string("memory storage: ") + what + ": load comes first");
            step();
            if (++disk.operations == disk.failing_operation) {
                disk.failing_operation = 0;
                throw storage_error(std::string("memory storage: ") + what + ": failure that was asked for");
            }
        }
        void done() { step(); }

    private:
        view& view_;
        const char* what_;

        void step() {
            contents& disk = *view_.disk_;
            if (++disk.steps != disk.crash_step) return;
            disk.crash(disk.crash_keep);
            throw storage_crash(std::string("memory storage: ") + what_ + ": crash that was asked for");
        }
    };
};

memory_disk::memory_disk(durability level) : contents_(std::make_shared<contents>(level)) {}
memory_disk::~memory_disk() = default;
memory_disk::memory_disk(memory_disk&&) noexcept = default;
memory_disk& memory_disk::operator=(memory_disk&&) noexcept = default;

durability memory_disk::level() const { return contents_->level; }

std::unique_ptr<storage> memory_disk::open() {
    if (contents_->held) throw storage_error("memory storage: open: held by another storage");
    return std::make_unique<view>(contents_);
}

bool memory_disk::in_use() const { return contents_->held; }

memory_disk memory_disk::copy() const {
    memory_disk result(contents_->level);
    result.contents_->synced = contents_->synced;
    result.contents_->hardened = contents_->synced;
    return result;
}

memory_disk memory_disk::backup() const {
    auto result = copy();
    result.contents_->synced.copy = result.contents_->hardened.copy = true;
    return result;
}

void memory_disk::crash(std::size_t keep) { contents_->crash(keep); }

void memory_disk::power_cut() {
    contents_->crash(0);
    if (contents_->level == durability::relaxed) contents_->synced = contents_->hardened;
}

void memory_disk::crash_at(std::uint64_t n, std::size_t keep) {
    contents_->crash_step = n == 0 ? 0 : contents_->steps + n;
    contents_->crash_keep = keep;
}

void memory_disk::fail_at(std::uint64_t n) { contents_->failing_operation = n == 0 ? 0 : contents_->operations + n; }

std::uint64_t memory_disk::steps() const { return contents_->steps; }

std::unique_ptr<storage> memory_storage() { return memory_disk(durability::none).open(); }

} // namespace joinery
