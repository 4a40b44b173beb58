// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <joinery/storage.hpp>

#include <condition_variable>
#include <memory>
#include <mutex>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

namespace joinery {

/// A storage whose `sync` waits for as long as it is told to, or fails.
class gate {
public:
    void close() {
        std::lock_guard lock(mutex_);
        closed_ = true;
    }
    void open() {
        std::lock_guard lock(mutex_);
        closed_ = false;
        changed_.notify_all();
    }
    void fail() {
        std::lock_guard lock(mutex_);
        failing_ = true;
    }
    void pass() {
        std::unique_lock lock(mutex_);
        if (failing_) throw storage_error("the disk is gone");
        ++visitors_;
        changed_.notify_all();
        changed_.wait(lock, [this] { return !closed_; });
        --visitors_;
    }
    void await_visitor() {
        std::unique_lock lock(mutex_);
        changed_.wait(lock, [this] { return visitors_ > 0; });
    }

private:
    std::mutex mutex_;
    std::condition_variable changed_;
    bool closed_ = false, failing_ = false;
    int visitors_ = 0;
};

class gated_storage final : public storage {
public:
    gated_storage(std::unique_ptr<storage> inner, std::shared_ptr<gate> g)
        : inner_(std::move(inner)), gate_(std::move(g)) {}
    durability level() const override { return inner_->level(); }
    stored_node load() override { return inner_->load(); }
    void set_id(replica_id id) override { inner_->set_id(id); }
    std::uint32_t attach(std::string_view name, std::uint64_t fingerprint) override {
        return inner_->attach(name, fingerprint);
    }
    void append(std::uint32_t collection, std::span<const std::byte> record) override {
        inner_->append(collection, record);
    }
    void sync() override {
        gate_->pass();
        inner_->sync();
    }
    void harden() override { inner_->harden(); }
    void compact(std::uint32_t collection, std::span<const std::byte> snapshot) override {
        inner_->compact(collection, snapshot);
    }
    void rebase(replica_id id, std::span<const std::pair<std::uint32_t, std::vector<std::byte>>> snapshots) override {
        inner_->rebase(id, snapshots);
    }
    void close() override { inner_->close(); }
    statistics stats() const override { return inner_->stats(); }

private:
    std::unique_ptr<storage> inner_;
    std::shared_ptr<gate> gate_;
};

} // namespace joinery
