// SPDX-License-Identifier: Apache-2.0
#include "simulated_disk.hpp"

#include <joinery/memory_storage.hpp>

#include <utility>

namespace joinery::simulation {

namespace {

class in_memory final : public simulated_disk {
public:
    explicit in_memory(memory_disk disk) : disk_(std::move(disk)) {}

    durability level() const override { return disk_.level(); }
    std::unique_ptr<storage> open() override { return disk_.open(); }
    std::unique_ptr<simulated_disk> copy() const override { return std::make_unique<in_memory>(disk_.copy()); }
    std::unique_ptr<simulated_disk> another() const override { return disk_in_memory(level()); }
    void crash() override { disk_.crash(); }
    void power_cut() override { disk_.power_cut(); }
    void crash_at(std::uint64_t n, std::size_t keep) override { disk_.crash_at(n, keep); }
    void fail_at(std::uint64_t n) override { disk_.fail_at(n); }

private:
    memory_disk disk_;
};

} // namespace

std::unique_ptr<simulated_disk> disk_in_memory(durability level) {
    return std::make_unique<in_memory>(memory_disk(level));
}

} // namespace joinery::simulation
