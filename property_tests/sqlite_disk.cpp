// SPDX-License-Identifier: Apache-2.0
// SQLite's files in a folder whose power fails, in any change that SQLite makes to them.
#include "power_cut_vfs.hpp"
#include "scratch_folder.hpp"
#include "simulated_disk.hpp"

#include <joinery/memory_storage.hpp>
#include <joinery/random_source.hpp>

#include <cstddef>
#include <filesystem>
#include <iterator>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace joinery::simulation {

const bool sqlite_is_there = true;

namespace {

using storage_test::power_cut_vfs;

// An operation of a storage makes about so many changes for each of the two steps that a memory_disk takes for it.
constexpr std::uint64_t changes_per_step = 4;

class on_sqlite final : public simulated_disk {
public:
    on_sqlite(durability level, std::uint64_t seed, tally& counts) : level_(level), random_(seed), counts_(counts) {}

    durability level() const override { return level_; }
    std::unique_ptr<storage> open() override {
        std::unique_ptr<storage> opened;
        step("opening", [&] { opened = sqlite_storage(folder_ / "node", level_); });
        return std::make_unique<view>(*this, std::move(opened));
    }
    std::unique_ptr<simulated_disk> copy() const override {
        auto other = another_on_sqlite();
        for (const auto& file : std::filesystem::directory_iterator(folder_.path()))
            std::filesystem::copy_file(file.path(), other->folder_ / file.path().filename().string());
        return other;
    }
    std::unique_ptr<simulated_disk> another() const override {
        static constexpr std::string_view first[] = {"opening", "loading", "storing an id", "attaching"};
        auto other = another_on_sqlite();
        if (random_.chance(70)) other->doomed_ = first[random_.below(std::size(first))];
        return other;
    }
    void crash() override { restore(level_ == durability::full); }
    void power_cut() override { restore(true); }
    // In the n-th step, about; or in a rare operation, whenever that comes.
    void crash_at(std::uint64_t n, std::size_t) override {
        static constexpr std::string_view rare[] = {"hardening", "compacting", "rebasing", "closing"};
        if (n == 0) {
            doomed_ = {};
            vfs_.cut_at(0);
        } else if (random_.chance(30)) {
            doomed_ = rare[random_.below(std::size(rare))];
        } else {
            vfs_.cut_at(changes_per_step * n - random_.below(changes_per_step));
        }
    }
    void fail_at(std::uint64_t n) override {
        const auto change = 2 * changes_per_step * n;
        const bool full = random_.chance(50);
        vfs_.full_at(full ? change : 0);
        vfs_.syncs_fail_at(full ? 0 : change);
    }

private:
    durability level_;
    mutable testing::random_source random_;
    tally& counts_;
    std::string_view doomed_; // the operation that a process will die in, when it comes
    storage_test::scratch_folder folder_;
    power_cut_vfs vfs_{folder_.path()};

    std::unique_ptr<on_sqlite> another_on_sqlite() const {
        return std::make_unique<on_sqlite>(level_, random_.next(), counts_);
    }

    // What the process wrote outlives it; of what was not synced any part may outlive its machine.
    void restore(bool power) {
        using survival = power_cut_vfs::survival;
        static constexpr survival any[] = {survival::none, survival::all, survival::random};
        vfs_.cut();
        vfs_.restore(power ? any[random_.below(3)] : survival::all, random_.next());
        fail_at(0);
    }

    // The process dies with the change that the power fails in, also where SQLite makes nothing of the error.
    template <class F> void step(std::string_view operation, F&& f) {
        if (operation == doomed_) {
            doomed_ = {};
            vfs_.cut_at(random_.between(1, 20));
        }
        try {
            f();
        } catch (const storage_error&) {
            if (!vfs_.is_cut()) throw;
        }
        if (!vfs_.is_cut()) return;
        ++counts_["SQLite dies while " + std::string(operation)];
        ++counts_["SQLite dies in a " + vfs_.cut_in()];
        throw storage_crash("SQLite: the power failed while " + std::string(operation));
    }

    class view final : public storage {
    public:
        view(on_sqlite& disk, std::unique_ptr<storage> inner) : disk_(disk), inner_(std::move(inner)) {}
        ~view() override { disk_.vfs_.cut(); } // as a process ends that is killed
        view(const view&) = delete;
        view& operator=(const view&) = delete;

        durability level() const override { return inner_->level(); }
        stored_node load() override {
            stored_node node;
            disk_.step("loading", [&] { node = inner_->load(); });
            return node;
        }
        void set_id(replica_id id) override {
            disk_.step("storing an id", [&] { inner_->set_id(id); });
        }
        std::uint32_t attach(std::string_view name, std::uint64_t fingerprint) override {
            std::uint32_t number = 0;
            disk_.step("attaching", [&] { number = inner_->attach(name, fingerprint); });
            return number;
        }
        void append(std::uint32_t collection, std::span<const std::byte> record) override {
            inner_->append(collection, record); // in memory
        }
        void sync() override {
            disk_.step("syncing", [&] { inner_->sync(); });
        }
        void harden() override {
            disk_.step("hardening", [&] { inner_->harden(); });
        }
        void compact(std::uint32_t collection, std::span<const std::byte> snapshot) override {
            disk_.step("compacting", [&] { inner_->compact(collection, snapshot); });
        }
        void rebase(replica_id id,
                    std::span<const std::pair<std::uint32_t, std::vector<std::byte>>> snapshots) override {
            disk_.step("rebasing", [&] { inner_->rebase(id, snapshots); });
        }
        void close() override {
            disk_.step("closing", [&] { inner_->close(); });
        }
        statistics stats() const override { return inner_->stats(); }

    private:
        on_sqlite& disk_;
        std::unique_ptr<storage> inner_;
    };
};

} // namespace

std::unique_ptr<simulated_disk> disk_of_sqlite(durability level, std::uint64_t seed, tally& counts) {
    return std::make_unique<on_sqlite>(level, seed, counts);
}

} // namespace joinery::simulation
