// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <joinery/storage.hpp>

namespace joinery::detail {

/// The storage of a node that keeps nothing.
class no_storage : public storage {
public:
    durability level() const override { return durability::none; }
    stored_node load() override { return {}; }
    void set_id(replica_id) override {}
    std::uint32_t attach(std::string_view, std::uint64_t) override { return next_++; }
    void append(std::uint32_t, std::span<const std::byte>) override {}
    void sync() override {}
    void harden() override {}
    void compact(std::uint32_t, std::span<const std::byte>) override {}
    void rebase(replica_id, std::span<const std::pair<std::uint32_t, std::vector<std::byte>>>) override {}
    void close() override {}
    statistics stats() const override { return {}; }

private:
    std::uint32_t next_ = 0;
};

} // namespace joinery::detail
